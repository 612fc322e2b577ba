//! A cluster that forms while its nodes lose their power and each other.

use std::time::Duration;

use futures_util::FutureExt;

use super::super::invent::below;
use super::{Disks, Event};
use crate::context::Rng;
use crate::service::Service;
use crate::testing::TestResult;
use crate::testing::cluster::{Cluster, Down, TestNode};

/// Faults while a cluster forms.
const FAULTS: u32 = 50;
/// The longest time between two of them: less than between two looks of a node that forms a cluster.
const MAX_PAUSE_MS: u32 = 70;

/// Lets the nodes, which have just been started, form a cluster under faults; in the end all run and
/// reach each other.
pub(in super::super) async fn form_roughly<S: Service>(
    cluster: &Cluster<S>,
    disks: &Disks,
    rng: &mut Rng,
    nodes: usize,
) -> TestResult<Vec<Event>> {
    let mut down: Vec<Down> = Vec::new();
    let mut events = Vec::new();
    let count = u32::try_from(nodes).unwrap_or(u32::MAX);
    let mut note = |text: String| {
        events.push(Event {
            at: Duration::ZERO,
            text: format!("while forming: {text}"),
        });
    };
    for _ in 0..below(rng, FAULTS) {
        let node = TestNode(below(rng, count) as usize);
        match below(rng, 6) {
            0 | 1 => {
                cluster.isolate(node);
                note(format!("node {} is cut off", node.0));
            }
            2 => {
                let to = TestNode(below(rng, count) as usize);
                cluster.cut(node, to);
                note(format!("node {} cannot reach node {}", node.0, to.0));
            }
            3 | 4 if down.iter().all(|down| down.node() != node) => {
                disks(node).crash(rng.next_u64());
                down.push(cluster.kill(node).boxed().await?);
                note(format!("the power of node {} is cut", node.0));
            }
            _ => {
                cluster.heal();
                for down in down.drain(..) {
                    cluster.restart(down).boxed().await?;
                }
                note("all is well".to_owned());
            }
        }
        let pause = below(rng, MAX_PAUSE_MS);
        tokio::time::sleep(Duration::from_millis(pause.into())).await;
    }
    cluster.heal();
    for down in down {
        cluster.restart(down).boxed().await?;
    }
    Ok(events)
}
