//! What holds for every history: the promises of the ledger and of fusion, over command sequences and evidence that
//! nobody wrote by hand.

#[path = "support/history.rs"]
mod history;
#[path = "support/parts.rs"]
mod parts;

use std::collections::{BTreeMap, BTreeSet};

use history::{History, histories};
use parts::Parts;
use portcullis_domain::archive::rebuild;
use portcullis_domain::codec::{from_bytes, to_bytes};
use portcullis_domain::command::{Command, CommandBody};
use portcullis_domain::drift::ChartKey;
use portcullis_domain::event::{Event, Leaf};
use portcullis_domain::fusion::{self, Case};
use portcullis_domain::id::{EntryNo, InspectionNo};
use portcullis_domain::inspection::Stage;
use portcullis_domain::ledger::{ANSWERS_KEPT_MS, Ledger};
use portcullis_domain::merkle::{leaf_hash, root_of};
use portcullis_domain::outcome::{Answer, Applied, Outcome, RefusalReason};
use portcullis_domain::policy::Tier;
use proptest::prelude::*;

fn cases(count: u32) -> ProptestConfig {
    ProptestConfig {
        cases: count,
        failure_persistence: None,
        ..ProptestConfig::default()
    }
}

fn leaf(bytes: &[u8]) -> Leaf {
    from_bytes(bytes).expect("a leaf of the log decodes")
}

fn replayed(leaves: &[Vec<u8>]) -> Ledger {
    let mut ledger = Ledger::new();
    for bytes in leaves {
        ledger.replay(leaf(bytes));
    }
    ledger
}

proptest! {
    #![proptest_config(cases(128))]

    #[test]
    fn a_snapshot_and_the_rest_of_the_commands_lead_where_all_commands_lead(
        history in histories(160), cut in any::<prop::sample::Index>(),
    ) {
        let cut = cut.index(history.turns.len());
        let bytes = to_bytes(&history.turns[cut].after);
        let mut ledger: Ledger = from_bytes(&bytes).unwrap();
        prop_assert_eq!(&ledger, &history.turns[cut].after);
        prop_assert_eq!(&to_bytes(&ledger), &bytes);
        for turn in &history.turns[cut + 1..] {
            prop_assert_eq!(&ledger.apply(turn.command.clone()), &turn.application);
        }
        let end = history.end();
        prop_assert_eq!(ledger.log().root(), end.log().root());
        prop_assert_eq!(to_bytes(&ledger), to_bytes(&end));
        prop_assert_eq!(ledger, end);
    }

    #[test]
    fn the_same_commands_read_back_from_their_bytes_lead_to_the_same_ledger(history in histories(160)) {
        let mut ledger = Ledger::new();
        for command in history.commands() {
            let again: Command = from_bytes(&to_bytes(command)).unwrap();
            prop_assert_eq!(&again, command);
            ledger.apply(again);
        }
        prop_assert_eq!(ledger, history.end());
    }

    #[test]
    fn the_decision_log_alone_rebuilds_the_port(history in histories(160)) {
        let leaves = history.leaves();
        let end = history.end();
        prop_assert_eq!(leaves.len() as u64, end.log().size());
        prop_assert_eq!(root_of(leaves.iter().map(|bytes| leaf_hash(bytes))), end.log().root());
        for bytes in &leaves {
            prop_assert_eq!(&leaf(bytes).bytes(), bytes);
        }
        let rebuilt = Parts::of(&replayed(&leaves));
        prop_assert_eq!(rebuilt.substance, Parts::of(&end).substance);
    }

    #[test]
    fn one_inspection_has_at_most_one_conclusion_and_keeps_it(history in histories(200)) {
        let mut concluded = BTreeSet::new();
        for bytes in history.leaves() {
            if let Event::Concluded { inspection, .. } = leaf(&bytes).event {
                prop_assert!(concluded.insert(inspection), "{inspection} was concluded twice");
            }
        }
        for turn in &history.turns {
            for case in turn.before.inspections_from(InspectionNo(0)) {
                if let (Some(conclusion), Some(now)) = (&case.conclusion, turn.after.inspection(case.no)) {
                    prop_assert_eq!(now.conclusion.as_ref(), Some(conclusion));
                }
            }
        }
    }

    #[test]
    fn a_repeated_request_gets_its_first_answer_or_none(history in histories(200)) {
        let mut first: BTreeMap<_, (Vec<u8>, Outcome, u64)> = BTreeMap::new();
        // When the inspection of an announcement was closed.
        let mut closed: BTreeMap<InspectionNo, u64> = BTreeMap::new();
        for turn in &history.turns {
            let now = turn.after.now().0;
            if let Some(Event::Departed { inspection, .. }) = turn.application.entry.as_ref().map(|e| e.leaf().event) {
                closed.insert(inspection, now);
            }
            let CommandBody::External(command) = &turn.command.body else { continue };
            let key = (command.source.clone(), command.request.clone());
            let body = to_bytes(&command.body);
            let answer = &turn.application.outcome;
            let Some((asked, answered, at)) = first.get(&key) else {
                first.insert(key, (body, answer.clone(), now));
                continue;
            };
            prop_assert_eq!(asked, &body);
            prop_assert!(turn.application.entry.is_none(), "a repeated request had an effect");
            let kept_from = match answered {
                Outcome::Applied(Applied { answer: Answer::Inspection { inspection, .. }, .. }) => {
                    closed.get(inspection).copied()
                }
                _ => Some(*at),
            };
            let expired = answer.refusal().map(|refusal| refusal.reason) == Some(RefusalReason::RequestExpired);
            match kept_from {
                // Forgetting may lag behind, never run ahead.
                Some(from) if now - from > ANSWERS_KEPT_MS => prop_assert!(expired || answer == answered),
                _ => prop_assert_eq!(answered, answer),
            }
        }
    }

    #[test]
    fn a_container_is_on_one_lane_at_most_and_both_sides_agree(history in histories(200)) {
        for turn in &history.turns {
            let ledger = &turn.after;
            let mut open = BTreeSet::new();
            for case in ledger.inspections_from(InspectionNo(0)) {
                prop_assert!(case.is_open(), "{} is closed and still in memory", case.no);
                prop_assert!(open.insert(case.equipment.clone()), "{} is open twice", case.equipment);
                let found = ledger.open_inspection(&case.equipment).map(|case| case.no);
                prop_assert_eq!(found, Some(case.no));
                for (id, lane) in ledger.lanes() {
                    prop_assert_eq!(lane.next == Some(case.no), case.stage == Stage::Assigned { lane: id });
                    prop_assert_eq!(lane.current == Some(case.no), case.stage == Stage::InPass { lane: id });
                }
            }
            for (_, lane) in ledger.lanes() {
                for no in [lane.next, lane.current].into_iter().flatten() {
                    prop_assert!(ledger.inspection(no).is_some(), "{no} is on a lane and unknown");
                }
            }
        }
    }

    #[test]
    fn an_actor_that_lost_its_placement_changes_nothing(history in histories(200)) {
        for turn in &history.turns {
            let CommandBody::Actor(command) = &turn.command.body else { continue };
            let home = turn.before.placement(&command.key);
            if home.is_some_and(|home| home.live && home.epoch == command.epoch) {
                continue;
            }
            let reason = turn.application.outcome.refusal().map(|refusal| refusal.reason);
            prop_assert_eq!(reason, Some(RefusalReason::Fenced));
            let (before, after) = (Parts::of(&turn.before), Parts::of(&turn.after));
            prop_assert_eq!(after.fenced, before.fenced + 1);
            prop_assert_eq!(after.substance, before.substance);
            prop_assert_eq!(after.sequences, before.sequences);
            prop_assert_eq!(after.personal, before.personal);
            prop_assert_eq!(after.models, before.models);
        }
    }

    #[test]
    fn what_appends_no_leaf_changes_only_numbers_time_and_remembered_answers(history in histories(160)) {
        for turn in &history.turns {
            if turn.application.entry.is_some() {
                continue;
            }
            let (before, after) = (Parts::of(&turn.before), Parts::of(&turn.after));
            prop_assert_eq!(after.substance, before.substance);
            prop_assert_eq!(after.personal, before.personal);
            prop_assert_eq!(after.models, before.models);
            let fenced = turn
                .application
                .outcome
                .refusal()
                .is_some_and(|refusal| refusal.reason == RefusalReason::Fenced);
            prop_assert_eq!(after.fenced, before.fenced + u64::from(fenced));
            match &turn.command.body {
                CommandBody::Actor(command) => {
                    for (key, window) in &before.sequences {
                        prop_assert!(*key == command.key || after.sequences.get(key) == Some(window));
                    }
                }
                _ => prop_assert_eq!(after.sequences, before.sequences),
            }
        }
    }

    #[test]
    fn answers_are_forgotten_after_their_time_and_never_before(history in histories(160)) {
        for turn in &history.turns {
            let (before, after) = (Parts::of(&turn.before), Parts::of(&turn.after));
            let horizon = after.now.0.saturating_sub(ANSWERS_KEPT_MS);
            // One command forgets the 64 oldest at most.
            let old = before.expiring.iter().filter(|(at, _)| at.0 < horizon).take(64);
            let forgotten: BTreeSet<_> = old.map(|(_, key)| *key).collect();
            for (key, answer) in &before.answers {
                prop_assert_eq!(after.answers.get(key), (!forgotten.contains(key)).then_some(answer));
            }
            let spent: BTreeSet<_> = before.spent.keys().copied().chain(forgotten).collect();
            prop_assert_eq!(after.spent.keys().copied().collect::<BTreeSet<_>>(), spent);
            prop_assert!(after.expiring.is_sorted_by_key(|(at, _)| *at));
        }
    }

    #[test]
    fn a_closed_inspection_is_rebuilt_from_its_log_entries_byte_for_byte(history in histories(200)) {
        let mut about: BTreeMap<InspectionNo, Vec<(EntryNo, Leaf)>> = BTreeMap::new();
        let mut closed = 0;
        for turn in &history.turns {
            let Some(entry) = &turn.application.entry else { continue };
            let leaf = entry.leaf();
            if let Event::Departed { inspection, .. } = &leaf.event {
                let last = turn.before.inspection(*inspection).expect("it was open");
                let rebuilt = rebuild(about[inspection].clone()).unwrap();
                prop_assert_eq!(to_bytes(&rebuilt), to_bytes(last));
                about.get_mut(inspection).unwrap().push((entry.no, leaf.clone()));
                let rebuilt = rebuild(about[inspection].clone()).unwrap();
                let mut departed = (**last).clone();
                departed.version = leaf.number;
                departed.stage = Stage::Departed;
                departed.departed_at = Some(leaf.at);
                prop_assert_eq!(rebuilt, departed);
                prop_assert!(turn.after.inspection(*inspection).is_none());
                prop_assert!(turn.after.personal(*inspection).is_empty());
                closed += 1;
                continue;
            }
            for no in leaf.event.subjects().inspections {
                about.entry(no).or_default().push((entry.no, leaf.clone()));
            }
        }
        prop_assert_eq!(history.end().closed_count(), closed);
    }

    #[test]
    fn entries_that_are_not_the_course_of_one_inspection_are_refused_and_never_panic(
        history in histories(120), pick in prop::collection::vec(any::<prop::sample::Index>(), 0..6),
    ) {
        let leaves = history.leaves();
        let picked: Vec<_> = pick
            .iter()
            .map(|index| index.index(leaves.len()))
            .map(|at| (EntryNo(at as u64), leaf(&leaves[at])))
            .collect();
        let ascending = picked.is_sorted_by(|(one, _), (next, _)| one < next);
        if let Ok(case) = rebuild(picked.clone()) {
            let opens = matches!(picked[0].1.event, Event::Announced { .. });
            prop_assert!(ascending && opens);
            prop_assert!(picked.iter().all(|(_, leaf)| leaf.event.subjects().inspections.contains(&case.no)));
        }
    }

    #[test]
    fn numbers_count_every_command_and_time_never_goes_back(history in histories(160)) {
        let mut last: Option<Leaf> = None;
        for turn in &history.turns {
            prop_assert_eq!(turn.after.number().0, turn.before.number().0 + 1);
            prop_assert_eq!(turn.after.now(), turn.before.now().max(turn.command.at));
            let Some(entry) = &turn.application.entry else {
                prop_assert_eq!(turn.after.log(), turn.before.log());
                continue;
            };
            prop_assert_eq!(entry.no.0, turn.before.log().size());
            prop_assert_eq!(turn.after.log().size(), entry.no.0 + 1 + turn.application.alarms.len() as u64);
            let leaf = entry.leaf();
            prop_assert_eq!(leaf.number, turn.after.number());
            prop_assert_eq!(leaf.at, turn.after.now());
            if let Some(last) = &last {
                prop_assert!(last.number < leaf.number && last.at <= leaf.at);
            }
            let Outcome::Applied(applied) = &turn.application.outcome else {
                return Err(TestCaseError::fail("a refused command appended a leaf"));
            };
            prop_assert_eq!(applied.entry, Some(entry.no));
            // What a conclusion raises follows it under its number, and nothing else has a number twice.
            for (next, alarm) in (entry.no.0 + 1..).zip(&turn.application.alarms) {
                let leaf_of_alarm = alarm.leaf();
                prop_assert_eq!(alarm.no.0, next);
                prop_assert_eq!((leaf_of_alarm.number, leaf_of_alarm.at), (leaf.number, leaf.at));
                prop_assert_eq!((leaf.event.kind(), leaf_of_alarm.event.kind()), ("concluded", "drift_alarmed"));
            }
            last = Some(leaf);
        }
    }

    #[test]
    fn every_conclusion_is_derived_again_from_the_log_alone(history in histories(200)) {
        let mut auditor = Ledger::new();
        for bytes in history.leaves() {
            let leaf = leaf(&bytes);
            if let Event::Concluded { inspection, policy, evidence, verdict, .. } = &leaf.event {
                let case = auditor.inspection(*inspection).expect("it was announced in the log");
                let (active, _) = auditor.policy().expect("a policy is in the log");
                prop_assert_eq!(*policy, active);
                prop_assert_eq!(evidence, &case.evidence_set());
                let rules = auditor.policy_of(policy).expect("the policy is in the log");
                let derived = fusion::judge(rules, &Case {
                    manifest: &case.manifest,
                    evidence: &case.evidence_at(evidence),
                    passes: case.passes.0,
                    now: leaf.at,
                    adrift: &auditor.charts().adrift(),
                });
                prop_assert_eq!(&derived, verdict);
                if verdict.tier == Tier::Release {
                    for chart in auditor.charts().adrift() {
                        let rests = case.evidence_at(evidence).iter().any(|one| {
                            one.at(verdict.at_sample).is_some()
                                && one.readings.as_ref().is_some_and(|range| ChartKey::Device(range.device.clone()) == chart)
                        });
                        prop_assert!(!rests && matches!(chart, ChartKey::Device(_)), "released with {chart} adrift");
                    }
                    for required in fusion::required_of(rules, &case.manifest) {
                        let seen = case.evidence_at(evidence).iter().any(|one| one.modality == required.modality);
                        prop_assert!(seen, "released without {}", required.modality);
                    }
                }
            }
            auditor.replay(leaf);
        }
    }

    #[test]
    fn a_container_leaves_only_when_it_was_released_or_seized(history in histories(200)) {
        let mut auditor = Ledger::new();
        for bytes in history.leaves() {
            let leaf = leaf(&bytes);
            if let Event::Departed { inspection, .. } = &leaf.event {
                let case = auditor.inspection(*inspection).expect("it was announced in the log");
                prop_assert!(matches!(case.stage, Stage::Released | Stage::Seized));
                let concluded = case.conclusion.as_ref().map(|conclusion| conclusion.verdict.tier);
                let by_officer = !case.adjudications.is_empty();
                prop_assert!(concluded == Some(Tier::Release) || by_officer);
            }
            auditor.replay(leaf);
        }
    }

    #[test]
    fn followers_that_read_changes_from_their_cursor_miss_nothing(
        history in histories(160), every in 1_usize..20,
    ) {
        let mut seen: BTreeMap<InspectionNo, _> = BTreeMap::new();
        let mut cursor = Ledger::new().number();
        let stops = history.turns.iter().skip(every).step_by(every).chain(history.turns.last());
        for turn in stops {
            for case in turn.after.changed_since(cursor) {
                seen.insert(case.no, case.clone());
            }
            seen.retain(|no, _| turn.after.inspection(*no).is_some());
            cursor = turn.after.number();
        }
        let all: Vec<_> = history.end().inspections_from(InspectionNo(0)).cloned().collect();
        prop_assert_eq!(seen.into_values().collect::<Vec<_>>(), all);
    }
}

#[test]
fn histories_reach_every_stage_and_most_refusals() {
    // The generator is worth nothing if its histories stay at the beginning.
    use proptest::strategy::ValueTree as _;
    use proptest::test_runner::{RngAlgorithm, TestRng, TestRunner};
    let rng = TestRng::deterministic_rng(RngAlgorithm::ChaCha);
    let mut runner = TestRunner::new_with_rng(ProptestConfig::default(), rng);
    let mut events = BTreeMap::new();
    let mut refusals = BTreeMap::new();
    for _ in 0..60 {
        let history: History = histories(200).new_tree(&mut runner).unwrap().current();
        for turn in &history.turns {
            for entry in turn.application.clone().into_entries() {
                *events.entry(entry.leaf().event.kind()).or_insert(0) += 1;
            }
            if let Some(refusal) = turn.application.outcome.refusal() {
                *refusals.entry(refusal.reason).or_insert(0) += 1;
            }
        }
    }
    for kind in [
        "profiled",
        "enqueued",
        "assigned",
        "pass_started",
        "evidence_recorded",
        "aborted",
        "concluded",
        "evidence_after_conclusion",
        "adjudicated",
        "departed",
        "announced_again",
        "lane_closed",
        "policy_activated",
        "policy_adopted",
        "node_down",
        "drift_alarmed",
        "chart_reset",
    ] {
        assert!(events.contains_key(kind), "no history has {kind}: {events:?}");
    }
    for reason in [
        RefusalReason::Fenced,
        RefusalReason::StalePlan,
        RefusalReason::LaneBusy,
        RefusalReason::WrongStage,
        RefusalReason::WrongPass,
        RefusalReason::ReadingReplayed,
        RefusalReason::AlreadyConcluded,
        RefusalReason::EvidenceChanged,
        RefusalReason::VerdictDiffers,
        RefusalReason::PolicyChanged,
        RefusalReason::StaleEpoch,
        RefusalReason::StaleBoot,
        RefusalReason::RequestExpired,
        RefusalReason::LaneUnable,
        RefusalReason::LaneClosed,
        RefusalReason::UnknownChart,
        RefusalReason::UnknownModel,
    ] {
        assert!(
            refusals.contains_key(&reason),
            "no history meets {reason}: {refusals:?}"
        );
    }
}
