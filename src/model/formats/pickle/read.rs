//! Bytes, numbers and strings from where a pickle's machine stands.

use std::ops::Range;

use super::{Machine, cut_short, damaged};
use crate::error::Result;

impl Machine<'_> {
    pub(super) fn text(&self, range: Range<usize>) -> Result<&str> {
        str::from_utf8(&self.pickle[range]).map_err(|_| damaged("a string is not UTF-8"))
    }

    pub(super) fn line(&mut self) -> Result<Range<usize>> {
        let start = self.at;
        let rest = &self.pickle[start..];
        let length = rest.iter().position(|&b| b == b'\n').ok_or_else(cut_short)?;
        self.at += length + 1;
        Ok(start..start + length)
    }

    pub(super) fn byte(&mut self) -> Result<u8> {
        Ok(self.take(1)?[0])
    }

    /// A little-endian number of `width` bytes, at most 8.
    pub(super) fn number(&mut self, width: usize) -> Result<u64> {
        let mut wide = [0; 8];
        wide[..width].copy_from_slice(self.take(width)?);
        Ok(u64::from_le_bytes(wide))
    }

    pub(super) fn take(&mut self, length: usize) -> Result<&[u8]> {
        let end = self.at.checked_add(length).ok_or_else(cut_short)?;
        let bytes = self.pickle.get(self.at..end).ok_or_else(cut_short)?;
        self.at = end;
        Ok(bytes)
    }
}
