//! Getting from other nodes what this replica lacks: bundles after a snapshot, blobs it never saw.
//!
//! Nothing is believed: a bundle must have a proof to the root of the log that this replica knows from its own ledger, a
//! blob must have its digest.

use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use portcullis_proto::internal::v1 as pb;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use crate::bundle::{Bundle, LEAVES};
use crate::leadership::{Raft, members};
use crate::ledger::Digest;
use crate::merkle;
use crate::peers::{Class, Peers};
use crate::replica::Replica;

/// How long one node may take to send one thing.
const PATIENCE: Duration = Duration::from_secs(10);
/// Pause after nobody had it.
const PAUSE: Duration = Duration::from_millis(500);
/// The largest bundle or blob that is accepted, bytes.
const LIMIT: usize = 64 << 20;

/// Asks the other nodes.
#[derive(Clone)]
pub(crate) struct Fetcher {
    pub(crate) peers: Peers,
    pub(crate) raft: Raft,
    pub(crate) replica: Arc<Replica>,
}

impl Fetcher {
    /// Fetches what is missing until stopped.
    pub(crate) async fn run(self, stop: CancellationToken) -> std::io::Result<()> {
        let mut changes = self.replica.changes.subscribe();
        loop {
            let work = async {
                while let Some(missing) = self.replica.tlog.first_missing() {
                    if let Err(detail) = self.bundle(missing).await {
                        tracing::warn!(bundle = missing, detail, "a bundle of the decision log is missing here");
                        tokio::time::sleep(PAUSE).await;
                    }
                }
                // Only a snapshot opens a gap, and it changes the size.
                let _ = changes.changed().await;
            };
            tokio::select! {
                () = work => {}
                () = stop.cancelled() => return Ok(()),
            }
        }
    }

    /// Gets one bundle, checks it and keeps it.
    pub(crate) async fn bundle(&self, number: u64) -> Result<(), String> {
        let view = self.replica.view.load_full();
        let mut said = Vec::new();
        for (node, member) in self.others() {
            let mut client = self.peers.client(&member, Class::Bulk);
            let request = pb::GetBundleRequest {
                bundle: number,
                log_size: view.log_size,
            };
            let request = self.peers.request(node, request);
            let call = async {
                let mut chunks = client.get_bundle(request).await?.into_inner();
                let mut proof = Vec::new();
                let mut data = BytesMut::new();
                while let Some(chunk) = chunks.message().await? {
                    proof.extend(chunk.proof);
                    bounded(&mut data, &chunk.data)?;
                }
                Ok::<_, tonic::Status>((proof, data.freeze()))
            };
            match timeout(PATIENCE, call).await {
                Ok(Ok((proof, data))) => match checked(number, data, &proof, view.log_size, &view.root) {
                    Ok(bundle) => {
                        let replica = Arc::clone(&self.replica);
                        return self
                            .replica
                            .blocking
                            .run(move || replica.tlog.insert(&bundle))
                            .await
                            .map_err(|error| format!("bundle {number} cannot be written: {error}"));
                    }
                    Err(why) => {
                        tracing::error!(
                            node,
                            bundle = number,
                            why,
                            "a node sent a bundle that is not in the log"
                        );
                        said.push(format!("node {node}: {why}"));
                    }
                },
                Ok(Err(status)) => said.push(format!("node {node}: {}", status.message())),
                Err(_) => said.push(format!("node {node}: no answer in {} s", PATIENCE.as_secs())),
            }
        }
        Err(refusals(said))
    }

    /// Gets one blob and checks it.
    pub(crate) async fn blob(&self, digest: Digest) -> Result<Bytes, String> {
        let mut said = Vec::new();
        for (node, member) in self.others() {
            let mut client = self.peers.client(&member, Class::Bulk);
            let request = pb::GetBlobRequest {
                digest: Bytes::copy_from_slice(&digest.0),
            };
            let request = self.peers.request(node, request);
            let call = async {
                let mut chunks = client.get_blob(request).await?.into_inner();
                let mut data = BytesMut::new();
                while let Some(chunk) = chunks.message().await? {
                    bounded(&mut data, &chunk.data)?;
                }
                Ok::<_, tonic::Status>(data.freeze())
            };
            match timeout(PATIENCE, call).await {
                Ok(Ok(data)) if Digest::of(&data) == digest => return Ok(data),
                Ok(Ok(_)) => said.push(format!("node {node}: sent something else")),
                Ok(Err(status)) => said.push(format!("node {node}: {}", status.message())),
                Err(_) => said.push(format!("node {node}: no answer in {} s", PATIENCE.as_secs())),
            }
        }
        Err(refusals(said))
    }

    fn others(&self) -> Vec<(u64, String)> {
        let mut others: Vec<_> = members(&self.raft)
            .into_iter()
            .filter(|(id, _)| *id != self.peers.node())
            .map(|(id, member)| (id, member.address))
            .collect();
        // Not all nodes to the same one.
        let turn = (self.peers.node() as usize) % others.len().max(1);
        others.rotate_left(turn);
        others
    }
}

fn refusals(said: Vec<String>) -> String {
    match said.is_empty() {
        true => "there is no other node to ask".to_owned(),
        false => said.join("; "),
    }
}

fn bounded(data: &mut BytesMut, more: &[u8]) -> Result<(), tonic::Status> {
    if data.len() + more.len() > LIMIT {
        return Err(tonic::Status::out_of_range(format!("more than {LIMIT} bytes")));
    }
    data.extend_from_slice(more);
    Ok(())
}

fn checked(number: u64, data: Bytes, proof: &[Bytes], size: u64, root: &Digest) -> Result<Bundle, String> {
    let bundle = Bundle::decode(number, data).map_err(|error| error.to_string())?;
    let path: Vec<Digest> = proof
        .iter()
        .map(|hash| {
            <[u8; 32]>::try_from(&hash[..])
                .map(Digest)
                .map_err(|_| "a hash of the proof does not have 32 bytes".to_owned())
        })
        .collect::<Result<_, _>>()?;
    let count = size.div_ceil(LEAVES);
    if merkle::leads_to(root, bundle.root, number, count, &path) {
        Ok(bundle)
    } else {
        Err(format!(
            "its proof does not lead to the root of the log of {size} entries"
        ))
    }
}
