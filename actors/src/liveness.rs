//! Which nodes have been heard of lately. Decides nothing about safety: fencing does that.

use std::collections::BTreeMap;
use std::time::Duration;

use portcullis_domain::id::{BootId, NodeId};
use tokio::time::Instant;

/// When each process was last heard of.
#[derive(Debug, Clone)]
pub struct Liveness {
    suspect_after: Duration,
    down_after: Duration,
    /// By process, not by node: a late heartbeat of an older process says nothing about the one that followed it.
    heard: BTreeMap<(NodeId, BootId), Instant>,
    /// When the processes that are up were first seen in the ledger.
    up_since: BTreeMap<(NodeId, BootId), Instant>,
    /// Since when this process has been listening without a break.
    listening_since: Instant,
    last_look: Instant,
}

/// Whoever looks less often than this was asleep, and has no idea of who was silent meanwhile.
const NAP: Duration = Duration::from_secs(1);
/// Processes that are heard of and that the ledger does not know are forgotten when this many are known.
const HEARD_MAX: usize = 256;

impl Liveness {
    /// Starts listening at `now`.
    pub fn new(suspect_after: Duration, down_after: Duration, now: Instant) -> Self {
        Self {
            suspect_after,
            down_after,
            heard: BTreeMap::new(),
            up_since: BTreeMap::new(),
            listening_since: now,
            last_look: now,
        }
    }

    /// A process of a node was heard of.
    pub fn heard(&mut self, node: NodeId, boot: BootId, now: Instant) {
        self.heard.insert((node, boot), now);
        if self.heard.len() > HEARD_MAX {
            // Those that still live come back with their next heartbeat.
            let down_after = self.down_after;
            self.heard
                .retain(|_, heard| now.saturating_duration_since(*heard) < down_after);
        }
    }

    /// This process becomes responsible now: everybody gets the whole time once.
    pub fn listen_from(&mut self, now: Instant) {
        self.listening_since = now;
        self.last_look = now;
    }

    /// To be called several times a second, with the processes that are up in the ledger. A process that was paused
    /// starts listening anew, because it would otherwise take its own sleep for the silence of all others; one that has
    /// just come up gets the whole time for its first heartbeat.
    pub fn look(&mut self, now: Instant, up: impl Iterator<Item = (NodeId, BootId)>) {
        if now.saturating_duration_since(self.last_look) > NAP {
            self.listening_since = now;
        }
        self.last_look = now;
        self.up_since = up
            .map(|process| (process, self.up_since.get(&process).copied().unwrap_or(now)))
            .collect();
    }

    /// The process has been silent for too long, as far as this process can tell.
    pub fn is_overdue(&self, node: NodeId, boot: BootId, now: Instant) -> bool {
        self.silence(node, boot, now) >= self.down_after
    }

    /// The process has been silent for long enough to give it nothing new.
    pub fn is_suspect(&self, node: NodeId, boot: BootId, now: Instant) -> bool {
        self.silence(node, boot, now) >= self.suspect_after
    }

    fn silence(&self, node: NodeId, boot: BootId, now: Instant) -> Duration {
        let process = (node, boot);
        let known = [self.heard.get(&process), self.up_since.get(&process)];
        let since = known
            .into_iter()
            .flatten()
            .copied()
            .fold(self.listening_since, Instant::max);
        now.saturating_duration_since(since)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NODE: NodeId = NodeId(2);
    const BOOT: BootId = BootId(7);
    const UP: [(NodeId, BootId); 1] = [(NODE, BOOT)];
    const SUSPECT: Duration = Duration::from_secs(1);
    const DOWN: Duration = Duration::from_secs(5);

    #[tokio::test]
    async fn a_process_is_overdue_after_the_full_silence_and_not_before() {
        let start = Instant::now();
        let mut liveness = Liveness::new(SUSPECT, DOWN, start);
        liveness.heard(NODE, BOOT, start + Duration::from_secs(2));
        assert!(!liveness.is_overdue(NODE, BOOT, start + Duration::from_millis(6_999)));
        assert!(liveness.is_overdue(NODE, BOOT, start + Duration::from_secs(7)));
    }

    #[tokio::test]
    async fn a_new_leader_waits_the_full_time_also_for_those_it_never_heard() {
        let start = Instant::now();
        let mut liveness = Liveness::new(SUSPECT, DOWN, start);
        liveness.listen_from(start + Duration::from_secs(60));
        assert!(!liveness.is_overdue(NODE, BOOT, start + Duration::from_secs(64)));
        assert!(liveness.is_overdue(NODE, BOOT, start + Duration::from_secs(65)));
    }

    #[tokio::test]
    async fn a_process_that_was_paused_does_not_take_its_sleep_for_the_silence_of_others() {
        let start = Instant::now();
        let mut liveness = Liveness::new(SUSPECT, DOWN, start);
        liveness.heard(NODE, BOOT, start);
        liveness.look(start + Duration::from_millis(100), UP.into_iter());
        let awake = start + Duration::from_secs(10);
        liveness.look(awake, UP.into_iter());
        assert!(!liveness.is_overdue(NODE, BOOT, awake));
        for tick in 1..=50 {
            liveness.look(awake + Duration::from_millis(100 * tick), UP.into_iter());
        }
        assert!(liveness.is_overdue(NODE, BOOT, awake + DOWN));
    }

    #[tokio::test]
    async fn an_older_process_of_a_node_neither_lives_by_a_newer_one_nor_evicts_it() {
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        let mut liveness = Liveness::new(SUSPECT, DOWN, start);
        liveness.heard(NODE, BOOT, at(4));
        liveness.heard(NODE, BootId(8), at(8));
        // Late, from the older one.
        liveness.heard(NODE, BOOT, at(9));
        assert!(!liveness.is_overdue(NODE, BootId(8), at(12)));
        assert!(liveness.is_overdue(NODE, BootId(8), at(13)));
        assert!(liveness.is_overdue(NODE, BOOT, at(14)));
    }

    #[tokio::test]
    async fn a_process_that_has_just_come_up_has_the_whole_time_for_its_first_heartbeat() {
        let start = Instant::now();
        let mut liveness = Liveness::new(SUSPECT, DOWN, start);
        for tick in 0..=150 {
            let up = (tick >= 100).then_some((NODE, BOOT));
            liveness.look(start + Duration::from_millis(100 * tick), up.into_iter());
        }
        assert!(!liveness.is_overdue(NODE, BOOT, start + Duration::from_millis(14_999)));
        assert!(liveness.is_overdue(NODE, BOOT, start + Duration::from_secs(15)));
    }

    #[tokio::test]
    async fn a_process_is_suspected_before_it_is_overdue_and_no_longer_once_it_is_heard_again() {
        let start = Instant::now();
        let at = |millis| start + Duration::from_millis(millis);
        let mut liveness = Liveness::new(SUSPECT, DOWN, start);
        liveness.heard(NODE, BOOT, start);
        assert!(!liveness.is_suspect(NODE, BOOT, at(999)));
        assert!(liveness.is_suspect(NODE, BOOT, at(1_000)) && !liveness.is_overdue(NODE, BOOT, at(1_000)));
        liveness.heard(NODE, BOOT, at(1_500));
        assert!(!liveness.is_suspect(NODE, BOOT, at(1_500)));
    }
}
