//! Scores after one sample after the other: what is asked all through a pass, and again when it is judged.
//!
//! Each source is looked at from where it stood at the sample before. Only sources that have said something new, and those
//! that share a modality with one that speaks for the first time, are weighed again. The scores are those of
//! [`super::contributions`], to the bit.

use super::summands;
use crate::evidence::{Evidence, Step, Weights};
use crate::id::SampleNo;
use crate::policy::Policy;

/// One source on its way through its steps.
struct Course<'a> {
    evidence: &'a Evidence,
    permille: i32,
    /// How many steps are behind.
    spoken: usize,
    /// How many sources of its modality have spoken.
    sharing: usize,
    adds: Weights,
}

/// All sources after the same sample.
pub(super) struct Sweep<'a> {
    priors: Weights,
    courses: Vec<Course<'a>>,
}

impl<'a> Sweep<'a> {
    /// Before any sample.
    pub(super) fn new(policy: &Policy, evidence: &[&'a Evidence]) -> Self {
        let course = |evidence: &&'a Evidence| Course {
            evidence,
            permille: policy.permille(evidence.modality),
            spoken: 0,
            sharing: 0,
            adds: Weights::ZERO,
        };
        Self {
            priors: super::priors(policy),
            courses: evidence.iter().map(course).collect(),
        }
    }

    /// Goes on to a sample, which is not before the one it stands at.
    pub(super) fn go_to(&mut self, sample: SampleNo) {
        for at in 0..self.courses.len() {
            let Some(course) = self.courses.get_mut(at) else { break };
            let later = course.evidence.steps.get(course.spoken..).unwrap_or_default();
            let new = later.iter().take_while(|step| step.sample <= sample).count();
            if new == 0 {
                continue;
            }
            let first = course.spoken == 0;
            course.spoken += new;
            if first {
                self.share(at);
            } else {
                course.weigh();
            }
        }
    }

    /// One source speaks for the first time: all of its modality are averaged anew.
    fn share(&mut self, at: usize) {
        let Some(modality) = self.courses.get(at).map(|course| course.evidence.modality) else {
            return;
        };
        let of_modality = |course: &&mut Course<'_>| course.evidence.modality == modality && course.spoken > 0;
        let sharing = self.courses.iter_mut().filter(of_modality).count();
        for course in self.courses.iter_mut().filter(of_modality) {
            course.sharing = sharing;
            course.weigh();
        }
    }

    /// The next sample at which any source says something.
    pub(super) fn next_sample(&self) -> Option<SampleNo> {
        let steps = self
            .courses
            .iter()
            .filter_map(|course| course.evidence.steps.get(course.spoken));
        steps.map(|step| step.sample).min()
    }

    /// The fused scores.
    pub(super) fn scores(&self) -> Weights {
        let mut scores = self.priors;
        for course in self.courses.iter().filter(|course| course.spoken > 0) {
            for (score, adds) in scores.0.iter_mut().zip(course.adds.0) {
                *score = score.saturating_add(adds);
            }
        }
        scores
    }

    /// The sources that have spoken, with the last thing that each has said.
    pub(super) fn spoken(&self) -> impl Iterator<Item = (&'a Evidence, &'a Step)> {
        self.courses
            .iter()
            .filter_map(|course| Some((course.evidence, course.last()?)))
    }
}

impl<'a> Course<'a> {
    fn last(&self) -> Option<&'a Step> {
        self.spoken
            .checked_sub(1)
            .and_then(|last| self.evidence.steps.get(last))
    }

    fn weigh(&mut self) {
        if let Some(step) = self.last() {
            self.adds = summands(self.permille, step.weights, self.sharing);
        }
    }
}
