//! A node that is busy with reads.

use std::sync::atomic::AtomicBool;

use super::*;
use crate::client::throttle::THROTTLED;

/// Reads that begin together.
const TOGETHER: u64 = 100;
/// Many times what it takes; a caller that is never served again fails rather than hangs.
const MOST_ROUNDS: usize = 10_000;

#[tokio::test]
async fn reads_that_a_busy_node_would_refuse_are_not_sent_until_it_serves_again() {
    let is_busy = Arc::new(AtomicBool::new(true));
    let seen = Arc::new(AtomicUsize::new(0));
    let node = {
        let (is_busy, seen) = (is_busy.clone(), seen.clone());
        Node::start(Fake::new(7, move |call| {
            if !matches!(call.action, Action::Query { .. }) {
                return echo(call);
            }
            seen.fetch_add(1, Ordering::SeqCst);
            if is_busy.load(Ordering::SeqCst) {
                call.reply.refuse(Refusal::busy("full"));
            } else {
                echo(call);
            }
        }))
    };
    let caller = connect(vec![node.address.clone()], Dialer::default())
        .await
        .unwrap();
    let reads = || join_all((0..TOGETHER).map(|n| query(&caller, number(n))));
    let (mut asked, mut unsent) = (0, 0);
    while unsent < 10 * TOGETHER {
        for result in reads().await {
            let error = result.unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Busy);
            assert_eq!(error.outcome(), Outcome::NotApplied);
            unsent += u64::from(error.to_string().contains(THROTTLED));
            asked += 1;
        }
    }
    let sent = seen.load(Ordering::SeqCst) as u64;
    assert!(sent < asked, "{sent} of {asked}");
    // Commands are not held back on account of reads.
    let commands = join_all((0..TOGETHER).map(|n| command(&caller, number(n)))).await;
    assert!(commands.iter().all(Result::is_ok), "{commands:?}");

    is_busy.store(false, Ordering::SeqCst);
    let mut rounds = 0..MOST_ROUNDS;
    let is_served = |results: Vec<Result<Bytes, Error>>| results.iter().all(Result::is_ok);
    while !is_served(reads().await) {
        rounds.next().expect("reads are served again");
    }
}
