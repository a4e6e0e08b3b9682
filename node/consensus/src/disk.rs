//! The seam between this crate and the file system.
//!
//! The Raft log, snapshots, bundles and meta files go through [`Disk`], so that a simulation can lose what was not fsynced.
//! Only sled does its own I/O.

use std::fmt;
use std::fs::{self, File};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::FileExt as Positioned;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use fs4::fs_std::FileExt;

/// The few operations that durable files need. Calls block.
pub trait Disk: fmt::Debug + Send + Sync + 'static {
    /// Makes a folder and its parents.
    fn create_dir_all(&self, path: &Path) -> io::Result<()>;
    /// Names of the files in a folder, sorted.
    fn list(&self, path: &Path) -> io::Result<Vec<String>>;
    /// The whole content of a file.
    fn read(&self, path: &Path) -> io::Result<Vec<u8>>;
    /// Up to `length` bytes from `offset`; fewer only at the end of the file.
    fn read_at(&self, path: &Path, offset: u64, length: usize) -> io::Result<Vec<u8>>;
    /// Length of a file in bytes.
    fn len(&self, path: &Path) -> io::Result<u64>;
    /// Is there a file or folder?
    fn exists(&self, path: &Path) -> bool;
    /// A new, empty file; an old one of that name is replaced.
    fn create(&self, path: &Path) -> io::Result<Box<dyn DiskFile>>;
    /// Opens a file for reading and writing in place; an empty one is made when there is none.
    fn open(&self, path: &Path) -> io::Result<Arc<dyn RandomAccess>>;
    /// Gives a file its final name, replacing what had it.
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()>;
    /// Removes a file.
    fn remove(&self, path: &Path) -> io::Result<()>;
    /// Makes creations, renames and removals in a folder durable.
    fn sync_dir(&self, path: &Path) -> io::Result<()>;
    /// Takes the lock that a file stands for, which is made when there is none, until the value is dropped. An error of kind
    /// `WouldBlock` when another process, or this one, holds it.
    fn lock(&self, path: &Path) -> io::Result<Lock>;

    /// Writes a file so that after a crash it is there whole or not at all: temporary name, fsync, rename, fsync of the
    /// folder.
    fn publish(&self, path: &Path, content: &[u8]) -> io::Result<()> {
        let temporary = temporary_name(path);
        let written = self.create(&temporary).and_then(|mut file| {
            file.write(content)?;
            file.sync()
        });
        if let Err(error) = written.and_then(|()| self.rename(&temporary, path)) {
            // What cannot be removed now is removed at the next start.
            let _ = self.remove(&temporary);
            return Err(error);
        }
        match path.parent() {
            Some(folder) => self.sync_dir(folder),
            None => Ok(()),
        }
    }
}

/// Holds a lock until it is dropped.
pub struct Lock {
    _held: Box<dyn Send + Sync>,
}

impl Lock {
    /// A lock that is held as long as this value lives.
    pub fn new(held: impl Send + Sync + 'static) -> Self {
        Lock { _held: Box::new(held) }
    }
}

impl fmt::Debug for Lock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Lock")
    }
}

/// A file that is being written.
pub trait DiskFile: Send {
    /// Appends bytes.
    fn write(&mut self, bytes: &[u8]) -> io::Result<()>;
    /// Returns when everything written is durable.
    fn sync(&mut self) -> io::Result<()>;
}

/// A file that is read and written in place, also by several threads. It stays usable when its name is changed or removed.
pub trait RandomAccess: Send + Sync {
    /// Up to `length` bytes from `offset`; fewer only at the end of the file.
    fn read_at(&self, offset: u64, length: usize) -> io::Result<Vec<u8>>;
    /// Writes all bytes at `offset`. The file grows when they reach behind its end.
    fn write_at(&self, offset: u64, bytes: &[u8]) -> io::Result<()>;
    /// Returns when everything written is durable, with the length that is needed to read it.
    fn sync_data(&self) -> io::Result<()>;
}

/// Ending of files that are not finished; they are removed at start.
pub(crate) const TEMPORARY: &str = ".tmp";

/// A name that no other writer of this process uses: two may write the same file at the same time.
pub(crate) fn temporary_name(path: &Path) -> std::path::PathBuf {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    let mut name = path.as_os_str().to_owned();
    name.push(format!(".{}{TEMPORARY}", NEXT.fetch_add(1, Ordering::Relaxed)));
    name.into()
}

/// The file system of the machine.
#[derive(Debug, Clone, Copy, Default)]
pub struct StdDisk;

impl Disk for StdDisk {
    fn create_dir_all(&self, path: &Path) -> io::Result<()> {
        fs::create_dir_all(path)
    }

    fn list(&self, path: &Path) -> io::Result<Vec<String>> {
        let mut names = Vec::new();
        for entry in fs::read_dir(path)? {
            // Names that are not UTF-8 are not ours.
            if let Ok(name) = entry?.file_name().into_string() {
                names.push(name);
            }
        }
        names.sort();
        Ok(names)
    }

    fn read(&self, path: &Path) -> io::Result<Vec<u8>> {
        fs::read(path)
    }

    fn read_at(&self, path: &Path, offset: u64, length: usize) -> io::Result<Vec<u8>> {
        let mut file = File::open(path)?;
        file.seek(SeekFrom::Start(offset))?;
        let mut bytes = Vec::with_capacity(length);
        file.take(length as u64).read_to_end(&mut bytes)?;
        Ok(bytes)
    }

    fn len(&self, path: &Path) -> io::Result<u64> {
        Ok(fs::metadata(path)?.len())
    }

    fn exists(&self, path: &Path) -> bool {
        path.exists()
    }

    fn create(&self, path: &Path) -> io::Result<Box<dyn DiskFile>> {
        Ok(Box::new(File::create(path)?))
    }

    fn open(&self, path: &Path) -> io::Result<Arc<dyn RandomAccess>> {
        let file = File::options()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(path)?;
        Ok(Arc::new(file))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        fs::rename(from, to)
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        fs::remove_file(path)
    }

    fn sync_dir(&self, path: &Path) -> io::Result<()> {
        File::open(path)?.sync_all()
    }

    fn lock(&self, path: &Path) -> io::Result<Lock> {
        let file = File::options().create(true).truncate(false).write(true).open(path)?;
        match FileExt::try_lock_exclusive(&file)? {
            true => Ok(Lock::new(file)),
            false => Err(io::ErrorKind::WouldBlock.into()),
        }
    }
}

impl DiskFile for File {
    fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.write_all(bytes)
    }

    fn sync(&mut self) -> io::Result<()> {
        self.sync_data()
    }
}

impl RandomAccess for File {
    fn read_at(&self, offset: u64, length: usize) -> io::Result<Vec<u8>> {
        let mut bytes = vec![0; length];
        let mut filled = 0;
        while filled < length {
            match Positioned::read_at(self, &mut bytes[filled..], offset + filled as u64) {
                Ok(0) => break,
                Ok(n) => filled += n,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        bytes.truncate(filled);
        Ok(bytes)
    }

    fn write_at(&self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        self.write_all_at(bytes, offset)
    }

    fn sync_data(&self) -> io::Result<()> {
        File::sync_data(self)
    }
}
