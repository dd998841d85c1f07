//! Several results as one Arrow IPC stream: a row a text with `index`, `text_tokens`, `tokens_lost`,
//! and the `vectors` of each result under its name, as in `NAME.vectors`, beside `NAME.tokens` or
//! `NAME.words` where those are its rows. The texts' own `tokens` and `words` have no name before them.

use std::collections::HashMap;
use std::sync::Arc;

use arrow_array::{Array, RecordBatch};
use arrow_ipc::writer::StreamWriter;
use arrow_schema::{ArrowError, Field, Schema};

use super::columns::{table, tokens, unfit, words};
use crate::embeddings::{Embeddings, TokenInfo, WordInfo};
use crate::error::{Error, Result, fail};

/// What is told of the texts beside their vectors, where it is: their tokens, their words.
#[derive(Debug, Clone, Copy, Default)]
pub struct TextDetails<'a> {
    /// A list a text.
    pub tokens: Option<&'a [Vec<TokenInfo>]>,
    /// A list a text.
    pub words: Option<&'a [Vec<WordInfo>]>,
}

/// Writes `results`, one a name, of the same texts; a single one without a name has plain columns.
///
/// # Errors
///
/// `Usage` where the results are not of the same texts.
pub fn stream(
    names: &[Option<&str>],
    results: &[Embeddings],
    texts: TextDetails<'_>,
) -> Result<Vec<u8>> {
    let (mut fields, mut columns, mut about) = (Vec::new(), Vec::new(), HashMap::new());
    for (name, result) in names.iter().zip(results) {
        let named = |column: &str| match name {
            Some(name) => format!("{name}.{column}"),
            None => column.to_owned(),
        };
        let own = table(result)?;
        for (field, array) in own.schema().fields().iter().zip(own.columns()) {
            let is_shared =
                matches!(field.name().as_str(), "index" | "text_tokens" | "tokens_lost");
            if !is_shared {
                fields.push(field.as_ref().clone().with_name(named(field.name())));
                columns.push(Arc::clone(array));
            } else if columns.len() < 3 {
                fields.push(field.as_ref().clone());
                columns.push(Arc::clone(array));
            }
        }
        let layers: Vec<String> = result.layers.iter().map(usize::to_string).collect();
        about.insert("model".to_owned(), result.model.clone());
        about.insert("device".to_owned(), result.device.clone());
        about.insert("version".to_owned(), env!("CARGO_PKG_VERSION").to_owned());
        about.insert(named("layers"), layers.join(","));
        about.insert(named("combine"), result.combine.to_string());
        about.insert(named("pool"), result.pool.to_string());
        about.extend(result.site_fields().words().map(|(field, word)| (named(field), word)));
    }
    let lists = [
        ("tokens", texts.tokens.map(|all| tokens(all.iter().map(Vec::as_slice)))),
        ("words", texts.words.map(|all| words(all.iter().map(Vec::as_slice)))),
    ];
    for (name, list) in lists {
        // A single result whose rows are tokens has them already.
        let is_new = !fields.iter().any(|field: &Field| field.name() == name);
        if let Some(list) = list.filter(|_| is_new).transpose()? {
            fields.push(Field::new(name, list.data_type().clone(), false));
            columns.push(list);
        }
    }
    let schema = Arc::new(Schema::new_with_metadata(fields, about));
    let batch = RecordBatch::try_new(Arc::clone(&schema), columns).map_err(unfit)?;
    let mut writer = StreamWriter::try_new(Vec::new(), &schema).map_err(broken)?;
    writer.write(&batch).and_then(|()| writer.finish()).map_err(broken)?;
    writer.into_inner().map_err(broken)
}

fn broken(source: ArrowError) -> Error {
    fail!(Io, "the results could not be written: {source}").with_source(source)
}
