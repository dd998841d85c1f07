//! The routes of Text Embeddings Inference: its fields, defaults, errors and headers.

use std::io::{self, Write};
use std::str::FromStr;
use std::sync::Arc;

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use super::accept::JSON;
use super::answer::{Answer, aside, of_json, parse, with_times};
use super::body::{Count, Items, Listed, Object, TokenId, Word, not_one_of, plain};
use super::inputs::{Inputs, held, named_prompt};
use super::stream::written;
use crate::capture::{Capture, Pool};
use crate::server::core::batcher::Client;
use crate::server::core::error::{Refusal, Why};
use crate::server::core::reading::{Cut, Input, Reading, known, some};
use crate::server::core::service::{Hosted, Service};
use crate::text::{Text, Tokens};

#[derive(Clone, Copy)]
enum Direction {
    Left,
    Right,
}

impl FromStr for Direction {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "left" | "Left" => Ok(Self::Left),
            "right" | "Right" => Ok(Self::Right),
            _ => Err(not_one_of(text, &["left", "right"])),
        }
    }
}

/// What all routes say of their texts. Fields that are not known are passed over, as in the original.
#[derive(Deserialize, Default)]
struct How {
    truncate: Option<bool>,
    truncation_direction: Option<Word<Direction>>,
    prompt_name: Option<String>,
    model: Option<String>,
}

impl How {
    fn reading(&self, service: &Service, model: &Hosted) -> Result<Reading, Refusal> {
        let cut = match self.truncate.unwrap_or(service.settings.auto_truncate) {
            false => Cut::Refuse,
            true => match self.truncation_direction.as_ref().map(|word| word.0) {
                None => Cut::Model,
                Some(Direction::Left) => Cut::Left,
                Some(Direction::Right) => Cut::Right,
            },
        };
        let prompt = self.prompt_name.as_deref();
        let prompt = prompt.map(|name| named_prompt(&model.batcher.encoder(), name)).transpose()?;
        Ok(Reading { prompt, max_tokens: None, cut })
    }
}

#[derive(Deserialize)]
struct EmbedBody {
    inputs: Items<Inputs>,
    normalize: Option<bool>,
    dimensions: Option<Count>,
    truncate: Option<bool>,
    truncation_direction: Option<Word<Direction>>,
    prompt_name: Option<String>,
    model: Option<String>,
}

impl EmbedBody {
    /// The texts, what of them, and how they are read.
    fn split(self) -> (Inputs, Capture, How) {
        let Self { truncate, truncation_direction, prompt_name, model, .. } = self;
        let normalize = Some(self.normalize.unwrap_or(true));
        let dims = self.dimensions.map(|n| n.0);
        let capture = Capture { normalize, dims, ..Capture::default() };
        (self.inputs.0, capture, How { truncate, truncation_direction, prompt_name, model })
    }
}

/// `POST /embed`
pub async fn embed(service: &Service, client: Client, body: Bytes) -> Result<Answer, Refusal> {
    let (inputs, capture, how) = parse::<EmbedBody>(body).await?.split();
    let model = service.model(how.model.as_deref())?;
    let capture = held(model, capture, "dimensions", "dimensions")?;
    let reading = how.reading(service, model)?;
    let inputs = non_empty(inputs, "inputs")?;
    let outcome = service.embed(client, model, inputs, reading, vec![capture], false).await?;
    let outcome = Arc::new(outcome);
    let shared = Arc::clone(&outcome);
    let write = move |out: &mut dyn Write| {
        let result = &shared.results[0];
        let rows: Vec<_> = (0..result.texts.len()).filter_map(|i| result.vector(i, 0, 0)).collect();
        Ok(serde_json::to_writer(out, &rows)?)
    };
    Ok(with_times(written(outcome.bytes(), JSON, write).await?, &outcome))
}

/// `POST /embed_all`
pub async fn embed_all(service: &Service, client: Client, body: Bytes) -> Result<Answer, Refusal> {
    let (inputs, _, how) = parse::<EmbedBody>(body).await?.split();
    let model = service.model(how.model.as_deref())?;
    let capture = Capture::default().pool(Pool::Tokens);
    let reading = how.reading(service, model)?;
    let inputs = non_empty(inputs, "inputs")?;
    let outcome = service.embed(client, model, inputs, reading, vec![capture], false).await?;
    let outcome = Arc::new(outcome);
    let shared = Arc::clone(&outcome);
    let write = move |out: &mut dyn Write| {
        let result = &shared.results[0];
        let rows = |i: usize| (0..result.texts[i].rows).filter_map(move |r| result.vector(i, 0, r));
        let texts: Vec<Vec<_>> = (0..result.texts.len()).map(|i| rows(i).collect()).collect();
        Ok(serde_json::to_writer(out, &texts)?)
    };
    Ok(with_times(written(outcome.bytes(), JSON, write).await?, &outcome))
}

/// Text Embeddings Inference refuses an empty text.
fn non_empty(inputs: Inputs, field: &str) -> Result<Vec<Input>, Refusal> {
    let inputs = some(inputs.into_vec(), field)?;
    let is_empty = |input: &Input| match input {
        Input::Text(text) => text.text.is_empty(),
        Input::Ids(ids) => ids.is_empty(),
    };
    match inputs.iter().position(is_empty) {
        Some(0) if inputs.len() == 1 => {
            Err(Refusal::new(Why::Empty, "the text is empty").at(field))
        }
        Some(i) => Err(Refusal::new(Why::Empty, "the text is empty").at(format!("{field}[{i}]"))),
        None => Ok(inputs),
    }
}

#[derive(Deserialize)]
struct SimilarityBody {
    inputs: Object<Sentences>,
    parameters: Option<Object<How>>,
}

#[derive(Deserialize)]
struct Sentences {
    source_sentence: String,
    sentences: Vec<String>,
}

/// `POST /similarity`
pub async fn similarity(service: &Service, client: Client, body: Bytes) -> Result<Answer, Refusal> {
    let body: SimilarityBody = parse(body).await?;
    let how = body.parameters.map_or_else(How::default, |object| object.0);
    let model = service.model(how.model.as_deref())?;
    let reading = how.reading(service, model)?;
    let Object(Sentences { source_sentence, sentences }) = body.inputs;
    let source = Inputs::Texts(vec![source_sentence]);
    let mut inputs = non_empty(source, "inputs.source_sentence")?;
    inputs.extend(non_empty(Inputs::Texts(sentences), "inputs.sentences")?);
    let capture = Capture::default().normalize(true);
    let outcome = service.embed(client, model, inputs, reading, vec![capture], false).await?;
    let result = &outcome.results[0];
    let source = result.vector(0, 0, 0).unwrap_or_default();
    let dot = |b: &[f32]| -> f32 {
        source.iter().zip(b).map(|(&a, &b)| f64::from(a) * f64::from(b)).sum::<f64>() as f32
    };
    let scores: Vec<f32> =
        (1..result.texts.len()).filter_map(|i| result.vector(i, 0, 0)).map(dot).collect();
    Ok(with_times(of_json(&scores), &outcome))
}

/// Texts as words alone.
struct Texts(Vec<String>);

impl Listed for Texts {
    const WANTED: &'static str = "a string or a list of strings";
    const ITEM: &'static str = "a string";
    const LISTS: bool = false;
    type Inner = ();

    fn none() -> Self {
        Self(Vec::new())
    }

    fn text(text: String) -> Option<Self> {
        Some(Self(vec![text]))
    }

    fn texts(texts: Vec<String>) -> Option<Self> {
        Some(Self(texts))
    }
}

#[derive(Deserialize)]
struct TokenizeBody {
    inputs: Items<Texts>,
    add_special_tokens: Option<bool>,
    prompt_name: Option<String>,
    model: Option<String>,
}

#[derive(Serialize)]
struct Token<'a> {
    id: u32,
    text: &'a str,
    special: bool,
    start: Option<u32>,
    stop: Option<u32>,
}

/// `POST /tokenize`
pub async fn tokenize(service: &Service, _: Client, body: Bytes) -> Result<Answer, Refusal> {
    let body: TokenizeBody = parse(body).await?;
    let encoder = service.model(body.model.as_deref())?.batcher.encoder();
    let prompt = body.prompt_name.as_deref().map(|n| named_prompt(&encoder, n)).transpose()?;
    let prompt = prompt.unwrap_or_default();
    let Items(Texts(texts)) = body.inputs;
    let specials = body.add_special_tokens.unwrap_or(true);
    if texts.len() > service.settings.max_client_batch {
        let most = service.settings.max_client_batch;
        return Err(Refusal::new(Why::TooLarge, format!("more than {most} texts")));
    }
    let bytes = texts.iter().map(String::len).sum();
    let one = move |text: &String| -> crate::Result<Shown> {
        let text = format!("{prompt}{text}");
        let tokens = encoder.intake().tokenizer().encode_whole(&Text::from(&text))?;
        Ok(Shown::new(text, tokens, specials))
    };
    if bytes <= WHOLE {
        let work = move || texts.iter().map(one).collect::<crate::Result<Vec<_>>>();
        let all = aside(bytes, work).await??;
        return written(bytes, JSON, move |out| Ok(serde_json::to_writer(out, &all)?)).await;
    }
    // A text at a time, so that the tokens of one alone are in memory.
    let write = move |out: &mut dyn Write| {
        for (i, text) in texts.into_iter().enumerate() {
            out.write_all(if i == 0 { b"[" } else { b"," })?;
            let tokens = one(&text).map_err(io::Error::other)?;
            drop(text);
            serde_json::to_writer(&mut *out, &tokens)?;
        }
        out.write_all(b"]")
    };
    written(bytes, JSON, write).await
}

/// Bytes of texts whose tokens are all made before the first is sent.
const WHOLE: usize = 64 << 10;

/// The tokens of a text, each made as it is told; special ones where `specials` says so.
struct Shown {
    text: String,
    /// Where each character begins, and where the last one ends.
    starts: Vec<u32>,
    tokens: Tokens,
    specials: bool,
}

impl Shown {
    fn new(text: String, tokens: Tokens, specials: bool) -> Self {
        let mut starts: Vec<u32> = text.char_indices().map(|(at, _)| at as u32).collect();
        starts.push(text.len() as u32);
        Self { text, starts, tokens, specials }
    }

    fn token(&self, i: usize) -> Token<'_> {
        let ([start, stop], special) = (self.tokens.spans[i], self.tokens.special[i]);
        let at = |place: u32| self.starts.get(place as usize).map(|&at| at as usize);
        let slice = || self.text.get(at(start)?..at(stop)?);
        let text = match special {
            true => None,
            false => slice(),
        };
        let place = |at| (!special).then_some(at);
        Token {
            id: self.tokens.ids[i],
            text: text.unwrap_or(&self.tokens.pieces[i]),
            special,
            start: place(start),
            stop: place(stop),
        }
    }
}

impl Serialize for Shown {
    fn serialize<S: serde::Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        let shown = (0..self.tokens.len()).filter(|&i| self.specials || !self.tokens.special[i]);
        to.collect_seq(shown.map(|i| self.token(i)))
    }
}

/// Ids of texts.
struct Ids(Vec<Vec<TokenId>>);

impl Listed for Ids {
    const WANTED: &'static str = "a list of token ids, or a list of such lists";
    const ITEM: &'static str = "a token id or a list of token ids";
    type Inner = Vec<TokenId>;

    fn none() -> Self {
        Self(vec![Vec::new()])
    }

    fn ids(ids: Vec<TokenId>) -> Option<Self> {
        Some(Self(vec![ids]))
    }

    fn lists(lists: Vec<Vec<TokenId>>) -> Option<Self> {
        Some(Self(lists))
    }
}

#[derive(Deserialize)]
struct DecodeBody {
    ids: Items<Ids>,
    skip_special_tokens: Option<bool>,
    model: Option<String>,
}

/// `POST /decode`
pub async fn decode(service: &Service, _: Client, body: Bytes) -> Result<Answer, Refusal> {
    let body: DecodeBody = parse(body).await?;
    let encoder = service.model(body.model.as_deref())?.batcher.encoder();
    let Items(Ids(all)) = body.ids;
    let all: Vec<Vec<u32>> = all.into_iter().map(plain).collect();
    let size = encoder.intake().tokenizer().vocab_size();
    all.iter().try_for_each(|ids| known(ids, size)).map_err(|r| r.at("ids"))?;
    let skip = body.skip_special_tokens.unwrap_or(true);
    let bytes = all.iter().map(Vec::len).sum();
    let work = move || {
        let decode = |ids: &Vec<u32>| encoder.intake().tokenizer().decode(ids, skip);
        all.iter().map(decode).collect::<crate::Result<Vec<_>>>()
    };
    let texts = aside(bytes, work).await??;
    written(bytes, JSON, move |out| Ok(serde_json::to_writer(out, &texts)?)).await
}

/// The routes of models with another head than an embedding's.
pub fn other_head(path: &str) -> Refusal {
    let said = format!("{path} is not for an embedding model: use /embed or /v1/layers");
    Refusal::new(Why::Backend, said)
}
