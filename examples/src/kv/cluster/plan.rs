//! Which nodes to start: their ports and places, and what stands in their way.

use std::fs;
use std::io;
use std::net::{Ipv4Addr, TcpListener};
use std::path::{Path, PathBuf};

use crate::args::ClusterArgs;

/// How far apart the ports of two nodes are.
const PORT_STEP: u16 = 1000;
/// HTTP port minus raft port, as `BRAFT_HPORT` has it by default.
const HTTP_OFFSET: u16 = 2;

/// One node to start.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Member {
    pub(super) raft_port: u16,
    pub(super) http_port: u16,
    pub(super) data_dir: PathBuf,
    pub(super) log: PathBuf,
}

impl Member {
    /// "node-15000": the name of its directory and in messages.
    pub(super) fn name(&self) -> String {
        format!("node-{}", self.raft_port)
    }
}

/// Why a cluster cannot be started here.
#[derive(Debug, thiserror::Error)]
pub(super) enum CannotStart {
    #[error(
        "{use_} port {port} of {node} is taken: stop the program that listens there, or choose \
         other ports with --base-port"
    )]
    PortTaken {
        use_: &'static str,
        port: u16,
        node: String,
    },
    #[error("{use_} port {port} of {node} cannot be opened: choose others with --base-port")]
    Port {
        use_: &'static str,
        port: u16,
        node: String,
        source: io::Error,
    },
    #[error(
        "{dir} holds the data of {found}, which these options do not start: use the --nodes and \
         --base-port of the last start, or another --data-dir"
    )]
    OtherNodes { dir: String, found: String },
    #[error("{dir} cannot be used: choose another place with --data-dir")]
    DataDir { dir: String, source: io::Error },
}

/// The nodes that the options ask for.
pub(super) fn members(args: &ClusterArgs) -> Vec<Member> {
    let member = |index| {
        let raft_port = args.base_port + index * PORT_STEP;
        let dir = |name: String| args.data_dir.join(name);
        Member {
            raft_port,
            http_port: raft_port + HTTP_OFFSET,
            data_dir: dir(format!("node-{raft_port}")),
            log: dir(format!("node-{raft_port}.log")),
        }
    };
    (0..args.nodes).map(member).collect()
}

/// What every node is told: where all of them are.
pub(super) fn discovery(members: &[Member]) -> String {
    let address = |member: &Member| format!("{}:{}", Ipv4Addr::LOCALHOST, member.raft_port);
    let all: Vec<_> = members.iter().map(address).collect();
    format!("static:{}", all.join(","))
}

/// Finds a taken port before a node does: the message can then name the option to change.
pub(super) fn check_ports(members: &[Member]) -> Result<(), CannotStart> {
    for member in members {
        for (use_, port) in [("raft", member.raft_port), ("HTTP", member.http_port)] {
            let node = member.name();
            match TcpListener::bind((Ipv4Addr::LOCALHOST, port)) {
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::AddrInUse => {
                    return Err(CannotStart::PortTaken { use_, port, node });
                }
                Err(source) => {
                    return Err(CannotStart::Port {
                        use_,
                        port,
                        node,
                        source,
                    });
                }
            }
        }
    }
    Ok(())
}

/// Makes the directory, and says whether nodes have left data in it.
///
/// Data of nodes that would not be started is refused: a cluster of which a part is missing may
/// never find its majority, and nobody would see why.
pub(super) fn prepare(dir: &Path, members: &[Member]) -> Result<bool, CannotStart> {
    let unusable = |source| CannotStart::DataDir {
        dir: dir.display().to_string(),
        source,
    };
    fs::create_dir_all(dir).map_err(unusable)?;
    let mut found = false;
    let mut others = Vec::new();
    for entry in fs::read_dir(dir).map_err(unusable)? {
        let path = entry.map_err(unusable)?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        if members.iter().any(|member| member.data_dir == path) {
            found = true;
        } else if name.starts_with("node-") && path.is_dir() {
            others.push(name.into_owned());
        }
    }
    if others.is_empty() {
        return Ok(found);
    }
    others.sort();
    Err(CannotStart::OtherNodes {
        dir: dir.display().to_string(),
        found: others.join(", "),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn args(nodes: u16, data_dir: &Path) -> ClusterArgs {
        ClusterArgs {
            nodes,
            data_dir: data_dir.to_owned(),
            base_port: 15000,
        }
    }

    #[test]
    fn three_nodes_have_the_documented_ports() {
        let members = members(&args(3, Path::new("data")));
        let ports: Vec<_> = members.iter().map(|m| (m.raft_port, m.http_port)).collect();
        assert_eq!(ports, [(15000, 15002), (16000, 16002), (17000, 17002)]);
        assert_eq!(members[0].data_dir, Path::new("data/node-15000"));
        let list = "static:127.0.0.1:15000,127.0.0.1:16000,127.0.0.1:17000";
        assert_eq!(discovery(&members), list);
    }

    #[test]
    fn the_highest_ports_exist() {
        let mut most = args(9, Path::new("data"));
        most.base_port = 57000;
        let ports = members(&most);
        assert_eq!(ports.last().map(|member| member.http_port), Some(65002));
    }

    #[test]
    fn a_taken_port_is_named_with_the_option_to_change() {
        let taken = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
        let port = taken.local_addr().expect("it is bound").port();
        let mut members = members(&args(1, Path::new("data")));
        members[0].raft_port = port;
        let message = check_ports(&members).map_err(|error| error.to_string());
        let message = message.expect_err("the port is taken");
        assert!(message.contains(&format!("raft port {port}")), "{message}");
        assert!(message.contains("--base-port"), "{message}");
    }

    #[test]
    fn data_of_an_earlier_start_is_found() -> io::Result<()> {
        let dir = tempfile::tempdir()?;
        let three = members(&args(3, dir.path()));
        let prepared = |members: &[Member]| prepare(dir.path(), members).map_err(|e| e.to_string());
        assert_eq!(prepared(&three), Ok(false));
        fs::create_dir(&three[2].data_dir)?;
        fs::write(&three[2].log, "")?;
        assert_eq!(prepared(&three), Ok(true));
        let refused = prepared(&members(&args(2, dir.path())));
        assert!(
            refused
                .as_ref()
                .is_err_and(|text| text.contains("node-17000")),
            "{refused:?}"
        );
        Ok(())
    }
}
