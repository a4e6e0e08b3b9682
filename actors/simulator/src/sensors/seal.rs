//! The seal on the doors as the number camera sees it.
//!
//! Which seal is on the box is drawn here: whoever hides drugs breaks it and often closes the doors again, sometimes with a copy
//! that nobody can tell; a swapped box has its own seal. Honest boxes carry another seal than declared now and then.

use portcullis_domain::evidence::{Modality, ThreatFamily};
use portcullis_domain::id::SampleNo;
use portcullis_domain::reading::{Candidate, SealReading, SealState};

use super::recognition::misread;
use crate::noise::Noise;
use crate::plan::Visit;

/// Of a thousand passes, those in which the camera sees the doors.
const SEEN_PERMILLE: u32 = 850;
/// Of a thousand seals seen, those whose number cannot be read.
const UNREADABLE_PERMILLE: u32 = 80;
/// Of a thousand that are read, those read wrongly.
const WRONG_PERMILLE: u32 = 50;

/// Of a thousand containers, those with another seal than declared, and those whose seal is broken or gone.
struct Habit {
    other: u32,
    open: u32,
}

const HONEST: Habit = Habit { other: 20, open: 4 };
const NARCOTICS: Habit = Habit { other: 230, open: 50 };
const UNDECLARED: Habit = Habit { other: 80, open: 20 };
const SWAPPED: Habit = Habit { other: 900, open: 10 };

/// What the camera makes of the seal; none if it does not see the doors, or no seal is declared.
pub(super) fn look(seed: u64, visit: &Visit) -> Option<SealReading> {
    let declared = visit.announcement.manifest.seals.first()?;
    let mut noise = Noise::of_reading(seed, &visit.equipment, Modality::Ocr, SampleNo(2));
    let seen = noise.chance(SEEN_PERMILLE);
    let (state, number) = on_the_doors(&mut noise, visit, declared);
    seen.then(|| {
        let readable = state == SealState::Intact && !noise.chance(UNREADABLE_PERMILLE);
        let (wrong, sure) = (noise.chance(WRONG_PERMILLE), noise.between(700, 980));
        let text = if wrong { misread(&mut noise, &number) } else { number };
        SealReading {
            state,
            candidates: readable
                .then_some(Candidate {
                    text,
                    confidence_permille: sure as u32,
                })
                .into_iter()
                .collect(),
        }
    })
}

fn on_the_doors(noise: &mut Noise, visit: &Visit, declared: &str) -> (SealState, String) {
    let families = &visit.truth.families;
    let habit = if visit.truth.painted != visit.equipment {
        SWAPPED
    } else if families.contains(&ThreatFamily::Narcotics) {
        NARCOTICS
    } else if families.contains(&ThreatFamily::Undeclared) {
        UNDECLARED
    } else {
        HONEST
    };
    let lot = noise.below(1_000);
    let other = format!(
        "{}{:07}",
        ["SL", "EU", "HQ"][noise.below(3) as usize],
        noise.below(10_000_000)
    );
    let gone = noise.chance(300);
    if lot < u64::from(habit.open) {
        let state = if gone { SealState::Absent } else { SealState::Broken };
        (state, declared.to_owned())
    } else if lot < u64::from(habit.open + habit.other) {
        (SealState::Intact, other)
    } else {
        (SealState::Intact, declared.to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::{PortOptions, PortPlan};

    #[test]
    fn drugs_go_with_other_seals_more_often_than_honest_goods_do() {
        let mut options = PortOptions::for_terminal("T").unwrap();
        options.threat_permille = [300, 0, 0, 0, 0, 0];
        options.swapped_permille = 0;
        let plan = PortPlan::new(5, 4_000, options);
        let share = |drugs: bool| {
            let mut counts = (0, 0);
            for visit in plan.visits().iter().filter(|visit| visit.truth.is_honest() != drugs) {
                let Some(seal) = look(5, visit) else { continue };
                let declared = &visit.announcement.manifest.seals[0];
                let right = seal.candidates.first().is_none_or(|one| one.text == *declared);
                counts.0 += u32::from(seal.state != SealState::Intact || !right);
                counts.1 += 1;
            }
            f64::from(counts.0) / f64::from(counts.1)
        };
        assert!((0.22..0.38).contains(&share(true)), "{}", share(true));
        assert!((0.04..0.10).contains(&share(false)), "{}", share(false));
    }
}
