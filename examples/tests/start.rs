//! Three `kv node` processes with nothing but different ports, started at the same instant.
//!
//! Each round is on a network of its own, a namespace with loopback alone; where none can be made,
//! the tests print a line that says so, and pass. `START_ROUNDS=50` makes many rounds of it.

use std::fs::File;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;
use tests::netns::{Host, why_not};

/// Rounds of each test, unless `START_ROUNDS` says another number.
const ROUNDS: usize = 3;
/// The longest a round may take; one that hangs says how far it got.
const PATIENCE: Duration = Duration::from_secs(60);
const LOOK_EVERY: Duration = Duration::from_millis(20);
const PORTS: [u16; 3] = [15_000, 16_000, 17_000];
const HTTP_OFFSET: u16 = 2;

/// Processes that end when this is dropped.
struct Nodes(Vec<Child>);

impl Drop for Nodes {
    fn drop(&mut self) {
        for process in &mut self.0 {
            // An error means that it has ended by itself.
            drop(process.kill());
            drop(process.wait());
        }
    }
}

fn start(host: &Host, directory: &Path, settings: &[(&str, &str)]) -> Nodes {
    let start = |port: &u16| {
        let log = File::create(directory.join(format!("{port}.log"))).expect("a new file");
        let mut command = host.command(env!("CARGO_BIN_EXE_kv"));
        // What the surrounding shell says must not reach the nodes.
        let surrounding = std::env::vars_os().map(|(name, _)| name);
        let ours = |name: &std::ffi::OsString| name.to_string_lossy().starts_with("BRAFT_");
        surrounding.filter(ours).for_each(|name| {
            command.env_remove(name);
        });
        command
            .arg("node")
            .current_dir(directory)
            .env("BRAFT_RPORT", port.to_string())
            .envs(settings.iter().copied())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .expect("the program is there")
    };
    Nodes(PORTS.iter().map(start).collect())
}

/// The cluster's id, once the node is ready in a cluster of three.
fn cluster_of_three(host: &Host, port: u16) -> Option<String> {
    let http = SocketAddr::from((Ipv4Addr::LOCALHOST, port + HTTP_OFFSET));
    host.http_get(http, "/readyz")?;
    let overview: Value = serde_json::from_str(&host.http_get(http, "/raft")?).ok()?;
    let members = overview["raftServers"].as_array()?.len();
    let cluster_id = overview["clusterID"].as_str()?.to_owned();
    (members == PORTS.len()).then_some(cluster_id)
}

/// One round; how long it took until all three served as one cluster.
fn round(settings: &[(&str, &str)]) -> Duration {
    let directory = tempfile::tempdir().expect("a new directory");
    let host = Host::alone().expect("namespaces can be made");
    let since = Instant::now();
    let nodes = start(&host, directory.path(), settings);
    let cluster_ids = loop {
        let ids: Vec<_> = PORTS.map(|port| cluster_of_three(&host, port)).into();
        if let Some(ids) = ids.iter().cloned().collect::<Option<Vec<_>>>() {
            break ids;
        }
        if since.elapsed() > PATIENCE {
            panic!(
                "not one cluster after {PATIENCE:?}: {ids:?}\n{}",
                logs(directory.path())
            );
        }
        std::thread::sleep(LOOK_EVERY);
    };
    let took = since.elapsed();
    assert!(
        cluster_ids.iter().all(|id| *id == cluster_ids[0]),
        "two clusters: {cluster_ids:?}\n{}",
        logs(directory.path())
    );
    drop(nodes);
    took
}

fn logs(directory: &Path) -> String {
    let log = |port: &u16| {
        let text = std::fs::read_to_string(directory.join(format!("{port}.log")));
        format!("{port}:\n{}\n", text.unwrap_or_default())
    };
    PORTS.iter().map(log).collect()
}

fn rounds(settings: &[(&str, &str)]) {
    if let Some(why) = why_not() {
        return println!("skipped: {why}");
    }
    let rounds = std::env::var("START_ROUNDS").ok();
    let rounds = rounds.map_or(ROUNDS, |rounds| {
        rounds
            .parse()
            .expect("START_ROUNDS is a number, at least 1")
    });
    let mut took: Vec<_> = (0..rounds).map(|_| round(settings)).collect();
    took.sort_unstable();
    println!(
        "{rounds} rounds, each one cluster of three: {:?} to {:?}, median {:?}",
        took[0],
        took[rounds - 1],
        took[rounds / 2]
    );
}

#[test]
fn three_nodes_with_nothing_but_different_ports_are_always_one_cluster() {
    rounds(&[]);
}

#[test]
fn three_nodes_of_a_static_list_are_always_one_cluster() {
    rounds(&[("BRAFT_DISCOVERY", ":15000,:16000,:17000")]);
}
