//! What `BRAFT_DISCOVERY` may say.

use std::sync::Arc;

use super::{Discovery, InvalidStaticList, PeerAddress, StaticList};

/// Ways of discovery that have a name but are not part of this build, with their spellings.
const NOT_BUILT: [(&str, &str); 4] = [
    ("mdns", "mDNS"),
    ("k8s", "Kubernetes"),
    ("kubernetes", "Kubernetes"),
    ("dns", "DNS"),
];

/// A way of discovery as the user wrote it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DiscoverySpec {
    /// `static:host1,host2:port,:port`, or the list alone.
    Static(StaticList),
}

/// Why a text names no way of discovery.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidDiscovery {
    /// The static list has mistakes.
    #[error(transparent)]
    StaticList(#[from] InvalidStaticList),
    /// A known way that this build leaves out.
    #[error(
        "{way} discovery ({text:?}) is not available in this build: list the peers instead, \
         such as host1,host2:15000; write static:{text} if that is a host's name"
    )]
    NotBuilt {
        /// What the way is called.
        way: &'static str,
        /// What the user wrote.
        text: String,
    },
}

impl DiscoverySpec {
    /// Reads a way of discovery; `own` is this node's raft address, see [`StaticList::parse`].
    ///
    /// # Errors
    /// See [`InvalidDiscovery`].
    pub fn parse(text: &str, own: &PeerAddress) -> Result<Self, InvalidDiscovery> {
        let text = text.trim();
        if let Some(list) = text.strip_prefix("static:") {
            return Ok(Self::Static(StaticList::parse(list, own)?));
        }
        let scheme = text.split_once(':').map_or(text, |(scheme, _)| scheme);
        if let Some((_, way)) = NOT_BUILT.iter().find(|(name, _)| *name == scheme) {
            return Err(InvalidDiscovery::NotBuilt {
                way,
                text: text.to_owned(),
            });
        }
        Ok(Self::Static(StaticList::parse(text, own)?))
    }

    /// Sets the way of discovery up.
    pub fn build(self) -> Arc<dyn Discovery> {
        match self {
            Self::Static(list) => Arc::new(list),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<DiscoverySpec, InvalidDiscovery> {
        DiscoverySpec::parse(text, &"me:15000".parse().expect("an address"))
    }

    #[test]
    fn the_prefix_static_may_be_left_out() {
        assert_eq!(parse("static:a,b:1"), parse("a,b:1"));
        assert_eq!(parse("a,b").expect("a list").build().name(), "static");
    }

    #[test]
    fn ways_left_out_of_this_build_say_so() {
        for text in [
            "mdns",
            "mdns:_x._tcp",
            "k8s",
            "k8s:namespace=a,portname=b",
            "dns:a.b",
        ] {
            let error = parse(text).expect_err("not in this build").to_string();
            assert!(error.contains("not available in this build"), "{error}");
        }
    }

    #[test]
    fn a_host_whose_name_begins_like_a_way_is_a_host() {
        assert!(parse("dns1.example,mdns-host:1").is_ok());
        assert!(parse("static:mdns").is_ok());
    }
}
