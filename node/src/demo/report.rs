//! The report of a demo: what became of the containers, whether the replicas agree, how fast it was.

use std::collections::BTreeMap;

use portcullis_domain::id::Digest;
use portcullis_proto::v1 as pb;
use serde::Serialize;

use super::course::Course;

/// What a demo prints at its end. Field names are part of the command's interface.
#[derive(Debug, Serialize)]
pub(super) struct Report {
    pub(super) seed: u64,
    pub(super) speed: f64,
    pub(super) lanes: u32,
    pub(super) faults: Vec<String>,
    pub(super) containers: Containers,
    /// Conclusions by tier.
    pub(super) decisions: BTreeMap<&'static str, u64>,
    /// SHA-256 over the sorted lines "container tier scores".
    pub(super) decisions_sha256: String,
    pub(super) truth: Truth,
    pub(super) replicas: Vec<ReplicaState>,
    pub(super) replicas_agree: bool,
    pub(super) fenced_commands: u64,
    /// Barrier orders that a controller refused because it had seen a later one.
    pub(super) stale_barrier_orders: u64,
    /// Real milliseconds from complete evidence to the conclusion, by the leader's stamps.
    pub(super) conclusion_latency_ms: Latency,
    /// Real milliseconds from a fault to the first conclusion of work that the failed node owned.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) recovery_ms: Option<u64>,
    pub(super) ready_s: f64,
    pub(super) elapsed_s: f64,
}

/// Counts of containers, from the decision log.
#[derive(Debug, Serialize)]
pub(super) struct Containers {
    pub(super) announced: usize,
    pub(super) concluded: usize,
    pub(super) lost: usize,
    pub(super) double_concluded: u64,
    pub(super) double_assigned: u64,
}

/// Decisions held against the simulated truth.
#[derive(Debug, Serialize)]
pub(super) struct Truth {
    pub(super) honest: [u32; 3],
    pub(super) threats: [u32; 3],
    pub(super) order: [&'static str; 3],
}

/// One replica at the end.
#[derive(Debug, Serialize, PartialEq, Eq)]
pub(super) struct ReplicaState {
    pub(super) node: u64,
    pub(super) applied: u64,
    pub(super) log_size: u64,
    pub(super) root: String,
}

/// Quantiles in milliseconds.
#[derive(Debug, Serialize)]
pub(super) struct Latency {
    pub(super) p50: f64,
    pub(super) p99: f64,
}

impl Latency {
    /// Real milliseconds from the port's.
    pub(super) fn of(course: &Course, speed: f64) -> Self {
        let real = |quantile| {
            let port_ms = course.latency_ms(quantile).unwrap_or(0);
            // A hundredth of a millisecond is finer than the stamps are.
            (port_ms as f64 / speed * 100.0).round() / 100.0
        };
        Self {
            p50: real(0.5),
            p99: real(0.99),
        }
    }
}

/// Conclusions by tier, and the digest of them all.
pub(super) fn decisions(inspections: &[pb::Inspection]) -> (BTreeMap<&'static str, u64>, String) {
    let mut by_tier = BTreeMap::from([("release", 0), ("review", 0), ("exam", 0)]);
    let mut lines = Vec::new();
    for inspection in inspections {
        let Some(conclusion) = &inspection.conclusion else {
            continue;
        };
        let tier = tier_word(conclusion.tier());
        *by_tier.entry(tier).or_default() += 1;
        let scores = conclusion.scores.unwrap_or_default();
        lines.push(format!(
            "{} {tier} {} {} {} {} {} {}\n",
            inspection.equipment_id,
            scores.narcotics,
            scores.explosives,
            scores.nuclear,
            scores.weapons,
            scores.people,
            scores.undeclared
        ));
    }
    lines.sort_unstable();
    (by_tier, Digest::of(lines.concat().as_bytes()).to_string())
}

/// The word for a tier.
pub(super) fn tier_word(tier: pb::Tier) -> &'static str {
    match tier {
        pb::Tier::Release => "release",
        pb::Tier::Review => "review",
        pb::Tier::Exam => "exam",
        pb::Tier::Unspecified => "unspecified",
    }
}

/// Where each replica stands.
pub(super) fn replica(status: &pb::GetNodeStatusResponse) -> Option<ReplicaState> {
    let node = status.node.as_ref()?;
    Some(ReplicaState {
        node: node.id,
        applied: node.applied_command,
        log_size: node.log_size,
        root: hex::encode(&node.root),
    })
}

impl Report {
    /// Whether everything went as promised.
    pub(super) fn is_good(&self) -> bool {
        let containers = &self.containers;
        containers.lost == 0
            && containers.double_concluded == 0
            && containers.double_assigned == 0
            && self.replicas_agree
    }

    /// For people.
    pub(super) fn text(&self) -> String {
        let containers = &self.containers;
        let mut text = format!(
            "containers   {} announced, {} concluded, {} lost, {} concluded twice, {} assigned twice\n",
            containers.announced,
            containers.concluded,
            containers.lost,
            containers.double_concluded,
            containers.double_assigned
        );
        let tiers: Vec<String> = ["release", "review", "exam"]
            .iter()
            .map(|tier| format!("{} {tier}", self.decisions[tier]))
            .collect();
        text += &format!(
            "decisions    {}; sha256 {}\n",
            tiers.join(", "),
            &self.decisions_sha256[..16]
        );
        text += &format!(
            "truth        with a threat: {} released, {} reviewed, {} examined; without: {}, {}, {}\n",
            self.truth.threats[0],
            self.truth.threats[1],
            self.truth.threats[2],
            self.truth.honest[0],
            self.truth.honest[1],
            self.truth.honest[2]
        );
        for replica in &self.replicas {
            text += &format!(
                "node {}       {} commands, {} log entries, root {}\n",
                replica.node,
                replica.applied,
                replica.log_size,
                &replica.root[..16.min(replica.root.len())]
            );
        }
        text += if self.replicas_agree {
            "replicas     agree\n"
        } else {
            "replicas     DIFFER\n"
        };
        if !self.faults.is_empty() {
            text += &format!(
                "faults       {}; {} commands fenced; recovery {}\n",
                self.faults.join(", "),
                self.fenced_commands,
                self.recovery_ms.map_or("not seen".to_owned(), |ms| format!("{ms} ms"))
            );
        }
        text += &format!(
            "latency      evidence to conclusion p50 {} ms, p99 {} ms\n",
            self.conclusion_latency_ms.p50, self.conclusion_latency_ms.p99
        );
        text += &format!(
            "time         ready after {:.1} s, {:.1} s in all\n",
            self.ready_s, self.elapsed_s
        );
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn inspection(equipment_id: &str, nuclear: i32) -> pb::Inspection {
        pb::Inspection {
            equipment_id: equipment_id.to_owned(),
            conclusion: Some(pb::Conclusion {
                tier: pb::Tier::Release.into(),
                scores: Some(pb::MilliDecibans {
                    nuclear,
                    ..pb::MilliDecibans::default()
                }),
                ..pb::Conclusion::default()
            }),
            ..pb::Inspection::default()
        }
    }

    #[test]
    fn the_digest_depends_on_the_decisions_and_not_on_their_order() {
        let (a, b) = (inspection("A", 1), inspection("B", 2));
        assert_eq!(decisions(&[a.clone(), b.clone()]), decisions(&[b.clone(), a.clone()]));
        assert_ne!(decisions(&[a.clone(), b]).1, decisions(&[a, inspection("B", 3)]).1);
    }
}
