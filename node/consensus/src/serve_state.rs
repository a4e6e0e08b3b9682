//! The state of a node as other nodes move it: a snapshot that comes in, bundles that go out.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use openraft::Snapshot;
use portcullis_proto::internal::v1 as pb;
use tokio::sync::mpsc;
use tokio::time::{interval, timeout};
use tonic::{Status, Streaming};

use crate::consensus::Consensus;
use crate::disk::Disk;
use crate::snapshots::SnapshotFile;
use crate::types::Vote;
use crate::wire;

/// The longest silence within a snapshot that is being received, and of a node that takes bundles.
const SILENCE: Duration = Duration::from_secs(15);
/// How often the receiver of a snapshot says how far it is.
const PROGRESS: Duration = Duration::from_secs(1);
/// The largest snapshot that is accepted, bytes.
const SNAPSHOT_BYTES: u64 = 8 << 30;
/// The largest piece of a bundle, bytes: most bundles are one piece.
const PIECE_BYTES: usize = 4 << 20;

/// Answers that go out as a stream.
pub(crate) type Outgoing<T> = mpsc::Sender<Result<T, Status>>;

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

/// Receives and installs a snapshot. The sender may take as long as it likes, as long as something comes.
pub(crate) async fn take_snapshot(
    consensus: Consensus,
    unique: u64,
    chunks: Streaming<pb::SnapshotChunk>,
    progress: Outgoing<pb::SnapshotProgress>,
) {
    use pb::snapshot_progress::Progress;
    let snapshots = &consensus.replica().snapshots;
    let received = Arc::new(AtomicU64::new(0));
    let work = receive(&consensus, snapshots.incoming(unique), chunks, Arc::clone(&received));
    tokio::pin!(work);
    let mut tick = interval(PROGRESS);
    let result = loop {
        tokio::select! {
            result = &mut work => break result,
            _ = tick.tick() => {
                let progress_now = Progress::Received(received.load(Ordering::Relaxed));
                // A sender that does not read yet gets the next one.
                let _ = progress.try_send(Ok(pb::SnapshotProgress { progress: Some(progress_now) }));
            }
            () = progress.closed() => return,
            () = consensus.stopped().cancelled() => return,
        }
    };
    let answer = result.map(|vote| pb::SnapshotProgress {
        progress: Some(Progress::Installed(wire::put_vote(&vote))),
    });
    // Nobody is there to hear it when this fails.
    let _ = timeout(SILENCE, progress.send(answer)).await;
}

async fn receive(
    consensus: &Consensus,
    path: PathBuf,
    mut chunks: Streaming<pb::SnapshotChunk>,
    received: Arc<AtomicU64>,
) -> Result<Vote, Status> {
    use pb::snapshot_chunk::Part;
    let replica = consensus.replica();
    let disk = Arc::clone(replica.snapshots.disk());
    let mut incoming = Incoming {
        disk: Arc::clone(&disk),
        path: path.clone(),
        unused: true,
    };
    let write = |error: std::io::Error| {
        Status::internal(format!(
            "the snapshot cannot be written: {error}; check the disk of the receiver and its free space"
        ))
    };
    let garbled = |why: &str| Status::invalid_argument(format!("SnapshotChunk: {why}"));

    let Some(Part::Start(start)) = next(&mut chunks).await? else {
        return Err(garbled("the first part is not `start`"));
    };
    let vote = wire::get_vote("SnapshotChunk.start", start.vote.as_ref())
        .map_err(|error| Status::invalid_argument(error.to_string()))?;
    if start.length > SNAPSHOT_BYTES {
        return Err(Status::out_of_range(format!(
            "a snapshot of {} bytes; the limit is {SNAPSHOT_BYTES}",
            start.length
        )));
    }
    let mut file = {
        let path = path.clone();
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
        received.store(length, Ordering::Relaxed);
    }
    if length != start.length {
        return Err(Status::aborted(format!(
            "the snapshot broke off after {length} of {} bytes",
            start.length
        )));
    }
    let content = {
        let (replica, path) = (Arc::clone(replica), path.clone());
        consensus
            .replica()
            .blocking
            .run(move || {
                file.sync()?;
                drop(file);
                replica.snapshots.read(&path).map_err(std::io::Error::other)
            })
            .await
            .map_err(|error| Status::data_loss(format!("the received snapshot: {error}")))?
    };
    let snapshot = Snapshot {
        meta: content.meta(),
        snapshot: SnapshotFile {
            path,
            content: Some(Arc::new(content)),
        },
    };
    // From here on Raft reads it, also when the caller hangs up.
    incoming.unused = false;
    let installed = consensus.raft().install_full_snapshot(vote, snapshot).await;
    // Not installed, or installed under its name: either way this name is not needed.
    incoming.unused = true;
    let installed = installed.map_err(|fatal| Status::unavailable(format!("consensus has stopped: {fatal}")))?;
    Ok(installed.vote)
}

async fn next(chunks: &mut Streaming<pb::SnapshotChunk>) -> Result<Option<pb::snapshot_chunk::Part>, Status> {
    match timeout(SILENCE, chunks.message()).await {
        Ok(chunk) => Ok(chunk?.and_then(|chunk| chunk.part)),
        Err(_) => Err(Status::deadline_exceeded("no part of the snapshot for 15 s")),
    }
}

/// Sends the files of bundles in a row, until one is not here or the caller does not take them any more.
pub(crate) async fn give_bundles(
    consensus: Consensus,
    request: pb::GetBundlesRequest,
    pieces: Outgoing<pb::BundlePiece>,
) {
    let pb::GetBundlesRequest { first, count } = request;
    for bundle in (first..).take(count as usize) {
        let replica = Arc::clone(consensus.replica());
        let file = replica.blocking;
        let file = file.run(move || replica.tlog.bundles.file(bundle)).await;
        let last = match file {
            Ok(Some(mut file)) => {
                let length = file.len() as u64;
                while !file.is_empty() {
                    let data = file.split_to(file.len().min(PIECE_BYTES));
                    let piece = pb::BundlePiece { bundle, length, data };
                    let sent = tokio::select! {
                        sent = timeout(SILENCE, pieces.send(Ok(piece))) => sent,
                        () = consensus.stopped().cancelled() => return,
                    };
                    if !matches!(sent, Ok(Ok(()))) {
                        return;
                    }
                }
                continue;
            }
            Ok(None) if bundle > first => return,
            Ok(None) => Status::not_found(format!("bundle {bundle} is not here yet")),
            Err(error) => {
                tracing::error!(%error, "another node asked for a bundle that cannot be read");
                Status::data_loss(error.to_string())
            }
        };
        let _ = timeout(SILENCE, pieces.send(Err(last))).await;
        return;
    }
}
