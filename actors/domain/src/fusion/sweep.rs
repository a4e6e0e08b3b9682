//! Scores after one sample after the other: what is asked all through a pass, and again when it is judged.
//!
//! Each source is looked at from where it stood at the sample before. Only sources that have said something new, and those
//! that share a modality with one that speaks for the first time, are weighed again, and the sums are moved by what that
//! changed. The scores are those of [`super::contributions`], to the bit.

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
    /// For each course the [`turn`] of its next step: side by side, because they are compared at each sample.
    turns: Vec<u64>,
    /// The least of them.
    earliest: u64,
    /// Prior and summands of each family, added up without saturation; the scores as long as `bounded` holds.
    sums: Weights,
    /// The most that a prior or a summand may be so that no order of adding them leaves 32 bits.
    bound: u32,
    /// Nothing was ever beyond `bound`.
    bounded: bool,
}

/// After every turn: nothing is left to say.
const DONE: u64 = u64::MAX;

/// Sample above, position of the course below: the least of several says at once which course it is, without branches
/// that nothing could foretell.
fn turn(sample: SampleNo, at: usize) -> u64 {
    (u64::from(sample.0) << 32) | u64::from(u32::try_from(at).unwrap_or(u32::MAX))
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
        let courses: Vec<Course<'a>> = evidence.iter().map(course).collect();
        let priors = super::priors(policy);
        let turns: Vec<u64> = courses.iter().enumerate().map(|(at, course)| course.turn(at)).collect();
        let terms = u32::try_from(courses.len()).unwrap_or(u32::MAX).saturating_add(1);
        let bound = i32::MAX.unsigned_abs() / terms;
        Self {
            priors,
            earliest: turns.iter().copied().min().unwrap_or(DONE),
            turns,
            courses,
            sums: priors,
            bound,
            bounded: within(priors, bound),
        }
    }

    /// Goes on to a sample, which is not before the one it stands at.
    pub(super) fn go_to(&mut self, sample: SampleNo) {
        while let Some(next) = self.next_sample().filter(|next| *next <= sample) {
            let at = (self.earliest & u64::from(u32::MAX)) as usize;
            let Some(course) = self.courses.get_mut(at) else { return };
            let first = course.spoken == 0;
            course.spoken += 1;
            // Of what is said before the sample that is asked about, only the last holds.
            while next < sample && course.coming().is_some_and(|coming| coming <= sample) {
                course.spoken += 1;
            }
            if let Some(turn) = self.turns.get_mut(at) {
                *turn = course.turn(at);
            }
            if first {
                self.share(at);
            } else {
                self.bounded &= course.weigh(&mut self.sums, self.bound);
            }
            self.earliest = self.turns.iter().copied().min().unwrap_or(DONE);
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
            self.bounded &= course.weigh(&mut self.sums, self.bound);
        }
    }

    /// The next sample at which any source says something.
    pub(super) fn next_sample(&self) -> Option<SampleNo> {
        let sample = u32::try_from(self.earliest >> 32).ok().map(SampleNo);
        sample.filter(|_| self.earliest != DONE)
    }

    /// The fused scores.
    pub(super) fn scores(&self) -> Weights {
        if self.bounded {
            return self.sums;
        }
        // Beyond 32 bits the order in which saturating sums are made matters.
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
    /// The sample of the step that comes next.
    fn coming(&self) -> Option<SampleNo> {
        self.evidence.steps.get(self.spoken).map(|step| step.sample)
    }

    /// When this course, the one at this position, speaks next.
    fn turn(&self, at: usize) -> u64 {
        self.coming().map_or(DONE, |sample| turn(sample, at))
    }

    fn last(&self) -> Option<&'a Step> {
        self.spoken
            .checked_sub(1)
            .and_then(|last| self.evidence.steps.get(last))
    }

    /// Weighs the last step and moves the sums by the difference. Says whether each summand is within the bound.
    fn weigh(&mut self, sums: &mut Weights, bound: u32) -> bool {
        let Some(step) = self.last() else { return true };
        let adds = summands(self.permille, step.weights, self.sharing);
        for ((sum, new), old) in sums.0.iter_mut().zip(adds.0).zip(self.adds.0) {
            // Sums that leave 32 bits are not read again.
            *sum = sum.wrapping_add(new).wrapping_sub(old);
        }
        self.adds = adds;
        within(adds, bound)
    }
}

fn within(weights: Weights, bound: u32) -> bool {
    weights
        .0
        .iter()
        .fold(true, |within, weight| within & (weight.unsigned_abs() <= bound))
}
