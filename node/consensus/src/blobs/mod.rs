//! Raw readings and other large things, by their digest, on the node that got them.
//!
//! Blobs are appended to packs, `blobs/<number>.pack`, and those that are put at the same time become durable with one sync:
//! a file for each would cost several syncs of the disk that the Raft log needs. A pack that is full gets a table of where
//! its blobs are. Nothing is ever changed or cut off: after a failure and at each start a new pack is begun.
//!
//! They are not in sled: sled can be lost and made again, a reading cannot. A blob that is not here is asked for elsewhere.

mod pack;
mod table;
#[cfg(test)]
mod tests;

use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use tokio::sync::oneshot;
use tokio_util::task::TaskTracker;

use self::pack::{Place, Places};
use crate::blocking::Blocking;
use crate::consensus::Consensus;
use crate::disk::{Disk, RandomAccess};
use crate::errors::ReadError;
use crate::ledger::Digest;
use crate::remedy::remedy;

/// The largest blob, bytes.
pub const BLOB_BYTES: usize = 32 << 20;
/// A pack that would become larger is full.
const PACK_BYTES: u64 = 64 << 20;
/// Blobs are collected up to this size before they are written.
const PIECE: usize = 1 << 20;

/// The folder of blobs. Clones are the same.
#[derive(Debug, Clone)]
pub(crate) struct Blobs(Arc<Inner>);

struct Inner {
    disk: Arc<dyn Disk>,
    folder: PathBuf,
    pack_bytes: u64,
    queue: Mutex<Queue>,
    /// The pack that is written; none at the beginning and after a failure. Held while writing.
    writing: Mutex<Option<Writing>>,
    /// Number of the next pack.
    next: AtomicU64,
    /// All packs, the oldest first.
    packs: Mutex<Vec<Pack>>,
}

#[derive(Default)]
struct Queue {
    waiting: Vec<Put>,
    /// Somebody takes what is in the queue.
    served: bool,
}

/// Blobs to be kept, and who waits for it.
struct Put {
    blobs: Vec<(Digest, Bytes)>,
    done: oneshot::Sender<Result<(), String>>,
}

struct Writing {
    number: u64,
    file: Arc<dyn RandomAccess>,
    length: u64,
}

struct Pack {
    number: u64,
    /// What it holds; none once that stands in its table.
    held: Option<Held>,
}

struct Held {
    file: Arc<dyn RandomAccess>,
    places: Places,
    /// Written by this process, so that what it holds is known to be durable.
    own: bool,
}

impl std::fmt::Debug for Inner {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Blobs")
            .field("folder", &self.folder)
            .finish_non_exhaustive()
    }
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Blobs {
    /// Opens the folder, which is there. Reads the packs that have no table. Blocks.
    ///
    /// # Errors
    /// When the disk fails, or a pack was written by another version of the program.
    pub(crate) fn open(disk: Arc<dyn Disk>, folder: PathBuf) -> io::Result<Self> {
        Self::with_packs_of(PACK_BYTES, disk, folder)
    }

    fn with_packs_of(pack_bytes: u64, disk: Arc<dyn Disk>, folder: PathBuf) -> io::Result<Self> {
        let inner = Inner {
            disk,
            folder,
            pack_bytes,
            queue: Mutex::default(),
            writing: Mutex::default(),
            next: AtomicU64::default(),
            packs: Mutex::default(),
        };
        inner.load()?;
        Ok(Blobs(Arc::new(inner)))
    }

    /// Keeps blobs durably. Those that other callers bring meanwhile go with the same sync. A blob must have the digest that
    /// comes with it; putting it again changes nothing.
    async fn put(&self, blocking: Blocking, tasks: &TaskTracker, blobs: Vec<(Digest, Bytes)>) -> Result<(), String> {
        let (done, kept) = oneshot::channel();
        let first = {
            let mut queue = locked(&self.0.queue);
            queue.waiting.push(Put { blobs, done });
            !std::mem::replace(&mut queue.served, true)
        };
        if first {
            // A task of its own: who waits may stop waiting.
            tasks.spawn(self.clone().serve(blocking));
        }
        kept.await.unwrap_or_else(|_| Err("the node stops".to_owned()))
    }

    async fn serve(self, blocking: Blocking) {
        loop {
            let puts = {
                let mut queue = locked(&self.0.queue);
                queue.served = !queue.waiting.is_empty();
                std::mem::take(&mut queue.waiting)
            };
            if puts.is_empty() {
                return;
            }
            let (blobs, waiting): (Vec<_>, Vec<_>) = puts.into_iter().map(|put| (put.blobs, put.done)).unzip();
            let inner = Arc::clone(&self.0);
            let written = blocking.run(move || inner.write(blobs.into_iter().flatten())).await;
            let written = written.map_err(|error| error.to_string());
            for done in waiting {
                // Whoever waited may have gone.
                let _ = done.send(written.clone());
            }
        }
    }

    /// `None` when it is not here, or not whole any more. Blocks.
    pub(crate) fn get(&self, digest: Digest) -> io::Result<Option<Bytes>> {
        self.0.get(digest)
    }
}

impl Inner {
    fn path(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    fn failed(doing: &str, path: &Path, error: &io::Error) -> io::Error {
        let text = match error.kind() {
            io::ErrorKind::InvalidData => format!("cannot {doing} {}: {error}", path.display()),
            _ => format!("cannot {doing} {}: {error}; {}", path.display(), remedy(error)),
        };
        io::Error::new(error.kind(), text)
    }

    /// Finds the packs. None of them is written to again: after a failed sync and a restart the system may show what is not
    /// on the disk, and there is no telling.
    fn load(&self) -> io::Result<()> {
        let names = self.disk.list(&self.folder);
        let names = names.map_err(|error| Self::failed("list", &self.folder, &error))?;
        let tables = names.iter().filter_map(|name| table::number_of(name));
        let mut numbers: Vec<u64> = names.iter().filter_map(|name| pack::number_of(name)).collect();
        numbers.sort_unstable();
        // A table without its pack must not be taken for that of another.
        let next = numbers.iter().copied().chain(tables).max().map_or(0, |last| last + 1);
        self.next.store(next, Ordering::Relaxed);
        for number in numbers {
            let held = match names.contains(&table::file_name(number)) {
                true => None,
                false => Some(self.scan(number)?),
            };
            locked(&self.packs).push(Pack { number, held });
        }
        Ok(())
    }

    /// What a pack holds.
    fn scan(&self, number: u64) -> io::Result<Held> {
        let path = self.path(&pack::file_name(number));
        let failed = |error: io::Error| Self::failed("read", &path, &error);
        let scanned = pack::scan(&*self.disk, &path, number).map_err(failed)?;
        if let Some(at) = scanned.odd_at.filter(|_| scanned.length > 0) {
            tracing::warn!(
                path = %path.display(),
                at,
                bytes = scanned.length,
                blobs = scanned.places.len(),
                "not everything in this file is a whole blob: it was being written when the node stopped, or it is damaged"
            );
        }
        Ok(Held {
            file: self.disk.open(&path).map_err(failed)?,
            places: scanned.places,
            own: false,
        })
    }

    /// Appends blobs durably, unless this process did so lately. After an error nothing more goes to that pack: what of it is
    /// on the disk is not known.
    fn write(&self, blobs: impl Iterator<Item = (Digest, Bytes)>) -> io::Result<()> {
        let mut writing = locked(&self.writing);
        let begun = match writing.take() {
            Some(pack) => pack,
            None => self.begin()?,
        };
        let written = self.write_to(begun, blobs);
        match written {
            Ok(pack) => *writing = Some(pack),
            Err(error) => {
                self.give_up_empty();
                return Err(error);
            }
        }
        Ok(())
    }

    fn write_to(&self, mut pack: Writing, blobs: impl Iterator<Item = (Digest, Bytes)>) -> io::Result<Writing> {
        let mut fresh = Places::new();
        let mut piece = Vec::new();
        for (digest, content) in blobs {
            if fresh.contains_key(&digest) || self.holds(digest) {
                continue;
            }
            let length = pack.length + piece.len() as u64;
            if length > pack::HEAD as u64 && length + pack::record_bytes(&content) > self.pack_bytes {
                self.keep(&mut pack, &mut piece, std::mem::take(&mut fresh))?;
                pack = self.begin()?;
            }
            fresh.insert(digest, pack::put(&mut piece, pack.length, digest, &content)?);
            if piece.len() > PIECE {
                self.append(&mut pack, &mut piece)?;
            }
        }
        if !fresh.is_empty() {
            self.keep(&mut pack, &mut piece, fresh)?;
        }
        Ok(pack)
    }

    /// Removes packs of this process that hold nothing: a disk that is full must not fill up with what could not be written.
    fn give_up_empty(&self) {
        locked(&self.packs).retain(|pack| {
            let empty = pack
                .held
                .as_ref()
                .is_some_and(|held| held.own && held.places.is_empty());
            if empty {
                // What cannot be removed is not looked at any more.
                let _ = self.disk.remove(&self.path(&pack::file_name(pack.number)));
            }
            !empty
        });
    }

    /// Has this process made it durable, in a pack without a table?
    fn holds(&self, digest: Digest) -> bool {
        let packs = locked(&self.packs);
        let mut held = packs.iter().filter_map(|pack| pack.held.as_ref());
        held.any(|held| held.own && held.places.contains_key(&digest))
    }

    /// Begins a pack. Those before it are full or have failed, and get their tables.
    fn begin(&self) -> io::Result<Writing> {
        self.seal();
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        let path = self.path(&pack::file_name(number));
        let head = pack::head(number);
        let begun = self.disk.open(&path).and_then(|file| {
            file.write_at(0, &head)?;
            self.disk.sync_dir(&self.folder)?;
            Ok(file)
        });
        let file = begun.map_err(|error| {
            // What cannot be removed is not looked at any more.
            let _ = self.disk.remove(&path);
            Self::failed("begin", &path, &error)
        })?;
        locked(&self.packs).push(Pack {
            number,
            held: Some(Held {
                file: Arc::clone(&file),
                places: Places::new(),
                own: true,
            }),
        });
        let length = head.len() as u64;
        Ok(Writing { number, file, length })
    }

    fn append(&self, pack: &mut Writing, piece: &mut Vec<u8>) -> io::Result<()> {
        let written = pack.file.write_at(pack.length, piece);
        written.map_err(|error| Self::failed("write", &self.path(&pack::file_name(pack.number)), &error))?;
        pack.length += piece.len() as u64;
        piece.clear();
        Ok(())
    }

    /// Makes durable what was appended; from here on it can be found.
    fn keep(&self, pack: &mut Writing, piece: &mut Vec<u8>, fresh: Places) -> io::Result<()> {
        self.append(pack, piece)?;
        let synced = pack.file.sync_data();
        synced.map_err(|error| Self::failed("sync", &self.path(&pack::file_name(pack.number)), &error))?;
        let mut packs = locked(&self.packs);
        let known = packs.iter_mut().rev().find(|known| known.number == pack.number);
        if let Some(held) = known.and_then(|known| known.held.as_mut()) {
            held.places.extend(fresh);
        }
        Ok(())
    }

    /// Gives tables to all packs. Where that fails their places stay in memory.
    fn seal(&self) {
        let tables: Vec<(u64, Vec<u8>)> = locked(&self.packs)
            .iter()
            .filter_map(|pack| Some((pack.number, table::encode(pack.number, &pack.held.as_ref()?.places))))
            .collect();
        for (number, content) in tables {
            let path = self.path(&table::file_name(number));
            match self.disk.publish(&path, &content) {
                Ok(()) => {
                    if let Some(pack) = locked(&self.packs).iter_mut().find(|pack| pack.number == number) {
                        pack.held = None;
                    }
                }
                Err(error) => {
                    let error = Self::failed("write", &path, &error);
                    tracing::warn!(%error, "the table of a pack of blobs is tried again later");
                }
            }
        }
    }

    fn get(&self, digest: Digest) -> io::Result<Option<Bytes>> {
        let mut held: Vec<(u64, Arc<dyn RandomAccess>, Place)> = Vec::new();
        let mut sealed = Vec::new();
        for pack in locked(&self.packs).iter().rev() {
            match &pack.held {
                None => sealed.push(pack.number),
                Some(Held { file, places, .. }) => {
                    let place = places.get(&digest);
                    held.extend(place.map(|place| (pack.number, Arc::clone(file), *place)));
                }
            }
        }
        // A disk that cannot read one pack may still read another.
        let mut failure = None;
        for (number, file, place) in held {
            let read = file.read_at(place.offset.into(), place.length as usize);
            match self.whole(number, place, digest, read) {
                Ok(Some(content)) => return Ok(Some(content)),
                // So that a copy is kept when one comes.
                Ok(None) => self.forget(number, digest, place),
                Err(error) => failure = failure.or(Some(error)),
            }
        }
        for number in sealed {
            let found = self.look_up(number, digest).and_then(|place| {
                let Some(place) = place else { return Ok(None) };
                let path = self.path(&pack::file_name(number));
                let read = self.disk.read_at(&path, place.offset.into(), place.length as usize);
                self.whole(number, place, digest, read)
            });
            match found {
                Ok(Some(content)) => return Ok(Some(content)),
                Ok(None) => {}
                Err(error) => failure = failure.or(Some(error)),
            }
        }
        failure.map_or(Ok(None), Err)
    }

    fn forget(&self, number: u64, digest: Digest, place: Place) {
        let mut packs = locked(&self.packs);
        let pack = packs.iter_mut().find(|pack| pack.number == number);
        if let Some(held) = pack.and_then(|pack| pack.held.as_mut())
            && held.places.get(&digest) == Some(&place)
        {
            held.places.remove(&digest);
        }
    }

    /// What was read from a pack, if it is the blob.
    fn whole(&self, number: u64, place: Place, digest: Digest, read: io::Result<Vec<u8>>) -> io::Result<Option<Bytes>> {
        let path = self.path(&pack::file_name(number));
        let why = match read {
            Ok(content) if Digest::of(&content) == digest => return Ok(Some(content.into())),
            Ok(_) => "damaged",
            Err(error) if error.kind() == io::ErrorKind::NotFound => "gone with its pack",
            Err(error) => return Err(Self::failed("read", &path, &error)),
        };
        tracing::error!(
            path = %path.display(),
            at = place.offset,
            %digest,
            "a blob is {why}: it is not here any more, and another node is asked for it"
        );
        Ok(None)
    }

    /// Where a blob is in a pack with a table. A table that is lost or damaged is made again.
    fn look_up(&self, number: u64, digest: Digest) -> io::Result<Option<Place>> {
        use io::ErrorKind::{InvalidData, NotFound};
        let path = self.path(&table::file_name(number));
        match table::find(&*self.disk, &path, number, digest) {
            Err(error) if matches!(error.kind(), InvalidData | NotFound) => {
                tracing::warn!(path = %path.display(), %error, "the table of a pack of blobs is made again");
                let held = self.scan(number)?;
                if let Err(error) = self.disk.publish(&path, &table::encode(number, &held.places)) {
                    let error = Self::failed("write", &path, &error);
                    tracing::warn!(%error, "the table of a pack of blobs is tried again later");
                }
                Ok(held.places.get(&digest).copied())
            }
            found => found.map_err(|error| Self::failed("read", &path, &error)),
        }
    }
}

impl Consensus {
    /// Keeps blobs durably on this node, each under its SHA-256, which comes with it. Putting one again changes nothing.
    ///
    /// # Errors
    /// When one is larger than [`BLOB_BYTES`] or the disk fails.
    pub async fn put_blobs(&self, blobs: Vec<(Digest, Bytes)>) -> Result<(), ReadError> {
        if let Some((_, large)) = blobs.iter().find(|(_, content)| content.len() > BLOB_BYTES) {
            return Err(ReadError::Storage(format!(
                "a blob of {} bytes; the limit is {BLOB_BYTES}",
                large.len()
            )));
        }
        let kept = self.blobs().put(self.replica().blocking, self.tasks(), blobs).await;
        kept.map_err(ReadError::Storage)
    }

    /// The content with a digest, from this node or else from another. `None` when no node that could be asked has it.
    ///
    /// # Errors
    /// When the disk fails.
    pub async fn blob(&self, digest: Digest) -> Result<Option<Bytes>, ReadError> {
        let storage = |error: io::Error| ReadError::Storage(error.to_string());
        let blobs = self.blobs().clone();
        let here = self.replica().blocking.run(move || blobs.get(digest)).await;
        if let Some(content) = here.map_err(storage)? {
            return Ok(Some(content));
        }
        match self.fetcher().blob(digest).await {
            Ok(content) => {
                self.put_blobs(vec![(digest, content.clone())]).await?;
                Ok(Some(content))
            }
            Err(detail) => {
                tracing::debug!(%digest, detail, "no node has this blob");
                Ok(None)
            }
        }
    }
}
