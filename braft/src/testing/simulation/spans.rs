//! The spans of one command, from its client to every replica.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use serde::{Deserialize, Serialize};
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Subscriber};
use tracing_subscriber::Layer;
use tracing_subscriber::filter::filter_fn;
use tracing_subscriber::layer::{Context, SubscriberExt};

use super::{Network, simulate};
use crate::config::Seams;
use crate::raft_service;
use crate::storage::fs::faults::FaultFs;
use crate::testing::TestResult;
use crate::testing::cluster::{Cluster, TestNode};

const NODES: usize = 3;

#[raft_service(crate = crate)]
#[derive(Default, Serialize, Deserialize)]
struct Tally {
    votes: u64,
}

#[raft_service(crate = crate)]
impl Tally {
    fn vote(&mut self) -> u64 {
        self.votes += 1;
        self.votes
    }
}

type Fields = BTreeMap<&'static str, String>;

/// A span, or an event in one.
#[derive(Clone, Debug, Default)]
struct Seen {
    name: String,
    fields: Fields,
    /// The spans that it is in or follows from, by their places among all.
    inside: Option<usize>,
    follows: Vec<usize>,
}

/// What was seen, in the order in which it began, and which spans are open.
#[derive(Default)]
struct All {
    seen: Vec<Seen>,
    open: BTreeMap<u64, usize>,
}

#[derive(Clone, Default)]
struct Watch(Arc<Mutex<All>>);

impl Watch {
    fn all<T>(&self, look: impl FnOnce(&mut All) -> T) -> T {
        look(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Visit for Seen {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        let text = format!("{value:?}");
        match field.name() {
            "message" => self.name = text,
            name => drop(self.fields.insert(name, text)),
        }
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.fields.insert(field.name(), value.to_owned());
    }
}

impl<S: Subscriber> Layer<S> for Watch {
    fn on_new_span(&self, attributes: &Attributes<'_>, id: &Id, context: Context<'_, S>) {
        let current = context.current_span().id().map(Id::into_u64);
        self.all(|all| {
            let mut span = Seen {
                name: attributes.metadata().name().to_owned(),
                inside: current.and_then(|id| all.open.get(&id).copied()),
                ..Seen::default()
            };
            attributes.record(&mut span);
            all.open.insert(id.into_u64(), all.seen.len());
            all.seen.push(span);
        });
    }

    fn on_record(&self, id: &Id, values: &Record<'_>, _: Context<'_, S>) {
        self.all(|all| {
            if let Some(at) = all.open.get(&id.into_u64()) {
                values.record(&mut all.seen[*at]);
            }
        });
    }

    fn on_follows_from(&self, id: &Id, cause: &Id, _: Context<'_, S>) {
        self.all(|all| {
            let [at, cause] = [id, cause].map(|id| all.open.get(&id.into_u64()).copied());
            if let (Some(at), Some(cause)) = (at, cause) {
                all.seen[at].follows.push(cause);
            }
        });
    }

    fn on_event(&self, event: &Event<'_>, context: Context<'_, S>) {
        let current = context.current_span().id().map(Id::into_u64);
        self.all(|all| {
            let mut seen = Seen {
                inside: current.and_then(|id| all.open.get(&id).copied()),
                ..Seen::default()
            };
            event.record(&mut seen);
            all.seen.push(seen);
        });
    }
}

/// One command, sent by a node that does not lead.
async fn play(network: Network) -> TestResult {
    let cluster = Cluster::<Tally>::boot_seamed(
        NODES,
        Some(network),
        None,
        Box::new(|_, seams, config| {
            config.expect_nodes(NODES).seams(Seams {
                fs: Arc::new(FaultFs::default().of_this_life()),
                ..seams
            })
        }),
    )
    .await?;
    let leader = cluster.leader().await?;
    let other = TestNode((leader.0 + 1) % NODES);
    cluster.node(other)?.ready().await;
    let tally = cluster.client_at(other)?;
    assert_eq!(tally.vote().await?, 1);
    cluster.converged().await?;
    cluster.stop_all().await;
    Ok(())
}

#[test]
fn a_command_is_followed_by_its_request_id_from_its_client_to_each_replica() {
    let watch = Watch::default();
    let ours = filter_fn(|what| what.target().starts_with("braft"));
    // While there is one dispatcher alone, the thread that comes first to a span decides for all whether
    // anybody wants it, and that may be the thread of another test.
    let _another = tracing::dispatcher::Dispatch::new(tracing_subscriber::registry());
    let subscriber = tracing_subscriber::registry().with(watch.clone().with_filter(ours));
    let played = tracing::subscriber::with_default(subscriber, || simulate(1, play));
    played.unwrap_or_else(|error| panic!("{error}"));
    let all = watch.all(|all| std::mem::take(&mut all.seen));
    let named = |name: &str| {
        let seen = all.iter().enumerate();
        let found = seen.filter(|(_, seen)| seen.name == name);
        found.collect::<Vec<_>>()
    };
    let is_ours = |(_, seen): &(usize, &Seen)| {
        let service = seen.fields.get("service");
        service.is_some_and(|service| service == "Tally")
    };

    let commands: Vec<_> = named("command").into_iter().filter(is_ours).collect();
    let [(_, command)] = commands[..] else {
        panic!("one call has one span: {commands:?}");
    };
    let id_of = |seen: &Seen| ["session", "sequence"].map(|field| seen.fields.get(field).cloned());
    let request = id_of(command);
    assert!(request.iter().all(Option::is_some), "{command:?}");

    let served: Vec<_> = named("serve").into_iter().filter(is_ours).collect();
    let [(serve_at, serve)] = served[..] else {
        panic!("one node answers: {served:?}");
    };
    assert_eq!(id_of(serve), request);
    assert_eq!(serve.fields["method"], "vote");
    assert_eq!(serve.fields["outcome"], "answered");

    let entries = named("entry").into_iter();
    let entries: Vec<_> = entries
        .filter(|(_, entry)| entry.follows.contains(&serve_at))
        .collect();
    let [(_, entry)] = entries[..] else {
        panic!("it is in one entry: {entries:?}");
    };
    let number = |seen: &Seen, field: &str| {
        let text = seen.fields.get(field);
        text.and_then(|text| text.parse::<u64>().ok())
            .unwrap_or_default()
    };
    let index = number(entry, "index");
    assert!(index > 0, "{entry:?}");

    let synced = named("sync").into_iter();
    let synced =
        synced.filter(|(_, sync)| (number(sync, "first")..=number(sync, "last")).contains(&index));
    assert!(synced.count() >= NODES, "each node syncs entry {index}");

    let carried = named("a command is carried out").into_iter();
    let carried: Vec<_> = carried.filter(|(_, line)| id_of(line) == request).collect();
    assert_eq!(carried.len(), NODES, "{carried:?}");
    for (_, line) in carried {
        let apply = line.inside.map(|at| &all[at]);
        let is_its_own =
            apply.is_some_and(|apply| apply.name == "apply" && number(apply, "index") == index);
        assert!(is_its_own, "{line:?} in {apply:?}");
    }
}
