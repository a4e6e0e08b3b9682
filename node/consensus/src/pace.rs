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
