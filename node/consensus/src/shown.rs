//! The ledger of a replica: changed by apply alone, frozen for a reader when one asks.
//!
//! While nobody holds a view, apply changes the ledger's maps in place. A view that is held makes apply copy each part of a
//! map that it touches, so views are made on demand and not with each entry, and one serves all who ask before the next entry.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::ledger::{self, Digest, Ledger};
use crate::types::LogId;

/// The ledger as it was after one Raft entry. Never changes; cheap to hold, and best let go of soon.
#[derive(Debug, Clone)]
pub struct View {
    /// Everything that is decided.
    pub ledger: Arc<Ledger>,
    /// Index of the last Raft entry in it; 0 also before the first.
    pub raft_index: u64,
    /// Leaves in the decision log.
    pub log_size: u64,
    /// Root of the decision log.
    pub root: Digest,
}

/// Where a replica stands, without the ledger itself.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Head {
    pub(crate) raft_index: u64,
    pub(crate) log_size: u64,
    pub(crate) root: Digest,
}

/// The ledger and the newest view of it, if one was asked for.
#[derive(Debug)]
pub(crate) struct Shown {
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    ledger: Ledger,
    raft_index: u64,
    view: Option<Arc<View>>,
}

impl Shown {
    pub(crate) fn new(ledger: Ledger, last: Option<LogId>) -> Self {
        let state = State {
            ledger,
            raft_index: raft_index(last),
            view: None,
        };
        Self {
            state: Mutex::new(state),
        }
    }

    /// The newest view.
    pub(crate) fn view(&self) -> Arc<View> {
        let mut state = self.lock();
        if let Some(view) = &state.view {
            return Arc::clone(view);
        }
        let Head {
            raft_index,
            log_size,
            root,
        } = state.head();
        let view = Arc::new(View {
            ledger: Arc::new(state.ledger.clone()),
            raft_index,
            log_size,
            root,
        });
        state.view = Some(Arc::clone(&view));
        view
    }

    /// Where the newest view stands.
    pub(crate) fn head(&self) -> Head {
        self.lock().head()
    }

    /// Looks something up without freezing the ledger. Apply waits meanwhile.
    pub(crate) fn read<T>(&self, read: impl FnOnce(&Ledger) -> T) -> T {
        read(&self.lock().ledger)
    }

    /// A frozen copy of the ledger.
    pub(crate) fn freeze(&self) -> Ledger {
        self.lock().ledger.clone()
    }

    /// Applies one Raft entry. Readers wait meanwhile, and see all of it or nothing.
    pub(crate) fn change<T>(&self, last: Option<LogId>, change: impl FnOnce(&mut Ledger) -> T) -> T {
        let mut state = self.lock();
        // Before the change, so that nothing is copied on its account.
        state.view = None;
        let made = change(&mut state.ledger);
        state.raft_index = raft_index(last);
        made
    }

    /// Another ledger takes the place of this one.
    pub(crate) fn replace(&self, ledger: Ledger, last: Option<LogId>) {
        self.change(last, |current| *current = ledger);
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // A panic while the ledger was half changed must not be papered over, but apply runs in one task, and openraft stops
        // the node when that task ends.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn head(&self) -> Head {
        let (log_size, root) = ledger::head(&self.ledger);
        Head {
            raft_index: self.raft_index,
            log_size,
            root,
        }
    }
}

fn raft_index(last: Option<LogId>) -> u64 {
    last.map_or(0, |id| id.index)
}
