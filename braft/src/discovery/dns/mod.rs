//! The domain name system: one name that stands for all nodes.
//!
//! | file | what it holds |
//! |---|---|
//! | `name.rs` | [`DnsName`]: which name, and for what it is looked up |
//! | `srv.rs` | service records (feature `dns`) |

mod name;
#[cfg(feature = "dns")]
mod srv;

use std::{collections::BTreeSet, fmt, io, sync::Arc, time::Duration};

use futures_core::{future::BoxFuture, stream::BoxStream};
use futures_util::{StreamExt as _, stream};

use super::{Discovery, PeerAddress, PeerSet};
pub use name::{DnsName, InvalidDnsName};

/// How often the name is looked up again.
const REFRESH: Duration = Duration::from_secs(5);
/// A lookup that failed is made again after this long, then twice as long, and so on.
const FIRST_PAUSE: Duration = Duration::from_secs(1);
const LONGEST_PAUSE: Duration = Duration::from_secs(30);
/// The longest one lookup may take.
const LOOKUP_WITHIN: Duration = Duration::from_secs(10);
/// Most peers taken from one answer.
const MAX_PEERS: usize = 256;

/// Peers behind a name, which is looked up again and again.
///
/// Every orchestrator has such names: `tasks.kv` of a swarm, a service of a compose file, a
/// headless service. Addresses come from the system's resolver, so `/etc/hosts` counts; service
/// records from the servers of `/etc/resolv.conf`, and need the feature `dns`.
pub struct Dns {
    name: String,
    lookup: Lookup,
}

type Found = io::Result<BTreeSet<PeerAddress>>;
type Lookup = Arc<dyn Fn() -> BoxFuture<'static, Found> + Send + Sync>;

impl Dns {
    /// Looks a name up. Service records are not found without the feature `dns`.
    pub fn new(name: DnsName) -> Self {
        let text = name.to_string();
        let lookup: Lookup = match name {
            DnsName::Host(host) => Arc::new(move || Box::pin(addresses(host.clone()))),
            #[cfg(feature = "dns")]
            DnsName::Srv(service) => Arc::new(move || Box::pin(srv::system(service.clone()))),
            #[cfg(not(feature = "dns"))]
            DnsName::Srv(_) => {
                Arc::new(|| Box::pin(async { Err(io::ErrorKind::Unsupported.into()) }))
            }
        };
        Self { name: text, lookup }
    }
}

impl fmt::Debug for Dns {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Dns").field("name", &self.name).finish()
    }
}

/// The addresses behind the name of a host.
async fn addresses(host: PeerAddress) -> Found {
    let found = host.resolve().await?;
    Ok(found.into_iter().map(PeerAddress::from).collect())
}

impl Discovery for Dns {
    fn name(&self) -> &str {
        "dns"
    }

    fn peers(&self) -> BoxStream<'static, PeerSet> {
        let refresh = Refresh {
            name: self.name.clone(),
            lookup: self.lookup.clone(),
            last: None,
            pause: None,
            failed: 0,
        };
        stream::unfold(refresh, |mut refresh| async {
            let peers = refresh.next_change().await;
            // How many are registered says nothing about how many there are to be.
            let expect = None;
            Some((PeerSet { peers, expect }, refresh))
        })
        .boxed()
    }
}

/// One stream's progress.
struct Refresh {
    name: String,
    lookup: Lookup,
    last: Option<BTreeSet<PeerAddress>>,
    /// Before the next lookup; none before the first.
    pause: Option<Duration>,
    /// Failures in a row.
    failed: u32,
}

impl Refresh {
    /// Looks up until the answer differs from the last one.
    async fn next_change(&mut self) -> BTreeSet<PeerAddress> {
        loop {
            if let Some(pause) = self.pause {
                tokio::time::sleep(pause).await;
            }
            match tokio::time::timeout(LOOKUP_WITHIN, (self.lookup)()).await {
                Ok(Ok(found)) => {
                    let found: BTreeSet<_> = found.into_iter().take(MAX_PEERS).collect();
                    (self.pause, self.failed) = (Some(REFRESH), 0);
                    if self.last.as_ref() != Some(&found) {
                        tracing::debug!(name = self.name, peers = ?found, "DNS sees");
                        self.last = Some(found.clone());
                        return found;
                    }
                }
                Ok(Err(error)) => self.failed(&error.to_string()),
                Err(_) => self.failed(&format!("no answer within {LOOKUP_WITHIN:?}")),
            }
        }
    }

    /// The last answer stays; the next lookup comes later and later.
    fn failed(&mut self, why: &str) {
        let pause = FIRST_PAUSE.saturating_mul(1 << self.failed.min(5));
        let pause = pause.min(LONGEST_PAUSE);
        if self.failed == 0 {
            tracing::warn!(
                name = self.name,
                "peers cannot be looked up: {why}; it is tried again until the name is there"
            );
        }
        self.failed = self.failed.saturating_add(1);
        self.pause = Some(pause);
    }
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;
    use std::sync::Mutex;

    use super::*;

    /// A name whose lookups are answered from a list; the last answer stays.
    fn scripted(answers: Vec<Result<&[&str], io::ErrorKind>>) -> Dns {
        let answers: VecDeque<Found> = answers
            .into_iter()
            .map(|answer| {
                let all = answer.map_err(io::Error::from)?;
                Ok(all
                    .iter()
                    .map(|text| text.parse().expect("an address"))
                    .collect())
            })
            .collect();
        let answers = Mutex::new(answers);
        Dns {
            name: "nodes".to_owned(),
            lookup: Arc::new(move || {
                let mut answers = answers.lock().expect("not poisoned");
                let answer = answers
                    .pop_front()
                    .expect("no lookup after the last answer");
                Box::pin(std::future::ready(answer))
            }),
        }
    }

    async fn next(sets: &mut BoxStream<'static, PeerSet>) -> Vec<String> {
        let set = sets.next().await.expect("the stream does not end");
        assert_eq!(set.expect, None);
        set.peers.iter().map(PeerAddress::to_string).collect()
    }

    #[tokio::test(start_paused = true)]
    async fn a_name_is_looked_up_again_and_its_last_answer_outlives_failures() {
        let missing = io::ErrorKind::NotFound;
        let dns = scripted(vec![
            Err(missing),
            Ok(&["10.0.0.1:1"]),
            Ok(&["10.0.0.1:1"]),
            Err(missing),
            Ok(&["10.0.0.2:1", "10.0.0.3:1"]),
            Ok(&[]),
        ]);
        let mut sets = dns.peers();
        assert_eq!(next(&mut sets).await, ["10.0.0.1:1"]);
        assert_eq!(next(&mut sets).await, ["10.0.0.2:1", "10.0.0.3:1"]);
        assert!(next(&mut sets).await.is_empty());
    }

    #[tokio::test(start_paused = true)]
    async fn failing_lookups_come_less_and_less_often() {
        let start = tokio::time::Instant::now();
        let mut answers = vec![Err(io::ErrorKind::NotFound); 8];
        answers.push(Ok(&["10.0.0.1:1"][..]));
        next(&mut scripted(answers).peers()).await;
        // 1 + 2 + 4 + 8 + 16, then 30 each.
        assert_eq!(start.elapsed().as_secs(), 31 + 3 * 30);
    }

    #[tokio::test]
    async fn the_addresses_of_a_name_get_its_port() {
        let name = DnsName::parse("localhost:7", 9).expect("a name");
        let set = next(&mut Dns::new(name).peers()).await;
        assert!(set.contains(&"127.0.0.1:7".to_owned()), "{set:?}");
    }
}
