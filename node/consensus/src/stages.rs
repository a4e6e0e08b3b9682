//! Where the time of a commit goes on the node that leads, counted since it was started.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use crate::consensus::Consensus;

/// How often a stage was passed, and how long that took together.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct StageTime {
    /// How often.
    pub count: u64,
    /// How long, all times added.
    pub total: Duration,
}

/// The stages of a round of commands, in their order. They add up to what the node itself needs; the way between client and
/// node comes on top.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct CommitStages {
    /// From being handed in until its round is taken from the queue; counted for each command.
    pub queue: StageTime,
    /// From there until a quorum has the entry on disk and apply begins. Counted for each entry, like what follows.
    pub agree: StageTime,
    /// Applying and showing it.
    pub apply: StageTime,
    /// From there until the callers are woken.
    pub answer: StageTime,
}

#[derive(Debug, Default)]
pub(crate) struct Meter {
    count: AtomicU64,
    nanos: AtomicU64,
}

impl Meter {
    pub(crate) fn add(&self, took: Duration) {
        let nanos = u64::try_from(took.as_nanos()).unwrap_or(u64::MAX);
        self.count.fetch_add(1, Ordering::Relaxed);
        self.nanos.fetch_add(nanos, Ordering::Relaxed);
    }

    fn read(&self) -> StageTime {
        StageTime {
            count: self.count.load(Ordering::Relaxed),
            total: Duration::from_nanos(self.nanos.load(Ordering::Relaxed)),
        }
    }
}

/// The meters behind [`CommitStages`].
#[derive(Debug, Default)]
pub(crate) struct Meters {
    pub(crate) queue: Meter,
    pub(crate) agree: Meter,
    pub(crate) apply: Meter,
    pub(crate) answer: Meter,
}

impl Consensus {
    /// Where the time of the commits went that this node led.
    pub fn commit_stages(&self) -> CommitStages {
        let meters = self.proposer().meters();
        CommitStages {
            queue: meters.queue.read(),
            agree: meters.agree.read(),
            apply: meters.apply.read(),
            answer: meters.answer.read(),
        }
    }
}
