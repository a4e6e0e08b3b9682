//! What the ledger holds, and how it is read.

use std::sync::Arc;

use imbl::{OrdMap, OrdSet, Vector};

use super::SequenceWindow;
use super::answers::{Answers, RequestKey, Spent};
use super::policies::Activation;
use crate::codec::{Canonical, CodecError, Reader, canonical};
use crate::drift::Charts;
use crate::equipment::EquipmentId;
use crate::id::{ClusterId, CommandNo, DeviceId, Digest, InspectionNo, LaneId, NodeId, TerminalId, Timestamp};
use crate::inspection::Inspection;
use crate::lane::Lane;
use crate::manifest::Party;
use crate::merkle::Frontier;
use crate::model::Model;
use crate::placement::{ActorKey, NodeRecord, Placement};
use crate::policy::Policy;
use crate::roster::Enrolment;

/// How far the readings of a device have been used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct DeviceMark {
    /// The device's boot number.
    pub boot: u64,
    /// The last sequence number under it.
    pub sequence: u64,
}

canonical!(struct DeviceMark { boot, sequence });

/// The state of the cluster. Cloning is O(1).
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Ledger {
    pub(super) cluster: Option<ClusterId>,
    pub(super) version: u32,
    pub(super) number: CommandNo,
    pub(super) now: Timestamp,
    pub(super) log: Frontier,
    pub(super) fenced: u64,
    pub(super) policies: OrdMap<Digest, Arc<Policy>>,
    pub(super) policy: Option<Digest>,
    pub(super) models: OrdMap<Digest, Model>,
    // Of each policy that was ever active, the last one.
    pub(super) activations: OrdMap<Digest, Activation>,
    // Open ones; closed ones are counted, and found in the decision log.
    pub(super) inspections: OrdMap<InspectionNo, Arc<Inspection>>,
    pub(super) closed: u64,
    pub(super) personal: OrdMap<InspectionNo, Vec<Party>>,
    pub(super) lanes: OrdMap<LaneId, Lane>,
    pub(crate) nodes: OrdMap<NodeId, NodeRecord>,
    pub(super) placements: OrdMap<ActorKey, Placement>,
    pub(super) sequences: OrdMap<ActorKey, SequenceWindow>,
    pub(super) devices: OrdMap<DeviceId, DeviceMark>,
    pub(super) answers: Answers,
    // In the order in which they are forgotten, each with the time from which it is kept.
    pub(super) expiring: Vector<(Timestamp, RequestKey)>,
    pub(super) spent: Spent,
    pub(crate) roster: OrdMap<NodeId, Enrolment>,
    /// The cluster that this one goes on from, until it has said so.
    pub(super) former: Option<ClusterId>,
    pub(super) charts: Charts,
    // Derived from the others, so not part of a snapshot.
    pub(super) open: OrdMap<EquipmentId, InspectionNo>,
    pub(super) by_version: OrdSet<(CommandNo, InspectionNo)>,
    pub(super) staying: OrdSet<(InspectionNo, RequestKey)>,
}

/// Format version of a snapshot.
const SNAPSHOT_VERSION: u8 = 6;

impl Canonical for Ledger {
    fn put(&self, out: &mut Vec<u8>) {
        out.push(SNAPSHOT_VERSION);
        self.cluster.put(out);
        self.version.put(out);
        self.number.put(out);
        self.now.put(out);
        self.log.put(out);
        self.fenced.put(out);
        self.policies.put(out);
        self.policy.put(out);
        self.models.put(out);
        self.activations.put(out);
        self.inspections.put(out);
        self.closed.put(out);
        self.personal.put(out);
        self.lanes.put(out);
        self.nodes.put(out);
        self.placements.put(out);
        self.sequences.put(out);
        self.devices.put(out);
        self.answers.put(out);
        self.expiring.put(out);
        self.spent.put(out);
        self.roster.put(out);
        self.former.put(out);
        self.charts.put(out);
    }

    fn take(from: &mut Reader<'_>) -> Result<Self, CodecError> {
        let version = u8::take(from)?;
        if version != SNAPSHOT_VERSION {
            return Err(CodecError::UnknownTag {
                what: "ledger snapshot version",
                tag: version,
            });
        }
        let mut ledger = Self {
            cluster: Canonical::take(from)?,
            version: Canonical::take(from)?,
            number: Canonical::take(from)?,
            now: Canonical::take(from)?,
            log: Canonical::take(from)?,
            fenced: Canonical::take(from)?,
            policies: Canonical::take(from)?,
            policy: Canonical::take(from)?,
            models: Canonical::take(from)?,
            activations: Canonical::take(from)?,
            inspections: Canonical::take(from)?,
            closed: Canonical::take(from)?,
            personal: Canonical::take(from)?,
            lanes: Canonical::take(from)?,
            nodes: Canonical::take(from)?,
            placements: Canonical::take(from)?,
            sequences: Canonical::take(from)?,
            devices: Canonical::take(from)?,
            answers: mutant!(
                AnswersNotInSnapshot,
                Answers::take(from).map(|_| Answers::default())?,
                Canonical::take(from)?,
            ),
            expiring: Canonical::take(from)?,
            spent: Canonical::take(from)?,
            roster: Canonical::take(from)?,
            former: Canonical::take(from)?,
            charts: Canonical::take(from)?,
            open: OrdMap::new(),
            by_version: OrdSet::new(),
            staying: OrdSet::new(),
        };
        for (no, inspection) in &ledger.inspections {
            mutant!(OpenNotRebuilt, continue);
            ledger.open.insert(inspection.equipment.clone(), *no);
            ledger.by_version.insert((inspection.version, *no));
        }
        ledger.find_staying();
        Ok(ledger)
    }
}

impl Ledger {
    /// An empty ledger, before the cluster is founded.
    pub fn new() -> Self {
        Self::default()
    }

    /// The cluster, once founded.
    pub fn cluster(&self) -> Option<ClusterId> {
        self.cluster
    }

    /// The cluster that this ledger was backed up from, until the new one has taken over.
    pub fn former(&self) -> Option<ClusterId> {
        self.former
    }

    /// The ledger as a new cluster starts from it: of no cluster, until [`Event::Restored`](crate::event::Event::Restored)
    /// says which. Until then it takes no other command.
    pub fn detached(&self) -> Self {
        Self {
            former: self.cluster.or(self.former),
            cluster: None,
            ..self.clone()
        }
    }

    /// The active cluster version, which gates new kinds of commands.
    pub fn version(&self) -> u32 {
        self.version
    }

    /// Number of the last applied command.
    pub fn number(&self) -> CommandNo {
        self.number
    }

    /// Log time: the latest time that any command carried.
    pub fn now(&self) -> Timestamp {
        self.now
    }

    /// Size and root of the decision log.
    pub fn log(&self) -> &Frontier {
        &self.log
    }

    /// How many commands of actors that had lost their placement were refused.
    pub fn fenced(&self) -> u64 {
        self.fenced
    }

    /// Every policy that was ever added, by digest.
    pub fn policies(&self) -> impl Iterator<Item = (&Digest, &Arc<Policy>)> {
        self.policies.iter()
    }

    /// A policy by digest.
    pub fn policy_of(&self, digest: &Digest) -> Option<&Arc<Policy>> {
        self.policies.get(digest)
    }

    /// The active policy and its digest, once the cluster is founded.
    pub fn policy(&self) -> Option<(Digest, &Arc<Policy>)> {
        let digest = self.policy?;
        Some((digest, self.policies.get(&digest)?))
    }

    /// Every learned model that was ever added, by digest.
    pub fn models(&self) -> impl Iterator<Item = (&Digest, &Model)> {
        self.models.iter()
    }

    /// A learned model by digest.
    pub fn model(&self, digest: &Digest) -> Option<&Model> {
        self.models.get(digest)
    }

    /// The drift charts, and what is adrift.
    pub fn charts(&self) -> &Charts {
        &self.charts
    }

    /// An open inspection. Closed ones are in the decision log, see [`crate::archive`].
    pub fn inspection(&self, no: InspectionNo) -> Option<&Arc<Inspection>> {
        self.inspections.get(&no)
    }

    /// All open inspections from `first` on, by number.
    pub fn inspections_from(&self, first: InspectionNo) -> impl Iterator<Item = &Arc<Inspection>> {
        self.inspections.range(first..).map(|(_, inspection)| inspection)
    }

    /// How many inspections are open.
    pub fn inspection_count(&self) -> usize {
        self.inspections.len()
    }

    /// How many inspections are closed.
    pub fn closed_count(&self) -> u64 {
        self.closed
    }

    /// Of how many requests it is known that they were answered: with their answer, and without it since that was so long
    /// ago.
    pub fn answered_count(&self) -> (usize, usize) {
        (self.answers.len(), self.spent.len())
    }

    /// The inspection of a container that has not left.
    pub fn open_inspection(&self, equipment: &EquipmentId) -> Option<&Arc<Inspection>> {
        self.inspections.get(self.open.get(equipment)?)
    }

    /// Open inspections whose last change was made by a command after `cursor`, in the order of these commands. Reading
    /// with the ledger's [`number`](Self::number) as the next cursor misses nothing but closings: what a reader holds and
    /// [`inspection`](Self::inspection) does not is closed, and never comes back.
    pub fn changed_since(&self, cursor: CommandNo) -> impl Iterator<Item = &Arc<Inspection>> {
        let after = (CommandNo(cursor.0.saturating_add(1)), InspectionNo(0));
        self.by_version
            .range(after..)
            .filter_map(|(_, no)| self.inspections.get(no))
    }

    /// Personal fields of an open inspection's manifest. They are erased when it is closed; the log has their salted hashes.
    pub fn personal(&self, no: InspectionNo) -> &[Party] {
        self.personal.get(&no).map_or(&[], Vec::as_slice)
    }

    /// All lanes, by id.
    pub fn lanes(&self) -> impl Iterator<Item = (LaneId, &Lane)> {
        self.lanes.iter().map(|(id, lane)| (*id, lane))
    }

    /// A lane.
    pub fn lane(&self, id: LaneId) -> Option<&Lane> {
        self.lanes.get(&id)
    }

    /// The terminals that have lanes, each once, in order.
    pub fn terminals(&self) -> Vec<TerminalId> {
        let mut terminals: Vec<_> = self.lanes.values().map(|lane| lane.spec.terminal.clone()).collect();
        terminals.sort_unstable();
        terminals.dedup();
        terminals
    }

    /// All nodes that ever came up, by id.
    pub fn nodes(&self) -> impl Iterator<Item = (NodeId, &NodeRecord)> {
        self.nodes.iter().map(|(id, node)| (*id, node))
    }

    /// A node.
    pub fn node(&self, id: NodeId) -> Option<&NodeRecord> {
        self.nodes.get(&id)
    }

    /// All placements, by key.
    pub fn placements(&self) -> impl Iterator<Item = (&ActorKey, &Placement)> {
        self.placements.iter()
    }

    /// Where an actor runs.
    pub fn placement(&self, key: &ActorKey) -> Option<&Placement> {
        self.placements.get(key)
    }

    /// How far the readings of a device have been used.
    pub fn device_mark(&self, device: &DeviceId) -> Option<DeviceMark> {
        self.devices.get(device).copied()
    }
}
