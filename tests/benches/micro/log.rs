//! Entries appended and synced.

use std::fs::File;
use std::hint::black_box;
use std::os::unix::fs::FileExt;
use std::path::Path;

use braft::testing::bench::Log;
use bytes::Bytes;
use criterion::{BenchmarkId, Criterion, Throughput};

use crate::store::{BATCHES, VALUE_BYTES};

/// Bytes of the file that the plain loop writes to, zeroed beforehand as a log segment is.
const FLOOR_BYTES: usize = 64 << 20;

pub(crate) fn benches(criterion: &mut Criterion) {
    let directory = tempfile::tempdir().expect("a directory");
    let mut group = criterion.benchmark_group("log");
    let floor = Floor::new(&directory.path().join("floor"));
    for batch in BATCHES {
        group.throughput(Throughput::Elements(batch as u64));
        let bytes = vec![b'v'; batch * VALUE_BYTES];
        let mut offset = 0;
        group.bench_function(BenchmarkId::new("pwrite and fdatasync", batch), |bencher| {
            bencher.iter(|| floor.write(black_box(&bytes), &mut offset));
        });
        let mut log = Log::open(&directory.path().join(format!("log {batch}")));
        let payload = Bytes::from(vec![b'v'; VALUE_BYTES]);
        let entries = vec![payload; batch];
        group.bench_function(BenchmarkId::new("append", batch), |bencher| {
            bencher.iter(|| log.append(black_box(&entries)));
        });
    }
    group.finish();
}

/// What no log can undercut.
struct Floor(File);

impl Floor {
    fn new(path: &Path) -> Self {
        let file = File::create_new(path).expect("a new file");
        let zeros = vec![0; FLOOR_BYTES];
        file.write_all_at(&zeros, 0).expect("the disk has room");
        file.sync_all().expect("the disk is sound");
        Floor(file)
    }

    fn write(&self, bytes: &[u8], offset: &mut usize) {
        if *offset + bytes.len() > FLOOR_BYTES {
            *offset = 0;
        }
        let written = self.0.write_all_at(bytes, *offset as u64);
        written.expect("the disk has room");
        self.0.sync_data().expect("the disk is sound");
        *offset += bytes.len();
    }
}
