//! Findings of one document: the same deviation in a thousand spectra is one finding.

use std::collections::BTreeMap;

use portcullis_domain::finding::{Finding, FindingCode};

/// The most different findings of one document; with those about its XML they fit into one piece of evidence.
const NOTES_MAX: usize = 48;

/// Collects findings, one for each code and field, with how often it was met.
pub(super) struct Notes {
    before: Vec<Finding>,
    notes: BTreeMap<(FindingCode, String), (String, usize)>,
}

impl Notes {
    pub(super) fn new(before: Vec<Finding>) -> Self {
        Self {
            before,
            notes: BTreeMap::new(),
        }
    }

    /// Notes a deviation; the detail is only made for the first of its kind.
    pub(super) fn add(&mut self, code: FindingCode, field: &str, detail: impl FnOnce() -> String) {
        if let Some((_, count)) = self.notes.get_mut(&(code, field.to_owned())) {
            *count += 1;
        } else if self.notes.len() < NOTES_MAX {
            self.notes.insert((code, field.to_owned()), (detail(), 1));
        }
    }

    pub(super) fn finish(self) -> Vec<Finding> {
        let mut findings = self.before;
        findings.extend(self.notes.into_iter().map(|((code, field), (detail, count))| {
            let detail = if count == 1 {
                detail
            } else {
                format!("{count} times; first: {detail}")
            };
            Finding::new(code, field, detail)
        }));
        findings
    }
}
