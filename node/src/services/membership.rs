//! Taking nodes in, and what operators ask of the members: found, drain, remove, hand over leadership.

use std::collections::BTreeMap;
use std::time::Duration;

use portcullis_consensus::{ChangeError, Member};
use portcullis_domain::command::{ExternalBody, ExternalCommand};
use portcullis_domain::id::{Incarnation, NodeId, Principal, RequestId, SourceId};
use portcullis_domain::outcome::{Answer, Applied, Refusal, RefusalReason};
use portcullis_proto::internal::v1 as internal;
use portcullis_proto::internal::v1::membership_service_server::MembershipService;
use portcullis_proto::v1 as pb;
use portcullis_proto::v1::cluster_service_client::ClusterServiceClient;
use portcullis_wire::context::decode_context;
use portcullis_wire::invalid::{InvalidField, positive};
use portcullis_wire::status;
use tokio::time::{Instant, timeout_at};
use tonic::transport::Channel;
use tonic::{Request, Response, Status};

use super::{Asked, Gateway};

/// On a request that another node has passed on: it goes no further.
const PASSED_ON: &str = "portcullis-passed-on";
/// When asking again makes sense while a node gives its actors away.
const DRAINING: Duration = Duration::from_millis(500);

/// Who carries a request out.
enum Leads {
    Here,
    There(Channel),
}

#[tonic::async_trait]
impl MembershipService for Gateway {
    async fn join(&self, request: Request<internal::JoinRequest>) -> Result<Response<internal::JoinResponse>, Status> {
        let asked = Asked::of(self, &request);
        let inner = &self.inner;
        let join = request.into_inner();
        let invalid = |field: &str, why: &str| status::invalid(&InvalidField::new(field, why));
        if !join.cluster_id.is_empty() && join.cluster_id[..] != inner.cluster.0 {
            return Err(invalid(
                "cluster_id",
                &format!("this is cluster {}; correct cluster.id or cluster.join", inner.cluster),
            ));
        }
        let view = inner.consensus.view();
        if join.version < view.ledger.version() {
            return Err(invalid(
                "version",
                &format!(
                    "the cluster is at version {}; start a newer program",
                    view.ledger.version()
                ),
            ));
        }
        let incarnation = <[u8; 16]>::try_from(&join.incarnation[..]).map(Incarnation);
        let incarnation = incarnation.map_err(|_| invalid("incarnation", "expected 16 bytes"))?;
        let members = inner.consensus.membership().borrow().clone();
        let wanted = join.node.map(NodeId);
        // A founder that has not enrolled yet is not in the ledger.
        if let Some(wanted) = wanted
            && view.ledger.node_of(incarnation).is_none()
            && members.get(wanted.0).is_some()
        {
            return Err(status::refused(&portcullis_domain::roster::taken(wanted)));
        }
        let command = ExternalCommand {
            source: label(SourceId::new("join"))?,
            request: label(RequestId::new(format!("{:032x}", rand::random::<u128>())))?,
            principal: label(Principal::new(format!("folder-{incarnation}")))?,
            body: ExternalBody::AddNode {
                wanted,
                above: NodeId(members.all().map(|(node, _)| node).max().unwrap_or(0)),
                incarnation,
                address: join.address,
            },
        };
        let applied = self.write(command, &asked).await?;
        let Answer::Node { node } = applied.answer else {
            return Err(status::internal("the ledger answered with something else than a node"));
        };
        tracing::info!(%node, "a node was granted its id");
        let member = |(node, member): (u64, &Member)| internal::ClusterMember {
            node,
            address: member.address.clone(),
            voter: members.voters.contains_key(&node),
        };
        Ok(Response::new(internal::JoinResponse {
            cluster_id: inner.cluster.0.to_vec().into(),
            node: node.0,
            members: members.all().map(member).collect(),
        }))
    }
}

/// Our own words are labels.
fn label<T>(label: Result<T, portcullis_domain::id::InvalidId>) -> Result<T, Status> {
    label.map_err(|error| status::internal(&error.to_string()))
}

impl Gateway {
    pub(super) async fn init(
        &self,
        request: Request<pb::InitClusterRequest>,
    ) -> Result<Response<pb::InitClusterResponse>, Status> {
        let asked = Asked::of(self, &request);
        let deadline = Instant::now() + asked.within;
        let request = request.into_inner();
        let context = decode_context(request.context).map_err(|invalid| status::invalid(&invalid))?;
        let inner = &self.inner;
        let me = inner.config.node.id;
        let mut members: BTreeMap<u64, Member> = BTreeMap::new();
        for (index, member) in request.members.into_iter().enumerate() {
            let named = |field: &str| format!("members[{index}].{field}");
            let node = positive(&named("node"), member.node).map_err(|invalid| status::invalid(&invalid))?;
            if !member.address.contains(':') || members.values().any(|known| known.address == member.address) {
                let why = "expected host:port, each once";
                return Err(status::invalid(&InvalidField::new(named("address"), why)));
            }
            members.insert(node, Member::new(member.address));
        }
        if members.is_empty() {
            members.insert(me.0, Member::new(inner.address.clone()));
        }
        if !members.contains_key(&me.0) {
            let why = format!("{me} is asked and is not among them; ask one of the members");
            return Err(status::invalid(&InvalidField::new("members", why)));
        }
        let known = inner.consensus.members();
        if !known.is_empty() && known != members {
            let why = format!("{me} is part of a cluster already; see `cluster status`");
            return Err(status::refused(&Refusal::new(
                RefusalReason::AlreadyFounded,
                "members",
                why,
            )));
        }
        for (node, member) in members.iter().filter(|(node, _)| **node != me.0) {
            self.check_founder(NodeId(*node), member, deadline).await?;
        }
        tracing::info!(principal = %context.principal, ?members, "the cluster is being founded");
        inner
            .consensus
            .initialize(members)
            .await
            .map_err(|error| failed(&error))?;
        let mut changes = inner.consensus.changes();
        let founded = || inner.consensus.view().ledger.cluster().is_some();
        while !founded() {
            if !matches!(timeout_at(deadline, changes.changed()).await, Ok(Ok(()))) {
                return Err(status::unavailable(
                    "NO_LEADER",
                    "the members have not elected a leader yet",
                    DRAINING,
                ));
            }
        }
        Ok(Response::new(pb::InitClusterResponse {
            cluster_id: inner.cluster.to_string(),
        }))
    }

    /// Another founder must be there, be who it is said to be, and be configured for the same cluster.
    async fn check_founder(&self, node: NodeId, member: &Member, deadline: Instant) -> Result<(), Status> {
        let field = format!("members.{node}");
        let mut client = ClusterServiceClient::new((self.inner.connector)(&member.address));
        let answer = timeout_at(deadline, client.get_node_status(pb::GetNodeStatusRequest {})).await;
        let found = match answer {
            Ok(Ok(answer)) => answer.into_inner(),
            Ok(Err(why)) => {
                let detail = format!("{field}: {} does not answer: {}", member.address, why.message());
                return Err(status::unavailable("MEMBER_UNREACHABLE", &detail, DRAINING));
            }
            Err(_) => {
                let detail = format!("{field}: {} does not answer", member.address);
                return Err(status::unavailable("MEMBER_UNREACHABLE", &detail, DRAINING));
            }
        };
        let id = found.node.map_or(0, |node| node.id);
        let why = if found.cluster_id != self.inner.cluster.to_string() {
            format!(
                "{} is configured for cluster {}, not {}; set the same cluster.id everywhere",
                member.address, found.cluster_id, self.inner.cluster
            )
        } else if id != node.0 {
            format!("node-{id} listens on {}", member.address)
        } else {
            return Ok(());
        };
        Err(status::invalid(&InvalidField::new(field, why)))
    }

    pub(super) async fn drain(
        &self,
        asked: &Asked,
        context: Option<pb::RequestContext>,
        node: u64,
        drained: bool,
    ) -> Result<Applied, Status> {
        let context = decode_context(context).map_err(|invalid| status::invalid(&invalid))?;
        let node = NodeId(positive("node", node).map_err(|invalid| status::invalid(&invalid))?);
        let body = match drained {
            true => ExternalBody::DrainNode { node },
            false => ExternalBody::UndrainNode { node },
        };
        self.write(context.command(body), asked).await
    }

    pub(super) async fn remove(
        &self,
        request: Request<pb::RemoveNodeRequest>,
    ) -> Result<Response<pb::RemoveNodeResponse>, Status> {
        let asked = Asked::of(self, &request);
        let deadline = Instant::now() + asked.within;
        let passed_on = request.metadata().contains_key(PASSED_ON);
        let message = request.into_inner();
        let context = decode_context(message.context.clone()).map_err(|invalid| status::invalid(&invalid))?;
        let node = NodeId(positive("node", message.node).map_err(|invalid| status::invalid(&invalid))?);
        let inner = &self.inner;
        if inner.consensus.leads() && node == inner.config.node.id {
            self.quorum_without(node)?;
            self.log_without(node, deadline).await?;
            // The next leader carries it out.
            self.hand_over(None, deadline).await?;
        }
        if let Leads::There(channel) = self.leads(passed_on)? {
            let request = passing_on(message, deadline);
            return ClusterServiceClient::new(channel).remove_node(request).await;
        }
        let ledger = inner.consensus.view().ledger.clone();
        let members = inner.consensus.membership();
        let gone = ledger.enrolment(node).is_some_and(|known| known.removed);
        if !gone {
            if members.borrow().get(node.0).is_none() && ledger.enrolment(node).is_none() {
                let detail = format!("there is no {node}; see `cluster status`");
                return Err(super::absent(RefusalReason::UnknownNode, "node", detail));
            }
            self.quorum_without(node)?;
            self.log_without(node, deadline).await?;
            self.empty(node, &context, &asked, deadline).await?;
        }
        let applied = self
            .write(context.command(ExternalBody::RemoveNode { node }), &asked)
            .await?;
        let mut members = members;
        let left = timeout_at(deadline, members.wait_for(|members| members.get(node.0).is_none())).await;
        Ok(Response::new(pb::RemoveNodeResponse {
            applied: Some(portcullis_wire::write::encode_applied(&applied)),
            left: matches!(left, Ok(Ok(_))),
        }))
    }

    /// Refuses unless more than half of the voters that would be left are up.
    fn quorum_without(&self, node: NodeId) -> Result<(), Status> {
        let inner = &self.inner;
        let membership = inner.consensus.membership();
        let members = membership.borrow();
        if !members.voters.contains_key(&node.0) {
            return Ok(());
        }
        let rest: Vec<NodeId> = members
            .voters
            .keys()
            .copied()
            .map(NodeId)
            .filter(|other| *other != node)
            .collect();
        let up = rest.iter().filter(|other| inner.beats.is_up(**other)).count();
        if 2 * up > rest.len() {
            return Ok(());
        }
        Err(status::refused(&Refusal::new(
            RefusalReason::QuorumAtRisk,
            "node",
            format!(
                "without {node} there are {} voters, of which {up} are up; bring others up or add one first",
                rest.len()
            ),
        )))
    }

    /// Refuses unless the voters that would be left hold the decision log.
    async fn log_without(&self, node: NodeId, deadline: Instant) -> Result<(), Status> {
        let inner = &self.inner;
        let voters = inner.consensus.membership().borrow().voters.clone();
        let rest = voters.into_keys().filter(|other| *other != node.0).collect();
        let patience = deadline.saturating_duration_since(Instant::now());
        inner
            .consensus
            .log_survives_with(&rest, patience)
            .await
            .map_err(|why| status::refused(&Refusal::new(RefusalReason::LogAtRisk, "node", why)))
    }

    /// Drains a node that is up, and waits until it carries nothing.
    async fn empty(
        &self,
        node: NodeId,
        context: &portcullis_wire::context::Context,
        asked: &Asked,
        deadline: Instant,
    ) -> Result<(), Status> {
        let inner = &self.inner;
        let carried = || {
            let view = inner.consensus.view();
            let up = view.ledger.node(node).is_some_and(|record| record.up);
            let keys = view
                .ledger
                .placements()
                .filter(|(_, home)| home.node == node && home.live);
            let keys: Vec<String> = keys.map(|(key, _)| key.to_string()).collect();
            if up { keys } else { Vec::new() }
        };
        if carried().is_empty() {
            return Ok(());
        }
        let mut changes = inner.consensus.changes();
        loop {
            let keys = carried();
            if keys.is_empty() {
                return Ok(());
            }
            // Somebody else may have put it back into service since. A drain that is repeated changes nothing, so each is a
            // request of its own: one that was answered once would be answered from memory.
            if !inner.consensus.peek(|ledger| ledger.carries_nothing(node)) {
                let mut drain = context.clone();
                drain.request = label(RequestId::new(format!("drain-{:032x}", rand::random::<u128>())))?;
                self.write(drain.command(ExternalBody::DrainNode { node }), asked)
                    .await?;
            }
            if !matches!(timeout_at(deadline, changes.changed()).await, Ok(Ok(()))) {
                let detail = format!("{node} still carries {}", keys.join(", "));
                return Err(status::not_applied("DRAINING", &detail, DRAINING));
            }
        }
    }

    pub(super) async fn transfer(
        &self,
        request: Request<pb::TransferLeaderRequest>,
    ) -> Result<Response<pb::TransferLeaderResponse>, Status> {
        let deadline = Instant::now() + Asked::of(self, &request).within;
        let passed_on = request.metadata().contains_key(PASSED_ON);
        let message = request.into_inner();
        let context = decode_context(message.context.clone()).map_err(|invalid| status::invalid(&invalid))?;
        if let Leads::There(channel) = self.leads(passed_on)? {
            let request = passing_on(message, deadline);
            return ClusterServiceClient::new(channel).transfer_leader(request).await;
        }
        tracing::info!(principal = %context.principal, to = ?message.node, "leadership is handed over on request");
        let (leader, held) = self.hand_over(message.node.map(NodeId), deadline).await?;
        Ok(Response::new(pb::TransferLeaderResponse {
            leader: leader.0,
            held_us: u64::try_from(held.as_micros()).unwrap_or(u64::MAX),
        }))
    }

    async fn hand_over(&self, to: Option<NodeId>, deadline: Instant) -> Result<(NodeId, Duration), Status> {
        let inner = &self.inner;
        let Some(to) = to.or_else(|| inner.beats.freshest()) else {
            return Err(status::refused(&Refusal::new(
                RefusalReason::QuorumAtRisk,
                "node",
                "no other voter has been heard of lately",
            )));
        };
        if !inner.consensus.membership().borrow().voters.contains_key(&to.0) {
            let detail = format!("{to} is not a voter; see `cluster status`");
            return Err(super::absent(RefusalReason::UnknownNode, "node", detail));
        }
        let patience = deadline.saturating_duration_since(Instant::now());
        let held = inner.consensus.transfer_leader(to.0, patience).await;
        held.map(|held| (to, held)).map_err(|error| failed(&error))
    }

    fn leads(&self, passed_on: bool) -> Result<Leads, Status> {
        let inner = &self.inner;
        if inner.consensus.leads() {
            return Ok(Leads::Here);
        }
        let leader = inner.consensus.leadership().borrow().leader;
        let address = leader.and_then(|leader| {
            inner
                .consensus
                .members()
                .get(&leader)
                .map(|member| member.address.clone())
        });
        match address.filter(|_| !passed_on) {
            Some(address) => Ok(Leads::There((inner.connector)(&address))),
            None => Err(status::not_applied(
                "NO_LEADER",
                "no leader is known right now",
                DRAINING,
            )),
        }
    }
}

/// The same request to the leader.
fn passing_on<T>(message: T, deadline: Instant) -> Request<T> {
    let mut request = Request::new(message);
    request.set_timeout(deadline.saturating_duration_since(Instant::now()));
    request
        .metadata_mut()
        .insert(PASSED_ON, tonic::metadata::MetadataValue::from_static("1"));
    request
}

/// A change of members or leadership that did not come about.
fn failed(error: &ChangeError) -> Status {
    let detail = error.to_string();
    match error {
        ChangeError::NotLeader { .. } => status::not_applied("NO_LEADER", &detail, DRAINING),
        ChangeError::Refused(_) => status::not_applied("NOT_CHANGED", &detail, DRAINING),
        ChangeError::Stopped(_) => status::not_applied("NODE_STOPPED", &detail, DRAINING),
        ChangeError::Deadline { .. } | ChangeError::Unknown => status::unknown(&detail),
    }
}
