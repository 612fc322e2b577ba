//! The end of a check: soon after the last fault all has to be served again.

use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::join_all;
use tokio::time::Instant;

use super::history::Meddler;
use super::invent::InventError;
use super::workload::{Step, Workload, command, query};
use crate::call::Channel;
use crate::context::Rng;
use crate::error::ErrorKind;
use crate::service::Service;
use crate::testing::cluster::{Cluster, TestNode};
use crate::testing::{TestError, TestResult};

/// How soon after the last fault a simulated cluster has to serve, and to be whole.
const SETTLE_WITHIN: Duration = Duration::from_secs(10);
/// The same on real sockets, where others keep the machine busy. No promise of the product.
const PATIENCE: Duration = Duration::from_secs(30);
/// From one attempt of a call that was refused to the next.
const PAUSE: Duration = Duration::from_millis(50);

/// What the end of a check needs.
pub(super) struct Settling<'a, S> {
    pub(super) cluster: &'a Cluster<S>,
    /// Whose history the calls are written into.
    pub(super) workload: &'a Workload,
    /// The number of the first client that nobody has been.
    pub(super) client: usize,
    pub(super) is_simulated: bool,
    pub(super) is_upgraded: bool,
}

impl<S: Service> Settling<'_, S> {
    /// Waits until each node serves, one leads, all seats of voters are taken by nodes that run, and
    /// the replicas are equal: soon, where nothing but the nodes takes time.
    pub(super) async fn settle(&self, mut rng: Rng) -> TestResult {
        if self.is_upgraded {
            // Members that are gone have to be removed first.
            for (node, _) in self.cluster.running() {
                let cluster = self.cluster;
                cluster.active_version(node, S::NAME, S::VERSION).await?;
            }
        }
        let calm = Instant::now();
        let limit = if self.is_simulated {
            SETTLE_WITHIN
        } else {
            PATIENCE
        };
        self.all_serve(&mut rng, calm + limit).boxed().await?;
        self.cluster.one_leads().boxed().await?;
        self.in_time("until one node led", calm)?;
        self.cluster.all_are_seated().boxed().await?;
        self.in_time(
            "until all seats of voters were taken by nodes that run",
            calm,
        )?;
        self.cluster.converged().boxed().await?;
        self.in_time("to become equal", calm)
    }

    fn in_time(&self, what: &str, calm: Instant) -> TestResult {
        let took = calm.elapsed();
        if !self.is_simulated || took <= SETTLE_WITHIN {
            return Ok(());
        }
        Err(TestError::of_text(format!(
            "once the faults had ended the replicas took {took:?} {what}"
        )))
    }

    /// Each node that runs answers a command and a linearizable query that enter at it.
    async fn all_serve(&self, rng: &mut Rng, until: Instant) -> TestResult {
        let invented = |error: InventError| TestError::of_text(error.to_string());
        let mut asking = Vec::new();
        for (place, node) in self.cluster.running() {
            let channel = node.tapped(Meddler::onlooker());
            let command = command::<S>(rng).map_err(invented)?;
            let query = query::<S>(rng).map_err(invented)?;
            asking.push(async move {
                for (what, step) in [("command", command), ("linearizable query", query)] {
                    if let Some(step) = step {
                        self.is_served(place, &channel, (what, step), until).await?;
                    }
                }
                Ok(())
            });
        }
        let answers: Vec<Result<(), String>> = join_all(asking).await;
        let not_served: Vec<_> = answers.into_iter().filter_map(Result::err).collect();
        if not_served.is_empty() {
            return Ok(());
        }
        Err(TestError::of_text(format!(
            "once the faults had ended not all was served: {}",
            not_served.join("; ")
        )))
    }

    /// What was not served, and why, if the time is up before.
    async fn is_served(
        &self,
        place: TestNode,
        channel: &Channel,
        (what, step): (&str, Step),
        until: Instant,
    ) -> Result<(), String> {
        let began = Instant::now();
        loop {
            let left = until.saturating_duration_since(Instant::now());
            let client = self.client + place.0;
            let made = self
                .workload
                .make::<S>((client, None), channel, step.clone(), left);
            let error = match made.await {
                Ok(()) => return Ok(()),
                // An answer too: not all calls are of each version.
                Err(error) if error.kind == ErrorKind::Rejected => return Ok(()),
                Err(error) => error,
            };
            if Instant::now() + PAUSE >= until {
                return Err(format!(
                    "node {} answered no {what} for {:?}: {}",
                    place.0,
                    began.elapsed(),
                    error.message
                ));
            }
            tokio::time::sleep(PAUSE).await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::nemesis::stage::{Pages, Stage, play};
    use super::super::run::Extent;
    use super::*;

    async fn settle(stage: &Stage) -> TestResult {
        let workload = Workload::new(Extent::Time(Duration::ZERO), None);
        let settling = Settling::<Pages> {
            cluster: &stage.cluster,
            workload: &workload,
            client: 0,
            is_simulated: true,
            is_upgraded: false,
        };
        let settled = settling.settle(Rng::new(1, 1)).await;
        if settled.is_ok() {
            // A command and a query of each node.
            assert_eq!(workload.history.len(), 6);
        }
        settled
    }

    fn text(settled: TestResult) -> String {
        settled.expect_err("it has not settled").to_string()
    }

    #[test]
    fn a_cluster_that_is_well_has_settled() {
        play(5, async |stage| settle(&stage).await);
    }

    #[test]
    fn what_a_cluster_without_a_quorum_does_not_serve_is_named() {
        play(6, async |stage| {
            stage.cluster.isolate(TestNode(0));
            stage.cluster.isolate(TestNode(1));
            let text = text(settle(&stage).await);
            for node in 0..3 {
                let what = format!("node {node} answered no command for");
                assert!(text.contains(&what), "{text}");
            }
            Ok(())
        });
    }

    #[test]
    fn the_node_that_does_not_serve_is_named() {
        play(7, async |stage| {
            stage.cluster.isolate(TestNode(2));
            let text = text(settle(&stage).await);
            assert!(text.contains("node 2 answered no command for"), "{text}");
            assert!(
                !text.contains("node 0") && !text.contains("node 1"),
                "{text}"
            );
            Ok(())
        });
    }

    #[test]
    fn a_seat_that_a_node_has_which_does_not_run_is_named() {
        play(8, async |stage| {
            let _ = stage.cluster.kill(TestNode(2)).await?;
            let text = text(settle(&stage).await);
            assert!(text.contains("all seats of voters"), "{text}");
            Ok(())
        });
    }
}
