//! Files of before torch 1.6, and of `_use_new_zipfile_serialization=False`: pickles in a row, then
//! the elements of each storage.
//!
//! The pickles are a magic number, the protocol, facts of the machine, the object, and the keys of
//! the storages in the order in which they follow, each with its count before it. Format:
//! `torch/serialization.py` of 2.x, `_legacy_save` and `_legacy_load`.

use std::collections::HashMap;

use super::{MAX_INDEX_BYTES, bytes, entry};
use crate::error::{Result, fail};
use crate::model::formats::pickle::{PickleReader, Storage, Tensor};
use crate::model::formats::tensor::Entry;
use crate::model::sources::Blob;
use crate::quote::quote;

/// 0x1950a86a20f9469cfc6c, as it lies in the pickle.
const MAGIC: [u8; 10] = [0x6c, 0xfc, 0x9c, 0x46, 0xf9, 0x20, 0x6a, 0xa8, 0x50, 0x19];
const PROTOCOL: i64 = 1001;

/// The tensors by name, all storages, and the keys of these in the file's order.
type Pickles = (Vec<(String, Tensor)>, Vec<Storage>, Vec<String>);

/// The tensors of the file `blob`, which begins with a pickle.
pub(super) fn read(blob: &dyn Blob) -> Result<Vec<Entry>> {
    let all = blob.size() <= MAX_INDEX_BYTES;
    let head = bytes(blob, 0, blob.size().min(MAX_INDEX_BYTES))?;
    let mut reader = PickleReader::new(&head);
    let pickles = pickles(&mut reader).map_err(|e| match reader.at() == head.len() && !all {
        true => fail!(
            Unsupported,
            "its pickles take more than the {MAX_INDEX_BYTES} bytes that are read"
        ),
        false => e,
    });
    let (state, storages, keys) = pickles?;

    let mut stored: HashMap<&str, &Storage> = HashMap::new();
    for storage in &storages {
        let root = stored.entry(&storage.key).or_insert(storage);
        if (root.all, root.width) != (storage.all, storage.width) {
            return Err(damaged("a storage has two sizes"));
        }
    }
    let mut places: HashMap<&str, (u64, u64)> = HashMap::new();
    let mut at = reader.at() as u64;
    for key in &keys {
        let Some(storage) = stored.get(key.as_str()) else {
            return Err(damaged("it lists a storage that no tensor uses"));
        };
        let count = bytes(blob, at, 8)?;
        let count = count.try_into().map(u64::from_le_bytes).unwrap_or_default();
        let size = count.checked_mul(storage.width).filter(|_| count == storage.all);
        let size =
            size.ok_or_else(|| damaged("a storage has another size than its tensors say"))?;
        let start = at + 8;
        let end = start.checked_add(size).filter(|&end| end <= blob.size());
        at = end.ok_or_else(|| fail!(Checkpoint, "the file is truncated: download it again"))?;
        if places.insert(key, (start, size)).is_some() {
            return Err(damaged("it lists a storage twice"));
        }
    }
    let entries = state.into_iter().map(|(name, tensor)| {
        let Some(&(start, size)) = places.get(tensor.storage.key.as_str()) else {
            return Err(fail!(
                Checkpoint,
                "tensor {name} is in a storage that the file lacks",
                name = quote(name)
            ));
        };
        entry(name, &tensor, start, size)
    });
    entries.collect()
}

fn pickles(reader: &mut PickleReader<'_>) -> Result<Pickles> {
    if reader.wide()?.is_none_or(|magic| magic != MAGIC) {
        return Err(fail!(
            Unsupported,
            "it is a pickle, but not one that torch.save wrote: save a state_dict with torch.save, \
             or as safetensors"
        ));
    }
    let protocol = reader.int()?;
    if protocol != Some(PROTOCOL) {
        return Err(fail!(
            Unsupported,
            "it is in protocol {} of torch, {PROTOCOL} is read",
            protocol.map_or_else(|| "?".to_owned(), |n| n.to_string())
        ));
    }
    if reader.flag("little_endian")? == Some(false) {
        return Err(fail!(Unsupported, "its data is not little-endian, which is not supported"));
    }
    let (state, storages) = reader.state()?;
    Ok((state, storages, reader.texts()?))
}

fn damaged(what: &str) -> crate::Error {
    fail!(Checkpoint, "{what}: the file is damaged, download it again")
}
