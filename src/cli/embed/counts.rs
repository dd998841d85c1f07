//! Rows of a run, counted where they pass: none is lost between two places.

use everylayer::{Error, ErrorKind, Result};

/// Rows of one run, good ones and bad ones.
#[derive(Debug, Clone, Copy)]
pub struct Counts {
    /// That the first look found and this run is to do; `None` where the input can be read but once.
    pub surveyed: Option<usize>,
    /// That came out of the input.
    pub read: usize,
    /// That went through the model, or were rejected.
    pub run: usize,
    /// That were written down.
    pub written: usize,
}

impl Counts {
    /// All must be the same.
    ///
    /// # Errors
    /// `Io`, with the numbers.
    pub fn check(self) -> Result<()> {
        let Self { surveyed, read, run, written } = self;
        if read == run && run == written && surveyed.is_none_or(|surveyed| surveyed == read) {
            return Ok(());
        }
        let surveyed =
            surveyed.map(|rows| format!("{rows} rows in the input, ")).unwrap_or_default();
        Err(Error::new(
            ErrorKind::Io,
            format!(
                "rows were lost: {surveyed}{read} read, {run} run, {written} written: this is a bug, \
                 please report it"
            ),
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_difference_is_an_error() {
        let whole = Counts { surveyed: Some(7), read: 7, run: 7, written: 7 };
        whole.check().unwrap();
        Counts { surveyed: None, ..whole }.check().unwrap();
        for lost in [
            Counts { surveyed: Some(8), ..whole },
            Counts { read: 6, ..whole },
            Counts { run: 6, ..whole },
            Counts { written: 6, ..whole },
            Counts { surveyed: None, written: 6, ..whole },
            Counts { surveyed: Some(20_000), read: 11_264, run: 11_264, written: 11_264 },
        ] {
            let error = lost.check().unwrap_err().to_string();
            assert!(error.contains(&format!("{} read, {} run", lost.read, lost.run)), "{error}");
        }
    }
}
