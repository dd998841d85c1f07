//! Attention in files: `json` and `jsonl` nest, `npz` and `safetensors` have arrays of each text, `npy` the
//! array of a single one. `docs/outputs.md` has the names.

use std::borrow::Cow;
use std::io::{Seek, Write};

use serde::Serialize;
use serde::ser::Serializer;

use super::zip::Zip;
use super::{Format, broken, npy, npz, safetensors};
use crate::embeddings::{AttentionHeader, TextAttention, TokenInfo};
use crate::error::{Result, fail};

/// Takes texts in their order.
pub struct AttentionWriter<W> {
    out: Out<W>,
    header: AttentionHeader,
    texts: usize,
}

enum Out<W> {
    Json(W),
    Jsonl(W),
    Npz(Zip<W>),
    /// Formats whose head says how large all is.
    Held(W, Format, Vec<TextAttention>),
}

/// An array of a file: its name, the type as npy and as safetensors write it, its axes, its bytes.
struct Array<'a> {
    name: String,
    types: (&'static str, &'static str),
    shape: Vec<u64>,
    bytes: Cow<'a, [u8]>,
}

impl<W: Write + Seek> AttentionWriter<W> {
    /// Begins.
    ///
    /// # Errors
    /// `Usage` for a format that holds no attention; `Io` where writing failed.
    pub fn start(format: Format, mut out: W, header: AttentionHeader) -> Result<Self> {
        let out = match format {
            Format::Json => {
                let head = encode(&Opening::of(&header))?;
                let head = head.strip_suffix(b"}").unwrap_or(&head);
                out.write_all(head)
                    .and_then(|()| out.write_all(b",\"results\":["))
                    .map_err(broken)?;
                Out::Json(out)
            }
            Format::Jsonl => Out::Jsonl(out),
            Format::Npz => Out::Npz(Zip::new(out).map_err(broken)?),
            Format::Npy | Format::Safetensors => Out::Held(out, format, Vec::new()),
            _ => {
                return Err(fail!(
                    Usage,
                    "attention is not written as {format}: use json, jsonl, npy (of one text), npz or \
                     safetensors"
                ));
            }
        };
        Ok(Self { out, header, texts: 0 })
    }

    /// Takes the next text.
    ///
    /// # Errors
    /// `Io` where writing failed; `Usage` for a second text in an `npy`.
    pub fn push(&mut self, text: TextAttention) -> Result<()> {
        let is_first = self.texts == 0;
        self.texts += 1;
        match &mut self.out {
            Out::Json(out) => {
                out.write_all(if is_first { b"\n" } else { b",\n" }).map_err(broken)?;
                out.write_all(&encode(&One::of(&text))?).map_err(broken)
            }
            Out::Jsonl(out) => {
                out.write_all(&encode(&One::of(&text))?).map_err(broken)?;
                out.write_all(b"\n").map_err(broken)
            }
            Out::Npz(zip) => arrays(&text).into_iter().try_for_each(|array| put(zip, &array)),
            Out::Held(_, Format::Npy, held) if !held.is_empty() => Err(fail!(
                Usage,
                "an npy is the array of one text, and texts differ in length: use npz for more"
            )),
            Out::Held(_, _, held) => {
                held.push(text);
                Ok(())
            }
        }
    }

    /// Ends, and gives back what was written to.
    ///
    /// # Errors
    /// `Io` where writing failed.
    pub fn finish(self) -> Result<W> {
        let mut out = match self.out {
            Out::Json(mut out) => {
                let end: &[u8] = if self.texts == 0 { b"]}\n" } else { b"\n]}\n" };
                out.write_all(end).map_err(broken)?;
                out
            }
            Out::Jsonl(out) => out,
            Out::Npz(mut zip) => {
                for array in axes(&self.header) {
                    put(&mut zip, &array)?;
                }
                npz::put_metadata(&mut zip, metadata(&self.header)).map_err(broken)?;
                zip.finish().map_err(broken)?
            }
            Out::Held(mut out, Format::Npy, held) => {
                for text in &held {
                    let array = weights(text);
                    out.write_all(&npy::head(array.types.0, &array.shape)).map_err(broken)?;
                    out.write_all(&array.bytes).map_err(broken)?;
                }
                out
            }
            Out::Held(mut out, _, held) => {
                let mut all = axes(&self.header);
                all.extend(held.iter().flat_map(arrays));
                let tensor = |a: &Array<'_>| {
                    (a.name.clone(), a.types.1, a.shape.clone(), a.bytes.len() as u64)
                };
                let named: Vec<_> = all.iter().map(tensor).collect();
                let tensors: Vec<_> =
                    named.iter().map(|(n, t, s, b)| (n.as_str(), *t, s.clone(), *b)).collect();
                let mut head = safetensors::head(&metadata(&self.header), &tensors);
                head.resize(head.len().next_multiple_of(8), b' ');
                out.write_all(&(head.len() as u64).to_le_bytes()).map_err(broken)?;
                out.write_all(&head).map_err(broken)?;
                for array in &all {
                    out.write_all(&array.bytes).map_err(broken)?;
                }
                out
            }
        };
        out.flush().map_err(broken)?;
        Ok(out)
    }
}

fn put<W: Write + Seek>(zip: &mut Zip<W>, array: &Array<'_>) -> Result<()> {
    let head = npy::head(array.types.0, &array.shape);
    zip.open(format!("{}.npy", array.name), &head).map_err(broken)?;
    zip.write(&array.bytes).map_err(broken)?;
    zip.close(&head).map_err(broken)
}

const F32: (&str, &str) = ("<f4", "F32");
const I64: (&str, &str) = ("<i8", "I64");

fn longs(name: String, shape: Vec<u64>, values: impl Iterator<Item = i64>) -> Array<'static> {
    let bytes = values.flat_map(i64::to_le_bytes).collect::<Vec<_>>().into();
    Array { name, types: I64, shape, bytes }
}

/// The layers and heads of the first axes.
fn axes(header: &AttentionHeader) -> Vec<Array<'static>> {
    let list = |name: &str, list: &[usize]| {
        longs(name.to_owned(), vec![list.len() as u64], list.iter().map(|&n| n as i64))
    };
    vec![list("layers", &header.layers), list("heads", &header.heads)]
}

fn weights(text: &TextAttention) -> Array<'_> {
    // They are large: no second copy where they lie in memory as in the file.
    let bytes = match cfg!(target_endian = "little") {
        true => bytemuck::cast_slice(&text.values).into(),
        false => text.values.iter().flat_map(|w| w.to_le_bytes()).collect::<Vec<_>>().into(),
    };
    let shape = text.shape.iter().map(|&n| n as u64).collect();
    Array { name: format!("attention.{}", text.index), types: F32, shape, bytes }
}

/// The arrays of a text, whose number is the end of their names.
fn arrays(text: &TextAttention) -> Vec<Array<'_>> {
    let (index, tokens) = (text.index, text.tokens.len() as u64);
    let ids = text.tokens.iter().map(|token| i64::from(token.id));
    let spans = text.tokens.iter().flat_map(|token| [token.start as i64, token.end as i64]);
    let mut arrays = vec![
        longs(format!("token_ids.{index}"), vec![tokens], ids),
        longs(format!("spans.{index}"), vec![tokens, 2], spans),
    ];
    let attention = weights(text);
    if !text.keys.is_empty() {
        let keys = text.keys.iter().map(|&key| i64::from(key));
        arrays.push(longs(format!("keys.{index}"), attention.shape.clone(), keys));
    }
    arrays.push(attention);
    arrays
}

fn metadata(header: &AttentionHeader) -> Vec<(String, String)> {
    let list = |list: &[usize]| list.iter().map(usize::to_string).collect::<Vec<_>>().join(",");
    let fields = [
        ("model", header.model.clone()),
        ("device", header.device.clone()),
        ("dtype", header.dtype.clone()),
        ("layers", list(&header.layers)),
        ("heads", list(&header.heads)),
        ("reduce", header.reduce.to_string()),
        ("version", env!("CARGO_PKG_VERSION").to_owned()),
    ];
    fields.map(|(name, value)| (name.to_owned(), value)).into()
}

/// The fields before `results`.
#[derive(Serialize)]
struct Opening<'a> {
    model: &'a str,
    device: &'a str,
    dtype: &'a str,
    layers: &'a [usize],
    heads: &'a [usize],
    reduce: String,
}

impl<'a> Opening<'a> {
    fn of(header: &'a AttentionHeader) -> Self {
        let AttentionHeader { model, device, dtype, layers, heads, reduce } = header;
        Self { model, device, dtype, layers, heads, reduce: reduce.to_string() }
    }
}

/// A text in JSON.
#[derive(Serialize)]
struct One<'a> {
    index: usize,
    text_tokens: usize,
    #[serde(skip_serializing_if = "Option::is_none")]
    tokens_lost: Option<usize>,
    attention: Nested<'a, f32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    keys: Option<Nested<'a, i32>>,
    tokens: &'a [TokenInfo],
}

impl<'a> One<'a> {
    fn of(text: &'a TextAttention) -> Self {
        Self {
            index: text.index,
            text_tokens: text.tokens.len(),
            tokens_lost: (text.lost > 0).then_some(text.lost),
            attention: Nested { shape: &text.shape, values: &text.values },
            keys: (!text.keys.is_empty())
                .then_some(Nested { shape: &text.shape, values: &text.keys }),
            tokens: &text.tokens,
        }
    }
}

/// An array as lists in lists, an axis each.
struct Nested<'a, T> {
    shape: &'a [usize],
    values: &'a [T],
}

impl<T: Serialize> Serialize for Nested<'_, T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.shape {
            [] | [_] => serializer.collect_seq(self.values),
            [_, shape @ ..] => {
                let size = shape.iter().product::<usize>().max(1);
                let parts = self.values.chunks(size).map(|values| Nested { shape, values });
                serializer.collect_seq(parts)
            }
        }
    }
}

fn encode(value: &impl Serialize) -> Result<Vec<u8>> {
    serde_json::to_vec(value).map_err(|error| {
        fail!(Text, "the results cannot be written as JSON: {error}").with_source(error)
    })
}
