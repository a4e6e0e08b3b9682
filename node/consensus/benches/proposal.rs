//! The commands of one Raft entry, packed by the leader and read again by each node that applies them.
//!
//! `cargo bench -p portcullis-consensus --bench proposal`. Entries of 1, 32 and 64 commands; 64 is the most that one takes.
#![allow(clippy::unwrap_used, missing_docs, reason = "a bench that cannot go on fails")]

use std::hint::black_box;

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use portcullis_consensus::bench_support::{pack, unpack};
use portcullis_domain::command::{ClusterCommand, Command, CommandBody};
use portcullis_domain::id::{BootId, NodeId, Timestamp};

const COMMANDS: [u64; 3] = [1, 32, 64];

fn node_up(number: u64) -> Command {
    Command {
        at: Timestamp(1),
        traceparent: "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01".to_owned(),
        body: CommandBody::Cluster(ClusterCommand::NodeUp {
            node: NodeId(number),
            boot: BootId(number),
            expect: None,
            capacity: 1,
            version: 1,
        }),
    }
}

fn proposal(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("proposal");
    for count in COMMANDS {
        let commands: Vec<Command> = (0..count).map(node_up).collect();
        let packed = pack(&commands);
        assert_eq!(unpack(&packed), commands);
        group.throughput(Throughput::Elements(count));
        group.bench_function(BenchmarkId::new("pack", count), |bench| {
            bench.iter(|| pack(black_box(&commands)));
        });
        group.bench_function(BenchmarkId::new("unpack", count), |bench| {
            bench.iter(|| unpack(black_box(&packed)));
        });
    }
    group.finish();
}

criterion_group!(benches, proposal);
criterion_main!(benches);
