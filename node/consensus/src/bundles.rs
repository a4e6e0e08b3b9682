//! The folder of full bundles: which are here, what root each has, and reading their pages.
//!
//! The roots of all full bundles are kept in memory, 32 bytes for 4096 leaves. They come from the snapshot and from apply,
//! never from the files, so that a file is believed only when it has the root that this replica's own ledger vouches for.

use std::collections::{BTreeSet, VecDeque};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;

use crate::bundle::{Bundle, HEAD_BYTES, Head, LEAVES, PAGE};
use crate::disk::{Disk, temporary_name};
use crate::ledger::Digest;
use crate::record::invalid;
use crate::remedy::remedy;

/// Pages kept for readers.
const CACHED: usize = 64;

/// The folder.
#[derive(Debug)]
pub(crate) struct Bundles {
    disk: Arc<dyn Disk>,
    folder: PathBuf,
    known: Mutex<Known>,
    cache: Mutex<VecDeque<(u64, Arc<Vec<Bytes>>)>>,
}

#[derive(Debug, Default)]
struct Known {
    /// Root of each full bundle, by number.
    roots: Vec<Digest>,
    /// Numbers of the files.
    present: BTreeSet<u64>,
    /// All bundles below are present; where the search for a missing one begins.
    whole: u64,
}

impl Bundles {
    /// Lists the folder and reads nothing: that bundles are whole is seen when they are read.
    pub(crate) fn open(disk: Arc<dyn Disk>, folder: PathBuf) -> io::Result<Self> {
        let present = disk
            .list(&folder)?
            .iter()
            .filter_map(|name| Bundle::number_of(name))
            .collect();
        Ok(Bundles {
            disk,
            folder,
            known: Mutex::new(Known {
                present,
                ..Known::default()
            }),
            cache: Mutex::default(),
        })
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        // Every change is a few steps that cannot panic half way.
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How many bundles are full and have been written or are missing: the number of the next one to write.
    pub(crate) fn count(&self) -> u64 {
        self.known().roots.len() as u64
    }

    /// Replaces the roots by those of a snapshot.
    pub(crate) fn reset(&self, roots: Vec<Digest>) {
        let mut known = self.known();
        known.roots = roots;
        known.whole = 0;
    }

    /// The roots of the first bundles; fewer when there are fewer.
    pub(crate) fn roots(&self, count: u64) -> Vec<Digest> {
        let known = self.known();
        let count = known.roots.len().min(count as usize);
        known.roots[..count].to_vec()
    }

    /// The root of a full bundle.
    pub(crate) fn root(&self, number: u64) -> Option<Digest> {
        self.known().roots.get(number as usize).copied()
    }

    pub(crate) fn holds(&self, number: u64) -> bool {
        self.known().present.contains(&number)
    }

    /// The first bundles that should be here and are not, without a gap between them, at most `max`.
    pub(crate) fn missing(&self, max: u64) -> std::ops::Range<u64> {
        let mut known = self.known();
        let count = known.roots.len() as u64;
        while known.whole < count && known.present.contains(&known.whole) {
            known.whole += 1;
        }
        let first = known.whole;
        let end = known.present.range(first..).next().copied().unwrap_or(count);
        first..end.min(count).min(first.saturating_add(max))
    }

    /// How many bundles should be here and are not.
    pub(crate) fn missing_count(&self) -> u64 {
        let known = self.known();
        let count = known.roots.len() as u64;
        count - known.present.range(..count).count() as u64
    }

    /// Takes note that the next bundles, whose files are durable, have these roots. Those that a snapshot brought meanwhile
    /// are known already.
    pub(crate) fn grow(&self, written: &[(u64, Digest)]) {
        let mut known = self.known();
        for (number, root) in written {
            if *number == known.roots.len() as u64 {
                known.roots.push(*root);
            }
        }
    }

    /// Makes files durable together: one sync for each and one for the folder. Those that are here stay as they are.
    pub(crate) fn write(&self, bundles: &[Bundle]) -> io::Result<()> {
        let mut temporary = Vec::new();
        let written = self.write_all(bundles, &mut temporary);
        if written.is_err() {
            for file in temporary {
                // What cannot be removed now is removed at the next start.
                let _ = self.disk.remove(&file);
            }
        }
        written
    }

    fn write_all(&self, bundles: &[Bundle], temporary: &mut Vec<PathBuf>) -> io::Result<()> {
        let failed = |path: &Path| {
            let path = path.to_owned();
            move |error: io::Error| named(&error, "cannot be written", &path)
        };
        let mut finals = Vec::new();
        let mut open = Vec::new();
        for bundle in bundles.iter().filter(|bundle| !self.holds(bundle.number)) {
            let path = self.path(bundle.number);
            let unfinished = temporary_name(&path);
            let mut file = self.disk.create(&unfinished).map_err(failed(&path))?;
            temporary.push(unfinished);
            file.write(&bundle.file).map_err(failed(&path))?;
            open.push(file);
            finals.push((bundle.number, path));
        }
        // Written first and synced then, so that the disk has them all at once.
        for (file, (_, path)) in open.iter_mut().zip(&finals) {
            file.sync().map_err(failed(path))?;
        }
        drop(open);
        for (unfinished, (_, path)) in temporary.iter().zip(&finals) {
            self.disk.rename(unfinished, path).map_err(failed(path))?;
        }
        if !finals.is_empty() {
            self.disk.sync_dir(&self.folder).map_err(failed(&self.folder))?;
        }
        self.known().present.extend(finals.iter().map(|(number, _)| *number));
        Ok(())
    }

    /// The root that a bundle which is here has by its own head.
    pub(crate) fn root_on_disk(&self, number: u64) -> io::Result<Digest> {
        self.head(number).map(|head| head.root)
    }

    /// The leaves of the page in which a leaf is. Its bundle must be here.
    pub(crate) fn page_of(&self, leaf: u64) -> io::Result<Arc<Vec<Bytes>>> {
        let page = leaf / PAGE;
        let cache = || self.cache.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, leaves)) = cache().iter().find(|(number, _)| *number == page) {
            return Ok(Arc::clone(leaves));
        }
        let number = leaf / LEAVES;
        let head = self.head(number)?;
        if let Some(wanted) = self.root(number)
            && head.root != wanted
        {
            return Err(self.damaged(number, &head.foreign(&wanted)));
        }
        let index = (leaf % LEAVES / PAGE) as usize;
        let (offset, length) = head.place(index);
        let path = self.path(number);
        let bytes = self
            .disk
            .read_at(&path, offset, length)
            .map_err(|error| named(&error, "cannot be read", &path))?;
        let leaves = head
            .page(index, bytes.into())
            .map_err(|error| self.damaged(number, &error))?;
        let leaves = Arc::new(leaves);
        let mut cache = cache();
        if cache.len() == CACHED {
            cache.pop_back();
        }
        cache.push_front((page, Arc::clone(&leaves)));
        Ok(leaves)
    }

    /// The whole file of a bundle, as it is on disk: whoever gets it checks it. `None` when it is not here.
    pub(crate) fn file(&self, number: u64) -> io::Result<Option<Bytes>> {
        if !self.holds(number) {
            return Ok(None);
        }
        let path = self.path(number);
        let bytes = self
            .disk
            .read(&path)
            .map_err(|error| named(&error, "cannot be read", &path))?;
        Ok(Some(bytes.into()))
    }

    /// Reads a bundle that is here to its last byte and compares it with the root that the log has in its place.
    pub(crate) fn verify(&self, number: u64, wanted: Digest) -> io::Result<Bundle> {
        let file = self.file(number)?.ok_or_else(|| {
            invalid(format!(
                "the decision-log bundle {} is missing; copy the file from another node (all nodes have the same one)",
                self.path(number).display()
            ))
        })?;
        Bundle::checked(number, wanted, file).map_err(|error| self.damaged(number, &error))
    }

    fn head(&self, number: u64) -> io::Result<Head> {
        let path = self.path(number);
        let bytes = self
            .disk
            .read_at(&path, 0, HEAD_BYTES)
            .map_err(|error| named(&error, "cannot be read", &path))?;
        Head::decode(number, &bytes).map_err(|error| self.damaged(number, &error))
    }

    pub(crate) fn path(&self, number: u64) -> PathBuf {
        self.folder.join(Bundle::file_name(number))
    }

    fn damaged(&self, number: u64, error: &io::Error) -> io::Error {
        invalid(format!(
            "the decision-log bundle {} is damaged: {error}; move the file away and start again: the node then fetches it \
             from another one (all nodes have the same file; a cluster of one node needs it from a backup)",
            self.path(number).display()
        ))
    }
}

/// An error of the file system that says which file and what to look at.
fn named(error: &io::Error, what: &str, path: &Path) -> io::Error {
    io::Error::new(
        error.kind(),
        format!(
            "the decision-log file {} {what}: {error}; {}",
            path.display(),
            remedy(error)
        ),
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::disk::StdDisk;
    use crate::faulty::{FaultyDisk, Operation};

    fn bundle(number: u64) -> Bundle {
        let leaves: Vec<Bytes> = (0..LEAVES)
            .map(|leaf| Bytes::from(format!("leaf {}", number * LEAVES + leaf)))
            .collect();
        Bundle::of(number, &leaves)
    }

    fn open(folder: &Path, disk: impl Disk) -> Bundles {
        let bundles = Bundles::open(Arc::new(disk), folder.to_owned()).unwrap();
        bundles.reset((0..3).map(|number| bundle(number).root).collect());
        bundles
    }

    #[test]
    fn bundles_are_written_together_and_one_that_is_here_stays_as_it_is() {
        let folder = tempfile::tempdir().unwrap();
        let bundles = open(folder.path(), StdDisk);
        bundles.write(&[bundle(1)]).unwrap();
        std::fs::write(bundles.path(1), b"not touched").unwrap();
        bundles.write(&[bundle(0), bundle(1), bundle(2)]).unwrap();
        assert_eq!(std::fs::read(bundles.path(1)).unwrap(), b"not touched");
        assert_eq!(bundles.missing_count(), 0);
        let again = open(folder.path(), StdDisk);
        assert!(again.missing(9).is_empty());
        assert_eq!(again.verify(2, bundle(2).root).unwrap(), bundle(2));
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 3);
    }

    #[test]
    fn every_damage_of_a_bundle_is_named_with_what_to_do_when_it_is_read() {
        let folder = tempfile::tempdir().unwrap();
        open(folder.path(), StdDisk).write(&[bundle(0), bundle(1)]).unwrap();
        let file = open(folder.path(), StdDisk).path(1);
        let whole = std::fs::read(&file).unwrap();
        let mut flipped = whole.clone();
        flipped[HEAD_BYTES + 100] ^= 1;
        let foreign = {
            let leaves: Vec<Bytes> = (0..LEAVES).map(|_| Bytes::from_static(b"another log")).collect();
            Bundle::of(1, &leaves).file
        };
        for (bytes, why) in [
            (&flipped[..], "do not have the root"),
            (&whole[..HEAD_BYTES + 100], "bytes left"),
            (&whole[..100], "cut off"),
            (&[][..], "cut off"),
            (&foreign[..], "that of the log in this place"),
            (
                &std::fs::read(open(folder.path(), StdDisk).path(0)).unwrap()[..],
                "bundle 0, not 1",
            ),
        ] {
            std::fs::write(&file, bytes).unwrap();
            let error = open(folder.path(), StdDisk)
                .page_of(LEAVES + 1)
                .unwrap_err()
                .to_string();
            assert!(
                error.contains("1.bundle is damaged") && error.contains(why) && error.contains("move the file away"),
                "{error}"
            );
        }
    }

    #[test]
    fn a_disk_that_fails_is_named_with_what_to_do_and_nothing_half_written_stays() {
        use io::ErrorKind::{PermissionDenied, ReadOnlyFilesystem, StorageFull};
        for (operation, kind, advice) in [
            (Operation::Write, StorageFull, "free space"),
            (Operation::Sync, StorageFull, "free space"),
            (Operation::Rename, ReadOnlyFilesystem, "mount it writable"),
        ] {
            let folder = tempfile::tempdir().unwrap();
            let bundles = open(folder.path(), FaultyDisk(operation, kind));
            let error = bundles.write(&[bundle(0), bundle(1)]).unwrap_err();
            assert_eq!(error.kind(), kind);
            assert!(
                error.to_string().contains(advice) && error.to_string().contains("0.bundle"),
                "{error}"
            );
            assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0, "{operation:?}");
            assert_eq!(bundles.missing_count(), 3);
        }
        let folder = tempfile::tempdir().unwrap();
        open(folder.path(), StdDisk).write(&[bundle(0)]).unwrap();
        let failing = open(folder.path(), FaultyDisk(Operation::Read, PermissionDenied));
        let error = failing.page_of(5).unwrap_err().to_string();
        assert!(error.contains("owner and permissions"), "{error}");
        std::fs::remove_file(failing.path(0)).unwrap();
        let error = open(folder.path(), StdDisk)
            .verify(0, bundle(0).root)
            .unwrap_err()
            .to_string();
        assert!(error.contains("0.bundle is missing"), "{error}");
    }
}
