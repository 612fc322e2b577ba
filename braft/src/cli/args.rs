//! The commands and their options.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Parser, Subcommand};
use clap_complete::Shell;

use super::failure::Failure;
use crate::access::{JoinToken, Secret, ShownToken};
use crate::tls::Secure;

/// Where a node listens unless it is told otherwise.
const DEFAULT_ADDRESS: &str = "127.0.0.1:15000";

const EXIT_CODES: &str = "\
Exit codes:
  0  done
  1  refused, or not possible: the message says why, and what to do
  2  the command line is wrong
  3  no node answered, or not in time: nothing is known to have happened; try again
  4  data is damaged, or a disk failed
  5  the service answered with an error of its own
  6  a call was sent, and what became of it is not known, or its answer is lost";

/// Operates clusters of braft, and the data of their nodes.
#[derive(Debug, Parser)]
#[command(name = "braft", version, after_help = EXIT_CODES, max_term_width = 100)]
#[command(disable_help_subcommand = true)]
pub(super) struct Args {
    /// A node of the cluster, "host:port"; several are tried in turn
    #[arg(
        long,
        global = true,
        env = "BRAFT_ADDRESS",
        hide_env_values = true,
        value_delimiter = ',',
        default_value = DEFAULT_ADDRESS,
        value_name = "ADDRESS"
    )]
    pub(super) address: Vec<String>,

    /// Print JSON, for programs
    #[arg(long, global = true)]
    pub(super) json: bool,

    /// The longest to wait for the cluster, in seconds; of a backup, for its first byte
    #[arg(long, global = true, default_value = "10", value_name = "SECONDS", value_parser = seconds)]
    pub(super) timeout: Duration,

    #[command(flatten)]
    pub(super) tls: TlsArgs,

    #[command(flatten)]
    pub(super) tokens: TokenArgs,

    #[command(subcommand)]
    pub(super) command: Command,
}

/// The certificates, where nodes speak TLS.
#[cfg(feature = "tls")]
#[derive(Debug, clap::Args)]
pub(super) struct TlsArgs {
    /// This program's certificate, where nodes speak TLS: a PEM file
    #[arg(
        long,
        global = true,
        env = "BRAFT_TLS_CERT",
        hide_env_values = true,
        value_name = "FILE"
    )]
    tls_cert: Option<PathBuf>,

    /// Its key
    #[arg(
        long,
        global = true,
        env = "BRAFT_TLS_KEY",
        hide_env_values = true,
        value_name = "FILE"
    )]
    tls_key: Option<PathBuf>,

    /// The authority of the nodes' certificates
    #[arg(
        long,
        global = true,
        env = "BRAFT_TLS_CA",
        hide_env_values = true,
        value_name = "FILE"
    )]
    tls_ca: Option<PathBuf>,

    /// The name in the nodes' certificates, if it is not their address
    #[arg(
        long,
        global = true,
        env = "BRAFT_TLS_NAME",
        hide_env_values = true,
        value_name = "NAME"
    )]
    tls_name: Option<String>,
}

#[cfg(not(feature = "tls"))]
#[derive(Debug, clap::Args)]
pub(super) struct TlsArgs {}

impl TlsArgs {
    /// The certificates, read; `None` for plain text.
    #[cfg(feature = "tls")]
    pub(super) fn load(&self) -> Result<Option<Secure>, Failure> {
        let (certificate, key, authority) = match (&self.tls_cert, &self.tls_key, &self.tls_ca) {
            (None, None, None) => return Ok(None),
            (Some(certificate), Some(key), Some(authority)) => (certificate, key, authority),
            _ => {
                let text = "--tls-cert, --tls-key and --tls-ca belong together; give all three";
                return Err(Failure::Refused(text.to_owned()));
            }
        };
        let mut tls = crate::Tls::new(certificate, key, authority);
        tls.server_name.clone_from(&self.tls_name);
        Secure::load(tls).map(Some).map_err(Failure::Refused)
    }

    /// Built without it: plain text.
    #[cfg(not(feature = "tls"))]
    pub(super) fn load(&self) -> Result<Option<Secure>, Failure> {
        Ok(None)
    }
}

/// The tokens, where nodes ask for them. None is an argument: others can see those.
#[derive(Debug, clap::Args)]
pub(super) struct TokenArgs {
    /// A file with the token to show to nodes; BRAFT_TOKEN holds the token itself
    #[arg(
        long,
        global = true,
        env = "BRAFT_TOKEN_FILE",
        hide_env_values = true,
        value_name = "FILE"
    )]
    token_file: Option<PathBuf>,

    /// The file with the members' join token, which operators may use too; BRAFT_JOIN_TOKEN holds the
    /// token itself
    #[arg(
        long,
        global = true,
        env = "BRAFT_JOIN_TOKEN_FILE",
        hide_env_values = true,
        value_name = "FILE"
    )]
    join_token_file: Option<PathBuf>,
}

impl TokenArgs {
    /// The token of the caller, if it has one.
    pub(super) fn token(&self) -> Result<Option<ShownToken>, Failure> {
        let token = match (&self.token_file, variable("BRAFT_TOKEN")) {
            (Some(path), _) => ShownToken::File(path.clone()),
            (None, Some(text)) => {
                let secret = Secret::new(text.trim());
                ShownToken::Fixed(
                    secret.map_err(|why| Failure::Refused(format!("BRAFT_TOKEN: {why}")))?,
                )
            }
            (None, None) => return Ok(None),
        };
        // Before anybody is asked: it can be read.
        token.read().map_err(Failure::Refused)?;
        Ok(Some(token))
    }

    /// The join token, if it is given.
    pub(super) fn join(&self) -> Result<Option<JoinToken>, Failure> {
        let join = match (&self.join_token_file, variable("BRAFT_JOIN_TOKEN")) {
            (Some(path), _) => JoinToken::of_file(path),
            (None, Some(text)) => {
                JoinToken::of_text(&text).map_err(|why| format!("BRAFT_JOIN_TOKEN: {why}"))
            }
            (None, None) => return Ok(None),
        };
        join.map(Some).map_err(Failure::Refused)
    }
}

fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Show all nodes as they see themselves
    Status {
        /// Show only the node that is asked
        #[arg(long)]
        only: bool,
    },
    /// Show the members as the leader sees them
    Members,
    /// Take in a node that runs and is in no cluster yet
    Add {
        /// Where it is reached, "host:port"
        #[arg(value_name = "ADDRESS")]
        node: String,
    },
    /// Remove a member for good; it can come back with an empty data directory only
    Remove {
        /// Its id, name or address, as `braft members` shows them
        #[arg(value_name = "NODE")]
        node: String,
    },
    /// Have another voter lead
    TransferLeader {
        /// Its id, name or address; whichever is furthest unless given
        #[arg(value_name = "NODE")]
        node: Option<String>,
    },
    /// Have the node that is asked write a snapshot of its state
    Snapshot,
    /// Show or change the settings that all members obey
    Settings {
        /// New values; the other settings stay
        #[arg(value_name = "NAME=VALUE")]
        changes: Vec<String>,
    },
    /// Let a command be carried out again that was refused because it had panicked too often
    ClearPanics {
        /// The command
        #[arg(value_name = "SERVICE.COMMAND")]
        method: String,
    },
    /// Look at the log of a node that is stopped; nothing is written
    Log {
        #[command(subcommand)]
        command: LogCommand,
    },
    /// Write the state of a cluster to a file, while it runs
    Backup {
        /// The file; it must not exist yet
        #[arg(value_name = "FILE")]
        file: PathBuf,
        /// Check a backup instead, every byte of it
        #[arg(long)]
        verify: bool,
    },
    /// Make a data directory from a backup: that of the first node of a new cluster
    Restore {
        /// The backup
        #[arg(long, value_name = "FILE")]
        file: PathBuf,
        /// The directory; it must be empty
        #[arg(
            long,
            value_name = "DIR",
            env = "BRAFT_DATA_DIR",
            hide_env_values = true
        )]
        data_dir: PathBuf,
    },
    /// Make a new cluster of one node's data, when too many of the others are lost for good
    Recover {
        /// Its data directory
        #[arg(
            long,
            value_name = "DIR",
            env = "BRAFT_DATA_DIR",
            hide_env_values = true
        )]
        data_dir: PathBuf,
        /// Do not ask: what may be lost is accepted
        #[arg(long)]
        yes: bool,
    },
    /// Show the operations and types of the services of the node that is asked
    Schema {
        /// Only this one
        #[arg(value_name = "SERVICE")]
        service: Option<String>,
    },
    /// Call a method of a service, and print its answer as JSON
    Call(CallArgs),
    /// Print the events of a service, one line of JSON for each, until Ctrl-C
    Events(EventsArgs),
    /// Make authorities and certificates, for a cluster that has no others
    #[cfg(feature = "certs")]
    Certs(super::certs::CertsArgs),
    /// Print a script that completes this program's command line in a shell
    Completions {
        /// The shell
        #[arg(value_name = "SHELL")]
        shell: Shell,
    },
}

#[derive(Debug, clap::Args)]
pub(super) struct CallArgs {
    /// The service
    #[arg(value_name = "SERVICE")]
    pub(super) service: String,
    /// Its command or query
    #[arg(value_name = "METHOD")]
    pub(super) method: String,
    /// The arguments by name, a JSON object
    #[arg(value_name = "ARGUMENTS", default_value = "{}")]
    pub(super) arguments: String,
    /// How fresh the answer of a query must be: linearizable, lease, follower, session or local
    #[arg(long, value_name = "LEVEL")]
    pub(super) read: Option<String>,
    /// A file that keeps how far you have seen the state, from call to call: a session read sees as much
    #[arg(long, value_name = "FILE")]
    pub(super) position: Option<PathBuf>,
    /// Carry a command out once under this key, however often it is sent
    #[arg(long, value_name = "KEY")]
    pub(super) key: Option<String>,
    /// Where nodes serve HTTP, "host:port", unless the node that is asked says so
    #[arg(
        long,
        value_name = "ADDRESS",
        value_delimiter = ',',
        env = "BRAFT_HTTP_ADDRESS"
    )]
    #[arg(hide_env_values = true)]
    pub(super) http: Vec<String>,
}

#[derive(Debug, clap::Args)]
pub(super) struct EventsArgs {
    /// The service
    #[arg(value_name = "SERVICE")]
    pub(super) service: String,
    /// Begin behind this position; "latest" for what comes from now on. Without it, the oldest kept
    #[arg(long, value_name = "POSITION")]
    pub(super) after: Option<String>,
    /// End after so many
    #[arg(long, value_name = "EVENTS")]
    pub(super) count: Option<u64>,
    /// Where nodes serve HTTP, "host:port", unless the node that is asked says so
    #[arg(
        long,
        value_name = "ADDRESS",
        value_delimiter = ',',
        env = "BRAFT_HTTP_ADDRESS"
    )]
    #[arg(hide_env_values = true)]
    pub(super) http: Vec<String>,
}

#[derive(Debug, Subcommand)]
pub(super) enum LogCommand {
    /// Read all of log and snapshot, and check every byte
    Verify {
        /// The data directory
        #[arg(
            long,
            value_name = "DIR",
            env = "BRAFT_DATA_DIR",
            hide_env_values = true
        )]
        data_dir: PathBuf,
    },
    /// Print the log entries, without what the commands say
    Dump {
        /// The data directory
        #[arg(
            long,
            value_name = "DIR",
            env = "BRAFT_DATA_DIR",
            hide_env_values = true
        )]
        data_dir: PathBuf,
        /// The first log index
        #[arg(long, value_name = "INDEX", default_value = "0")]
        from: u64,
        /// The last log index
        #[arg(long, value_name = "INDEX")]
        to: Option<u64>,
        /// What the commands say too, in hexadecimal digits: that may be secret
        #[arg(long)]
        payloads: bool,
    },
}

fn seconds(text: &str) -> Result<Duration, String> {
    let seconds: f64 = text.parse().map_err(|_| "not a number".to_owned())?;
    let duration = Duration::try_from_secs_f64(seconds).map_err(|error| error.to_string())?;
    if duration.is_zero() {
        return Err("it must be more than 0".to_owned());
    }
    Ok(duration)
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_commands_do_not_contradict_each_other() {
        Args::command().debug_assert();
    }

    #[test]
    fn a_timeout_is_a_positive_number_of_seconds() {
        assert_eq!(seconds("0.5"), Ok(Duration::from_millis(500)));
        for wrong in ["", "0", "-1", "x", "inf"] {
            seconds(wrong).expect_err(wrong);
        }
    }
}
