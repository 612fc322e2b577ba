//! What the state machine does with an entry: sessions, clock, timers, the commands, their answers.

use std::hint::black_box;

use braft::testing::bench::Replica;
use criterion::{BatchSize, BenchmarkId, Criterion, Throughput};

use crate::store::{BATCHES, Store, get, key, put};

/// Keys that are written and read.
const ENTRIES: u64 = 100_000;

pub(crate) fn benches(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("apply");
    for batch in BATCHES {
        group.throughput(Throughput::Elements(batch as u64));
        // What makes the entries and what carries them out take turns.
        let replica = std::cell::RefCell::new(Replica::new::<Store>());
        let mut n = 0;
        let mut entry = || {
            let payloads: Vec<_> = (n..).take(batch).map(|n| put(key(n, ENTRIES))).collect();
            n += batch as u64;
            replica.borrow_mut().entry(&payloads)
        };
        group.bench_function(BenchmarkId::new("commands", batch), |bencher| {
            bencher.iter_batched(
                &mut entry,
                |entry| replica.borrow_mut().apply(black_box(entry)),
                BatchSize::SmallInput,
            );
        });
        let queries: Vec<_> = (0..batch as u64).map(|n| get(key(n, ENTRIES))).collect();
        group.bench_function(BenchmarkId::new("queries", batch), |bencher| {
            let replica = replica.borrow();
            bencher.iter(|| replica.query(black_box(&queries)));
        });
    }
    group.finish();
}
