//! What may be asked of the ledger: three kinds of commands, each with its own guard against repetition and staleness.

use crate::codec::canonical;
use crate::drift::ChartKey;
use crate::equipment::EquipmentId;
use crate::evidence::Evidence;
use crate::fusion::Verdict;
use crate::id::{
    BootId, ClusterId, CommandNo, Digest, Epoch, Incarnation, InspectionNo, LaneId, NodeId, PassNo, Principal,
    RequestId, Sequence, SourceId, Timestamp,
};
use crate::inspection::Ruling;
use crate::lane::LaneSpec;
use crate::manifest::Announcement;
use crate::model::Model;
use crate::placement::ActorKey;
use crate::policy::Policy;

/// One command, stamped by the leader.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Command {
    /// The leader's reading of the port's clock.
    pub at: Timestamp,
    /// W3C trace context of whoever asked, empty if none. Carried, never interpreted.
    pub traceparent: String,
    /// What is asked.
    pub body: CommandBody,
}

canonical!(struct Command { at, traceparent, body });

/// What is asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CommandBody {
    /// By somebody outside.
    External(ExternalCommand),
    /// By an actor that holds a placement.
    Actor(ActorCommand),
    /// By the cluster about itself.
    Cluster(ClusterCommand),
}

canonical!(enum CommandBody { 1 => External(command), 2 => Actor(command), 3 => Cluster(command) });

/// A command from outside. Deduplicated by source and request id, never fenced.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExternalCommand {
    /// Which system sent it.
    pub source: SourceId,
    /// What makes it unique for that source.
    pub request: RequestId,
    /// Who acts.
    pub principal: Principal,
    /// What is asked.
    pub body: ExternalBody,
}

canonical!(struct ExternalCommand { source, request, principal, body });

/// What somebody outside may ask.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ExternalBody {
    /// A container is coming.
    Announce(Announcement),
    /// An officer decides.
    Adjudicate {
        /// About which inspection.
        inspection: InspectionNo,
        /// What.
        ruling: Ruling,
        /// Why.
        reason: String,
    },
    /// A container left through the gate.
    ReportDeparture {
        /// Which.
        equipment: EquipmentId,
    },
    /// A lane takes containers from now on.
    OpenLane {
        /// Which.
        lane: LaneId,
    },
    /// A lane takes no further containers; what is on it is finished.
    CloseLane {
        /// Which.
        lane: LaneId,
    },
    /// A lane as configured; opens it when it is new.
    DefineLane(LaneSpec),
    /// A policy is put on the shelf.
    AddPolicy(Policy),
    /// A policy on the shelf takes effect for conclusions from now on.
    ActivatePolicy {
        /// Which.
        policy: Digest,
    },
    /// A policy is put on the shelf, unless it is there, and takes effect for conclusions from now on, in one step.
    AdoptPolicy {
        /// All of it.
        policy: Policy,
        /// Why, for people; may be empty.
        reason: String,
    },
    /// A data folder asks for a node id, or says that its node is reached elsewhere from now on.
    AddNode {
        /// The id it would like; without one the ledger takes a fresh one.
        wanted: Option<NodeId>,
        /// A fresh id is above this one: the highest member that the proposer knows, who may never have come up.
        above: NodeId,
        /// The folder.
        incarnation: Incarnation,
        /// Where its node is reached, `host:port`.
        address: String,
    },
    /// A node is to give its actors away and get no others.
    DrainNode {
        /// Which.
        node: NodeId,
    },
    /// A drained node may carry actors again.
    UndrainNode {
        /// Which.
        node: NodeId,
    },
    /// A node is to leave the cluster for good.
    RemoveNode {
        /// Which.
        node: NodeId,
    },
    /// What was adrift has been checked: its chart begins anew, and its alarm no longer stands.
    ResetChart {
        /// Which.
        chart: ChartKey,
        /// What was found, for people.
        reason: String,
    },
    /// A learned model is put on the shelf, for policies to name by the digest of its bytes.
    AddModel(Model),
}

canonical!(enum ExternalBody {
    1 => Announce(announcement), 2 => Adjudicate { inspection, ruling, reason }, 3 => ReportDeparture { equipment },
    4 => OpenLane { lane }, 5 => CloseLane { lane }, 6 => DefineLane(spec), 7 => AddPolicy(policy),
    8 => ActivatePolicy { policy }, 9 => AddNode { wanted, above, incarnation, address }, 10 => DrainNode { node },
    11 => UndrainNode { node }, 12 => RemoveNode { node }, 13 => AdoptPolicy { policy, reason },
    14 => ResetChart { chart, reason }, 15 => AddModel(model)
});

/// A command of an actor. Fenced by epoch, deduplicated by sequence number.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ActorCommand {
    /// Which actor.
    pub key: ActorKey,
    /// Under which placement.
    pub epoch: Epoch,
    /// Its number within the epoch, from 1.
    pub sequence: Sequence,
    /// What is asked.
    pub body: ActorBody,
}

canonical!(struct ActorCommand { key, epoch, sequence, body });

/// What an actor may ask.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ActorBody {
    /// Fusion: the manifest is weighed.
    Profile {
        /// Of which inspection.
        inspection: InspectionNo,
        /// What the manifest says.
        evidence: Evidence,
    },
    /// Scheduler: a profiled container is due.
    Enqueue {
        /// Which inspection.
        inspection: InspectionNo,
    },
    /// Scheduler: call a container up to a lane, if both are still as planned.
    Assign {
        /// Which inspection.
        inspection: InspectionNo,
        /// Its version when it was planned.
        expect: CommandNo,
        /// Which lane.
        lane: LaneId,
        /// The lane actor's epoch when it was planned.
        lane_epoch: Epoch,
    },
    /// Lane: a container stands before the lane without having been called up to it; to another lane it may have been, as
    /// long as no pass has started there.
    Claim {
        /// Which inspection.
        inspection: InspectionNo,
    },
    /// Lane: the called-up container is there, scanning starts.
    StartPass {
        /// Which inspection.
        inspection: InspectionNo,
    },
    /// Lane: what the sources of a pass say.
    RecordEvidence {
        /// Of which inspection.
        inspection: InspectionNo,
        /// Of which pass.
        pass: PassNo,
        /// What they say.
        evidence: Vec<Evidence>,
        /// Every source has said everything.
        completes_pass: bool,
    },
    /// Lane: the call-up or pass broke off, the container waits again.
    Abort {
        /// Which inspection.
        inspection: InspectionNo,
        /// Why.
        cause: AbortCause,
    },
    /// Fusion: the engine's verdict.
    Conclude {
        /// Of which inspection.
        inspection: InspectionNo,
        /// By which policy.
        policy: Digest,
        /// From which evidence, positions in the inspection.
        evidence: Vec<u32>,
        /// What follows.
        verdict: Verdict,
    },
}

canonical!(enum ActorBody {
    1 => Profile { inspection, evidence }, 2 => Enqueue { inspection }, 3 => Assign { inspection, expect, lane, lane_epoch },
    4 => Claim { inspection }, 5 => StartPass { inspection },
    6 => RecordEvidence { inspection, pass, evidence, completes_pass }, 7 => Abort { inspection, cause },
    8 => Conclude { inspection, policy, evidence, verdict }
});

/// Why a call-up or pass broke off.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AbortCause {
    /// The node that ran the lane was lost.
    NodeLost,
    /// The lane was moved to another node.
    LaneMoved,
    /// A detector of the lane was lost.
    DeviceLost,
    /// The container never came, or the pass never ended.
    TimedOut,
    /// An operator closed the lane.
    LaneClosed,
}

canonical!(enum AbortCause { 1 => NodeLost, 2 => LaneMoved, 3 => DeviceLost, 4 => TimedOut, 5 => LaneClosed });

impl AbortCause {
    /// The word in API and logs.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::NodeLost => "node_lost",
            Self::LaneMoved => "lane_moved",
            Self::DeviceLost => "device_lost",
            Self::TimedOut => "timed_out",
            Self::LaneClosed => "lane_closed",
        }
    }
}

/// A command of the cluster about itself: compare-and-set on what the proposer saw.
#[derive(Debug, Clone, PartialEq, Eq)]
#[allow(
    clippy::large_enum_variant,
    reason = "the large one is founding, once in the life of a cluster"
)]
pub enum ClusterCommand {
    /// The first command of a cluster.
    Found {
        /// Its id.
        cluster: ClusterId,
        /// Its first policy.
        policy: Policy,
    },
    /// A node's process came up.
    NodeUp {
        /// Which node.
        node: NodeId,
        /// Which process.
        boot: BootId,
        /// The process that the proposer replaces, if it knew one.
        expect: Option<BootId>,
        /// Relative capacity for actors.
        capacity: u32,
        /// Highest cluster version it speaks.
        version: u32,
    },
    /// A node's process is gone.
    NodeDown {
        /// Which node.
        node: NodeId,
        /// Which process: a later one is not meant.
        boot: BootId,
    },
    /// An actor gets a home.
    Place {
        /// Which actor.
        key: ActorKey,
        /// The placement that the proposer saw.
        expect: Epoch,
        /// On which node.
        node: NodeId,
        /// In which process.
        boot: BootId,
    },
    /// An owner gives its actor away at a safe point.
    HandOver {
        /// Which actor.
        key: ActorKey,
        /// The placement that is given up.
        expect: Epoch,
        /// To which node.
        node: NodeId,
        /// To which process.
        boot: BootId,
    },
    /// New kinds of commands are allowed from here on.
    ActivateVersion {
        /// The version.
        version: u32,
    },
    /// A member says which data folder it has, and where it is reached.
    Enrol {
        /// Which node.
        node: NodeId,
        /// Its folder.
        incarnation: Incarnation,
        /// Where it is reached, `host:port`.
        address: String,
    },
    /// The first command of a cluster that goes on from a backup of another.
    Restore {
        /// The new cluster's id.
        cluster: ClusterId,
        /// The cluster that was backed up.
        former: ClusterId,
        /// How long its decision log was.
        size: u64,
        /// The root over it.
        root: Digest,
    },
}

canonical!(enum ClusterCommand {
    1 => Found { cluster, policy }, 2 => NodeUp { node, boot, expect, capacity, version }, 3 => NodeDown { node, boot },
    4 => Place { key, expect, node, boot }, 5 => HandOver { key, expect, node, boot }, 6 => ActivateVersion { version },
    7 => Enrol { node, incarnation, address }, 8 => Restore { cluster, former, size, root }
});
