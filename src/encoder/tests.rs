//! Runs over an executor that has memory for one batch at a time.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::Poll;
use std::time::Duration;

use super::{Device, Encoder, LoadOptions};
use crate::capture::Capture;
use crate::error::fail;
use crate::execute::{Ceilings, Counters, Execute, NotFinite, Sink, Task};
use crate::model::directory::Directory;
use crate::model::layout::WeightId;
use crate::schedule::{Caps, Recording};
use crate::{Error, ErrorKind, Result};

/// Refuses a run for want of memory while more than `most` are under way.
struct Tight {
    inner: Arc<dyn Execute>,
    most: usize,
    under_way: AtomicUsize,
    refused: AtomicUsize,
}

impl Execute for Tight {
    fn caps(&self) -> &Caps {
        self.inner.caps()
    }

    fn device(&self) -> String {
        self.inner.device()
    }

    fn prepare(&self, recording: &Recording) {
        self.inner.prepare(recording);
    }

    fn reserve(&self, recording: &Recording) -> Result<()> {
        self.inner.reserve(recording)
    }

    fn weight_bytes(&self) -> u64 {
        self.inner.weight_bytes()
    }

    fn run<'a>(
        &'a self,
        recording: &'a Recording,
        sink: Sink<'a>,
    ) -> Task<'a, Result<Option<NotFinite>>> {
        Box::pin(async move {
            if self.under_way.load(Ordering::Relaxed) >= self.most {
                self.refused.fetch_add(1, Ordering::Relaxed);
                return Err(fail!(OutOfMemory, "no memory"));
            }
            self.under_way.fetch_add(1, Ordering::Relaxed);
            // As a device does: the results are there at a later look.
            let mut looks = 0;
            let later = |context: &mut std::task::Context<'_>| {
                looks += 1;
                context.waker().wake_by_ref();
                if looks > 2 { Poll::Ready(()) } else { Poll::Pending }
            };
            std::future::poll_fn(later).await;
            let done = self.inner.run(recording, sink).await;
            self.under_way.fetch_sub(1, Ordering::Relaxed);
            done
        })
    }

    fn profile<'a>(&'a self, recording: &'a Recording) -> Task<'a, Result<Vec<Duration>>> {
        self.inner.profile(recording)
    }

    fn ceilings(&self) -> Task<'_, Result<Ceilings>> {
        self.inner.ceilings()
    }

    fn counters(&self) -> Counters {
        self.inner.counters()
    }

    fn held_bytes(&self, id: WeightId) -> u64 {
        self.inner.held_bytes(id)
    }

    fn is_software(&self) -> bool {
        self.inner.is_software()
    }
}

/// What the texts give, and how many runs were refused, with memory for `most` batches.
fn embed(most: usize) -> (Result<Vec<f32>, Error>, usize) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/checkpoints/tiny-d16");
    let options = LoadOptions::default().device(Device::Cpu).batch_tokens(20);
    let mut encoder = Encoder::load_blocking(&Directory::open(folder).unwrap(), &options).unwrap();
    let (under_way, refused) = (AtomicUsize::new(0), AtomicUsize::new(0));
    let inner = Arc::clone(&encoder.executor);
    let tight = Arc::new(Tight { inner, most, under_way, refused });
    encoder.executor = Arc::clone(&tight) as Arc<dyn Execute>;
    let texts = (0..40).map(|i| "the word ".repeat(1 + i % 7));
    let got = encoder.embed_blocking(texts, &Capture::default());
    (got.map(|e| e.to_vec()), tight.refused.load(Ordering::Relaxed))
}

#[test]
fn without_memory_for_two_batches_one_is_run_at_a_time() {
    let (want, refused) = embed(2);
    assert_eq!(refused, 0);
    let (got, refused) = embed(1);
    assert_eq!(got.unwrap(), want.unwrap());
    // Then one at a time, for the rest of the call.
    assert_eq!(refused, 1);
    let (none, refused) = embed(0);
    assert_eq!(none.unwrap_err().kind(), ErrorKind::OutOfMemory);
    assert_eq!(refused, 2);
}
