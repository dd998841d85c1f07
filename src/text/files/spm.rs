//! A SentencePiece model: what is read of its file, a protobuf of `sentencepiece_model.proto`.
//!
//! Only what Transformers' conversions use: pieces, the trainer's model type and unknown piece, and
//! the normalizer's compiled map. Every other field is stepped over.

use crate::error::{Result, fail};

/// The largest model that is read: those of 250,000 pieces have 5 MB.
pub(super) const MAX_BYTES: u64 = 64 << 20;
/// More pieces than any vocabulary has.
const MAX_PIECES: usize = 1 << 22;
/// The longest piece, in bytes: the crate `tokenizers` keeps a node a byte and drops them by recursion.
pub(crate) const MAX_PIECE: usize = 1024;

/// A model as its file has it.
#[derive(Debug, Default)]
pub(super) struct Model {
    pub(super) pieces: Vec<Piece>,
    pub(super) trainer: Trainer,
    /// `precompiled_charsmap`, empty where the model normalizes nothing.
    pub(super) charsmap: Vec<u8>,
}

/// A piece; its id is its place in the list.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Piece {
    pub(super) text: String,
    pub(super) score: f32,
    pub(super) kind: Kind,
}

/// What a piece is for, as far as a conversion asks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// Normal, unknown, unused or a byte.
    Plain,
    /// `CONTROL`: a special token.
    Control,
    /// `USER_DEFINED`: a token that is never split.
    User,
}

/// What is read of `trainer_spec`.
#[derive(Debug)]
pub(super) struct Trainer {
    /// 1 Unigram, 2 BPE, 3 words, 4 characters.
    pub(super) model_type: u64,
    pub(super) byte_fallback: bool,
    pub(super) unk_id: i32,
    pub(super) bos_id: i32,
    pub(super) eos_id: i32,
    pub(super) unk_piece: String,
    pub(super) bos_piece: String,
    pub(super) eos_piece: String,
}

impl Default for Trainer {
    /// The defaults of the `.proto`.
    fn default() -> Self {
        Self {
            model_type: 1,
            byte_fallback: false,
            unk_id: 0,
            bos_id: 1,
            eos_id: 2,
            unk_piece: "<unk>".into(),
            bos_piece: "<s>".into(),
            eos_piece: "</s>".into(),
        }
    }
}

impl Model {
    /// Reads `bytes`; `place` is the file that an error names.
    ///
    /// # Errors
    ///
    /// `Checkpoint` for what is no SentencePiece model.
    pub(super) fn read(bytes: &[u8], place: &str) -> Result<Self> {
        let model = read(bytes).map_err(|said| {
            fail!(Checkpoint, "{place}: it is not a SentencePiece model: {said}")
        })?;
        if model.pieces.is_empty() {
            return Err(fail!(
                Checkpoint,
                "{place}: it is not a SentencePiece model: it has no pieces"
            ));
        }
        Ok(model)
    }
}

type Parsed<T> = std::result::Result<T, String>;

fn read(bytes: &[u8]) -> Parsed<Model> {
    let mut model = Model::default();
    let mut fields = MessageFields::new(bytes);
    while let Some((number, value)) = fields.next()? {
        match (number, value) {
            (1, Value::Bytes(piece)) => {
                let at = model.pieces.len();
                if at == MAX_PIECES {
                    return Err(format!("it has more than {MAX_PIECES} pieces"));
                }
                model.pieces.push(read_piece(piece).map_err(|e| format!("piece {at}: {e}"))?);
            }
            (2, Value::Bytes(trainer)) => read_trainer(trainer, &mut model.trainer)
                .map_err(|e| format!("trainer_spec: {e}"))?,
            (3, Value::Bytes(spec)) => {
                read_charsmap(spec, &mut model.charsmap)
                    .map_err(|e| format!("normalizer_spec: {e}"))?;
            }
            (1..=3, _) => return Err(format!("field {number} is no message")),
            _ => {}
        }
    }
    Ok(model)
}

fn read_piece(bytes: &[u8]) -> Parsed<Piece> {
    let mut piece = Piece { text: String::new(), score: 0.0, kind: Kind::Plain };
    let mut fields = MessageFields::new(bytes);
    while let Some(field) = fields.next()? {
        match field {
            (1, Value::Bytes(text)) if text.len() > MAX_PIECE => {
                return Err(format!("it has {} bytes, at most {MAX_PIECE} are read", text.len()));
            }
            (1, Value::Bytes(text)) => piece.text = string(text)?,
            (2, Value::Four(score)) => piece.score = f32::from_bits(score),
            (3, Value::Number(3)) => piece.kind = Kind::Control,
            (3, Value::Number(4)) => piece.kind = Kind::User,
            (3, Value::Number(_)) => piece.kind = Kind::Plain,
            (number @ 1..=3, _) => return Err(format!("field {number} is of another type")),
            _ => {}
        }
    }
    match piece.score.is_finite() {
        true => Ok(piece),
        false => Err(format!("its score is {}", piece.score)),
    }
}

fn read_trainer(bytes: &[u8], trainer: &mut Trainer) -> Parsed<()> {
    let mut fields = MessageFields::new(bytes);
    while let Some(field) = fields.next()? {
        match field {
            (3, Value::Number(kind)) => trainer.model_type = kind,
            (35, Value::Number(flag)) => trainer.byte_fallback = flag != 0,
            (40, Value::Number(id)) => trainer.unk_id = int32(id),
            (41, Value::Number(id)) => trainer.bos_id = int32(id),
            (42, Value::Number(id)) => trainer.eos_id = int32(id),
            (45, Value::Bytes(piece)) => trainer.unk_piece = string(piece)?,
            (46, Value::Bytes(piece)) => trainer.bos_piece = string(piece)?,
            (47, Value::Bytes(piece)) => trainer.eos_piece = string(piece)?,
            (number @ (3 | 35 | 40..=42 | 45..=47), _) => {
                return Err(format!("field {number} is of another type"));
            }
            _ => {}
        }
    }
    Ok(())
}

fn read_charsmap(bytes: &[u8], charsmap: &mut Vec<u8>) -> Parsed<()> {
    let mut fields = MessageFields::new(bytes);
    while let Some(field) = fields.next()? {
        match field {
            (2, Value::Bytes(map)) => *charsmap = map.to_vec(),
            (2, _) => return Err("field 2 is of another type".into()),
            _ => {}
        }
    }
    Ok(())
}

fn string(bytes: &[u8]) -> Parsed<String> {
    std::str::from_utf8(bytes).map(str::to_owned).map_err(|_| "it is not valid UTF-8".into())
}

/// The lower half, as protobuf reads an `int32`.
fn int32(value: u64) -> i32 {
    value as u32 as i32
}

/// A value of the wire format.
enum Value<'a> {
    Number(u64),
    Four(u32),
    Bytes(&'a [u8]),
    /// Eight bytes: no field that is read has this type.
    Eight,
}

/// The fields of a message, in the order of the file.
struct MessageFields<'a> {
    rest: &'a [u8],
    size: usize,
}

impl<'a> MessageFields<'a> {
    fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes, size: bytes.len() }
    }

    /// Number and value of the next field; `None` at the end.
    fn next(&mut self) -> Parsed<Option<(u64, Value<'a>)>> {
        if self.rest.is_empty() {
            return Ok(None);
        }
        let at = self.size - self.rest.len();
        let tag = self.number()?;
        let value = match tag & 7 {
            0 => Value::Number(self.number()?),
            1 => self.take(8).map(|_| Value::Eight)?,
            2 => {
                let length = self.number()?;
                let length = usize::try_from(length).unwrap_or(usize::MAX);
                Value::Bytes(self.take(length)?)
            }
            5 => {
                let four = self.take(4)?.first_chunk().ok_or("it ends inside a field")?;
                Value::Four(u32::from_le_bytes(*four))
            }
            wire => return Err(format!("byte {at}: the wire type {wire} is not used in it")),
        };
        match tag >> 3 {
            0 => Err(format!("byte {at}: field 0")),
            number => Ok(Some((number, value))),
        }
    }

    fn take(&mut self, length: usize) -> Parsed<&'a [u8]> {
        let (taken, rest) = self.rest.split_at_checked(length).ok_or("it ends inside a field")?;
        self.rest = rest;
        Ok(taken)
    }

    /// A number of seven bits a byte, the lowest first.
    fn number(&mut self) -> Parsed<u64> {
        let mut number = 0;
        for shift in (0..64).step_by(7) {
            let &byte = self.take(1)?.first().ok_or("it ends inside a number")?;
            number |= u64::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                return Ok(number);
            }
        }
        Err("a number has more than ten bytes".into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(number: u8, body: &[u8]) -> Vec<u8> {
        let (low, high) = (body.len() as u8 & 0x7f, (body.len() >> 7) as u8);
        let mut all = vec![number << 3 | 2, low | 0x80, high];
        all.extend(body);
        all
    }

    fn piece(text: &str, score: f32, kind: u8) -> Vec<u8> {
        let mut body = message(1, text.as_bytes());
        body.push(2 << 3 | 5);
        body.extend(score.to_le_bytes());
        body.extend([3 << 3, kind]);
        message(1, &body)
    }

    #[test]
    fn reads_pieces_trainer_and_map() {
        let mut bytes =
            [piece("<unk>", 0.0, 2), piece("<s>", 0.0, 3), piece("▁a", -1.5, 1)].concat();
        // model_type 2, unk_id 7, an unknown field of eight bytes, byte_fallback.
        let trainer = [3 << 3, 2, 0xc0, 2, 7, 9 << 3 | 1, 0, 0, 0, 0, 0, 0, 0, 0, 0x98, 2, 1];
        bytes.extend(message(2, &trainer));
        bytes.extend(message(3, &message(2, b"map")));
        let model = Model::read(&bytes, "spm.model").unwrap();
        let kinds: Vec<_> =
            model.pieces.iter().map(|p| (p.text.as_str(), p.score, p.kind)).collect();
        let want =
            [("<unk>", 0.0, Kind::Plain), ("<s>", 0.0, Kind::Control), ("▁a", -1.5, Kind::Plain)];
        assert_eq!(kinds, want);
        let trainer = &model.trainer;
        assert_eq!((trainer.model_type, trainer.unk_id, trainer.byte_fallback), (2, 7, true));
        assert_eq!((trainer.bos_id, trainer.unk_piece.as_str()), (1, "<unk>"));
        assert_eq!(model.charsmap, b"map");
    }

    #[test]
    fn says_what_is_wrong() {
        let nan = piece("a", f32::NAN, 1);
        let long = piece(&"a".repeat(1025), 0.0, 1);
        for (bytes, said) in [
            (&b""[..], "no pieces"),
            (b"version https://git-lfs.github.com/spec/v1", "wire type 6"),
            (&[0x0a, 0x05, 1], "ends inside a field"),
            (&[0xff; 12], "more than ten bytes"),
            (&[0x08, 0x01], "field 1 is no message"),
            (&[0x0a, 0x03, 0x0a, 0x01, 0xff], "piece 0: it is not valid UTF-8"),
            (&[0x02, 0x00], "field 0"),
            (&nan, "piece 0: its score is NaN"),
            (&long, "piece 0: it has 1025 bytes"),
        ] {
            let e = Model::read(bytes, "spm.model").unwrap_err().to_string();
            assert!(e.contains(said) && e.starts_with("spm.model: "), "{said}: {e}");
        }
    }
}
