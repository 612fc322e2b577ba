//! What an operation may know about where it runs: the same on every replica and on replay.

use std::convert::Infallible;
use std::fmt;
use std::marker::PhantomData;
use std::time::{Duration, SystemTime};

use rand_chacha::ChaCha8Rng;
use rand_core::{Rng as _, SeedableRng};
use serde::{Deserialize, Serialize};

use crate::codec;
use crate::effects::{Effects, MAX_WAKES, TooManyWakes, log_time, system_time};
use crate::event::{Event, MAX_EVENT_BYTES};

/// Where a command stands in the log.
///
/// Totally ordered; `ordinal` counts the commands that share one log entry.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
pub struct LogPosition {
    /// The raft term of the entry.
    pub term: u64,
    /// The raft log index of the entry.
    pub index: u64,
    /// The position within the entry.
    pub ordinal: u32,
}

impl fmt::Display for LogPosition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}.{}", self.term, self.index, self.ordinal)
    }
}

/// Identifies one command of one client: the same for every attempt of one call.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct RequestId {
    /// The session: the log position of the entry that opened it.
    pub session: u64,
    /// Counts the calls of the session, from 1.
    pub sequence: u64,
}

/// The event type of a service that emits none.
#[derive(Debug)]
pub enum NoEvents {}

/// Time, randomness and identity for one command, timer or query, taken from the log.
///
/// A command or timer takes `&mut Context` as its first argument, a query `&Context`. Everything it
/// answers comes from the replicated log, so every replica and every replay sees the same.
pub struct Context<E = NoEvents> {
    position: LogPosition,
    request: Option<RequestId>,
    now: Duration,
    version: u32,
    rng: Rng,
    effects: Effects,
    /// How many more wakes the service may ask for.
    room: usize,
    events: PhantomData<fn() -> E>,
}

impl<E> Context<E> {
    pub(crate) fn new(
        position: LogPosition,
        request: Option<RequestId>,
        now: Duration,
        seed: u64,
        room: usize,
    ) -> Self {
        Context {
            position,
            request,
            now,
            version: u32::MAX,
            rng: Rng::new(seed, position.ordinal),
            effects: Effects::default(),
            room,
            events: PhantomData,
        }
    }

    /// The same context under another version of the service.
    #[must_use]
    pub(crate) fn at_version(mut self, version: u32) -> Self {
        self.version = version;
        self
    }

    /// A context for a unit test without a cluster: log position 1.1.0, time 2000-01-01 00:00 UTC,
    /// random numbers from `seed`.
    pub fn for_test(seed: u64) -> Self {
        const YEAR_2000: Duration = Duration::from_secs(946_684_800);
        let position = LogPosition {
            term: 1,
            index: 1,
            ordinal: 0,
        };
        Self::new(position, None, YEAR_2000, seed, MAX_WAKES)
    }

    pub(crate) fn into_effects(self) -> Effects {
        self.effects
    }

    /// Where this command stands in the log; in a query, the last entry it sees.
    pub fn log_position(&self) -> LogPosition {
        self.position
    }

    /// The client's id of this call; `None` in a query and in a timer.
    pub fn request_id(&self) -> Option<RequestId> {
        self.request
    }

    /// The time of this entry by the replicated clock, which never goes back.
    /// In a query, the time of the last applied entry.
    pub fn now(&self) -> SystemTime {
        SystemTime::UNIX_EPOCH + self.now
    }

    /// The version of the service that is active: the same on every replica, whatever their
    /// binaries know. A command that is to do something else from version 2 on asks for it here.
    ///
    /// In [`for_test`](Context::for_test) it is the highest there is.
    pub fn version(&self) -> u32 {
        self.version
    }

    /// Random numbers from a seed that the leader put into the log.
    pub fn rng(&mut self) -> &mut Rng {
        &mut self.rng
    }

    /// Asks that the service's `#[timer]` method runs once log time has reached `at`.
    ///
    /// It runs on every replica, in log order, soon after that time even if nobody calls anything;
    /// never before it. What is pending survives failover, restart and snapshot. A time that has
    /// passed is due at once, after this command. Asking twice for one time is asking once. A wake
    /// cannot be taken back: the timer looks at the state and finds nothing to do.
    ///
    /// # Errors
    /// [`TooManyWakes`], if the service has 65,536 pending; nothing is changed then.
    pub fn wake_at(&mut self, at: SystemTime) -> Result<(), TooManyWakes> {
        let at = log_time(at);
        if self.effects.wakes.len() >= self.room && !self.effects.wakes.contains(&at) {
            return Err(TooManyWakes);
        }
        self.effects.wakes.insert(at);
        Ok(())
    }

    /// The times for which [`wake_at`](Self::wake_at) was called with this context, in order.
    pub fn wakes(&self) -> impl Iterator<Item = SystemTime> + '_ {
        self.effects.wakes.iter().copied().map(system_time)
    }
}

impl<E> Context<E> {
    /// Tells the subscribers of the service (see [`Client::events`](crate::Client::events)) once
    /// this command is committed and applied. Every node keeps the event for a while, by the
    /// [`Settings`](crate::Settings) of the cluster.
    ///
    /// An event that has no MessagePack form, or more than 1 MiB of it, is not emitted; the caller is
    /// told so (*rejected*, *applied*) in place of the answer.
    pub fn emit(&mut self, event: E)
    where
        E: Event,
    {
        let fault = match codec::encode(&event) {
            Ok(bytes) if bytes.len() <= MAX_EVENT_BYTES => {
                return self.effects.events.push(bytes.into());
            }
            Ok(bytes) => format!(
                "an event has {} bytes, the limit is {MAX_EVENT_BYTES}; emit less of it",
                bytes.len()
            ),
            Err(error) => format!("an event could not be emitted: {error}"),
        };
        self.effects.fault.get_or_insert(fault);
    }

    /// The events emitted with this context, in order, as a subscriber gets them: for unit tests.
    ///
    /// # Panics
    /// If one does not read back as the type it was written from: subscribers could not read it.
    pub fn emitted(&self) -> Vec<E>
    where
        E: Event,
    {
        let read = |bytes: &bytes::Bytes| {
            codec::decode(bytes).expect("an event reads back as what was emitted")
        };
        self.effects.events.iter().map(read).collect()
    }
}

impl<E> fmt::Debug for Context<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Context")
            .field("position", &self.position)
            .field("request", &self.request)
            .field("now", &self.now)
            .finish_non_exhaustive()
    }
}

/// A random number generator (ChaCha8) whose numbers are the same on every replica.
///
/// Implements `rand_core::Rng`, so that the `rand` crate's methods work on it.
// The generator is made on first use: most commands never draw a number, and keying ChaCha costs
// more than the rest of a small command.
pub struct Rng {
    seed: u64,
    ordinal: u32,
    chacha: Option<ChaCha8Rng>,
}

impl Rng {
    pub(crate) fn new(seed: u64, ordinal: u32) -> Self {
        Rng {
            seed,
            ordinal,
            chacha: None,
        }
    }

    fn chacha(&mut self) -> &mut ChaCha8Rng {
        let (seed, ordinal) = (self.seed, self.ordinal);
        self.chacha.get_or_insert_with(|| {
            let mut key = [0u8; 32];
            key[..8].copy_from_slice(&seed.to_le_bytes());
            key[8..12].copy_from_slice(&ordinal.to_le_bytes());
            ChaCha8Rng::from_seed(key)
        })
    }

    /// The next 64 random bits.
    pub fn next_u64(&mut self) -> u64 {
        self.chacha().next_u64()
    }

    /// A number from `0..bound`, each equally likely; 0 for a bound of 0.
    pub fn below(&mut self, bound: u64) -> u64 {
        if bound == 0 {
            return 0;
        }
        // Numbers at or above the largest multiple of `bound` would favour small results.
        let limit = u64::MAX - u64::MAX % bound;
        loop {
            let number = self.next_u64();
            if number < limit {
                return number % bound;
            }
        }
    }
}

impl fmt::Debug for Rng {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Rng").finish_non_exhaustive()
    }
}

impl rand_core::TryRng for Rng {
    type Error = Infallible;

    fn try_next_u32(&mut self) -> Result<u32, Infallible> {
        Ok(self.chacha().next_u32())
    }

    fn try_next_u64(&mut self) -> Result<u64, Infallible> {
        Ok(self.chacha().next_u64())
    }

    fn try_fill_bytes(&mut self, bytes: &mut [u8]) -> Result<(), Infallible> {
        self.chacha().fill_bytes(bytes);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_seed_draws_the_same_numbers() {
        let draw = |seed| {
            let mut context: Context = Context::for_test(seed);
            [context.rng().next_u64(), context.rng().below(10)]
        };
        assert_eq!(draw(7), draw(7));
        assert_ne!(draw(7), draw(8));
    }

    #[test]
    fn commands_of_one_entry_draw_different_numbers() {
        let draw = |ordinal| {
            let position = LogPosition {
                term: 1,
                index: 1,
                ordinal,
            };
            Context::<NoEvents>::new(position, None, Duration::ZERO, 1, 0)
                .rng()
                .next_u64()
        };
        assert_ne!(draw(0), draw(1));
    }

    #[test]
    fn an_event_over_the_limit_is_a_fault_and_the_others_are_emitted() {
        let mut context: Context<String> = Context::for_test(1);
        context.emit("a".to_owned());
        context.emit("x".repeat(MAX_EVENT_BYTES));
        context.emit("b".to_owned());
        assert_eq!(context.emitted(), ["a", "b"]);
        let fault = context.into_effects().fault.unwrap();
        assert!(fault.contains("the limit is 1048576"), "{fault}");
    }

    #[test]
    fn wakes_are_merged_and_bounded() {
        let mut context: Context = Context::for_test(1);
        let at = |seconds| context_time(seconds);
        context.room = 2;
        assert_eq!(context.wake_at(at(7)), Ok(()));
        assert_eq!(context.wake_at(at(5)), Ok(()));
        assert_eq!(context.wake_at(at(6)), Err(TooManyWakes));
        assert_eq!(context.wake_at(at(7)), Ok(()));
        assert_eq!(context.wakes().collect::<Vec<_>>(), [at(5), at(7)]);
    }

    fn context_time(seconds: u64) -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_secs(seconds)
    }

    #[test]
    fn times_outside_of_log_time_are_its_ends() {
        let before = SystemTime::UNIX_EPOCH - Duration::from_secs(1);
        let far = SystemTime::UNIX_EPOCH + Duration::from_secs(1 << 40);
        assert_eq!((log_time(before), log_time(far)), (0, u64::MAX));
    }

    #[test]
    fn below_stays_below() {
        let mut context: Context = Context::for_test(1);
        assert!((0..1000).all(|_| context.rng().below(3) < 3));
        assert_eq!(context.rng().below(0), 0);
    }
}
