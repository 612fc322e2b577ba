//! Services that hold more and more: commands while snapshots are written, and a node that gets one.

use std::time::{Duration, Instant};

use load::{Figures, LoadArgs, Operation, Place, ProcessFigures};
use tokio::task::JoinSet;

use super::{grow, tell, usual, without_errors};
use crate::ScaleArgs;
use crate::client::Held;
use crate::cluster::{Environment, add, addresses, snapshot, start, wait_for, wait_for_leader};
use crate::table::{known, mib, ms, print as print_table, seconds};

const NODES: usize = 3;
const CLIENTS: u32 = 8;
const VALUE_BYTES: usize = 256;
const KEY_BYTES: usize = "held-000000000000".len();

/// Snapshots are written when they are asked for, and what they hold is purged then: a new node needs
/// one.
const ENVIRONMENT: Environment = &[
    ("BRAFT_SNAPSHOT_EVERY", "1000000000"),
    ("BRAFT_SNAPSHOT_BYTES", "1000000000000"),
    ("BRAFT_KEEP_LOG_ENTRIES", "100"),
];

/// What is said of one size.
pub(super) struct Row {
    what: &'static str,
    held_bytes: u64,
    /// Commands while no snapshot is written.
    usual: Figures,
    /// While the leader writes one, again and again.
    at_leader: Figures,
    /// While all nodes do.
    at_all: Figures,
    /// How long one takes on the leader, without load.
    took: Duration,
    /// From the start of a new node until it serves.
    joined: Duration,
    /// The most memory that the new node had, and what it has in the end.
    peak_bytes: Option<u64>,
    rss_bytes: Option<u64>,
}

pub(super) async fn measure<H: Held>(args: &ScaleArgs) -> Result<Vec<Row>, String> {
    let mut rows = Vec::new();
    for held in &args.state_mib {
        let held_bytes = held << 20;
        tell(&format!("{} of {held} MiB", H::WHAT));
        let mut cluster = start(&args.below(), NODES, ENVIRONMENT).await?;
        let leader = wait_for_leader(&mut cluster).await?;
        let client = H::connect(addresses(&cluster)).await?;
        let values = held_bytes / (VALUE_BYTES + KEY_BYTES) as u64;
        grow(&client, values, VALUE_BYTES).await?;

        let load = LoadArgs {
            keys: 1000,
            ..usual(args, &[Operation::Put], CLIENTS)
        };
        let place = cluster.place().clone();
        let usual = under_load(&load, &client, &place, &[]).await?;
        let began = Instant::now();
        snapshot(&place, leader).await?;
        let took = began.elapsed();
        let at_leader = under_load(&load, &client, &place, &[leader]).await?;
        let all: Vec<_> = (0..NODES).collect();
        let at_all = under_load(&load, &client, &place, &all).await?;

        let began = Instant::now();
        let added = add(&mut cluster, ENVIRONMENT)?;
        wait_for(&mut cluster, added).await?;
        let joined = began.elapsed();
        let pid = cluster.pids().get(added).copied();
        rows.push(Row {
            what: H::WHAT,
            held_bytes,
            usual,
            at_leader,
            at_all,
            took,
            joined,
            peak_bytes: pid.and_then(ProcessFigures::peak_rss_bytes),
            rss_bytes: pid
                .and_then(ProcessFigures::of)
                .map(|process| process.rss_bytes),
        });
        cluster.end().await;
    }
    Ok(rows)
}

/// Commands while some nodes write one snapshot after the other.
async fn under_load<H: Held>(
    load: &LoadArgs,
    client: &H,
    place: &Place,
    nodes: &[usize],
) -> Result<Figures, String> {
    let mut writing = JoinSet::new();
    for number in nodes {
        let (place, number) = (place.clone(), *number);
        writing.spawn(async move {
            loop {
                snapshot(&place, number).await?;
            }
        });
    }
    let targets = [client.clone()];
    let sample = async || Vec::new();
    tokio::select! {
        Some(ended) = writing.join_next() => match ended {
            Ok(Err(error)) => Err(error),
            Ok(Ok(never)) => never,
            Err(error) => Err(error.to_string()),
        },
        figures = load::run_all(load, "braft", &targets, sample) => {
            let figures = figures.into_iter().next().ok_or("nothing was run")?;
            without_errors(&figures)?;
            Ok(figures)
        }
    }
}

pub(super) fn print(rows: &[Row]) {
    let times = |figures: &Figures, usual: &Figures| {
        let ratio = figures.p99_us as f64 / usual.p99_us as f64;
        format!("{} ({ratio:.1}x)", ms(figures.p99_us))
    };
    let lines: Vec<_> = rows
        .iter()
        .map(|row| {
            [
                row.what.to_owned(),
                mib(row.held_bytes),
                ms(row.usual.p99_us),
                times(&row.at_leader, &row.usual),
                times(&row.at_all, &row.usual),
                ms(row.usual.max_us),
                ms(row.at_leader.max_us),
                ms(row.at_all.max_us),
                seconds(row.took),
                seconds(row.joined),
                known(row.peak_bytes, mib),
                known(row.rss_bytes, mib),
            ]
        })
        .collect();
    let title = format!(
        "State: {NODES} nodes, {CLIENTS} clients that write values of {VALUE_BYTES} bytes; p99 and longest \
         command, in ms, without snapshots, while the leader writes one after the other, and while all \
         nodes do"
    );
    print_table(
        &title,
        [
            "held in",
            "MiB",
            "p99",
            "leader",
            "all",
            "longest",
            "leader",
            "all",
            "snapshot s",
            "new node s",
            "its peak MiB",
            "its RSS MiB",
        ],
        &lines,
    );
}
