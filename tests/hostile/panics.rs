//! A command that panicked, sent again under its session and sequence.

use braft::raft_service;
use braft::testing::{Cluster, TestResult};
use serde::{Deserialize, Serialize};

use crate::frames::{CallAnswer, CallRequest, Command, send};

const REJECTED: i32 = 1;
const UNKNOWN: i32 = 0;
const NOT_APPLIED: i32 = 1;

#[raft_service(name = "Counter")]
#[derive(Default, Serialize, Deserialize)]
struct Fragile {
    value: u64,
}

#[raft_service]
impl Fragile {
    fn add(&mut self, by: u64) -> u64 {
        self.value += by;
        assert!(by < 100, "{by} is too much");
        self.value
    }

    fn value(&self) -> u64 {
        self.value
    }
}

/// Sends a request until what came of it is known.
async fn ask(cluster: &Cluster<Fragile>, request: &CallRequest) -> TestResult<CallAnswer> {
    loop {
        let address = cluster.address(cluster.leader().await?);
        let mut answers = send(&address, vec![request.clone()]).await?;
        let answer = answers.pop().ok_or("no answer")?;
        match &answer.error {
            Some(error) if error.retry || error.outcome == UNKNOWN => {}
            _ => return Ok(answer),
        }
    }
}

/// `{"add": {"by": by}}`.
fn add(session: u64, sequence: u64, by: u8) -> CallRequest {
    let command = Command { session, sequence };
    CallRequest::command(
        sequence,
        command,
        [b"\x81\xa3add\x81\xa2by", &[by][..]].concat(),
    )
}

async fn check_panicked(cluster: &Cluster<Fragile>, session: u64, sequence: u64) -> TestResult {
    let answer = ask(cluster, &add(session, sequence, 100)).await?;
    let error = answer.error.ok_or("it was answered")?;
    assert_eq!(
        (error.kind, error.outcome),
        (REJECTED, NOT_APPLIED),
        "{error:?}"
    );
    assert!(error.message.contains("Counter.add"), "{error:?}");
    Ok(())
}

#[braft::test(nodes = 3)]
async fn the_same_is_said_of_it_again_after_a_restart_and_when_its_method_is_refused(
    cluster: Cluster<Fragile>,
) -> TestResult {
    let opened = ask(&cluster, &CallRequest::open_session()).await?;
    let id = opened.answer.ok_or("no session")?;
    let session = u64::from_le_bytes(id.as_slice().try_into()?);
    ask(&cluster, &add(session, 1, 5)).await?;
    for sequence in 2..=4 {
        check_panicked(&cluster, session, sequence).await?;
    }
    let down = cluster.kill_leader().await?;
    check_panicked(&cluster, session, 2).await?;
    cluster.restart(down).await?;
    cluster.stop_all().await;
    cluster.start_all().await?;
    for sequence in 2..=4 {
        check_panicked(&cluster, session, sequence).await?;
    }
    // The one before them keeps its answer.
    let first = ask(&cluster, &add(session, 1, 5)).await?;
    assert_eq!(first.answer.as_deref(), Some(&[5][..]));
    assert_eq!(cluster.client().value().await?, 5);
    cluster.converged().await
}
