//! A table whose last quote is never closed: the rows after it would all be one field.

use std::io::{self, Read};

use super::lines::{MOST, TOO_LONG};

/// Where a reader of tables is, byte by byte, as the crate `csv` has it.
#[derive(Debug, Clone, Copy, PartialEq)]
enum QuoteState {
    /// Before the first byte of a field.
    Start,
    Plain,
    Quoted,
    /// After a quote inside a quoted field: the end of it, or half of an escaped one.
    Quote,
}

/// Hands bytes on; at the end of the input an open quote is an error that names its line.
pub struct Quotes<R> {
    reader: R,
    delimiter: u8,
    state: QuoteState,
    line: u64,
    /// The line of the last quote that opened a field.
    opened: u64,
    /// Bytes of the row so far.
    row: usize,
}

impl<R: Read> Quotes<R> {
    /// Over `reader`, whose fields are parted by `delimiter`.
    pub fn new(reader: R, delimiter: u8) -> Self {
        Self { reader, delimiter, state: QuoteState::Start, line: 1, opened: 0, row: 0 }
    }

    fn step(&mut self, byte: u8) {
        let ends = byte == self.delimiter || byte == b'\n' || byte == b'\r';
        self.state = match (self.state, byte) {
            (QuoteState::Start, b'"') => {
                self.opened = self.line;
                QuoteState::Quoted
            }
            (QuoteState::Quoted, b'"') => QuoteState::Quote,
            (QuoteState::Quoted, _) | (QuoteState::Quote, b'"') => QuoteState::Quoted,
            _ if ends => QuoteState::Start,
            _ => QuoteState::Plain,
        };
        self.line += u64::from(byte == b'\n');
        self.row = if self.state == QuoteState::Start && byte == b'\n' { 0 } else { self.row + 1 };
    }
}

impl<R: Read> Read for Quotes<R> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        let count = self.reader.read(out)?;
        out[..count].iter().for_each(|&byte| self.step(byte));
        if self.row > MOST {
            let said = format!("line {}: {TOO_LONG}", self.line);
            return Err(io::Error::new(io::ErrorKind::InvalidData, said));
        }
        if count == 0 && !out.is_empty() && self.state == QuoteState::Quoted {
            let said = format!(
                "line {}: a quote is opened and never closed, so that all lines after it are one \
                 field: close it, or write a quote within a field twice and quote the field",
                self.opened
            );
            return Err(io::Error::new(io::ErrorKind::InvalidData, said));
        }
        Ok(count)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_open_quote_names_its_line() {
        let read = |text: &str, delimiter| {
            let mut all = String::new();
            Quotes::new(text.as_bytes(), delimiter).read_to_string(&mut all).map(|_| all)
        };
        for (text, line) in [
            ("id,text\n1,\"open\n2,two\n", Some(2)),
            ("id,text\n1,\"a\nb\"\n2,\"", Some(4)),
            ("\"", Some(1)),
            ("a,\"b\"\"", Some(1)),
            ("a,\"b\"\"\"\n", None),
            ("a,5\" pipe\n", None),
            ("a,\"quoted\" word\n", None),
            ("a,\"two\r\nlines\"\r\nb,\"c\"\r\n", None),
            ("", None),
        ] {
            match (read(text, b','), line) {
                (Ok(all), None) => assert_eq!(all, text),
                (Err(e), Some(line)) => {
                    assert!(e.to_string().starts_with(&format!("line {line}: ")), "{text:?}: {e}");
                }
                (read, _) => panic!("{text:?}: {read:?}"),
            }
        }
        let mut endless = Quotes::new(b"a\n\"".chain(io::repeat(b'x')), b',');
        let error = io::copy(&mut endless, &mut io::sink()).unwrap_err().to_string();
        assert!(error.starts_with("line 2: more than"), "{error}");
        assert!(read("a\t\"b\n", b'\t').is_err());
        assert!(read("a,\"b\n", b'\t').is_ok());
    }
}
