//! What applying a command results in.

use std::fmt;

use crate::codec::canonical;
use crate::id::{CommandNo, EntryNo, Epoch, InspectionNo, NodeId, PassNo};

/// The result of a command, the same on every replica.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// It took effect.
    Applied(Applied),
    /// It certainly had no effect.
    Refused(Refusal),
}

canonical!(enum Outcome { 1 => Applied(applied), 2 => Refused(refusal) });

impl Outcome {
    /// The refusal, if it is one.
    pub fn refusal(&self) -> Option<&Refusal> {
        match self {
            Self::Applied(_) => None,
            Self::Refused(refusal) => Some(refusal),
        }
    }
}

/// An effect.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Applied {
    /// The number of the command.
    pub number: CommandNo,
    /// The log entry, if anything changed.
    pub entry: Option<EntryNo>,
    /// What the caller asked to know.
    pub answer: Answer,
}

canonical!(struct Applied { number, entry, answer });

/// What a caller is told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    /// It is done.
    Done,
    /// This is the inspection.
    Inspection {
        /// Its number.
        inspection: InspectionNo,
        /// It was there before.
        known: bool,
    },
    /// This is the placement.
    Placed {
        /// Its epoch.
        epoch: Epoch,
    },
    /// This is the pass.
    Pass {
        /// Its number.
        pass: PassNo,
    },
    /// This is the node.
    Node {
        /// Its id.
        node: NodeId,
    },
}

canonical!(enum Answer {
    1 => Done, 2 => Inspection { inspection, known }, 3 => Placed { epoch }, 4 => Pass { pass }, 5 => Node { node }
});

macro_rules! reasons {
    ($($tag:literal $variant:ident $text:literal $doc:literal),* $(,)?) => {
        /// Why the ledger refuses. The text form is stable and UPPER_SNAKE; it is the `reason` of the API.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum RefusalReason {
            $(#[doc = $doc] $variant,)*
        }

        canonical!(enum RefusalReason { $($tag => $variant),* });

        impl RefusalReason {
            /// Every reason.
            pub const ALL: &'static [Self] = &[$(Self::$variant),*];

            /// The stable text.
            pub fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $text,)* }
            }

            /// What it means, one sentence.
            pub fn meaning(self) -> &'static str {
                match self { $(Self::$variant => $doc,)* }
            }
        }
    };
}

reasons! {
    1 NotFounded "NOT_FOUNDED" "The cluster has not been founded.",
    2 AlreadyFounded "ALREADY_FOUNDED" "The cluster was founded before.",
    3 InvalidArgument "INVALID_ARGUMENT" "A field has a value that it must not have.",
    4 RequestIdReused "REQUEST_ID_REUSED" "The request id was used for another body.",
    5 RequestExpired "REQUEST_EXPIRED" "The request id was used so long ago that its answer is gone.",
    6 UnknownInspection "UNKNOWN_INSPECTION" "There is no such inspection.",
    7 UnknownContainer "UNKNOWN_CONTAINER" "No container with this id is in the port.",
    8 UnknownLane "UNKNOWN_LANE" "There is no such lane.",
    9 UnknownPolicy "UNKNOWN_POLICY" "There is no such policy.",
    10 UnknownNode "UNKNOWN_NODE" "There is no such node.",
    11 WrongStage "WRONG_STAGE" "The inspection is not at a stage that allows this.",
    12 Fenced "FENCED" "The actor has lost its placement.",
    13 SequenceTooOld "SEQUENCE_TOO_OLD" "The sequence number lies before the window of remembered outcomes.",
    14 StalePlan "STALE_PLAN" "What the plan was made from has changed.",
    15 LaneBusy "LANE_BUSY" "The lane has a container already.",
    16 LaneClosed "LANE_CLOSED" "The lane is closed.",
    17 LaneUnable "LANE_UNABLE" "The lane cannot give the evidence that the policy requires.",
    18 WrongPass "WRONG_PASS" "The evidence belongs to another pass.",
    19 ReadingReplayed "READING_REPLAYED" "The readings were used before.",
    20 AlreadyConcluded "ALREADY_CONCLUDED" "The inspection has a conclusion.",
    21 EvidenceChanged "EVIDENCE_CHANGED" "The evidence set is not what is recorded.",
    22 VerdictDiffers "VERDICT_DIFFERS" "Recomputing gives another verdict.",
    23 PolicyChanged "POLICY_CHANGED" "Another policy is active.",
    24 StaleBoot "STALE_BOOT" "Another process of the node is meant or came after.",
    25 StaleEpoch "STALE_EPOCH" "The placement has changed.",
    26 VersionNotActive "VERSION_NOT_ACTIVE" "Not every node knows this version yet.",
    27 NotReleased "NOT_RELEASED" "The container is not free to leave.",
    28 TooMany "TOO_MANY" "A limit on how many there may be is reached.",
    29 NodeIdUsed "NODE_ID_USED" "The node id belongs to another data folder.",
    30 NodeRemoved "NODE_REMOVED" "The node was removed from the cluster and does not come back.",
    31 QuorumAtRisk "QUORUM_AT_RISK" "Without this node too few voters would be up, or none.",
    32 LogAtRisk "LOG_AT_RISK" "The rest of the cluster does not hold the whole decision log yet.",
    33 UnknownChart "UNKNOWN_CHART" "There is no such drift chart.",
    34 DriftChanged "DRIFT_CHANGED" "Other things are adrift than the verdict was made under.",
    35 UnknownModel "UNKNOWN_MODEL" "There is no such learned model.",
}

impl fmt::Display for RefusalReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Why a command had no effect.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// The reason.
    pub reason: RefusalReason,
    /// The field concerned.
    pub field: String,
    /// For a person: what was found and what to do.
    pub detail: String,
}

canonical!(struct Refusal { reason, field, detail });

impl Refusal {
    /// A refusal.
    pub fn new(reason: RefusalReason, field: impl Into<String>, detail: impl Into<String>) -> Self {
        Self {
            reason,
            field: field.into(),
            detail: detail.into(),
        }
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({}): {}", self.reason, self.field, self.detail)
    }
}
