//! The forms a file of texts may have, by the ending of its name: lines, JSON lines, tables.

use std::io::BufRead;
use std::path::Path;

use everylayer::{Error, ErrorKind, Result, Text};
use serde_json::{Map, Value};

use super::bad::{Bad, wrong};
use super::lines::{Lines, not_utf8};
use super::{Item, Rows};

/// The field or column of the text where none is named.
pub const FIELD: &str = "text";
/// The field of the second text of a pair.
const PAIR: &str = "text_pair";

/// How texts lie in a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// A text a line.
    Lines,
    /// A JSON object a line, the text in one of its fields.
    Json,
    /// A table with a header row, the text in one of its columns; fields are parted by this byte.
    Table(u8),
    /// Columns, the text in one of them.
    Parquet,
}

impl Form {
    /// The form of the file `path`.
    pub fn of(path: &Path) -> Result<Self> {
        let ending = path.extension().and_then(|ending| ending.to_str()).unwrap_or_default();
        let name = path.display();
        Ok(match ending.to_ascii_lowercase().as_str() {
            "txt" => Self::Lines,
            "jsonl" => Self::Json,
            "csv" => Self::Table(b','),
            "tsv" => Self::Table(b'\t'),
            "parquet" => Self::Parquet,
            _ => {
                let said = format!(
                    "{name}: its ending does not say what is in it: use .txt, .jsonl, .csv, \
                     .tsv or .parquet, or `-` to pipe lines in"
                );
                return Err(Error::new(ErrorKind::Usage, said));
            }
        })
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
                Ok(Box::new(lines.map(|l| l.map(|(line, t)| Item::new(t, line)))))
            }
            Self::Json => {
                let lines = Lines::new(reader, &name);
                let filled = lines.filter(|l| !matches!(l, Ok((_, l)) if l.trim().is_empty()));
                Ok(Box::new(filled.map(move |l| {
                    let (line, json) = l?;
                    match object(&json, &field, &keep) {
                        Ok((text, kept)) => Ok(Item { text, line, row: 0, kept }),
                        Err(e) => {
                            Err(Bad::row(e.at(format_args!("{name}: line {line}")), Some(json)))
                        }
                    }
                })))
            }
            Self::Table(delimiter) => table(reader, delimiter, name, &field, &keep),
            Self::Parquet => {
                let said = format!("{name}: parquet must be a file that can be sought in");
                Err(Error::new(ErrorKind::Usage, said))
            }
        }
    }
}

/// The text, or pair, of one JSON object, and the values of the fields in `keep`.
fn object(json: &str, field: &str, keep: &[String]) -> Result<(Text<'static>, Vec<Value>)> {
    let bad = wrong;
    let fields: Map<String, Value> = match serde_json::from_str(json) {
        Ok(Value::Object(fields)) => fields,
        Ok(other) => return Err(bad(format!("{} is no JSON object", kind(&other)))),
        Err(e) => {
            let said = e.to_string();
            let said = said.split(" at line ").next().unwrap_or_default();
            return Err(bad(format!("not JSON: {said} at column {}", e.column())).with_source(e));
        }
    };
    let string = |field: &str, value: &Value| match value {
        Value::String(text) => Ok(text.clone()),
        other => Err(bad(format!("field `{field}` is {}, not a string", kind(other)))),
    };
    let Some(text) = fields.get(field) else {
        let known = fields.keys().map(String::as_str).collect::<Vec<_>>().join(", ");
        let known = if known.is_empty() { "no field at all".to_owned() } else { known };
        return Err(bad(format!("no field `{field}`: it has {known}; name one with --field")));
    };
    let text = string(field, text)?;
    let kept = keep.iter().map(|name| fields.get(name).cloned().unwrap_or_default()).collect();
    match fields.get(PAIR).filter(|pair| !pair.is_null() && field != PAIR) {
        Some(pair) => Ok(((text, string(PAIR, pair)?).into(), kept)),
        None => Ok((text.into(), kept)),
    }
}

fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "true or false",
        Value::Number(_) => "a number",
        Value::String(_) => "a string",
        Value::Array(_) => "a list",
        Value::Object(_) => "an object",
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
    let mut table = csv::ReaderBuilder::new().delimiter(delimiter).from_reader(reader);
    let header = table.byte_headers().map_err(|e| table_error(&name, 0, e))?.clone();
    // Of `\r\n` the reader leaves the second to the next row, which then seems a line higher.
    let lag = u64::from(table.position().line() == 1);
    if header.is_empty() {
        return Ok(Box::new(std::iter::empty()));
    }
    let find = |field: &str, option: &str| {
        header.iter().position(|column| column == field.as_bytes()).ok_or_else(|| {
            let known: Vec<_> = header.iter().map(String::from_utf8_lossy).collect();
            let known = known.join(", ");
            wrong(format!(
                "{name}: line 1: no column `{field}`: it has {known}; name one with {option}"
            ))
        })
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
        let kept = keep.iter().map(|&column| cell(column).map(Value::String));
        let item = kept
            .collect::<Result<Vec<_>, _>>()
            .and_then(|kept| Ok(Item { text: cell(column)?.into(), line, row: 0, kept }));
        Some(item)
    })))
}

fn line_of(position: Option<&csv::Position>) -> u64 {
    position.map_or(0, csv::Position::line)
}

fn table_error(name: &str, lag: u64, e: csv::Error) -> Error {
    let kind = if e.is_io_error() { ErrorKind::Io } else { ErrorKind::Text };
    let said = match e.kind() {
        csv::ErrorKind::UnequalLengths { pos, expected_len, len } => format!(
            "{name}: line {}: {len} fields where the header has {expected_len}: quote what holds a \
             delimiter",
            line_of(pos.as_ref()) + lag
        ),
        csv::ErrorKind::Io(e) => format!("{name}: {e}"),
        _ => format!("{name}: {e}"),
    };
    Error::new(kind, said).with_source(e)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(ending: &str, file: &'static str, field: Option<&str>) -> Vec<Result<Item, Bad>> {
        let name = format!("x.{ending}");
        match Form::of(Path::new(&name))
            .and_then(|f| f.rows(file.as_bytes(), &name, field.unwrap_or(FIELD), &[]))
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
            ("jsonl", "[1]", "x.jsonl: line 1: a list is no JSON object"),
            ("jsonl", "{\"b\":1}", "x.jsonl: line 1: no field `text`: it has b; name one"),
            ("jsonl", "{}", "x.jsonl: line 1: no field `text`: it has no field at all"),
            ("jsonl", "{\"text\":3}", "x.jsonl: line 1: field `text` is a number, not a string"),
            (
                "jsonl",
                "{\"text\":\"a\",\"text_pair\":[]}",
                "x.jsonl: line 1: field `text_pair` is a list",
            ),
            ("csv", "a,b\n1,2\n", "x.csv: line 1: no column `text`: it has a, b; name one"),
            ("csv", "text,b\n1,2\n1\n", "x.csv: line 3: 1 fields where the header has 2"),
            ("docx", "", "x.docx: its ending does not say"),
        ] {
            let rows = read(ending, file, None);
            let error = rows.last().unwrap().as_ref().unwrap_err().to_string();
            assert!(error.starts_with(want), "{error}");
        }
    }
}
