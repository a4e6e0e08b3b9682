//! Histories: sequences of commands over few containers, lanes, nodes and epochs, mostly as honest actors would send
//! them, with repetitions, late arrivals, old epochs, lost nodes and wrong claims among them.

use std::collections::BTreeMap;

use portcullis_domain::command::{
    AbortCause, ActorBody, ActorCommand, ClusterCommand, Command, CommandBody, ExternalBody, ExternalCommand,
};
use portcullis_domain::drift::ChartKey;
use portcullis_domain::equipment::EquipmentId;
use portcullis_domain::evidence::{Ability, Evidence, Modality, Noted, ReadingRange, Step, ThreatFamily, Weights};
use portcullis_domain::finding::{Finding, FindingCode};
use portcullis_domain::id::{
    BootId, ClusterId, CommandNo, DeviceId, Digest, Epoch, Incarnation, LaneId, NodeId, PassNo, Principal, RequestId,
    SampleNo, Sequence, SourceId, TerminalId, Timestamp,
};
use portcullis_domain::inspection::{Inspection, Ruling, Stage};
use portcullis_domain::lane::{DeviceKind, DeviceSpec, LaneSpec};
use portcullis_domain::ledger::{Application, Ledger};
use portcullis_domain::manifest::{Announcement, Document, GoodsItem, Manifest, Party, PartyRole, Personal};
use portcullis_domain::model::Model;
use portcullis_domain::placement::{ActorKey, shard_of};
use portcullis_domain::policy::{ManifestModel, Policy, Share, ShareReference, Tier, Watch, WeightReference};
use proptest::prelude::*;

/// One draw: what kind of step, and three numbers that say about what.
pub(crate) type Draw = (u8, u8, u8, u8);

/// One step of a history.
#[derive(Debug, Clone)]
pub(crate) struct Turn {
    /// The command.
    pub(crate) command: Command,
    /// What came of it.
    pub(crate) application: Application,
    /// The state before it.
    pub(crate) before: Ledger,
    /// The state after it.
    pub(crate) after: Ledger,
}

/// A history that happened.
#[derive(Debug, Clone)]
pub(crate) struct History {
    /// Its steps.
    pub(crate) turns: Vec<Turn>,
}

impl History {
    /// Every command, in order.
    pub(crate) fn commands(&self) -> impl Iterator<Item = &Command> {
        self.turns.iter().map(|turn| &turn.command)
    }

    /// The bytes of every leaf, in order.
    pub(crate) fn leaves(&self) -> Vec<Vec<u8>> {
        self.turns
            .iter()
            .flat_map(|turn| turn.application.clone().into_entries())
            .map(|entry| entry.bytes)
            .collect()
    }

    /// The state at its end.
    pub(crate) fn end(&self) -> Ledger {
        self.turns.last().map_or_else(Ledger::new, |turn| turn.after.clone())
    }
}

/// Histories of up to `longest` draws.
pub(crate) fn histories(longest: usize) -> impl Strategy<Value = History> {
    proptest::collection::vec(any::<Draw>(), 0..longest).prop_map(|draws| play(&draws))
}

const BOXES: [&str; 4] = ["MSKU1234565", "TEMU3412100", "CONU1234567", "DM1234"];
const START: u64 = 1_767_225_600_000;

fn play(draws: &[Draw]) -> History {
    let mut driver = Driver::new();
    driver.set_up();
    for draw in draws {
        driver.step(*draw);
    }
    History { turns: driver.turns }
}

struct Driver {
    ledger: Ledger,
    now: u64,
    turns: Vec<Turn>,
    late: Vec<CommandBody>,
    epochs: BTreeMap<ActorKey, Vec<Epoch>>,
    sequences: BTreeMap<(ActorKey, Epoch), u64>,
    readings: BTreeMap<DeviceId, u64>,
    boots: u64,
    requests: u64,
}

impl Driver {
    fn new() -> Self {
        Self {
            ledger: Ledger::new(),
            now: START,
            turns: Vec::new(),
            late: Vec::new(),
            epochs: BTreeMap::new(),
            sequences: BTreeMap::new(),
            readings: BTreeMap::new(),
            boots: 0,
            requests: 0,
        }
    }

    fn set_up(&mut self) {
        let found = ClusterCommand::Found {
            cluster: ClusterId([9; 16]),
            policy: policy(0),
        };
        self.cluster(found);
        for node in 1..=3 {
            self.node_up(NodeId(node));
        }
        for lane in 1..=3 {
            self.external(0, ExternalBody::DefineLane(lane_spec(lane)));
            self.give_home(&ActorKey::Lane(LaneId(lane)), u64::from(lane));
        }
        self.give_home(&scheduler(), 1);
    }

    /// Most draws move one container on by one honest step; the others disturb.
    fn step(&mut self, (kind, a, b, c): Draw) {
        self.now += u64::from(c % 8) * 250;
        match kind {
            0..=149 => self.advance(a, b, c),
            150..=164 => self.repeat(a, b),
            165..=172 => self.old_epoch(a, b, c),
            173..=180 => self.arrive_late(a),
            181..=188 => self.lose_node(a, b),
            189..=196 => self.place_again(a, b),
            197..=204 => self.abort(a, b),
            205..=212 => self.more_evidence(a, b, c),
            213..=220 => self.wrong_conclusion(a, b, c),
            221..=226 => self.announce(a, b, c),
            227..=232 => self.change_lane(a, b),
            233..=237 => self.change_policy(a),
            238..=242 => self.adjudicate(a, b),
            243..=246 => self.claim(a, b),
            247..=249 => self.now += 3_600_000 * u64::from(b),
            250..=251 => self.now = self.now.saturating_sub(u64::from(b) * 1000),
            _ => self.nonsense(a, b, c),
        }
    }

    // What commands go through.

    fn run(&mut self, body: CommandBody) {
        let command = Command {
            at: Timestamp(self.now),
            traceparent: String::new(),
            body,
        };
        let before = self.ledger.clone();
        let application = self.ledger.apply(command.clone());
        if let CommandBody::Cluster(ClusterCommand::Place { key, .. } | ClusterCommand::HandOver { key, .. }) =
            &command.body
            && application.entry.is_some()
            && let Some(placement) = self.ledger.placement(key)
        {
            let epochs = self.epochs.entry(key.clone()).or_default();
            epochs.push(placement.epoch);
        }
        self.turns.push(Turn {
            command,
            application,
            before,
            after: self.ledger.clone(),
        });
    }

    fn cluster(&mut self, body: ClusterCommand) {
        self.run(CommandBody::Cluster(body));
    }

    fn external(&mut self, source: u8, body: ExternalBody) {
        self.requests += 1;
        let source = ["tos", "customs"][usize::from(source % 2)];
        self.run(CommandBody::External(ExternalCommand {
            source: SourceId::new(source).expect("a label"),
            request: RequestId::new(format!("r{}", self.requests)).expect("a label"),
            principal: Principal::new("officer-7").expect("a label"),
            body,
        }));
    }

    fn actor(&mut self, key: ActorKey, body: ActorBody) {
        let live = self.ledger.placement(&key).is_some_and(|home| home.live);
        if !live {
            // Honest actors that nobody runs ask nothing: they get a home first.
            self.give_home(&key, 2);
        }
        let command = self.numbered(key, body);
        self.run(CommandBody::Actor(command));
    }

    fn numbered(&mut self, key: ActorKey, body: ActorBody) -> ActorCommand {
        let epoch = self.epoch(&key);
        let next = self.sequences.entry((key.clone(), epoch)).or_insert(0);
        *next += 1;
        ActorCommand {
            sequence: Sequence(*next),
            key,
            epoch,
            body,
        }
    }

    fn epoch(&self, key: &ActorKey) -> Epoch {
        let placement = self.ledger.placement(key);
        placement.map_or(Epoch::NONE, |placement| placement.epoch)
    }

    fn node_up(&mut self, node: NodeId) {
        self.boots += 1;
        let body = ClusterCommand::NodeUp {
            node,
            boot: BootId(self.boots),
            expect: self.ledger.node(node).map(|record| record.boot),
            capacity: 100,
            version: 1,
        };
        self.cluster(body);
    }

    fn give_home(&mut self, key: &ActorKey, wish: u64) {
        let up: Vec<(NodeId, BootId)> = self
            .ledger
            .nodes()
            .filter(|(_, record)| record.up)
            .map(|(node, record)| (node, record.boot))
            .collect();
        let wanted = up.iter().find(|(node, _)| node.0 == wish);
        let Some((node, boot)) = wanted.or(up.first()).copied() else {
            return self.node_up(NodeId(wish));
        };
        self.cluster(ClusterCommand::Place {
            key: key.clone(),
            expect: self.epoch(key),
            node,
            boot,
        });
    }

    fn case(&self, which: u8) -> Option<Inspection> {
        let equipment = equipment(which);
        let open = self.ledger.open_inspection(&equipment);
        open.map(|case| (**case).clone())
    }

    // Honest steps.

    fn advance(&mut self, a: u8, b: u8, c: u8) {
        let Some(case) = self.case(a) else {
            return self.announce(a, b, c);
        };
        let inspection = case.no;
        let fusion = ActorKey::Fusion(shard_of(inspection));
        match case.stage {
            Stage::Announced => {
                let evidence = evidence(Modality::Manifest, None, self.now, b, c);
                let body = ActorBody::Profile { inspection, evidence };
                self.actor(fusion, body);
            }
            Stage::Profiled => self.actor(scheduler(), ActorBody::Enqueue { inspection }),
            Stage::Queued => {
                let most = self.ledger.policy().map_or(1, |(_, policy)| policy.passes_max);
                if case.passes.0 >= most {
                    return self.conclude(&case);
                }
                let lane = LaneId(1 + u32::from(b % 3));
                let body = ActorBody::Assign {
                    inspection,
                    expect: case.version,
                    lane,
                    lane_epoch: self.epoch(&ActorKey::Lane(lane)),
                };
                self.actor(scheduler(), body);
            }
            Stage::Assigned { lane } => {
                self.actor(ActorKey::Lane(lane), ActorBody::StartPass { inspection });
            }
            Stage::InPass { lane } if !case.pass_complete => {
                let evidence = self.evidence_of(lane, b, c);
                let body = ActorBody::RecordEvidence {
                    inspection,
                    pass: case.passes,
                    evidence,
                    completes_pass: !c.is_multiple_of(4),
                };
                self.actor(ActorKey::Lane(lane), body);
            }
            Stage::InPass { .. } => self.conclude(&case),
            Stage::Released | Stage::Seized => {
                let equipment = case.equipment;
                self.external(0, ExternalBody::ReportDeparture { equipment });
            }
            Stage::UnderReview | Stage::Held => self.adjudicate(a, b),
            Stage::Departed => {}
        }
    }

    fn conclude(&mut self, case: &Inspection) {
        let Some((policy, rules)) = self.ledger.policy() else {
            return;
        };
        let mut ahead = self.ledger.clone();
        ahead.apply(Command {
            at: Timestamp(self.now),
            traceparent: String::new(),
            body: CommandBody::Cluster(ClusterCommand::ActivateVersion { version: 0 }),
        });
        let body = ActorBody::Conclude {
            inspection: case.no,
            policy,
            evidence: case.evidence_set(),
            verdict: ahead.verdict_of(case, rules),
        };
        self.actor(ActorKey::Fusion(shard_of(case.no)), body);
    }

    fn announce(&mut self, a: u8, b: u8, c: u8) {
        let party = Party {
            role: PartyRole::Importer,
            identity: Personal::Open {
                salt: [b; 16],
                value: "Example Trading".to_owned(),
            },
        };
        let announcement = Announcement {
            equipment: equipment(a),
            terminal: TerminalId::new("north").expect("a label"),
            ready_at: (c.is_multiple_of(3)).then(|| Timestamp(self.now + 60_000)),
            due_at: None,
            priority: b % 3,
            manifest: Manifest {
                document: (b.is_multiple_of(2)).then(|| Document {
                    digest: Digest::of(&[a, b]),
                    format: "wco-dm/3.6".to_owned(),
                    reference: None,
                }),
                goods: vec![GoodsItem {
                    sequence: 1,
                    commodity_code: ["870323", "240220"][usize::from(b % 2)].to_owned(),
                    gross_mass_g: Some(12_000_000),
                    ..GoodsItem::default()
                }],
                empty: b.is_multiple_of(5),
                parties: vec![party],
                ..Manifest::default()
            },
            findings: Vec::new(),
        };
        self.external(b, ExternalBody::Announce(announcement));
    }

    fn adjudicate(&mut self, a: u8, b: u8) {
        let Some(case) = self.case(a) else { return };
        let body = ExternalBody::Adjudicate {
            inspection: case.no,
            ruling: [Ruling::Release, Ruling::Hold, Ruling::Seize][usize::from(b % 3)],
            reason: "looked at it".to_owned(),
        };
        self.external(1, body);
    }

    fn evidence_of(&mut self, lane: LaneId, b: u8, c: u8) -> Vec<Evidence> {
        let modalities = lane_spec(lane.0).modalities();
        let mut all = Vec::new();
        for (index, modality) in modalities.into_iter().enumerate() {
            // Now and then a source says nothing.
            let turn = u8::try_from(index).unwrap_or(0);
            if b % 11 == turn {
                continue;
            }
            let device = device(lane.0, modality);
            let used = self.readings.entry(device.clone()).or_insert(0);
            // Now and then a device tells again what it told before.
            let from = if c % 29 == 3 { 0 } else { *used };
            let range = ReadingRange {
                device,
                boot: 1,
                first: from + 1,
                last: from + 5,
            };
            *used = (*used).max(from + 5);
            let captured = self
                .now
                .saturating_sub(if c.is_multiple_of(13) { 90_000_000 } else { 2000 });
            all.push(evidence(modality, Some(range), captured, b ^ (turn * 37), c));
        }
        all
    }

    // Disturbances.

    fn repeat(&mut self, a: u8, b: u8) {
        let back = usize::from(a) * (1 + usize::from(b % 3));
        let count = self.turns.len();
        if let Some(turn) = self.turns.get(count.saturating_sub(1 + back)) {
            let body = turn.command.body.clone();
            self.run(body);
        }
    }

    fn old_epoch(&mut self, a: u8, b: u8, c: u8) {
        let Some(case) = self.case(a) else { return };
        let keys = [
            ActorKey::Lane(LaneId(1 + u32::from(b % 3))),
            ActorKey::Fusion(shard_of(case.no)),
            scheduler(),
        ];
        let key = keys[usize::from(b % 3)].clone();
        let known = self.epochs.get(&key).cloned().unwrap_or_default();
        let epoch = known
            .get(usize::from(c) % known.len().max(1))
            .copied()
            .unwrap_or(Epoch::NONE);
        let inspection = case.no;
        let body = match &key {
            ActorKey::Lane(lane) => match c % 4 {
                0 => ActorBody::StartPass { inspection },
                1 => ActorBody::Claim { inspection },
                2 => ActorBody::Abort {
                    inspection,
                    cause: AbortCause::TimedOut,
                },
                _ => ActorBody::RecordEvidence {
                    inspection,
                    pass: case.passes,
                    evidence: self.evidence_of(*lane, b, c),
                    completes_pass: true,
                },
            },
            ActorKey::Fusion(_) => ActorBody::Profile {
                inspection,
                evidence: evidence(Modality::Manifest, None, self.now, b, c),
            },
            _ => ActorBody::Enqueue { inspection },
        };
        let next = self.sequences.entry((key.clone(), epoch)).or_insert(0);
        *next += 1;
        let sequence = Sequence(*next);
        self.run(CommandBody::Actor(ActorCommand {
            key,
            epoch,
            sequence,
            body,
        }));
    }

    /// A command is made now and arrives some time later, or the oldest such arrives.
    fn arrive_late(&mut self, a: u8) {
        if a.is_multiple_of(2) && !self.late.is_empty() {
            let body = self.late.remove(0);
            return self.run(body);
        }
        let Some(case) = self.case(a) else { return };
        let lane = LaneId(1 + u32::from(a % 3));
        let body = ActorBody::Assign {
            inspection: case.no,
            expect: case.version,
            lane,
            lane_epoch: self.epoch(&ActorKey::Lane(lane)),
        };
        let command = self.numbered(scheduler(), body);
        self.late.push(CommandBody::Actor(command));
    }

    fn lose_node(&mut self, a: u8, b: u8) {
        let node = NodeId(1 + u64::from(a % 3));
        let boot = self.ledger.node(node).map_or(BootId(0), |node| node.boot);
        match b % 3 {
            0 => self.node_up(node),
            1 => self.cluster(ClusterCommand::NodeDown { node, boot }),
            _ => self.cluster(ClusterCommand::NodeDown {
                node,
                boot: BootId(u64::from(b)),
            }),
        }
    }

    fn place_again(&mut self, a: u8, b: u8) {
        let key = ActorKey::Lane(LaneId(1 + u32::from(a % 3)));
        let node = NodeId(1 + u64::from(b % 3));
        let boot = self.ledger.node(node).map_or(BootId(0), |node| node.boot);
        let expect = match a % 4 {
            0 => Epoch(u64::from(b)),
            _ => self.epoch(&key),
        };
        self.cluster(match b % 2 {
            0 => ClusterCommand::Place {
                key,
                expect,
                node,
                boot,
            },
            _ => ClusterCommand::HandOver {
                key,
                expect,
                node,
                boot,
            },
        });
    }

    fn abort(&mut self, a: u8, b: u8) {
        let Some(case) = self.case(a) else { return };
        let lane = case.stage.lane().unwrap_or(LaneId(1 + u32::from(b % 3)));
        let body = ActorBody::Abort {
            inspection: case.no,
            cause: AbortCause::DeviceLost,
        };
        self.actor(ActorKey::Lane(lane), body);
    }

    fn more_evidence(&mut self, a: u8, b: u8, c: u8) {
        let Some(case) = self.case(a) else { return };
        let lane = LaneId(1 + u32::from(b % 3));
        let body = ActorBody::RecordEvidence {
            inspection: case.no,
            pass: PassNo(u32::from(c % 3)),
            evidence: self.evidence_of(lane, b, c),
            completes_pass: b.is_multiple_of(2),
        };
        self.actor(ActorKey::Lane(lane), body);
    }

    fn wrong_conclusion(&mut self, a: u8, b: u8, c: u8) {
        let Some(case) = self.case(a) else { return };
        let Some((digest, policy)) = self.ledger.policy() else {
            return;
        };
        let mut verdict = self.ledger.verdict_of(&case, policy);
        let mut evidence = case.evidence_set();
        let mut policy = digest;
        match b % 4 {
            0 => verdict.tier = [Tier::Release, Tier::Review, Tier::Exam][usize::from(c % 3)],
            1 => evidence.truncate(usize::from(c % 3)),
            2 => policy = Digest::of(&[c]),
            _ => verdict.scores.0[usize::from(c % 6)] += 1,
        }
        let body = ActorBody::Conclude {
            inspection: case.no,
            policy,
            evidence,
            verdict,
        };
        self.actor(ActorKey::Fusion(shard_of(case.no)), body);
    }

    fn change_lane(&mut self, a: u8, b: u8) {
        let lane = LaneId(1 + u32::from(a % 4));
        let body = match b % 5 {
            0 => ExternalBody::CloseLane { lane },
            1 => {
                let mut spec = lane_spec(1 + u32::from(a % 3));
                spec.usual_pass_s = 100 + u32::from(b);
                ExternalBody::DefineLane(spec)
            }
            _ => ExternalBody::OpenLane { lane },
        };
        self.external(b, body);
    }

    fn change_policy(&mut self, a: u8) {
        if a % 5 == 4 {
            let adrift = self.ledger.charts().adrift();
            let chart = adrift.into_iter().next().unwrap_or(ChartKey::Declarations);
            let reason = "checked with a test source".to_owned();
            self.external(1, ExternalBody::ResetChart { chart, reason });
            return;
        }
        let mut policy = policy(a % 3);
        if a % 7 == 3 {
            // Sometimes one that is known, sometimes none.
            let bytes = [a % 4; 9];
            if a.is_multiple_of(2) {
                let model = Model::new(bytes.as_slice()).expect("a model");
                self.external(1, ExternalBody::AddModel(model));
            }
            policy.manifest_models.push(ManifestModel {
                family: ThreatFamily::Undeclared,
                model: Digest::of(&[a % 4; 9]),
            });
        }
        if a.is_multiple_of(2) {
            let reason = format!("because {a}");
            self.external(1, ExternalBody::AdoptPolicy { policy, reason });
            return;
        }
        let digest = policy.digest();
        self.external(1, ExternalBody::AddPolicy(policy));
        self.external(1, ExternalBody::ActivatePolicy { policy: digest });
    }

    fn claim(&mut self, a: u8, b: u8) {
        let Some(case) = self.case(a) else { return };
        let lane = LaneId(1 + u32::from(b % 3));
        let inspection = case.no;
        self.actor(ActorKey::Lane(lane), ActorBody::Claim { inspection });
    }

    fn nonsense(&mut self, a: u8, b: u8, c: u8) {
        match b % 7 {
            0 => self.external(
                0,
                ExternalBody::Adjudicate {
                    inspection: portcullis_domain::id::InspectionNo(u64::from(a)),
                    ruling: Ruling::Release,
                    reason: String::new(),
                },
            ),
            1 => self.cluster(ClusterCommand::ActivateVersion { version: u32::from(c) }),
            // Ids beyond those of the nodes that run the port.
            3 => self.external(
                0,
                ExternalBody::AddNode {
                    wanted: (c > 128).then_some(NodeId(40 + u64::from(c % 4))),
                    above: NodeId(40),
                    incarnation: Incarnation([a % 5; 16]),
                    address: format!("127.0.0.1:{a}"),
                },
            ),
            4 => self.external(
                0,
                ExternalBody::DrainNode {
                    node: NodeId(40 + u64::from(c % 4)),
                },
            ),
            5 => self.external(
                0,
                ExternalBody::RemoveNode {
                    node: NodeId(40 + u64::from(c % 8)),
                },
            ),
            2 => self.external(
                1,
                ExternalBody::ReportDeparture {
                    equipment: equipment(a),
                },
            ),
            _ => {
                let body = ActorBody::Assign {
                    inspection: portcullis_domain::id::InspectionNo(u64::from(a)),
                    expect: CommandNo(u64::from(c)),
                    lane: LaneId(u32::from(b)),
                    lane_epoch: Epoch(u64::from(c)),
                };
                let mut command = self.numbered(scheduler(), body);
                // Some number from before: known, forgotten or never used.
                command.sequence = Sequence(u64::from(c) % command.sequence.0);
                self.run(CommandBody::Actor(command));
            }
        }
    }
}

fn scheduler() -> ActorKey {
    ActorKey::Scheduler(TerminalId::new("north").expect("a label"))
}

fn equipment(which: u8) -> EquipmentId {
    EquipmentId::new(BOXES[usize::from(which) % BOXES.len()]).expect("an id")
}

fn device(lane: u32, modality: Modality) -> DeviceId {
    DeviceId::new(format!("l{lane}-{modality}")).expect("a label")
}

/// Lane 3 has no weighbridge, so it can take the empty ones only.
fn lane_spec(id: u32) -> LaneSpec {
    let mut modalities = vec![Modality::Radiation, Modality::Ocr];
    if id != 3 {
        modalities.push(Modality::Weighbridge);
    }
    LaneSpec {
        id: LaneId(id),
        terminal: TerminalId::new("north").expect("a label"),
        devices: modalities
            .into_iter()
            .map(|modality| DeviceSpec {
                id: device(id, modality),
                kind: DeviceKind::Sensor(modality),
                public_key: [7; 32],
            })
            .collect(),
        nodes: Vec::new(),
        usual_pass_s: 180,
        scheduled: true,
    }
}

fn policy(which: u8) -> Policy {
    let mut policy = Policy::first();
    policy.passes_max = 2 + u32::from(which);
    policy.name = format!("policy-{which}");
    if which == 2 {
        policy.stopping.release_margin = 0;
        policy.stopping.least_samples = 2;
    }
    if which != 1 {
        policy.watch = Some(restless());
    }
    policy
}

/// A watch that alarms after a few containers, so that histories come to see it.
fn restless() -> Watch {
    let weight = |modality| WeightReference {
        modality,
        low: -2_000,
        high: 2_000,
        mean: -800,
        deviation: 500,
        rise_toll: 500_000,
        fall_toll: 500_000,
    };
    Watch {
        shift_permille: 1_000,
        limit: 3_000_000,
        weights: Modality::ALL.map(weight).to_vec(),
        shares: vec![ShareReference {
            share: Share::Held,
            ppm: 500_000,
            hit: 400_000,
            toll: 700_000,
        }],
        device_tier: Tier::Review,
        port_tier: Tier::Exam,
    }
}

/// Evidence whose weights, abilities, steps and findings follow from two numbers.
fn evidence(modality: Modality, readings: Option<ReadingRange>, captured: u64, b: u8, c: u8) -> Evidence {
    let ability = match b % 16 {
        0 => Ability::Shielded,
        1 | 2 => Ability::Degraded,
        _ => Ability::Clear,
    };
    let manifest = modality == Modality::Manifest;
    let samples: Vec<u32> = match manifest {
        true => vec![0],
        false => (0..1 + u32::from(c % 4)).map(|i| 1 + i * 3).collect(),
    };
    let steps = samples
        .into_iter()
        .map(|sample| {
            let grown = i32::try_from(sample).unwrap_or(0) + 1;
            let family = ThreatFamily::ALL[usize::from(b % 6)];
            let strong = if c.is_multiple_of(10) { 2600 } else { -300 };
            Step {
                sample: SampleNo(sample),
                ability,
                weights: Weights([-150 * grown; 6]).with(family, strong * grown),
            }
        })
        .collect();
    let findings = match c % 17 {
        0 => vec![Noted {
            sample: SampleNo(u32::from(!manifest)),
            finding: Finding::new(FindingCode::OcrMismatch, "number", "another one"),
        }],
        _ => Vec::new(),
    };
    Evidence {
        modality,
        readings,
        digest: Digest::of(&[b, c]),
        interpreter: format!("{modality}/1"),
        captured_at: Timestamp(captured),
        findings,
        steps,
    }
}
