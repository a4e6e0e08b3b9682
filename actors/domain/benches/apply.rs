//! What the ledger needs for one Raft entry: when nobody reads, so that its maps change in place, and when a reader holds the
//! view before it, so that the paths that change are copied.
//!
//! `cargo bench -p portcullis-domain --bench apply`. An entry has 1 or 32 announcements, each of a container that the ledger
//! has not seen; it holds 0 or 10 000 open inspections at the beginning.
#![allow(clippy::unwrap_used, missing_docs, reason = "a bench that cannot go on fails")]

#[path = "support/announcing.rs"]
mod announcing;

use std::hint::black_box;
use std::time::{Duration, Instant};

use announcing::{announce, ledger};
use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use portcullis_domain::command::Command;
use portcullis_domain::ledger::Ledger;

const OPEN: [u64; 2] = [0, 10_000];
const COMMANDS: [u64; 2] = [1, 32];

/// One entry, as the state machine applies it.
fn apply_entry(ledger: &mut Ledger, entry: Vec<Command>) {
    for command in entry {
        let applied = ledger.apply(command);
        assert!(applied.entry.is_some(), "{:?}", applied.outcome);
        black_box(applied);
    }
    // The head is remembered with each entry.
    black_box(ledger.log().root());
}

/// Time of so many entries, one after the other.
fn entries(open: u64, commands: u64, rounds: u64, read: bool) -> Duration {
    let mut ledger = ledger(open);
    let mut took = Duration::ZERO;
    for round in 0..rounds {
        let first = open + round * commands;
        let entry: Vec<Command> = (first..first + commands).map(announce).collect();
        let view = read.then(|| ledger.clone());
        let since = Instant::now();
        apply_entry(&mut ledger, entry);
        took += since.elapsed();
        drop(view);
    }
    took
}

fn apply(criterion: &mut Criterion) {
    for (name, read) in [("apply", false), ("apply_with_a_view_held", true)] {
        let mut group = criterion.benchmark_group(name);
        for open in OPEN {
            for commands in COMMANDS {
                group.throughput(Throughput::Elements(commands));
                group.bench_function(BenchmarkId::new(format!("{open} open"), commands), |bench| {
                    bench.iter_custom(|rounds| entries(open, commands, rounds, read));
                });
            }
        }
        group.finish();
    }
}

criterion_group!(benches, apply);
criterion_main!(benches);
