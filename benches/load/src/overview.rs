//! What the nodes of a braft cluster have used and done: from `GET /raft` and from the system.

use std::io;
use std::net::IpAddr;
use std::time::Duration;

use serde::Deserialize;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::process::ProcessFigures;
use crate::run::NodeSample;

/// The longest one question may take.
const TIMEOUT: Duration = Duration::from_secs(2);
/// The longest answer that is read.
const MAX_ANSWER_BYTES: u64 = 1 << 20;

/// The nodes of a cluster, asked through one of them.
#[derive(Clone, Debug)]
pub struct Nodes {
    http: Option<String>,
}

/// What is read of the answer.
#[derive(Deserialize)]
struct Overview {
    nodes: Vec<Node>,
}

#[derive(Deserialize)]
struct Node {
    status: Status,
}

#[derive(Deserialize)]
struct Status {
    address: String,
    pid: u32,
    rss_bytes: u64,
    #[serde(default)]
    role: String,
    log: Log,
}

#[derive(Deserialize)]
struct Log {
    fsyncs: u64,
    entries: u64,
}

impl Nodes {
    /// Asks at "host:port"; without, nothing is known of the nodes.
    pub fn new(http: Option<String>) -> Self {
        Nodes { http }
    }

    /// Where the node that leads is called, if the nodes know.
    pub(crate) async fn leader(&self) -> Option<String> {
        let body = get(self.http.as_ref()?, "/raft").await.ok()?;
        let overview: Overview = serde_json::from_str(&body).ok()?;
        let mut all = overview.nodes.into_iter().map(|node| node.status);
        let leader = all.find(|status| status.role == "leader");
        leader.map(|leader| leader.address)
    }

    /// Of each node; nothing if one of them does not tell.
    pub async fn sample(&self) -> Vec<NodeSample> {
        let Some(http) = &self.http else {
            return Vec::new();
        };
        let body = get(http, "/raft").await.ok();
        body.and_then(|body| parse(&body)).unwrap_or_default()
    }
}

/// The body of the answer to `GET path` at "host:port".
///
/// # Errors
/// If there is none in time, or not one with status 200.
pub async fn get(address: &str, path: &str) -> io::Result<String> {
    let exchange = async {
        let mut stream = TcpStream::connect(address).await?;
        // HTTP/1.0: the answer comes unchunked and ends with the connection.
        let request = format!("GET {path} HTTP/1.0\r\nhost: {address}\r\n\r\n");
        stream.write_all(request.as_bytes()).await?;
        let mut answer = Vec::new();
        let mut limited = stream.take(MAX_ANSWER_BYTES);
        limited.read_to_end(&mut answer).await?;
        let answer = String::from_utf8_lossy(&answer);
        let (head, body) = answer.split_once("\r\n\r\n").unwrap_or_default();
        match head.split_ascii_whitespace().nth(1) {
            Some("200") => Ok(body.to_owned()),
            _ => Err(io::Error::other(format!("{address}{path} answered {head}"))),
        }
    };
    timeout(TIMEOUT, exchange)
        .await
        .unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))
}

fn parse(body: &str) -> Option<Vec<NodeSample>> {
    let overview: Overview = serde_json::from_str(body).ok()?;
    let statuses = overview.nodes.into_iter().map(|node| node.status);
    let samples = statuses.map(|status| {
        // A node that did not answer has no process id.
        (status.pid != 0).then(|| NodeSample {
            cpu: is_here(&status.address)
                .then(|| ProcessFigures::of(status.pid))
                .flatten()
                .map(|process| process.cpu),
            rss_bytes: Some(status.rss_bytes),
            fsyncs: Some(status.log.fsyncs),
            entries: Some(status.log.entries),
        })
    });
    samples.collect()
}

/// Whether a node's address says that it is on this machine.
fn is_here(address: &str) -> bool {
    let host = address.rsplit_once(':').map_or(address, |(host, _)| host);
    let host = host.trim_matches(['[', ']']);
    host == "localhost" || host.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_of_a_node_are_read_and_a_silent_one_leaves_none() {
        let node = |pid| {
            format!(
                r#"{{"status":{{"pid":{pid},"address":"10.0.0.1:15000","rss_bytes":5,
                "log":{{"fsyncs":7,"entries":8,"segments":1}}}}}}"#
            )
        };
        let body = format!(r#"{{"nodes":[{},{}]}}"#, node(3), node(4));
        let samples = parse(&body).expect("it is an overview");
        assert_eq!(samples.len(), 2);
        let first = samples[0];
        assert_eq!((first.fsyncs, first.entries), (Some(7), Some(8)));
        assert_eq!(first.cpu, None, "another machine's processes are not ours");
        let body = format!(r#"{{"nodes":[{},{}]}}"#, node(3), node(0));
        assert!(parse(&body).is_none());
        assert!(parse("not found").is_none());
    }

    #[test]
    fn loopback_is_here() {
        for here in ["127.0.0.1:15000", "[::1]:15000", "localhost:15000"] {
            assert!(is_here(here), "{here}");
        }
        assert!(!is_here("10.0.0.1:15000"));
    }
}
