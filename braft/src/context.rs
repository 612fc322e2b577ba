//! What an operation may know about where it runs: the same on every replica and on replay.

use std::convert::Infallible;
use std::fmt;
use std::marker::PhantomData;
use std::time::{Duration, SystemTime};

use rand_chacha::ChaCha8Rng;
use rand_core::{Rng as _, SeedableRng};
use serde::{Deserialize, Serialize};

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

/// Time, randomness and identity for one command or query, taken from the log.
///
/// A command takes `&mut Context` as its first argument, a query `&Context`. Everything it
/// answers comes from the replicated log, so every replica and every replay sees the same.
pub struct Context<E = NoEvents> {
    position: LogPosition,
    request: Option<RequestId>,
    now: Duration,
    version: u32,
    rng: Rng,
    events: PhantomData<fn() -> E>,
}

impl<E> Context<E> {
    pub(crate) fn new(
        position: LogPosition,
        request: Option<RequestId>,
        now: Duration,
        seed: u64,
    ) -> Self {
        Context {
            position,
            request,
            now,
            version: u32::MAX,
            rng: Rng::new(seed, position.ordinal),
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
        Self::new(position, None, YEAR_2000, seed)
    }

    /// Where this command stands in the log; in a query, the last command it sees.
    pub fn log_position(&self) -> LogPosition {
        self.position
    }

    /// The client's id of this call; `None` in a query.
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
            Context::<NoEvents>::new(position, None, Duration::ZERO, 1)
                .rng()
                .next_u64()
        };
        assert_ne!(draw(0), draw(1));
    }

    #[test]
    fn below_stays_below() {
        let mut context: Context = Context::for_test(1);
        assert!((0..1000).all(|_| context.rng().below(3) < 3));
        assert_eq!(context.rng().below(0), 0);
    }
}
