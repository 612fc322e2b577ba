//! A command sent again under its session and sequence, after everything that knew it went down.

use braft::testing::{Cluster, TestNode, TestResult, run_test};
use tests::Counter;

use crate::frames::{CallRequest, Command, send};
use crate::outsider::until;

/// `{"add": {"by": 1}}`.
const ADD_ONE: &[u8] = b"\x81\xa3add\x81\xa2by\x01";

/// Sends one request until it gets an answer that is not "ask again".
async fn ask(cluster: &Cluster<Counter>, request: &CallRequest) -> TestResult<Vec<u8>> {
    loop {
        let address = cluster.address(cluster.leader().await?);
        let mut answers = send(&address, vec![request.clone()]).await?;
        let answer = answers.pop().ok_or("no answer")?;
        match (answer.answer, answer.error) {
            (Some(answer), _) => return Ok(answer),
            (None, Some(error)) if error.retry => {}
            (None, error) => Err(format!("{error:?}"))?,
        }
    }
}

async fn open_session(cluster: &Cluster<Counter>) -> TestResult<u64> {
    let id = ask(cluster, &CallRequest::open_session()).await?;
    Ok(u64::from_le_bytes(id.as_slice().try_into()?))
}

fn add_one(session: u64, sequence: u64) -> CallRequest {
    let command = Command { session, sequence };
    CallRequest::command(sequence, command, ADD_ONE.to_vec())
}

/// Two commands of one session, whose sender does not confirm that it saw the answers.
async fn first_time(cluster: &Cluster<Counter>, session: u64) -> TestResult<[Vec<u8>; 2]> {
    let first = ask(cluster, &add_one(session, 1)).await?;
    let second = ask(cluster, &add_one(session, 2)).await?;
    assert_ne!(first, second, "the answer is the total");
    Ok([first, second])
}

/// The same two once more, the later one first: each gets its own answer, and nothing happens.
async fn once_more(cluster: &Cluster<Counter>, session: u64, answers: &[Vec<u8>; 2]) -> TestResult {
    let before = cluster.client().get().await?;
    assert_eq!(ask(cluster, &add_one(session, 2)).await?, answers[1]);
    assert_eq!(ask(cluster, &add_one(session, 1)).await?, answers[0]);
    assert_eq!(cluster.client().get().await?, before);
    // The session lives on: what is new is carried out.
    ask(cluster, &add_one(session, 3)).await?;
    assert_eq!(cluster.client().get().await?, before + 1);
    cluster.converged().await
}

#[braft::test(nodes = 3)]
async fn a_command_repeated_after_a_restart_of_all_nodes_runs_once(
    cluster: Cluster<Counter>,
) -> TestResult {
    let session = open_session(&cluster).await?;
    let answers = first_time(&cluster, session).await?;
    cluster.stop_all().await;
    cluster.start_all().await?;
    once_more(&cluster, session, &answers).await
}

#[test]
fn a_command_repeated_after_a_restart_from_a_snapshot_runs_once() {
    run_test(
        1,
        "repeated after a snapshot",
        |_: Cluster<Counter>| async {
            let cluster = Cluster::<Counter>::start_with(3, |config| {
                config.snapshot_every(20).keep_log_entries(5)
            })
            .await?;
            let session = open_session(&cluster).await?;
            let answers = first_time(&cluster, session).await?;
            let written_by = cluster
                .node(cluster.leader().await?)?
                .status()
                .log
                .last_index;
            let others = cluster.client();
            // Only the snapshots know the session once the log that opened it is gone.
            until("every log to begin after the commands", || async {
                others.add(1).await.is_ok_and(|added| added.is_ok())
                    && (0..3).map(TestNode).all(|place| {
                        let node = cluster.node(place);
                        node.is_ok_and(|node| node.status().log.purged_index >= written_by)
                    })
            })
            .await?;
            cluster.stop_all().await;
            cluster.start_all().await?;
            once_more(&cluster, session, &answers).await?;
            cluster.stop_all().await;
            Ok(())
        },
    );
}
