//! How a node is set up: in code, from the environment, from a file.
//!
//! | file | what it holds |
//! |---|---|
//! | `layer.rs` | the settings as one source gives them |
//! | `env.rs` | the environment as a source |
//! | `resolve.rs` | all sources together: checked as a whole, defaults filled in |
//! | `peers.rs` | how peers are found, and how many nodes form a cluster |
//! | `address.rs` | under which address this node is reached |
//! | `listen.rs` | opening the ports |
//! | `tls.rs` | the certificates |
//! | `access.rs` | the tokens |
//! | `leading.rs` | what runs on the leader alone |

mod access;
mod address;
mod env;
#[cfg(feature = "testing")]
pub(crate) mod fuzz;
mod layer;
mod leading;
mod listen;
mod peers;
mod resolve;
mod seams;
mod tls;

use std::net::{IpAddr, TcpListener};
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use figment::Figment;
use figment::providers::{Format, Toml};

#[cfg(feature = "cli")]
pub(crate) use self::address::host_name;
pub(crate) use self::seams::Seams;
use crate::discovery::Discovery;
use crate::error::Error;
use crate::node::{Leading, Node};
use crate::service::{Service, ServiceFactory, factory};
use crate::settings::{OnPanic, Settings};
use crate::wall::WallClock;
use layer::Layer;
pub(crate) use resolve::Resolved;

type OwnRoutes = Box<dyn FnOnce(&Node) -> axum::Router + Send>;
pub(crate) type BizData = Arc<dyn Fn() -> serde_json::Value + Send + Sync>;

/// The configuration of a node.
///
/// What is set in code comes first, then the environment, then the file, then the defaults. It is
/// checked as a whole when the node starts, and all mistakes are reported at once.
///
/// | in code | environment (short form) | file | default |
/// |---|---|---|---|
/// | [`discovery`](Config::discovery) | `BRAFT_DISCOVERY` (`BDI`) | `discovery` | this node alone is listed |
/// | | `K8S_NAMESPACE` (`K8N`) | `k8s_namespace` | the own one |
/// | | `K8S_LABELS` (`K8L`): of the pods, with `k8s` discovery | `k8s_labels` | |
/// | | `K8S_PORTNAME` (`K8P`) | `k8s_portname` | `raft` |
/// | | `MDNS_SERVICE` (`MDS`) | `mdns_service` | `_braft._tcp`, for `mdns` |
/// | [`expect_nodes`](Config::expect_nodes) | `BRAFT_EXPECT` | `expect` | the length of a static list |
/// | [`ip`](Config::ip) | `BRAFT_IP` (`BIP`) | `ip` | found out |
/// | | `BRAFT_IF` (`BIF`): interface names, `*` allowed | `interface` | any |
/// | [`raft_port`](Config::raft_port) | `BRAFT_RPORT` (`BRP`) | `raft_port` | 15000; 0 = a free one |
/// | [`http_port`](Config::http_port) | `BRAFT_HPORT` (`BHP`) | `http_port` | raft port + 2 |
/// | [`name`](Config::name) | `BRAFT_NAME` | `name` | host name and raft port |
/// | [`cluster_name`](Config::cluster_name) | `BRAFT_CLUSTER` | `cluster` | program and user name |
/// | [`data_dir`](Config::data_dir) | `BRAFT_DATA_DIR` | `data_dir` | `./braft-data` |
/// | [`heartbeat`](Config::heartbeat) | `BRAFT_HEARTBEAT_MS` | `heartbeat_ms` | 100 |
/// | [`election_timeout`](Config::election_timeout) | `BRAFT_ELECTION_MIN_MS`, `BRAFT_ELECTION_MAX_MS` | `election_min_ms`, `election_max_ms` | 300 to 600 |
/// | [`snapshot_every`](Config::snapshot_every) | `BRAFT_SNAPSHOT_EVERY` | `snapshot_every` | 20,000 log entries |
/// | [`snapshot_bytes`](Config::snapshot_bytes) | `BRAFT_SNAPSHOT_BYTES` | `snapshot_bytes` | 128 MiB |
/// | [`keep_log_entries`](Config::keep_log_entries) | `BRAFT_KEEP_LOG_ENTRIES` | `keep_log_entries` | 1,000 |
/// | [`segment_bytes`](Config::segment_bytes) | `BRAFT_SEGMENT_BYTES` | `segment_bytes` | 64 MiB |
/// | [`disk_reserve_bytes`](Config::disk_reserve_bytes) | `BRAFT_DISK_RESERVE_BYTES` | `disk_reserve_bytes` | 256 MiB |
/// | [`max_connections`](Config::max_connections) | `BRAFT_MAX_CONNECTIONS` | `max_connections` | 4,096 |
/// | [`max_http_connections`](Config::max_http_connections) | `BRAFT_MAX_HTTP_CONNECTIONS` | `max_http_connections` | 1,024 |
/// | [`dead_after`](Config::dead_after) | `BRAFT_DEAD_AFTER_MS` | `dead_after_ms` | 120,000 (2 min) |
/// | [`min_voters`](Config::min_voters) | `BRAFT_MIN_VOTERS` | `min_voters` | 2 |
/// | [`max_voters`](Config::max_voters) | `BRAFT_MAX_VOTERS` | `max_voters` | 5 |
/// | [`on_panic`](Config::on_panic) | `BRAFT_ON_PANIC` | `on_panic` | `isolate` |
/// | [`tls`](#method.tls) (feature `tls`) | `BRAFT_TLS_CERT`, `BRAFT_TLS_KEY`, `BRAFT_TLS_CA` | `tls_cert`, `tls_key`, `tls_ca` | plain text |
/// | | `BRAFT_TLS_CLIENT_CA`: another authority, for clients alone | `tls_client_ca` | |
/// | | `BRAFT_TLS_NAME`: what all nodes' certificates bear | `tls_name` | each node's address |
/// | [`join_token_file`](Config::join_token_file) | `BRAFT_JOIN_TOKEN_FILE`, or `BRAFT_JOIN_TOKEN` with the token itself | `join_token_file` | none |
/// | [`tokens_file`](Config::tokens_file) | `BRAFT_TOKENS_FILE` | `tokens_file` | whoever may connect may call |
/// | [`reflection`](Config::reflection) | `DISABLE_GRPC_REFLECTION` (`DGR`) | `reflection` | on |
///
/// `dead_after`, `min_voters`, `max_voters` and `on_panic` are [`Settings`] of the whole cluster: a node's own
/// count only when it forms one.
///
/// `BRAFT_CONFIG` names the file.
///
/// `BRAFT_DISCOVERY` is one of:
///
/// | | nodes are found |
/// |---|---|
/// | `host1,host2:port,:port`, also with `static:` before it | in this list; without a port, it is this node's; without a host, it is this host |
/// | `mdns`, `mdns:_name._tcp` | on the local network, by multicast |
/// | `dns:name`, `dns:name:port` | at the addresses of the name |
/// | `dns:_name._tcp.domain` | where the name's service records point (feature `dns`) |
/// | `k8s:service=NAME` and more, see [`DiscoverySpec`](crate::DiscoverySpec) | through the API of Kubernetes (feature `kubernetes`) |
///
/// A list says by its length how many nodes form a cluster. With any other way `BRAFT_EXPECT` has
/// to say it, or the nodes wait: a node that sees few others cannot know whether there are more.
#[derive(Default)]
pub struct Config {
    code: Layer,
    env: Layer,
    file: Layer,
    mistakes: Vec<String>,
    factories: Vec<ServiceFactory>,
    source: Option<Arc<dyn Discovery>>,
    /// What applies where nothing is said, and how many nodes then form a cluster.
    default_discovery: Option<(String, usize)>,
    listener: Option<TcpListener>,
    without_http: bool,
    without_json: bool,
    own_routes: Vec<OwnRoutes>,
    grpc_routes: tonic::service::Routes,
    settings: Settings,
    biz_data: Option<BizData>,
    exit_code: Option<u8>,
    seams: Seams,
    /// How fast the clock runs that raft goes by; 1 where nothing is said.
    clock_rate: Option<f64>,
    wall_clock: WallClock,
    leading: Leading,
    #[cfg(feature = "macros")]
    pub(crate) distributes: bool,
}

impl std::fmt::Debug for Config {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Config")
            .field("code", &self.code)
            .finish_non_exhaustive()
    }
}

impl Config {
    /// The defaults; reads neither environment nor files.
    pub fn new() -> Self {
        Self::default()
    }

    /// Reads the environment, and the file that `BRAFT_CONFIG` names, if it does.
    ///
    /// # Errors
    /// If that file cannot be read. Mistakes in values are reported when the node starts, together.
    pub fn from_env() -> Result<Self, Error> {
        let lookup = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
        let mut config = match lookup("BRAFT_CONFIG") {
            Some(path) => Self::from_file(path)?,
            None => Self::new(),
        };
        config.read_env(&lookup);
        env::warn_about_unknown(
            std::env::vars_os().filter_map(|(name, _)| name.into_string().ok()),
        );
        Ok(config)
    }

    /// Reads a TOML file; not the environment.
    ///
    /// # Errors
    /// If it cannot be read, or has settings that do not exist or are of the wrong type.
    pub fn from_file(path: impl AsRef<Path>) -> Result<Self, Error> {
        let path = path.as_ref();
        let file = Figment::from(Toml::file_exact(path))
            .extract::<Layer>()
            .map_err(|error| {
                let text = format!("the configuration file {} cannot be used", path.display());
                Error::rejected(format!("{text}: {error}"))
            })?;
        Ok(Config {
            file,
            ..Self::default()
        })
    }

    fn read_env(&mut self, lookup: &dyn Fn(&str) -> Option<String>) {
        let (layer, mistakes) = env::read(lookup);
        self.env = layer;
        self.mistakes.extend(mistakes);
    }

    /// Adds a service; a node may have several.
    pub fn service<S: Service>(mut self) -> Self {
        self.factories.push(factory::<S>());
        self
    }

    /// The node's readable name.
    pub fn name(mut self, name: impl Into<String>) -> Self {
        self.code.name = Some(name.into());
        self
    }

    /// Keeps strangers on one network apart: nodes of another name are not spoken to.
    pub fn cluster_name(mut self, name: impl Into<String>) -> Self {
        self.code.cluster = Some(name.into());
        self
    }

    /// Where log, snapshots and identity are kept. One directory for each node.
    pub fn data_dir(mut self, path: impl Into<PathBuf>) -> Self {
        self.code.data_dir = Some(path.into());
        self
    }

    /// The address to listen on and to be reached at.
    pub fn ip(mut self, ip: IpAddr) -> Self {
        self.code.ip = Some(ip);
        self
    }

    /// The port for peers and clients (gRPC); 0 takes a free one.
    pub fn raft_port(mut self, port: u16) -> Self {
        self.code.raft_port = Some(port);
        self
    }

    /// The port for HTTP; 0 takes a free one.
    pub fn http_port(mut self, port: u16) -> Self {
        self.code.http_port = Some(port);
        self
    }

    /// A listener for peers and clients that is open already.
    pub fn listener(mut self, listener: TcpListener) -> Self {
        self.listener = Some(listener);
        self
    }

    /// Serves no HTTP of its own; [`Node::router`] still gives the routes.
    pub fn without_http(mut self) -> Self {
        self.without_http = true;
        self
    }

    /// Serves no service in JSON: neither `/v1` nor `/openapi.json`, whose places own routes may
    /// then take. Status and health stay.
    pub fn without_json(mut self) -> Self {
        self.without_json = true;
        self
    }

    /// Adds HTTP routes of one's own, made with the node in hand. They cannot take the places of
    /// the node's, but for `/`, `/metrics` and `/dashboard`: what the program answers there stands.
    pub fn http_routes(
        mut self,
        routes: impl FnOnce(&Node) -> axum::Router + Send + 'static,
    ) -> Self {
        self.own_routes.push(Box::new(routes));
        self
    }

    /// Adds a gRPC service of one's own on the raft port.
    pub fn grpc_service<S>(mut self, service: S) -> Self
    where
        S: tower::Service<http::Request<tonic::body::Body>, Error = std::convert::Infallible>
            + tonic::server::NamedService
            + Clone
            + Send
            + Sync
            + 'static,
        S::Response: axum::response::IntoResponse,
        S::Future: Send + 'static,
    {
        self.grpc_routes = std::mem::take(&mut self.grpc_routes).add_service(service);
        self
    }

    /// Whether tools may ask for the schemas of the gRPC services.
    pub fn reflection(mut self, on: bool) -> Self {
        self.code.reflection = Some(on);
        self
    }

    /// Speaks TLS alone, with those whose certificate is of these authorities: on both ports, and with
    /// the other nodes. All nodes of a cluster have it, or none.
    #[cfg(feature = "tls")]
    pub fn tls(mut self, tls: crate::Tls) -> Self {
        self.code.tls_cert = Some(tls.certificate);
        self.code.tls_key = Some(tls.key);
        self.code.tls_ca = Some(tls.authority);
        self.code.tls_client_ca = tls.clients;
        self.code.tls_name = tls.server_name;
        self
    }

    /// The file of the join token: of 16 to 512 visible characters, the same for all members, which prove
    /// to each other that they know it; nobody else becomes a member. Several may stand in it, with line
    /// breaks between them: the first is shown, all are accepted. It is read again when it changes.
    pub fn join_token_file(mut self, path: impl Into<PathBuf>) -> Self {
        self.code.join_token_file = Some(path.into());
        self
    }

    /// The file of those who may call: lines of `ROLE NAME TOKEN`, with *read*, *write* or *admin* for the
    /// role, and the token of 16 to 512 visible characters or `sha256:` and its hash. Then nobody calls
    /// without one, over gRPC or HTTP. It is read again when it changes.
    pub fn tokens_file(mut self, path: impl Into<PathBuf>) -> Self {
        self.code.tokens_file = Some(path.into());
        self
    }

    /// How the other nodes are found.
    pub fn discovery(mut self, source: impl Discovery) -> Self {
        self.source = Some(Arc::new(source));
        self
    }

    /// How nodes are found, as in `BRAFT_DISCOVERY`, and how many form a cluster, where neither
    /// environment nor file say so. The number also applies to another way of discovery than this,
    /// unless it is a list.
    pub fn default_discovery(mut self, way: impl Into<String>, expect: usize) -> Self {
        self.default_discovery = Some((way.into(), expect));
        self
    }

    /// How many nodes with empty disks form a cluster; 1 runs alone.
    pub fn expect_nodes(mut self, nodes: usize) -> Self {
        self.code.expect = Some(nodes);
        self
    }

    /// How often the leader makes itself heard.
    pub fn heartbeat(mut self, interval: Duration) -> Self {
        self.code.heartbeat_ms = Some(whole_ms(interval));
        self
    }

    /// How long a follower hears nothing before it campaigns: at random within the range.
    ///
    /// The same on all nodes: a node leads none whose upper bound is below its own. To change it,
    /// restart the nodes one after the other; writes go on.
    pub fn election_timeout(mut self, range: Range<Duration>) -> Self {
        self.code.election_min_ms = Some(whole_ms(range.start));
        self.code.election_max_ms = Some(whole_ms(range.end));
        self
    }

    /// Log entries after which a snapshot is written. One entry holds many commands under load.
    ///
    /// If the state cannot be frozen (see [`Freeze`](crate::Freeze)), followers take turns at up to
    /// twice as many, and a leader that hears them waits for four times as many.
    pub fn snapshot_every(mut self, entries: u64) -> Self {
        self.code.snapshot_every = Some(entries);
        self
    }

    /// Bytes of log after which a snapshot is written, unless the last snapshot was larger; of a state
    /// that cannot be frozen as with [`snapshot_every`](Self::snapshot_every).
    pub fn snapshot_bytes(mut self, bytes: u64) -> Self {
        self.code.snapshot_bytes = Some(bytes);
        self
    }

    /// Log entries kept behind a snapshot, for followers that lag. A leader keeps more while a follower
    /// that it hears has not got them, and those after a snapshot that a node is being given: up to four
    /// times the bytes after which a snapshot is due, eight times of a state that cannot be frozen. Who
    /// needs more than that is given a snapshot.
    pub fn keep_log_entries(mut self, entries: u64) -> Self {
        self.code.keep_log_entries = Some(entries);
        self
    }

    /// The size of a file of the log.
    pub fn segment_bytes(mut self, bytes: u64) -> Self {
        self.code.segment_bytes = Some(bytes);
        self
    }

    /// Free disk space below which commands are refused as busy, so that the log can still be
    /// purged and snapshots be written.
    pub fn disk_reserve_bytes(mut self, bytes: u64) -> Self {
        self.code.disk_reserve_bytes = Some(bytes);
        self
    }

    /// Connections that are served on the raft port at once; a further one is refused by a status that
    /// says so. The other members have room beside it for what keeps the cluster together, not for
    /// the calls of clients that they pass on.
    pub fn max_connections(mut self, connections: usize) -> Self {
        self.code.max_connections = Some(connections);
        self
    }

    /// Connections that are served on the HTTP port at once; requests on a further one are answered with
    /// status 503, but for those of health and status.
    pub fn max_http_connections(mut self, connections: usize) -> Self {
        self.code.max_http_connections = Some(connections);
        self
    }

    /// The silence after which a member counts as dead and is removed, once a cluster forms.
    pub fn dead_after(mut self, silence: Duration) -> Self {
        self.code.dead_after_ms = Some(u64::from(whole_ms(silence)));
        self
    }

    /// Voters below which no member is removed by itself, once a cluster forms.
    pub fn min_voters(mut self, voters: u64) -> Self {
        self.code.min_voters = Some(voters);
        self
    }

    /// Nodes that vote at most, once a cluster forms; further ones listen and step in.
    pub fn max_voters(mut self, voters: u64) -> Self {
        self.code.max_voters = Some(voters);
        self
    }

    /// What a command that panics does to its replica, once a cluster forms.
    pub fn on_panic(mut self, what: OnPanic) -> Self {
        self.code.on_panic = Some(what);
        self
    }

    /// The replicated settings a new cluster begins with; later nodes obey the cluster's.
    pub fn settings(mut self, settings: Settings) -> Self {
        self.settings = settings;
        self
    }

    /// Data of one's own, shown in the node's status.
    pub fn biz_data(
        mut self,
        data: impl Fn() -> serde_json::Value + Send + Sync + 'static,
    ) -> Self {
        self.biz_data = Some(Arc::new(data));
        self
    }

    /// The exit code of [`run`](fn@crate::run) when the node had to stop, for systemd and the like.
    pub fn shutdown_exit_code(mut self, code: u8) -> Self {
        self.exit_code = Some(code);
        self
    }

    #[cfg(feature = "testing")]
    pub(crate) fn seams(mut self, seams: Seams) -> Self {
        self.seams = seams;
        self
    }

    #[cfg(feature = "testing")]
    pub(crate) fn clock_rate(mut self, rate: f64) -> Self {
        self.clock_rate = Some(rate);
        self
    }

    #[cfg(feature = "testing")]
    pub(crate) fn wall_clock(mut self, clock: WallClock) -> Self {
        self.wall_clock = clock;
        self
    }

    pub(crate) fn exit_code_when_forced(&self) -> u8 {
        self.exit_code.unwrap_or(1)
    }
}

fn whole_ms(duration: Duration) -> u32 {
    u32::try_from(duration.as_millis()).unwrap_or(u32::MAX)
}
