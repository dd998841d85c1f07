//! The hub source against a server on this machine and against caches made by hand.
//!
//! No test reaches beyond 127.0.0.1, and none touches the environment.
#![cfg(feature = "hub")]

use std::collections::HashMap;
use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use everylayer::ErrorKind;
use everylayer::model::hub::{Hub, HubOptions};
use everylayer::model::sources::{Source, read_all};

const COMMIT: &str = "0123456789abcdef0123456789abcdef01234567";

/// A hub that knows the files of one repository, `org/name`, and writes down each request.
struct Server {
    endpoint: String,
    log: Arc<Mutex<Vec<String>>>,
}

/// What the server does beside serving files.
#[derive(Clone, Copy, PartialEq)]
enum Mood {
    Good,
    /// Says 401 to who brings no token.
    Gated,
    /// Says 503.
    Down,
    /// Ends each file one byte early.
    Short,
    /// Names a commit that leaves the cache.
    Evil,
}

impl Server {
    fn start(files: &[(&str, &str)], mood: Mood) -> Self {
        let files: HashMap<String, String> =
            files.iter().map(|(path, text)| ((*path).into(), (*text).into())).collect();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let endpoint = format!("http://{}", listener.local_addr().unwrap());
        let log = Arc::new(Mutex::new(Vec::new()));
        let shared = Arc::clone(&log);
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let _ = answer(stream.unwrap(), &files, mood, &shared);
            }
        });
        Self { endpoint, log }
    }

    fn requests(&self) -> Vec<String> {
        std::mem::take(&mut *self.log.lock().unwrap())
    }
}

fn answer(
    mut stream: TcpStream,
    files: &HashMap<String, String>,
    mood: Mood,
    log: &Mutex<Vec<String>>,
) -> std::io::Result<()> {
    let mut lines = BufReader::new(stream.try_clone()?).lines();
    let request = lines.next().unwrap_or(Ok(String::new()))?;
    let mut headers = HashMap::new();
    for line in lines {
        let line = line?;
        let Some((name, value)) = line.split_once(": ") else { break };
        headers.insert(name.to_ascii_lowercase(), value.to_owned());
    }
    let path = request.split(' ').nth(1).unwrap_or("").to_owned();
    log.lock().unwrap().push(path.clone());
    let say = |stream: &mut TcpStream, status: &str| {
        write!(stream, "HTTP/1.1 {status}\r\ncontent-length: 0\r\nconnection: close\r\n\r\n")
    };
    match mood {
        Mood::Down => return say(&mut stream, "503 Service Unavailable"),
        Mood::Gated
            if headers.get("authorization").map(String::as_str) != Some("Bearer secret") =>
        {
            return say(&mut stream, "401 Unauthorized");
        }
        _ => {}
    }
    let rest = path.strip_prefix("/org/name/resolve/").unwrap_or("");
    let (revision, file) = rest.split_once('/').unwrap_or(("", ""));
    let known = ["main", "refs%2Fpr%2F1", COMMIT].contains(&revision);
    let Some(text) = files.get(file).filter(|_| known) else {
        return say(&mut stream, "404 Not Found");
    };
    // "bytes=0-0" or "bytes=5-".
    let range = headers.get("range").and_then(|range| range.strip_prefix("bytes="));
    let (from, to) = range.and_then(|range| range.split_once('-')).unwrap_or(("0", ""));
    let from: usize = from.parse().unwrap();
    let end = to.parse::<usize>().map_or(text.len(), |to| (to + 1).min(text.len()));
    let mut body = &text.as_bytes()[from.min(end)..end];
    if mood == Mood::Short && to.is_empty() {
        body = &body[..body.len() - 1];
    }
    let commit = if mood == Mood::Evil { "../../../evil" } else { COMMIT };
    write!(
        stream,
        "HTTP/1.1 206 Partial Content\r\ncontent-length: {}\r\ncontent-range: bytes {from}-{}/{}\r\n\
         x-repo-commit: {commit}\r\netag: \"etag-{}\"\r\nconnection: close\r\n\r\n",
        body.len(),
        end.saturating_sub(1),
        text.len(),
        file.replace('/', "-"),
    )?;
    stream.write_all(body)
}

/// An empty cache folder for the test called `name`.
fn cache(name: &str) -> PathBuf {
    let path = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("hub").join(name);
    let _ = fs::remove_dir_all(&path);
    fs::create_dir_all(&path).unwrap();
    path
}

fn options(cache: &Path, endpoint: &str) -> HubOptions {
    HubOptions {
        cache: cache.to_owned(),
        endpoint: endpoint.to_owned(),
        token: None,
        offline: false,
        progress: false,
    }
}

fn text(source: &dyn Source, path: &str) -> Option<String> {
    read_all(source, path, 1000).unwrap().map(|bytes| String::from_utf8(bytes).unwrap())
}

/// A cache as `huggingface_hub` lays it out, with one file and one that is known not to exist.
fn cache_by_hand(name: &str) -> PathBuf {
    let cache = cache(name);
    let folder = cache.join("models--org--name");
    for (path, text) in [
        ("refs/main", COMMIT),
        (&format!("snapshots/{COMMIT}/config.json"), "cached"),
        (&format!("snapshots/{COMMIT}/1_Pooling/config.json"), "pooling"),
        (&format!(".no_exist/{COMMIT}/modules.json"), ""),
    ] {
        let path = folder.join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }
    cache
}

#[test]
fn files_are_fetched_once() {
    let cache = cache("fetched");
    let server = Server::start(
        &[("config.json", "{}"), ("1_Pooling/config.json", "{\"a\": 1}"), ("big.bin", "weights")],
        Mood::Good,
    );
    let hub = Hub::open_with("org/name", None, options(&cache, &server.endpoint)).unwrap();
    assert_eq!(hub.name(), "org/name");
    assert_eq!(text(&hub, "config.json").unwrap(), "{}");
    assert_eq!(text(&hub, "1_Pooling/config.json").unwrap(), "{\"a\": 1}");
    assert_eq!(text(&hub, "modules.json"), None);
    // Asking is not fetching.
    assert!(hub.has("big.bin").unwrap());
    let folder = cache.join("models--org--name");
    assert!(!folder.join("snapshots").join(COMMIT).join("big.bin").exists());
    assert!(!hub.has("tf_model.h5").unwrap());
    // After the first file (asked twice, then fetched) all is asked of its commit.
    let requests = server.requests();
    assert!(requests[0].contains("/resolve/main/config.json"), "{requests:?}");
    assert!(requests.iter().filter(|r| r.contains("/resolve/main/")).count() <= 3, "{requests:?}");

    assert_eq!(fs::read_to_string(folder.join("refs/main")).unwrap(), COMMIT);
    assert!(folder.join("snapshots").join(COMMIT).join("1_Pooling/config.json").is_file());

    let again = Hub::open_with("org/name", None, options(&cache, &server.endpoint)).unwrap();
    assert_eq!(text(&again, "1_Pooling/config.json").unwrap(), "{\"a\": 1}");
    assert_eq!(text(&again, "modules.json"), None);
    assert_eq!(server.requests(), [""; 0]);

    let offline = HubOptions { offline: true, ..options(&cache, "http://127.0.0.1:1") };
    let offline = Hub::open_with("org/name", None, offline).unwrap();
    assert_eq!(text(&offline, "config.json").unwrap(), "{}");
}

#[test]
fn a_revision_may_be_in_the_id() {
    let cache = cache("revision");
    let server = Server::start(&[("config.json", "{}")], Mood::Good);
    let options = || options(&cache, &server.endpoint);
    let hub = Hub::open_with("org/name@refs/pr/1", None, options()).unwrap();
    assert_eq!(hub.name(), "org/name@refs/pr/1");
    assert!(server.requests()[0].contains("/resolve/refs%2Fpr%2F1/config.json"));
    assert!(Hub::open_with("org/name", Some(COMMIT), options()).is_ok());
    let e = Hub::open_with("org/name@gone", None, options()).unwrap_err();
    assert_eq!(e.kind(), ErrorKind::NotFound);
    assert!(
        e.to_string().contains("org/name@gone") && e.to_string().contains("config.json"),
        "{e}"
    );
    for bad in ["org/name@../x", "../name", "a/b/c", "org/name?x"] {
        assert_eq!(Hub::open_with(bad, None, options()).unwrap_err().kind(), ErrorKind::Usage);
    }
}

#[test]
fn a_cache_is_used_without_a_request() {
    let cache = cache_by_hand("by_hand");
    // Port 1 refuses: a request would be an error.
    let hub = Hub::open_with("org/name", None, options(&cache, "http://127.0.0.1:1")).unwrap();
    assert_eq!(text(&hub, "config.json").unwrap(), "cached");
    assert_eq!(text(&hub, "1_Pooling/config.json").unwrap(), "pooling");
    assert_eq!(text(&hub, "modules.json"), None);
    let e = hub.open("model.safetensors").unwrap_err();
    assert_eq!(e.kind(), ErrorKind::Hub);
    for part in ["model.safetensors", "org/name", "http://127.0.0.1:1", "HF_HUB_OFFLINE=1"] {
        assert!(e.to_string().contains(part), "{part:?} is not in {e}");
    }
    // A commit needs no entry in refs.
    let by_commit = format!("org/name@{COMMIT}");
    let hub = Hub::open_with(&by_commit, None, options(&cache, "http://127.0.0.1:1")).unwrap();
    assert_eq!(text(&hub, "config.json").unwrap(), "cached");
    assert!(hub.open("../refs/main").is_err());
}

#[test]
fn offline_a_complete_model_is_enough() {
    let cache = cache_by_hand("offline");
    let offline = || HubOptions { offline: true, ..options(&cache, "http://127.0.0.1:1") };
    let hub = Hub::open_with("org/name", None, offline()).unwrap();
    // `hf download` leaves no mark for what the model never had.
    assert_eq!(text(&hub, "sentence_bert_config.json"), None);
    let e = Hub::open_with("org/other", None, offline()).unwrap_err();
    assert_eq!(e.kind(), ErrorKind::NotFound);
    for part in ["org/other", "HF_HUB_OFFLINE", cache.to_str().unwrap()] {
        assert!(e.to_string().contains(part), "{part:?} is not in {e}");
    }
    assert!(Hub::open_with("org/name@other", None, offline()).is_err());
}

#[cfg(unix)]
#[test]
fn a_fifo_in_the_cache_is_refused_at_once() {
    let cache = cache_by_hand("fifo");
    let offline = || HubOptions { offline: true, ..options(&cache, "http://127.0.0.1:1") };
    let folder = cache.join("models--org--name");
    for file in [format!("snapshots/{COMMIT}/config.json"), "refs/main".into()] {
        let place = folder.join(&file);
        fs::remove_file(&place).unwrap();
        assert!(std::process::Command::new("mkfifo").arg(&place).status().unwrap().success());
        let e = Hub::open_with("org/name", None, offline()).unwrap_err();
        assert!(e.to_string().contains(&format!("{file} is a FIFO, not a file")), "{e}");
    }
}

#[test]
fn a_token_is_sent() {
    let server = Server::start(&[("config.json", "{}")], Mood::Gated);
    let with = |token: Option<&str>| {
        let cache = cache(&format!("token_{}", token.is_some()));
        let token = token.map(str::to_owned);
        Hub::open_with("org/name", None, HubOptions { token, ..options(&cache, &server.endpoint) })
    };
    assert!(with(Some("secret")).is_ok());
    let e = with(None).unwrap_err();
    assert_eq!(e.kind(), ErrorKind::Hub);
    assert!(e.to_string().contains("401") && e.to_string().contains("HF_TOKEN"), "{e}");
    let shown = format!("{:?}", with(Some("secret")).unwrap());
    assert!(!shown.contains("secret"), "{shown}");
}

#[test]
fn failures_of_the_hub_are_said() {
    for (name, mood, part) in [
        ("down", Mood::Down, "answers 503"),
        ("short", Mood::Short, "was not received completely"),
        ("evil", Mood::Evil, "bad header"),
    ] {
        let cache = cache(name);
        let server = Server::start(&[("config.json", "{\"a\": 1}")], mood);
        let opened = Hub::open_with("org/name", None, options(&cache, &server.endpoint));
        let e = opened.unwrap_err();
        assert_eq!(e.kind(), ErrorKind::Hub, "{e}");
        assert!(e.to_string().contains(part), "{part:?} is not in {e}");
        let file = cache.join("models--org--name/snapshots").join(COMMIT).join("config.json");
        assert!(!file.exists());
    }
}

#[test]
fn a_short_download_is_taken_up_again() {
    let cache = cache("again");
    let server = Server::start(&[("config.json", "{\"a\": 1}")], Mood::Short);
    assert!(Hub::open_with("org/name", None, options(&cache, &server.endpoint)).is_err());
    let server = Server::start(&[("config.json", "{\"a\": 1}")], Mood::Good);
    let hub = Hub::open_with("org/name", None, options(&cache, &server.endpoint)).unwrap();
    assert_eq!(text(&hub, "config.json").unwrap(), "{\"a\": 1}");
}

#[test]
fn the_environment_is_read_as_by_huggingface_hub() {
    let from = |vars: &[(&str, &str)]| {
        let vars: HashMap<String, String> =
            vars.iter().map(|(name, value)| ((*name).into(), (*value).into())).collect();
        HubOptions::from_vars(|name| vars.get(name).cloned()).unwrap()
    };
    let home = cache("home");
    fs::write(home.join("token"), "from-file\n").unwrap();
    let home = home.to_str().unwrap();

    let plain = from(&[("HF_HOME", home)]);
    assert_eq!(plain.cache, Path::new(home).join("hub"));
    assert_eq!(plain.token.as_deref(), Some("from-file"));
    assert_eq!(plain.endpoint, "https://huggingface.co");
    assert!(!plain.offline && !plain.progress);

    let all = from(&[
        ("HF_HOME", home),
        ("HF_HUB_CACHE", "/cache"),
        ("HF_TOKEN", " secret\n"),
        ("HF_ENDPOINT", "https://mirror.example/"),
        ("HF_HUB_OFFLINE", "yes"),
    ]);
    assert_eq!(all.cache, Path::new("/cache"));
    assert_eq!(all.token.as_deref(), Some("secret"));
    assert_eq!(all.endpoint, "https://mirror.example");
    assert!(all.offline);

    assert_eq!(from(&[("XDG_CACHE_HOME", "/xdg")]).cache, Path::new("/xdg/huggingface/hub"));
    assert!(from(&[]).cache.ends_with(".cache/huggingface/hub"));
    assert!(!from(&[("HF_HUB_OFFLINE", "0")]).offline);
    // A variable that is set and empty counts as not set.
    assert_eq!(from(&[("HF_HOME", home), ("HF_HUB_CACHE", "")]).cache, plain.cache);
}
