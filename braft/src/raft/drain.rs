//! How fast a queue of batches is worked off, learned from the batches before.
//!
//! A batch costs so much for itself, and so much for each item in it. Both are fitted to the latest
//! batches. What one batch costs is not taken for the price of an item: a lone command takes as long as the
//! disk does, and a thousand of them take little longer.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

/// What a batch still counts after the next one. About eight of them count: a node that was held up
/// knows within a few batches, hence in no time, that it is no longer.
const KEPT: f64 = 7.0 / 8.0;
/// How much it takes to believe that an item costs something: as if a batch with 16 items more than
/// others had been seen to take no longer. Without it chance would decide while batches are small.
const DOUBT: f64 = 16.0 * 16.0;
/// Items that any batch may hold.
const FIRST_BATCH: usize = 16;
/// By how much a batch may exceed the latest ones: what items cost is learned before many of them
/// are under way, and ever so often after a quiet time.
const GROWTH: usize = 8;
/// How long the items of a batch may take together: the first of them is answered with the last.
const BATCH_TIME: Duration = Duration::from_millis(50);
/// What part of its time an item may wait for those before it. The rest is for what cannot be
/// foreseen: the way there and back, and that the next ones cost more than the last.
const WAIT_PART: u32 = 2;

/// Watches one queue, and says what may join it.
#[derive(Debug, Default)]
pub(super) struct Drain {
    work: Mutex<Work>,
    // What the fit says, for those who only look.
    batch_nanos: AtomicU64,
    item_nanos: AtomicU64,
    largest: AtomicU64,
}

#[derive(Debug, Default)]
struct Work {
    /// When the last batch was done.
    done: Option<Instant>,
    costs: Costs,
}

impl Drain {
    /// Takes note that a batch is done which was begun at that moment.
    pub(super) fn note(&self, items: usize, begun: Instant, now: Instant) {
        let mut work = self.work.lock().unwrap_or_else(PoisonError::into_inner);
        // While the one before it was under way it waited.
        let from = work.done.map_or(begun, |done| done.max(begun));
        work.done = Some(now);
        work.costs
            .add(items as f64, now.saturating_duration_since(from));
        let (batch, item) = work.costs.fit();
        self.batch_nanos.store(batch as u64, Ordering::Relaxed);
        self.item_nanos.store(item as u64, Ordering::Relaxed);
        let largest = work.costs.largest as u64;
        self.largest.store(largest, Ordering::Relaxed);
    }

    /// Whether one more may join `items` that take `batches` to work off, beside the one that is filled
    /// anyway, if it has to be answered within `left`. With nothing under way it always may: or nothing would be learned any more.
    pub(super) fn admits(&self, items: usize, batches: usize, left: Duration) -> bool {
        items == 0 || self.wait(items, batches) <= left / WAIT_PART
    }

    /// How long so many items are expected to take, in so many batches.
    pub(super) fn wait(&self, items: usize, batches: usize) -> Duration {
        let item = self.item_nanos.load(Ordering::Relaxed);
        let batch = self.batch_nanos.load(Ordering::Relaxed);
        let nanos = item
            .saturating_mul(items as u64)
            .saturating_add(batch.saturating_mul(batches as u64));
        Duration::from_nanos(nanos)
    }

    /// How many items the next batch may hold.
    pub(super) fn next_batch(&self) -> usize {
        let largest = self.largest.load(Ordering::Relaxed) as usize;
        let most = FIRST_BATCH.max(largest.saturating_mul(GROWTH));
        let item = self.item_nanos.load(Ordering::Relaxed).max(1);
        let in_time = BATCH_TIME.as_nanos() as u64 / item;
        most.min(in_time as usize).max(1)
    }
}

/// Sums over the latest batches, of their items and the nanoseconds they took.
#[derive(Debug, Default)]
struct Costs {
    batches: f64,
    items: f64,
    items_squared: f64,
    nanos: f64,
    items_nanos: f64,
    largest: f64,
}

impl Costs {
    fn add(&mut self, items: f64, took: Duration) {
        let nanos = took.as_nanos() as f64;
        let sums = [
            (&mut self.batches, 1.0),
            (&mut self.items, items),
            (&mut self.items_squared, items * items),
            (&mut self.nanos, nanos),
            (&mut self.items_nanos, items * nanos),
        ];
        for (sum, more) in sums {
            *sum = *sum * KEPT + more;
        }
        self.largest = (self.largest * KEPT).max(items);
    }

    /// Nanoseconds of a batch and of an item: least squares, with a doubt about the second. Neither
    /// is below nothing.
    fn fit(&self) -> (f64, f64) {
        if self.batches == 0.0 || self.items == 0.0 {
            return (0.0, 0.0);
        }
        let (mean_items, mean) = (self.items / self.batches, self.nanos / self.batches);
        let spread = (self.items_squared - self.items * mean_items).max(0.0);
        let together = self.items_nanos - self.nanos * mean_items;
        let item = (together / (spread + DOUBT)).clamp(0.0, mean / mean_items);
        (mean - item * mean_items, item)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;

    use super::*;

    /// A queue whose batches cost what they say, worked off in simulated time.
    struct Node {
        drain: Drain,
        now: Instant,
        batch: Duration,
        item: Duration,
    }

    impl Node {
        fn new(batch: Duration, item: Duration) -> Self {
            Node {
                drain: Drain::default(),
                now: Instant::now(),
                batch,
                item,
            }
        }

        fn work(&mut self, items: usize) {
            let begun = self.now;
            self.now += self.batch + self.item * items as u32;
            self.drain.note(items, begun, self.now);
        }

        /// How many items may wait in all, each with so much time to go.
        fn room(&self, left: Duration) -> usize {
            let admits = |items: &usize| self.drain.admits(*items, items / 4096, left);
            (0..40_000).find(|items| !admits(items)).unwrap_or(40_000)
        }

        /// Works off a queue of that many, in batches as large as they may be.
        fn work_off(&mut self, mut items: usize) {
            while items > 0 {
                let batch = items.min(self.drain.next_batch()).min(4096);
                self.work(batch);
                items -= batch;
            }
        }
    }

    const MICRO: Duration = Duration::from_micros(1);
    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn a_node_that_knows_nothing_takes_what_comes() {
        let node = Node::new(MICRO, MICRO);
        assert_eq!(node.room(SECOND), 40_000);
    }

    #[test]
    fn what_the_disk_takes_for_a_lone_command_is_not_the_price_of_a_command() {
        for disk in [400 * MICRO, 20_000 * MICRO] {
            let mut node = Node::new(disk, 4 * MICRO);
            for n in 0..10_000 {
                node.work(1 + n % 3);
            }
            assert_eq!(node.room(SECOND), 40_000, "{disk:?}");
        }
    }

    #[test]
    fn it_admits_what_takes_half_of_the_time_that_is_left() {
        let mut node = Node::new(400 * MICRO, 25 * MICRO);
        for n in 0..30 {
            node.work(500 + 40 * (n % 7));
        }
        for left in [SECOND, SECOND / 10] {
            let fit = (left / 2).as_micros() / 25;
            let room = node.room(left) as u128;
            assert!(room > fit * 9 / 10 && room <= fit * 11 / 10, "{room}");
        }
    }

    #[test]
    fn batches_of_one_size_are_foreseen_whatever_their_items_cost() {
        let mut node = Node::new(400 * MICRO, 25 * MICRO);
        for _ in 0..100 {
            node.work(4096);
        }
        // Each takes a tenth of a second.
        assert!(node.drain.admits(4 * 4096, 4, SECOND));
        assert!(!node.drain.admits(6 * 4096, 6, SECOND));
    }

    #[test]
    fn slow_commands_are_found_out_before_many_are_under_way() {
        let mut node = Node::new(400 * MICRO, 1000 * MICRO);
        let began = node.now;
        node.work(1);
        while node.room(SECOND) > 1000 {
            let batch = node.drain.next_batch();
            node.work(batch);
        }
        assert!(node.now - began < SECOND / 5, "{:?}", node.now - began);
    }

    #[test]
    fn a_queue_after_a_quiet_time_is_met_anew() {
        let mut node = Node::new(400 * MICRO, 25 * MICRO);
        node.work_off(50_000);
        let busy = node.room(SECOND);
        for _ in 0..1000 {
            node.now += SECOND;
            node.work(1);
        }
        assert_eq!(node.room(SECOND), 40_000);
        assert_eq!(node.drain.next_batch(), FIRST_BATCH);
        node.work_off(2_000);
        assert!(node.room(SECOND) < 2 * busy, "{} {busy}", node.room(SECOND));
    }

    #[test]
    fn a_node_that_was_held_up_is_soon_trusted_again() {
        let mut node = Node::new(400 * MICRO, 4 * MICRO);
        for n in 0..100 {
            node.work(200 + n % 50);
        }
        let usual = node.batch;
        node.batch = 10 * SECOND;
        node.work(250);
        node.batch = usual;
        // At least one is always let in.
        let mut batches = 0;
        while node.room(SECOND) < 4_000 {
            node.work(node.room(SECOND).clamp(1, 200));
            batches += 1;
        }
        assert!(batches < 100, "{batches}");
    }

    /// Offers a node twice the calls that it carries; says what part of what it carries it answered
    /// in time. To refuse costs it a tenth of what it costs to serve.
    fn answered_under_twice_the_load(item: Duration) -> f64 {
        const LASTS: Duration = Duration::from_secs(5);
        let mut node = Node::new(400 * MICRO, item);
        let (start, mut next) = (node.now, node.now);
        let (mut queue, mut under_way, mut answered) = (VecDeque::new(), 0, 0);
        while node.now < start + LASTS {
            while next <= node.now {
                let items = under_way + queue.len();
                if node.drain.admits(items, items / 4096, SECOND) {
                    queue.push_back(next + SECOND);
                } else {
                    node.now += item / 10;
                }
                next += item / 2;
            }
            let (most, mut entry) = (node.drain.next_batch().min(4096), Vec::new());
            while entry.len() < most
                && let Some(deadline) = queue.pop_front()
            {
                if deadline > node.now + node.drain.wait(entry.len() + 1, 1) {
                    entry.push(deadline);
                }
            }
            under_way = entry.len();
            node.work(under_way);
            answered += entry
                .iter()
                .filter(|deadline| **deadline >= node.now)
                .count();
        }
        answered as f64 * item.as_secs_f64() / LASTS.as_secs_f64()
    }

    #[test]
    fn under_twice_the_load_four_fifths_are_answered_in_time() {
        for item in [4 * MICRO, 25 * MICRO, 1000 * MICRO] {
            let part = answered_under_twice_the_load(item);
            assert!(part >= 0.8, "{part} of the commands of {item:?} each");
        }
    }
}
