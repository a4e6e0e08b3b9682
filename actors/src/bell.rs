//! Wakes an actor at most once until it has looked, and remembers what changed meanwhile.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};

use portcullis_domain::id::InspectionNo;

/// An actor's bell.
#[derive(Debug, Default)]
pub(crate) struct Bell {
    rung: AtomicBool,
    /// Bounded by the number of open inspections.
    changed: Mutex<BTreeSet<InspectionNo>>,
}

impl Bell {
    /// Notes what changed; true if the actor has to be woken because nobody has yet.
    pub(crate) fn ring(&self, changed: &[InspectionNo]) -> bool {
        if !changed.is_empty() {
            self.changed
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .extend(changed);
        }
        !self.rung.swap(true, Ordering::AcqRel)
    }

    /// The actor is awake: what changed since it last looked. Look at the ledger after this, never before.
    pub(crate) fn answer(&self) -> BTreeSet<InspectionNo> {
        self.rung.store(false, Ordering::Release);
        std::mem::take(&mut *self.changed.lock().unwrap_or_else(PoisonError::into_inner))
    }
}
