//! The types that openraft is instantiated with.

use std::fmt;
use std::sync::Arc;

use bytes::Bytes;
use openraft::impls::leader_id_adv::LeaderId;
use tokio::time::Instant;

use crate::ledger::{Outcome, Timestamp};

openraft::declare_raft_types!(
    /// The one Raft group of a cluster.
    pub(crate) Group:
        D = Proposal,
        R = Answers,
        NodeId = u64,
        Node = Member,
);

/// Number of a Raft group. There is one group today; the number is in every record and call so that a second one does
/// not need a new format.
pub(crate) type GroupId = u16;

/// The group that exists.
pub(crate) const GROUP: GroupId = 0;

pub(crate) type LogId = openraft::alias::LogIdOf<Group>;
pub(crate) type Vote = openraft::alias::VoteOf<Group>;
pub(crate) type Entry = openraft::alias::EntryOf<Group>;
pub(crate) type Payload = openraft::alias::PayloadOf<Group>;
pub(crate) type Membership = openraft::Membership<u64, Member>;
pub(crate) type StoredMembership = openraft::alias::StoredMembershipOf<Group>;
pub(crate) type SnapshotMeta = openraft::alias::SnapshotMetaOf<Group>;
pub(crate) type LeaderOf = LeaderId<u64, u64>;

/// A log id from its three parts.
pub(crate) fn log_id(term: u64, node: u64, index: u64) -> LogId {
    LogId {
        leader_id: LeaderOf { term, node_id: node },
        index,
    }
}

/// One entry of the Raft log: a batch of commands in the format of [`crate::proposal`].
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Proposal(pub(crate) Bytes);

impl fmt::Debug for Proposal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Proposal({} bytes)", self.0.len())
    }
}

impl fmt::Display for Proposal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self, f)
    }
}

/// What apply answered to one entry.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Answers {
    /// To its commands, in their order. Empty for entries without commands.
    pub(crate) outcomes: Vec<Outcome>,
    /// When it was applied and shown, on the node that was asked.
    pub(crate) applied: Option<Applied>,
}

/// When an entry was applied.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Applied {
    pub(crate) begun: Instant,
    pub(crate) shown: Instant,
}

/// How a member of the cluster is reached.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Member {
    /// `host:port` of the node's internal gRPC listener.
    pub address: String,
}

impl Member {
    /// A member at an address.
    pub fn new(address: impl Into<String>) -> Self {
        Member {
            address: address.into(),
        }
    }
}

/// Port time for stamping commands. The leader's clock is the one that counts.
pub type Clock = Arc<dyn Fn() -> Timestamp + Send + Sync>;
