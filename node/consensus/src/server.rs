//! What the other nodes ask of this one, over gRPC.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use futures::{Stream, StreamExt, stream};
use portcullis_domain::codec;
use portcullis_proto::internal::v1 as pb;
use portcullis_proto::internal::v1::raft_server::{Raft as RaftService, RaftServer};
use tokio::sync::mpsc;
use tokio::time::Instant;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Response, Status, Streaming};

use crate::consensus::Consensus;
use crate::errors::{ProposeError, Reason};
use crate::forward::put_answer;
use crate::holding::Holding;
use crate::ledger::Digest;
use crate::peers::{MESSAGE_BYTES, PIECE_BYTES};
use crate::read::Consistency;
use crate::serve_state::{give_bundles, take_snapshot};
use crate::submission::Answer;
use crate::wire::{self, WireError};

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
        self.consensus.peers().check(request.metadata()).map_err(|refused| {
            if refused.impostor {
                self.consensus.stop_for(refused.status.message());
            }
            refused.status
        })
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
    type InstallSnapshotStream = ReceiverStream<Result<pb::SnapshotProgress, Status>>;
    type GetBundlesStream = ReceiverStream<Result<pb::BundlePiece, Status>>;
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

    async fn install_snapshot(
        &self,
        request: Request<Streaming<pb::SnapshotChunk>>,
    ) -> Reply<Self::InstallSnapshotStream> {
        self.check(&request)?;
        let number = self.incoming.fetch_add(1, Ordering::Relaxed);
        let (progress, outgoing) = mpsc::channel(2);
        let chunks = request.into_inner();
        tokio::spawn(take_snapshot(self.consensus.clone(), number, chunks, progress));
        Ok(Response::new(ReceiverStream::new(outgoing)))
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

    async fn get_bundles(&self, request: Request<pb::GetBundlesRequest>) -> Reply<Self::GetBundlesStream> {
        self.check(&request)?;
        // One on its way while the next is read.
        let (pieces, outgoing) = mpsc::channel(1);
        tokio::spawn(give_bundles(self.consensus.clone(), request.into_inner(), pieces));
        Ok(Response::new(ReceiverStream::new(outgoing)))
    }

    async fn get_holding(&self, request: Request<pb::GetHoldingRequest>) -> Reply<pb::GetHoldingResponse> {
        self.check(&request)?;
        let Holding { bundles, missing } = self.consensus.holding();
        Ok(Response::new(pb::GetHoldingResponse { bundles, missing }))
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
