//! What a disk that keeps its power may still do to whoever uses it: be full, fail to sync, take its time.

use std::time::Duration;

use rustix::io::{Errno, Result};

/// What is wrong with a disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Trouble {
    /// Nothing.
    #[default]
    None,
    /// There is no room: what would take a new page, or a new name, fails with ENOSPC. So it does on a file system that
    /// promises room before it has it.
    Full,
    /// Every sync fails with EIO and makes nothing durable.
    SyncFails,
    /// Every sync takes so much longer.
    SyncSlow(Duration),
}

/// How often users of the disk met its troubles, since it was made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Met {
    /// Writes and new names that found no room.
    pub no_room: u64,
    /// Syncs that failed.
    pub failed_syncs: u64,
    /// Syncs that were held up.
    pub slow_syncs: u64,
}

/// Trouble, and who met it.
#[derive(Debug, Default)]
pub(super) struct Troubles {
    pub(super) now: Trouble,
    pub(super) met: Met,
}

impl Troubles {
    /// Something is about to take new room.
    pub(super) fn takes_room(&mut self) -> Result<()> {
        if self.now == Trouble::Full {
            self.met.no_room += 1;
            return Err(Errno::NOSPC);
        }
        Ok(())
    }

    /// A sync is about to be done; returns how long it has to wait.
    pub(super) fn syncs(&mut self) -> Result<Duration> {
        match self.now {
            Trouble::SyncFails => {
                self.met.failed_syncs += 1;
                Err(Errno::IO)
            }
            Trouble::SyncSlow(by) => {
                self.met.slow_syncs += 1;
                Ok(by)
            }
            Trouble::None | Trouble::Full => Ok(Duration::ZERO),
        }
    }
}
