//! The operator's desk: a host of the network from which futures are run that ask nodes something.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use futures::FutureExt as _;
use futures::future::BoxFuture;
use tokio::sync::Notify;

/// The name of the host.
pub(crate) const DESK: &str = "desk";

/// Something that the desk does, with its result once it is there.
#[derive(Debug)]
pub(crate) struct Asked<T>(Arc<Mutex<Option<T>>>);

impl<T> Asked<T> {
    /// The result, once.
    pub(crate) fn take(&self) -> Option<T> {
        lock(&self.0).take()
    }
}

/// Runs futures on the desk's host. Clones are the same desk.
#[derive(Clone, Default)]
pub(crate) struct Control {
    queue: Arc<Mutex<VecDeque<BoxFuture<'static, ()>>>>,
    bell: Arc<Notify>,
}

impl Control {
    /// Has something done on the desk.
    pub(crate) fn ask<T: Send + 'static>(&self, work: impl Future<Output = T> + Send + 'static) -> Asked<T> {
        let result = Arc::new(Mutex::new(None));
        let to = Arc::clone(&result);
        let work = async move {
            let done = work.await;
            *lock(&to) = Some(done);
        };
        lock(&self.queue).push_back(work.boxed());
        self.bell.notify_one();
        Asked(result)
    }

    /// What the desk's host runs.
    pub(crate) async fn run(self) {
        loop {
            while let Some(work) = lock(&self.queue).pop_front() {
                tokio::spawn(work);
            }
            self.bell.notified().await;
        }
    }
}

fn lock<T>(of: &Mutex<T>) -> MutexGuard<'_, T> {
    of.lock().unwrap_or_else(PoisonError::into_inner)
}
