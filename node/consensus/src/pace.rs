//! How fast the decision log grows: beside a busy log there is no time to spare for what can wait.

use std::time::Duration;

use tokio::time::Instant;

/// A log that grows by this many entries a second is busy.
const BUSY: f64 = 1500.0;
/// A shorter time says nothing.
const SPAN: Duration = Duration::from_millis(50);

/// Looks at the log from time to time.
#[derive(Debug)]
pub(crate) struct Pace {
    size: u64,
    since: Instant,
}

impl Pace {
    pub(crate) fn new(size: u64) -> Self {
        let since = Instant::now();
        Self { size, since }
    }

    /// Was the log busy since the last look?
    pub(crate) fn busy(&mut self, size: u64) -> bool {
        let last = std::mem::replace(self, Self::new(size));
        let grown = size.saturating_sub(last.size) as f64;
        grown > BUSY * (self.since - last.since).max(SPAN).as_secs_f64()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_log_is_busy_by_its_rate_since_the_last_look() {
        let mut pace = Pace::new(1000);
        tokio::time::advance(Duration::from_secs(2)).await;
        assert!(!pace.busy(1000 + 2 * BUSY as u64));
        tokio::time::advance(Duration::from_secs(2)).await;
        assert!(pace.busy(1000 + 4 * BUSY as u64 + 1));
        // A look right after another one takes a handful of entries for no rate at all.
        assert!(!pace.busy(1000 + 4 * BUSY as u64 + 20));
        tokio::time::advance(Duration::from_secs(2)).await;
        assert!(!pace.busy(500), "a snapshot of another ledger was installed");
    }
}
