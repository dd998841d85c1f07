//! What the setters of a [`Capture`](super::Capture) take beside their own types: the words of the
//! grammar, and for layers numbers and ranges.

use std::ops::{RangeFrom, RangeInclusive};

use super::{Combine, Heads, LayerItem, Layers, Overflow, Pool, Precision, Reduce, Route, Site};
use crate::error::{Error, Result};

macro_rules! read_from_words {
    ($($of:ty),*) => {$(
        impl TryFrom<&str> for $of {
            type Error = Error;

            fn try_from(words: &str) -> Result<Self> {
                words.parse()
            }
        }

        impl TryFrom<String> for $of {
            type Error = Error;

            fn try_from(words: String) -> Result<Self> {
                words.parse()
            }
        }

        impl TryFrom<&String> for $of {
            type Error = Error;

            fn try_from(words: &String) -> Result<Self> {
                words.parse()
            }
        }
    )*};
}

read_from_words!(Layers, Combine, Pool, Precision, Overflow, Route, Site, Heads, Reduce);

impl Layers {
    /// The last `count` states, the lowest of them first: `-4..-1` for 4.
    ///
    /// ```
    /// use everylayer::Layers;
    ///
    /// assert_eq!(Layers::last(4).resolve(12)?, [9, 10, 11, 12]);
    /// # Ok::<(), everylayer::Error>(())
    /// ```
    pub fn last(count: usize) -> Self {
        match i32::try_from(count) {
            Ok(0) => Self::List(Vec::new()),
            count => Self::range(-count.unwrap_or(i32::MAX), -1),
        }
    }

    /// The states from `first` to `last`, both included; negative ones count from the end.
    ///
    /// ```
    /// use everylayer::Layers;
    ///
    /// assert_eq!(Layers::range(1, 3).resolve(12)?, [1, 2, 3]);
    /// assert_eq!(Layers::range(10, -1).resolve(12)?, [10, 11, 12]);
    /// # Ok::<(), everylayer::Error>(())
    /// ```
    pub fn range(first: i32, last: i32) -> Self {
        Self::List(vec![LayerItem::Range(first, last)])
    }
}

impl From<i32> for Layers {
    fn from(index: i32) -> Self {
        Self::List(vec![LayerItem::One(index)])
    }
}

impl From<RangeInclusive<i32>> for Layers {
    fn from(range: RangeInclusive<i32>) -> Self {
        Self::range(*range.start(), *range.end())
    }
}

impl From<RangeFrom<i32>> for Layers {
    fn from(range: RangeFrom<i32>) -> Self {
        Self::range(range.start, -1)
    }
}

impl From<&[i32]> for Layers {
    fn from(indices: &[i32]) -> Self {
        Self::List(indices.iter().copied().map(LayerItem::One).collect())
    }
}

impl From<Vec<i32>> for Layers {
    fn from(indices: Vec<i32>) -> Self {
        indices.as_slice().into()
    }
}

impl<const N: usize> From<[i32; N]> for Layers {
    fn from(indices: [i32; N]) -> Self {
        indices.as_slice().into()
    }
}

#[cfg(test)]
mod tests {
    use super::super::Capture;
    use super::*;
    use crate::error::ErrorKind;

    #[test]
    fn words_numbers_and_ranges_are_layers() {
        let of = |capture: Capture| capture.check().map(|()| capture.layers.resolve(6).unwrap());
        let all = || Capture::default();
        for (capture, want) in [
            (all().layers("-4..-1"), vec![3, 4, 5, 6]),
            (all().layers("ALL".to_owned()), vec![0, 1, 2, 3, 4, 5, 6]),
            (all().layers(Layers::Blocks), vec![1, 2, 3, 4, 5, 6]),
            (all().layers(Layers::last(2)), vec![5, 6]),
            (all().layers(3), vec![3]),
            (all().layers(1..=3), vec![1, 2, 3]),
            (all().layers(-2..), vec![5, 6]),
            (all().layers([0, 3, -1]), vec![0, 3, 6]),
            (all().layers(vec![2, 1]), vec![2, 1]),
        ] {
            assert_eq!(of(capture).unwrap(), want);
        }
        assert!(Layers::last(0).resolve(6).is_err());
        assert!(Layers::last(usize::MAX).resolve(6).is_err());
    }

    #[test]
    fn what_was_no_word_is_told_when_it_is_asked_for() {
        let capture = Capture::default().pool("meen").layers("99999999999").combine("sum");
        let error = capture.check().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Usage);
        // The first one.
        assert!(error.to_string().contains("`meen`"), "{error}");
        assert!(capture.pool("mean").check().is_err());
        Capture::default().precision("INT8").overflow("window:8").route("fold").check().unwrap();
    }
}
