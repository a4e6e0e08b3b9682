//! The Raft log and the vote, on the crate `raft-log`.
//!
//! One stream of checksummed records holds votes, entries, truncations and purges in the order in which openraft asked for
//! them; a thread of the log writes it and syncs once for all that has gathered. What is promised to openraft:
//! an appended entry is readable when `append` returns and durable when its callback runs; a vote and a truncation are
//! durable when their calls return; the committed index is a hint and costs no sync. A failed write or sync is final: every later call
//! fails, because nobody knows what the disk holds.

use std::fmt::Debug;
use std::io;
use std::ops::{Bound, RangeBounds};
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock};
use std::time::Duration;

use openraft::entry::RaftEntry;
use openraft::storage::{IOFlushed, RaftLogReader, RaftLogStorage};
use openraft::{LogState, OptionalSend};
use raft_log::api::raft_log_writer::RaftLogWriter;
use raft_log::codeq::{self, Decode, Encode};
use tokio::sync::oneshot;

use crate::record::{Record, invalid};
use crate::types::{Entry, Group, LeaderOf, LogId, Vote, log_id};

/// How the log is kept.
#[derive(Clone, Debug)]
pub struct LogSettings {
    /// How long the writer gathers more appends before it syncs. Zero would switch gathering off altogether; the library's
    /// default of 1 ms doubles the latency of a lone write.
    pub gather: Duration,
    /// Size at which a file of the log is closed and a new one begun, bytes. Entries of the open file stay in memory.
    pub chunk_bytes: usize,
    /// Entries kept in memory, bytes. Older ones are read from disk.
    pub cache_bytes: usize,
}

impl Default for LogSettings {
    fn default() -> Self {
        LogSettings {
            gather: Duration::from_micros(20),
            chunk_bytes: 32 << 20,
            cache_bytes: 32 << 20,
        }
    }
}

/// The most that one read for replication returns, bytes of payload.
const READ_BYTES: usize = 1 << 20;

/// The log of one node. Clones share it.
#[derive(Clone)]
pub(crate) struct LogStore {
    log: Arc<Mutex<raft_log::RaftLog<Records>>>,
    failed: Arc<OnceLock<String>>,
}

impl LogStore {
    /// Opens or creates the log in a folder. Replays it, so this blocks.
    ///
    /// A record that was cut off at the very end is removed; any other damage is an error.
    pub(crate) fn open(folder: &Path, settings: &LogSettings) -> io::Result<Self> {
        let folder = folder.to_str().ok_or_else(|| {
            let message = format!("the path {} is not UTF-8", folder.display());
            io::Error::new(io::ErrorKind::InvalidFilename, message)
        })?;
        let mut config = raft_log::Config::new(folder);
        config.wal.flush_batch_wait = Some(settings.gather.max(Duration::from_nanos(1)));
        config.wal.chunk_max_size = Some(settings.chunk_bytes);
        config.wal.truncate_incomplete_record = Some(true);
        // The reader's buffer is allocated whole; a record is far smaller than the default of 64 MiB.
        config.wal.read_buffer_size = Some(4 << 20);
        config.log_cache_capacity = Some(settings.cache_bytes);
        let log = raft_log::RaftLog::open(Arc::new(config))?;
        Ok(LogStore {
            log: Arc::new(Mutex::new(log)),
            failed: Arc::new(OnceLock::new()),
        })
    }

    /// Bytes on disk.
    pub(crate) fn disk_bytes(&self) -> u64 {
        self.log.lock().map_or(0, |log| log.on_disk_size())
    }

    /// Index of the last entry that was removed behind a snapshot.
    pub(crate) fn purged(&self) -> io::Result<Option<u64>> {
        Ok(self.lock()?.log_state().purged().map(|id| id.0.index))
    }

    fn lock(&self) -> io::Result<MutexGuard<'_, raft_log::RaftLog<Records>>> {
        if let Some(reason) = self.failed.get() {
            return Err(failed(reason));
        }
        self.log
            .lock()
            .map_err(|_| failed("a thread died while it held the log"))
    }

    /// Remembers the first failure of a write.
    fn check<T>(&self, result: io::Result<T>) -> io::Result<T> {
        if let Err(error) = &result {
            let _ = self.failed.set(error.to_string());
        }
        result
    }
}

fn failed(reason: &str) -> io::Error {
    io::Error::other(format!("the Raft log is closed after a failed write: {reason}"))
}

impl RaftLogReader<Group> for LogStore {
    async fn try_get_log_entries<RB>(&mut self, range: RB) -> io::Result<Vec<Entry>>
    where
        RB: RangeBounds<u64> + Clone + Debug + OptionalSend,
    {
        let (from, to) = half_open(&range);
        let log = self.lock()?;
        log.read(from, to)
            .map(|item| item.and_then(|(id, record)| entry(&id, &record)))
            .collect()
    }

    async fn limited_get_log_entries(&mut self, start: u64, end: u64) -> io::Result<Vec<Entry>> {
        let log = self.lock()?;
        let mut bytes = 0;
        let mut entries = Vec::new();
        for item in log.read(start, end) {
            let (id, record) = item?;
            bytes += record.0.len();
            // At least one, however large: an empty answer would stall replication.
            if !entries.is_empty() && bytes > READ_BYTES {
                break;
            }
            entries.push(entry(&id, &record)?);
        }
        Ok(entries)
    }

    async fn read_vote(&mut self) -> io::Result<Option<Vote>> {
        Ok(self.lock()?.log_state().vote().map(|vote| vote.0))
    }
}

impl RaftLogStorage<Group> for LogStore {
    type LogReader = Self;

    async fn get_log_state(&mut self) -> io::Result<LogState<Group>> {
        let log = self.lock()?;
        let state = log.log_state();
        Ok(LogState {
            last_purged_log_id: state.purged().map(|id| id.0),
            last_log_id: state.last().map(|id| id.0),
        })
    }

    async fn get_log_reader(&mut self) -> Self::LogReader {
        self.clone()
    }

    async fn save_vote(&mut self, vote: &Vote) -> io::Result<()> {
        let (done, durable) = oneshot::channel();
        {
            let mut log = self.lock()?;
            let written = log
                .save_vote(StoredVote(*vote))
                .and_then(|_| log.flush(true, Some(Durable::Change(done))));
            self.check(written)?;
        }
        let result = durable
            .await
            .unwrap_or_else(|_| Err(failed("its writer stopped before the vote was durable")));
        self.check(result)
    }

    async fn save_committed(&mut self, committed: Option<LogId>) -> io::Result<()> {
        let Some(committed) = committed else {
            return Ok(());
        };
        let mut log = self.lock()?;
        // A hint for the next start. After a snapshot was installed it can lie outside of the log: then it is not needed.
        let state = log.log_state();
        let known = state.committed().map(|id| id.0);
        let last = state.last().map(|id| id.0);
        if Some(committed) <= known || Some(committed) > last {
            return Ok(());
        }
        let written = log.commit(StoredLogId(committed)).and_then(|_| log.flush(false, None));
        self.check(written)
    }

    async fn read_committed(&mut self) -> io::Result<Option<LogId>> {
        Ok(self.lock()?.log_state().committed().map(|id| id.0))
    }

    async fn append<I>(&mut self, entries: I, callback: IOFlushed<Group>) -> io::Result<()>
    where
        I: IntoIterator<Item = Entry> + OptionalSend,
        I::IntoIter: OptionalSend,
    {
        let records = entries
            .into_iter()
            .map(|entry| (StoredLogId(entry.log_id()), StoredRecord(Record::of(&entry.payload))));
        let mut log = self.lock()?;
        let written = log
            .append(records)
            .and_then(|_| log.flush(true, Some(Durable::Append(callback, Arc::clone(&self.failed)))));
        self.check(written)
    }

    async fn truncate_after(&mut self, last: Option<LogId>) -> io::Result<()> {
        let (done, durable) = oneshot::channel();
        {
            let mut log = self.lock()?;
            let next = last.map_or(0, |id| id.index + 1);
            if log.log_state().last().is_none_or(|id| id.0.index < next) {
                return Ok(());
            }
            let written = log
                .truncate(next)
                .and_then(|_| log.flush(true, Some(Durable::Change(done))));
            self.check(written)?;
        }
        let result = durable
            .await
            .unwrap_or_else(|_| Err(failed("its writer stopped before the truncation was durable")));
        self.check(result)
    }

    async fn purge(&mut self, upto: LogId) -> io::Result<()> {
        let mut log = self.lock()?;
        // Files are removed only behind a sync of the purge record.
        let written = log.purge(StoredLogId(upto)).and_then(|_| log.flush(true, None));
        self.check(written)
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

fn entry(id: &StoredLogId, record: &StoredRecord) -> io::Result<Entry> {
    Ok(Entry::new(id.0, record.0.payload()?))
}

/// The types that the log is instantiated with.
#[derive(Debug, Default, PartialEq, Eq, Clone)]
struct Records;

impl raft_log::Types for Records {
    type LogId = StoredLogId;
    type LogPayload = StoredRecord;
    type Vote = StoredVote;
    type Callback = Durable;
    type UserData = Nothing;

    fn log_index(id: &StoredLogId) -> u64 {
        id.0.index
    }

    fn payload_size(record: &StoredRecord) -> u64 {
        record.0.len() as u64
    }
}

/// Who waits for a sync.
enum Durable {
    Append(IOFlushed<Group>, Arc<OnceLock<String>>),
    Change(oneshot::Sender<io::Result<()>>),
}

impl raft_log::Callback for Durable {
    fn send(self, result: io::Result<()>) {
        match self {
            Durable::Append(callback, failed) => {
                if let Err(error) = &result {
                    let _ = failed.set(error.to_string());
                }
                callback.io_completed(result);
            }
            Durable::Change(waiting) => {
                // Nobody waits any more when the node is stopping.
                let _ = waiting.send(result);
            }
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct StoredLogId(LogId);

impl Encode for StoredLogId {
    fn encode<W: io::Write>(&self, mut out: W) -> io::Result<usize> {
        let mut n = self.0.leader_id.term.encode(&mut out)?;
        n += self.0.leader_id.node_id.encode(&mut out)?;
        n += self.0.index.encode(&mut out)?;
        Ok(n)
    }
}

impl Decode for StoredLogId {
    fn decode<R: io::Read>(mut input: R) -> io::Result<Self> {
        let term = u64::decode(&mut input)?;
        let node = u64::decode(&mut input)?;
        let index = u64::decode(&mut input)?;
        Ok(StoredLogId(log_id(term, node, index)))
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd)]
struct StoredVote(Vote);

impl Encode for StoredVote {
    fn encode<W: io::Write>(&self, mut out: W) -> io::Result<usize> {
        let mut n = self.0.leader_id.term.encode(&mut out)?;
        n += self.0.leader_id.node_id.encode(&mut out)?;
        n += u8::from(self.0.committed).encode(&mut out)?;
        Ok(n)
    }
}

impl Decode for StoredVote {
    fn decode<R: io::Read>(mut input: R) -> io::Result<Self> {
        let term = u64::decode(&mut input)?;
        let node_id = u64::decode(&mut input)?;
        let committed = match u8::decode(&mut input)? {
            0 => false,
            1 => true,
            other => return Err(invalid(format!("vote has committed byte {other}"))),
        };
        Ok(StoredVote(Vote {
            leader_id: LeaderOf { term, node_id },
            committed,
        }))
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct StoredRecord(Record);

impl Encode for StoredRecord {
    fn encode<W: io::Write>(&self, mut out: W) -> io::Result<usize> {
        self.0.encode(&mut out)
    }
}

impl Decode for StoredRecord {
    fn decode<R: io::Read>(mut input: R) -> io::Result<Self> {
        Record::decode(&mut input).map(StoredRecord)
    }
}

/// The log's slot for data of its user, which we leave empty.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Nothing;

impl codeq::Encode for Nothing {
    fn encode<W: io::Write>(&self, _: W) -> io::Result<usize> {
        Ok(0)
    }
}

impl codeq::Decode for Nothing {
    fn decode<R: io::Read>(_: R) -> io::Result<Self> {
        Ok(Nothing)
    }
}

#[cfg(test)]
mod tests {
    use openraft::EntryPayload;
    use openraft::storage::RaftLogStorageExt;

    use super::*;

    fn open(folder: &Path) -> LogStore {
        LogStore::open(folder, &LogSettings::default()).unwrap()
    }

    fn blank(index: u64) -> Entry {
        Entry::new(log_id(1, 1, index), EntryPayload::Blank)
    }

    #[tokio::test]
    async fn votes_entries_and_the_committed_index_are_there_after_a_restart() {
        let folder = tempfile::tempdir().unwrap();
        let mut log = open(folder.path());
        let vote = Vote::new_committed(1, 1);
        log.save_vote(&vote).await.unwrap();
        log.blocking_append((0..100).map(blank)).await.unwrap();
        log.save_committed(Some(log_id(1, 1, 90))).await.unwrap();
        log.truncate_after(Some(log_id(1, 1, 95))).await.unwrap();
        log.purge(log_id(1, 1, 10)).await.unwrap();
        // Only a hint: an index that the log does not reach is not kept, and not an error.
        log.save_committed(Some(log_id(1, 1, 500))).await.unwrap();
        drop(log);

        let mut log = open(folder.path());
        assert_eq!(log.read_vote().await.unwrap(), Some(vote));
        assert_eq!(log.read_committed().await.unwrap(), Some(log_id(1, 1, 90)));
        let entries = log.try_get_log_entries(..).await.unwrap();
        let indexes: Vec<u64> = entries.iter().map(|entry| entry.log_id().index).collect();
        assert_eq!(indexes, (11..96).collect::<Vec<_>>());
    }

    #[tokio::test]
    async fn after_a_failed_write_every_call_fails() {
        let folder = tempfile::tempdir().unwrap();
        let mut log = open(folder.path());
        let failure: io::Result<()> = Err(io::Error::other("disk gone"));
        log.check(failure).unwrap_err();
        let error = log.save_vote(&Vote::new(1, 1)).await.unwrap_err();
        assert!(error.to_string().contains("disk gone"), "{error}");
        assert!(log.try_get_log_entries(..).await.is_err());
    }

    #[tokio::test]
    async fn a_read_for_replication_is_bounded_in_bytes_but_never_empty() {
        use crate::types::Proposal;

        let folder = tempfile::tempdir().unwrap();
        let mut log = open(folder.path());
        let large = |index| {
            let payload = EntryPayload::Normal(Proposal(vec![0; READ_BYTES * 2 / 3].into()));
            Entry::new(log_id(1, 1, index), payload)
        };
        log.blocking_append((0..4).map(large)).await.unwrap();
        assert_eq!(log.limited_get_log_entries(0, 4).await.unwrap().len(), 1);
        assert_eq!(log.try_get_log_entries(0..4).await.unwrap().len(), 4);
    }
}
