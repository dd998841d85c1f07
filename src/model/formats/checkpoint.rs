//! The weights of a model by name: one file of safetensors or of torch, or several with an index.
//!
//! Opening reads headers alone; a tensor is read and made float32 when it is asked for, in pieces,
//! so that no second copy of it is held. What the names mean is the families' matter.

use std::collections::{BTreeMap, HashMap};
use std::ops::Range;
use std::sync::Arc;

use serde::Deserialize;

use super::delta::Delta;
pub use super::tensor::TensorDtype;
use super::{safetensors, torch, values};
use crate::error::{Result, fail};
use crate::model::sources::{Blob, Source, check_path, read_json, recognise, stand_in};
use crate::quote::quote;

/// The files that weights are looked for in, in this order: one file, or an index of several.
const WEIGHTS: [&str; 2] = ["model.safetensors", "pytorch_model.bin"];

/// What a checkpoint says of one tensor.
#[derive(Debug, Clone)]
pub struct TensorInfo {
    /// Its name in the file.
    pub name: String,
    /// Type of its elements as stored.
    pub dtype: TensorDtype,
    /// Its shape, the slowest axis first; empty for a single value.
    pub shape: Vec<usize>,
    /// The file that holds it, for messages.
    pub file: Arc<str>,
    /// Which of the checkpoint's files that is.
    blob: usize,
    /// Where its data begins in that file, in bytes.
    start: u64,
    /// Elements from one to the next along each axis, where they do not follow each other.
    strides: Option<Vec<u64>>,
}

/// What the tensors of a checkpoint say of the sizes in its config.
#[derive(Debug, Clone, Copy)]
pub struct TensorSizes {
    /// One more than the largest number in their names: there are no more layers.
    pub layers: usize,
    /// The longest axis of one that has values.
    pub longest: usize,
}

/// The tensors of a model: what is there, and the way to their values.
#[derive(Debug)]
pub struct Checkpoint {
    place: String,
    blobs: Vec<Box<dyn Blob>>,
    tensors: BTreeMap<String, TensorInfo>,
    /// What an adapter adds to a tensor when it is read.
    deltas: BTreeMap<String, Vec<Delta>>,
    /// Tensors that an index names and no file has, and what it says of them.
    lost: BTreeMap<String, String>,
}

/// `model.safetensors.index.json` and its like: in which file each tensor lies.
#[derive(Deserialize)]
struct Index {
    weight_map: HashMap<String, String>,
}

impl Checkpoint {
    /// The weights at the root of `source`: `model.safetensors`, else the files that
    /// `model.safetensors.index.json` names, else `pytorch_model.bin`, else what its index names.
    /// Headers are read and checked, data is not.
    pub fn open(source: &dyn Source) -> Result<Self> {
        Self::open_in(source, "")
    }

    /// The weights in a folder of `source`, such as the `2_Dense` of a sentence-transformers model.
    pub fn open_in(source: &dyn Source, folder: &str) -> Result<Self> {
        let within = |file: &str| match folder {
            "" => file.to_owned(),
            _ => format!("{folder}/{file}"),
        };
        let place = match folder {
            "" => source.name(),
            _ => format!("{}: {folder}", source.name()),
        };
        let mut checkpoint = Self::empty(place);
        for file in WEIGHTS {
            if let Some(blob) = stand_in::open(source, &within(file))? {
                checkpoint.add(blob, file)?;
                return Ok(checkpoint);
            }
            let index_path = within(&format!("{file}.index.json"));
            if let Some(index) = read_json::<Index>(source, &index_path)? {
                checkpoint.open_shards(source, &index, &index_path, within)?;
                return Ok(checkpoint);
            }
        }
        Err(recognise::no_weights(source, &checkpoint.place, within))
    }

    /// The weights in the first of `files` that is there; `None` where there is none of them.
    pub(crate) fn open_first(source: &dyn Source, files: &[&str]) -> Result<Option<Self>> {
        let mut checkpoint = Self::empty(source.name());
        for file in files {
            if let Some(blob) = stand_in::open(source, file)? {
                checkpoint.add(blob, file)?;
                return Ok(Some(checkpoint));
            }
        }
        Ok(None)
    }

    fn empty(place: String) -> Self {
        Self {
            place,
            blobs: Vec::new(),
            tensors: BTreeMap::new(),
            deltas: BTreeMap::new(),
            lost: BTreeMap::new(),
        }
    }

    /// Takes tensors of an adapter's file: those of `whole`, by their names here and there, as they
    /// are, and `deltas` whenever the tensor of that name is read.
    pub(crate) fn merge(
        &mut self,
        mut adapter: Self,
        whole: Vec<(String, String)>,
        deltas: BTreeMap<String, Vec<Delta>>,
    ) {
        let first = self.blobs.len();
        for (name, stored) in whole {
            let Some(info) = adapter.tensors.remove(&stored) else { continue };
            // The older name of the same, which would be left over.
            for (end, old) in [(".weight", ".gamma"), (".bias", ".beta")] {
                if let Some(module) = name.strip_suffix(end) {
                    self.tensors.remove(&format!("{module}{old}"));
                }
            }
            let info = TensorInfo { name: name.clone(), blob: first + info.blob, ..info };
            self.tensors.insert(name, info);
        }
        self.blobs.append(&mut adapter.blobs);
        self.deltas = deltas;
    }

    fn open_shards(
        &mut self,
        source: &dyn Source,
        index: &Index,
        index_path: &str,
        within: impl Fn(&str) -> String,
    ) -> Result<()> {
        let mut files: Vec<&str> = index.weight_map.values().map(String::as_str).collect();
        files.sort_unstable();
        files.dedup();
        for file in files {
            let named = format!("{}: {index_path}", source.name());
            check_path(file).map_err(|e| e.at(&named))?;
            let Some(blob) = stand_in::open(source, &within(file))? else {
                return Err(fail!(
                    Checkpoint,
                    "{named}: it names the file {file}, which is missing: download the model again",
                    file = quote(file)
                ));
            };
            // As in Transformers, all tensors of a shard are there, whatever the index says of
            // them, and of two with one name it is that of the later file.
            self.add(blob, file)?;
        }
        // Nobody may need them: a tied head, for one, is stored with the table it is tied to.
        let lost = index.weight_map.iter().filter(|(name, _)| !self.tensors.contains_key(*name));
        self.lost = lost
            .map(|(name, file)| (name.clone(), format!("{index_path} says that it is in {file}")))
            .collect();
        Ok(())
    }

    /// Adds the tensors of one file; its name says its format.
    fn add(&mut self, blob: Box<dyn Blob>, name: &str) -> Result<()> {
        let file: Arc<str> = blob.place().into();
        let blob_index = self.blobs.len();
        let entries = match name.ends_with(".bin") {
            true => torch::read_header(&*blob)?,
            false => safetensors::read_header(&*blob)?,
        };
        for entry in entries {
            let info = TensorInfo {
                name: entry.name.clone(),
                dtype: entry.dtype,
                shape: entry.shape,
                file: Arc::clone(&file),
                blob: blob_index,
                start: entry.start,
                strides: entry.strides,
            };
            self.tensors.insert(entry.name, info);
        }
        self.blobs.push(blob);
        Ok(())
    }

    /// The names of all tensors, sorted.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.tensors.keys().map(String::as_str)
    }

    /// What the tensors say of the sizes in a config. Those that an index names and no file has are
    /// counted among the layers, so that they are named when they are asked for.
    pub(crate) fn sizes(&self) -> TensorSizes {
        let has_values = |t: &&TensorInfo| !t.shape.contains(&0);
        let axes = self.tensors.values().filter(has_values).flat_map(|t| &t.shape);
        let names = self.tensors.keys().chain(self.lost.keys());
        let numbers = names.flat_map(|name| name.split('.')).filter_map(|part| part.parse().ok());
        TensorSizes {
            layers: numbers.max().map_or(0, |last: usize| last.saturating_add(1)),
            longest: axes.copied().max().unwrap_or(0),
        }
    }

    /// What is known of the tensor `name`, `None` where the checkpoint has none.
    pub fn get(&self, name: &str) -> Option<&TensorInfo> {
        self.tensors.get(name)
    }

    /// All values of the tensor `name`, which must have `expected_shape`, as float32.
    pub fn read_f32(&self, name: &str, expected_shape: &[usize]) -> Result<Vec<f32>> {
        let info = self.expect(name, expected_shape)?;
        self.read_values(info, 0..expected_shape.first().copied().unwrap_or(1))
    }

    /// The rows `rows` (of the first axis) of the tensor `name`, which must have `expected_shape`,
    /// as float32.
    pub fn read_rows_f32(
        &self,
        name: &str,
        expected_shape: &[usize],
        rows: Range<usize>,
    ) -> Result<Vec<f32>> {
        let info = self.expect(name, expected_shape)?;
        let count = expected_shape.first().copied().unwrap_or(0);
        if rows.start > rows.end || rows.end > count {
            let Range { start, end } = rows;
            return Err(fail!(
                Usage,
                "{}: rows {start}..{end} are out of range for tensor {name}, which has {count}",
                info.file,
                name = quote(name)
            ));
        }
        self.read_values(info, rows)
    }

    /// The tensor `name`, or an error where it is missing or has another shape.
    pub fn expect(&self, name: &str, expected: &[usize]) -> Result<&TensorInfo> {
        let Some(info) = self.get(name) else {
            let files: Vec<_> = self.blobs.iter().map(|blob| blob.place()).collect();
            let files = if files.len() > 3 { self.place.clone() } else { files.join(", ") };
            let lost = self.lost.get(name).map_or_else(String::new, |said| format!(" ({said})"));
            return Err(fail!(
                Checkpoint,
                "{files}: tensor {name} {expected:?} is missing among the {} in it{lost}",
                self.tensors.len(),
                name = quote(name)
            ));
        };
        if info.shape != expected {
            return Err(fail!(
                Checkpoint,
                "{}: tensor {name} has shape {:?}, the config asks for {expected:?}",
                info.file,
                info.shape,
                name = quote(name)
            ));
        }
        Ok(info)
    }

    /// The values of the rows `rows` (of the first axis) of a tensor.
    fn read_values(&self, info: &TensorInfo, rows: Range<usize>) -> Result<Vec<f32>> {
        let TensorInfo { name, dtype, shape, file, strides, .. } = info;
        let Some(bytes) = dtype.width() else {
            return Err(fail!(
                Unsupported,
                "{file}: tensor {name} {shape:?} has type {dtype}, F32, F64, F16 or BF16 is expected",
                file = quote(file),
                name = quote(name)
            ));
        };
        if rows.is_empty() {
            return Ok(Vec::new());
        }
        // There is a row, so the product is no larger than that of the whole shape, which the
        // header was held against.
        let width: usize = shape.iter().skip(1).product();
        let count = rows.len() * width;
        let mut out = Vec::new();
        out.try_reserve_exact(count).map_err(|e| {
            fail!(
                OutOfMemory,
                "{file}: no memory for tensor {name} {shape:?}",
                file = quote(file),
                name = quote(name)
            )
            .with_source(e)
        })?;
        out.resize(count, 0.0_f32);
        let blob = &*self.blobs[info.blob];
        let step = match strides {
            Some(strides) => strides.first().copied().unwrap_or(0),
            None => width as u64,
        };
        let offset = info.start + rows.start as u64 * step * bytes as u64;
        match strides {
            Some(strides) => {
                let mut shape = shape.clone();
                shape.iter_mut().take(1).for_each(|first| *first = rows.len());
                values::read_view(blob, dtype, offset, (&shape, strides), &mut out)
            }
            None => values::read(blob, dtype, offset, &mut out),
        }
        .map_err(|e| e.at(format_args!("tensor {name}")))?;
        if *dtype == TensorDtype::F64 && out.iter().any(|x| x.is_infinite()) {
            return Err(fail!(
                Unsupported,
                "{file}: tensor {name} {shape:?} has a float64 that float32 does not hold (beyond \
                 3.4e38): the model cannot be computed in float32",
                file = quote(file),
                name = quote(name)
            ));
        }
        for delta in self.deltas.get(name).into_iter().flatten() {
            delta.add(&mut out, rows.clone(), width);
        }
        Ok(out)
    }
}
