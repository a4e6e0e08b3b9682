//! What callers of consensus are told when something does not work.

use std::io;
use std::path::PathBuf;
use std::time::Duration;

use crate::home::HomeError;
use crate::snapshot::SnapshotError;

/// Why a node does not start.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The data folder is refused.
    #[error(transparent)]
    Home(#[from] HomeError),
    /// The newest snapshot is damaged.
    #[error(transparent)]
    Snapshot(#[from] SnapshotError),
    /// The Raft log cannot be read.
    #[error(
        "the Raft log in {folder} is damaged: {source}; an unfinished record at its very end would have been cut off, this is \
         something else; do not repair it by hand: remove this node from the cluster and add a new one with a new id"
    )]
    Log {
        /// Where it is.
        folder: PathBuf,
        /// What is wrong.
        source: io::Error,
    },
    /// The index store cannot be opened, also not a new one.
    #[error("the index store {folder} cannot be opened, also not an empty one in its place: {source}")]
    Index {
        /// Where it is.
        folder: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The decision log's folder cannot be read.
    #[error("the decision log in {folder} cannot be opened: {source}")]
    DecisionLog {
        /// Where it is.
        folder: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// Snapshot, bundles and Raft log do not give a state.
    #[error("the state of this node cannot be restored: {0}")]
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
            Reason::Deadline => "DEADLINE_BEFORE_SUBMIT",
            Reason::TooLarge => "COMMAND_TOO_LARGE",
            Reason::Unreadable => "COMMAND_UNREADABLE",
        }
    }

    pub(crate) fn parse(text: &str) -> Option<Self> {
        [
            Reason::Overloaded,
            Reason::NoLeader,
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
    #[error("not applied ({}): {detail}; try again in {} ms", reason.as_str(), retry_after.as_millis())]
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

impl ProposeError {
    pub(crate) fn not_applied(reason: Reason, detail: impl Into<String>) -> Self {
        let retry_after = match reason {
            Reason::Overloaded => Duration::from_millis(50),
            Reason::NoLeader | Reason::Deadline => Duration::from_millis(100),
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
    /// Raft refuses it.
    #[error("refused: {0}")]
    Refused(String),
    /// This node has stopped.
    #[error("this node has stopped: {0}")]
    Stopped(String),
}
