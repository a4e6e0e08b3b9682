//! The files of the log: made ahead of the writer, used again after they were purged.
//!
//! A segment is `<number>.log`, 20 digits. The file for the next number is made while the last one still has room: filled with
//! zeros, so that the writer never waits for the file system to find blocks, and synced with its folder, so that a sync of
//! its data is enough later. A segment that is no longer needed becomes `<number>.spare` and is renamed when its turn comes:
//! its blocks are there already. Only its header is wiped; its old records are not valid under another number.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, mpsc};
use std::thread::JoinHandle;

use crate::blocking::Blocking;
use crate::disk::{Disk, RandomAccess};
use crate::log::LogSettings;
use crate::log::segment::RECORDS;

/// Spare files that are kept.
const SPARES: usize = 2;
/// Zeros written at once, bytes.
const ZEROS: usize = 1 << 20;
/// Capacity of the first segment. Each one has four times that of the one before, up to the configured size, so that a log
/// that is hardly used stays small.
const FIRST: u64 = 1 << 20;
/// Capacities are multiples of this.
const BLOCK: u64 = 4096;

/// An open file of the log.
pub(super) struct Segment {
    pub(super) number: u64,
    pub(super) path: PathBuf,
    /// Length, bytes.
    pub(super) capacity: u64,
    pub(super) file: Arc<dyn RandomAccess>,
}

/// What a file name in the log's folder means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Named {
    Segment(u64),
    Spare(u64),
}

impl Named {
    pub(super) fn parse(name: &str) -> Option<Self> {
        let (digits, ending) = name.split_once('.')?;
        let number = Some(digits).filter(|digits| digits.len() == 20)?.parse().ok()?;
        match ending {
            "log" => Some(Named::Segment(number)),
            "spare" => Some(Named::Spare(number)),
            _ => None,
        }
    }

    pub(super) fn path(self, folder: &Path) -> PathBuf {
        folder.join(match self {
            Named::Segment(number) => format!("{number:020}.log"),
            Named::Spare(number) => format!("{number:020}.spare"),
        })
    }
}

/// Capacity of a segment that has to hold a record of `record` bytes, bytes.
pub(super) fn capacity(settings: &LogSettings, number: u64, record: u32) -> u64 {
    let grown = FIRST << (2 * number.saturating_sub(1).min(16));
    let usual = grown.min(settings.segment_bytes).max(BLOCK);
    let needed = u64::from(RECORDS) + u64::from(record);
    usual.max(needed).next_multiple_of(BLOCK)
}

/// The folder, and what of it is not in use.
pub(super) struct Folder {
    disk: Arc<dyn Disk>,
    path: PathBuf,
    /// Numbers and lengths of the spare files.
    spares: Mutex<Vec<(u64, u64)>>,
    bytes: AtomicU64,
}

impl Folder {
    pub(super) fn new(disk: Arc<dyn Disk>, path: PathBuf) -> Self {
        Folder {
            disk,
            path,
            spares: Mutex::default(),
            bytes: AtomicU64::new(0),
        }
    }

    /// Length of all files, bytes.
    pub(super) fn bytes(&self) -> u64 {
        self.bytes.load(Ordering::Relaxed)
    }

    /// Counts files that were found.
    pub(super) fn found(&self, segments: u64, spares: Vec<(u64, u64)>) {
        let spare_bytes: u64 = spares.iter().map(|(_, length)| length).sum();
        self.bytes.store(segments + spare_bytes, Ordering::Relaxed);
        *self.spares.lock().unwrap_or_else(PoisonError::into_inner) = spares;
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// The file for a segment, empty of valid records and durable. Blocks for as long as it takes to write it.
    pub(super) fn prepare(&self, number: u64, capacity: u64) -> io::Result<Segment> {
        let path = Named::Segment(number).path(&self.path);
        let spare = {
            let mut spares = self.spares.lock().unwrap_or_else(PoisonError::into_inner);
            let fitting = spares.iter().position(|(_, length)| *length == capacity);
            fitting.map(|at| spares.swap_remove(at).0)
        };
        let prepared = match spare {
            Some(spare) => self.reuse(spare, &path),
            None => self.fill(&path, capacity),
        };
        let file = prepared.and_then(|file| {
            file.sync_data()?;
            self.disk.sync_dir(&self.path)?;
            Ok(file)
        });
        let file = file.map_err(|error| within("cannot make", &path, error))?;
        Ok(Segment {
            number,
            path,
            capacity,
            file,
        })
    }

    fn reuse(&self, spare: u64, path: &Path) -> io::Result<Arc<dyn RandomAccess>> {
        self.disk.rename(&Named::Spare(spare).path(&self.path), path)?;
        let file = self.disk.open(path)?;
        file.write_at(0, &[0; RECORDS as usize])?;
        Ok(file)
    }

    fn fill(&self, path: &Path, capacity: u64) -> io::Result<Arc<dyn RandomAccess>> {
        let file = self.disk.open(path)?;
        let zeros = vec![0; ZEROS.min(capacity as usize)];
        let mut offset = 0;
        while offset < capacity {
            let n = (capacity - offset).min(zeros.len() as u64);
            if let Err(error) = file.write_at(offset, &zeros[..n as usize]) {
                // Half a file would keep space that others need. Removing it can fail as well; the next start does it then.
                let _ = self.disk.remove(path);
                return Err(error);
            }
            offset += n;
        }
        self.bytes.fetch_add(capacity, Ordering::Relaxed);
        Ok(file)
    }

    /// Takes segments whose entries are all purged.
    pub(super) fn retire(&self, segments: Vec<Arc<Segment>>) -> io::Result<()> {
        for segment in segments {
            let Segment {
                number, path, capacity, ..
            } = &*segment;
            let mut spares = self.spares.lock().unwrap_or_else(PoisonError::into_inner);
            // A file that somebody still reads must not change.
            let retired = if spares.len() < SPARES && Arc::strong_count(&segment) == 1 {
                let renamed = self.disk.rename(path, &Named::Spare(*number).path(&self.path));
                renamed.map(|()| spares.push((*number, *capacity)))
            } else {
                let removed = self.disk.remove(path);
                removed.map(|()| {
                    self.bytes.fetch_sub(*capacity, Ordering::Relaxed);
                })
            };
            retired.map_err(|error| within("cannot remove", path, error))?;
        }
        Ok(())
    }
}

/// An error with the file it is about.
pub(super) fn within(doing: &str, path: &Path, error: io::Error) -> io::Error {
    io::Error::new(error.kind(), format!("{doing} {}: {error}", path.display()))
}

enum Job {
    Prepare {
        number: u64,
        capacity: u64,
        done: mpsc::Sender<io::Result<Segment>>,
    },
    Retire(Vec<Arc<Segment>>),
}

/// Makes and retires files beside the writer: on a thread of its own, or in place where there are no threads.
pub(super) struct Helper {
    folder: Arc<Folder>,
    thread: Option<(mpsc::Sender<Job>, JoinHandle<()>)>,
    coming: Option<mpsc::Receiver<io::Result<Segment>>>,
}

impl Helper {
    pub(super) fn new(folder: Arc<Folder>, blocking: Blocking) -> io::Result<Self> {
        let thread = match blocking {
            Blocking::Inline => None,
            Blocking::Threads => {
                let (jobs, queue) = mpsc::channel();
                let folder = Arc::clone(&folder);
                #[allow(clippy::disallowed_methods, reason = "the helper's own thread")]
                let thread = std::thread::Builder::new()
                    .name("raft-log-files".to_owned())
                    .spawn(move || queue.into_iter().for_each(|job| run(&folder, job)))?;
                Some((jobs, thread))
            }
        };
        Ok(Helper {
            folder,
            thread,
            coming: None,
        })
    }

    /// Begins to make the file for a segment, unless that has begun.
    pub(super) fn prepare(&mut self, number: u64, capacity: u64) {
        if self.coming.is_none() {
            let (done, coming) = mpsc::channel();
            self.coming = Some(coming);
            self.give(Job::Prepare { number, capacity, done });
        }
    }

    /// The file for a segment. Waits for it if it is being made, and makes it here if it is not.
    pub(super) fn next(&mut self, number: u64, capacity: u64) -> io::Result<Segment> {
        let coming = self.coming.take();
        match coming.and_then(|coming| coming.recv().ok()) {
            Some(Ok(segment)) if segment.number == number && segment.capacity == capacity => Ok(segment),
            // It was too small for one large entry, or there was no space then and perhaps is now.
            _ => {
                let path = Named::Segment(number).path(self.folder.path());
                if self.folder.disk.exists(&path) {
                    self.folder.discard(&path)?;
                }
                self.folder.prepare(number, capacity)
            }
        }
    }

    /// Takes segments whose entries are all purged, durably so.
    pub(super) fn retire(&self, segments: Vec<Arc<Segment>>) {
        self.give(Job::Retire(segments));
    }

    fn give(&self, job: Job) {
        match &self.thread {
            // The thread ends only with its channel.
            Some((jobs, _)) => drop(jobs.send(job)),
            None => run(&self.folder, job),
        }
    }
}

impl Folder {
    /// Removes a file that holds nothing.
    pub(super) fn discard(&self, path: &Path) -> io::Result<()> {
        let length = self.disk.len(path)?;
        self.disk
            .remove(path)
            .map_err(|error| within("cannot remove", path, error))?;
        self.bytes.fetch_sub(length.min(self.bytes()), Ordering::Relaxed);
        Ok(())
    }
}

impl Drop for Helper {
    fn drop(&mut self) {
        if let Some((jobs, thread)) = self.thread.take() {
            drop(jobs);
            // A panic there has been printed, and who waits for a file has made it.
            let _ = thread.join();
        }
    }
}

fn run(folder: &Folder, job: Job) {
    match job {
        Job::Prepare { number, capacity, done } => {
            // Nobody waits any more when the log is being closed.
            let _ = done.send(folder.prepare(number, capacity));
        }
        Job::Retire(segments) => {
            // They are tried again at the next start; until then they only take room.
            if let Err(error) = folder.retire(segments) {
                tracing::warn!(%error, "files of the Raft log that are not needed any more stay");
            }
        }
    }
}
