//! Getting from other nodes what this replica lacks: bundles after a snapshot, blobs it never saw.
//!
//! Nothing is believed: a bundle must have the root that this replica knows from its own ledger, a blob its digest. Bundles
//! come in a stream; while some are on their way the ones before them are checked and made durable, a few at a time.

use std::io;
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use portcullis_proto::internal::v1 as pb;
use tokio::sync::mpsc;
use tokio::time::{Instant, timeout};
use tokio_util::sync::CancellationToken;
use tonic::{Status, Streaming};

use crate::bundle::{Bundle, FILE_BYTES};
use crate::leadership::{Raft, members};
use crate::ledger::Digest;
use crate::peers::{Class, Peers};
use crate::replica::Replica;

/// How long one node may be silent.
const PATIENCE: Duration = Duration::from_secs(10);
/// Pauses after nobody had what is missing.
const PAUSE: Range<Duration> = Duration::from_millis(500)..Duration::from_secs(8);
/// Bundles that one call asks for.
const RANGE: u64 = 1024;
/// What is made durable together: so many bundles or so many bytes.
const BATCH: usize = 8;
const BATCH_BYTES: usize = 16 << 20;
/// The largest blob that is accepted, bytes.
const BLOB_LIMIT: usize = 64 << 20;

/// Bundles on their way to the disk: number and file of each.
type Batch = Vec<(u64, Bytes)>;

/// Asks the other nodes.
#[derive(Clone)]
pub(crate) struct Fetcher {
    pub(crate) peers: Peers,
    pub(crate) raft: Raft,
    pub(crate) replica: Arc<Replica>,
}

impl Fetcher {
    /// Fetches what is missing until stopped.
    pub(crate) async fn run(self, stop: CancellationToken) -> io::Result<()> {
        let mut changes = self.replica.changes.subscribe();
        loop {
            let work = async {
                self.fetch_all().await;
                // Only a snapshot opens a gap, and it changes the size.
                let _ = changes.changed().await;
            };
            tokio::select! {
                () = work => {}
                () = stop.cancelled() => return Ok(()),
            }
        }
    }

    async fn fetch_all(&self) {
        let (start, mut count, mut bytes) = (Instant::now(), 0, 0);
        let mut pause = PAUSE.start;
        loop {
            let missing = self.replica.tlog.bundles.missing(RANGE);
            if missing.is_empty() {
                break;
            }
            let first = missing.start;
            match self.bundles(missing).await {
                Ok(kept) => {
                    count += kept.bundles;
                    bytes += kept.bytes;
                    pause = PAUSE.start;
                }
                Err(detail) => {
                    tracing::warn!(bundle = first, detail, "a bundle of the decision log is missing here");
                    tokio::time::sleep(pause).await;
                    pause = (pause * 2).min(PAUSE.end);
                }
            }
        }
        if count > 0 {
            let seconds = start.elapsed().as_secs_f64();
            let megabytes = bytes as f64 / 1e6;
            tracing::info!(count, megabytes, seconds, "all bundles of the decision log are here");
        }
    }

    /// Gets bundles in a row from the first node that has any of them, checks them and keeps them. Ok when at least one was
    /// kept.
    pub(crate) async fn bundles(&self, wanted: Range<u64>) -> Result<Kept, String> {
        let mut said = Vec::new();
        for (node, member) in self.others() {
            let kept = self.bundles_from(node, &member, wanted.clone()).await;
            match kept {
                (kept, Ok(())) if kept.bundles > 0 => return Ok(kept),
                (kept, Err(why)) if kept.bundles > 0 => {
                    tracing::warn!(node, why, "a node stopped giving bundles of the decision log");
                    return Ok(kept);
                }
                (_, Ok(())) => said.push(format!("node {node} gave nothing")),
                (_, Err(why)) => said.push(format!("node {node}: {why}")),
            }
        }
        Err(refusals(said))
    }

    async fn bundles_from(&self, node: u64, member: &str, wanted: Range<u64>) -> (Kept, Result<(), String>) {
        let mut client = self.peers.client(member, Class::Bulk);
        let request = pb::GetBundlesRequest {
            first: wanted.start,
            count: u32::try_from(wanted.end - wanted.start).unwrap_or(u32::MAX),
        };
        let request = self.peers.request(node, request);
        let pieces = match timeout(PATIENCE, client.get_bundles(request)).await {
            Ok(Ok(response)) => response.into_inner(),
            Ok(Err(status)) => return (Kept::default(), Err(status.message().to_owned())),
            Err(_) => return (Kept::default(), Err(silent())),
        };
        let (batches, arrived) = mpsc::channel(1);
        let mut kept = Kept::default();
        // Receiving ends when keeping fails, because nobody takes the batches any more.
        let (received, stored) = tokio::join!(receive(pieces, wanted, batches), self.keep(arrived, &mut kept));
        (kept, stored.and(received))
    }

    /// Checks bundles and makes them durable.
    async fn keep(&self, mut arrived: mpsc::Receiver<Batch>, kept: &mut Kept) -> Result<(), String> {
        while let Some(batch) = arrived.recv().await {
            let replica = Arc::clone(&self.replica);
            let (count, bytes) = (
                batch.len() as u64,
                batch.iter().map(|(_, file)| file.len() as u64).sum::<u64>(),
            );
            let stored = self.replica.blocking.run(move || {
                let bundles = &replica.tlog.bundles;
                let mut checked = Vec::with_capacity(batch.len());
                let mut bad = None;
                for (number, file) in batch {
                    let root = bundles.root(number).unwrap_or(Digest([0; 32]));
                    match Bundle::checked(number, root, file) {
                        Ok(bundle) => checked.push(bundle),
                        Err(error) => {
                            bad = Some(format!("its bundle {number} is not the one in the log: {error}"));
                            break;
                        }
                    }
                }
                bundles.write(&checked)?;
                Ok((checked.len() as u64, bad))
            });
            match stored.await {
                Ok((_, None)) => {
                    kept.bundles += count;
                    kept.bytes += bytes;
                }
                Ok((whole, Some(bad))) => {
                    kept.bundles += whole;
                    tracing::error!(bad, "a node sent a bundle that is not in the log");
                    return Err(bad);
                }
                Err(error) => return Err(error.to_string()),
            }
        }
        Ok(())
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
                    if data.len() + chunk.data.len() > BLOB_LIMIT {
                        return Err(Status::out_of_range(format!("more than {BLOB_LIMIT} bytes")));
                    }
                    data.extend_from_slice(&chunk.data);
                }
                Ok::<_, Status>(data.freeze())
            };
            match timeout(PATIENCE, call).await {
                Ok(Ok(data)) if Digest::of(&data) == digest => return Ok(data),
                Ok(Ok(_)) => said.push(format!("node {node}: sent something else")),
                Ok(Err(status)) => said.push(format!("node {node}: {}", status.message())),
                Err(_) => said.push(format!("node {node}: {}", silent())),
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

/// What came of a call for bundles.
#[derive(Debug, Default, Clone, Copy)]
pub(crate) struct Kept {
    /// Bundles that are durable here now.
    pub(crate) bundles: u64,
    bytes: u64,
}

/// Puts the pieces of files together and hands on whole files.
async fn receive(
    mut pieces: Streaming<pb::BundlePiece>,
    wanted: Range<u64>,
    batches: mpsc::Sender<Batch>,
) -> Result<(), String> {
    let mut batch = Batch::new();
    let mut bytes = 0;
    let mut next = wanted.start;
    let mut part = BytesMut::new();
    let ended = loop {
        let piece = match timeout(PATIENCE, pieces.message()).await {
            Ok(Ok(Some(piece))) => piece,
            Ok(Ok(None)) if part.is_empty() => break Ok(()),
            Ok(Ok(None)) => break Err(format!("bundle {next} broke off")),
            Ok(Err(status)) => break Err(status.message().to_owned()),
            Err(_) => break Err(silent()),
        };
        let length = part.len() as u64 + piece.data.len() as u64;
        if piece.bundle != next || !wanted.contains(&next) || piece.length > FILE_BYTES || length > piece.length {
            break Err(format!(
                "sent {length} of {} bytes of bundle {} when it was to send bundle {next}",
                piece.length, piece.bundle
            ));
        }
        let file = if part.is_empty() && length == piece.length {
            piece.data
        } else {
            part.extend_from_slice(&piece.data);
            if length < piece.length {
                continue;
            }
            part.split().freeze()
        };
        bytes += file.len();
        batch.push((next, file));
        next += 1;
        if batch.len() == BATCH || bytes >= BATCH_BYTES {
            bytes = 0;
            if batches.send(std::mem::take(&mut batch)).await.is_err() {
                return Ok(());
            }
        }
    };
    // What is whole is kept, however it ended.
    if !batch.is_empty() {
        let _ = batches.send(batch).await;
    }
    ended
}

fn silent() -> String {
    format!("no answer in {} s", PATIENCE.as_secs())
}

fn refusals(said: Vec<String>) -> String {
    match said.is_empty() {
        true => "there is no other node to ask".to_owned(),
        false => said.join("; "),
    }
}
