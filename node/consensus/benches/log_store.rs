//! Durable appends to the Raft log, beside what the disk gives to a plain file in the same run.
//!
//! `cargo bench -p portcullis-consensus --bench log_store`. The folder is that of `TMPDIR`; on a file system in memory the
//! figures say nothing. An entry has 256 bytes; each append waits until it is durable before the next one begins.
#![allow(clippy::unwrap_used, missing_docs, reason = "a bench that cannot go on fails")]

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::time::Duration;

use bytes::Bytes;
use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use portcullis_consensus::bench_support::Log;
use tokio::runtime::Runtime;

const ENTRY: usize = 256;
const BATCHES: [u64; 3] = [1, 64, 1024];
/// Length of the preallocated file; writing starts again at its beginning.
const FILE: u64 = 64 << 20;

fn durable_append(criterion: &mut Criterion) {
    let folder = tempfile::tempdir().unwrap();
    let mut group = criterion.benchmark_group("durable_append");
    group
        .sample_size(30)
        .measurement_time(Duration::from_secs(3))
        .warm_up_time(Duration::from_millis(500));
    for batch in BATCHES {
        group.throughput(Throughput::Elements(batch));
        let bytes = vec![7; ENTRY * batch as usize];

        let file = File::create(folder.path().join("zeroed")).unwrap();
        for offset in (0..FILE).step_by(1 << 20) {
            file.write_all_at(&[0; 1 << 20], offset).unwrap();
        }
        file.sync_all().unwrap();
        let mut offset = 0;
        group.bench_function(BenchmarkId::new("preallocated file", batch), |bench| {
            bench.iter(|| {
                if offset + bytes.len() as u64 > FILE {
                    offset = 0;
                }
                file.write_all_at(&bytes, offset).unwrap();
                file.sync_data().unwrap();
                offset += bytes.len() as u64;
            });
        });

        let file = File::create(folder.path().join("growing")).unwrap();
        let mut offset = 0;
        group.bench_function(BenchmarkId::new("growing file", batch), |bench| {
            bench.iter(|| {
                file.write_all_at(&bytes, offset).unwrap();
                file.sync_data().unwrap();
                offset += bytes.len() as u64;
            });
        });
        drop(file);

        let payload = Bytes::from(vec![7; ENTRY]);
        let runtime = Runtime::new().unwrap();
        let folder = tempfile::tempdir().unwrap();
        let mut log = Log::create(folder.path());
        group.bench_function(BenchmarkId::new("log", batch), |bench| {
            bench.iter(|| runtime.block_on(log.append(batch, &payload)));
        });
    }
    group.finish();
}

criterion_group!(benches, durable_append);
criterion_main!(benches);
