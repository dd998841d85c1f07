//! Runs over an executor that has memory for one batch at a time.

use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::task::Poll;

use super::{Device, Dtype, Encoder, Job, LoadOptions, PreparedText};
use crate::capture::{Capture, Layers, Overflow, Pool};
use crate::error::fail;
use crate::execute::{Around, Execute, NotFinite, Sink, Task};
use crate::model::directory::Directory;
use crate::schedule::{Caps, Elem, Recording};
use crate::{Error, ErrorKind, Result};

/// Refuses a run for want of memory while more than `most` are under way.
struct Tight {
    inner: Arc<dyn Execute>,
    most: usize,
    /// Runs that are refused whatever is under way.
    first: usize,
    under_way: AtomicUsize,
    refused: AtomicUsize,
}

impl Around for Tight {
    fn inner(&self) -> &dyn Execute {
        self.inner.as_ref()
    }

    fn run<'a>(
        &'a self,
        recording: &'a Recording,
        sink: Sink<'a>,
    ) -> Task<'a, Result<Option<NotFinite>>> {
        Box::pin(async move {
            let early = self.refused.load(Ordering::Relaxed) < self.first;
            if early || self.under_way.load(Ordering::Relaxed) >= self.most {
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
}

/// An executor with other limits, which notes the tokens of each run. One of f16 says of every row that
/// it is not finite.
struct Limited {
    inner: Arc<dyn Execute>,
    caps: Caps,
    tokens: Mutex<Vec<usize>>,
}

impl Around for Limited {
    fn inner(&self) -> &dyn Execute {
        self.inner.as_ref()
    }

    fn caps(&self) -> &Caps {
        &self.caps
    }

    fn run<'a>(
        &'a self,
        recording: &'a Recording,
        sink: Sink<'a>,
    ) -> Task<'a, Result<Option<NotFinite>>> {
        Box::pin(async move {
            let tokens = recording.tokens();
            self.tokens.lock().unwrap().push(tokens);
            let found = self.inner.run(recording, sink).await?;
            let all = NotFinite { state: 1, row: 0, rows: (0..tokens).collect() };
            Ok(if self.caps.elem == Elem::F32 { found } else { Some(all) })
        })
    }
}

/// The batches of the executor in f16 were run again as they were by one in f32, which may have less
/// room: numbers of 32 bits are twice as long.
#[test]
fn a_batch_in_f32_is_no_larger_than_its_executor_takes() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/checkpoints/tiny-d16");
    let source = Directory::open(folder).unwrap();
    let load = |dtype| {
        let options = LoadOptions::default().device(Device::Cpu).dtype(dtype).batch_tokens(100);
        Encoder::load_blocking(&source, &options).unwrap()
    };
    let wide = load(Dtype::F32);
    let mut encoder = load(Dtype::F16);
    let texts: Vec<String> = (0..40).map(|i| "the word ".repeat(1 + i % 7)).collect();
    let capture = Capture::default();
    let want = wide.embed_blocking(&texts, &capture).unwrap().to_vec();
    // Room for the work of 30 tokens.
    let mut caps = wide.executor.caps().clone();
    while super::most_tokens(&wide.model, &caps) > 30 {
        caps.submit_flops = caps.submit_flops.min(1 << 30) * 99 / 100;
    }
    let limited = |inner: &Arc<dyn Execute>, caps: &Caps| {
        let (inner, caps) = (Arc::clone(inner), caps.clone());
        Arc::new(Limited { inner, caps, tokens: Mutex::default() })
    };
    let in_f32 = limited(&wide.executor, &caps);
    let in_f16 = limited(&encoder.executor, encoder.executor.caps());
    encoder.executor = Arc::clone(&in_f16) as Arc<dyn Execute>;
    encoder.wide = Mutex::new(Some(Arc::clone(&in_f32) as Arc<dyn Execute>));
    let most = |limited: &Limited| std::mem::take(&mut *limited.tokens.lock().unwrap());
    let check = |[narrow, wide]: [Vec<usize>; 2]| {
        assert!(narrow.iter().any(|&tokens| tokens > 30), "{narrow:?}");
        assert!(narrow.iter().all(|&tokens| tokens <= 100), "{narrow:?}");
        assert!(wide.iter().all(|&tokens| tokens <= 30), "{wide:?}");
        assert_eq!(narrow.iter().sum::<usize>(), wide.iter().sum::<usize>());
    };
    assert_eq!(encoder.embed_blocking(&texts, &capture).unwrap().to_vec(), want);
    check([most(&in_f16), most(&in_f32)]);
    // The same through the server's door.
    let tokens = encoder.tokenize(&texts, &capture).unwrap();
    let captures = [capture];
    let prepared = |tokens| PreparedText { tokens, ..PreparedText::default() };
    let texts: Vec<PreparedText> = tokens.into_iter().map(prepared).collect();
    let job = |text| Job { text, windows: None, captures: &captures };
    let jobs: Vec<Job<'_>> = texts.iter().map(job).collect();
    let served = pollster::block_on(encoder.embed_jobs(&jobs)).unwrap();
    let got = served.results.into_iter().flat_map(|result| result.unwrap().unwrap());
    let got: Vec<f32> = got.flat_map(|text| text.values.to_f32()).collect();
    assert_eq!(got, want);
    check([most(&in_f16), most(&in_f32)]);
}

/// An executor that brings nothing, or a state too few.
struct Silent(Arc<dyn Execute>);

impl Around for Silent {
    fn inner(&self) -> &dyn Execute {
        self.0.as_ref()
    }

    fn run<'a>(
        &'a self,
        recording: &'a Recording,
        sink: Sink<'a>,
    ) -> Task<'a, Result<Option<NotFinite>>> {
        Box::pin(async move {
            let mut first = true;
            let mut sink = |output, numbers| match std::mem::take(&mut first) {
                true => Ok(()),
                false => sink(output, numbers),
            };
            self.0.run(recording, &mut sink).await
        })
    }
}

#[test]
fn a_state_that_does_not_come_is_an_error() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/checkpoints/tiny-d16");
    let source = Directory::open(folder).unwrap();
    let options = LoadOptions::default().device(Device::Cpu);
    let encoder = Encoder::load_blocking(&source, &options).unwrap();
    let encoder = encoder.with_executor(|inner| Arc::new(Silent(inner)));
    let all = Capture::default().layers(Layers::All).normalize(false);
    let windows = Overflow::Window { stride: Some(2) };
    let captures = [
        Capture::default(),
        all.clone(),
        all.clone().pool(Pool::Tokens),
        Capture { overflow: windows, max_tokens: Some(6), ..all.clone() },
        all.combine("mean").pool(Pool::Tokens),
    ];
    let texts = ["the word the word the word the word", "a word"];
    for capture in captures {
        let error = encoder.embed_blocking(texts, &capture).expect_err("nothing came");
        assert_eq!(error.kind(), ErrorKind::Gpu, "{capture:?}: {error}");
        if capture.max_tokens.is_some() {
            continue;
        }
        let tokens = encoder.tokenize(texts, &capture).unwrap().remove(0);
        let text = PreparedText { tokens, ..PreparedText::default() };
        let job = Job { text: &text, windows: None, captures: &[capture] };
        let served = pollster::block_on(encoder.embed_jobs(&[job])).unwrap();
        let error = served.results.into_iter().next().unwrap().expect_err("nothing came");
        assert_eq!(error.kind(), ErrorKind::Gpu, "{error}");
    }
}

/// What the texts give, and how many runs were refused, with memory for `most` batches, where the
/// `first` runs find none at all.
fn embed(most: usize, first: usize) -> (Result<Vec<f32>, Error>, usize) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/checkpoints/tiny-d16");
    let options = LoadOptions::default().device(Device::Cpu).batch_tokens(20);
    let mut encoder = Encoder::load_blocking(&Directory::open(folder).unwrap(), &options).unwrap();
    let (under_way, refused) = (AtomicUsize::new(0), AtomicUsize::new(0));
    let inner = Arc::clone(&encoder.executor);
    let tight = Arc::new(Tight { inner, most, first, under_way, refused });
    encoder.executor = Arc::clone(&tight) as Arc<dyn Execute>;
    let texts = (0..40).map(|i| "the word ".repeat(1 + i % 7));
    let got = encoder.embed_blocking(texts, &Capture::default());
    (got.map(|e| e.to_vec()), tight.refused.load(Ordering::Relaxed))
}

#[test]
fn without_memory_for_two_batches_one_is_run_at_a_time() {
    let (want, refused) = embed(2, 0);
    assert_eq!(refused, 0);
    let want = want.unwrap();
    let (got, refused) = embed(1, 0);
    assert_eq!(got.unwrap(), want);
    // Then one at a time, for the rest of the call.
    assert_eq!(refused, 1);
    // Two that were under way and both found none are run again, one after the other.
    let (got, refused) = embed(2, 2);
    assert_eq!((got.unwrap(), refused), (want, 2));
    // One that is alone and finds none is the error.
    let (none, refused) = embed(0, 0);
    assert_eq!(none.unwrap_err().kind(), ErrorKind::OutOfMemory);
    assert_eq!(refused, 3);
}
