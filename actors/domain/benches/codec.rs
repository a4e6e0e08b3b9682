//! Canonical bytes: a command on its way into the Raft log and out of it, the leaf that it gives, and a snapshot.
//!
//! `cargo bench -p portcullis-domain --bench codec`. Throughput is in canonical bytes. The snapshot holds 1000 open
//! inspections.
#![allow(clippy::unwrap_used, missing_docs, reason = "a bench that cannot go on fails")]

#[path = "support/announcing.rs"]
mod announcing;

use std::fmt::Debug;
use std::hint::black_box;

use announcing::{announce, ledger};
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use portcullis_domain::codec::{Canonical, from_bytes, to_bytes};
use portcullis_domain::event::Leaf;

const OPEN: u64 = 1000;

fn both_ways<T: Canonical + PartialEq + Debug>(criterion: &mut Criterion, what: &str, value: &T) {
    let bytes = to_bytes(value);
    assert_eq!(from_bytes::<T>(&bytes).unwrap(), *value);
    let mut group = criterion.benchmark_group(what);
    group.throughput(Throughput::Bytes(bytes.len() as u64));
    group.bench_function("encode", |bench| bench.iter(|| to_bytes(black_box(value))));
    group.bench_function("decode", |bench| {
        bench.iter(|| from_bytes::<T>(black_box(&bytes)).unwrap());
    });
    group.finish();
}

fn codec(criterion: &mut Criterion) {
    both_ways(criterion, "command", &announce(OPEN));
    let mut ledger = ledger(OPEN);
    let leaf: Leaf = from_bytes(&ledger.apply(announce(OPEN)).entry.unwrap().bytes).unwrap();
    both_ways(criterion, "leaf", &leaf);
    both_ways(criterion, "ledger", &ledger);
}

criterion_group!(benches, codec);
criterion_main!(benches);
