//! What the other nodes ask of this one, over gRPC.

use std::path::PathBuf;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use futures::{Stream, StreamExt, stream};
use openraft::Snapshot;
use portcullis_domain::codec;
use portcullis_proto::internal::v1 as pb;
use portcullis_proto::internal::v1::raft_server::{Raft as RaftService, RaftServer};
use tokio::sync::mpsc;
use tokio::time::{Instant, timeout};
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Response, Status, Streaming};

use crate::consensus::Consensus;
use crate::disk::Disk;
use crate::errors::{ProposeError, Reason};
use crate::forward::put_answer;
use crate::ledger::Digest;
use crate::peers::{MESSAGE_BYTES, PIECE_BYTES};
use crate::read::Consistency;
use crate::snapshot::SnapshotFile;
use crate::submission::Answer;
use crate::types::Vote;
use crate::wire::{self, WireError};

/// The longest silence within a snapshot that is being received.
const SILENCE: Duration = Duration::from_secs(15);
/// The largest snapshot that is accepted, bytes.
const SNAPSHOT_BYTES: u64 = 8 << 30;
/// Batches of one stream that wait for their outcome at the same time.
const BATCHES: usize = 64;
/// The longest time a forwarded batch may ask for.
const PATIENCE: Duration = Duration::from_secs(60);
/// How long the leader tries to confirm a read.
const READ_INDEX: Duration = Duration::from_millis(800);

/// The service of one node.
#[derive(Clone)]
pub struct Service {
    consensus: Consensus,
    incoming: Arc<AtomicU64>,
}

impl Consensus {
    /// The gRPC service to mount on the node's internal listener.
    pub fn grpc_service(&self) -> RaftServer<Service> {
        let service = Service {
            consensus: self.clone(),
            incoming: Arc::default(),
        };
        RaftServer::new(service)
            .max_decoding_message_size(MESSAGE_BYTES)
            .max_encoding_message_size(MESSAGE_BYTES)
    }
}

type Reply<T> = Result<Response<T>, Status>;
type Replies<T> = Pin<Box<dyn Stream<Item = Result<T, Status>> + Send>>;

impl Service {
    fn check<T>(&self, request: &Request<T>) -> Result<(), Status> {
        if self.consensus.stopped().is_cancelled() {
            return Err(Status::unavailable("this node is stopping"));
        }
        self.consensus.peers().check(request.metadata())
    }
}

fn bad(error: WireError) -> Status {
    Status::invalid_argument(error.to_string())
}

fn stopped(error: impl std::fmt::Display) -> Status {
    Status::unavailable(format!("consensus on this node has stopped: {error}"))
}

#[tonic::async_trait]
impl RaftService for Service {
    type AppendStream = Replies<pb::AppendResponse>;
    type ProposeStream = ReceiverStream<Result<pb::ProposeResult, Status>>;
    type GetBundleStream = Replies<pb::BundleChunk>;
    type GetBlobStream = Replies<pb::BlobChunk>;

    async fn append(&self, request: Request<Streaming<pb::AppendRequest>>) -> Reply<Self::AppendStream> {
        self.check(&request)?;
        // A request that cannot be read ends the stream, as a broken connection would; the sender begins again.
        let requests = stream::unfold(request.into_inner(), |mut requests| async move {
            let request = requests.message().await.ok()??;
            match wire::get_append(request) {
                Ok(request) => Some((request, requests)),
                Err(error) => {
                    tracing::error!(%error, "an append from another node cannot be read");
                    None
                }
            }
        });
        // Shutting down has to end streams that would stay open.
        let stop = self.consensus.stopped().clone().cancelled_owned();
        let answers = self.consensus.raft().stream_append(requests.boxed());
        let answers = answers.map(|answer| match answer {
            Ok(result) => Ok(wire::put_appended(&result)),
            Err(fatal) => Err(stopped(fatal)),
        });
        Ok(Response::new(Box::pin(answers.take_until(stop))))
    }

    async fn vote(&self, request: Request<pb::VoteRequest>) -> Reply<pb::VoteResponse> {
        self.check(&request)?;
        let request = wire::get_vote_request(request.get_ref()).map_err(bad)?;
        self.consensus.keep_promises().await;
        let response = self.consensus.raft().vote(request).await.map_err(stopped)?;
        Ok(Response::new(wire::put_vote_response(&response)))
    }

    async fn pre_vote(&self, request: Request<pb::VoteRequest>) -> Reply<pb::VoteResponse> {
        self.check(&request)?;
        let request = wire::get_vote_request(request.get_ref()).map_err(bad)?;
        self.consensus.keep_promises().await;
        let response = self.consensus.raft().pre_vote(request).await.map_err(stopped)?;
        Ok(Response::new(wire::put_vote_response(&response)))
    }

    async fn transfer_leader(&self, request: Request<pb::TransferLeaderRequest>) -> Reply<pb::TransferLeaderResponse> {
        self.check(&request)?;
        let request = wire::get_transfer(request.get_ref()).map_err(bad)?;
        let response = self
            .consensus
            .raft()
            .handle_transfer_leader(request)
            .await
            .map_err(stopped)?;
        Ok(Response::new(wire::put_transferred(&response)))
    }

    async fn install_snapshot(&self, request: Request<Streaming<pb::SnapshotChunk>>) -> Reply<pb::SnapshotResponse> {
        self.check(&request)?;
        let number = self.incoming.fetch_add(1, Ordering::Relaxed);
        let snapshots = &self.consensus.replica().snapshots;
        let mut incoming = Incoming {
            disk: Arc::clone(snapshots.disk()),
            path: snapshots.incoming(number),
            unused: true,
        };
        let result = self.receive_snapshot(request.into_inner(), &mut incoming).await;
        // Not installed, or installed under its name: either way this name is not needed.
        incoming.unused = true;
        drop(incoming);
        result.map(|vote| {
            let vote = Some(wire::put_vote(&vote));
            Response::new(pb::SnapshotResponse { vote })
        })
    }

    async fn propose(&self, request: Request<Streaming<pb::ProposeBatch>>) -> Reply<Self::ProposeStream> {
        self.check(&request)?;
        let mut batches = request.into_inner();
        let (results, outgoing) = mpsc::channel(BATCHES);
        let consensus = self.consensus.clone();
        tokio::spawn(async move {
            let stop = consensus.stopped().clone();
            loop {
                // A place first: a stream that is too fast waits in its own connection.
                let Ok(place) = results.clone().reserve_owned().await else {
                    break;
                };
                let batch = tokio::select! {
                    batch = batches.message() => batch,
                    () = stop.cancelled() => break,
                };
                let Ok(Some(batch)) = batch else { break };
                let consensus = consensus.clone();
                tokio::spawn(async move {
                    let id = batch.id;
                    let answers = run_batch(&consensus, batch).await;
                    let answers = answers.into_iter().map(put_answer).collect();
                    place.send(Ok(pb::ProposeResult { id, answers }));
                });
            }
        });
        Ok(Response::new(ReceiverStream::new(outgoing)))
    }

    async fn read_index(&self, request: Request<pb::ReadIndexRequest>) -> Reply<pb::ReadIndexResponse> {
        self.check(&request)?;
        let consistency = match request.get_ref().lease {
            true => Consistency::Lease,
            false => Consistency::Quorum,
        };
        match self
            .consensus
            .read_index(consistency, Instant::now() + READ_INDEX)
            .await
        {
            Some(index) => Ok(Response::new(pb::ReadIndexResponse { index })),
            None => Err(Status::unavailable("this node does not lead or has no quorum")),
        }
    }

    async fn get_bundle(&self, request: Request<pb::GetBundleRequest>) -> Reply<Self::GetBundleStream> {
        self.check(&request)?;
        let pb::GetBundleRequest { bundle, log_size } = request.into_inner();
        let replica = Arc::clone(self.consensus.replica());
        let found = self
            .consensus
            .replica()
            .blocking
            .run(move || {
                let Some(proof) = replica.tlog.proof(bundle, log_size)? else {
                    return Ok(None);
                };
                let content = replica.tlog.bundle(bundle)?.encode();
                Ok(Some((proof, Bytes::from(content))))
            })
            .await
            .map_err(|error| Status::data_loss(error.to_string()))?;
        let Some((proof, content)) = found else {
            return Err(Status::not_found(format!(
                "bundle {bundle} for a log of {log_size} entries is not here yet"
            )));
        };
        let proof = proof.iter().map(|hash| Bytes::copy_from_slice(&hash.0)).collect();
        let head = pb::BundleChunk {
            proof,
            data: Bytes::new(),
        };
        let pieces = pieces(content).map(|data| pb::BundleChunk {
            proof: Vec::new(),
            data,
        });
        Ok(Response::new(Box::pin(stream::iter(
            std::iter::once(head).chain(pieces).map(Ok),
        ))))
    }

    async fn get_blob(&self, request: Request<pb::GetBlobRequest>) -> Reply<Self::GetBlobStream> {
        self.check(&request)?;
        let digest = <[u8; 32]>::try_from(&request.get_ref().digest[..])
            .map_err(|_| Status::invalid_argument("GetBlobRequest.digest: does not have 32 bytes"))?;
        let blobs = self.consensus.blobs().clone();
        let content = self
            .consensus
            .replica()
            .blocking
            .run(move || blobs.get(Digest(digest)))
            .await
            .map_err(|error| Status::data_loss(error.to_string()))?
            .ok_or_else(|| Status::not_found("the blob is not on this node"))?;
        let pieces = pieces(content).map(|data| Ok(pb::BlobChunk { data }));
        Ok(Response::new(Box::pin(stream::iter(pieces))))
    }
}

/// The file of a snapshot that is being received. Removed when nobody uses it any more, also when the caller hangs up.
struct Incoming {
    disk: Arc<dyn Disk>,
    path: PathBuf,
    unused: bool,
}

impl Drop for Incoming {
    fn drop(&mut self) {
        if self.unused
            && self.disk.exists(&self.path)
            && let Err(error) = self.disk.remove(&self.path)
        {
            tracing::warn!(%error, path = %self.path.display(), "a received snapshot that is not used cannot be removed");
        }
    }
}

impl Service {
    async fn receive_snapshot(
        &self,
        mut chunks: Streaming<pb::SnapshotChunk>,
        incoming: &mut Incoming,
    ) -> Result<Vote, Status> {
        use pb::snapshot_chunk::Part;
        let path = incoming.path.clone();
        let replica = self.consensus.replica();
        let disk = Arc::clone(replica.snapshots.disk());
        let write = |error: std::io::Error| Status::internal(format!("the snapshot cannot be written: {error}"));
        let garbled = |why: &str| Status::invalid_argument(format!("SnapshotChunk: {why}"));

        let Some(Part::Start(start)) = next(&mut chunks).await? else {
            return Err(garbled("the first part is not `start`"));
        };
        let vote = wire::get_vote("SnapshotChunk.start", start.vote.as_ref()).map_err(bad)?;
        if start.length > SNAPSHOT_BYTES {
            return Err(Status::out_of_range(format!(
                "a snapshot of {} bytes; the limit is {SNAPSHOT_BYTES}",
                start.length
            )));
        }
        let mut file = {
            let (disk, path) = (Arc::clone(&disk), path.clone());
            replica.blocking.run(move || disk.create(&path)).await.map_err(write)?
        };
        let mut length = 0;
        while let Some(part) = next(&mut chunks).await? {
            let Part::Piece(piece) = part else {
                return Err(garbled("a second `start`"));
            };
            if crc32fast::hash(&piece.data) != piece.crc {
                return Err(Status::data_loss(
                    "SnapshotChunk.piece: the CRC is not that of the data",
                ));
            }
            length += piece.data.len() as u64;
            if length > start.length {
                return Err(garbled("more data than announced"));
            }
            file = replica
                .blocking
                .run(move || file.write(&piece.data).map(|()| file))
                .await
                .map_err(write)?;
        }
        if length != start.length {
            return Err(Status::aborted(format!(
                "the snapshot broke off after {length} of {} bytes",
                start.length
            )));
        }
        let meta = {
            let (replica, path) = (Arc::clone(replica), path.clone());
            self.consensus
                .replica()
                .blocking
                .run(move || {
                    file.sync()?;
                    drop(file);
                    Ok(replica.snapshots.read(&path)?.meta())
                })
                .await
                .map_err(|error| Status::data_loss(format!("the received snapshot: {error}")))?
        };
        let snapshot = Snapshot {
            meta,
            snapshot: SnapshotFile { path },
        };
        // From here on Raft reads it, also when the caller hangs up.
        incoming.unused = false;
        let installed = self.consensus.raft().install_full_snapshot(vote, snapshot).await;
        installed.map(|response| response.vote).map_err(stopped)
    }
}

async fn next(chunks: &mut Streaming<pb::SnapshotChunk>) -> Result<Option<pb::snapshot_chunk::Part>, Status> {
    match timeout(SILENCE, chunks.message()).await {
        Ok(chunk) => Ok(chunk?.and_then(|chunk| chunk.part)),
        Err(_) => Err(Status::deadline_exceeded("no part of the snapshot for 15 s")),
    }
}

fn pieces(mut content: Bytes) -> impl Iterator<Item = Bytes> {
    std::iter::from_fn(move || {
        let size = content.len().min(PIECE_BYTES);
        (size > 0).then(|| content.split_to(size))
    })
}

async fn run_batch(consensus: &Consensus, batch: pb::ProposeBatch) -> Vec<Answer> {
    let patience = Duration::from_millis(batch.patience_ms.into()).min(PATIENCE);
    let mut commands = Vec::with_capacity(batch.commands.len());
    let mut answers: Vec<Option<Answer>> = Vec::with_capacity(batch.commands.len());
    for bytes in &batch.commands {
        match codec::from_bytes(bytes) {
            Ok(command) => {
                commands.push(command);
                answers.push(None);
            }
            Err(error) => answers.push(Some(Err(ProposeError::not_applied(
                Reason::Unreadable,
                format!("the leader cannot read the command: {error}"),
            )))),
        }
    }
    let mut submitted = consensus.proposer().submit(commands, patience, true).await.into_iter();
    answers
        .into_iter()
        .map(|answer| {
            answer
                .or_else(|| submitted.next())
                .unwrap_or_else(|| Err(ProposeError::unknown("there is no answer for the command")))
        })
        .collect()
}
