//! What consensus needs of the domain, in one place.

use portcullis_domain::codec::{self, CodecError};
pub(crate) use portcullis_domain::command::{Command, CommandBody};
use portcullis_domain::event::Leaf;
pub(crate) use portcullis_domain::id::{ClusterId, Digest, Incarnation, NodeId, Timestamp};
pub(crate) use portcullis_domain::ledger::Ledger;
pub(crate) use portcullis_domain::outcome::Outcome;

/// Size and root of the decision log that a ledger has written.
pub(crate) fn head(ledger: &Ledger) -> (u64, Digest) {
    (ledger.log().size(), ledger.log().root())
}

/// A leaf of the decision log.
pub(crate) fn leaf(bytes: &[u8]) -> Result<Leaf, CodecError> {
    codec::from_bytes(bytes)
}
