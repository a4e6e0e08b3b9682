//! P8: a decision can be derived again from the log alone, bit for bit: the same evidence under the same policy gives the same
//! result. Every leaf reads and writes to the same bytes, and log time, by which ages are judged, never goes back.

use portcullis_domain::codec::to_bytes;
use portcullis_domain::event::Event;
use portcullis_domain::fusion::{Case, judge};

use super::{Found, Record, Replayed};

pub(super) fn check(record: &Record, replayed: &Replayed) -> Found {
    let mut found = Found::of("P8");
    for (entry, why) in &record.unreadable {
        found.add(format!("entry {entry} cannot be read: {why}"));
    }
    for pair in record.leaves.windows(2) {
        let ((_, before), (entry, leaf)) = (&pair[0], &pair[1]);
        // The alarms that a conclusion raises follow it under its number.
        let raised = matches!(
            (&before.event, &leaf.event),
            (
                Event::Concluded { .. } | Event::DriftAlarmed { .. },
                Event::DriftAlarmed { .. }
            )
        );
        let next = leaf.number > before.number && !matches!(leaf.event, Event::DriftAlarmed { .. });
        if leaf.at < before.at || !(next || raised && leaf.number == before.number) {
            found.add(format!(
                "entry {entry} is command {} at {}, after command {} at {}",
                leaf.number.0, leaf.at.0, before.number.0, before.at.0
            ));
        }
    }
    for (entry, leaf) in &record.leaves {
        let kept = usize::try_from(*entry).ok().and_then(|at| record.bytes.get(at));
        if kept != Some(&leaf.bytes()) {
            found.add(format!("entry {entry}, read and written again, has other bytes"));
        }
    }
    for (entry, inspection) in &replayed.unfounded {
        found.add(format!("entry {entry} concludes {inspection}, which is not open"));
    }
    for (entry, why) in &replayed.false_alarms {
        found.add(format!("entry {entry} {why}"));
    }
    for judged in &replayed.judged {
        let Some(leaf) = record.leaf(judged.entry) else {
            continue;
        };
        let Event::Concluded {
            inspection,
            equipment,
            policy,
            evidence,
            verdict,
        } = &leaf.event
        else {
            continue;
        };
        let entry = judged.entry;
        if judged.active != Some(*policy) {
            found.add(format!(
                "entry {entry} judges {inspection} by {policy}, which was not active"
            ));
        }
        if *equipment != judged.case.equipment || *evidence != judged.case.evidence_set() {
            found.add(format!(
                "entry {entry} judges {inspection} from {evidence:?}; recorded is another set"
            ));
            continue;
        }
        let Some(policy) = &judged.policy else {
            found.add(format!(
                "entry {entry} judges {inspection} by a policy that the log does not have"
            ));
            continue;
        };
        let again = judge(
            policy,
            &Case {
                manifest: &judged.case.manifest,
                evidence: &judged.case.evidence_at(evidence),
                passes: judged.case.passes.0,
                now: leaf.at,
                adrift: &judged.adrift,
            },
        );
        if to_bytes(&again) != to_bytes(verdict) {
            found.add(format!(
                "entry {entry} says {} of {inspection} with {:?}; deriving it again gives {} with {:?}",
                verdict.tier, verdict.scores, again.tier, again.scores
            ));
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use portcullis_domain::drift::{Alarm, ChartKey, Trend};
    use portcullis_domain::evidence::ThreatFamily;
    use portcullis_domain::id::{InspectionNo, Timestamp};
    use portcullis_domain::policy::Policy;

    use super::super::{Evidence, sample};
    use super::*;

    fn judged(evidence: &Evidence) -> Vec<String> {
        let record = Record::of(evidence);
        sample::words(check(&record, &Replayed::of(&record)))
    }

    #[test]
    fn a_clean_run_passes() {
        assert_eq!(judged(&sample::run()), [""; 0]);
    }

    #[test]
    fn a_verdict_that_cannot_be_derived_again_is_found() {
        let mut run = sample::run();
        sample::change(&mut run, sample::conclusion(), |event| {
            let Event::Concluded { verdict, .. } = event else {
                panic!("a conclusion")
            };
            let score = verdict.scores.of(ThreatFamily::Nuclear);
            verdict.scores = verdict.scores.with(ThreatFamily::Nuclear, score + 1);
        });
        assert!(judged(&run)[0].contains("deriving it again gives"));
    }

    #[test]
    fn evidence_that_was_changed_after_the_conclusion_is_found() {
        let run = sample::with_evidence(|pieces| {
            for step in &mut pieces[0].steps {
                step.weights = step.weights.with(ThreatFamily::Nuclear, 60_000);
            }
        });
        assert!(judged(&run)[0].contains("deriving it again gives"));
    }

    #[test]
    fn another_set_another_policy_and_another_inspection_are_found() {
        let mut run = sample::run();
        sample::change(&mut run, sample::conclusion(), |event| {
            let Event::Concluded { evidence, .. } = event else {
                panic!("a conclusion")
            };
            evidence.pop();
        });
        assert!(judged(&run)[0].contains("recorded is another set"));
        let mut run = sample::run();
        sample::change(&mut run, sample::conclusion(), |event| {
            let Event::Concluded { policy, .. } = event else {
                panic!("a conclusion")
            };
            let mut other = Policy::first();
            other.name = "other".to_owned();
            *policy = other.digest();
        });
        assert!(judged(&run)[0].contains("which was not active"));
        let mut run = sample::run();
        sample::change(&mut run, sample::conclusion(), |event| {
            let Event::Concluded { inspection, .. } = event else {
                panic!("a conclusion")
            };
            *inspection = InspectionNo(5000);
        });
        assert!(judged(&run)[0].contains("which is not open"));
    }

    #[test]
    fn a_leaf_that_is_older_than_the_one_before_it_is_found() {
        let mut run = sample::run();
        let (at, conclusion) = (sample::conclusion(), sample::conclusion());
        for log in run.logs.values_mut() {
            log.swap(at - 1, conclusion);
        }
        let found = judged(&run);
        assert!(found.iter().any(|what| what.contains("after command")), "{found:?}");
    }

    #[test]
    fn an_alarm_that_no_chart_raises_is_found() {
        let alarm = Alarm {
            chart: ChartKey::Declarations,
            trend: Trend::Rises,
            lane: None,
            modality: None,
            after: 100,
            run: 10,
            since: Timestamp(1),
            inspection: InspectionNo(1),
        };
        let found = judged(&sample::and_then(vec![Event::DriftAlarmed { alarm }]));
        assert!(found.iter().any(|what| what.contains("no chart raises")), "{found:?}");
    }

    #[test]
    fn a_leaf_that_says_nothing_is_found() {
        let mut run = sample::run();
        for log in run.logs.values_mut() {
            log[5] = vec![1, 2, 3];
        }
        assert!(judged(&run)[0].contains("entry 5 cannot be read"));
    }
}
