//! How the port's clock follows the real one.

use std::time::Duration;

use portcullis_domain::id::Timestamp;

/// Port time = `origin` + (real time - `epoch_ms`) x `speed`.
///
/// Deadlines and ages of the port follow it; timers of the cluster follow the real clock, whatever the speed.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct PortClock {
    /// The port's time at `epoch_ms`.
    pub origin: Timestamp,
    /// Real time, milliseconds since 1970-01-01T00:00:00Z, when the port's clock showed `origin`.
    pub epoch_ms: u64,
    /// Port seconds that pass in a real second: above 0, at most 10,000.
    pub speed: f64,
}

impl PortClock {
    /// The port lives in real time.
    pub const REAL: Self = Self {
        origin: Timestamp(0),
        epoch_ms: 0,
        speed: 1.0,
    };

    /// The port's time when the real one is `real_ms` since 1970. Stays within what a timestamp can say.
    #[must_use]
    pub fn port_time(&self, real_ms: u64) -> Timestamp {
        let (ahead, passed) = match real_ms.checked_sub(self.epoch_ms) {
            Some(passed) => (true, passed),
            None => (false, self.epoch_ms - real_ms),
        };
        let passed = self.scaled(passed);
        Timestamp(if ahead {
            self.origin.0.saturating_add(passed)
        } else {
            self.origin.0.saturating_sub(passed)
        })
    }

    /// How long to wait, in real time, until `port_ms` have passed on the port's clock.
    #[must_use]
    pub fn real_wait(&self, port_ms: u64) -> Duration {
        Duration::try_from_secs_f64(port_ms as f64 / 1000.0 / self.speed).unwrap_or(Duration::MAX)
    }

    /// A float cannot hold all of 64 bits, so that real time, the usual case, does not go through one.
    fn scaled(&self, real_ms: u64) -> u64 {
        if self.speed == 1.0 {
            real_ms
        } else {
            (real_ms as f64 * self.speed) as u64
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn by_default_port_time_is_real_time_to_the_millisecond() {
        for real in [0, 1, 1_700_000_000_123, u64::MAX] {
            assert_eq!(PortClock::REAL.port_time(real), Timestamp(real));
        }
    }

    #[test]
    fn a_faster_clock_starts_at_its_origin_and_runs_at_its_speed() {
        let clock = PortClock {
            origin: Timestamp(5_000),
            epoch_ms: 1_000,
            speed: 60.0,
        };
        assert_eq!(clock.port_time(1_000), Timestamp(5_000));
        assert_eq!(clock.port_time(2_000), Timestamp(65_000));
        assert_eq!(clock.port_time(950), Timestamp(2_000));
        assert_eq!(clock.real_wait(60_000), Duration::from_secs(1));
    }

    #[test]
    fn time_beyond_what_can_be_said_stays_at_the_end() {
        let clock = PortClock {
            origin: Timestamp(5_000),
            epoch_ms: 1_000,
            speed: 10_000.0,
        };
        assert_eq!(clock.port_time(u64::MAX), Timestamp(u64::MAX));
        assert_eq!(clock.port_time(0), Timestamp::ZERO);
        let slow = PortClock { speed: 1e-300, ..clock };
        assert_eq!(slow.real_wait(u64::MAX), Duration::MAX);
    }
}
