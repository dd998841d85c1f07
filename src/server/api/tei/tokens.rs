//! `/tokenize` and `/decode`: no model is run, and what they answer is counted as its results are.

use std::io::{self, Write};
use std::sync::Arc;

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use tokio::runtime::Handle;

use crate::encoder::Encoder;
use crate::server::api::accept::JSON;
use crate::server::api::answer::{Answer, aside, parse};
use crate::server::api::body::{Items, Listed, TokenId, plain};
use crate::server::api::inputs::named_prompt;
use crate::server::api::stream::written;
use crate::server::core::bodies::{Caller, shrink};
use crate::server::core::error::{ApiError, ErrorCode};
use crate::server::core::reading::known;
use crate::server::core::service::{SHORT, Service};
use crate::text::{Text, Tokens};

/// Texts as words alone.
struct TextList(Vec<String>);

impl Listed for TextList {
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
    inputs: Items<TextList>,
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

/// Bytes that the tokens of a text take for each byte of it, where each is one: their lists, the
/// text, and where its characters begin.
const BYTE: usize = 56;

/// What makes the tokens of texts.
struct Maker {
    encoder: Arc<Encoder>,
    prompt: String,
    specials: bool,
}

impl Maker {
    /// Bytes that the tokens of `text` take at most.
    fn most(&self, text: &str) -> usize {
        (self.prompt.len() + text.len()).saturating_mul(BYTE)
    }

    fn make(&self, text: &str) -> crate::Result<Shown> {
        let text = format!("{}{text}", self.prompt);
        let tokens = self.encoder.preprocessor().tokenizer().encode_whole(&Text::from(&text))?;
        Ok(Shown::new(text, tokens, self.specials))
    }
}

/// `POST /tokenize`, a text at a time, so that the tokens of one alone are in memory.
pub async fn tokenize(service: &Service, caller: Caller, body: Bytes) -> Result<Answer, ApiError> {
    let body: TokenizeBody = parse(body).await?;
    let encoder = service.model(body.model.as_deref())?.batcher.encoder();
    let prompt = body.prompt_name.as_deref().map(|n| named_prompt(&encoder, n)).transpose()?;
    let prompt = prompt.unwrap_or_default();
    let specials = body.add_special_tokens.unwrap_or(true);
    let maker = Arc::new(Maker { encoder, prompt, specials });
    let Items(TextList(texts)) = body.inputs;
    if texts.len() > service.settings.max_client_batch {
        let most = service.settings.max_client_batch;
        return Err(ApiError::new(ErrorCode::TooLarge, format!("more than {most} texts")));
    }
    let bytes: usize = texts.iter().map(String::len).sum();
    let is_short = bytes < SHORT;
    let turn = if is_short { None } else { Some(service.turn().await?) };
    let most = texts.iter().map(|text| maker.most(text)).max().unwrap_or(0);
    let mut room = service.results.expect(most)?;
    let (mut texts, mut held_body) = (texts.into_iter(), caller.room);
    // The first is made before the answer begins, which has its status.
    let mut next = match texts.next() {
        None => None,
        Some(text) => {
            let maker = Arc::clone(&maker);
            let work = move || {
                let _turn = turn;
                maker.make(&text)
            };
            Some(aside(if is_short { 0 } else { usize::MAX }, work).await??)
        }
    };
    let held = next.as_ref().map_or(0, Shown::bytes);
    if held > most {
        service.results.resize(&mut room, held)?;
    }
    let (turns, runtime) = (service.turns(), Handle::current());
    let write = move |out: &mut dyn Write| {
        out.write_all(b"[")?;
        while let Some(tokens) = next.take() {
            if texts.as_slice().is_empty() {
                drop(held_body.take());
            }
            let most = texts.as_slice().iter().map(|text| maker.most(text)).max();
            shrink(&mut room, most.unwrap_or(0).max(tokens.bytes()));
            serde_json::to_writer(&mut *out, &tokens)?;
            drop(tokens);
            if let Some(text) = texts.next() {
                out.write_all(b",")?;
                let wait = || runtime.block_on(Arc::clone(&turns).acquire_owned());
                let _turn = (!is_short).then(wait).transpose().map_err(io::Error::other)?;
                next = Some(maker.make(&text).map_err(io::Error::other)?);
            }
        }
        out.write_all(b"]")
    };
    written(if is_short { bytes } else { usize::MAX }, JSON, write).await
}

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

    /// What it takes.
    fn bytes(&self) -> usize {
        self.text.len() + 4 * self.starts.len() + self.tokens.len() * (BYTE - 5)
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

/// Bytes that the text of a token takes, where it is read and where it is put together.
const SPELT: usize = 32;

/// `POST /decode`
pub async fn decode(service: &Service, caller: Caller, body: Bytes) -> Result<Answer, ApiError> {
    let body: DecodeBody = parse(body).await?;
    let encoder = service.model(body.model.as_deref())?.batcher.encoder();
    let Items(Ids(all)) = body.ids;
    let all: Vec<Vec<u32>> = all.into_iter().map(plain).collect();
    let size = encoder.preprocessor().tokenizer().vocab_size();
    all.iter().try_for_each(|ids| known(ids, size)).map_err(|r| r.at("ids"))?;
    let skip = body.skip_special_tokens.unwrap_or(true);
    let count = all.iter().map(Vec::len).sum::<usize>();
    let turn = if count < SHORT { None } else { Some(service.turn().await?) };
    let mut room = service.results.expect(count.saturating_mul(SPELT))?;
    let work = move || {
        let _held = (turn, caller);
        let decode = |ids: Vec<u32>| encoder.preprocessor().tokenizer().decode(&ids, skip);
        all.into_iter().map(decode).collect::<crate::Result<Vec<_>>>()
    };
    let texts = aside(if count < SHORT { 0 } else { usize::MAX }, work).await??;
    let bytes = texts.iter().map(|text| text.len() + size_of::<String>()).sum();
    service.results.resize(&mut room, bytes)?;
    let write = move |out: &mut dyn Write| {
        let _room = room;
        Ok(serde_json::to_writer(out, &texts)?)
    };
    written(bytes, JSON, write).await
}
