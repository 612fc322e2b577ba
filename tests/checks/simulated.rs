//! The whole runtime, half a minute a seed by its own clock. `docs/checking.md` says what
//! happens in it, and how it is known that it would find a mistake.
//!
//! More: `cargo run --release -p simulate -- --seeds 1000`.

use std::time::Duration;

use braft::testing::{Check, check};

use crate::right::{Inventory, Queue};

const EACH: Duration = Duration::from_secs(30);

/// Fails with the text alone: it has several lines.
async fn passes<S: braft::Service>(checked: Check<S>) {
    if let Err(error) = checked.lasting(EACH).repeatable().run().await {
        panic!("{error}");
    }
}

#[tokio::test]
async fn a_map_on_three_nodes() {
    passes(check::<Inventory>().seeds(40)).await;
}

#[tokio::test]
async fn a_queue_on_three_nodes() {
    passes(check::<Queue>().first_seed(100).seeds(40)).await;
}

#[tokio::test]
async fn a_queue_on_five_nodes() {
    passes(check::<Queue>().nodes(5).first_seed(1_000).seeds(20)).await;
}
