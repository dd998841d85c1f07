//! Many short strings in little memory.

use std::fmt;
use std::ops::Index;

/// Strings end to end in one: four bytes a string beside its own.
#[derive(Clone, PartialEq, Eq, Default)]
pub struct Strings {
    text: String,
    /// Where each ends.
    ends: Vec<u32>,
}

impl Strings {
    /// How many there are.
    pub fn len(&self) -> usize {
        self.ends.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }

    /// The string at `index`, `None` beyond the last.
    pub fn get(&self, index: usize) -> Option<&str> {
        let end = *self.ends.get(index)? as usize;
        let start = index.checked_sub(1).and_then(|before| self.ends.get(before));
        self.text.get(start.map_or(0, |&start| start as usize)..end)
    }

    /// The strings in order.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = &str> {
        (0..self.len()).map(|index| self.get(index).unwrap_or_default())
    }

    /// Adds `string`; false, and nothing added, where all together would have 4 GiB and more.
    #[must_use]
    pub fn push(&mut self, string: &str) -> bool {
        let Ok(end) = u32::try_from(self.text.len() + string.len()) else { return false };
        self.text.push_str(string);
        self.ends.push(end);
        true
    }

    /// Drops the first `count` strings.
    pub(crate) fn drop_first(&mut self, count: usize) {
        let Some(&gone) = count.checked_sub(1).and_then(|last| self.ends.get(last)) else { return };
        self.text.drain(..gone as usize);
        self.ends.drain(..count);
        self.ends.iter_mut().for_each(|end| *end -= gone);
    }

    /// Drops all but the first `count` strings.
    pub(crate) fn truncate(&mut self, count: usize) {
        self.ends.truncate(count);
        self.text.truncate(self.ends.last().map_or(0, |&end| end as usize));
    }
}

impl Index<usize> for Strings {
    type Output = str;

    /// The string at `index`.
    ///
    /// # Panics
    ///
    /// Where there are not so many.
    fn index(&self, index: usize) -> &str {
        let start = if index == 0 { 0 } else { self.ends[index - 1] };
        &self.text[start as usize..self.ends[index] as usize]
    }
}

impl<S: AsRef<str>> FromIterator<S> for Strings {
    /// The strings of `list`, up to 4 GiB of them.
    fn from_iter<I: IntoIterator<Item = S>>(list: I) -> Self {
        let mut all = Self::default();
        let _ = list.into_iter().all(|string| all.push(string.as_ref()));
        all
    }
}

impl<S: AsRef<str>> PartialEq<[S]> for Strings {
    fn eq(&self, other: &[S]) -> bool {
        self.len() == other.len() && self.iter().zip(other).all(|(a, b)| a == b.as_ref())
    }
}

impl<S: AsRef<str>, const N: usize> PartialEq<[S; N]> for Strings {
    fn eq(&self, other: &[S; N]) -> bool {
        *self == other[..]
    }
}

impl<S: AsRef<str>> PartialEq<Vec<S>> for Strings {
    fn eq(&self, other: &Vec<S>) -> bool {
        *self == other[..]
    }
}

impl fmt::Debug for Strings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.iter()).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keeps_what_is_pushed() {
        let mut all = Strings::from_iter(["ab", "", "ç", "d"]);
        assert_eq!(all, ["ab", "", "ç", "d"]);
        assert_eq!((&all[2], all.get(4), all.len()), ("ç", None, 4));
        assert_eq!(format!("{all:?}"), r#"["ab", "", "ç", "d"]"#);
        all.drop_first(2);
        assert_eq!(all, ["ç", "d"]);
        all.drop_first(0);
        all.truncate(1);
        assert!(all.push("e"));
        assert_eq!(all, ["ç", "e"]);
        all.drop_first(2);
        assert!(all.is_empty());
    }
}
