//! How a node is doing, in numbers.

use std::collections::BTreeMap;
use std::time::Duration;

use openraft::Instant as _;
use openraft::async_runtime::WatchReceiver;

use crate::consensus::Consensus;
use crate::ledger::Digest;
use crate::types::Member;

/// A node's state at one moment. Indexes are Raft indexes, sizes are entries of the decision log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Status {
    /// This node.
    pub node: u64,
    /// The leader, if this node knows one.
    pub leader: Option<u64>,
    /// The newest term seen.
    pub term: u64,
    /// "Leader", "Follower", "Candidate", "Learner" or "Shutdown".
    pub role: String,
    /// Last entry in the Raft log.
    pub last_index: Option<u64>,
    /// Last entry known to be committed.
    pub committed: Option<u64>,
    /// Last entry applied.
    pub applied: Option<u64>,
    /// Last entry in the newest snapshot.
    pub snapshot: Option<u64>,
    /// Last entry removed from the Raft log.
    pub purged: Option<u64>,
    /// Entries of the decision log.
    pub log_size: u64,
    /// Root of the decision log.
    pub log_root: Digest,
    /// Entries of the decision log that the index holds: fewer while it is made again or lags behind a busy log.
    pub indexed: u64,
    /// The oldest bundle of the decision log that this node lacks.
    pub missing_bundle: Option<u64>,
    /// Who votes.
    pub voters: BTreeMap<u64, Member>,
    /// Who only listens.
    pub learners: BTreeMap<u64, Member>,
    /// On the leader: time since a quorum confirmed that it leads.
    pub quorum_age: Option<Duration>,
    /// On the leader: last index known to be on each other node.
    pub matched: BTreeMap<u64, Option<u64>>,
    /// Bytes of the Raft log on disk.
    pub raft_bytes: u64,
    /// Bytes of the index store on disk.
    pub index_bytes: u64,
    /// Why the node has to stop, once it has to.
    pub fatal: Option<String>,
}

impl Consensus {
    /// How this node is doing.
    pub fn status(&self) -> Status {
        let view = self.view();
        let metrics = self.raft().metrics().borrow_watched().clone();
        let membership = metrics.membership_config.membership();
        let member = |id: u64| (id, membership.get_node(&id).cloned().unwrap_or_default());
        Status {
            node: metrics.id,
            leader: metrics.current_leader,
            term: metrics.current_term,
            role: format!("{:?}", metrics.state),
            last_index: metrics.last_log_index,
            committed: metrics.local_committed.map(|id| id.index),
            applied: metrics.last_applied.map(|id| id.index),
            snapshot: metrics.snapshot.map(|id| id.index),
            purged: metrics.purged.map(|id| id.index),
            log_size: view.log_size,
            log_root: view.root,
            indexed: self.index().indexed(),
            missing_bundle: self.replica().tlog.bundles.missing(1).next(),
            voters: membership.voter_ids().map(member).collect(),
            learners: membership.learner_ids().map(member).collect(),
            quorum_age: metrics.last_quorum_acked.map(|at| at.elapsed()),
            matched: metrics
                .replication
                .unwrap_or_default()
                .into_iter()
                .map(|(id, matched)| (id, matched.map(|id| id.index)))
                .collect(),
            raft_bytes: self.raft_bytes(),
            index_bytes: self.index().disk_bytes(),
            fatal: self.replica().fatal.borrow().clone(),
        }
    }
}
