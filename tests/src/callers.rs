//! Clients that call a counter without pause, at all levels, and record what they see.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use braft::{Outcome, ReadLevel};

use crate::{Chance, CounterClient, History};

/// The longest one call may take: a caller must not wait for one fault through the next ones.
const DEADLINE: Duration = Duration::from_secs(2);

/// A history that is being made.
#[derive(Debug, Default)]
pub struct Recording {
    /// What was seen.
    pub history: History,
    /// Calls that had an answer.
    pub answered: AtomicU64,
    clients: AtomicU64,
}

impl Recording {
    /// A number for a client that calls once, so that nothing binds it to what others saw.
    pub fn stranger(&self) -> u64 {
        u64::MAX - self.clients.fetch_add(1, Ordering::Relaxed)
    }

    /// Calls once, for this client; whether there was an answer.
    pub async fn call(&self, counter: &CounterClient, client: u64, chance: &mut Chance) -> bool {
        let read = match chance.below(10) {
            0..4 => None,
            4 => Some(ReadLevel::Linearizable),
            5 => Some(ReadLevel::Lease),
            6 => Some(ReadLevel::Follower),
            7 => Some(ReadLevel::Session),
            8 => Some(ReadLevel::LocalAtMost(DEADLINE / 10)),
            _ => Some(ReadLevel::Local),
        };
        self.call_at(counter, client, read).await
    }

    /// The same, at this level; an increment for none. Says whether it had an answer.
    pub async fn call_at(
        &self,
        counter: &CounterClient,
        client: u64,
        read: Option<ReadLevel>,
    ) -> bool {
        let began = Instant::now();
        let total = match read {
            Some(level) => match counter.get().read(level).deadline(DEADLINE).await {
                Ok(total) => Some(total),
                Err(_) => return false,
            },
            None => match counter.add(1).deadline(DEADLINE).await {
                Ok(total) => total.ok(),
                Err(error) if error.outcome() == Outcome::NotApplied => return false,
                Err(_) => None,
            },
        };
        self.history.note(client, read, began, total);
        total.is_some()
    }

    /// Calls as one client until that many calls, of all clients, had an answer.
    pub async fn caller(self: Arc<Self>, counter: CounterClient, client: u64, wanted: u64) {
        let mut chance = Chance::of(client);
        while self.answered.load(Ordering::Relaxed) < wanted {
            if self.call(&counter, client, &mut chance).await {
                self.answered.fetch_add(1, Ordering::Relaxed);
            }
        }
    }
}
