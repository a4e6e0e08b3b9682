//! How the cluster and this node are doing, for SREs.

use std::collections::BTreeMap;

use portcullis_consensus::{CommitStages, Consistency, StageTime};
use portcullis_domain::id::{BootId, NodeId, Timestamp};
use portcullis_domain::inspection::Stage;
use portcullis_domain::placement::NodeRecord;
use portcullis_proto::v1 as pb;
use portcullis_proto::v1::cluster_service_server::ClusterService;
use portcullis_wire::cluster::encode_placement;
use portcullis_wire::write::encode_applied;
use tonic::{Request, Response, Status};

use super::{Asked, Gateway};

#[tonic::async_trait]
impl ClusterService for Gateway {
    async fn get_status(&self, _: Request<pb::GetStatusRequest>) -> Result<Response<pb::GetStatusResponse>, Status> {
        let inner = &self.inner;
        let status = inner.consensus.status();
        let view = inner.consensus.view();
        let ledger = &view.ledger;

        let mut stages: BTreeMap<i32, u64> = BTreeMap::new();
        for inspection in ledger.inspections_from(portcullis_domain::id::InspectionNo(0)) {
            *stages.entry(stage_number(inspection.stage)).or_default() += 1;
        }
        if ledger.closed_count() > 0 {
            stages.insert(stage_number(Stage::Departed), ledger.closed_count());
        }
        let mut members: BTreeMap<NodeId, String> = status
            .voters
            .iter()
            .chain(&status.learners)
            .map(|(node, member)| (NodeId(*node), member.address.clone()))
            .collect();
        if members.is_empty() {
            members.extend(
                inner
                    .config
                    .cluster
                    .peers
                    .iter()
                    .map(|peer| (peer.id, peer.address.to_string())),
            );
        }
        let nodes = members.iter().map(|(node, address)| self.node(*node, address, &status));
        Ok(Response::new(pb::GetStatusResponse {
            cluster_id: inner.cluster.to_string(),
            cluster_version: ledger.version(),
            leader: status.leader,
            answering_node: inner.config.node.id.0,
            role: role(&status.role).into(),
            nodes: nodes.collect(),
            placements: ledger
                .placements()
                .map(|(key, placement)| encode_placement(key, placement))
                .collect(),
            fenced_commands: ledger.fenced(),
            active_policy: ledger
                .policy()
                .map(|(_, policy)| portcullis_wire::cluster::encode_policy_name(policy)),
            stages: stages
                .into_iter()
                .map(|(stage, count)| pb::StageCount { stage, count })
                .collect(),
            port_time_ms: inner.port_time.now().0,
            port_speed_permille: speed_permille(inner.port_time.rate.speed),
            read_point: Some(self.read_point(&view, Consistency::Local)),
            has_quorum: *inner.beats.quorum().borrow(),
            adrift: portcullis_wire::drift::encode_adrift(ledger),
        }))
    }

    async fn get_node_status(
        &self,
        _: Request<pb::GetNodeStatusRequest>,
    ) -> Result<Response<pb::GetNodeStatusResponse>, Status> {
        let inner = &self.inner;
        let status = inner.consensus.status();
        let view = inner.consensus.view();
        let me = inner.config.node.id;
        let address = inner.address.clone();
        let running = inner
            .host
            .load()
            .as_ref()
            .map(|host| host.running())
            .unwrap_or_default();
        Ok(Response::new(pb::GetNodeStatusResponse {
            cluster_id: inner.cluster.to_string(),
            node: Some(self.node(me, &address, &status)),
            leader: status.leader,
            running: running
                .iter()
                .filter_map(|(key, _)| Some(encode_placement(key, view.ledger.placement(key)?)))
                .collect(),
            port_time_ms: inner.port_time.now().0,
            program_version: env!("CARGO_PKG_VERSION").to_owned(),
            uptime_ms: u64::try_from(inner.started.elapsed().as_millis()).unwrap_or(u64::MAX),
            has_quorum: *inner.beats.quorum().borrow(),
            commit_stages: Some(encode_stages(&inner.consensus.commit_stages())),
            indexed: status.indexed,
            missing_bundle: status.missing_bundle,
        }))
    }

    async fn init_cluster(
        &self,
        request: Request<pb::InitClusterRequest>,
    ) -> Result<Response<pb::InitClusterResponse>, Status> {
        self.init(request).await
    }

    async fn drain_node(
        &self,
        request: Request<pb::DrainNodeRequest>,
    ) -> Result<Response<pb::DrainNodeResponse>, Status> {
        let asked = Asked::of(self, &request);
        let request = request.into_inner();
        let applied = self.drain(&asked, request.context, request.node, true).await?;
        Ok(Response::new(pb::DrainNodeResponse {
            applied: Some(encode_applied(&applied)),
        }))
    }

    async fn undrain_node(
        &self,
        request: Request<pb::UndrainNodeRequest>,
    ) -> Result<Response<pb::UndrainNodeResponse>, Status> {
        let asked = Asked::of(self, &request);
        let request = request.into_inner();
        let applied = self.drain(&asked, request.context, request.node, false).await?;
        Ok(Response::new(pb::UndrainNodeResponse {
            applied: Some(encode_applied(&applied)),
        }))
    }

    async fn remove_node(
        &self,
        request: Request<pb::RemoveNodeRequest>,
    ) -> Result<Response<pb::RemoveNodeResponse>, Status> {
        self.remove(request).await
    }

    async fn transfer_leader(
        &self,
        request: Request<pb::TransferLeaderRequest>,
    ) -> Result<Response<pb::TransferLeaderResponse>, Status> {
        self.transfer(request).await
    }
}

fn encode_stages(stages: &CommitStages) -> pb::CommitStages {
    let time = |stage: StageTime| {
        Some(pb::StageTime {
            count: stage.count,
            total_us: u64::try_from(stage.total.as_micros()).unwrap_or(u64::MAX),
        })
    };
    pb::CommitStages {
        queue: time(stages.queue),
        agree: time(stages.agree),
        apply: time(stages.apply),
        answer: time(stages.answer),
    }
}

impl Gateway {
    /// A node as this one sees it: the ledger's record, and the last heartbeat.
    fn node(&self, id: NodeId, address: &str, status: &portcullis_consensus::Status) -> pb::Node {
        let inner = &self.inner;
        let view = inner.consensus.view();
        let me = id == inner.config.node.id;
        let heard = inner.beats.heard(id);
        let beat = if me {
            Some(inner.beats.beat())
        } else {
            heard.as_ref().map(|heard| heard.beat.clone())
        };
        // A node that never came up has no record yet.
        let record = view.ledger.node(id).cloned().unwrap_or(NodeRecord {
            boot: beat.as_ref().map_or(BootId(0), |beat| beat.boot),
            up: false,
            capacity: 0,
            version: 0,
            since: Timestamp::ZERO,
        });
        let mut node = portcullis_wire::cluster::encode_node(id, &record, beat.as_ref());
        node.address = address.to_owned();
        if let Some(enrolment) = view.ledger.enrolment(id) {
            node.drained = enrolment.drained;
            node.leaving = enrolment.removed;
        }
        node.voter = status.voters.contains_key(&id.0);
        node.role = if me {
            role(&status.role)
        } else if status.leader == Some(id.0) {
            pb::NodeRole::Leader
        } else if node.voter {
            pb::NodeRole::Follower
        } else {
            pb::NodeRole::Learner
        }
        .into();
        node.heartbeat_age_ms = heard
            .as_ref()
            .map(|heard| u64::try_from(heard.at.elapsed().as_millis()).unwrap_or(u64::MAX));
        node.clock_offset_ms = inner.beats.clock_offset_ms(id);
        node
    }
}

fn stage_number(stage: Stage) -> i32 {
    portcullis_wire::vocabulary::encode_stage(stage) as i32
}

fn role(text: &str) -> pb::NodeRole {
    match text {
        "Leader" => pb::NodeRole::Leader,
        "Follower" => pb::NodeRole::Follower,
        "Candidate" => pb::NodeRole::Candidate,
        "Learner" => pb::NodeRole::Learner,
        _ => pb::NodeRole::Stopped,
    }
}

fn speed_permille(speed: f64) -> u32 {
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a speed lies between 0 and 10,000"
    )]
    let permille = (speed * 1000.0).round() as u32;
    permille
}
