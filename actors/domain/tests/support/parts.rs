//! The parts of a ledger, read from its snapshot, so that tests can say which of them may change.

use imbl::OrdMap;
use portcullis_domain::codec::{Canonical, CodecError, Reader, to_bytes};
use portcullis_domain::drift::Charts;
use portcullis_domain::id::{
    ClusterId, CommandNo, DeviceId, Digest, Epoch, InspectionNo, LaneId, NodeId, Sequence, Timestamp,
};
use portcullis_domain::inspection::Inspection;
use portcullis_domain::lane::Lane;
use portcullis_domain::ledger::{Activation, DeviceMark, Ledger};
use portcullis_domain::manifest::Party;
use portcullis_domain::merkle::Frontier;
use portcullis_domain::model::Model;
use portcullis_domain::outcome::Outcome;
use portcullis_domain::placement::{ActorKey, NodeRecord, Placement};
use portcullis_domain::policy::Policy;
use portcullis_domain::roster::Enrolment;

/// What a request from outside is known by.
pub(crate) type Request = [u8; 16];
/// Epoch and highest number of an actor, then its remembered outcomes.
type Window = ((Epoch, Sequence), OrdMap<Sequence, Outcome>);

/// What the port and its log consist of: what only an applied command may change, and what a replay rebuilds.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Substance {
    cluster: Option<ClusterId>,
    version: u32,
    log: Frontier,
    policies: OrdMap<Digest, Policy>,
    policy: Option<Digest>,
    activations: OrdMap<Digest, Activation>,
    inspections: OrdMap<InspectionNo, Inspection>,
    closed: u64,
    lanes: OrdMap<LaneId, Lane>,
    nodes: OrdMap<NodeId, NodeRecord>,
    placements: OrdMap<ActorKey, Placement>,
    devices: OrdMap<DeviceId, DeviceMark>,
    roster: OrdMap<NodeId, Enrolment>,
    former: Option<ClusterId>,
    charts: Charts,
}

/// A ledger, taken apart.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Parts {
    pub(crate) number: CommandNo,
    pub(crate) now: Timestamp,
    pub(crate) fenced: u64,
    pub(crate) substance: Substance,
    pub(crate) personal: OrdMap<InspectionNo, Vec<Party>>,
    pub(crate) models: OrdMap<Digest, Model>,
    pub(crate) sequences: OrdMap<ActorKey, Window>,
    /// Half the digest of the question, and the answer.
    pub(crate) answers: OrdMap<Request, ([u8; 16], Outcome)>,
    pub(crate) expiring: Vec<(Timestamp, Request)>,
    pub(crate) spent: OrdMap<Request, ()>,
}

impl Parts {
    /// Takes a ledger apart.
    pub(crate) fn of(ledger: &Ledger) -> Self {
        let bytes = to_bytes(ledger);
        let mut reader = Reader::new(&bytes);
        let parts = Self::read(&mut reader).expect("a snapshot has the parts that are listed here");
        assert_eq!(reader.remaining(), 0, "a snapshot has no other parts");
        parts
    }

    fn read(from: &mut Reader<'_>) -> Result<Self, CodecError> {
        fn take<T: Canonical>(from: &mut Reader<'_>) -> Result<T, CodecError> {
            T::take(from)
        }
        let _format: u8 = take(from)?;
        let cluster = take(from)?;
        let version = take(from)?;
        let number = take(from)?;
        let now = take(from)?;
        let log = take(from)?;
        let fenced = take(from)?;
        let policies = take(from)?;
        let policy = take(from)?;
        let models = take(from)?;
        let activations = take(from)?;
        let inspections = take(from)?;
        let closed = take(from)?;
        let personal = take(from)?;
        let lanes = take(from)?;
        let nodes = take(from)?;
        let placements = take(from)?;
        let sequences = take(from)?;
        let devices = take(from)?;
        let answers = take(from)?;
        let expiring = take(from)?;
        let spent = take(from)?;
        Ok(Self {
            number,
            now,
            fenced,
            substance: Substance {
                cluster,
                version,
                log,
                policies,
                policy,
                activations,
                inspections,
                closed,
                lanes,
                nodes,
                placements,
                devices,
                roster: take(from)?,
                former: take(from)?,
                charts: take(from)?,
            },
            personal,
            models,
            sequences,
            answers,
            expiring,
            spent,
        })
    }
}
