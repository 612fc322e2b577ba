//! Commands and queries that take longer than any election timeout.

use std::collections::BTreeMap;
use std::future::Future;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::{Duration, Instant};

use braft::raft_service;
use braft::testing::{Cluster, TestNode, TestResult};
use serde::{Deserialize, Serialize};
use tokio::task::JoinHandle;

/// Answers of each follower while the call is held: at a heartbeat each 50 ms, six times the
/// longest election timeout of the test kit.
const HEARTBEATS: u32 = 60;
/// Longer than any test.
const DEADLINE: Duration = Duration::from_secs(60);
const LOAD_TASKS: usize = 4;
const LOOK_EVERY: Duration = Duration::from_millis(10);

/// Where operations wait, so that they take as long as the test wants. Not part of the state: an
/// operation that is carried out again later finds no gate, and goes through.
static GATES: Mutex<BTreeMap<u64, Arc<Gate>>> = Mutex::new(BTreeMap::new());

#[derive(Default)]
struct Gate {
    waiting: Mutex<(usize, bool)>,
    changed: Condvar,
}

impl Gate {
    /// A closed gate, and its number.
    fn new() -> (u64, Arc<Gate>) {
        static NUMBERS: AtomicU64 = AtomicU64::new(0);
        let number = NUMBERS.fetch_add(1, Ordering::Relaxed);
        let gate = Arc::new(Gate::default());
        let mut gates = GATES.lock().unwrap_or_else(PoisonError::into_inner);
        gates.insert(number, gate.clone());
        (number, gate)
    }

    fn pass(number: u64) {
        let gate = {
            let gates = GATES.lock().unwrap_or_else(PoisonError::into_inner);
            gates.get(&number).cloned()
        };
        let Some(gate) = gate else { return };
        let mut waiting = gate.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        waiting.0 += 1;
        gate.changed.notify_all();
        drop(gate.changed.wait_while(waiting, |(_, open)| !*open));
    }

    fn waiting(&self) -> usize {
        let waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        waiting.0
    }

    fn open(&self) {
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        waiting.1 = true;
        self.changed.notify_all();
    }
}

/// Opens the gate even if the test fails: the nodes could not stop otherwise.
struct OpenAtEnd(Arc<Gate>);

impl Drop for OpenAtEnd {
    fn drop(&mut self) {
        self.0.open();
    }
}

#[raft_service]
#[derive(Default, Serialize, Deserialize)]
pub struct Slow {
    bumps: u64,
}

#[raft_service]
impl Slow {
    pub fn bump(&mut self) -> u64 {
        self.bumps += 1;
        self.bumps
    }

    pub fn hold(&mut self, gate: u64) -> u64 {
        Gate::pass(gate);
        self.bumps
    }

    pub fn bumps(&self) -> u64 {
        self.bumps
    }

    pub fn look_long(&self, gate: u64) -> u64 {
        Gate::pass(gate);
        self.bumps
    }
}

async fn until(what: &str, mut holds: impl FnMut() -> TestResult<bool>) -> TestResult {
    let looking = async {
        while !holds()? {
            tokio::time::sleep(LOOK_EVERY).await;
        }
        Ok(())
    };
    let looked = tokio::time::timeout(DEADLINE, looking).await;
    looked.map_err(|_| format!("waited {DEADLINE:?} in vain for {what}"))?
}

/// Clients that write without pause. Writes that wait for the held call are among them.
struct Load {
    stop: Arc<AtomicBool>,
    tasks: Vec<JoinHandle<Result<u64, braft::Error>>>,
}

impl Load {
    fn start(cluster: &Cluster<Slow>) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let tasks = (0..LOAD_TASKS).map(|_| {
            let (client, stop) = (cluster.client(), stop.clone());
            tokio::spawn(async move {
                let mut acknowledged = 0;
                while !stop.load(Ordering::Relaxed) {
                    client.bump().deadline(DEADLINE).await?;
                    acknowledged += 1;
                }
                Ok(acknowledged)
            })
        });
        let tasks = tasks.collect();
        Load { stop, tasks }
    }

    /// How many writes were acknowledged; all of them were.
    async fn stop(self) -> TestResult<u64> {
        self.stop.store(true, Ordering::Relaxed);
        let mut acknowledged = 0;
        for task in self.tasks {
            acknowledged += task.await??;
        }
        Ok(acknowledged)
    }
}

/// Who leads in which term, as each node sees it.
fn terms(cluster: &Cluster<Slow>) -> TestResult<Vec<(u64, Option<String>)>> {
    let mut terms = Vec::new();
    for place in 0..3 {
        let status = cluster.node(TestNode(place))?.status();
        terms.push((status.term, status.leader.map(|leader| leader.id)));
    }
    Ok(terms)
}

/// Waits until the leader has heard from each follower many times.
async fn many_heartbeats(cluster: &Cluster<Slow>, leader: TestNode) -> TestResult {
    // A new answer is one that came clearly later than the last.
    const APART: Duration = Duration::from_millis(10);
    let mut heard: BTreeMap<String, (Instant, u32)> = BTreeMap::new();
    let own = cluster.address(leader);
    until("heartbeats to be answered", || {
        let status = cluster.node(leader)?.status();
        let now = Instant::now();
        for member in status.members {
            let Some(contact) = member.last_contact_ms.filter(|_| member.address != own) else {
                continue;
            };
            let at = now - Duration::from_millis(contact);
            let (last, count) = heard.entry(member.id).or_insert((at, 0));
            if at.saturating_duration_since(*last) > APART {
                (*last, *count) = (at, *count + 1);
            }
        }
        Ok(heard.len() == 2 && heard.values().all(|(_, count)| *count >= HEARTBEATS))
    })
    .await
}

/// Holds calls at a gate, and shows that the cluster stays as it is: the leader and the term, and
/// what was written.
async fn nothing_moves_while_held<Fut>(
    cluster: Cluster<Slow>,
    held: usize,
    named: &str,
    calls: impl FnOnce(u64, &Cluster<Slow>, TestNode) -> TestResult<Vec<Fut>>,
) -> TestResult
where
    Fut: Future<Output = Result<u64, braft::Error>> + Send + 'static,
{
    // What was quick so far is not expected to take long: the harder case.
    for _ in 0..50 {
        cluster.client().bump().await?;
    }
    let leader = cluster.leader().await?;
    let load = Load::start(&cluster);
    let (number, gate) = Gate::new();
    let opened = OpenAtEnd(gate.clone());
    let before = terms(&cluster)?;
    let calls = calls(number, &cluster, leader)?.into_iter();
    let calls: Vec<_> = calls.map(tokio::spawn).collect();
    until("the calls to be held", || Ok(gate.waiting() == held)).await?;
    many_heartbeats(&cluster, leader).await?;
    let slow = cluster.node(leader)?.status().slow;
    assert!(slow.iter().any(|one| one.contains(named)), "{slow:?}");
    assert_eq!(
        terms(&cluster)?,
        before,
        "an election that nobody asked for"
    );
    drop(opened);
    for call in calls {
        call.await??;
    }
    let acknowledged = load.stop().await?;
    assert_eq!(
        terms(&cluster)?,
        before,
        "an election that nobody asked for"
    );
    assert_eq!(cluster.client().bumps().await?, 50 + acknowledged);
    cluster.converged().await
}

#[braft::test(nodes = 3)]
async fn a_long_command_under_load_holds_up_no_heartbeat_and_is_reported(
    cluster: Cluster<Slow>,
) -> TestResult {
    nothing_moves_while_held(
        cluster,
        3,
        "command Slow.hold at log id",
        |gate, cluster, _| Ok(vec![cluster.client().hold(gate).deadline(DEADLINE)]),
    )
    .await
}

#[braft::test(nodes = 3)]
async fn long_queries_under_load_hold_up_no_heartbeat_and_are_reported(
    cluster: Cluster<Slow>,
) -> TestResult {
    let named = "query Slow.look_long";
    nothing_moves_while_held(cluster, 3, named, |gate, cluster, leader| {
        // One on each node: what comes after it there waits for it, once a write is in between.
        let looks = (0..3).map(|place| {
            let look = cluster.client_at(TestNode(place))?.look_long(gate);
            let look = look.deadline(DEADLINE);
            Ok(if place == leader.0 {
                look
            } else {
                look.local()
            })
        });
        looks.collect()
    })
    .await
}
