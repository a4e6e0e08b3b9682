//! Which part of the decision log a node has on its disk, asked of it or of another node.
//!
//! A node that was brought up by a snapshot votes and answers before it has all bundles. Whoever changes the membership has
//! to know: when the last node that has a bundle leaves, the bundle is gone.

use std::collections::BTreeSet;
use std::time::Duration;

use futures::future::join_all;
use portcullis_proto::internal::v1 as pb;
use tokio::time::timeout;

use crate::consensus::Consensus;
use crate::peers::Class;

/// How long a node may take to say what it holds before it counts as one that holds nothing.
const ANSWER: Duration = Duration::from_secs(1);

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

    /// Asks whether the decision log would survive with these voters alone: more than half of them must hold all that this
    /// node knows of, so that what is committed and what is in the log are lost together or not at all.
    ///
    /// # Errors
    /// Who lacks what, and what to do.
    pub async fn log_survives_with(&self, voters: &BTreeSet<u64>, patience: Duration) -> Result<(), String> {
        let bundles = self.holding().bundles;
        let asked = voters.iter().map(|voter| async {
            let node = *voter;
            match self.holding_of(node, patience.min(ANSWER)).await {
                // One that is behind does not know yet what it lacks.
                Ok(holding) => match holding.missing + bundles.saturating_sub(holding.bundles) {
                    0 => None,
                    lacks => Some(format!("node {node} lacks {lacks} of {bundles} bundles")),
                },
                Err(why) => Some(why),
            }
        });
        let lacking: Vec<String> = join_all(asked).await.into_iter().flatten().collect();
        let whole = voters.len() - lacking.len();
        if 2 * whole > voters.len() {
            return Ok(());
        }
        Err(format!(
            "only {whole} of the {} voters that would be left hold the whole decision log, and more than half must: {}; nodes \
             fetch what they lack by themselves, so wait and ask again; a bundle that no node has any more has to come from a \
             backup",
            voters.len(),
            lacking.join("; ")
        ))
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
