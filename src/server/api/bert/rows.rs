//! Texts, or lists of tokens, to the rows that the original would feed its graph.

use super::{Config, Strategy};
use crate::encoder::{Encoder, PreparedText};
use crate::server::api::body::{List, Listed};
use crate::server::core::error::{ApiError, ErrorCode};
use crate::server::core::reading::frame;
use crate::text::{Text, Tokens};

/// Tokens of a text with their ids.
type Pieces = Vec<(u32, String)>;

/// Tokens of a text: how many it has, and the first of them.
struct Own {
    found: usize,
    kept: Pieces,
}

/// The texts of a request: all strings, or all lists of tokens.
#[derive(Debug, Clone)]
pub enum Sequences {
    /// To be tokenised.
    Texts(Vec<String>),
    /// Tokenised by the client.
    Tokens(Vec<Vec<String>>),
}

impl Listed for Sequences {
    const WANTED: &'static str = "a list of strings, or a list of lists of tokens";
    const ITEM: &'static str = "a string or a list of tokens";
    type Inner = List<String>;

    fn none() -> Self {
        Self::Texts(Vec::new())
    }

    fn texts(texts: Vec<String>) -> Option<Self> {
        Some(Self::Texts(texts))
    }

    fn lists(lists: Vec<List<String>>) -> Option<Self> {
        Some(Self::Tokens(lists.into_iter().map(|list| list.0).collect()))
    }
}

impl Sequences {
    /// How many.
    pub fn len(&self) -> usize {
        match self {
            Self::Texts(t) => t.len(),
            Self::Tokens(t) => t.len(),
        }
    }

    /// Tokens that they come to at most, where each has `limit` at most.
    pub fn most_tokens(&self, limit: usize) -> usize {
        match self {
            Self::Texts(t) => t.iter().map(|text| (text.len() + 3).min(limit)).sum(),
            Self::Tokens(t) => t.iter().map(|list| (list.len() + 3).min(limit)).sum(),
        }
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// A sequence on its way.
pub struct SequenceRow {
    pub ready: PreparedText,
    pub pieces: Vec<String>,
    /// Places of the rows that come back, and the length with what is masked.
    pub places: Vec<usize>,
}

/// The rows of a request.
pub fn rows(
    encoder: &Encoder,
    config: &Config,
    sequences: Sequences,
) -> Result<Vec<SequenceRow>, ApiError> {
    let tokenizer = encoder.preprocessor().tokenizer();
    let (before, after) = frame(encoder)?;
    let limit = config.max_seq_len.unwrap_or(encoder.spec().positions);
    // No more of a text is kept than one that stands alone has, of which `assemble` cuts.
    let most = limit.saturating_add(tokenizer.special_tokens(false));
    let own = |text: &str| -> Result<Own, ApiError> {
        let t = tokenizer.encode_first(&Text::from(text), most)?;
        let found = t.special.iter().filter(|special| !**special).count() + t.lost;
        let all = t.ids.into_iter().zip(t.pieces.iter().map(str::to_owned)).zip(t.special);
        let own = all.filter(|(_, special)| !special).map(|(token, _)| token).collect();
        Ok(Own { found, kept: own })
    };
    let unknown = ["[UNK]", "<unk>"].iter().find_map(|p| Some((tokenizer.id_of(p)?, *p)));
    let known = |piece: &String| match (tokenizer.id_of(piece), unknown) {
        (Some(id), _) => Ok((id, piece.clone())),
        (None, Some((id, piece))) => Ok((id, piece.to_owned())),
        (None, None) => {
            Err(ApiError::new(ErrorCode::Tokenizer, "the vocabulary has no unknown token"))
        }
    };
    let row = |first: Own, second: Option<Own>, bare: bool| {
        assemble(encoder, config, (first, second), (&before, &after), limit, bare)
    };
    match sequences {
        Sequences::Texts(texts) => texts
            .iter()
            .map(|text| {
                let text = text.trim();
                // `^(.*) \|\|\| (.*)$`: the last one, and only on one line.
                let pair = text.rsplit_once(" ||| ").filter(|_| !text.contains('\n'));
                match pair {
                    Some((a, b)) => row(own(a)?, Some(own(b)?), false),
                    None => row(own(text)?, None, false),
                }
            })
            .collect(),
        Sequences::Tokens(lists) => lists
            .iter()
            .map(|list| {
                let bare = config.no_special_token;
                let all = |part: &[String]| {
                    let kept = part.iter().map(known).collect::<Result<Vec<_>, _>>()?;
                    Ok::<_, ApiError>(Own { found: kept.len(), kept })
                };
                match list.iter().position(|piece| piece == "|||") {
                    Some(at) => row(all(&list[..at])?, Some(all(&list[at + 1..])?), bare),
                    None => row(all(list)?, None, bare),
                }
            })
            .collect(),
    }
}

/// `[CLS] a [SEP]` or `[CLS] a [SEP] b [SEP]`, cut to `limit`.
fn assemble(
    encoder: &Encoder,
    config: &Config,
    (first, second): (Own, Option<Own>),
    (before, after): (&[u32], &[u32]),
    limit: usize,
    bare: bool,
) -> Result<SequenceRow, ApiError> {
    let found = first.found + second.as_ref().map_or(0, |second| second.found);
    let (mut a, mut b) = (first.kept, second.map(|second| second.kept));
    // An empty second text is none, as in Python.
    if b.as_ref().is_some_and(Vec::is_empty) {
        b = None;
    }
    match &mut b {
        Some(b) => {
            let room = limit.saturating_sub(3);
            while a.len() + b.len() > room {
                if a.len() > b.len() {
                    a.pop()
                } else {
                    b.pop()
                };
            }
        }
        None => a.truncate(limit.saturating_sub(2)),
    }
    let lost = found - a.len() - b.as_ref().map_or(0, Vec::len);
    // Truncation to nothing, it is none either.
    b = b.filter(|b| !b.is_empty());
    let tokenizer = encoder.preprocessor().tokenizer();
    let mut all: Vec<(u32, String, u32, bool)> = Vec::new();
    let special = |ids: &[u32], kind: u32| -> Vec<(u32, String, u32, bool)> {
        let one = |&id: &u32| (id, tokenizer.piece_of(id).unwrap_or_default(), kind, true);
        if bare { Vec::new() } else { ids.iter().map(one).collect() }
    };
    let own = |tokens: Vec<(u32, String)>, kind: u32| {
        tokens.into_iter().map(move |(id, piece)| (id, piece, kind, false))
    };
    all.extend(special(before, 0));
    all.extend(own(a, 0));
    all.extend(special(after, 0));
    if let Some(b) = b {
        all.extend(own(b, 1));
        all.extend(special(after, 1));
    }
    if all.is_empty() {
        return Err(ApiError::new(ErrorCode::Empty, "a sequence has no tokens"));
    }
    encoder.preprocessor().check_ids(&all.iter().map(|t| t.0).collect::<Vec<_>>())?;
    let pieces = all.iter().map(|t| t.1.clone()).collect();
    let is_masked = |place: &usize| config.mask_cls_sep && all[*place].3;
    let (places, hidden) = shown(config.strategy, config.mask_cls_sep, all.len(), is_masked)?;
    let kept: Vec<_> = places.iter().map(|&place| &all[place]).collect();
    let tokens = Tokens {
        ids: kept.iter().map(|t| t.0).collect(),
        types: kept.iter().map(|t| t.2).collect(),
        pieces: kept.iter().map(|t| &t.1).collect(),
        spans: vec![[0, 0]; kept.len()],
        words: vec![None; kept.len()],
        special: kept.iter().map(|t| t.3).collect(),
        second: kept.iter().map(|t| t.2 == 1).collect(),
        lost,
    };
    let positions = config.mask_cls_sep.then(|| places.iter().map(|&p| p as u32).collect());
    let ready = PreparedText { tokens, positions, hidden, ..PreparedText::default() };
    Ok(SequenceRow { ready, pieces, places })
}

/// The places that are run, and how many at their end nobody looks at.
///
/// The original's mask is that of attention's keys too: what it hides takes no part, and the others
/// keep their positions. A hidden token that a pooling reads still looks at the others. The token
/// that is read goes to the end, which changes nothing where positions are in a table.
fn shown(
    strategy: Strategy,
    masks: bool,
    length: usize,
    is_masked: impl Fn(&usize) -> bool,
) -> Result<(Vec<usize>, usize), ApiError> {
    let mut places: Vec<usize> = (0..length).filter(|place| !is_masked(place)).collect();
    let read = match strategy {
        _ if !masks => None,
        Strategy::FirstToken | Strategy::ClsPooled => Some(0),
        // `graph.py`: the sum of the mask, less one, is taken for a place.
        Strategy::LastToken => Some(places.len().saturating_sub(1)),
        _ => None,
    };
    let Some(read) = read else { return Ok((places, 0)) };
    if places.is_empty() {
        let said = "-mask_cls_sep leaves no token of a sequence that has none of its own";
        return Err(ApiError::new(ErrorCode::Empty, said));
    }
    if is_masked(&read) {
        places.push(read);
        return Ok((places, 1));
    }
    // The pooler reads the first row, and that is where its token is.
    if strategy != Strategy::ClsPooled {
        places.retain(|&place| place != read);
        places.push(read);
    }
    Ok((places, 0))
}
