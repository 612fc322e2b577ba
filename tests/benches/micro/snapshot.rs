//! A state written to a snapshot file, and one taken in from another node.

use braft::testing::bench::{Replica, Snapshots};
use criterion::{Criterion, Throughput};

use crate::store::{Store, put};

/// Keys of the state, of 256 B each.
const ENTRIES: u64 = 100_000;
/// Commands in each entry that fills it.
const BATCH: u64 = 1_000;

pub(crate) fn benches(criterion: &mut Criterion) {
    let directory = tempfile::tempdir().expect("a directory");
    let mut group = criterion.benchmark_group("snapshot");
    group.sample_size(10);
    let mut replica = Replica::new::<Store>();
    for first in (0..ENTRIES).step_by(BATCH as usize) {
        let puts: Vec<_> = (first..first + BATCH).map(put).collect();
        let entry = replica.entry(&puts);
        replica.apply(entry);
    }
    let theirs = Snapshots::open(&directory.path().join("theirs"));
    let bytes = theirs.write(&replica);
    group.throughput(Throughput::Bytes(bytes));
    group.bench_function("write", |bencher| {
        bencher.iter(|| theirs.write(&replica));
    });
    let ours = Snapshots::open(&directory.path().join("ours"));
    let empty = Replica::new::<Store>();
    group.bench_function("install", |bencher| {
        bencher.iter(|| ours.install(&theirs, &empty));
    });
    group.finish();
}
