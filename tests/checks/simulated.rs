//! A hundred seeds of the whole runtime, each half a minute by its own clock.

use std::time::Duration;

use braft::testing::{Check, check};

use crate::right::{Inventory, Queue};

const EACH: Duration = Duration::from_secs(30);

/// Fails with the text alone: it has several lines.
async fn passes<S: braft::Service>(checked: Check<S>) {
    if let Err(error) = checked.lasting(EACH).run().await {
        panic!("{error}");
    }
}

#[tokio::test]
async fn a_map_on_three_nodes_for_forty_seeds() {
    passes(check::<Inventory>().seeds(40)).await;
}

#[tokio::test]
async fn a_queue_on_three_nodes_for_forty_seeds() {
    passes(check::<Queue>().first_seed(100).seeds(40)).await;
}

#[tokio::test]
async fn a_queue_on_five_nodes_for_twenty_seeds() {
    passes(check::<Queue>().nodes(5).first_seed(1_000).seeds(20)).await;
}
