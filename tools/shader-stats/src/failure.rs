//! Why the tool stopped, and its exit code.

use std::fmt;

/// Why the tool stopped.
#[derive(Debug, PartialEq, Eq)]
pub enum Failure {
    /// The driver or its device is missing: nothing could be looked at. Exit code 2.
    Driver(String),
    /// A kernel did not compile, a statistic or a file is missing, a check failed. Exit code 1.
    Work(String),
}

impl Failure {
    /// The exit code.
    pub fn code(&self) -> u8 {
        match self {
            Self::Driver(_) => 2,
            Self::Work(_) => 1,
        }
    }

    /// The same with `what` it happened to before it.
    pub fn of(self, what: impl fmt::Display) -> Self {
        match self {
            Self::Driver(text) => Self::Driver(text),
            Self::Work(text) => Self::Work(format!("{what}: {text}")),
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (Self::Driver(text) | Self::Work(text)) = self;
        f.write_str(text)
    }
}
