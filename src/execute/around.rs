//! An executor around another one.

use std::time::Duration;

use super::{Ceilings, Counters, Execute, NotFinite, Sink, Task};
use crate::error::Result;
use crate::model::layout::WeightId;
use crate::schedule::{Caps, Recording};

/// An executor that passes on to another all that it does not do itself.
pub trait Around: Send + Sync {
    /// The other one.
    fn inner(&self) -> &dyn Execute;

    /// See [`Execute::caps`].
    fn caps(&self) -> &Caps {
        self.inner().caps()
    }

    /// What is done before each recording is run or timed; an error keeps it from being run.
    ///
    /// # Errors
    ///
    /// Those that [`Execute::run`] and [`Execute::profile`] give then.
    fn before<'a>(&'a self, _: &'a Recording) -> Task<'a, Result<()>> {
        Box::pin(async { Ok(()) })
    }

    /// See [`Execute::run`]; after [`Around::before`].
    ///
    /// # Errors
    ///
    /// Those of [`Execute::run`].
    fn run<'a>(
        &'a self,
        recording: &'a Recording,
        sink: Sink<'a>,
    ) -> Task<'a, Result<Option<NotFinite>>> {
        self.inner().run(recording, sink)
    }
}

impl<T: Around> Execute for T {
    fn caps(&self) -> &Caps {
        Around::caps(self)
    }

    fn device(&self) -> String {
        self.inner().device()
    }

    fn weight_bytes(&self) -> u64 {
        self.inner().weight_bytes()
    }

    fn prepare(&self, recording: &Recording) {
        self.inner().prepare(recording);
    }

    fn reserve(&self, recording: &Recording) -> Result<()> {
        self.inner().reserve(recording)
    }

    fn run<'a>(
        &'a self,
        recording: &'a Recording,
        sink: Sink<'a>,
    ) -> Task<'a, Result<Option<NotFinite>>> {
        Box::pin(async move {
            self.before(recording).await?;
            Around::run(self, recording, sink).await
        })
    }

    fn profile<'a>(&'a self, recording: &'a Recording) -> Task<'a, Result<Vec<Duration>>> {
        Box::pin(async move {
            self.before(recording).await?;
            self.inner().profile(recording).await
        })
    }

    fn ceilings(&self) -> Task<'_, Result<Ceilings>> {
        self.inner().ceilings()
    }

    fn counters(&self) -> Counters {
        self.inner().counters()
    }

    fn held_bytes(&self, id: WeightId) -> u64 {
        self.inner().held_bytes(id)
    }

    fn is_software(&self) -> bool {
        self.inner().is_software()
    }
}
