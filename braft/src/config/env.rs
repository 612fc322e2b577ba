//! The environment as a source of settings.

use std::str::FromStr;

use super::layer::{Hidden, Layer};

/// Every name that is read, with its short form.
const NAMES: [(&str, &str); 37] = [
    ("BRAFT_DISCOVERY", "BDI"),
    ("K8S_NAMESPACE", "K8N"),
    ("K8S_LABELS", "K8L"),
    ("K8S_PORTNAME", "K8P"),
    ("MDNS_SERVICE", "MDS"),
    ("BRAFT_EXPECT", ""),
    ("BRAFT_IP", "BIP"),
    ("BRAFT_IF", "BIF"),
    ("BRAFT_RPORT", "BRP"),
    ("BRAFT_HPORT", "BHP"),
    ("BRAFT_NAME", ""),
    ("BRAFT_CLUSTER", ""),
    ("BRAFT_DATA_DIR", ""),
    ("BRAFT_HEARTBEAT_MS", ""),
    ("BRAFT_ELECTION_MIN_MS", ""),
    ("BRAFT_ELECTION_MAX_MS", ""),
    ("BRAFT_SNAPSHOT_EVERY", ""),
    ("BRAFT_SNAPSHOT_BYTES", ""),
    ("BRAFT_KEEP_LOG_ENTRIES", ""),
    ("BRAFT_SEGMENT_BYTES", ""),
    ("BRAFT_DISK_RESERVE_BYTES", ""),
    ("BRAFT_MAX_CONNECTIONS", ""),
    ("BRAFT_MAX_HTTP_CONNECTIONS", ""),
    ("BRAFT_DEAD_AFTER_MS", ""),
    ("BRAFT_MIN_VOTERS", ""),
    ("BRAFT_MAX_VOTERS", ""),
    ("BRAFT_ON_PANIC", ""),
    ("DISABLE_GRPC_REFLECTION", "DGR"),
    ("BRAFT_TLS_CERT", ""),
    ("BRAFT_TLS_KEY", ""),
    ("BRAFT_TLS_CA", ""),
    ("BRAFT_TLS_CLIENT_CA", ""),
    ("BRAFT_TLS_NAME", ""),
    ("BRAFT_JOIN_TOKEN", ""),
    ("BRAFT_JOIN_TOKEN_FILE", ""),
    ("BRAFT_TOKENS_FILE", ""),
    ("BRAFT_CONFIG", ""),
];

/// Names of the Go library that have no use here, and why.
const OBSOLETE: [(&str, &str); 5] = [
    (
        "BRAFT_DPORT",
        "there is no gossip: nodes speak on the raft port alone",
    ),
    (
        "BRAFT_SLEEP",
        "nodes agree on forming a cluster; no start needs a random pause",
    ),
    (
        "K8S_SLEEP",
        "nodes agree on forming a cluster; no start needs a random pause",
    ),
    (
        "BRAFT_RESTART_MIN",
        "a node without a quorum waits for it; it never wipes itself",
    ),
    (
        "BRAFT_LEADER_STEADY",
        "a leader serves once its first entry is applied",
    ),
];

type Lookup<'a> = &'a dyn Fn(&str) -> Option<String>;

/// The settings of the environment, and what is wrong with them.
pub(super) fn read(lookup: Lookup<'_>) -> (Layer, Vec<String>) {
    let mut reader = Reader {
        lookup,
        mistakes: Vec::new(),
    };
    let layer = Layer {
        discovery: reader.text("BRAFT_DISCOVERY"),
        k8s_namespace: reader.text("K8S_NAMESPACE"),
        k8s_labels: reader.text("K8S_LABELS"),
        k8s_portname: reader.text("K8S_PORTNAME"),
        mdns_service: reader.text("MDNS_SERVICE"),
        expect: reader.value("BRAFT_EXPECT", "a number of nodes, at least 1"),
        ip: reader.value("BRAFT_IP", "an IP address such as 10.0.0.1"),
        interface: reader.text("BRAFT_IF"),
        raft_port: reader.value("BRAFT_RPORT", "a port from 0 to 65535"),
        http_port: reader.value("BRAFT_HPORT", "a port from 0 to 65535"),
        name: reader.text("BRAFT_NAME"),
        cluster: reader.text("BRAFT_CLUSTER"),
        data_dir: reader.text("BRAFT_DATA_DIR").map(Into::into),
        heartbeat_ms: reader.value("BRAFT_HEARTBEAT_MS", "a number of milliseconds"),
        election_min_ms: reader.value("BRAFT_ELECTION_MIN_MS", "a number of milliseconds"),
        election_max_ms: reader.value("BRAFT_ELECTION_MAX_MS", "a number of milliseconds"),
        snapshot_every: reader.value("BRAFT_SNAPSHOT_EVERY", "a number of log entries"),
        snapshot_bytes: reader.value("BRAFT_SNAPSHOT_BYTES", "a number of bytes"),
        keep_log_entries: reader.value("BRAFT_KEEP_LOG_ENTRIES", "a number of log entries"),
        segment_bytes: reader.value("BRAFT_SEGMENT_BYTES", "a number of bytes"),
        disk_reserve_bytes: reader.value("BRAFT_DISK_RESERVE_BYTES", "a number of bytes"),
        max_connections: reader.value("BRAFT_MAX_CONNECTIONS", "a number of connections"),
        max_http_connections: reader.value("BRAFT_MAX_HTTP_CONNECTIONS", "a number of connections"),
        dead_after_ms: reader.value("BRAFT_DEAD_AFTER_MS", "a number of milliseconds"),
        min_voters: reader.value("BRAFT_MIN_VOTERS", "a number of nodes"),
        max_voters: reader.value("BRAFT_MAX_VOTERS", "a number of nodes"),
        on_panic: reader.value("BRAFT_ON_PANIC", "isolate or halt"),
        reflection: reader.disabled("DISABLE_GRPC_REFLECTION"),
        tls_cert: reader.text("BRAFT_TLS_CERT").map(Into::into),
        tls_key: reader.text("BRAFT_TLS_KEY").map(Into::into),
        tls_ca: reader.text("BRAFT_TLS_CA").map(Into::into),
        tls_client_ca: reader.text("BRAFT_TLS_CLIENT_CA").map(Into::into),
        tls_name: reader.text("BRAFT_TLS_NAME"),
        join_token: reader.text("BRAFT_JOIN_TOKEN").map(Hidden),
        join_token_file: reader.text("BRAFT_JOIN_TOKEN_FILE").map(Into::into),
        tokens_file: reader.text("BRAFT_TOKENS_FILE").map(Into::into),
    };
    (layer, reader.mistakes)
}

struct Reader<'a> {
    lookup: Lookup<'a>,
    mistakes: Vec<String>,
}

impl Reader<'_> {
    fn text(&self, name: &str) -> Option<String> {
        let short = NAMES
            .iter()
            .find(|(long, _)| *long == name)
            .map_or("", |(_, short)| short);
        let long = (self.lookup)(name);
        long.or_else(|| {
            if short.is_empty() {
                None
            } else {
                (self.lookup)(short)
            }
        })
    }

    fn value<T: FromStr>(&mut self, name: &str, expected: &str) -> Option<T> {
        let text = self.text(name)?;
        let value = text.trim().parse().ok();
        if value.is_none() {
            self.mistakes
                .push(format!("{name} must be {expected}, got {text:?}"));
        }
        value
    }

    /// A switch that turns something off.
    fn disabled(&mut self, name: &str) -> Option<bool> {
        match self.text(name)?.trim().to_lowercase().as_str() {
            "1" | "true" | "yes" | "on" => Some(false),
            "0" | "false" | "no" | "off" => Some(true),
            other => {
                self.mistakes
                    .push(format!("{name} must be true or false, got {other:?}"));
                None
            }
        }
    }
}

/// Logs a line for each name that looks like a setting and is none.
pub(super) fn warn_about_unknown(names: impl Iterator<Item = String>) {
    for name in names {
        if let Some(warning) = warning(&name) {
            tracing::warn!("{warning}");
        }
    }
}

fn warning(name: &str) -> Option<String> {
    if let Some((_, why)) = OBSOLETE.iter().find(|(obsolete, _)| *obsolete == name) {
        return Some(format!("{name} has no effect: {why}"));
    }
    if !name.starts_with("BRAFT_") || NAMES.iter().any(|(known, _)| *known == name) {
        return None;
    }
    let nearest = NAMES.iter().max_by_key(|(known, _)| alike(known, name))?;
    Some(format!(
        "{name} is not a setting and has no effect; is {} meant?",
        nearest.0
    ))
}

/// How many characters two names have in common, from either end.
fn alike(a: &str, b: &str) -> usize {
    let front = a.bytes().zip(b.bytes()).take_while(|(x, y)| x == y).count();
    let back = a
        .bytes()
        .rev()
        .zip(b.bytes().rev())
        .take_while(|(x, y)| x == y)
        .count();
    front + back
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read_from(pairs: &[(&str, &str)]) -> (Layer, Vec<String>) {
        read(&|name| {
            let found = pairs.iter().find(|(key, _)| *key == name);
            found.map(|(_, value)| (*value).to_owned())
        })
    }

    #[test]
    fn long_and_short_names_are_read_and_the_long_one_wins() {
        let (layer, mistakes) = read_from(&[("BRP", "1"), ("BHP", "2"), ("BRAFT_HPORT", "3")]);
        assert_eq!((layer.raft_port, layer.http_port), (Some(1), Some(3)));
        assert!(mistakes.is_empty());
    }

    #[test]
    fn every_mistake_names_the_variable_the_value_and_the_remedy() {
        let (_, mistakes) = read_from(&[
            ("BRAFT_RPORT", "70000"),
            ("BRAFT_EXPECT", "x"),
            ("DGR", "maybe"),
        ]);
        assert_eq!(mistakes.len(), 3);
        assert!(mistakes[1].contains("BRAFT_RPORT") && mistakes[1].contains("70000"));
    }

    #[test]
    fn the_manifest_for_kubernetes_sets_only_what_is_read() {
        let manifest = include_str!("../../../deploy/kubernetes/kv.yaml");
        let names = manifest.lines().filter_map(|line| {
            let name = line.trim_start().strip_prefix("- name: ")?;
            let variable = |byte: u8| byte.is_ascii_uppercase() || byte == b'_';
            name.bytes().next().is_some_and(variable).then_some(name)
        });
        let names: Vec<_> = names.collect();
        assert!(names.contains(&"BRAFT_DISCOVERY"), "{names:?}");
        for name in names {
            assert!(NAMES.iter().any(|(known, _)| *known == name), "{name}");
        }
    }

    #[test]
    fn unknown_and_obsolete_names_are_pointed_out() {
        assert!(warning("BRAFT_SLEEP").is_some_and(|text| text.contains("no effect")));
        assert!(warning("BRAFT_RAFTPORT").is_some_and(|text| text.contains("BRAFT_RPORT")));
        assert_eq!(warning("BRAFT_RPORT"), None);
        assert_eq!(warning("PATH"), None);
    }
}
