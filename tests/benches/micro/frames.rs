//! What goes over the wire, without the wire.

use std::hint::black_box;

use braft::testing::bench::{
    encode, read_answers, read_append, read_calls, write_answers, write_append, write_calls,
    write_entry,
};
use bytes::Bytes;
use criterion::{BenchmarkId, Criterion, Throughput};

use crate::store::{BATCHES, put, value};

/// Commands in each entry of a message between nodes.
const COMMANDS: u64 = 32;

pub(crate) fn benches(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("frames");
    for batch in BATCHES {
        group.throughput(Throughput::Elements(batch as u64));
        let calls: Vec<_> = (0..batch as u64).map(put).collect();
        group.bench_function(BenchmarkId::new("write calls", batch), |bencher| {
            bencher.iter(|| write_calls("Store", black_box(&calls)));
        });
        let frame = write_calls("Store", &calls);
        group.bench_function(BenchmarkId::new("read calls", batch), |bencher| {
            bencher.iter(|| read_calls(black_box(frame.clone())));
        });
        let answers = vec![Bytes::from(encode(&Some(value()))); batch];
        group.bench_function(BenchmarkId::new("write answers", batch), |bencher| {
            bencher.iter(|| write_answers(black_box(&answers)));
        });
        let frame = write_answers(&answers);
        group.bench_function(BenchmarkId::new("read answers", batch), |bencher| {
            bencher.iter(|| read_answers(black_box(frame.clone())));
        });
        let commands: Vec<_> = (0..COMMANDS).map(put).collect();
        let entries = vec![write_entry("Store", 1 << 16, 1, &commands); batch];
        let name = format!("write entries of {COMMANDS} commands");
        group.bench_function(BenchmarkId::new(name, batch), |bencher| {
            bencher.iter(|| write_append(black_box(&entries)));
        });
        let message = write_append(&entries);
        let name = format!("read entries of {COMMANDS} commands");
        group.bench_function(BenchmarkId::new(name, batch), |bencher| {
            bencher.iter(|| read_append(black_box(message.clone())));
        });
    }
    group.finish();
}
