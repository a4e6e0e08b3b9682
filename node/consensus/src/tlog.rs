//! The decision log of one replica: the newest leaves in memory, full bundles in files that never change.
//!
//! Leaves come from apply, in order. A writer task makes each full bundle durable; until then the Raft log (and the tail
//! inside a snapshot) still has what its leaves are made from. A replica that was brought up by a snapshot lacks older
//! bundles; it knows which and what roots they have, and they are fetched (see [`crate::fetch`]).

use std::collections::VecDeque;
use std::io;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use portcullis_domain::merkle::{leaf_hash, root_of};
use tokio::sync::{Notify, watch};
use tokio_util::sync::CancellationToken;

use crate::blocking::Blocking;
use crate::bundle::{Bundle, Hashed, LEAVES, PAGE};
use crate::bundles::Bundles;
use crate::disk::Disk;
use crate::ledger::Digest;
use crate::merkle;
use crate::record::invalid;

/// Leaves kept in memory for those who follow the log closely.
const RECENT: usize = 4096;
/// Leaves that may wait for the writer before apply has to wait.
const UNWRITTEN: u64 = 64 * 1024;
/// Bundles that one round of the writer makes durable together.
const ROUND: usize = 4;
/// The most bytes that one read returns, beyond its first leaf.
const READ_BYTES: usize = 1 << 20;

/// Leaves in a row with the number of each.
pub(crate) type Leaves = Vec<(u64, Bytes)>;

/// What a read of the log found.
#[derive(Debug)]
pub(crate) enum Found {
    /// Leaves from the place that was asked for; none when that place is the end.
    Leaves(Leaves),
    /// The place is in a bundle that this replica does not have yet.
    Missing(u64),
}

/// The log. Shared by apply, the writer and all readers.
#[derive(Debug)]
pub(crate) struct Tlog {
    pub(crate) bundles: Bundles,
    state: Mutex<State>,
    full: Notify,
    written: watch::Sender<Written>,
}

/// How far the writer is.
#[derive(Debug, Default)]
struct Written {
    /// Number of the next bundle to write: all before it are durable here or missing.
    next: u64,
    /// Why nothing more will be written, once that is so.
    ended: Option<String>,
}

/// Tells those who wait that the writer has ended, however it ends.
struct Writing<'a>(&'a Tlog);

impl Drop for Writing<'_> {
    fn drop(&mut self) {
        self.0.end("its writer stopped");
    }
}

#[derive(Debug, Default)]
struct State {
    /// Number of the first leaf in `tail`; always the first of a bundle.
    first: u64,
    tail: VecDeque<Hashed>,
}

impl State {
    fn size(&self) -> u64 {
        self.first + self.tail.len() as u64
    }

    fn leaves(&self, from: u64, count: usize) -> impl Iterator<Item = &Hashed> {
        let at = (from - self.first) as usize;
        self.tail.range(at..self.tail.len().min(at.saturating_add(count)))
    }
}

/// Root of a log: full bundles by their roots, then what is not a full bundle yet.
pub(crate) fn root(bundles: &[Digest], open: &[Bytes]) -> Digest {
    if open.is_empty() {
        return merkle::root(bundles);
    }
    let mut hashes = bundles.to_vec();
    hashes.push(root_of(open.iter().map(|leaf| leaf_hash(leaf))));
    merkle::root(&hashes)
}

impl Tlog {
    /// Opens the folder; the log is empty until [`Tlog::install`] or appends say what it holds.
    pub(crate) fn open(disk: Arc<dyn Disk>, folder: PathBuf) -> io::Result<Self> {
        Ok(Tlog {
            bundles: Bundles::open(disk, folder)?,
            state: Mutex::default(),
            full: Notify::new(),
            written: watch::channel(Written::default()).0,
        })
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // Every change of the state is a few steps that cannot panic half way.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Number of leaves.
    pub(crate) fn size(&self) -> u64 {
        self.state().size()
    }

    /// The leaves that are not in a full bundle, for a snapshot.
    pub(crate) fn open_leaves(&self) -> Vec<Bytes> {
        let state = self.state();
        let from = state.size() / LEAVES * LEAVES;
        let leaves = state.leaves(from, LEAVES as usize);
        leaves.map(|leaf| leaf.bytes.clone()).collect()
    }

    /// Puts the log where a snapshot says it is: the roots of all full bundles, and the leaves after them.
    pub(crate) fn install(&self, roots: Vec<Digest>, open: Vec<Bytes>) -> io::Result<()> {
        if open.len() as u64 >= LEAVES {
            return Err(invalid(format!(
                "{} leaves outside of full bundles; there are at most {}",
                open.len(),
                LEAVES - 1
            )));
        }
        let next = roots.len() as u64;
        {
            let mut state = self.state();
            state.first = next * LEAVES;
            state.tail = open.into_iter().map(Hashed::from).collect();
            self.bundles.reset(roots);
        }
        self.written.send_modify(|written| written.next = next);
        Ok(())
    }

    /// Adds the next leaf.
    pub(crate) fn append(&self, leaf: Hashed) {
        let mut state = self.state();
        state.tail.push_back(leaf);
        if state.size().is_multiple_of(LEAVES) {
            drop(state);
            self.full.notify_one();
        }
    }

    /// Waits while too many leaves are not in durable bundles yet. An error when the writer has ended.
    pub(crate) async fn room(&self) -> io::Result<()> {
        self.reached(|next| self.size() < next * LEAVES + UNWRITTEN).await
    }

    /// Waits until all bundles below `number` are durable here, or known to be missing. An error when the writer has ended.
    pub(crate) async fn durable(&self, number: u64) -> io::Result<()> {
        self.reached(|next| next >= number).await
    }

    async fn reached(&self, enough: impl Fn(u64) -> bool) -> io::Result<()> {
        let mut written = self.written.subscribe();
        // The sender lives as long as self.
        let now = written
            .wait_for(|written| enough(written.next) || written.ended.is_some())
            .await
            .map_err(io::Error::other)?;
        match &now.ended {
            Some(why) if !enough(now.next) => Err(io::Error::other(format!("the decision log is not written: {why}"))),
            _ => Ok(()),
        }
    }

    /// The first reason stays.
    fn end(&self, why: &str) {
        self.written.send_modify(|written| {
            written.ended.get_or_insert_with(|| why.to_owned());
        });
    }

    /// Writes full bundles until stopped. An error is final for the node.
    pub(crate) async fn write_bundles(self: Arc<Self>, blocking: Blocking, stop: CancellationToken) -> io::Result<()> {
        self.written.send_modify(|written| written.ended = None);
        let _writing = Writing(&self);
        let result = self.write_full(blocking, &stop).await;
        if let Err(error) = &result {
            self.end(&error.to_string());
        }
        result
    }

    async fn write_full(self: &Arc<Self>, blocking: Blocking, stop: &CancellationToken) -> io::Result<()> {
        loop {
            let full = self.full.notified();
            let round = self.next_full();
            if round.is_empty() {
                tokio::select! {
                    () = full => continue,
                    () = stop.cancelled() => return Ok(()),
                }
            }
            let log = Arc::clone(self);
            blocking.run(move || log.write(round)).await?;
        }
    }

    fn next_full(&self) -> Vec<(u64, Vec<Hashed>)> {
        let state = self.state();
        let full = state.size() / LEAVES;
        (self.bundles.count()..full)
            .take(ROUND)
            .map(|number| {
                let leaves = state.leaves(number * LEAVES, LEAVES as usize);
                (number, leaves.cloned().collect())
            })
            .collect()
    }

    fn write(&self, round: Vec<(u64, Vec<Hashed>)>) -> io::Result<()> {
        let bundles: Vec<Bundle> = round
            .into_iter()
            .map(|(number, leaves)| Bundle::of_hashed(number, &leaves))
            .collect();
        for bundle in bundles.iter().filter(|bundle| self.bundles.holds(bundle.number)) {
            // Written before the last restart and now made again by replay: it must be the same.
            if self.bundles.root_on_disk(bundle.number)? != bundle.root {
                return Err(invalid(format!(
                    "{} is not what the replay of the Raft log gives: this replica differs from what it was before; remove \
                     this node from the cluster and add a new one with a new id",
                    self.bundles.path(bundle.number).display()
                )));
            }
        }
        self.bundles.write(&bundles)?;
        let written: Vec<_> = bundles.iter().map(|bundle| (bundle.number, bundle.root)).collect();
        let next = {
            let mut state = self.state();
            // A snapshot may have been installed meanwhile; it never moves the log back.
            self.bundles.grow(&written);
            let next = self.bundles.count();
            while state.tail.len() >= RECENT + LEAVES as usize && state.first / LEAVES < next {
                state.tail.drain(..LEAVES as usize);
                state.first += LEAVES;
            }
            next
        };
        self.written
            .send_modify(|written| written.next = written.next.max(next));
        Ok(())
    }

    /// Up to `max` leaves from `from`. Reads a file when they are old, so this can block.
    pub(crate) fn read(&self, from: u64, max: usize) -> io::Result<Found> {
        {
            let state = self.state();
            if from >= state.size() {
                return Ok(Found::Leaves(Vec::new()));
            }
            if from >= state.first {
                let leaves = state.leaves(from, max).map(|leaf| leaf.bytes.clone());
                return Ok(Found::Leaves(numbered(from, leaves)));
            }
        }
        let number = from / LEAVES;
        if !self.bundles.holds(number) {
            return Ok(Found::Missing(number));
        }
        let page = self.bundles.page_of(from)?;
        let leaves = page.iter().skip((from % PAGE) as usize);
        Ok(Found::Leaves(numbered(from, leaves.take(max).cloned())))
    }

    /// Is there no need to touch the disk for it?
    pub(crate) fn in_memory(&self, from: u64) -> bool {
        from >= self.state().first
    }
}

fn numbered(from: u64, leaves: impl Iterator<Item = Bytes>) -> Leaves {
    let mut bytes = 0;
    leaves
        .enumerate()
        .take_while(|(i, leaf)| {
            bytes += leaf.len();
            *i == 0 || bytes <= READ_BYTES
        })
        .map(|(i, leaf)| (from + i as u64, leaf))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::disk::StdDisk;

    fn leaf(number: u64) -> Bytes {
        Bytes::from(format!("leaf {number}"))
    }

    fn open(folder: &std::path::Path) -> Arc<Tlog> {
        Arc::new(Tlog::open(Arc::new(StdDisk), folder.to_owned()).unwrap())
    }

    async fn fill(log: &Arc<Tlog>, count: u64) {
        let stop = CancellationToken::new();
        let writer = tokio::spawn(Arc::clone(log).write_bundles(Blocking::Threads, stop.clone()));
        for number in log.size()..count {
            log.append(leaf(number).into());
        }
        log.durable(count / LEAVES).await.unwrap();
        stop.cancel();
        writer.await.unwrap().unwrap();
    }

    fn read_everything(log: &Tlog) -> u64 {
        let mut next = 0;
        loop {
            let Found::Leaves(leaves) = log.read(next, 100).unwrap() else {
                panic!("bundle missing at {next}");
            };
            if leaves.is_empty() {
                return next;
            }
            for (number, bytes) in leaves {
                assert_eq!(number, next);
                assert_eq!(bytes, leaf(number));
                next += 1;
            }
        }
    }

    #[tokio::test]
    async fn leaves_are_read_in_order_from_files_and_memory() {
        let folder = tempfile::tempdir().unwrap();
        let log = open(folder.path());
        fill(&log, 20_000).await;
        assert!(log.state().first > 0, "old leaves left the memory");
        assert!(!log.in_memory(0) && log.in_memory(19_999));
        assert_eq!(read_everything(&log), 20_000);
    }

    #[tokio::test]
    async fn a_bundle_that_replay_makes_differently_stops_the_writer() {
        let folder = tempfile::tempdir().unwrap();
        fill(&open(folder.path()), LEAVES).await;

        let again = open(folder.path());
        fill(&again, LEAVES).await;

        let other = open(folder.path());
        for number in 0..LEAVES {
            other.append(leaf(number + 1).into());
        }
        let error = Arc::clone(&other)
            .write_bundles(Blocking::Threads, CancellationToken::new())
            .await
            .unwrap_err();
        assert!(error.to_string().contains("differs"), "{error}");
        // Who waits for the writer learns it.
        let error = other.durable(1).await.unwrap_err();
        assert!(error.to_string().contains("differs"), "{error}");
        assert!(other.room().await.is_ok());
    }

    #[tokio::test]
    async fn a_log_put_in_place_by_a_snapshot_names_what_it_lacks_and_takes_it_from_another() {
        let (a, b) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let size = 3 * LEAVES + 700;
        let whole = open(a.path());
        fill(&whole, size).await;
        let lacking = open(b.path());
        let roots = whole.bundles.roots(u64::MAX);
        let hashes: Vec<Digest> = (0..size).map(|number| leaf_hash(&leaf(number))).collect();
        assert_eq!(root(&roots, &whole.open_leaves()), merkle::root(&hashes));
        lacking.install(roots, whole.open_leaves()).unwrap();
        assert_eq!(lacking.bundles.missing(u64::MAX), 0..3);
        assert_eq!(lacking.bundles.missing(2), 0..2);
        assert_eq!(lacking.bundles.missing_count(), 3);
        assert!(matches!(lacking.read(LEAVES + 1, 1).unwrap(), Found::Missing(1)));

        for number in [1, 0, 2] {
            let file = whole.bundles.file(number).unwrap().unwrap();
            let wanted = lacking.bundles.root(number).unwrap();
            let bundle = Bundle::checked(number, wanted, file).unwrap();
            lacking.bundles.write(&[bundle]).unwrap();
            if number == 1 {
                assert_eq!(lacking.bundles.missing(u64::MAX), 0..1);
                assert!(matches!(lacking.read(LEAVES + 1, 1).unwrap(), Found::Leaves(_)));
            }
        }
        assert!(lacking.bundles.missing(u64::MAX).is_empty());
        assert_eq!(lacking.bundles.missing_count(), 0);
        assert_eq!(read_everything(&lacking), size);
        let too_many = vec![leaf(0); LEAVES as usize];
        assert!(lacking.install(Vec::new(), too_many).is_err());
    }
}
