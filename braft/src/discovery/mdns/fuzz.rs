//! Records as anybody on the network may announce them, for tests that feed the reader anything.

use std::collections::HashMap;

use mdns_sd::ServiceInfo;

use super::ServiceType;
use super::record::Instances;
use crate::discovery::Announcement;

/// Lines: instance, host, port, addresses, then `name=value` for each property.
pub(crate) fn records() -> Vec<Vec<u8>> {
    let record = |addresses: &str| {
        format!(
            "0000000000000002\nbraft-2.local.\n15000\n{addresses}\ncluster=ours\n\
             node=0000000000000002\nport=15000\nversion=0.1.0"
        )
        .into_bytes()
    };
    vec![record("10.0.0.2,10.0.0.3"), record("fd00::7")]
}

/// Reads a record; whether it is that of a peer.
pub(crate) fn read(bytes: &[u8]) -> bool {
    let text = String::from_utf8_lossy(bytes);
    let mut lines = text.lines();
    let mut next = || lines.next().unwrap_or_default();
    let (instance, host, port, addresses) = (next(), next(), next(), next());
    let properties = lines.filter_map(|line| line.split_once('='));
    let properties: HashMap<String, String> = properties
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .collect();
    let port = port.parse().unwrap_or_default();
    let domain = ServiceType::default().domain();
    // What the library itself refuses does not come this far.
    let record = ServiceInfo::new(&domain, instance, host, addresses, port, properties);
    let (Ok(record), Ok(address)) = (record, "10.0.0.1:15000".parse()) else {
        return false;
    };
    let mut instances = Instances::new(Announcement {
        cluster_name: "ours".to_owned(),
        node_id: 1,
        address,
    });
    instances.resolved(&record.as_resolved_service())
}
