//! Values and entries as bytes.

use std::hint::black_box;

use braft::testing::bench::{decode, encode, read_entry, write_entry};
use criterion::{BenchmarkId, Criterion, Throughput};

use crate::store::{BATCHES, Command, put, value};

pub(crate) fn benches(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("codec");
    let command = Command::put {
        key: 7,
        value: value(),
    };
    let bytes = encode(&command);
    group.bench_function("encode a command", |bencher| {
        bencher.iter(|| encode(black_box(&command)));
    });
    group.bench_function("decode a command", |bencher| {
        bencher.iter(|| decode::<Command>(black_box(&bytes)));
    });
    let answer = Some(value());
    let bytes = encode(&answer);
    group.bench_function("encode an answer", |bencher| {
        bencher.iter(|| encode(black_box(&answer)));
    });
    group.bench_function("decode an answer", |bencher| {
        bencher.iter(|| decode::<Option<String>>(black_box(&bytes)));
    });
    for batch in BATCHES {
        group.throughput(Throughput::Elements(batch as u64));
        let payloads: Vec<_> = (0..batch as u64).map(put).collect();
        group.bench_function(BenchmarkId::new("write an entry", batch), |bencher| {
            bencher.iter(|| write_entry("Store", 1 << 16, 1, black_box(&payloads)));
        });
        let entry = write_entry("Store", 1 << 16, 1, &payloads);
        group.bench_function(BenchmarkId::new("read an entry", batch), |bencher| {
            bencher.iter(|| read_entry(black_box(entry.clone())));
        });
    }
    group.finish();
}
