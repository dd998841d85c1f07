//! BERT-as-Service over ZeroMQ: a PULL socket for requests, a PUB socket for answers.
//!
//! ZMTP 3.0 (rfc.zeromq.org/spec/23) as far as these two sockets need it, written out here: with
//! lengths held to a limit before they are believed, and a queue an answer's reader cannot fill.

pub(in crate::server) mod frames;

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use serde_json::{Value, json};
use tokio::io::AsyncWriteExt;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, watch};

use super::http::patient::Patient;
use crate::server::api::bert::{self, Sequences};
use crate::server::api::body::{self, Items};
use crate::server::core::error::Refusal;
use crate::server::core::service::Service;
use frames::{handshake, receive, write_frame};

/// A message with the room that its numbers take, until all have been sent it.
struct Outgoing {
    frames: Vec<Vec<u8>>,
    _room: Option<OwnedSemaphorePermit>,
}

type Message = Arc<Outgoing>;

/// Answers that wait for a reader; beyond it they are dropped, as PUB does.
const HIGH_WATER: usize = 1000;
/// A peer must have said who it is by then.
const HANDSHAKE: Duration = Duration::from_secs(10);
/// Subscriptions of one reader at most.
const MOST_TOPICS: usize = 10_000;
/// The sink's delay before it answers a control request, so that the subscription is there.
const SLOW_JOINER: Duration = Duration::from_millis(100);

/// A reader of answers.
struct Reader {
    topics: Mutex<BTreeSet<Vec<u8>>>,
    queue: mpsc::Sender<Message>,
}

/// Both sockets.
pub struct Sockets {
    input: TcpListener,
    output: TcpListener,
}

struct Hub {
    service: Arc<Service>,
    readers: Mutex<Vec<Arc<Reader>>>,
    end: watch::Sender<bool>,
    sockets: [String; 2],
    under_way: AtomicU64,
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
        let room = Arc::new(Semaphore::new(service.settings.max_connections.max(1)));
        let (readers, under_way) = (Mutex::default(), AtomicU64::new(0));
        let hub = Arc::new(Hub { service, readers, end, sockets, under_way });
        loop {
            let place = Arc::clone(&room).acquire_owned();
            let accept = async {
                let permit = place.await.ok();
                tokio::select! {
                    s = self.input.accept() => (s, permit, true),
                    s = self.output.accept() => (s, permit, false),
                }
            };
            let (stream, permit, is_input) = tokio::select! {
                _ = stop.wait_for(|&stop| stop) => break,
                _ = ended.wait_for(|&ended| ended) => break,
                (stream, permit, is_input) = accept => match stream {
                    Ok((stream, _)) => (stream, permit, is_input),
                    Err(e) => {
                        tracing::warn!(error = %e, "a connection could not be accepted");
                        tokio::time::sleep(Duration::from_millis(50)).await;
                        continue;
                    }
                },
            };
            let _ = stream.set_nodelay(true);
            let hub = Arc::clone(&hub);
            tokio::spawn(async move {
                let done = match is_input {
                    true => hub.pull(stream).await,
                    false => hub.publish(stream).await,
                };
                if let Err(e) = done {
                    tracing::debug!(error = %e, "a ZeroMQ connection ended");
                }
                drop(permit);
            });
        }
        hub.service.close();
        let deadline = tokio::time::Instant::now() + hub.service.settings.grace;
        while hub.under_way.load(Relaxed) > 0 && tokio::time::Instant::now() < deadline {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        // A moment for what was written to leave.
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}

impl Hub {
    /// Takes requests of one client.
    async fn pull(self: &Arc<Self>, mut stream: TcpStream) -> std::io::Result<()> {
        let shake = tokio::time::timeout(HANDSHAKE, handshake(&mut stream, "PULL"));
        shake.await??;
        let limit = self.service.settings.payload_limit;
        let client = self.service.client();
        let (mut read, _write) = stream.into_split();
        loop {
            let (message, room) = receive(&mut read, limit, Some(&self.service)).await?;
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
            if msg == b"TERMINATION" && !self.service.settings.allow_terminate {
                tracing::warn!(
                    "a client may not end this server: it was not started with -allow_terminate"
                );
                continue;
            }
            if msg == b"TERMINATION" {
                tracing::warn!("a client ends this server");
                let _ = self.end.send(true);
                return Ok(());
            }
            // What came before the end was told is accepted.
            let is_late = self.service.is_closing();
            // Bounded by the queue: what does not fit there is refused at once.
            self.under_way.fetch_add(1, Relaxed);
            let (hub, identity, msg, id) =
                (Arc::clone(self), identity.clone(), msg.clone(), id.clone());
            tokio::spawn(async move {
                let answer = hub.answer(client, &identity, &msg, &id, is_late).await;
                drop((msg, room));
                hub.send(answer);
                hub.under_way.fetch_sub(1, Relaxed);
            });
        }
    }

    async fn answer(
        &self,
        client: u64,
        identity: &[u8],
        msg: &[u8],
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
        let parsed = body::read_any::<Items<Sequences>>(msg);
        let result = match parsed {
            Err(refusal) => Err(refusal),
            Ok(_) if is_late => Err(Refusal::closing()),
            Ok(Items(sequences)) => {
                service.statistic.see(identity, Some(sequences.len()));
                let model = &service.models[0];
                bert::compute(service, client, model, &service.bert, sequences).await
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
            Err(refusal) => {
                tracing::warn!(error = %refusal, "a request was refused");
                let said = format!("error: {}", refusal.message.replace(',', ";"));
                (
                    json!({ "dtype": said, "shape": [0], "tokens": "", "error": refusal.message }),
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
            let topics = reader.topics.lock().unwrap_or_else(PoisonError::into_inner);
            if topics.contains(&message.frames[0])
                && reader.queue.try_send(Arc::clone(&message)).is_err()
            {
                tracing::warn!("a client does not read its answers: one is dropped");
            }
        }
    }

    /// Sends answers to one client.
    async fn publish(self: &Arc<Self>, mut stream: TcpStream) -> std::io::Result<()> {
        let shake = tokio::time::timeout(HANDSHAKE, handshake(&mut stream, "PUB"));
        shake.await??;
        let (queue, mut answers) = mpsc::channel(HIGH_WATER);
        let reader = Arc::new(Reader { topics: Mutex::default(), queue });
        self.readers.lock().unwrap_or_else(PoisonError::into_inner).push(Arc::clone(&reader));
        let (mut read, write) = stream.into_split();
        // One that does not read holds what it asked for no longer than over HTTP.
        let mut write = Patient::new(write, self.service.settings.patience);
        let listen = async {
            loop {
                let Some(message) = receive(&mut read, 4096, None).await?.0 else { continue };
                let Some((&kind, topic)) = message.first().and_then(|f| f.split_first()) else {
                    continue;
                };
                let mut topics = reader.topics.lock().unwrap_or_else(PoisonError::into_inner);
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
            }
            Ok(())
        };
        let done: std::io::Result<()> =
            tokio::select! { done = listen => done, done = speak => done };
        let mut readers = self.readers.lock().unwrap_or_else(PoisonError::into_inner);
        readers.retain(|r| !Arc::ptr_eq(r, &reader));
        done
    }
}
