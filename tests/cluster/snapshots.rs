//! Commands go on while a snapshot is written.

use std::collections::BTreeMap;
use std::marker::PhantomData;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use braft::collections::Map;
use braft::testing::{Cluster, TestNode, TestResult};
use braft::{Config, raft_service};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// Entries of the log after which a snapshot is written.
const SNAPSHOT_EVERY: u64 = 20;

/// Holds up whoever writes the state, while it is closed.
pub(crate) struct Gate {
    /// Whether it is closed, and how many wait.
    state: Mutex<(bool, usize)>,
    changed: Condvar,
}

impl Gate {
    pub(crate) const fn new() -> Self {
        Gate {
            state: Mutex::new((false, 0)),
            changed: Condvar::new(),
        }
    }

    fn lock(&self) -> MutexGuard<'_, (bool, usize)> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn close(&self, closed: bool) {
        self.lock().0 = closed;
        self.changed.notify_all();
    }

    pub(crate) fn waiting(&self) -> usize {
        self.lock().1
    }

    pub(crate) fn pass(&self) {
        let mut state = self.lock();
        state.1 += 1;
        while state.0 {
            state = self
                .changed
                .wait(state)
                .unwrap_or_else(PoisonError::into_inner);
        }
        state.1 -= 1;
    }
}

/// Opens a gate when a test ends, whatever way.
pub(crate) struct Closed(&'static Gate);

impl Closed {
    pub(crate) fn new(gate: &'static Gate) -> Self {
        gate.close(true);
        Closed(gate)
    }
}

impl Drop for Closed {
    fn drop(&mut self) {
        self.0.close(false);
    }
}

pub(crate) trait Gated: 'static {
    const GATE: &'static Gate;
}

/// A part of a state that is written only when its gate is open.
pub(crate) struct Slow<G>(PhantomData<fn() -> G>);

impl<G> Default for Slow<G> {
    fn default() -> Self {
        Slow(PhantomData)
    }
}

impl<G> Clone for Slow<G> {
    fn clone(&self) -> Self {
        Slow::default()
    }
}

impl<G: Gated> Serialize for Slow<G> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        G::GATE.pass();
        serializer.serialize_bool(true)
    }
}

impl<'de, G> Deserialize<'de> for Slow<G> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        bool::deserialize(deserializer).map(|_| Slow::default())
    }
}

struct Frozen;

impl Gated for Frozen {
    const GATE: &'static Gate = &FROZEN_GATE;
}

static FROZEN_GATE: Gate = Gate::new();

impl braft::Freeze for Slow<Frozen> {}

/// Counts by key, and can be frozen.
#[raft_service]
#[derive(Default, Serialize, Deserialize)]
struct Tally {
    // Written before the counts: if they were not frozen, they would have grown by then.
    slow: Slow<Frozen>,
    counts: Map<u64, u64>,
}

#[raft_service]
impl Tally {
    fn add(&mut self, key: u64) -> u64 {
        let count = self.counts.entry(key).or_default();
        *count += 1;
        *count
    }

    fn counts(&self) -> Vec<u64> {
        self.counts.values().copied().collect()
    }
}

struct InPlace;

impl Gated for InPlace {
    const GATE: &'static Gate = &IN_PLACE_GATE;
}

static IN_PLACE_GATE: Gate = Gate::new();

/// Counts by key, and cannot be frozen.
#[raft_service]
#[derive(Default, Serialize, Deserialize)]
struct Heavy {
    slow: Slow<InPlace>,
    counts: BTreeMap<u64, u64>,
}

#[raft_service]
impl Heavy {
    fn add(&mut self, key: u64) -> u64 {
        let count = self.counts.entry(key).or_default();
        *count += 1;
        *count
    }
}

fn config(config: Config) -> Config {
    config
        .snapshot_every(SNAPSHOT_EVERY)
        .keep_log_entries(5)
        .heartbeat(Duration::from_millis(100))
        .election_timeout(Duration::from_secs(3)..Duration::from_secs(6))
}

pub(crate) async fn until(holds: impl Fn() -> bool) {
    while !holds() {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

#[test]
fn commands_are_served_while_a_frozen_state_is_written_and_the_file_holds_what_was_frozen() {
    braft::testing::run_test(1, "frozen", |_: Cluster<Tally>| async {
        let cluster = Cluster::<Tally>::start_with(1, config).await?;
        let tally = cluster.client();
        let closed = Closed::new(&FROZEN_GATE);
        let mut added = [0; 7];
        let mut add = async |times: u64| -> TestResult {
            for n in 0..times {
                let key = n % 7;
                added[key as usize] += 1;
                assert_eq!(tally.add(key).await?, added[key as usize]);
            }
            Ok(())
        };
        add(SNAPSHOT_EVERY + 1).await?;
        until(|| FROZEN_GATE.waiting() > 0).await;
        // Nobody but the writer of the snapshot waits at the gate.
        add(100).await?;
        assert_eq!(tally.counts().await?, added);
        let node = cluster.node(TestNode(0))?;
        assert_eq!(node.status().log.snapshot_index, 0);
        drop(closed);
        until(|| node.status().log.snapshot_index > 0).await;
        drop(node);
        // Made of the file and of the entries behind it: an entry that was in both would count twice.
        cluster.stop_all().await;
        cluster.start_all().await?;
        assert_eq!(cluster.client().counts().await?, added);
        cluster.stop_all().await;
        Ok(())
    });
}

#[test]
fn commands_are_served_while_followers_write_a_state_that_cannot_be_frozen() {
    braft::testing::run_test(1, "in place", |_: Cluster<Heavy>| async {
        let cluster = Cluster::<Heavy>::start_with(3, config).await?;
        cluster.all_vote().await?;
        let leader = cluster.leader().await?;
        let heavy = cluster.client_at(leader)?;
        let closed = Closed::new(&IN_PLACE_GATE);
        // Enough for both followers' turns, and far from the leader's.
        let due = 2 * SNAPSHOT_EVERY;
        for n in 1..=due {
            assert_eq!(heavy.add(0).await?, n);
        }
        until(|| IN_PLACE_GATE.waiting() == 2).await;
        for n in due + 1..=3 * SNAPSHOT_EVERY {
            assert_eq!(heavy.add(0).await?, n);
        }
        let node = cluster.node(leader)?;
        assert_eq!(node.status().log.snapshot_index, 0);
        drop(closed);
        cluster.converged().await?;

        // The leader's log stays bounded all the same.
        let mut n = 3 * SNAPSHOT_EVERY;
        while node.status().log.snapshot_index == 0 {
            n += 1;
            assert_eq!(heavy.add(0).await?, n);
        }
        cluster.converged().await?;
        cluster.stop_all().await;
        Ok(())
    });
}
