//! A fixed list of peers: `host1,host2:port,:port`.

use std::{collections::BTreeSet, fmt};

use futures_core::stream::BoxStream;
use futures_util::{StreamExt as _, stream};

use super::{Discovery, InvalidPeerAddress, PeerAddress, PeerSet, peer::parse_port};

/// Peers written down once; the set never changes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StaticList {
    peers: BTreeSet<PeerAddress>,
}

/// All mistakes in one static list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InvalidStaticList {
    /// Every mistake, in the order of the list; never empty.
    pub mistakes: Vec<InvalidItem>,
}

/// One mistake in a static list.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidItem {
    /// The whole list is empty.
    #[error("the list of peers is empty: name at least one, such as host1,host2:15000,:15000")]
    EmptyList,
    /// Nothing stands between two commas.
    #[error("item {position} is empty: remove the comma or name a peer")]
    Empty {
        /// Position in the list, from 1.
        position: usize,
    },
    /// An item is not an address.
    #[error("item {position} ({item:?}): {cause}")]
    Address {
        /// Position in the list, from 1.
        position: usize,
        /// The item as it was written.
        item: String,
        /// What is wrong with it.
        cause: InvalidPeerAddress,
    },
}

impl StaticList {
    /// Makes a list of addresses known to the program.
    pub fn new(peers: impl IntoIterator<Item = PeerAddress>) -> Self {
        Self {
            peers: peers.into_iter().collect(),
        }
    }

    /// Reads `host1,host2:port,:port`; `own` is this node's raft address.
    ///
    /// An item without port gets `own`'s port, one without host (`:port`) gets `own`'s host. Items
    /// that name the same host and port count once.
    ///
    /// # Errors
    /// All mistakes of the list at once.
    pub fn parse(text: &str, own: &PeerAddress) -> Result<Self, InvalidStaticList> {
        if text.trim().is_empty() {
            return Err(InvalidStaticList {
                mistakes: vec![InvalidItem::EmptyList],
            });
        }
        let mut peers = BTreeSet::new();
        let mut mistakes = Vec::new();
        for (index, item) in text.split(',').map(str::trim).enumerate() {
            match parse_item(item, index + 1, own) {
                Ok(peer) => {
                    peers.insert(peer);
                }
                Err(mistake) => mistakes.push(mistake),
            }
        }
        if mistakes.is_empty() {
            Ok(Self { peers })
        } else {
            Err(InvalidStaticList { mistakes })
        }
    }

    /// The peers of the list.
    pub fn addresses(&self) -> &BTreeSet<PeerAddress> {
        &self.peers
    }
}

fn parse_item(item: &str, position: usize, own: &PeerAddress) -> Result<PeerAddress, InvalidItem> {
    if item.is_empty() {
        return Err(InvalidItem::Empty { position });
    }
    let parsed = match item.strip_prefix(':') {
        // `::1` is an IPv6 address, not a port.
        Some(port) if !port.contains(':') => parse_port(port).map(|port| own.with_port(port)),
        _ => PeerAddress::parse_with_default_port(item, own.port()),
    };
    parsed.map_err(|cause| InvalidItem::Address {
        position,
        item: item.to_owned(),
        cause,
    })
}

impl Discovery for StaticList {
    fn name(&self) -> &str {
        "static"
    }

    fn peers(&self) -> BoxStream<'static, PeerSet> {
        let set = PeerSet {
            peers: self.peers.clone(),
            expect: Some(self.peers.len()),
        };
        // Pending after the one set, so that its end is not taken for a lost source.
        stream::once(async { set }).chain(stream::pending()).boxed()
    }
}

impl fmt::Display for InvalidStaticList {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, mistake) in self.mistakes.iter().enumerate() {
            let separator = if index == 0 { "" } else { "; " };
            write!(f, "{separator}{mistake}")?;
        }
        Ok(())
    }
}

impl std::error::Error for InvalidStaticList {}

#[cfg(test)]
mod tests {
    use super::*;

    fn own() -> PeerAddress {
        "me.local:15000".parse().expect("an address")
    }

    fn parsed(text: &str) -> Vec<String> {
        let list = StaticList::parse(text, &own()).expect(text);
        list.peers.iter().map(PeerAddress::to_string).collect()
    }

    #[test]
    fn fills_in_own_host_and_own_port() {
        assert_eq!(
            parsed("host1, host2:16000,:17000,10.0.0.1,::1,[::2]:18000"),
            [
                "10.0.0.1:15000",
                "[::1]:15000",
                "[::2]:18000",
                "host1:15000",
                "host2:16000",
                "me.local:17000"
            ]
        );
    }

    #[test]
    fn same_host_and_port_count_once() {
        assert_eq!(parsed("a,A:15000,a:15000,:15000,me.local").len(), 2);
    }

    #[tokio::test]
    async fn expects_as_many_as_it_lists() {
        let list = StaticList::parse("a,b,b:15000,c:1", &own()).expect("a list");
        let set = list.peers().next().await.expect("a first set");
        assert_eq!(set.expect, Some(3));
        assert_eq!(set.peers.len(), 3);
    }

    #[test]
    fn reports_all_mistakes_at_once_by_item() {
        let error = StaticList::parse("a,,b:x,10.0.0.300,:0,c", &own()).expect_err("four mistakes");
        assert_eq!(
            error.to_string(),
            "item 2 is empty: remove the comma or name a peer; \
             item 3 (\"b:x\"): port \"x\" is not a number from 1 to 65535; \
             item 4 (\"10.0.0.300\"): host \"10.0.0.300\" is neither a host name, an IPv4 address \
             nor an IPv6 address; \
             item 5 (\":0\"): port \"0\" is not a number from 1 to 65535"
        );
    }

    #[test]
    fn an_empty_list_is_refused() {
        let error = StaticList::parse("  ", &own()).expect_err("nothing named");
        assert_eq!(error.mistakes, [InvalidItem::EmptyList]);
    }
}
