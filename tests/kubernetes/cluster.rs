//! Nodes that form a cluster through the API server.

use std::net::{Ipv4Addr, TcpListener};
use std::time::Duration;

use braft::{Config, Kubernetes, Node};
use serde_json::Value;
use tempfile::TempDir;
use tests::Counter;

use crate::objects::{pod_at, slice_at};
use crate::stand_in::StandIn;

const LABELS: [(&str, &str); 1] = [("app", "kv")];
/// After this time without a cluster a test has failed; far above what any needs.
const PATIENCE: Duration = Duration::from_secs(60);

struct Started {
    nodes: Vec<Node>,
    /// Holds the data.
    directory: TempDir,
}

/// Starts nodes that know nothing but where the API server is; three are to form a cluster.
async fn start(nodes: usize, source: &Kubernetes) -> Started {
    let mut started = Started {
        nodes: Vec::new(),
        directory: tempfile::tempdir().expect("a directory"),
    };
    for _ in 0..nodes {
        started.one_more(source).await;
    }
    started
}

impl Started {
    async fn one_more(&mut self, source: &Kubernetes) {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
        let name = format!("kv-{}", self.nodes.len());
        let config = Config::new()
            .service::<Counter>()
            .cluster_name("kubernetes")
            .data_dir(self.directory.path().join(name))
            .listener(listener)
            .without_http()
            .discovery(source.clone())
            .expect_nodes(3);
        self.nodes
            .push(braft::start(config).await.expect("it starts"));
    }

    /// The ports in the order of the nodes.
    fn ports(&self) -> Vec<u16> {
        let port = |node: &Node| {
            let address = node.address();
            let port = address
                .rsplit_once(':')
                .and_then(|(_, port)| port.parse().ok());
            port.expect("host:port")
        };
        self.nodes.iter().map(port).collect()
    }

    /// Waits for one cluster of all, in which a command through any node is seen through each.
    async fn are_one_cluster(&self) {
        let ready = futures_util::future::join_all(self.nodes.iter().map(Node::ready));
        let waited = tokio::time::timeout(PATIENCE, ready).await;
        assert!(waited.is_ok(), "no cluster was formed");
        let mut clusters = Vec::new();
        for (index, node) in self.nodes.iter().enumerate() {
            let total = node
                .client::<Counter>()
                .add(1)
                .await
                .expect("a leader")
                .expect("small");
            assert_eq!(total, index as u64 + 1);
            let status = node.status();
            assert_eq!(status.members.len(), 3, "{status:?}");
            clusters.push(status.cluster_id);
        }
        assert!(
            clusters
                .iter()
                .all(|cluster| *cluster == clusters[0] && !cluster.is_empty())
        );
    }

    async fn stop(self) {
        for node in &self.nodes {
            node.shutdown(Duration::from_secs(5)).await;
        }
    }
}

/// One slice for each node, because they share one address here; none is ready.
fn starting(index: usize, port: u16) -> Value {
    let mut slice = slice_at(&format!("kv-{index}"), "kv", port, &["127.0.0.1"]);
    slice["endpoints"][0]["conditions"]["ready"] = false.into();
    slice
}

#[tokio::test]
async fn three_nodes_form_one_cluster_through_the_endpoints_of_a_service() {
    let stand_in = StandIn::start().await;
    let source = Kubernetes::service("kv").expect("a name");
    let started = start(3, &source.kubeconfig(stand_in.kubeconfig())).await;
    for (index, port) in started.ports().into_iter().enumerate() {
        stand_in.put(starting(index, port));
    }
    started.are_one_cluster().await;
    started.stop().await;
}

#[tokio::test]
async fn three_nodes_form_one_cluster_through_the_labels_of_their_pods() {
    let stand_in = StandIn::start().await;
    let source = Kubernetes::pods("app=kv").expect("a selector");
    let started = start(3, &source.kubeconfig(stand_in.kubeconfig())).await;
    for (index, port) in started.ports().into_iter().enumerate() {
        let name = format!("kv-{index}");
        stand_in.put(pod_at(&name, &LABELS, "Running", Some("127.0.0.1"), port));
    }
    started.are_one_cluster().await;
    started.stop().await;
}

#[tokio::test]
async fn two_of_three_nodes_wait_for_the_third_though_the_server_goes_and_comes() {
    let mut stand_in = StandIn::start().await;
    let source = Kubernetes::service("kv").expect("a name");
    let source = source.kubeconfig(stand_in.kubeconfig());
    let mut started = start(2, &source).await;
    for (index, port) in started.ports().into_iter().enumerate() {
        stand_in.put(starting(index, port));
    }
    for node in &started.nodes {
        let met = async {
            while !node.status().formation.starts_with("sees 2 of the 3") {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        let waited = tokio::time::timeout(PATIENCE, met).await;
        assert!(waited.is_ok(), "{}", node.status().formation);
    }
    stand_in.stop().await;
    started.one_more(&source).await;
    for node in &started.nodes {
        assert_eq!(node.status().cluster_id, "", "a cluster without the third");
    }
    stand_in.put(starting(2, started.ports()[2]));
    stand_in.restart().await;
    started.are_one_cluster().await;
    started.stop().await;
}
