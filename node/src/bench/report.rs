//! What a measurement prints: rows, their ratios, and the machine. Field names are part of the command's interface.

use std::time::Duration;

use serde::Serialize;
use serde_json::{Value, json};

use super::machine::Machine;
use super::stages::Stages;
use super::tally::Tally;
use crate::cli::{facts, table};

/// One line: a system under one kind of load.
#[derive(Debug, Clone, Serialize)]
pub(super) struct Row {
    pub(super) system: String,
    pub(super) mode: String,
    /// Clients, or batches in flight.
    pub(super) clients: u32,
    /// Commands in one request.
    pub(super) batch: u32,
    /// Commands a second that were answered well.
    pub(super) ops_per_s: f64,
    /// Microseconds from when a request was due to its answer.
    pub(super) p50_us: u64,
    pub(super) p99_us: u64,
    pub(super) max_us: u64,
    /// Requests without the answer they should have had.
    pub(super) failed: u64,
    /// Processor time of all servers together for one command, microseconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) server_cpu_us: Option<f64>,
    /// Processor time of the load for one command, microseconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) load_cpu_us: Option<f64>,
}

/// Our row over the other system's.
#[derive(Debug, Clone, Serialize)]
pub(super) struct Ratio {
    pub(super) mode: String,
    pub(super) clients: u32,
    pub(super) ops_per_s: f64,
    pub(super) p50: f64,
    pub(super) p99: f64,
}

/// What is measured of pauses: failovers or hand-overs of one system.
#[derive(Debug, Clone, Serialize)]
pub(super) struct Gaps {
    pub(super) system: String,
    pub(super) mode: String,
    pub(super) rounds: u64,
    pub(super) p50_ms: f64,
    pub(super) p99_ms: f64,
    pub(super) max_ms: f64,
    /// Acknowledged writes.
    pub(super) acked: u64,
    /// Those of them that are not there at the end.
    pub(super) acked_lost: u64,
    /// Requests that took effect more than once.
    pub(super) applied_twice: u64,
    /// Requests that failed: at a hand-over those that had to be tried again, at a failover those that never succeeded.
    pub(super) failed: u64,
    pub(super) replicas_agree: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) first_failure: Option<String>,
    #[serde(skip)]
    all: Vec<Duration>,
}

/// What is measured of starting on a long history.
#[derive(Debug, Clone, Serialize)]
pub(super) struct Restarted {
    pub(super) system: String,
    pub(super) mode: String,
    pub(super) closed: u64,
    pub(super) entries: u64,
    /// Of the folder that a node starts on.
    pub(super) folder_mb: f64,
    /// From the start of the processes to a linearizable read and an acknowledged write.
    pub(super) serve_s: f64,
    /// From the start of a node without data until it has all that the others have.
    pub(super) catch_up_s: f64,
    /// Folder over that time, 10^6 bytes a second.
    pub(super) catch_up_mb_per_s: f64,
    /// The most memory that the process of any node had in RAM at any time.
    pub(super) rss_mb: f64,
    pub(super) replicas_agree: bool,
}

/// The lines of a result.
#[derive(Debug, Clone, Serialize)]
#[serde(untagged)]
pub(super) enum Rows {
    /// Under load.
    Load(Vec<Row>),
    /// Of pauses.
    Gaps(Vec<Gaps>),
    /// Of starting.
    Restarted(Vec<Restarted>),
}

/// One part of a row: counts, and the processor time of servers and load.
pub(super) struct Part {
    pub(super) tally: Tally,
    pub(super) server_cpu_us: Option<f64>,
    pub(super) load_cpu_us: Option<f64>,
}

/// A measurement's result.
#[derive(Debug, Clone)]
pub(super) struct Report {
    pub(super) rows: Rows,
    pub(super) ratios: Vec<Ratio>,
    /// Where the time of a commit goes, for what counts it.
    pub(super) stages: Vec<Stages>,
    pub(super) machine: Machine,
    /// What was measured and is not right; the command then fails.
    pub(super) wrong: Vec<String>,
}

impl Part {
    /// Without processor times.
    pub(super) fn plain(tally: Tally) -> Self {
        Self {
            tally,
            server_cpu_us: None,
            load_cpu_us: None,
        }
    }
}

impl Gaps {
    /// Nothing measured yet.
    pub(super) fn new(system: &str, mode: &str) -> Self {
        Self {
            system: system.to_owned(),
            mode: mode.to_owned(),
            rounds: 0,
            p50_ms: 0.0,
            p99_ms: 0.0,
            max_ms: 0.0,
            acked: 0,
            acked_lost: 0,
            applied_twice: 0,
            failed: 0,
            replicas_agree: false,
            first_failure: None,
            all: Vec::new(),
        }
    }

    /// One more pause.
    pub(super) fn add(&mut self, pause: Duration) {
        self.all.push(pause);
        self.all.sort_unstable();
        self.rounds += 1;
        // The nearest rank: a quantile of few pauses is one of them.
        let at = |quantile: f64| {
            let rank = ((self.all.len() as f64 * quantile).ceil() as usize).max(1);
            (self.all[rank - 1].as_secs_f64() * 100_000.0).round() / 100.0
        };
        (self.p50_ms, self.p99_ms, self.max_ms) = (at(0.5), at(0.99), at(1.0));
    }

    /// What is not as it must be.
    pub(super) fn wrong(&self) -> Vec<String> {
        let mut wrong = Vec::new();
        let mut note = |bad: bool, what: String| {
            if bad {
                wrong.push(format!("{} {}: {what}", self.system, self.mode));
            }
        };
        note(
            self.acked_lost > 0,
            format!("{} acknowledged writes are lost", self.acked_lost),
        );
        note(
            self.applied_twice > 0,
            format!("{} writes took effect twice", self.applied_twice),
        );
        note(!self.replicas_agree, "the replicas differ".to_owned());
        let why = self.first_failure.as_deref().unwrap_or("no answer");
        note(self.failed > 0, format!("{} requests failed: {why}", self.failed));
        wrong
    }
}

impl Restarted {
    /// Nothing measured yet.
    pub(super) fn new(closed: u64, entries: u64, bytes: u64) -> Self {
        Self {
            system: "portcullis".to_owned(),
            mode: "restart".to_owned(),
            closed,
            entries,
            folder_mb: tenth(bytes as f64 / 1e6),
            serve_s: 0.0,
            catch_up_s: 0.0,
            catch_up_mb_per_s: 0.0,
            rss_mb: 0.0,
            replicas_agree: false,
        }
    }
}

impl Rows {
    /// Rows of a load after those that are there.
    pub(super) fn push(&mut self, rows: impl IntoIterator<Item = Row>) {
        if let Self::Load(there) = self {
            there.extend(rows);
        }
    }

    fn text(&self, width: Option<u16>) -> String {
        match self {
            Self::Load(rows) => load_table(rows, width),
            Self::Gaps(rows) => gap_table(rows, width),
            Self::Restarted(rows) => restart_table(rows, width),
        }
    }
}

impl Row {
    /// The medians of several parts; the longest latency and the failures are of all.
    pub(super) fn of(system: &str, mode: &str, clients: u32, batch: u32, parts: &[Part]) -> Self {
        let all = |value: &dyn Fn(&Part) -> Option<f64>| median(parts.iter().filter_map(value).collect());
        let whole = |value: Option<f64>| value.unwrap_or(0.0).round() as u64;
        Self {
            system: system.to_owned(),
            mode: mode.to_owned(),
            clients,
            batch,
            ops_per_s: tenth(all(&|part| Some(part.tally.per_second())).unwrap_or(0.0)),
            p50_us: whole(all(&|part| Some(part.tally.latency_us(0.5) as f64))),
            p99_us: whole(all(&|part| Some(part.tally.latency_us(0.99) as f64))),
            max_us: parts.iter().map(|part| part.tally.longest_us()).max().unwrap_or(0),
            failed: parts.iter().map(|part| part.tally.failures()).sum(),
            server_cpu_us: all(&|part| part.server_cpu_us).map(tenth),
            load_cpu_us: all(&|part| part.load_cpu_us).map(tenth),
        }
    }
}

impl Ratio {
    /// `ours` over `other`.
    pub(super) fn of(ours: &Row, other: &Row) -> Self {
        let over = |a: f64, b: f64| (a / b.max(f64::MIN_POSITIVE) * 1000.0).round() / 1000.0;
        Self {
            mode: ours.mode.clone(),
            clients: ours.clients,
            ops_per_s: over(ours.ops_per_s, other.ops_per_s),
            p50: over(ours.p50_us as f64, other.p50_us as f64),
            p99: over(ours.p99_us as f64, other.p99_us as f64),
        }
    }
}

impl Report {
    /// Without any row yet.
    pub(super) fn new(machine: Machine) -> Self {
        Self {
            rows: Rows::Load(Vec::new()),
            ratios: Vec::new(),
            stages: Vec::new(),
            machine,
            wrong: Vec::new(),
        }
    }

    /// For programs.
    pub(super) fn json(&self) -> Value {
        json!({ "rows": self.rows, "ratios": self.ratios, "stages": self.stages, "machine": self.machine })
    }

    /// For people.
    pub(super) fn text(&self, width: Option<u16>) -> String {
        let mut text = self.rows.text(width);
        if !self.ratios.is_empty() {
            let rows = self
                .ratios
                .iter()
                .map(|ratio| {
                    vec![
                        ratio.mode.clone(),
                        ratio.clients.to_string(),
                        format!("{:.2}", ratio.ops_per_s),
                        format!("{:.2}", ratio.p50),
                        format!("{:.2}", ratio.p99),
                    ]
                })
                .collect();
            let headers = ["RATIO", "CLIENTS", "PER S", "P50", "P99"];
            text += &format!("\n\n{}", table(&headers, rows, &[1, 2, 3, 4], width));
        }
        if !self.stages.is_empty() {
            text += &format!("\n\n{}", stage_table(&self.stages, width));
        }
        text += &format!("\n\n{}", facts(&self.machine.facts()));
        text
    }
}

fn load_table(rows: &[Row], width: Option<u16>) -> String {
    let headers = [
        "SYSTEM",
        "MODE",
        "CLIENTS",
        "BATCH",
        "PER S",
        "P50 US",
        "P99 US",
        "MAX US",
        "FAILED",
        "SERVER CPU US",
        "LOAD CPU US",
    ];
    let maybe = |value: Option<f64>| value.map_or("-".to_owned(), |value| format!("{value:.1}"));
    let rows = rows
        .iter()
        .map(|row| {
            vec![
                row.system.clone(),
                row.mode.clone(),
                row.clients.to_string(),
                row.batch.to_string(),
                format!("{:.0}", row.ops_per_s),
                row.p50_us.to_string(),
                row.p99_us.to_string(),
                row.max_us.to_string(),
                row.failed.to_string(),
                maybe(row.server_cpu_us),
                maybe(row.load_cpu_us),
            ]
        })
        .collect();
    table(&headers, rows, &[2, 3, 4, 5, 6, 7, 8, 9, 10], width)
}

fn stage_table(rows: &[Stages], width: Option<u16>) -> String {
    let headers = [
        "ON THE LEADER",
        "COMMANDS AN ENTRY",
        "QUEUE US",
        "AGREE US",
        "APPLY US",
        "ANSWER US",
    ];
    let rows = rows
        .iter()
        .map(|row| {
            vec![
                format!("{} clients", row.clients),
                format!("{:.1}", row.commands_per_entry),
                format!("{:.1}", row.queue_us),
                format!("{:.1}", row.agree_us),
                format!("{:.1}", row.apply_us),
                format!("{:.1}", row.answer_us),
            ]
        })
        .collect();
    table(&headers, rows, &[1, 2, 3, 4, 5], width)
}

fn gap_table(rows: &[Gaps], width: Option<u16>) -> String {
    let headers = [
        "SYSTEM", "MODE", "ROUNDS", "P50 MS", "P99 MS", "MAX MS", "ACKED", "LOST", "TWICE", "FAILED", "REPLICAS",
    ];
    let rows = rows
        .iter()
        .map(|row| {
            vec![
                row.system.clone(),
                row.mode.clone(),
                row.rounds.to_string(),
                format!("{:.1}", row.p50_ms),
                format!("{:.1}", row.p99_ms),
                format!("{:.1}", row.max_ms),
                row.acked.to_string(),
                row.acked_lost.to_string(),
                row.applied_twice.to_string(),
                row.failed.to_string(),
                if row.replicas_agree { "agree" } else { "DIFFER" }.to_owned(),
            ]
        })
        .collect();
    table(&headers, rows, &[2, 3, 4, 5, 6, 7, 8, 9], width)
}

fn restart_table(rows: &[Restarted], width: Option<u16>) -> String {
    let headers = [
        "CLOSED",
        "ENTRIES",
        "FOLDER MB",
        "SERVES AFTER S",
        "CATCH-UP S",
        "CATCH-UP MB/S",
        "MEMORY MB",
    ];
    let rows = rows
        .iter()
        .map(|row| {
            vec![
                row.closed.to_string(),
                row.entries.to_string(),
                format!("{:.1}", row.folder_mb),
                format!("{:.2}", row.serve_s),
                format!("{:.2}", row.catch_up_s),
                format!("{:.1}", row.catch_up_mb_per_s),
                format!("{:.1}", row.rss_mb),
            ]
        })
        .collect();
    table(&headers, rows, &[0, 1, 2, 3, 4, 5, 6], width)
}

/// The middle one; of an even count, the mean of the two in the middle.
fn median(mut values: Vec<f64>) -> Option<f64> {
    values.sort_by(f64::total_cmp);
    let (upper, lower) = (values.len() / 2, values.len().checked_sub(1)? / 2);
    Some((values[lower] + values[upper]) / 2.0)
}

fn tenth(value: f64) -> f64 {
    (value * 10.0).round() / 10.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_is_the_middle_or_between_the_two_middles() {
        assert_eq!(median(vec![]), None);
        assert_eq!(median(vec![3.0]), Some(3.0));
        assert_eq!(median(vec![9.0, 1.0]), Some(5.0));
        assert_eq!(median(vec![9.0, 1.0, 2.0]), Some(2.0));
    }
}
