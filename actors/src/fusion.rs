//! The actor of a fusion shard: has manifests weighed, proposes conclusions, and tells lanes when enough is known.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use portcullis_detectors::manifest::{self, ManifestModels};
use portcullis_domain::codec::to_bytes;
use portcullis_domain::command::ActorBody;
use portcullis_domain::evidence::{EVIDENCE_FINDINGS_MAX, Evidence, Modality, Noted, Step};
use portcullis_domain::fusion::{Case, first_stop};
use portcullis_domain::id::{CommandNo, DeviceId, Digest, Epoch, InspectionNo, LaneId, PassNo, SampleNo, Timestamp};
use portcullis_domain::inspection::{Inspection, Stage};
use portcullis_domain::ledger::Ledger;
use portcullis_domain::message::{Feature, Message, Steer};
use portcullis_domain::outcome::Refusal;
use portcullis_domain::placement::{ActorKey, shard_of};
use tokio::time::Instant;
use tracing::{debug, info};

use crate::models::Models;
use crate::shell::{Context, Halt, Role};

/// Passes that are watched at a time; a shard has its 64th of the lanes' work, so this is never reached in a port.
const WATCHED_MAX: usize = 1024;
/// Besides what it is told, the shard looks for itself this often at what changed.
const LOOK_AGAIN: Duration = Duration::from_secs(1);

/// What reaches a fusion shard.
#[derive(Debug)]
pub(crate) enum FusionMessage {
    /// What a sensor knows.
    Feature(Feature),
}

/// What a shard is started with.
pub(crate) struct Sharing {
    /// Which one it is.
    pub(crate) shard: u8,
    /// Of all shards of the node.
    pub(crate) models: Arc<Models>,
}

/// The actor.
pub(crate) struct Fusion {
    context: Context<Self>,
    shard: u8,
    models: Arc<Models>,
    /// Up to which command the changes of the ledger were looked at here, and when.
    seen: CommandNo,
    seen_at: Instant,
    /// The policy that was active then.
    policy: Option<Digest>,
    /// Inspections that may need something.
    due: BTreeSet<InspectionNo>,
    watched: BTreeMap<InspectionNo, Watched>,
}

/// A pass under way, as far as features tell.
struct Watched {
    lane: LaneId,
    lane_epoch: Epoch,
    pass: PassNo,
    expected: u32,
    sources: BTreeMap<DeviceId, Trace>,
    /// No sample up to here was enough.
    checked: SampleNo,
    stopped: bool,
}

/// What one sensor has said.
struct Trace {
    evidence: Evidence,
    through: SampleNo,
    last: bool,
}

impl Role for Fusion {
    type Message = FusionMessage;
    type Ticket = InspectionNo;
    type Setup = Sharing;

    fn start(context: Context<Self>, Sharing { shard, models }: Sharing) -> Self {
        let ledger = context.ledger();
        let due = needy(&ledger, shard).collect();
        Self {
            context,
            shard,
            models,
            seen: ledger.number(),
            seen_at: Instant::now(),
            policy: active(&ledger),
            due,
            watched: BTreeMap::new(),
        }
    }

    fn context(&mut self) -> &mut Context<Self> {
        &mut self.context
    }

    fn wake(&mut self, changed: BTreeSet<InspectionNo>) -> Result<(), Halt> {
        self.due.extend(changed);
        if self.seen_at.elapsed() >= LOOK_AGAIN {
            // Whatever was missed, such as a change around the moment this actor started.
            let ledger = self.context.ledger();
            let shard = self.shard;
            let missed = ledger.changed_since(self.seen).map(|case| case.no);
            self.due.extend(missed.filter(|no| shard_of(*no) == shard));
            // Another policy may allow fewer passes, which changes what to do about a case that itself has not changed.
            if self.policy != active(&ledger) {
                self.due.extend(needy(&ledger, shard));
                self.policy = active(&ledger);
            }
            // Those that were closed since are not among the changed ones.
            self.watched.retain(|no, _| ledger.inspection(*no).is_some());
            self.seen = ledger.number();
            self.seen_at = Instant::now();
        }
        self.work();
        Ok(())
    }

    fn receive(&mut self, message: FusionMessage) -> Result<(), Halt> {
        match message {
            FusionMessage::Feature(feature) => self.watch(feature),
        }
        Ok(())
    }

    fn refused(&mut self, inspection: InspectionNo, _: Refusal) -> Result<(), Halt> {
        // Whatever it was about, the ledger knows better by now; looked at again at the next change or second.
        self.due.insert(inspection);
        Ok(())
    }
}

fn active(ledger: &Ledger) -> Option<Digest> {
    ledger.policy().map(|(digest, _)| digest)
}

/// The inspections of a shard that it has something to do about.
fn needy(ledger: &Ledger, shard: u8) -> impl Iterator<Item = InspectionNo> {
    ledger
        .inspections_from(InspectionNo(0))
        .filter(move |case| shard_of(case.no) == shard && needs(ledger, case))
        .map(|case| case.no)
}

/// Whether a shard has something to do about an inspection.
fn needs(ledger: &Ledger, case: &Inspection) -> bool {
    match case.stage {
        Stage::Announced => true,
        Stage::InPass { .. } => case.pass_complete,
        Stage::UnderReview => portcullis_domain::mutant!(ConcludedTwice, true, false),
        Stage::Queued => ledger
            .policy()
            .is_some_and(|(_, policy)| case.passes.0 >= policy.passes_max),
        _ => false,
    }
}

impl Fusion {
    fn work(&mut self) {
        let ledger = self.context.ledger();
        let pending: BTreeSet<InspectionNo> = self.context.commands.pending().copied().collect();
        for no in std::mem::take(&mut self.due) {
            let Some(case) = ledger.inspection(no) else {
                // Closed.
                self.watched.remove(&no);
                continue;
            };
            self.forget_unless_running(case);
            if !needs(&ledger, case) {
                continue;
            }
            if pending.contains(&no) || !self.context.commands.has_room() {
                self.due.insert(no);
                continue;
            }
            let body = if case.stage == Stage::Announced {
                debug!(inspection = %no, "weighing the manifest");
                Some(ActorBody::Profile {
                    inspection: no,
                    evidence: manifest_evidence(case, &self.models.of(&ledger)),
                })
            } else {
                conclusion(&ledger, case)
            };
            match body {
                Some(body) => {
                    self.context.submit(body, no);
                    // Until the local replica shows it, so that a refusal is not forgotten.
                    self.due.insert(no);
                }
                None => {
                    self.due.insert(no);
                }
            }
        }
    }

    fn forget_unless_running(&mut self, case: &Inspection) {
        let runs = self.watched.get(&case.no).is_none_or(|watched| match case.stage {
            Stage::InPass { .. } => watched.pass >= case.passes && !case.pass_complete,
            // The feature may be ahead of this replica.
            Stage::Assigned { .. } => watched.pass > case.passes,
            _ => false,
        });
        if !runs {
            self.watched.remove(&case.no);
        }
    }

    fn watch(&mut self, feature: Feature) {
        let ledger = self.context.ledger();
        let Some(case) = ledger.inspection(feature.inspection) else {
            return;
        };
        if case.conclusion.is_some() || feature.pass < case.passes {
            return;
        }
        if self.watched.len() >= WATCHED_MAX && !self.watched.contains_key(&feature.inspection) {
            // Without steering the pass runs to its end; nothing is lost but time.
            return;
        }
        let fresh = || Watched {
            lane: feature.lane,
            lane_epoch: feature.lane_epoch,
            pass: feature.pass,
            expected: feature.sources,
            sources: BTreeMap::new(),
            checked: SampleNo(0),
            stopped: false,
        };
        let watched = self.watched.entry(feature.inspection).or_insert_with(fresh);
        if (feature.pass, feature.lane_epoch) > (watched.pass, watched.lane_epoch) {
            *watched = fresh();
        } else if (feature.pass, feature.lane_epoch) < (watched.pass, watched.lane_epoch) || watched.stopped {
            return;
        }
        watched.take(&feature);
        let Some(through) = watched.through() else { return };
        let Some((_, policy)) = ledger.policy() else { return };
        let stop = if through > watched.checked {
            let mut evidence: Vec<&Evidence> = case
                .evidence
                .iter()
                .filter(|recorded| recorded.pass == PassNo(0))
                .map(|recorded| &*recorded.evidence)
                .collect();
            evidence.extend(
                watched
                    .sources
                    .values()
                    .map(|trace| &trace.evidence)
                    .filter(|one| !one.steps.is_empty()),
            );
            let stop = first_stop(
                policy,
                &Case {
                    manifest: &case.manifest,
                    evidence: &evidence,
                    passes: feature.pass.0,
                    now: self.context.now(),
                    // Drift stops no pass.
                    adrift: &[],
                },
                through,
            );
            watched.checked = through;
            stop
        } else {
            None
        };
        watched.trim();
        let Some(sample) = stop else { return };
        watched.stopped = true;
        info!(inspection = %case.no, sample = sample.0, "enough is known");
        let steer = Steer {
            inspection: case.no,
            pass: feature.pass,
            sample,
            stop: true,
        };
        let lane = ActorKey::Lane(watched.lane);
        self.context.tell(&lane, Message::Steer(steer));
    }
}

impl Watched {
    fn take(&mut self, feature: &Feature) {
        let trace = self.sources.entry(feature.device.clone()).or_insert_with(|| Trace {
            evidence: Evidence {
                modality: feature.modality,
                readings: None,
                digest: Digest([0; 32]),
                interpreter: String::new(),
                captured_at: Timestamp::ZERO,
                findings: Vec::new(),
                steps: Vec::new(),
            },
            through: SampleNo(0),
            last: false,
        });
        trace.last |= feature.last;
        let step = Step {
            sample: feature.sample,
            ability: feature.ability,
            weights: feature.weights,
        };
        let steps = &mut trace.evidence.steps;
        match steps.last_mut() {
            Some(last) if last.sample > step.sample => return,
            Some(last) if last.sample == step.sample => *last = step,
            Some(last) if (last.ability, last.weights) == (step.ability, step.weights) => {}
            // A sensor that ended without ever seeing anything has no say.
            None if feature.last && feature.sample == SampleNo(0) => {}
            _ => steps.push(step),
        }
        trace.through = trace.through.max(feature.sample);
    }

    /// The sample up to which every sensor has spoken; none while one is silent or when all have ended.
    fn through(&self) -> Option<SampleNo> {
        let all_there = u32::try_from(self.sources.len()).is_ok_and(|count| count >= self.expected);
        let running = self
            .sources
            .values()
            .filter(|trace| !trace.last)
            .map(|trace| trace.through)
            .min();
        running.filter(|through| all_there && *through > SampleNo(0))
    }

    /// Steps before the last one that was looked at decide nothing any more.
    fn trim(&mut self) {
        let checked = self.checked;
        for trace in self.sources.values_mut() {
            let steps = &mut trace.evidence.steps;
            let done = steps.partition_point(|step| step.sample <= checked);
            steps.drain(..done.saturating_sub(1));
        }
    }
}

/// What the manifest says, as evidence.
fn manifest_evidence(case: &Inspection, models: &ManifestModels) -> Evidence {
    let known = manifest::interpret(&case.manifest, &case.equipment, models);
    let sample = SampleNo(0);
    let digest = case
        .manifest
        .document
        .as_ref()
        .map_or_else(|| Digest::of(&to_bytes(&case.manifest)), |document| document.digest);
    Evidence {
        modality: Modality::Manifest,
        readings: None,
        digest,
        interpreter: models.version().to_owned(),
        captured_at: case.announced_at,
        findings: known
            .findings
            .into_iter()
            .take(EVIDENCE_FINDINGS_MAX)
            .map(|finding| Noted { sample, finding })
            .collect(),
        steps: vec![Step {
            sample,
            ability: known.ability,
            weights: known.weights,
        }],
    }
}

/// The verdict on what is recorded.
fn conclusion(ledger: &Ledger, case: &Inspection) -> Option<ActorBody> {
    let (digest, policy) = ledger.policy()?;
    let verdict = ledger.verdict_of(case, policy);
    #[allow(clippy::redundant_locals, reason = "it is one only where nothing is planted")]
    let verdict = portcullis_domain::mutant!(
        VerdictBelieved,
        portcullis_domain::fusion::Verdict {
            scores: portcullis_domain::evidence::Weights(verdict.scores.0.map(|score| score / 1000 * 1000)),
            ..verdict
        },
        verdict,
    );
    info!(inspection = %case.no, tier = %verdict.tier, sample = verdict.at_sample.0, stopped = verdict.stopped, "concluding");
    Some(ActorBody::Conclude {
        inspection: case.no,
        policy: digest,
        evidence: case.evidence_set(),
        verdict,
    })
}

#[cfg(test)]
mod tests {
    use portcullis_domain::evidence::{Ability, Weights};

    use super::*;

    fn feature(device: &str, sample: u32, last: bool) -> Feature {
        Feature {
            lane: LaneId(1),
            lane_epoch: Epoch(1),
            inspection: InspectionNo(1),
            pass: PassNo(1),
            device: DeviceId::new(device).unwrap(),
            modality: Modality::Radiation,
            sample: SampleNo(sample),
            ability: Ability::Clear,
            weights: Weights([i32::try_from(sample).unwrap(); 6]),
            last,
            sources: 2,
        }
    }

    fn watched() -> Watched {
        Watched {
            lane: LaneId(1),
            lane_epoch: Epoch(1),
            pass: PassNo(1),
            expected: 2,
            sources: BTreeMap::new(),
            checked: SampleNo(0),
            stopped: false,
        }
    }

    #[test]
    fn nothing_is_judged_before_every_sensor_has_spoken_up_to_a_sample() {
        let mut watched = watched();
        watched.take(&feature("a", 5, false));
        assert_eq!(watched.through(), None);
        watched.take(&feature("b", 3, false));
        assert_eq!(watched.through(), Some(SampleNo(3)));
        watched.take(&feature("b", 3, true));
        assert_eq!(watched.through(), Some(SampleNo(5)));
        watched.take(&feature("a", 6, true));
        assert_eq!(watched.through(), None);
    }

    #[test]
    fn what_was_looked_at_is_forgotten_but_for_the_last_step() {
        let mut watched = watched();
        for sample in 1..=50 {
            watched.take(&feature("a", sample, false));
        }
        watched.checked = SampleNo(48);
        watched.trim();
        let left: Vec<_> = watched
            .sources
            .values()
            .flat_map(|trace| &trace.evidence.steps)
            .map(|step| step.sample.0)
            .collect();
        assert_eq!(left, [48, 49, 50]);
    }
}
