//! What the actors need, made of what this process has.

use std::sync::Arc;

use bytes::Bytes;
use futures::future::BoxFuture;
use portcullis_actors::{BlobError, Blobs, LedgerView, ProposeError, Proposer, Quorum, ReadingDecoder};
use portcullis_consensus::Consensus;
use portcullis_domain::command::{Command, CommandBody};
use portcullis_domain::id::{Digest, Timestamp};
use portcullis_domain::ledger::Ledger;
use portcullis_domain::outcome::Outcome;
use portcullis_domain::reading::Reading;
use tokio::sync::watch;

/// Consensus as the actors see it.
#[derive(Debug, Clone)]
pub struct Core(pub Consensus);

/// A command as it goes to the leader, who stamps it.
pub fn unstamped(body: CommandBody, traceparent: String) -> Command {
    Command {
        at: Timestamp::ZERO,
        traceparent,
        body,
    }
}

impl Proposer for Core {
    fn propose(&self, body: CommandBody, traceparent: String) -> BoxFuture<'_, Result<Outcome, ProposeError>> {
        Box::pin(async move {
            let answers = self.0.propose(vec![unstamped(body, traceparent)]).await;
            match answers.into_iter().next() {
                Some(Ok(outcome)) => Ok(outcome),
                Some(Err(portcullis_consensus::ProposeError::NotApplied {
                    reason,
                    detail,
                    retry_after,
                })) => Err(ProposeError::NotApplied {
                    reason: format!("{}: {detail}", reason.as_str()),
                    retry_after,
                }),
                Some(Err(portcullis_consensus::ProposeError::Stopped { .. })) => Err(ProposeError::Stopped),
                Some(Err(portcullis_consensus::ProposeError::Unknown { .. })) | None => Err(ProposeError::Unknown),
            }
        })
    }
}

impl LedgerView for Core {
    fn ledger(&self) -> Arc<Ledger> {
        Arc::clone(&self.0.view().ledger)
    }

    fn peek(&self, look: &mut dyn FnMut(&Ledger)) {
        self.0.peek(look);
    }

    fn changes(&self) -> watch::Receiver<u64> {
        self.0.applied()
    }
}

impl Blobs for Core {
    fn put(&self, blobs: Vec<(Digest, Arc<[u8]>)>) -> BoxFuture<'_, Result<(), BlobError>> {
        Box::pin(async move {
            let blobs = blobs
                .into_iter()
                .map(|(digest, content)| (digest, Bytes::from_owner(content)))
                .collect();
            let kept = self.0.put_blobs(blobs).await;
            kept.map_err(|error| BlobError(error.to_string()))
        })
    }
}

/// Whether this node hears from a majority, itself included.
#[derive(Debug, Clone)]
pub struct Majority(pub watch::Receiver<bool>);

impl Quorum for Majority {
    fn has_quorum(&self) -> bool {
        *self.0.borrow()
    }

    fn changes(&self) -> watch::Receiver<bool> {
        self.0.clone()
    }
}

/// Reads readings by the contract.
#[derive(Debug, Clone, Copy)]
pub struct ByContract;

impl ReadingDecoder for ByContract {
    fn decode(&self, body: &[u8]) -> Result<Reading, String> {
        portcullis_wire::reading::decode_reading(body).map_err(|error| error.to_string())
    }
}
