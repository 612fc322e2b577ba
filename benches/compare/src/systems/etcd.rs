//! etcd: the server that is installed, called over its gRPC interface.

use load::{NodeSample, Read, Target};
use prost::Message;
use tokio::process::Command;
use tonic::codegen::http::uri::PathAndQuery;
use tonic::transport::{Channel, Endpoint};
use tonic_prost::ProstCodec;

use super::NODES;
use super::{Found, Store, System};
use load::{Cluster, Place};

const CLIENT_PORT: u16 = 2379;
const PEER_PORT: u16 = 2380;
/// The most that its database may take.
const QUOTA_BYTES: u64 = 8 << 30;

/// What is spoken of etcd's interface, by hand: `etcdserverpb` of its version 3.
mod rpc {
    use prost::Message;

    #[derive(Clone, PartialEq, Message)]
    pub(super) struct PutRequest {
        #[prost(bytes = "vec", tag = "1")]
        pub(super) key: Vec<u8>,
        #[prost(bytes = "vec", tag = "2")]
        pub(super) value: Vec<u8>,
    }

    #[derive(Clone, PartialEq, Message)]
    pub(super) struct PutResponse {
        #[prost(message, optional, tag = "1")]
        pub(super) header: Option<ResponseHeader>,
    }

    #[derive(Clone, PartialEq, Message)]
    pub(super) struct RangeRequest {
        #[prost(bytes = "vec", tag = "1")]
        pub(super) key: Vec<u8>,
        /// Answer from the asked node, without asking the others.
        #[prost(bool, tag = "7")]
        pub(super) serializable: bool,
    }

    #[derive(Clone, PartialEq, Message)]
    pub(super) struct RangeResponse {
        #[prost(message, repeated, tag = "2")]
        pub(super) kvs: Vec<KeyValue>,
    }

    #[derive(Clone, PartialEq, Message)]
    pub(super) struct KeyValue {
        #[prost(bytes = "vec", tag = "5")]
        pub(super) value: Vec<u8>,
    }

    #[derive(Clone, PartialEq, Message)]
    pub(super) struct StatusRequest {}

    #[derive(Clone, PartialEq, Message)]
    pub(super) struct StatusResponse {
        #[prost(message, optional, tag = "1")]
        pub(super) header: Option<ResponseHeader>,
        #[prost(uint64, tag = "4")]
        pub(super) leader: u64,
    }

    #[derive(Clone, PartialEq, Message)]
    pub(super) struct ResponseHeader {
        #[prost(uint64, tag = "2")]
        pub(super) member_id: u64,
    }
}

pub(super) async fn find() -> Result<Found, String> {
    let missing = "etcd is not installed: apt-get install etcd-server";
    let output = Command::new("etcd").arg("--version").output().await;
    let output = output.map_err(|_| missing.to_owned())?;
    let text = String::from_utf8_lossy(&output.stdout);
    let version = text
        .lines()
        .find_map(|line| line.strip_prefix("etcd Version: "));
    Ok(Found {
        version: version.ok_or(missing)?.trim().to_owned(),
        differs: "every write is on the disks of a majority when it is acknowledged; a write that \
                  is sent again may be carried out again; keeps the history of each key, on disk; \
                  clients call the leader; default settings, but for a database of 8 GiB",
    })
}

#[derive(Clone)]
pub(super) struct Connection(Channel);

impl Connection {
    async fn open(address: &str) -> Result<Self, String> {
        let endpoint = Endpoint::from_shared(format!("http://{address}"));
        let endpoint = endpoint.map_err(|error| error.to_string())?;
        let channel = endpoint.tcp_nodelay(true).connect().await;
        channel.map(Connection).map_err(|error| error.to_string())
    }

    async fn call<Q, A>(&self, path: &'static str, request: Q) -> Result<A, String>
    where
        Q: Message + Default + 'static,
        A: Message + Default + 'static,
    {
        let mut grpc = tonic::client::Grpc::new(self.0.clone());
        grpc.ready().await.map_err(|error| error.to_string())?;
        let path = PathAndQuery::from_static(path);
        let codec: ProstCodec<Q, A> = ProstCodec::default();
        let answer = grpc.unary(tonic::Request::new(request), path, codec).await;
        let answer = answer.map_err(|status| status.message().to_owned())?;
        Ok(answer.into_inner())
    }

    /// Whether the node at the other end leads.
    async fn leads(&self) -> Option<bool> {
        let path = "/etcdserverpb.Maintenance/Status";
        let asked = self.call(path, rpc::StatusRequest {}).await;
        let status: rpc::StatusResponse = asked.ok()?;
        let own = status.header?.member_id;
        Some(status.leader != 0 && status.leader == own)
    }
}

impl Target for Connection {
    async fn put(&self, key: &str, value: &str) -> Result<(), String> {
        let request = rpc::PutRequest {
            key: key.into(),
            value: value.into(),
        };
        let put: rpc::PutResponse = self.call("/etcdserverpb.KV/Put", request).await?;
        put.header
            .map(drop)
            .ok_or_else(|| "an empty answer".to_owned())
    }

    async fn get(&self, key: &str, read: Read) -> Result<Option<usize>, String> {
        let request = rpc::RangeRequest {
            key: key.into(),
            serializable: read == Read::Local,
        };
        let found: rpc::RangeResponse = self.call("/etcdserverpb.KV/Range", request).await?;
        Ok(found.kvs.first().map(|found| found.value.len()))
    }
}

pub(super) struct Etcd;

impl Store for Etcd {
    type Connection = Connection;
    const SYSTEM: System = System::Etcd;

    fn node(place: &Place, node: usize) -> std::io::Result<Command> {
        let peer = |node| format!("http://{}", place.address(node, PEER_PORT));
        let client = format!("http://{}", place.address(node, CLIENT_PORT));
        let all: Vec<_> = (0..NODES)
            .map(|node| format!("node-{node}={}", peer(node)))
            .collect();
        let mut command = Command::new("etcd");
        command
            .args(["--name", &format!("node-{node}")])
            .arg("--data-dir")
            .arg(place.data_dir(node)?.join("data"))
            .args(["--listen-client-urls", &client])
            .args(["--advertise-client-urls", &client])
            .args(["--listen-peer-urls", &peer(node)])
            .args(["--initial-advertise-peer-urls", &peer(node)])
            .args(["--initial-cluster", &all.join(",")])
            .args(["--initial-cluster-state", "new"])
            // It keeps the history of all writes; by default it takes none beyond 2 GiB.
            .args(["--quota-backend-bytes", &QUOTA_BYTES.to_string()])
            .args(["--logger", "zap", "--log-level", "error"]);
        Ok(command)
    }

    /// Its health is a linearizable read.
    async fn serves(place: &Place, node: usize) -> bool {
        load::get(&place.address(node, CLIENT_PORT), "/health")
            .await
            .is_ok_and(|body| body.contains("true"))
    }

    async fn leader(place: &Place) -> Option<usize> {
        for node in 0..NODES {
            let Ok(connection) = Connection::open(&place.address(node, CLIENT_PORT)).await else {
                continue;
            };
            if connection.leads().await == Some(true) {
                return Some(node);
            }
        }
        None
    }

    async fn connect(place: &Place, node: usize) -> Result<Connection, String> {
        Connection::open(&place.address(node, CLIENT_PORT)).await
    }

    /// What the processes have used, and what etcd counts.
    async fn sample(cluster: &Cluster) -> Vec<NodeSample> {
        let mut samples = cluster.sample();
        let addresses = cluster.place().addresses(CLIENT_PORT);
        for (sample, address) in samples.iter_mut().zip(addresses) {
            let metrics = load::get(&address, "/metrics").await.unwrap_or_default();
            sample.fsyncs = counter(&metrics, "etcd_disk_wal_fsync_duration_seconds_count");
        }
        samples
    }
}

/// A counter in the text form of Prometheus.
fn counter(metrics: &str, name: &str) -> Option<u64> {
    let mut lines = metrics.lines();
    let value = lines.find_map(|line| line.strip_prefix(name)?.strip_prefix(' '))?;
    value.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_counter_is_found_by_its_whole_name() {
        let text = "# HELP a_count x\na_count_more 1\na_count 27\n";
        assert_eq!(counter(text, "a_count"), Some(27));
        assert_eq!(counter(text, "a"), None);
    }
}
