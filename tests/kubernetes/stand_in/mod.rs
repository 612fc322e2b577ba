//! A stand-in for the API server of Kubernetes 1.33, over real HTTP.
//!
//! | file | what it holds |
//! |---|---|
//! | `mod.rs` | [`StandIn`]: started, stopped, and told what goes wrong |
//! | `store.rs` | the objects in every version |
//! | `selector.rs` | label selectors |
//! | `serve.rs` | list, with pages, and the answers that refuse |
//! | `watching.rs` | watch: events, bookmarks, ends |
//! | `tls.rs` | the same over TLS |

mod selector;
mod serve;
mod store;
mod tls;
mod watching;

use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::net::TcpListener;
use tokio::sync::{broadcast, watch};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::objects::NAMESPACE;
use store::Store;

/// Requests without it are refused.
const TOKEN: &str = "a-token-of-the-tests";
/// After this time without what is waited for a test has failed; far above what any needs.
const PATIENCE: Duration = Duration::from_secs(60);

/// A server with its kubeconfig. Its objects outlive [`stop`](StandIn::stop).
pub(crate) struct StandIn {
    shared: Arc<Shared>,
    address: SocketAddr,
    serving: Option<Serving>,
    /// Holds the kubeconfig.
    directory: TempDir,
    secure: bool,
}

struct Serving {
    stop: CancellationToken,
    task: JoinHandle<()>,
}

/// What the handlers share.
struct Shared {
    state: Mutex<State>,
    /// Changes with each new version.
    version: watch::Sender<u64>,
    /// The watches that are open.
    watches: watch::Sender<usize>,
    /// The bookmarks that were sent.
    bookmarks: watch::Sender<usize>,
    requests: watch::Sender<Vec<Request>>,
    commands: broadcast::Sender<Command>,
}

struct State {
    store: Store,
    trouble: Trouble,
}

/// A request that was taken in, refused or not.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Request {
    pub(crate) watch: bool,
    pub(crate) namespace: String,
    pub(crate) selector: String,
    /// Of a watch.
    pub(crate) version: String,
    /// Whether it asks for a further page.
    pub(crate) continues: bool,
}

/// What goes wrong with requests.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Trouble {
    None,
    /// All are refused with this status.
    Refused(u16),
    /// Watches are refused with this status.
    WatchRefused(u16),
    /// Before a further page is given out all old versions are forgotten, once.
    PagesExpire,
}

/// What happens to the watches that are open.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Command {
    /// A bookmark with the present version is sent.
    Bookmark,
    /// The answer ends in order.
    End,
    /// The connection breaks in the middle of an event.
    Break,
    /// An error event ends the watch: the status of an expired version, or of trouble inside.
    Error(u16),
}

impl StandIn {
    pub(crate) async fn start() -> Self {
        Self::start_as(false).await
    }

    /// Likewise over TLS, with a certificate authority of the tests.
    pub(crate) async fn start_secure() -> Self {
        Self::start_as(true).await
    }

    async fn start_as(secure: bool) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await;
        let listener = listener.expect("a free port");
        let store = Store::new();
        let shared = Shared {
            version: watch::Sender::new(store.version()),
            watches: watch::Sender::new(0),
            bookmarks: watch::Sender::new(0),
            requests: watch::Sender::default(),
            commands: broadcast::Sender::new(16),
            state: Mutex::new(State {
                store,
                trouble: Trouble::None,
            }),
        };
        let mut stand_in = Self {
            shared: Arc::new(shared),
            address: listener.local_addr().expect("bound"),
            serving: None,
            directory: tempfile::tempdir().expect("a directory"),
            secure,
        };
        stand_in.write_kubeconfig(TOKEN);
        stand_in.serve(listener);
        stand_in
    }

    fn serve(&mut self, listener: TcpListener) {
        let stop = CancellationToken::new();
        let router = serve::router(self.shared.clone());
        let stopped = stop.clone().cancelled_owned();
        let task = if self.secure {
            let serving = axum::serve(tls::Listener::new(listener), router);
            tokio::spawn(async move { _ = serving.with_graceful_shutdown(stopped).await })
        } else {
            let serving = axum::serve(listener, router);
            tokio::spawn(async move { _ = serving.with_graceful_shutdown(stopped).await })
        };
        self.serving = Some(Serving { stop, task });
    }

    /// Breaks all connections and closes the port.
    pub(crate) async fn stop(&mut self) {
        let mut serving = self.serving.take().expect("it serves");
        serving.stop.cancel();
        // Again and again: a watch may have been begun just now over a connection that was idle.
        loop {
            self.command(Command::Break);
            tokio::select! {
                stopped = &mut serving.task => return stopped.expect("it stops"),
                () = tokio::time::sleep(Duration::from_millis(10)) => {}
            }
        }
    }

    /// Opens the same port, but hangs up on whoever calls, so many times.
    pub(crate) async fn hang_up(&self, times: usize) {
        let listener = TcpListener::bind(self.address).await;
        let listener = listener.expect("the port is still free");
        for _ in 0..times {
            let called = tokio::time::timeout(PATIENCE, listener.accept()).await;
            drop(called.expect("nobody calls").expect("a call"));
        }
    }

    /// Opens the same port again.
    pub(crate) async fn restart(&mut self) {
        let listener = TcpListener::bind(self.address).await;
        self.serve(listener.expect("the port is still free"));
    }

    /// A file with the way to this server, in the namespace of the tests.
    pub(crate) fn kubeconfig(&self) -> PathBuf {
        self.directory.path().join("kubeconfig")
    }

    /// Replaces the file.
    pub(crate) fn write_kubeconfig(&self, token: &str) {
        let mut cluster = json!({"server": format!("http://{}", self.address)});
        if self.secure {
            cluster["server"] = format!("https://{}", self.address).into();
            cluster["certificate-authority"] = tls::authority().display().to_string().into();
        }
        let file = json!({
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [{"name": "stand-in", "cluster": cluster}],
            "users": [{"name": "tests", "user": {"token": token}}],
            "contexts": [{
                "name": "tests",
                "context": {"cluster": "stand-in", "user": "tests", "namespace": NAMESPACE},
            }],
            "current-context": "tests",
        });
        write(&self.kubeconfig(), &file);
    }

    /// Writes the token that is taken.
    pub(crate) fn write_good_kubeconfig(&self) {
        self.write_kubeconfig(TOKEN);
    }

    pub(crate) fn put(&self, object: Value) {
        self.change(|store| store.put(object));
    }

    pub(crate) fn delete(&self, object: &Value) {
        self.change(|store| store.delete(object));
    }

    /// Forgets all versions but the last.
    pub(crate) fn compact(&self) {
        self.change(Store::compact);
    }

    /// Several changes, of which watches learn at once.
    pub(crate) fn change(&self, change: impl FnOnce(&mut Store)) {
        let mut state = self.shared.state();
        change(&mut state.store);
        self.shared.version.send_replace(state.store.version());
    }

    pub(crate) fn trouble(&self, trouble: Trouble) {
        self.shared.state().trouble = trouble;
    }

    /// What all open watches get; without one, nothing happens.
    pub(crate) fn command(&self, command: Command) {
        drop(self.shared.commands.send(command));
    }

    /// Waits until so many watches are open.
    pub(crate) async fn until_watched(&self, watches: usize) {
        let mut open = self.shared.watches.subscribe();
        let waited = tokio::time::timeout(PATIENCE, open.wait_for(|open| *open == watches));
        let waited = waited.await.is_ok();
        assert!(waited, "{} watches are open", *open.borrow());
    }

    /// Sends a bookmark with the present version, and waits until that has happened.
    pub(crate) async fn bookmark(&self) {
        let mut sent = self.shared.bookmarks.subscribe();
        let before = *sent.borrow();
        self.command(Command::Bookmark);
        let waited = tokio::time::timeout(PATIENCE, sent.wait_for(|sent| *sent > before));
        let waited = waited.await.is_ok();
        assert!(waited, "no watch wants bookmarks");
    }

    /// Waits for a request, among those there have been so far or one to come.
    pub(crate) async fn until_asked(&self, wanted: impl Fn(&[Request]) -> bool) {
        let mut requests = self.shared.requests.subscribe();
        let asked = requests.wait_for(|requests| wanted(requests));
        let waited = tokio::time::timeout(PATIENCE, asked).await.is_ok();
        assert!(waited, "there were only {:?}", self.requests());
    }

    pub(crate) fn requests(&self) -> Vec<Request> {
        self.shared.requests.borrow().clone()
    }

    /// How many lists were begun so far.
    pub(crate) fn lists(&self) -> usize {
        let requests = self.shared.requests.borrow();
        let begun = requests
            .iter()
            .filter(|request| !request.watch && !request.continues);
        begun.count()
    }
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn write(path: &Path, file: &Value) {
    // JSON is YAML.
    std::fs::write(path, file.to_string()).expect("the kubeconfig is written");
}
