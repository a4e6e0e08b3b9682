//! Fencing and deciding what actors ask. Whoever holds the present placement may propose; the ledger grants.

use super::external::invalid;
use super::{Decision, Ledger, OUTCOMES_KEPT, SequenceWindow};
use crate::command::{AbortCause, ActorBody, ActorCommand};
use crate::event::Event;
use crate::evidence::{Evidence, Modality};
use crate::fusion::{self, Case, Verdict};
use crate::id::{CommandNo, Digest, Epoch, InspectionNo, LaneId, PassNo, SampleNo};
use crate::inspection::{Inspection, Stage};
use crate::lane::{DeviceKind, Lane};
use crate::outcome::{Answer, Outcome, Refusal, RefusalReason};
use crate::placement::{ActorKey, shard_of};

/// The most pieces of evidence one inspection may have.
const EVIDENCE_MAX: usize = 256;

impl Ledger {
    /// Checks epoch and sequence number. Some outcome means that the command is not to be decided.
    pub(super) fn fence(&mut self, command: &ActorCommand) -> Option<Outcome> {
        let refuse = |reason, field: &str, detail: String| Some(Outcome::Refused(Refusal::new(reason, field, detail)));
        let placement = self.placements.get(&command.key).copied();
        let holds = mutant!(
            OldEpochObeyed,
            placement.is_some(),
            placement.is_some_and(|placement| placement.live && placement.epoch == command.epoch),
        );
        if !holds {
            self.fenced += 1;
            let why = match placement {
                Some(now) if now.live => format!("it was placed again under {}", now.epoch),
                Some(_) => "its process was lost, and nobody runs it yet".to_owned(),
                None => "it was never placed".to_owned(),
            };
            return refuse(
                RefusalReason::Fenced,
                "epoch",
                format!("{} does not run under {}: {why}", command.key, command.epoch),
            );
        }
        let window = self
            .sequences
            .entry(command.key.clone())
            .or_insert_with(|| SequenceWindow {
                epoch: command.epoch,
                high: crate::id::Sequence(0),
                outcomes: imbl::OrdMap::new(),
            });
        if window.epoch != command.epoch {
            *window = SequenceWindow {
                epoch: command.epoch,
                high: crate::id::Sequence(0),
                outcomes: imbl::OrdMap::new(),
            };
        }
        if let Some(known) = window.outcomes.get(&command.sequence) {
            return Some(known.clone());
        }
        if command.sequence.0.saturating_add(OUTCOMES_KEPT) <= window.high.0 || command.sequence.0 == 0 {
            return refuse(
                RefusalReason::SequenceTooOld,
                "sequence",
                format!("the last one was {}; {OUTCOMES_KEPT} are remembered", window.high),
            );
        }
        None
    }

    pub(super) fn decide_actor(&self, command: &ActorCommand) -> Result<Decision, Refusal> {
        let key = &command.key;
        match &command.body {
            ActorBody::Profile { inspection, evidence } => self.profile(key, *inspection, evidence),
            ActorBody::Enqueue { inspection } => {
                let case = self.known_inspection(*inspection)?;
                allow(key, &ActorKey::Scheduler(case.terminal.clone()))?;
                at_stage(case, case.stage == Stage::Profiled, "profiled")?;
                if case.ready_at > self.now {
                    return Err(Refusal::new(
                        RefusalReason::StalePlan,
                        "inspection",
                        format!("{inspection} is not due yet"),
                    ));
                }
                Decision::event(Event::Enqueued {
                    inspection: *inspection,
                })
            }
            ActorBody::Assign {
                inspection,
                expect,
                lane,
                lane_epoch,
            } => self.assign(key, *inspection, *expect, *lane, *lane_epoch),
            ActorBody::Claim { inspection } => self.claim(key, *inspection),
            ActorBody::StartPass { inspection } => {
                let (id, lane) = self.own_lane(key)?;
                let case = self.known_inspection(*inspection)?;
                at_stage(
                    case,
                    case.stage == Stage::Assigned { lane: id },
                    "assigned to this lane",
                )?;
                if lane.current.is_some() {
                    return Err(busy(id));
                }
                let pass = PassNo(case.passes.0 + 1);
                Decision::answered(
                    Event::PassStarted {
                        inspection: *inspection,
                        lane: id,
                        pass,
                    },
                    Answer::Pass { pass },
                )
            }
            ActorBody::RecordEvidence {
                inspection,
                pass,
                evidence,
                completes_pass,
            } => self.record(key, *inspection, *pass, evidence, *completes_pass),
            ActorBody::Abort { inspection, cause } => self.abort(key, *inspection, *cause),
            ActorBody::Conclude {
                inspection,
                policy,
                evidence,
                verdict,
            } => self.conclude(key, *inspection, *policy, evidence, verdict),
        }
    }

    fn profile(&self, key: &ActorKey, no: InspectionNo, evidence: &Evidence) -> Result<Decision, Refusal> {
        let case = self.known_inspection(no)?;
        allow(key, &ActorKey::Fusion(shard_of(no)))?;
        at_stage(case, case.stage == Stage::Announced, "announced")?;
        evidence.check().map_err(|error| invalid("evidence", &error))?;
        if evidence.modality != Modality::Manifest || evidence.steps.iter().any(|step| step.sample != SampleNo(0)) {
            return Err(Refusal::new(
                RefusalReason::InvalidArgument,
                "evidence",
                "profiling weighs the manifest and nothing else, before the first sample",
            ));
        }
        Decision::event(Event::Profiled {
            inspection: no,
            evidence: evidence.clone(),
            queued: case.ready_at <= self.now,
        })
    }

    fn assign(
        &self,
        key: &ActorKey,
        no: InspectionNo,
        expect: CommandNo,
        id: LaneId,
        lane_epoch: Epoch,
    ) -> Result<Decision, Refusal> {
        let stale = |field: &str, detail: String| Err(Refusal::new(RefusalReason::StalePlan, field, detail));
        let case = self.known_inspection(no)?;
        allow(key, &ActorKey::Scheduler(case.terminal.clone()))?;
        if case.version != expect {
            return stale(
                "expect",
                format!("{no} changed at {}; it was planned at {expect}", case.version),
            );
        }
        at_stage(case, case.stage == Stage::Queued, "queued")?;
        let lane = self.known_lane(id)?;
        self.takes(lane, case)?;
        if !lane.spec.scheduled {
            return Err(Refusal::new(
                RefusalReason::LaneUnable,
                "lane",
                format!("{id} takes only containers that stand before it"),
            ));
        }
        let placement = self.placements.get(&ActorKey::Lane(id));
        if !placement.is_some_and(|placement| placement.live && placement.epoch == lane_epoch) {
            return stale("lane_epoch", format!("{id} does not run under {lane_epoch} any more"));
        }
        if mutant!(LaneTakenTwice, false, lane.next.is_some()) {
            return Err(busy(id));
        }
        let can = lane.spec.modalities();
        let (_, policy) = self.policy_in_force()?;
        if let Some(missing) = fusion::required_of(policy, &case.manifest).find(|r| !can.contains(&r.modality)) {
            return Err(Refusal::new(
                RefusalReason::LaneUnable,
                "lane",
                format!("{id} has no {}, which the policy requires of {no}", missing.modality),
            ));
        }
        Decision::event(Event::Assigned {
            inspection: no,
            lane: id,
            claimed: false,
        })
    }

    fn claim(&self, key: &ActorKey, no: InspectionNo) -> Result<Decision, Refusal> {
        let (id, lane) = self.own_lane(key)?;
        let case = self.known_inspection(no)?;
        // A container that stands before this lane will not come to the one that called it up.
        let elsewhere = matches!(case.stage, Stage::Assigned { lane } if lane != id);
        at_stage(
            case,
            elsewhere || matches!(case.stage, Stage::Profiled | Stage::Queued),
            "waiting, or called up to another lane",
        )?;
        self.takes(lane, case)?;
        if mutant!(LaneTakenTwice, false, lane.next.is_some() || lane.current.is_some()) {
            return Err(busy(id));
        }
        Decision::event(Event::Assigned {
            inspection: no,
            lane: id,
            claimed: true,
        })
    }

    /// Whether a lane may take a container at all.
    fn takes(&self, lane: &Lane, case: &Inspection) -> Result<(), Refusal> {
        let id = lane.spec.id;
        if !lane.open {
            return Err(Refusal::new(
                RefusalReason::LaneClosed,
                "lane",
                format!("{id} is closed"),
            ));
        }
        if lane.spec.terminal != case.terminal {
            return Err(Refusal::new(
                RefusalReason::LaneUnable,
                "lane",
                format!(
                    "{id} is at terminal {}, {} at {}",
                    lane.spec.terminal, case.no, case.terminal
                ),
            ));
        }
        let (_, policy) = self.policy_in_force()?;
        if case.passes.0 >= policy.passes_max {
            return Err(Refusal::new(
                RefusalReason::WrongStage,
                "inspection",
                format!("{} broke off {} passes and is not scanned again", case.no, case.passes),
            ));
        }
        Ok(())
    }

    fn record(
        &self,
        key: &ActorKey,
        no: InspectionNo,
        pass: PassNo,
        evidence: &[Evidence],
        completes_pass: bool,
    ) -> Result<Decision, Refusal> {
        let (id, lane) = self.own_lane(key)?;
        let case = self.known_inspection(no)?;
        if case.evidence.len() + evidence.len() > EVIDENCE_MAX {
            return Err(Refusal::new(
                RefusalReason::TooMany,
                "evidence",
                format!("{no} would have more than {EVIDENCE_MAX} pieces"),
            ));
        }
        for (index, one) in evidence.iter().enumerate() {
            self.check_evidence(lane, one, &evidence[..index])?;
        }
        if case.conclusion.is_some() {
            if evidence.is_empty() {
                return Decision::nothing_new(Answer::Done);
            }
            return Decision::event(Event::EvidenceAfterConclusion {
                inspection: no,
                evidence: evidence.to_vec(),
                reopened: case.stage == Stage::Released,
            });
        }
        at_stage(case, case.stage == Stage::InPass { lane: id }, "in a pass on this lane")?;
        if pass != case.passes || case.pass_complete {
            return Err(Refusal::new(
                RefusalReason::WrongPass,
                "pass",
                match pass == case.passes {
                    true => format!("pass {pass} of {no} is complete and waits for its conclusion"),
                    false => format!("pass {pass} of {no} is not the present one, {}", case.passes),
                },
            ));
        }
        Decision::event(Event::EvidenceRecorded {
            inspection: no,
            pass,
            evidence: evidence.to_vec(),
            completes_pass,
        })
    }

    fn check_evidence(&self, lane: &Lane, one: &Evidence, before: &[Evidence]) -> Result<(), Refusal> {
        one.check().map_err(|error| invalid("evidence", &error))?;
        let Some(range) = &one.readings else {
            return Err(Refusal::new(
                RefusalReason::InvalidArgument,
                "evidence.readings",
                "a lane records what its devices read",
            ));
        };
        if lane.spec.device(&range.device).map(|device| device.kind) != Some(DeviceKind::Sensor(one.modality)) {
            return Err(Refusal::new(
                RefusalReason::InvalidArgument,
                "evidence.readings.device",
                format!("{} is not a {} sensor of {}", range.device, one.modality, lane.spec.id),
            ));
        }
        let used = self.devices.get(&range.device);
        let replayed = used.is_some_and(|mark| (range.boot, range.first) <= (mark.boot, mark.sequence));
        let twice = before.iter().any(|other| {
            other
                .readings
                .as_ref()
                .is_some_and(|other| other.device == range.device)
        });
        if replayed || twice {
            return Err(Refusal::new(
                RefusalReason::ReadingReplayed,
                "evidence.readings",
                format!(
                    "readings of {} from boot {}, number {} on were used before",
                    range.device, range.boot, range.first
                ),
            ));
        }
        Ok(())
    }

    fn abort(&self, key: &ActorKey, no: InspectionNo, cause: AbortCause) -> Result<Decision, Refusal> {
        let (id, _) = self.own_lane(key)?;
        let case = self.known_inspection(no)?;
        let running = case.stage.lane() == Some(id) && !case.pass_complete;
        at_stage(
            case,
            running,
            "called up to or in a pass on this lane, with evidence outstanding",
        )?;
        Decision::event(Event::Aborted {
            inspection: no,
            lane: id,
            cause,
        })
    }

    fn conclude(
        &self,
        key: &ActorKey,
        no: InspectionNo,
        policy_digest: Digest,
        evidence: &[u32],
        verdict: &Verdict,
    ) -> Result<Decision, Refusal> {
        let case = self.known_inspection(no)?;
        allow(key, &ActorKey::Fusion(shard_of(no)))?;
        if mutant!(ConcludedTwice, false, case.conclusion.is_some()) {
            return Err(Refusal::new(
                RefusalReason::AlreadyConcluded,
                "inspection",
                format!("{no} has a conclusion, and one is all it gets"),
            ));
        }
        let (active, policy) = self.policy_in_force()?;
        let exhausted = case.stage == Stage::Queued && case.passes.0 >= policy.passes_max;
        let scanned = matches!(case.stage, Stage::InPass { .. }) && case.pass_complete;
        let again = mutant!(ConcludedTwice, case.stage == Stage::UnderReview, false);
        at_stage(case, scanned || exhausted || again, "scanned completely")?;
        if policy_digest != active {
            return Err(Refusal::new(
                RefusalReason::PolicyChanged,
                "policy",
                format!("{active} is active, not {policy_digest}"),
            ));
        }
        let mut named = evidence.to_vec();
        named.sort_unstable();
        let recorded = case.evidence_set();
        if named != recorded {
            return Err(Refusal::new(
                RefusalReason::EvidenceChanged,
                "evidence",
                format!("recorded for this conclusion are {recorded:?}, named are {named:?}"),
            ));
        }
        let recomputed = mutant!(VerdictBelieved, verdict.clone(), self.verdict_of(case, policy));
        if !super::drift::same_drift(&recomputed, verdict) {
            return Err(Refusal::new(
                RefusalReason::DriftChanged,
                "verdict.reasons",
                "an alarm was raised or a chart was reset since it was proposed; judge again",
            ));
        }
        if !recomputed.agrees_with(verdict) {
            return Err(Refusal::new(
                RefusalReason::VerdictDiffers,
                "verdict",
                format!("the evidence gives {}, proposed was {}", recomputed.tier, verdict.tier),
            ));
        }
        Decision::event(Event::Concluded {
            inspection: no,
            equipment: case.equipment.clone(),
            policy: active,
            evidence: recorded,
            verdict: recomputed,
        })
    }

    /// The verdict on what is recorded, at log time: what an engine proposes and the ledger checks.
    pub fn verdict_of(&self, case: &Inspection, policy: &crate::policy::Policy) -> Verdict {
        fusion::judge(
            policy,
            &Case {
                manifest: &case.manifest,
                evidence: &case.evidence_at(&case.evidence_set()),
                passes: case.passes.0,
                now: self.now,
                adrift: &self.charts.adrift(),
            },
        )
    }

    fn policy_in_force(&self) -> Result<(Digest, &crate::policy::Policy), Refusal> {
        self.policy()
            .map(|(digest, policy)| (digest, policy.as_ref()))
            .ok_or_else(|| Refusal::new(RefusalReason::NotFounded, "policy", "no policy is active"))
    }

    fn own_lane(&self, key: &ActorKey) -> Result<(LaneId, &Lane), Refusal> {
        match key {
            ActorKey::Lane(id) => Ok((*id, self.known_lane(*id)?)),
            other => Err(not_yours(other)),
        }
    }
}

fn allow(key: &ActorKey, owner: &ActorKey) -> Result<(), Refusal> {
    if key == owner { Ok(()) } else { Err(not_yours(key)) }
}

fn not_yours(key: &ActorKey) -> Refusal {
    Refusal::new(
        RefusalReason::InvalidArgument,
        "key",
        format!("this is not for {key} to ask"),
    )
}

fn busy(lane: LaneId) -> Refusal {
    Refusal::new(
        RefusalReason::LaneBusy,
        "lane",
        format!("{lane} has a container already"),
    )
}

fn at_stage(case: &Inspection, holds: bool, wanted: &str) -> Result<(), Refusal> {
    if holds {
        return Ok(());
    }
    Err(Refusal::new(
        RefusalReason::WrongStage,
        "inspection",
        format!("{} is {}; it would have to be {wanted}", case.no, case.stage),
    ))
}
