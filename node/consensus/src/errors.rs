//! What callers of consensus are told when something does not work.

use std::io;
use std::path::PathBuf;
use std::time::Duration;

use crate::home::HomeError;
use crate::snapshots::SnapshotError;

/// Why a node does not start.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The data folder is refused.
    #[error(transparent)]
    Home(#[from] HomeError),
    /// The newest snapshot cannot be used, for a reason that the one before it would not cure.
    #[error(transparent)]
    Snapshot(#[from] SnapshotError),
    /// The newest snapshot is damaged, and the Raft log does not lead up to it from the one before it.
    #[error(
        "{0}, and the Raft log does not lead up to it from one before it; remove this node from the \
         cluster and add a new one with a new id, or, if the folder was restored just now, restore it again; never put an \
         older copy of a node's folder back: it has forgotten entries and votes"
    )]
    NeededSnapshot(#[source] SnapshotError),
    /// The file system refuses the Raft log; nothing says that it is damaged.
    #[error(
        "the Raft log in {folder} cannot be opened: {source}; check the disk, its free space and the permissions of the \
         folder, then start again"
    )]
    LogIo {
        /// Where it is.
        folder: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The Raft log begins behind the newest snapshot.
    #[error(
        "the Raft log was purged up to entry {purged}, but {}: the entries between are missing; put back the newest file of \
         {folder} if it was removed, otherwise remove this node from the cluster and add a new one with a new id",
        snapshot.map_or("there is no snapshot".to_owned(), |index| format!("the newest snapshot ends at entry {index}"))
    )]
    Gap {
        /// Folder of the snapshots.
        folder: PathBuf,
        /// Last entry removed from the Raft log.
        purged: u64,
        /// Last entry in the newest snapshot.
        snapshot: Option<u64>,
    },
    /// The Raft log cannot be read.
    #[error(
        "the Raft log in {folder} is damaged: {source}; a write that a crash left unfinished would have been cut off, this is \
         something else; do not repair it by hand: remove this node from the cluster and add a new one with a new id"
    )]
    Log {
        /// Where it is.
        folder: PathBuf,
        /// What is wrong.
        source: io::Error,
    },
    /// The Raft log is whole and not for this program.
    #[error("the Raft log in {folder} is not for this program: {source}")]
    LogForeign {
        /// Where it is.
        folder: PathBuf,
        /// What is wrong, and what to do.
        source: io::Error,
    },
    /// The decision log's folder cannot be read.
    #[error(
        "the decision log in {folder} cannot be opened: {source}; check the disk and the permissions of the folder, then \
         start again"
    )]
    DecisionLog {
        /// Where it is.
        folder: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The raw readings that are kept here cannot be opened.
    #[error("{0}")]
    Blobs(#[source] io::Error),
    /// Snapshot, bundles and Raft log do not give a state.
    #[error(
        "the state of this node cannot be restored: {0}; if that names no remedy, start again, and if it stays so remove this \
         node from the cluster and add a new one with a new id"
    )]
    Restore(String),
    /// A setting that cannot work.
    #[error("consensus settings: {0}")]
    Settings(String),
}

/// Why a command certainly had no effect.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reason {
    /// Too many commands are waiting here.
    Overloaded,
    /// Nobody leads, or the leader has no quorum, or it cannot be reached.
    NoLeader,
    /// The leader has lost its quorum: it was cut off, or too many nodes are down.
    NoQuorum,
    /// It waited for its turn until its deadline.
    Deadline,
    /// It is larger than one command may be.
    TooLarge,
    /// The leader cannot read it: it runs another version.
    Unreadable,
}

impl Reason {
    /// The stable text form.
    pub fn as_str(self) -> &'static str {
        match self {
            Reason::Overloaded => "OVERLOADED",
            Reason::NoLeader => "NO_LEADER",
            Reason::NoQuorum => "NO_QUORUM",
            Reason::Deadline => "DEADLINE_BEFORE_SUBMIT",
            Reason::TooLarge => "COMMAND_TOO_LARGE",
            Reason::Unreadable => "COMMAND_UNREADABLE",
        }
    }

    pub(crate) fn parse(text: &str) -> Option<Self> {
        [
            Reason::Overloaded,
            Reason::NoLeader,
            Reason::NoQuorum,
            Reason::Deadline,
            Reason::TooLarge,
            Reason::Unreadable,
        ]
        .into_iter()
        .find(|reason| reason.as_str() == text)
    }
}

/// Why a proposal has no outcome.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ProposeError {
    /// It certainly had and will have no effect.
    #[error("not applied ({}): {detail}; {}", reason.as_str(), advice(*retry_after))]
    NotApplied {
        /// Why.
        reason: Reason,
        /// More about it.
        detail: String,
        /// When trying again makes sense. Zero when it never does.
        retry_after: Duration,
    },
    /// It may have had or may still have an effect: ask again with the same request id.
    #[error("outcome unknown: {detail}")]
    Unknown {
        /// What happened.
        detail: String,
    },
    /// This node has stopped. The command had no effect.
    #[error("this node has stopped: {detail}")]
    Stopped {
        /// Why.
        detail: String,
    },
}

fn advice(retry_after: Duration) -> String {
    match retry_after.is_zero() {
        true => "sending it again as it is does not help".to_owned(),
        false => format!("try again in {} ms", retry_after.as_millis()),
    }
}

impl OpenError {
    /// What a failure to open the Raft log means.
    pub(crate) fn of_log(folder: PathBuf, source: io::Error) -> Self {
        match source.kind() {
            io::ErrorKind::InvalidData => OpenError::Log { folder, source },
            io::ErrorKind::Unsupported if source.raw_os_error().is_none() => OpenError::LogForeign { folder, source },
            _ => OpenError::LogIo { folder, source },
        }
    }
}

impl ProposeError {
    pub(crate) fn not_applied(reason: Reason, detail: impl Into<String>) -> Self {
        let retry_after = match reason {
            Reason::Overloaded => Duration::from_millis(50),
            Reason::NoLeader | Reason::NoQuorum | Reason::Deadline => Duration::from_millis(100),
            Reason::TooLarge | Reason::Unreadable => Duration::ZERO,
        };
        ProposeError::NotApplied {
            reason,
            detail: detail.into(),
            retry_after,
        }
    }

    pub(crate) fn unknown(detail: impl Into<String>) -> Self {
        ProposeError::Unknown { detail: detail.into() }
    }

    pub(crate) fn stopped(detail: impl Into<String>) -> Self {
        ProposeError::Stopped { detail: detail.into() }
    }
}

/// Why a read has no answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ReadError {
    /// No leader with a quorum confirmed the read in time.
    #[error("no leader with a quorum confirmed the read within {} ms; try again", waited.as_millis())]
    NoQuorum {
        /// How long was tried.
        waited: Duration,
    },
    /// The entry is in a bundle that this replica lacks, and no other node could give it.
    #[error(
        "entry {entry} of the decision log is not on this node yet and no other node gave it: {detail}; try again or ask another node"
    )]
    NotHere {
        /// The entry.
        entry: u64,
        /// What the others said.
        detail: String,
    },
    /// The index is being opened after a start, or made again from the log.
    #[error(
        "the index of this node is {}; try again in a moment or ask another node",
        indexed.map_or("being opened".to_owned(), |indexed| format!("being made: {indexed} of {size} entries are in it"))
    )]
    IndexBehind {
        /// Entries in it; none while it is being opened.
        indexed: Option<u64>,
        /// Entries in the log.
        size: u64,
    },
    /// What is on disk is damaged or cannot be read.
    #[error("{0}")]
    Storage(String),
    /// This node has stopped.
    #[error("this node has stopped")]
    Stopped,
}

/// Why leadership or membership did not change.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ChangeError {
    /// Only the leader can do this.
    #[error("this node does not lead; the leader is {}", leader.map_or("unknown".to_owned(), |id| format!("node {id}")))]
    NotLeader {
        /// Who leads, as far as known.
        leader: Option<u64>,
    },
    /// It did not happen in time. It may still happen.
    #[error("not finished within {} ms; it may still happen", waited.as_millis())]
    Deadline {
        /// How long was waited.
        waited: Duration,
    },
    /// The node lost the lead before it was decided.
    #[error("the leader changed before it was decided: it may have happened; look at the voters first")]
    Unknown,
    /// Raft refuses it.
    #[error("refused: {0}")]
    Refused(String),
    /// This node has stopped.
    #[error("this node has stopped: {0}")]
    Stopped(String),
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_that_can_never_be_applied_is_not_to_be_tried_again() {
        let never = ProposeError::not_applied(Reason::TooLarge, "it has 5 bytes").to_string();
        assert!(!never.contains("try again"), "{never}");
        let later = ProposeError::not_applied(Reason::Overloaded, "full").to_string();
        assert!(later.ends_with("try again in 50 ms"), "{later}");
    }

    #[test]
    fn a_damaged_log_and_a_failing_disk_are_told_apart() {
        let of = |source: io::Error| OpenError::of_log(PathBuf::from("raft"), source);
        let damaged = of(io::Error::new(io::ErrorKind::InvalidData, "checksum"));
        assert!(damaged.to_string().contains("is damaged"), "{damaged}");
        let newer = of(io::Error::new(io::ErrorKind::Unsupported, "format 9"));
        assert!(newer.to_string().contains("not for this program: format 9"), "{newer}");
        let full = of(io::ErrorKind::StorageFull.into());
        assert!(full.to_string().contains("free space"), "{full}");
    }
}
