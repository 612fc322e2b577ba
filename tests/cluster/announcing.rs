//! What a node tells a source of peers of itself.

use std::net::{Ipv4Addr, TcpListener};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use braft::testing::TestResult;
use braft::{Announcement, Config, Discovery, PeerSet};
use futures_util::future::BoxFuture;
use futures_util::stream::{self, BoxStream, StreamExt as _};
use tests::Counter;

/// A registry at which nodes register themselves.
#[derive(Clone, Default)]
struct Registry {
    registered: Arc<Mutex<Vec<Announcement>>>,
}

impl Registry {
    fn registered(&self) -> Vec<Announcement> {
        self.registered.lock().expect("not poisoned").clone()
    }
}

impl Discovery for Registry {
    fn name(&self) -> &str {
        "registry"
    }

    fn peers(&self) -> BoxStream<'static, PeerSet> {
        let addresses = self.registered().into_iter().map(|own| own.address);
        let set = PeerSet {
            peers: addresses.collect(),
            expect: Some(1),
        };
        stream::once(async { set }).boxed()
    }

    fn announce(&self, own: Announcement) {
        self.registered.lock().expect("not poisoned").push(own);
    }

    fn withdraw(&self) -> BoxFuture<'static, ()> {
        let registered = self.registered.clone();
        Box::pin(async move { registered.lock().expect("not poisoned").clear() })
    }
}

#[tokio::test]
async fn a_node_is_announced_while_it_runs_and_withdrawn_when_it_stops_in_order() {
    let run = async || -> TestResult {
        let directory = tempfile::tempdir()?;
        let registry = Registry::default();
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        let config = Config::new()
            .service::<Counter>()
            .cluster_name("announced")
            .data_dir(directory.path())
            .listener(listener)
            .without_http()
            .discovery(registry.clone());
        let node = braft::start(config).await?;
        let registered = registry.registered();
        assert_eq!(registered.len(), 1);
        assert_eq!(registered[0].cluster_name, "announced");
        assert_eq!(registered[0].address.to_string(), node.address());
        let id = format!("{:016x}", registered[0].node_id);
        assert_eq!(id, node.status().node_id);
        // The source said how many form the cluster; nothing else did.
        node.ready().await;
        node.shutdown(Duration::from_secs(10)).await;
        assert!(registry.registered().is_empty());
        Ok(())
    };
    run().await.unwrap_or_else(|error| panic!("{error}"));
}
