//! Nodes of another cluster.

use std::net::TcpListener;

use braft::testing::{Cluster, TestNode, TestResult};
use tests::Counter;
use tonic::codegen::http::uri::PathAndQuery;
use tonic::{Code, Request, Status};
use tonic_prost::ProstCodec;

use crate::outsider::{PATIENCE, addresses, config, until};

/// The handshake as it is on the wire, written down a second time: it must not change unnoticed.
#[derive(Clone, PartialEq, prost::Message)]
struct HandshakeRequest {
    #[prost(bytes = "vec", tag = "1")]
    cluster_id: Vec<u8>,
    #[prost(string, tag = "2")]
    cluster_name: String,
    #[prost(fixed64, tag = "3")]
    node_id: u64,
    #[prost(fixed64, tag = "4")]
    incarnation: u64,
    #[prost(string, tag = "5")]
    address: String,
    #[prost(string, tag = "6")]
    version: String,
    #[prost(uint32, tag = "7")]
    protocol: u32,
}

#[derive(Clone, PartialEq, prost::Message)]
struct HandshakeResponse {
    #[prost(bytes = "vec", tag = "1")]
    cluster_id: Vec<u8>,
    #[prost(fixed64, tag = "3")]
    node_id: u64,
}

async fn shake_hands(
    address: &str,
    request: HandshakeRequest,
) -> TestResult<Result<HandshakeResponse, Status>> {
    let channel = tonic::transport::Endpoint::from_shared(format!("http://{address}"))?
        .connect()
        .await?;
    let mut grpc = tonic::client::Grpc::new(channel);
    grpc.ready().await?;
    let path = PathAndQuery::from_static("/braft.v1.Cluster/Handshake");
    let answer = grpc
        .unary(Request::new(request), path, ProstCodec::default())
        .await;
    Ok(answer.map(tonic::Response::into_inner))
}

#[braft::test(nodes = 3)]
async fn a_node_of_another_cluster_is_refused_and_told_why(
    cluster: Cluster<Counter>,
) -> TestResult {
    let counter = cluster.client();
    counter.add(1).await??;
    let ours = cluster.node(TestNode(0))?.status().cluster_id;
    let theirs = [7; 16];
    for place in 0..3 {
        let stranger = HandshakeRequest {
            cluster_id: theirs.to_vec(),
            cluster_name: "test".to_owned(),
            node_id: 77,
            incarnation: 1,
            address: "127.0.0.1:1".to_owned(),
            version: "0.1.0".to_owned(),
            protocol: 1,
        };
        let address = cluster.address(TestNode(place));
        let refused = shake_hands(&address, stranger.clone()).await?;
        let refused = refused.err().ok_or("a stranger was let in")?;
        assert_eq!(refused.code(), Code::FailedPrecondition);
        let text = refused.message();
        for part in [
            &ours,
            "07070707070707070707070707070707",
            "clusters never merge",
        ] {
            assert!(text.contains(part), "{part:?} is missing in {text:?}");
        }
        // One that is in no cluster is told where it is: that is how nodes join.
        let pristine = HandshakeRequest {
            cluster_id: Vec::new(),
            ..stranger.clone()
        };
        let answer = shake_hands(&address, pristine).await??;
        assert_eq!(answer.cluster_id.len(), 16);
        assert_ne!(answer.node_id, 0);
        let later = HandshakeRequest {
            protocol: 99,
            ..stranger
        };
        let refused = shake_hands(&address, later).await?;
        let refused = refused.err().ok_or("an unknown protocol was spoken")?;
        for part in [
            "the other protocol 99",
            "upgrade this node, one minor version",
        ] {
            assert!(refused.message().contains(part), "{refused}");
        }
    }
    assert_eq!(counter.add(1).await??, 2);
    cluster.converged().await?;
    Ok(())
}

#[braft::test(nodes = 3)]
async fn two_clusters_that_meet_at_one_address_both_keep_working(
    ours: Cluster<Counter>,
) -> TestResult {
    let theirs = Cluster::<Counter>::start(3).await?;
    let (our_counter, their_counter) = (ours.client(), theirs.client());
    our_counter.add(1).await??;
    their_counter.add(100).await??;
    // A member of theirs goes, and a new node of ours gets its address: their leader dials it.
    let lost = TestNode((theirs.leader().await?.0 + 1) % 3);
    let _ = theirs.kill(lost).await?;
    let listener = TcpListener::bind(theirs.address(lost))?;
    let scratch = tempfile::tempdir()?;
    let config = config(scratch.path(), listener, &addresses(&ours, 3));
    let new = braft::start(config).await?;
    until("the new node to be ours", || async {
        new.client::<Counter>()
            .get()
            .local()
            .await
            .is_ok_and(|total| total == 1)
    })
    .await?;
    for round in 1..=20 {
        assert_eq!(our_counter.add(1).await??, 1 + round);
        assert_eq!(their_counter.add(1).await??, 100 + round);
    }
    assert_eq!(new.client::<Counter>().get().await?, 21);
    let of_ours = ours.node(TestNode(0))?.status().cluster_id;
    assert_eq!(new.status().cluster_id, of_ours);
    let survivor = theirs.leader().await?;
    assert_ne!(theirs.node(survivor)?.status().cluster_id, of_ours);
    new.shutdown(PATIENCE).await;
    theirs.stop_all().await;
    Ok(())
}
