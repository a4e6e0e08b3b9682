//! What the actors need from the process around them, as traits over domain types.

use std::sync::Arc;
use std::time::Duration;

use portcullis_domain::command::CommandBody;
use portcullis_domain::id::{Digest, NodeId, Timestamp};
use portcullis_domain::ledger::Ledger;
use portcullis_domain::message::Envelope;
use portcullis_domain::outcome::Outcome;
use portcullis_domain::reading::Reading;
use thiserror::Error;
use tokio::sync::watch;

pub use futures::future::BoxFuture;

/// Why there is no outcome.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum ProposeError {
    /// It certainly did not take effect: no leader, a queue is full, or it is too large.
    #[error("not applied: {reason}{}", if retry_after.is_zero() { String::new() } else { format!("; try again after {retry_after:?}") })]
    NotApplied {
        /// Why.
        reason: String,
        /// When to try again. Zero when it never makes sense: an actor that gets this gives the command up and starts
        /// again from the ledger.
        retry_after: Duration,
    },
    /// It may still take effect.
    #[error("the outcome is unknown; the command may still take effect")]
    Unknown,
    /// This process stops and proposes nothing any more.
    #[error("the proposer has stopped")]
    Stopped,
}

/// Brings commands into the log.
pub trait Proposer: Send + Sync + 'static {
    /// Proposes a command and waits until it is applied. An answer within a deadline is the implementation's duty.
    fn propose(&self, body: CommandBody, traceparent: String) -> BoxFuture<'_, Result<Outcome, ProposeError>>;
}

/// The local replica of the ledger.
pub trait LedgerView: Send + Sync + 'static {
    /// As it stands now. Cheap.
    fn ledger(&self) -> Arc<Ledger>;
    /// Looks something up in it. Cheaper than holding it, but the next command waits meanwhile.
    fn peek(&self, look: &mut dyn FnMut(&Ledger)) {
        look(&self.ledger());
    }
    /// Changes after each batch of applied commands; the value is of no interest.
    fn changes(&self) -> watch::Receiver<u64>;
}

/// Why a message did not leave.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum LinkError {
    /// The link to the node has no room.
    #[error("the link to the node has no room")]
    Overloaded,
    /// There is no link to the node.
    #[error("there is no link to the node")]
    Unreachable,
}

/// Takes messages to other nodes, at most once.
pub trait Link: Send + Sync + 'static {
    /// Hands a message over and does not wait.
    ///
    /// # Errors
    /// When it cannot leave; the message is dropped then.
    fn tell(&self, node: NodeId, envelope: Envelope) -> Result<(), LinkError>;
}

/// Why readings were not kept.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("readings could not be kept: {0}")]
pub struct BlobError(
    /// The reason, for a person.
    pub String,
);

/// Keeps readings by digest.
pub trait Blobs: Send + Sync + 'static {
    /// Keeps them durably, each under the SHA-256 of its bytes, which comes with it; keeping one twice is no harm.
    /// The bytes are shared, because the same may be asked again after a failure.
    fn put(&self, blobs: Vec<(Digest, Arc<[u8]>)>) -> BoxFuture<'_, Result<(), BlobError>>;
}

/// The port's clock, which may run faster than the cluster's.
pub trait Clock: Send + Sync + 'static {
    /// Now.
    fn now(&self) -> Timestamp;
}

/// Whether this node is in touch with a majority.
pub trait Quorum: Send + Sync + 'static {
    /// False as soon as the node knows that it is cut off: nothing may leave the lanes then.
    fn has_quorum(&self) -> bool;
    /// Changes with it.
    fn changes(&self) -> watch::Receiver<bool>;
}

/// Reads the body of a signed reading.
pub trait ReadingDecoder: Send + Sync + 'static {
    /// The reading, or why the bytes are none.
    ///
    /// # Errors
    /// For a person: what is wrong with the bytes.
    fn decode(&self, body: &[u8]) -> Result<Reading, String>;
}

/// Everything that the actors need.
#[derive(Clone)]
pub struct Ports {
    /// Brings commands into the log.
    pub proposer: Arc<dyn Proposer>,
    /// The local replica.
    pub ledger: Arc<dyn LedgerView>,
    /// To other nodes.
    pub link: Arc<dyn Link>,
    /// Where readings are kept.
    pub blobs: Arc<dyn Blobs>,
    /// The port's clock.
    pub clock: Arc<dyn Clock>,
    /// Whether anything may leave the lanes.
    pub quorum: Arc<dyn Quorum>,
    /// Reads readings.
    pub decoder: Arc<dyn ReadingDecoder>,
}

impl std::fmt::Debug for Ports {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Ports")
    }
}
