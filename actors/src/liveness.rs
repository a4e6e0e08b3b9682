//! Which nodes have been heard of lately. Decides nothing about safety: fencing does that.

use std::collections::BTreeMap;
use std::time::Duration;

use portcullis_domain::id::{BootId, NodeId};
use tokio::time::Instant;

/// When each process was last heard of.
#[derive(Debug, Clone)]
pub struct Liveness {
    down_after: Duration,
    heard: BTreeMap<(NodeId, BootId), Instant>,
    /// Since when this process has been listening without a break.
    listening_since: Instant,
    last_look: Instant,
}

/// Whoever looks less often than this was asleep, and has no idea of who was silent meanwhile.
const NAP: Duration = Duration::from_secs(1);

impl Liveness {
    /// Starts listening at `now`.
    pub fn new(down_after: Duration, now: Instant) -> Self {
        Self {
            down_after,
            heard: BTreeMap::new(),
            listening_since: now,
            last_look: now,
        }
    }

    /// A process of a node was heard of.
    pub fn heard(&mut self, node: NodeId, boot: BootId, now: Instant) {
        // Older processes of the node never come back.
        self.heard.retain(|(known, _), _| *known != node);
        self.heard.insert((node, boot), now);
    }

    /// This process becomes responsible now: everybody gets the whole time once.
    pub fn listen_from(&mut self, now: Instant) {
        self.listening_since = now;
        self.last_look = now;
    }

    /// To be called several times a second. A process that was paused starts listening anew, because it would otherwise
    /// take its own sleep for the silence of all others.
    pub fn look(&mut self, now: Instant) {
        if now.saturating_duration_since(self.last_look) > NAP {
            self.listening_since = now;
        }
        self.last_look = now;
    }

    /// The process has been silent for too long, as far as this process can tell.
    pub fn is_overdue(&self, node: NodeId, boot: BootId, now: Instant) -> bool {
        let since = match self.heard.get(&(node, boot)) {
            Some(heard) => (*heard).max(self.listening_since),
            None => self.listening_since,
        };
        now.saturating_duration_since(since) >= self.down_after
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NODE: NodeId = NodeId(2);
    const BOOT: BootId = BootId(7);
    const DOWN: Duration = Duration::from_secs(5);

    #[tokio::test]
    async fn a_process_is_overdue_after_the_full_silence_and_not_before() {
        let start = Instant::now();
        let mut liveness = Liveness::new(DOWN, start);
        liveness.heard(NODE, BOOT, start + Duration::from_secs(2));
        assert!(!liveness.is_overdue(NODE, BOOT, start + Duration::from_millis(6_999)));
        assert!(liveness.is_overdue(NODE, BOOT, start + Duration::from_secs(7)));
    }

    #[tokio::test]
    async fn a_new_leader_waits_the_full_time_also_for_those_it_never_heard() {
        let start = Instant::now();
        let mut liveness = Liveness::new(DOWN, start);
        liveness.listen_from(start + Duration::from_secs(60));
        assert!(!liveness.is_overdue(NODE, BOOT, start + Duration::from_secs(64)));
        assert!(liveness.is_overdue(NODE, BOOT, start + Duration::from_secs(65)));
    }

    #[tokio::test]
    async fn a_process_that_was_paused_does_not_take_its_sleep_for_the_silence_of_others() {
        let start = Instant::now();
        let mut liveness = Liveness::new(DOWN, start);
        liveness.heard(NODE, BOOT, start);
        liveness.look(start + Duration::from_millis(100));
        let awake = start + Duration::from_secs(10);
        liveness.look(awake);
        assert!(!liveness.is_overdue(NODE, BOOT, awake));
        for tick in 1..=50 {
            liveness.look(awake + Duration::from_millis(100 * tick));
        }
        assert!(liveness.is_overdue(NODE, BOOT, awake + DOWN));
    }

    #[tokio::test]
    async fn an_older_process_of_a_node_is_not_kept_alive_by_a_newer_one() {
        let start = Instant::now();
        let mut liveness = Liveness::new(DOWN, start);
        liveness.heard(NODE, BOOT, start + Duration::from_secs(4));
        liveness.heard(NODE, BootId(8), start + Duration::from_secs(5));
        assert!(liveness.is_overdue(NODE, BOOT, start + Duration::from_secs(5)));
        assert!(!liveness.is_overdue(NODE, BootId(8), start + Duration::from_secs(5)));
    }
}
