//! Loops and conditions in shader files, written out before WGSL sees them.
//!
//! An array that a loop indexes is not kept in registers by every compiler (DXC leaves it in
//! memory, ACO loses a quarter of its speed), and WGSL has no way to unroll. So what has to lie in
//! registers is a struct of named vectors, and the lines that work on them are repeated here:
//!
//! ```wgsl
//! //: for i in 0..TALL
//!     let a${i} = load4(a[starts.r${i} + k4]);
//! //: end
//! ```
//!
//! `for NAME in A..B` counts, `for NAME in x y z w` goes over words, `for I, NAME in x y z w` counts
//! them as well; `if EXPRESSION`, `else`, `end`. `${EXPRESSION}` is replaced with a number or a word.
//! Expressions are of whole numbers and the constants of the variant, with `+ - * / %`, comparisons
//! and parentheses. A line that starts with `//:` is one of these; WGSL takes it for a comment.

use std::fmt::Write as _;

/// What stands for a name.
#[derive(Debug, Clone, Copy)]
enum Value<'a> {
    Number(i64),
    Word(&'a str),
}

/// The constants compiled into a variant: `const NAME` in its WGSL, and numbers of its loops.
#[derive(Debug, Clone, Default)]
pub struct Constants {
    wgsl: String,
    names: Vec<(&'static str, i64)>,
}

impl Constants {
    /// Adds a number.
    pub fn number(mut self, name: &'static str, value: usize) -> Self {
        // Writing to a string cannot fail.
        let _ = writeln!(self.wgsl, "const {name}: u32 = {value}u;");
        self.names.push((name, value as i64));
        self
    }

    /// Adds a condition.
    pub fn flag(mut self, name: &'static str, value: bool) -> Self {
        let _ = writeln!(self.wgsl, "const {name}: bool = {value};");
        self.names.push((name, value.into()));
        self
    }

    /// Their declarations.
    pub fn wgsl(&self) -> &str {
        &self.wgsl
    }

    /// `text` with its loops written out.
    ///
    /// # Errors
    ///
    /// The line that is no directive, or names something unknown.
    pub fn expand(&self, text: &str) -> Result<String, String> {
        let names = self.names.iter().map(|&(name, value)| (name, Value::Number(value))).collect();
        let lines: Vec<_> = text.lines().collect();
        let mut out = String::with_capacity(2 * text.len());
        block(&lines, &mut Scope(names), &mut out)?;
        Ok(out)
    }
}

struct Scope<'a>(Vec<(&'a str, Value<'a>)>);

impl<'a> Scope<'a> {
    fn get(&self, name: &str) -> Option<Value<'a>> {
        self.0.iter().rev().find(|(known, _)| *known == name).map(|(_, value)| *value)
    }
}

fn directive(line: &str) -> Option<&str> {
    line.trim_start().strip_prefix("//:").map(str::trim)
}

fn block<'a>(lines: &[&'a str], scope: &mut Scope<'a>, out: &mut String) -> Result<(), String> {
    let mut at = 0;
    while let Some(line) = lines.get(at) {
        let Some(words) = directive(line) else {
            substitute(line, scope, out).map_err(|e| format!("{e}: {line}"))?;
            out.push('\n');
            at += 1;
            continue;
        };
        if !words.starts_with("for ") && !words.starts_with("if ") {
            return Err(format!("unknown directive: {line}"));
        }
        let (middle, end) = ends(&lines[at + 1..]).ok_or_else(|| format!("no end: {line}"))?;
        let body = &lines[at + 1..][..end];
        if let Some(rest) = words.strip_prefix("for ") {
            repeat(rest, body, scope, out).map_err(|e| format!("{e}: {line}"))?;
        } else if let Some(condition) = words.strip_prefix("if ") {
            let holds = number(condition, scope).map_err(|e| format!("{e}: {line}"))? != 0;
            let (yes, no) = match middle {
                Some(middle) => (&body[..middle], &body[middle + 1..]),
                None => (body, &[][..]),
            };
            block(if holds { yes } else { no }, scope, out)?;
        }
        at += end + 2;
    }
    Ok(())
}

/// Where the `else` and the `end` are of a block that has begun before `lines`.
fn ends(lines: &[&str]) -> Option<(Option<usize>, usize)> {
    let (mut depth, mut middle) = (0usize, None);
    for (i, words) in lines.iter().enumerate().filter_map(|(i, line)| Some((i, directive(line)?))) {
        match words {
            "end" if depth == 0 => return Some((middle, i)),
            "end" => depth -= 1,
            "else" if depth == 0 => middle = Some(i),
            "else" => {}
            _ => depth += 1,
        }
    }
    None
}

fn repeat<'a>(
    words: &'a str,
    body: &[&'a str],
    scope: &mut Scope<'a>,
    out: &mut String,
) -> Result<(), String> {
    let (names, over) = words.split_once(" in ").ok_or("expected `for NAME in ...`")?;
    let (count, name) = match names.split_once(',') {
        Some((count, name)) => (Some(count.trim()), name.trim()),
        None => (None, names.trim()),
    };
    let values: Vec<Value<'a>> = match over.split_once("..") {
        Some((first, last)) => {
            (number(first, scope)?..number(last, scope)?).map(Value::Number).collect()
        }
        None => over.split_whitespace().map(Value::Word).collect(),
    };
    let before = scope.0.len();
    for (i, value) in values.into_iter().enumerate() {
        scope.0.extend(count.map(|count| (count, Value::Number(i as i64))));
        scope.0.push((name, value));
        let done = block(body, scope, out);
        scope.0.truncate(before);
        done?;
    }
    Ok(())
}

fn substitute(line: &str, scope: &Scope<'_>, out: &mut String) -> Result<(), String> {
    let mut rest = line;
    while let Some((text, after)) = rest.split_once("${") {
        let (inside, after) = after.split_once('}').ok_or("`${` without `}`")?;
        out.push_str(text);
        match scope.get(inside.trim()) {
            Some(Value::Word(word)) => out.push_str(word),
            _ => {
                let _ = write!(out, "{}", number(inside, scope)?);
            }
        }
        rest = after;
    }
    out.push_str(rest);
    Ok(())
}

/// The value of an expression.
fn number(text: &str, scope: &Scope<'_>) -> Result<i64, String> {
    let mut reader = TemplateReader { rest: text.trim(), scope };
    let value = reader.compared()?;
    match reader.rest {
        "" => Ok(value),
        rest => Err(format!("unexpected `{rest}`")),
    }
}

struct TemplateReader<'a> {
    rest: &'a str,
    scope: &'a Scope<'a>,
}

impl<'a> TemplateReader<'a> {
    /// The first of `signs` that comes next.
    fn sign(&mut self, signs: &[&'static str]) -> Option<&'static str> {
        let sign = signs.iter().find(|sign| self.rest.starts_with(**sign))?;
        self.rest = self.rest[sign.len()..].trim_start();
        Some(sign)
    }

    fn compared(&mut self) -> Result<i64, String> {
        let left = self.sum()?;
        let Some(sign) = self.sign(&["==", "!=", "<=", ">=", "<", ">"]) else { return Ok(left) };
        let right = self.sum()?;
        Ok(i64::from(match sign {
            "==" => left == right,
            "!=" => left != right,
            "<=" => left <= right,
            ">=" => left >= right,
            "<" => left < right,
            _ => left > right,
        }))
    }

    fn sum(&mut self) -> Result<i64, String> {
        let mut value = self.product()?;
        while let Some(sign) = self.sign(&["+", "-"]) {
            let by = self.product()?;
            let next = if sign == "+" { value.checked_add(by) } else { value.checked_sub(by) };
            value = next.ok_or("a number is too large")?;
        }
        Ok(value)
    }

    fn product(&mut self) -> Result<i64, String> {
        let mut value = self.single()?;
        while let Some(sign) = self.sign(&["*", "/", "%"]) {
            let by = self.single()?;
            let next = match sign {
                "*" => value.checked_mul(by),
                "/" => value.checked_div(by),
                _ => value.checked_rem(by),
            };
            value = next.ok_or("a number is too large, or divided by zero")?;
        }
        Ok(value)
    }

    fn single(&mut self) -> Result<i64, String> {
        if self.sign(&["("]).is_some() {
            let value = self.compared()?;
            return self.sign(&[")"]).map(|_| value).ok_or_else(|| "expected `)`".to_owned());
        }
        let is_name = |c: char| c.is_ascii_alphanumeric() || c == '_';
        let end = self.rest.find(|c| !is_name(c)).unwrap_or(self.rest.len());
        let (name, rest) = self.rest.split_at(end);
        self.rest = rest.trim_start();
        match (name.parse(), self.scope.get(name)) {
            (Ok(number), _) => Ok(number),
            (_, Some(Value::Number(number))) => Ok(number),
            _ => Err(format!("`{name}` is no number and no constant")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn expand(text: &str) -> Result<String, String> {
        Constants::default().number("N", 2).flag("YES", true).expand(text)
    }

    #[test]
    fn loops_and_conditions() {
        let cases = [
            ("a\nb", "a\nb\n"),
            ("//: for i in 0..N\nx${i};\n//: end", "x0;\nx1;\n"),
            ("//: for i in N..2*(N+1)\nx${i % 3 * 2}\n//: end", "x4\nx0\nx2\nx4\n"),
            ("//: for p in x y\nv.${p}${p}\n//: end", "v.xx\nv.yy\n"),
            ("//: for i, p in a.x b.y\ns.${p} = ${4*i+1}u\n//: end", "s.a.x = 1u\ns.b.y = 5u\n"),
            (
                "//: for i in 0..2\n//:   for j in 0..2\n${i}${j}\n//:   end\n//: end",
                "00\n01\n10\n11\n",
            ),
            ("//: if N == 3\na\n//: else\nb\n//: end", "b\n"),
            ("//: if YES\na\n//: end\nc", "a\nc\n"),
            (
                "//: for i in 0..2\n//: if i < 1\nfirst\n//: else\nlater\n//: end\n//: end",
                "first\nlater\n",
            ),
            ("//: for i in 3..N\nnever\n//: end", ""),
        ];
        for (text, want) in cases {
            assert_eq!(expand(text).as_deref(), Ok(want), "{text}");
        }
    }

    #[test]
    fn what_is_wrong_is_named() {
        let cases = [
            ("//: for i in 0..M\n//: end", "`M` is no number"),
            ("//: for i in 0..2\nx", "no end"),
            ("//: end", "unknown directive"),
            ("//: while 1\n//: end", "unknown directive"),
            ("${1", "without"),
            ("${N / 0}", "divided by zero"),
            ("${(N}", "expected `)`"),
            ("${N N}", "unexpected"),
        ];
        for (text, want) in cases {
            let error = expand(text).expect_err(text);
            assert!(error.contains(want), "{text}: {error}");
        }
    }
}
