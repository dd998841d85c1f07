//! A source that remembers which files were opened, so that the revision covers whatever a load read,
//! and a file that changes while the model is in use is found.

use std::collections::BTreeMap;
use std::fs::{self, Metadata};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::SystemTime;

use everylayer::model::sources::{Blob, Source};
use everylayer::{Error, ErrorKind, Result};

/// A model's files, and those that were opened: by name, with what the system said of each then.
pub struct Recorded {
    source: Box<dyn Source>,
    opened: Mutex<BTreeMap<String, Option<FileMark>>>,
}

/// Which bytes a model is made of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Revision {
    /// The commit of a model in the hub's cache, else the checksums.
    pub name: String,
    /// `crc32-` and a checksum of every file that was opened, sorted by name: of its name, its size and
    /// all its bytes. A changed byte always changes it.
    pub checksums: String,
}

/// What the system says of a file. Where it differs, the bytes may.
#[derive(Debug, Clone, PartialEq)]
struct FileMark {
    place: PathBuf,
    size: u64,
    changed: Option<SystemTime>,
    /// Device, number, and when it was last written or renamed, which nobody can set.
    unix: Option<[i64; 4]>,
}

impl FileMark {
    /// `None` where no file is there.
    fn at(place: &Path) -> Option<Self> {
        let meta = fs::metadata(place).ok()?;
        let (size, changed, unix) = (meta.len(), meta.modified().ok(), unix(&meta));
        Some(Self { place: place.to_owned(), size, changed, unix })
    }
}

#[cfg(unix)]
fn unix(meta: &Metadata) -> Option<[i64; 4]> {
    use std::os::unix::fs::MetadataExt;
    let (device, number) = (meta.dev().cast_signed(), meta.ino().cast_signed());
    Some([device, number, meta.ctime(), meta.ctime_nsec()])
}

#[cfg(not(unix))]
fn unix(_: &Metadata) -> Option<[i64; 4]> {
    None
}

impl Recorded {
    /// Nothing opened yet of `source`.
    pub fn new(source: Box<dyn Source>) -> Self {
        Self { source, opened: Mutex::default() }
    }

    /// The files that were opened, by name.
    fn opened(&self) -> BTreeMap<String, Option<FileMark>> {
        self.opened.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Where the files that were opened lie.
    pub fn places(&self) -> Vec<PathBuf> {
        self.opened().into_values().flatten().map(|state| state.place).collect()
    }

    /// The bytes of every file that was opened so far.
    ///
    /// # Errors
    /// As the source's files, and `Checkpoint` where one is not as it was when it was opened.
    pub fn revision(&self) -> Result<Revision> {
        let (mut commits, checksums) = self.checksums()?;
        if let Some(place) = self.touched() {
            return Err(changed(&place));
        }
        commits.dedup();
        let name = match &commits[..] {
            [Some(commit)] => commit.clone(),
            _ => checksums.clone(),
        };
        Ok(Revision { name, checksums })
    }

    /// The commit of each file that was opened, where it has one, and the checksums of all.
    fn checksums(&self) -> Result<(Vec<Option<String>>, String)> {
        let (mut commits, mut checksums) = (Vec::new(), "crc32".to_owned());
        for name in self.opened().into_keys() {
            let Some(blob) = self.source.open(&name)? else {
                return Err(changed(&format!("{}: {name}", self.name())));
            };
            commits.push(commit(&blob.place()));
            checksums.push_str(&format!("-{:08x}", checksum(&name, blob.as_ref())?));
        }
        Ok((commits, checksums))
    }

    /// A file of which the system says something else than when it was opened.
    fn touched(&self) -> Option<String> {
        let mut opened = self.opened().into_values().flatten();
        let found = opened.find(|state| FileMark::at(&state.place).as_ref() != Some(state))?;
        Some(found.place.display().to_string())
    }

    /// Holds the files against `revision`, which was theirs.
    ///
    /// # Errors
    /// As [`Recorded::revision`].
    pub fn unchanged(&self, revision: &Revision) -> Result<()> {
        let Some(place) = self.touched() else {
            return Ok(());
        };
        // Touched, linked or moved: what counts is the bytes.
        match self.checksums()?.1 == revision.checksums {
            true => Ok(()),
            false => Err(changed(&place)),
        }
    }
}

fn changed(place: &str) -> Error {
    let said = format!("{place}: it changed while the model was in use: run the command again");
    Error::new(ErrorKind::Checkpoint, said)
}

impl Source for Recorded {
    fn name(&self) -> String {
        self.source.name()
    }

    fn open(&self, path: &str) -> Result<Option<Box<dyn Blob>>> {
        let blob = self.source.open(path)?;
        if let Some(blob) = &blob {
            let mut opened = self.opened.lock().unwrap_or_else(PoisonError::into_inner);
            opened.entry(path.to_owned()).or_insert_with(|| FileMark::at(Path::new(&blob.place())));
        }
        Ok(blob)
    }

    fn list(&self, folder: &str) -> Vec<String> {
        self.source.list(folder)
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
    fn replayed(files: Files, opened: &[String]) -> String {
        let recorded = Recorded::new(Box::new(Bytes::new("another name", files)));
        opened.iter().for_each(|name| assert!(recorded.open(name).unwrap().is_some(), "{name}"));
        recorded.revision().unwrap().name
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
        let mut seen = Vec::new();
        for files in &models {
            let recorded = load(Box::new(Bytes::new("a name", files.clone())));
            let opened: Vec<_> = recorded.opened().into_keys().collect();
            let revision = recorded.revision().unwrap().name;
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
        let of =
            |path: &Path| load(Box::new(Directory::open(path).unwrap())).revision().unwrap().name;
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
        let revision = recorded.revision().unwrap();
        assert_eq!(revision.name, hash);
        // A file that is replaced there has another checksum, if not another commit.
        let config = folder.join("config.json");
        let text = fs::read_to_string(&config).unwrap();
        fs::write(&config, text.replacen('{', "{ ", 1)).unwrap();
        let again = load(Box::new(Directory::open(&folder).unwrap())).revision().unwrap();
        assert_eq!(again.name, hash);
        assert_ne!(again.checksums, revision.checksums);
    }

    #[test]
    fn a_file_that_changes_in_use_is_found() {
        let folder = tempfile::tempdir().unwrap();
        for entry in fs::read_dir(fixture("checkpoints/tiny-d16")).unwrap() {
            let entry = entry.unwrap();
            fs::copy(entry.path(), folder.path().join(entry.file_name())).unwrap();
        }
        let recorded = load(Box::new(Directory::open(folder.path()).unwrap()));
        let revision = recorded.revision().unwrap();
        recorded.unchanged(&revision).unwrap();
        let weights = folder.path().join("model.safetensors");
        let time = fs::metadata(&weights).unwrap().modified().unwrap();
        let set = |time| {
            fs::File::options().append(true).open(&weights).unwrap().set_modified(time).unwrap();
        };
        // Touched, and not changed.
        set(SystemTime::now());
        recorded.unchanged(&revision).unwrap();
        let mut bytes = fs::read(&weights).unwrap();
        *bytes.last_mut().unwrap() ^= 1;
        fs::write(&weights, &bytes).unwrap();
        set(time);
        if cfg!(unix) {
            let error = recorded.unchanged(&revision).unwrap_err().to_string();
            assert!(error.contains("model.safetensors: it changed while"), "{error}");
            assert!(recorded.revision().is_err());
        }
        fs::remove_file(&weights).unwrap();
        assert!(recorded.unchanged(&revision).is_err());
    }
}
