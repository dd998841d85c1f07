//! A server of the test's own, and what the system says of its process.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

/// Ended when dropped.
pub struct Server {
    child: Child,
    /// What it listens on: HTTP, or the two sockets of ZeroMQ.
    pub addresses: Vec<String>,
}

impl Server {
    /// `everylayer serve WORDS`, once it has said `lines` lines about where it listens.
    pub fn start(words: &[&str], lines: usize) -> Self {
        let mut child = Command::new(env!("CARGO_BIN_EXE_everylayer"))
            .arg("serve")
            .args(words)
            .env_remove("EVERYLAYER_API_KEY")
            .env("EVERYLAYER_DEVICE", "cpu")
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut said = BufReader::new(child.stderr.take().unwrap()).lines();
        let mut addresses = Vec::new();
        for _ in 0..lines {
            let line = said.by_ref().map(Result::unwrap).find(|l| l.contains("listening on "));
            let line = line.expect("the server says where it listens");
            let place = |word: &str| word.split_once("://").map(|(_, at)| at.to_owned());
            addresses.extend(line.split([' ', ',']).filter_map(place));
        }
        // What else it says must not fill the pipe.
        std::thread::spawn(move || said.for_each(drop));
        Self { child, addresses }
    }

    pub fn http(words: &[&str]) -> Self {
        Self::start(&[&["--port", "0"], words].concat(), 1)
    }

    pub fn is_alive(&mut self) -> bool {
        self.child.try_wait().unwrap().is_none()
    }

    /// Open files of the process.
    pub fn files(&self) -> usize {
        std::fs::read_dir(format!("/proc/{}/fd", self.child.id())).unwrap().count()
    }

    /// Resident bytes of the process.
    pub fn memory(&self) -> u64 {
        let statm = std::fs::read_to_string(format!("/proc/{}/statm", self.child.id())).unwrap();
        let pages: u64 = statm.split(' ').nth(1).unwrap().parse().unwrap();
        pages * 4096
    }

    /// The answer to a sound request, on a connection of its own.
    pub fn sound(&self) -> Vec<u8> {
        let mut connection = Connection::open(&self.addresses[0]);
        let body = br#"{"input":["a sound request","and a second text"],"outputs":[{},{"layers":"all","pool":"cls"}]}"#;
        let answer = connection.post("/v1/layers", body).expect("a sound request is answered");
        assert_eq!(answer.status, 200);
        answer.body
    }

    /// Waits until no more than `most` files are open.
    pub fn settles_at(&self, most: usize) {
        for _ in 0..100 {
            if self.files() <= most {
                return;
            }
            std::thread::sleep(Duration::from_millis(100));
        }
        panic!("{} files are still open, {most} were before", self.files());
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// An answer over HTTP.
pub struct Answer {
    pub status: u16,
    pub body: Vec<u8>,
    /// Whether the connection stays.
    pub stays: bool,
}

/// A connection that is kept.
pub struct Connection(BufReader<TcpStream>);

impl Connection {
    pub fn open(address: &str) -> Self {
        let stream = TcpStream::connect(address).unwrap();
        stream.set_nodelay(true).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
        Self(BufReader::new(stream))
    }

    pub fn post(&mut self, path: &str, body: &[u8]) -> std::io::Result<Answer> {
        let length = body.len();
        let head =
            format!("POST {path} HTTP/1.1\r\nhost: localhost\r\ncontent-length: {length}\r\n\r\n");
        self.send(&[head.as_bytes(), body].concat())?;
        self.answer()
    }

    pub fn send(&mut self, bytes: &[u8]) -> std::io::Result<()> {
        self.0.get_mut().write_all(bytes)
    }

    pub fn answer(&mut self) -> std::io::Result<Answer> {
        let broken = || std::io::Error::from(std::io::ErrorKind::UnexpectedEof);
        let (mut status, mut length, mut stays, mut chunked) = (0, 0, true, false);
        for number in 0.. {
            let mut line = String::new();
            if self.0.read_line(&mut line)? == 0 {
                return Err(broken());
            }
            let line = line.trim_end().to_ascii_lowercase();
            if line.is_empty() {
                break;
            }
            if number == 0 {
                status = line.split(' ').nth(1).and_then(|s| s.parse().ok()).ok_or_else(broken)?;
            }
            match line.split_once(':') {
                Some(("content-length", n)) => length = n.trim().parse().map_err(|_| broken())?,
                Some(("transfer-encoding", how)) => chunked = how.trim() == "chunked",
                Some(("connection", how)) => stays = how.trim() != "close",
                _ => {}
            }
        }
        let mut body = vec![0; length];
        self.0.read_exact(&mut body)?;
        while chunked {
            let mut line = String::new();
            self.0.read_line(&mut line)?;
            let size = usize::from_str_radix(line.trim_end(), 16).map_err(|_| broken())?;
            // Its bytes and the end of a line.
            let at = body.len();
            body.resize(at + size + 2, 0);
            self.0.read_exact(&mut body[at..])?;
            body.truncate(at + size);
            chunked = size > 0;
        }
        Ok(Answer { status, body, stays })
    }
}
