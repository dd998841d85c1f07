//! Which hidden states of a model are wanted: the grammar, and its meaning for a model of L blocks.
//!
//! State 0 goes into block 1, state i is the output of block i, state L is `last_hidden_state`.
//! Nothing here knows what a state holds.

use std::fmt;
use std::str::FromStr;

use crate::error::{Error, Result, fail};
use crate::quote::quote;
use crate::words::{nearest, plain};

/// A choice among the L+1 hidden states of a model, in the order they come back.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub enum Layers {
    /// State L.
    #[default]
    Last,
    /// States 0..=L.
    All,
    /// States 1..=L: the output of every block, without the embeddings.
    Blocks,
    /// Indices and ranges, as written.
    List(Vec<LayerItem>),
}

/// One item of a [`Layers::List`]; a negative index counts from the end, -1 being state L.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum LayerItem {
    /// One state.
    One(i32),
    /// The states from the first to the second, both included.
    Range(i32, i32),
}

impl Layers {
    /// [`Layers::resolve`] for what blocks alone have: all of it is in blocks 1 to `depth`.
    ///
    /// # Errors
    /// As [`Layers::resolve`]; 0 is not refused.
    pub(crate) fn resolve_blocks(&self, depth: usize) -> Result<Vec<usize>> {
        match self {
            Self::All => Self::Blocks.resolve(depth),
            layers => layers.resolve(depth),
        }
    }

    /// The state numbers, each within 0..=`depth`, of a model of `depth` blocks (L).
    ///
    /// # Errors
    /// [`ErrorKind::Usage`](crate::ErrorKind::Usage), naming the index and L, for an index out of
    /// range, a reversed range, a state asked for twice, or a choice that is empty.
    pub fn resolve(&self, depth: usize) -> Result<Vec<usize>> {
        let items = match self {
            Self::Last => return Ok(vec![depth]),
            Self::All => return Ok((0..=depth).collect()),
            Self::Blocks if depth == 0 => {
                return Err(fail!(Usage, "layers `blocks`: the model has no blocks (L = 0)"));
            }
            Self::Blocks => return Ok((1..=depth).collect()),
            Self::List(items) => items,
        };
        if items.is_empty() {
            return Err(fail!(Usage, "no layer is given: choose from 0..{depth} (L = {depth})"));
        }
        let mut states = Vec::new();
        let mut seen = vec![false; depth + 1];
        for item in items {
            let (first, last) = match *item {
                LayerItem::One(i) => (state(i, depth)?, state(i, depth)?),
                LayerItem::Range(a, b) => (state(a, depth)?, state(b, depth)?),
            };
            if first > last {
                return Err(fail!(
                    Usage,
                    "layers `{item}` is reversed: it runs from state {first} down to {last} \
                     (L = {depth}); write the lower state first"
                ));
            }
            if let Some(state) = (first..=last).find(|&state| seen[state]) {
                return Err(fail!(
                    Usage,
                    "layer {state} is given twice, the second time by `{item}` (L = {depth})"
                ));
            }
            seen[first..=last].fill(true);
            states.extend(first..=last);
        }
        Ok(states)
    }
}

/// The state that `index` names in a model of `depth` blocks.
fn state(index: i32, depth: usize) -> Result<usize> {
    let steps = index.unsigned_abs() as usize;
    let found = if index < 0 { (depth + 1).checked_sub(steps) } else { Some(steps) };
    found.filter(|&state| state <= depth).ok_or_else(|| {
        fail!(
            Usage,
            "layer {index} is out of range: the model has states 0..{depth} (L = {depth}), \
             or -{}..-1 from the end",
            depth + 1
        )
    })
}

impl FromStr for Layers {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        match plain(text).as_str() {
            "last" => Ok(Self::Last),
            "all" => Ok(Self::All),
            "blocks" => Ok(Self::Blocks),
            "" => Err(fail!(Usage, "no layer is given: use last, all, blocks or `0,3,-1`")),
            _ => text
                .split(',')
                .map(|item| item.trim().parse())
                .collect::<Result<_>>()
                .map(Self::List),
        }
    }
}

impl FromStr for LayerItem {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let item = match text.split_once("..") {
            Some((first, last)) => {
                // `..=` is how Rust writes a range that has its last.
                let last = match last.strip_prefix('=') {
                    Some(last) => index(last),
                    None => bound(last, -1),
                };
                bound(first, 0).zip(last).map(|(a, b)| Self::Range(a, b))
            }
            None => index(text).map(Self::One),
        };
        item.ok_or_else(|| {
            let dashed = text.split_once([':', '-']).and_then(|(a, b)| index(a).zip(index(b)));
            let meant = match (nearest(&plain(text), WORDS), dashed) {
                (Some(word), _) => format!(" (did you mean `{word}`?)"),
                (_, Some((a, b))) => format!(" (did you mean `{a}..{b}`, both ends included?)"),
                (None, None) if WORDS.contains(&plain(text).as_str()) => {
                    " in a list (use it alone)".to_owned()
                }
                (None, None) => String::new(),
            };
            let text = quote(text);
            fail!(
                Usage,
                "layer `{text}` is not a layer{meant}: use last, all, blocks, or a list of indices \
                 and inclusive ranges such as `0,3,-1` or `-4..-1`"
            )
        })
    }
}

/// What is no list.
const WORDS: [&str; 3] = ["last", "all", "blocks"];

/// One end of a range, which is `open` where nothing is written.
fn bound(text: &str, open: i32) -> Option<i32> {
    if text.trim().is_empty() { Some(open) } else { index(text) }
}

/// `6` or `-1`; not `+6`, and not `-0`, which would count from no end.
fn index(text: &str) -> Option<i32> {
    let text = text.trim();
    let number = text.parse().ok()?;
    let signed = text.starts_with('+') || (number == 0 && text.starts_with('-'));
    (!signed).then_some(number)
}

impl fmt::Display for Layers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Last => f.write_str("last"),
            Self::All => f.write_str("all"),
            Self::Blocks => f.write_str("blocks"),
            Self::List(items) => {
                for (i, item) in items.iter().enumerate() {
                    write!(f, "{}{item}", if i == 0 { "" } else { "," })?;
                }
                Ok(())
            }
        }
    }
}

impl fmt::Display for LayerItem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::One(i) => write!(f, "{i}"),
            Self::Range(a, b) => write!(f, "{a}..{b}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::error::ErrorKind;

    /// Every failing case is reported, not the first alone.
    fn report(failures: Vec<String>) {
        assert!(failures.is_empty(), "{} cases fail:\n{}", failures.len(), failures.join("\n"));
    }

    #[test]
    fn good_lists() {
        let cases: &[(&str, usize, &[usize])] = &[
            ("last", 12, &[12]),
            ("last", 0, &[0]),
            ("all", 3, &[0, 1, 2, 3]),
            ("all", 0, &[0]),
            ("blocks", 3, &[1, 2, 3]),
            ("0,6,-1", 12, &[0, 6, 12]),
            ("-1", 12, &[12]),
            ("-13", 12, &[0]),
            ("12", 12, &[12]),
            ("-4..-1", 12, &[9, 10, 11, 12]),
            ("1..6", 12, &[1, 2, 3, 4, 5, 6]),
            ("0..-1", 2, &[0, 1, 2]),
            ("-3..2", 2, &[0, 1, 2]),
            ("5..5", 12, &[5]),
            ("0,3..5", 12, &[0, 3, 4, 5]),
            ("3..5,0,-1", 12, &[3, 4, 5, 0, 12]),
            (" 0, 2 ", 2, &[0, 2]),
            ("1..3", 6, &[1, 2, 3]),
            ("1 .. 3", 6, &[1, 2, 3]),
            ("1..=3", 6, &[1, 2, 3]),
            ("3..", 6, &[3, 4, 5, 6]),
            ("..3", 6, &[0, 1, 2, 3]),
            ("-2..", 6, &[5, 6]),
            ("..-5,6", 6, &[0, 1, 2, 6]),
            ("..", 2, &[0, 1, 2]),
            ("ALL", 2, &[0, 1, 2]),
            ("Last", 2, &[2]),
            (" Blocks ", 2, &[1, 2]),
            ("2,1,0", 2, &[2, 1, 0]),
        ];
        let mut failures = Vec::new();
        for (i, (text, depth, want)) in cases.iter().enumerate() {
            match text.parse::<Layers>().and_then(|layers| layers.resolve(*depth)) {
                Ok(got) if got == *want => {}
                got => {
                    failures.push(format!("{i}: `{text}` L={depth}: got {got:?}, want {want:?}"))
                }
            }
        }
        report(failures);
    }

    #[test]
    fn bad_lists_name_the_index_and_the_depth() {
        let cases: &[(&str, usize, &[&str])] = &[
            ("13", 12, &["layer 13", "L = 12"]),
            ("-14", 12, &["layer -14", "L = 12"]),
            ("0,13", 12, &["layer 13", "L = 12"]),
            ("1..13", 12, &["layer 13", "L = 12"]),
            ("0..2147483647", 12, &["2147483647", "L = 12"]),
            ("-2147483648", 12, &["-2147483648", "L = 12"]),
            ("6..1", 12, &["6..1", "L = 12", "reversed"]),
            ("-1..-4", 12, &["-1..-4", "L = 12", "reversed"]),
            ("-1..0", 12, &["-1..0", "reversed"]),
            ("6,6", 12, &["layer 6", "twice", "L = 12"]),
            ("12,-1", 12, &["layer 12", "twice", "`-1`"]),
            ("1..3,2", 12, &["layer 2", "twice"]),
            ("blocks", 0, &["L = 0"]),
        ];
        let mut failures = Vec::new();
        for (i, (text, depth, wants)) in cases.iter().enumerate() {
            match text.parse::<Layers>().map(|layers| layers.resolve(*depth)) {
                Ok(Err(error)) if error.kind() == ErrorKind::Usage => {
                    let got = error.to_string();
                    if let Some(want) = wants.iter().find(|want| !got.contains(**want)) {
                        failures.push(format!("{i}: `{text}`: got `{got}`, want `{want}` in it"));
                    }
                }
                got => failures.push(format!("{i}: `{text}`: got {got:?}, want a Usage error")),
            }
        }
        let empty = Layers::List(Vec::new()).resolve(12).unwrap_err().to_string();
        assert!(empty.contains("L = 12"), "{empty}");
        report(failures);
    }

    #[test]
    fn bad_words() {
        let cases = [
            "",
            " ",
            ",",
            "0,",
            ",0",
            "0,,1",
            "1...3",
            "1..=",
            "..=",
            "1..==3",
            "1..2..3",
            "first",
            "lats",
            "last,0",
            "all,1",
            "+1",
            "-0",
            "0x1",
            "1.5",
            "--1",
            "1-3",
            "99999999999",
            "0;1",
            "1 2",
        ];
        let failures = cases.iter().filter_map(|text| match text.parse::<Layers>() {
            Err(error) if error.kind() == ErrorKind::Usage => None,
            got => Some(format!("`{text}`: got {got:?}, want a Usage error")),
        });
        report(failures.collect());
    }

    fn item() -> impl Strategy<Value = LayerItem> {
        prop_oneof![
            any::<i32>().prop_map(LayerItem::One),
            any::<(i32, i32)>().prop_map(|(a, b)| LayerItem::Range(a, b)),
        ]
    }

    proptest! {
        #[test]
        fn written_and_read_back(items in prop::collection::vec(item(), 1..6)) {
            let layers = Layers::List(items);
            prop_assert_eq!(layers.to_string().parse::<Layers>().unwrap(), layers);
        }

        #[test]
        fn never_panics_and_stays_within(text in "[-0-9.,a-z]{0,12}", depth in 0usize..40) {
            if let Ok(states) = text.parse::<Layers>().and_then(|layers| layers.resolve(depth)) {
                prop_assert!(!states.is_empty() && states.iter().all(|&s| s <= depth));
                let unique: std::collections::HashSet<_> = states.iter().collect();
                prop_assert_eq!(unique.len(), states.len());
            }
        }
    }
}
