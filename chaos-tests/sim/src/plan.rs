//! What one seed fixes: the size of the cluster, its timing, the port in front of it, and which faults come when.

use std::time::Duration;

use portcullis_chaos::port::PortOptions;
use portcullis_config::NodeConfig;
use rand::seq::IndexedRandom as _;
use rand::{RngExt as _, SeedableRng as _};
use rand_chacha::ChaCha8Rng;

use crate::fault::Kind;

/// Faults of a run come in pairs: two that may overlap.
const PAIRS: u32 = 3;

/// One fault of a run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Planned {
    /// Its number in the run, from 0.
    pub(crate) number: u32,
    /// What happens.
    pub(crate) kind: Kind,
    /// When, since the cluster served first.
    pub(crate) at: Duration,
    /// For how long.
    pub(crate) lasts: Duration,
    /// What it draws from.
    pub(crate) draw: u64,
}

/// A run.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Plan {
    /// All of it comes from this.
    pub(crate) seed: u64,
    /// Nodes that found the cluster.
    pub(crate) nodes: u64,
    /// Port seconds in a simulated one.
    pub(crate) speed: f64,
    /// Longest time that a message takes.
    pub(crate) latency: Duration,
    /// Hosts run in another order at each step.
    pub(crate) shuffled: bool,
    /// A snapshot is taken after this many Raft entries.
    pub(crate) snapshot_every: u64,
    /// Commands that may wait on a node.
    pub(crate) proposals: usize,
    /// How long a node waits for what becomes of a command.
    pub(crate) call: Duration,
    /// The port.
    pub(crate) port: PortOptions,
    /// Faults, in the order of their beginning.
    pub(crate) faults: Vec<Planned>,
}

impl Plan {
    /// What a seed stands for.
    pub(crate) fn drawn(seed: u64) -> Self {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        rng.set_stream(7);
        let nodes = if rng.random_ratio(1, 6) { 5 } else { 3 };
        let mut port = PortOptions::drawn(seed);
        port.lanes = port.lanes.min(4);
        let mut faults = Vec::new();
        let mut at = Duration::from_millis(rng.random_range(500..3000));
        for _ in 0..PAIRS {
            let mut end = at;
            for second in [false, true] {
                let kind = *Kind::ALL.choose(&mut rng).unwrap_or(&Kind::KillLeader);
                let begins = match second {
                    false => at,
                    true => at + Duration::from_millis(rng.random_range(0..2500)),
                };
                let lasts = Duration::from_millis(rng.random_range(300..5000));
                end = end.max(begins + lasts);
                faults.push(Planned {
                    number: faults.len() as u32,
                    kind,
                    at: begins,
                    lasts,
                    draw: rng.random(),
                });
            }
            at = end + Duration::from_millis(rng.random_range(200..3000));
        }
        Self {
            seed,
            nodes,
            speed: *[60.0, 120.0, 240.0].choose(&mut rng).unwrap_or(&60.0),
            latency: Duration::from_micros(*[1_000, 3_000, 8_000].choose(&mut rng).unwrap_or(&1_000)),
            shuffled: rng.random_ratio(3, 4),
            snapshot_every: *[50, 200, 1000].choose(&mut rng).unwrap_or(&200),
            proposals: *[16, 256, 1024].choose(&mut rng).unwrap_or(&256),
            call: Duration::from_secs(*[1, 2, 5].choose(&mut rng).unwrap_or(&5)),
            port,
            faults,
        }
    }

    /// Sets what the plan says of a node.
    pub(crate) fn tune(&self, config: &mut NodeConfig) {
        config.raft.heartbeat = Duration::from_millis(60);
        config.raft.election_min = Duration::from_millis(250);
        config.raft.election_max = Duration::from_millis(400);
        config.raft.snapshot_every = self.snapshot_every;
        config.liveness.beat = Duration::from_millis(200);
        config.liveness.suspect = Duration::from_millis(800);
        config.liveness.suspend = Duration::from_millis(1500);
        config.liveness.down = Duration::from_millis(2500);
        config.limits.proposals = self.proposals;
        config.limits.call = self.call;
    }
}
