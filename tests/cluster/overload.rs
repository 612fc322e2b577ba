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
/// What is said of a read that was refused unsent.
const UNSENT: &str = "was not sent";
/// Callers of one client, who ask again at once, and how often each does.
const CALLERS: u64 = 400;
const ASKED_BY_EACH: u64 = 10;
/// A small part of what it takes to answer all the callers once.
const BRIEF: Duration = Duration::from_millis(100);
/// Reads that begin together after it, and how many such rounds in a row have to be answered.
const TOGETHER: usize = 32;
const ROUNDS_IN_A_ROW: usize = 10;
/// Many times what it takes; a client that is never served again fails rather than hangs.
const MOST_ROUNDS: usize = 10_000;

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

    fn linger(&self) {
        std::thread::sleep(WORK);
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

#[braft::test(nodes = 3)]
async fn a_client_that_has_refused_reads_itself_is_served_fully_after_the_overload(
    cluster: Cluster<Slow>,
) -> TestResult {
    cluster.all_vote().await?;
    let slow = cluster.client();
    let mut callers = Vec::new();
    for _ in 0..CALLERS {
        let slow = slow.clone();
        callers.push(tokio::spawn(async move {
            let mut ended = Vec::new();
            for _ in 0..ASKED_BY_EACH {
                ended.push(slow.linger().deadline(BRIEF).await);
            }
            ended
        }));
    }
    let (mut answered, mut busy, mut unsent) = (0, 0, 0);
    for caller in callers {
        for result in caller.await? {
            let Err(error) = result else {
                answered += 1;
                continue;
            };
            assert_eq!(error.outcome(), Outcome::NotApplied, "{error:?}");
            busy += u64::from(error.kind() == ErrorKind::Busy);
            unsent += u64::from(error.to_string().contains(UNSENT));
        }
    }
    println!("{answered} answered, {busy} busy, {unsent} of them unsent");
    assert!(unsent > 0, "the client sent all it was asked for");
    // A command goes its way whatever becomes of the reads.
    slow.work(0).await?;
    let (mut rounds, mut in_a_row) = (0..MOST_ROUNDS, 0);
    while in_a_row < ROUNDS_IN_A_ROW {
        rounds.next().ok_or("reads are not served any more")?;
        let reads: Vec<_> = (0..TOGETHER).map(|_| tokio::spawn(slow.linger())).collect();
        let mut all_served = true;
        for read in reads {
            all_served &= read.await?.is_ok();
        }
        in_a_row = if all_served { in_a_row + 1 } else { 0 };
    }
    Ok(())
}
