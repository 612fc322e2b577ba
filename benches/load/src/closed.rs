//! Clients that wait for each answer before the next operation.

use std::sync::Arc;
use std::time::Instant;

use tokio::task::JoinSet;

use crate::run::{Phase, Window};
use crate::tally::Tally;
use crate::target::Target;
use crate::workload::Workload;

/// The numbers of one client's operations begin so far from those of the next.
const NUMBERS_PER_CLIENT: u64 = 1 << 40;

/// Runs until the window is over; counts what is answered within it.
pub(crate) async fn run<T: Target>(
    workload: &Arc<Workload>,
    targets: &[T],
    clients: u32,
    window: &Arc<Window>,
) -> Tally {
    let mut tasks = JoinSet::new();
    for (client, target) in (0..clients).zip(targets.iter().cycle()) {
        tasks.spawn(one_client(
            workload.clone(),
            target.clone(),
            u64::from(client) * NUMBERS_PER_CLIENT,
            window.clone(),
        ));
    }
    let mut all = Tally::default();
    while let Some(client) = tasks.join_next().await {
        all.merge(client.expect("a client does not panic"));
    }
    all
}

async fn one_client<T: Target>(
    workload: Arc<Workload>,
    target: T,
    first: u64,
    window: Arc<Window>,
) -> Tally {
    let mut tally = Tally::default();
    for number in first.. {
        let began = Instant::now();
        let result = workload.carry_out(&target, number).await;
        match window.phase() {
            Phase::WarmUp => {}
            Phase::Measured => tally.add(began.elapsed(), result),
            Phase::Over => break,
        }
        window.count();
    }
    tally
}
