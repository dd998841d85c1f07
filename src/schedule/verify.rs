//! Whether a recording stays inside its arrays and the weights of the executor that is to run it.
//!
//! The shaders run without bounds checks, so every recording passes here before it is run: the
//! sizes of what is bound against what each kernel indexes, and every index that a kernel takes
//! from data, which has to be uploaded data that nothing has changed. Cheap beside the run: a few
//! comparisons a dispatch, and one look at what was uploaded.

use std::collections::HashMap;

use super::caps::Caps;
use super::recording::{Bind, BufferId, Dispatch, Fill, Recording};
use crate::error::{Error, Result, fail};
use crate::kernels::{Access, Arrays, Checked, Elem, Need, RoutesLeft, Variant};
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
    /// What `route` wrote.
    Routes(BufferId, RoutesLeft),
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

    fn dispatch(&mut self, dispatch: &Dispatch) -> Checked {
        let (variant, binds) = (dispatch.variant(), &dispatch.binds);
        if self.runs_variants && !self.runs(variant) {
            return Err("this adapter cannot run the kernel");
        }
        let needs = dispatch.call.needs().ok_or("its parameters contradict its kernel")?;
        let accesses = variant.bindings();
        if binds.len() != accesses.len() || needs.len() != accesses.len() {
            return Err("it has the wrong bindings");
        }
        for ((bind, need), access) in binds.iter().zip(&needs).zip(accesses) {
            self.bind(*bind, *need, *access)?;
        }
        self.are_apart(dispatch)?;
        dispatch.call.indices(&mut Bound { run: self, binds })?;
        for (bind, access) in binds.iter().zip(accesses) {
            if let (Bind::Buffer(id), true) = (bind, access.writes()) {
                self.holds[self.recording.buffer(*id).slot] = match dispatch.work().leaves() {
                    Some(routes) => Content::Routes(*id, routes),
                    None => Content::Written(*id),
                };
            }
        }
        Ok(())
    }

    /// Whether the adapter has what the kernel asks of it. Kernels that were made for processors run
    /// on a GPU as well, if slowly.
    fn runs(&self, variant: Variant) -> bool {
        variant.can_run_on(&self.caps.can)
    }

    /// One binding is there, as it has to be, and large enough.
    fn bind(&self, bind: Bind, need: Need, access: Access) -> Checked {
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
            Bind::Weight(_) if access.writes() => Err("it writes to a weight"),
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
    fn are_apart(&self, dispatch: &Dispatch) -> Checked {
        let slot = |bind: &Bind| match bind {
            Bind::Buffer(id) => Some(self.recording.buffer(*id).slot),
            Bind::Weight(_) => None,
        };
        let (binds, accesses) = (&dispatch.binds, dispatch.variant().bindings());
        for (i, access) in accesses.iter().enumerate().filter(|(_, access)| access.writes()) {
            let others = binds.iter().enumerate().filter(|(j, _)| *j != i);
            if others.clone().any(|(_, other)| slot(other) == slot(&binds[i])) {
                return Err("it writes over another of its arrays");
            }
            let is_kept = *access == Access::Change && !dispatch.work().starts();
            if let (true, Bind::Buffer(id)) = (is_kept, binds[i])
                && self.held(id).is_none()
            {
                return Err("it changes an array that nothing wrote, or that is gone");
            }
        }
        Ok(())
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
}

/// The arrays of a dispatch, as its kernel looks at them.
struct Bound<'r, 'a> {
    run: &'r mut Run<'a>,
    binds: &'r [Bind],
}

impl Arrays for Bound<'_, '_> {
    fn room(&self, at: usize) -> u128 {
        self.run.room(self.binds[at])
    }

    fn words(&self, at: usize) -> std::result::Result<&[u32], &'static str> {
        self.run.words(self.binds[at]).map(|(_, words)| words)
    }

    fn largest(&mut self, at: usize) -> std::result::Result<[u32; 4], &'static str> {
        self.run.largest(self.binds[at])
    }

    fn routes(&self, at: usize) -> Option<RoutesLeft> {
        match self.binds[at] {
            Bind::Buffer(id) => match self.run.held(id) {
                Some(Content::Routes(_, routes)) => Some(routes),
                _ => None,
            },
            Bind::Weight(_) => None,
        }
    }

    fn texts(&self) -> usize {
        self.run.recording.texts
    }
}
