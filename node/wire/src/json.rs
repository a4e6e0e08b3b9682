//! The contents of events as JSON, for people and scripts. Names carry their units; digests are hex; personal fields are
//! never shown open.

use portcullis_domain::event::Event;
use portcullis_domain::evidence::{Evidence, Modality, Step, ThreatFamily, Weights};
use portcullis_domain::finding::Finding;
use portcullis_domain::fusion::{Reason, Verdict};
use portcullis_domain::id::{InspectionNo, Timestamp};
use portcullis_domain::lane::{DeviceKind, LaneSpec};
use portcullis_domain::manifest::{Announcement, GoodsItem, Manifest, PartyRole, Personal};
use portcullis_domain::policy::{Policy, Scope, Watch};
use serde_json::{Map, Value, json};

/// Everything about an event but its kind and subjects, as one object.
pub fn event_json(event: &Event) -> Value {
    match event {
        Event::Founded { cluster, policy } => json!({
            "cluster_id": cluster.to_string(), "policy_sha256": policy.digest().to_string(), "policy": policy_json(policy),
        }),
        Event::NodeUp {
            node,
            boot,
            capacity,
            version,
            aborted,
        } => json!({
            "node": node.0, "boot": boot.0, "capacity": capacity, "version": version, "aborted": numbers(aborted),
        }),
        Event::NodeDown { node, boot, aborted } => json!({
            "node": node.0, "boot": boot.0, "aborted": numbers(aborted),
        }),
        Event::Placed {
            key,
            epoch,
            node,
            boot,
            aborted,
        } => json!({
            "key": key.to_string(), "epoch": epoch.0, "node": node.0, "boot": boot.0, "aborted": numbers(aborted),
        }),
        Event::VersionActivated { version } => json!({ "version": version }),
        Event::NodeEnrolled {
            node,
            incarnation,
            address,
        } => json!({ "node": node.0, "incarnation": incarnation.to_string(), "address": address }),
        Event::NodeDrained { node } | Event::NodeUndrained { node } | Event::NodeRemoved { node } => {
            json!({ "node": node.0 })
        }
        Event::Restored {
            cluster,
            former,
            size,
            root,
        } => json!({
            "cluster_id": cluster.to_string(), "former_cluster_id": former.to_string(), "former_size": size,
            "former_root": root.to_string(),
        }),
        Event::LaneDefined { spec } => lane_json(spec),
        Event::LaneOpened { lane } | Event::LaneClosed { lane } => json!({ "lane": lane.0 }),
        Event::PolicyAdded { policy } => {
            json!({ "policy_sha256": policy.digest().to_string(), "policy": policy_json(policy) })
        }
        Event::ModelAdded { model, size } => json!({ "model_sha256": model.to_string(), "bytes": size }),
        Event::PolicyActivated { policy } => json!({ "policy_sha256": policy.to_string() }),
        Event::PolicyAdopted { policy, reason } => json!({
            "policy_sha256": policy.digest().to_string(), "policy": policy_json(policy), "reason": reason,
        }),
        Event::DriftAlarmed { alarm } => json!({
            "chart": alarm.chart.to_string(), "trend": alarm.trend.as_str(), "lane": alarm.lane.map(|lane| lane.0),
            "modality": alarm.modality.map(Modality::as_str), "after": alarm.after, "run": alarm.run,
            "since_ms": alarm.since.0, "raised_by_inspection": alarm.inspection.0,
        }),
        Event::ChartReset { chart, lane, reason } => json!({
            "chart": chart.to_string(), "lane": lane.map(|lane| lane.0), "reason": reason,
        }),
        Event::Announced {
            inspection,
            announcement,
            findings,
        } => {
            let mut value = announcement_json(announcement);
            value["inspection"] = json!(inspection.0);
            value["findings"] = findings_json(findings);
            value
        }
        Event::AnnouncedAgain {
            inspection,
            equipment,
            findings,
        } => json!({
            "inspection": inspection.0, "equipment_id": equipment.as_str(), "findings": findings_json(findings),
        }),
        Event::Profiled {
            inspection,
            evidence,
            queued,
        } => json!({
            "inspection": inspection.0, "evidence": evidence_json(evidence), "queued": queued,
        }),
        Event::Enqueued { inspection } => json!({ "inspection": inspection.0 }),
        Event::Assigned {
            inspection,
            lane,
            claimed,
        } => json!({
            "inspection": inspection.0, "lane": lane.0, "claimed": claimed,
        }),
        Event::PassStarted { inspection, lane, pass } => json!({
            "inspection": inspection.0, "lane": lane.0, "pass": pass.0,
        }),
        Event::EvidenceRecorded {
            inspection,
            pass,
            evidence,
            completes_pass,
        } => json!({
            "inspection": inspection.0, "pass": pass.0, "completes_pass": completes_pass,
            "evidence": evidence.iter().map(evidence_json).collect::<Vec<_>>(),
        }),
        Event::Aborted {
            inspection,
            lane,
            cause,
        } => json!({
            "inspection": inspection.0, "lane": lane.0, "cause": cause.as_str(),
        }),
        Event::Concluded {
            inspection,
            equipment,
            policy,
            evidence,
            verdict,
        } => {
            let mut value = verdict_json(verdict);
            value["inspection"] = json!(inspection.0);
            value["equipment_id"] = json!(equipment.as_str());
            value["policy_sha256"] = json!(policy.to_string());
            value["evidence"] = json!(evidence);
            value
        }
        Event::EvidenceAfterConclusion {
            inspection,
            evidence,
            reopened,
        } => json!({
            "inspection": inspection.0, "reopened": reopened,
            "evidence": evidence.iter().map(evidence_json).collect::<Vec<_>>(),
        }),
        Event::Adjudicated {
            inspection,
            equipment,
            ruling,
            reason,
        } => json!({
            "inspection": inspection.0, "equipment_id": equipment.as_str(), "ruling": ruling.as_str(), "reason": reason,
        }),
        Event::Departed { inspection, equipment } => json!({
            "inspection": inspection.0, "equipment_id": equipment.as_str(),
        }),
    }
}

fn numbers(inspections: &[InspectionNo]) -> Vec<u64> {
    inspections.iter().map(|inspection| inspection.0).collect()
}

fn millis(at: Option<Timestamp>) -> Option<u64> {
    at.map(|at| at.0)
}

/// Milli-decibans by family.
pub fn weights_json(weights: Weights) -> Value {
    let by_family: Map<String, Value> = ThreatFamily::ALL
        .into_iter()
        .map(|family| (family.as_str().to_owned(), json!(weights.of(family))))
        .collect();
    Value::Object(by_family)
}

fn findings_json(findings: &[Finding]) -> Value {
    findings.iter().map(finding_json).collect()
}

fn finding_json(finding: &Finding) -> Value {
    json!({ "code": finding.code.as_str(), "field": finding.field, "detail": finding.detail })
}

fn announcement_json(announcement: &Announcement) -> Value {
    json!({
        "equipment_id": announcement.equipment.as_str(),
        "terminal": announcement.terminal.as_str(),
        "ready_at_ms": millis(announcement.ready_at),
        "due_at_ms": millis(announcement.due_at),
        "priority": announcement.priority,
        "manifest": manifest_json(&announcement.manifest),
    })
}

fn manifest_json(manifest: &Manifest) -> Value {
    json!({
        "document": manifest.document.as_ref().map(|document| json!({
            "sha256": document.digest.to_string(), "format": document.format, "reference": document.reference,
        })),
        "goods": manifest.goods.iter().map(goods_json).collect::<Vec<_>>(),
        "gross_mass_g": manifest.gross_mass_g,
        "tare_mass_g": manifest.tare_mass_g,
        "size_type": manifest.size_type,
        "empty": manifest.empty,
        "dispatch_country": manifest.dispatch_country,
        "seals": manifest.seals,
        "parties": manifest.parties.iter().map(|party| {
            let sealed = match party.identity.sealed() {
                Personal::Sealed(digest) => Some(digest.to_string()),
                Personal::Open { .. } => None,
            };
            json!({ "role": role(party.role), "sealed_sha256": sealed })
        }).collect::<Vec<_>>(),
    })
}

fn role(role: PartyRole) -> &'static str {
    match role {
        PartyRole::Importer => "importer",
        PartyRole::Exporter => "exporter",
        PartyRole::Declarant => "declarant",
        PartyRole::Agent => "agent",
        PartyRole::Carrier => "carrier",
    }
}

fn goods_json(item: &GoodsItem) -> Value {
    json!({
        "sequence": item.sequence,
        "commodity_code": item.commodity_code,
        "description": item.description,
        "gross_mass_g": item.gross_mass_g,
        "net_mass_g": item.net_mass_g,
        "packages": item.packages,
        "origin": item.origin,
        "amount": item.amount.as_ref().map(|amount| json!({
            "hundredths": amount.hundredths, "currency": amount.currency,
        })),
        "dangerous_goods": item.dangerous_goods,
    })
}

fn step_json(step: &Step) -> Value {
    json!({
        "sample": step.sample.0, "ability": step.ability.as_str(), "weights_milli_decibans": weights_json(step.weights),
    })
}

fn evidence_json(evidence: &Evidence) -> Value {
    json!({
        "modality": evidence.modality.as_str(),
        "readings": evidence.readings.as_ref().map(|range| json!({
            "device": range.device.as_str(), "boot": range.boot, "first": range.first, "last": range.last,
        })),
        "digest": evidence.digest.to_string(),
        "interpreter": evidence.interpreter,
        "captured_at_ms": evidence.captured_at.0,
        "findings": evidence.findings.iter().map(|noted| {
            let mut value = finding_json(&noted.finding);
            value["sample"] = json!(noted.sample.0);
            value
        }).collect::<Vec<_>>(),
        "total": evidence.total().map(step_json),
        "step_count": evidence.steps.len(),
    })
}

fn verdict_json(verdict: &Verdict) -> Value {
    json!({
        "tier": verdict.tier.as_str(),
        "scores_milli_decibans": weights_json(verdict.scores),
        "at_sample": verdict.at_sample.0,
        "stopped": verdict.stopped,
        "reasons": verdict.reasons.iter().map(reason_json).collect::<Vec<_>>(),
    })
}

fn reason_json(reason: &Reason) -> Value {
    let tier = reason.tier().as_str();
    match reason {
        Reason::Score {
            family,
            score,
            threshold,
            ..
        } => json!({
            "reason": "score_reached", "tier": tier, "family": family.as_str(), "score_milli_decibans": score,
            "threshold_milli_decibans": threshold,
        }),
        Reason::Missing { modality, .. } => {
            json!({ "reason": "missing", "tier": tier, "modality": modality.as_str() })
        }
        Reason::NotSeen { modality, ability, .. } => json!({
            "reason": "not_seen", "tier": tier, "modality": modality.as_str(), "ability": ability.as_str(),
        }),
        Reason::Stale { modality, age_s, .. } => json!({
            "reason": "stale", "tier": tier, "modality": modality.as_str(), "age_s": age_s,
        }),
        Reason::Found { code, .. } => json!({ "reason": "found", "tier": tier, "code": code.as_str() }),
        Reason::PassesExhausted { passes } => {
            json!({ "reason": "passes_exhausted", "tier": tier, "passes": passes })
        }
        Reason::NothingAgainst => json!({ "reason": "nothing_against", "tier": tier }),
        Reason::Drifting { chart, .. } => {
            json!({ "reason": "drifting", "tier": tier, "chart": chart.to_string() })
        }
    }
}

fn lane_json(spec: &LaneSpec) -> Value {
    json!({
        "lane": spec.id.0,
        "terminal": spec.terminal.as_str(),
        "devices": spec.devices.iter().map(|device| json!({
            "id": device.id.as_str(),
            "kind": match device.kind {
                DeviceKind::Sensor(modality) => modality.as_str(),
                DeviceKind::Controller => "controller",
            },
            "public_key": device.public_key.iter().map(|byte| format!("{byte:02x}")).collect::<String>(),
        })).collect::<Vec<_>>(),
        "nodes": spec.nodes.iter().map(|node| node.0).collect::<Vec<_>>(),
        "usual_pass_s": spec.usual_pass_s,
        "scheduled": spec.scheduled,
    })
}

/// A policy, all of it.
pub fn policy_json(policy: &Policy) -> Value {
    json!({
        "name": policy.name,
        "algorithm": policy.algorithm,
        "coefficients_permille": policy.coefficients.iter().map(|coefficient| {
            (coefficient.modality.as_str().to_owned(), json!(coefficient.permille))
        }).collect::<Map<_, _>>(),
        "families_milli_decibans": policy.families.iter().map(|rule| {
            let value = json!({ "prior": rule.prior, "review": rule.review, "exam": rule.exam });
            (rule.family.as_str().to_owned(), value)
        }).collect::<Map<_, _>>(),
        "required": policy.required.iter().map(|requirement| json!({
            "modality": requirement.modality.as_str(),
            "of": match &requirement.scope {
                Scope::Every => json!("every"),
                Scope::Laden => json!("laden"),
                Scope::Commodity(prefix) => json!({ "commodity_code_prefix": prefix }),
            },
            "degraded_is_enough": requirement.degraded_is_enough,
            "otherwise": requirement.otherwise.as_str(),
        })).collect::<Vec<_>>(),
        "findings": policy.findings.iter().map(|rule| json!({
            "code": rule.code.as_str(), "tier": rule.tier.as_str(),
        })).collect::<Vec<_>>(),
        "maximum_ages_s": policy.maximum_ages.iter().map(|age| {
            (age.modality.as_str().to_owned(), json!(age.seconds))
        }).collect::<Map<_, _>>(),
        "stopping": {
            "least_samples": policy.stopping.least_samples,
            "release_margin_milli_decibans": policy.stopping.release_margin,
            "exam_margin_milli_decibans": policy.stopping.exam_margin,
        },
        "passes_max": policy.passes_max,
        "calibration": policy.calibration.iter().map(|point| json!({
            "score_milli_decibans": point.score, "ppm": point.ppm,
        })).collect::<Vec<_>>(),
        "manifest_models": policy.manifest_models.iter().map(|one| {
            (one.family.as_str().to_owned(), json!(one.model.to_string()))
        }).collect::<Map<_, _>>(),
        "watch": policy.watch.as_ref().map(watch_json),
    })
}

fn watch_json(watch: &Watch) -> Value {
    json!({
        "shift_permille": watch.shift_permille,
        "limit_micro_nats": watch.limit,
        "weights": watch.weights.iter().map(|one| {
            let value = json!({
                "low_milli_decibans": one.low, "high_milli_decibans": one.high, "mean_milli_decibans": one.mean,
                "deviation_milli_decibans": one.deviation, "rise_toll_micro_nats": one.rise_toll,
                "fall_toll_micro_nats": one.fall_toll,
            });
            (one.modality.as_str().to_owned(), value)
        }).collect::<Map<_, _>>(),
        "shares": watch.shares.iter().map(|one| {
            let value = json!({ "ppm": one.ppm, "hit_micro_nats": one.hit, "toll_micro_nats": one.toll });
            (one.share.as_str().to_owned(), value)
        }).collect::<Map<_, _>>(),
        "device_tier": watch.device_tier.as_str(),
        "port_tier": watch.port_tier.as_str(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::samples;

    #[test]
    fn a_conclusion_shows_tier_scores_and_reasons() {
        let event = samples::events()
            .into_iter()
            .find(|event| event.kind() == "concluded")
            .unwrap();
        let shown = event_json(&event);
        assert_eq!(shown["tier"], "review");
        assert_eq!(shown["scores_milli_decibans"]["nuclear"], 3);
        assert_eq!(shown["reasons"].as_array().unwrap().len(), samples::reasons().len());
        assert_eq!(shown["equipment_id"], samples::equipment().as_str());
    }

    #[test]
    fn a_name_is_never_shown_open() {
        let event = Event::Announced {
            inspection: InspectionNo(1),
            announcement: samples::announcement(),
            findings: vec![samples::finding()],
        };
        let shown = event_json(&event).to_string();
        assert!(!shown.contains(samples::PARTY), "{shown}");
        assert!(shown.contains("sealed_sha256"));
        assert!(shown.contains("CHECK_DIGIT_WRONG"));
    }

    #[test]
    fn a_policy_shows_all_its_parts() {
        let shown = policy_json(&Policy::first());
        assert_eq!(shown["families_milli_decibans"]["narcotics"]["prior"], -24_000);
        assert_eq!(shown["required"][1]["of"], "laden");
        assert_eq!(shown["coefficients_permille"]["ocr"], 900);
    }
}
