//! `everylayer licenses`: the texts that travel with the program.

use everylayer::Result;

use super::say;

/// Its own, and those of what it is linked with (`tools/notices/make.py`).
const TEXTS: [&str; 2] = [include_str!("../../LICENSE"), include_str!("../../THIRD-PARTY.txt")];

/// Runs the command.
pub fn run() -> Result<()> {
    TEXTS.iter().try_for_each(|text| say::print(text.as_bytes()))
}
