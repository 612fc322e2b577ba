//! Service records (RFC 2782): a host and a port for each node.

use std::{collections::BTreeSet, io};

use hickory_resolver::TokioResolver;
use hickory_resolver::proto::rr::RData;
use hickory_resolver::proto::rr::rdata::SRV;

use super::Found;
use crate::discovery::{Host, PeerAddress};

/// Asks the servers of `/etc/resolv.conf`, which is read each time: it may have changed.
pub(super) async fn system(service: String) -> Found {
    let builder = TokioResolver::builder_tokio().map_err(io::Error::other)?;
    let mut builder = builder;
    // Whoever asks again wants to know what is new.
    builder.options_mut().cache_size = 0;
    lookup(&builder.build().map_err(io::Error::other)?, service).await
}

async fn lookup(resolver: &TokioResolver, service: String) -> Found {
    let answer = resolver
        .srv_lookup(service)
        .await
        .map_err(io::Error::other)?;
    let records = answer
        .answers()
        .iter()
        .filter_map(|record| match &record.data {
            RData::SRV(srv) => Some(srv),
            _ => None,
        });
    Ok(records.filter_map(target).collect::<BTreeSet<_>>())
}

/// Where a record points. Its host is resolved at each contact, like any other name. Priority and
/// weight play no part: every node is contacted.
fn target(record: &SRV) -> Option<PeerAddress> {
    // A single dot says that the service is not there, and is no name of a host.
    let host: Host = record.target.to_utf8().parse().ok()?;
    (record.port != 0).then(|| PeerAddress::new(host, record.port))
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;
    use std::sync::{Arc, Mutex};

    use futures_util::StreamExt as _;
    use hickory_resolver::config::{ConnectionConfig, NameServerConfig, ResolverConfig};
    use hickory_resolver::net::runtime::TokioRuntimeProvider;
    use hickory_resolver::proto::op::{Message, ResponseCode};
    use hickory_resolver::proto::rr::{Name, Record};
    use tokio::net::UdpSocket;

    use super::*;
    use crate::discovery::Discovery as _;
    use crate::discovery::dns::Dns;

    const SERVICE: &str = "_braft._tcp.nodes.test.";

    /// Hosts and ports in the zone.
    type Zone = Arc<Mutex<Vec<(&'static str, u16)>>>;

    /// A server with one name in its zone, on loopback; its port.
    async fn server(zone: Zone) -> u16 {
        let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0))
            .await
            .expect("loopback has a free port");
        let port = socket.local_addr().expect("it is bound").port();
        tokio::spawn(async move {
            let mut bytes = [0; 1232];
            loop {
                let (length, from) = socket.recv_from(&mut bytes).await.expect("loopback");
                let query = Message::from_vec(&bytes[..length]).expect("a query");
                let answer = answer(&query, &zone.lock().expect("not poisoned"));
                let answer = answer.to_vec().expect("an answer");
                socket.send_to(&answer, from).await.expect("loopback");
            }
        });
        port
    }

    fn answer(query: &Message, zone: &[(&str, u16)]) -> Message {
        let mut answer = Message::response(query.metadata.id, query.metadata.op_code);
        let question = query.queries[0].clone();
        let name: Name = SERVICE.parse().expect("a name");
        if zone.is_empty() || question.name() != &name {
            answer.metadata.response_code = ResponseCode::NXDomain;
        } else {
            answer.add_answers(zone.iter().map(|(host, port)| {
                let srv = SRV::new(0, 0, *port, host.parse().expect("a name"));
                Record::from_rdata(name.clone(), 60, RData::SRV(srv))
            }));
        }
        answer.add_query(question);
        answer
    }

    /// As [`system`], at a server of one's own.
    async fn lookup_at(port: u16, service: String) -> Found {
        let mut udp = ConnectionConfig::udp();
        udp.port = port;
        let mut server = NameServerConfig::udp(Ipv4Addr::LOCALHOST.into());
        server.connections = vec![udp];
        let config = ResolverConfig::from_parts(None, vec![], vec![server]);
        let provider = TokioRuntimeProvider::default();
        let resolver = TokioResolver::builder_with_config(config, provider).build();
        lookup(&resolver.map_err(io::Error::other)?, service).await
    }

    fn written(found: &BTreeSet<PeerAddress>) -> Vec<String> {
        found.iter().map(ToString::to_string).collect()
    }

    #[tokio::test]
    async fn service_records_give_hosts_and_ports_and_are_looked_up_again() {
        let zone = Zone::default();
        zone.lock()
            .unwrap()
            .extend([("a.nodes.test.", 1), ("b.nodes.test.", 2)]);
        let port = server(zone.clone()).await;
        let dns = Dns {
            name: SERVICE.to_owned(),
            lookup: Arc::new(move || Box::pin(lookup_at(port, SERVICE.to_owned()))),
        };
        let mut sets = dns.peers();
        let set = sets.next().await.expect("it does not end");
        assert_eq!(written(&set.peers), ["a.nodes.test:1", "b.nodes.test:2"]);
        assert_eq!(set.expect, None);
        *zone.lock().unwrap() = vec![("c.nodes.test.", 3)];
        let set = sets.next().await.expect("it does not end");
        assert_eq!(written(&set.peers), ["c.nodes.test:3"]);
    }

    #[tokio::test]
    async fn records_that_point_nowhere_are_left_out_and_a_missing_name_is_an_error() {
        let zone = Zone::default();
        let port = server(zone.clone()).await;
        let found = lookup_at(port, SERVICE.to_owned()).await;
        assert!(found.is_err(), "{found:?}");
        zone.lock()
            .unwrap()
            .extend([(".", 1), ("a.test.", 0), ("b.test.", 2)]);
        let found = lookup_at(port, SERVICE.to_owned())
            .await
            .expect("an answer");
        assert_eq!(written(&found), ["b.test:2"]);
    }
}
