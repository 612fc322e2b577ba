//! A call of one service: from its bytes through generated code and the method to those of its answer.

use std::hint::black_box;

use braft::testing::bench::Single;
use criterion::Criterion;

use crate::store::{Store, get, key, put};

/// Keys that are written and read.
const ENTRIES: u64 = 10_000;

pub(crate) fn benches(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("dispatch");
    let mut service = Single::new::<Store>();
    let puts: Vec<_> = (0..ENTRIES).map(|n| put(key(n, ENTRIES))).collect();
    let mut next = puts.iter().cycle();
    for put in &puts {
        service.apply(put);
    }
    group.bench_function("command", |bencher| {
        bencher.iter(|| service.apply(black_box(next.next().expect("it has no end"))));
    });
    let gets: Vec<_> = (0..ENTRIES).map(|n| get(key(n, ENTRIES))).collect();
    let mut next = gets.iter().cycle();
    group.bench_function("query", |bencher| {
        bencher.iter(|| service.query(black_box(next.next().expect("it has no end"))));
    });
    group.finish();
}
