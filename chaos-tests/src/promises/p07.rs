//! P7: fail closed. A barrier opens only by a committed conclusion that releases the container; none opens while nobody has a
//! quorum; nothing leaves that is not released or seized; and nothing is released for which evidence that the policy requires is missing, could not see, is too old or is not
//! authentic, or by a device that is adrift. What is required is worked out here from the policy's text, not by the engine.

use std::collections::BTreeSet;

use portcullis_domain::drift::ChartKey;
use portcullis_domain::event::Event;
use portcullis_domain::evidence::{Ability, Evidence as Piece};
use portcullis_domain::fusion::{CLOCKS_APART_MS, Verdict};
use portcullis_domain::id::Timestamp;
use portcullis_domain::inspection::Ruling;
use portcullis_domain::policy::{Policy, Requirement, Scope, Tier};

use super::record::Judged;
use super::{Evidence, Found, Record, Replayed};
use crate::history::{Misdeed, Wrong};

pub(super) fn check(evidence: &Evidence, record: &Record, replayed: &Replayed) -> Found {
    let mut found = Found::of("P7");
    orders(evidence, record, &mut found);
    departures(record, &mut found);
    for judged in &replayed.judged {
        let Some(leaf) = record.leaf(judged.entry) else {
            continue;
        };
        let Event::Concluded {
            inspection,
            evidence: positions,
            verdict,
            ..
        } = &leaf.event
        else {
            continue;
        };
        if verdict.tier != Tier::Release {
            continue;
        }
        let Some(policy) = &judged.policy else {
            found.add(format!(
                "entry {} releases {inspection} by a policy that the log does not have",
                judged.entry
            ));
            continue;
        };
        let set = judged.case.evidence_at(positions);
        for chart in adrift(policy, judged, &set, verdict) {
            found.add(format!(
                "entry {} releases {inspection}, and {chart} is adrift",
                judged.entry
            ));
        }
        for why in missing(policy, judged, &set, verdict, leaf.at) {
            found.add(format!("entry {} releases {inspection}, and {why}", judged.entry));
        }
        for piece in set {
            for wrong in tampered(&evidence.history.wrongs, judged, piece) {
                found.add(format!(
                    "entry {} releases {inspection} by readings of {}, among which number {} was a {} without any finding",
                    judged.entry,
                    wrong.device,
                    wrong.sequence,
                    wrong.misdeed.as_str()
                ));
            }
        }
    }
    found
}

/// Who may leave is followed from the leaves by rules of its own, not by the ledger's.
fn departures(record: &Record, found: &mut Found) {
    let mut free = BTreeSet::new();
    for (entry, leaf) in &record.leaves {
        match &leaf.event {
            Event::Concluded {
                inspection, verdict, ..
            } if verdict.tier == Tier::Release => {
                free.insert(*inspection);
            }
            Event::Adjudicated {
                inspection,
                ruling: Ruling::Release | Ruling::Seize,
                ..
            } => {
                free.insert(*inspection);
            }
            Event::Concluded { inspection, .. }
            | Event::Adjudicated { inspection, .. }
            | Event::EvidenceAfterConclusion {
                inspection,
                reopened: true,
                ..
            } => {
                free.remove(inspection);
            }
            Event::Departed { inspection, equipment } if !free.contains(inspection) => {
                found.add(format!(
                    "entry {entry} lets {equipment} ({inspection}) leave, which is not free to go"
                ));
            }
            _ => {}
        }
    }
}

fn orders(evidence: &Evidence, record: &Record, found: &mut Found) {
    for order in evidence.history.orders.iter().filter(|order| order.open) {
        let what = format!(
            "{} was told at {:?} to open for {} ({}) by entry {}",
            order.device, order.given.at, order.equipment, order.inspection, order.entry
        );
        let releases = record.conclusion(order.entry.0).is_some_and(|(_, leaf)| {
            matches!(
                &leaf.event,
                Event::Concluded { inspection, equipment, verdict, .. }
                    if *inspection == order.inspection && *equipment == order.equipment && verdict.tier == Tier::Release
            )
        });
        if !releases {
            found.add(format!("{what}, which does not release it"));
        }
        if evidence
            .cut_off
            .iter()
            .any(|cut| cut.from <= order.given.at && order.given.at <= cut.until)
        {
            found.add(format!("{what}, while no node had a quorum"));
        }
    }
}

/// What the policy requires of this container and does not have.
/// What is adrift and forbids a release of this container.
fn adrift<'a>(policy: &Policy, judged: &'a Judged, set: &[&Piece], verdict: &Verdict) -> Vec<&'a ChartKey> {
    let Some(watch) = &policy.watch else {
        return Vec::new();
    };
    let concerned = |chart: &&ChartKey| match chart {
        ChartKey::Device(device) => set.iter().any(|piece| {
            let spoke = piece.steps.iter().any(|step| step.sample <= verdict.at_sample);
            spoke && piece.readings.as_ref().is_some_and(|range| range.device == *device)
        }),
        ChartKey::Declarations | ChartKey::Share(_) => watch.port_tier != Tier::Release,
    };
    judged.adrift.iter().filter(concerned).collect()
}

fn missing(policy: &Policy, judged: &Judged, set: &[&Piece], verdict: &Verdict, now: Timestamp) -> Vec<String> {
    let manifest = &judged.case.manifest;
    let applies = |requirement: &&Requirement| match &requirement.scope {
        Scope::Every => true,
        Scope::Laden => !manifest.empty,
        Scope::Commodity(prefix) => manifest
            .goods
            .iter()
            .any(|item| item.commodity_code.starts_with(prefix)),
    };
    let sees = |requirement: &Requirement, piece: &Piece| {
        let step = piece.steps.iter().rfind(|step| step.sample <= verdict.at_sample);
        step.is_some_and(|step| match step.ability {
            Ability::Clear => true,
            Ability::Degraded => requirement.degraded_is_enough,
            Ability::Shielded => false,
        })
    };
    let fresh = |requirement: &Requirement, piece: &Piece| {
        let limit = policy
            .maximum_ages
            .iter()
            .find(|limit| limit.modality == requirement.modality);
        let age_ms = now.0.saturating_sub(piece.captured_at.0);
        let ahead_ms = piece.captured_at.0.saturating_sub(now.0);
        limit.is_none_or(|limit| age_ms / 1000 <= u64::from(limit.seconds) && ahead_ms <= CLOCKS_APART_MS)
    };
    let mut why = Vec::new();
    for requirement in policy.required.iter().filter(applies) {
        let mut there = set.iter().filter(|piece| piece.modality == requirement.modality);
        if !there.clone().any(|piece| sees(requirement, piece)) {
            why.push(format!("required {} is missing or could not see", requirement.modality));
        } else if !there.any(|piece| sees(requirement, piece) && fresh(requirement, piece)) {
            why.push(format!(
                "required {} is too old, or of no known age",
                requirement.modality
            ));
        }
    }
    for rule in policy.findings.iter().filter(|rule| rule.tier != Tier::Release) {
        let noted = set.iter().flat_map(|piece| &piece.findings);
        let mut before = noted.filter(|noted| noted.sample <= verdict.at_sample);
        if before.any(|noted| noted.finding.code == rule.code) {
            why.push(format!("{} alone must keep it here", rule.code));
        }
    }
    why
}

/// Forged readings and gaps in the middle of what a piece of evidence was made of, if nobody noticed.
fn tampered<'a>(wrongs: &'a [Wrong], judged: &Judged, piece: &Piece) -> impl Iterator<Item = &'a Wrong> {
    let range = piece.readings.clone().filter(|_| piece.findings.is_empty());
    let pass = (judged.case.no, judged.case.passes);
    wrongs.iter().filter(move |wrong| {
        matches!(wrong.misdeed, Misdeed::Forge | Misdeed::Gap)
            && (wrong.inspection, wrong.pass) == pass
            && range.as_ref().is_some_and(|range| {
                range.device == wrong.device
                    && range.boot == wrong.boot
                    && (range.first..=range.last).contains(&wrong.sequence)
            })
    })
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use portcullis_domain::evidence::Modality;
    use portcullis_domain::finding::FindingCode;

    use super::super::{CutOff, sample};
    use super::*;

    fn judge(evidence: &Evidence) -> Vec<String> {
        let record = Record::of(evidence);
        sample::words(check(evidence, &record, &Replayed::of(&record)))
    }

    #[test]
    fn a_clean_run_passes() {
        assert_eq!(judge(&sample::run()), [""; 0]);
    }

    #[test]
    fn an_order_to_open_without_a_conclusion_that_releases_is_found() {
        let mut run = sample::run();
        run.history.orders[0].entry.0 = 4000;
        assert!(judge(&run)[0].contains("which does not release it"));
        let mut run = sample::run();
        let shut = run.history.orders.iter_mut().find(|order| !order.open).unwrap();
        shut.open = true;
        assert!(judge(&run)[0].contains("which does not release it"));
    }

    #[test]
    fn a_container_that_leaves_before_it_is_free_to_go_is_found() {
        let mut run = sample::run();
        let conclusion = sample::conclusion();
        for log in run.logs.values_mut() {
            log.remove(conclusion);
        }
        let found = judge(&run);
        assert!(found.iter().any(|what| what.contains("not free to go")), "{found:?}");
    }

    #[test]
    fn an_order_to_open_without_a_quorum_is_found() {
        let mut run = sample::run();
        run.cut_off = vec![CutOff {
            from: Duration::ZERO,
            until: Duration::from_secs(1000),
        }];
        assert!(judge(&run)[0].contains("while no node had a quorum"));
    }

    #[test]
    fn a_release_with_missing_shielded_old_or_doubtful_evidence_is_found() {
        let without = sample::with_evidence(|pieces| pieces.retain(|piece| piece.modality != Modality::Ocr));
        assert!(
            judge(&without)[0].contains("required ocr is missing"),
            "{:?}",
            judge(&without)
        );
        let shielded = sample::with_evidence(|pieces| {
            for step in &mut pieces[0].steps {
                step.ability = Ability::Shielded;
            }
        });
        assert!(judge(&shielded)[0].contains("could not see"));
        let old = sample::with_evidence(|pieces| pieces[0].captured_at = Timestamp(1));
        assert!(judge(&old)[0].contains("is too old"));
        let ahead = sample::with_evidence(|pieces| pieces[0].captured_at.0 += 10 * CLOCKS_APART_MS);
        assert!(judge(&ahead)[0].contains("of no known age"));
        let refused =
            sample::with_evidence(|pieces| pieces[0].findings = vec![sample::noted(FindingCode::ReadingRefused)]);
        assert!(judge(&refused)[0].contains("READING_REFUSED alone must keep it here"));
    }

    #[test]
    fn a_forged_reading_that_nobody_noticed_is_found() {
        let mut run = sample::run();
        let mut wrong = sample::wrong(&run, Misdeed::Forge);
        run.history.wrongs.push(wrong.clone());
        assert!(judge(&run)[0].contains("was a forge without any finding"));
        wrong.sequence += 1000;
        run.history.wrongs = vec![wrong];
        assert_eq!(judge(&run), [""; 0], "it is not among those that were used");
    }
}
