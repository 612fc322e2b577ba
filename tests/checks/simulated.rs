//! Many seeds of the whole runtime, each half a minute by its own clock.

use std::time::Duration;

use braft::testing::{TestResult, check};

use crate::right::{Inventory, Queue};

/// Seeds of each test.
const SEEDS: u64 = 50;
const EACH: Duration = Duration::from_secs(30);

/// Fails with the text alone: it has several lines.
fn told(checked: TestResult) {
    if let Err(error) = checked {
        panic!("{error}");
    }
}

#[tokio::test]
async fn three_nodes_keep_their_promises() {
    let checked = check::<Inventory>().seeds(SEEDS).lasting(EACH);
    told(checked.run().await);
}

#[tokio::test]
async fn five_nodes_keep_their_promises() {
    let checked = check::<Queue>().nodes(5).first_seed(1_000).seeds(SEEDS);
    told(checked.lasting(EACH).run().await);
}
