//! The roster: which node ids belong to the cluster, each bound to one data folder for good.
//!
//! Raft must never meet a voter that has forgotten its votes. So a node id is granted once, to one incarnation of a data
//! folder, and neither another folder nor a removed node ever gets it again.

use crate::codec::canonical;
use crate::id::{Incarnation, NodeId};
use crate::ledger::Ledger;
use crate::outcome::{Refusal, RefusalReason};

/// The longest address of a node, bytes: a host name and a port.
pub const ADDRESS_MAX: usize = 261;

/// What the cluster knows of a node id, whether its node is up or not.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Enrolment {
    /// The data folder that the id belongs to; none until its node has said so.
    pub incarnation: Option<Incarnation>,
    /// Where the node is reached, `host:port`.
    pub address: String,
    /// It gets no actors and gives away those it has.
    pub drained: bool,
    /// It has left for good.
    pub removed: bool,
}

canonical!(struct Enrolment { incarnation, address, drained, removed });

impl Ledger {
    /// Every node id that was ever granted or enrolled, by id.
    pub fn roster(&self) -> impl Iterator<Item = (NodeId, &Enrolment)> {
        self.roster.iter().map(|(node, enrolment)| (*node, enrolment))
    }

    /// What is known of a node id.
    pub fn enrolment(&self, node: NodeId) -> Option<&Enrolment> {
        self.roster.get(&node)
    }

    /// Whether a node is to carry no actors: drained, or on its way out.
    pub fn carries_nothing(&self, node: NodeId) -> bool {
        self.roster
            .get(&node)
            .is_some_and(|enrolment| enrolment.drained || enrolment.removed)
    }

    /// Whether a node is to give away what it carries: it is to carry nothing, and another one is up that may take it.
    pub fn gives_away(&self, node: NodeId) -> bool {
        self.carries_nothing(node)
            && self
                .nodes()
                .any(|(other, record)| record.up && !self.carries_nothing(other))
    }

    /// The node that a data folder belongs to, and what is known of it.
    pub fn node_of(&self, incarnation: Incarnation) -> Option<(NodeId, &Enrolment)> {
        self.roster()
            .find(|(_, enrolment)| enrolment.incarnation == Some(incarnation))
    }

    /// The first id above `above` that no node ever had.
    pub(crate) fn fresh_node(&self, above: NodeId) -> NodeId {
        let highest = |last: Option<&NodeId>| last.map_or(0, |node| node.0);
        let enrolled = highest(self.roster.get_max().map(|(node, _)| node));
        let seen = highest(self.nodes.get_max().map(|(node, _)| node));
        NodeId(enrolled.max(seen).max(above.0).saturating_add(1))
    }
}

/// The refusal of a node that has left.
pub fn has_left(node: NodeId) -> Refusal {
    Refusal::new(
        RefusalReason::NodeRemoved,
        "node",
        format!(
            "{node} was removed from the cluster and does not come back; join as a new node with an empty data folder"
        ),
    )
}

/// The refusal of a folder that comes under another's id.
pub fn taken(node: NodeId) -> Refusal {
    Refusal::new(
        RefusalReason::NodeIdUsed,
        "node.id",
        format!(
            "{node} belongs to another data folder; bring that folder back, or join as a new node: an empty data folder and \
             no node.id"
        ),
    )
}
