//! A small run that keeps every promise, for the tests of the checks: two containers, one released and gone, one held and let go
//! by an officer. And the ways to plant lies into it.
#![allow(clippy::unwrap_used, reason = "a sample that cannot be made fails its tests")]

use std::sync::Arc;
use std::time::Duration;

use portcullis_domain::codec::from_bytes;
use portcullis_domain::command::{ActorBody, ActorCommand, ClusterCommand, Command, CommandBody, ExternalCommand};
use portcullis_domain::event::{Actor, Event, Leaf};
use portcullis_domain::evidence::{Ability, Evidence as Piece, Modality, Noted, ReadingRange, Step, Weights};
use portcullis_domain::finding::{Finding, FindingCode};
use portcullis_domain::id::{
    BootId, ClusterId, CommandNo, DeviceId, Digest, EntryNo, Epoch, InspectionNo, LaneId, NodeId, PassNo, SampleNo,
    Sequence, TerminalId, Timestamp,
};
use portcullis_domain::inspection::Stage;
use portcullis_domain::lane::{DeviceKind, DeviceSpec, LaneSpec};
use portcullis_domain::ledger::Ledger;
use portcullis_domain::outcome::{Answer, Applied, Outcome};
use portcullis_domain::placement::{ActorKey, shard_of};
use portcullis_domain::policy::Policy;
use portcullis_proto::v1 as pb;
use prost::Message as _;

use super::{Evidence, Found, Head};
use crate::history::{BarrierOrder, Misdeed, Moment, Operation, Request, Wrong};
use crate::write::Told;

const BEGIN: u64 = 1_767_225_600_000;
const GONE: &str = "MSKU1234565";
const HELD: &str = "CONU1234567";
const LANE: LaneId = LaneId(1);
const SENSORS: [Modality; 3] = [Modality::Radiation, Modality::Weighbridge, Modality::Ocr];

/// What a check found, in its words.
pub(super) fn words(found: Found) -> Vec<String> {
    found.violations.into_iter().map(|violation| violation.what).collect()
}

/// A run that keeps every promise.
pub(crate) fn run() -> Evidence {
    let mut port = SamplePort::default();
    port.found();
    let gone = port.announce(GONE);
    let held = port.announce(HELD);
    port.screen(gone, -15_000);
    port.read(GONE);
    port.screen(held, 60_000);
    let request = Request::Adjudicate(pb::AdjudicateRequest {
        context: context("customs", "ruling"),
        inspection: held.0,
        ruling: pb::Ruling::Release.into(),
        reason: "found nothing".to_owned(),
    });
    port.write(request);
    port.read(GONE);
    let request = Request::ReportDeparture(pb::ReportDepartureRequest {
        context: context("gate", "departure"),
        equipment_id: GONE.to_owned(),
    });
    port.write(request);
    let head = Head {
        node: 1,
        size: port.ledger.log().size(),
        root: port.ledger.log().root(),
    };
    port.evidence.heads.push(head);
    port.evidence.logs = (1..=3).map(|node| (node, port.log.clone())).collect();
    port.evidence
}

/// The run, and after it these events.
pub(crate) fn and_then(events: Vec<Event>) -> Evidence {
    let mut run = run();
    let last = leaf(&run, run.logs[&1].len() - 1).number;
    for (event, more) in events.into_iter().zip(1..) {
        let leaf = Leaf {
            number: CommandNo(last.0 + more),
            at: Timestamp(BEGIN + 1_000_000),
            actor: Actor::Cluster,
            event,
        };
        for log in run.logs.values_mut() {
            log.push(leaf.bytes());
        }
    }
    run
}

/// The run in which the evidence that released a container was another one than when it was concluded.
pub(crate) fn with_evidence(change_pieces: impl FnOnce(&mut Vec<Piece>)) -> Evidence {
    let mut run = run();
    change(&mut run, entry("evidence_recorded"), |event| {
        let Event::EvidenceRecorded { evidence, .. } = event else {
            panic!("this entry records evidence");
        };
        change_pieces(evidence);
    });
    run
}

/// Changes an event in all logs.
pub(crate) fn change(run: &mut Evidence, entry: usize, change: impl FnOnce(&mut Event)) {
    let mut leaf = leaf(run, entry);
    change(&mut leaf.event);
    for log in run.logs.values_mut() {
        log[entry] = leaf.bytes();
    }
}

/// Puts an event before an entry of all logs.
pub(crate) fn insert(run: &mut Evidence, before: u64, event: Event) {
    let before = usize::try_from(before).unwrap();
    let mut leaf = leaf(run, before);
    leaf.actor = Actor::Cluster;
    leaf.event = event;
    for log in run.logs.values_mut() {
        log.insert(before, leaf.bytes());
    }
}

/// Adds a call after all others.
pub(crate) fn add(run: &mut Evidence, request: Request, told: Told) {
    let last = run.history.operations.last().and_then(|last| last.returned).unwrap();
    let later = |more: u64| Moment {
        order: last.order + more,
        at: last.at + Duration::from_millis(more),
    };
    run.history.operations.push(Operation {
        client: "another".into(),
        node: 1,
        request: Arc::new(request),
        invoked: later(1),
        returned: Some(later(2)),
        limit: Duration::from_secs(3),
        told,
    });
}

/// The first entry of a kind.
fn entry(kind: &str) -> usize {
    let run = run();
    (0..run.logs[&1].len())
        .find(|entry| leaf(&run, *entry).event.kind() == kind)
        .unwrap()
}

/// The entry of the first announcement.
pub(crate) fn first_announcement() -> u64 {
    entry("announced") as u64
}

/// The entry of the first conclusion.
pub(crate) fn conclusion() -> usize {
    entry("concluded")
}

/// The entry of the last acknowledged write.
pub(crate) fn last_write(run: &Evidence) -> u64 {
    run.logs[&1].len() as u64 - 1
}

/// The entry of an adjudication, and bytes that say something else.
pub(crate) fn changed_adjudication(run: &Evidence) -> (usize, Vec<u8>) {
    let entry = entry("adjudicated");
    let mut leaf = leaf(run, entry);
    let Event::Adjudicated { reason, .. } = &mut leaf.event else {
        panic!("this entry adjudicates");
    };
    reason.push_str(", they say");
    (entry, leaf.bytes())
}

/// A version of the container that is gone, right after its announcement.
pub(crate) fn earlier_state(run: &Evidence) -> (u64, pb::Stage) {
    (leaf(run, entry("announced")).number.0, pb::Stage::Announced)
}

/// A misdeed at a reading that was used to release a container.
pub(crate) fn wrong(run: &Evidence, misdeed: Misdeed) -> Wrong {
    Wrong {
        at: run.history.operations[0].invoked,
        device: DeviceId::new("lane-1-radiation").unwrap(),
        inspection: run.history.orders[0].inspection,
        pass: PassNo(1),
        misdeed,
        boot: 7,
        sequence: 4,
    }
}

/// A finding that was known before the pass.
pub(crate) fn noted(code: FindingCode) -> Noted {
    Noted {
        sample: SampleNo(0),
        finding: Finding::new(code, "sample", "planted"),
    }
}

/// Whether these are the bytes of a placement.
pub(crate) fn is_placement(bytes: &[u8]) -> bool {
    from_bytes::<Leaf>(bytes).is_ok_and(|leaf| matches!(leaf.event, Event::Placed { .. }))
}

/// Who asks.
pub(crate) fn context(source: &str, request: &str) -> Option<pb::RequestContext> {
    Some(pb::RequestContext {
        source: source.to_owned(),
        request_id: request.to_owned(),
        principal: "somebody".to_owned(),
    })
}

fn leaf(run: &Evidence, entry: usize) -> Leaf {
    from_bytes(&run.logs[&1][entry]).unwrap()
}

/// A port in one thread: a ledger, and everybody who asks it.
#[derive(Default)]
struct SamplePort {
    ledger: Ledger,
    log: Vec<Vec<u8>>,
    evidence: Evidence,
    order: u64,
    sequence: u64,
    readings: u64,
}

impl SamplePort {
    fn apply(&mut self, body: CommandBody) -> Applied {
        self.order += 1;
        let application = self.ledger.apply(Command {
            at: Timestamp(BEGIN + self.order * 1000),
            traceparent: String::new(),
            body,
        });
        if let Some(entry) = application.entry {
            self.log.push(entry.bytes);
        }
        match application.outcome {
            Outcome::Applied(applied) => applied,
            Outcome::Refused(refusal) => panic!("{refusal}"),
        }
    }

    fn act(&mut self, key: ActorKey, body: ActorBody) {
        self.sequence += 1;
        let epoch = self.ledger.placement(&key).unwrap().epoch;
        self.apply(CommandBody::Actor(ActorCommand {
            key,
            epoch,
            sequence: Sequence(self.sequence),
            body,
        }));
    }

    fn found(&mut self) {
        let node = NodeId(1);
        let boot = BootId(1);
        self.apply(CommandBody::Cluster(ClusterCommand::Found {
            cluster: ClusterId([7; 16]),
            policy: Policy::first(),
        }));
        self.apply(CommandBody::Cluster(ClusterCommand::NodeUp {
            node,
            boot,
            expect: None,
            capacity: 100,
            version: 1,
        }));
        let lane = portcullis_wire::lane::encode_lane_spec(&LaneSpec {
            id: LANE,
            terminal: TerminalId::new("T1").unwrap(),
            devices: SENSORS
                .map(|modality| DeviceSpec {
                    id: device(modality),
                    kind: DeviceKind::Sensor(modality),
                    public_key: [3; 32],
                })
                .to_vec(),
            nodes: Vec::new(),
            usual_pass_s: 90,
            scheduled: true,
        });
        self.write(Request::DefineLane(pb::DefineLaneRequest {
            context: context("operations", "lane"),
            definition: Some(lane),
        }));
        let keys = (0..64).map(ActorKey::Fusion);
        let keys = keys.chain([
            ActorKey::Lane(LANE),
            ActorKey::Scheduler(TerminalId::new("T1").unwrap()),
        ]);
        for key in keys {
            self.apply(CommandBody::Cluster(ClusterCommand::Place {
                key,
                expect: Epoch::NONE,
                node,
                boot,
            }));
        }
    }

    /// A write as a client makes it, with its answer.
    fn write(&mut self, request: Request) -> Applied {
        let command = command(&request);
        let invoked = self.moment();
        let applied = self.apply(CommandBody::External(command));
        let answer = Some(portcullis_wire::write::encode_applied(&applied));
        let bytes = match &request {
            Request::Announce(_) => portcullis_wire::write::encode_announce(&applied).encode_to_vec(),
            Request::Adjudicate(_) => pb::AdjudicateResponse { applied: answer }.encode_to_vec(),
            Request::ReportDeparture(_) => pb::ReportDepartureResponse { applied: answer }.encode_to_vec(),
            _ => pb::DefineLaneResponse { applied: answer }.encode_to_vec(),
        };
        self.put_down(invoked, request, bytes);
        applied
    }

    fn announce(&mut self, equipment: &str) -> InspectionNo {
        let announcement = pb::Announcement {
            equipment_id: equipment.to_owned(),
            terminal: "T1".to_owned(),
            manifest: Some(pb::Manifest::default()),
            ..pb::Announcement::default()
        };
        let applied = self.write(Request::Announce(pb::AnnounceRequest {
            context: context("tos-0", equipment),
            announcement: Some(announcement),
        }));
        let Answer::Inspection { inspection, .. } = applied.answer else {
            panic!("an announcement is answered with its inspection");
        };
        inspection
    }

    /// From the manifest to the conclusion and the barrier; every source weighs so much.
    fn screen(&mut self, inspection: InspectionNo, weight: i32) {
        let fusion = ActorKey::Fusion(shard_of(inspection));
        let lane = ActorKey::Lane(LANE);
        let evidence = self.piece(Modality::Manifest, 0);
        self.act(fusion.clone(), ActorBody::Profile { inspection, evidence });
        let expect = self.ledger.inspection(inspection).unwrap().version;
        let lane_epoch = self.ledger.placement(&lane).unwrap().epoch;
        let scheduler = ActorKey::Scheduler(TerminalId::new("T1").unwrap());
        let assign = ActorBody::Assign {
            inspection,
            expect,
            lane: LANE,
            lane_epoch,
        };
        self.act(scheduler, assign);
        self.act(lane.clone(), ActorBody::StartPass { inspection });
        let evidence = SENSORS.map(|modality| self.piece(modality, weight)).to_vec();
        let record = ActorBody::RecordEvidence {
            inspection,
            pass: PassNo(1),
            evidence,
            completes_pass: true,
        };
        self.act(lane, record);
        let case = self.ledger.inspection(inspection).unwrap().clone();
        let (policy, terms) = self.ledger.policy().unwrap();
        let conclude = ActorBody::Conclude {
            inspection,
            policy,
            evidence: case.evidence_set(),
            verdict: self.ledger.verdict_of(&case, &terms.clone()),
        };
        self.act(fusion, conclude);
        let case = self.ledger.inspection(inspection).unwrap();
        let order = BarrierOrder {
            given: Moment::default(),
            node: 1,
            device: DeviceId::new("lane-1-controller").unwrap(),
            lane: LANE,
            epoch: lane_epoch,
            entry: EntryNo(self.log.len() as u64 - 1),
            inspection,
            equipment: case.equipment.clone(),
            open: case.stage == Stage::Released,
            obeyed: true,
        };
        let given = self.moment();
        self.evidence.history.orders.push(BarrierOrder { given, ..order });
    }

    fn piece(&mut self, modality: Modality, weight: i32) -> Piece {
        self.readings += 10;
        let scanned = modality != Modality::Manifest;
        Piece {
            modality,
            readings: scanned.then(|| ReadingRange {
                device: device(modality),
                boot: 7,
                first: self.readings.saturating_sub(20),
                last: self.readings,
            }),
            digest: Digest([9; 32]),
            interpreter: "sample/1".to_owned(),
            captured_at: Timestamp(BEGIN + self.order * 1000),
            findings: Vec::new(),
            steps: vec![Step {
                sample: SampleNo(if scanned { 5 } else { 0 }),
                ability: Ability::Clear,
                weights: Weights([weight; 6]),
            }],
        }
    }

    /// A linearizable read of a container.
    fn read(&mut self, equipment: &str) {
        let invoked = self.moment();
        let case = self.ledger.open_inspection(&equipment.parse().unwrap()).unwrap();
        let basic = portcullis_wire::inspection::View::Basic;
        let answer = pb::GetInspectionResponse {
            inspection: Some(portcullis_wire::inspection::encode_inspection(case, None, basic)),
            read_point: Some(pb::ReadPoint {
                node: 1,
                command_number: self.ledger.number().0,
                log_size: self.ledger.log().size(),
                linearizable: true,
            }),
            ..pb::GetInspectionResponse::default()
        };
        let target = pb::get_inspection_request::Target::EquipmentId(equipment.to_owned());
        let request = Request::GetInspection(pb::GetInspectionRequest {
            target: Some(target),
            consistency: pb::Consistency::Quorum.into(),
            view: pb::InspectionView::Basic.into(),
        });
        self.put_down(invoked, request, answer.encode_to_vec());
    }

    fn put_down(&mut self, invoked: Moment, request: Request, answer: Vec<u8>) {
        let returned = Some(self.moment());
        self.evidence.history.operations.push(Operation {
            client: "somebody".into(),
            node: 1,
            request: Arc::new(request),
            invoked,
            returned,
            limit: Duration::from_secs(3),
            told: Told::Applied(answer),
        });
    }

    fn moment(&mut self) -> Moment {
        self.order += 1;
        Moment {
            order: self.order,
            at: Duration::from_millis(self.order),
        }
    }
}

fn device(modality: Modality) -> DeviceId {
    DeviceId::new(format!("lane-1-{modality}")).unwrap()
}

/// What a node makes of a request.
fn command(request: &Request) -> ExternalCommand {
    use portcullis_wire::write;
    let command = match request.clone() {
        Request::Announce(request) => write::decode_announce(request, &[1; 16]),
        Request::Adjudicate(request) => write::decode_adjudicate(request),
        Request::ReportDeparture(request) => write::decode_report_departure(request),
        Request::DefineLane(request) => write::decode_define_lane(request),
        other => panic!("{} is not part of a sample", other.kind()),
    };
    command.unwrap()
}
