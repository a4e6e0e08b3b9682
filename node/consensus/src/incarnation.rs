//! The incarnation of a data folder: random when the folder is made, in `meta/incarnation`.
//!
//! The cluster binds a node id to it. A folder that was wiped comes back with another one, so that a node which has
//! forgotten its votes is not taken for the one that cast them.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::disk::Disk;
use crate::ledger::Incarnation;

const FILE: &str = "incarnation";

/// The incarnation of a folder; of a folder that has none a new one, durable before it is returned. For a node that has to
/// say it before it may open the folder.
///
/// # Errors
/// When the file system fails or the file holds something else.
pub fn incarnation_of(disk: &Arc<dyn Disk>, folder: &Path) -> io::Result<Incarnation> {
    let meta = folder.join("meta");
    disk.create_dir_all(&meta)?;
    read_or_make(disk, &meta)
}

/// The same within a folder `meta` that exists.
pub(crate) fn read_or_make(disk: &Arc<dyn Disk>, meta: &Path) -> io::Result<Incarnation> {
    let file = path(meta);
    if disk.exists(&file) {
        let bytes = disk.read(&file)?;
        let text = std::str::from_utf8(&bytes).unwrap_or_default();
        return text.trim().parse().map_err(|_| {
            let why = "it does not hold 32 hex digits; put it back from a copy, or remove this node and join as \
                       a new one";
            io::Error::new(io::ErrorKind::InvalidData, why)
        });
    }
    let incarnation = Incarnation(rand::random());
    disk.publish(&file, format!("{incarnation}\n").as_bytes())?;
    Ok(incarnation)
}

/// Where a folder's incarnation is written.
pub(crate) fn path(meta: &Path) -> PathBuf {
    meta.join(FILE)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::disk::StdDisk;

    fn incarnation_of(folder: &Path) -> io::Result<Incarnation> {
        let disk: Arc<dyn Disk> = Arc::new(StdDisk);
        super::incarnation_of(&disk, folder)
    }

    #[test]
    fn a_folder_keeps_its_incarnation_and_a_wiped_one_gets_another() {
        let folder = tempfile::tempdir().unwrap();
        let first = incarnation_of(folder.path()).unwrap();
        assert_eq!(incarnation_of(folder.path()).unwrap(), first);
        std::fs::remove_dir_all(folder.path().join("meta")).unwrap();
        assert_ne!(incarnation_of(folder.path()).unwrap(), first);
    }

    #[test]
    fn a_file_that_holds_something_else_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        incarnation_of(folder.path()).unwrap();
        std::fs::write(path(&folder.path().join("meta")), b"short").unwrap();
        let error = incarnation_of(folder.path()).unwrap_err();
        assert!(error.to_string().contains("32 hex digits"), "{error}");
    }
}
