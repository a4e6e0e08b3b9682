//! The port's clock, as a device keeps it: set once by the cluster, then running on at the port's speed.

use std::time::Duration;

use portcullis_domain::id::Timestamp;
use tokio::time::Instant;

/// A clock that shows port time.
#[derive(Debug, Clone, Copy)]
pub(super) struct PortClock {
    at: Timestamp,
    set: Instant,
    speed_permille: u32,
}

impl PortClock {
    /// A clock that shows `at_ms` now and runs so many thousandths as fast as real time; 0 is taken for 1000.
    pub(super) fn new(at_ms: u64, speed_permille: u32) -> Self {
        let speed_permille = if speed_permille == 0 { 1000 } else { speed_permille };
        Self {
            at: Timestamp(at_ms),
            set: Instant::now(),
            speed_permille,
        }
    }

    /// What it shows at a moment of real time.
    pub(super) fn at(&self, moment: Instant) -> Timestamp {
        let real_us = u64::try_from(moment.saturating_duration_since(self.set).as_micros()).unwrap_or(u64::MAX);
        let port_ms = u128::from(real_us) * u128::from(self.speed_permille) / 1_000_000;
        self.at.plus_millis(u64::try_from(port_ms).unwrap_or(u64::MAX))
    }

    /// How long in real time the port's clock takes for so many of its microseconds.
    pub(super) fn real(&self, port_us: u64) -> Duration {
        let real_us = u128::from(port_us) * 1000 / u128::from(self.speed_permille);
        Duration::from_micros(u64::try_from(real_us).unwrap_or(u64::MAX))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_runs_at_the_ports_speed() {
        let clock = PortClock::new(1_000_000, 60_000);
        assert_eq!(clock.at(clock.set), Timestamp(1_000_000));
        assert_eq!(clock.at(clock.set + Duration::from_millis(500)), Timestamp(1_030_000));
        assert_eq!(clock.real(30_000_000), Duration::from_millis(500));
    }

    #[test]
    fn a_port_that_does_not_say_its_speed_runs_in_real_time() {
        assert_eq!(PortClock::new(0, 0).real(250_000), Duration::from_millis(250));
    }
}
