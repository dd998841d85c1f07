//! A thread that reads ahead. That it broke off is an error, never an end.

use std::any::Any;
use std::sync::mpsc::{Receiver, SyncSender, TryRecvError, sync_channel};
use std::thread::JoinHandle;

use everylayer::{Error, ErrorKind, Result};

/// What a thread makes, one after the other, at most a given number of them ahead.
pub struct Ahead<T> {
    receiver: Receiver<T>,
    /// `None` where its end has been looked at.
    thread: Option<JoinHandle<()>>,
    work: &'static str,
}

impl<T: Send + 'static> Ahead<T> {
    /// Starts the thread that runs `run`; `work` says for people what it does ("reads the input").
    pub fn start(
        work: &'static str,
        most: usize,
        run: impl FnOnce(SyncSender<T>) + Send + 'static,
    ) -> Self {
        let (sender, receiver) = sync_channel(most);
        Self { receiver, thread: Some(std::thread::spawn(move || run(sender))), work }
    }

    /// The next one, waited for; `None` at the end.
    ///
    /// # Errors
    /// `Io` where the thread panicked, once.
    pub fn next(&mut self) -> Result<Option<T>> {
        match self.receiver.recv() {
            Ok(next) => Ok(Some(next)),
            Err(_) => self.end(),
        }
    }

    /// The next one where it is there; `None` where it is not, and at the end.
    ///
    /// # Errors
    /// As [`Ahead::next`].
    pub fn ready(&mut self) -> Result<Option<T>> {
        match self.receiver.try_recv() {
            Ok(next) => Ok(Some(next)),
            Err(TryRecvError::Empty) => Ok(None),
            Err(TryRecvError::Disconnected) => self.end(),
        }
    }

    fn end(&mut self) -> Result<Option<T>> {
        match self.thread.take().map(JoinHandle::join) {
            Some(Err(panic)) => Err(broke_off(self.work, panic.as_ref())),
            Some(Ok(())) | None => Ok(None),
        }
    }
}

/// The error for a panic of a part of the program that does `work`.
pub fn broke_off(work: &str, panic: &(dyn Any + Send)) -> Error {
    let said = said(panic);
    Error::new(
        ErrorKind::Io,
        format!("the thread that {work} failed ({said}): this is a bug, please report it"),
    )
}

/// What a panic says.
pub fn said(panic: &(dyn Any + Send)) -> &str {
    let text = panic.downcast_ref::<&str>().copied();
    text.or_else(|| panic.downcast_ref::<String>().map(String::as_str)).unwrap_or("no reason given")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_is_an_error_and_no_end() {
        let count = |sender: SyncSender<u32>, last: u32| {
            for i in 0..last {
                let _ = sender.send(i);
            }
        };
        let mut whole = Ahead::start("counts", 1, move |sender| count(sender, 3));
        for want in [Some(0), Some(1), Some(2), None, None] {
            assert_eq!(whole.next().unwrap(), want);
        }
        let mut broken = Ahead::start("counts", 1, move |sender| {
            count(sender, 2);
            panic!("at row {}", 2);
        });
        assert_eq!((broken.next().unwrap(), broken.next().unwrap()), (Some(0), Some(1)));
        let error = broken.next().unwrap_err().to_string();
        assert!(error.starts_with("the thread that counts failed (at row 2)"), "{error}");
        let mut broken: Ahead<u32> = Ahead::start("counts", 1, |_| panic!("at once"));
        let error = loop {
            match broken.ready() {
                Ok(next) => assert_eq!(next, None),
                Err(error) => break error.to_string(),
            }
            std::thread::yield_now();
        };
        assert!(error.contains("(at once)"), "{error}");
    }
}
