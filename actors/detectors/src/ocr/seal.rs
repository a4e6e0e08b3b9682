//! The seal on the doors, against the seals that were declared.
//!
//! Whoever puts drugs into a box on its way must open the doors, and so break a seal; many close it again with a copy of the same
//! number, which no camera notices. Goods are mostly undeclared from the start, under the right seal. Honest boxes get other
//! seals too: customs and veterinary offices on the way open boxes and seal them again, and clerks mistype. All shares
//! are working values: no figures are published.
//!
//! Several looks show one seal, and their errors depend on each other: of all looks the one that speaks most for a threat counts.

use portcullis_domain::evidence::ThreatFamily;
use portcullis_domain::finding::{Finding, FindingCode};
use portcullis_domain::manifest::Manifest;
use portcullis_domain::reading::{Recognition, SealReading, SealState};

use super::alignment::likelihood;
use super::confusion::{Place, Sight, Symbol};
use super::numbers::Text;
use super::{DECISIVE, texts};
use crate::interpretation::{WEIGHT_CAP, milli_decibans};

/// Of honest boxes with declared seals, those that carry another seal.
const HONEST_OTHER: f64 = 0.03;
/// Of honest boxes with declared seals, those whose seal is broken or gone.
const HONEST_OPEN: f64 = 0.005;
/// Seal numbers that are compared: a declaration may name a hundred.
const SEALS_MAX: usize = 16;

/// What boxes of a family show.
struct Habit {
    family: ThreatFamily,
    /// Another seal than any that was declared.
    other: f64,
    /// A seal that is broken or gone.
    open: f64,
}

const HABITS: [Habit; 2] = [
    Habit {
        family: ThreatFamily::Narcotics,
        other: 0.20,
        open: 0.04,
    },
    Habit {
        family: ThreatFamily::Undeclared,
        other: 0.10,
        open: 0.03,
    },
];

/// What the seal comes to.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Seals {
    /// Weight for each family that the seal speaks about, milli-decibans.
    pub(super) weights: Vec<(ThreatFamily, i32)>,
    /// What the officer should know.
    pub(super) findings: Vec<Finding>,
}

impl Seals {
    fn heaviest(&self) -> i32 {
        self.weights.iter().map(|(_, weight)| *weight).max().unwrap_or(i32::MIN)
    }
}

/// Compares what was seen of the seal with what was declared. Without a declared seal there is nothing to compare with.
pub(super) fn interpret(recognitions: &[Recognition], manifest: &Manifest) -> Seals {
    let declared: Vec<Text> = manifest
        .seals
        .iter()
        .take(SEALS_MAX)
        .filter_map(|seal| Text::of(seal))
        .collect();
    if declared.is_empty() {
        return Seals::default();
    }
    let mut looks: Vec<Seals> = recognitions
        .iter()
        .filter_map(|recognition| recognition.seal.as_ref())
        .map(|seal| look(seal, &declared))
        .collect();
    // Ties by what is said, so that the order of looks does not matter.
    looks.sort_by(|a, b| {
        b.heaviest()
            .cmp(&a.heaviest())
            .then_with(|| a.findings.cmp(&b.findings))
    });
    looks.into_iter().next().unwrap_or_default()
}

fn look(seal: &SealReading, declared: &[Text]) -> Seals {
    let names = || {
        let names: Vec<String> = declared.iter().map(Text::to_string).collect();
        names.join(", ")
    };
    let open = |code, what: &str| Seals {
        weights: weights(|habit| habit.open / HONEST_OPEN),
        findings: vec![Finding::new(code, "seal", format!("{what}; declared {}", names()))],
    };
    match seal.state {
        SealState::Broken => return open(FindingCode::SealBroken, "the seal is broken or open"),
        SealState::Absent => return open(FindingCode::SealAbsent, "there is no seal on the doors"),
        SealState::Intact => {}
    }
    let Some((read, doubt)) = texts(&seal.candidates) else {
        let detail = format!(
            "{} candidates, none readable; declared {}",
            seal.candidates.len(),
            names()
        );
        return Seals {
            weights: Vec::new(),
            findings: vec![Finding::new(FindingCode::SealUnreadable, "seal", detail)],
        };
    };
    // How much likelier what was read is with a declared seal than with any other; doubt says nothing.
    let as_read: f64 = read.iter().map(|(text, share)| share * factor(text, declared)).sum();
    let ratio = as_read + doubt;
    let mut findings = Vec::new();
    if as_read <= (1.0 - doubt) / DECISIVE
        && let Some((text, _)) = read.first()
    {
        let detail = format!("read {text}, declared {}", names());
        findings.push(Finding::new(FindingCode::SealDiffers, "seal", detail));
    }
    Seals {
        weights: weights(|habit| {
            ((1.0 - habit.other) * ratio + habit.other) / ((1.0 - HONEST_OTHER) * ratio + HONEST_OTHER)
        }),
        findings,
    }
}

fn weights(ratio: impl Fn(&Habit) -> f64) -> Vec<(ThreatFamily, i32)> {
    HABITS
        .iter()
        .map(|habit| (habit.family, milli_decibans(ratio(habit).ln(), -WEIGHT_CAP, WEIGHT_CAP)))
        .collect()
}

/// Another seal has any letters and digits, as many as were read.
fn factor(text: &Text, declared: &[Text]) -> f64 {
    let painted = |seal: &Text| -> Vec<Place> {
        seal.symbols
            .iter()
            .map(|symbol| Place::painted(*symbol, Sight::Sharp))
            .collect()
    };
    let any = Place::any_of(Symbol::digits().chain(Symbol::letters()), Sight::Sharp);
    let other = likelihood(&vec![any; text.symbols.len()], &text.symbols);
    let announced: f64 = declared
        .iter()
        .map(|seal| likelihood(&painted(seal), &text.symbols))
        .sum();
    announced / declared.len().max(1) as f64 / other
}

#[cfg(test)]
mod tests {
    use portcullis_domain::reading::Candidate;

    use super::*;

    fn seen(state: SealState, text: &str, confidence_permille: u32) -> Recognition {
        Recognition {
            seal: Some(SealReading {
                state,
                candidates: vec![Candidate {
                    text: text.to_owned(),
                    confidence_permille,
                }],
            }),
            ..Recognition::default()
        }
    }

    fn declared() -> Manifest {
        Manifest {
            seals: vec!["SL0012345".to_owned(), "EU-884411".to_owned()],
            ..Manifest::default()
        }
    }

    fn weight(seals: &Seals, family: ThreatFamily) -> i32 {
        seals.weights.iter().find(|(one, _)| *one == family).unwrap().1
    }

    #[test]
    fn a_declared_seal_says_little_even_if_a_character_is_misread() {
        for text in ["SL0012345", "SLOO12345", "eu 884411", "SL001234"] {
            let seals = interpret(&[seen(SealState::Intact, text, 900)], &declared());
            assert!(
                (-1_000..0).contains(&weight(&seals, ThreatFamily::Narcotics)),
                "{text}: {seals:?}"
            );
            assert!(seals.findings.is_empty(), "{seals:?}");
        }
    }

    #[test]
    fn another_seal_weighs_for_narcotics_more_than_for_undeclared_goods() {
        let seals = interpret(&[seen(SealState::Intact, "QX7755119", 950)], &declared());
        let (narcotics, undeclared) = (
            weight(&seals, ThreatFamily::Narcotics),
            weight(&seals, ThreatFamily::Undeclared),
        );
        assert!(narcotics > undeclared && undeclared > 2_000, "{seals:?}");
        assert!(narcotics < 9_000, "{seals:?}");
        assert_eq!(seals.findings[0].code, FindingCode::SealDiffers);
    }

    #[test]
    fn an_open_seal_weighs_as_much_as_the_stated_shares_say() {
        for (state, code) in [
            (SealState::Broken, FindingCode::SealBroken),
            (SealState::Absent, FindingCode::SealAbsent),
        ] {
            let seals = interpret(&[seen(state, "", 0)], &declared());
            // 0.04 against 0.005 is 9.03 decibans.
            assert_eq!(weight(&seals, ThreatFamily::Narcotics), 9_031);
            assert_eq!(seals.findings[0].code, code);
        }
    }

    #[test]
    fn a_seal_that_cannot_be_read_says_nothing_and_it_is_said() {
        let seals = interpret(&[seen(SealState::Intact, "????", 900)], &declared());
        assert!(seals.weights.is_empty());
        assert_eq!(seals.findings[0].code, FindingCode::SealUnreadable);
    }

    #[test]
    fn without_a_declared_seal_or_a_look_at_it_there_is_nothing_to_compare() {
        let look = seen(SealState::Broken, "", 0);
        assert_eq!(interpret(&[look], &Manifest::default()), Seals::default());
        assert_eq!(interpret(&[Recognition::default()], &declared()), Seals::default());
    }

    #[test]
    fn of_two_looks_the_one_that_speaks_most_for_a_threat_counts_whichever_came_first() {
        let looks = [
            seen(SealState::Broken, "", 0),
            seen(SealState::Intact, "SL0012345", 990),
        ];
        let reversed = [looks[1].clone(), looks[0].clone()];
        assert_eq!(interpret(&looks, &declared()), interpret(&reversed, &declared()));
        assert_eq!(interpret(&looks, &declared()).findings[0].code, FindingCode::SealBroken);
    }
}
