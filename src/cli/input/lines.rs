//! Lines of UTF-8, counted from 1, ended by a newline with or without a carriage return.

use std::io::{BufRead, Read};

use everylayer::{Error, ErrorKind, Result};

use super::bad::Bad;

/// What some editors write before the first character of a file.
pub const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

/// Bytes of one text at most, with what stands around it: a packed file of a few kilobytes may hold a
/// line that fills all memory.
pub const MOST: usize = 64 << 20;

/// What is said of more.
pub const TOO_LONG: &str = "more than 64 MiB without an end: is this a file of texts?";

/// The lines of `reader` with their numbers; it ends where reading fails.
pub struct Lines<R> {
    reader: R,
    name: String,
    line: u64,
    done: bool,
}

impl<R: BufRead> Lines<R> {
    /// The lines of `reader`, which errors call `name`.
    pub fn new(reader: R, name: &str) -> Self {
        Self { reader, name: name.to_owned(), line: 0, done: false }
    }

    fn read(&mut self) -> Result<Option<(u64, String)>, Bad> {
        let mut bytes = Vec::new();
        let read = self.reader.by_ref().take(MOST as u64 + 1).read_until(b'\n', &mut bytes);
        let read = read
            .map_err(|e| Error::new(ErrorKind::Io, format!("{}: {e}", self.name)).with_source(e))?;
        if read == 0 {
            return Ok(None);
        }
        self.line += 1;
        if read > MOST {
            let said = format!("{}: line {}: {TOO_LONG}", self.name, self.line);
            return Err(Error::new(ErrorKind::Text, said).into());
        }
        if bytes.last() == Some(&b'\n') {
            bytes.pop();
            if bytes.last() == Some(&b'\r') {
                bytes.pop();
            }
        }
        if self.line == 1 && bytes.starts_with(BYTE_ORDER_MARK) {
            bytes.drain(..BYTE_ORDER_MARK.len());
        }
        match String::from_utf8(bytes) {
            Ok(text) => Ok(Some((self.line, text))),
            Err(e) => {
                let valid = e.utf8_error().valid_up_to();
                Err(Bad::row(not_utf8(&self.name, self.line, valid), None))
            }
        }
    }
}

/// The error for bytes that are not UTF-8 after the first `valid` of the line.
pub fn not_utf8(name: &str, line: u64, valid: usize) -> Error {
    let said =
        format!("{name}: line {line}: byte {} is not valid UTF-8: save it as UTF-8", valid + 1);
    Error::new(ErrorKind::Text, said)
}

impl<R: BufRead> Iterator for Lines<R> {
    type Item = Result<(u64, String), Bad>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.done {
            return None;
        }
        let next = self.read().transpose();
        self.done = next.as_ref().is_none_or(|next| next.as_ref().is_err_and(|bad| bad.fatal));
        next
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(bytes: &[u8]) -> Vec<String> {
        Lines::new(bytes, "x.txt").map(|line| line.unwrap().1).collect()
    }

    #[test]
    fn a_line_without_an_end_is_not_held() {
        let endless = std::io::BufReader::new(b"a\n".chain(std::io::repeat(b'x')));
        let mut lines = Lines::new(endless, "x.txt");
        assert_eq!(lines.next().unwrap().unwrap().1, "a");
        let bad = lines.next().unwrap().unwrap_err();
        assert!(bad.fatal && bad.to_string().starts_with("x.txt: line 2: more than"), "{bad}");
        assert!(lines.next().is_none());
    }

    #[test]
    fn endings_of_lines() {
        for (bytes, want) in [
            (&b""[..], &[][..]),
            (b"a", &["a"]),
            (b"a\n", &["a"]),
            (b"a\r\nb\r\n", &["a", "b"]),
            (b"a\n\nb", &["a", "", "b"]),
            (b"a\rb\n", &["a\rb"]),
            (b"\xef\xbb\xbfa\n", &["a"]),
            (b"\n", &[""]),
        ] {
            assert_eq!(lines(bytes), want, "{bytes:?}");
        }
    }

    #[test]
    fn an_error_names_the_line() {
        let mut lines = Lines::new(&b"a\nbc\xff\nd\n"[..], "x.txt");
        assert_eq!(lines.next().unwrap().unwrap(), (1, "a".to_owned()));
        let error = lines.next().unwrap().unwrap_err().to_string();
        assert!(error.starts_with("x.txt: line 2: byte 3 "), "{error}");
        assert_eq!(lines.next().unwrap().unwrap(), (3, "d".to_owned()));
        assert!(lines.next().is_none());
    }
}
