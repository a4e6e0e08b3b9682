//! A member says which data folder it has and where it is reached, and leaves when the cluster has removed it.

use std::time::Duration;

use portcullis_consensus::{Connector, Consensus};
use portcullis_domain::command::{ClusterCommand, CommandBody};
use portcullis_domain::id::{ClusterId, NodeId};
use portcullis_domain::outcome::RefusalReason;
use portcullis_domain::roster;
use tokio_util::sync::CancellationToken;

use crate::joining::{Applicant, ask};
use crate::ports::unstamped;

/// How often a member compares what the ledger says of it with what it is.
const LOOK: Duration = Duration::from_millis(200);

/// Runs until `stop`.
pub async fn run(
    node: NodeId,
    cluster: ClusterId,
    address: String,
    consensus: Consensus,
    connector: Connector,
    stop: CancellationToken,
) {
    let me = Applicant {
        cluster: Some(cluster),
        incarnation: consensus.incarnation(),
        address,
        node: Some(node),
    };
    let mut said = String::new();
    let mut looks = tokio::time::interval(LOOK);
    looks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            _ = looks.tick() => {}
        }
        match look(node, cluster, &me, &consensus) {
            Look::InOrder => {}
            Look::Stop(reason) => return consensus.stop_for(reason),
            Look::Enrol => {
                let command = ClusterCommand::Enrol {
                    node,
                    incarnation: me.incarnation,
                    address: me.address.clone(),
                };
                let command = unstamped(CommandBody::Cluster(command), String::new());
                let answer = consensus.propose(vec![command]).await.into_iter().next();
                if let Some(Ok(outcome)) = answer
                    && let Some(refusal) = outcome.refusal()
                {
                    if matches!(refusal.reason, RefusalReason::NodeIdUsed | RefusalReason::NodeRemoved) {
                        return consensus.stop_for(refusal.detail.clone());
                    }
                    tracing::warn!(%refusal, "this node could not be enrolled");
                }
            }
            Look::Moved => {
                if let Err(why) = move_to(node, &me, &consensus, &connector).await
                    && said != why
                {
                    tracing::warn!(
                        address = %me.address,
                        %why,
                        "the cluster does not know yet that this node is reached elsewhere now; more than half of the voters \
                         have to be where they were, so move nodes one after another"
                    );
                    said = why;
                }
            }
        }
    }
}

/// Tells the cluster where this node is reached now.
async fn move_to(node: NodeId, me: &Applicant, consensus: &Consensus, connector: &Connector) -> Result<(), String> {
    let members = consensus.membership().borrow().clone();
    let others = members.all().filter(|(other, _)| *other != node.0);
    // The leader still dials the old address, so this node may not know who leads: it asks every member. Itself it asks last,
    // because it may be the only one.
    let mut why = Vec::new();
    for address in others.map(|(_, member)| &member.address).chain([&me.address]) {
        match ask(me, address, connector).await {
            Ok(_) => return Ok(()),
            Err(status) => why.push(format!("{address}: {}", status.message())),
        }
    }
    Err(why.join("; "))
}

enum Look {
    InOrder,
    Enrol,
    Moved,
    Stop(String),
}

fn look(node: NodeId, cluster: ClusterId, me: &Applicant, consensus: &Consensus) -> Look {
    let view = consensus.view();
    let membership = consensus.membership();
    let members = membership.borrow();
    if members.get(node.0).is_none() && !view.ledger.enrolment(node).is_some_and(|known| known.removed) {
        return Look::InOrder;
    }
    match view.ledger.enrolment(node) {
        Some(known) if known.removed => match members.voters.contains_key(&node.0) {
            // Its vote may be needed until it is taken away.
            true => Look::InOrder,
            false => Look::Stop(roster::has_left(node).detail),
        },
        Some(known) if known.incarnation.is_some_and(|known| known != me.incarnation) => {
            Look::Stop(roster::taken(node).detail)
        }
        Some(known) if known.incarnation.is_some() && known.address == me.address => Look::InOrder,
        Some(known) if known.incarnation.is_some() => Look::Moved,
        // Nothing is written before the cluster is founded.
        _ if view.ledger.cluster() != Some(cluster) => Look::InOrder,
        _ => Look::Enrol,
    }
}
