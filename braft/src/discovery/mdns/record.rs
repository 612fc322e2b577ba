//! What a node says of itself by mDNS, and how what another one says is read.

use std::collections::HashMap;

use mdns_sd::{ResolvedService, ServiceInfo};

use super::ServiceType;
use crate::discovery::{Announcement, Host};

/// Longest name of an instance: 255 bytes (RFC 1035, section 2.3.4), each of them escaped.
const MAX_INSTANCE_NAME: usize = 4 * 255;

/// The record of this node.
pub(super) fn own_record(
    service: &ServiceType,
    own: &Announcement,
) -> mdns_sd::Result<ServiceInfo> {
    let instance = format!("{:016x}", own.node_id);
    let host = format!("braft-{instance}.local.");
    let port = own.address.port();
    let properties = HashMap::from([
        ("cluster".to_owned(), own.cluster_name.clone()),
        ("node".to_owned(), instance.clone()),
        ("port".to_owned(), port.to_string()),
        ("version".to_owned(), env!("CARGO_PKG_VERSION").to_owned()),
    ]);
    let domain = service.domain();
    let mut record = match own.address.host() {
        Host::Ip(ip) => ServiceInfo::new(&domain, &instance, &host, *ip, port, properties)?,
        Host::Name(_) => {
            ServiceInfo::new(&domain, &instance, &host, "", port, properties)?.enable_addr_auto()
        }
    };
    // Node ids are random: nobody else has the name, and asking would cost a second at each start.
    record.set_requires_probe(false);
    Ok(record)
}

/// What a record says of the node that announces it.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Said<'r> {
    pub(super) cluster: &'r str,
    pub(super) node_id: u64,
    pub(super) port: u16,
}

/// A record under this service's name that no node wrote.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum Malformed {
    #[error("its name has more than {MAX_INSTANCE_NAME} bytes")]
    Name,
    #[error("its text names no cluster")]
    Cluster,
    #[error("its text has no node id of 16 hexadecimal digits")]
    NodeId,
    #[error("its text and its service record do not name the same port, above 0")]
    Port,
}

/// Reads a record as the network gave it: any bytes.
pub(super) fn read(service: &ResolvedService) -> Result<Said<'_>, Malformed> {
    if service.fullname.len() > MAX_INSTANCE_NAME {
        return Err(Malformed::Name);
    }
    let cluster = property(service, "cluster").filter(|name| !name.is_empty());
    let cluster = cluster.ok_or(Malformed::Cluster)?;
    let node_id = property(service, "node").and_then(node_id);
    let node_id = node_id.ok_or(Malformed::NodeId)?;
    let port = service.get_port();
    let said = property(service, "port").and_then(|text| text.parse().ok());
    if port == 0 || said != Some(port) {
        return Err(Malformed::Port);
    }
    Ok(Said {
        cluster,
        node_id,
        port,
    })
}

/// The library's own reading gives an empty text for what is none.
fn property<'r>(service: &'r ResolvedService, name: &str) -> Option<&'r str> {
    let value = service.get_property_val(name)??;
    std::str::from_utf8(value).ok()
}

/// Reads a node id: 16 hexadecimal digits.
fn node_id(text: &str) -> Option<u64> {
    let digits = text.len() == 16 && text.bytes().all(|byte| byte.is_ascii_hexdigit());
    digits.then(|| u64::from_str_radix(text, 16).ok())?
}
