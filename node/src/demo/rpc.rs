//! Asking the nodes of a demo, with deadlines, whichever of them answers.

use std::time::Duration;

use portcullis_domain::id::Digest;
use portcullis_domain::policy::Policy;
use portcullis_proto::v1 as pb;
use portcullis_proto::v1::cluster_service_client::ClusterServiceClient;
use portcullis_proto::v1::inspection_service_client::InspectionServiceClient;
use portcullis_proto::v1::policy_service_client::PolicyServiceClient;
use portcullis_wire::policy::encode_policy;
use tonic::transport::{Channel, Endpoint};
use tonic::{Request, Status};

/// Longest time of one call.
const CALL_WITHIN: Duration = Duration::from_secs(3);

/// So often every node is asked to activate a policy.
const ACTIVATE_TRIES: usize = 3;

/// A channel to a node. Silence is noticed within seconds.
pub(super) fn channel(address: &str) -> Channel {
    Endpoint::from_shared(format!("http://{address}"))
        .unwrap_or_else(|_| Endpoint::from_static("http://127.0.0.1:1"))
        .connect_timeout(Duration::from_millis(500))
        .tcp_nodelay(true)
        .http2_keep_alive_interval(Duration::from_secs(1))
        .keep_alive_timeout(Duration::from_secs(2))
        .keep_alive_while_idle(true)
        .connect_lazy()
}

/// A request with a deadline that the node sees.
pub(super) fn within<T>(message: T, limit: Duration) -> Request<T> {
    let mut request = Request::new(message);
    request.set_timeout(limit);
    request
}

/// The nodes, asked in turn.
#[derive(Debug, Clone)]
pub(crate) struct Nodes {
    channels: Vec<(String, Channel)>,
}

impl Nodes {
    pub(crate) fn new(addresses: &[String]) -> Self {
        Self {
            channels: addresses
                .iter()
                .map(|address| (address.clone(), channel(address)))
                .collect(),
        }
    }

    /// The n-th node's channel, counting round.
    pub(super) fn nth(&self, n: usize) -> Channel {
        self.channels[n % self.channels.len()].1.clone()
    }

    /// The status of the cluster as the first node that answers sees it.
    pub(crate) async fn status(&self) -> Result<pb::GetStatusResponse, Status> {
        let mut last = Status::unavailable("there are no nodes");
        for (_, channel) in &self.channels {
            let request = within(pb::GetStatusRequest {}, Duration::from_millis(800));
            let mut client = ClusterServiceClient::new(channel.clone());
            match tokio::time::timeout(Duration::from_secs(1), client.get_status(request)).await {
                Ok(Ok(response)) => return Ok(response.into_inner()),
                Ok(Err(status)) => last = status,
                Err(_) => last = Status::deadline_exceeded("no answer"),
            }
        }
        Err(last)
    }

    /// The status of each node that answers, by itself.
    pub(super) async fn each(&self) -> Vec<Result<pb::GetNodeStatusResponse, Status>> {
        let mut all = Vec::new();
        for (_, channel) in &self.channels {
            let mut client = ClusterServiceClient::new(channel.clone());
            let call = client.get_node_status(within(pb::GetNodeStatusRequest {}, CALL_WITHIN));
            all.push(match tokio::time::timeout(CALL_WITHIN, call).await {
                Ok(answer) => answer.map(tonic::Response::into_inner),
                Err(_) => Err(Status::deadline_exceeded("no answer")),
            });
        }
        all
    }

    /// Brings a manifest risk model in, through whichever node does it.
    pub(super) async fn add_model(&self, model: &'static [u8]) -> Result<(), Status> {
        let digest = Digest::of(model).to_string();
        let request = pb::AddModelRequest {
            context: Some(demo_asks(&format!("model-{}", digest.get(..16).unwrap_or(&digest)))),
            model: model.into(),
        };
        self.through_any(async |mut client| {
            let request = within(request.clone(), CALL_WITHIN);
            client.add_model(request).await.map(drop)
        })
        .await
    }

    /// Makes a policy the active one, through whichever node does it.
    pub(super) async fn activate(&self, policy: &Policy, reason: &str) -> Result<(), Status> {
        let request = pb::ActivatePolicyRequest {
            context: Some(demo_asks("policy")),
            policy: Some(encode_policy(policy)),
            reason: reason.to_owned(),
        };
        self.through_any(async |mut client| {
            let request = within(request.clone(), CALL_WITHIN);
            client.activate_policy(request).await.map(drop)
        })
        .await
    }

    async fn through_any(
        &self,
        ask: impl AsyncFn(PolicyServiceClient<Channel>) -> Result<(), Status>,
    ) -> Result<(), Status> {
        let mut last = Status::unavailable("there are no nodes");
        for _ in 0..ACTIVATE_TRIES {
            for (_, channel) in &self.channels {
                match ask(PolicyServiceClient::new(channel.clone())).await {
                    Ok(()) => return Ok(()),
                    Err(status) => last = status,
                }
            }
        }
        Err(last)
    }

    /// All inspections, without details.
    pub(super) async fn inspections(&self) -> Result<Vec<pb::Inspection>, Status> {
        let mut last = Status::unavailable("there are no nodes");
        for (_, channel) in &self.channels {
            match list(channel.clone()).await {
                Ok(all) => return Ok(all),
                Err(status) => last = status,
            }
        }
        Err(last)
    }
}

fn demo_asks(request_id: &str) -> pb::RequestContext {
    pb::RequestContext {
        source: "simulated-terminal".to_owned(),
        request_id: request_id.to_owned(),
        principal: "demo".to_owned(),
    }
}

async fn list(channel: Channel) -> Result<Vec<pb::Inspection>, Status> {
    let mut client = InspectionServiceClient::new(channel).max_decoding_message_size(16 << 20);
    let mut all = Vec::new();
    let mut page_token = String::new();
    loop {
        let request = pb::ListInspectionsRequest {
            page_size: 500,
            page_token,
            consistency: pb::Consistency::Quorum.into(),
            view: pb::InspectionView::Basic.into(),
            ..pb::ListInspectionsRequest::default()
        };
        let page = client
            .list_inspections(within(request, CALL_WITHIN))
            .await?
            .into_inner();
        all.extend(page.inspections);
        if page.next_page_token.is_empty() {
            return Ok(all);
        }
        page_token = page.next_page_token;
    }
}
