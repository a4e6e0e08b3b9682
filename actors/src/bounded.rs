//! Bounded admission to an actor's mailbox, which has no limit of its own: a permit is taken before the send, travels in
//! the message and is given back when the message has been handled.

use std::sync::Arc;
use tokio::time::Instant;

use ractor::ActorRef;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Messages of the control class that may wait beside the ordinary ones.
const CONTROL: usize = 16;

/// A message on its way, with what admitted it.
#[derive(Debug)]
pub(crate) struct Env<M> {
    pub(crate) message: M,
    /// W3C trace context, empty if none.
    pub(crate) traceparent: String,
    pub(crate) enqueued: Instant,
    _permit: Option<OwnedSemaphorePermit>,
}

/// Which permits a message competes for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Class {
    Ordinary,
    /// A small reserve, so that attaching and steering still work when an actor is flooded.
    Control,
}

/// Why a message was not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum NotTaken {
    /// Too many wait already.
    Overloaded,
    /// The actor is gone.
    Gone,
}

/// The permits of one actor, shared by everybody who has its address.
#[derive(Debug, Clone)]
pub(crate) struct Admission {
    ordinary: Arc<Semaphore>,
    control: Arc<Semaphore>,
}

impl Admission {
    pub(crate) fn new(mailbox: usize) -> Self {
        Self {
            ordinary: Arc::new(Semaphore::new(mailbox)),
            control: Arc::new(Semaphore::new(CONTROL)),
        }
    }
}

/// An actor's address.
pub(crate) struct BoundedRef<M> {
    inner: ActorRef<Env<M>>,
    admission: Admission,
}

impl<M> Clone for BoundedRef<M> {
    fn clone(&self) -> Self {
        Self {
            inner: self.inner.clone(),
            admission: self.admission.clone(),
        }
    }
}

impl<M: Send + 'static> BoundedRef<M> {
    pub(crate) fn new(inner: ActorRef<Env<M>>, admission: Admission) -> Self {
        Self { inner, admission }
    }

    /// Sends if there is room.
    pub(crate) fn try_tell(&self, class: Class, message: M, traceparent: String) -> Result<(), NotTaken> {
        let permits = match class {
            Class::Ordinary => &self.admission.ordinary,
            Class::Control => &self.admission.control,
        };
        let permit = Arc::clone(permits)
            .try_acquire_owned()
            .map_err(|_| NotTaken::Overloaded)?;
        self.send(message, traceparent, Some(permit))
    }

    /// Sends under a permit that the sender waited for elsewhere.
    pub(crate) fn tell_with(
        &self,
        permit: OwnedSemaphorePermit,
        message: M,
        traceparent: String,
    ) -> Result<(), NotTaken> {
        self.send(message, traceparent, Some(permit))
    }

    /// Sends what is bounded by construction: one wake-up at a time, one outcome for each command in flight.
    pub(crate) fn tell_bounded_elsewhere(&self, message: M) -> Result<(), NotTaken> {
        self.send(message, String::new(), None)
    }

    fn send(&self, message: M, traceparent: String, permit: Option<OwnedSemaphorePermit>) -> Result<(), NotTaken> {
        let env = Env {
            message,
            traceparent,
            enqueued: Instant::now(),
            _permit: permit,
        };
        self.inner.send_message(env).map_err(|_| NotTaken::Gone)
    }
}
