//! The command line.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};

use crate::bench::BenchArgs;

const EXAMPLES: &str = "\
Examples:
  kv                                    three nodes on this machine, data below ./braft-data
  kv cluster --nodes 5                  five of them
  kv --data-dir /tmp/kv --base-port 25000
  kv bench --clients 1,64,256           load on a cluster of its own
  BRAFT_RPORT=15000 kv node             one node of three, here or on hosts of one network;
                                        likewise with 16000 and 17000: mDNS finds the others
  BRAFT_RPORT=15000 BRAFT_DISCOVERY=:15000,:16000,:17000 kv node
                                        the same from a list

  curl -X POST 'http://127.0.0.1:15002/kv?map=test&key=a&value=b'
  curl 'http://127.0.0.1:16002/kv?map=test&key=a'
  curl 'http://127.0.0.1:15002/raft'";

/// A replicated map of maps over HTTP.
///
/// Without a subcommand it starts a cluster of three nodes on this machine, as `cluster` does.
#[derive(Debug, Parser)]
#[command(name = "kv", version, after_help = EXAMPLES, args_conflicts_with_subcommands = true)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: Option<Command>,
    #[command(flatten)]
    pub(crate) cluster: ClusterArgs,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Start several nodes on this machine, each a process of its own
    Cluster(ClusterArgs),
    /// Run one node, configured by the environment (BRAFT_DISCOVERY, BRAFT_RPORT, BRAFT_HPORT, …)
    Node(NodeArgs),
    /// Put load on a cluster and print what it does
    Bench(BenchArgs),
}

#[derive(Clone, Debug, Args)]
pub(crate) struct ClusterArgs {
    /// How many nodes, 1 to 9
    #[arg(long, default_value_t = 3, value_name = "N")]
    #[arg(value_parser = clap::value_parser!(u16).range(1..=9))]
    pub(crate) nodes: u16,
    /// Where the nodes keep their data and logs
    #[arg(long, default_value = "./braft-data", value_name = "DIR")]
    pub(crate) data_dir: PathBuf,
    /// Raft port of the first node; each further one is 1000 above, HTTP is raft port + 2
    #[arg(long, default_value_t = 15000, value_name = "PORT")]
    #[arg(value_parser = clap::value_parser!(u16).range(1024..=57000))]
    pub(crate) base_port: u16,
}

#[derive(Clone, Debug, Args)]
pub(crate) struct NodeArgs {
    /// Where the node keeps its data [default: ./braft-data/node-PORT, with the raft port]
    #[arg(long, env = "BRAFT_DATA_DIR", value_name = "DIR")]
    pub(crate) data_dir: Option<PathBuf>,
    /// Also stop when standard input ends: a node does not outlive the cluster command
    #[arg(long, hide = true)]
    pub(crate) until_stdin_ends: bool,
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    #[test]
    fn the_command_line_is_sound() {
        Cli::command().debug_assert();
    }

    #[test]
    fn options_of_the_cluster_need_no_subcommand() {
        let cli = Cli::try_parse_from(["kv", "--nodes", "5"]).expect("well-formed");
        assert!(cli.command.is_none());
        assert_eq!(cli.cluster.nodes, 5);
    }

    #[test]
    fn what_cannot_work_is_refused() {
        for slip in [
            "--nodes=0",
            "--nodes=10",
            "--base-port=80",
            "--base-port=57001",
        ] {
            assert!(Cli::try_parse_from(["kv", slip]).is_err(), "{slip}");
        }
    }
}
