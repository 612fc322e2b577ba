//! All sources together: checked as a whole, defaults filled in.

use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::Arc;

use super::Seams;
use super::access::access;
use super::address::{Choice, choose, host_name};
use super::layer::Layer;
use super::peers::Peers;
use super::tls::secure;
use super::{BizData, Config, OwnRoutes};
use crate::access::{JoinToken, Tokens};
use crate::discovery::Discovery;
use crate::error::Error;
use crate::node::{Leading, Node};
use crate::raft::network::Timers;
use crate::request::MAX_COMMAND_BYTES;
use crate::service::ServiceFactory;
use crate::settings::Settings;
use crate::tls::Secure;
use crate::wall::WallClock;

const DEFAULT_RAFT_PORT: u16 = 15_000;
/// The HTTP port is this far above the raft port, unless it is set.
const HTTP_PORT_OFFSET: u16 = 2;
const DEFAULT_SNAPSHOT_EVERY: u64 = 20_000;
const DEFAULT_SNAPSHOT_BYTES: u64 = 128 << 20;
/// An entry may hold thousands of commands: this many are seconds of full load.
const DEFAULT_KEEP_LOG_ENTRIES: u64 = 1_000;
const DEFAULT_SEGMENT_BYTES: u64 = 64 << 20;
/// An entry lies in one segment: the largest command has to fit, with room to spare for what
/// surrounds it. A leader whose log cannot take an entry stops, and so would the next one.
const MIN_SEGMENT_BYTES: u64 = 2 * MAX_COMMAND_BYTES as u64;
/// It has to fit into a record of mDNS, and travels in each message of formation.
const MAX_CLUSTER_NAME_BYTES: usize = 200;
const DEFAULT_DISK_RESERVE_BYTES: u64 = 256 << 20;
/// Connections that one node takes. Each may cost some MiB while much is under way on it.
const DEFAULT_MAX_CONNECTIONS: usize = 4096;
/// As many as there are calls served at once over HTTP.
const DEFAULT_MAX_HTTP_CONNECTIONS: usize = 1024;
const DEFAULT_TIMERS: Timers = Timers {
    heartbeat_ms: 100,
    election_min_ms: 300,
    election_max_ms: 600,
};

/// The settings a node runs with.
pub(crate) struct Resolved {
    pub(crate) factories: Vec<ServiceFactory>,
    pub(crate) name: String,
    /// Whether the user chose the name.
    pub(crate) name_is_chosen: bool,
    /// This host's name.
    pub(crate) host: String,
    pub(crate) cluster_name: String,
    /// Where the others reach this node: "host:port".
    pub(crate) address: String,
    pub(crate) data_dir: PathBuf,
    pub(crate) discovery: Arc<dyn Discovery>,
    pub(crate) expect: Option<usize>,
    pub(crate) timers: Timers,
    /// The same, as this node's clock measures them.
    pub(crate) own_timers: Timers,
    pub(crate) snapshot_every: u64,
    pub(crate) snapshot_bytes: u64,
    pub(crate) keep_log_entries: u64,
    pub(crate) segment_bytes: u64,
    pub(crate) disk_reserve_bytes: u64,
    /// Connections for clients, on the raft port.
    pub(crate) max_connections: usize,
    pub(crate) max_http_connections: usize,
    pub(crate) settings: Settings,
    pub(crate) grpc_routes: tonic::service::Routes,
    pub(crate) reflection: bool,
    pub(crate) tls: Option<Secure>,
    pub(crate) join: Option<JoinToken>,
    pub(crate) tokens: Option<Tokens>,
    #[cfg_attr(not(feature = "http"), allow(dead_code))]
    pub(crate) json: bool,
    pub(crate) seams: Seams,
    pub(crate) wall_clock: WallClock,
    pub(crate) biz_data: Option<BizData>,
    pub(crate) leading: Leading,
    pub(super) bind_ip: IpAddr,
    pub(super) http_port: Option<u16>,
    pub(super) listener: Option<std::net::TcpListener>,
    pub(super) own_routes: Vec<OwnRoutes>,
}

impl Resolved {
    /// The user's own HTTP routes.
    pub(crate) fn own_routes(&mut self, node: &Node) -> axum::Router {
        let own = std::mem::take(&mut self.own_routes);
        // Served by the node itself: a handle kept in a route must not keep it running.
        let node = node.released();
        own.into_iter().fold(axum::Router::new(), |router, routes| {
            router.merge(routes(&node))
        })
    }
}

impl Config {
    /// Checks everything, reports all mistakes at once, and opens the raft port.
    pub(crate) fn resolve(self) -> Result<Resolved, Error> {
        let mut mistakes = self.mistakes;
        let layer = self.code.over(self.env).over(self.file);
        if self.factories.is_empty() {
            mistakes.push("no service is configured; add one with Config::service".to_owned());
        }
        let cluster_bytes = layer.cluster.as_ref().map_or(0, String::len);
        if cluster_bytes > MAX_CLUSTER_NAME_BYTES {
            mistakes.push(format!(
                "BRAFT_CLUSTER must have at most {MAX_CLUSTER_NAME_BYTES} bytes, got \
                 {cluster_bytes}"
            ));
        }
        let timers = check_timers(&layer, &mut mistakes);
        check_sizes(&layer, &mut mistakes);
        let tls = secure(&layer).unwrap_or_else(|mistake| {
            mistakes.push(mistake);
            None
        });
        let (join, tokens) = access(&layer, &mut mistakes);
        check_settings(
            &settings(&layer, self.settings.clone()),
            timers,
            &mut mistakes,
        );
        let wanted = layer.raft_port.unwrap_or(DEFAULT_RAFT_PORT);
        if layer
            .http_port
            .is_some_and(|http| http == wanted && http != 0)
        {
            mistakes.push(format!(
                "BRAFT_HPORT and BRAFT_RPORT are both {wanted}; give them different ports"
            ));
        }
        if !mistakes.is_empty() {
            return Err(Error::rejected(mistakes.join("; ")));
        }

        let given = self
            .listener
            .as_ref()
            .map(|listener| listener.local_addr())
            .transpose();
        let given = given.map_err(|error| {
            Error::rejected(format!("the listener handed in has no address: {error}"))
        })?;
        let port = given.map_or(wanted, |address| address.port());
        let peers = Peers::new(&layer, self.source, self.default_discovery, port)?;
        let choice = Choice {
            ip: layer.ip.or(given
                .map(|address| address.ip())
                .filter(|ip| !ip.is_unspecified())),
            interface: layer.interface.as_deref(),
            port,
            listed: peers.listed.as_ref(),
            wide: peers.wide(),
        };
        let (address, bind_ip) = choose(&choice).map_err(Error::rejected)?;
        let listener = match self.listener {
            Some(listener) => Some(listener),
            None if self.seams.simulated() => None,
            None => Some(super::listen::bind(bind_ip, port, "BRAFT_RPORT")?),
        };
        let port = match &listener {
            None => port,
            Some(listener) => listener
                .local_addr()
                .map_err(|error| Error::fatal("the raft port has no address").with_source(error))?
                .port(),
        };
        let address = address.with_port(port);
        let (discovery, expect) = peers.resolve(&address)?;
        let http_port = (!self.without_http).then(|| {
            let default = || {
                if wanted == 0 {
                    0
                } else {
                    port.saturating_add(HTTP_PORT_OFFSET)
                }
            };
            layer.http_port.unwrap_or_else(default)
        });
        let settings = settings(&layer, self.settings);
        let cluster_name = layer.cluster.unwrap_or_else(default_cluster_name);
        let host = host_name().unwrap_or_else(|| "node".to_owned());
        Ok(Resolved {
            factories: self.factories,
            name_is_chosen: layer.name.is_some(),
            name: layer.name.unwrap_or_else(|| format!("{host}-{port}")),
            host,
            cluster_name,
            address: address.to_string(),
            data_dir: layer.data_dir.unwrap_or_else(|| "./braft-data".into()),
            discovery,
            expect,
            timers,
            own_timers: self.clock_rate.map_or(timers, |rate| timers.at_rate(rate)),
            snapshot_every: layer.snapshot_every.unwrap_or(DEFAULT_SNAPSHOT_EVERY),
            snapshot_bytes: layer.snapshot_bytes.unwrap_or(DEFAULT_SNAPSHOT_BYTES),
            keep_log_entries: layer.keep_log_entries.unwrap_or(DEFAULT_KEEP_LOG_ENTRIES),
            segment_bytes: (self.seams.segment_bytes)
                .or(layer.segment_bytes)
                .unwrap_or(DEFAULT_SEGMENT_BYTES),
            disk_reserve_bytes: layer
                .disk_reserve_bytes
                .unwrap_or(DEFAULT_DISK_RESERVE_BYTES),
            max_connections: layer.max_connections.unwrap_or(DEFAULT_MAX_CONNECTIONS),
            max_http_connections: layer
                .max_http_connections
                .unwrap_or(DEFAULT_MAX_HTTP_CONNECTIONS),
            settings,
            grpc_routes: self.grpc_routes,
            reflection: layer.reflection.unwrap_or(true),
            tls: tls.clone(),
            join: join.clone(),
            tokens,
            json: !self.without_json,
            seams: self.seams.with_access(tls, join),
            wall_clock: self.wall_clock,
            biz_data: self.biz_data,
            leading: self.leading,
            bind_ip,
            http_port,
            listener,
            own_routes: self.own_routes,
        })
    }
}

fn check_timers(layer: &Layer, mistakes: &mut Vec<String>) -> Timers {
    let timers = Timers {
        heartbeat_ms: layer.heartbeat_ms.unwrap_or(DEFAULT_TIMERS.heartbeat_ms),
        election_min_ms: layer
            .election_min_ms
            .unwrap_or(DEFAULT_TIMERS.election_min_ms),
        election_max_ms: layer
            .election_max_ms
            .unwrap_or(DEFAULT_TIMERS.election_max_ms),
    };
    let Timers {
        heartbeat_ms,
        election_min_ms,
        election_max_ms,
    } = timers;
    if heartbeat_ms == 0 {
        mistakes.push("BRAFT_HEARTBEAT_MS must be at least 1, got 0".to_owned());
    }
    if heartbeat_ms.saturating_mul(2) > election_min_ms {
        mistakes.push(format!(
            "BRAFT_ELECTION_MIN_MS must be at least twice BRAFT_HEARTBEAT_MS, got \
             {election_min_ms} with a heartbeat of {heartbeat_ms}"
        ));
    }
    if election_min_ms >= election_max_ms {
        mistakes.push(format!(
            "BRAFT_ELECTION_MAX_MS must be above BRAFT_ELECTION_MIN_MS, got {election_max_ms} and \
             {election_min_ms}"
        ));
    }
    timers
}

fn check_sizes(layer: &Layer, mistakes: &mut Vec<String>) {
    if layer.expect == Some(0) {
        mistakes.push("BRAFT_EXPECT must be at least 1, got 0 (1 = run alone)".to_owned());
    }
    if layer.max_connections == Some(0) {
        mistakes.push("BRAFT_MAX_CONNECTIONS must be at least 1, got 0".to_owned());
    }
    if layer.max_http_connections == Some(0) {
        mistakes.push("BRAFT_MAX_HTTP_CONNECTIONS must be at least 1, got 0".to_owned());
    }
    if layer.snapshot_bytes == Some(0) {
        mistakes.push("BRAFT_SNAPSHOT_BYTES must be at least 1, got 0".to_owned());
    }
    if layer.snapshot_every == Some(0) {
        mistakes.push("BRAFT_SNAPSHOT_EVERY must be at least 1, got 0".to_owned());
    }
    if let Some(bytes) = layer
        .segment_bytes
        .filter(|bytes| *bytes < MIN_SEGMENT_BYTES)
    {
        mistakes.push(format!(
            "BRAFT_SEGMENT_BYTES must be at least {MIN_SEGMENT_BYTES}, got {bytes}"
        ));
    }
    let empty = |text: &Option<String>| text.as_ref().is_some_and(|text| text.trim().is_empty());
    if empty(&layer.cluster) || empty(&layer.name) {
        mistakes.push("BRAFT_CLUSTER and BRAFT_NAME must not be blank".to_owned());
    }
    if layer
        .data_dir
        .as_ref()
        .is_some_and(|path| path.as_os_str().is_empty())
    {
        mistakes.push("BRAFT_DATA_DIR must not be empty".to_owned());
    }
}

/// The settings a new cluster begins with: those given one by one, over those given as a whole.
fn settings(layer: &Layer, whole: Settings) -> Settings {
    Settings {
        dead_after_ms: layer.dead_after_ms.unwrap_or(whole.dead_after_ms),
        min_voters: layer.min_voters.unwrap_or(whole.min_voters),
        max_voters: layer.max_voters.unwrap_or(whole.max_voters),
        on_panic: layer.on_panic.unwrap_or(whole.on_panic),
        ..whole
    }
}

fn check_settings(settings: &Settings, timers: Timers, mistakes: &mut Vec<String>) {
    let least = 2 * u64::from(timers.election_max_ms);
    if settings.dead_after_ms < least {
        mistakes.push(format!(
            "BRAFT_DEAD_AFTER_MS must be at least twice BRAFT_ELECTION_MAX_MS ({least}), got {}",
            settings.dead_after_ms
        ));
    }
    if settings.min_voters == 0 || settings.max_voters == 0 {
        mistakes.push("BRAFT_MIN_VOTERS and BRAFT_MAX_VOTERS must be at least 1".to_owned());
    }
}

fn default_cluster_name() -> String {
    let program = std::env::current_exe().ok();
    let program = program.as_ref().and_then(|path| path.file_stem()?.to_str());
    let user = std::env::var("USER").unwrap_or_else(|_| "user".to_owned());
    let mut name = format!("{}-{user}", program.unwrap_or("braft"));
    while name.len() > MAX_CLUSTER_NAME_BYTES {
        name.pop();
    }
    name
}

#[cfg(test)]
mod tests {
    use super::*;

    fn resolve(layer: Layer) -> String {
        let config = Config {
            code: layer,
            ..Config::default()
        };
        match config.resolve() {
            Ok(_) => String::new(),
            Err(error) => error.to_string(),
        }
    }

    #[test]
    fn all_mistakes_are_reported_in_one_message() {
        let text = resolve(Layer {
            expect: Some(0),
            heartbeat_ms: Some(400),
            election_min_ms: Some(500),
            election_max_ms: Some(500),
            raft_port: Some(9),
            http_port: Some(9),
            segment_bytes: Some(1),
            cluster: Some("c".repeat(201)),
            ..Layer::default()
        });
        for part in [
            "BRAFT_EXPECT must be at least 1, got 0",
            "BRAFT_ELECTION_MIN_MS must be at least twice",
            "BRAFT_ELECTION_MAX_MS must be above",
            "BRAFT_HPORT and BRAFT_RPORT are both 9",
            "BRAFT_SEGMENT_BYTES must be at least",
            "BRAFT_CLUSTER must have at most 200 bytes, got 201",
            "no service is configured",
        ] {
            assert!(text.contains(part), "{part} is missing in: {text}");
        }
    }

    #[test]
    fn code_comes_before_environment_before_file() {
        let port = |port| Layer {
            raft_port: Some(port),
            ..Layer::default()
        };
        let name = |name: &str| Layer {
            name: Some(name.into()),
            ..Layer::default()
        };
        let layer = port(1).over(port(2)).over(name("file"));
        assert_eq!(
            (layer.raft_port, layer.name.as_deref()),
            (Some(1), Some("file"))
        );
    }
}
