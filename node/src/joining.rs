//! Being taken into a running cluster: a data folder asks a member for a node id and for who the members are.

use std::time::Duration;

use anyhow::bail;
use portcullis_config::PeerAddress;
use portcullis_consensus::Connector;
use portcullis_domain::id::{ClusterId, Incarnation, NodeId};
use portcullis_proto::internal::v1 as pb;
use portcullis_proto::internal::v1::membership_service_client::MembershipServiceClient;
use tonic::{Code, Request, Status};

use crate::neighbours::Neighbours;

/// How long one member may take to answer.
const ANSWER: Duration = Duration::from_secs(5);
/// Between two rounds over all addresses.
const AGAIN: Duration = Duration::from_millis(500);

/// Who asks.
#[derive(Debug, Clone)]
pub struct Applicant {
    /// The cluster that it is configured for, if it must be a certain one.
    pub cluster: Option<ClusterId>,
    /// Its data folder.
    pub incarnation: Incarnation,
    /// Where it is reached, `host:port`.
    pub address: String,
    /// The id that it has or would like.
    pub node: Option<NodeId>,
}

/// What the cluster answered.
#[derive(Debug, Clone)]
pub struct Taken {
    /// The cluster.
    pub cluster: ClusterId,
    /// The id that the folder belongs to.
    pub node: NodeId,
    /// The members. This node does not vote yet.
    pub neighbours: Neighbours,
}

/// Asks the members at these addresses until one of them gives an answer that counts.
///
/// # Errors
/// When the cluster refuses; silence and a missing leader are waited out.
pub async fn join(applicant: &Applicant, at: &[PeerAddress], connector: &Connector) -> anyhow::Result<Taken> {
    let mut said = String::new();
    loop {
        for address in at {
            let why = match ask(applicant, &address.to_string(), connector).await {
                Ok(taken) => return Ok(taken),
                Err(status) if is_final(&status) => bail!("{address} does not take this node in: {}", status.message()),
                Err(status) => format!("{address}: {}", status.message()),
            };
            if said != why {
                tracing::warn!(%why, "not taken in yet, asking again");
                said = why;
            }
        }
        tokio::time::sleep(AGAIN).await;
    }
}

/// Asks one member.
///
/// # Errors
/// What it answered instead.
pub async fn ask(applicant: &Applicant, address: &str, connector: &Connector) -> Result<Taken, Status> {
    let mut request = Request::new(pb::JoinRequest {
        cluster_id: applicant.cluster.map(|id| id.0.to_vec().into()).unwrap_or_default(),
        incarnation: applicant.incarnation.0.to_vec().into(),
        address: applicant.address.clone(),
        node: applicant.node.map(|node| node.0),
        version: crate::process::CLUSTER_VERSION,
    });
    request.set_timeout(ANSWER);
    let mut client = MembershipServiceClient::new(connector(address));
    let response = match tokio::time::timeout(ANSWER, client.join(request)).await {
        Ok(response) => response?.into_inner(),
        Err(_) => return Err(Status::unavailable("it did not answer in time")),
    };
    let cluster = <[u8; 16]>::try_from(&response.cluster_id[..])
        .map(ClusterId)
        .map_err(|_| Status::internal("cluster_id: it does not have 16 bytes"))?;
    let node = NodeId(response.node);
    let voters = response.members.iter().filter(|member| member.voter);
    let voters = voters.map(|member| NodeId(member.node)).collect();
    let members = response.members.iter();
    let members = members.map(|member| (NodeId(member.node), member.address.clone()));
    Ok(Taken {
        cluster,
        node,
        neighbours: Neighbours::told(node, members, voters),
    })
}

/// Whether asking again would bring the same answer.
fn is_final(status: &Status) -> bool {
    use portcullis_wire::status::WriteAnswer;
    match status.code() {
        Code::FailedPrecondition | Code::InvalidArgument | Code::AlreadyExists | Code::Unimplemented => {
            WriteAnswer::from_status(status).again_after().is_none()
        }
        _ => false,
    }
}
