//! Which part of the decision log a node has on its disk, asked of it or of another node.
//!
//! A node that was brought up by a snapshot votes and answers before it has all bundles. Whoever changes the membership has
//! to know: when the last node that has a bundle leaves, the bundle is gone.

use std::time::Duration;

use portcullis_proto::internal::v1 as pb;
use tokio::time::timeout;

use crate::consensus::Consensus;
use crate::peers::Class;

/// How much of the decision log a node holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Holding {
    /// Full bundles of the log, as far as the node knows it.
    pub bundles: u64,
    /// How many of them it lacks.
    pub missing: u64,
}

impl Holding {
    /// Is nothing missing?
    pub fn is_whole(&self) -> bool {
        self.missing == 0
    }
}

impl Consensus {
    /// What this node holds.
    pub fn holding(&self) -> Holding {
        let bundles = &self.replica().tlog.bundles;
        Holding {
            bundles: bundles.count(),
            missing: bundles.missing_count(),
        }
    }

    /// What a member holds, asked of it.
    ///
    /// # Errors
    /// Why it is not known: no such member, or it did not answer.
    pub async fn holding_of(&self, node: u64, patience: Duration) -> Result<Holding, String> {
        if node == self.node() {
            return Ok(self.holding());
        }
        let members = self.members();
        let member = members
            .get(&node)
            .ok_or_else(|| format!("node {node} is not a member of the cluster"))?;
        let mut client = self.peers().client(&member.address, Class::Control);
        let request = self.peers().request(node, pb::GetHoldingRequest {});
        match timeout(patience, client.get_holding(request)).await {
            Ok(Ok(response)) => {
                let pb::GetHoldingResponse { bundles, missing } = response.into_inner();
                Ok(Holding { bundles, missing })
            }
            Ok(Err(status)) => Err(format!("node {node}: {}", status.message())),
            Err(_) => Err(format!("node {node}: no answer in {} ms", patience.as_millis())),
        }
    }
}
