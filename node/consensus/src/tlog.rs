//! The decision log of one replica: the newest leaves in memory, full bundles in files that never change.
//!
//! Leaves come from apply, in order. A writer task makes each full bundle durable; until then the Raft log (and the tail
//! inside a snapshot) still has what its leaves are made from. A replica that was brought up by a snapshot lacks older
//! bundles; it knows which, and they are fetched (see [`crate::fetch`]).

use std::collections::{BTreeSet, VecDeque};
use std::io;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use portcullis_domain::merkle::leaf_hash;
use tokio::sync::{Notify, watch};
use tokio_util::sync::CancellationToken;

use crate::blocking::Blocking;
use crate::bundle::{Bundle, LEAVES};
use crate::disk::{Disk, temporary_name};
use crate::ledger::Digest;
use crate::merkle;
use crate::record::invalid;

/// Leaves kept in memory for those who follow the log closely.
const RECENT: usize = 4096;
/// Leaves that may wait for the writer before apply has to wait.
const UNWRITTEN: u64 = 64 * 1024;
/// Bundles that one round of the writer makes durable together.
const ROUND: usize = 16;
/// Bundles kept decoded for readers.
const CACHED: usize = 8;
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
    disk: Arc<dyn Disk>,
    folder: PathBuf,
    state: Mutex<State>,
    cache: Mutex<VecDeque<Arc<Bundle>>>,
    full: Notify,
    written: watch::Sender<Written>,
    /// One bundle from elsewhere is kept at a time: two readers may ask for the same one.
    inserting: Mutex<()>,
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
    tail: VecDeque<Bytes>,
    next_write: u64,
    present: BTreeSet<u64>,
    /// All bundles below are present; where the search for a missing one begins.
    whole: u64,
}

impl State {
    fn size(&self) -> u64 {
        self.first + self.tail.len() as u64
    }

    fn leaves(&self, from: u64, count: usize) -> impl Iterator<Item = &Bytes> {
        self.tail.iter().skip((from - self.first) as usize).take(count)
    }
}

impl Tlog {
    /// Opens the folder; the log is empty until [`Tlog::install`] or appends say what it holds.
    pub(crate) fn open(disk: Arc<dyn Disk>, folder: PathBuf) -> io::Result<Self> {
        let present = disk
            .list(&folder)?
            .iter()
            .filter_map(|name| Bundle::number_of(name))
            .collect();
        Ok(Tlog {
            disk,
            folder,
            state: Mutex::new(State {
                present,
                ..State::default()
            }),
            cache: Mutex::default(),
            full: Notify::new(),
            written: watch::channel(Written::default()).0,
            inserting: Mutex::default(),
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
        state.leaves(from, LEAVES as usize).cloned().collect()
    }

    /// Puts the log where a snapshot says it is: `size` leaves, of which the last `size % 256` are given.
    pub(crate) fn install(&self, size: u64, open: Vec<Bytes>) -> io::Result<()> {
        if open.len() as u64 != size % LEAVES {
            return Err(invalid(format!(
                "a log of {size} leaves has {} leaves outside of full bundles, the snapshot brings {}",
                size % LEAVES,
                open.len()
            )));
        }
        let bundle = size / LEAVES;
        {
            let mut state = self.state();
            state.first = bundle * LEAVES;
            state.tail = open.into();
            state.next_write = bundle;
        }
        self.written.send_modify(|written| written.next = bundle);
        Ok(())
    }

    /// Adds the next leaf.
    pub(crate) fn append(&self, leaf: Bytes) {
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

    fn next_full(&self) -> Vec<(u64, Vec<Bytes>)> {
        let state = self.state();
        let full = state.size() / LEAVES;
        (state.next_write..full)
            .take(ROUND)
            .map(|number| {
                let leaves = state.leaves(number * LEAVES, LEAVES as usize);
                (number, leaves.cloned().collect())
            })
            .collect()
    }

    fn write(&self, round: Vec<(u64, Vec<Bytes>)>) -> io::Result<()> {
        let mut renames = Vec::new();
        let Some(next) = round.last().map(|(number, _)| number + 1) else {
            return Ok(());
        };
        let numbers: Vec<u64> = round.iter().map(|(number, _)| *number).collect();
        for (number, leaves) in round {
            let path = self.path(number);
            let bytes = Bundle::new(number, leaves).encode();
            if self.state().present.contains(&number) {
                // Written before the last restart and now made again by replay: it must be the same.
                if self.disk.read(&path)? != bytes {
                    return Err(invalid(format!(
                        "{} is not what the replay of the Raft log gives: this replica differs from what it was before; \
                         remove this node from the cluster and add a new one with a new id",
                        path.display()
                    )));
                }
                continue;
            }
            let temporary = temporary_name(&path);
            let mut file = self.disk.create(&temporary)?;
            file.write(&bytes)?;
            file.sync()?;
            renames.push((temporary, path));
        }
        if !renames.is_empty() {
            for (temporary, path) in &renames {
                self.disk.rename(temporary, path)?;
            }
            self.disk.sync_dir(&self.folder)?;
        }
        {
            let mut state = self.state();
            state.present.extend(numbers);
            // A snapshot may have been installed meanwhile; it never moves the log back.
            state.next_write = state.next_write.max(next);
            while state.tail.len() >= RECENT + LEAVES as usize && state.first / LEAVES < state.next_write {
                state.tail.drain(..LEAVES as usize);
                state.first += LEAVES;
            }
        }
        self.written
            .send_modify(|written| written.next = written.next.max(next));
        Ok(())
    }

    /// Up to `max` leaves from `from`. Reads a file when they are old, so this can block.
    pub(crate) fn read(&self, from: u64, max: usize) -> io::Result<Found> {
        let number = from / LEAVES;
        {
            let state = self.state();
            if from >= state.size() {
                return Ok(Found::Leaves(Vec::new()));
            }
            if from >= state.first {
                let leaves = state.leaves(from, max).cloned();
                return Ok(Found::Leaves(numbered(from, leaves)));
            }
            if !state.present.contains(&number) {
                return Ok(Found::Missing(number));
            }
        }
        let bundle = self.bundle(number)?;
        let leaves = bundle.leaves.iter().skip((from % LEAVES) as usize);
        Ok(Found::Leaves(numbered(from, leaves.take(max).cloned())))
    }

    /// Is there no need to touch the disk for it?
    pub(crate) fn in_memory(&self, from: u64) -> bool {
        from >= self.state().first
    }

    /// A bundle from its file.
    pub(crate) fn bundle(&self, number: u64) -> io::Result<Arc<Bundle>> {
        let cached = |cache: &VecDeque<Arc<Bundle>>| cache.iter().find(|bundle| bundle.number == number).cloned();
        let cache = || self.cache.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(bundle) = cached(&cache()) {
            return Ok(bundle);
        }
        let path = self.path(number);
        let bytes = self.disk.read(&path)?;
        let bundle = Bundle::decode(number, bytes.into()).map_err(|error| {
            invalid(format!(
                "the decision-log bundle {} is damaged: {error}; restore the file from another node (all nodes have the same \
                 one) and start again",
                path.display()
            ))
        })?;
        let bundle = Arc::new(bundle);
        let mut cache = cache();
        if cache.len() == CACHED {
            cache.pop_back();
        }
        cache.push_front(Arc::clone(&bundle));
        Ok(bundle)
    }

    /// The oldest bundle that this replica should have and does not.
    pub(crate) fn first_missing(&self) -> Option<u64> {
        let mut state = self.state();
        while state.whole < state.next_write && state.present.contains(&state.whole) {
            state.whole += 1;
        }
        let missing = state.whole;
        (missing < state.next_write).then_some(missing)
    }

    /// Keeps a bundle that another node sent and whose proof was checked.
    pub(crate) fn insert(&self, bundle: &Bundle) -> io::Result<()> {
        let _one = self.inserting.lock().unwrap_or_else(PoisonError::into_inner);
        if self.state().present.contains(&bundle.number) {
            return Ok(());
        }
        self.disk.publish(&self.path(bundle.number), &bundle.encode())?;
        self.state().present.insert(bundle.number);
        Ok(())
    }

    /// The way from a bundle to the root of the log when it had `size` leaves. `None` when this replica cannot know it.
    pub(crate) fn proof(&self, number: u64, size: u64) -> io::Result<Option<Vec<Digest>>> {
        let full = size / LEAVES;
        if number >= full || size > self.size() {
            return Ok(None);
        }
        let mut hashes = Vec::with_capacity(full as usize + 1);
        for bundle in 0..full {
            match self.root_of(bundle)? {
                Some(root) => hashes.push(root),
                None => return Ok(None),
            }
        }
        let open = size % LEAVES;
        if open > 0 {
            let Found::Leaves(leaves) = self.read_all(full * LEAVES, open as usize)? else {
                return Ok(None);
            };
            let leaves: Vec<Digest> = leaves.iter().map(|(_, leaf)| leaf_hash(leaf)).collect();
            hashes.push(merkle::root(&leaves));
        }
        Ok(Some(merkle::proof(&hashes, number as usize)))
    }

    /// Like [`Tlog::read`], but all of `count`, however many bytes.
    fn read_all(&self, from: u64, count: usize) -> io::Result<Found> {
        let mut all = Vec::with_capacity(count);
        while all.len() < count {
            match self.read(from + all.len() as u64, count - all.len())? {
                Found::Leaves(leaves) if leaves.is_empty() => return Ok(Found::Missing(from / LEAVES)),
                Found::Leaves(leaves) => all.extend(leaves),
                missing @ Found::Missing(_) => return Ok(missing),
            }
        }
        Ok(Found::Leaves(all))
    }

    fn root_of(&self, number: u64) -> io::Result<Option<Digest>> {
        {
            let state = self.state();
            if !state.present.contains(&number) {
                // Full, but the writer has not come to it.
                if number * LEAVES < state.first || (number + 1) * LEAVES > state.size() {
                    return Ok(None);
                }
                let hashes: Vec<Digest> = state
                    .leaves(number * LEAVES, LEAVES as usize)
                    .map(|leaf| leaf_hash(leaf))
                    .collect();
                return Ok(Some(merkle::root(&hashes)));
            }
        }
        let head = self.disk.read_at(&self.path(number), 0, Bundle::HEAD_BYTES)?;
        Bundle::root_in_head(number, &head).map(Some)
    }

    fn path(&self, number: u64) -> PathBuf {
        self.folder.join(Bundle::file_name(number))
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
            log.append(leaf(number));
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
        fill(&log, 6000).await;
        assert!(log.state().first > 0, "old leaves left the memory");
        assert_eq!(read_everything(&log), 6000);
    }

    #[tokio::test]
    async fn a_bundle_that_replay_makes_differently_stops_the_writer() {
        let folder = tempfile::tempdir().unwrap();
        fill(&open(folder.path()), 256).await;

        let again = open(folder.path());
        fill(&again, 256).await;

        let other = open(folder.path());
        for number in 0..256 {
            other.append(leaf(number + 1));
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
    async fn a_log_put_in_place_by_a_snapshot_names_what_it_lacks_and_accepts_proven_bundles() {
        let (a, b) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let whole = open(a.path());
        fill(&whole, 700).await;
        let lacking = open(b.path());
        lacking.install(700, whole.open_leaves()).unwrap();
        assert_eq!(lacking.first_missing(), Some(0));
        assert!(matches!(lacking.read(300, 1).unwrap(), Found::Missing(1)));

        let hashes: Vec<Digest> = (0..700).map(|n| leaf_hash(&leaf(n))).collect();
        let root = merkle::root(&hashes);
        for number in 0..2 {
            let path = whole.proof(number, 700).unwrap().unwrap();
            let bundle = whole.bundle(number).unwrap();
            assert!(merkle::leads_to(&root, bundle.root, number, 3, &path));
            lacking.insert(&bundle).unwrap();
        }
        assert_eq!(lacking.first_missing(), None);
        assert_eq!(read_everything(&lacking), 700);
        assert!(lacking.install(700, Vec::new()).is_err());
    }
}
