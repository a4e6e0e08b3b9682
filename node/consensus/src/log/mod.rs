//! The Raft log and the vote: one stream of checksummed records in segments that are made ahead.
//!
//! Votes, entries, truncations and purges are written in the order in which openraft asked for them, by one writer that syncs
//! once for all that has gathered. What is promised to openraft: an appended entry is readable when `append` returns and
//! durable when its callback runs; a vote is durable when its call returns; truncations and purges are durable no later than
//! what is asked for after them; the committed index is a hint and costs no sync. A failed write or sync is final: every
//! later call fails, because nobody knows what the disk holds.
//!
//! | file | idea |
//! |---|---|
//! | `segment` | the bytes |
//! | `index` | the state of the log, with its newest entries |
//! | `queue` | what waits to be written, and the lock |
//! | `writer` | batches and syncs |
//! | `files` | segments made ahead and used again |
//! | `recovery` | opening: what a crash can leave, and what is damage |

mod files;
mod index;
mod queue;
mod recovery;
mod segment;
#[cfg(test)]
mod tests;
mod writer;

use std::fmt::Debug;
use std::io;
use std::ops::{Bound, RangeBounds};
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;

use openraft::entry::RaftEntry;
use openraft::storage::{IOFlushed, RaftLogReader, RaftLogStorage};
use openraft::{LogState, OptionalSend};
use tokio::sync::{oneshot, watch};

use crate::blocking::Blocking;
use crate::disk::Disk;
use crate::log::files::{Folder, Helper, Segment, within};
use crate::log::index::Place;
use crate::log::queue::{Shared, State, Waiting};
use crate::log::segment::{Change, Head};
use crate::log::writer::Writer;
use crate::record::{Record, invalid};
use crate::types::{Entry, Group, LogId, Vote};

/// How the log is kept.
#[derive(Clone, Debug)]
pub struct LogSettings {
    /// Capacity of a segment, bytes. The first ones are smaller. At most 1 GiB.
    pub segment_bytes: u64,
    /// Entries kept in memory, bytes. Older ones are read from disk.
    pub cache_bytes: usize,
}

impl Default for LogSettings {
    fn default() -> Self {
        LogSettings {
            segment_bytes: 16 << 20,
            cache_bytes: 32 << 20,
        }
    }
}

/// The most that one read for replication returns, bytes of payload.
const READ_BYTES: usize = 1 << 20;
/// Largest `segment_bytes`: offsets have 32 bits, and one large entry may come on top.
const SEGMENT_MAX: u64 = 1 << 30;

/// The log of one node. Clones share it. Its writer ends with [`LogStore::close`] or when the last clone is dropped.
#[derive(Clone)]
pub(crate) struct LogStore {
    owner: Arc<Owner>,
}

struct Owner {
    shared: Arc<Shared>,
    blocking: Blocking,
    thread: Mutex<Option<JoinHandle<()>>>,
    ended: watch::Receiver<()>,
}

impl LogStore {
    /// Opens the log in a folder, or makes it where none was `begun` before. Replays it, so this blocks. With
    /// [`Blocking::Inline`] it needs a tokio runtime.
    ///
    /// What a crash left unfinished at the very end is removed; any other damage is an error of kind `InvalidData`.
    pub(crate) fn open(
        disk: &Arc<dyn Disk>,
        folder: &Path,
        settings: &LogSettings,
        begun: bool,
        blocking: Blocking,
    ) -> io::Result<Self> {
        let settings = LogSettings {
            segment_bytes: settings.segment_bytes.min(SEGMENT_MAX),
            ..settings.clone()
        };
        let folder = Arc::new(Folder::new(Arc::clone(disk), folder.to_owned()));
        let opened = recovery::open(disk, &folder, &settings, begun)?;
        let state = State::new(settings.clone(), &opened);
        let shared = Arc::new(Shared::new(state, Arc::clone(&folder), blocking));
        let helper = Helper::new(folder, blocking)?;
        let writer = Writer::new(Arc::clone(&shared), settings, helper, &opened);
        let (alive, ended) = watch::channel(());
        let thread = match blocking {
            Blocking::Inline => {
                tokio::spawn(async move {
                    writer.run_on_task().await;
                    drop(alive);
                });
                None
            }
            Blocking::Threads => {
                #[allow(clippy::disallowed_methods, reason = "the writer's own thread")]
                let thread = std::thread::Builder::new().name("raft-log".to_owned()).spawn(move || {
                    // Told when the writer is gone with all of its files, also after a panic.
                    let _alive = alive;
                    writer.run_on_thread();
                })?;
                Some(thread)
            }
        };
        Ok(LogStore {
            owner: Arc::new(Owner {
                shared,
                blocking,
                thread: Mutex::new(thread),
                ended,
            }),
        })
    }

    /// Bytes on disk, files kept for later use included.
    pub(crate) fn disk_bytes(&self) -> u64 {
        self.owner.shared.folder.bytes()
    }

    /// Index of the last entry that was removed behind a snapshot, and index of the last entry of all.
    pub(crate) fn reach(&self) -> io::Result<(Option<u64>, Option<u64>)> {
        let reach = |state: &mut State| (state.index.purged, state.index.last());
        let (purged, last) = self.owner.shared.look(reach)?;
        Ok((purged.map(|id| id.index), last.map(|id| id.index)))
    }

    /// Writes and syncs what is queued and ends the writer; later calls fail. Returns when no file of the log is in use any
    /// more, but for reads that have begun.
    pub(crate) async fn close(&self) {
        self.owner.shared.close();
        let mut ended = self.owner.ended.clone();
        // An error is the end of the sender, which is what is waited for.
        while ended.changed().await.is_ok() {}
    }

    /// Like [`LogStore::close`] for where nothing can be awaited: waits for a writer that is a thread.
    pub(crate) fn end(&self) {
        self.owner.end();
    }

    /// Reads entries that may be on disk only.
    async fn fetch(&self, found: Vec<Found>) -> io::Result<Vec<Entry>> {
        if found.iter().all(|found| matches!(found.content, Content::Here(_))) {
            return found.into_iter().map(Found::entry).collect();
        }
        let read = move || found.into_iter().map(Found::entry).collect();
        self.owner.blocking.run(read).await
    }
}

impl Owner {
    fn end(&self) {
        self.shared.close();
        let thread = self.thread.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(thread) = thread {
            // A panic there has been printed, and everybody who waited was told.
            let _ = thread.join();
        }
    }
}

impl Drop for Owner {
    fn drop(&mut self) {
        self.end();
    }
}

/// An entry of a read.
struct Found {
    id: LogId,
    content: Content,
}

enum Content {
    Here(Record),
    OnDisk(Arc<Segment>, Place, u32),
}

impl Found {
    fn of(state: &State, slot: &index::Slot) -> io::Result<Self> {
        let content = match &slot.record {
            Some(record) => Content::Here(record.clone()),
            None => {
                let segment = state.segments.get(&slot.place.segment);
                let segment = segment.ok_or_else(|| invalid(format!("entry {} is in no segment", slot.id.index)))?;
                Content::OnDisk(Arc::clone(segment), slot.place, slot.length)
            }
        };
        Ok(Found { id: slot.id, content })
    }

    fn entry(self) -> io::Result<Entry> {
        let record = match self.content {
            Content::Here(record) => record,
            Content::OnDisk(segment, place, length) => read(&segment, place, length, self.id)?,
        };
        Ok(Entry::new(self.id, record.payload()?))
    }
}

fn read(segment: &Segment, place: Place, length: u32, id: LogId) -> io::Result<Record> {
    let Segment { number, path, file, .. } = segment;
    let bytes = file
        .read_at(u64::from(place.offset), length as usize)
        .map_err(|error| within("cannot read", path, error))?;
    let head = Head::at(&bytes, *number, place.offset);
    match head.map(|head| head.change(&bytes)).transpose()?.flatten() {
        Some(Change::Entry(found, record)) if found == id => Ok(record),
        _ => Err(invalid(format!(
            "the Raft log is damaged: {} at offset {}: entry {} is not there any more; remove this node from the cluster and \
             add a new one with a new id",
            path.display(),
            place.offset,
            id.index
        ))),
    }
}

impl RaftLogReader<Group> for LogStore {
    async fn try_get_log_entries<RB>(&mut self, range: RB) -> io::Result<Vec<Entry>>
    where
        RB: RangeBounds<u64> + Clone + Debug + OptionalSend,
    {
        let (from, to) = half_open(&range);
        let found = self.owner.shared.look(|state| {
            let slots = state.index.range(from, to);
            slots.map(|slot| Found::of(state, slot)).collect::<io::Result<Vec<_>>>()
        });
        self.fetch(found??).await
    }

    async fn limited_get_log_entries(&mut self, start: u64, end: u64) -> io::Result<Vec<Entry>> {
        let found = self.owner.shared.look(|state| {
            let mut bytes = 0;
            let slots = state.index.range(start, end).enumerate();
            // At least one, however large: an empty answer would stall replication.
            let slots = slots.take_while(|(at, slot)| {
                bytes += slot.length as usize;
                *at == 0 || bytes <= READ_BYTES
            });
            slots
                .map(|(_, slot)| Found::of(state, slot))
                .collect::<io::Result<Vec<_>>>()
        });
        self.fetch(found??).await
    }

    async fn read_vote(&mut self) -> io::Result<Option<Vote>> {
        self.owner.shared.look(|state| state.index.vote)
    }
}

impl RaftLogStorage<Group> for LogStore {
    type LogReader = Self;

    async fn get_log_state(&mut self) -> io::Result<LogState<Group>> {
        self.owner.shared.look(|state| LogState {
            last_purged_log_id: state.index.purged,
            last_log_id: state.index.last(),
        })
    }

    async fn get_log_reader(&mut self) -> Self::LogReader {
        self.clone()
    }

    async fn save_vote(&mut self, vote: &Vote) -> io::Result<()> {
        let (done, durable) = oneshot::channel();
        self.owner.shared.change(|state| {
            portcullis_domain::mutant!(
                VoteForgotten,
                state.index.vote = Some(*vote),
                state.push(Change::Vote(*vote))?
            );
            state.wait(Waiting::Change(done));
            Ok(())
        })?;
        // Whoever waits is told, also when the writer fails.
        durable.await.unwrap_or_else(|_| Err(invalid("the log forgot a vote")))
    }

    async fn save_committed(&mut self, committed: Option<LogId>) -> io::Result<()> {
        self.owner.shared.look(|state| {
            // A hint for the next start. After a snapshot was installed it can lie outside of the log: then it is not needed.
            if committed > state.hint && committed <= state.index.last() {
                state.hint = committed;
            }
        })
    }

    async fn read_committed(&mut self) -> io::Result<Option<LogId>> {
        self.owner.shared.look(|state| state.hint)
    }

    async fn append<I>(&mut self, entries: I, callback: IOFlushed<Group>) -> io::Result<()>
    where
        I: IntoIterator<Item = Entry> + OptionalSend,
        I::IntoIter: OptionalSend,
    {
        self.owner.shared.change(|state| {
            for entry in entries {
                state.push(Change::Entry(entry.log_id(), Record::of(&entry.payload)))?;
            }
            state.wait(Waiting::Append(callback));
            Ok(())
        })
    }

    async fn truncate_after(&mut self, last: Option<LogId>) -> io::Result<()> {
        self.owner.shared.change(|state| {
            if state.index.last().map(|id| id.index) <= last.map(|id| id.index) {
                return Ok(());
            }
            state.push(Change::Truncate(last))
        })
    }

    async fn purge(&mut self, upto: LogId) -> io::Result<()> {
        self.owner.shared.change(|state| {
            if Some(upto.index) <= state.index.purged.map(|id| id.index) {
                return Ok(());
            }
            #[allow(clippy::redundant_locals, reason = "it is one only where nothing is planted")]
            let upto = portcullis_domain::mutant!(
                PurgesTooMuch,
                {
                    let more = state.index.range(upto.index + 1, upto.index + 2).next();
                    more.map_or(upto, |slot| slot.id)
                },
                upto
            );
            state.push(Change::Purge(upto))?;
            state.release();
            Ok(())
        })
    }
}

fn half_open(range: &impl RangeBounds<u64>) -> (u64, u64) {
    let from = match range.start_bound() {
        Bound::Included(index) => *index,
        Bound::Excluded(index) => index + 1,
        Bound::Unbounded => 0,
    };
    let to = match range.end_bound() {
        Bound::Included(index) => index.saturating_add(1),
        Bound::Excluded(index) => *index,
        Bound::Unbounded => u64::MAX,
    };
    (from, to.max(from))
}
