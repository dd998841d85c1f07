//! Thrift's compact protocol, as far as parquet's metadata needs it to be looked over before the
//! library takes memory for what it says. `None` is damage.

/// Depth of nested values.
const DEPTH: usize = 64;

/// Bytes that are still to be read.
#[derive(Debug, Clone, Copy)]
pub struct Thrift<'a>(pub &'a [u8]);

/// Types of fields.
pub const I32: u8 = 5;
pub const LIST: u8 = 9;
pub const STRUCT: u8 = 12;

impl<'a> Thrift<'a> {
    /// The next `count` bytes.
    pub fn take(&mut self, count: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(count)?;
        self.0 = rest;
        Some(taken)
    }

    fn byte(&mut self) -> Option<u8> {
        self.take(1).map(|bytes| bytes[0])
    }

    /// A number of seven bits a byte.
    pub fn varint(&mut self) -> Option<u64> {
        let mut all = 0;
        for shift in (0..70).step_by(7) {
            let byte = self.byte()?;
            all |= u64::from(byte & 0x7f).checked_shl(shift)?;
            if byte < 0x80 {
                return Some(all);
            }
        }
        None
    }

    /// A number with a sign.
    pub fn signed(&mut self) -> Option<i64> {
        let raw = self.varint()?;
        Some((raw >> 1).cast_signed() ^ -(raw & 1).cast_signed())
    }

    /// Number and type of the next field of a struct, `last` being the number before; `Some(None)` at
    /// its end.
    pub fn field(&mut self, last: &mut i64) -> Option<Option<(i64, u8)>> {
        let head = self.byte()?;
        if head == 0 {
            return Some(None);
        }
        *last = match head >> 4 {
            0 => self.signed()?,
            more => last.checked_add(more.into())?,
        };
        Some(Some((*last, head & 0xf)))
    }

    /// Length and type of a list, which has a byte an element at least.
    pub fn list(&mut self) -> Option<(usize, u8)> {
        let head = self.byte()?;
        let size = match head >> 4 {
            15 => usize::try_from(self.varint()?).ok()?,
            size => size.into(),
        };
        (size <= self.0.len()).then_some((size, head & 0xf))
    }

    /// Passes over a value of `kind` that is a field.
    pub fn skip(&mut self, kind: u8) -> Option<()> {
        self.pass(kind, DEPTH)
    }

    fn pass(&mut self, kind: u8, depth: usize) -> Option<()> {
        let depth = depth.checked_sub(1)?;
        match kind {
            1 | 2 => {}
            3 => drop(self.byte()?),
            4..=6 => drop(self.varint()?),
            7 => drop(self.take(8)?),
            8 => {
                let length = usize::try_from(self.varint()?).ok()?;
                self.take(length)?;
            }
            LIST | 10 => {
                let (size, kind) = self.list()?;
                for _ in 0..size {
                    // Outside of a struct, a boolean has a byte.
                    self.pass(if kind < 3 { 3 } else { kind }, depth)?;
                }
            }
            STRUCT => {
                let mut last = 0;
                while let Some((_, kind)) = self.field(&mut last)? {
                    self.pass(kind, depth)?;
                }
            }
            13 => drop(self.take(16)?),
            _ => return None,
        }
        Some(())
    }
}
