//! The port's clock, read from the machine's.

use std::fmt;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use portcullis_config::PortClock;
use portcullis_domain::id::Timestamp;

/// Real time, milliseconds since 1970-01-01T00:00:00Z.
pub fn unix_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

/// A clock on the wall: milliseconds since 1970-01-01T00:00:00Z, as the machine believes.
pub type WallClock = Arc<dyn Fn() -> u64 + Send + Sync>;

/// The port's clock of this process.
#[derive(Clone)]
pub struct PortTime {
    /// How port time follows from real time.
    pub rate: PortClock,
    wall: WallClock,
}

impl PortTime {
    /// By the clock of the machine.
    pub fn new(rate: PortClock) -> Self {
        Self::by(rate, Arc::new(unix_ms))
    }

    /// By another clock.
    pub fn by(rate: PortClock, wall: WallClock) -> Self {
        Self { rate, wall }
    }

    /// Now, in port time.
    pub fn now(&self) -> Timestamp {
        self.rate.port_time(self.unix_ms())
    }

    /// Now, in real time, milliseconds since 1970-01-01T00:00:00Z.
    pub fn unix_ms(&self) -> u64 {
        (self.wall)()
    }
}

impl fmt::Debug for PortTime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PortTime")
            .field("rate", &self.rate)
            .finish_non_exhaustive()
    }
}

impl portcullis_actors::Clock for PortTime {
    fn now(&self) -> Timestamp {
        PortTime::now(self)
    }
}
