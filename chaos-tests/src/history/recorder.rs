//! Putting down what happens while it happens.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use portcullis_domain::id::{DeviceId, InspectionNo, PassNo};
use tokio::time::Instant;

use super::{BarrierOrder, History, Hole, Misdeed, Moment, Operation, Request, Wrong};
use crate::write::Told;

/// Takes down what clients see. Clones write into the same history.
#[derive(Clone)]
pub struct Recorder(Arc<Inner>);

struct Inner {
    began: Instant,
    book: Mutex<Book>,
}

#[derive(Default)]
struct Book {
    next: u64,
    history: History,
}

impl Default for Recorder {
    fn default() -> Self {
        Self::new()
    }
}

impl Recorder {
    /// Begins a history.
    pub fn new() -> Self {
        Self(Arc::new(Inner {
            began: Instant::now(),
            book: Mutex::default(),
        }))
    }

    /// How long it has run.
    pub fn elapsed(&self) -> Duration {
        self.0.began.elapsed()
    }

    /// A call is about to be sent. Returns its place, for the answer.
    pub fn invoke(&self, client: &Arc<str>, node: u64, request: &Arc<Request>, limit: Duration) -> usize {
        let mut book = self.book();
        let invoked = self.moment(&mut book);
        book.history.operations.push(Operation {
            client: client.clone(),
            node,
            request: request.clone(),
            invoked,
            returned: None,
            limit,
            told: Told::Unknown,
        });
        book.history.operations.len() - 1
    }

    /// The answer to a call came, also if that is "unknown".
    pub fn answer(&self, place: usize, told: Told) {
        let mut book = self.book();
        let returned = self.moment(&mut book);
        if let Some(operation) = book.history.operations.get_mut(place) {
            operation.returned = Some(returned);
            operation.told = told;
        }
    }

    /// A controller was given an order; the moment is filled in here.
    pub fn order(&self, mut order: BarrierOrder) {
        let mut book = self.book();
        order.given = self.moment(&mut book);
        book.history.orders.push(order);
    }

    /// A sensor does something wrong.
    pub fn wrong(
        &self,
        device: &DeviceId,
        (inspection, pass): (InspectionNo, PassNo),
        misdeed: Misdeed,
        (boot, sequence): (u64, u64),
    ) {
        let mut book = self.book();
        let at = self.moment(&mut book);
        book.history.wrongs.push(Wrong {
            at,
            device: device.clone(),
            inspection,
            pass,
            misdeed,
            boot,
            sequence,
        });
    }

    /// A watcher missed events.
    pub fn hole(&self, hole: Hole) {
        self.book().history.holes.push(hole);
    }

    /// The history so far.
    pub fn history(&self) -> History {
        self.book().history.clone()
    }

    /// Looks at the history so far without copying it.
    pub fn look<T>(&self, look: impl FnOnce(&History) -> T) -> T {
        look(&self.book().history)
    }

    /// Takes the history out.
    pub fn take(&self) -> History {
        std::mem::take(&mut self.book().history)
    }

    fn moment(&self, book: &mut Book) -> Moment {
        book.next += 1;
        Moment {
            order: book.next,
            at: self.elapsed(),
        }
    }

    fn book(&self) -> MutexGuard<'_, Book> {
        self.0.book.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
