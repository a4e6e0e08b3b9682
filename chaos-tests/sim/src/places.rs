//! Places in the code of the nodes that a run came to: every line that a node logs, by its words.
//!
//! Nodes say what they do at the places that matter, so nothing has to be planted there. [`SOMETIMES`] are those that many runs
//! together have to reach, or their faults did not bite; [`NEVER`] are those at which something is broken.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use tracing::field::{Field, Visit};
use tracing::{Event, Level, Metadata, Subscriber};
use tracing_subscriber::layer::{Context, Layer};

/// Places that some seed has to reach.
pub(crate) const SOMETIMES: &[&str] = &[
    "a node was granted its id",
    "a snapshot is damaged and is set aside; the node starts from the one before it and the Raft log",
    "breaking off the pass",
    "cut off writes of the Raft log that a crash left unfinished",
    "device detached",
    "enough is known, stopping",
    "fenced: the placement is over",
    "giving up the call-up",
    "leadership is handed over on request",
    "node is silent, declaring it down",
    "the Raft log has failed",
    "the cluster declared this process down while it was away; starting again",
    "the members of the cluster were changed",
    "this node's clock is off the majority's by more than 2 s; leadership goes elsewhere",
];

/// Places that no run may reach.
pub(crate) const NEVER: &[&str] = &[
    "a node sent a bundle that is not in the log",
    "actor crashed",
    "tasks of consensus did not stop in time",
    "the decision logs of two nodes differ",
];

/// Counts the places. Clones count together.
#[derive(Debug, Clone, Default)]
pub(crate) struct Places(Arc<Mutex<BTreeMap<String, u64>>>);

impl Places {
    /// Whether this is a line of a node that counts. Spans do not: to note who is in which takes time.
    pub(crate) fn counts(line: &Metadata<'_>) -> bool {
        let target = line.target();
        let of_a_node = target.starts_with("portcullis") && !target.starts_with("portcullis_sim");
        line.is_event() && *line.level() <= Level::INFO && of_a_node
    }

    /// How often each place was reached so far.
    pub(crate) fn reached(&self) -> BTreeMap<String, u64> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl<S: Subscriber> Layer<S> for Places {
    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        let mut words = Words(String::new());
        event.record(&mut words);
        let mut places = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match places.get_mut(&words.0) {
            Some(count) => *count += 1,
            None => drop(places.insert(words.0, 1)),
        }
    }
}

struct Words(String);

impl Visit for Words {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        if field.name() == "message" {
            self.0 = format!("{value:?}");
        }
    }
}
