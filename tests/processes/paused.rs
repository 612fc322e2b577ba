//! Processes that are stopped for a while, as by a paused virtual machine.

use std::collections::BTreeSet;
use std::process::Command;
use std::time::Duration;

use braft::testing::TestResult;

use crate::nodes::Nodes;
use crate::writers::Writers;

const DEAD_AFTER_MS: u64 = 1_500;

pub(crate) fn signal(nodes: &Nodes, node: usize, signal: &str) -> TestResult {
    let pid = nodes.pid(node).ok_or("it is down")?.to_string();
    let sent = Command::new("kill").args([signal, &pid]).status()?;
    if !sent.success() {
        Err(format!("no {signal} to process {pid}"))?;
    }
    Ok(())
}

/// The ids of the voters, as a node sees them.
async fn voters(nodes: &Nodes, node: usize) -> Option<BTreeSet<String>> {
    let overview = nodes.overview(node).await?;
    let servers = overview["raftServers"].as_array()?.iter();
    let voters = servers.filter(|server| server["suffrage"] == "Voter");
    voters
        .map(|server| Some(server["id"].as_str()?.to_owned()))
        .collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nodes_that_were_all_paused_for_longer_than_death_remove_nobody() {
    let run = async || -> TestResult {
        let nodes = Nodes::start(3, &[("BRAFT_DEAD_AFTER_MS", DEAD_AFTER_MS)]).await?;
        let leader = nodes.leader().await?;
        let before = voters(&nodes, leader).await.ok_or("no answer")?;
        assert_eq!(before.len(), 3);
        let writers = Writers::start(nodes.clients(2).await?);
        writers.progress(20).await?;
        for node in 0..3 {
            signal(&nodes, node, "-STOP")?;
        }
        // The pause is the fault.
        tokio::time::sleep(Duration::from_millis(2 * DEAD_AFTER_MS)).await;
        // The leader wakes first: it has missed everybody for twice the time that makes dead.
        signal(&nodes, leader, "-CONT")?;
        // Let it look at its members a few times.
        tokio::time::sleep(Duration::from_secs(1)).await;
        for node in (0..3).filter(|node| *node != leader) {
            signal(&nodes, node, "-CONT")?;
        }
        writers.progress(50).await?;
        let written = writers.stop().await?;
        let leader = nodes.leader().await?;
        let after = nodes
            .wait("the members to be told", || voters(&nodes, leader))
            .await?;
        assert_eq!(after, before, "somebody was removed, or came anew");
        for node in 0..3 {
            let log = std::fs::read_to_string(nodes.log_file(node))?;
            assert!(!log.contains("remove voter"), "{log}");
        }
        written.check(&nodes.client().await?).await
    };
    run().await.unwrap_or_else(|error| panic!("{error}"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_paused_leader_comes_back_as_a_follower_and_loses_nothing() {
    let run = async || -> TestResult {
        let nodes = Nodes::start(3, &[]).await?;
        let paused = nodes.leader().await?;
        let writers = Writers::start(nodes.clients(4).await?);
        writers.progress(50).await?;
        signal(&nodes, paused, "-STOP")?;
        // Writes go on with another leader.
        writers.progress(50).await?;
        signal(&nodes, paused, "-CONT")?;
        writers.progress(50).await?;
        let written = writers.stop().await?;
        let leader = nodes.leader().await?;
        assert_eq!(voters(&nodes, leader).await.map(|all| all.len()), Some(3));
        written.check(&nodes.client().await?).await
    };
    run().await.unwrap_or_else(|error| panic!("{error}"));
}
