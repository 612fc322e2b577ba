//! The table that keeps commands from running twice.

use std::hint::black_box;

use braft::testing::bench::Table;
use bytes::Bytes;
use criterion::{BenchmarkId, Criterion, Throughput};

const SESSIONS: [usize; 3] = [1, 256, 10_000];

pub(crate) fn benches(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("sessions");
    let answer = Bytes::from_static(b"\x07");
    for sessions in SESSIONS {
        group.throughput(Throughput::Elements(sessions as u64));
        let mut table = Table::new(sessions);
        group.bench_function(BenchmarkId::new("a command of each", sessions), |bencher| {
            bencher.iter(|| table.run_each(black_box(&answer)));
        });
        group.bench_function(BenchmarkId::new("the same again", sessions), |bencher| {
            bencher.iter(|| table.repeat_each());
        });
    }
    group.finish();
}
