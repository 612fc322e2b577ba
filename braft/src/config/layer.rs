//! The settings as one source gives them.

use std::net::IpAddr;
use std::path::PathBuf;

use serde::Deserialize;

use crate::discovery::Variables;
use crate::settings::OnPanic;

/// Settings of one source; what it does not mention is `None`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Layer {
    pub(super) discovery: Option<String>,
    pub(super) k8s_namespace: Option<String>,
    pub(super) k8s_labels: Option<String>,
    pub(super) k8s_portname: Option<String>,
    pub(super) mdns_service: Option<String>,
    pub(super) expect: Option<usize>,
    pub(super) ip: Option<IpAddr>,
    pub(super) interface: Option<String>,
    pub(super) raft_port: Option<u16>,
    pub(super) http_port: Option<u16>,
    pub(super) name: Option<String>,
    pub(super) cluster: Option<String>,
    pub(super) data_dir: Option<PathBuf>,
    pub(super) heartbeat_ms: Option<u32>,
    pub(super) election_min_ms: Option<u32>,
    pub(super) election_max_ms: Option<u32>,
    pub(super) snapshot_every: Option<u64>,
    pub(super) snapshot_bytes: Option<u64>,
    pub(super) keep_log_entries: Option<u64>,
    pub(super) segment_bytes: Option<u64>,
    pub(super) disk_reserve_bytes: Option<u64>,
    pub(super) max_connections: Option<usize>,
    pub(super) max_http_connections: Option<usize>,
    pub(super) dead_after_ms: Option<u64>,
    pub(super) min_voters: Option<u64>,
    pub(super) max_voters: Option<u64>,
    pub(super) on_panic: Option<OnPanic>,
    pub(super) reflection: Option<bool>,
    pub(super) tls_cert: Option<PathBuf>,
    pub(super) tls_key: Option<PathBuf>,
    pub(super) tls_ca: Option<PathBuf>,
    pub(super) tls_client_ca: Option<PathBuf>,
    pub(super) tls_name: Option<String>,
    /// From the environment alone: it is secret.
    #[serde(skip)]
    pub(super) join_token: Option<Hidden>,
    pub(super) join_token_file: Option<PathBuf>,
    pub(super) tokens_file: Option<PathBuf>,
}

/// A text that is not shown.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Hidden(pub(super) String);

impl std::fmt::Debug for Hidden {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("…")
    }
}

impl Layer {
    /// What stands beside the text of the discovery.
    pub(super) fn variables(&self) -> Variables<'_> {
        Variables {
            k8s_namespace: self.k8s_namespace.as_deref(),
            k8s_labels: self.k8s_labels.as_deref(),
            k8s_portname: self.k8s_portname.as_deref(),
        }
    }

    /// This source's settings where it has them, else the other's.
    pub(super) fn over(self, other: Layer) -> Layer {
        Layer {
            discovery: self.discovery.or(other.discovery),
            k8s_namespace: self.k8s_namespace.or(other.k8s_namespace),
            k8s_labels: self.k8s_labels.or(other.k8s_labels),
            k8s_portname: self.k8s_portname.or(other.k8s_portname),
            mdns_service: self.mdns_service.or(other.mdns_service),
            expect: self.expect.or(other.expect),
            ip: self.ip.or(other.ip),
            interface: self.interface.or(other.interface),
            raft_port: self.raft_port.or(other.raft_port),
            http_port: self.http_port.or(other.http_port),
            name: self.name.or(other.name),
            cluster: self.cluster.or(other.cluster),
            data_dir: self.data_dir.or(other.data_dir),
            heartbeat_ms: self.heartbeat_ms.or(other.heartbeat_ms),
            election_min_ms: self.election_min_ms.or(other.election_min_ms),
            election_max_ms: self.election_max_ms.or(other.election_max_ms),
            snapshot_every: self.snapshot_every.or(other.snapshot_every),
            snapshot_bytes: self.snapshot_bytes.or(other.snapshot_bytes),
            keep_log_entries: self.keep_log_entries.or(other.keep_log_entries),
            segment_bytes: self.segment_bytes.or(other.segment_bytes),
            disk_reserve_bytes: self.disk_reserve_bytes.or(other.disk_reserve_bytes),
            max_connections: self.max_connections.or(other.max_connections),
            max_http_connections: self.max_http_connections.or(other.max_http_connections),
            dead_after_ms: self.dead_after_ms.or(other.dead_after_ms),
            min_voters: self.min_voters.or(other.min_voters),
            max_voters: self.max_voters.or(other.max_voters),
            on_panic: self.on_panic.or(other.on_panic),
            reflection: self.reflection.or(other.reflection),
            tls_cert: self.tls_cert.or(other.tls_cert),
            tls_key: self.tls_key.or(other.tls_key),
            tls_ca: self.tls_ca.or(other.tls_ca),
            tls_client_ca: self.tls_client_ca.or(other.tls_client_ca),
            tls_name: self.tls_name.or(other.tls_name),
            join_token: self.join_token.or(other.join_token),
            join_token_file: self.join_token_file.or(other.join_token_file),
            tokens_file: self.tokens_file.or(other.tokens_file),
        }
    }
}
