//! What a person can do when the file system refuses something.

use std::io;

/// One clause, for the end of a message.
pub(crate) fn remedy(error: &io::Error) -> &'static str {
    use io::ErrorKind as Kind;
    match error.kind() {
        Kind::StorageFull | Kind::QuotaExceeded => {
            "the disk is full: free space on it (never by removing files of the data folder), then start again"
        }
        Kind::ReadOnlyFilesystem => {
            "the file system is read-only: look into the system's log for errors of the disk, mount it writable, then start again"
        }
        Kind::PermissionDenied => {
            "the user that the node runs as may not do that: correct owner and permissions of the data folder, then start again"
        }
        Kind::AlreadyExists | Kind::NotADirectory => {
            "a file is where a folder has to be: move it away or choose another data folder"
        }
        Kind::NotFound => "something removed it while the node was running: start again",
        Kind::TooManyLinks | Kind::InvalidFilename => "choose another data folder",
        _ => "look into the system's log for errors of the disk, then start again",
    }
}
