//! Brings the members of the Raft group in line with the ledger's roster, one step at a time, wherever the leader is.
//!
//! What an operator asked for is ledger state; carrying it out needs nobody who waits for it. A new leader goes on where the
//! last one was.

use std::time::Duration;

use portcullis_consensus::{ChangeError, Consensus, Member, Members};
use portcullis_domain::id::NodeId;
use portcullis_domain::ledger::Ledger;
use tokio_util::sync::CancellationToken;

use crate::beat::Beats;

/// How often the leader looks.
const LOOK: Duration = Duration::from_millis(200);
/// How long one step may take.
const STEP: Duration = Duration::from_secs(5);
/// After a step that failed.
const PAUSE: Duration = Duration::from_secs(1);
/// A learner that is at most so many Raft entries behind has caught up.
const LEVEL: u64 = 1_000;

/// One change of the members.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Step {
    Learn(NodeId, String),
    Promote(NodeId),
    Readdress(NodeId, String),
    Demote(NodeId),
    Expel(NodeId),
    /// This node is to lead no longer.
    HandOver,
}

/// Runs until `stop`.
pub async fn run(me: NodeId, consensus: Consensus, beats: Beats, stop: CancellationToken) {
    let mut looks = tokio::time::interval(LOOK);
    looks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            _ = looks.tick() => {}
        }
        if !consensus.leads() {
            continue;
        }
        let Some(step) = next(me, &consensus, &beats) else {
            continue;
        };
        match carry_out(&step, &consensus, &beats).await {
            Ok(()) => tracing::info!(?step, "the members of the cluster were changed"),
            Err(error) => {
                tracing::warn!(?step, %error, "the members of the cluster could not be changed yet");
                let _ = tokio::time::timeout(PAUSE, stop.cancelled()).await;
            }
        }
    }
}

fn next(me: NodeId, consensus: &Consensus, beats: &Beats) -> Option<Step> {
    let view = consensus.view();
    let members = consensus.membership().borrow().clone();
    let status = consensus.status();
    let level = |node: NodeId| {
        let matched = status.matched.get(&node.0).copied().flatten();
        matched.is_some_and(|matched| matched + LEVEL >= status.last_index.unwrap_or(0))
    };
    plan(me, &view.ledger, &members, |node| beats.is_up(node), level)
}

/// The next step, if there is one.
fn plan(
    me: NodeId,
    ledger: &Ledger,
    members: &Members,
    is_up: impl Fn(NodeId) -> bool,
    is_level: impl Fn(NodeId) -> bool,
) -> Option<Step> {
    for (node, enrolment) in ledger.roster() {
        let votes = members.voters.contains_key(&node.0);
        let known = members.get(node.0);
        if enrolment.removed {
            match known {
                Some(_) if votes && node == me => return Some(Step::HandOver),
                Some(_) if votes => return Some(Step::Demote(node)),
                Some(_) => return Some(Step::Expel(node)),
                None => continue,
            }
        }
        // A node whose folder is not known yet is a founder that is still starting.
        if enrolment.incarnation.is_none() {
            continue;
        }
        match known {
            // A node that never came to life would only be dialled in vain.
            None if is_up(node) => return Some(Step::Learn(node, enrolment.address.clone())),
            Some(member) if member.address != enrolment.address => {
                return Some(Step::Readdress(node, enrolment.address.clone()));
            }
            Some(_) if !votes && is_up(node) && is_level(node) => return Some(Step::Promote(node)),
            _ => {}
        }
    }
    let others = members.voters.keys().copied().map(NodeId).filter(|node| *node != me);
    let better = others
        .filter(|node| !ledger.carries_nothing(*node) && is_up(*node))
        .count()
        > 0;
    (ledger.carries_nothing(me) && better).then_some(Step::HandOver)
}

async fn carry_out(step: &Step, consensus: &Consensus, beats: &Beats) -> Result<(), ChangeError> {
    match step {
        Step::Learn(node, address) => {
            let member = Member::new(address.clone());
            consensus.introduce(node.0, member, STEP).await
        }
        Step::Promote(node) => consensus.promote(node.0, STEP).await,
        Step::Readdress(node, address) => consensus.readdress(node.0, Member::new(address.clone()), STEP).await,
        Step::Demote(node) => consensus.demote(node.0, STEP).await,
        Step::Expel(node) => consensus.expel(node.0, STEP).await,
        Step::HandOver => match beats.freshest() {
            Some(to) => consensus.transfer_leader(to.0, STEP).await.map(drop),
            None => Err(ChangeError::Refused(
                "no other voter has been heard of lately".to_owned(),
            )),
        },
    }
}

#[cfg(test)]
mod tests {
    use portcullis_domain::command::{ClusterCommand, Command, CommandBody, ExternalBody, ExternalCommand};
    use portcullis_domain::id::{ClusterId, Incarnation, Principal, RequestId, SourceId, Timestamp};
    use portcullis_domain::policy::Policy;

    use super::*;

    struct Case {
        ledger: Ledger,
        members: Members,
        requests: u64,
    }

    impl Case {
        /// Three founders, enrolled.
        fn new() -> Self {
            let mut case = Self {
                ledger: Ledger::new(),
                members: Members::default(),
                requests: 0,
            };
            case.apply(CommandBody::Cluster(ClusterCommand::Found {
                cluster: ClusterId([1; 16]),
                policy: Policy::first(),
            }));
            for node in 1..=3_u8 {
                let address = address(node.into());
                case.apply(CommandBody::Cluster(ClusterCommand::Enrol {
                    node: NodeId(node.into()),
                    incarnation: Incarnation([node; 16]),
                    address: address.clone(),
                }));
                case.members.voters.insert(node.into(), Member::new(address));
            }
            case
        }

        fn apply(&mut self, body: CommandBody) {
            let command = Command {
                at: Timestamp(1),
                traceparent: String::new(),
                body,
            };
            let application = self.ledger.apply(command);
            assert_eq!(application.outcome.refusal(), None);
        }

        fn ask(&mut self, body: ExternalBody) {
            self.requests += 1;
            self.apply(CommandBody::External(ExternalCommand {
                source: SourceId::new("ops").unwrap(),
                request: RequestId::new(self.requests.to_string()).unwrap(),
                principal: Principal::new("ana").unwrap(),
                body,
            }));
        }

        fn join(&mut self) {
            self.ask(ExternalBody::AddNode {
                wanted: None,
                above: NodeId(3),
                incarnation: Incarnation([4; 16]),
                address: address(4),
            });
        }

        fn next(&self) -> Option<Step> {
            plan(NodeId(1), &self.ledger, &self.members, |_| true, |_| true)
        }
    }

    fn address(node: u64) -> String {
        format!("127.0.0.1:740{node}")
    }

    #[test]
    fn a_node_that_joins_learns_before_it_votes_and_only_if_it_is_up_and_level() {
        let mut case = Case::new();
        assert_eq!(case.next(), None);
        case.join();
        let planned = |case: &Case, up, level| plan(NodeId(1), &case.ledger, &case.members, |_| up, |_| level);
        assert_eq!(planned(&case, false, true), None);
        assert_eq!(planned(&case, true, false), Some(Step::Learn(NodeId(4), address(4))));
        case.members.learners.insert(4, Member::new(address(4)));
        assert_eq!(planned(&case, true, false), None);
        assert_eq!(planned(&case, false, true), None);
        assert_eq!(planned(&case, true, true), Some(Step::Promote(NodeId(4))));
        case.members.voters.append(&mut case.members.learners);
        assert_eq!(case.next(), None);
    }

    #[test]
    fn a_removed_node_loses_its_vote_then_its_membership_and_a_leader_hands_over_first() {
        let mut case = Case::new();
        case.ask(ExternalBody::RemoveNode { node: NodeId(3) });
        assert_eq!(case.next(), Some(Step::Demote(NodeId(3))));
        let member = case.members.voters.remove(&3).unwrap();
        case.members.learners.insert(3, member);
        assert_eq!(case.next(), Some(Step::Expel(NodeId(3))));
        case.members.learners.clear();
        assert_eq!(case.next(), None);
        case.ask(ExternalBody::RemoveNode { node: NodeId(1) });
        assert_eq!(case.next(), Some(Step::HandOver));
    }

    #[test]
    fn a_drained_leader_hands_over_unless_everybody_is_drained() {
        let mut case = Case::new();
        case.ask(ExternalBody::DrainNode { node: NodeId(1) });
        assert_eq!(case.next(), Some(Step::HandOver));
        case.ask(ExternalBody::DrainNode { node: NodeId(2) });
        case.ask(ExternalBody::DrainNode { node: NodeId(3) });
        assert_eq!(case.next(), None);
    }

    #[test]
    fn a_member_that_moved_is_dialled_at_its_new_address() {
        let mut case = Case::new();
        case.members.voters.insert(2, Member::new("127.0.0.1:1"));
        assert_eq!(case.next(), Some(Step::Readdress(NodeId(2), address(2))));
    }
}
