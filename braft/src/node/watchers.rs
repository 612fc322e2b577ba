//! What watches over raft, from its start until the node stops.

use std::sync::Arc;
use std::time::Duration;

use super::core::{Core, Stopped};
use super::purging::Purging;
use super::snapshots::{Growth, Snapshots};
use super::tasks::Tasks;
use super::{comparing, disk, news, panics, slow};
use crate::cluster::{introductions, monitor, settings, versions};
use crate::config::Resolved;
use crate::raft::RaftNode;
use crate::world;

/// Begins the tasks that wait for raft's start.
pub(super) fn spawn(core: &Arc<Core>, resolved: &Resolved, tasks: &Tasks) {
    let (timers, seed) = (resolved.timers, Arc::new(resolved.settings.clone()));
    let (discovery, log) = (resolved.discovery.clone(), log(resolved));
    let (core, own) = (Arc::clone(core), tasks.clone());
    tasks.spawn(async move {
        let raft = core.raft_started().await;
        let (requests, decisions) = (core.requests.clone(), core.decisions.clone());
        let (outlook, monitoring) = monitor::start(raft.clone(), timers, requests, decisions);
        drop(core.about.outlook.set(outlook));
        own.spawn(monitoring);
        own.spawn(note_formed(core.clone(), raft.clone()));
        own.spawn(settings::seed(raft.clone(), seed));
        own.spawn(versions::activate(raft.clone()));
        let (peers, joiner) = (discovery.peers(), core.joiner.clone());
        own.spawn(introductions::run(raft.clone(), peers, joiner));
        watch_state(&core, raft, log, &own);
        stop_if_it_fails(&core, raft, &own).await;
    });
}

/// What the length of the log is judged by.
fn log(resolved: &Resolved) -> (Snapshots, Purging) {
    let patience = Duration::from_millis(2 * u64::from(resolved.timers.election_max_ms));
    let growth = Growth {
        entries: resolved.snapshot_every,
        bytes: resolved.snapshot_bytes,
    };
    let (keep, segment) = (resolved.keep_log_entries, resolved.segment_bytes);
    let purging = Purging::new(keep, resolved.snapshot_bytes, segment, patience);
    (Snapshots::new(growth, patience), purging)
}

/// Notes that the cluster which this node has formed has its first membership.
async fn note_formed(core: Arc<Core>, raft: RaftNode) {
    let begun = raft.wait_for(|view| view.last_log_index.is_some()).await;
    if begun.is_some()
        && let Some(formed) = core.formed.get()
    {
        formed.initialized().await;
    }
}

/// Begins the tasks that look at the disk, the log, the state, and who leads.
fn watch_state(
    core: &Arc<Core>,
    raft: &RaftNode,
    (snapshots, purging): (Snapshots, Purging),
    tasks: &Tasks,
) {
    let watched = || (Arc::clone(core), raft.clone());
    let (core, raft) = watched();
    tasks.spawn(async move { disk::watch(raft, &core.disk_low, snapshots, purging).await });
    let (core, raft) = watched();
    tasks.spawn(comparing::begin(raft.clone()));
    tasks.spawn(comparing::report(raft.clone()));
    tasks.spawn(comparing::heal(core.clone()));
    tasks.spawn(async move { comparing::watch(raft, &core.divergences).await });
    let (core, raft) = watched();
    tasks.spawn(async move { core.leaderships.follow(raft).await });
    let (core, raft) = watched();
    tasks.spawn(async move { news::tell(raft, core.peers(), &core.leader_news).await });
    let (core, raft) = watched();
    tasks.spawn(panics::confirm(raft.clone()));
    tasks.spawn(panics::leave_to_others(core.clone()));
    tasks.spawn(async move { slow::watch(raft, &core.slow).await });
}

/// Waits until this node can or must not go on, and stops it.
async fn stop_if_it_fails(core: &Core, raft: &RaftNode, tasks: &Tasks) {
    let mut cannot = raft.watch_stopped();
    let mut unfit = core.peers.watch_unfit();
    let mut log = raft.wal().watch_failed();
    let mut log_alone = false;
    let ended = tokio::select! {
        // Raft says more, if what failed was its own.
        biased;
        view = raft.wait_for(|view| view.stopped.is_some()) => {
            view.and_then(|view| view.stopped).unwrap_or_else(|| "raft stopped".to_owned())
        }
        Ok(why) = cannot.wait_for(Option::is_some) => why.clone().unwrap_or_default(),
        Ok(why) = unfit.wait_for(Option::is_some) => why.clone().unwrap_or_default(),
        Ok(why) = log.wait_for(Option::is_some) => {
            log_alone = true;
            why.as_ref().map(ToString::to_string).unwrap_or_default()
        }
    };
    let is_unfit = unfit.borrow().is_some();
    core.stop(Stopped::Fatal(ended));
    if log_alone || is_unfit {
        // It must not vote, append or serve until its user has looked: now, not then. Of a log that
        // fails at a mark raft does not know, and would lead on while it has nothing to write.
        // In a task of its own: a shutdown that is cut short makes whoever asks raft meanwhile panic.
        let stopping = raft.clone();
        let stopping = world::spawn(async move { stopping.shutdown().await });
        if let Err(error) = stopping.await {
            tracing::debug!(%error, "raft was not shut down");
        }
    }
    if is_unfit {
        tasks.stop.cancel();
    }
}

#[cfg(all(test, feature = "testing"))]
mod tests {
    use super::*;
    use crate::config::Seams;
    use crate::raft_service;
    use crate::storage::fs::faults::FaultFs;
    use crate::testing::{Cluster, TestNode};

    #[raft_service(crate = crate)]
    #[derive(Default, serde::Serialize, serde::Deserialize)]
    struct Tally {
        count: u64,
    }

    #[raft_service(crate = crate)]
    impl Tally {
        fn add(&mut self) -> u64 {
            self.count += 1;
            self.count
        }
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_node_stops_if_the_log_fails_at_what_nobody_waits_for() {
        let fs = FaultFs::new();
        let own = fs.clone();
        let configure = Box::new(move |_: TestNode, seams: Seams, config: crate::Config| {
            config.seams(Seams {
                fs: Arc::new(own.clone()),
                ..seams
            })
        });
        let cluster = Cluster::<Tally>::boot_seamed(1, None, None, configure);
        let cluster = cluster.await.unwrap_or_else(|error| panic!("{error}"));
        let node = cluster.node(TestNode(0));
        let node = node.unwrap_or_else(|error| panic!("{error}"));
        cluster.client().add().await.expect("it serves");
        let raft = node.core().raft().expect("it has formed");
        while !raft.wal().is_resting() {
            tokio::task::yield_now().await;
        }
        // That of the next command is written, and the mark behind it is not.
        fs.fail_write(1, std::io::ErrorKind::Other);
        // Its answer may or may not come before the node stops.
        drop(cluster.client().add().await);
        match node.stopped().await {
            Stopped::Fatal(why) => assert!(why.contains("the log has stopped"), "{why}"),
            other => panic!("{other:?}"),
        }
    }
}
