//! What shows on a cluster only is told with the fewest calls and faults that were found to show it.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::time::SystemTime;

use braft::testing::check;
use braft::{Context, LogPosition, raft_service};
use serde::{Deserialize, Serialize};

thread_local! {
    /// How many replicas have carried out what is at a place of the log; a simulated cluster is one
    /// thread.
    static CARRIED_OUT: RefCell<BTreeMap<(LogPosition, SystemTime), u32>> = RefCell::default();
}

/// A term that is reached only if leaders are lost.
const LATER_TERM: u64 = 4;

/// A counter of which one replica goes astray, once it is armed and leaders were lost.
#[raft_service]
#[derive(Default, Serialize, Deserialize)]
pub struct Astray {
    is_armed: bool,
    value: u64,
}

#[raft_service]
impl Astray {
    pub fn arm(&mut self) {
        self.is_armed = true;
    }

    pub fn disarm(&mut self) {
        self.is_armed = false;
    }

    pub fn add(&mut self, ctx: &mut Context, by: u8) -> u64 {
        self.value += u64::from(by);
        let at = ctx.log_position();
        let before = CARRIED_OUT.with_borrow_mut(|carried_out| {
            let count = carried_out.entry((at, ctx.now())).or_default();
            *count += 1;
            *count - 1
        });
        if self.is_armed && at.term >= LATER_TERM && before == 1 {
            self.value += 1;
        }
        self.value
    }

    pub fn value(&self) -> u64 {
        self.value
    }
}

#[tokio::test]
async fn what_shows_on_a_cluster_only_is_told_in_few_calls_and_faults() {
    let told = check::<Astray>().run().await;
    let text = told.expect_err("the broken service passed").to_string();
    let count = |what: &str| text.lines().filter(|line| line.contains(what)).count();
    // To arm it, to add, and what each of three nodes has to serve at the end; of 200 calls.
    assert!((2..=5).contains(&count("  command  ")), "{text}");
    assert!(count("query  ") <= 3, "{text}");
    assert!((1..=5).contains(&count(" -- ")), "{text}");
    assert!(
        text.contains("the fewest of its calls and faults"),
        "{text}"
    );
}
