//! List, then watch, for ever.
//!
//! <https://kubernetes.io/docs/reference/using-api/api-concepts/#efficient-detection-of-changes>
//!
//! Not kube's own watcher: that one begins the next watch without a pause when the server ends
//! one, and asks again for a version that was refused as gone with status 410.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use futures_core::stream::BoxStream;
use futures_util::StreamExt as _;
use kube::api::{ListParams, WatchParams};
use kube::core::{Status, WatchEvent};
use kube::{Api, ResourceExt as _};
use tokio::time::{Instant, sleep, timeout, timeout_at};

use super::Kubernetes;
use super::connect::{self, in_words, refusal};
use super::pace::Pace;
use super::tell::{Tells, Told};
use crate::discovery::PeerSet;

/// Objects asked for with one request.
const PAGE: u32 = 250;
/// Pages of one list; a selector that fits more is a mistake.
const MAX_PAGES: usize = 16;
/// Objects kept: what is told by further ones is not taken in.
const MAX_OBJECTS: usize = PAGE as usize * MAX_PAGES;
/// The longest until a list is there or a watch has begun.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(30);
/// Seconds after which the server ends a watch. A connection that is dead without a sign is noticed
/// after that time.
const WATCH_SECONDS: u32 = 60;
/// How much later than it should a server may end a watch.
const GRACE: Duration = Duration::from_secs(5);
const GONE: u16 = 410;

/// A watch over the objects of one kind, kept going.
pub(super) struct Watch<K> {
    source: Kubernetes,
    api: Option<Api<K>>,
    stage: Stage<K>,
    /// What each object tells, by its name; `None` before the first list.
    told: Option<BTreeMap<String, Told>>,
    last: Option<PeerSet>,
    /// The ports there are instead of the wanted one, as last reported.
    ports_instead: BTreeSet<String>,
    pace: Pace,
}

/// What comes next.
enum Stage<K> {
    List,
    /// Changes after this version are asked for.
    Begin {
        version: String,
    },
    Watching {
        version: String,
        since: Instant,
        events: Events<K>,
    },
}

type Events<K> = BoxStream<'static, kube::Result<WatchEvent<K>>>;

/// Why the present stage is over.
enum Setback {
    /// A watch ended; the next one goes on where it stopped.
    Ended { lasted: Duration, why: String },
    /// The version to go on from is no longer kept.
    Gone { lasted: Duration },
    /// A request failed, or the server has trouble of its own.
    Failed {
        reason: String,
        pause: Option<Duration>,
    },
}

impl<K: Tells> Watch<K> {
    pub(super) fn new(source: Kubernetes) -> Self {
        Self {
            source,
            api: None,
            stage: Stage::List,
            told: None,
            last: None,
            ports_instead: BTreeSet::new(),
            pace: Pace::new(),
        }
    }

    /// The set as soon as it is known, then at each change.
    pub(super) async fn next(&mut self) -> PeerSet {
        loop {
            if let Err(setback) = self.step().await {
                self.recover(setback).await;
            }
            if let Some(set) = self.changed() {
                return set;
            }
        }
    }

    async fn step(&mut self) -> Result<(), Setback> {
        match &mut self.stage {
            Stage::List => {
                let api = self.api().await?;
                let (told, version) = list(&api, &self.source).await?;
                self.told = Some(told);
                self.stage = Stage::Begin { version };
                Ok(())
            }
            Stage::Begin { version } => {
                let version = std::mem::take(version);
                self.begin(version).await
            }
            Stage::Watching {
                version,
                since,
                events,
            } => {
                let event = next_event(*since, events).await?;
                let told = self.told.get_or_insert_default();
                *version = take_in(event, *since, told, &self.source.port_name)?;
                Ok(())
            }
        }
    }

    async fn begin(&mut self, version: String) -> Result<(), Setback> {
        let api = self.api().await?;
        let params = WatchParams::default()
            .labels(&self.source.selector())
            .timeout(WATCH_SECONDS);
        let begun = timeout(REQUEST_TIMEOUT, api.watch(&params, &version)).await;
        let events = begun.map_err(|_| too_slow())?.map_err(Setback::from)?;
        if self.pace.watching() {
            tracing::info!("watching {}", self.source);
        }
        self.stage = Stage::Watching {
            version,
            since: Instant::now(),
            events: events.boxed(),
        };
        Ok(())
    }

    /// The API, connected to anew after each failure: credentials may have been replaced.
    async fn api(&mut self) -> Result<Api<K>, Setback> {
        if let Some(api) = &self.api {
            return Ok(api.clone());
        }
        let client = connect::client(self.source.kubeconfig.as_deref());
        let client = client.await.map_err(|error| Setback::Failed {
            reason: in_words(&error),
            pause: None,
        })?;
        let api = match &self.source.namespace {
            Some(namespace) => Api::namespaced(client, namespace),
            None => Api::default_namespaced(client),
        };
        self.api = Some(api.clone());
        Ok(api)
    }

    async fn recover(&mut self, setback: Setback) {
        let stage = std::mem::replace(&mut self.stage, Stage::List);
        let pause = match setback {
            Setback::Ended { lasted, why } => {
                if let Stage::Watching { version, .. } = stage
                    && !version.is_empty()
                {
                    self.stage = Stage::Begin { version };
                }
                tracing::debug!("the watch over {} is begun again: {why}", self.source);
                self.after_watch(lasted, &why)
            }
            Setback::Gone { lasted } => {
                tracing::debug!("{} are listed again: the version is gone", self.source);
                self.after_watch(lasted, "the version to go on from is gone at once")
            }
            Setback::Failed { reason, pause } => {
                self.api = None;
                if self.pace.failing(&reason) {
                    tracing::warn!(
                        "{} cannot be watched, what was last seen stays valid, trying again: \
                         {reason}",
                        self.source
                    );
                }
                self.pace.after_failure(pause)
            }
        };
        sleep(pause).await;
    }

    fn after_watch(&mut self, lasted: Duration, why: &str) -> Duration {
        let (pause, said) = self.pace.after_watch(lasted);
        if said {
            tracing::warn!(
                "each watch over {} ends as soon as it has begun, changes are seen late: {why}",
                self.source
            );
        }
        pause
    }

    /// The set, if it is another than before.
    fn changed(&mut self) -> Option<PeerSet> {
        let told = self.told.as_ref()?;
        let set = PeerSet {
            peers: told.values().flat_map(|told| told.peers.clone()).collect(),
            expect: None,
        };
        let ports = told.values().filter_map(|told| told.ports_instead.clone());
        let ports: BTreeSet<String> = ports.flatten().collect();
        if ports != self.ports_instead {
            if set.peers.is_empty() && !ports.is_empty() {
                let names: Vec<_> = ports.iter().map(String::as_str).collect();
                tracing::warn!(
                    "{} have no port named {:?}, only {}: set portname or K8S_PORTNAME",
                    self.source,
                    self.source.port_name,
                    names.join(", ")
                );
            }
            self.ports_instead = ports;
        }
        if self.last.as_ref() == Some(&set) {
            return None;
        }
        tracing::info!("{} tell of {} addresses", self.source, set.peers.len());
        self.last = Some(set.clone());
        Some(set)
    }
}

async fn next_event<K>(since: Instant, events: &mut Events<K>) -> Result<WatchEvent<K>, Setback> {
    let end = since + Duration::from_secs(WATCH_SECONDS.into()) + GRACE;
    let why = match timeout_at(end, events.next()).await {
        Ok(Some(Ok(event))) => return Ok(event),
        Ok(Some(Err(error))) => in_words(&error),
        Ok(None) => "the server ended it".to_owned(),
        Err(_) => "the server did not end it in time".to_owned(),
    };
    let lasted = since.elapsed();
    Err(Setback::Ended { lasted, why })
}

/// Carries a change over to what is told; the version to go on from.
fn take_in<K: Tells>(
    event: WatchEvent<K>,
    since: Instant,
    told: &mut BTreeMap<String, Told>,
    port_name: &str,
) -> Result<String, Setback> {
    match event {
        WatchEvent::Bookmark(mark) => Ok(mark.metadata.resource_version),
        WatchEvent::Added(object) | WatchEvent::Modified(object) => {
            let name = object.name_any();
            if told.len() >= MAX_OBJECTS && !told.contains_key(&name) {
                return Err(too_many());
            }
            told.insert(name, object.tell(port_name));
            Ok(object.resource_version().unwrap_or_default())
        }
        WatchEvent::Deleted(object) => {
            told.remove(&object.name_any());
            Ok(object.resource_version().unwrap_or_default())
        }
        WatchEvent::Error(status) => Err(match Setback::from(*status) {
            Setback::Gone { .. } => Setback::Gone {
                lasted: since.elapsed(),
            },
            other => other,
        }),
    }
}

/// All objects with the version they are of, page by page.
async fn list<K: Tells>(
    api: &Api<K>,
    source: &Kubernetes,
) -> Result<(BTreeMap<String, Told>, String), Setback> {
    let mut params = ListParams::default().labels(&source.selector()).limit(PAGE);
    let mut all = BTreeMap::new();
    for _ in 0..MAX_PAGES {
        let page = timeout(REQUEST_TIMEOUT, api.list(&params)).await;
        let page = page.map_err(|_| too_slow())?.map_err(Setback::from)?;
        for object in page.items {
            all.insert(object.name_any(), object.tell(&source.port_name));
        }
        if let Some(token) = page.metadata.continue_.filter(|token| !token.is_empty()) {
            params = params.continue_token(&token);
            continue;
        }
        let version = page.metadata.resource_version;
        return match version.filter(|version| !version.is_empty()) {
            Some(version) => Ok((all, version)),
            None => Err(Setback::failed("the API server's list has no version")),
        };
    }
    Err(too_many())
}

fn too_slow() -> Setback {
    Setback::failed("the API server does not answer")
}

fn too_many() -> Setback {
    Setback::failed(&format!(
        "there are more than {MAX_OBJECTS} of them: narrow the labels"
    ))
}

impl Setback {
    fn failed(reason: &str) -> Self {
        Self::Failed {
            reason: reason.to_owned(),
            pause: None,
        }
    }
}

impl From<Status> for Setback {
    fn from(status: Status) -> Self {
        if status.code == GONE {
            let lasted = Duration::ZERO;
            return Self::Gone { lasted };
        }
        let details = status.details.as_ref();
        let seconds = details.map_or(0, |details| details.retry_after_seconds);
        Self::Failed {
            reason: refusal(&status),
            pause: Some(Duration::from_secs(seconds.into())),
        }
    }
}

impl From<kube::Error> for Setback {
    fn from(error: kube::Error) -> Self {
        match error {
            kube::Error::Api(status) => (*status).into(),
            other => Self::failed(&in_words(&other)),
        }
    }
}
