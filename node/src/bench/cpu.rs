//! Processor time and memory of processes, as the kernel counts them.

use std::time::Duration;

use super::report::Part;
use super::tally::Tally;

/// What a process has used so far, all threads, user and system; in steps of the kernel's tick, usually 10 ms.
pub(super) fn used(pid: u32) -> Option<Duration> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The name, in parentheses, may hold anything; what follows are numbers. proc_pid_stat(5): fields 14 and 15.
    let (_, numbers) = stat.rsplit_once(')')?;
    let mut numbers = numbers.split_ascii_whitespace().skip(11);
    let ticks: u64 = numbers.next()?.parse::<u64>().ok()? + numbers.next()?.parse::<u64>().ok()?;
    let per_second = rustix::param::clock_ticks_per_second();
    Some(Duration::from_secs_f64(ticks as f64 / per_second as f64))
}

/// What this process has used so far.
pub(super) fn own() -> Option<Duration> {
    used(std::process::id())
}

/// The most memory that a process has had in RAM so far, 10^6 bytes.
pub(super) fn peak_resident_mb(pid: u32) -> Option<f64> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    let kib: f64 = line.split_ascii_whitespace().next()?.parse().ok()?;
    Some((kib * 1024.0 / 1e5).round() / 10.0)
}

/// Processor time before a part of a measurement.
pub(super) struct Watch {
    servers: Option<Duration>,
    load: Option<Duration>,
}

impl Watch {
    /// Begins, with what the servers have used so far.
    pub(super) fn start(servers: Option<Duration>) -> Self {
        Self { servers, load: own() }
    }

    /// The part, with the processor time for each of `commands`, warming up included on both sides of the division.
    pub(super) fn part(self, tally: Tally, commands: u64, servers: Option<Duration>) -> Part {
        let each = |before: Option<Duration>, after: Option<Duration>| {
            Some(after?.checked_sub(before?)?.as_secs_f64() * 1e6 / commands.max(1) as f64)
        };
        Part {
            tally,
            server_cpu_us: each(self.servers, servers),
            load_cpu_us: each(self.load, own()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn work_is_seen_as_processor_time() {
        let before = own().unwrap();
        let until = std::time::Instant::now() + Duration::from_secs(20);
        while own().unwrap() <= before {
            assert!(std::time::Instant::now() < until, "a process that works uses time");
        }
    }
}
