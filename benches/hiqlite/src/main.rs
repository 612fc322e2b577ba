//! hiqlite under the load of the comparison: its replicated cache, with the log on disk and synced
//! before a write is acknowledged.

mod target;

use std::path::PathBuf;
use std::process::ExitCode;
use std::str::FromStr;

use clap::{Args, Parser, Subcommand};
use hiqlite::{LogSync, Node, NodeConfig, start_node_with_cache};
use load::{LoadArgs, NodeSample, ProcessFigures};

use crate::target::{Cache, Connection};

/// The version that `Cargo.toml` pins.
const VERSION: &str = "0.15.3";
/// The nodes and clients of one run know it; nobody else calls them.
const SECRET: &str = "only-for-the-comparison";
/// Log entries after which a snapshot is written, as hiqlite has it by default.
const SNAPSHOT_EVERY: u64 = 10_000;

#[derive(Debug, Parser)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Print the version of hiqlite
    Version,
    /// Run one node until it is killed
    Node(NodeArgs),
    /// Put load on running nodes
    Load(RunArgs),
}

#[derive(Debug, Args)]
struct NodeArgs {
    #[command(flatten)]
    nodes: Nodes,
    /// Which of the nodes this is, from 1
    #[arg(long)]
    id: u64,
    #[arg(long)]
    data_dir: PathBuf,
}

#[derive(Debug, Args)]
struct RunArgs {
    #[command(flatten)]
    nodes: Nodes,
    /// The processes of the nodes
    #[arg(long, value_delimiter = ',')]
    pids: Vec<u32>,
    #[command(flatten)]
    load: LoadArgs,
}

#[derive(Debug, Args)]
struct Nodes {
    /// Address for the other nodes, and for clients, of each node
    #[arg(
        long,
        value_delimiter = ',',
        value_name = "RAFT/API,…",
        required = true
    )]
    nodes: Vec<Addresses>,
}

#[derive(Clone, Debug)]
struct Addresses {
    raft: String,
    api: String,
}

impl FromStr for Addresses {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (raft, api) = text.split_once('/').ok_or("not RAFT/API")?;
        Ok(Addresses {
            raft: raft.to_owned(),
            api: api.to_owned(),
        })
    }
}

#[tokio::main]
async fn main() -> ExitCode {
    let ended = match Cli::parse().command {
        Command::Version => {
            println!("{VERSION}");
            Ok(())
        }
        Command::Node(args) => run_node(args).await,
        Command::Load(args) => run_load(args).await,
    };
    match ended {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

async fn run_node(args: NodeArgs) -> Result<(), String> {
    let all = args.nodes.nodes;
    let nodes = (1..).zip(&all).map(|(id, addresses)| Node {
        id,
        addr_raft: addresses.raft.clone(),
        addr_api: addresses.api.clone(),
    });
    let place = usize::try_from(args.id)
        .ok()
        .and_then(|id| id.checked_sub(1));
    let own = place.and_then(|place| all.get(place));
    let own = own.ok_or("there is no node of this id")?;
    let host = |address: &str| address.split(':').next().unwrap_or_default().to_owned();
    let config = NodeConfig {
        node_id: args.id,
        nodes: nodes.collect(),
        listen_addr_api: host(&own.api).into(),
        listen_addr_raft: host(&own.raft).into(),
        data_dir: args.data_dir.display().to_string().into(),
        wal_sync: LogSync::Immediate,
        cache_storage_disk: true,
        raft_config: NodeConfig::default_raft_config(SNAPSHOT_EVERY),
        secret_raft: SECRET.to_owned(),
        secret_api: SECRET.to_owned(),
        ..NodeConfig::default()
    };
    let client = start_node_with_cache::<Cache>(config).await;
    let _client = client.map_err(|error| error.to_string())?;
    std::future::pending().await
}

async fn run_load(args: RunArgs) -> Result<(), String> {
    let api: Vec<_> = args.nodes.nodes.into_iter().map(|node| node.api).collect();
    let mut targets = Vec::new();
    for _ in 0..args.load.connections {
        targets.push(Connection::open(&api, SECRET).await?);
    }
    let filled = load::fill(&args.load, &targets[0]).await;
    filled.map_err(|error| error.to_string())?;
    let sample = async || args.pids.iter().map(|pid| sample(*pid)).collect();
    let figures = load::run_all(&args.load, "hiqlite", &targets, sample).await;
    match args.load.json {
        true => println!("{}", load::json(&figures)),
        false => println!("{}", load::table(&figures)),
    }
    Ok(())
}

fn sample(pid: u32) -> NodeSample {
    let process = ProcessFigures::of(pid);
    NodeSample {
        cpu: process.map(|process| process.cpu),
        rss_bytes: process.map(|process| process.rss_bytes),
        ..NodeSample::default()
    }
}
