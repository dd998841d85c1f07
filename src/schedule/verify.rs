//! Whether a recording stays inside its arrays and the weights of the executor that is to run it.
//!
//! The shaders run without bounds checks, so every recording passes here before it is run: the
//! sizes of what is bound against what each kernel indexes, and every index that a kernel takes
//! from data, which has to be uploaded data that nothing has changed. Cheap beside the run: a few
//! comparisons a dispatch, and one look at what was uploaded.

use std::collections::HashMap;

use super::caps::Caps;
use super::extent::{Need, needs};
use super::params::{ExpertParams, Params};
use super::recording::{Bind, BufferId, Dispatch, Fill, Recording};
use super::tiles;
use super::variant::{Access, Class, Elem, Scores, Variant};
use crate::error::{Error, Result, fail};
use crate::model::layout::{Layout, Use, Weight, WeightId};

/// Refuses a recording that an executor of `layout` with these `caps` cannot run truthfully.
/// `runs_variants` says whether the executor has to have what a variant asks of an adapter.
///
/// # Errors
///
/// `Usage`, naming the step.
pub fn verify(
    recording: &Recording,
    layout: &Layout,
    caps: &Caps,
    runs_variants: bool,
) -> Result<()> {
    let holds = vec![Content::Nothing; recording.slots.len()];
    let maxima = HashMap::new();
    let mut run = Run { recording, layout, caps, runs_variants, holds, maxima };
    run.buffers()?;
    run.uploads()?;
    for submit in &recording.submits {
        for dispatch in &submit.dispatches {
            run.dispatch(dispatch).map_err(|said| wrong(&dispatch.label, said))?;
        }
        for read in &submit.readbacks {
            if run.held(read.buffer).is_none() {
                return Err(wrong("readback", "it reads an array that nothing wrote"));
            }
        }
    }
    Ok(())
}

fn wrong(step: &str, said: impl std::fmt::Display) -> Error {
    fail!(Usage, "the recording cannot be run here: step `{step}`: {said}")
}

/// What lies in a slot.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Content {
    Nothing,
    /// What this upload put there, unchanged.
    Upload(BufferId, usize),
    /// What a kernel wrote.
    Written(BufferId),
    /// What `route` wrote: experts, tokens, chosen.
    Routes(BufferId, [u32; 3]),
}

/// What is known while the steps of a recording are followed.
struct Run<'a> {
    recording: &'a Recording,
    layout: &'a Layout,
    caps: &'a Caps,
    runs_variants: bool,
    /// One a slot.
    holds: Vec<Content>,
    /// The largest of each of four words of a line, of the uploads that were looked at.
    maxima: HashMap<usize, [u32; 4]>,
}

type Said = std::result::Result<(), &'static str>;

impl Run<'_> {
    /// Sizes that a binding can have, in slots that are there.
    fn buffers(&self) -> Result<()> {
        let most = self.caps.max_binding.min(4 * u64::from(u32::MAX));
        for buffer in &self.recording.buffers {
            let inside = self.recording.slots.get(buffer.slot).is_some_and(|s| buffer.bytes <= *s);
            if !inside || buffer.bytes == 0 || buffer.bytes % 4 != 0 || buffer.bytes > most {
                return Err(wrong(buffer.name, "the array has a size that cannot be bound"));
            }
        }
        let read = self.recording.submits.iter().flat_map(|s| &s.readbacks);
        let of_uploads = self.recording.uploads.iter().map(|(id, _)| *id);
        let mut ids = of_uploads.chain(read.map(|read| read.buffer));
        match ids.all(|id| id.0 < self.recording.buffers.len()) {
            true => Ok(()),
            false => Err(wrong("upload", "there is no such array")),
        }
    }

    fn uploads(&mut self) -> Result<()> {
        for (i, (id, fill)) in self.recording.uploads.iter().enumerate() {
            let buffer = self.recording.buffer(*id);
            let bytes = match fill {
                Fill::Words(words) => 4 * words.len() as u64,
                Fill::Rows { table, rows } => {
                    let Some(weight) = self.weight(*table, Use::Table) else {
                        return Err(wrong(buffer.name, "rows are gathered of what is no table"));
                    };
                    if rows.iter().any(|&row| row as usize >= weight.rows) {
                        return Err(wrong(buffer.name, "a row is gathered that its table lacks"));
                    }
                    4 * (rows.len() * weight.cols) as u64
                }
            };
            if bytes != buffer.bytes {
                return Err(wrong(buffer.name, "what is uploaded is not as large as its array"));
            }
            self.holds[buffer.slot] = Content::Upload(*id, i);
        }
        Ok(())
    }

    fn weight(&self, id: WeightId, usage: Use) -> Option<&Weight> {
        self.layout.weights.get(id.0).filter(|weight| weight.usage == usage)
    }

    /// What lies in the slot of `id`, where that is still what `id` was given.
    fn held(&self, id: BufferId) -> Option<Content> {
        let content = self.holds[self.recording.buffer(id).slot];
        let is_of = match content {
            Content::Nothing => false,
            Content::Upload(of, _) | Content::Written(of) | Content::Routes(of, _) => of == id,
        };
        is_of.then_some(content)
    }

    fn dispatch(&mut self, dispatch: &Dispatch) -> Said {
        let Dispatch { variant, params, binds, .. } = dispatch;
        if self.runs_variants && !self.runs(*variant) {
            return Err("this adapter cannot run the kernel");
        }
        let needs = needs(dispatch).ok_or("its parameters contradict its kernel")?;
        let accesses = variant.bindings();
        if binds.len() != accesses.len() || needs.len() != accesses.len() {
            return Err("it has the wrong bindings");
        }
        for ((bind, need), access) in binds.iter().zip(&needs).zip(accesses) {
            self.bind(*bind, *need, *access)?;
        }
        self.are_apart(dispatch)?;
        self.indices(dispatch)?;
        for (bind, access) in binds.iter().zip(accesses) {
            if let (Bind::Buffer(id), Access::Write) = (bind, access) {
                self.holds[self.recording.buffer(*id).slot] = match params {
                    Params::Route(p) => Content::Routes(*id, [p.experts, p.tokens, p.chosen]),
                    _ => Content::Written(*id),
                };
            }
        }
        Ok(())
    }

    /// Whether the adapter has what the kernel asks of it. Kernels that were made for processors run
    /// on a GPU as well, if slowly.
    fn runs(&self, variant: Variant) -> bool {
        let mut can = self.caps.can;
        if !can.class.is_processor() {
            can.class = Class::CpuAdapter;
        }
        variant.runs_on(&can)
    }

    /// One binding is there, as it has to be, and large enough.
    fn bind(&self, bind: Bind, need: Need, access: Access) -> Said {
        const SMALL: &str = "it goes past the end of an array";
        const OTHER: &str = "it binds a weight of another shape or type";
        match bind {
            Bind::Buffer(id) => {
                let buffer = self.recording.buffers.get(id.0).ok_or("it binds no array")?;
                let (numbers, narrow) = match need {
                    Need::Numbers(numbers) | Need::Words(numbers) => (numbers, false),
                    Need::Stored { numbers, narrow } => (numbers, narrow),
                    Need::Routes { experts, tokens } => {
                        (u128::from(experts) * (1 + u128::from(tokens)), false)
                    }
                    Need::Table { .. } | Need::Matrix { .. } => return Err(OTHER),
                };
                if buffer.narrow != narrow {
                    return Err("it reads 16 bits as 32, or 32 as 16");
                }
                if numbers > self.room(bind) {
                    return Err(SMALL);
                }
                let held = self.held(id);
                if access == Access::Read && held.is_none() {
                    return Err("it reads an array that nothing wrote, or that is gone");
                }
                let is_uploaded = matches!(held, Some(Content::Upload(..)));
                if matches!(need, Need::Words(_)) && !is_uploaded {
                    return Err("it takes indices that were not uploaded");
                }
                Ok(())
            }
            Bind::Weight(_) if access == Access::Write => Err("it writes to a weight"),
            Bind::Weight(id) => {
                let of = |usage| self.weight(id, usage).ok_or(OTHER);
                let on_host = id == self.layout.word && self.caps.gathers_on_host(self.layout);
                if on_host && matches!(need, Need::Table { .. }) {
                    return Err("it reads a table that is not on the device");
                }
                let stored = |elem: Elem| elem.bytes() == self.caps.elem.bytes();
                let fits = match need {
                    Need::Numbers(numbers) => {
                        of(Use::Vector)?;
                        return if numbers > self.room(bind) { Err(SMALL) } else { Ok(()) };
                    }
                    Need::Table { stride, elem } => {
                        let table = of(Use::Table)?;
                        table.cols as u128 == stride && table.rows > 0 && stored(elem)
                    }
                    Need::Matrix { n, k, elem } => {
                        let matrix = of(Use::Matrix)?;
                        (matrix.rows as u128, matrix.cols as u128) == (n, k) && stored(elem)
                    }
                    Need::Stored { .. } | Need::Words(_) | Need::Routes { .. } => false,
                };
                if fits { Ok(()) } else { Err(OTHER) }
            }
        }
    }

    /// Numbers that lie there.
    fn room(&self, bind: Bind) -> u128 {
        match bind {
            Bind::Buffer(id) => {
                let buffer = self.recording.buffer(id);
                u128::from(buffer.bytes) / if buffer.narrow { 2 } else { 4 }
            }
            Bind::Weight(id) => {
                self.layout.weights.get(id.0).map_or(0, |w| w.rows as u128 * w.cols as u128)
            }
        }
    }

    /// What is written lies in memory of its own, and what is changed in place was there before.
    fn are_apart(&self, dispatch: &Dispatch) -> Said {
        let slot = |bind: &Bind| match bind {
            Bind::Buffer(id) => Some(self.recording.buffer(*id).slot),
            Bind::Weight(_) => None,
        };
        let (binds, accesses) = (&dispatch.binds, dispatch.variant.bindings());
        for (i, _) in accesses.iter().enumerate().filter(|(_, a)| **a == Access::Write) {
            let others = binds.iter().enumerate().filter(|(j, _)| *j != i);
            if others.clone().any(|(_, other)| slot(other) == slot(&binds[i])) {
                return Err("it writes over another of its arrays");
            }
        }
        let changed = match (dispatch.variant, &dispatch.params) {
            (Variant::Embed { .. }, _) => Some(6),
            (Variant::Norm { .. }, _) => Some(3),
            (Variant::Rope, _) => Some(2),
            (Variant::QkNorm, _) => Some(1),
            (Variant::Combine(_), Params::Combine(p)) if p.first != 1 => Some(1),
            _ => None,
        };
        match changed.map(|at: usize| binds[at]) {
            Some(Bind::Buffer(id)) if self.held(id).is_none() => {
                Err("it changes an array that nothing wrote, or that is gone")
            }
            _ => Ok(()),
        }
    }

    /// The words that were uploaded to `bind`: [`Run::bind`] has seen that they are there.
    fn words(&self, bind: Bind) -> std::result::Result<(usize, &[u32]), &'static str> {
        if let Bind::Buffer(id) = bind
            && let Some(Content::Upload(_, upload)) = self.held(id)
            && let Some((_, Fill::Words(words))) = self.recording.uploads.get(upload)
        {
            return Ok((upload, words));
        }
        Err("it takes indices that were not uploaded")
    }

    /// The largest word of each of four columns.
    fn largest(&mut self, bind: Bind) -> std::result::Result<[u32; 4], &'static str> {
        let (upload, words) = self.words(bind)?;
        if let Some(known) = self.maxima.get(&upload) {
            return Ok(*known);
        }
        let mut largest = [0; 4];
        for line in words.chunks_exact(4) {
            largest.iter_mut().zip(line).for_each(|(most, word)| *most = (*most).max(*word));
        }
        self.maxima.insert(upload, largest);
        Ok(largest)
    }

    /// Every index that the kernel takes from data is inside what it indexes.
    fn indices(&mut self, dispatch: &Dispatch) -> Said {
        let binds = &dispatch.binds;
        let rows = |run: &Self, at: usize, row: u128| run.room(binds[at]) / row.max(1);
        match (dispatch.variant, &dispatch.params) {
            (Variant::Embed { .. }, Params::Embed(p)) => {
                let largest = self.largest(binds[0])?;
                let inside = (0..3).all(|column| {
                    let there = rows(self, 1 + column, 4 * u128::from(p.stride4));
                    u128::from(largest[column]) < there
                });
                if inside { Ok(()) } else { Err("a token names a row that its table lacks") }
            }
            (Variant::Rope, Params::Rope(p)) => {
                let [_, _, _, place] = self.largest(binds[0])?;
                let inside = u128::from(place) < rows(self, 1, 2 * u128::from(p.half));
                if inside { Ok(()) } else { Err("a token is at a place that was not computed") }
            }
            (Variant::Attention { head_dim, scores, .. }, Params::Attention(p)) => {
                let read = rows(self, 0, 4 * u128::from(p.qkv4));
                let written = rows(self, 2, 4 * u128::from(p.out4));
                let (_, tiles) = self.words(binds[1])?;
                are_tiles(tiles, dispatch.grid[0], head_dim as usize, read.min(written))?;
                if scores == Scores::Disentangled {
                    let places = rows(self, 3, 8 * u128::from(p.out4));
                    let (_, place_of) = self.words(binds[4])?;
                    if place_of.iter().any(|&place| u128::from(place) >= places) {
                        return Err("a distance names a place that its table lacks");
                    }
                }
                Ok(())
            }
            (Variant::Pool(_), Params::Pool(p)) => {
                let there = rows(self, 0, 4 * u128::from(p.stride4));
                let texts = dispatch.grid[0] as usize;
                let (_, ranges) = self.words(binds[1])?;
                let (ranges, _) = ranges.as_chunks::<2>();
                let inside = |&[first, count]: &[u32; 2]| count > 0 && end(first, count) <= there;
                let fits = texts == self.recording.texts && ranges.len() >= texts;
                if fits && ranges[..texts].iter().all(inside) {
                    Ok(())
                } else {
                    Err("a text is outside of the rows that are pooled")
                }
            }
            (Variant::Expert { .. }, Params::Expert(p)) => self.slots(dispatch, p),
            _ => Ok(()),
        }
    }

    /// The slots of an expert, whether `route` left them or a test.
    fn slots(&self, dispatch: &Dispatch, p: &ExpertParams) -> Said {
        const OUTSIDE: &str = "an expert has slots outside of its arrays";
        let [_, _, routes, c] = dispatch.binds[..] else { return Err(OUTSIDE) };
        let there = self.room(c) / (4 * u128::from(p.n4));
        let shares = self.room(routes) - u128::from(p.experts) * (1 + u128::from(p.tokens));
        let most = there.min(shares);
        let Bind::Buffer(id) = routes else { return Err(OUTSIDE) };
        let inside = match self.held(id) {
            Some(Content::Routes(_, [experts, tokens, chosen])) => {
                (experts, tokens) == (p.experts, p.tokens)
                    && u128::from(chosen) * u128::from(tokens) <= most
            }
            Some(Content::Upload(..)) => {
                let (_, words) = self.words(routes)?;
                let number = |at: usize| words.get(at).map(|&bits| f32::from_bits(bits));
                let is_index =
                    |x: f32, most: u128| x >= 0.0 && x.fract() == 0.0 && (x as u128) < most;
                let count = number(p.expert as usize).unwrap_or(f32::NAN);
                let first = p.experts as usize + p.expert as usize * p.tokens as usize;
                is_index(count, u128::from(p.tokens) + 1)
                    && (first..first + count as usize)
                        .all(|at| number(at).is_some_and(|slot| is_index(slot, most)))
            }
            _ => false,
        };
        if inside { Ok(()) } else { Err(OUTSIDE) }
    }
}

/// One more than the last row.
fn end(first: u32, count: u32) -> u128 {
    u128::from(first) + u128::from(count)
}

/// Whether `tiles` are those of texts of at most `rows` rows: each text from its first query on, in
/// tiles that lie side by side, and no row in two texts, since both would write it.
fn are_tiles(tiles: &[u32], count: u32, head_dim: usize, rows: u128) -> Said {
    let (lines, rest) = tiles.as_chunks::<4>();
    let step = tiles::attention_rows(head_dim) as u32;
    if !rest.is_empty() || lines.len() != count as usize {
        return Err("its grid has not a workgroup for each tile");
    }
    // What the next tile has to be, where the text is not done.
    let mut next: Option<[u32; 4]> = None;
    // Where the text before ends.
    let mut free = 0;
    for &line in lines {
        let [first, length, query, hidden] = line;
        let inside = hidden < length && end(first, length) <= rows;
        if query == 0 {
            if u128::from(first) < free {
                return Err("two texts share a row");
            }
            free = end(first, length);
        }
        if !inside || next.map_or(query != 0, |next| next != line) {
            return Err("a tile is outside of the rows of its text");
        }
        let after = query.checked_add(step).filter(|after| *after < length);
        next = after.map(|query| [first, length, query, hidden]);
    }
    match next {
        None => Ok(()),
        Some(_) => Err("a text has queries without a tile"),
    }
}
