//! hiqlite: a program that is built apart, since its dependencies take minutes; it is node and
//! client in one.

use std::path::{Path, PathBuf};

use load::{Figures, LoadArgs};
use tokio::process::Command;

use super::NODES;
use super::{Found, System};
use load::Place;

const RAFT_PORT: u16 = 8100;
const API_PORT: u16 = 8200;
/// The package of the program.
const PACKAGE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../hiqlite");

fn program() -> PathBuf {
    Path::new(PACKAGE).join("target/release/hiqlite-store")
}

pub(super) async fn find() -> Result<Found, String> {
    let missing = || {
        let manifest = Path::new("benches/hiqlite/Cargo.toml");
        format!(
            "hiqlite is not built: cargo build --release --manifest-path {}",
            manifest.display()
        )
    };
    let asked = Command::new(program()).arg("version").output().await;
    let asked = asked.ok().filter(|output| output.status.success());
    let asked = asked.ok_or_else(missing)?;
    Ok(Found {
        version: String::from_utf8_lossy(&asked.stdout).trim().to_owned(),
        differs: "its cache with the log on disk and synced at once; a write that is sent again \
                  may be carried out again; a map in memory; no linearizable reads: the leader \
                  answers without asking the others; its own remote client",
    })
}

/// The nodes as the program wants them: raft and client address of each.
fn nodes(place: &Place) -> String {
    let each = (0..NODES).map(|node| {
        let (raft, api) = (
            place.address(node, RAFT_PORT),
            place.address(node, API_PORT),
        );
        format!("{raft}/{api}")
    });
    each.collect::<Vec<_>>().join(",")
}

fn node(place: &Place, node: usize) -> std::io::Result<Command> {
    let mut command = Command::new(program());
    command
        .arg("node")
        .args(["--nodes", &nodes(place)])
        .args(["--id", &(node + 1).to_string()])
        .arg("--data-dir")
        .arg(place.data_dir(node)?);
    Ok(command)
}

pub(super) async fn measure(args: &LoadArgs, below: &Path) -> Result<Vec<Figures>, String> {
    let place = Place::new(below, NODES).map_err(|error| error.to_string())?;
    let started = place.start(node);
    let cluster = started.map_err(|error| format!("hiqlite: {error}"))?;
    let args = LoadArgs {
        json: true,
        ..args.clone()
    };
    let pids: Vec<_> = cluster.pids().iter().map(ToString::to_string).collect();
    let output = Command::new(program())
        .arg("load")
        .args(["--nodes", &nodes(cluster.place())])
        .args(["--pids", &pids.join(",")])
        .args(args.to_words())
        .stderr(std::process::Stdio::inherit())
        .kill_on_drop(true)
        .output()
        .await
        .map_err(|error| format!("{}: {error}", System::Hiqlite))?;
    cluster.end().await;
    serde_json::from_slice(&output.stdout)
        .map_err(|error| format!("{}: its figures cannot be read: {error}", System::Hiqlite))
}
