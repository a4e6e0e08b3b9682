//! Inspections as clients see them.

use portcullis_domain::explanation::{Explanation, explain};
use portcullis_domain::fusion::Reason;
use portcullis_domain::inspection::{Adjudication, Conclusion, Inspection, RecordedEvidence};
use portcullis_domain::policy::Policy;
use portcullis_proto::v1 as pb;

use crate::announcement::{encode_digest, encode_manifest};
use crate::vocabulary::{
    encode_ability, encode_family, encode_finding, encode_modality, encode_ruling, encode_stage, encode_tier,
    encode_weights,
};

/// How much of an inspection is wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum View {
    /// Without manifest, evidence and explanation.
    Basic,
    /// Everything.
    Full,
}

/// Reads how much is wanted; `otherwise` if the client does not say or says what this version does not know.
pub fn decode_view(view: i32, otherwise: View) -> View {
    match pb::InspectionView::try_from(view) {
        Ok(pb::InspectionView::Basic) => View::Basic,
        Ok(pb::InspectionView::Full) => View::Full,
        Ok(pb::InspectionView::Unspecified) | Err(_) => otherwise,
    }
}

/// Writes an inspection. `policy` is the one that its conclusion was judged by; without it there is no explanation.
pub fn encode_inspection(inspection: &Inspection, policy: Option<&Policy>, view: View) -> pb::Inspection {
    let full = view == View::Full;
    pb::Inspection {
        number: inspection.no.0,
        version: inspection.version.0,
        equipment_id: inspection.equipment.to_string(),
        terminal: inspection.terminal.to_string(),
        source: inspection.source.to_string(),
        other_sources: inspection.other_sources.iter().map(ToString::to_string).collect(),
        announced_at_ms: inspection.announced_at.0,
        ready_at_ms: inspection.ready_at.0,
        due_at_ms: inspection.due_at.map(|at| at.0),
        priority: u32::from(inspection.priority),
        manifest: full.then(|| encode_manifest(&inspection.manifest, false)),
        findings: inspection.findings.iter().map(encode_finding).collect(),
        stage: encode_stage(inspection.stage) as i32,
        lane: inspection.stage.lane().map(|lane| lane.0),
        passes: inspection.passes.0,
        pass_complete: inspection.pass_complete,
        evidence: if full {
            inspection.evidence.iter().map(encode_evidence).collect()
        } else {
            Vec::new()
        },
        conclusion: inspection.conclusion.as_ref().map(encode_conclusion),
        adjudications: inspection.adjudications.iter().map(encode_adjudication).collect(),
        departed_at_ms: inspection.departed_at.map(|at| at.0),
        explanation: policy
            .filter(|_| full)
            .and_then(|policy| explain(policy, inspection))
            .map(|explanation| encode_explanation(&explanation)),
    }
}

fn encode_evidence(recorded: &RecordedEvidence) -> pb::Evidence {
    let evidence = &recorded.evidence;
    pb::Evidence {
        entry: recorded.entry.0,
        pass: recorded.pass.0,
        recorded_at_ms: recorded.at.0,
        modality: encode_modality(evidence.modality) as i32,
        readings: evidence.readings.as_ref().map(|range| pb::ReadingRange {
            device: range.device.to_string(),
            boot: range.boot,
            first: range.first,
            last: range.last,
        }),
        digest: encode_digest(&evidence.digest),
        interpreter: evidence.interpreter.clone(),
        captured_at_ms: evidence.captured_at.0,
        findings: evidence
            .findings
            .iter()
            .map(|noted| pb::NotedFinding {
                sample: noted.sample.0,
                finding: Some(encode_finding(&noted.finding)),
            })
            .collect(),
        total: evidence.total().map(|step| pb::EvidenceStep {
            sample: step.sample.0,
            ability: encode_ability(step.ability) as i32,
            weights: Some(encode_weights(step.weights)),
        }),
        step_count: u32::try_from(evidence.steps.len()).unwrap_or(u32::MAX),
    }
}

fn encode_conclusion(conclusion: &Conclusion) -> pb::Conclusion {
    let verdict = &conclusion.verdict;
    pb::Conclusion {
        tier: encode_tier(verdict.tier) as i32,
        scores: Some(encode_weights(verdict.scores)),
        at_sample: verdict.at_sample.0,
        stopped: verdict.stopped,
        reasons: verdict.reasons.iter().map(encode_reason).collect(),
        policy_sha256: encode_digest(&conclusion.policy),
        evidence: conclusion.evidence.clone(),
        concluded_at_ms: conclusion.at.0,
        entry: conclusion.entry.0,
    }
}

fn encode_reason(reason: &Reason) -> pb::Reason {
    use pb::reason::{NotSeen, Reason as Kind, ScoreReached, Stale};
    let kind = match reason {
        Reason::Score {
            family,
            score,
            threshold,
            ..
        } => Kind::ScoreReached(ScoreReached {
            family: encode_family(*family) as i32,
            score_milli_decibans: *score,
            threshold_milli_decibans: *threshold,
        }),
        Reason::Missing { modality, .. } => Kind::Missing(encode_modality(*modality) as i32),
        Reason::NotSeen { modality, ability, .. } => Kind::NotSeen(NotSeen {
            modality: encode_modality(*modality) as i32,
            ability: encode_ability(*ability) as i32,
        }),
        Reason::Stale { modality, age_s, .. } => Kind::Stale(Stale {
            modality: encode_modality(*modality) as i32,
            age_s: *age_s,
        }),
        Reason::Found { code, .. } => Kind::Found(code.as_str().to_owned()),
        Reason::PassesExhausted { passes } => Kind::PassesExhausted(*passes),
        Reason::NothingAgainst => Kind::NothingAgainst(true),
        Reason::Drifting { chart, .. } => Kind::Drifting(chart.to_string()),
    };
    pb::Reason {
        tier: encode_tier(reason.tier()) as i32,
        reason: Some(kind),
    }
}

fn encode_adjudication(adjudication: &Adjudication) -> pb::Adjudication {
    pb::Adjudication {
        ruling: encode_ruling(adjudication.ruling) as i32,
        by: adjudication.by.to_string(),
        reason: adjudication.reason.clone(),
        adjudicated_at_ms: adjudication.at.0,
    }
}

fn encode_explanation(explanation: &Explanation) -> pb::Explanation {
    pb::Explanation {
        sentence: explanation.sentence.clone(),
        families: explanation
            .sums
            .iter()
            .map(|sum| pb::FamilyExplanation {
                family: encode_family(sum.family) as i32,
                prior_milli_decibans: sum.prior,
                contributions: sum
                    .terms
                    .iter()
                    .map(|term| pb::Contribution {
                        source: term.source.clone(),
                        modality: encode_modality(term.modality) as i32,
                        ability: encode_ability(term.ability) as i32,
                        adds_milli_decibans: term.adds,
                    })
                    .collect(),
                score_milli_decibans: sum.score,
                probability_ppm: sum.probability_ppm,
                review_milli_decibans: sum.review,
                exam_milli_decibans: sum.exam,
            })
            .collect(),
        unseen: explanation.unseen.clone(),
        would_change: explanation.would_change.clone(),
        sources: explanation
            .views
            .iter()
            .map(|view| pb::SourceView {
                source: view.source.clone(),
                modality: encode_modality(view.modality) as i32,
                ability: encode_ability(view.ability) as i32,
                says: view.says.clone(),
            })
            .collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::samples;

    #[test]
    fn the_full_view_shows_a_sum_that_adds_up_exactly() {
        let policy = Policy::first();
        let inspection = samples::concluded(&policy);
        let shown = encode_inspection(&inspection, Some(&policy), View::Full);
        let conclusion = shown.conclusion.unwrap();
        let explanation = shown.explanation.unwrap();
        assert_eq!(explanation.families.len(), 6);
        for family in explanation.families {
            let sum: i32 = family.contributions.iter().map(|c| c.adds_milli_decibans).sum();
            assert_eq!(family.prior_milli_decibans + sum, family.score_milli_decibans);
            if family.family == pb::ThreatFamily::Nuclear as i32 {
                assert_eq!(conclusion.scores.unwrap().nuclear, family.score_milli_decibans);
            }
        }
        assert_eq!(shown.evidence.len(), inspection.evidence.len());
        assert_eq!(shown.manifest.unwrap().goods.len(), 1);
        assert!(!conclusion.reasons.is_empty());
        assert!(
            conclusion
                .reasons
                .iter()
                .all(|reason| reason.reason.is_some() && reason.tier != 0)
        );
    }

    #[test]
    fn the_basic_view_leaves_out_what_is_large() {
        let policy = Policy::first();
        let shown = encode_inspection(&samples::concluded(&policy), Some(&policy), View::Basic);
        assert_eq!(
            (shown.manifest, shown.evidence.len(), shown.explanation),
            (None, 0, None)
        );
        assert!(shown.conclusion.is_some());
    }

    #[test]
    fn without_the_policy_there_is_no_explanation() {
        let shown = encode_inspection(&samples::concluded(&Policy::first()), None, View::Full);
        assert_eq!(shown.explanation, None);
    }

    #[test]
    fn each_reason_has_its_message() {
        for reason in samples::reasons() {
            let shown = encode_reason(&reason);
            assert_eq!(shown.tier, encode_tier(reason.tier()) as i32);
            assert!(shown.reason.is_some());
        }
    }

    #[test]
    fn a_view_that_is_not_given_is_the_one_of_the_call() {
        assert_eq!(decode_view(0, View::Full), View::Full);
        assert_eq!(decode_view(1, View::Full), View::Basic);
        assert_eq!(decode_view(2, View::Basic), View::Full);
        assert_eq!(decode_view(99, View::Basic), View::Basic);
    }
}
