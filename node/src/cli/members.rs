//! `portcullis cluster init`, `drain`, `undrain`, `remove`, `replace` and `transfer-leader`.

use portcullis_domain::id::NodeId;
use portcullis_proto::v1;
use portcullis_proto::v1::cluster_service_client::ClusterServiceClient;
use portcullis_wire::context::Context;
use serde_json::json;
use tokio::time::{Instant, sleep};
use tonic::Response;

use super::args::{Asker, ClusterCommand};
use super::asker::{context, encode, receipt, receipt_text};
use super::client::{Cluster, timed};
use super::cluster;
use super::failure::{Asked, Exit, Failure};
use super::output::{Output, remark};

/// How often a node that is waited for is looked at.
const LOOK: std::time::Duration = std::time::Duration::from_millis(250);

pub(super) async fn run(cluster: &Cluster, output: &mut Output, command: ClusterCommand) -> Result<Exit, Failure> {
    match command {
        ClusterCommand::Status { placements } => cluster::status(cluster, output, placements).await,
        ClusterCommand::Init { members, asker } => init(cluster, output, members, &asker).await,
        ClusterCommand::Drain { node, asker } => drain(cluster, output, node, true, &asker).await,
        ClusterCommand::Undrain { node, asker } => drain(cluster, output, node, false, &asker).await,
        ClusterCommand::Remove { node, asker } => {
            let context = context(&asker, None)?;
            remove(cluster, output, node, None, &context).await
        }
        ClusterCommand::Replace { old, with, asker } => replace(cluster, output, old, &with, &asker).await,
        ClusterCommand::TransferLeader { node, asker } => transfer(cluster, output, node, &asker).await,
        // The program runs that itself; see `main`.
        // And these ask nobody; see `super::run`.
        ClusterCommand::Join(_) | ClusterCommand::Backup { .. } | ClusterCommand::Restore { .. } => Ok(Exit::Ok),
    }
}

async fn init(
    cluster: &Cluster,
    output: &mut Output,
    members: Vec<(NodeId, String)>,
    asker: &Asker,
) -> Result<Exit, Failure> {
    let context = context(asker, None)?;
    let members: Vec<_> = members
        .into_iter()
        .map(|(node, address)| v1::FoundingMember { node: node.0, address })
        .collect();
    let founded = cluster
        .ask(Asked::Write(context.request.as_str()), async |channel, limit| {
            let request = v1::InitClusterRequest {
                context: encode(&context),
                members: members.clone(),
            };
            ClusterServiceClient::new(channel)
                .init_cluster(timed(request, limit))
                .await
        })
        .await?;
    output.document(
        || json!({ "cluster_id": founded.cluster_id, "members": members.len().max(1) }),
        |_| format!("cluster {} is founded", founded.cluster_id),
    )?;
    Ok(Exit::Ok)
}

async fn drain(
    cluster: &Cluster,
    output: &mut Output,
    node: NodeId,
    drained: bool,
    asker: &Asker,
) -> Result<Exit, Failure> {
    let context = context(asker, None)?;
    let applied = cluster
        .ask(Asked::Write(context.request.as_str()), async |channel, limit| {
            let mut client = ClusterServiceClient::new(channel);
            let (context, node) = (encode(&context), node.0);
            if drained {
                let request = v1::DrainNodeRequest { context, node };
                let answer = client.drain_node(timed(request, limit)).await?;
                Ok(Response::new(answer.into_inner().applied))
            } else {
                let request = v1::UndrainNodeRequest { context, node };
                let answer = client.undrain_node(timed(request, limit)).await?;
                Ok(Response::new(answer.into_inner().applied))
            }
        })
        .await?;
    output.document(
        || {
            let mut json = receipt(applied, &context);
            json["node"] = json!(node.0);
            json["drained"] = json!(drained);
            json
        },
        |_| {
            let what = match drained {
                true => "is drained: it gives its actors away and keeps its vote",
                false => "is in service",
            };
            format!("{node} {what}\n{}", receipt_text(applied, &context))
        },
    )?;
    Ok(Exit::Ok)
}

async fn remove(
    cluster: &Cluster,
    output: &mut Output,
    node: NodeId,
    replaced_by: Option<u64>,
    context: &Context,
) -> Result<Exit, Failure> {
    let removed = cluster
        .ask(Asked::Write(context.request.as_str()), async |channel, limit| {
            let request = v1::RemoveNodeRequest {
                context: encode(context),
                node: node.0,
            };
            ClusterServiceClient::new(channel)
                .remove_node(timed(request, limit))
                .await
        })
        .await?;
    output.document(
        || {
            let mut json = receipt(removed.applied, context);
            json["node"] = json!(node.0);
            json["left"] = json!(removed.left);
            if let Some(new) = replaced_by {
                json["replaced_by"] = json!(new);
            }
            json
        },
        |_| {
            let what = match removed.left {
                true => "has left the cluster for good; its data folder is not needed any more",
                false => "is leaving the cluster; the leader goes on with it by itself",
            };
            format!("{node} {what}\n{}", receipt_text(removed.applied, context))
        },
    )?;
    Ok(Exit::Ok)
}

async fn replace(
    cluster: &Cluster,
    output: &mut Output,
    old: NodeId,
    with: &str,
    asker: &Asker,
) -> Result<Exit, Failure> {
    let context = context(asker, None)?;
    let wanted: Option<NodeId> = with.parse().ok();
    let is_new = |node: &v1::Node| match wanted {
        Some(wanted) => node.id == wanted.0,
        None => node.address == with,
    };
    if wanted == Some(old) {
        return Err(Failure::usage(
            "--with",
            "a node cannot replace itself: a new node has a new id",
        ));
    }
    let end = Instant::now() + cluster.timeout();
    let mut said = false;
    let new = loop {
        let status = cluster::get(cluster).await?;
        let found = status.nodes.iter().find(|node| is_new(node));
        if let Some(new) = found.filter(|node| node.voter && node.up) {
            if new.id == old.0 {
                return Err(Failure::usage("--with", format!("{old} itself listens on {with}")));
            }
            break new.id;
        }
        if Instant::now() >= end {
            let what = match found {
                Some(node) => format!("node-{} does not vote yet", node.id),
                None => format!("no member is {with}"),
            };
            return Err(Failure::new(Exit::Unreachable, what)
                .field("--with")
                .next("start the new node with cluster.join, and give it more time with --timeout"));
        }
        if !said {
            remark(format!("waiting until {with} votes"));
            said = true;
        }
        sleep(LOOK).await;
    };
    remove(cluster, output, old, Some(new), &context).await
}

async fn transfer(
    cluster: &Cluster,
    output: &mut Output,
    node: Option<NodeId>,
    asker: &Asker,
) -> Result<Exit, Failure> {
    let context = context(asker, None)?;
    let moved = cluster
        .ask(Asked::Write(context.request.as_str()), async |channel, limit| {
            let request = v1::TransferLeaderRequest {
                context: encode(&context),
                node: node.map(|node| node.0),
            };
            ClusterServiceClient::new(channel)
                .transfer_leader(timed(request, limit))
                .await
        })
        .await?;
    output.document(
        || json!({ "leader": moved.leader, "held_us": moved.held_us }),
        |_| {
            let held = std::time::Duration::from_micros(moved.held_us);
            format!(
                "node-{} leads; commands waited for {:.1} ms",
                moved.leader,
                held.as_secs_f64() * 1e3
            )
        },
    )?;
    Ok(Exit::Ok)
}
