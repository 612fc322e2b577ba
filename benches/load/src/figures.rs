//! The figures of one run.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::args::Pace;
use crate::run::{Moment, NodeSample};
use crate::tally::Tally;
use crate::workload::Operation;

/// What one run came to. What could not be found out is missing.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Figures {
    /// What the clients did.
    pub operation: Operation,
    /// Closed loop: how many clients there were.
    pub clients: Option<u32>,
    /// Open loop: operations begun each second.
    pub rate: Option<u64>,
    /// How long it was measured.
    pub seconds: f64,
    /// Operations that succeeded.
    pub operations: u64,
    /// The same for each second.
    pub per_second: f64,
    /// Operations that failed.
    pub errors: u64,
    /// The first of their reasons.
    pub first_error: Option<String>,
    /// Half of the operations took no longer, in microseconds.
    pub p50_us: u64,
    /// 90 of 100 took no longer.
    pub p90_us: u64,
    /// 99 of 100.
    pub p99_us: u64,
    /// 999 of 1000.
    pub p999_us: u64,
    /// The longest.
    pub max_us: u64,
    /// CPU time of all nodes for each operation, in microseconds.
    pub node_cpu_us: Option<f64>,
    /// CPU time of this program for each operation, in microseconds.
    pub client_cpu_us: Option<f64>,
    /// Syncs of all nodes each second.
    pub fsyncs_per_second: Option<f64>,
    /// Log entries of all nodes for each of their syncs.
    pub entries_per_fsync: Option<f64>,
    /// Resident memory of each node at the end, bytes.
    pub rss_bytes: Vec<u64>,
}

impl Figures {
    pub(crate) fn new(
        operation: Operation,
        pace: Pace,
        tally: &Tally,
        before: &Moment,
        after: &Moment,
    ) -> Self {
        let took = after.at.duration_since(before.at);
        let operations = tally.micros.len();
        let each = |cpu: Duration| cpu.as_secs_f64() * 1e6 / operations.max(1) as f64;
        let fsyncs = grown(before, after, |node| node.fsyncs);
        let entries = grown(before, after, |node| node.entries);
        let (clients, rate) = match pace {
            Pace::Closed { clients } => (Some(clients), None),
            Pace::Open { per_second } => (None, Some(per_second)),
        };
        Figures {
            operation,
            clients,
            rate,
            seconds: took.as_secs_f64(),
            operations,
            per_second: operations as f64 / took.as_secs_f64(),
            errors: tally.errors,
            first_error: tally.first_error.clone(),
            p50_us: tally.micros.value_at_quantile(0.5),
            p90_us: tally.micros.value_at_quantile(0.9),
            p99_us: tally.micros.value_at_quantile(0.99),
            p999_us: tally.micros.value_at_quantile(0.999),
            max_us: tally.micros.max(),
            node_cpu_us: node_cpu(before, after).map(each),
            client_cpu_us: before
                .own_cpu
                .zip(after.own_cpu)
                .map(|(before, after)| each(after.saturating_sub(before))),
            fsyncs_per_second: fsyncs.map(|fsyncs| fsyncs as f64 / took.as_secs_f64()),
            entries_per_fsync: fsyncs
                .filter(|fsyncs| *fsyncs > 0)
                .zip(entries)
                .map(|(fsyncs, entries)| entries as f64 / fsyncs as f64),
            rss_bytes: after
                .nodes
                .iter()
                .filter_map(|node| node.rss_bytes)
                .collect(),
        }
    }
}

/// By how much a counter grew over all nodes; `None` if it is not known of each of them.
fn grown(
    before: &Moment,
    after: &Moment,
    counter: impl Fn(&NodeSample) -> Option<u64>,
) -> Option<u64> {
    let sum = |moment: &Moment| -> Option<u64> { moment.nodes.iter().map(&counter).sum() };
    if before.nodes.is_empty() || before.nodes.len() != after.nodes.len() {
        return None;
    }
    sum(after)?.checked_sub(sum(before)?)
}

fn node_cpu(before: &Moment, after: &Moment) -> Option<Duration> {
    let sum = |moment: &Moment| -> Option<Duration> {
        let each = moment.nodes.iter().map(|node| node.cpu);
        each.sum::<Option<Duration>>()
            .filter(|_| !moment.nodes.is_empty())
    };
    sum(after)?.checked_sub(sum(before)?)
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use super::*;

    fn moment(at: Instant, seconds: u64, fsyncs: Option<u64>) -> Moment {
        let cpu = Duration::from_millis(10 * seconds);
        let node = NodeSample {
            cpu: Some(cpu),
            rss_bytes: Some(1 << 20),
            fsyncs,
            entries: Some(40 * seconds),
        };
        Moment {
            at: at + Duration::from_secs(seconds),
            own_cpu: Some(cpu),
            nodes: vec![node, node],
        }
    }

    fn figures(fsyncs: [Option<u64>; 2]) -> Figures {
        let mut tally = Tally::default();
        for _ in 0..100 {
            tally.add(Duration::from_micros(50), Ok(()));
        }
        let now = Instant::now();
        let (before, after) = (moment(now, 0, fsyncs[0]), moment(now, 2, fsyncs[1]));
        let pace = Pace::Closed { clients: 1 };
        Figures::new(Operation::Put, pace, &tally, &before, &after)
    }

    #[test]
    fn what_is_counted_is_set_against_operations_and_time() {
        let figures = figures([Some(1), Some(21)]);
        assert_eq!((figures.operations, figures.per_second), (100, 50.0));
        // 20 ms on each of two nodes.
        assert_eq!(figures.node_cpu_us, Some(400.0));
        assert_eq!(figures.client_cpu_us, Some(200.0));
        assert_eq!(figures.fsyncs_per_second, Some(20.0));
        assert_eq!(figures.entries_per_fsync, Some(4.0));
        assert_eq!((figures.p50_us, figures.max_us), (50, 50));
    }

    #[test]
    fn what_a_node_does_not_tell_is_missing_and_no_zero() {
        let figures = figures([None, Some(21)]);
        assert_eq!(figures.fsyncs_per_second, None);
        assert_eq!(figures.entries_per_fsync, None);
    }
}
