//! PySyncObj: a small Python program around it, called over lines of text.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use load::{Read, Target};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader, Lines};
use tokio::net::TcpStream;
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::process::Command;
use tokio::sync::{mpsc, oneshot};

use super::NODES;
use super::{Found, Store, System};
use load::Place;

/// Of the first node; the others follow.
const PEER_PORT: u16 = 4321;
const CLIENT_PORT: u16 = 4331;
const NODE: &str = include_str!("pysyncobj_node.py");
/// Asks for the version of what is installed.
const VERSION: &str = "from importlib.metadata import version; print(version('pysyncobj'))";
/// Requests that wait to be written.
const QUEUE: usize = 4096;

/// The Python to use.
fn python() -> String {
    std::env::var("COMPARE_PYTHON").unwrap_or_else(|_| "python3".to_owned())
}

pub(super) async fn find() -> Result<Found, String> {
    let asked = Command::new(python()).args(["-c", VERSION]).output().await;
    let version = asked
        .ok()
        .filter(|output| output.status.success())
        .map(|output| String::from_utf8_lossy(&output.stdout).trim().to_owned());
    let missing = "PySyncObj is not installed: pip install pysyncobj, or name a Python that has it \
                   in COMPARE_PYTHON";
    Ok(Found {
        version: version.ok_or(missing)?,
        differs: "its journal is never synced: a write may be lost in a power cut; a write that is \
                  sent again may be carried out again; a dictionary in memory; no linearizable \
                  reads; clients call the leader; default settings, but that writes are sent at \
                  once (appendEntriesUseBatch off), where they would wait for 100 ms",
    })
}

/// One connection; answers find their requests by number.
#[derive(Clone)]
pub(super) struct Connection(Arc<Shared>);

struct Shared {
    numbers: AtomicU64,
    lines: mpsc::Sender<String>,
    waiting: Mutex<HashMap<u64, oneshot::Sender<String>>>,
}

impl Connection {
    async fn open(address: &str) -> Result<Self, String> {
        let stream = TcpStream::connect(address).await;
        let stream = stream.map_err(|error| error.to_string())?;
        stream
            .set_nodelay(true)
            .map_err(|error| error.to_string())?;
        let (read, write) = stream.into_split();
        let (lines, queued) = mpsc::channel(QUEUE);
        let shared = Arc::new(Shared {
            numbers: AtomicU64::new(0),
            lines,
            waiting: Mutex::default(),
        });
        tokio::spawn(write_lines(write, queued));
        let connection = Connection(shared.clone());
        tokio::spawn(read_lines(
            BufReader::new(read).lines(),
            Arc::downgrade(&shared),
        ));
        Ok(connection)
    }

    fn waiting(&self) -> MutexGuard<'_, HashMap<u64, oneshot::Sender<String>>> {
        self.0
            .waiting
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    async fn ask(&self, request: &str) -> Result<String, String> {
        let lost = |_| "the connection was lost".to_owned();
        let number = self.0.numbers.fetch_add(1, Ordering::Relaxed);
        let (answer, answered) = oneshot::channel();
        self.waiting().insert(number, answer);
        let line = format!("{number} {request}\n");
        self.0
            .lines
            .send(line)
            .await
            .map_err(|error| lost(error.to_string()))?;
        answered.await.map_err(|error| lost(error.to_string()))
    }
}

/// Writes what is queued, all that there is at once.
async fn write_lines(mut write: OwnedWriteHalf, mut queued: mpsc::Receiver<String>) {
    let mut batch = Vec::new();
    while queued.recv_many(&mut batch, QUEUE).await > 0 {
        let written = write.write_all(batch.concat().as_bytes()).await;
        if written.is_err() {
            return;
        }
        batch.clear();
    }
}

async fn read_lines(mut lines: Lines<BufReader<OwnedReadHalf>>, shared: std::sync::Weak<Shared>) {
    while let Ok(Some(line)) = lines.next_line().await {
        let Some(shared) = shared.upgrade() else {
            return;
        };
        let connection = Connection(shared);
        let answer = line.split_once(' ').and_then(|(number, text)| {
            let asked = connection.waiting().remove(&number.parse().ok()?)?;
            Some((asked, text.to_owned()))
        });
        if let Some((asked, text)) = answer {
            drop(asked.send(text));
        }
    }
    if let Some(shared) = shared.upgrade() {
        // Nobody answers any more.
        Connection(shared).waiting().clear();
    }
}

impl Target for Connection {
    async fn put(&self, key: &str, value: &str) -> Result<(), String> {
        match self.ask(&format!("put {key} {value}")).await?.as_str() {
            "ok" => Ok(()),
            other => Err(other.to_owned()),
        }
    }

    async fn get(&self, _: &str, _: Read) -> Result<Option<usize>, String> {
        Err("PySyncObj has no linearizable reads".to_owned())
    }
}

/// "ip:port" of a node. All have one address: nodes of several do not find each other.
fn address(place: &Place, first_port: u16, node: usize) -> String {
    format!("{}:{}", place.ip(0), usize::from(first_port) + node)
}

pub(super) struct PySyncObj;

impl Store for PySyncObj {
    type Connection = Connection;
    const SYSTEM: System = System::PySyncObj;

    fn node(place: &Place, node: usize) -> std::io::Result<Command> {
        let directory = place.data_dir(node)?;
        let program = directory.join("node.py");
        std::fs::write(&program, NODE)?;
        let others = (0..NODES).filter(|other| *other != node);
        let others: Vec<_> = others.map(|node| address(place, PEER_PORT, node)).collect();
        let mut command = Command::new(python());
        command
            .arg(program)
            .arg(address(place, PEER_PORT, node))
            .arg(others.join(","))
            .arg(address(place, CLIENT_PORT, node))
            .arg(directory.join("journal"));
        Ok(command)
    }

    /// It says no more than whether it leads.
    async fn serves(place: &Place, node: usize) -> bool {
        leads(place, node).await.is_some()
    }

    async fn leader(place: &Place) -> Option<usize> {
        for node in 0..NODES {
            if leads(place, node).await == Some(true) {
                return Some(node);
            }
        }
        None
    }

    async fn connect(place: &Place, node: usize) -> Result<Connection, String> {
        Connection::open(&address(place, CLIENT_PORT, node)).await
    }
}

/// Whether a node leads, if it answers.
async fn leads(place: &Place, node: usize) -> Option<bool> {
    let connection = Connection::open(&address(place, CLIENT_PORT, node))
        .await
        .ok()?;
    Some(connection.ask("leads").await.ok()? == "yes")
}
