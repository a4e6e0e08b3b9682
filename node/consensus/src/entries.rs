//! Reading the decision log: any part of it, and following it as it grows.

use std::time::Duration;

use bytes::Bytes;
use futures::{Stream, stream};
use tokio::time::{Instant, timeout_at};

use crate::consensus::Consensus;
use crate::errors::ReadError;
use crate::tlog::Found;

/// How long a read waits for a bundle that has to be fetched.
const PATIENCE: Duration = Duration::from_secs(10);
/// Entries that following takes at once.
const BATCH: usize = 256;

impl Consensus {
    /// Up to `max` entries of the decision log from number `from` on, with their canonical bytes; fewer when they are large
    /// and at the end of a bundle, none when `from` is not decided yet. What this replica lacks is fetched from another.
    ///
    /// # Errors
    /// [`ReadError::NotHere`] when nobody gives it, [`ReadError::Storage`] when a file is damaged.
    pub async fn entries(&self, from: u64, max: usize) -> Result<Vec<(u64, Bytes)>, ReadError> {
        let replica = self.replica();
        let deadline = Instant::now() + PATIENCE;
        loop {
            let tlog = std::sync::Arc::clone(&replica.tlog);
            // In memory most of the time; then there is no need for another thread.
            let found = if tlog.in_memory(from) {
                tlog.read(from, max)
            } else {
                replica.blocking.run(move || tlog.read(from, max)).await
            };
            match found.map_err(|error| ReadError::Storage(error.to_string()))? {
                Found::Leaves(leaves) => return Ok(leaves),
                Found::Missing(bundle) => {
                    let fetched = timeout_at(deadline, self.fetcher().bundles(bundle..bundle + 1)).await;
                    match fetched {
                        Ok(Ok(_)) => {}
                        Ok(Err(detail)) => return Err(ReadError::NotHere { entry: from, detail }),
                        Err(_) => {
                            return Err(ReadError::NotHere {
                                entry: from,
                                detail: "no answer in time".to_owned(),
                            });
                        }
                    }
                }
            }
        }
    }

    /// All entries from number `from` on, in order and without a gap, those to come included. Ends after an error and when
    /// the node stops.
    pub fn follow(&self, from: u64) -> impl Stream<Item = Result<(u64, Bytes), ReadError>> + Send + use<> {
        struct State {
            consensus: Consensus,
            changes: tokio::sync::watch::Receiver<u64>,
            next: u64,
            ready: std::vec::IntoIter<(u64, Bytes)>,
            over: bool,
        }
        let state = State {
            changes: self.changes(),
            consensus: self.clone(),
            next: from,
            ready: Vec::new().into_iter(),
            over: false,
        };
        stream::unfold(state, |mut state| async move {
            loop {
                if let Some(entry) = state.ready.next() {
                    state.next = entry.0 + 1;
                    return Some((Ok(entry), state));
                }
                if state.over {
                    return None;
                }
                let next = state.next;
                let stopped = state.consensus.stopped();
                tokio::select! {
                    grown = state.changes.wait_for(|size| *size > next) => {
                        if grown.is_err() {
                            return None;
                        }
                    }
                    () = stopped.cancelled() => return None,
                }
                match state.consensus.entries(next, BATCH).await {
                    Ok(entries) => state.ready = entries.into_iter(),
                    Err(error) => {
                        state.over = true;
                        return Some((Err(error), state));
                    }
                }
            }
        })
    }
}
