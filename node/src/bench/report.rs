//! What a measurement prints: rows, their ratios, and the machine. Field names are part of the command's interface.

use serde::Serialize;
use serde_json::{Value, json};

use super::machine::Machine;
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

/// One part of a row: counts, and the processor time of servers and load.
pub(super) struct Part {
    pub(super) tally: Tally,
    pub(super) server_cpu_us: Option<f64>,
    pub(super) load_cpu_us: Option<f64>,
}

/// A measurement's result.
#[derive(Debug, Clone)]
pub(super) struct Report {
    pub(super) rows: Vec<Row>,
    pub(super) ratios: Vec<Ratio>,
    pub(super) machine: Machine,
    /// What was measured and is not right; the command then fails.
    pub(super) wrong: Vec<String>,
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
            rows: Vec::new(),
            ratios: Vec::new(),
            machine,
            wrong: Vec::new(),
        }
    }

    /// For programs.
    pub(super) fn json(&self) -> Value {
        json!({ "rows": self.rows, "ratios": self.ratios, "machine": self.machine })
    }

    /// For people.
    pub(super) fn text(&self, width: Option<u16>) -> String {
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
        let rows = self
            .rows
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
        let mut text = table(&headers, rows, &[2, 3, 4, 5, 6, 7, 8, 9, 10], width);
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
            let headers = ["PORTCULLIS / ETCD", "CLIENTS", "PER S", "P50", "P99"];
            text += &format!("\n\n{}", table(&headers, rows, &[1, 2, 3, 4], width));
        }
        text += &format!("\n\n{}", facts(&self.machine.facts()));
        text
    }
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
