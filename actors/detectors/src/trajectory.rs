//! What a source knows as a pass goes on: interpretations, sample by sample, as the steps and findings of evidence.

use portcullis_domain::evidence::{Ability, EVIDENCE_FINDINGS_MAX, Noted, STEPS_MAX, Step};
use portcullis_domain::finding::Finding;
use portcullis_domain::id::SampleNo;

use crate::Interpretation;

/// Knowledge as it grows, within what one piece of evidence may have.
#[derive(Debug, Clone)]
pub struct Trajectory {
    steps: Vec<Step>,
    steps_max: usize,
    findings: Vec<Noted>,
    finding_bytes_left: usize,
}

impl Default for Trajectory {
    /// As much as evidence may have at most.
    fn default() -> Self {
        Self::new(STEPS_MAX, usize::MAX)
    }
}

impl Trajectory {
    /// Nothing yet. At most so many steps, and so many bytes of findings.
    pub fn new(steps_max: usize, finding_bytes: usize) -> Self {
        Self {
            steps: Vec::new(),
            steps_max: steps_max.min(STEPS_MAX),
            findings: Vec::new(),
            finding_bytes_left: finding_bytes,
        }
    }

    /// Notes a finding, known from a sample on. One of the same code and field is noted once, and none beyond the limits.
    pub fn note(&mut self, sample: SampleNo, finding: Finding) {
        let known = |noted: &Noted| noted.finding.code == finding.code && noted.finding.field == finding.field;
        // Sample, code and two lengths besides the texts.
        let bytes = finding.field.len() + finding.detail.len() + 13;
        let fits = self.findings.len() < EVIDENCE_FINDINGS_MAX && bytes <= self.finding_bytes_left;
        if fits && !self.findings.iter().any(known) {
            self.finding_bytes_left -= bytes;
            self.findings.push(Noted { sample, finding });
        }
    }

    /// Takes in what everything up to a sample means. `at_best` is the ability that is claimed at most, for a view that is in
    /// doubt for other reasons.
    pub fn learn(&mut self, sample: SampleNo, known: Interpretation, at_best: Ability) {
        for finding in known.findings {
            self.note(sample, finding);
        }
        let step = Step {
            sample,
            ability: known.ability.max(at_best),
            weights: known.weights,
        };
        let full = self.steps.len() >= self.steps_max;
        match self.steps.last_mut() {
            Some(last) if (last.ability, last.weights) == (step.ability, step.weights) => {}
            Some(last) if last.sample >= sample => {
                *last = Step {
                    sample: last.sample,
                    ..step
                }
            }
            // The trajectory has a limit; from there on only its end moves.
            Some(last) if full => *last = step,
            _ => self.steps.push(step),
        }
    }

    /// What is known by now; none before anything was seen.
    pub fn latest(&self) -> Option<&Step> {
        self.steps.last()
    }

    /// Steps with strictly ascending samples.
    pub fn steps(&self) -> &[Step] {
        &self.steps
    }

    /// Findings in the order in which they were noted.
    pub fn findings(&self) -> &[Noted] {
        &self.findings
    }
}
