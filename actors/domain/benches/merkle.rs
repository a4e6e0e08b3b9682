//! The head of the decision log: the hash of a leaf, appending it, and the root after it.
//!
//! `cargo bench -p portcullis-domain --bench merkle`. A leaf has 512 bytes. How many hashes an append and a root take depends on
//! the ones in the size: half of 20 bits on average in a log of a million, all of them at the worst.
#![allow(missing_docs, reason = "a bench has no interface")]

use std::hint::black_box;

use criterion::{BatchSize, BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use portcullis_domain::merkle::{Frontier, leaf_hash};

const LEAF: [u8; 512] = [7; 512];
/// One entry of the Raft log.
const LEAVES: u64 = 32;
/// A million, and the next size at which every bit is set.
const SIZES: [u64; 2] = [1_000_000, (1 << 20) - 1];

fn of_size(size: u64) -> Frontier {
    let leaf = leaf_hash(&LEAF);
    let mut frontier = Frontier::default();
    (0..size).for_each(|_| frontier.append(leaf));
    frontier
}

fn head(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("merkle");
    group.throughput(Throughput::Bytes(LEAF.len() as u64));
    group.bench_function("leaf hash", |bench| bench.iter(|| leaf_hash(black_box(&LEAF))));
    for size in SIZES {
        let frontier = of_size(size);
        group.throughput(Throughput::Elements(1));
        group.bench_function(BenchmarkId::new("root", size), |bench| {
            bench.iter(|| black_box(&frontier).root());
        });
        for leaves in [1, LEAVES] {
            group.throughput(Throughput::Elements(leaves));
            group.bench_function(BenchmarkId::new(format!("append {leaves} and root"), size), |bench| {
                bench.iter_batched_ref(
                    || frontier.clone(),
                    |frontier| {
                        for _ in 0..leaves {
                            frontier.append(leaf_hash(black_box(&LEAF)));
                        }
                        frontier.root()
                    },
                    BatchSize::SmallInput,
                );
            });
        }
    }
    group.finish();
}

criterion_group!(benches, head);
criterion_main!(benches);
