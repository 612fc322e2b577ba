//! One node, clients in its process, durable writes of 256 B, against a plain loop of `pwrite` and
//! `fdatasync` on the same disk in the same run.

#![allow(unreachable_pub)] // services are public in life

mod common;

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::time::Instant;

use braft::testing::{Cluster, TestNode, TestResult};
use common::{Rates, Store, VALUE_BYTES, Writer};

const CLIENTS: [u64; 5] = [1, 8, 64, 256, 1024];
/// Bytes of the file that the plain loop writes to, zeroed beforehand as a log segment is.
const FLOOR_BYTES: usize = 64 << 20;
/// Bytes of a log segment: the product's own, not the small ones of tests.
const SEGMENT_BYTES: u64 = 64 << 20;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let runtime = tokio::runtime::Runtime::new()?;
    runtime
        .block_on(measure())
        .map_err(|error| error.to_string().into())
}

async fn measure() -> TestResult {
    let cluster =
        Cluster::<Store>::start_with(1, |config| config.segment_bytes(SEGMENT_BYTES)).await?;
    let node = cluster.node(TestNode(0))?;
    let data_dir = cluster.data_dir(TestNode(0));
    let floor_file = floor_file(&data_dir.with_file_name("floor"))?;

    let clients = common::client_counts(&CLIENTS);
    let mut floor = Rates::default();
    let mut rates: Vec<(Rates, Rates)> = clients.iter().map(|_| Default::default()).collect();
    for _ in 0..common::rounds() {
        for (count, (rates, ratios)) in clients.iter().zip(&mut rates) {
            let file = floor_file.try_clone()?;
            let loop_rate = tokio::task::spawn_blocking(move || run_floor(&file)).await??;
            floor.add(loop_rate);
            let writer = |id| Writer {
                client: node.client::<Store>(),
                id,
                value: common::value(),
            };
            let rate = common::closed_loop(*count, writer).await;
            rates.add(rate);
            ratios.add(rate / loop_rate);
        }
    }

    common::print_head("floors");
    floor.print("pwrite + fdatasync", floor.median());
    // Each is compared with the loop that ran just before it: a disk is not the same all the time.
    for (count, (rates, ratios)) in clients.iter().zip(&rates) {
        rates.print_beside(&format!("put, clients: {count}"), ratios.median());
    }
    cluster.stop_all().await;
    Ok(())
}

/// A file whose blocks are all written, so that the loop's syncs carry data alone.
fn floor_file(path: &Path) -> io::Result<File> {
    let file = File::create_new(path)?;
    file.write_all_at(&vec![0; FLOOR_BYTES], 0)?;
    file.sync_all()?;
    Ok(file)
}

/// Durable writes per second of one thread that does nothing else.
fn run_floor(file: &File) -> io::Result<f64> {
    let record = [b'v'; VALUE_BYTES];
    let began = Instant::now();
    let mut written = 0;
    while began.elapsed() < common::round() {
        let offset = written * VALUE_BYTES % FLOOR_BYTES;
        file.write_all_at(&record, offset as u64)?;
        file.sync_data()?;
        written += 1;
    }
    Ok(written as f64 / began.elapsed().as_secs_f64())
}
