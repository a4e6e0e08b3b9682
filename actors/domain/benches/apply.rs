//! What the ledger needs for one Raft entry, while readers hold the view before it.
//!
//! `cargo bench -p portcullis-domain --bench apply`. A node keeps a clone of the ledger as the view of its readers, so every
//! entry copies the paths of the maps that it changes: the first command more than those after it. An entry has 1 or 32
//! announcements; the ledger holds 0 or 10 000 open inspections.
#![allow(clippy::unwrap_used, missing_docs, reason = "a bench that cannot go on fails")]

#[path = "support/announcing.rs"]
mod announcing;

use std::hint::black_box;

use announcing::{announce, ledger};
use criterion::{BatchSize, BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use portcullis_domain::command::Command;

const OPEN: [u64; 2] = [0, 10_000];
const COMMANDS: [u64; 2] = [1, 32];

fn apply(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("apply_with_a_view_held");
    for open in OPEN {
        let view = ledger(open);
        for commands in COMMANDS {
            let entry: Vec<Command> = (open..open + commands).map(announce).collect();
            group.throughput(Throughput::Elements(commands));
            group.bench_function(BenchmarkId::new(format!("{open} open"), commands), |bench| {
                bench.iter_batched(
                    || view.clone(),
                    |mut ledger| {
                        for command in &entry {
                            let applied = ledger.apply(command);
                            assert!(applied.entry.is_some(), "{:?}", applied.outcome);
                            black_box(applied);
                        }
                        // The view of this entry, and the head that is remembered of it.
                        (ledger.clone(), ledger.log().root())
                    },
                    BatchSize::SmallInput,
                );
            });
        }
    }
    group.finish();
}

criterion_group!(benches, apply);
criterion_main!(benches);
