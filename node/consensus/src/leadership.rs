//! Who leads, as this node sees it, and how the members are reached.

use std::collections::BTreeMap;

use openraft::async_runtime::WatchReceiver;
use tokio::sync::watch;

use crate::machine::Machine;
use crate::types::{Group, Member};

pub(crate) type Raft = openraft::Raft<Group, Machine>;

/// Who leads which term.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Leadership {
    /// The leader, if this node knows one.
    pub leader: Option<u64>,
    /// The newest term that this node has seen.
    pub term: u64,
}

/// Follows openraft until it stops; the reason is returned, `None` when it was asked to.
pub(crate) async fn follow(raft: Raft, leadership: watch::Sender<Leadership>) -> Option<String> {
    let mut metrics = raft.server_metrics();
    loop {
        let now = {
            let metrics = metrics.borrow_watched();
            Leadership {
                leader: metrics.current_leader,
                term: metrics.vote.leader_id.term,
            }
        };
        leadership.send_if_modified(|current| {
            let new = *current != now;
            *current = now;
            new
        });
        if metrics.changed().await.is_err() {
            break;
        }
    }
    leadership.send_modify(|current| current.leader = None);
    let state = raft.metrics().borrow_watched().running_state.clone();
    match state {
        Err(openraft::errors::Fatal::Stopped) => None,
        // It says so when it stops in good order.
        Ok(()) => Some("Raft ended without a reason: it panicked, the log of the process says where".to_owned()),
        Err(fatal) => Some(fatal.to_string()),
    }
}

/// All members that are known, with their addresses.
pub(crate) fn members(raft: &Raft) -> BTreeMap<u64, Member> {
    let metrics = raft.server_metrics();
    let metrics = metrics.borrow_watched();
    let membership = metrics.membership_config.membership();
    membership.nodes().map(|(id, member)| (*id, member.clone())).collect()
}

/// Address of a member.
pub(crate) fn address_of(raft: &Raft, id: u64) -> Option<String> {
    let metrics = raft.server_metrics();
    let metrics = metrics.borrow_watched();
    let membership = metrics.membership_config.membership();
    membership.get_node(&id).map(|member| member.address.clone())
}
