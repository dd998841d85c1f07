//! A source over the Hugging Face hub and the cache that all its tools share.
//!
//! What is in the cache is used without a request; a file is fetched when it is opened, by the
//! crate `hf-hub`, and stays in the cache. This file finds the cache, reads it as `huggingface_hub`
//! lays it out (`models--org--name/{refs,snapshots,blobs,.no_exist}`), honours the environment, and
//! says what went wrong; what is in the files is not its matter.

use std::fmt;
use std::path::PathBuf;

use hf_hub::api::sync::{Api, ApiBuilder, ApiError, ApiRepo};
use hf_hub::{Repo, RepoType};

use crate::error::{Error, Result, fail};
use crate::model::sources::directory::FileBlob;
use crate::model::sources::locate::is_hub_id;
use crate::model::sources::recognise::{MAX_REF, MODEL_FILES};
use crate::model::sources::{Blob, Source, check_path};

const ENDPOINT: &str = "https://huggingface.co";

/// Where the hub and its cache are, and whether to ask the hub at all.
#[derive(Clone)]
pub struct HubOptions {
    /// The cache folder, which holds `models--org--name`.
    pub cache: PathBuf,
    /// The address of the hub.
    pub endpoint: String,
    /// The token sent with each request.
    pub token: Option<String>,
    /// Use the cache alone.
    pub offline: bool,
    /// Draw a bar on standard error while a file is fetched.
    pub progress: bool,
}

impl HubOptions {
    /// What the environment says: `HF_HUB_CACHE`, `HF_HOME`, `HF_HUB_OFFLINE`, `HF_TOKEN`,
    /// `HF_ENDPOINT`, as `huggingface_hub` reads them.
    pub fn from_env() -> Result<Self> {
        Self::from_vars(|name| std::env::var_os(name).and_then(|value| value.into_string().ok()))
    }

    /// [`HubOptions::from_env`] over any set of variables.
    pub fn from_vars(var: impl Fn(&str) -> Option<String>) -> Result<Self> {
        // https://github.com/huggingface/huggingface_hub/blob/v1.0.0/src/huggingface_hub/constants.py
        let var = |name: &str| var(name).filter(|value| !value.is_empty());
        let home = || match (var("HF_HOME"), var("XDG_CACHE_HOME")) {
            (Some(home), _) => Some(expand(&home)),
            (None, Some(cache)) => Some(expand(&cache).join("huggingface")),
            (None, None) => Some(std::env::home_dir()?.join(".cache").join("huggingface")),
        };
        let cache = var("HF_HUB_CACHE").or_else(|| var("HUGGINGFACE_HUB_CACHE"));
        let cache = match cache {
            Some(cache) => expand(&cache),
            None => home()
                .ok_or_else(|| {
                    fail!(Hub, "there is no home folder to keep models in: set HF_HOME to a folder")
                })?
                .join("hub"),
        };
        let token_file = var("HF_TOKEN_PATH").map(|path| expand(&path));
        let token_file = token_file.or_else(|| Some(home()?.join("token")));
        let token = var("HF_TOKEN").or_else(|| std::fs::read_to_string(token_file?).ok());
        let token = token.map(|token| token.trim().to_owned()).filter(|token| !token.is_empty());
        let endpoint = var("HF_ENDPOINT").unwrap_or_else(|| ENDPOINT.into());
        let yes = |value: String| {
            matches!(value.to_ascii_uppercase().as_str(), "1" | "ON" | "YES" | "TRUE")
        };
        Ok(Self {
            cache,
            endpoint: endpoint.trim_end_matches('/').to_owned(),
            token,
            offline: var("HF_HUB_OFFLINE").or_else(|| var("TRANSFORMERS_OFFLINE")).is_some_and(yes),
            progress: false,
        })
    }
}

impl fmt::Debug for HubOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HubOptions")
            .field("cache", &self.cache)
            .field("endpoint", &self.endpoint)
            .field("token", &self.token.as_ref().map(|_| "..."))
            .field("offline", &self.offline)
            .field("progress", &self.progress)
            .finish()
    }
}

/// `path` with a leading `~/` made the home folder.
fn expand(path: &str) -> PathBuf {
    match (path.strip_prefix("~/"), std::env::home_dir()) {
        (Some(rest), Some(home)) => home.join(rest),
        _ => path.into(),
    }
}

/// One revision of one model on the hub.
pub struct Hub {
    id: String,
    revision: String,
    options: HubOptions,
    api: Option<Api>,
}

impl Hub {
    /// The model `id` (`org/name` or `org/name@revision`) at `revision`, else at `main`, with the
    /// options of the environment.
    pub fn open(id: &str, revision: Option<&str>) -> Result<Self> {
        Self::open_with(id, revision, HubOptions::from_env()?)
    }

    /// [`Hub::open`] with options. Looks for the model's `config.json`, in the cache, then on the hub.
    pub fn open_with(id: &str, revision: Option<&str>, options: HubOptions) -> Result<Self> {
        let (name, in_id) = match id.split_once('@') {
            Some((name, revision)) => (name, Some(revision)),
            None => (id, None),
        };
        let revision = revision.or(in_id).unwrap_or("main");
        if !is_hub_id(&format!("{name}@{revision}")) {
            return Err(fail!(
                Usage,
                "{id:?} at revision {revision:?} is not a hub id: write org/name or \
                 org/name@revision"
            ));
        }
        let api = match options.offline {
            true => None,
            false => Some(
                ApiBuilder::new()
                    .with_cache_dir(options.cache.clone())
                    .with_endpoint(options.endpoint.clone())
                    .with_token(options.token.clone())
                    .with_progress(options.progress)
                    .with_retries(2)
                    .with_user_agent("everylayer", env!("CARGO_PKG_VERSION"))
                    .build()
                    .map_err(|e| fail!(Hub, "no connection to the hub: {e}").with_source(e))?,
            ),
        };
        let hub = Self { id: name.into(), revision: revision.into(), options, api };
        let found = MODEL_FILES
            .into_iter()
            .find_map(|file| hub.open(file).map(|b| b.map(drop)).transpose());
        if found.transpose()?.is_none() {
            return Err(fail!(
                NotFound,
                "{} is not a model: {} has no config.json under that name and revision",
                hub.name(),
                hub.where_looked()
            ));
        }
        Ok(hub)
    }

    /// The folder of this model in the cache.
    fn folder(&self) -> PathBuf {
        self.options.cache.join(self.repo(&self.revision).folder_name())
    }

    fn repo(&self, revision: &str) -> Repo {
        Repo::with_revision(self.id.clone(), RepoType::Model, revision.to_owned())
    }

    fn where_looked(&self) -> String {
        match self.options.offline {
            true => format!("the cache {}", self.options.cache.display()),
            false => self.options.endpoint.clone(),
        }
    }

    /// The commit that the revision stands for, as far as the cache knows.
    fn commit(&self) -> Result<Option<String>> {
        let folder = self.folder();
        let commit = FileBlob::read_text(folder.join("refs").join(&self.revision), MAX_REF)?;
        let commit = commit.map_or(self.revision.clone(), |commit| commit.trim().to_owned());
        let known = |kind: &str| folder.join(kind).join(&commit).is_dir();
        let is_known = check_path(&commit).is_ok() && (known("snapshots") || known(".no_exist"));
        Ok(is_known.then_some(commit))
    }

    /// Looks for `path` in the cache.
    fn cached(&self, commit: &str, path: &str) -> Result<Cached> {
        let folder = self.folder();
        if let Some(blob) = FileBlob::open(folder.join("snapshots").join(commit).join(path))? {
            return Ok(Cached::File(blob));
        }
        let absent = folder.join(".no_exist").join(commit).join(path).is_file();
        Ok(if absent { Cached::Absent } else { Cached::Unknown })
    }

    /// What to do about `path`: it is cached, known to be absent, or to be asked of the hub.
    fn look(&self, path: &str) -> Result<Look<'_>> {
        check_path(path)?;
        let commit = self.commit()?;
        if let Some(commit) = &commit {
            match self.cached(commit, path)? {
                Cached::File(blob) => return Ok(Look::File(blob)),
                Cached::Absent => return Ok(Look::Absent),
                Cached::Unknown => {}
            }
        }
        match (&self.api, &commit) {
            (Some(api), _) => {
                // Once the cache knows the commit, all files are taken from it, even where the
                // branch has moved on.
                let revision = commit.as_deref().unwrap_or(&self.revision);
                Ok(Look::Ask(api, Box::new(api.repo(self.repo(revision))), commit))
            }
            // A download that was complete leaves no mark for the files the model never had.
            (None, Some(commit)) if self.folder().join("snapshots").join(commit).is_dir() => {
                Ok(Look::Absent)
            }
            (None, _) => Err(fail!(
                NotFound,
                "{} is not in the cache {}, and HF_HUB_OFFLINE is set: unset it to fetch the model, \
                 or point HF_HUB_CACHE to the cache that has it, or name a folder",
                self.name(),
                self.options.cache.display()
            )),
        }
    }

    /// What the hub says of the file at `url`; `None` where it has no such file.
    fn ask(&self, api: &Api, url: &str, path: &str, commit: Option<&str>) -> Result<Option<u64>> {
        let metadata = match api.metadata(url) {
            Ok(metadata) => metadata,
            Err(e) if status(&e) == Some(404) => {
                self.remember_absent(commit, path);
                return Ok(None);
            }
            Err(e) => return Err(self.refused(path, e)),
        };
        // Both become names in the cache folder.
        for name in [metadata.commit_hash(), metadata.etag()] {
            check_path(name).map_err(|_| {
                fail!(Hub, "{}: the hub's answer for {path} has a bad header: {name:?}", self.id)
            })?;
        }
        Ok(Some(metadata.size() as u64))
    }

    /// Leaves the mark that `huggingface_hub` leaves for a file that does not exist, so that the
    /// next run need not ask. It only saves a request: failing to write it changes nothing.
    fn remember_absent(&self, commit: Option<&str>, path: &str) {
        let Some(commit) = commit else { return };
        let mark = self.folder().join(".no_exist").join(commit).join(path);
        if mark.parent().is_some_and(|folder| std::fs::create_dir_all(folder).is_ok()) {
            let _ = std::fs::File::create(mark);
        }
    }

    fn fetch(&self, repo: &ApiRepo, path: &str, size: u64) -> Result<FileBlob> {
        let place = repo.download(path).map_err(|e| self.refused(path, e))?;
        let found = FileBlob::open(place.clone())?.filter(|blob| blob.size() == size);
        found.ok_or_else(|| {
            // A short file must not be taken for the whole one next time: away with blob and link.
            for place in [std::fs::canonicalize(&place).as_deref().unwrap_or(&place), &place] {
                let _ = std::fs::remove_file(place);
            }
            fail!(
                Hub,
                "{}: {path} was not received completely ({size} bytes): try again",
                self.name()
            )
        })
    }

    /// The sentence for a failed request.
    fn refused(&self, path: &str, error: ApiError) -> Error {
        let (name, endpoint) = (self.name(), &self.options.endpoint);
        match status(&error) {
            Some(code @ (401 | 403)) => fail!(
                Hub,
                "{endpoint} refuses {path} of {name} ({code}): no such model, or it is private or \
                 gated: check the name, or set HF_TOKEN to a token that may read it"
            ),
            Some(404) => fail!(NotFound, "{endpoint} has no {path} of {name}"),
            Some(code) => fail!(Hub, "{endpoint} answers {code} for {path} of {name}: try later"),
            None => fail!(
                Hub,
                "the hub {endpoint} cannot be reached ({error}), and {path} of {name} is not in the \
                 cache {}: check the network, or name a folder; HF_HUB_OFFLINE=1 uses what the cache \
                 has",
                self.options.cache.display()
            ),
        }
        .with_source(error)
    }
}

enum Cached {
    File(FileBlob),
    Absent,
    Unknown,
}

enum Look<'a> {
    File(FileBlob),
    Absent,
    Ask(&'a Api, Box<ApiRepo>, Option<String>),
}

/// The HTTP status that `error` is about.
fn status(error: &ApiError) -> Option<u16> {
    match error {
        ApiError::RequestError(error) => match &**error {
            ureq::Error::StatusCode(code) => Some(*code),
            _ => None,
        },
        ApiError::TooManyRetries(error) => status(error),
        _ => None,
    }
}

impl Source for Hub {
    fn name(&self) -> String {
        match self.revision.as_str() {
            "main" => self.id.clone(),
            revision => format!("{}@{revision}", self.id),
        }
    }

    fn open(&self, path: &str) -> Result<Option<Box<dyn Blob>>> {
        let blob = match self.look(path)? {
            Look::File(blob) => blob,
            Look::Absent => return Ok(None),
            Look::Ask(api, repo, commit) => {
                let size = self.ask(api, &repo.url(path), path, commit.as_deref())?;
                let Some(size) = size else { return Ok(None) };
                self.fetch(&repo, path, size)?
            }
        };
        Ok(Some(Box::new(blob)))
    }

    fn has(&self, path: &str) -> Result<bool> {
        Ok(match self.look(path)? {
            Look::File(_) => true,
            Look::Absent => false,
            Look::Ask(api, repo, commit) => {
                self.ask(api, &repo.url(path), path, commit.as_deref())?.is_some()
            }
        })
    }
}

impl fmt::Debug for Hub {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Hub({}, {:?})", self.name(), self.options)
    }
}
