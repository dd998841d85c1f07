//! Attention: texts in, weights or what was made of them out.
//!
//! Texts are taken in their order, as many at a time as a batch holds and as [`HELD_BYTES`] of results
//! allow, so that what is held does not grow with the number of texts.

use std::ops::Range;

use super::readout::{self, Arrived};
use super::{BATCH_TOKENS, Encoder};
use crate::capture::maps::{MapAxes, Maps, Reduce};
use crate::embeddings::{Attention, AttentionHeader, TextAttention};
use crate::error::{Result, fail};
use crate::execute::{Execute, NotFinite};
use crate::math::rollout::Rollout;
use crate::schedule::maps::{MapExit, keys_of};
use crate::schedule::{Elem, Output, Recording, record_maps};
use crate::text::pack::{PackedBatch, pack_some};
use crate::text::{Text, Tokens};

/// Bytes that the results of one batch take on the host, unless one text takes more.
const HELD_BYTES: u64 = 64 << 20;
/// Texts that become tokens at a time.
const TEXTS: usize = 256;

/// Takes what came of a text.
pub type OnAttention<'l> = &'l mut (dyn FnMut(TextAttention) -> Result<()> + Send);

/// What running attention takes, before it is run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct MapMemory {
    /// Bytes of what comes back of all texts.
    pub results: u64,
    /// Bytes of results that are held at once on the host.
    pub host: u64,
    /// Bytes of activations on the device at most.
    pub device: u64,
}

impl Encoder {
    /// Attention in `texts`, as `maps` asks.
    ///
    /// # Errors
    ///
    /// `Usage` where the request does not fit the model; `Text` or `TooLong` for a text; `NotFinite` where
    /// a state overflows f32; `Gpu`, `DeviceLost`, `OutOfMemory` from a device.
    pub async fn attention<'t, T: Into<Text<'t>>>(
        &self,
        texts: impl IntoIterator<Item = T>,
        maps: &Maps,
    ) -> Result<Attention> {
        let header = self.attention_header(maps)?;
        let mut all = Vec::new();
        let mut keep = |text| {
            all.push(text);
            Ok(())
        };
        let texts: Vec<Text<'t>> = texts.into_iter().map(Into::into).collect();
        self.attention_each(&texts, maps, &mut keep).await?;
        Ok(Attention { header, texts: all })
    }

    /// [`Encoder::attention`], blocking.
    ///
    /// # Errors
    ///
    /// As [`Encoder::attention`].
    #[cfg(not(target_arch = "wasm32"))]
    pub fn attention_blocking<'t, T: Into<Text<'t>>>(
        &self,
        texts: impl IntoIterator<Item = T>,
        maps: &Maps,
    ) -> Result<Attention> {
        pollster::block_on(self.attention(texts, maps))
    }

    /// What the result of [`Encoder::attention`] says of itself.
    ///
    /// # Errors
    ///
    /// `Usage` where the request does not fit the model.
    pub fn attention_header(&self, maps: &Maps) -> Result<AttentionHeader> {
        let MapAxes { layers, heads } = self.axes(maps)?;
        Ok(AttentionHeader {
            model: self.name().to_owned(),
            device: self.executor.device(),
            dtype: self.elem.to_string(),
            layers,
            heads,
            reduce: maps.reduce,
        })
    }

    /// [`Encoder::attention`] that hands each text over, in their order, and keeps none.
    ///
    /// # Errors
    ///
    /// As [`Encoder::attention`], and whatever `on_text` returns.
    pub async fn attention_each(
        &self,
        texts: &[Text<'_>],
        maps: &Maps,
        on_text: OnAttention<'_>,
    ) -> Result<()> {
        let axes = self.axes(maps)?;
        for first in (0..texts.len()).step_by(TEXTS) {
            let part = first..(first + TEXTS).min(texts.len());
            let tokens = self.tokens_of(texts, part.clone(), maps)?;
            for group in self.groups(&tokens, &axes, maps.reduce) {
                let run = MapBatch::new(maps, &axes, &tokens[group.clone()]);
                for (i, mut text) in self.run_maps(&run).await?.into_iter().enumerate() {
                    text.index = first + group.start + i;
                    on_text(text)?;
                }
            }
        }
        Ok(())
    }

    /// What [`Encoder::attention_each`] will take for `texts`, which are made tokens of for that.
    ///
    /// # Errors
    ///
    /// As [`Encoder::attention`], the device's left out.
    pub fn attention_memory(&self, texts: &[Text<'_>], maps: &Maps) -> Result<MapMemory> {
        let axes = self.axes(maps)?;
        let mut memory = MapMemory::default();
        for first in (0..texts.len()).step_by(TEXTS) {
            let tokens = self.tokens_of(texts, first..(first + TEXTS).min(texts.len()), maps)?;
            for group in self.groups(&tokens, &axes, maps.reduce) {
                let run = MapBatch::new(maps, &axes, &tokens[group.clone()]);
                let host = run.host_bytes();
                let bytes = |t: &Tokens| result_bytes(&axes, maps.reduce, t.len());
                memory.results += tokens[group].iter().map(bytes).sum::<u64>();
                memory.host = memory.host.max(host);
                let recording = run.record(self, self.executor.as_ref())?;
                memory.device = memory.device.max(recording.counts().memory);
            }
        }
        Ok(memory)
    }

    fn axes(&self, maps: &Maps) -> Result<MapAxes> {
        maps.resolve(self.spec().depth(), self.spec().heads)
    }

    fn tokens_of(
        &self,
        texts: &[Text<'_>],
        part: Range<usize>,
        maps: &Maps,
    ) -> Result<Vec<Tokens>> {
        let tokens = self.preprocessor().tokenize_some(texts, part.clone(), &maps.text)?;
        match tokens.iter().position(Tokens::is_empty) {
            Some(i) => Err(fail!(
                Text,
                "text {} has no tokens: this tokenizer adds no special ones",
                part.start + i
            )),
            None => Ok(tokens),
        }
    }

    /// Runs of texts that share a batch.
    fn groups(&self, texts: &[Tokens], axes: &MapAxes, reduce: Reduce) -> Vec<Range<usize>> {
        let most = self.batch_tokens_on(self.executor.as_ref()).min(BATCH_TOKENS);
        let (mut groups, mut start, mut tokens, mut bytes) = (Vec::new(), 0, 0, 0);
        for (i, text) in texts.iter().enumerate() {
            let own = result_bytes(axes, reduce, text.len());
            if i > start && (tokens + text.len() > most || bytes + own > HELD_BYTES) {
                groups.push(start..i);
                (start, tokens, bytes) = (i, 0, 0);
            }
            tokens += text.len();
            bytes += own;
        }
        if start < texts.len() {
            groups.push(start..texts.len());
        }
        groups
    }

    /// The texts of a batch, in their order. What overflows f16 is run again in f32.
    async fn run_maps(&self, batch: &MapBatch<'_>) -> Result<Vec<TextAttention>> {
        let (arrived, found) = batch.run(self, self.executor.as_ref()).await?;
        let (arrived, found) = match found {
            Some(_) if self.executor.caps().elem != Elem::F32 => {
                let wide = self.wide().await?;
                batch.run(self, wide.as_ref()).await?
            }
            found => (arrived, found),
        };
        match found {
            Some(found) => Err(self.name_model(found.into_error())),
            None => batch.take(&arrived),
        }
    }
}

/// Bytes of the result of a text.
fn result_bytes(axes: &MapAxes, reduce: Reduce, tokens: usize) -> u64 {
    let shape = reduce.shape(axes.layers.len(), axes.heads.len(), tokens);
    let arrays = if matches!(reduce, Reduce::Top(_)) { 2 } else { 1 };
    4 * arrays * shape.iter().map(|&n| n as u64).product::<u64>()
}

/// Texts that are run together.
struct MapBatch<'a> {
    texts: &'a [Tokens],
    packed: PackedBatch,
    exit: MapExit,
}

impl<'a> MapBatch<'a> {
    fn new(maps: &Maps, axes: &MapAxes, texts: &'a [Tokens]) -> Self {
        let order = (0..texts.len()).collect();
        let mut batches = pack_some(|i| (&texts[i]).into(), order, usize::MAX, usize::MAX);
        let packed = batches.pop().unwrap_or_default();
        let special = packed.order.iter().flat_map(|&i| texts[i].words.iter().map(Option::is_none));
        let exit = MapExit {
            layers: axes.layers.clone(),
            heads: axes.heads.clone(),
            reduce: maps.reduce,
            special: special.collect(),
        };
        Self { texts, packed, exit }
    }

    fn record(&self, encoder: &Encoder, executor: &dyn Execute) -> Result<Recording> {
        let (spec, layout) = (&encoder.model.spec, &encoder.model.layout);
        record_maps(spec, layout, &self.packed, &self.exit, executor.caps())
            .map_err(|e| encoder.name_model(e))
    }

    async fn run(
        &self,
        encoder: &Encoder,
        executor: &dyn Execute,
    ) -> Result<(Arrived, Option<NotFinite>)> {
        let recording = self.record(encoder, executor)?;
        let mut arrived = Arrived::new();
        let mut sink = |output, numbers| {
            arrived.push((output, numbers));
            Ok(())
        };
        let found = executor.run(&recording, &mut sink).await.map_err(|e| encoder.name_model(e))?;
        Ok((arrived, found))
    }

    /// Bytes on the host while it is run: what arrives with the padding of its rows, and the results.
    fn host_bytes(&self) -> u64 {
        let (tokens, keys) = (self.packed.ids.len() as u64, keys_of(&self.packed) as u64);
        let (layers, heads) = (self.exit.layers.len() as u64, self.exit.heads.len() as u64);
        let arrives = match self.exit.reduce {
            Reduce::Full => layers * heads * tokens * keys,
            Reduce::Rollout => layers * tokens * keys,
            Reduce::Top(most) => 2 * layers * heads * tokens * most as u64,
            _ => layers * heads * tokens,
        };
        let axes = MapAxes { layers: self.exit.layers.clone(), heads: self.exit.heads.clone() };
        let of = |text: &Tokens| result_bytes(&axes, self.exit.reduce, text.len());
        4 * arrives + self.texts.iter().map(of).sum::<u64>()
    }

    /// What arrived, as the results of the texts.
    fn take(&self, arrived: &Arrived) -> Result<Vec<TextAttention>> {
        let mut results: Vec<Option<TextAttention>> = self.texts.iter().map(|_| None).collect();
        for (i, &number) in self.packed.order.iter().enumerate() {
            let rows = self.packed.offsets[i] as usize..self.packed.offsets[i + 1] as usize;
            results[number] = Some(self.text(number, rows, arrived)?);
        }
        results.into_iter().map(|text| text.ok_or_else(readout::missing)).collect()
    }

    /// Of the text that has these rows.
    fn text(&self, number: usize, rows: Range<usize>, arrived: &Arrived) -> Result<TextAttention> {
        let (tokens, reduce) = (&self.texts[number], self.exit.reduce);
        let (layers, heads) = (&self.exit.layers, self.exit.heads.len());
        let shape = reduce.shape(layers.len(), heads, rows.len());
        let infos = readout::token_infos(tokens);
        // What is announced is what is held.
        let numbers = shape.iter().product();
        let mut text = TextAttention::new(number, tokens.lost, infos, shape);
        text.values.reserve_exact(numbers);
        if reduce == Reduce::Rollout {
            let mut rollout = Rollout::new(rows.len());
            let mut upwards = layers.clone();
            upwards.sort_unstable();
            for layer in upwards {
                let mut mean = Vec::new();
                self.of_rows(arrived, (layer, 1), &rows, &mut mean)?;
                rollout.add(&mean);
            }
            text.values = rollout.finish();
            return Ok(text);
        }
        for &layer in layers {
            match reduce {
                Reduce::Full => self.of_rows(arrived, (layer, heads), &rows, &mut text.values)?,
                _ => self.digested(arrived, layer, &rows, &mut text)?,
            }
        }
        Ok(text)
    }

    /// Puts the weights of a text in a layer, which came in tiles, behind `weights`: (heads, tokens,
    /// tokens).
    fn of_rows(
        &self,
        arrived: &Arrived,
        (layer, heads): (usize, usize),
        rows: &Range<usize>,
        weights: &mut Vec<f32>,
    ) -> Result<()> {
        let (keys, length) = (keys_of(&self.packed), rows.len());
        let start = weights.len();
        weights.resize(start + heads * length * length, 0.0);
        let tiles = arrived.iter().filter(|(output, _)| *output == Output::Map(layer));
        let mut first = 0;
        for (_, tile) in tiles {
            let count = tile.len() / (heads * keys);
            let shared = rows.start.max(first)..rows.end.min(first + count);
            for (head, row) in (0..heads).flat_map(|h| shared.clone().map(move |row| (h, row))) {
                let from = (head * count + row - first) * keys;
                let to = start + (head * length + row - rows.start) * length;
                let line = tile.get(from..from + length).ok_or_else(readout::missing)?;
                weights[to..to + length].copy_from_slice(line);
            }
            first += count;
        }
        if first != self.packed.ids.len() {
            return Err(readout::missing());
        }
        Ok(())
    }

    /// What the device made of the weights of a text in a layer, behind that of the layers before.
    fn digested(
        &self,
        arrived: &Arrived,
        layer: usize,
        rows: &Range<usize>,
        text: &mut TextAttention,
    ) -> Result<()> {
        let found = arrived.iter().find(|(output, _)| *output == Output::Map(layer));
        let (_, numbers) = found.ok_or_else(readout::missing)?;
        let (tokens, heads) = (self.packed.ids.len(), self.exit.heads.len());
        let each = match self.exit.reduce {
            Reduce::Top(most) => 2 * most,
            _ => 1,
        };
        if numbers.len() < heads * tokens * each {
            return Err(readout::missing());
        }
        for head in 0..heads {
            let at = |row: usize| (head * tokens + row) * each;
            let numbers = &numbers[at(rows.start)..at(rows.end)];
            if each == 1 {
                text.values.extend(numbers);
                continue;
            }
            for row in numbers.chunks_exact(each) {
                let (weights, keys) = row.split_at(each / 2);
                text.values.extend(weights);
                text.keys.extend(keys.iter().map(|&key| key as i32));
            }
        }
        Ok(())
    }
}
