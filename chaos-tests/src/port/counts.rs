//! How much a port did: the odometer of a run.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::write::Told;

/// Calls by kind and answer, and what devices and watchers did.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Counts {
    /// By kind, then by answer: `applied`, `unknown`, or the reason of the refusal.
    pub calls: BTreeMap<String, BTreeMap<String, u64>>,
    /// What else happened: readings by how honest they were, attachments, orders, events.
    pub events: BTreeMap<String, u64>,
}

impl Counts {
    /// All calls of a kind.
    pub fn of(&self, kind: &str) -> u64 {
        self.calls.get(kind).map_or(0, |answers| answers.values().sum())
    }

    /// Calls of a kind that were applied.
    pub fn applied(&self, kind: &str) -> u64 {
        self.answers(kind, "applied")
    }

    /// Calls of a kind with this answer.
    pub fn answers(&self, kind: &str, answer: &str) -> u64 {
        let answers = self.calls.get(kind);
        answers.and_then(|answers| answers.get(answer)).copied().unwrap_or(0)
    }

    /// How often something else happened.
    pub fn event(&self, what: &str) -> u64 {
        self.events.get(what).copied().unwrap_or(0)
    }

    /// All calls, and of these the ones that were answered one way or the other.
    pub fn total(&self) -> (u64, u64) {
        let all = self.calls.values().flat_map(BTreeMap::iter);
        all.fold((0, 0), |(all, known), (answer, count)| {
            (all + count, known + if answer == "unknown" { 0 } else { *count })
        })
    }

    pub(super) fn answered(&mut self, kind: &str, told: &Told) {
        let answer = match told {
            Told::Applied(_) => "applied",
            Told::Refused(reason) => reason,
            Told::Unknown => "unknown",
        };
        let answers = self.calls.entry(kind.to_owned()).or_default();
        *answers.entry(answer.to_owned()).or_default() += 1;
    }

    pub(super) fn happened(&mut self, what: &str) {
        *self.events.entry(what.to_owned()).or_default() += 1;
    }
}
