//! A row of the input that is no text.

use std::fmt;

use everylayer::{Error, ErrorKind};

/// What is wrong with a row, and whether there can be rows after it.
#[derive(Debug)]
pub struct Bad {
    /// Names the file and the line.
    pub error: Error,
    /// The row, from 0; set where rows are counted.
    pub row: usize,
    /// What stands there, where it is UTF-8.
    pub text: Option<String>,
    /// Nothing can be read after it.
    pub fatal: bool,
}

impl Bad {
    /// A row that is wrong by itself.
    pub fn row(error: Error, text: Option<String>) -> Self {
        Self { error, row: 0, text, fatal: false }
    }
}

/// An error of the file itself.
impl From<Error> for Bad {
    fn from(error: Error) -> Self {
        Self { error, row: 0, text: None, fatal: true }
    }
}

impl fmt::Display for Bad {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.error.fmt(f)
    }
}

impl From<Bad> for Error {
    fn from(bad: Bad) -> Self {
        bad.error
    }
}

/// A row that is wrong, in a sentence.
pub fn wrong(said: String) -> Error {
    Error::new(ErrorKind::Text, said)
}
