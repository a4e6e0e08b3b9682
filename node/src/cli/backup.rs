//! `portcullis cluster backup` and `restore`: on this machine, without a node.

use std::path::Path;

use portcullis_domain::id::{ClusterId, NodeId};
use serde_json::json;

use super::failure::{Exit, Failure};
use super::output::Output;
use crate::backup;

pub(super) async fn make(output: &mut Output, data_dir: &Path, to: &Path) -> Result<Exit, Failure> {
    let manifest = backup::make(data_dir, to).await.map_err(|error| failed(&error))?;
    output.document(
        || {
            json!({
                "cluster_id": manifest.cluster.to_string(), "node": manifest.node.0, "log_size": manifest.size,
                "log_root": manifest.root.to_string(), "command_number": manifest.command.0,
                "files": manifest.files.len(), "bytes": manifest.bytes(),
            })
        },
        |_| {
            format!(
                "{} holds {} of cluster {}: {} log entries, {} files, {} bytes, checked\nlog root {}",
                to.display(),
                manifest.node,
                manifest.cluster,
                manifest.size,
                manifest.files.len(),
                manifest.bytes(),
                manifest.root
            )
        },
    )?;
    Ok(Exit::Ok)
}

pub(super) fn restore(
    output: &mut Output,
    from: &Path,
    data_dir: &Path,
    node: NodeId,
    address: &str,
    cluster: Option<ClusterId>,
) -> Result<Exit, Failure> {
    if node == NodeId::NONE {
        return Err(Failure::usage("--node-id", "the first node has number 1"));
    }
    if !address.contains(':') {
        return Err(Failure::usage(
            "--address",
            "expected host:port, such as 127.0.0.1:7401",
        ));
    }
    let cluster = cluster.unwrap_or_else(|| ClusterId(rand::random()));
    let manifest = backup::restore(from, data_dir, cluster, node, address).map_err(|error| failed(&error))?;
    output.document(
        || {
            json!({
                "cluster_id": cluster.to_string(), "former_cluster_id": manifest.cluster.to_string(), "node": node.0,
                "log_size": manifest.size, "log_root": manifest.root.to_string(),
            })
        },
        |_| {
            format!(
                "{} is {node} of the new cluster {cluster}, formerly {}: {} log entries, checked\nstart it with node.id = {}, \
                 node.listen = \"{address}\" and cluster.id = \"{cluster}\"; others join it",
                data_dir.display(),
                manifest.cluster,
                manifest.size,
                node.0
            )
        },
    )?;
    Ok(Exit::Ok)
}

fn failed(error: &anyhow::Error) -> Failure {
    Failure::new(Exit::Error, format!("{error:#}"))
}
