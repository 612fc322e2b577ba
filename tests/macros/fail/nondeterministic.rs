//! What differs between replicas.

use braft::raft_service;
use serde::{Deserialize, Serialize};

#[raft_service]
#[derive(Default, Serialize, Deserialize)]
struct Counter {
    value: u64,
}

#[raft_service]
impl Counter {
    fn stamp(&mut self) -> bool {
        let now = std::time::SystemTime::now();
        println!("{:?}", std::time::Instant::now());
        now.elapsed().is_ok()
    }

    fn read(&mut self) -> Option<String> {
        std::fs::read_to_string("value").ok().or_else(|| std::env::var("VALUE").ok())
    }

    fn later(&mut self) {
        std::thread::spawn(|| ());
    }

    #[local]
    fn helper(&mut self) -> bool {
        std::net::TcpStream::connect("localhost:1").is_ok()
    }

    /// Fine: a query runs on one node, and `env!` is the same in every replica of a build.
    fn age(&self) -> std::time::Duration {
        let _ = std::env!("PATH");
        std::time::Instant::now().elapsed()
    }
}

fn main() {}
