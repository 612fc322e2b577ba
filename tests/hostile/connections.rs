//! More connections and streams than a node takes: each is told so, and the members still reach each
//! other.

use std::time::Duration;

use braft::testing::{Cluster, TestNode, run_test};
use braft::{Config, ErrorKind, Outcome};
use tests::Counter;
use tonic::Code;

use crate::frames::{Stream, connect};
use crate::outsider::until;

/// Time for a call that is refused.
const SHORT: Duration = Duration::from_millis(300);

#[test]
fn a_client_beyond_the_limit_is_told_so_until_another_one_goes() {
    run_test(1, "connections", |_: Cluster<Counter>| async {
        let config = |config: Config| config.max_connections(3);
        let cluster = Cluster::<Counter>::start_with(1, config).await?;
        let mut clients = Vec::new();
        for n in 1..=3 {
            let client = cluster.client();
            assert_eq!(client.add(1).await??, n);
            clients.push(client);
        }
        let fourth = cluster.client();
        let refused = fourth.add(1).deadline(SHORT).await;
        let error = refused.err().ok_or("there is room for a fourth client")?;
        assert_eq!(error.kind(), ErrorKind::Unavailable, "{error}");
        assert_eq!(error.outcome(), Outcome::NotApplied, "{error}");
        assert!(
            error
                .to_string()
                .contains("this node has 3 connections, its limit"),
            "{error}"
        );
        // The others are served as before; what one leaves is taken by the next.
        assert_eq!(clients[0].add(1).await??, 4);
        clients.pop();
        until("room for the fourth client", || async {
            fourth.get().deadline(SHORT).await.is_ok()
        })
        .await?;
        assert_eq!(fourth.add(1).await??, 5);
        cluster.stop_all().await;
        Ok(())
    });
}

#[test]
fn members_reach_each_other_though_strangers_take_up_the_limit() {
    run_test(1, "members", |_: Cluster<Counter>| async {
        let config = |config: Config| config.max_connections(1);
        let cluster = Cluster::<Counter>::start_with(3, config).await?;
        let mut strangers = Vec::new();
        for node in (0..3).map(TestNode) {
            strangers.push(connect(&cluster.address(node)).await?);
        }
        // All connections between members are made anew, beyond the limit.
        cluster.break_connections();
        let leader = cluster.leader().await?;
        let down = cluster.kill(TestNode((leader.0 + 1) % 3)).await?;
        let counter = cluster.client_at(cluster.leader().await?)?;
        assert_eq!(counter.add(1).await??, 1);
        cluster.restart(down).await?;
        cluster.converged().await?;
        drop(strangers);
        cluster.stop_all().await;
        Ok(())
    });
}

#[test]
fn a_stream_beyond_the_limit_is_refused() {
    run_test(1, "streams", |_: Cluster<Counter>| async {
        let config = |config: Config| config.max_connections(1);
        let cluster = Cluster::<Counter>::start_with(1, config).await?;
        cluster.leader().await?;
        let address = cluster.address(TestNode(0));
        let channel = connect(&address).await?;
        let mut streams = Vec::new();
        let refused = loop {
            match Stream::open(channel.clone(), Vec::new()).await? {
                Ok(stream) => streams.push(stream),
                Err(status) => break status,
            }
        };
        assert_eq!(refused.code(), Code::ResourceExhausted, "{refused}");
        assert!(refused.message().contains("max_connections"), "{refused}");
        assert!(streams.len() > 1, "a client needs more than one");
        streams.pop();
        until("room for another stream", || async {
            let opened = Stream::open(channel.clone(), Vec::new()).await;
            opened.is_ok_and(|opened| opened.is_ok())
        })
        .await?;
        cluster.stop_all().await;
        Ok(())
    });
}
