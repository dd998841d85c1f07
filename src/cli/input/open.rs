//! From a file to its bytes: packed ones are unpacked as they are read.

use std::io::{self, BufRead, BufReader, Read};
use std::path::Path;

use everylayer::{Error, ErrorKind, Result};

use super::bad::wrong;

/// Bytes read at a time.
const BUFFER: usize = 1 << 16;

/// How a file of texts may be packed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Packing {
    /// Not at all.
    None,
    /// `.gz`
    Gzip,
    /// `.zst`
    Zstd,
}

impl Packing {
    /// What the ending of `path` says, and the name without that ending.
    pub fn of(path: &Path) -> (Self, &Path) {
        let ending = path.extension().and_then(|ending| ending.to_str()).unwrap_or_default();
        let packing = match ending.to_ascii_lowercase().as_str() {
            "gz" => Self::Gzip,
            "zst" => Self::Zstd,
            _ => return (Self::None, path),
        };
        (packing, path.file_stem().map_or(path, Path::new))
    }

    /// The bytes of `file`, which errors call `name`.
    ///
    /// # Errors
    /// `Io` where it cannot be read, `Text` where it is text in UTF-16 or UTF-32, or packed and its name
    /// does not say so.
    pub fn open(
        self,
        file: impl Read + Send + 'static,
        name: &str,
    ) -> Result<Box<dyn BufRead + Send>> {
        let file = BufReader::with_capacity(BUFFER, file);
        let named = |e: io::Error| Error::new(ErrorKind::Io, format!("{name}: {e}")).with_source(e);
        let mut reader: Box<dyn BufRead + Send> = match self {
            Self::None => Box::new(file),
            Self::Gzip => unpacked(flate2::bufread::MultiGzDecoder::new(file), "gzip"),
            Self::Zstd => unpacked(zstd::Decoder::with_buffer(file).map_err(named)?, "Zstandard"),
        };
        let start = reader.fill_buf().map_err(named)?;
        let wide = [
            (&b"\xff\xfe\0\0"[..], "32"),
            (b"\0\0\xfe\xff", "32"),
            (b"\xff\xfe", "16"),
            (b"\xfe\xff", "16"),
        ];
        if let Some((_, bits)) = wide.iter().find(|(mark, _)| start.starts_with(mark)) {
            return Err(wrong(format!("{name}: line 1: it is in UTF-{bits}: save it as UTF-8")));
        }
        let packed = [(&b"\x1f\x8b"[..], "gzip", "gz"), (b"\x28\xb5\x2f\xfd", "Zstandard", "zst")];
        match packed.iter().find(|(mark, ..)| self == Self::None && start.starts_with(mark)) {
            Some((_, kind, ending)) => {
                Err(wrong(format!("{name}: it is {kind} data: call it {name}.{ending}")))
            }
            None => Ok(reader),
        }
    }
}

fn unpacked(reader: impl Read + Send + 'static, kind: &'static str) -> Box<dyn BufRead + Send> {
    Box::new(BufReader::with_capacity(BUFFER, Unpacked { reader, kind }))
}

/// Says of a failure what was being unpacked.
struct Unpacked<R> {
    reader: R,
    kind: &'static str,
}

impl<R: Read> Read for Unpacked<R> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        self.reader.read(out).map_err(|e| {
            let said = match e.kind() {
                io::ErrorKind::UnexpectedEof => {
                    format!("the {} data is truncated: download it again", self.kind)
                }
                _ => format!("not {} data, or damaged: {e}", self.kind),
            };
            io::Error::new(e.kind(), said)
        })
    }
}

#[cfg(test)]
mod tests {
    use std::fs::File;
    use std::io::Write;

    use super::*;

    fn read(name: &str, bytes: &[u8]) -> Result<String> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(name);
        std::fs::write(&path, bytes).unwrap();
        let (packing, _) = Packing::of(&path);
        let mut all = String::new();
        let mut reader = packing.open(File::open(&path).unwrap(), name)?;
        reader.read_to_string(&mut all).map_err(|e| wrong(format!("{name}: {e}")))?;
        Ok(all)
    }

    fn gzip(text: &str) -> Vec<u8> {
        let mut out = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        out.write_all(text.as_bytes()).unwrap();
        out.finish().unwrap()
    }

    #[test]
    fn packed_files_are_unpacked() {
        // Members one after the other are one text, as `cat a.gz b.gz` makes them.
        assert_eq!(read("x.txt.gz", &[gzip("a\n"), gzip("b\n")].concat()).unwrap(), "a\nb\n");
        let zstd = |text: &str| zstd::encode_all(text.as_bytes(), 1).unwrap();
        assert_eq!(read("x.jsonl.zst", &[zstd("a\n"), zstd("b\n")].concat()).unwrap(), "a\nb\n");
        assert_eq!(read("x.txt", b"a\n").unwrap(), "a\n");
        assert_eq!(Packing::of(Path::new("a/b.jsonl.GZ")), (Packing::Gzip, Path::new("b.jsonl")));
    }

    #[test]
    fn what_is_damaged_is_named() {
        let whole = gzip(&"a line\n".repeat(1000));
        let zstd = zstd::encode_all("a line\n".repeat(1000).as_bytes(), 1).unwrap();
        for (name, bytes, want) in [
            ("x.txt.gz", &whole[..whole.len() - 9], "is truncated"),
            ("x.txt.gz", b"plain text", "not gzip data"),
            ("x.txt.zst", &zstd[..zstd.len() - 3], "is truncated"),
            ("x.txt.zst", b"plain text", "not Zstandard data"),
            ("x.txt", b"\xff\xfea\0", "UTF-16"),
            ("x.csv", b"\xfe\xff\0a", "UTF-16"),
            ("x.jsonl", &whole, "it is gzip data: call it x.jsonl.gz"),
            ("x.csv", &zstd, "it is Zstandard data: call it x.csv.zst"),
        ] {
            let error = read(name, bytes).unwrap_err().to_string();
            assert!(error.starts_with(name) && error.contains(want), "{error}");
        }
    }
}
