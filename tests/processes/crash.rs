//! `kill -9` under load.

use std::time::Duration;

use braft::testing::TestResult;

use crate::nodes::Nodes;
use crate::writers::{Writers, Written};

const CLIENTS: usize = 8;

/// Kills the leader amid writes; they go on.
async fn kill_the_leader_under_load(nodes: &mut Nodes) -> TestResult<Written> {
    let leader = nodes.leader().await?;
    let writers = Writers::start(nodes.clients(CLIENTS).await?);
    writers.progress(200).await?;
    nodes.kill(leader)?;
    // More than what can be acknowledged already and not counted yet.
    writers.progress(200).await?;
    nodes.restart(leader)?;
    writers.progress(100).await?;
    writers.stop().await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_acknowledged_write_is_lost_or_doubled_when_the_leader_is_killed() {
    let run = async || -> TestResult {
        let mut nodes = Nodes::start(3, &[]).await?;
        let written = kill_the_leader_under_load(&mut nodes).await?;
        println!("{written}");
        written.check(&nodes.client().await?).await
    };
    run().await.unwrap_or_else(|error| panic!("{error}"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_acknowledged_write_is_there_after_all_nodes_were_killed_at_once() {
    let run = async || -> TestResult {
        let mut nodes = Nodes::start(3, &[]).await?;
        let writers = Writers::start(nodes.clients(CLIENTS).await?);
        writers.progress(400).await?;
        nodes.kill_all()?;
        for node in 0..3 {
            nodes.restart(node)?;
        }
        writers.progress(100).await?;
        let written = writers.stop().await?;
        println!("{written}");
        written.check(&nodes.client().await?).await
    };
    run().await.unwrap_or_else(|error| panic!("{error}"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_second_process_on_one_data_directory_ends_with_a_clear_error() {
    let run = async || -> TestResult {
        let mut nodes = Nodes::start(1, &[]).await?;
        let client = nodes.client().await?;
        assert_eq!(client.record(1, "").await?, 1);
        let first = nodes.pid(0).ok_or("it is down")?;
        let (succeeded, words) = nodes.second_process(0)?;
        assert!(!succeeded, "{words}");
        let holder = format!("in use by process {first}");
        let directory = nodes.data_dir(0).display().to_string();
        for part in [&holder, &directory] {
            assert!(words.contains(part), "{part:?} is missing in {words:?}");
        }
        assert_eq!(client.record(1, "").await?, 2);
        // The lock of a killed process is gone with it.
        nodes.kill(0)?;
        nodes.restart(0)?;
        nodes.leader().await?;
        assert_eq!(nodes.client().await?.count().await?, 1);
        Ok(())
    };
    run().await.unwrap_or_else(|error| panic!("{error}"));
}

/// Prints how long writes stand still when the leader is killed: five times, and their median.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "measures; run it alone and in release"]
async fn how_long_writes_stand_still_when_the_leader_is_killed() {
    const ROUNDS: usize = 5;
    let run = async || -> TestResult {
        let mut gaps: Vec<Duration> = Vec::new();
        for _ in 0..ROUNDS {
            let mut nodes = Nodes::start(3, &[]).await?;
            let written = kill_the_leader_under_load(&mut nodes).await?;
            written.check(&nodes.client().await?).await?;
            gaps.push(written.longest_gap());
        }
        gaps.sort_unstable();
        println!("gaps {gaps:?}; median {:?}", gaps[ROUNDS / 2]);
        Ok(())
    };
    run().await.unwrap_or_else(|error| panic!("{error}"));
}
