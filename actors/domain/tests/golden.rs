//! Golden bytes: one leaf of every event, one command of every kind and a small snapshot, pinned in `tests/golden/`.
//!
//! The decision log is kept for ever, so these bytes must never change: a new field is a new variant or a new version
//! byte. If a change is really meant (before the first release), `PORTCULLIS_BLESS=1 cargo test -p portcullis-domain
//! --test golden` rewrites the files.

use std::collections::BTreeSet;
use std::fmt::Debug;
use std::path::PathBuf;

use portcullis_domain::codec::{Canonical, from_bytes, to_bytes};
use portcullis_domain::command::{
    AbortCause, ActorBody, ActorCommand, ClusterCommand, Command, CommandBody, ExternalBody, ExternalCommand,
};
use portcullis_domain::drift::{Alarm, ChartKey, Trend};
use portcullis_domain::equipment::EquipmentId;
use portcullis_domain::event::{Actor, Event, Leaf};
use portcullis_domain::evidence::{Ability, Evidence, Modality, Noted, ReadingRange, Step, ThreatFamily, Weights};
use portcullis_domain::finding::{Finding, FindingCode};
use portcullis_domain::fusion::{Reason, Verdict};
use portcullis_domain::id::{
    BootId, ClusterId, CommandNo, DeviceId, Digest, Epoch, Incarnation, InspectionNo, LaneId, NodeId, PassNo,
    Principal, RequestId, SampleNo, Sequence, SourceId, TerminalId, Timestamp,
};
use portcullis_domain::inspection::Ruling;
use portcullis_domain::lane::{DeviceKind, DeviceSpec, LaneSpec};
use portcullis_domain::ledger::Ledger;
use portcullis_domain::manifest::{Amount, Announcement, Document, GoodsItem, Manifest, Party, PartyRole, Personal};
use portcullis_domain::model::Model;
use portcullis_domain::placement::{ActorKey, shard_of};
use portcullis_domain::policy::{
    CalibrationPoint, Coefficient, FamilyRule, FindingRule, ManifestModel, MaximumAge, Policy, Requirement, Scope,
    Share, ShareReference, Stopping, Tier, Watch, WeightReference,
};

const AT: Timestamp = Timestamp(1_767_225_600_000);
const INSPECTION: InspectionNo = InspectionNo(70);
const LANE: LaneId = LaneId(3);
const CLUSTER: ClusterId = ClusterId([0xc1; 16]);
const INCARNATION: Incarnation = Incarnation([0xf1; 16]);

// Samples. Every option is taken once and left out once, every list has an element, so that each field shows.

fn equipment() -> EquipmentId {
    EquipmentId::new("MSKU1234565").expect("an id")
}

fn device(name: &str) -> DeviceId {
    DeviceId::new(name).expect("a label")
}

fn finding(code: FindingCode) -> Finding {
    Finding::new(code, "field", "what was found")
}

/// Written out instead of taken from `Policy::first`, which may be tuned without changing the format.
fn policy() -> Policy {
    let scopes = [Scope::Every, Scope::Laden, Scope::Commodity("8703".to_owned())];
    Policy {
        name: "golden".to_owned(),
        algorithm: 1,
        coefficients: vec![Coefficient {
            modality: Modality::Radiation,
            permille: 1000,
        }],
        families: ThreatFamily::ALL
            .into_iter()
            .map(|family| FamilyRule {
                family,
                prior: -30_000,
                review: -10_000,
                exam: 5000,
            })
            .collect(),
        required: scopes
            .into_iter()
            .map(|scope| Requirement {
                modality: Modality::Radiation,
                scope,
                degraded_is_enough: true,
                otherwise: Tier::Review,
            })
            .collect(),
        findings: vec![FindingRule {
            code: FindingCode::NeutronAlarm,
            tier: Tier::Exam,
        }],
        maximum_ages: vec![MaximumAge {
            modality: Modality::Radiation,
            seconds: 86_400,
        }],
        stopping: Stopping {
            least_samples: 5,
            release_margin: 12_000,
            exam_margin: 6000,
        },
        passes_max: 8,
        calibration: vec![CalibrationPoint { score: 0, ppm: 500_000 }],
        watch: Some(watch()),
        manifest_models: vec![ManifestModel {
            family: ThreatFamily::Narcotics,
            model: model().digest(),
        }],
    }
}

fn model() -> Model {
    Model::new([1, 2, 3].as_slice()).expect("a model")
}

fn watch() -> Watch {
    Watch {
        shift_permille: 250,
        limit: 14_150_000,
        weights: vec![WeightReference {
            modality: Modality::Radiation,
            low: -9_000,
            high: 3_000,
            mean: -3_000,
            deviation: 1_500,
            rise_toll: 31_250,
            fall_toll: 31_300,
        }],
        shares: vec![ShareReference {
            share: Share::Unseen,
            ppm: 10_000,
            hit: 405_465,
            toll: 5_063,
        }],
        device_tier: Tier::Review,
        port_tier: Tier::Release,
    }
}

fn alarm() -> Alarm {
    Alarm {
        chart: ChartKey::Device(device("l3-radiation")),
        trend: Trend::Falls,
        lane: Some(LANE),
        modality: Some(Modality::Radiation),
        after: 2_411,
        run: 312,
        since: AT,
        inspection: INSPECTION,
    }
}

fn lane_spec() -> LaneSpec {
    let sensor = |name: &str, modality| DeviceSpec {
        id: device(name),
        kind: DeviceKind::Sensor(modality),
        public_key: [0xab; 32],
    };
    LaneSpec {
        id: LANE,
        terminal: TerminalId::new("north").expect("a label"),
        devices: vec![
            sensor("l3-radiation", Modality::Radiation),
            DeviceSpec {
                id: device("l3-control"),
                kind: DeviceKind::Controller,
                public_key: [0xcd; 32],
            },
        ],
        nodes: vec![NodeId(1)],
        usual_pass_s: 180,
        scheduled: true,
    }
}

fn announcement() -> Announcement {
    Announcement {
        equipment: equipment(),
        terminal: TerminalId::new("north").expect("a label"),
        ready_at: Some(AT),
        due_at: None,
        priority: 2,
        manifest: Manifest {
            document: Some(Document {
                digest: Digest([0xd0; 32]),
                format: "wco-dm/3.6".to_owned(),
                reference: Some("26GB0001".to_owned()),
            }),
            goods: vec![GoodsItem {
                sequence: 1,
                commodity_code: "870323".to_owned(),
                description: "Cars, zwölf".to_owned(),
                gross_mass_g: Some(12_000_000),
                net_mass_g: None,
                packages: Some(12),
                origin: "DE".to_owned(),
                amount: Some(Amount {
                    hundredths: 12_345_600,
                    currency: "EUR".to_owned(),
                }),
                dangerous_goods: Some(3166),
            }],
            gross_mass_g: Some(14_000_000),
            tare_mass_g: None,
            size_type: "45G1".to_owned(),
            empty: false,
            dispatch_country: "DE".to_owned(),
            seals: vec!["SEAL1".to_owned()],
            parties: vec![Party {
                role: PartyRole::Importer,
                identity: Personal::Open {
                    salt: [0x5a; 16],
                    value: "Example Trading".to_owned(),
                },
            }],
        },
        findings: vec![finding(FindingCode::MassMissing)],
    }
}

fn manifest_evidence() -> Evidence {
    Evidence {
        modality: Modality::Manifest,
        readings: None,
        digest: Digest([0xd0; 32]),
        interpreter: "manifest-risk/1".to_owned(),
        captured_at: AT,
        findings: Vec::new(),
        steps: vec![Step {
            sample: SampleNo(0),
            ability: Ability::Clear,
            weights: Weights([1500, 0, 0, 0, 0, -500]),
        }],
    }
}

fn radiation_evidence(first: u64) -> Evidence {
    Evidence {
        modality: Modality::Radiation,
        readings: Some(ReadingRange {
            device: device("l3-radiation"),
            boot: 2,
            first,
            last: first + 9,
        }),
        digest: Digest([0xd1; 32]),
        interpreter: "radiation-gross/1".to_owned(),
        captured_at: AT,
        findings: vec![Noted {
            sample: SampleNo(3),
            finding: finding(FindingCode::BackgroundSuppressed),
        }],
        steps: vec![
            Step {
                sample: SampleNo(1),
                ability: Ability::Degraded,
                weights: Weights([0, 0, -700, 0, 0, 0]),
            },
            Step {
                sample: SampleNo(3),
                ability: Ability::Shielded,
                weights: Weights([0, 0, 700, 0, 0, 0]),
            },
        ],
    }
}

/// With every kind of reason.
fn verdict() -> Verdict {
    let tier = Tier::Review;
    Verdict {
        tier: Tier::Exam,
        scores: Weights([-24_000, -37_000, -11_000, -30_000, -33_000, -17_000]),
        at_sample: SampleNo(9),
        stopped: true,
        reasons: vec![
            Reason::Score {
                family: ThreatFamily::Nuclear,
                score: -11_000,
                threshold: -12_000,
                tier: Tier::Exam,
            },
            Reason::PassesExhausted { passes: 8 },
            Reason::Missing {
                modality: Modality::Ocr,
                tier,
            },
            Reason::NotSeen {
                modality: Modality::Radiation,
                ability: Ability::Shielded,
                tier,
            },
            Reason::Stale {
                modality: Modality::Weighbridge,
                age_s: 86_401,
                tier,
            },
            Reason::Found {
                code: FindingCode::OcrMismatch,
                tier,
            },
            Reason::NothingAgainst,
            Reason::Drifting {
                chart: ChartKey::Share(Share::Held),
                tier,
            },
        ],
    }
}

fn lane_key() -> ActorKey {
    ActorKey::Lane(LANE)
}

fn scheduler_key() -> ActorKey {
    ActorKey::Scheduler(TerminalId::new("north").expect("a label"))
}

/// One event of every kind. The match below does not compile when a kind is missing from it.
fn events() -> Vec<Event> {
    let (inspection, lane, aborted) = (INSPECTION, LANE, vec![INSPECTION]);
    let (node, boot) = (NodeId(1), BootId(101));
    vec![
        Event::Founded {
            cluster: CLUSTER,
            policy: policy(),
        },
        Event::NodeUp {
            node,
            boot,
            capacity: 100,
            version: 1,
            aborted: aborted.clone(),
        },
        Event::NodeDown {
            node,
            boot,
            aborted: aborted.clone(),
        },
        Event::Placed {
            key: scheduler_key(),
            epoch: Epoch(5),
            node,
            boot,
            aborted,
        },
        Event::VersionActivated { version: 2 },
        Event::LaneDefined { spec: lane_spec() },
        Event::LaneOpened { lane },
        Event::LaneClosed { lane },
        Event::PolicyAdded { policy: policy() },
        Event::PolicyActivated {
            policy: Digest([0xe0; 32]),
        },
        Event::Announced {
            inspection,
            announcement: Announcement {
                manifest: announcement().manifest.sealed(),
                ..announcement()
            },
            findings: vec![finding(FindingCode::CheckDigitWrong)],
        },
        Event::AnnouncedAgain {
            inspection,
            equipment: equipment(),
            findings: vec![finding(FindingCode::AnnouncedByAnother)],
        },
        Event::Profiled {
            inspection,
            evidence: manifest_evidence(),
            queued: false,
        },
        Event::Enqueued { inspection },
        Event::Assigned {
            inspection,
            lane,
            claimed: true,
        },
        Event::PassStarted {
            inspection,
            lane,
            pass: PassNo(2),
        },
        Event::EvidenceRecorded {
            inspection,
            pass: PassNo(2),
            evidence: vec![radiation_evidence(11)],
            completes_pass: true,
        },
        Event::Aborted {
            inspection,
            lane,
            cause: AbortCause::DeviceLost,
        },
        Event::Concluded {
            inspection,
            equipment: equipment(),
            policy: Digest([0xe0; 32]),
            evidence: vec![0, 2],
            verdict: verdict(),
        },
        Event::EvidenceAfterConclusion {
            inspection,
            evidence: vec![radiation_evidence(21)],
            reopened: true,
        },
        Event::Adjudicated {
            inspection,
            equipment: equipment(),
            ruling: Ruling::Seize,
            reason: "a false wall".to_owned(),
        },
        Event::Departed {
            inspection,
            equipment: equipment(),
        },
        Event::NodeEnrolled {
            node,
            incarnation: INCARNATION,
            address: "127.0.0.1:7401".to_owned(),
        },
        Event::NodeDrained { node },
        Event::NodeUndrained { node },
        Event::NodeRemoved { node },
        Event::Restored {
            cluster: ClusterId([8; 16]),
            former: CLUSTER,
            size: 9,
            root: Digest([0xd0; 32]),
        },
        Event::PolicyAdopted {
            policy: policy(),
            reason: "as learned in March".to_owned(),
        },
        Event::DriftAlarmed { alarm: alarm() },
        Event::ChartReset {
            chart: ChartKey::Device(device("l3-radiation")),
            lane: Some(LANE),
            reason: "checked with a test source".to_owned(),
        },
        Event::ModelAdded {
            model: model().digest(),
            size: 3,
        },
    ]
}

/// Position of an event's kind, so that the compiler asks for a golden line for each new kind.
fn kind_of_event(event: &Event) -> usize {
    match event {
        Event::Founded { .. } => 0,
        Event::NodeUp { .. } => 1,
        Event::NodeDown { .. } => 2,
        Event::Placed { .. } => 3,
        Event::VersionActivated { .. } => 4,
        Event::LaneDefined { .. } => 5,
        Event::LaneOpened { .. } => 6,
        Event::LaneClosed { .. } => 7,
        Event::PolicyAdded { .. } => 8,
        Event::PolicyActivated { .. } => 9,
        Event::Announced { .. } => 10,
        Event::AnnouncedAgain { .. } => 11,
        Event::Profiled { .. } => 12,
        Event::Enqueued { .. } => 13,
        Event::Assigned { .. } => 14,
        Event::PassStarted { .. } => 15,
        Event::EvidenceRecorded { .. } => 16,
        Event::Aborted { .. } => 17,
        Event::Concluded { .. } => 18,
        Event::EvidenceAfterConclusion { .. } => 19,
        Event::Adjudicated { .. } => 20,
        Event::Departed { .. } => 21,
        Event::NodeEnrolled { .. } => 22,
        Event::NodeDrained { .. } => 23,
        Event::NodeUndrained { .. } => 24,
        Event::NodeRemoved { .. } => 25,
        Event::Restored { .. } => 26,
        Event::PolicyAdopted { .. } => 27,
        Event::DriftAlarmed { .. } => 28,
        Event::ChartReset { .. } => 29,
        Event::ModelAdded { .. } => 30,
    }
}

fn leaves() -> Vec<(String, Leaf)> {
    let external = Actor::External {
        source: SourceId::new("customs").expect("a label"),
        request: RequestId::new("r-1").expect("a label"),
        principal: Principal::new("officer-7").expect("a label"),
    };
    let placed = Actor::Placed {
        key: lane_key(),
        epoch: Epoch(4),
    };
    events()
        .into_iter()
        .enumerate()
        .map(|(index, event)| {
            let actor = [&external, &placed, &Actor::Cluster][index % 3].clone();
            let leaf = Leaf {
                number: CommandNo(71),
                at: AT,
                actor,
                event,
            };
            (leaf.event.kind().to_owned(), leaf)
        })
        .collect()
}

fn external_body(index: usize) -> Option<(&'static str, ExternalBody)> {
    let body = match index {
        0 => ExternalBody::Announce(announcement()),
        1 => ExternalBody::Adjudicate {
            inspection: INSPECTION,
            ruling: Ruling::Hold,
            reason: "look inside".to_owned(),
        },
        2 => ExternalBody::ReportDeparture { equipment: equipment() },
        3 => ExternalBody::OpenLane { lane: LANE },
        4 => ExternalBody::CloseLane { lane: LANE },
        5 => ExternalBody::DefineLane(lane_spec()),
        6 => ExternalBody::AddPolicy(policy()),
        7 => ExternalBody::ActivatePolicy {
            policy: Digest([0xe0; 32]),
        },
        8 => ExternalBody::AddNode {
            wanted: Some(NodeId(4)),
            above: NodeId(3),
            incarnation: INCARNATION,
            address: "127.0.0.1:7404".to_owned(),
        },
        9 => ExternalBody::DrainNode { node: NodeId(2) },
        10 => ExternalBody::UndrainNode { node: NodeId(2) },
        11 => ExternalBody::RemoveNode { node: NodeId(2) },
        12 => ExternalBody::AdoptPolicy {
            policy: policy(),
            reason: "as learned in March".to_owned(),
        },
        13 => ExternalBody::ResetChart {
            chart: ChartKey::Declarations,
            reason: "importers changed with the season".to_owned(),
        },
        14 => ExternalBody::AddModel(model()),
        _ => return None,
    };
    let name = match &body {
        ExternalBody::Announce(_) => "announce",
        ExternalBody::Adjudicate { .. } => "adjudicate",
        ExternalBody::ReportDeparture { .. } => "report_departure",
        ExternalBody::OpenLane { .. } => "open_lane",
        ExternalBody::CloseLane { .. } => "close_lane",
        ExternalBody::DefineLane(_) => "define_lane",
        ExternalBody::AddPolicy(_) => "add_policy",
        ExternalBody::ActivatePolicy { .. } => "activate_policy",
        ExternalBody::AddNode { .. } => "add_node",
        ExternalBody::DrainNode { .. } => "drain_node",
        ExternalBody::UndrainNode { .. } => "undrain_node",
        ExternalBody::RemoveNode { .. } => "remove_node",
        ExternalBody::AdoptPolicy { .. } => "adopt_policy",
        ExternalBody::ResetChart { .. } => "reset_chart",
        ExternalBody::AddModel(_) => "add_model",
    };
    Some((name, body))
}

fn actor_body(index: usize) -> Option<(&'static str, ActorBody)> {
    let inspection = INSPECTION;
    let body = match index {
        0 => ActorBody::Profile {
            inspection,
            evidence: manifest_evidence(),
        },
        1 => ActorBody::Enqueue { inspection },
        2 => ActorBody::Assign {
            inspection,
            expect: CommandNo(72),
            lane: LANE,
            lane_epoch: Epoch(4),
        },
        3 => ActorBody::Claim { inspection },
        4 => ActorBody::StartPass { inspection },
        5 => ActorBody::RecordEvidence {
            inspection,
            pass: PassNo(1),
            evidence: vec![radiation_evidence(1)],
            completes_pass: false,
        },
        6 => ActorBody::Abort {
            inspection,
            cause: AbortCause::TimedOut,
        },
        7 => ActorBody::Conclude {
            inspection,
            policy: Digest([0xe0; 32]),
            evidence: vec![0, 1],
            verdict: verdict(),
        },
        _ => return None,
    };
    let name = match &body {
        ActorBody::Profile { .. } => "profile",
        ActorBody::Enqueue { .. } => "enqueue",
        ActorBody::Assign { .. } => "assign",
        ActorBody::Claim { .. } => "claim",
        ActorBody::StartPass { .. } => "start_pass",
        ActorBody::RecordEvidence { .. } => "record_evidence",
        ActorBody::Abort { .. } => "abort",
        ActorBody::Conclude { .. } => "conclude",
    };
    Some((name, body))
}

fn cluster_command(index: usize) -> Option<(&'static str, ClusterCommand)> {
    let (node, boot) = (NodeId(1), BootId(101));
    let body = match index {
        0 => ClusterCommand::Found {
            cluster: CLUSTER,
            policy: policy(),
        },
        1 => ClusterCommand::NodeUp {
            node,
            boot,
            expect: Some(BootId(100)),
            capacity: 100,
            version: 1,
        },
        2 => ClusterCommand::NodeDown { node, boot },
        3 => ClusterCommand::Place {
            key: ActorKey::Fusion(6),
            expect: Epoch(4),
            node,
            boot,
        },
        4 => ClusterCommand::HandOver {
            key: ActorKey::Placement,
            expect: Epoch(4),
            node,
            boot,
        },
        5 => ClusterCommand::ActivateVersion { version: 2 },
        6 => ClusterCommand::Enrol {
            node,
            incarnation: INCARNATION,
            address: "127.0.0.1:7401".to_owned(),
        },
        7 => ClusterCommand::Restore {
            cluster: ClusterId([8; 16]),
            former: CLUSTER,
            size: 9,
            root: Digest([0xd0; 32]),
        },
        _ => return None,
    };
    let name = match &body {
        ClusterCommand::Found { .. } => "found",
        ClusterCommand::NodeUp { .. } => "node_up",
        ClusterCommand::NodeDown { .. } => "node_down",
        ClusterCommand::Place { .. } => "place",
        ClusterCommand::HandOver { .. } => "hand_over",
        ClusterCommand::ActivateVersion { .. } => "activate_version",
        ClusterCommand::Enrol { .. } => "enrol",
        ClusterCommand::Restore { .. } => "restore",
    };
    Some((name, body))
}

fn external(request: &str, body: ExternalBody) -> CommandBody {
    CommandBody::External(ExternalCommand {
        source: SourceId::new("tos").expect("a label"),
        request: RequestId::new(request).expect("a label"),
        principal: Principal::new("officer-7").expect("a label"),
        body,
    })
}

fn commands() -> Vec<(String, Command)> {
    let command = |body| Command {
        at: AT,
        traceparent: "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01".to_owned(),
        body,
    };
    let externals = (0..)
        .map_while(external_body)
        .map(|(name, body)| (name, external("r-1", body)));
    let actors = (0..).map_while(actor_body).map(|(name, body)| {
        let command = ActorCommand {
            key: lane_key(),
            epoch: Epoch(4),
            sequence: Sequence(9),
            body,
        };
        (name, CommandBody::Actor(command))
    });
    let clusters = (0..)
        .map_while(cluster_command)
        .map(|(name, body)| (name, CommandBody::Cluster(body)));
    externals
        .chain(actors)
        .chain(clusters)
        .map(|(name, body)| (name.to_owned(), command(body)))
        .collect()
}

/// A small port with something in every part of the ledger: a concluded and a waiting container, a fenced command,
/// answers that expire, one that expired, personal fields, marks of devices.
fn ledger() -> Ledger {
    let mut ledger = Ledger::new();
    let mut at = AT;
    let mut run = |ledger: &mut Ledger, body: CommandBody| {
        at = at.plus_millis(1000);
        ledger.apply(Command {
            at,
            traceparent: String::new(),
            body,
        });
    };
    let cluster = CommandBody::Cluster;
    let place = |ledger: &Ledger, key: ActorKey| {
        CommandBody::Cluster(ClusterCommand::Place {
            expect: ledger.placement(&key).map_or(Epoch::NONE, |home| home.epoch),
            key,
            node: NodeId(1),
            boot: BootId(101),
        })
    };
    run(
        &mut ledger,
        cluster(ClusterCommand::Found {
            cluster: CLUSTER,
            policy: Policy {
                manifest_models: Vec::new(),
                ..policy()
            },
        }),
    );
    run(
        &mut ledger,
        cluster(ClusterCommand::NodeUp {
            node: NodeId(1),
            boot: BootId(101),
            expect: None,
            capacity: 100,
            version: 1,
        }),
    );
    let enrol = ClusterCommand::Enrol {
        node: NodeId(1),
        incarnation: INCARNATION,
        address: "127.0.0.1:7401".to_owned(),
    };
    run(&mut ledger, cluster(enrol));
    run(&mut ledger, external("r-1", ExternalBody::DefineLane(lane_spec())));
    run(&mut ledger, external("r-m", ExternalBody::AddModel(model())));
    let reason = "narcotics by a model".to_owned();
    let adopt = ExternalBody::AdoptPolicy {
        policy: policy(),
        reason,
    };
    run(&mut ledger, external("r-p", adopt));
    run(&mut ledger, external("r-2", ExternalBody::Announce(announcement())));
    let no = ledger.open_inspection(&equipment()).expect("it was announced").no;
    let fusion = ActorKey::Fusion(shard_of(no));
    for key in [lane_key(), scheduler_key(), fusion.clone()] {
        let body = place(&ledger, key);
        run(&mut ledger, body);
    }
    let epoch = |ledger: &Ledger, key: &ActorKey| ledger.placement(key).map_or(Epoch::NONE, |home| home.epoch);
    let ask = |ledger: &Ledger, key: &ActorKey, sequence, body| {
        CommandBody::Actor(ActorCommand {
            key: key.clone(),
            epoch: epoch(ledger, key),
            sequence: Sequence(sequence),
            body,
        })
    };
    let steps = [
        (
            fusion.clone(),
            ActorBody::Profile {
                inspection: no,
                evidence: manifest_evidence(),
            },
        ),
        (lane_key(), ActorBody::Claim { inspection: no }),
        (lane_key(), ActorBody::StartPass { inspection: no }),
        (
            lane_key(),
            ActorBody::RecordEvidence {
                inspection: no,
                pass: PassNo(1),
                evidence: vec![radiation_evidence(1)],
                completes_pass: true,
            },
        ),
    ];
    for (index, (key, body)) in steps.into_iter().enumerate() {
        let command = ask(&ledger, &key, index as u64 + 1, body);
        run(&mut ledger, command);
    }
    let case = ledger.inspection(no).expect("it was announced").clone();
    let (digest, rules) = ledger.policy().expect("a policy is active");
    let body = ActorBody::Conclude {
        inspection: no,
        policy: digest,
        evidence: case.evidence_set(),
        verdict: ledger.verdict_of(&case, rules),
    };
    let command = ask(&ledger, &fusion, 2, body);
    run(&mut ledger, command);
    let old = CommandBody::Actor(ActorCommand {
        key: lane_key(),
        epoch: Epoch(1),
        sequence: Sequence(1),
        body: ActorBody::StartPass { inspection: no },
    });
    run(&mut ledger, old);
    // A day later another container comes, and the first lane's definition is no longer a kept answer.
    ledger.apply(Command {
        at: AT.plus_millis(25 * 3_600_000),
        traceparent: String::new(),
        body: external(
            "r-3",
            ExternalBody::Announce(Announcement {
                equipment: EquipmentId::new("DM1234").expect("an id"),
                ready_at: None,
                due_at: Some(AT),
                ..announcement()
            }),
        ),
    });
    ledger.apply(Command {
        at: AT.plus_millis(25 * 3_600_000),
        traceparent: String::new(),
        body: external("r-4", ExternalBody::CloseLane { lane: LANE }),
    });
    ledger
}

// Comparing with the files.

/// Compares values with the lines `name hex` of a file, both ways.
fn compare<T: Canonical + PartialEq + Debug>(file: &str, values: &[(String, T)]) {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR"))
        .join("tests/golden")
        .join(file);
    let lines: Vec<String> = values
        .iter()
        .map(|(name, value)| format!("{name} {}", hex::encode(to_bytes(value))))
        .collect();
    if std::env::var_os("PORTCULLIS_BLESS").is_some() {
        std::fs::write(&path, lines.join("\n") + "\n").expect("a golden file can be rewritten");
    }
    let written = std::fs::read_to_string(&path).expect("a golden file is there");
    let written: Vec<&str> = written.lines().collect();
    assert_eq!(written.len(), lines.len(), "{file} has a line for each value");
    for ((line, (name, value)), now) in written.iter().zip(values).zip(&lines) {
        assert_eq!(line, now, "{file}: the bytes of {name} are not what they were");
        let (_, digits) = line.split_once(' ').expect("a line is a name and hex");
        let bytes = hex::decode(digits).expect("hex");
        let back: T = from_bytes(&bytes).expect("golden bytes decode");
        assert_eq!(&back, value, "{file}: {name} decodes to another value");
    }
}

/// Damages bytes in every place: decoding must answer, and what it accepts must have exactly these bytes.
fn damage<T: Canonical>(name: &str, bytes: &[u8]) {
    for end in 0..bytes.len() {
        assert!(
            from_bytes::<T>(&bytes[..end]).is_err(),
            "{name} decodes from its first {end} bytes"
        );
    }
    let mut longer = bytes.to_vec();
    longer.push(0);
    assert!(from_bytes::<T>(&longer).is_err(), "{name} decodes with a byte too many");
    for at in 0..bytes.len() {
        for flip in [0x01, 0x02, 0x80, 0xff] {
            let mut damaged = bytes.to_vec();
            damaged[at] ^= flip;
            if let Ok(value) = from_bytes::<T>(&damaged) {
                assert_eq!(
                    to_bytes(&value),
                    damaged,
                    "{name} with byte {at} ^ {flip:#x} has two encodings"
                );
            }
        }
    }
}

#[test]
fn leaves_of_every_event_have_the_bytes_they_always_had() {
    let leaves = leaves();
    let kinds: BTreeSet<usize> = leaves.iter().map(|(_, leaf)| kind_of_event(&leaf.event)).collect();
    assert_eq!(kinds.len(), leaves.len(), "each kind once");
    assert_eq!(kinds.last(), Some(&(leaves.len() - 1)), "no kind is missing");
    compare("leaves.hex", &leaves);
}

#[test]
fn commands_of_every_kind_have_the_bytes_they_always_had() {
    let commands = commands();
    assert_eq!(commands.len(), 31);
    compare("commands.hex", &commands);
}

#[test]
fn a_snapshot_has_the_bytes_it_always_had() {
    let ledger = ledger();
    assert_eq!(ledger.inspection_count(), 2);
    assert_eq!(ledger.fenced(), 1);
    assert!(ledger.device_mark(&device("l3-radiation")).is_some());
    let first = ledger.inspections_from(InspectionNo(0)).next().expect("there is one");
    assert!(first.conclusion.is_some());
    assert!(ledger.charts().get(&ChartKey::Share(Share::Unseen)).is_some());
    assert!(!ledger.personal(first.no).is_empty());
    compare("snapshot.hex", &[("ledger".to_owned(), ledger)]);
}

#[test]
fn the_log_holds_no_personal_value_and_the_snapshot_does() {
    let name = b"Example Trading";
    let holds = |bytes: &[u8]| bytes.windows(name.len()).any(|part| part == name);
    assert!(leaves().iter().all(|(_, leaf)| !holds(&leaf.bytes())));
    assert!(holds(&to_bytes(&ledger())));
}

#[test]
fn damaged_leaves_are_refused_or_are_other_leaves() {
    for (name, leaf) in leaves() {
        damage::<Leaf>(&name, &leaf.bytes());
    }
}

#[test]
fn damaged_commands_are_refused_or_are_other_commands() {
    for (name, command) in commands() {
        damage::<Command>(&name, &to_bytes(&command));
    }
}

#[test]
fn damaged_snapshots_are_refused_or_are_other_snapshots() {
    damage::<Ledger>("ledger", &to_bytes(&ledger()));
}
