//! What happened: the leaves of the decision log.

use std::fmt;

use crate::codec::{Canonical, CodecError, Reader, canonical, to_bytes};
use crate::command::AbortCause;
use crate::drift::{Alarm, ChartKey};
use crate::equipment::EquipmentId;
use crate::evidence::Evidence;
use crate::finding::Finding;
use crate::fusion::Verdict;
use crate::id::{
    BootId, ClusterId, CommandNo, Digest, Epoch, Incarnation, InspectionNo, LaneId, NodeId, PassNo, Principal,
    RequestId, SourceId, Timestamp,
};
use crate::inspection::Ruling;
use crate::lane::LaneSpec;
use crate::manifest::Announcement;
use crate::placement::ActorKey;
use crate::policy::Policy;

/// Who did it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Actor {
    /// Somebody outside, through a source's request.
    External {
        /// The system that sent it.
        source: SourceId,
        /// Its request.
        request: RequestId,
        /// Who acts.
        principal: Principal,
    },
    /// An actor of the cluster.
    Placed {
        /// Which.
        key: ActorKey,
        /// Under which placement.
        epoch: Epoch,
    },
    /// The cluster about itself.
    Cluster,
}

canonical!(enum Actor {
    1 => External { source, request, principal }, 2 => Placed { key, epoch }, 3 => Cluster
});

impl fmt::Display for Actor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::External { source, principal, .. } => write!(f, "{principal} via {source}"),
            Self::Placed { key, epoch } => write!(f, "{key} {epoch}"),
            Self::Cluster => f.write_str("cluster"),
        }
    }
}

/// What happened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// The cluster was founded.
    Founded {
        /// Its id.
        cluster: ClusterId,
        /// Its first policy.
        policy: Policy,
    },
    /// A node's process came up. Actors of its former process lost their homes, passes they ran broke off.
    NodeUp {
        /// Which node.
        node: NodeId,
        /// Which process.
        boot: BootId,
        /// Relative capacity.
        capacity: u32,
        /// Highest cluster version it speaks.
        version: u32,
        /// Inspections that wait again.
        aborted: Vec<InspectionNo>,
    },
    /// A node's process is gone, with the same consequences.
    NodeDown {
        /// Which node.
        node: NodeId,
        /// Which process.
        boot: BootId,
        /// Inspections that wait again.
        aborted: Vec<InspectionNo>,
    },
    /// An actor got a home.
    Placed {
        /// Which actor.
        key: ActorKey,
        /// Its new epoch.
        epoch: Epoch,
        /// On which node.
        node: NodeId,
        /// In which process.
        boot: BootId,
        /// Inspections that wait again.
        aborted: Vec<InspectionNo>,
    },
    /// New kinds of commands are allowed.
    VersionActivated {
        /// The version.
        version: u32,
    },
    /// A lane was defined or changed.
    LaneDefined {
        /// How it is configured.
        spec: LaneSpec,
    },
    /// A lane was opened.
    LaneOpened {
        /// Which.
        lane: LaneId,
    },
    /// A lane was closed.
    LaneClosed {
        /// Which.
        lane: LaneId,
    },
    /// A policy was put on the shelf.
    PolicyAdded {
        /// All of it.
        policy: Policy,
    },
    /// A learned model was put on the shelf. Its bytes are beside the log: a leaf has no room for them.
    ModelAdded {
        /// What policies name it by.
        model: Digest,
        /// How many bytes it has.
        size: u64,
    },
    /// A policy took effect.
    PolicyActivated {
        /// Which.
        policy: Digest,
    },
    /// A policy was put on the shelf, unless it was there, and took effect.
    PolicyAdopted {
        /// All of it.
        policy: Policy,
        /// Why, for people; may be empty.
        reason: String,
    },
    /// A container was announced.
    Announced {
        /// The inspection that this opened.
        inspection: InspectionNo,
        /// What was said, personal fields sealed.
        announcement: Announcement,
        /// Everything that is odd: the source's findings and our own.
        findings: Vec<Finding>,
    },
    /// A container that is already open was announced again, and that taught us something.
    AnnouncedAgain {
        /// The inspection.
        inspection: InspectionNo,
        /// Which container.
        equipment: EquipmentId,
        /// What it taught us.
        findings: Vec<Finding>,
    },
    /// The manifest was weighed.
    Profiled {
        /// The inspection.
        inspection: InspectionNo,
        /// What the manifest says.
        evidence: Evidence,
        /// It waits for a lane from now on.
        queued: bool,
    },
    /// A container became due.
    Enqueued {
        /// The inspection.
        inspection: InspectionNo,
    },
    /// A container was called up.
    Assigned {
        /// The inspection.
        inspection: InspectionNo,
        /// To which lane.
        lane: LaneId,
        /// The lane took it because it stood before it.
        claimed: bool,
    },
    /// Scanning started.
    PassStarted {
        /// The inspection.
        inspection: InspectionNo,
        /// On which lane.
        lane: LaneId,
        /// Which try.
        pass: PassNo,
    },
    /// Sources spoke.
    EvidenceRecorded {
        /// The inspection.
        inspection: InspectionNo,
        /// The pass.
        pass: PassNo,
        /// What they say.
        evidence: Vec<Evidence>,
        /// Every source has said everything.
        completes_pass: bool,
    },
    /// A call-up or pass broke off.
    Aborted {
        /// The inspection.
        inspection: InspectionNo,
        /// On which lane.
        lane: LaneId,
        /// Why.
        cause: AbortCause,
    },
    /// The engine concluded.
    Concluded {
        /// The inspection.
        inspection: InspectionNo,
        /// Which container.
        equipment: EquipmentId,
        /// By which policy.
        policy: Digest,
        /// From which evidence, positions in the inspection.
        evidence: Vec<u32>,
        /// What follows.
        verdict: Verdict,
    },
    /// Evidence came too late; a released container that is still here is under review again.
    EvidenceAfterConclusion {
        /// The inspection.
        inspection: InspectionNo,
        /// What came.
        evidence: Vec<Evidence>,
        /// The container is under review because of it.
        reopened: bool,
    },
    /// A person decided.
    Adjudicated {
        /// The inspection.
        inspection: InspectionNo,
        /// Which container.
        equipment: EquipmentId,
        /// What.
        ruling: Ruling,
        /// Why.
        reason: String,
    },
    /// A container left the port.
    Departed {
        /// The inspection.
        inspection: InspectionNo,
        /// Which container.
        equipment: EquipmentId,
    },
    /// A node id was bound to a data folder, or its node is reached elsewhere.
    NodeEnrolled {
        /// Which node.
        node: NodeId,
        /// Its folder.
        incarnation: Incarnation,
        /// Where it is reached, `host:port`.
        address: String,
    },
    /// A node gives its actors away and gets no others.
    NodeDrained {
        /// Which.
        node: NodeId,
    },
    /// A drained node may carry actors again.
    NodeUndrained {
        /// Which.
        node: NodeId,
    },
    /// A node leaves the cluster for good.
    NodeRemoved {
        /// Which.
        node: NodeId,
    },
    /// A new cluster goes on from a backup. Its nodes start anew; everything else is as it was.
    Restored {
        /// The new cluster.
        cluster: ClusterId,
        /// The cluster that was backed up.
        former: ClusterId,
        /// How long its decision log was.
        size: u64,
        /// The root over it.
        root: Digest,
    },
    /// A drift chart reached its limit. Follows the conclusion that raised it, under the same command number.
    DriftAlarmed {
        /// Which, and what it saw.
        alarm: Alarm,
    },
    /// A drift chart begins anew, and its alarm no longer stands.
    ChartReset {
        /// Which.
        chart: ChartKey,
        /// The lane of a device.
        lane: Option<LaneId>,
        /// What was found.
        reason: String,
    },
}

canonical!(enum Event {
    1 => Founded { cluster, policy }, 2 => NodeUp { node, boot, capacity, version, aborted },
    3 => NodeDown { node, boot, aborted }, 4 => Placed { key, epoch, node, boot, aborted },
    5 => VersionActivated { version },
    10 => LaneDefined { spec }, 11 => LaneOpened { lane }, 12 => LaneClosed { lane },
    13 => PolicyAdded { policy }, 14 => PolicyActivated { policy },
    15 => PolicyAdopted { policy, reason }, 16 => ModelAdded { model, size },
    20 => Announced { inspection, announcement, findings }, 21 => AnnouncedAgain { inspection, equipment, findings },
    22 => Profiled { inspection, evidence, queued }, 23 => Enqueued { inspection },
    24 => Assigned { inspection, lane, claimed }, 25 => PassStarted { inspection, lane, pass },
    26 => EvidenceRecorded { inspection, pass, evidence, completes_pass }, 27 => Aborted { inspection, lane, cause },
    28 => Concluded { inspection, equipment, policy, evidence, verdict },
    29 => EvidenceAfterConclusion { inspection, evidence, reopened },
    30 => Adjudicated { inspection, equipment, ruling, reason }, 31 => Departed { inspection, equipment },
    40 => NodeEnrolled { node, incarnation, address }, 41 => NodeDrained { node }, 42 => NodeUndrained { node },
    43 => NodeRemoved { node }, 44 => Restored { cluster, former, size, root },
    50 => DriftAlarmed { alarm }, 51 => ChartReset { chart, lane, reason }
});

/// What an event is about, for indexes and filters.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Subjects {
    /// Inspections.
    pub inspections: Vec<InspectionNo>,
    /// The container, where the event names it.
    pub equipment: Option<EquipmentId>,
    /// The lane.
    pub lane: Option<LaneId>,
}

impl Event {
    /// The event's name, as in API and logs.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Founded { .. } => "founded",
            Self::NodeUp { .. } => "node_up",
            Self::NodeDown { .. } => "node_down",
            Self::Placed { .. } => "placed",
            Self::VersionActivated { .. } => "version_activated",
            Self::LaneDefined { .. } => "lane_defined",
            Self::LaneOpened { .. } => "lane_opened",
            Self::LaneClosed { .. } => "lane_closed",
            Self::PolicyAdded { .. } => "policy_added",
            Self::PolicyActivated { .. } => "policy_activated",
            Self::PolicyAdopted { .. } => "policy_adopted",
            Self::Announced { .. } => "announced",
            Self::AnnouncedAgain { .. } => "announced_again",
            Self::Profiled { .. } => "profiled",
            Self::Enqueued { .. } => "enqueued",
            Self::Assigned { .. } => "assigned",
            Self::PassStarted { .. } => "pass_started",
            Self::EvidenceRecorded { .. } => "evidence_recorded",
            Self::Aborted { .. } => "aborted",
            Self::Concluded { .. } => "concluded",
            Self::EvidenceAfterConclusion { .. } => "evidence_after_conclusion",
            Self::Adjudicated { .. } => "adjudicated",
            Self::Departed { .. } => "departed",
            Self::NodeEnrolled { .. } => "node_enrolled",
            Self::NodeDrained { .. } => "node_drained",
            Self::NodeUndrained { .. } => "node_undrained",
            Self::NodeRemoved { .. } => "node_removed",
            Self::Restored { .. } => "restored",
            Self::DriftAlarmed { .. } => "drift_alarmed",
            Self::ChartReset { .. } => "chart_reset",
            Self::ModelAdded { .. } => "model_added",
        }
    }

    /// What it is about.
    pub fn subjects(&self) -> Subjects {
        let one = |inspection: &InspectionNo, equipment: Option<&EquipmentId>, lane: Option<&LaneId>| Subjects {
            inspections: vec![*inspection],
            equipment: equipment.cloned(),
            lane: lane.copied(),
        };
        match self {
            Self::NodeUp { aborted, .. } | Self::NodeDown { aborted, .. } => Subjects {
                inspections: aborted.clone(),
                ..Subjects::default()
            },
            Self::Placed { key, aborted, .. } => Subjects {
                inspections: aborted.clone(),
                equipment: None,
                lane: match key {
                    ActorKey::Lane(lane) => Some(*lane),
                    _ => None,
                },
            },
            Self::LaneDefined { spec } => Subjects {
                lane: Some(spec.id),
                ..Subjects::default()
            },
            Self::LaneOpened { lane } | Self::LaneClosed { lane } => Subjects {
                lane: Some(*lane),
                ..Subjects::default()
            },
            Self::Announced {
                inspection,
                announcement,
                ..
            } => one(inspection, Some(&announcement.equipment), None),
            Self::AnnouncedAgain {
                inspection, equipment, ..
            }
            | Self::Concluded {
                inspection, equipment, ..
            }
            | Self::Adjudicated {
                inspection, equipment, ..
            }
            | Self::Departed { inspection, equipment } => one(inspection, Some(equipment), None),
            Self::Assigned { inspection, lane, .. }
            | Self::PassStarted { inspection, lane, .. }
            | Self::Aborted { inspection, lane, .. } => one(inspection, None, Some(lane)),
            Self::Profiled { inspection, .. }
            | Self::Enqueued { inspection }
            | Self::EvidenceRecorded { inspection, .. }
            | Self::EvidenceAfterConclusion { inspection, .. } => one(inspection, None, None),
            Self::DriftAlarmed { alarm } => Subjects {
                lane: alarm.lane,
                ..Subjects::default()
            },
            Self::ChartReset { lane, .. } => Subjects {
                lane: *lane,
                ..Subjects::default()
            },
            Self::Founded { .. }
            | Self::VersionActivated { .. }
            | Self::ModelAdded { .. }
            | Self::PolicyAdded { .. }
            | Self::PolicyActivated { .. }
            | Self::PolicyAdopted { .. }
            | Self::NodeEnrolled { .. }
            | Self::NodeDrained { .. }
            | Self::NodeUndrained { .. }
            | Self::NodeRemoved { .. }
            | Self::Restored { .. } => Subjects::default(),
        }
    }
}

/// The version byte that leaves start with.
pub const LEAF_VERSION: u8 = 1;
/// The longest leaf that may be written: the limit of C2SP entry bundles.
pub const LEAF_MAX: usize = 65_535;

/// One leaf of the decision log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Leaf {
    /// The command that made it.
    pub number: CommandNo,
    /// When, on the port's clock, never earlier than the leaf before.
    pub at: Timestamp,
    /// Who.
    pub actor: Actor,
    /// What.
    pub event: Event,
}

impl Canonical for Leaf {
    fn put(&self, out: &mut Vec<u8>) {
        out.push(LEAF_VERSION);
        self.number.put(out);
        self.at.put(out);
        self.actor.put(out);
        self.event.put(out);
    }

    fn take(from: &mut Reader<'_>) -> Result<Self, CodecError> {
        match u8::take(from)? {
            LEAF_VERSION => Ok(Self {
                number: Canonical::take(from)?,
                at: Canonical::take(from)?,
                actor: Canonical::take(from)?,
                event: Canonical::take(from)?,
            }),
            tag => Err(CodecError::UnknownTag {
                what: "leaf version",
                tag,
            }),
        }
    }
}

impl Leaf {
    /// The bytes that are hashed and kept.
    pub fn bytes(&self) -> Vec<u8> {
        to_bytes(self)
    }
}
