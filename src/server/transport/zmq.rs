//! BERT-as-Service over ZeroMQ: a PULL socket for requests, a PUB socket for answers.
//!
//! ZMTP 3.0 (rfc.zeromq.org/spec/23) as far as these two sockets need it, written out here: with
//! lengths held to a limit before they are believed, and a queue an answer's reader cannot fill.

pub(in crate::server) mod frames;

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use serde_json::{Value, json};
use tokio::io::{AsyncRead, AsyncWriteExt, ReadBuf};
use tokio::net::tcp::OwnedReadHalf;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, mpsc, watch};

use super::connection_limit::{ConnectionLimit, Slot, Working};
use super::write_timeout::WriteTimeout;
use crate::server::api::bert::{self, Sequences};
use crate::server::api::body::{self, Items};
use crate::server::core::bodies::Caller;
use crate::server::core::error::ApiError;
use crate::server::core::service::Service;
use crate::server::core::settings::Settings;
use frames::{handshake, odd, receive, write_frame};

/// A message with the room that its numbers take, until all have been sent it.
struct Outgoing {
    frames: Vec<Vec<u8>>,
    _room: Option<OwnedSemaphorePermit>,
}

type Message = Arc<Outgoing>;

/// Answers that wait for a reader; beyond it they are dropped, as PUB does.
const HIGH_WATER: usize = 1000;
/// Subscriptions of one reader at most.
const MOST_TOPICS: usize = 10_000;
/// The sink's delay before it answers a control request, so that the subscription is there.
const SLOW_JOINER: Duration = Duration::from_millis(100);

/// A reader of answers.
struct AnswerReader {
    topics: Mutex<BTreeSet<Vec<u8>>>,
    queue: mpsc::Sender<Message>,
}

impl AnswerReader {
    fn topics(&self) -> MutexGuard<'_, BTreeSet<Vec<u8>>> {
        self.topics.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Both sockets.
pub struct Sockets {
    input: TcpListener,
    output: TcpListener,
}

struct Hub {
    service: Arc<Service>,
    readers: Mutex<Vec<Arc<AnswerReader>>>,
    end: watch::Sender<bool>,
    sockets: [String; 2],
    /// Requests under way, by identity.
    under_way: Mutex<BTreeMap<Vec<u8>, usize>>,
}

/// What a peer sends, which its slot hears.
struct Heard {
    read: OwnedReadHalf,
    slot: Arc<Slot>,
}

impl AsyncRead for Heard {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<std::io::Result<()>> {
        let before = buffer.filled().len();
        let read = Pin::new(&mut self.read).poll_read(context, buffer);
        match buffer.filled().len() - before {
            0 => {}
            count => self.slot.heard(count),
        }
        read
    }
}

impl Sockets {
    /// Opens both ports; 0 takes a free one.
    ///
    /// # Errors
    ///
    /// `Io`, naming the address.
    pub async fn open(input: SocketAddr, output: SocketAddr) -> crate::Result<Self> {
        let open = async |address: SocketAddr| {
            TcpListener::bind(address).await.map_err(|e| crate::Error::io(address, e))
        };
        Ok(Self { input: open(input).await?, output: open(output).await? })
    }

    /// Where clients push to, and where they subscribe.
    pub fn places(&self) -> [String; 2] {
        [&self.input, &self.output]
            .map(|l| l.local_addr().map_or_else(|e| e.to_string(), |a| format!("tcp://{a}")))
    }

    /// Serves until `stop` says so or a client sends TERMINATION; then accepted work is finished.
    pub async fn serve(self, service: Arc<Service>, mut stop: watch::Receiver<bool>) {
        let (end, mut ended) = watch::channel(false);
        let sockets = self.places();
        let limit = ConnectionLimit::new(service.settings.max_connections);
        let (readers, under_way) = (Mutex::default(), Mutex::default());
        let hub = Arc::new(Hub { service, readers, end, sockets, under_way });
        loop {
            let accept = async {
                let (accepted, is_input) = tokio::select! {
                    accepted = self.input.accept() => (accepted, true),
                    accepted = self.output.accept() => (accepted, false),
                };
                let (stream, _) = accepted?;
                Ok::<_, std::io::Error>((stream, is_input, limit.slot().await))
            };
            let (stream, is_input, guard) = tokio::select! {
                _ = stop.wait_for(|&stop| stop) => break,
                _ = ended.wait_for(|&ended| ended) => break,
                accepted = accept => match accepted {
                    Ok(accepted) => accepted,
                    Err(e) => {
                        tracing::warn!(error = %e, "a connection could not be accepted");
                        limit.make_room();
                        tokio::time::sleep(Duration::from_millis(50)).await;
                        continue;
                    }
                },
            };
            let _ = stream.set_nodelay(true);
            let hub = Arc::clone(&hub);
            tokio::spawn(async move {
                let done = match is_input {
                    true => hub.pull(stream, &guard.slot).await,
                    false => hub.publish(stream, &guard.slot).await,
                };
                if let Err(e) = done {
                    tracing::debug!(error = %e, "a ZeroMQ connection ended");
                }
                drop(guard);
            });
        }
        hub.service.close();
        let deadline = tokio::time::Instant::now() + hub.service.settings.grace;
        while !hub.under_way().is_empty() && tokio::time::Instant::now() < deadline {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        // A moment for what was written to leave.
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}

/// A request of an identity, from when it is whole until its answer is handed on.
struct UnderWay {
    hub: Arc<Hub>,
    identity: Vec<u8>,
    /// The connection that it came by stays.
    _working: Working,
}

impl UnderWay {
    fn of(hub: &Arc<Hub>, identity: &[u8], slot: &Arc<Slot>) -> Self {
        *hub.under_way().entry(identity.to_vec()).or_default() += 1;
        let (hub, _working) = (Arc::clone(hub), Arc::clone(slot).work());
        Self { hub, identity: identity.to_vec(), _working }
    }
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        let mut all = self.hub.under_way();
        if let Some(count) = all.get_mut(&self.identity) {
            *count -= 1;
            if *count == 0 {
                all.remove(&self.identity);
            }
        }
    }
}

/// Ends where others wait for the place of `slot`, which says nothing and is not `needed`.
async fn gives_way(slot: &Slot, needed: impl Fn() -> bool) -> std::io::Result<()> {
    loop {
        slot.evicted().await;
        if slot.is_silent() && !needed() {
            return Err(odd("an idle connection was closed to accept another"));
        }
        slot.stay();
    }
}

impl Hub {
    /// The identities that have requests under way, and how many.
    fn under_way(&self) -> MutexGuard<'_, BTreeMap<Vec<u8>, usize>> {
        self.under_way.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes requests of one client.
    async fn pull(self: &Arc<Self>, stream: TcpStream, slot: &Arc<Slot>) -> std::io::Result<()> {
        tokio::select! {
            done = self.requests(stream, slot) => done,
            left = gives_way(slot, || false) => left,
        }
    }

    async fn requests(
        self: &Arc<Self>,
        mut stream: TcpStream,
        slot: &Arc<Slot>,
    ) -> std::io::Result<()> {
        let Settings { read_timeout: timeout, payload_limit, allow_terminate, .. } =
            self.service.settings;
        let shake = tokio::time::timeout(timeout, handshake(&mut stream, "PULL"));
        shake.await??;
        let client = self.service.client();
        let (read, _write) = stream.into_split();
        let mut read = Heard { read, slot: Arc::clone(slot) };
        let mut first = Some(timeout);
        loop {
            let (message, room) =
                receive(&mut read, payload_limit, (first.take(), timeout), Some(&self.service))
                    .await?;
            let Some(message) = message else { continue };
            let [identity, msg, id, _length] = &message[..] else {
                tracing::warn!(frames = message.len(), "a request has 4 frames: it is dropped");
                continue;
            };
            let digits =
                |f: &[u8]| !f.is_empty() && f.len() < 20 && f.iter().all(u8::is_ascii_digit);
            if !digits(id) || !digits(&message[3]) || identity.len() > 255 {
                tracing::warn!("a request's number or length is no number: it is dropped");
                continue;
            }
            if msg == b"TERMINATION" && !allow_terminate {
                tracing::warn!(
                    "a client may not stop this server: it was not started with -allow_terminate"
                );
                continue;
            }
            if msg == b"TERMINATION" {
                tracing::warn!("a client stops this server");
                let _ = self.end.send(true);
                return Ok(());
            }
            // What came before the end was told is accepted.
            let is_late = self.service.is_closing();
            // Bounded by the queue: what does not fit there is refused at once.
            let under_way = UnderWay::of(self, identity, slot);
            let (msg, id) = (msg.clone(), id.clone());
            tokio::spawn(async move {
                let caller = Caller { client, room: room.map(Arc::new) };
                let UnderWay { hub, identity, .. } = &under_way;
                let answer = hub.answer(caller, identity, msg, &id, is_late).await;
                hub.send(answer);
                drop(under_way);
            });
        }
    }

    async fn answer(
        &self,
        caller: Caller,
        identity: &[u8],
        msg: Vec<u8>,
        id: &[u8],
        is_late: bool,
    ) -> Outgoing {
        let service = &self.service;
        if msg == b"SHOW_CONFIG" || msg == b"SHOW_STATUS" {
            service.statistic.see(identity, None);
            tokio::time::sleep(SLOW_JOINER).await;
            let name = String::from_utf8_lossy(identity);
            let [input, output] = self.sockets.each_ref().map(String::as_str);
            let mut all = bert::show_config(service, &service.bert, &name, [input, output, output]);
            if msg == b"SHOW_STATUS" {
                all.insert("statistic".into(), service.statistic.json());
            }
            let all = Value::Object(all).to_string().into_bytes();
            return Outgoing { frames: vec![identity.to_vec(), all, id.to_vec()], _room: None };
        }
        let parsed = body::read_any::<Items<Sequences>>(&msg);
        drop(msg);
        let result = match parsed {
            Err(error) => Err(error),
            Ok(_) if is_late => Err(ApiError::closing()),
            Ok(Items(sequences)) => {
                service.statistic.see(identity, Some(sequences.len()));
                let model = &service.models[0];
                bert::compute(service, caller, model, &service.bert, sequences).await
            }
        };
        let (info, bytes, room) = match result {
            Ok(array) => {
                let tokens = array.tokens.map_or_else(|| json!(""), |t| json!(t));
                let info = json!({ "dtype": "float32", "shape": array.shape, "tokens": tokens });
                (
                    info,
                    array.values.iter().flat_map(|x| x.to_le_bytes()).collect(),
                    Some(array.room),
                )
            }
            // The protocol has no error. NumPy does not know such a type and says so, sentence and
            // all, in the client that waits; a comma would part it into several types.
            Err(error) => {
                service.metrics.error_answer(&error);
                tracing::warn!(error = %error, "a request was refused");
                let said = format!("error: {}", error.message.replace(',', ";"));
                (
                    json!({ "dtype": said, "shape": [0], "tokens": "", "error": error.message }),
                    Vec::new(),
                    None,
                )
            }
        };
        let info = info.to_string().into_bytes();
        Outgoing { frames: vec![identity.to_vec(), info, bytes, id.to_vec()], _room: room }
    }

    /// To the readers that subscribed to the identity in the first frame, and to no other: a
    /// beginning of it, which PUB would take, would show the answers of others.
    fn send(&self, message: Outgoing) {
        let message = Arc::new(message);
        let readers = self.readers.lock().unwrap_or_else(PoisonError::into_inner);
        for reader in readers.iter() {
            if reader.topics().contains(&message.frames[0])
                && reader.queue.try_send(Arc::clone(&message)).is_err()
            {
                tracing::warn!("a client does not read its answers: one is dropped");
            }
        }
    }

    /// Sends answers to one client.
    async fn publish(self: &Arc<Self>, stream: TcpStream, slot: &Arc<Slot>) -> std::io::Result<()> {
        let (queue, answers) = mpsc::channel(HIGH_WATER);
        let reader = Arc::new(AnswerReader { topics: Mutex::default(), queue });
        // An answer is on its way to it.
        let needed = || {
            let all = self.under_way();
            let waits = reader.queue.capacity() < HIGH_WATER;
            waits || reader.topics().iter().any(|topic| all.contains_key(topic))
        };
        let done = tokio::select! {
            done = self.answers(stream, slot, &reader, answers) => done,
            left = gives_way(slot, needed) => left,
        };
        let mut readers = self.readers.lock().unwrap_or_else(PoisonError::into_inner);
        readers.retain(|r| !Arc::ptr_eq(r, &reader));
        done
    }

    async fn answers(
        &self,
        mut stream: TcpStream,
        slot: &Arc<Slot>,
        reader: &Arc<AnswerReader>,
        mut answers: mpsc::Receiver<Message>,
    ) -> std::io::Result<()> {
        let timeout = self.service.settings.read_timeout;
        let shake = tokio::time::timeout(timeout, handshake(&mut stream, "PUB"));
        shake.await??;
        self.readers.lock().unwrap_or_else(PoisonError::into_inner).push(Arc::clone(reader));
        let (read, write) = stream.into_split();
        let mut read = Heard { read, slot: Arc::clone(slot) };
        // One that does not read holds what it asked for no longer than over HTTP.
        let mut write = WriteTimeout::new(write, timeout);
        let listen = async {
            let mut first = Some(timeout);
            loop {
                let times = (first.take(), timeout);
                let Some(message) = receive(&mut read, 4096, times, None).await?.0 else {
                    continue;
                };
                let Some((&kind, topic)) = message.first().and_then(|f| f.split_first()) else {
                    continue;
                };
                let mut topics = reader.topics();
                match kind {
                    1 if topics.len() < MOST_TOPICS => {
                        topics.insert(topic.to_vec());
                    }
                    0 => {
                        topics.remove(topic);
                    }
                    _ => {}
                }
            }
        };
        let speak = async {
            while let Some(message) = answers.recv().await {
                for (i, frame) in message.frames.iter().enumerate() {
                    let more = u8::from(i + 1 < message.frames.len());
                    write_frame(&mut write, more, frame).await?;
                }
                write.flush().await?;
                slot.sent();
            }
            Ok(())
        };
        tokio::select! { done = listen => done, done = speak => done }
    }
}
