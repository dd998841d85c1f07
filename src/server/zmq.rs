//! BERT-as-Service over ZeroMQ: a PULL socket for requests, a PUB socket for answers.
//!
//! ZMTP 3.0 (rfc.zeromq.org/spec/23) as far as these two sockets need it, written out here: with
//! lengths held to a limit before they are believed, and a queue an answer's reader cannot fill.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use serde_json::{Value, json};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, mpsc, watch};

use super::bert::{self, Sequences};
use super::body::{self, Items};
use super::refusal::Refusal;
use super::service::Service;

/// Frames of a message.
type Message = Arc<Vec<Vec<u8>>>;

/// Answers that wait for a reader; beyond it they are dropped, as PUB does.
const HIGH_WATER: usize = 1000;
/// A peer must have said who it is by then.
const HANDSHAKE: Duration = Duration::from_secs(10);
/// Frames of a request at most; more are read and refused.
const MOST_FRAMES: usize = 16;
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
            let Some(message) = receive(&mut read, limit).await? else { continue };
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
    ) -> Vec<Vec<u8>> {
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
            return vec![
                identity.to_vec(),
                Value::Object(all).to_string().into_bytes(),
                id.to_vec(),
            ];
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
        let (info, bytes) = match result {
            Ok(array) => {
                let tokens = array.tokens.map_or_else(|| json!(""), |t| json!(t));
                let info = json!({ "dtype": "float32", "shape": array.shape, "tokens": tokens });
                (info, array.values.iter().flat_map(|x| x.to_le_bytes()).collect())
            }
            // The protocol has no error. NumPy does not know such a type and says so, sentence and
            // all, in the client that waits; a comma would part it into several types.
            Err(refusal) => {
                tracing::warn!(error = %refusal, "a request was refused");
                let said = format!("error: {}", refusal.message.replace(',', ";"));
                (
                    json!({ "dtype": said, "shape": [0], "tokens": "", "error": refusal.message }),
                    Vec::new(),
                )
            }
        };
        vec![identity.to_vec(), info.to_string().into_bytes(), bytes, id.to_vec()]
    }

    /// To the readers that subscribed to the identity in the first frame, and to no other: a
    /// beginning of it, which PUB would take, would show the answers of others.
    fn send(&self, message: Vec<Vec<u8>>) {
        let message = Arc::new(message);
        let readers = self.readers.lock().unwrap_or_else(PoisonError::into_inner);
        for reader in readers.iter() {
            let topics = reader.topics.lock().unwrap_or_else(PoisonError::into_inner);
            if topics.contains(&message[0]) && reader.queue.try_send(Arc::clone(&message)).is_err()
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
        let (mut read, mut write) = stream.into_split();
        let listen = async {
            loop {
                let Some(message) = receive(&mut read, 4096).await? else { continue };
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
                for (i, frame) in message.iter().enumerate() {
                    write_frame(&mut write, u8::from(i + 1 < message.len()), frame).await?;
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

fn odd(said: &'static str) -> std::io::Error {
    std::io::Error::new(std::io::ErrorKind::InvalidData, said)
}

/// Greeting and READY, without security, as `socket`.
async fn handshake(stream: &mut TcpStream, socket: &str) -> std::io::Result<()> {
    let mut greeting = [0u8; 64];
    (greeting[0], greeting[9], greeting[10]) = (0xff, 0x7f, 3);
    greeting[12..16].copy_from_slice(b"NULL");
    stream.write_all(&greeting).await?;
    let mut theirs = [0u8; 64];
    stream.read_exact(&mut theirs).await?;
    if theirs[0] != 0xff || theirs[9] & 1 == 0 || theirs[10] < 3 || &theirs[12..17] != b"NULL\0" {
        return Err(odd("the peer does not speak ZMTP 3 without security"));
    }
    let mut ready = b"\x05READY\x0bSocket-Type".to_vec();
    ready.extend((socket.len() as u32).to_be_bytes());
    ready.extend(socket.bytes());
    write_frame(stream, 4, &ready).await?;
    stream.flush().await?;
    let (flags, body) = read_frame(stream, 1024).await?;
    match flags & 4 != 0 && body.starts_with(b"\x05READY") {
        true => Ok(()),
        false => Err(odd("the peer does not say READY")),
    }
}

/// Flags: 1 more frames follow, 2 a long frame, 4 a command.
async fn write_frame(
    to: &mut (impl AsyncWrite + Unpin),
    flags: u8,
    body: &[u8],
) -> std::io::Result<()> {
    match u8::try_from(body.len()) {
        Ok(length) => to.write_all(&[flags, length]).await?,
        Err(_) => {
            to.write_all(&[flags | 2]).await?;
            to.write_all(&(body.len() as u64).to_be_bytes()).await?;
        }
    }
    to.write_all(body).await
}

async fn read_frame(
    from: &mut (impl AsyncRead + Unpin),
    limit: usize,
) -> std::io::Result<(u8, Vec<u8>)> {
    let flags = from.read_u8().await?;
    let length = match flags & 2 {
        0 => u64::from(from.read_u8().await?),
        _ => from.read_u64().await?,
    };
    if flags & !7 != 0 || length > limit as u64 {
        return Err(odd("a frame is larger than the limit, or none"));
    }
    // Memory is taken as bytes come, not as they are promised.
    let mut body = Vec::with_capacity(length.min(65_536) as usize);
    let got = from.take(length).read_to_end(&mut body).await?;
    match got as u64 == length {
        true => Ok((flags, body)),
        false => Err(std::io::ErrorKind::UnexpectedEof.into()),
    }
}

/// The next message, of at most `limit` bytes; `None` for one of too many frames.
pub(super) async fn receive(
    from: &mut (impl AsyncRead + Unpin),
    limit: usize,
) -> std::io::Result<Option<Vec<Vec<u8>>>> {
    let (mut frames, mut bytes, mut count) = (Vec::new(), 0, 0usize);
    loop {
        let (flags, body) = read_frame(from, limit.saturating_sub(bytes)).await?;
        if flags & 4 != 0 {
            continue;
        }
        bytes += body.len();
        count += 1;
        if count <= MOST_FRAMES {
            frames.push(body);
        }
        if flags & 1 == 0 {
            return Ok((count <= MOST_FRAMES).then_some(frames));
        }
    }
}
