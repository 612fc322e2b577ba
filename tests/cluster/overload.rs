//! More than a node can carry: what it takes in it carries out, and the rest it refuses with nothing
//! done.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use braft::testing::{Cluster, TestResult};
use braft::{Error, ErrorKind, Outcome, raft_service};
use serde::{Deserialize, Serialize};

/// What a call costs at least.
const WORK: Duration = Duration::from_millis(1);
const CLIENTS: u64 = 4;
const CALLS_OF_EACH: u64 = 750;
/// A third of what all the calls take.
const DEADLINE: Duration = Duration::from_secs(1);

/// Takes its time.
#[raft_service]
#[derive(Default, Serialize, Deserialize)]
struct Slow {
    done: BTreeSet<u64>,
}

#[raft_service]
impl Slow {
    #[command(nondeterministic = "it waits, and that changes nothing")]
    fn work(&mut self, id: u64) {
        std::thread::sleep(WORK);
        self.done.insert(id);
    }

    fn done(&self) -> BTreeSet<u64> {
        self.done.clone()
    }

    fn look(&self) -> usize {
        LOOKS.fetch_add(1, Ordering::Relaxed);
        std::thread::sleep(WORK);
        self.done.len()
    }
}

/// Queries that were carried out.
static LOOKS: AtomicU64 = AtomicU64::new(0);

/// What became of commands, by their ids.
#[derive(Default)]
struct Ended {
    answered: BTreeSet<u64>,
    busy: BTreeSet<u64>,
    unknown: BTreeSet<u64>,
    unavailable: BTreeSet<u64>,
}

impl Ended {
    fn add(&mut self, id: u64, result: Result<(), Error>) {
        let Err(error) = result else {
            self.answered.insert(id);
            return;
        };
        match (error.kind(), error.outcome()) {
            (ErrorKind::Busy, Outcome::NotApplied) => &mut self.busy,
            (ErrorKind::UnknownOutcome, Outcome::Unknown) => &mut self.unknown,
            (ErrorKind::Unavailable, Outcome::NotApplied) => &mut self.unavailable,
            _ => panic!("{error:?}"),
        }
        .insert(id);
    }
}

/// Sends all commands at once.
async fn rush(cluster: &Cluster<Slow>) -> TestResult<Ended> {
    let mut calls = Vec::new();
    for client in 0..CLIENTS {
        let slow = cluster.client();
        for n in 0..CALLS_OF_EACH {
            let id = client * CALLS_OF_EACH + n;
            let call = slow.work(id).deadline(DEADLINE);
            calls.push((id, tokio::spawn(call)));
        }
    }
    let mut ended = Ended::default();
    for (id, call) in calls {
        ended.add(id, call.await?);
    }
    println!(
        "{} answered, {} busy, {} unknown, {} unavailable",
        ended.answered.len(),
        ended.busy.len(),
        ended.unknown.len(),
        ended.unavailable.len()
    );
    Ok(ended)
}

#[braft::test(nodes = 3)]
async fn commands_that_come_too_late_are_busy_with_nothing_done_and_the_others_are_answered(
    cluster: Cluster<Slow>,
) -> TestResult {
    cluster.all_vote().await?;
    let ended = rush(&cluster).await?;
    let slow = cluster.client();
    let after = CLIENTS * CALLS_OF_EACH;
    slow.work(after).await?;
    let mut done = slow.done().await?;
    done.remove(&after);
    assert!(ended.answered.is_subset(&done), "acknowledged and lost");
    for refused in [&ended.busy, &ended.unavailable] {
        let both: Vec<_> = refused.intersection(&done).collect();
        assert!(both.is_empty(), "refused and applied: {both:?}");
    }
    assert!(
        !ended.busy.is_empty(),
        "more was carried than there is time for"
    );
    // Little is carried out for those who have given up.
    let in_vain = done.difference(&ended.answered).count();
    assert!(in_vain < ended.answered.len(), "{in_vain} in vain");
    cluster.converged().await
}

#[braft::test(nodes = 3)]
async fn reads_that_come_too_late_are_busy_and_hardly_any_is_carried_out_in_vain(
    cluster: Cluster<Slow>,
) -> TestResult {
    cluster.all_vote().await?;
    let mut calls = Vec::new();
    for _ in 0..CLIENTS {
        let slow = cluster.client();
        for _ in 0..CALLS_OF_EACH {
            calls.push(tokio::spawn(slow.look().deadline(DEADLINE)));
        }
    }
    let (mut answered, mut busy, mut unavailable) = (0, 0, 0);
    for call in calls {
        match call.await?.map_err(|error| error.kind()) {
            Ok(_) => answered += 1,
            Err(ErrorKind::Busy) => busy += 1,
            Err(ErrorKind::Unavailable) => unavailable += 1,
            Err(other) => panic!("{other:?}"),
        }
    }
    let in_vain = LOOKS.load(Ordering::Relaxed) - answered;
    println!("{answered} answered, {busy} busy, {unavailable} unavailable, {in_vain} in vain");
    assert!(busy > 0, "more was carried than there is time for");
    assert!(in_vain < answered, "{in_vain} in vain, {answered} answered");
    // Who asks now is answered: nothing of the rush is left.
    cluster.client().look().await?;
    Ok(())
}
