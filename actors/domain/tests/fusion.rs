//! What holds for every set of evidence under every policy: fusion does not depend on order or on when somebody noticed
//! that it was enough, its sums are exact, and it fails closed.

use portcullis_domain::equipment::EquipmentId;
use portcullis_domain::evidence::{
    Ability, Evidence, Modality, Noted, ReadingRange, Step, ThreatFamily, WEIGHT_LIMIT, Weights,
};
use portcullis_domain::explanation::{adds_up, explain};
use portcullis_domain::finding::{Finding, FindingCode};
use portcullis_domain::fusion::{Case, Reason, Verdict, contributions, first_stop, judge, priors, required_of};
use portcullis_domain::id::{
    CommandNo, DeviceId, Digest, EntryNo, Epoch, InspectionNo, PassNo, SampleNo, SourceId, TerminalId, Timestamp,
};
use portcullis_domain::inspection::{Conclusion, Inspection, RecordedEvidence, Stage};
use portcullis_domain::manifest::{GoodsItem, Manifest};
use portcullis_domain::policy::{
    Coefficient, FamilyRule, FindingRule, MaximumAge, Policy, Requirement, Scope, Stopping, Tier,
};
use proptest::prelude::*;
use proptest::sample::{select, subsequence};

const NOW: Timestamp = Timestamp(1_767_225_600_000);
const CODES: [FindingCode; 3] = [
    FindingCode::NeutronAlarm,
    FindingCode::OcrMismatch,
    FindingCode::ReadingGap,
];

fn modalities() -> impl Strategy<Value = Modality> {
    select(Modality::ALL.to_vec())
}

fn tiers() -> impl Strategy<Value = Tier> {
    select(vec![Tier::Review, Tier::Exam])
}

fn policies() -> impl Strategy<Value = Policy> {
    let family = (-40_000..0_i32, -30_000..20_000_i32, 0..30_000_i32);
    let requirement =
        (modalities(), 0..3_u8, any::<bool>(), tiers()).prop_map(|(modality, scope, degraded_is_enough, otherwise)| {
            Requirement {
                modality,
                scope: match scope {
                    0 => Scope::Every,
                    1 => Scope::Laden,
                    _ => Scope::Commodity("87".to_owned()),
                },
                degraded_is_enough,
                otherwise,
            }
        });
    let finding = (select(CODES.to_vec()), tiers()).prop_map(|(code, tier)| FindingRule { code, tier });
    let ages = prop::collection::btree_map(modalities(), 0..7200_u32, 0..3).prop_map(|ages| {
        let age = |(modality, seconds)| MaximumAge { modality, seconds };
        ages.into_iter().map(age).collect::<Vec<_>>()
    });
    (
        prop::array::uniform6(family),
        prop::collection::vec(0..=2000_i32, 8),
        prop::collection::vec(requirement, 0..4),
        prop::collection::vec(finding, 0..3),
        ages,
        (0..8_u32, 0..20_000_i32, 0..20_000_i32, 1..4_u32),
    )
        .prop_map(|(families, permilles, required, findings, maximum_ages, stop)| {
            let families = ThreatFamily::ALL.into_iter().zip(families);
            let coefficients = Modality::ALL.into_iter().zip(permilles);
            Policy {
                name: "any".to_owned(),
                coefficients: coefficients
                    .map(|(modality, permille)| Coefficient { modality, permille })
                    .collect(),
                families: families
                    .map(|(family, (prior, review, more))| FamilyRule {
                        family,
                        prior,
                        review,
                        exam: review + more,
                    })
                    .collect(),
                required,
                findings,
                maximum_ages,
                stopping: Stopping {
                    least_samples: stop.0,
                    release_margin: stop.1,
                    exam_margin: stop.2,
                },
                passes_max: stop.3,
                ..Policy::first()
            }
        })
}

fn weights() -> impl Strategy<Value = Weights> {
    prop_oneof![
        3 => prop::array::uniform6(-9000..1000_i32),
        1 => prop::array::uniform6(-WEIGHT_LIMIT..=WEIGHT_LIMIT),
    ]
    .prop_map(Weights)
}

fn abilities() -> impl Strategy<Value = Ability> {
    prop_oneof![6 => Just(Ability::Clear), 1 => Just(Ability::Degraded), 1 => Just(Ability::Shielded)]
}

/// Evidence of one source; samples up to 12, the first of a sensor among the first two.
fn evidence(modality: Modality) -> impl Strategy<Value = Evidence> {
    let step = (abilities(), weights());
    let later = subsequence((3..=12_u32).collect::<Vec<_>>(), 0..4);
    let noted = (select(CODES.to_vec()), 0..=12_u32);
    (
        (1..=2_u32, later),
        prop::collection::vec(step, 4),
        prop::collection::vec(noted, 0..2),
        0..7_200_000_u64,
        any::<u8>(),
    )
        .prop_map(move |((first, later), steps, noted, age, device)| {
            let manifest = modality == Modality::Manifest;
            let samples: Vec<u32> = match manifest {
                true => vec![0],
                false => std::iter::once(first).chain(later).collect(),
            };
            Evidence {
                modality,
                readings: (!manifest).then(|| ReadingRange {
                    device: DeviceId::new(format!("{modality}-{device}")).expect("a label"),
                    boot: 1,
                    first: 1,
                    last: 9,
                }),
                digest: Digest::of(&[device]),
                interpreter: "any/1".to_owned(),
                captured_at: Timestamp(NOW.0 - age),
                findings: noted
                    .into_iter()
                    .map(|(code, sample)| Noted {
                        sample: SampleNo(if manifest { 0 } else { sample }),
                        finding: Finding::new(code, "field", "detail"),
                    })
                    .collect(),
                steps: samples
                    .into_iter()
                    .zip(steps)
                    .map(|(sample, (ability, weights))| Step {
                        sample: SampleNo(sample),
                        ability,
                        weights,
                    })
                    .collect(),
            }
        })
}

fn evidence_sets() -> impl Strategy<Value = Vec<Evidence>> {
    let sensors = prop::collection::vec(modalities().prop_flat_map(evidence), 0..6);
    (evidence(Modality::Manifest), sensors).prop_map(|(manifest, mut all)| {
        all.push(manifest);
        all
    })
}

fn manifests() -> impl Strategy<Value = Manifest> {
    (any::<bool>(), select(vec!["870323", "240220", ""])).prop_map(|(empty, code)| Manifest {
        goods: vec![GoodsItem {
            commodity_code: code.to_owned(),
            ..GoodsItem::default()
        }],
        empty,
        ..Manifest::default()
    })
}

fn verdict(policy: &Policy, manifest: &Manifest, evidence: &[Evidence], passes: u32) -> Verdict {
    verdict_at(policy, manifest, evidence, passes, NOW)
}

fn verdict_at(policy: &Policy, manifest: &Manifest, evidence: &[Evidence], passes: u32, now: Timestamp) -> Verdict {
    let evidence: Vec<&Evidence> = evidence.iter().collect();
    judge(
        policy,
        &Case {
            manifest,
            evidence: &evidence,
            passes,
            now,
            adrift: &[],
        },
    )
}

/// What would have been recorded, had the pass ended after `sample`.
fn cut(evidence: &[Evidence], sample: u32) -> Vec<Evidence> {
    let mut evidence = evidence.to_vec();
    for one in &mut evidence {
        one.steps.retain(|step| step.sample.0 <= sample);
        one.findings.retain(|noted| noted.sample.0 <= sample);
    }
    evidence.retain(|one| !one.steps.is_empty());
    evidence
}

fn inspection(manifest: Manifest, evidence: Vec<Evidence>, policy: &Policy, verdict: Verdict) -> Inspection {
    let positions = (0..u32::try_from(evidence.len()).expect("few")).collect();
    Inspection {
        no: InspectionNo(1),
        version: CommandNo(1),
        equipment: EquipmentId::new("MSKU1234565").expect("an id"),
        terminal: TerminalId::new("north").expect("a label"),
        source: SourceId::new("tos").expect("a label"),
        other_sources: Vec::new(),
        announced_at: NOW,
        ready_at: NOW,
        due_at: None,
        priority: 0,
        manifest: manifest.into(),
        findings: Vec::new(),
        stage: Stage::Released,
        passes: PassNo(1),
        pass_epoch: Epoch(1),
        pass_complete: true,
        evidence: evidence
            .into_iter()
            .map(|evidence| RecordedEvidence {
                entry: EntryNo(1),
                pass: PassNo(1),
                at: NOW,
                evidence: evidence.into(),
            })
            .collect(),
        conclusion: Some(Conclusion {
            verdict,
            policy: policy.digest(),
            evidence: positions,
            at: NOW,
            entry: EntryNo(2),
        }),
        adjudications: Vec::new(),
        departed_at: None,
    }
}

/// Mostly what evidence and policies may say, else far beyond it: nothing that valid entries hold, but nothing that may change
/// the sums either.
fn beyond_32_bits() -> impl Strategy<Value = i32> {
    prop_oneof![
        4 => -WEIGHT_LIMIT..=WEIGHT_LIMIT,
        1 => any::<i32>(),
        1 => select(vec![i32::MIN, i32::MIN + 1, i32::MAX - 1, i32::MAX]),
    ]
}

/// The stopping rule asked at every sample by itself, from the summands that a person sees.
fn first_stop_by_itself(
    policy: &Policy,
    manifest: &Manifest,
    evidence: &[&Evidence],
    through: u32,
) -> Option<SampleNo> {
    let stopping = &policy.stopping;
    let spoken_at = |sample: u32| {
        evidence
            .iter()
            .flat_map(|one| &one.steps)
            .any(|step| step.sample.0 == sample)
    };
    let enough = |sample: &u32| {
        let at = SampleNo(*sample);
        let mut scores = priors(policy);
        for contribution in contributions(policy, evidence, at) {
            for (score, adds) in scores.0.iter_mut().zip(contribution.adds.0) {
                *score = score.saturating_add(adds);
            }
        }
        let rules = || policy.families.iter();
        let seen = |requirement: &Requirement| {
            let of_modality = evidence.iter().filter(|one| one.modality == requirement.modality);
            let mut steps = of_modality.filter_map(|one| one.at(at));
            steps.any(|step| {
                step.ability == Ability::Clear || (step.ability == Ability::Degraded && requirement.degraded_is_enough)
            })
        };
        let score = |rule: &FamilyRule| i64::from(scores.of(rule.family));
        rules().any(|rule| score(rule) >= i64::from(rule.exam) + i64::from(stopping.exam_margin))
            || (rules().all(|rule| score(rule) <= i64::from(rule.review) - i64::from(stopping.release_margin))
                && required_of(policy, manifest).all(seen))
    };
    (stopping.least_samples.max(1)..=through)
        .filter(|sample| *sample == stopping.least_samples || spoken_at(*sample))
        .find(enough)
        .map(SampleNo)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn what_is_generated_is_valid(policy in policies(), evidence in evidence_sets()) {
        prop_assert_eq!(policy.check(), Ok(()));
        for one in &evidence {
            let recordable = one.modality != Modality::Manifest || one.readings.is_none();
            prop_assert!(recordable && one.check().is_ok(), "{:?}", one.check());
        }
    }

    #[test]
    fn going_through_a_pass_stops_where_asking_at_every_sample_does(
        policy in policies(), manifest in manifests(), evidence in evidence_sets(), through in 0..20_u32,
    ) {
        let evidence: Vec<&Evidence> = evidence.iter().collect();
        let case = Case { manifest: &manifest, evidence: &evidence, passes: 1, now: NOW, adrift: &[] };
        let stop = first_stop(&policy, &case, SampleNo(through));
        prop_assert_eq!(stop, first_stop_by_itself(&policy, &manifest, &evidence, through));
    }

    #[test]
    fn sums_that_leave_32_bits_saturate_in_the_order_of_the_evidence(
        mut policy in policies(), manifest in manifests(), mut evidence in evidence_sets(), through in 0..20_u32,
        beyond in prop::collection::vec(prop::array::uniform6(beyond_32_bits()), 24), permille in beyond_32_bits(),
        exams in prop::collection::vec(beyond_32_bits(), 6), reviews in prop::collection::vec(beyond_32_bits(), 6),
    ) {
        for (rule, (exam, review)) in policy.families.iter_mut().zip(exams.into_iter().zip(reviews)) {
            (rule.exam, rule.review) = (exam, review);
        }
        if let Some(coefficient) = policy.coefficients.first_mut() {
            coefficient.permille = permille;
        }
        for (step, weights) in evidence.iter_mut().flat_map(|one| &mut one.steps).zip(beyond) {
            step.weights = Weights(weights);
        }
        let evidence: Vec<&Evidence> = evidence.iter().collect();
        let case = Case { manifest: &manifest, evidence: &evidence, passes: 1, now: NOW, adrift: &[] };
        let stop = first_stop(&policy, &case, SampleNo(through));
        prop_assert_eq!(stop, first_stop_by_itself(&policy, &manifest, &evidence, through));
    }

    #[test]
    fn the_order_of_the_evidence_does_not_matter(
        policy in policies(), manifest in manifests(), passes in 0..4_u32,
        (evidence, shuffled) in evidence_sets().prop_flat_map(|set| (Just(set.clone()), Just(set).prop_shuffle())),
    ) {
        prop_assert_eq!(
            verdict(&policy, &manifest, &evidence, passes),
            verdict(&policy, &manifest, &shuffled, passes)
        );
    }

    #[test]
    fn prior_and_contributions_add_up_to_the_score_exactly(
        policy in policies(), manifest in manifests(), evidence in evidence_sets(),
    ) {
        let verdict = verdict(&policy, &manifest, &evidence, 1);
        let case = inspection(manifest, evidence.clone(), &policy, verdict.clone());
        let explanation = explain(&policy, &case).expect("there is a conclusion");
        prop_assert_eq!(explanation.sums.len(), ThreatFamily::ALL.len());
        for sum in &explanation.sums {
            prop_assert!(adds_up(sum), "{:?}", sum);
            prop_assert_eq!(sum.score, verdict.scores.of(sum.family));
        }
        let borrowed: Vec<&Evidence> = evidence.iter().collect();
        for family in ThreatFamily::ALL {
            let sum: i64 = contributions(&policy, &borrowed, verdict.at_sample)
                .iter()
                .map(|one| i64::from(one.adds.of(family)))
                .sum();
            prop_assert_eq!(i64::from(priors(&policy).of(family)) + sum, i64::from(verdict.scores.of(family)));
        }
    }

    #[test]
    fn samples_after_the_stopping_point_change_nothing(
        policy in policies(), manifest in manifests(), evidence in evidence_sets(), passes in 0..4_u32,
    ) {
        let whole = verdict(&policy, &manifest, &evidence, passes);
        // A lane that has measured nothing at all has not been stopped.
        let scanned = evidence.iter().any(|one| one.readings.is_some());
        if whole.stopped && scanned {
            for sample in whole.at_sample.0.max(2)..=13 {
                prop_assert_eq!(&verdict(&policy, &manifest, &cut(&evidence, sample), passes), &whole);
            }
        }
    }

    #[test]
    fn who_follows_the_pass_sample_by_sample_stops_where_the_verdict_says(
        policy in policies(), manifest in manifests(), evidence in evidence_sets(),
    ) {
        let whole = verdict(&policy, &manifest, &evidence, 1);
        let borrowed: Vec<&Evidence> = evidence.iter().collect();
        let case = Case { manifest: &manifest, evidence: &borrowed, passes: 1, now: NOW, adrift: &[] };
        let end = evidence.iter().filter_map(|one| one.total()).map(|step| step.sample).max().unwrap_or(SampleNo(0));
        let followed = (1..=end.0).find_map(|through| first_stop(&policy, &case, SampleNo(through)));
        match followed {
            Some(sample) => prop_assert_eq!((whole.stopped, whole.at_sample), (true, sample)),
            None => prop_assert!(!whole.stopped || whole.at_sample > end),
        }
    }

    #[test]
    fn nothing_is_released_without_all_that_the_policy_requires(
        policy in policies(), manifest in manifests(), evidence in evidence_sets(), passes in 0..4_u32,
    ) {
        let verdict = verdict(&policy, &manifest, &evidence, passes);
        for requirement in required_of(&policy, &manifest) {
            let limit = policy.maximum_age_s(requirement.modality).map_or(u64::MAX, u64::from);
            let met = evidence.iter().any(|one| {
                one.modality == requirement.modality
                    && NOW.millis_since(one.captured_at) / 1000 <= limit
                    && one.at(verdict.at_sample).is_some_and(|step| match step.ability {
                        Ability::Clear => true,
                        Ability::Degraded => requirement.degraded_is_enough,
                        Ability::Shielded => false,
                    })
            });
            if !met {
                prop_assert!(verdict.tier >= requirement.otherwise, "{:?}", verdict);
            }
        }
        for rule in &policy.families {
            let score = verdict.scores.of(rule.family);
            prop_assert!(score < rule.exam || verdict.tier == Tier::Exam);
            prop_assert!(score < rule.review || verdict.tier >= Tier::Review);
        }
    }

    #[test]
    fn taking_required_evidence_away_never_leads_to_release(
        policy in policies(), manifest in manifests(), evidence in evidence_sets(), without in modalities(),
    ) {
        let left: Vec<Evidence> = evidence.into_iter().filter(|one| one.modality != without).collect();
        let required = required_of(&policy, &manifest).any(|requirement| requirement.modality == without);
        if required {
            prop_assert_ne!(verdict(&policy, &manifest, &left, 1).tier, Tier::Release);
        }
    }

    #[test]
    fn waiting_makes_no_verdict_milder(
        policy in policies(), manifest in manifests(), evidence in evidence_sets(), wait in 0..10_000_000_u64,
    ) {
        let now = verdict(&policy, &manifest, &evidence, 1);
        let later = verdict_at(&policy, &manifest, &evidence, 1, NOW.plus_millis(wait));
        prop_assert!(later.tier >= now.tier);
        prop_assert_eq!(later.scores, now.scores);
        prop_assert_eq!(later.at_sample, now.at_sample);
    }

    #[test]
    fn the_reasons_bear_the_tier_worst_first(
        policy in policies(), manifest in manifests(), evidence in evidence_sets(), passes in 0..4_u32,
    ) {
        let verdict = verdict(&policy, &manifest, &evidence, passes);
        let tiers: Vec<Tier> = verdict.reasons.iter().map(Reason::tier).collect();
        prop_assert_eq!(tiers.first(), Some(&verdict.tier));
        prop_assert!(tiers.is_sorted_by(|a, b| a >= b));
        prop_assert!(verdict.agrees_with(&verdict));
    }

    #[test]
    fn a_verdict_agrees_with_another_only_if_nothing_but_an_age_differs(
        policy in policies(), manifest in manifests(), evidence in evidence_sets(), wait in 0..10_000_u64,
    ) {
        let now = verdict(&policy, &manifest, &evidence, 1);
        let later = verdict_at(&policy, &manifest, &evidence, 1, NOW.plus_millis(wait));
        let same = now.reasons.len() == later.reasons.len() && now.tier == later.tier;
        prop_assert_eq!(now.agrees_with(&later), same);
        let mut other = now.clone();
        other.scores.0[0] += 1;
        prop_assert!(!now.agrees_with(&other));
    }
}

#[test]
fn a_policy_whose_sums_could_overflow_is_refused() {
    for change in [i32::MIN, i32::MAX, -1_000_001] {
        let mut policy = Policy::first();
        policy.families[0].prior = change;
        assert!(policy.check().is_err(), "{change}");
    }
}

#[test]
fn the_generated_worlds_meet_every_tier_every_reason_and_both_ends() {
    use proptest::strategy::ValueTree as _;
    use proptest::test_runner::{RngAlgorithm, TestRng, TestRunner};
    let rng = TestRng::deterministic_rng(RngAlgorithm::ChaCha);
    let mut runner = TestRunner::new_with_rng(ProptestConfig::default(), rng);
    let mut met = std::collections::BTreeMap::new();
    let worlds = (policies(), manifests(), evidence_sets(), 0..4_u32);
    for _ in 0..2000 {
        let (policy, manifest, evidence, passes) = worlds.new_tree(&mut runner).expect("it generates").current();
        let verdict = verdict(&policy, &manifest, &evidence, passes);
        let end = if verdict.stopped { "stopped" } else { "ran to its end" };
        let scanned = evidence.len() > 1;
        *met.entry(format!("{} {end} scanned={scanned}", verdict.tier))
            .or_insert(0) += 1;
        for reason in &verdict.reasons {
            let reason = format!("{reason:?}");
            let name = reason.split([' ', '{']).next().unwrap_or_default().to_owned();
            *met.entry(name).or_insert(0) += 1;
        }
    }
    for wanted in [
        "release stopped scanned=true",
        "release ran to its end scanned=true",
        "review stopped scanned=true",
        "review ran to its end scanned=true",
        "exam stopped scanned=true",
        "exam ran to its end scanned=true",
        "Score",
        "Missing",
        "NotSeen",
        "Stale",
        "Found",
        "PassesExhausted",
        "NothingAgainst",
    ] {
        assert!(met.get(wanted).is_some_and(|count| *count >= 10), "{wanted}: {met:?}");
    }
    eprintln!("{met:?}");
}
