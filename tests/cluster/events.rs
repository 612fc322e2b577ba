//! Subscribers see every event once and in order, whatever happens to the nodes.

use std::time::Duration;

use braft::testing::{Cluster, TestNode, TestResult};
use braft::{
    Client, Context, ErrorKind, EventPosition, Events, Outcome, Settings, TooManyWakes,
    raft_service,
};
use serde::{Deserialize, Serialize};

/// Counts, and tells of it.
#[raft_service]
#[derive(Default, Serialize, Deserialize)]
pub struct Tally {
    count: u64,
}

/// What happened to the tally.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Told {
    /// It has reached this count.
    Counted(u64),
    /// Some text of this length.
    Text(String),
    /// The timer ran.
    Rang,
}

#[raft_service]
impl Tally {
    /// Counts on, an event for each.
    pub fn count(&mut self, context: &mut Context<Told>, times: u8) -> u64 {
        for _ in 0..times {
            self.count += 1;
            context.emit(Told::Counted(self.count));
        }
        self.count
    }

    pub fn text(&mut self, context: &mut Context<Told>, kib: u16) -> u64 {
        context.emit(Told::Text("x".repeat(usize::from(kib) << 10)));
        context.log_position().index
    }

    pub fn ring(&mut self, context: &mut Context<Told>) -> Result<(), TooManyWakes> {
        context.wake_at(context.now())
    }

    #[timer]
    fn rang(&mut self, context: &mut Context<Told>) {
        context.emit(Told::Rang);
    }

    /// The count, and the log index up to which it counts.
    pub fn seen(&self, context: &Context<Told>) -> (u64, u64) {
        (self.count, context.log_position().index)
    }
}

type Item = (EventPosition, Told);

async fn take(events: &mut Events<Told>, count: u64) -> TestResult<Vec<Item>> {
    let mut taken = Vec::new();
    for _ in 0..count {
        taken.push(events.next().await.ok_or("the stream has ended")??);
    }
    Ok(taken)
}

/// That these are the counts from `first` to `last`, at places in order.
fn assert_counts(items: &[Item], first: u64, last: u64) {
    let told: Vec<_> = items.iter().map(|(_, event)| event.clone()).collect();
    let counts: Vec<_> = (first..=last).map(Told::Counted).collect();
    assert_eq!(told, counts);
    assert!(items.is_sorted_by(|(a, _), (b, _)| a < b), "{items:?}");
}

fn small_history(bytes: u64) -> Settings {
    Settings {
        event_history_bytes: bytes,
        ..Settings::default()
    }
}

#[braft::test(nodes = 3)]
async fn a_subscriber_sees_all_that_is_kept_and_what_comes(cluster: Cluster<Tally>) -> TestResult {
    let tally = cluster.client();
    tally.count(3).await?;
    let mut events = tally.events();
    assert_counts(&take(&mut events, 3).await?, 1, 3);
    tally.count(2).await?;
    let more = take(&mut events, 2).await?;
    assert_counts(&more, 4, 5);
    // Events of one command share the index of their entry.
    let places: Vec<_> = more.iter().map(|(position, _)| *position).collect();
    assert_eq!(places[0].index, places[1].index);
    assert_eq!((places[0].ordinal, places[1].ordinal), (0, 1));

    // The same places on each node, and no event before or after them.
    for node in 0..3 {
        let mut here = cluster.client_at(TestNode(node))?.events();
        let all = take(&mut here, 5).await?;
        assert_counts(&all, 1, 5);
        assert_eq!(all[3..], more);
        let mut rest = cluster.client_at(TestNode(node))?.events().after(all[1].0);
        assert_counts(&take(&mut rest, 3).await?, 3, 5);
    }
    cluster.converged().await?;
    Ok(())
}

#[braft::test(nodes = 3)]
async fn latest_begins_with_the_next_command_and_a_query_says_what_it_has_seen(
    cluster: Cluster<Tally>,
) -> TestResult {
    let tally = cluster.client();
    tally.count(3).await?;
    let here = cluster.client_at(cluster.leader().await?)?;
    // The leader has applied what it has acknowledged: nothing old comes from it.
    let mut events = here.events().latest().await?;
    tally.count(1).await?;
    assert_counts(&take(&mut events, 1).await?, 4, 4);

    let (count, index) = tally.seen().await?;
    let mut later = tally.events().after(EventPosition::end_of_entry(index));
    tally.count(2).await?;
    assert_counts(&take(&mut later, 2).await?, count + 1, count + 2);
    Ok(())
}

#[braft::test(nodes = 3)]
async fn each_event_is_seen_once_over_ten_changes_of_leader_and_a_restart_of_the_own_node(
    cluster: Cluster<Tally>,
) -> TestResult {
    const CHANGES: u64 = 10;
    const PER_CHANGE: u64 = 20;
    const ALL: u64 = (CHANGES + 1) * PER_CHANGE;
    let tally = cluster.client();

    let mut remote = cluster.client().events();
    let remote = tokio::spawn(async move {
        let items = take(&mut remote, ALL).await;
        items.map(|items| assert_counts(&items, 1, ALL))
    });
    // A subscriber inside the process of one node, which is killed among others.
    let followed = cluster.clone();
    let local = tokio::spawn(async move {
        let own = TestNode(0);
        let (mut seen, mut restarts) = (Vec::<Item>::new(), 0);
        while (seen.len() as u64) < ALL {
            let Ok(client) = followed.client_at(own) else {
                tokio::time::sleep(Duration::from_millis(10)).await;
                continue;
            };
            let position = seen.last().map_or(EventPosition::default(), |last| last.0);
            let mut events = client.events().after(position);
            while (seen.len() as u64) < ALL {
                match events.next().await {
                    Some(Ok(item)) => seen.push(item),
                    Some(Err(error)) => {
                        assert_eq!(error.kind(), ErrorKind::Fatal, "{error:?}");
                        restarts += 1;
                        break;
                    }
                    None => break,
                }
            }
        }
        assert_counts(&seen, 1, ALL);
        restarts
    });

    let mut counted = 0;
    let mut own_was_killed = false;
    for change in 0..=CHANGES {
        for _ in 0..PER_CHANGE / 2 {
            counted = tally.count(2).await?;
        }
        if change < CHANGES {
            let down = cluster.kill_leader().await?;
            own_was_killed |= down.node() == TestNode(0);
            cluster.leader().await?;
            cluster.restart(down).await?;
        }
        if change == CHANGES / 2 && !own_was_killed {
            let down = cluster.kill(TestNode(0)).await?;
            cluster.restart(down).await?;
        }
    }
    assert_eq!(counted, ALL);
    remote.await??;
    assert!(local.await? > 0, "the own node was never restarted");
    cluster.converged().await?;
    Ok(())
}

#[test]
fn a_slow_subscriber_holds_up_nobody_and_is_told_what_it_has_missed() {
    braft::testing::run_test(1, "slow subscriber", |_: Cluster<Tally>| async {
        const BYTES: u64 = 64 << 10;
        let cluster =
            Cluster::<Tally>::start_with(3, |config| config.settings(small_history(BYTES))).await?;
        let tally = cluster.client();
        tally.count(1).await?;
        let mut slow = cluster.client().events();
        assert_counts(&take(&mut slow, 1).await?, 1, 1);
        let mut quick = cluster.client().events().latest().await?;
        // Far more than all buffers on the way hold.
        for _ in 0..64 {
            let index = tally.text(250).await?;
            let (position, _) = quick.next().await.ok_or("ended")??;
            assert_eq!(position.index, index);
        }
        tally.count(1).await?;
        let mut last = EventPosition::default();
        let error = loop {
            match slow.next().await.ok_or("ended without an error")? {
                Ok((position, _)) => {
                    assert!(position > last);
                    last = position;
                }
                Err(error) => break error,
            }
        };
        assert_eq!(error.kind(), ErrorKind::Compacted, "{error:?}");
        assert!(slow.next().await.is_none());
        // From the oldest that is kept it may go on. A node that lags keeps older ones.
        cluster.converged().await?;
        assert_counts(&take(&mut tally.events(), 1).await?, 2, 2);
        let all = tally.events().after(EventPosition::default()).next().await;
        let error = all.ok_or("ended")?.err().ok_or("an event that is gone")?;
        assert_eq!(error.kind(), ErrorKind::Compacted);
        cluster.stop_all().await;
        Ok(())
    });
}

#[test]
fn events_reach_a_node_by_snapshot_and_survive_a_restart_of_all() {
    braft::testing::run_test(1, "events by snapshot", |_: Cluster<Tally>| async {
        let cluster =
            Cluster::<Tally>::start_with(3, |config| config.snapshot_every(20).keep_log_entries(5))
                .await?;
        let tally = cluster.client();
        let leader = cluster.leader().await?;
        let away = TestNode((leader.0 + 1) % 3);
        let down = cluster.kill(away).await?;
        let mut count = tally.count(2).await?;
        let told_at = cluster.node(leader)?.status().log.last_index;
        // Until all that is left of the first events is what the snapshot holds.
        while cluster.node(leader)?.status().log.purged_index < told_at {
            count = tally.count(2).await?;
        }
        cluster.restart(down).await?;
        cluster.converged().await?;
        let mut here = cluster.client_at(away)?.events();
        let items = take(&mut here, count).await?;
        assert_counts(&items, 1, count);
        cluster.stop_all().await;
        cluster.start_all().await?;
        let mut again = cluster.client_at(away)?.events();
        assert_eq!(take(&mut again, count).await?, items);
        cluster.stop_all().await;
        Ok(())
    });
}

#[braft::test(nodes = 1)]
async fn a_timer_emits_as_a_command_does(cluster: Cluster<Tally>) -> TestResult {
    let tally = cluster.client();
    let mut events = tally.events();
    tally.ring().await??;
    let items = take(&mut events, 1).await?;
    assert_eq!(items[0].1, Told::Rang);
    Ok(())
}

#[braft::test(nodes = 1)]
async fn an_event_that_is_too_large_is_not_emitted_and_the_caller_is_told(
    cluster: Cluster<Tally>,
) -> TestResult {
    let tally = cluster.client();
    let error = tally.text(2 << 10).await.err().ok_or("it was emitted")?;
    assert_eq!(error.kind(), ErrorKind::Rejected);
    assert_eq!(error.outcome(), Outcome::Applied);
    assert!(error.to_string().contains("the limit is"), "{error}");
    tally.count(1).await?;
    assert_counts(&take(&mut tally.events(), 1).await?, 1, 1);
    Ok(())
}

#[test]
fn a_command_is_tested_for_the_events_it_emits() {
    let mut tally = Tally::default();
    let mut context = Context::for_test(1);
    tally.count(&mut context, 2);
    assert_eq!(context.emitted(), [Told::Counted(1), Told::Counted(2)]);
}

/// Emits from a command and from a timer.
#[raft_service]
#[derive(Default, Serialize, Deserialize)]
struct Bell {
    rung: u64,
}

#[raft_service]
impl Bell {
    fn set(&mut self, context: &mut Context<u64>, after_ms: u16) -> Result<(), TooManyWakes> {
        context.emit(self.rung);
        context.wake_at(context.now() + Duration::from_millis(after_ms.into()))
    }

    #[timer]
    fn ring(&mut self, context: &mut Context<u64>) {
        self.rung += 1;
        context.emit(self.rung);
    }
}

#[test]
fn a_service_with_events_and_a_timer_is_checked_without_a_cluster() {
    let checked = braft::testing::check::<Bell>().seeds(3).without_cluster();
    let found = checked.err().map(|error| error.to_string());
    assert_eq!(found, None);
}
