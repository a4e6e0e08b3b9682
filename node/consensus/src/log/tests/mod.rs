//! What the log promises, on a disk that fails in every way.

mod behaviour;
mod damage;
mod model;

use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use futures::FutureExt;
use openraft::EntryPayload;
use openraft::entry::RaftEntry;
use openraft::storage::{IOFlushed, RaftLogReader, RaftLogStorage};
use openraft::type_config::TypeConfigExt;

use crate::blocking::Blocking;
use crate::disk::Disk;
use crate::log::{LogSettings, LogStore};
use crate::model::ModelDisk;
use crate::record::Record;
use crate::types::{Entry, Group, LogId, Proposal, Vote, log_id};

const FOLDER: &str = "/raft";

/// Small enough for many segments and for entries that are read from disk.
fn small() -> LogSettings {
    LogSettings {
        segment_bytes: 4096,
        cache_bytes: 1024,
    }
}

fn open(disk: &ModelDisk) -> std::io::Result<LogStore> {
    let disk: Arc<dyn Disk> = Arc::new(disk.process());
    LogStore::open(&disk, Path::new(FOLDER), &small(), false, Blocking::Inline)
}

/// Opens a log that is known to have been there before.
fn open_begun(disk: &ModelDisk) -> std::io::Result<LogStore> {
    let disk: Arc<dyn Disk> = Arc::new(disk.process());
    LogStore::open(&disk, Path::new(FOLDER), &small(), true, Blocking::Inline)
}

fn entry(term: u64, index: u64, bytes: usize) -> Entry {
    let payload = match bytes {
        0 => EntryPayload::Blank,
        _ => EntryPayload::Normal(Proposal(Bytes::from(vec![(term * 31 + index) as u8; bytes]))),
    };
    Entry::new(log_id(term, 1, index), payload)
}

/// Tells when an append is durable.
struct Appended(Box<dyn Future<Output = std::io::Result<()>> + Unpin>);

impl Appended {
    async fn durable(self) -> std::io::Result<()> {
        self.0.await
    }

    /// `None` while it is not known.
    fn now(&mut self) -> Option<std::io::Result<()>> {
        (&mut self.0).now_or_never()
    }
}

/// Appends without waiting for the disk.
async fn append(log: &mut LogStore, entries: Vec<Entry>) -> std::io::Result<Appended> {
    let (done, durable) = Group::oneshot();
    log.append(entries, IOFlushed::signal(done)).await?;
    Ok(Appended(Box::new(Box::pin(async move {
        durable.await.unwrap_or_else(|_| panic!("an append was forgotten"))
    }))))
}

/// All that a log holds.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Seen {
    vote: Option<Vote>,
    purged: Option<LogId>,
    last: Option<LogId>,
    entries: Vec<(LogId, Record)>,
}

async fn seen(log: &mut LogStore) -> Seen {
    let state = log.get_log_state().await.unwrap();
    let entries = log.try_get_log_entries(..).await.unwrap();
    Seen {
        vote: log.read_vote().await.unwrap(),
        purged: state.last_purged_log_id,
        last: state.last_log_id,
        entries: entries
            .into_iter()
            .map(|entry| (entry.log_id(), Record::of(&entry.payload)))
            .collect(),
    }
}

/// The files of the log, sorted.
fn files(disk: &ModelDisk) -> Vec<std::path::PathBuf> {
    let names = disk.list(Path::new(FOLDER)).unwrap();
    names.iter().map(|name| Path::new(FOLDER).join(name)).collect()
}
