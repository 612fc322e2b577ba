//! Each kind of error with each outcome it can have, and what the text says.
//!
//! | kind | outcome | test |
//! |---|---|---|
//! | rejected | not applied | `a_call_over_the_limit_…` |
//! | rejected | applied | `a_command_whose_answer_is_too_large_…` |
//! | busy | not applied | `a_client_without_a_place_in_the_session_table_…` |
//! | unavailable | not applied | `a_call_that_reaches_no_node_…` |
//! | unknown outcome | unknown | `a_command_whose_answers_are_all_lost_…`, `a_definite_refusal_after_a_lost_attempt_…` |
//! | unknown outcome | applied | `a_command_whose_answer_was_lost_and_is_not_kept_…` |
//! | session expired | not applied | `a_session_that_expires_before_its_first_command_…` |
//! | fatal | not applied | `a_second_node_on_a_data_directory_…`, `a_disk_that_was_put_back_…` in `membership.rs` |
//! | fenced | not applied | `a_command_of_an_earlier_leadership_…` |

use std::time::Duration;

use braft::testing::{Cluster, TestNode, TestResult, run_test};
use braft::{Config, Error, ErrorKind, Outcome, Settings, raft_service};
use serde::{Deserialize, Serialize};

use crate::services::Counter;

const SOON: Duration = Duration::from_millis(700);
/// When a call's time is up cannot be chosen: it is nearly always between two attempts.
const TIMES: usize = 20;

/// Gives answers of any size.
#[raft_service]
#[derive(Default, Serialize, Deserialize)]
pub struct Pages {
    printed: u64,
}

#[raft_service]
impl Pages {
    pub fn print(&mut self, bytes: u64) -> String {
        self.printed += 1;
        "x".repeat(bytes as usize)
    }

    pub fn store(&mut self, text: &str) {
        self.printed += u64::from(!text.is_empty());
    }

    pub fn printed(&self) -> u64 {
        self.printed
    }
}

/// Fails unless the call failed in this way, and says why in these words.
fn expect<T>(
    result: Result<T, Error>,
    kind: ErrorKind,
    outcome: Outcome,
    words: &[&str],
) -> TestResult {
    let error = result.err().ok_or("it succeeded")?;
    assert_eq!(
        (error.kind(), error.outcome()),
        (kind, outcome),
        "{error:?}"
    );
    let text = error.to_string();
    for word in words {
        assert!(text.contains(word), "{word:?} is missing in {text:?}");
    }
    Ok(())
}

/// Runs a test on a cluster whose new sessions obey these settings.
fn with_settings<Fut>(name: &str, settings: Settings, body: impl FnOnce(Cluster<Counter>) -> Fut)
where
    Fut: Future<Output = TestResult>,
{
    run_test(1, name, |_: Cluster<Counter>| async {
        let configure = move |config: Config| config.settings(settings.clone());
        let cluster = Cluster::<Counter>::start_with(1, configure).await?;
        let stopper = cluster.clone();
        let result = body(cluster).await;
        stopper.stop_all().await;
        result
    });
}

#[braft::test(nodes = 1)]
async fn a_call_over_the_limit_is_rejected_and_not_applied(cluster: Cluster<Pages>) -> TestResult {
    const LIMIT: usize = 1 << 20;
    let pages = cluster.client();
    let stored = pages.store(&"x".repeat(2 * LIMIT)).await;
    let words = [&*LIMIT.to_string(), "split it"];
    expect(stored, ErrorKind::Rejected, Outcome::NotApplied, &words)?;
    assert_eq!(pages.printed().await?, 0);
    Ok(())
}

#[braft::test(nodes = 1)]
async fn a_command_whose_answer_is_too_large_is_rejected_and_applied(
    cluster: Cluster<Pages>,
) -> TestResult {
    const LIMIT: u64 = 4 << 20;
    let pages = cluster.client();
    let printed = pages.print(LIMIT + 1).await;
    let words = [&*LIMIT.to_string(), "ask for less"];
    expect(printed, ErrorKind::Rejected, Outcome::Applied, &words)?;
    assert_eq!(pages.printed().await?, 1);
    Ok(())
}

#[test]
fn a_client_without_a_place_in_the_session_table_is_told_busy_and_not_applied() {
    let settings = Settings {
        max_sessions: 1,
        ..Settings::default()
    };
    with_settings("a full session table", settings, |cluster| async move {
        let (first, second) = (cluster.client(), cluster.client());
        first.add(1).await??;
        let added = second.add(1).deadline(SOON).await;
        let words = ["all 1 sessions are in use", "max_sessions"];
        expect(added, ErrorKind::Busy, Outcome::NotApplied, &words)?;
        assert_eq!(first.get().await?, 1);
        Ok(())
    });
}

#[braft::test(nodes = 1)]
async fn a_call_that_reaches_no_node_is_unavailable_and_not_applied(
    cluster: Cluster<Counter>,
) -> TestResult {
    let counter = cluster.client();
    let down = cluster.kill(TestNode(0)).await?;
    let added = counter.add(1).deadline(SOON).await;
    let words = ["within 700ms"];
    expect(added, ErrorKind::Unavailable, Outcome::NotApplied, &words)?;
    cluster.restart(down).await?;
    assert_eq!(counter.get().await?, 0);
    Ok(())
}

#[braft::test(nodes = 1)]
async fn a_command_whose_answers_are_all_lost_is_of_unknown_outcome(
    cluster: Cluster<Counter>,
) -> TestResult {
    let counter = cluster.client();
    counter.add(1).await??;
    cluster.lose_one_answer_in(1);
    let added = counter.add(1).deadline(SOON).await;
    let words = ["no answer within 700ms"];
    expect(added, ErrorKind::UnknownOutcome, Outcome::Unknown, &words)?;
    cluster.lose_one_answer_in(0);
    // Here it was applied, once, however often it was sent.
    assert_eq!(counter.get().await?, 2);
    Ok(())
}

#[braft::test(nodes = 1)]
async fn a_command_whose_answer_was_lost_and_is_not_kept_is_applied_once(
    cluster: Cluster<Pages>,
) -> TestResult {
    // Over the limit up to which an answer is kept for a retry.
    const BYTES: u64 = 100 << 10;
    let (pages, inside) = (cluster.client(), cluster.client_at(TestNode(0))?);
    pages.print(1).await?;
    cluster.lose_one_answer_in(1);
    let printing = tokio::spawn(async move { pages.print(BYTES).await });
    while inside.printed().await? < 2 {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    // The answer may be on its way still; the one to a retry is not.
    tokio::time::sleep(Duration::from_millis(300)).await;
    cluster.lose_one_answer_in(0);
    let words = ["applied once", "no longer kept"];
    let printed = printing.await?;
    expect(printed, ErrorKind::UnknownOutcome, Outcome::Applied, &words)?;
    assert_eq!(inside.printed().await?, 2);
    Ok(())
}

fn expiring_at_once() -> Settings {
    Settings {
        session_expiry_ms: 0,
        ..Settings::default()
    }
}

#[test]
fn a_session_that_expires_before_its_first_command_is_an_error_of_its_own() {
    with_settings(
        "an expired session",
        expiring_at_once(),
        |cluster| async move {
            let counter = cluster.client();
            let mut may_have_happened = 0;
            for _ in 0..TIMES {
                let added = counter.add(1).deadline(SOON).await;
                let kind = added.as_ref().map_err(Error::kind);
                match kind {
                    Err(ErrorKind::SessionExpired) => {
                        let words = ["the session has expired"];
                        let kind = ErrorKind::SessionExpired;
                        expect(added, kind, Outcome::NotApplied, &words)?;
                        assert!(counter.get().await? <= may_have_happened);
                        return Ok(());
                    }
                    // Both came in the same millisecond of log time: it had not expired yet.
                    Ok(_) => may_have_happened += 1,
                    // Its time was up in the middle of an attempt, and not between two of them.
                    Err(ErrorKind::UnknownOutcome) => {
                        may_have_happened += 1;
                        let kind = ErrorKind::UnknownOutcome;
                        expect(added, kind, Outcome::Unknown, &["no answer within"])?;
                    }
                    Err(kind) => {
                        let words = ["700ms"];
                        assert_eq!(kind, ErrorKind::Unavailable);
                        expect(added, kind, Outcome::NotApplied, &words)?;
                    }
                }
            }
            Err("no call ended between two attempts".into())
        },
    );
}

#[test]
fn a_definite_refusal_after_a_lost_attempt_is_of_unknown_outcome() {
    with_settings("a lost attempt", expiring_at_once(), |cluster| async move {
        let counter = cluster.client();
        // The connection stands.
        assert_eq!(counter.get().await?, 0);
        // That to the opening of the session comes, that to the first attempt does not, and the
        // second attempt is refused: its session is gone.
        cluster.lose_one_answer_in(2);
        let added = counter.add(1).await;
        let words = ["an earlier attempt was lost", "the session has expired"];
        expect(added, ErrorKind::UnknownOutcome, Outcome::Unknown, &words)?;
        cluster.lose_one_answer_in(0);
        Ok(())
    });
}

#[braft::test(nodes = 1)]
async fn a_second_node_on_a_data_directory_cannot_start(cluster: Cluster<Counter>) -> TestResult {
    let config = Config::new()
        .service::<Counter>()
        .listener(std::net::TcpListener::bind("127.0.0.1:0")?)
        .without_http()
        .discovery(braft::StaticList::parse(
            "127.0.0.1:1",
            &"127.0.0.1:1".parse()?,
        )?)
        .data_dir(cluster.data_dir(TestNode(0)));
    let started = braft::start(config).await;
    let words = ["in use by process"];
    expect(started, ErrorKind::Fatal, Outcome::NotApplied, &words)
}

#[braft::test(nodes = 3)]
async fn a_command_of_an_earlier_leadership_is_fenced_off(cluster: Cluster<Counter>) -> TestResult {
    let counter = cluster.client();
    counter.add(1).await??;
    let term = cluster.node(cluster.leader().await?)?.status().term;
    let down = cluster.kill_leader().await?;
    assert_eq!(counter.add(1).await??, 2);
    cluster.restart(down).await?;
    let added = counter.add(1).fence(term).await;
    let words = ["term"];
    expect(added, ErrorKind::Fenced, Outcome::NotApplied, &words)?;
    assert_eq!(counter.get().await?, 2);
    Ok(())
}
