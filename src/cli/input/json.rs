//! JSON: an object a line, or a list of objects or strings.

use std::io::BufRead;

use everylayer::output::Kept;
use everylayer::quote::quote;
use everylayer::{Result, Text};
use serde::Deserialize;
use serde::de::{Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;

use super::bad::{Bad, wrong};
use super::lines::{BYTE_ORDER_MARK, MOST, TOO_LONG, not_utf8};

/// The field of the second text of a pair.
const PAIR: &str = "text_pair";
/// What NaN and infinity become in a string, where JSON has no word for them.
const NOT_FINITE: [(&str, &str, f64); 3] = [
    ("-Infinity", "\"\\u0000-Infinity\"", f64::NEG_INFINITY),
    ("Infinity", "\"\\u0000Infinity\"", f64::INFINITY),
    ("NaN", "\"\\u0000NaN\"", f64::NAN),
];

/// The fields of an object, the last of two of one name, each as it is written.
struct ObjectFields(Vec<(String, Box<RawValue>)>);

impl<'de> Deserialize<'de> for ObjectFields {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct FieldsVisitor;
        impl<'de> Visitor<'de> for FieldsVisitor {
            type Value = ObjectFields;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<ObjectFields, A::Error> {
                let mut fields = Vec::new();
                while let Some(field) = map.next_entry()? {
                    fields.push(field);
                }
                Ok(ObjectFields(fields))
            }
        }
        deserializer.deserialize_map(FieldsVisitor)
    }
}

impl ObjectFields {
    fn get(&self, name: &str) -> Option<&RawValue> {
        self.0.iter().rev().find(|(field, _)| field == name).map(|(_, value)| &**value)
    }
}

/// The text, or pair, of one JSON object, and the values of the fields in `keep`. Where `strings` are
/// texts too, one may stand in place of the object.
pub fn object(
    json: &str,
    field: &str,
    keep: &[String],
    strings: bool,
) -> Result<(Text<'static>, Vec<Kept>)> {
    let said = |e: &serde_json::Error| {
        let said = e.to_string();
        let said = said.split(" at line ").next().unwrap_or_default().to_owned();
        format!("not JSON: {said} at column {}", e.column())
    };
    let fields: ObjectFields = match json.trim_start().bytes().next() {
        Some(b'{') => match serde_json::from_str(json) {
            Ok(fields) => fields,
            // Python writes NaN and Infinity, which JSON has not.
            Err(e) => match finite(json).map(|json| serde_json::from_str(&json)) {
                Some(Ok(fields)) => fields,
                _ => return Err(wrong(said(&e)).with_source(e)),
            },
        },
        Some(b'"') if strings => {
            let text: String =
                serde_json::from_str(json).map_err(|e| wrong(said(&e)).with_source(e))?;
            return match keep.first() {
                Some(name) => {
                    Err(wrong(format!("a string has no field `{name}`: leave out --keep")))
                }
                None => Ok((text.into(), Vec::new())),
            };
        }
        _ => {
            let value: serde_json::Value =
                serde_json::from_str(json).map_err(|e| wrong(said(&e)).with_source(e))?;
            return Err(wrong(format!("{} is not a JSON object", kind(&value))));
        }
    };
    let Some(text) = fields.get(field) else {
        let known = fields.0.iter().map(|(name, _)| name.as_str()).collect::<Vec<_>>().join(", ");
        let known = if known.is_empty() { "no fields".to_owned() } else { quote(known) };
        return Err(wrong(format!("no field `{field}`: it has {known}; name one with --field")));
    };
    let text = string(field, text)?;
    let kept = keep.iter().map(|name| fields.get(name).map_or(Ok(Kept::Null), |v| kept(name, v)));
    let kept = kept.collect::<Result<_>>()?;
    match fields.get(PAIR).filter(|pair| pair.get() != "null" && field != PAIR) {
        Some(pair) => Ok(((text, string(PAIR, pair)?).into(), kept)),
        None => Ok((text.into(), kept)),
    }
}

fn string(field: &str, value: &RawValue) -> Result<String> {
    let what = match value.get() {
        raw if NOT_FINITE.iter().any(|(_, string, _)| raw == *string) => "a number",
        raw => match serde_json::from_str(raw) {
            Ok(serde_json::Value::String(text)) => return Ok(text),
            Ok(other) => kind(&other),
            // A number that no type holds.
            Err(_) => "a number",
        },
    };
    Err(wrong(format!("field `{field}` is {what}, not a string")))
}

fn kind(value: &serde_json::Value) -> &'static str {
    use serde_json::Value;
    match value {
        Value::Null => "null",
        Value::Bool(_) => "true or false",
        Value::Number(_) => "a number",
        Value::String(_) => "a string",
        Value::Array(_) => "a list",
        Value::Object(_) => "an object",
    }
}

/// The value of a field that is carried along.
fn kept(name: &str, value: &RawValue) -> Result<Kept> {
    let raw = value.get();
    if let Some((_, _, x)) = NOT_FINITE.iter().find(|(_, string, _)| raw == *string) {
        return Ok(Kept::Float(*x));
    }
    if NOT_FINITE.iter().any(|(_, string, _)| raw.contains(string)) {
        return Err(wrong(format!(
            "field `{name}` holds NaN or Infinity, which JSON does not have: write null, or leave \
             it out of \
             --keep"
        )));
    }
    Ok(match raw.as_bytes().first() {
        Some(b'n') => Kept::Null,
        Some(b't' | b'f') => Kept::Bool(raw == "true"),
        Some(b'"') => Kept::Text(string(name, value)?),
        Some(b'-' | b'0'..=b'9') => number(raw),
        _ => Kept::Json(raw.to_owned()),
    })
}

/// A number in a type that holds it, else as it is written.
fn number(raw: &str) -> Kept {
    let whole = !raw.contains(['.', 'e', 'E']);
    match (raw.parse::<i64>(), raw.parse::<u64>(), raw.parse::<f64>()) {
        (Ok(x), ..) => Kept::Int(x),
        (_, Ok(x), _) => Kept::UInt(x),
        (_, _, Ok(x)) if !whole && x.is_finite() => Kept::Float(x),
        _ => Kept::Json(raw.to_owned()),
    }
}

/// `json` with the words of Python and JavaScript that JSON has not as strings; `None` where there are
/// none.
fn finite(json: &str) -> Option<String> {
    let (mut out, mut rest, mut found) = (String::new(), json, false);
    let mut quoted = false;
    while let Some(c) = rest.chars().next() {
        let word = NOT_FINITE.iter().find(|(word, ..)| !quoted && rest.starts_with(word));
        let taken = match (word, c) {
            (Some((word, string, _)), _) => {
                found = true;
                out += string;
                word.len()
            }
            (None, '\\') if quoted => {
                let escaped = rest.chars().nth(1).map_or(0, char::len_utf8);
                out += &rest[..1 + escaped];
                1 + escaped
            }
            (None, _) => {
                quoted ^= c == '"';
                out.push(c);
                c.len_utf8()
            }
        };
        rest = &rest[taken..];
    }
    found.then_some(out)
}

/// The values of a JSON file, each with the line it begins in: the elements of a list, or what stands
/// one after the other.
pub struct Elements<R> {
    reader: R,
    name: String,
    line: u64,
    /// Whether a list is open; `None` before the first byte.
    list: Option<bool>,
    /// An element has been read, so that a comma or the end is due.
    after: bool,
    done: bool,
}

impl<R: BufRead> Elements<R> {
    /// The values of `reader`, which errors call `name`.
    pub fn new(reader: R, name: &str) -> Self {
        let name = name.to_owned();
        Self { reader, name, line: 1, list: None, after: false, done: false }
    }

    fn peek(&mut self) -> Result<Option<u8>> {
        let at = |e: std::io::Error| {
            let said = format!("{}: line {}: {e}", self.name, self.line);
            everylayer::Error::new(everylayer::ErrorKind::Io, said).with_source(e)
        };
        self.reader.fill_buf().map(|bytes| bytes.first().copied()).map_err(at)
    }

    fn take(&mut self, byte: u8) {
        self.line += u64::from(byte == b'\n');
        self.reader.consume(1);
    }

    /// The next byte that is no white space.
    fn solid(&mut self) -> Result<Option<u8>> {
        while let Some(byte) = self.peek()? {
            if !matches!(byte, b' ' | b'\t' | b'\r' | b'\n') {
                return Ok(Some(byte));
            }
            self.take(byte);
        }
        Ok(None)
    }

    fn off(&self, said: &str) -> Bad {
        let error = wrong(format!("{}: line {}: {said}", self.name, self.line));
        Bad { fatal: true, ..Bad::row(error, None) }
    }

    fn read(&mut self) -> Result<Option<(u64, String)>, Bad> {
        if self.list.is_none() {
            if self.peek()? == BYTE_ORDER_MARK.first().copied() {
                self.reader.consume(BYTE_ORDER_MARK.len());
            }
            self.list = Some(self.solid()? == Some(b'['));
            if self.list == Some(true) {
                self.take(b'[');
            }
        }
        let in_list = self.list == Some(true);
        match (self.solid()?, in_list, self.after) {
            (None, false, _) => return Ok(None),
            (None, true, _) => {
                return Err(self.off("the list is not closed: the file is truncated"));
            }
            (Some(b']'), true, _) => {
                self.take(b']');
                return match self.solid()? {
                    None => Ok(None),
                    Some(_) => Err(self.off("there is data after the list: write one list")),
                };
            }
            (Some(b','), true, true) => {
                self.take(b',');
                if self.solid()? == Some(b']') {
                    return Err(self.off("there is a comma after the last element"));
                }
            }
            (Some(_), true, true) => {
                return Err(self.off("a comma or the end of the list is missing"));
            }
            _ => {}
        }
        self.after = true;
        let line = self.line;
        let bytes = self.value()?;
        if bytes.is_empty() {
            return Err(self.off("a value is missing"));
        }
        String::from_utf8(bytes)
            .map(|text| Some((line, text)))
            .map_err(|e| Bad::row(not_utf8(&self.name, line, e.utf8_error().valid_up_to()), None))
    }

    /// The bytes of one value, up to where its brackets and quotes are closed.
    fn value(&mut self) -> Result<Vec<u8>, Bad> {
        let (mut bytes, mut depth, mut quoted, mut escaped) = (Vec::new(), 0_u64, false, false);
        while let Some(byte) = self.peek()? {
            match byte {
                _ if escaped => escaped = false,
                b'\\' if quoted => escaped = true,
                b'"' => quoted = !quoted,
                _ if quoted => {}
                b'{' | b'[' => depth += 1,
                b'}' | b']' if depth == 0 => break,
                b'}' | b']' => depth -= 1,
                b',' | b' ' | b'\t' | b'\r' | b'\n' if depth == 0 => break,
                _ => {}
            }
            self.take(byte);
            if bytes.len() == MOST {
                return Err(self.off(TOO_LONG));
            }
            bytes.push(byte);
            let closed = depth == 0 && !quoted && matches!(byte, b'}' | b']' | b'"');
            if closed {
                return Ok(bytes);
            }
        }
        if depth > 0 || quoted {
            return Err(self.off("a value is not closed: the file was cut off"));
        }
        Ok(bytes)
    }
}

impl<R: BufRead> Iterator for Elements<R> {
    type Item = Result<(u64, String), Bad>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.done {
            return None;
        }
        let next = self.read().transpose();
        self.done = next.as_ref().is_none_or(|next| next.as_ref().is_err_and(|bad| bad.fatal));
        next
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use super::*;

    #[test]
    fn elements_of_a_list_and_values_in_a_row() {
        let read = |text: &str| -> Result<Vec<(u64, String)>, String> {
            let all = Elements::new(text.as_bytes(), "x.json");
            all.map(|e| e.map_err(|bad| bad.to_string())).collect()
        };
        let of = |all: &[(u64, &str)]| all.iter().map(|(n, t)| (*n, (*t).to_owned())).collect();
        for (text, want) in [
            ("[]", vec![]),
            ("", vec![]),
            (
                "\u{feff} [\n{\"a\": \"]\\\"\"},\n\"b\"\n]\n",
                vec![(2, "{\"a\": \"]\\\"\"}"), (3, "\"b\"")],
            ),
            ("{\"a\":1}\n{\n\"a\":[2]}\n", vec![(1, "{\"a\":1}"), (2, "{\n\"a\":[2]}")]),
            ("[1, null,[2,{}]]", vec![(1, "1"), (1, "null"), (1, "[2,{}]")]),
        ] {
            assert_eq!(read(text), Ok(of(&want)), "{text:?}");
        }
        for (text, want) in [
            ("[{}", "the list is not closed"),
            ("[{}\n{}]", "line 2: a comma or the end"),
            ("[{},]", "a comma after the last"),
            ("[,{}]", "a value is missing"),
            ("[{\n", "a value is not closed"),
            ("[] x", "data after the list"),
            ("}", "a value is missing"),
        ] {
            let error = read(text).unwrap_err();
            assert!(
                error.starts_with("x.json: line ") && error.contains(want),
                "{text:?}: {error}"
            );
        }
    }

    #[test]
    fn a_value_without_an_end_is_not_held() {
        let endless = std::io::BufReader::new(b"[\"".chain(std::io::repeat(b'x')));
        let bad = Elements::new(endless, "x.json").next().unwrap().unwrap_err();
        assert!(bad.fatal && bad.to_string().starts_with("x.json: line 1: more than"), "{bad}");
    }

    #[test]
    fn what_python_writes() {
        let keep = ["s".to_owned(), "id".to_owned()];
        let json =
            r#"{"text": "a NaN \" Infinity", "s": NaN, "x": [-Infinity], "id": 9007199254740993}"#;
        let (text, kept) = object(json, "text", &keep, false).unwrap();
        assert_eq!(text.text, "a NaN \" Infinity");
        assert!(matches!(kept[0], Kept::Float(x) if x.is_nan()));
        assert_eq!(kept[1], Kept::Int(9007199254740993));
        let error = object(json, "text", &["x".to_owned()], false).unwrap_err().to_string();
        assert!(error.starts_with("field `x` holds NaN or Infinity"), "{error}");
        let error = object(json, "s", &[], false).unwrap_err().to_string();
        assert_eq!(error, "field `s` is a number, not a string");
        assert!(object(r#"{"text": "a", "b": NAN}"#, "text", &[], false).is_err());
    }

    #[test]
    fn numbers_keep_their_digits() {
        for (raw, want) in [
            ("1", Kept::Int(1)),
            ("-9223372036854775808", Kept::Int(i64::MIN)),
            ("18446744073709551615", Kept::UInt(u64::MAX)),
            ("18446744073709551616", Kept::Json("18446744073709551616".into())),
            ("0.1", Kept::Float(0.1)),
            ("1e400", Kept::Json("1e400".into())),
        ] {
            assert_eq!(number(raw), want);
        }
    }
}
