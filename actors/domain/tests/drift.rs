//! A port whose policy watches for drift: what the ledger notices, what follows from it, and what takes it back.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use portcullis_domain::codec::{from_bytes, to_bytes};
use portcullis_domain::command::{
    ActorBody, ActorCommand, ClusterCommand, Command, CommandBody, ExternalBody, ExternalCommand,
};
use portcullis_domain::drift::{ChartKey, Trend};
use portcullis_domain::equipment::EquipmentId;
use portcullis_domain::event::{Actor, Event, Leaf};
use portcullis_domain::evidence::{Ability, Evidence, Modality, ReadingRange, Step, ThreatFamily, Weights};
use portcullis_domain::fusion::{Reason, Verdict};
use portcullis_domain::id::{
    BootId, ClusterId, DeviceId, Digest, Epoch, InspectionNo, LaneId, NodeId, PassNo, Principal, RequestId, SampleNo,
    Sequence, SourceId, TerminalId, Timestamp,
};
use portcullis_domain::inspection::Ruling;
use portcullis_domain::lane::{DeviceKind, DeviceSpec, LaneSpec};
use portcullis_domain::ledger::Ledger;
use portcullis_domain::manifest::{Announcement, Manifest};
use portcullis_domain::outcome::{Answer, Outcome, Refusal, RefusalReason};
use portcullis_domain::placement::{ActorKey, FUSION_SHARDS, shard_of};
use portcullis_domain::policy::{Policy, Share, ShareReference, Tier, Watch, WeightReference};

const LANES: [LaneId; 2] = [LaneId(1), LaneId(2)];
/// What the portals say of a container while all is well, milli-decibans for nuclear material.
const USUAL: i32 = -3_000;

fn portal(lane: LaneId) -> DeviceId {
    DeviceId::new(format!("portal-{}", lane.0)).unwrap()
}

fn chart(lane: LaneId) -> ChartKey {
    ChartKey::Device(portal(lane))
}

fn policy(port_tier: Tier) -> Policy {
    let weight = |modality, mean| WeightReference {
        modality,
        low: -9_000,
        high: 9_000,
        mean,
        deviation: 1_000,
        rise_toll: 31_250,
        fall_toll: 31_250,
    };
    Policy {
        name: "watching".to_owned(),
        required: Vec::new(),
        watch: Some(Watch {
            shift_permille: 250,
            limit: 14_000_000,
            weights: vec![weight(Modality::Manifest, 0), weight(Modality::Radiation, USUAL)],
            shares: vec![ShareReference {
                share: Share::Held,
                ppm: 100_000,
                hit: 405_465,
                toll: 57_158,
            }],
            device_tier: Tier::Review,
            port_tier,
        }),
        ..Policy::first()
    }
}

fn lane_spec(id: LaneId, portal: DeviceId) -> LaneSpec {
    LaneSpec {
        id,
        terminal: TerminalId::new("T1").unwrap(),
        devices: vec![DeviceSpec {
            id: portal,
            kind: DeviceKind::Sensor(Modality::Radiation),
            public_key: [7; 32],
        }],
        nodes: Vec::new(),
        usual_pass_s: 90,
        scheduled: false,
    }
}

struct Port {
    ledger: Ledger,
    leaves: Vec<Leaf>,
    now: Timestamp,
    sequences: Vec<u64>,
    count: u64,
    /// What the manifests say, for narcotics.
    declared: i32,
}

impl Port {
    fn new(port_tier: Tier) -> Self {
        let mut port = Self {
            ledger: Ledger::new(),
            leaves: Vec::new(),
            now: Timestamp(1_767_225_600_000),
            sequences: vec![0; 256 + LANES.len() + 1],
            count: 0,
            declared: 0,
        };
        let (node, boot) = (NodeId(1), BootId(1));
        port.cluster(ClusterCommand::Found {
            cluster: ClusterId([7; 16]),
            policy: policy(port_tier),
        });
        port.cluster(ClusterCommand::NodeUp {
            node,
            boot,
            expect: None,
            capacity: 1,
            version: 1,
        });
        for lane in LANES {
            port.external(ExternalBody::DefineLane(lane_spec(lane, portal(lane))))
                .unwrap();
        }
        for key in (0..FUSION_SHARDS)
            .map(ActorKey::Fusion)
            .chain(LANES.map(ActorKey::Lane))
        {
            port.cluster(ClusterCommand::Place {
                key,
                expect: Epoch::NONE,
                node,
                boot,
            });
        }
        port
    }

    fn run(&mut self, body: CommandBody) -> Result<Answer, Refusal> {
        self.now = self.now.plus_millis(1_000);
        let application = self.ledger.apply(Command {
            at: self.now,
            traceparent: String::new(),
            body,
        });
        let outcome = application.outcome.clone();
        self.leaves.extend(application.into_entries().map(|entry| entry.leaf()));
        match outcome {
            Outcome::Applied(applied) => Ok(applied.answer),
            Outcome::Refused(refusal) => Err(refusal),
        }
    }

    fn cluster(&mut self, command: ClusterCommand) {
        self.run(CommandBody::Cluster(command)).unwrap();
    }

    fn external(&mut self, body: ExternalBody) -> Result<Answer, Refusal> {
        self.count += 1;
        self.run(CommandBody::External(ExternalCommand {
            source: SourceId::new("tos-1").unwrap(),
            request: RequestId::new(format!("0198c2d4-7a1b-7000-8000-{:012x}", self.count)).unwrap(),
            principal: Principal::new("metrology").unwrap(),
            body,
        }))
    }

    fn actor(&mut self, key: ActorKey, body: ActorBody) -> Result<Answer, Refusal> {
        let which = match &key {
            ActorKey::Fusion(shard) => usize::from(*shard),
            ActorKey::Lane(lane) => 256 + lane.0 as usize,
            other => panic!("{other} has no part in this"),
        };
        self.sequences[which] += 1;
        let command = ActorCommand {
            epoch: self.ledger.placement(&key).unwrap().epoch,
            key,
            sequence: Sequence(self.sequences[which]),
            body,
        };
        self.run(CommandBody::Actor(command))
    }

    /// A container passes a lane whose portal says this of it; its conclusion is outstanding.
    fn scan(&mut self, lane: LaneId, weight: i32) -> InspectionNo {
        let equipment = EquipmentId::new(&format!("ABCU{:07}", self.count)).unwrap();
        let announced = self.external(ExternalBody::Announce(Announcement {
            equipment,
            terminal: TerminalId::new("T1").unwrap(),
            ready_at: None,
            due_at: None,
            priority: 0,
            manifest: Manifest::default(),
            findings: Vec::new(),
        }));
        let Ok(Answer::Inspection { inspection, .. }) = announced else {
            panic!("{announced:?}")
        };
        let evidence = |sample, weights, readings, modality| Evidence {
            modality,
            readings,
            digest: Digest([1; 32]),
            interpreter: "test/1".to_owned(),
            captured_at: self.now,
            findings: Vec::new(),
            steps: vec![Step {
                sample: SampleNo(sample),
                ability: Ability::Clear,
                weights,
            }],
        };
        let declared = Weights::ZERO.with(ThreatFamily::Narcotics, self.declared);
        let manifest = evidence(0, declared, None, Modality::Manifest);
        let range = ReadingRange {
            device: portal(lane),
            boot: 1,
            first: self.count * 10,
            last: self.count * 10 + 9,
        };
        let seen = Weights::ZERO.with(ThreatFamily::Nuclear, weight);
        let radiation = evidence(3, seen, Some(range), Modality::Radiation);
        let body = ActorBody::Profile {
            inspection,
            evidence: manifest,
        };
        self.actor(ActorKey::Fusion(shard_of(inspection)), body).unwrap();
        for body in [
            ActorBody::Claim { inspection },
            ActorBody::StartPass { inspection },
            ActorBody::RecordEvidence {
                inspection,
                pass: PassNo(1),
                evidence: vec![radiation],
                completes_pass: true,
            },
        ] {
            self.actor(ActorKey::Lane(lane), body).unwrap();
        }
        inspection
    }

    fn verdict(&self, inspection: InspectionNo) -> Verdict {
        let case = self.ledger.inspection(inspection).unwrap();
        self.ledger.verdict_of(case, self.ledger.policy().unwrap().1)
    }

    fn conclude(&mut self, inspection: InspectionNo, verdict: Verdict) -> Result<Answer, Refusal> {
        let body = ActorBody::Conclude {
            inspection,
            policy: self.ledger.policy().unwrap().0,
            evidence: self.ledger.inspection(inspection).unwrap().evidence_set(),
            verdict,
        };
        self.actor(ActorKey::Fusion(shard_of(inspection)), body)
    }

    /// A container comes, is judged and leaves. Returns the verdict on it.
    fn visit(&mut self, lane: LaneId, weight: i32) -> Verdict {
        let inspection = self.scan(lane, weight);
        let verdict = self.verdict(inspection);
        self.conclude(inspection, verdict.clone()).unwrap();
        if verdict.tier != Tier::Release {
            let reason = "looked at".to_owned();
            let ruling = Ruling::Release;
            self.external(ExternalBody::Adjudicate {
                inspection,
                ruling,
                reason,
            })
            .unwrap();
        }
        let equipment = self.ledger.inspection(inspection).unwrap().equipment.clone();
        self.external(ExternalBody::ReportDeparture { equipment }).unwrap();
        verdict
    }

    /// Visits by weights that swing around a mean, until a chart alarms; how many that took.
    fn until_alarm(&mut self, lane: LaneId, mean: i32, most: u64) -> Option<u64> {
        let before = self.ledger.charts().adrift().len();
        (1..=most).find(|number| {
            let swing = [-1_000, 0, 1_000][(*number % 3) as usize];
            self.visit(lane, mean + swing);
            self.ledger.charts().adrift().len() > before
        })
    }

    fn reset(&mut self, chart: ChartKey, reason: &str) -> Result<Answer, Refusal> {
        let reason = reason.to_owned();
        self.external(ExternalBody::ResetChart { chart, reason })
    }
}

fn drifting(verdict: &Verdict) -> bool {
    verdict
        .reasons
        .iter()
        .any(|reason| matches!(reason, Reason::Drifting { .. }))
}

#[test]
fn a_steady_device_never_alarms_and_one_that_shifts_sends_what_rests_on_it_to_review() {
    let mut port = Port::new(Tier::Review);
    assert_eq!(port.until_alarm(LANES[0], USUAL, 2_000), None);
    assert_eq!(port.visit(LANES[0], USUAL).tier, Tier::Release);

    // Two deviations: 0.25 x 2 - 0.03125 nats a container, so 14 nats in 30.
    let after = port.until_alarm(LANES[0], USUAL - 2_000, 60).unwrap();
    assert!((25..40).contains(&after), "{after}");
    let adrift = port.ledger.charts().standing(&chart(LANES[0])).unwrap().clone();
    assert_eq!((adrift.alarm.trend, adrift.alarm.lane), (Trend::Falls, Some(LANES[0])));
    assert_eq!(
        (adrift.alarm.after, adrift.alarm.modality),
        (2_001 + after, Some(Modality::Radiation))
    );

    // The log says so right after the conclusion that raised it, under its number.
    let at = port
        .leaves
        .iter()
        .position(|leaf| leaf.event.kind() == "drift_alarmed")
        .unwrap();
    let (before, alarm) = (&port.leaves[at - 1], &port.leaves[at]);
    assert_eq!((at as u64, before.number), (adrift.entry.0, alarm.number));
    assert_eq!(alarm.actor, Actor::Cluster);
    assert_eq!(alarm.event.subjects().lane, Some(LANES[0]));
    match (&before.event, &alarm.event) {
        (
            Event::Concluded {
                inspection, verdict, ..
            },
            Event::DriftAlarmed { alarm },
        ) => {
            assert_eq!((alarm, *inspection), (&adrift.alarm, adrift.alarm.inspection));
            assert!(!drifting(verdict));
        }
        other => panic!("{other:?}"),
    }

    // What rests on it is reviewed, what another device saw is not.
    let reviewed = port.visit(LANES[0], USUAL);
    let expected = Reason::Drifting {
        chart: chart(LANES[0]),
        tier: Tier::Review,
    };
    assert_eq!((reviewed.tier, reviewed.reasons), (Tier::Review, vec![expected]));
    assert_eq!(port.visit(LANES[1], USUAL).tier, Tier::Release);
    // The reviews that drift causes are no reason to find that more containers are held.
    assert_eq!(port.until_alarm(LANES[0], USUAL, 500), None);
}

#[test]
fn a_chart_is_reset_by_somebody_with_a_name_and_a_reason() {
    let mut port = Port::new(Tier::Review);
    let refused = port.reset(chart(LANES[0]), "checked").unwrap_err();
    assert_eq!(
        (refused.reason, refused.field.as_str()),
        (RefusalReason::UnknownChart, "chart")
    );
    port.visit(LANES[0], USUAL);
    let before = port.ledger.log().size();
    assert_eq!(port.reset(chart(LANES[0]), "checked"), Ok(Answer::Done));
    assert_eq!(
        port.ledger.log().size(),
        before,
        "a silent chart keeps what it has seen"
    );

    port.until_alarm(LANES[0], USUAL + 2_000, 60).unwrap();
    let refused = port.reset(chart(LANES[0]), " ").unwrap_err();
    assert_eq!(
        (refused.reason, refused.field.as_str()),
        (RefusalReason::InvalidArgument, "reason")
    );
    assert!(drifting(&port.visit(LANES[0], USUAL)));
    port.reset(chart(LANES[0]), "new crystal, checked with Cs-137").unwrap();
    let leaf = port.leaves.last().unwrap();
    assert_eq!(leaf.event.kind(), "chart_reset");
    assert!(leaf.actor.to_string().starts_with("metrology"));
    assert_eq!(port.visit(LANES[0], USUAL).tier, Tier::Release);
    assert_eq!(port.ledger.charts().get(&chart(LANES[0])).unwrap().seen, 1);
}

#[test]
fn a_new_policy_resets_every_chart() {
    let mut port = Port::new(Tier::Review);
    port.until_alarm(LANES[0], USUAL - 2_000, 60).unwrap();
    let policy = Policy {
        name: "learned again".to_owned(),
        ..policy(Tier::Review)
    };
    let reason = "recalibrated".to_owned();
    port.external(ExternalBody::AdoptPolicy { policy, reason }).unwrap();
    assert_eq!(port.ledger.charts().iter().count(), 0);
    assert_eq!(port.visit(LANES[0], USUAL).tier, Tier::Release);
}

#[test]
fn a_verdict_from_before_an_alarm_is_refused_and_judged_again() {
    let mut port = Port::new(Tier::Review);
    let waiting = port.scan(LANES[0], USUAL);
    let verdict = port.verdict(waiting);
    assert_eq!(verdict.tier, Tier::Release);
    // The other lane brings about an alarm of the whole port meanwhile.
    port.declared = 2_000;
    port.until_alarm(LANES[1], USUAL, 60).unwrap();
    assert_eq!(port.ledger.charts().adrift(), [ChartKey::Declarations]);
    let refused = port.conclude(waiting, verdict).unwrap_err();
    assert_eq!(refused.reason, RefusalReason::DriftChanged);
    let verdict = port.verdict(waiting);
    assert_eq!(verdict.tier, Tier::Review);
    // And the other way round.
    port.reset(ChartKey::Declarations, "a new trade lane").unwrap();
    let refused = port.conclude(waiting, verdict).unwrap_err();
    assert_eq!(refused.reason, RefusalReason::DriftChanged);
    assert!(port.conclude(waiting, port.verdict(waiting)).is_ok());
}

#[test]
fn a_policy_may_leave_it_at_the_alarm_for_the_whole_port() {
    let mut port = Port::new(Tier::Release);
    port.declared = 2_000;
    port.until_alarm(LANES[0], USUAL, 60).unwrap();
    assert_eq!(port.ledger.charts().adrift(), [ChartKey::Declarations]);
    assert_eq!(port.visit(LANES[0], USUAL).reasons, [Reason::NothingAgainst]);
}

#[test]
fn replicas_snapshots_and_auditors_have_the_same_charts() {
    let mut port = Port::new(Tier::Review);
    port.until_alarm(LANES[0], USUAL - 2_000, 60).unwrap();
    for _ in 0..5 {
        port.visit(LANES[1], USUAL + 500);
    }
    let charts = port.ledger.charts().clone();
    assert_eq!((charts.iter().count(), charts.adrift().len()), (4, 1));
    let bytes = to_bytes(&port.ledger);
    let mut restored: Ledger = from_bytes(&bytes).unwrap();
    assert_eq!(restored, port.ledger);
    let mut auditor = Ledger::new();
    let mut due = Vec::new();
    for leaf in port.leaves.clone() {
        match &leaf.event {
            Event::DriftAlarmed { alarm } => {
                assert_eq!(due.remove(0), *alarm, "an auditor knows which alarms must follow")
            }
            _ => assert_eq!(due, [], "and that none is left out"),
        }
        due.extend(auditor.replay(leaf));
    }
    assert_eq!((auditor.charts(), auditor.log()), (&charts, port.ledger.log()));
    // Both go on alike.
    std::mem::swap(&mut restored, &mut port.ledger);
    port.until_alarm(LANES[1], USUAL + 2_000, 60).unwrap();
    assert_eq!(port.ledger.charts().adrift().len(), 2);
}

#[test]
fn charts_of_devices_that_no_lane_has_any_more_are_forgotten() {
    let mut port = Port::new(Tier::Review);
    port.until_alarm(LANES[0], USUAL - 2_000, 60).unwrap();
    let other = DeviceId::new("portal-3").unwrap();
    port.external(ExternalBody::DefineLane(lane_spec(LANES[0], other)))
        .unwrap();
    assert_eq!(port.ledger.charts().get(&chart(LANES[0])), None);
    assert_eq!(port.ledger.charts().adrift(), []);
}
