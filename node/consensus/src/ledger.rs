//! What consensus needs of the domain, in one place.

use portcullis_domain::codec::{self, CodecError};
pub(crate) use portcullis_domain::command::{Command, CommandBody};
use portcullis_domain::event::Leaf;
pub(crate) use portcullis_domain::event::Subjects;
pub(crate) use portcullis_domain::id::{ClusterId, Digest, Incarnation, NodeId, Timestamp};
pub(crate) use portcullis_domain::ledger::Ledger;
pub(crate) use portcullis_domain::outcome::Outcome;

/// Size and root of the decision log that a ledger has written.
pub(crate) fn head(ledger: &Ledger) -> (u64, Digest) {
    (ledger.log().size(), ledger.log().root())
}

/// What a leaf of the decision log is about.
pub(crate) fn subjects(leaf: &[u8]) -> Result<Subjects, CodecError> {
    codec::from_bytes::<Leaf>(leaf).map(|leaf| leaf.event.subjects())
}
