//! Everything that the port's clients call, as values: a history holds them, and one function sends them.

use std::time::Duration;

use portcullis_proto::v1 as pb;
use portcullis_proto::v1::cluster_service_client::ClusterServiceClient;
use portcullis_proto::v1::inspection_service_client::InspectionServiceClient;
use portcullis_proto::v1::lane_service_client::LaneServiceClient;
use portcullis_proto::v1::log_service_client::LogServiceClient;
use portcullis_proto::v1::policy_service_client::PolicyServiceClient;
use portcullis_wire::status::WriteAnswer;
use prost::Message as _;
use tonic::transport::Channel;
use tonic::{Response, Status};
use tonic_types::StatusExt as _;

use crate::cluster::deadline;
use crate::write::Told;

/// Answers may be pages of inspections.
const ANSWER_MAX: usize = 16 << 20;
/// A client waits so much longer than the deadline that it states: the node's own answer is the better one.
pub const GRACE: Duration = Duration::from_millis(250);

macro_rules! requests {
    ($($variant:ident($message:ty) $client:ident . $call:ident $kind:literal $doc:literal),* $(,)?) => {
        /// A call to a node.
        #[derive(Debug, Clone, PartialEq)]
        pub enum Request {
            $(#[doc = $doc] $variant($message),)*
        }

        impl Request {
            /// The word in counts.
            pub fn kind(&self) -> &'static str {
                match self { $(Self::$variant(_) => $kind,)* }
            }

            /// The request's own bytes, which say whether two requests have the same body.
            pub fn bytes(&self) -> Vec<u8> {
                match self { $(Self::$variant(message) => message.encode_to_vec(),)* }
            }

            /// Calls, once, and waits no longer than the deadline and a little.
            pub async fn send(&self, channel: Channel, limit: Duration) -> Told {
                match self {
                    $(Self::$variant(message) => {
                        let mut client = $client::new(channel).max_decoding_message_size(ANSWER_MAX);
                        let answer = client.$call(deadline(message.clone(), limit));
                        self.told(tokio::time::timeout(limit + GRACE, answer).await)
                    })*
                }
            }
        }
    };
}

requests! {
    Announce(pb::AnnounceRequest) InspectionServiceClient.announce "announce" "A container is coming.",
    Adjudicate(pb::AdjudicateRequest) InspectionServiceClient.adjudicate "adjudicate" "An officer decides.",
    ReportDeparture(pb::ReportDepartureRequest) InspectionServiceClient.report_departure "depart" "A container left.",
    DefineLane(pb::DefineLaneRequest) LaneServiceClient.define_lane "define_lane" "A lane is configured.",
    OpenLane(pb::OpenLaneRequest) LaneServiceClient.open_lane "open_lane" "A lane takes containers.",
    CloseLane(pb::CloseLaneRequest) LaneServiceClient.close_lane "close_lane" "A lane takes no more containers.",
    DrainNode(pb::DrainNodeRequest) ClusterServiceClient.drain_node "drain_node" "A node goes out of service.",
    UndrainNode(pb::UndrainNodeRequest) ClusterServiceClient.undrain_node "undrain_node" "A node comes back into service.",
    TransferLeader(pb::TransferLeaderRequest) ClusterServiceClient.transfer_leader "transfer_leader" "Another node leads.",
    ActivatePolicy(pb::ActivatePolicyRequest) PolicyServiceClient.activate_policy "activate_policy" "Another policy takes effect.",
    GetPolicy(pb::GetPolicyRequest) PolicyServiceClient.get_policy "get_policy" "A policy is read.",
    GetInspection(pb::GetInspectionRequest) InspectionServiceClient.get_inspection "get_inspection" "One container is read.",
    ListInspections(pb::ListInspectionsRequest) InspectionServiceClient.list_inspections "list_inspections" "Containers are read.",
    ListLanes(pb::ListLanesRequest) LaneServiceClient.list_lanes "list_lanes" "Lanes are read.",
    GetHead(pb::GetHeadRequest) LogServiceClient.get_head "get_head" "The head of the log is read.",
    GetStatus(pb::GetStatusRequest) ClusterServiceClient.get_status "get_status" "The cluster is looked at.",
    GetNodeStatus(pb::GetNodeStatusRequest) ClusterServiceClient.get_node_status "get_node_status" "A node is looked at.",
}

impl Request {
    /// Who asks under which id, if it writes to the ledger.
    pub fn context(&self) -> Option<&pb::RequestContext> {
        match self {
            Self::Announce(request) => request.context.as_ref(),
            Self::Adjudicate(request) => request.context.as_ref(),
            Self::ReportDeparture(request) => request.context.as_ref(),
            Self::DefineLane(request) => request.context.as_ref(),
            Self::OpenLane(request) => request.context.as_ref(),
            Self::CloseLane(request) => request.context.as_ref(),
            Self::DrainNode(request) => request.context.as_ref(),
            Self::UndrainNode(request) => request.context.as_ref(),
            Self::ActivatePolicy(request) => request.context.as_ref(),
            _ => None,
        }
    }

    /// It changes something when it succeeds.
    pub fn writes(&self) -> bool {
        self.context().is_some() || matches!(self, Self::TransferLeader(_))
    }

    /// The command and entry that an answer to this write names; nothing for reads, or for bytes that are no answer.
    pub fn applied(&self, answer: &[u8]) -> Option<pb::Applied> {
        match self {
            Self::Announce(_) => pb::AnnounceResponse::decode(answer).ok()?.applied,
            Self::Adjudicate(_) => pb::AdjudicateResponse::decode(answer).ok()?.applied,
            Self::ReportDeparture(_) => pb::ReportDepartureResponse::decode(answer).ok()?.applied,
            Self::DefineLane(_) => pb::DefineLaneResponse::decode(answer).ok()?.applied,
            Self::OpenLane(_) => pb::OpenLaneResponse::decode(answer).ok()?.applied,
            Self::CloseLane(_) => pb::CloseLaneResponse::decode(answer).ok()?.applied,
            Self::DrainNode(_) => pb::DrainNodeResponse::decode(answer).ok()?.applied,
            Self::UndrainNode(_) => pb::UndrainNodeResponse::decode(answer).ok()?.applied,
            Self::ActivatePolicy(_) => pb::ActivatePolicyResponse::decode(answer).ok()?.applied,
            _ => None,
        }
    }

    /// As of when an answer to this read is; nothing for writes and for reads that say nothing about it.
    pub fn read_point(&self, answer: &[u8]) -> Option<pb::ReadPoint> {
        match self {
            Self::GetInspection(_) => pb::GetInspectionResponse::decode(answer).ok()?.read_point,
            Self::ListInspections(_) => pb::ListInspectionsResponse::decode(answer).ok()?.read_point,
            Self::ListLanes(_) => pb::ListLanesResponse::decode(answer).ok()?.read_point,
            Self::GetHead(_) => pb::GetHeadResponse::decode(answer).ok()?.read_point,
            Self::GetStatus(_) => pb::GetStatusResponse::decode(answer).ok()?.read_point,
            Self::GetPolicy(_) => pb::GetPolicyResponse::decode(answer).ok()?.read_point,
            _ => None,
        }
    }

    /// What a status that came instead of an answer says.
    pub(super) fn failed(&self, status: &Status) -> Told {
        match WriteAnswer::from_status(status) {
            WriteAnswer::Refused { reason, .. } => Told::Refused(reason),
            // What a read has to say is in the same place, without a word about writes.
            WriteAnswer::Unknown { .. } if !self.writes() => status
                .get_error_details()
                .error_info()
                .map_or(Told::Unknown, |info| Told::Refused(info.reason.clone())),
            WriteAnswer::Unknown { .. } => Told::Unknown,
        }
    }

    fn told<T: prost::Message>(
        &self,
        answer: Result<Result<Response<T>, Status>, tokio::time::error::Elapsed>,
    ) -> Told {
        match answer {
            Ok(Ok(response)) => Told::Applied(response.into_inner().encode_to_vec()),
            Ok(Err(status)) => self.failed(&status),
            Err(_) => Told::Unknown,
        }
    }
}
