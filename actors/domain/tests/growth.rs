//! What stays of inspections that are closed: a fixed number of bytes for each request, and nothing else.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use portcullis_domain::codec::to_bytes;
use portcullis_domain::command::{
    AbortCause, ActorBody, ActorCommand, ClusterCommand, Command, CommandBody, ExternalBody, ExternalCommand,
};
use portcullis_domain::equipment::EquipmentId;
use portcullis_domain::evidence::{Ability, Evidence, Modality, Step, Weights};
use portcullis_domain::id::{
    BootId, ClusterId, DeviceId, Digest, Epoch, InspectionNo, LaneId, NodeId, Principal, RequestId, SampleNo, Sequence,
    SourceId, TerminalId, Timestamp,
};
use portcullis_domain::inspection::Ruling;
use portcullis_domain::lane::{DeviceKind, DeviceSpec, LaneSpec};
use portcullis_domain::ledger::{ANSWERS_KEPT_MS, Ledger};
use portcullis_domain::manifest::{Announcement, Manifest, Party, PartyRole, Personal};
use portcullis_domain::outcome::{Answer, Outcome};
use portcullis_domain::placement::{ActorKey, FUSION_SHARDS, shard_of};
use portcullis_domain::policy::Policy;

const LANE: LaneId = LaneId(1);

struct Port {
    ledger: Ledger,
    now: Timestamp,
    epochs: Vec<Epoch>,
    sequences: Vec<u64>,
    requests: u64,
}

impl Port {
    fn new() -> Self {
        let mut port = Self {
            ledger: Ledger::new(),
            now: Timestamp(1_767_225_600_000),
            epochs: Vec::new(),
            sequences: vec![0; usize::from(FUSION_SHARDS) + 1],
            requests: 0,
        };
        // One pass that breaks off is enough: the container goes to an officer then.
        let policy = Policy {
            passes_max: 1,
            ..Policy::first()
        };
        let cluster = ClusterId([7; 16]);
        port.run(CommandBody::Cluster(ClusterCommand::Found { cluster, policy }));
        let (node, boot) = (NodeId(1), BootId(1));
        port.run(CommandBody::Cluster(ClusterCommand::NodeUp {
            node,
            boot,
            expect: None,
            capacity: 1,
            version: 1,
        }));
        port.external(ExternalBody::DefineLane(LaneSpec {
            id: LANE,
            terminal: TerminalId::new("T1").unwrap(),
            devices: vec![DeviceSpec {
                id: DeviceId::new("portal").unwrap(),
                kind: DeviceKind::Sensor(Modality::Radiation),
                public_key: [7; 32],
            }],
            nodes: Vec::new(),
            usual_pass_s: 90,
            scheduled: false,
        }));
        let keys = (0..FUSION_SHARDS).map(ActorKey::Fusion).chain([ActorKey::Lane(LANE)]);
        for key in keys {
            let expect = Epoch::NONE;
            let place = ClusterCommand::Place {
                key,
                expect,
                node,
                boot,
            };
            let Answer::Placed { epoch } = port.run(CommandBody::Cluster(place)) else {
                panic!("it is placed")
            };
            port.epochs.push(epoch);
        }
        port
    }

    fn run(&mut self, body: CommandBody) -> Answer {
        let command = Command {
            at: self.now,
            traceparent: String::new(),
            body,
        };
        match self.ledger.apply(command).outcome {
            Outcome::Applied(applied) => applied.answer,
            Outcome::Refused(refusal) => panic!("{refusal}"),
        }
    }

    fn external(&mut self, body: ExternalBody) -> Answer {
        self.requests += 1;
        self.run(CommandBody::External(ExternalCommand {
            source: SourceId::new("tos-1").unwrap(),
            request: RequestId::new(format!("0198c2d4-7a1b-7000-8000-{:012x}", self.requests)).unwrap(),
            principal: Principal::new("tos-1").unwrap(),
            body,
        }))
    }

    fn fusion(&mut self, no: InspectionNo, body: ActorBody) -> Answer {
        let shard = shard_of(no);
        self.actor(usize::from(shard), ActorKey::Fusion(shard), body)
    }

    fn lane(&mut self, body: ActorBody) -> Answer {
        self.actor(usize::from(FUSION_SHARDS), ActorKey::Lane(LANE), body)
    }

    fn actor(&mut self, which: usize, key: ActorKey, body: ActorBody) -> Answer {
        self.sequences[which] += 1;
        let command = ActorCommand {
            key,
            epoch: self.epochs[which],
            sequence: Sequence(self.sequences[which]),
            body,
        };
        self.run(CommandBody::Actor(command))
    }

    /// A command that changes nothing.
    fn nothing(&mut self) {
        self.run(CommandBody::Cluster(ClusterCommand::NodeUp {
            node: NodeId(1),
            boot: BootId(1),
            expect: Some(BootId(1)),
            capacity: 1,
            version: 1,
        }));
    }

    /// A container is announced and leaves again, with an officer's decision in between.
    fn visit(&mut self, number: u64) {
        self.now = self.now.plus_millis(50);
        let equipment = EquipmentId::new(&format!("ABCU{number:07}")).unwrap();
        let announced = self.external(ExternalBody::Announce(Announcement {
            equipment: equipment.clone(),
            terminal: TerminalId::new("T1").unwrap(),
            ready_at: None,
            due_at: None,
            priority: 0,
            manifest: Manifest {
                parties: vec![Party {
                    role: PartyRole::Importer,
                    identity: Personal::Open {
                        salt: [1; 16],
                        value: "Example Trading Company".to_owned(),
                    },
                }],
                ..Manifest::default()
            },
            findings: Vec::new(),
        }));
        let Answer::Inspection { inspection: no, .. } = announced else {
            panic!("it is announced")
        };
        let evidence = Evidence {
            modality: Modality::Manifest,
            readings: None,
            digest: Digest([1; 32]),
            interpreter: "manifest-risk/1".to_owned(),
            captured_at: self.now,
            findings: Vec::new(),
            steps: vec![Step {
                sample: SampleNo(0),
                ability: Ability::Clear,
                weights: Weights::ZERO,
            }],
        };
        self.fusion(
            no,
            ActorBody::Profile {
                inspection: no,
                evidence,
            },
        );
        self.lane(ActorBody::Claim { inspection: no });
        self.lane(ActorBody::StartPass { inspection: no });
        self.lane(ActorBody::Abort {
            inspection: no,
            cause: AbortCause::DeviceLost,
        });
        let case = self.ledger.inspection(no).unwrap().clone();
        let (policy, rules) = self.ledger.policy().unwrap();
        let body = ActorBody::Conclude {
            inspection: no,
            policy,
            evidence: case.evidence_set(),
            verdict: self.ledger.verdict_of(&case, rules),
        };
        self.fusion(no, body);
        self.external(ExternalBody::Adjudicate {
            inspection: no,
            ruling: Ruling::Release,
            reason: "looked at".to_owned(),
        });
        self.external(ExternalBody::ReportDeparture { equipment });
    }
}

#[test]
fn a_closed_inspection_leaves_nothing_but_its_spent_requests() {
    let mut port = Port::new();
    // Until every actor has the 64 outcomes that are remembered of it.
    const FIRST: u64 = 2_500;
    for number in 0..FIRST {
        port.visit(number);
        // So that the numbers of the inspections fall on all shards.
        port.nothing();
    }
    let mut sizes = Vec::new();
    for hundreds in 0..4_u64 {
        for number in 0..100 {
            port.visit(FIRST + hundreds * 100 + number);
        }
        // After a day each command forgets some answers.
        port.now = port.now.plus_millis(ANSWERS_KEPT_MS + 1);
        while port.ledger.answered_count().0 > 0 {
            port.nothing();
        }
        sizes.push(to_bytes(&port.ledger).len());
    }
    assert_eq!(
        (port.ledger.inspection_count(), port.ledger.closed_count()),
        (0, FIRST + 400)
    );
    assert_eq!(port.ledger.answered_count(), (0, 3 * (FIRST as usize + 400) + 1));
    // Besides 16 bytes for each of three requests only the head of the log may differ in size, by some digests.
    for pair in sizes.windows(2) {
        let grown = pair[1].abs_diff(pair[0]).abs_diff(100 * 3 * 16);
        assert!(grown < 1024, "{sizes:?}");
    }
}

/// `cargo test -p portcullis-domain --test growth -- --ignored --nocapture`
#[test]
#[ignore = "a measurement of a minute: memory and snapshot of a million closed inspections"]
fn a_million_closed_inspections() {
    let mut port = Port::new();
    let before = resident();
    for number in 0..1_000_000 {
        port.visit(number);
    }
    let (answers, spent) = port.ledger.answered_count();
    eprintln!(
        "within a day: {answers} answers, {spent} spent requests, {} MB more resident, snapshot {} bytes",
        (resident() - before) >> 20,
        to_bytes(&port.ledger).len()
    );
    port.now = port.now.plus_millis(ANSWERS_KEPT_MS + 1);
    for number in 0..50_000 {
        port.visit(number);
    }
    let (answers, spent) = port.ledger.answered_count();
    let bytes = to_bytes(&port.ledger);
    eprintln!(
        "a day later: {answers} answers, {spent} spent requests, snapshot {} bytes",
        bytes.len()
    );
    drop(port);
    let before = resident();
    let started = std::time::Instant::now();
    let again: Ledger = portcullis_domain::codec::from_bytes(&bytes).unwrap();
    eprintln!(
        "read back in {} ms, {} MB more resident",
        started.elapsed().as_millis(),
        resident().saturating_sub(before) >> 20
    );
    assert_eq!(again.closed_count(), 1_050_000);
}

/// Resident memory of this process, bytes.
fn resident() -> usize {
    let statm = std::fs::read_to_string("/proc/self/statm").unwrap();
    statm.split(' ').nth(1).unwrap().parse::<usize>().unwrap() * 4096
}
