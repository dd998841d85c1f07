//! Whether the models answer, without waiting for what waits.
//!
//! A model under load shows that it works by what it finishes. One that rests is asked to run a word,
//! by one request in [`ASKED`]: whoever asks more often is told what came of it.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

use tokio::sync::Mutex;

use super::batcher::{Batcher, Worker};
use super::bodies::Caller;
use super::error::{ApiError, ErrorCode};
use super::reading::{Input, Reading};
use super::service::{Hosted, Service};
use crate::capture::Capture;

/// A model that has work and finishes none of it for so long is not well.
const STUCK: Duration = Duration::from_secs(60);
/// A model that rests is asked again after so long.
const ASKED: Duration = Duration::from_secs(10);
/// It answers in so long, or something else does.
const ANSWERS: Duration = Duration::from_secs(20);
/// How often it is looked at.
const LOOKS: Duration = Duration::from_millis(500);

/// What is known of a model.
#[derive(Debug)]
pub struct Pulse {
    began: Instant,
    /// Texts that it has run.
    texts: AtomicU64,
    /// When it was last seen to have run one or to have none to run, in milliseconds.
    moved: AtomicU64,
    /// When it last ran a word that it was asked to, and what it said.
    asked: Mutex<Option<(Instant, Result<(), ApiError>)>>,
}

impl Default for Pulse {
    fn default() -> Self {
        let (texts, moved) = (AtomicU64::new(0), AtomicU64::new(0));
        Self { began: Instant::now(), texts, moved, asked: Mutex::default() }
    }
}

impl Pulse {
    /// Sees whether the model has gone on.
    fn look(&self, batcher: &Batcher) {
        let texts = batcher.workers().iter().map(Worker::texts).sum();
        if self.texts.swap(texts, Relaxed) != texts || batcher.is_idle() {
            self.moved.store(self.began.elapsed().as_millis() as u64, Relaxed);
        }
    }

    /// Since when the model has work and has finished none.
    fn stuck(&self) -> Duration {
        self.began.elapsed().saturating_sub(Duration::from_millis(self.moved.load(Relaxed)))
    }
}

/// Looks at the models, without end.
pub async fn watch(service: &Service) {
    loop {
        for model in &service.models {
            model.pulse.look(&model.batcher);
        }
        tokio::time::sleep(LOOKS).await;
    }
}

/// Whether all models answer.
///
/// # Errors
///
/// `ErrorCode::Unhealthy`, naming the model that does not.
pub async fn check(service: &Service) -> Result<(), ApiError> {
    if service.is_closing() {
        return Err(ApiError::closing());
    }
    for model in &service.models {
        let ill =
            |said: String| ApiError::new(ErrorCode::Unhealthy, format!("{}: {said}", model.name));
        if model.batcher.is_lost() {
            return Err(ill("the device is lost".into()));
        }
        model.pulse.look(&model.batcher);
        if model.batcher.is_idle() {
            ask(service, model).await.map_err(|error| ill(error.message))?;
        } else if model.pulse.stuck() > STUCK {
            return Err(ill(format!("no text was finished in {} s", STUCK.as_secs())));
        }
    }
    Ok(())
}

/// Has the model run a word, or says what came of it a moment ago.
async fn ask(service: &Service, model: &Hosted) -> Result<(), ApiError> {
    // Who comes meanwhile is told what the first one is.
    let mut asked = model.pulse.asked.lock().await;
    if let Some((at, Ok(()))) = &*asked
        && at.elapsed() < ASKED
    {
        return Ok(());
    }
    let texts = vec![Input::Text("health".into())];
    let run = service.embed(
        Caller::default(),
        model,
        texts,
        Reading::default(),
        vec![Capture::default()],
        false,
    );
    let said = match tokio::time::timeout(ANSWERS, run).await {
        Ok(Ok(_)) => Ok(()),
        // A full queue is work to do, not ill health; so is all else that goes on.
        Ok(Err(error)) if error.code == ErrorCode::Overloaded => Ok(()),
        Ok(Err(error)) => Err(error),
        Err(_) if model.pulse.stuck() < ANSWERS => Ok(()),
        Err(_) => {
            let said = format!("no answer from the model in {} s", ANSWERS.as_secs());
            Err(ApiError::new(ErrorCode::Unhealthy, said))
        }
    };
    *asked = Some((Instant::now(), said.clone()));
    said
}
