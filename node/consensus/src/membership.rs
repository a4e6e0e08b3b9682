//! Who belongs to the Raft group: founding it, taking members in, letting them go, and handing leadership over.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::time::Duration;

use openraft::ChangeMembers;
use openraft::async_runtime::WatchReceiver;
use openraft::errors::{ClientWriteError, InitializeError, RaftError};
use tokio::sync::watch;
use tokio::time::{Instant, timeout, timeout_at};

use crate::consensus::Consensus;
use crate::errors::ChangeError;
use crate::leadership;
use crate::types::{Group, Member, StoredMembership};

/// How long a leader may take to bring the next one up to its last entry.
const LEVEL: Duration = Duration::from_millis(500);

/// The members as a replica has applied them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Members {
    /// Who votes.
    pub voters: BTreeMap<u64, Member>,
    /// Who receives everything and does not vote.
    pub learners: BTreeMap<u64, Member>,
}

impl Members {
    pub(crate) fn of(stored: &StoredMembership) -> Self {
        let membership = stored.membership();
        let member = |id: u64| (id, membership.get_node(&id).cloned().unwrap_or_default());
        Members {
            voters: membership.voter_ids().map(member).collect(),
            learners: membership.learner_ids().map(member).collect(),
        }
    }

    /// All members, voters and learners.
    pub fn all(&self) -> impl Iterator<Item = (u64, &Member)> {
        self.voters
            .iter()
            .chain(&self.learners)
            .map(|(id, member)| (*id, member))
    }

    /// A member.
    pub fn get(&self, node: u64) -> Option<&Member> {
        self.voters.get(&node).or_else(|| self.learners.get(&node))
    }

    /// Nobody: this node has not been part of a cluster yet.
    pub fn is_empty(&self) -> bool {
        self.voters.is_empty() && self.learners.is_empty()
    }
}

impl Consensus {
    /// Founds the cluster with these members, this node among them. Does nothing on a node that has been part of a cluster.
    /// Several nodes may be told to, if they are told the same.
    ///
    /// # Errors
    /// [`ChangeError::Refused`] when this node is not among the members.
    pub async fn initialize(&self, members: BTreeMap<u64, Member>) -> Result<(), ChangeError> {
        let stopped = |fatal: &dyn fmt::Display| ChangeError::Stopped(fatal.to_string());
        if self.raft().is_initialized().await.map_err(|fatal| stopped(&fatal))? {
            return Ok(());
        }
        match self.raft().initialize(members).await {
            // Another node was faster: it told this one the same.
            Ok(()) | Err(RaftError::APIError(InitializeError::NotAllowed(_))) => Ok(()),
            Err(RaftError::APIError(error)) => Err(ChangeError::Refused(error.to_string())),
            Err(RaftError::Fatal(fatal)) => Err(stopped(&fatal)),
        }
    }

    /// The known members and their addresses, learners included, also those whose admission is not decided yet.
    pub fn members(&self) -> BTreeMap<u64, Member> {
        leadership::members(self.raft())
    }

    /// The members as this replica has applied them, each time they change. Empty before it was part of a cluster.
    pub fn membership(&self) -> watch::Receiver<Members> {
        self.replica().members.subscribe()
    }

    /// Adds a node that receives everything and does not vote, and waits until it has caught up. On the leader only.
    ///
    /// # Errors
    /// When this node does not lead or it does not happen in time.
    pub async fn add_learner(&self, node: u64, member: Member, patience: Duration) -> Result<(), ChangeError> {
        let added = self.raft().add_learner(node, member, true);
        settled(timeout(patience, added).await, patience)
    }

    /// Like [`Consensus::add_learner`], without waiting for the node to catch up.
    ///
    /// # Errors
    /// As there.
    pub async fn introduce(&self, node: u64, member: Member, patience: Duration) -> Result<(), ChangeError> {
        let added = self.raft().add_learner(node, member, false);
        settled(timeout(patience, added).await, patience)
    }

    /// Gives a learner a vote. On the leader only.
    ///
    /// # Errors
    /// When this node does not lead or it does not happen in time.
    pub async fn promote(&self, node: u64, patience: Duration) -> Result<(), ChangeError> {
        self.change(ChangeMembers::AddVoterIds(BTreeSet::from([node])), true, patience)
            .await
    }

    /// Takes a node's vote; it stays as a learner. On the leader only, and never the leader itself.
    ///
    /// # Errors
    /// When this node does not lead, the other voters do not hold the decision log, or it does not happen in time.
    pub async fn demote(&self, node: u64, patience: Duration) -> Result<(), ChangeError> {
        if node == self.node() {
            return Err(ChangeError::Refused(
                "a leader hands over before it gives up its vote".to_owned(),
            ));
        }
        let rest = self.members_that_vote().filter(|voter| *voter != node).collect();
        self.keep_the_log(&rest, patience).await?;
        self.change(ChangeMembers::RemoveVoters(BTreeSet::from([node])), true, patience)
            .await
    }

    /// Lets a learner go. On the leader only.
    ///
    /// # Errors
    /// When this node does not lead or it does not happen in time.
    pub async fn expel(&self, node: u64, patience: Duration) -> Result<(), ChangeError> {
        self.change(ChangeMembers::RemoveNodes(BTreeSet::from([node])), true, patience)
            .await
    }

    /// Says that a member is reached elsewhere. The caller knows that it is the same node. On the leader only.
    ///
    /// # Errors
    /// When this node does not lead or it does not happen in time.
    pub async fn readdress(&self, node: u64, member: Member, patience: Duration) -> Result<(), ChangeError> {
        self.change(
            ChangeMembers::SetNodes(BTreeMap::from([(node, member)])),
            true,
            patience,
        )
        .await
    }

    /// Makes exactly these nodes the voters; all of them must be members already. Nodes that stop being voters leave. On the
    /// leader only.
    ///
    /// # Errors
    /// When this node does not lead, these voters do not hold the decision log, or it does not happen in time.
    pub async fn set_voters(&self, voters: BTreeSet<u64>, patience: Duration) -> Result<(), ChangeError> {
        if !self.members_that_vote().all(|voter| voters.contains(&voter)) {
            self.keep_the_log(&voters, patience).await?;
        }
        self.change(ChangeMembers::ReplaceAllVoters(voters), false, patience)
            .await
    }

    fn members_that_vote(&self) -> impl Iterator<Item = u64> {
        self.membership().borrow().voters.clone().into_keys()
    }

    /// Refuses to let voters go while those that stay could lose the decision log.
    async fn keep_the_log(&self, rest: &BTreeSet<u64>, patience: Duration) -> Result<(), ChangeError> {
        // The leader alone knows how long the log is.
        if !self.leads() {
            let leader = self.leadership().borrow().leader;
            return Err(ChangeError::NotLeader { leader });
        }
        self.log_survives_with(rest, patience)
            .await
            .map_err(ChangeError::Refused)
    }

    async fn change(
        &self,
        change: ChangeMembers<u64, Member>,
        retain: bool,
        patience: Duration,
    ) -> Result<(), ChangeError> {
        let changed = self.raft().change_membership(change, retain);
        settled(timeout(patience, changed).await, patience)
    }

    /// Hands leadership to another voter and waits until this node sees it lead. Commands that come meanwhile wait here and
    /// go on to the new leader. Returns how long they had to: the gap that callers notice.
    ///
    /// # Errors
    /// When this node does not lead, or it does not happen in time. It leads on then.
    pub async fn transfer_leader(&self, to: u64, patience: Duration) -> Result<Duration, ChangeError> {
        let mut leadership = self.leadership();
        let leader = leadership.borrow().leader;
        if leader == Some(to) {
            return Ok(Duration::ZERO);
        }
        if leader != Some(self.node()) {
            return Err(ChangeError::NotLeader { leader });
        }
        if !self.status().voters.contains_key(&to) {
            return Err(ChangeError::Refused(format!("node {to} is not a voter")));
        }
        let deadline = Instant::now() + patience;
        // Raft takes no commands while it hands over, and the next leader refuses while it lacks the last one: so nothing
        // new is written until it has everything.
        let held = self.proposer().hold();
        self.level_with(to, deadline.min(Instant::now() + LEVEL)).await?;
        self.raft()
            .trigger()
            .transfer_leader(to)
            .await
            .map_err(|fatal| ChangeError::Stopped(fatal.to_string()))?;
        match timeout_at(deadline, leadership.wait_for(|now| now.leader == Some(to))).await {
            Ok(Ok(_)) => Ok(held.since.elapsed()),
            Ok(Err(_)) => Err(ChangeError::Stopped("it was shut down".to_owned())),
            Err(_) => Err(ChangeError::Deadline { waited: patience }),
        }
    }

    /// Waits until everything that was written is applied here and on the follower's disk.
    async fn level_with(&self, to: u64, deadline: Instant) -> Result<(), ChangeError> {
        let mut metrics = self.raft().metrics();
        loop {
            let (last, applied, matched) = {
                let metrics = metrics.borrow_watched();
                let replication = metrics.replication.as_ref();
                let matched = replication.and_then(|peers| peers.get(&to).copied().flatten());
                let applied = metrics.last_applied.map(|id| id.index);
                (metrics.last_log_index, applied, matched.map(|id| id.index))
            };
            if matched >= last && applied >= last {
                return Ok(());
            }
            match timeout_at(deadline, metrics.changed()).await {
                Ok(Ok(())) => {}
                Ok(Err(_)) => return Err(ChangeError::Stopped("it was shut down".to_owned())),
                Err(_) => {
                    return Err(ChangeError::Refused(format!(
                        "node {to} is too far behind to lead: it has entry {}, the last is {}",
                        matched.unwrap_or(0),
                        last.unwrap_or(0)
                    )));
                }
            }
        }
    }
}

type Change<T> = Result<T, RaftError<Group, ClientWriteError<Group>>>;

fn settled<T>(result: Result<Change<T>, tokio::time::error::Elapsed>, waited: Duration) -> Result<(), ChangeError> {
    match result {
        Ok(Ok(_)) => Ok(()),
        Ok(Err(RaftError::APIError(ClientWriteError::ForwardToLeader(forward)))) => Err(ChangeError::NotLeader {
            leader: forward.leader_id,
        }),
        // It was in the log, and who leads now may have committed it all the same.
        Ok(Err(RaftError::APIError(ClientWriteError::LogEntryDiscarded(_)))) => Err(ChangeError::Unknown),
        Ok(Err(RaftError::APIError(error))) => Err(ChangeError::Refused(error.to_string())),
        Ok(Err(RaftError::Fatal(fatal))) => Err(ChangeError::Stopped(fatal.to_string())),
        Err(_) => Err(ChangeError::Deadline { waited }),
    }
}
