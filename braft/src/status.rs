//! What a node says of itself and its cluster.

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

/// A node's view of itself and its cluster, at one moment. Each node reports its own build,
/// process figures and business data.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
#[non_exhaustive]
pub struct Status {
    /// Node id, 16 hexadecimal digits.
    pub node_id: String,
    /// Readable name.
    pub name: String,
    /// Host name.
    pub host: String,
    /// Where peers and clients reach it: "host:port".
    pub address: String,
    /// Where its HTTP is: "host:port"; empty without.
    pub http_address: String,
    /// The cluster's name.
    pub cluster_name: String,
    /// The cluster's id, 32 hexadecimal digits; empty before it is in one.
    pub cluster_id: String,
    /// `forming`, `leader`, `follower`, `candidate`, `learner` or `stopped`.
    pub role: String,
    /// What it is waiting for, while it forms or joins a cluster.
    pub formation: String,
    /// Raft term.
    pub term: u64,
    /// The leader, if one is known.
    pub leader: Option<Member>,
    /// All members, as this node knows them.
    pub members: Vec<Member>,
    /// On the leader: what it would do next about its members, and why it does not do more.
    pub outlook: Vec<String>,
    /// On the leader: what is wrong with the wall clocks of the voters, or with the time of the log,
    /// if anything.
    pub clocks: Option<String>,
    /// Log and state.
    pub log: LogStatus,
    /// Commands and queries that have been running here for over a second: which, and how long.
    /// They hold up what comes after them, not the heartbeats.
    pub slow: Vec<String>,
    /// Why it carries out nothing any more and serves no reads, while its log goes on.
    pub halted: Option<String>,
    /// How its state differs from that of the majority: it serves nothing until it is made anew.
    pub diverged: Option<String>,
    /// Log index of the newest comparison of the replicas' states at which a majority agreed; 0 before
    /// the first.
    pub compared_index: u64,
    /// All replicas whose states differ, as far as this node has applied the log.
    pub divergences: Vec<String>,
    /// The methods that have panicked and were not cleared.
    pub panics: Vec<PanicStatus>,
    /// The services with their operations.
    pub services: Vec<ServiceStatus>,
    /// Client sessions kept.
    pub sessions: u64,
    /// How nodes are found.
    pub discovery: String,
    /// When the process started, seconds since 1970.
    pub started_at: u64,
    /// Seconds since then.
    pub uptime_seconds: u64,
    /// Process id.
    pub pid: u32,
    /// Resident memory, bytes.
    pub rss_bytes: u64,
    /// Share of one CPU used since the start, percent.
    pub cpu_percent: f64,
    /// The version of braft.
    pub version: String,
    /// The commit it was built from, if the build said so (`GIT_COMMIT`).
    pub git_commit: Option<String>,
    /// When it was built, if the build said so (`BUILD_TIME`).
    pub build_time: Option<String>,
    /// What [`Config::biz_data`](crate::Config::biz_data) gives.
    pub biz_data: Value,
    /// Why it stopped, once it has; or why it could not be asked.
    pub error: Option<String>,
}

/// A member of the cluster.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Member {
    /// Node id, 16 hexadecimal digits.
    pub id: String,
    /// Readable name.
    pub name: String,
    /// "host:port".
    pub address: String,
    /// Whether it votes.
    pub votes: bool,
    /// On the leader: entries it is behind.
    pub lag: Option<u64>,
    /// On the leader: milliseconds since it last answered.
    pub last_contact_ms: Option<u64>,
    /// The version of braft it runs, if it has been met.
    pub version: Option<String>,
    /// On the leader: `healthy`, `catching up`, `silent`, `failed` (it counts as lost for the
    /// moment) or `dead` (it is to be removed).
    pub health: Option<String>,
    /// On the leader: why something that suggests itself is not done with it.
    pub outlook: Option<String>,
    /// On the leader: why it could not be reached when it was last dialed.
    pub trouble: Option<String>,
}

/// The log and the state made of it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct LogStatus {
    /// Index of the last entry.
    pub last_index: u64,
    /// Index up to which it is committed, as far as this node knows.
    pub committed_index: u64,
    /// Index up to which it is applied.
    pub applied_index: u64,
    /// Index of the last entry in the newest snapshot.
    pub snapshot_index: u64,
    /// Index up to which it is removed.
    pub purged_index: u64,
    /// Files of the log.
    pub segments: u64,
    /// Their size, bytes.
    pub disk_bytes: u64,
    /// Syncs since the start.
    pub fsyncs: u64,
    /// Entries written since the start.
    pub entries: u64,
}

/// A method that has panicked.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct PanicStatus {
    /// Its service.
    pub service: String,
    /// Its name.
    pub method: String,
    /// How often, since it was last cleared.
    pub times: u32,
    /// Whether it is refused until it is cleared ([`Node::clear_panics`](crate::Node::clear_panics)).
    pub refused: bool,
}

/// A service of the node.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct ServiceStatus {
    /// Its name.
    pub name: String,
    /// Its commands.
    pub commands: Vec<String>,
    /// Its queries.
    pub queries: Vec<String>,
    /// The version that is active; 0 while some nodes do not have the service.
    #[serde(default)]
    pub active_version: u32,
    /// The latest version that this node's binary knows.
    #[serde(default)]
    pub latest_version: u32,
}

/// The answer of `GET /raft`: the serving node's view, and each node's word about itself.
pub(crate) fn overview(own: &Status, all: &[Status]) -> Value {
    let leader = own.leader.clone().unwrap_or_default();
    let servers = own.members.iter().map(|member| {
        let suffrage = if member.votes { "Voter" } else { "Nonvoter" };
        json!({ "suffrage": suffrage, "id": member.id, "address": member.address })
    });
    json!({
        "currentLeader": own.role == "leader",
        "discovery": own.discovery,
        "leaderAddr": leader.address,
        "leaderID": leader.id,
        "nodeNum": all.len(),
        "nodes": all.iter().map(node).collect::<Vec<_>>(),
        "raftServers": servers.collect::<Vec<_>>(),
        "clusterName": own.cluster_name,
        "clusterID": own.cluster_id,
        "outlook": own.outlook,
    })
}

fn node(status: &Status) -> Value {
    let leader = status.leader.as_ref().map(|leader| leader.address.clone());
    let (ip, raft_port) = status.address.rsplit_once(':').unwrap_or_default();
    let http_port = status.http_address.rsplit_once(':').map(|(_, port)| port);
    json!({
        "serverID": status.name,
        "address": status.address,
        "raftState": status.role,
        "leader": leader,
        "startTime": status.started_at,
        "duration": format!("{}s", status.uptime_seconds),
        "discoveryNodes": status.members.iter().map(|member| &member.address).collect::<Vec<_>>(),
        "raftID": { "id": status.node_id, "hostname": status.host, "ip": ip },
        "raftLogSum": status.log.last_index,
        "pid": status.pid,
        "rss": status.rss_bytes,
        "pcpu": status.cpu_percent,
        "ports": { "raft": raft_port, "http": http_port },
        "appVersion": status.version,
        "gitCommit": status.git_commit,
        "buildTime": status.build_time,
        "bizData": status.biz_data,
        "error": status.error,
        "status": status,
    })
}
