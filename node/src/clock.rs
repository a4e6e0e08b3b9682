//! The port's clock, read from the machine's.

use std::time::{SystemTime, UNIX_EPOCH};

use portcullis_config::PortClock;
use portcullis_domain::id::Timestamp;

/// Real time, milliseconds since 1970-01-01T00:00:00Z.
pub fn unix_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

/// The port's clock of this process.
#[derive(Debug, Clone, Copy)]
pub struct PortTime(pub PortClock);

impl PortTime {
    /// Now, in port time.
    pub fn now(&self) -> Timestamp {
        self.0.port_time(unix_ms())
    }
}

impl portcullis_actors::Clock for PortTime {
    fn now(&self) -> Timestamp {
        PortTime::now(self)
    }
}
