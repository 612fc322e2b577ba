//! From a configuration to a running node.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, OnceLock};

use tokio::sync::{Notify, Semaphore, watch};

use super::core::{Core, Parts, Stopped};
use super::feed::MAX_SUBSCRIBERS;
use super::leaderships::Leaderships;
use super::status::About;
use super::tasks::Tasks;
use super::{Inner, Node, door, leading, watchers};
use crate::call::Channel;
use crate::client::Caller;
use crate::cluster::formation::{
    Formation, Identity as FormationIdentity, PromiseRecord, Start, Timing,
};
use crate::cluster::joining::Joiner;
use crate::cluster::ports::{self, Formed, Host};
use crate::codec;
use crate::config::{Config, Resolved};
use crate::discovery::Announcement;
use crate::error::Error;
use crate::machine::Machine;
use crate::member::display_id;
use crate::metrics::CallsFigures;
#[cfg(feature = "planted")]
use crate::planted::{self, Bug};
use crate::raft::network::{Identity, Peers, RaftService};
use crate::raft::{RaftOptions, RaftSlot};
use crate::server::calls::Calls;
use crate::server::{AdminService, Admission, ClusterService, Greeting, grpc, http};
use crate::storage::fs::Fs;
use crate::storage::node_dir::NodeDir;
use crate::storage::snapshot::SnapshotStore;
use crate::storage::wal::{Wal, WalOptions};

/// Starts a node and returns once it serves; it then forms or joins its cluster by itself.
///
/// Installs no signal handler and no log subscriber. Must be called within a tokio runtime.
///
/// # Errors
/// If the configuration contradicts itself, a port is taken, or the data directory cannot be used;
/// the message names the thing and the remedy.
pub async fn start(config: Config) -> Result<Node, Error> {
    check_panics(cfg!(panic = "abort"))?;
    let mut resolved = config.resolve()?;
    let (listener, http_listener) = resolved.listen()?;
    let path = resolved.data_dir.clone();
    let options = WalOptions {
        segment_bytes: resolved.segment_bytes,
        reserve_bytes: resolved.disk_reserve_bytes,
        inline: crate::world::is_simulated(),
        ..WalOptions::default()
    };
    let disk = open_disk(resolved.seams.fs.clone(), path, options).await?;
    let cluster_id = disk.dir.cluster_id();
    let watch = resolved.seams.watch.clone();
    #[cfg(feature = "http")]
    let services = resolved.factories.iter();
    #[cfg(feature = "http")]
    let services = services.map(|factory| factory().json()).collect();
    let calls = CallsFigures::of(resolved.factories.iter().map(|factory| {
        let service = factory();
        (service.name(), service.methods())
    }));
    let machine = Machine::new(std::mem::take(&mut resolved.factories), watch)
        .map_err(|error| Error::rejected(error.to_string()))?;
    #[cfg(feature = "planted")]
    if planted::is(Bug::OwnSettings) {
        machine.obey(&resolved.settings);
    }
    let about = About::new(&resolved, http_listener.as_ref());
    let core = Arc::new(assemble(
        &resolved, disk, machine, calls, about, cluster_id,
    )?);
    let node_tasks = Tasks::default();

    let expect = resolved
        .expect
        .and_then(|expect| u32::try_from(expect).ok());
    let record = read_promise(&core.dir)?;
    let timing = Timing::default();
    let start = begin(&core, cluster_id).await?;
    let identity = FormationIdentity {
        node_id: core.peers.me().node_id,
        cluster_name: core.cluster_name().to_owned(),
        address: core.peers.me().address.parse().map_err(|error| {
            Error::rejected(format!("the node's own address is not usable: {error}"))
        })?,
        expect,
    };
    resolved.discovery.announce(Announcement::new(
        identity.cluster_name.clone(),
        identity.node_id,
        identity.address.clone(),
    ));
    let formation = Formation::new(identity, record, start, timing);
    let dialer = core.peers.dialer().clone();
    let (formed, driving) = ports::start(formation, &*resolved.discovery, core.clone(), dialer);
    assert!(core.formed.set(formed).is_ok(), "a node forms once");
    let failed = core.clone();
    node_tasks.spawn(async move {
        if let Err(error) = driving.await {
            failed.stop(Stopped::Fatal(format!("{error:?}")));
        }
    });
    watchers::spawn(&core, &resolved, &node_tasks);

    let gateway = door::gateway(&core);
    let mut routes = tonic::service::Routes::default();
    std::mem::swap(&mut routes, &mut resolved.grpc_routes);
    let (health, health_service) = tonic_health::server::health_reporter();
    health
        .set_service_status("", tonic_health::ServingStatus::Serving)
        .await;
    routes = routes
        .add_service(ClusterService::server(core.clone()))
        .add_service(AdminService::server(core.clone()))
        .add_service(Calls::service(
            gateway.clone(),
            node_tasks.stop.clone(),
            resolved.max_connections,
        ))
        .add_service(RaftService::server(core.slot.clone(), core.peers.clone()))
        .add_service(health_service);
    if resolved.reflection {
        routes = grpc::reflection(routes)?;
    }
    let stop = node_tasks.stop.clone();
    let served = core.clone();
    let connections = resolved.max_connections;
    let greeting = Greeting {
        tls: resolved.tls.clone(),
        join: resolved.join.clone(),
    };
    let admission = Admission {
        tokens: resolved.tokens.clone(),
        greets: !greeting.is_nothing(),
        joins: greeting.join.is_some(),
        ..Admission::default()
    };
    if let Some(tokens) = resolved.tokens.clone() {
        node_tasks.spawn(tokens.watch());
    }
    node_tasks.spawn(async move {
        let stop = stop.cancelled_owned();
        let serving = grpc::serve(listener, connections, greeting, admission, routes, stop);
        if let Err(error) = serving.await {
            served.stop(Stopped::Fatal(format!("{error:?}")));
        }
    });

    let node = Node::new(Inner {
        stopped: core.stopped.subscribe(),
        channel: Channel::new(Caller::local(gateway)),
        discovery: resolved.discovery.clone(),
        http_address: http_listener
            .as_ref()
            .and_then(|http| http.local_addr().ok()),
        router: OnceLock::new(),
        tasks: node_tasks.tracker.clone(),
        stop: node_tasks.stop.clone(),
        core,
    });
    let leading = std::mem::take(&mut resolved.leading);
    leading::start(leading, &node, &node_tasks.tracker, &node_tasks.stop);
    let core = node.inner.core.clone();
    let own = resolved.own_routes(&node);
    let routes = http::routes(core.clone());
    #[cfg(feature = "http")]
    let routes = if resolved.json {
        let stopping = node_tasks.stop.clone();
        let asked = http::json::Asked {
            tokens: resolved.tokens.is_some(),
            certificates: resolved.tls.is_some(),
        };
        routes.merge(http::json::routes(core.clone(), services, asked, stopping))
    } else {
        routes
    };
    let house = http::with_house(routes.merge(own), &core, node_tasks.stop.clone());
    let has_calls = cfg!(feature = "http") && resolved.json;
    let guarded = http::guarded(house, resolved.tokens.clone(), has_calls);
    let router = http::signed(guarded, core);
    drop(node.inner.router.set(router.clone()));
    if let Some(listener) = http_listener {
        let (limit, stop) = (resolved.max_http_connections, node_tasks.stop.clone());
        node_tasks.spawn(http::serve(listener, limit, resolved.tls, router, stop));
    }
    Ok(node)
}

/// Refuses a build in which a panic ends the process: a command that panics would end it on every
/// node, and again after each restart.
fn check_panics(abort: bool) -> Result<(), Error> {
    if abort {
        return Err(Error::rejected(
            "this program was built with panic = \"abort\": a command that panics would end every \
             node, at every start; remove that line from the profile in Cargo.toml",
        ));
    }
    Ok(())
}

/// What a node keeps on disk, opened.
struct Disk {
    dir: NodeDir,
    starts: u64,
    wal: Wal,
    snapshots: SnapshotStore,
}

/// Opens the data directory. Checking a long log takes a while, so it does not happen on a thread
/// of the runtime.
async fn open_disk(fs: Arc<dyn Fs>, path: PathBuf, options: WalOptions) -> Result<Disk, Error> {
    let opening = crate::world::blocking(move || open_disk_at(fs, &path, options));
    opening
        .await
        .map_err(|error| Error::fatal(format!("the data was not opened: {error}")))?
}

fn open_disk_at(fs: Arc<dyn Fs>, path: &Path, options: WalOptions) -> Result<Disk, Error> {
    let failed = |error: Box<dyn std::error::Error + Send + Sync>| Error::fatal(error.to_string());
    let dir = NodeDir::open(fs.clone(), path).map_err(|error| failed(error.into()))?;
    let snapshots = SnapshotStore::open(fs.clone(), &dir.snapshot_dir())
        .map_err(|error| failed(error.into()))?;
    let wal = Wal::open(fs, &dir.log_dir(), options).map_err(|error| failed(error.into()))?;
    // Last: a directory that is refused is left as it was.
    let starts = dir.count_start().map_err(|error| failed(error.into()))?;
    Ok(Disk {
        dir,
        starts,
        wal,
        snapshots,
    })
}

fn assemble(
    resolved: &Resolved,
    disk: Disk,
    machine: Machine,
    calls: CallsFigures,
    about: About,
    cluster_id: Option<u128>,
) -> Result<Core, Error> {
    let incarnation = crate::world::random().map_err(|error| {
        Error::fatal("the operating system gives no random numbers").with_source(error)
    })?;
    let me = Identity {
        cluster_name: resolved.cluster_name.clone(),
        node_id: disk.dir.node_id(),
        incarnation,
        starts: disk.starts,
        address: resolved.address.clone(),
        name: resolved.name.clone(),
        name_is_chosen: resolved.name_is_chosen,
        http_address: about.http_address.clone(),
        timers: resolved.timers,
        is_checked: machine.is_checked(),
        versions: machine.known_versions(),
    };
    warn_of_plain_text(resolved);
    tracing::info!(
        node = display_id(me.node_id),
        address = me.address,
        cluster = me.cluster_name,
        data = %resolved.data_dir.display(),
        "starting"
    );
    let peers = Peers::new(me, resolved.seams.dialer.clone(), cluster_id);
    let peers = Arc::new(peers.with_wall_clock(resolved.wall_clock.clone()));
    let formed: Arc<OnceLock<Formed>> = Arc::default();
    let told = formed.clone();
    let slot = Arc::new(RaftSlot::new(move |cluster_id| {
        if let Some(formed) = told.get() {
            formed.contacted(cluster_id);
        }
    }));
    Ok(Core {
        slot,
        started: Notify::new(),
        options: RaftOptions {
            timers: resolved.own_timers,
            snapshot_every: resolved.snapshot_every,
            keep_log_entries: resolved.keep_log_entries,
        },
        links: OnceLock::new(),
        fresh: OnceLock::new(),
        dir: disk.dir,
        parts: Mutex::new(Some(Parts {
            machine,
            wal: disk.wal,
            snapshots: disk.snapshots,
        })),
        formed,
        stopped: watch::Sender::new(None),
        subscribers: Arc::new(Semaphore::new(MAX_SUBSCRIBERS)),
        disk_low: watch::Sender::new(false),
        slow: watch::Sender::default(),
        divergences: watch::Sender::default(),
        calls,
        leaderships: Leaderships::default(),
        leader_news: watch::Sender::default(),
        decisions: Arc::default(),
        about,
        requests: Arc::default(),
        joiner: Arc::new(Joiner::new(peers.clone())),
        peers,
    })
}

/// Says once what others may do who reach this node, or who can listen to what it says.
fn warn_of_plain_text(resolved: &Resolved) {
    if resolved.tls.is_some() {
        return;
    }
    let who = match (&resolved.join, &resolved.tokens) {
        (None, _) => {
            "whoever reaches its ports may read what it says, call its services and join its \
                      cluster"
        }
        (Some(_), None) => {
            "whoever reaches its ports may call its services, and whoever can listen may \
                            read what it says"
        }
        (Some(_), Some(_)) => {
            "whoever can listen to its network may read what it says, and the tokens \
                               of its callers"
        }
    };
    tracing::warn!(
        "this node speaks plain text: {who}; BRAFT_TLS_CERT, BRAFT_TLS_KEY and BRAFT_TLS_CA end that"
    );
}

fn read_promise(dir: &NodeDir) -> Result<PromiseRecord, Error> {
    let failed = |text: String| {
        Error::fatal(format!(
            "the promise in the data directory cannot be read: {text}; restore it from a backup, \
             or give the node an empty directory if the cluster has formed without it"
        ))
    };
    match dir
        .load_promise()
        .map_err(|error| failed(error.to_string()))?
    {
        None => Ok(PromiseRecord::default()),
        Some(bytes) => codec::decode(&bytes).map_err(|error| failed(error.to_string())),
    }
}

/// Starts raft at once where the data directory names a cluster.
async fn begin(core: &Arc<Core>, cluster_id: Option<u128>) -> Result<Start, Error> {
    let Some(cluster_id) = cluster_id else {
        return Ok(Start::Pristine);
    };
    core.begin(cluster_id, None).await?;
    let raft = core.raft().expect("raft has just been started");
    let initialized = raft.view().last_log_index.is_some();
    Ok(Start::Member {
        cluster_id,
        initialized,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::ErrorKind;

    #[test]
    fn a_build_whose_panics_end_the_process_is_refused_with_the_remedy() {
        let refused = check_panics(true).expect_err("it was let in");
        assert_eq!(refused.kind(), ErrorKind::Rejected);
        assert!(refused.to_string().contains("Cargo.toml"), "{refused}");
        check_panics(cfg!(panic = "abort")).expect("tests unwind");
    }
}
