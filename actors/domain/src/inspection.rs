//! An inspection: the whole case of one visit of a container, from announcement to departure.

use std::fmt;
use std::sync::Arc;

use crate::codec::canonical;
use crate::equipment::EquipmentId;
use crate::evidence::Evidence;
use crate::finding::Finding;
use crate::fusion::Verdict;
use crate::id::{
    CommandNo, Digest, EntryNo, Epoch, InspectionNo, LaneId, PassNo, Principal, SourceId, TerminalId, Timestamp,
};
use crate::manifest::Manifest;

/// Where an inspection stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stage {
    /// A source told us.
    Announced,
    /// The manifest is weighed; the container is not due yet, or was called up and never came.
    Profiled,
    /// Waits for a lane.
    Queued,
    /// Called up to a lane.
    Assigned {
        /// The lane.
        lane: LaneId,
    },
    /// On a lane, being scanned or waiting for the conclusion.
    InPass {
        /// The lane.
        lane: LaneId,
    },
    /// Free to leave.
    Released,
    /// Concluded Review: an officer has to look at the evidence.
    UnderReview,
    /// Not to leave: concluded Exam, or held by an officer.
    Held,
    /// Taken by customs.
    Seized,
    /// Gone.
    Departed,
}

canonical!(enum Stage {
    1 => Announced, 2 => Profiled, 3 => Queued, 4 => Assigned { lane }, 5 => InPass { lane },
    6 => Released, 7 => UnderReview, 8 => Held, 9 => Seized, 10 => Departed
});

impl Stage {
    /// The word in API and logs.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Announced => "announced",
            Self::Profiled => "profiled",
            Self::Queued => "queued",
            Self::Assigned { .. } => "assigned",
            Self::InPass { .. } => "in_pass",
            Self::Released => "released",
            Self::UnderReview => "under_review",
            Self::Held => "held",
            Self::Seized => "seized",
            Self::Departed => "departed",
        }
    }

    /// The lane that has the container.
    pub fn lane(self) -> Option<LaneId> {
        match self {
            Self::Assigned { lane } | Self::InPass { lane } => Some(lane),
            _ => None,
        }
    }
}

impl fmt::Display for Stage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.lane() {
            Some(lane) => write!(f, "{} {lane}", self.as_str()),
            None => f.write_str(self.as_str()),
        }
    }
}

/// Evidence as it stands in the log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RecordedEvidence {
    /// The log entry that recorded it. Several pieces may share one entry.
    pub entry: EntryNo,
    /// The pass it belongs to; 0 for the manifest.
    pub pass: PassNo,
    /// When it was recorded.
    pub at: Timestamp,
    /// What it says. Never changes, so it is shared between versions.
    pub evidence: Arc<Evidence>,
}

canonical!(struct RecordedEvidence { entry, pass, at, evidence });

/// The engine's committed verdict.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Conclusion {
    /// What was found.
    pub verdict: Verdict,
    /// The policy it was judged by.
    pub policy: Digest,
    /// The evidence set: positions in [`Inspection::evidence`].
    pub evidence: Vec<u32>,
    /// When.
    pub at: Timestamp,
    /// The log entry that holds it.
    pub entry: EntryNo,
}

canonical!(struct Conclusion { verdict, policy, evidence, at, entry });

/// What an officer decides about a container under review (release or hold) or held (release or seize).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ruling {
    /// Let it go.
    Release,
    /// Keep it for an exam.
    Hold,
    /// Take it.
    Seize,
}

canonical!(enum Ruling { 1 => Release, 2 => Hold, 3 => Seize });

impl Ruling {
    /// The word in API and logs.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Release => "release",
            Self::Hold => "hold",
            Self::Seize => "seize",
        }
    }
}

/// A person's decision.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Adjudication {
    /// What was decided.
    pub ruling: Ruling,
    /// By whom.
    pub by: Principal,
    /// Why, in the person's words.
    pub reason: String,
    /// When.
    pub at: Timestamp,
}

canonical!(struct Adjudication { ruling, by, reason, at });

/// The case of one visit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Inspection {
    /// Its number: that of the command that announced it.
    pub no: InspectionNo,
    /// The number of the last command that changed it.
    pub version: CommandNo,
    /// Which container.
    pub equipment: EquipmentId,
    /// Where.
    pub terminal: TerminalId,
    /// Who announced it first.
    pub source: SourceId,
    /// Who else did.
    pub other_sources: Vec<SourceId>,
    /// When it was announced.
    pub announced_at: Timestamp,
    /// From when on it can be called up; later than announced once it did not come when it was called up.
    pub ready_at: Timestamp,
    /// When it must leave.
    pub due_at: Option<Timestamp>,
    /// 0 is ordinary; higher goes first.
    pub priority: u8,
    /// What is declared, personal fields sealed. Never changes, so it is shared between versions.
    pub manifest: Arc<Manifest>,
    /// What was odd about id, document and course of events.
    pub findings: Vec<Finding>,
    /// Where it stands.
    pub stage: Stage,
    /// Passes that were started.
    pub passes: PassNo,
    /// Under which placement the lane runs the pass under way: another owner of the lane did not start it.
    pub pass_epoch: Epoch,
    /// Every source of the running pass has said everything.
    pub pass_complete: bool,
    /// All evidence, in order of recording.
    pub evidence: Vec<RecordedEvidence>,
    /// The one conclusion.
    pub conclusion: Option<Conclusion>,
    /// What people decided.
    pub adjudications: Vec<Adjudication>,
    /// When it left.
    pub departed_at: Option<Timestamp>,
}

canonical!(struct Inspection {
    no, version, equipment, terminal, source, other_sources, announced_at, ready_at, due_at, priority, manifest,
    findings, stage, passes, pass_epoch, pass_complete, evidence, conclusion, adjudications, departed_at
});

impl Inspection {
    /// Positions of the evidence that counts for a conclusion: the manifest's and that of the pass that completed.
    pub fn evidence_set(&self) -> Vec<u32> {
        self.evidence
            .iter()
            .enumerate()
            .filter(|(_, recorded)| recorded.pass == PassNo(0) || (self.pass_complete && recorded.pass == self.passes))
            .filter_map(|(index, _)| u32::try_from(index).ok())
            .collect()
    }

    /// The evidence at the given positions.
    pub fn evidence_at(&self, positions: &[u32]) -> Vec<&Evidence> {
        positions
            .iter()
            .filter_map(|position| self.evidence.get(*position as usize))
            .map(|recorded| &*recorded.evidence)
            .collect()
    }

    /// Has not left the port.
    pub fn is_open(&self) -> bool {
        self.stage != Stage::Departed
    }
}
