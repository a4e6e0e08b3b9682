//! What openraft sends to the other nodes, over gRPC.
//!
//! Entries go over a stream that stays open, one answer for each request. Everything has a deadline: a reply that is lost
//! must not hold up replication for ever.

use std::future::Future;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures::{Stream, StreamExt, stream};
use openraft::base::{BoxFuture, BoxStream};
use openraft::errors::{NetworkError, RPCError, ReplicationClosed, StreamingError, Timeout, Unreachable};
use openraft::network::{
    Backoff, NetBackoff, NetSnapshot, NetStreamAppend, NetTransferLeader, NetVote, RPCOption, RaftNetworkFactory,
};
use openraft::raft::{
    AppendEntriesRequest, SnapshotResponse, StreamAppendResult, TransferLeaderRequest, TransferLeaderResponse,
    VoteRequest, VoteResponse,
};
use openraft::{OptionalSend, RPCTypes};
use portcullis_proto::internal::v1 as pb;
use portcullis_proto::internal::v1::raft_client::RaftClient;
use portcullis_proto::internal::v1::snapshot_progress::Progress;
use tokio::sync::mpsc;
use tokio::time::{Instant, timeout, timeout_at};
use tokio_stream::wrappers::ReceiverStream;
use tonic::transport::Channel;
use tonic::{Code, Status};

use crate::blocking::Blocking;
use crate::disk::Disk;
use crate::machine::SnapshotOfGroup;
use crate::peers::{Class, PIECE_BYTES, Peers};
use crate::snapshots::SnapshotFile;
use crate::types::{Group, Member, Vote};
use crate::wire::{self, WireError};

/// How long word of a commit waits for entries to go with.
const COMPANY: Duration = Duration::from_millis(1);

/// Makes the connections that openraft asks for.
#[derive(Debug, Clone)]
pub(crate) struct Network {
    pub(crate) peers: Peers,
    pub(crate) disk: Arc<dyn Disk>,
    pub(crate) blocking: Blocking,
    /// How long an append may take at least. openraft's own limit is the heartbeat interval, which a slow fsync exceeds.
    pub(crate) patience: Duration,
}

impl RaftNetworkFactory<Group> for Network {
    type Network = Peer;

    async fn new_client(&mut self, target: u64, node: &Member) -> Peer {
        self.peer(target, node, Class::Data)
    }

    async fn new_heartbeat_client(&mut self, target: u64, node: &Member) -> Peer {
        self.peer(target, node, Class::Control)
    }

    async fn new_snapshot_client(&mut self, target: u64, node: &Member) -> Peer {
        self.peer(target, node, Class::Bulk)
    }
}

impl Network {
    fn peer(&self, target: u64, node: &Member, appends: Class) -> Peer {
        Peer {
            network: self.clone(),
            target,
            address: node.address.clone(),
            appends,
        }
    }
}

/// One other node.
#[derive(Debug, Clone)]
pub(crate) struct Peer {
    network: Network,
    target: u64,
    /// Where it was when openraft asked for it, for a node that is no member yet.
    address: String,
    appends: Class,
}

impl Peer {
    /// Asked for each call: a member may move, and openraft keeps its clients.
    fn client(&self, class: Class) -> RaftClient<Channel> {
        let peers = &self.network.peers;
        let address = peers.address_of(self.target);
        peers.client(address.as_ref().unwrap_or(&self.address), class)
    }

    fn request<T>(&self, message: T) -> tonic::Request<T> {
        self.network.peers.request(self.target, message)
    }

    fn late(&self, action: RPCTypes, limit: Duration) -> RPCError<Group> {
        RPCError::Timeout(Timeout {
            action,
            id: self.network.peers.node(),
            target: self.target,
            timeout: limit,
        })
    }

    /// Runs a call on the control connection with a deadline.
    async fn control<T>(
        &self,
        action: RPCTypes,
        option: &RPCOption,
        call: impl Future<Output = Result<tonic::Response<T>, Status>>,
    ) -> Result<T, RPCError<Group>> {
        let limit = option.soft_ttl();
        match timeout(limit, call).await {
            Ok(Ok(response)) => Ok(response.into_inner()),
            Ok(Err(status)) => Err(failed(&status)),
            Err(_) => Err(self.late(action, limit)),
        }
    }
}

/// An error that says how bad it is: openraft waits before it tries an unreachable node again.
fn failed(status: &Status) -> RPCError<Group> {
    match status.code() {
        // The call was refused as not for that node: trying again at once would not help.
        Code::Unavailable | Code::FailedPrecondition | Code::Unimplemented => RPCError::Unreachable(
            Unreachable::from_string(format!("{:?}: {}", status.code(), status.message())),
        ),
        _ => RPCError::Network(NetworkError::from_string(format!(
            "{:?}: {}",
            status.code(),
            status.message()
        ))),
    }
}

fn garbled(error: &WireError) -> RPCError<Group> {
    RPCError::Network(NetworkError::from_string(error))
}

impl NetBackoff<Group> for Peer {
    fn backoff(&self) -> Option<Backoff> {
        None
    }
}

type Appended = Result<StreamAppendResult<Group>, RPCError<Group>>;

impl NetStreamAppend<Group> for Peer {
    fn stream_append<'s, S>(
        &'s mut self,
        mut input: S,
        option: RPCOption,
    ) -> BoxFuture<'s, Result<BoxStream<'s, Appended>, RPCError<Group>>>
    where
        S: Stream<Item = AppendEntriesRequest<Group>> + OptionalSend + Unpin + 'static,
    {
        let peer = self.clone();
        let limit = option.soft_ttl().max(self.network.patience);
        Box::pin(async move {
            // openraft sleeps its backoff inside this stream. Dialling before the first request is there would never reach
            // that sleep, and a leader with one dead peer would spin.
            let Some(first) = input.next().await else {
                let nothing: BoxStream<'s, Appended> = Box::pin(stream::empty());
                return Ok(nothing);
            };
            let watch = Arc::new(Outstanding::default());
            let sent = Arc::clone(&watch);
            let requests = held(stream::iter(Some(first)).chain(input)).map(move |request| {
                sent.sent();
                wire::put_append(&request)
            });
            let mut client = peer.client(peer.appends);
            let responses = match timeout(limit, client.append(peer.request(requests))).await {
                Ok(Ok(response)) => response.into_inner(),
                Ok(Err(status)) => return Err(failed(&status)),
                Err(_) => return Err(peer.late(RPCTypes::AppendEntries, limit)),
            };
            let results = stream::unfold(Some((responses, watch, peer)), move |open| async move {
                let (mut responses, watch, peer) = open?;
                match watch.next(&mut responses, limit).await {
                    Some(Ok(response)) => match wire::get_appended(&response) {
                        Ok(Ok(matched)) => Some((Ok(Ok(matched)), Some((responses, watch, peer)))),
                        Ok(Err(refused)) => Some((Ok(Err(refused)), None)),
                        Err(error) => Some((Err(garbled(&error)), None)),
                    },
                    Some(Err(Some(status))) => Some((Err(failed(&status)), None)),
                    Some(Err(None)) => Some((Err(peer.late(RPCTypes::AppendEntries, limit)), None)),
                    None => None,
                }
            });
            let results: BoxStream<'s, Appended> = Box::pin(results);
            Ok(results)
        })
    }
}

/// Lets a request that only says what is committed wait a moment for entries, which say it as well: under load there soon are
/// some, and each message wakes both sides once. Followers apply so much later at most. openraft takes an answer to a later
/// request for an answer to all before it.
fn held<S>(input: S) -> impl Stream<Item = AppendEntriesRequest<Group>>
where
    S: Stream<Item = AppendEntriesRequest<Group>> + Unpin,
{
    enum Ahead {
        Nothing,
        Request(AppendEntriesRequest<Group>),
        End,
    }
    stream::unfold((input, Ahead::Nothing), |(mut input, ahead)| async move {
        let mut request = match ahead {
            Ahead::Request(request) => return Some((request, (input, Ahead::Nothing))),
            Ahead::End => return None,
            Ahead::Nothing => input.next().await?,
        };
        let until = Instant::now() + COMPANY;
        while request.entries.is_empty() {
            match timeout_at(until, input.next()).await {
                Ok(Some(next)) if says_it_too(&next, &request) => request = next,
                Ok(Some(next)) => return Some((request, (input, Ahead::Request(next)))),
                Ok(None) => return Some((request, (input, Ahead::End))),
                Err(_) => break,
            }
        }
        Some((request, (input, Ahead::Nothing)))
    })
}

/// Does a request say all that an empty one before it says?
fn says_it_too(next: &AppendEntriesRequest<Group>, empty: &AppendEntriesRequest<Group>) -> bool {
    next.vote == empty.vote && next.prev_log_id >= empty.prev_log_id && next.leader_commit >= empty.leader_commit
}

/// Requests without an answer, and since when the oldest of them waits. A stream without requests may be silent for ever.
#[derive(Debug, Default)]
struct Outstanding {
    state: Mutex<(u64, Option<Instant>)>,
}

impl Outstanding {
    fn sent(&self) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.0 += 1;
        state.1.get_or_insert_with(Instant::now);
    }

    fn answered(&self) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.0 = state.0.saturating_sub(1);
        state.1 = (state.0 > 0).then(Instant::now);
    }

    fn waiting_since(&self) -> Option<Instant> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner).1
    }

    /// The next answer; `Err(None)` when it is later than `limit`.
    async fn next(
        &self,
        responses: &mut tonic::Streaming<pb::AppendResponse>,
        limit: Duration,
    ) -> Option<Result<pb::AppendResponse, Option<Status>>> {
        loop {
            let until = self.waiting_since().unwrap_or_else(Instant::now) + limit;
            match timeout_at(until, responses.next()).await {
                Ok(None) => return None,
                Ok(Some(Ok(response))) => {
                    self.answered();
                    return Some(Ok(response));
                }
                Ok(Some(Err(status))) => return Some(Err(Some(status))),
                Err(_) => match self.waiting_since() {
                    Some(since) if since.elapsed() >= limit => return Some(Err(None)),
                    _ => {}
                },
            }
        }
    }
}

impl NetVote<Group> for Peer {
    async fn vote(
        &mut self,
        rpc: VoteRequest<Group>,
        option: RPCOption,
    ) -> Result<VoteResponse<Group>, RPCError<Group>> {
        let mut client = self.client(Class::Control);
        let call = client.vote(self.request(wire::put_vote_request(&rpc)));
        let response = self.control(RPCTypes::Vote, &option, call).await?;
        wire::get_vote_response(&response).map_err(|error| garbled(&error))
    }

    async fn pre_vote(
        &mut self,
        rpc: VoteRequest<Group>,
        option: RPCOption,
    ) -> Result<VoteResponse<Group>, RPCError<Group>> {
        let mut client = self.client(Class::Control);
        let call = client.pre_vote(self.request(wire::put_vote_request(&rpc)));
        let response = self.control(RPCTypes::Vote, &option, call).await?;
        wire::get_vote_response(&response).map_err(|error| garbled(&error))
    }
}

impl NetTransferLeader<Group> for Peer {
    async fn transfer_leader(
        &mut self,
        request: TransferLeaderRequest<Group>,
        option: RPCOption,
    ) -> Result<TransferLeaderResponse<Group>, RPCError<Group>> {
        let mut client = self.client(Class::Control);
        let call = client.transfer_leader(self.request(wire::put_transfer(&request)));
        let response = self.control(RPCTypes::TransferLeader, &option, call).await?;
        wire::get_transferred(&response).map_err(|error| garbled(&error))
    }
}

impl NetSnapshot<Group> for Peer {
    type SnapshotData = SnapshotFile;

    async fn full_snapshot(
        &mut self,
        vote: Vote,
        snapshot: SnapshotOfGroup,
        cancel: impl Future<Output = ReplicationClosed> + OptionalSend + 'static,
        option: RPCOption,
    ) -> Result<SnapshotResponse<Group>, StreamingError<Group>> {
        let path = snapshot.snapshot.path;
        let disk = Arc::clone(&self.network.disk);
        let blocking = self.network.blocking;
        let length = {
            let path = path.clone();
            blocking.run(move || disk.len(&path)).await
        };
        let length = length.map_err(|error| unreadable(&error))?;

        let call = self.send_snapshot(&vote, path, length, option.soft_ttl());
        tokio::select! {
            sent = call => sent.map(SnapshotResponse::new).map_err(Into::into),
            closed = cancel => Err(closed.into()),
        }
    }
}

impl Peer {
    /// Sends a snapshot file and waits until it is installed. That may take as long as it needs; only silence of the
    /// receiver may not last longer than `limit`. Boxed: openraft's trait cannot hold the type of the stream.
    fn send_snapshot(
        &self,
        vote: &Vote,
        path: PathBuf,
        length: u64,
        limit: Duration,
    ) -> BoxFuture<'static, Result<Vote, RPCError<Group>>> {
        let disk = Arc::clone(&self.network.disk);
        let blocking = self.network.blocking;
        let start = pb::SnapshotChunk {
            part: Some(pb::snapshot_chunk::Part::Start(pb::snapshot_chunk::SnapshotStart {
                vote: Some(wire::put_vote(vote)),
                length,
            })),
        };
        let (pieces, outgoing) = mpsc::channel(4);
        // Ends when the call does, because nobody takes the pieces any more.
        tokio::spawn(async move {
            let mut part = Some(start);
            let mut offset = 0;
            while let Some(chunk) = part.take() {
                if pieces.send(chunk).await.is_err() || offset >= length {
                    break;
                }
                let (disk, path) = (Arc::clone(&disk), path.clone());
                let data = blocking.run(move || disk.read_at(&path, offset, PIECE_BYTES)).await;
                // An early end is noticed by the receiver: the length is not what was announced.
                match data {
                    Ok(data) if data.is_empty() => break,
                    Ok(data) => {
                        offset += data.len() as u64;
                        part = Some(piece(data));
                    }
                    Err(error) => {
                        tracing::warn!(%error, "a snapshot cannot be read while it is being sent");
                    }
                }
            }
        });
        let mut client = self.client(Class::Bulk);
        let request = self.request(ReceiverStream::new(outgoing));
        let peer = self.clone();
        Box::pin(async move {
            let late = || peer.late(RPCTypes::InstallSnapshot, limit);
            let call = timeout(limit, client.install_snapshot(request)).await;
            let mut progress = call
                .map_err(|_| late())?
                .map_err(|status| failed(&status))?
                .into_inner();
            loop {
                let message = timeout(limit, progress.message()).await.map_err(|_| late())?;
                match message
                    .map_err(|status| failed(&status))?
                    .map(|message| message.progress)
                {
                    Some(Some(Progress::Installed(vote))) => {
                        return wire::get_vote("SnapshotProgress", Some(&vote)).map_err(|error| garbled(&error));
                    }
                    Some(_) => {}
                    None => return Err(failed(&Status::aborted("the receiver of a snapshot hung up"))),
                }
            }
        })
    }
}

fn piece(data: Vec<u8>) -> pb::SnapshotChunk {
    let piece = pb::snapshot_chunk::Piece {
        crc: crc32fast::hash(&data),
        data: data.into(),
    };
    pb::SnapshotChunk {
        part: Some(pb::snapshot_chunk::Part::Piece(piece)),
    }
}

fn unreadable(error: &std::io::Error) -> RPCError<Group> {
    // Pruned by a newer snapshot in the meantime: openraft asks for the current one and tries again.
    RPCError::Unreachable(Unreachable::from_string(format!(
        "the snapshot to send cannot be read: {error}"
    )))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::{Entry, log_id};
    use openraft::EntryPayload;
    use openraft::entry::RaftEntry as _;

    /// A request after entry `prev` with so many entries, when everything up to `commit` is committed.
    fn request(prev: u64, entries: u64, commit: u64) -> AppendEntriesRequest<Group> {
        AppendEntriesRequest {
            vote: Vote::new_committed(1, 1),
            prev_log_id: Some(log_id(1, 1, prev)),
            entries: (1..=entries)
                .map(|after| Entry::new(log_id(1, 1, prev + after), EntryPayload::Blank))
                .collect(),
            leader_commit: Some(log_id(1, 1, commit)),
        }
    }

    async fn sent(requests: Vec<AppendEntriesRequest<Group>>) -> Vec<(u64, usize, u64)> {
        let index = |id: Option<crate::types::LogId>| id.map_or(0, |id| id.index);
        held(stream::iter(requests))
            .map(|request| {
                (
                    index(request.prev_log_id),
                    request.entries.len(),
                    index(request.leader_commit),
                )
            })
            .collect()
            .await
    }

    #[tokio::test]
    async fn word_of_a_commit_goes_with_the_entries_that_follow_it() {
        let requests = vec![request(5, 1, 5), request(6, 0, 6), request(6, 0, 6), request(6, 2, 6)];
        assert_eq!(sent(requests).await, [(5, 1, 5), (6, 2, 6)]);
    }

    #[tokio::test]
    async fn nothing_is_left_out_that_the_next_request_does_not_say() {
        // The second begins further back, as after a conflict.
        let requests = vec![request(6, 0, 6), request(3, 1, 6), request(4, 0, 4)];
        assert_eq!(sent(requests).await, [(6, 0, 6), (3, 1, 6), (4, 0, 4)]);
    }

    #[tokio::test(start_paused = true)]
    async fn word_of_a_commit_does_not_wait_for_ever() {
        let mut requests = Box::pin(held(stream::iter([request(6, 0, 6)]).chain(stream::pending())));
        let begun = Instant::now();
        assert!(requests.next().await.is_some_and(|request| request.entries.is_empty()));
        assert_eq!(begun.elapsed(), COMPANY);
    }
}
