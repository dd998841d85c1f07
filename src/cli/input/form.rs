//! The forms a file of texts may have, by the ending of its name: lines, JSON lines, tables.

use std::io::BufRead;
use std::path::Path;

use everylayer::output::Kept;
use everylayer::quote::quote;
use everylayer::{Error, ErrorKind, Result};

use super::bad::{Bad, wrong};
use super::json::{Elements, object};
use super::lines::{Lines, not_utf8};
use super::open::Packing;
use super::quotes::Quotes;
use super::{InputText, Rows};

/// The field or column of the text where none is named.
pub const FIELD: &str = "text";

/// How texts lie in a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// A text a line.
    Lines,
    /// A JSON object a line, the text in one of its fields.
    Json,
    /// A list of JSON objects or strings, or objects one after the other.
    JsonList,
    /// A table with a header row, the text in one of its columns; fields are parted by this byte.
    Table(u8),
    /// Columns, the text in one of them.
    Parquet,
}

impl Form {
    /// The form of the file `path`, and how it is packed.
    pub fn of(path: &Path) -> Result<(Self, Packing)> {
        let name = path.display();
        let (packing, path) = Packing::of(path);
        let ending = path.extension().and_then(|ending| ending.to_str()).unwrap_or_default();
        let form = match ending.to_ascii_lowercase().as_str() {
            "txt" => Self::Lines,
            "jsonl" | "ndjson" => Self::Json,
            "json" => Self::JsonList,
            "csv" => Self::Table(b','),
            "tsv" => Self::Table(b'\t'),
            "parquet" if packing == Packing::None => Self::Parquet,
            "parquet" => {
                let said =
                    format!("{name}: a compressed parquet file cannot be read: decompress it");
                return Err(Error::new(ErrorKind::Usage, said));
            }
            _ => {
                let said = format!(
                    "{name}: unknown file ending: use .txt, .jsonl, .ndjson, \
                     .json, .csv, .tsv (with .gz or .zst if compressed) or .parquet, or `-` to \
                     pipe lines in"
                );
                return Err(Error::new(ErrorKind::Usage, said));
            }
        };
        Ok((form, packing))
    }

    /// The texts that `reader`, called `name` in errors, holds in `field`.
    pub fn rows(
        self,
        reader: impl BufRead + Send + 'static,
        name: &str,
        field: &str,
        keep: &[String],
    ) -> Result<Rows> {
        let (name, field, keep) = (name.to_owned(), field.to_owned(), keep.to_vec());
        match self {
            Self::Lines => {
                let lines = Lines::new(reader, &name);
                Ok(Box::new(lines.map(|l| l.map(|(line, t)| InputText::new(t, line)))))
            }
            Self::Json => {
                let lines = Lines::new(reader, &name);
                let filled = lines.filter(|l| !matches!(l, Ok((_, l)) if l.trim().is_empty()));
                Ok(Box::new(filled.map(move |l| item(l?, &name, &field, &keep, false))))
            }
            Self::JsonList => {
                let all = Elements::new(reader, &name);
                Ok(Box::new(all.map(move |l| item(l?, &name, &field, &keep, true))))
            }
            Self::Table(delimiter) => table(reader, delimiter, name, &field, &keep),
            Self::Parquet => {
                let said = format!("{name}: parquet must be a seekable file");
                Err(Error::new(ErrorKind::Usage, said))
            }
        }
    }
}

fn item(
    (line, json): (u64, String),
    name: &str,
    field: &str,
    keep: &[String],
    strings: bool,
) -> Result<InputText, Bad> {
    match object(&json, field, keep, strings) {
        Ok((text, kept)) => Ok(InputText { text, line, row: 0, kept }),
        Err(e) => Err(Bad::row(e.at(format_args!("{name}: line {line}")), Some(json))),
    }
}

/// The column `field` of a table with a header row, and those in `keep`.
fn table(
    reader: impl BufRead + Send + 'static,
    delimiter: u8,
    name: String,
    field: &str,
    keep: &[String],
) -> Result<Rows> {
    let mut table =
        csv::ReaderBuilder::new().delimiter(delimiter).from_reader(Quotes::new(reader, delimiter));
    let header = table.byte_headers().map_err(|e| table_error(&name, 0, e))?.clone();
    // Of `\r\n` the reader leaves the second to the next row, which then seems a line higher.
    let lag = u64::from(table.position().line() == 1);
    if header.is_empty() {
        return Ok(Box::new(std::iter::empty()));
    }
    let find = |field: &str, option: &str| {
        let mut columns = (0..).zip(&header).filter(|(_, column)| *column == field.as_bytes());
        match (columns.next(), columns.next()) {
            (Some((at, _)), None) => Ok(at),
            (Some(_), Some(_)) => {
                Err(wrong(format!("{name}: line 1: two columns are called `{field}`: rename one")))
            }
            (None, _) => {
                let known: Vec<_> = header.iter().map(String::from_utf8_lossy).collect();
                let known = quote(known.join(", "));
                let parted = match other_delimiter(&header, delimiter) {
                    Some(other) => {
                        format!(", separated by {other}: save it with commas, or as .tsv")
                    }
                    None => format!("; name one with {option}"),
                };
                Err(wrong(format!("{name}: line 1: no column `{field}`: it has {known}{parted}")))
            }
        }
    };
    let column = find(field, "--field")?;
    let keep = keep.iter().map(|name| find(name, "--keep")).collect::<Result<Vec<_>>>()?;
    let mut failed = false;
    Ok(Box::new(table.into_byte_records().map_while(move |row| {
        if failed {
            return None;
        }
        let row = match row {
            Ok(row) => row,
            Err(e) => {
                failed = e.is_io_error();
                let error = table_error(&name, lag, e);
                return Some(Err(Bad { fatal: failed, ..Bad::row(error, None) }));
            }
        };
        let line = line_of(row.position()) + lag;
        let cell = |column| match std::str::from_utf8(row.get(column).unwrap_or_default()) {
            Ok(text) => Ok(text.to_owned()),
            Err(e) => Err(Bad::row(not_utf8(&name, line, e.valid_up_to()), None)),
        };
        let kept = keep.iter().map(|&column| cell(column).map(Kept::Text));
        let item = kept
            .collect::<Result<Vec<_>, _>>()
            .and_then(|kept| Ok(InputText { text: cell(column)?.into(), line, row: 0, kept }));
        Some(item)
    })))
}

/// What parts the fields of a `header` that seems to have one column alone, parted by `delimiter`.
fn other_delimiter(header: &csv::ByteRecord, delimiter: u8) -> Option<&'static str> {
    let others = [(b';', "semicolons"), (b'\t', "tabs"), (b',', "commas"), (b'|', "bars")];
    let only = header.get(0).filter(|_| header.len() == 1)?;
    let found = others.iter().find(|(byte, _)| *byte != delimiter && only.contains(byte));
    found.map(|(_, name)| *name)
}

fn line_of(position: Option<&csv::Position>) -> u64 {
    position.map_or(0, csv::Position::line)
}

fn table_error(name: &str, lag: u64, e: csv::Error) -> Error {
    let kind = if e.is_io_error() { ErrorKind::Io } else { ErrorKind::Text };
    let said = match e.kind() {
        csv::ErrorKind::UnequalLengths { pos, expected_len, len } => format!(
            "{name}: line {}: {len} {} where the header has {expected_len}: quote what holds a \
             delimiter",
            line_of(pos.as_ref()) + lag,
            if *len == 1 { "field" } else { "fields" }
        ),
        csv::ErrorKind::Io(e) => format!("{name}: {e}"),
        _ => format!("{name}: {e}"),
    };
    Error::new(kind, said).with_source(e)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(ending: &str, file: &'static str, field: Option<&str>) -> Vec<Result<InputText, Bad>> {
        let name = format!("x.{ending}");
        match Form::of(Path::new(&name))
            .and_then(|(f, _)| f.rows(file.as_bytes(), &name, field.unwrap_or(FIELD), &[]))
        {
            Ok(rows) => rows.collect(),
            Err(e) => vec![Err(e.into())],
        }
    }

    /// Texts with their lines, as `line:text`.
    fn texts(ending: &str, file: &'static str, field: Option<&str>) -> Vec<String> {
        let rows = read(ending, file, field).into_iter().map(|row| row.unwrap());
        rows.map(|item| format!("{}:{}", item.line, item.text.text)).collect()
    }

    #[test]
    fn texts_and_their_lines() {
        for (ending, file, field, want) in [
            ("TXT", "a\r\nb", None, vec!["1:a", "2:b"]),
            (
                "jsonl",
                "{\"text\":\"a\"}\n\n{\"x\":1,\"text\":\"b\\nc\"}",
                None,
                vec!["1:a", "3:b\nc"],
            ),
            ("jsonl", "{\"body\":\"a\"}", Some("body"), vec!["1:a"]),
            (
                "csv",
                "id,text\n1,a\n2,\"b,\n\"\"c\"\"\"\n3,d\n",
                None,
                vec!["2:a", "3:b,\n\"c\"", "5:d"],
            ),
            ("csv", "\u{feff}text,id\r\na,1\r\n", None, vec!["2:a"]),
            ("csv", "text\n", None, vec![]),
            ("csv", "", None, vec![]),
            ("csv", "text\r\n\"a\r\nb\"\r\nc\r\n", None, vec!["2:a\r\nb", "4:c"]),
            ("tsv", "t\ttext\nx\ta,b\n", Some("text"), vec!["2:a,b"]),
            ("tsv", "text\n5\" pipe\n\"q\" word\n", None, vec!["2:5\" pipe", "3:q word"]),
            ("ndjson", "{\"text\":\"a\"}\n", None, vec!["1:a"]),
            ("json", "[{\"text\":\"a\"},\n\"b\"]", None, vec!["1:a", "2:b"]),
            ("json", "{\"text\":\"a\"}\n", None, vec!["1:a"]),
        ] {
            assert_eq!(texts(ending, file, field), want, "{ending} {file:?}");
        }
    }

    #[test]
    fn pairs() {
        let file = "{\"text\":\"a\",\"text_pair\":\"b\"}\n{\"text\":\"a\",\"text_pair\":null}";
        let pairs: Vec<_> =
            read("jsonl", file, None).into_iter().map(|r| r.unwrap().text.pair).collect();
        assert_eq!(pairs, [Some("b".into()), None]);
    }

    #[test]
    fn errors_name_file_line_and_field() {
        for (ending, file, want) in [
            ("jsonl", "{\"text\":\"a\"}\n{\"text\":", "x.jsonl: line 2: not JSON: "),
            ("jsonl", "[1]", "x.jsonl: line 1: a list is not a JSON object"),
            ("jsonl", "{\"b\":1}", "x.jsonl: line 1: no field `text`: it has b; name one"),
            ("jsonl", "{}", "x.jsonl: line 1: no field `text`: it has no fields"),
            ("jsonl", "{\"text\":3}", "x.jsonl: line 1: field `text` is a number, not a string"),
            (
                "jsonl",
                "{\"text\":\"a\",\"text_pair\":[]}",
                "x.jsonl: line 1: field `text_pair` is a list",
            ),
            ("csv", "a,b\n1,2\n", "x.csv: line 1: no column `text`: it has a, b; name one"),
            ("csv", "text,b\n1,2\n1\n", "x.csv: line 3: 1 field where the header has 2"),
            (
                "csv",
                "id;text\n1;a\n",
                "x.csv: line 1: no column `text`: it has id;text, separated by semi",
            ),
            (
                "tsv",
                "id,text\n1,a\n",
                "x.tsv: line 1: no column `text`: it has id,text, separated by comm",
            ),
            ("csv", "text\na\n\"b\nc\n", "x.csv: line 3: a quote is opened and never closed"),
            ("csv", "text,text\na,b\n", "x.csv: line 1: two columns are called `text`"),
            ("json", "[\n{\"b\":1}]", "x.json: line 2: no field `text`: it has b"),
            ("json", "[{\"text\":\"a\"}", "x.json: line 1: the list is not closed"),
            ("parquet.gz", "", "x.parquet.gz: a compressed parquet file"),
            ("docx", "", "x.docx: unknown file ending"),
        ] {
            let rows = read(ending, file, None);
            let error = rows.last().unwrap().as_ref().unwrap_err().to_string();
            assert!(error.starts_with(want), "{error}");
        }
    }
}
