//! What one seed showed, as `portcullis-sim` prints it.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// What became of a fault.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Injected {
    /// Its number in the plan.
    pub number: u32,
    /// Its kind.
    pub kind: String,
    /// What it did; absent if it was not possible, or did nothing.
    pub proof: Option<String>,
}

/// What a run showed.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Outcome {
    /// The seed.
    pub seed: u64,
    /// Broken promises; none is the aim.
    pub violations: Vec<String>,
    /// Faults, in the order of the plan.
    pub faults: Vec<Injected>,
    /// Nodes that the cluster was founded with.
    pub nodes: u64,
    /// Simulated seconds.
    pub simulated_s: f64,
    /// Real seconds that the process took, which whoever ran it puts down.
    pub real_s: f64,
    /// Steps of the simulation.
    pub steps: u64,
    /// Looks at all nodes at once.
    pub looks: u64,
    /// Calls of clients.
    pub operations: u64,
    /// Those that were answered one way or the other.
    pub answered: u64,
    /// Entries of the decision log at the end.
    pub entries: u64,
    /// Bytes that clients and nodes sent on connections that they made.
    pub bytes: u64,
    /// Times that a node's process was started.
    pub starts: u64,
    /// What clients did, by kind and answer.
    pub calls: BTreeMap<String, BTreeMap<String, u64>>,
    /// What devices and watchers did.
    pub events: BTreeMap<String, u64>,
    /// How often the code of the nodes came to a place that is meant to be reached.
    pub reached: BTreeMap<String, u64>,
    /// Nodes that ended by themselves, and why.
    pub ends: Vec<(u64, String)>,
    /// Until a write was applied after all faults were over, milliseconds.
    pub served_ms: Option<u64>,
    /// Until everything was concluded after that, milliseconds.
    pub concluded_ms: Option<u64>,
    /// A digest of all that happened: the same seed gives the same one.
    pub digest: String,
}

impl Outcome {
    /// The promises that were broken, each once.
    pub fn broken(&self) -> Vec<&str> {
        let names = self.violations.iter().filter_map(|what| what.split(':').next());
        let mut names: Vec<&str> = names.collect();
        names.sort_unstable();
        names.dedup();
        names
    }
}
