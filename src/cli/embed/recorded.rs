//! A source that remembers which files were opened, so that the revision covers whatever a load read.

use std::collections::BTreeSet;
use std::sync::{Mutex, PoisonError};

use everylayer::Result;
use everylayer::model::source::{Blob, Source};

/// A model's files, and the names of those that were opened.
pub struct Recorded {
    source: Box<dyn Source>,
    opened: Mutex<BTreeSet<String>>,
}

impl Recorded {
    /// Nothing opened yet of `source`.
    pub fn new(source: Box<dyn Source>) -> Self {
        Self { source, opened: Mutex::default() }
    }

    /// The names of the files that were opened, sorted.
    fn opened(&self) -> BTreeSet<String> {
        self.opened.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The commit of a model in the hub's cache; of any other, `crc32-` and a checksum of every file
    /// that was opened so far, sorted by name: of its name, its size and all its bytes. A changed
    /// byte always changes it.
    ///
    /// # Errors
    /// As the source's files.
    pub fn revision(&self) -> Result<String> {
        let mut files = Vec::new();
        for name in self.opened() {
            if let Some(blob) = self.source.open(&name)? {
                files.push((name, blob));
            }
        }
        let mut commits: Vec<_> = files.iter().map(|(_, blob)| commit(&blob.place())).collect();
        commits.dedup();
        if let [Some(commit)] = &commits[..] {
            return Ok(commit.clone());
        }
        let mut all = "crc32".to_owned();
        for (name, blob) in files {
            all.push_str(&format!("-{:08x}", checksum(&name, blob.as_ref())?));
        }
        Ok(all)
    }
}

impl Source for Recorded {
    fn name(&self) -> String {
        self.source.name()
    }

    fn open(&self, path: &str) -> Result<Option<Box<dyn Blob>>> {
        let blob = self.source.open(path)?;
        if blob.is_some() {
            let mut opened = self.opened.lock().unwrap_or_else(PoisonError::into_inner);
            opened.insert(path.to_owned());
        }
        Ok(blob)
    }

    fn has(&self, path: &str) -> Result<bool> {
        self.source.has(path)
    }
}

fn checksum(name: &str, blob: &dyn Blob) -> Result<u32> {
    let (mut sum, mut at) = (crc32fast::Hasher::new(), 0);
    sum.update(name.as_bytes());
    sum.update(&blob.size().to_le_bytes());
    let mut piece = vec![0; 1 << 20];
    while at < blob.size() {
        let n = (blob.size() - at).min(piece.len() as u64);
        blob.read_at(at, &mut piece[..n as usize])?;
        sum.update(&piece[..n as usize]);
        at += n;
    }
    Ok(sum.finalize())
}

/// The folder after `snapshots`, as the hub's cache has it.
fn commit(place: &str) -> Option<String> {
    let mut parts = place.split(['/', '\\']);
    parts.find(|part| *part == "snapshots")?;
    let is_commit =
        |part: &&str| part.len() == 40 && part.bytes().all(|byte| byte.is_ascii_hexdigit());
    parts.next().filter(is_commit).map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;
    use std::path::Path;

    use everylayer::model::bytes::Bytes;
    use everylayer::model::directory::Directory;
    use everylayer::{Device, Encoder, LoadOptions};

    use super::*;

    type Files = HashMap<String, Vec<u8>>;

    fn fixture(name: &str) -> std::path::PathBuf {
        Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures").join(name)
    }

    /// All files below `folder`, by their path in it.
    fn read(folder: &Path, at: &str, files: &mut Files) {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            let name = path.file_name().unwrap().to_string_lossy();
            let name = if at.is_empty() { name.into_owned() } else { format!("{at}/{name}") };
            match path.is_dir() {
                true => read(&path, &name, files),
                false => drop(files.insert(name, std::fs::read(&path).unwrap())),
            }
        }
    }

    fn load(source: Box<dyn Source>) -> Recorded {
        let recorded = Recorded::new(source);
        let options = LoadOptions::default().device(Device::Cpu);
        Encoder::load_blocking(&recorded, &options).unwrap();
        recorded
    }

    /// The revision of `files` where the files `opened` are read.
    fn replayed(files: Files, opened: &BTreeSet<String>) -> String {
        let recorded = Recorded::new(Box::new(Bytes::new("another name", files)));
        opened.iter().for_each(|name| assert!(recorded.open(name).unwrap().is_some(), "{name}"));
        recorded.revision().unwrap()
    }

    #[test]
    fn every_byte_that_a_load_read_is_in_the_revision() {
        let mut adapted = Files::new();
        read(&fixture("checkpoints/tiny-d16"), "", &mut adapted);
        read(&fixture("adapters/bert"), "", &mut adapted);
        let mut models = vec![adapted];
        for folder in std::fs::read_dir(fixture("pipelines")).unwrap() {
            let folder = folder.unwrap().path();
            if folder.join("modules.json").is_file() {
                models.push(Files::new());
                read(&folder, "", models.last_mut().unwrap());
            }
        }
        let mut seen = BTreeSet::new();
        for files in &models {
            let recorded = load(Box::new(Bytes::new("a name", files.clone())));
            let (opened, revision) = (recorded.opened(), recorded.revision().unwrap());
            assert_eq!(replayed(files.clone(), &opened), revision);
            for name in &opened {
                for place in [0, files[name].len() / 2, files[name].len() - 1] {
                    let mut changed = files.clone();
                    changed.get_mut(name).unwrap()[place] ^= 1;
                    assert_ne!(replayed(changed, &opened), revision, "{name}, byte {place}");
                }
            }
            seen.extend(opened);
        }
        let ends = ["adapter_model.safetensors", "adapter_config.json", "1_Pooling/config.json"];
        for end in ends.into_iter().chain(["_Dense/model.safetensors", "tokenizer.json"]) {
            assert!(seen.iter().any(|name| name.ends_with(end)), "{end}: {seen:?}");
        }
    }

    #[test]
    fn the_same_files_in_another_folder_have_the_same_revision() {
        let place = fixture("checkpoints/tiny-d16");
        let folder = tempfile::tempdir().unwrap();
        for entry in std::fs::read_dir(&place).unwrap() {
            let entry = entry.unwrap();
            std::fs::copy(entry.path(), folder.path().join(entry.file_name())).unwrap();
        }
        let of = |path: &Path| load(Box::new(Directory::open(path).unwrap())).revision().unwrap();
        let (here, there) = (of(&place), of(folder.path()));
        assert_eq!(here, there);
        assert!(here.starts_with("crc32-"), "{here}");
        std::fs::write(folder.path().join("a note.md"), "nobody reads it").unwrap();
        assert_eq!(of(folder.path()), here);
    }

    #[test]
    fn a_snapshot_of_the_hub_has_its_commit() {
        let hash = "0123456789abcdef0123456789abcdef01234567";
        let cache = tempfile::tempdir().unwrap();
        let folder = cache.path().join("models--a--b/snapshots").join(hash);
        std::fs::create_dir_all(&folder).unwrap();
        for entry in std::fs::read_dir(fixture("checkpoints/tiny-d16")).unwrap() {
            let entry = entry.unwrap();
            std::fs::copy(entry.path(), folder.join(entry.file_name())).unwrap();
        }
        let recorded = load(Box::new(Directory::open(&folder).unwrap()));
        assert_eq!(recorded.revision().unwrap(), hash);
    }
}
