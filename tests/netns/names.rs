//! Lists of names whose addresses change.

use std::net::IpAddr;
use std::path::Path;
use std::process::Command;

use braft::testing::TestResult;
use tests::netns::Family;

use crate::cluster::{Cluster, on_lan};

const NAMES: [&str; 3] = ["alpha", "beta", "gamma"];

/// The nodes' own `/etc/hosts`.
fn write_names(path: &Path, ips: &[IpAddr]) -> TestResult {
    let line = |(name, ip): (&&str, &IpAddr)| format!("{ip} {name}\n");
    let lines: String = NAMES.iter().zip(ips).map(line).collect();
    std::fs::write(path, format!("127.0.0.1 localhost\n{lines}"))?;
    Ok(())
}

/// Starts the node with that file in place of the system's, which only this process sees.
fn command(cluster: &Cluster, node: usize, names: &Path) -> Command {
    let mut command = cluster.host(node).command("unshare");
    command.args([
        "--mount",
        "sh",
        "-c",
        r#"mount --bind "$0" /etc/hosts && exec "$1""#,
    ]);
    command.arg(names).arg(env!("CARGO_BIN_EXE_node"));
    command
}

#[test]
fn a_name_of_a_static_list_is_resolved_again_when_its_node_cannot_be_reached() {
    on_lan(3, Family::V4, |cluster| {
        let names = cluster.data_dir(0).with_file_name("names");
        let ips = |cluster: &Cluster| -> Vec<_> {
            cluster.lan.hosts().iter().map(|host| host.ip()).collect()
        };
        write_names(&names, &ips(cluster))?;
        let mut nodes = Vec::new();
        for host in 0..3 {
            let node = cluster.prepare(host, &[("BRAFT_DISCOVERY", &NAMES.join(","))])?;
            let command = command(cluster, node, &names);
            cluster.spawn(node, command)?;
            nodes.push(node);
        }
        let id = cluster.one_cluster(&nodes)?;
        // A follower moves, then the leader: each is dialed by the others.
        for turn in 0..2 {
            let leader = cluster.leader_among(&nodes)?;
            let moved = match turn {
                0 => (leader + 1) % 3,
                _ => leader,
            };
            cluster.kill(moved)?;
            cluster.lan.move_host(moved)?;
            write_names(&names, &ips(cluster))?;
            let rest: Vec<_> = nodes
                .iter()
                .copied()
                .filter(|node| *node != moved)
                .collect();
            cluster.record(cluster.leader_among(&rest)?, turn)?;
            let command = command(cluster, moved, &names);
            cluster.spawn(moved, command)?;
            cluster.has_all(moved, &[turn])?;
        }
        assert_eq!(cluster.one_cluster(&nodes)?, id);
        Ok(())
    });
}
