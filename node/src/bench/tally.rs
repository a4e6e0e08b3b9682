//! What a load counts: answers in the measured time, and how long they took.

use std::time::Duration;

use hdrhistogram::Histogram;
use tokio::time::Instant;

/// Longest latency that is told apart, microseconds.
const LONGEST_US: u64 = 600_000_000;

/// Counts of one part of a measurement. Latencies are of everything that was due in the measured time, also if its answer
/// came after it; the rate is of the answers that came within it.
pub(super) struct Tally {
    pub(super) from: Instant,
    pub(super) until: Instant,
    in_time: u64,
    latencies_us: Histogram<u64>,
    failed: u64,
    first_failure: Option<String>,
}

impl Default for Tally {
    fn default() -> Self {
        Self::new(Instant::now(), Instant::now())
    }
}

impl Tally {
    /// Nothing counted yet.
    pub(super) fn new(from: Instant, until: Instant) -> Self {
        Self {
            from,
            until,
            in_time: 0,
            latencies_us: Histogram::new_with_bounds(1, LONGEST_US, 3)
                .unwrap_or_else(|_| unreachable!("bounds and digits are allowed")),
            failed: 0,
            first_failure: None,
        }
    }

    /// `count` good answers at once, to what was due at `due`.
    pub(super) fn answer(&mut self, due: Instant, done: Instant, count: u64) {
        if done >= self.from && done < self.until {
            self.in_time += count;
        }
        if due >= self.from && due < self.until {
            let took = done.saturating_duration_since(due);
            let took_us = u64::try_from(took.as_micros()).unwrap_or(LONGEST_US);
            self.latencies_us.saturating_record_n(took_us.max(1), count);
        }
    }

    /// Something that was seen at `at` and took so long.
    pub(super) fn took(&mut self, at: Instant, long: Duration) {
        self.in_time += u64::from(at >= self.from && at < self.until);
        let us = u64::try_from(long.as_micros()).unwrap_or(LONGEST_US);
        self.latencies_us.saturating_record(us.max(1));
    }

    /// `count` requests without the answer they should have had.
    pub(super) fn failed(&mut self, count: u64, why: String) {
        self.failed += count;
        self.first_failure.get_or_insert(why);
    }

    /// Takes in what another one counted over the same time.
    pub(super) fn add(&mut self, other: Self) {
        self.in_time += other.in_time;
        // Both have the same bounds, so that nothing is out of them.
        let _ = self.latencies_us.add(&other.latencies_us);
        if let Some(why) = other.first_failure {
            self.failed(other.failed, why);
        }
    }

    /// How many good answers came in the measured time.
    pub(super) fn answered(&self) -> u64 {
        self.in_time
    }

    /// How many requests failed.
    pub(super) fn failures(&self) -> u64 {
        self.failed
    }

    /// Why the first of them did.
    pub(super) fn first_failure(&self) -> &str {
        self.first_failure.as_deref().unwrap_or("none failed")
    }

    /// Good answers a second.
    pub(super) fn per_second(&self) -> f64 {
        self.in_time as f64 / self.measured().as_secs_f64()
    }

    /// A latency in microseconds by its quantile, from 0 to 1.
    pub(super) fn latency_us(&self, quantile: f64) -> u64 {
        self.latencies_us.value_at_quantile(quantile)
    }

    /// The longest latency, microseconds.
    pub(super) fn longest_us(&self) -> u64 {
        self.latencies_us.max()
    }

    fn measured(&self) -> Duration {
        self.until.saturating_duration_since(self.from)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_due_in_time_counts_with_its_whole_latency_and_only_answers_in_time_make_the_rate() {
        let begin = Instant::now();
        let at = |ms| begin + Duration::from_millis(ms);
        let mut tally = Tally::new(at(100), at(1100));
        tally.answer(at(50), at(60), 1);
        tally.answer(at(99), at(101), 1);
        tally.answer(at(200), at(210), 2);
        tally.answer(at(1000), at(3000), 1);
        tally.failed(3, "gone".to_owned());
        tally.failed(1, "later".to_owned());
        assert_eq!((tally.answered(), tally.per_second()), (3, 3.0));
        assert_eq!((tally.failures(), tally.first_failure()), (4, "gone"));
        assert!(
            (9_990..=10_010).contains(&tally.latency_us(0.5)),
            "{}",
            tally.latency_us(0.5)
        );
        assert!(
            (1_990_000..=2_010_000).contains(&tally.longest_us()),
            "{}",
            tally.longest_us()
        );
    }
}
