//! What a device refused, told to the call that asked for it.
//!
//! Several threads share a device. Each part of a call that talks to it runs inside error scopes,
//! which catch what that part caused and nothing else: wgpu keeps them a thread, and a part has no
//! await in it. In a page an error is known only later, so that scopes are asked at the call's next
//! check.

use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};

use super::device::Gpu;
use crate::error::{Error, ErrorKind, Result, Setting, fail};

/// What the device told outside of any scope, and that it was lost.
#[derive(Default)]
struct Told {
    lost: Option<String>,
    first: Option<Fault>,
}

/// What is said to whoever loses a device that worked.
pub const AGAIN: &str = "; load the model again";

/// An error of the device: its kind and what it says.
type Fault = (ErrorKind, String);

/// The state of a device that all its users share.
#[derive(Clone, Default)]
pub struct Faults(Arc<Mutex<Told>>);

impl Faults {
    fn told(&self) -> std::sync::MutexGuard<'_, Told> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Listens to `device`.
    pub fn listen(&self, device: &wgpu::Device) {
        let seen = self.clone();
        device.set_device_lost_callback(move |reason, message| {
            // A device that is dropped on purpose is not lost; in a page nobody looks then.
            let meant = reason == wgpu::DeviceLostReason::Destroyed && message.is_empty();
            if !meant || cfg!(target_arch = "wasm32") {
                seen.lose(message);
            }
        });
        let seen = self.clone();
        device.on_uncaptured_error(Arc::new(move |error: wgpu::Error| {
            seen.told().first.get_or_insert(fault(&error));
        }));
    }

    /// Notes that the device is lost.
    pub fn lose(&self, reason: String) {
        self.told().lost.get_or_insert(reason);
    }
}

fn fault(error: &wgpu::Error) -> Fault {
    let kind = match error {
        wgpu::Error::OutOfMemory { .. } => ErrorKind::OutOfMemory,
        _ => ErrorKind::Gpu,
    };
    (kind, error.to_string())
}

/// The answer of a scope.
type Answer = Pin<Box<dyn Future<Output = Option<wgpu::Error>> + Send>>;

/// The scopes of a call that were not asked yet.
#[derive(Default)]
pub struct Scopes(Vec<Answer>);

impl Scopes {
    /// Does `work`, whose errors are those of this call.
    pub fn run<T>(&mut self, gpu: &Gpu, work: impl FnOnce() -> T) -> T {
        let filters = [
            wgpu::ErrorFilter::Internal,
            wgpu::ErrorFilter::Validation,
            wgpu::ErrorFilter::OutOfMemory,
        ];
        let scopes = filters.map(|filter| gpu.device.push_error_scope(filter));
        let done = work();
        for scope in scopes.into_iter().rev() {
            self.0.push(Box::pin(scope.pop()));
        }
        done
    }

    /// Fails where the device was lost, or refused something that this call asked for.
    pub async fn check(&mut self, gpu: &Gpu) -> Result<()> {
        let mut first = None;
        for answer in self.0.drain(..) {
            first = first.or(answer.await);
        }
        gpu.check()?;
        match first {
            None => Ok(()),
            Some(error) => Err(gpu.refused(fault(&error))),
        }
    }
}

impl Gpu {
    /// Does `work` and fails where the device refused some of it.
    pub(super) fn within<T>(&self, work: impl FnOnce() -> T) -> Result<T> {
        // A page's scopes answer later: the error of one is that of the next check there.
        #[cfg(target_arch = "wasm32")]
        let done = work();
        #[cfg(not(target_arch = "wasm32"))]
        let done = {
            let mut scopes = Scopes::default();
            let done = scopes.run(self, work);
            pollster::block_on(scopes.check(self))?;
            done
        };
        self.check()?;
        Ok(done)
    }

    /// Fails where the device was lost, or told of something outside of every scope.
    pub(crate) fn check(&self) -> Result<()> {
        let mut told = self.faults.told();
        if let Some(reason) = &told.lost {
            return Err(fail!(
                DeviceLost,
                "{}: the device was lost ({}){AGAIN}",
                self.report.name,
                reason.trim()
            ));
        }
        match told.first.take() {
            None => Ok(()),
            Some(fault) => Err(self.refused(fault)),
        }
    }

    /// The error for `fault`.
    fn refused(&self, (kind, message): Fault) -> Error {
        let text = message.split_whitespace().collect::<Vec<_>>().join(" ");
        let name = &self.report.name;
        match kind {
            ErrorKind::OutOfMemory => {
                Error::new(kind, format!("{name}: {text}; use smaller batches"))
                    .about(&[Setting::BatchTokens])
            }
            _ => Error::new(kind, format!("{name}: {text}")),
        }
    }
}
