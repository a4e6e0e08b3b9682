//! Which actors run on this node, and under which placement.

use std::collections::BTreeMap;
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use portcullis_domain::id::{Epoch, InspectionNo};
use portcullis_domain::message::{Envelope, Message};
use portcullis_domain::placement::ActorKey;
use ractor::{ActorCell, ActorId};
use thiserror::Error;

use crate::bell::Bell;
use crate::bounded::{BoundedRef, Class, NotTaken};
use crate::fusion::FusionMessage;
use crate::lane::LaneMessage;
use crate::placement::PlacementMessage;
use crate::scheduler::SchedulerMessage;
use crate::shell::Signal;

/// Why a message was not taken in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum Refused {
    /// The actor runs here under another placement.
    #[error("the actor runs here under {current}")]
    WrongEpoch {
        /// That one.
        current: Epoch,
    },
    /// Too many messages wait for it.
    #[error("too many messages wait for the actor")]
    Overloaded,
    /// It does not run here, or does not take such messages.
    #[error("the actor does not run here")]
    NotHere,
}

impl From<NotTaken> for Refused {
    fn from(error: NotTaken) -> Self {
        match error {
            NotTaken::Overloaded => Self::Overloaded,
            NotTaken::Gone => Self::NotHere,
        }
    }
}

/// How an actor is addressed, by kind.
#[derive(Clone)]
pub(crate) enum Address {
    Lane(BoundedRef<Signal<LaneMessage>>),
    Fusion(BoundedRef<Signal<FusionMessage>>),
    Scheduler(BoundedRef<Signal<SchedulerMessage>>),
    Placement(BoundedRef<Signal<PlacementMessage>>),
}

/// An actor that runs here.
#[derive(Clone)]
pub(crate) struct Entry {
    pub(crate) epoch: Epoch,
    pub(crate) cell: ActorCell,
    pub(crate) address: Address,
    pub(crate) bell: Arc<Bell>,
}

impl Entry {
    /// Wakes the actor, unless it is about to look anyway.
    pub(crate) fn wake(&self, changed: &[InspectionNo]) {
        if !self.bell.ring(changed) {
            return;
        }
        // One that is gone is noticed by its supervisor.
        let _ = match &self.address {
            Address::Lane(to) => to.tell_bounded_elsewhere(Signal::Wake),
            Address::Fusion(to) => to.tell_bounded_elsewhere(Signal::Wake),
            Address::Scheduler(to) => to.tell_bounded_elsewhere(Signal::Wake),
            Address::Placement(to) => to.tell_bounded_elsewhere(Signal::Wake),
        };
    }
}

/// The actors of this node.
#[derive(Clone, Default)]
pub(crate) struct Directory {
    entries: Arc<RwLock<BTreeMap<ActorKey, Entry>>>,
}

impl Directory {
    fn read(&self) -> RwLockReadGuard<'_, BTreeMap<ActorKey, Entry>> {
        self.entries.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, BTreeMap<ActorKey, Entry>> {
        self.entries.write().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn insert(&self, key: ActorKey, entry: Entry) {
        self.write().insert(key, entry);
    }

    pub(crate) fn remove(&self, key: &ActorKey) -> Option<Entry> {
        self.write().remove(key)
    }

    /// Takes an actor that ended off the list, if it is still on it.
    pub(crate) fn remove_ended(&self, id: ActorId) -> Option<(ActorKey, Entry)> {
        let mut entries = self.write();
        let key = entries
            .iter()
            .find(|(_, entry)| entry.cell.get_id() == id)
            .map(|(key, _)| key.clone())?;
        let entry = entries.remove(&key)?;
        Some((key, entry))
    }

    pub(crate) fn get(&self, key: &ActorKey) -> Option<Entry> {
        self.read().get(key).cloned()
    }

    /// All of them, by key.
    pub(crate) fn all(&self) -> Vec<(ActorKey, Entry)> {
        self.read()
            .iter()
            .map(|(key, entry)| (key.clone(), entry.clone()))
            .collect()
    }

    /// Hands a message to the actor it is for.
    pub(crate) fn deliver(&self, envelope: Envelope) -> Result<(), Refused> {
        let entry = self.get(&envelope.to).ok_or(Refused::NotHere)?;
        if entry.epoch != envelope.to_epoch {
            return Err(Refused::WrongEpoch { current: entry.epoch });
        }
        let traceparent = envelope.traceparent;
        let told = match (&entry.address, envelope.message) {
            (Address::Lane(to), Message::Steer(steer)) => {
                to.try_tell(Class::Control, Signal::Message(LaneMessage::Steer(steer)), traceparent)
            }
            (Address::Fusion(to), Message::Feature(feature)) => to.try_tell(
                Class::Ordinary,
                Signal::Message(FusionMessage::Feature(feature)),
                traceparent,
            ),
            (Address::Scheduler(to), Message::LaneLoad(load)) => to.try_tell(
                Class::Ordinary,
                Signal::Message(SchedulerMessage::Load(load)),
                traceparent,
            ),
            _ => return Err(Refused::NotHere),
        };
        told.map_err(Refused::from)
    }
}
