//! What each event does to the inspection that it is about. The ledger follows it as it happens, [`crate::archive`] again
//! long after; both call this, so they cannot differ.

use std::sync::Arc;

use crate::command::AbortCause;
use crate::event::{Actor, Event};
use crate::evidence::Evidence;
use crate::finding::{Finding, FindingCode};
use crate::id::{CommandNo, EntryNo, Epoch, InspectionNo, PassNo, SourceId, Timestamp};
use crate::inspection::{Adjudication, Conclusion, Inspection, RecordedEvidence, Ruling, Stage};
use crate::manifest::Announcement;
use crate::policy::Tier;

/// A container that was called up and never came is called up again no sooner than this, milliseconds of log time.
pub const NO_SHOW_AGAIN_MS: u64 = 15 * 60 * 1000;

/// Where and when an event stands in the log.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Spot {
    pub(crate) entry: EntryNo,
    pub(crate) number: CommandNo,
    pub(crate) at: Timestamp,
}

impl Inspection {
    /// The inspection that an announcement opens.
    pub(crate) fn opened(
        spot: Spot,
        no: InspectionNo,
        source: SourceId,
        announcement: Announcement,
        findings: Vec<Finding>,
    ) -> Self {
        Self {
            no,
            version: spot.number,
            equipment: announcement.equipment,
            terminal: announcement.terminal,
            source,
            other_sources: Vec::new(),
            announced_at: spot.at,
            ready_at: announcement.ready_at.unwrap_or(spot.at),
            due_at: announcement.due_at,
            priority: announcement.priority,
            manifest: Arc::new(announcement.manifest),
            findings,
            stage: Stage::Announced,
            passes: PassNo(0),
            pass_epoch: Epoch::NONE,
            pass_complete: false,
            evidence: Vec::new(),
            conclusion: None,
            adjudications: Vec::new(),
            departed_at: None,
        }
    }

    /// Its call-up or pass broke off: it waits for a lane again.
    pub(crate) fn broke_off(&mut self, spot: Spot) {
        self.version = spot.number;
        self.stage = Stage::Queued;
        self.pass_epoch = Epoch::NONE;
        self.pass_complete = false;
    }

    /// Takes in an event that is about this inspection alone; others change nothing but the version.
    pub(crate) fn follow(&mut self, spot: Spot, by: &Actor, event: Event) {
        self.version = spot.number;
        match event {
            Event::AnnouncedAgain { findings, .. } => {
                self.findings.extend(findings);
                if let Actor::External { source, .. } = by
                    && *source != self.source
                    && !self.other_sources.contains(source)
                {
                    self.other_sources.push(source.clone());
                }
            }
            Event::Profiled { evidence, queued, .. } => {
                self.record(spot, PassNo(0), [evidence]);
                self.stage = if queued { Stage::Queued } else { Stage::Profiled };
            }
            Event::Enqueued { .. } => self.stage = Stage::Queued,
            Event::Assigned { lane, .. } => self.stage = Stage::Assigned { lane },
            Event::PassStarted { lane, pass, .. } => {
                self.stage = Stage::InPass { lane };
                self.passes = pass;
                self.pass_epoch = match by {
                    Actor::Placed { epoch, .. } => *epoch,
                    _ => Epoch::NONE,
                };
                self.pass_complete = false;
            }
            Event::EvidenceRecorded {
                pass,
                evidence,
                completes_pass,
                ..
            } => {
                self.record(spot, pass, evidence);
                self.pass_complete = completes_pass;
            }
            Event::Aborted { cause, .. } => {
                let called_up = matches!(self.stage, Stage::Assigned { .. });
                self.broke_off(spot);
                if called_up && cause == AbortCause::TimedOut {
                    // It never came. As the oldest in the queue it would be called up again at once, and hold the lanes
                    // up for ever; so others go first for a while, and it may still be claimed when it comes.
                    self.stage = Stage::Profiled;
                    self.ready_at = spot.at.plus_millis(NO_SHOW_AGAIN_MS);
                }
            }
            Event::Concluded {
                policy,
                evidence,
                verdict,
                ..
            } => {
                self.stage = match verdict.tier {
                    Tier::Release => Stage::Released,
                    Tier::Review => Stage::UnderReview,
                    Tier::Exam => Stage::Held,
                };
                self.conclusion = Some(Conclusion {
                    verdict,
                    policy,
                    evidence,
                    at: spot.at,
                    entry: spot.entry,
                });
            }
            Event::EvidenceAfterConclusion { evidence, reopened, .. } => {
                self.findings.push(Finding::new(
                    FindingCode::EvidenceAfterConclusion,
                    "evidence",
                    format!("{} pieces came at entry {}", evidence.len(), spot.entry),
                ));
                self.record(spot, self.passes, evidence);
                if reopened {
                    self.stage = Stage::UnderReview;
                }
            }
            Event::Adjudicated { ruling, reason, .. } => {
                let Actor::External { principal, .. } = by else {
                    return;
                };
                self.stage = match ruling {
                    Ruling::Release => Stage::Released,
                    Ruling::Hold => Stage::Held,
                    Ruling::Seize => Stage::Seized,
                };
                self.adjudications.push(Adjudication {
                    ruling,
                    by: principal.clone(),
                    reason,
                    at: spot.at,
                });
            }
            Event::Departed { .. } => {
                self.stage = Stage::Departed;
                self.departed_at = Some(spot.at);
            }
            _ => {}
        }
    }

    fn record(&mut self, spot: Spot, pass: PassNo, evidence: impl IntoIterator<Item = Evidence>) {
        self.evidence
            .extend(evidence.into_iter().map(|evidence| RecordedEvidence {
                entry: spot.entry,
                pass,
                at: spot.at,
                evidence: Arc::new(evidence),
            }));
    }
}
