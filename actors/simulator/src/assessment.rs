//! Decisions held against the truth: what was missed, and what was stopped for nothing.

use std::collections::BTreeMap;

use portcullis_domain::equipment::EquipmentId;
use portcullis_domain::evidence::ThreatFamily;
use portcullis_domain::policy::Tier;

use crate::plan::{PortPlan, Visit};

/// How often a family was there, and how often it got through.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct FamilyCount {
    /// Containers with the family, among those decided.
    pub present: u32,
    /// Those of them that were released.
    pub missed: u32,
}

/// A container with a threat that was released.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Missed {
    /// Which container.
    pub equipment: EquipmentId,
    /// What was in it, for people.
    pub summary: String,
}

/// How good decisions were.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Assessment {
    /// Containers without a decision.
    pub undecided: u32,
    /// Containers without a threat: released, reviewed, examined.
    pub honest: [u32; 3],
    /// Containers with at least one threat: released, reviewed, examined.
    pub threats: [u32; 3],
    /// By family.
    pub families: BTreeMap<ThreatFamily, FamilyCount>,
    /// What got through, in order of arrival.
    pub missed: Vec<Missed>,
}

impl Assessment {
    /// Compares decisions with the truth. `tier_of` says what was decided about a container.
    pub fn of(plan: &PortPlan, tier_of: impl Fn(&EquipmentId) -> Option<Tier>) -> Self {
        let mut assessment = Self::default();
        for visit in plan.visits() {
            match tier_of(&visit.equipment) {
                Some(tier) => assessment.add(visit, tier),
                None => assessment.undecided += 1,
            }
        }
        assessment
    }

    fn add(&mut self, visit: &Visit, tier: Tier) {
        let truth = &visit.truth;
        let column = match tier {
            Tier::Release => 0,
            Tier::Review => 1,
            Tier::Exam => 2,
        };
        if truth.is_honest() {
            self.honest[column] += 1;
            return;
        }
        self.threats[column] += 1;
        let released = tier == Tier::Release;
        for family in &truth.families {
            let count = self.families.entry(*family).or_default();
            count.present += 1;
            count.missed += u32::from(released);
        }
        if released {
            self.missed.push(Missed {
                equipment: visit.equipment.clone(),
                summary: truth.summary(),
            });
        }
    }
}
