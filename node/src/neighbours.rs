//! The other nodes: those that the cluster counts as members, or, before this node was part of it, those it was told of.

use std::collections::BTreeMap;

use portcullis_consensus::{Consensus, Members};
use portcullis_domain::id::NodeId;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

/// Who is there and who votes, as this node knows it now.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Neighbours {
    /// Where the others are reached.
    pub others: BTreeMap<NodeId, String>,
    /// Who votes, this node included if it does. Empty as long as this node waits to be taken in.
    pub voters: Vec<NodeId>,
}

impl Neighbours {
    /// As a configuration or another node says.
    pub fn told(me: NodeId, members: impl IntoIterator<Item = (NodeId, String)>, voters: Vec<NodeId>) -> Self {
        let others = members.into_iter().filter(|(node, _)| *node != me).collect();
        Self { others, voters }
    }

    fn of(me: NodeId, members: &Members) -> Self {
        let all = members
            .all()
            .map(|(node, member)| (NodeId(node), member.address.clone()));
        Self::told(me, all, members.voters.keys().copied().map(NodeId).collect())
    }
}

/// The neighbours, each time they change: `told` until the cluster has said who its members are.
pub fn follow(
    me: NodeId,
    told: Neighbours,
    consensus: &Consensus,
    stop: &CancellationToken,
) -> watch::Receiver<Neighbours> {
    let mut membership = consensus.membership();
    let now = move |members: &Members| match members.is_empty() {
        true => told.clone(),
        false => Neighbours::of(me, members),
    };
    let first = now(&membership.borrow_and_update());
    let (sender, receiver) = watch::channel(first);
    let stop = stop.clone();
    tokio::spawn(async move {
        loop {
            tokio::select! {
                () = stop.cancelled() => return,
                changed = membership.changed() => if changed.is_err() { return },
            }
            let next = now(&membership.borrow_and_update());
            sender.send_if_modified(|current| {
                let changed = *current != next;
                *current = next;
                changed
            });
        }
    });
    receiver
}

/// Tasks or connections, one for each neighbour: started when it comes or moves, ended when it goes.
#[derive(Debug)]
pub struct PerNeighbour<T> {
    kept: BTreeMap<NodeId, (String, CancellationToken, T)>,
    stop: CancellationToken,
}

impl<T> PerNeighbour<T> {
    /// None yet. All of them end with `stop`.
    pub fn new(stop: &CancellationToken) -> Self {
        Self {
            kept: BTreeMap::new(),
            stop: stop.clone(),
        }
    }

    /// Brings what runs in line with who is there.
    pub fn follow(
        &mut self,
        others: &BTreeMap<NodeId, String>,
        mut start: impl FnMut(NodeId, &str, CancellationToken) -> T,
    ) {
        self.kept.retain(|node, (address, stop, _)| {
            let stays = others.get(node) == Some(address);
            if !stays {
                stop.cancel();
            }
            stays
        });
        for (node, address) in others {
            if !self.kept.contains_key(node) {
                let stop = self.stop.child_token();
                let started = start(*node, address, stop.clone());
                self.kept.insert(*node, (address.clone(), stop, started));
            }
        }
    }

    /// What was started for a neighbour.
    pub fn get(&self, node: NodeId) -> Option<&T> {
        self.kept.get(&node).map(|(_, _, started)| started)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn others(entries: &[(u64, &str)]) -> BTreeMap<NodeId, String> {
        entries
            .iter()
            .map(|(node, address)| (NodeId(*node), (*address).to_owned()))
            .collect()
    }

    #[test]
    fn who_comes_is_started_who_moves_is_started_again_and_who_goes_is_ended() {
        let mut started = Vec::new();
        let mut per = PerNeighbour::new(&CancellationToken::new());
        let mut follow = |entries: &[(u64, &str)]| {
            per.follow(&others(entries), |node, address, stop| {
                started.push((node.0, address.to_owned()));
                stop
            });
            [1, 2, 3].map(|node| per.get(NodeId(node)).cloned())
        };
        let first = follow(&[(1, "a"), (2, "b")]);
        let second = follow(&[(2, "c"), (3, "d")]);
        let cancelled = |token: &Option<CancellationToken>| token.as_ref().map(CancellationToken::is_cancelled);
        assert_eq!(first.each_ref().map(cancelled), [Some(true), Some(true), None]);
        assert_eq!(second.each_ref().map(cancelled), [None, Some(false), Some(false)]);
        let expected = [(1, "a"), (2, "b"), (2, "c"), (3, "d")].map(|(node, at)| (node, at.to_owned()));
        assert_eq!(started, expected);
    }
}
