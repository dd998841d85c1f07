//! Batches through an executor: two are under way at once, tokens of later texts are made
//! meanwhile, and results are taken as they come.

use std::collections::VecDeque;
use std::task::Poll;

use futures::StreamExt;
use futures::stream::FuturesOrdered;

use super::collect::{Arrived, Collector};
use super::feed::Feed;
use super::wish::Wish;
use super::{Encoder, Rerun};
use crate::error::{ErrorKind, Result};
use crate::execute::{Execute, NotFinite, Task};
use crate::schedule::Elem;
use crate::text::pack::PackedBatch;

/// Batches under way: the device works on one while the results of the other come back.
pub const UNDER_WAY: usize = 2;

/// A batch that was run: what arrived, and the rows that are not finite.
struct Landed {
    batch: PackedBatch,
    outcome: Result<(Arrived, Option<NotFinite>)>,
}

impl Encoder {
    /// Runs what `feed` gives. What comes of texts that are not finite in f16 is left out, and their
    /// numbers are given back.
    pub(super) async fn drive(
        &self,
        executor: &dyn Execute,
        wish: &Wish<'_>,
        feed: &mut Feed<'_>,
        collector: &mut Collector<'_>,
    ) -> Result<Option<Rerun>> {
        let mut rerun: Option<Rerun> = None;
        let mut most = UNDER_WAY;
        let mut queue = VecDeque::new();
        let mut under_way = FuturesOrdered::new();
        loop {
            while under_way.len() < most
                && let Some(batch) = queue.pop_front()
            {
                under_way.push_back(self.run(executor, wish, batch));
            }
            let landed = if queue.len() < most && !feed.is_done() {
                // Polled once, the batches are submitted: the device works while tokens are made.
                let landed = futures::poll!(under_way.next());
                queue.extend(feed.step()?);
                let Poll::Ready(Some(landed)) = landed else { continue };
                landed
            } else {
                let Some(landed) = under_way.next().await else { break };
                landed
            };
            let Landed { batch, outcome } = landed;
            let (arrived, found) = match outcome {
                // Alone it may fit.
                Err(e) if e.kind() == ErrorKind::OutOfMemory && most > 1 => {
                    most = 1;
                    queue.push_front(batch);
                    continue;
                }
                outcome => outcome?,
            };
            let left_out = match found {
                None => Vec::new(),
                Some(found) if executor.caps().elem == Elem::F32 => {
                    return Err(self.name_model(found.into_error()));
                }
                Some(found) => {
                    let sequences = batch.sequences_of(&found.rows);
                    let rerun = rerun.get_or_insert(Rerun { state: found.state, texts: vec![] });
                    rerun.state = rerun.state.min(found.state);
                    let text = |&i: &usize| feed.part(batch.order[i]).text;
                    rerun.texts.extend(sequences.iter().map(text));
                    sequences
                }
            };
            let stride = self.model.layout.width;
            collector.take(feed, &batch, stride, &arrived, &left_out)?;
        }
        if let Some(rerun) = &mut rerun {
            rerun.texts.sort_unstable();
            rerun.texts.dedup();
        }
        Ok(rerun)
    }

    fn run<'a>(
        &'a self,
        executor: &'a dyn Execute,
        wish: &'a Wish<'_>,
        batch: PackedBatch,
    ) -> Task<'a, Landed> {
        Box::pin(async move {
            let mut arrived = Arrived::new();
            let mut sink = |output, numbers| {
                arrived.push((output, numbers));
                Ok(())
            };
            let found = match self.write(executor, wish, &batch) {
                Ok(recording) => executor.run(&recording, &mut sink).await,
                Err(e) => Err(e),
            };
            let outcome = found.map(|found| (arrived, found)).map_err(|e| self.name_model(e));
            Landed { batch, outcome }
        })
    }
}
