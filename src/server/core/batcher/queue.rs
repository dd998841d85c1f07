//! The texts that wait, in the order in which clients take turns.
//!
//! Weighted fair queueing (Demers, Keshav, Shenker 1989; Parekh, Gallager 1993) by work: each item
//! has the virtual time at which a device that served all waiting clients at once would be done with
//! it, and the earliest is served first. So clients get equal shares of the device whatever the
//! length of their texts, and one with little to do waits for little.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::ops::Range;
use std::sync::Arc;

use super::Client;
use super::request::Request;
use crate::encoder::{Job, PreparedText, WindowRange, Windowed};

/// Virtual time of one unit of work for one client alone.
const UNIT: u64 = 1 << 10;

/// How far a short item may be ahead of others: about two long ones, by which these lag behind each
/// other as they take turns.
const AHEAD: u64 = 512 * UNIT;

/// A text in the queue, or some windows of one.
pub struct Item {
    pub request: Arc<Request>,
    /// Its place in the request.
    pub index: usize,
    pub text: Arc<PreparedText>,
    /// The windows that are run, where the text is run in some.
    pub windows: Option<(Arc<Windowed>, Range<usize>)>,
    /// What it costs, in tokens of a text of usual length.
    pub work: usize,
    /// Whether a device was lost while it ran.
    pub again: bool,
}

/// The texts that wait.
#[derive(Default)]
pub struct Queue {
    /// What was given back: served first.
    back: VecDeque<Item>,
    /// By the virtual time at which the first item of each is done.
    clients: BTreeMap<(u64, Client), VecDeque<Item>>,
    /// That time of each client; of one that has nothing waiting, of its last item.
    done: HashMap<Client, u64>,
    /// Virtual time.
    now: u64,
    /// Items, of which a text in windows has some.
    pub items: usize,
    /// Their work.
    pub work: usize,
    /// Items that were taken and are not done.
    pub running: usize,
    /// Whether nothing more is taken in.
    pub closed: bool,
}

fn cost(item: &Item) -> u64 {
    (item.work as u64).saturating_mul(UNIT)
}

impl Item {
    /// What of it is run now.
    pub fn job(&self) -> Job<'_> {
        let windows = self.windows.as_ref().map(|(of, run)| WindowRange {
            of,
            first: run.start,
            count: run.len(),
        });
        Job { text: &self.text, windows, captures: &self.request.captures }
    }

    /// Tokens that are run.
    pub fn tokens(&self) -> usize {
        match &self.windows {
            Some((windows, run)) => run.clone().map(|k| windows.tokens(k)).sum(),
            None => self.text.tokens.len(),
        }
    }
}

impl Queue {
    /// Has `items` of `client` wait.
    pub fn push(&mut self, client: Client, items: impl Iterator<Item = Item>) {
        for item in items {
            self.items += 1;
            self.work += item.work;
            let last = self.done.get(&client).copied();
            if let Some(waiting) = last.and_then(|at| self.clients.get_mut(&(at, client))) {
                waiting.push_back(item);
                continue;
            }
            // One that comes back soon goes on where it was.
            let at = last.unwrap_or(0).max(self.now).saturating_add(cost(&item));
            self.done.insert(client, at);
            self.clients.insert((at, client), [item].into());
        }
    }

    /// Has `items`, which were taken, wait before all others.
    pub fn give_back(&mut self, items: Vec<Item>) {
        self.running -= items.len();
        for item in items.into_iter().rev() {
            self.items += 1;
            self.work += item.work;
            self.back.push_front(item);
        }
    }

    /// Items in their order, up to `budget` of work but one at least; and how many were dropped, their clients having left.
    pub fn take(&mut self, budget: usize) -> (Vec<Item>, u64) {
        let (mut taken, mut work, mut dropped) = (Vec::new(), 0usize, 0);
        while let Some(first) = self.first() {
            let over = first.request.is_over();
            let fits = taken.is_empty() || work.saturating_add(first.work) <= budget;
            if !over && !fits {
                break;
            }
            let Some(item) = self.pop(over) else { break };
            self.items -= 1;
            self.work -= item.work;
            if over {
                dropped += 1;
            } else {
                work += item.work;
                taken.push(item);
            }
        }
        self.running += taken.len();
        self.settle();
        (taken, dropped)
    }

    /// Where nobody waits, nobody is owed anything.
    fn settle(&mut self) {
        if self.items == 0 {
            self.done.clear();
            self.now = 0;
        }
    }

    /// Items of no more work than `short` that are next, or would be after one that is longer, up to
    /// `budget` together. None goes before what was given back, nor further ahead of its client's
    /// share than [`AHEAD`]: a client with many short texts holds nobody up.
    pub fn take_short(&mut self, budget: usize, short: usize) -> Vec<Item> {
        let (mut taken, mut work) = (Vec::new(), 0);
        while self.back.is_empty()
            && let Some((&(first, _), _)) = self.clients.first_key_value()
        {
            let fits = |item: &Item| {
                let is_short = item.work <= short && work + item.work <= budget;
                is_short && !item.request.is_over()
            };
            let near = self.clients.range(..=(first.saturating_add(AHEAD), Client::MAX));
            let mut found = near.filter(|(_, items)| items.front().is_some_and(fits));
            let Some((&key, _)) = found.next() else { break };
            let Some(item) = self.pop_of(key, false) else { break };
            self.items -= 1;
            self.work -= item.work;
            work += item.work;
            taken.push(item);
        }
        self.running += taken.len();
        self.settle();
        taken
    }

    fn first(&self) -> Option<&Item> {
        let next = || self.clients.first_key_value().and_then(|(_, items)| items.front());
        self.back.front().or_else(next)
    }

    /// Takes the first item out; one that is dropped costs its client nothing.
    fn pop(&mut self, dropped: bool) -> Option<Item> {
        if let Some(item) = self.back.pop_front() {
            return Some(item);
        }
        let (&first, _) = self.clients.first_key_value()?;
        self.pop_of(first, dropped)
    }

    /// Takes the first item of the client at `key` out.
    fn pop_of(&mut self, key: (u64, Client), dropped: bool) -> Option<Item> {
        let sharing = self.clients.len() as u64;
        let (at, client) = key;
        let mut items = self.clients.remove(&key)?;
        let item = items.pop_front()?;
        let before = if dropped { at.saturating_sub(cost(&item)) } else { at };
        if !dropped {
            self.now = self.now.saturating_add(cost(&item) / sharing.max(1));
        }
        let at = items.front().map_or(before, |next| before.saturating_add(cost(next)));
        self.done.insert(client, at);
        if items.is_empty() {
            self.forget();
        } else {
            self.clients.insert((at, client), items);
        }
        Some(item)
    }

    /// Forgets clients that have nothing waiting and were served no more than their share.
    fn forget(&mut self) {
        if self.done.len() > 2 * self.clients.len() + 64 {
            let (now, clients) = (self.now, &self.clients);
            self.done.retain(|&client, at| *at > now || clients.contains_key(&(*at, client)));
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;
    use std::time::Instant;

    use tokio::sync::oneshot;

    use super::super::request::{Done, RequestState};
    use super::*;
    use crate::server::core::error::ApiError;

    type Wait = oneshot::Receiver<Result<Done, ApiError>>;

    fn request(texts: usize) -> (Arc<Request>, Wait) {
        let (reply, answer) = oneshot::channel();
        let texts = (0..texts).map(|_| None).collect();
        let state = Mutex::new(RequestState { texts, left: 1, taken: None, reply: Some(reply) });
        (Arc::new(Request { captures: Vec::new(), began: Instant::now(), state }), answer)
    }

    fn items(client: Client, request: &Arc<Request>, works: &[usize]) -> Vec<Item> {
        // The place says in tests whose it is, too.
        let item = |(index, &work): (usize, &usize)| Item {
            again: false,
            request: Arc::clone(request),
            index: client as usize * 1000 + index,
            text: Arc::default(),
            windows: None,
            work,
        };
        works.iter().enumerate().map(item).collect()
    }

    fn whose(item: &Item) -> Client {
        item.index as Client / 1000
    }

    fn of(items: &[Item]) -> Vec<(Client, usize)> {
        items.iter().map(|item| (whose(item), item.index % 1000)).collect()
    }

    #[test]
    fn clients_take_turns_up_to_the_budget() {
        let mut queue = Queue::default();
        let ((a, _wait_a), (b, _wait_b)) = (request(4), request(1));
        queue.push(1, items(1, &a, &[5; 4]).into_iter());
        queue.push(2, items(2, &b, &[7]).into_iter());
        let (taken, dropped) = queue.take(17);
        assert_eq!(of(&taken), [(1, 0), (2, 0), (1, 1)]);
        assert_eq!((dropped, queue.items, queue.work), (0, 2, 10));
        // One item at least, however much work.
        assert_eq!(queue.take(1).0.len(), 1);
    }

    #[test]
    fn little_work_comes_before_much() {
        let mut queue = Queue::default();
        let mut waits = Vec::new();
        for client in 1..5 {
            let (heavy, wait) = request(9);
            queue.push(client, items(client, &heavy, &[250; 9]).into_iter());
            waits.push(wait);
        }
        // Whenever it comes, what is served next is the small request.
        for client in 10..20 {
            assert_eq!(queue.take(1).0[0].work, 250);
            let (small, wait) = request(1);
            queue.push(client, items(client, &small, &[10]).into_iter());
            waits.push(wait);
            assert_eq!(whose(&queue.take(1).0[0]), client);
        }
    }

    #[test]
    fn short_items_near_the_front_may_be_taken_alone() {
        let mut queue = Queue::default();
        let ((a, _wait_a), (b, _wait_b)) = (request(2), request(3));
        queue.push(1, items(1, &a, &[9, 250]).into_iter());
        queue.push(2, items(2, &b, &[250, 8, 8]).into_iter());
        assert!(queue.take_short(8, 64).is_empty());
        assert_eq!(of(&queue.take_short(64, 64)), [(1, 0)]);
        assert!(queue.take_short(64, 64).is_empty());
        assert_eq!((queue.items, queue.work, queue.running), (4, 516, 1));
        assert_eq!(of(&queue.take(250).0), [(2, 0)]);
        assert_eq!(of(&queue.take_short(12, 64)), [(2, 1)]);
    }

    #[test]
    fn work_is_shared_alike_among_clients_and_nobody_starves() {
        let mut queue = Queue::default();
        let (heavy, _heavy) = request(100);
        queue.push(1, items(1, &heavy, &[100; 100]).into_iter());
        // Another new client with a text of 10 for each that is served.
        let (mut waits, mut served) = (Vec::new(), [0usize; 2]);
        for client in 2..1000 {
            let (small, wait) = request(1);
            queue.push(client, items(client, &small, &[10]).into_iter());
            waits.push(wait);
            let item = &queue.take(1).0[0];
            served[usize::from(whose(item) != 1)] += item.work;
        }
        assert!(served[0] >= 1000, "{served:?}");
        assert!(queue.done.len() < 500, "{}", queue.done.len());
        // Two with the same to do have the same done at any time.
        let mut queue = Queue::default();
        let ((a, _wait_a), (b, _wait_b)) = (request(1), request(1));
        queue.push(1, items(1, &a, &[30; 100]).into_iter());
        queue.push(2, items(2, &b, &[10; 300]).into_iter());
        let mut served = [0usize; 2];
        for _ in 0..60 {
            let item = &queue.take(1).0[0];
            served[whose(item) as usize - 1] += item.work;
            assert!(served[0].abs_diff(served[1]) <= 30, "{served:?}");
        }
    }

    #[test]
    fn short_items_do_not_starve_long_ones() {
        let mut queue = Queue::default();
        let ((long, _wait_a), (short, _wait_b)) = (request(1), request(1));
        queue.push(1, items(1, &long, &[250; 9]).into_iter());
        queue.push(2, items(2, &short, &[10; 900]).into_iter());
        // As a device takes them: short ones first, where there are some.
        let mut served = [0usize; 2];
        for _ in 0..100 {
            let mut taken = queue.take_short(500, 64);
            if taken.is_empty() {
                taken = queue.take(500).0;
            }
            taken.iter().for_each(|item| served[whose(item) as usize - 1] += item.work);
            assert!(served[0].abs_diff(served[1]) <= 1200, "{served:?}");
            if served[0] == 9 * 250 {
                return;
            }
        }
        panic!("the long texts are not served: {served:?}");
    }

    #[test]
    fn what_was_given_back_is_not_overtaken_by_short_items() {
        let mut queue = Queue::default();
        let ((a, _wait_a), (b, _wait_b)) = (request(1), request(1));
        queue.push(1, items(1, &a, &[250]).into_iter());
        let (taken, _) = queue.take(250);
        queue.push(2, items(2, &b, &[5]).into_iter());
        queue.give_back(taken);
        assert!(queue.take_short(64, 64).is_empty());
        assert_eq!(of(&queue.take(250).0), [(1, 0)]);
    }

    #[test]
    fn texts_whose_client_left_are_dropped() {
        let mut queue = Queue::default();
        let ((a, wait_a), (b, _wait_b)) = (request(3), request(1));
        queue.push(1, items(1, &a, &[5; 3]).into_iter());
        queue.push(2, items(2, &b, &[7]).into_iter());
        drop(wait_a);
        let (taken, dropped) = queue.take(100);
        assert_eq!((of(&taken), dropped), (vec![(2, 0)], 3));
        assert_eq!((queue.items, queue.work, queue.running), (0, 0, 1));
    }

    #[test]
    fn what_is_given_back_comes_first() {
        let mut queue = Queue::default();
        let ((a, _wait_a), (b, _wait_b)) = (request(3), request(1));
        queue.push(0, items(0, &a, &[5; 3]).into_iter());
        let (taken, _) = queue.take(10);
        queue.push(9, items(9, &b, &[7]).into_iter());
        assert_eq!((taken.len(), queue.running), (2, 2));
        queue.give_back(taken);
        assert_eq!((queue.items, queue.work, queue.running), (4, 22, 0));
        let (taken, _) = queue.take(100);
        assert_eq!(of(&taken)[..2], [(0, 0), (0, 1)]);
        assert_eq!(taken.len(), 4);
    }
}
