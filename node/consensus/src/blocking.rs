//! Where work that blocks on the disk is run.

use std::cell::Cell;
use std::time::Duration;

/// A thread of its own in production; in place in simulation, where a second thread would make runs differ.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Blocking {
    /// On the runtime's threads for blocking work.
    #[default]
    Threads,
    /// At once, on the calling task, which then waits for as long as the disk says that it [took](Blocking::took).
    Inline,
}

thread_local! {
    /// So far, in the piece of work that is under way, if one is.
    static TOOK: Cell<Option<Duration>> = const { Cell::new(None) };
}

impl Blocking {
    /// For a simulated disk, within a call: the call takes so long. Work in place cannot wait by itself; whoever runs it
    /// does so before it goes on.
    pub fn took(time: Duration) {
        TOOK.set(TOOK.get().map(|took| took + time));
    }

    /// How long the piece of work that is under way in place took so far: what it does now happens so much later than the clock
    /// shows.
    pub(crate) fn taken() -> Duration {
        TOOK.get().unwrap_or_default()
    }

    /// Runs a piece of blocking work. A panic in it becomes an error.
    pub(crate) async fn run<T, F>(self, work: F) -> std::io::Result<T>
    where
        T: Send + 'static,
        F: FnOnce() -> std::io::Result<T> + Send + 'static,
    {
        match self {
            Blocking::Inline => in_place(work).await,
            Blocking::Threads => tokio::task::spawn_blocking(work).await.map_err(std::io::Error::other)?,
        }
    }
}

/// Does work in place, and waits for as long as the disk took.
pub(crate) async fn in_place<T>(work: impl FnOnce() -> T) -> T {
    TOOK.set(Some(Duration::ZERO));
    let result = work();
    let took = TOOK.take().unwrap_or_default();
    if !took.is_zero() {
        tokio::time::sleep(took).await;
    }
    result
}

#[cfg(test)]
mod tests {
    use tokio::time::Instant;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn work_in_place_takes_as_long_as_the_disk_says_and_later_work_does_not_pay_for_it() {
        let since = Instant::now();
        let slow = || {
            Blocking::took(Duration::from_millis(30));
            Blocking::took(Duration::from_millis(12));
            Ok(7)
        };
        assert_eq!(Blocking::Inline.run(slow).await.unwrap(), 7);
        assert_eq!(since.elapsed(), Duration::from_millis(42));
        Blocking::took(Duration::from_secs(1));
        Blocking::Inline.run(|| Ok(())).await.unwrap();
        assert_eq!(since.elapsed(), Duration::from_millis(42));
    }
}
