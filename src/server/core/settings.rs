//! How a server is set up.

use std::time::Duration;

/// How a server is set up. `Settings::default()` is safe on one machine.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Asked of every request but `/health` and `/ping`, as `Authorization: Bearer KEY`.
    pub api_keys: Vec<String>,
    /// Origins a browser may call from; `*` is any.
    pub cors: Vec<String>,
    /// Names that a client may call the server by, beside those of a loopback address; any where it
    /// is `None`.
    pub allowed_hosts: Option<Vec<String>>,
    /// Texts of one request.
    pub max_client_batch: usize,
    /// Bytes of one request.
    pub payload_limit: usize,
    /// Texts that may wait.
    pub max_queue: usize,
    /// Work of one request, in tokens of texts of 128: windows count with what they share, a long
    /// text by what its attention costs.
    pub max_request_tokens: usize,
    /// Tokens of one batch; where it is `None`, 8,192 on a GPU and 4,096 on the CPU, which is as fast
    /// there and takes less memory.
    pub max_batch_tokens: Option<usize>,
    /// What one batch may take, by the rate that its device shows: who comes meanwhile waits so
    /// long. Any where it is `None`.
    pub batch_time: Option<Duration>,
    /// Bytes of vectors that requests under way may hold, all together and one alone.
    pub max_result_bytes: usize,
    /// Bytes of the bodies of requests under way, all together.
    pub max_body_bytes: usize,
    /// Connections at once.
    pub max_connections: usize,
    /// Whether a text that is too long is cut where the request does not say.
    pub auto_truncate: bool,
    /// Whether a client may end the server over ZeroMQ, as BERT-as-Service has it.
    pub allow_terminate: bool,
    /// In which the head of a request, and each part of its body, must have come.
    pub read_timeout: Duration,
    /// How long accepted work may go on once the server is told to end.
    pub grace: Duration,
    /// The pages behind `/web/`, if any.
    pub web: Option<super::site::Site>,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            api_keys: Vec::new(),
            cors: Vec::new(),
            allowed_hosts: None,
            max_client_batch: 2048,
            payload_limit: 16_000_000,
            max_queue: 16_384,
            max_request_tokens: 1 << 21,
            max_batch_tokens: None,
            batch_time: Some(Duration::from_millis(120)),
            max_result_bytes: 1 << 30,
            max_body_bytes: 256 << 20,
            max_connections: 1024,
            auto_truncate: true,
            allow_terminate: false,
            read_timeout: Duration::from_secs(15),
            grace: Duration::from_secs(30),
            web: None,
        }
    }
}
