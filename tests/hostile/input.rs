//! Calls and bytes that no honest client sends.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use braft::testing::{Cluster, TestNode, TestResult};
use braft::{ErrorKind, Outcome, raft_service};
use serde::{Deserialize, Serialize};
use tests::Counter;

/// The limit a caller is told.
const LIMIT: usize = 1 << 20;

#[raft_service]
#[derive(Default, Serialize, Deserialize)]
struct Text {
    text: String,
}

#[raft_service]
impl Text {
    fn set(&mut self, text: &str) {
        text.clone_into(&mut self.text);
    }

    fn bytes(&self) -> u64 {
        self.text.len() as u64
    }
}

#[braft::test(nodes = 3)]
async fn a_command_over_the_limit_is_rejected_with_its_size_and_the_limit(
    cluster: Cluster<Text>,
) -> TestResult {
    let outside = cluster.client();
    let inside = cluster.client_at(TestNode(0))?;
    outside.set("here").await?;
    let large = "x".repeat(2 * LIMIT);
    for client in [&outside, &inside] {
        let error = client.set(&large).await.err().ok_or("it was accepted")?;
        assert_eq!(error.kind(), ErrorKind::Rejected);
        assert_eq!(error.outcome(), Outcome::NotApplied);
        let text = error.to_string();
        assert!(text.contains(&LIMIT.to_string()), "{text}");
        // The size is that of the encoded call: a few bytes more than the argument's.
        let size = text.split_whitespace().find_map(|word| word.parse().ok());
        assert!(size.is_some_and(|size: usize| size >= 2 * LIMIT), "{text}");
    }
    assert_eq!(outside.bytes().await?, 4);
    // Close to the limit is well.
    let most = "x".repeat(LIMIT - 100);
    outside.set(&most).await?;
    assert_eq!(inside.bytes().await?, most.len() as u64);
    cluster.converged().await?;
    Ok(())
}

/// The counter as a later version of the program knows it.
mod newer {
    use super::*;

    #[raft_service(name = "Counter")]
    #[derive(Default, Serialize, Deserialize)]
    pub(crate) struct Counter {
        value: u64,
    }

    #[raft_service]
    impl Counter {
        pub(crate) fn multiply(&mut self, by: u64) -> u64 {
            self.value *= by;
            self.value
        }

        pub(crate) fn half(&self) -> u64 {
            self.value / 2
        }
    }
}

#[braft::test(nodes = 3)]
async fn a_command_the_nodes_do_not_know_is_rejected_and_stops_nobody(
    cluster: Cluster<Counter>,
) -> TestResult {
    let counter = cluster.client();
    counter.add(3).await??;
    let newer = cluster.client_of::<newer::Counter>();
    for _ in 0..10 {
        let error = newer.multiply(2).await.err().ok_or("it was accepted")?;
        assert_eq!(error.kind(), ErrorKind::Rejected, "{error}");
        assert_eq!(error.outcome(), Outcome::NotApplied, "{error}");
        let error = newer.half().await.err().ok_or("it was answered")?;
        assert_eq!(error.kind(), ErrorKind::Rejected, "{error}");
    }
    assert_eq!(counter.add(1).await??, 4);
    cluster.converged().await?;
    Ok(())
}

#[braft::test(nodes = 3)]
async fn garbage_on_the_raft_port_disturbs_nobody(cluster: Cluster<Counter>) -> TestResult {
    let counter = cluster.client();
    let targets: Vec<_> = (0..3)
        .map(|place| cluster.address(TestNode(place)))
        .collect();
    let vandal = tokio::task::spawn_blocking(move || {
        for target in &targets {
            for bytes in garbage() {
                throw(target, &bytes);
            }
        }
    });
    let mut expected = 0;
    while !vandal.is_finished() || expected < 20 {
        expected += 1;
        assert_eq!(counter.add(1).await??, expected);
    }
    vandal.await?;
    for place in 0..3 {
        assert_eq!(cluster.client_at(TestNode(place))?.get().await?, expected);
    }
    cluster.converged().await?;
    Ok(())
}

fn garbage() -> Vec<Vec<u8>> {
    const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
    let noise: Vec<u8> = (0..64 << 10_u32)
        .map(|i: u32| (i.wrapping_mul(2_654_435_761) >> 13) as u8)
        .collect();
    // A frame header that promises 16 MiB of settings, and one of a stream that does not exist.
    let long_frame = [0xff, 0xff, 0xff, 4, 0, 0, 0, 0, 0];
    let no_stream = [0, 0, 4, 3, 0, 0, 0, 0, 99, 0, 0, 0, 8];
    vec![
        Vec::new(),
        vec![0],
        b"GET /raft HTTP/1.1\r\nhost: here\r\n\r\n".to_vec(),
        b"POST /braft.v1.Raft/Append HTTP/1.1\r\ncontent-length: 4\r\n\r\nmore".to_vec(),
        noise.clone(),
        PREFACE.to_vec(),
        PREFACE[..10].to_vec(),
        [PREFACE, &noise].concat(),
        [PREFACE, &long_frame].concat(),
        [PREFACE, &[0, 0, 0, 4, 0, 0, 0, 0, 0], &no_stream].concat(),
        [PREFACE, &[0, 0, 0, 4, 0, 0, 0, 0, 0], &noise].concat(),
    ]
}

/// Writes the bytes, takes what comes back for a moment, and goes without a word.
fn throw(address: &str, bytes: &[u8]) {
    const LISTEN: Duration = Duration::from_millis(50);
    let mut stream = TcpStream::connect(address).expect("the port is open");
    stream
        .set_read_timeout(Some(LISTEN))
        .expect("the time is not zero");
    // The node may hang up at any point: that is its right.
    drop(stream.write_all(bytes));
    drop(stream.read(&mut [0; 1024]));
}
