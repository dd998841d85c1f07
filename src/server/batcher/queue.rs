//! The texts that wait, in the order in which clients take turns.

use std::collections::VecDeque;
use std::sync::Arc;

use super::Client;
use super::request::{Ready, Request};

/// A text in the queue.
pub struct Item {
    pub client: Client,
    pub request: Arc<Request>,
    /// Its place in the request.
    pub index: usize,
    pub ready: Ready,
    /// Whether a device was lost while it ran.
    pub again: bool,
}

/// The texts that wait.
#[derive(Default)]
pub struct Queue {
    /// Front is next to be served.
    clients: VecDeque<(Client, VecDeque<Item>)>,
    pub texts: usize,
    /// Their tokens.
    pub tokens: usize,
    /// Texts that were taken and are not done.
    pub running: usize,
    /// Whether nothing more is taken in.
    pub closed: bool,
}

impl Queue {
    /// Has `items` of `client` wait.
    pub fn push(&mut self, client: Client, items: impl Iterator<Item = Item>) {
        let at = self.clients.iter().position(|(c, _)| *c == client).unwrap_or_else(|| {
            self.clients.push_back((client, VecDeque::new()));
            self.clients.len() - 1
        });
        for item in items {
            self.texts += 1;
            self.tokens += item.ready.tokens.len();
            self.clients[at].1.push_back(item);
        }
    }

    /// Has `items`, which were taken, wait before all others.
    pub fn give_back(&mut self, items: Vec<Item>) {
        self.running -= items.len();
        for item in items.into_iter().rev() {
            self.texts += 1;
            self.tokens += item.ready.tokens.len();
            match self.clients.iter().position(|(client, _)| *client == item.client) {
                Some(at) => self.clients[at].1.push_front(item),
                None => self.clients.push_front((item.client, [item].into())),
            }
        }
    }

    /// A text of each client in turn, up to `budget` tokens but one text at least; and how many were
    /// dropped, their clients having left.
    pub fn take(&mut self, budget: usize) -> (Vec<Item>, u64) {
        let (mut taken, mut tokens, mut dropped) = (Vec::new(), 0, 0);
        while let Some((client, mut items)) = self.clients.pop_front() {
            let Some(item) = items.front() else { continue };
            let count = item.ready.tokens.len();
            let over = item.request.is_over();
            if !over && !taken.is_empty() && tokens + count > budget {
                self.clients.push_front((client, items));
                break;
            }
            let item = items.pop_front();
            if !items.is_empty() {
                self.clients.push_back((client, items));
            }
            self.texts -= 1;
            self.tokens -= count;
            match item {
                Some(item) if !over => {
                    tokens += count;
                    taken.push(item);
                }
                _ => dropped += 1,
            }
        }
        self.running += taken.len();
        (taken, dropped)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;
    use std::time::Instant;

    use tokio::sync::oneshot;

    use super::super::request::{Done, State};
    use super::*;
    use crate::server::refusal::Refusal;
    use crate::text::Tokens;

    fn request(texts: usize) -> (Arc<Request>, oneshot::Receiver<Result<Done, Refusal>>) {
        let (reply, answer) = oneshot::channel();
        let texts = (0..texts).map(|_| None).collect();
        let state = Mutex::new(State { texts, left: 1, taken: None, reply: Some(reply) });
        (
            Arc::new(Request { captures: Vec::new(), window: None, began: Instant::now(), state }),
            answer,
        )
    }

    fn items(request: &Arc<Request>, lengths: &[usize]) -> Vec<Item> {
        let item = |(index, &length): (usize, &usize)| Item {
            client: 0,
            again: false,
            request: Arc::clone(request),
            index,
            ready: Ready {
                tokens: Tokens { ids: vec![0; length], ..Tokens::default() },
                ..Ready::default()
            },
        };
        lengths.iter().enumerate().map(item).collect()
    }

    #[test]
    fn clients_take_turns_up_to_the_budget() {
        let mut queue = Queue::default();
        let ((a, _wait_a), (b, _wait_b)) = (request(4), request(1));
        queue.push(1, items(&a, &[5; 4]).into_iter());
        queue.push(2, items(&b, &[7]).into_iter());
        let (taken, dropped) = queue.take(17);
        let whose: Vec<_> = taken.iter().map(|i| (Arc::ptr_eq(&i.request, &a), i.index)).collect();
        assert_eq!(whose, [(true, 0), (false, 0), (true, 1)]);
        assert_eq!((dropped, queue.texts, queue.tokens), (0, 2, 10));
        // One text at least, however long.
        assert_eq!(queue.take(1).0.len(), 1);
    }

    #[test]
    fn texts_whose_client_left_are_dropped() {
        let mut queue = Queue::default();
        let ((a, wait_a), (b, _wait_b)) = (request(3), request(1));
        queue.push(1, items(&a, &[5; 3]).into_iter());
        queue.push(2, items(&b, &[7]).into_iter());
        drop(wait_a);
        let (taken, dropped) = queue.take(100);
        assert_eq!((taken.len(), dropped, queue.texts, queue.tokens), (1, 3, 0, 0));
    }

    #[test]
    fn what_is_given_back_comes_first() {
        let mut queue = Queue::default();
        let ((a, _wait_a), (b, _wait_b)) = (request(3), request(1));
        queue.push(0, items(&a, &[5; 3]).into_iter());
        let (taken, _) = queue.take(10);
        queue.push(9, items(&b, &[7]).into_iter());
        assert_eq!((taken.len(), queue.running), (2, 2));
        queue.give_back(taken);
        assert_eq!((queue.texts, queue.tokens, queue.running), (4, 22, 0));
        let (taken, _) = queue.take(100);
        let whose: Vec<_> = taken.iter().map(|i| (Arc::ptr_eq(&i.request, &a), i.index)).collect();
        assert_eq!(whose, [(true, 0), (false, 0), (true, 1), (true, 2)]);
    }
}
