//! Reading the ledger: what this replica has applied, or what everybody had decided when the read began.

use std::sync::Arc;
use std::time::Duration;

use openraft::ReadPolicy;
use openraft::raft::linearizable_read::LinearizerOption;
use portcullis_proto::internal::v1 as pb;
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until, timeout_at};

use crate::consensus::Consensus;
use crate::errors::ReadError;
use crate::leadership::{Leadership, address_of};
use crate::peers::Class;
use crate::shown::View;

/// How long one try may take: a leader that was cut off must not use up the whole time.
const TRY: Duration = Duration::from_millis(800);
const PAUSE: Duration = Duration::from_millis(10);

/// What a read must have seen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Consistency {
    /// What this replica has applied.
    Local,
    /// Everything that was acknowledged before the read, as the leader's lease vouches. Right as long as the monotonic clocks
    /// of two nodes run at the same speed to within 10 percent: the leader trusts nine tenths of the time for which a quorum
    /// has promised not to elect another.
    Lease,
    /// Everything that was acknowledged before the read: a quorum confirms that the leader leads. Relies on no clock.
    Quorum,
}

impl Consensus {
    /// The ledger as this replica has applied it. Costs nothing; may be behind.
    pub fn view(&self) -> Arc<View> {
        self.replica().shown.view()
    }

    /// The ledger, with everything that `consistency` promises: the leader says up to where that is, and this replica catches
    /// up to it.
    ///
    /// # Errors
    /// [`ReadError::NoQuorum`] after the node's usual patience, [`ReadError::Stopped`].
    pub async fn read(&self, consistency: Consistency) -> Result<Arc<View>, ReadError> {
        self.read_within(consistency, self.patience()).await
    }

    /// Like [`Consensus::read`], with a deadline of its own.
    ///
    /// # Errors
    /// As there.
    pub async fn read_within(&self, consistency: Consistency, patience: Duration) -> Result<Arc<View>, ReadError> {
        if portcullis_domain::mutant!(LinearizableReadsLocal, true, consistency == Consistency::Local) {
            return Ok(self.view());
        }
        let start = Instant::now();
        let deadline = start + patience;
        let late = || ReadError::NoQuorum {
            waited: start.elapsed(),
        };
        let mut leadership = self.leadership();
        while Instant::now() < deadline {
            let until = deadline.min(Instant::now() + TRY);
            let leader = leadership.borrow_and_update().leader;
            let index = match leader {
                Some(leader) if leader == self.node() => self.read_index(consistency, until).await,
                Some(leader) => self.read_index_of(leader, consistency, until).await,
                None => None,
            };
            if let Some(index) = index {
                let mut applied = self.replica().applied.subscribe();
                return match timeout_at(deadline, applied.wait_for(|applied| *applied > index)).await {
                    Ok(Ok(_)) => Ok(self.view()),
                    Ok(Err(_)) => Err(ReadError::Stopped),
                    Err(_) => Err(late()),
                };
            }
            if self.stopped().is_cancelled() || self.replica().fatal.borrow().is_some() {
                return Err(ReadError::Stopped);
            }
            pause(&mut leadership, deadline).await;
        }
        Err(late())
    }

    /// The index that a read on any node has to wait for, if this node leads.
    pub(crate) async fn read_index(&self, consistency: Consistency, until: Instant) -> Option<u64> {
        portcullis_domain::mutant!(
            LeaseTooLong,
            if consistency == Consistency::Lease {
                return self.replica().applied.borrow().checked_sub(1);
            }
        );
        let option = match consistency {
            // A stale lease is renewed by a heartbeat at once, so that the read waits one round and does not fail.
            Consistency::Lease => LinearizerOption::new(Some(self.lease()), true),
            Consistency::Local | Consistency::Quorum => LinearizerOption::from(ReadPolicy::ReadIndex),
        };
        let linearizer = timeout_at(until, self.raft().get_read_linearizer(option)).await;
        linearizer.ok()?.ok().map(|linearizer| linearizer.read_log_id().index())
    }

    async fn read_index_of(&self, leader: u64, consistency: Consistency, until: Instant) -> Option<u64> {
        let address = address_of(self.raft(), leader)?;
        let mut client = self.peers().client(&address, Class::Control);
        let request = self.peers().request(
            leader,
            pb::ReadIndexRequest {
                lease: consistency == Consistency::Lease,
            },
        );
        let response = timeout_at(until, client.read_index(request)).await;
        response.ok()?.ok().map(|response| response.into_inner().index)
    }
}

async fn pause(leadership: &mut watch::Receiver<Leadership>, deadline: Instant) {
    let until = deadline.min(Instant::now() + PAUSE);
    tokio::select! {
        () = sleep_until(until) => {}
        changed = leadership.changed() => if changed.is_err() {
            sleep_until(until).await;
        },
    }
}
