//! Clusters whose nodes have secrets, in one thread, whose log is kept.

use std::path::{Path, PathBuf};
use std::time::Duration;

use braft::testing::TestResult;
use braft::{Config, Node};

use crate::log::Log;
use crate::outsider::{config, listener, until};

/// Everything but what libraries say of each byte.
const ALL: &str = "trace,hyper=info,h2=info,tower=info,mio=info";

/// Runs a test in one thread, with what is logged in it, at whatever level.
pub(crate) fn test(test: impl AsyncFnOnce(&Log) -> TestResult) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime");
    let log = Log::capture_of(ALL);
    if let Err(error) = runtime.block_on(test(&log)) {
        panic!("{error}");
    }
}

/// Waits until a line has been logged.
pub(crate) async fn logged(log: &Log, part: &str) -> TestResult {
    until(part, || async { !log.lines(part).is_empty() }).await
}

/// No line holds any of these.
pub(crate) fn never_logged(log: &Log, secrets: &[&str]) {
    for secret in secrets {
        assert_eq!(log.lines(secret), Vec::<String>::new());
    }
}

/// Files of secrets, which may change.
pub(crate) struct Files(tempfile::TempDir);

impl Files {
    pub(crate) fn new() -> TestResult<Self> {
        Ok(Files(tempfile::tempdir()?))
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    /// Writes a file, or puts another one in its place.
    pub(crate) fn write(&self, name: &str, text: &str) -> TestResult<PathBuf> {
        let temporary = self.path("new");
        std::fs::write(&temporary, text)?;
        std::fs::rename(&temporary, self.path(name))?;
        Ok(self.path(name))
    }
}

/// Nodes that are, or want to be, one cluster.
pub(crate) struct Members {
    pub(crate) nodes: Vec<Node>,
    pub(crate) addresses: Vec<String>,
    data: tempfile::TempDir,
}

impl Members {
    /// So many nodes, which form a cluster.
    pub(crate) async fn start(
        count: usize,
        configure: impl Fn(usize, Config) -> Config,
    ) -> TestResult<Self> {
        let listeners: Vec<_> = (0..count).map(|_| listener()).collect();
        let addresses = listeners
            .iter()
            .map(|it| it.local_addr().map(|it| it.to_string()));
        let mut members = Members {
            nodes: Vec::new(),
            addresses: addresses.collect::<Result<_, _>>()?,
            data: tempfile::tempdir()?,
        };
        for (place, listener) in listeners.into_iter().enumerate() {
            let config = config(&members.data_dir(place), listener, &members.addresses);
            let node = braft::start(configure(place, config)).await?;
            members.nodes.push(node);
        }
        for node in &members.nodes {
            node.ready().await;
        }
        Ok(members)
    }

    pub(crate) fn data_dir(&self, place: usize) -> PathBuf {
        self.data.path().join(place.to_string())
    }

    /// One more node, which knows the first one.
    pub(crate) async fn knock(
        &self,
        data_dir: &Path,
        configure: impl Fn(Config) -> Config,
    ) -> TestResult<Node> {
        let listener = listener();
        let peers = [
            listener.local_addr()?.to_string(),
            self.addresses[0].clone(),
        ];
        Ok(braft::start(configure(config(data_dir, listener, &peers))).await?)
    }

    pub(crate) async fn has_members(&self, count: usize) -> TestResult {
        until("so many members", || async {
            self.nodes[0].status().members.len() == count
        })
        .await
    }

    pub(crate) async fn stop(self) {
        for node in self.nodes {
            stop(node).await;
        }
    }
}

pub(crate) async fn stop(node: Node) {
    node.shutdown(Duration::from_secs(5)).await;
}
