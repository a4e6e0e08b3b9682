//! The line language of the scenario scripts: a command a line, and under it, indented by four spaces, what came of it.
//! The commands are listed in `Story::tell`; `at +5s` in any of them lets time pass first.

use std::collections::{BTreeMap, VecDeque};
use std::fmt::Write as _;

use portcullis_domain::archive::rebuild;
use portcullis_domain::codec::{from_bytes, to_bytes};
use portcullis_domain::command::{
    AbortCause, ActorBody, ActorCommand, ClusterCommand, Command, CommandBody, ExternalBody, ExternalCommand,
};
use portcullis_domain::equipment::EquipmentId;
use portcullis_domain::event::{Event, Leaf};
use portcullis_domain::evidence::{Ability, Evidence, Modality, Noted, ReadingRange, Step, ThreatFamily, Weights};
use portcullis_domain::explanation::{adds_up, describe, explain};
use portcullis_domain::finding::{Finding, FindingCode};
use portcullis_domain::fusion::Verdict;
use portcullis_domain::id::{
    BootId, ClusterId, CommandNo, DeviceId, Digest, EntryNo, Epoch, Incarnation, InspectionNo, LaneId, NodeId, PassNo,
    Principal, RequestId, SampleNo, Sequence, SourceId, Timestamp,
};
use portcullis_domain::inspection::{Inspection, Ruling, Stage};
use portcullis_domain::lane::{DeviceKind, DeviceSpec, Lane, LaneSpec};
use portcullis_domain::ledger::{Application, Ledger, LogEntry};
use portcullis_domain::manifest::{Announcement, Document, GoodsItem, Manifest, Party, PartyRole, Personal};
use portcullis_domain::model::Model;
use portcullis_domain::outcome::{Answer, Outcome};
use portcullis_domain::placement::{ActorKey, FUSION_SHARDS, shard_of};
use portcullis_domain::policy::{
    ALGORITHM, Coefficient, FamilyRule, FindingRule, ManifestModel, MaximumAge, Policy, Requirement, Scope, Stopping,
    Tier,
};

type Failure = String;

/// When the stories begin: 2026-01-01T00:00:00Z.
const START: Timestamp = Timestamp(1_767_225_600_000);

/// Plays a script and gives it back with what really came of each command.
///
/// # Errors
/// A line that is not in the language, with its number; a promise that does not hold at the end.
pub(crate) fn play(script: &str) -> Result<String, Failure> {
    let mut story = Story::new();
    let mut told = String::new();
    for (index, line) in script.lines().enumerate() {
        if line.starts_with("    ") {
            continue;
        }
        told.push_str(line.trim_end());
        told.push('\n');
        if line.trim().is_empty() || line.starts_with('#') {
            continue;
        }
        let lines = story
            .tell(line)
            .map_err(|failure| format!("line {}: {line:?}: {failure}", index + 1))?;
        for line in lines {
            let _ = writeln!(told, "    {line}");
        }
    }
    story.check_promises()?;
    Ok(told)
}

/// What an engine means to conclude.
#[derive(Clone)]
struct Proposal {
    policy: Digest,
    evidence: Vec<u32>,
    verdict: Verdict,
}

struct Story {
    ledger: Ledger,
    leaves: Vec<Leaf>,
    now: Timestamp,
    boots: BTreeMap<NodeId, BootId>,
    sequences: BTreeMap<(ActorKey, Epoch), u64>,
    readings: BTreeMap<DeviceId, u64>,
    cases: BTreeMap<EquipmentId, InspectionNo>,
    remembered: BTreeMap<String, u64>,
    proposals: BTreeMap<String, Proposal>,
    policies: BTreeMap<String, Digest>,
    requests: u64,
    last: Option<(CommandBody, Outcome)>,
}

/// The words of a line: plain ones in order, `key=value` ones by key, and what follows `because`.
struct Words {
    plain: VecDeque<String>,
    options: BTreeMap<String, String>,
    because: Option<String>,
}

impl Words {
    fn of(line: &str) -> Self {
        let (line, because) = match line.split_once(" because ") {
            Some((line, because)) => (line, Some(because.trim().to_owned())),
            None => (line, None),
        };
        let mut words = Self {
            plain: VecDeque::new(),
            options: BTreeMap::new(),
            because,
        };
        for word in line.split_whitespace() {
            match word.split_once('=') {
                Some((key, value)) => {
                    words.options.insert(key.to_owned(), value.to_owned());
                }
                None => words.plain.push_back(word.to_owned()),
            }
        }
        words
    }

    fn next(&mut self, what: &str) -> Result<String, Failure> {
        self.plain.pop_front().ok_or_else(|| format!("expected {what}"))
    }

    fn parse<T: std::str::FromStr>(&mut self, what: &str) -> Result<T, Failure> {
        parse(&self.next(what)?, what)
    }

    fn expect(&mut self, word: &str) -> Result<(), Failure> {
        match self.next(word)? {
            found if found == word => Ok(()),
            found => Err(format!("expected {word:?}, found {found:?}")),
        }
    }

    /// Takes a word out, wherever it stands.
    fn flag(&mut self, word: &str) -> bool {
        let at = self.plain.iter().position(|found| found == word);
        at.and_then(|at| self.plain.remove(at)).is_some()
    }

    fn option(&mut self, key: &str) -> Option<String> {
        self.options.remove(key)
    }

    fn finish(self) -> Result<(), Failure> {
        if self.plain.is_empty() && self.options.is_empty() {
            return Ok(());
        }
        Err(format!("not understood: {:?} {:?}", self.plain, self.options))
    }
}

/// The policy of the stories. Written out, so that tuning the policy that ports start with changes no story.
fn rules() -> Policy {
    let family = |family, prior, review, exam| FamilyRule {
        family,
        prior,
        review,
        exam,
    };
    let required = |modality, scope| Requirement {
        modality,
        scope,
        degraded_is_enough: true,
        otherwise: Tier::Review,
    };
    Policy {
        name: String::new(),
        algorithm: ALGORITHM,
        coefficients: [
            (Modality::Manifest, 1000),
            (Modality::Radiography, 1000),
            (Modality::Radiation, 1000),
            (Modality::Weighbridge, 800),
            (Modality::Ocr, 900),
        ]
        .map(|(modality, permille)| Coefficient { modality, permille })
        .to_vec(),
        families: vec![
            family(ThreatFamily::Narcotics, -24_000, -10_000, 5_000),
            family(ThreatFamily::Explosives, -37_000, -22_000, -5_000),
            family(ThreatFamily::Nuclear, -37_000, -25_000, -12_000),
            family(ThreatFamily::Weapons, -30_000, -14_000, 2_000),
            family(ThreatFamily::People, -33_000, -17_000, -2_000),
            family(ThreatFamily::Undeclared, -17_000, -6_000, 8_000),
        ],
        required: vec![
            required(Modality::Radiation, Scope::Every),
            required(Modality::Weighbridge, Scope::Laden),
            required(Modality::Ocr, Scope::Every),
        ],
        findings: vec![
            FindingRule {
                code: FindingCode::NeutronAlarm,
                tier: Tier::Exam,
            },
            FindingRule {
                code: FindingCode::OcrMismatch,
                tier: Tier::Review,
            },
        ],
        maximum_ages: vec![MaximumAge {
            modality: Modality::Radiation,
            seconds: 24 * 3600,
        }],
        stopping: Stopping {
            least_samples: 5,
            release_margin: 12_000,
            exam_margin: 6_000,
        },
        passes_max: 8,
        calibration: Vec::new(),
        watch: None,
        manifest_models: Vec::new(),
    }
}

fn parse<T: std::str::FromStr>(text: &str, what: &str) -> Result<T, Failure> {
    text.parse().map_err(|_| format!("{text:?} is not a {what}"))
}

/// Milliseconds of `+5s`, `-90m`, `24h` and the like.
fn duration(text: &str) -> Result<i64, Failure> {
    let bad = || format!("{text:?} is not a duration such as +5s, 90m or -24h");
    let units = [("ms", 1), ("s", 1000), ("m", 60_000), ("h", 3_600_000_i64)];
    let (digits, unit) = units
        .iter()
        .find_map(|(suffix, unit)| Some((text.strip_suffix(suffix)?, unit)))
        .ok_or_else(bad)?;
    let count: i64 = digits.parse().map_err(|_| bad())?;
    Ok(count * unit)
}

fn ability(text: &str) -> Option<Ability> {
    [Ability::Clear, Ability::Degraded, Ability::Shielded]
        .into_iter()
        .find(|ability| ability.as_str() == text)
}

fn tier(text: &str) -> Result<Tier, Failure> {
    [Tier::Release, Tier::Review, Tier::Exam]
        .into_iter()
        .find(|tier| tier.as_str() == text)
        .ok_or_else(|| format!("{text:?} is not a tier"))
}

fn actor_key(text: &str) -> Result<ActorKey, Failure> {
    match text.split_once('/') {
        Some(("lane", id)) => Ok(ActorKey::Lane(LaneId(parse(id, "lane")?))),
        Some(("fusion", shard)) => Ok(ActorKey::Fusion(parse(shard, "shard")?)),
        Some(("scheduler", terminal)) => Ok(ActorKey::Scheduler(parse(terminal, "terminal")?)),
        None if text == "placement" => Ok(ActorKey::Placement),
        _ => Err(format!("{text:?} is not an actor")),
    }
}

impl Story {
    fn new() -> Self {
        Self {
            ledger: Ledger::new(),
            leaves: Vec::new(),
            now: START,
            boots: BTreeMap::new(),
            sequences: BTreeMap::new(),
            readings: BTreeMap::new(),
            cases: BTreeMap::new(),
            remembered: BTreeMap::new(),
            proposals: BTreeMap::new(),
            policies: BTreeMap::new(),
            requests: 0,
            last: None,
        }
    }

    fn tell(&mut self, line: &str) -> Result<Vec<String>, Failure> {
        let mut words = Words::of(line);
        if let Some(at) = words.plain.iter().position(|word| word == "at")
            && let Some(later) = words.plain.get(at + 1).filter(|word| word.starts_with('+'))
        {
            self.pass_time(&later.clone())?;
            words.plain.drain(at..at + 2);
        }
        let verb = words.next("a command")?;
        match verb.as_str() {
            "wait" => {
                let time = words.next("a duration")?;
                self.pass_time(&time)?;
                Ok(Vec::new())
            }
            "let" => self.remember(&mut words),
            "port" => self.port(),
            "found" => {
                let policy = self.policy("first", &mut words)?;
                words.finish()?;
                let cluster = ClusterId([7; 16]);
                self.cluster(ClusterCommand::Found { cluster, policy })
            }
            "node" => self.node(words),
            "join" | "enrol" | "drain" | "undrain" | "remove" | "detach" | "restore" => self.membership(&verb, words),
            "place" | "hand" => self.place(&verb, words),
            "activate" if words.plain.front().is_some_and(|word| word == "version") => {
                words.expect("version")?;
                let version = words.parse("version")?;
                self.cluster(ClusterCommand::ActivateVersion { version })
            }
            "add" if words.plain.front().is_some_and(|word| word == "model") => {
                words.expect("model")?;
                let name = words.next("a name")?;
                let model = Model::new(name.as_bytes()).map_err(|error| error.to_string())?;
                self.external(words, "customs", ExternalBody::AddModel(model))
            }
            "activate" | "add" | "adopt" => self.change_policy(&verb, words),
            "define" => self.define(words),
            "open" | "close" => {
                words.expect("lane")?;
                let lane = words.parse("lane")?;
                let body = match verb.as_str() {
                    "open" => ExternalBody::OpenLane { lane },
                    _ => ExternalBody::CloseLane { lane },
                };
                self.external(words, "operations", body)
            }
            "announce" => self.announce(words),
            "adjudicate" => self.adjudicate(words),
            "depart" => {
                let equipment = equipment(&words.next("container")?)?;
                self.external(words, "gate", ExternalBody::ReportDeparture { equipment })
            }
            "profile" => self.profile(words),
            "enqueue" => {
                let case = self.case(&words.next("container")?)?;
                let key = ActorKey::Scheduler(case.terminal.clone());
                let inspection = case.no;
                self.actor(key, words, ActorBody::Enqueue { inspection })
            }
            "assign" => self.assign(words),
            "claim" => {
                let inspection = self.case(&words.next("container")?)?.no;
                let key = on_lane(&mut words)?;
                self.actor(key, words, ActorBody::Claim { inspection })
            }
            "start" => {
                words.expect("pass")?;
                let inspection = self.case(&words.next("container")?)?.no;
                let key = on_lane(&mut words)?;
                self.actor(key, words, ActorBody::StartPass { inspection })
            }
            "evidence" => self.evidence(line),
            "complete" => {
                let case = self.case(&words.next("container")?)?;
                let body = ActorBody::RecordEvidence {
                    inspection: case.no,
                    pass: case.passes,
                    evidence: Vec::new(),
                    completes_pass: true,
                };
                let key = on_lane(&mut words)?;
                self.actor(key, words, body)
            }
            "abort" => {
                let inspection = self.case(&words.next("container")?)?.no;
                let key = on_lane(&mut words)?;
                let cause = abort_cause(&words.next("a cause")?)?;
                self.actor(key, words, ActorBody::Abort { inspection, cause })
            }
            "propose" => {
                let case = self.case(&words.next("container")?)?;
                words.expect("as")?;
                let name = words.next("a name")?;
                let proposal = self.proposal(&case)?;
                let line = format!("would conclude {}", self.verdict(&proposal.verdict));
                self.proposals.insert(name, proposal);
                Ok(vec![line])
            }
            "conclude" => self.conclude(words),
            "again" => self.again(),
            "snapshot" => {
                let bytes = to_bytes(&self.ledger);
                let back: Ledger = from_bytes(&bytes).map_err(|error| error.to_string())?;
                let same = back == self.ledger;
                self.ledger = back;
                Ok(vec![match same {
                    true => "written and read back: the same ledger".to_owned(),
                    false => "written and read back: ANOTHER LEDGER".to_owned(),
                }])
            }
            "barrier" => {
                let case = self.case(&words.next("container")?)?;
                Ok(vec![self.barrier(&case)])
            }
            "explain" => {
                let case = self.case(&words.next("container")?)?;
                self.explain(&case)
            }
            "show" => {
                let case = self.case(&words.next("container")?)?;
                Ok(self.show(&case))
            }
            _ => Err("no such command".to_owned()),
        }
    }

    /// The port that most stories play in.
    fn port(&mut self) -> Result<Vec<String>, Failure> {
        for line in [
            "found",
            "node 1 up",
            "node 2 up",
            "define lane 1 radiation weighbridge ocr",
            "define lane 2 radiation weighbridge ocr",
            "place lane/1 on 1",
            "place lane/2 on 2",
            "place scheduler/north on 2",
            "place fusion on 2",
        ] {
            self.tell(line)?;
        }
        Ok(vec![format!(
            "ready at {}: lane-1 on node-1; lane-2, scheduler and fusion on node-2",
            self.ledger.number()
        )])
    }

    fn pass_time(&mut self, text: &str) -> Result<(), Failure> {
        let millis = u64::try_from(duration(text)?).map_err(|_| "time runs forward".to_owned())?;
        self.now = self.now.plus_millis(millis);
        Ok(())
    }

    fn remember(&mut self, words: &mut Words) -> Result<Vec<String>, Failure> {
        // `let old be epoch of lane/1`, `let seen be version of MSKU1234565`, `let one be boot of 1`
        let name = words.next("a name")?;
        words.expect("be")?;
        let what = words.next("epoch, version or boot")?;
        words.expect("of")?;
        let of = words.next("whose")?;
        let value = match what.as_str() {
            "epoch" => self.epoch_of(&actor_key(&of)?).0,
            "version" => self.case(&of)?.version.0,
            "boot" => self.boots.get(&parse(&of, "node")?).map_or(0, |boot| boot.0),
            other => return Err(format!("{other:?} cannot be remembered")),
        };
        self.remembered.insert(name, value);
        Ok(Vec::new())
    }

    /// A number, or one that was remembered under this name.
    fn number(&self, text: &str) -> Result<u64, Failure> {
        match self.remembered.get(text) {
            Some(value) => Ok(*value),
            None => parse(text, "number or name"),
        }
    }

    fn epoch_of(&self, key: &ActorKey) -> Epoch {
        self.ledger
            .placement(key)
            .map_or(Epoch::NONE, |placement| placement.epoch)
    }

    fn case(&self, name: &str) -> Result<Inspection, Failure> {
        let no = self
            .cases
            .get(&equipment(name)?)
            .ok_or_else(|| format!("{name} was never announced"))?;
        match self.ledger.inspection(*no) {
            Some(case) => Ok((**case).clone()),
            None => self.closed(*no),
        }
    }

    /// A closed inspection, from the log.
    fn closed(&self, no: InspectionNo) -> Result<Inspection, Failure> {
        let about = (0..)
            .map(EntryNo)
            .zip(self.leaves.iter().cloned())
            .filter(|(_, leaf)| leaf.event.subjects().inspections.contains(&no));
        rebuild(about).map_err(|error| error.to_string())
    }

    fn name_of(&self, no: InspectionNo) -> String {
        let known = self.cases.iter().find(|(_, known)| **known == no);
        known.map_or_else(|| no.to_string(), |(equipment, _)| equipment.to_string())
    }

    // Commands of the cluster.

    fn node(&mut self, mut words: Words) -> Result<Vec<String>, Failure> {
        let node: NodeId = words.parse("node")?;
        let way = words.next("up or down")?;
        let known = self.boots.get(&node).copied();
        let given = words.option("boot");
        let given = given.map(|text| self.number(&text)).transpose()?.map(BootId);
        let body = match way.as_str() {
            "up" => {
                let boot = given.unwrap_or(BootId(known.map_or(node.0 * 100 + 1, |boot| boot.0 + 1)));
                let expect = match words.option("expect") {
                    Some(text) => Some(BootId(self.number(&text)?)),
                    None => known,
                };
                let version = words.option("version").map_or(Ok(1), |v| parse(&v, "version"))?;
                ClusterCommand::NodeUp {
                    node,
                    boot,
                    expect,
                    capacity: 100,
                    version,
                }
            }
            "down" => ClusterCommand::NodeDown {
                node,
                boot: given.or(known).ok_or("this node never came up")?,
            },
            other => return Err(format!("a node goes up or down, not {other:?}")),
        };
        words.finish()?;
        self.cluster(body)
    }

    /// `join ADDRESS folder=N [node=ID]`, `enrol ID ADDRESS folder=N`, `drain ID`, `undrain ID`, `remove ID`, `detach`,
    /// `restore as N`.
    fn membership(&mut self, verb: &str, mut words: Words) -> Result<Vec<String>, Failure> {
        let folder = |words: &mut Words| -> Result<Incarnation, Failure> {
            let text = words.option("folder").ok_or("expected folder=N")?;
            Ok(Incarnation([parse(&text, "folder")?; 16]))
        };
        match verb {
            "detach" => {
                self.ledger = self.ledger.detached();
                words.finish()?;
                let former = self
                    .ledger
                    .former()
                    .map_or_else(|| "nobody".to_owned(), |id| id.to_string());
                Ok(vec![format!("a ledger of no cluster, formerly of {}", &former[..4])])
            }
            "restore" => {
                words.expect("as")?;
                let cluster = ClusterId([words.parse("a number")?; 16]);
                words.finish()?;
                let former = self.ledger.former().ok_or("this ledger is not detached")?;
                let (size, root) = (self.ledger.log().size(), self.ledger.log().root());
                self.cluster(ClusterCommand::Restore {
                    cluster,
                    former,
                    size,
                    root,
                })
            }
            "join" => {
                let wanted = words.option("node").map(|text| parse(&text, "node")).transpose()?;
                let address = words.next("an address")?;
                let incarnation = folder(&mut words)?;
                let above = NodeId(words.option("above").map_or(Ok(0), |text| parse(&text, "node"))?);
                let body = ExternalBody::AddNode {
                    wanted,
                    above,
                    incarnation,
                    address,
                };
                self.external(words, "operations", body)
            }
            "enrol" => {
                let node = words.parse("node")?;
                let address = words.next("an address")?;
                let incarnation = folder(&mut words)?;
                words.finish()?;
                self.cluster(ClusterCommand::Enrol {
                    node,
                    incarnation,
                    address,
                })
            }
            _ => {
                let node = words.parse("node")?;
                let body = match verb {
                    "drain" => ExternalBody::DrainNode { node },
                    "undrain" => ExternalBody::UndrainNode { node },
                    _ => ExternalBody::RemoveNode { node },
                };
                self.external(words, "operations", body)
            }
        }
    }

    fn place(&mut self, verb: &str, mut words: Words) -> Result<Vec<String>, Failure> {
        if verb == "hand" {
            words.expect("over")?;
        }
        let who = words.next("an actor")?;
        words.expect(if verb == "hand" { "to" } else { "on" })?;
        let node: NodeId = words.parse("node")?;
        let boot = match words.option("boot") {
            Some(text) => BootId(self.number(&text)?),
            None => self.boots.get(&node).copied().unwrap_or(BootId(0)),
        };
        if who == "fusion" {
            let mut applied = 0;
            for shard in 0..FUSION_SHARDS {
                let key = ActorKey::Fusion(shard);
                let expect = self.epoch_of(&key);
                let body = ClusterCommand::Place {
                    key,
                    expect,
                    node,
                    boot,
                };
                let application = self.apply(CommandBody::Cluster(body));
                applied += u32::from(application.outcome.refusal().is_none());
            }
            return Ok(vec![format!("applied {applied} of {FUSION_SHARDS}: placed on {node}")]);
        }
        let key = actor_key(&who)?;
        let expect = match words.option("expect") {
            Some(text) => Epoch(self.number(&text)?),
            None => self.epoch_of(&key),
        };
        words.finish()?;
        self.cluster(match verb {
            "hand" => ClusterCommand::HandOver {
                key,
                expect,
                node,
                boot,
            },
            _ => ClusterCommand::Place {
                key,
                expect,
                node,
                boot,
            },
        })
    }

    fn cluster(&mut self, body: ClusterCommand) -> Result<Vec<String>, Failure> {
        Ok(self.run(CommandBody::Cluster(body)))
    }

    // Commands from outside.

    fn external(&mut self, mut words: Words, by: &str, body: ExternalBody) -> Result<Vec<String>, Failure> {
        let mut source = by.to_owned();
        let mut request = None;
        let mut principal = by.to_owned();
        while let Some(word) = words.plain.pop_front() {
            match word.as_str() {
                "by" => source = words.next("a source")?,
                "request" => request = Some(words.next("a request id")?),
                "through" => principal = words.next("a principal")?,
                other => return Err(format!("not understood: {other:?}")),
            }
        }
        let request = match request {
            Some(request) => request,
            None => {
                self.requests += 1;
                format!("auto-{}", self.requests)
            }
        };
        words.finish()?;
        let command = ExternalCommand {
            source: SourceId::new(source).map_err(|error| error.to_string())?,
            request: RequestId::new(request).map_err(|error| error.to_string())?,
            principal: Principal::new(principal).map_err(|error| error.to_string())?,
            body,
        };
        Ok(self.run(CommandBody::External(command)))
    }

    fn announce(&mut self, mut words: Words) -> Result<Vec<String>, Failure> {
        let equipment = equipment(&words.next("container")?)?;
        let terminal = words.option("terminal").unwrap_or_else(|| "north".to_owned());
        let ready = words.option("ready").map(|text| duration(&text)).transpose()?;
        let mass_kg: u64 = words
            .option("mass_kg")
            .map_or(Ok(12_000), |text| parse(&text, "mass"))?;
        let goods = words.option("goods").unwrap_or_else(|| "870323".to_owned());
        let salt: u8 = words.option("salt").map_or(Ok(1), |text| parse(&text, "salt"))?;
        let parties = words.option("importer").map(|value| Party {
            role: PartyRole::Importer,
            identity: Personal::Open {
                salt: [salt; 16],
                value,
            },
        });
        let document = (!words.flag("unverified")).then(|| Document {
            digest: Digest::of(format!("{equipment} {goods} {mass_kg}").as_bytes()),
            format: "wco-dm/3.6".to_owned(),
            reference: None,
        });
        let announcement = Announcement {
            equipment,
            terminal: parse(&terminal, "terminal")?,
            ready_at: ready.map(|later| Timestamp(self.now.0.saturating_add_signed(later))),
            due_at: None,
            priority: 0,
            manifest: Manifest {
                document,
                goods: vec![GoodsItem {
                    sequence: 1,
                    commodity_code: goods,
                    gross_mass_g: Some(mass_kg * 1000),
                    ..GoodsItem::default()
                }],
                empty: words.flag("empty"),
                parties: parties.into_iter().collect(),
                ..Manifest::default()
            },
            findings: Vec::new(),
        };
        self.external(words, "tos", ExternalBody::Announce(announcement))
    }

    fn adjudicate(&mut self, mut words: Words) -> Result<Vec<String>, Failure> {
        let inspection = self.case(&words.next("container")?)?.no;
        let ruling = words.next("a ruling")?;
        let ruling = [Ruling::Release, Ruling::Hold, Ruling::Seize]
            .into_iter()
            .find(|known| known.as_str() == ruling)
            .ok_or("a ruling is release, hold or seize")?;
        let reason = words.because.take().unwrap_or_default();
        let body = ExternalBody::Adjudicate {
            inspection,
            ruling,
            reason,
        };
        self.external(words, "customs", body)
    }

    fn define(&mut self, mut words: Words) -> Result<Vec<String>, Failure> {
        words.expect("lane")?;
        let id: LaneId = words.parse("lane")?;
        let scheduled = !words.flag("unscheduled");
        let terminal = words.option("terminal").unwrap_or_else(|| "north".to_owned());
        let device = |name: String, kind| -> Result<DeviceSpec, Failure> {
            Ok(DeviceSpec {
                id: parse(&name, "device")?,
                kind,
                public_key: Digest::of(name.as_bytes()).0,
            })
        };
        let mut devices = vec![device(format!("l{}-control", id.0), DeviceKind::Controller)?];
        let sensors = words.plain.iter().take_while(|word| !is_clause(word)).count();
        for word in words.plain.drain(..sensors).collect::<Vec<_>>() {
            let modality: Modality = parse(&word, "modality")?;
            let same = devices
                .iter()
                .filter(|device| device.kind == DeviceKind::Sensor(modality))
                .count();
            let name = match same {
                0 => format!("l{}-{modality}", id.0),
                _ => format!("l{}-{modality}-{}", id.0, same + 1),
            };
            devices.push(device(name, DeviceKind::Sensor(modality))?);
        }
        let spec = LaneSpec {
            id,
            terminal: parse(&terminal, "terminal")?,
            devices,
            nodes: Vec::new(),
            usual_pass_s: 180,
            scheduled,
        };
        self.external(words, "operations", ExternalBody::DefineLane(spec))
    }

    fn policy(&mut self, name: &str, words: &mut Words) -> Result<Policy, Failure> {
        let mut policy = rules();
        policy.name = name.to_owned();
        if let Some(passes) = words.option("passes_max") {
            policy.passes_max = parse(&passes, "number")?;
        }
        if let Some(samples) = words.option("least_samples") {
            policy.stopping.least_samples = parse(&samples, "number")?;
        }
        if let Some(prefix) = words.option("of_goods") {
            let modality = words.option("require").ok_or("of_goods goes with require")?;
            policy.required.push(Requirement {
                modality: parse(&modality, "modality")?,
                scope: Scope::Commodity(prefix),
                degraded_is_enough: false,
                otherwise: Tier::Exam,
            });
        }
        if let Some(modality) = words.option("require") {
            policy.required.push(Requirement {
                modality: parse(&modality, "modality")?,
                scope: Scope::Every,
                degraded_is_enough: false,
                otherwise: Tier::Exam,
            });
        }
        if let Some(algorithm) = words.option("algorithm") {
            policy.algorithm = parse(&algorithm, "version")?;
        }
        if let Some(named) = words.option("model") {
            let (family, model) = named.split_once(':').ok_or("model wants family:name")?;
            policy.manifest_models.push(ManifestModel {
                family: ThreatFamily::ALL
                    .into_iter()
                    .find(|one| one.as_str() == family)
                    .ok_or("no such family")?,
                model: Digest::of(model.as_bytes()),
            });
        }
        if let Some(score) = words.option("review_undeclared") {
            let score: i32 = parse(&score, "score")?;
            for rule in &mut policy.families {
                if rule.family == ThreatFamily::Undeclared {
                    rule.review = score;
                }
            }
        }
        self.policies.insert(name.to_owned(), policy.digest());
        Ok(policy)
    }

    fn change_policy(&mut self, verb: &str, mut words: Words) -> Result<Vec<String>, Failure> {
        words.expect("policy")?;
        let name = words.next("a name")?;
        let body = match verb {
            "add" => ExternalBody::AddPolicy(self.policy(&name, &mut words)?),
            "adopt" => ExternalBody::AdoptPolicy {
                policy: self.policy(&name, &mut words)?,
                reason: words.because.take().unwrap_or_default(),
            },
            _ => ExternalBody::ActivatePolicy {
                policy: self.policies.get(&name).copied().unwrap_or(Digest::of(name.as_bytes())),
            },
        };
        self.external(words, "customs", body)
    }

    // Commands of actors.

    fn actor(&mut self, key: ActorKey, mut words: Words, body: ActorBody) -> Result<Vec<String>, Failure> {
        let epoch = match words.option("epoch") {
            Some(text) => Epoch(self.number(&text)?),
            None => self.epoch_of(&key),
        };
        let next = self.sequences.entry((key.clone(), epoch)).or_insert(0);
        let sequence = match words.option("seq") {
            Some(text) => parse(&text, "sequence number")?,
            None => *next + 1,
        };
        *next = (*next).max(sequence);
        words.finish()?;
        let command = ActorCommand {
            key,
            epoch,
            sequence: Sequence(sequence),
            body,
        };
        Ok(self.run(CommandBody::Actor(command)))
    }

    fn profile(&mut self, mut words: Words) -> Result<Vec<String>, Failure> {
        let case = self.case(&words.next("container")?)?;
        let mut weights = Weights::ZERO;
        for family in ThreatFamily::ALL {
            if let Some(weight) = words.option(family.as_str()) {
                weights = weights.with(family, parse(&weight, "weight")?);
            }
        }
        let digest = case
            .manifest
            .document
            .as_ref()
            .map_or(Digest::of(b""), |document| document.digest);
        let evidence = Evidence {
            modality: Modality::Manifest,
            readings: None,
            digest,
            interpreter: "manifest-risk/1".to_owned(),
            captured_at: case.announced_at,
            findings: Vec::new(),
            steps: vec![Step {
                sample: SampleNo(0),
                ability: Ability::Clear,
                weights,
            }],
        };
        let body = ActorBody::Profile {
            inspection: case.no,
            evidence,
        };
        self.actor(ActorKey::Fusion(shard_of(case.no)), words, body)
    }

    fn assign(&mut self, mut words: Words) -> Result<Vec<String>, Failure> {
        let case = self.case(&words.next("container")?)?;
        words.expect("to")?;
        let lane: LaneId = words.parse("lane")?;
        let expect = match words.option("expect") {
            Some(text) => CommandNo(self.number(&text)?),
            None => case.version,
        };
        let lane_epoch = match words.option("lane_epoch") {
            Some(text) => Epoch(self.number(&text)?),
            None => self.epoch_of(&ActorKey::Lane(lane)),
        };
        let body = ActorBody::Assign {
            inspection: case.no,
            expect,
            lane,
            lane_epoch,
        };
        self.actor(ActorKey::Scheduler(case.terminal), words, body)
    }

    /// `evidence BOX on LANE [pass=P] [complete] : SOURCE words / SOURCE words`
    fn evidence(&mut self, line: &str) -> Result<Vec<String>, Failure> {
        let (head, tail) = line.split_once(':').ok_or("a colon stands before the sources")?;
        let mut words = Words::of(head);
        words.expect("evidence")?;
        let case = self.case(&words.next("container")?)?;
        let key = on_lane(&mut words)?;
        let completes_pass = words.flag("complete");
        let pass = words
            .option("pass")
            .map_or(Ok(case.passes), |text| parse(&text, "pass").map(PassNo))?;
        let evidence = tail
            .split('/')
            .map(|source| self.source(&key, source))
            .collect::<Result<Vec<_>, _>>()?;
        let body = ActorBody::RecordEvidence {
            inspection: case.no,
            pass,
            evidence,
            completes_pass,
        };
        self.actor(key, words, body)
    }

    /// `radiation clear nuclear=-9000 @3 shielded all=0 finding=NEUTRON_ALARM captured=-25h readings=1..9 device=...`
    fn source(&mut self, key: &ActorKey, text: &str) -> Result<Evidence, Failure> {
        let mut words = text.split_whitespace();
        let modality: Modality = parse(words.next().ok_or("a source is missing")?, "modality")?;
        let ActorKey::Lane(lane) = key else {
            return Err("only lanes record".to_owned());
        };
        let mut device: DeviceId = parse(&format!("l{}-{modality}", lane.0), "device")?;
        let mut captured_at = self.now;
        let mut readings = None;
        let mut findings = Vec::new();
        let mut steps: Vec<Step> = Vec::new();
        let step = |steps: &mut Vec<Step>, sample| {
            steps.push(Step {
                sample: SampleNo(sample),
                ability: Ability::Clear,
                weights: Weights::ZERO,
            });
        };
        for word in words {
            if let Some(sample) = word.strip_prefix('@') {
                step(&mut steps, parse(sample, "sample")?);
                continue;
            }
            if let Some(value) = word.strip_prefix("device=") {
                device = parse(value, "device")?;
                continue;
            }
            if let Some(value) = word.strip_prefix("captured=") {
                captured_at = Timestamp(self.now.0.saturating_add_signed(duration(value)?));
                continue;
            }
            if let Some(value) = word.strip_prefix("readings=") {
                let (first, last) = value.split_once("..").ok_or("readings are 1..9")?;
                readings = Some((parse(first, "number")?, parse(last, "number")?));
                continue;
            }
            if steps.is_empty() {
                step(&mut steps, 10);
            }
            let Some(now) = steps.last_mut() else {
                continue;
            };
            if let Some(ability) = ability(word) {
                now.ability = ability;
            } else if let Some(code) = word.strip_prefix("finding=") {
                findings.push(Noted {
                    sample: now.sample,
                    finding: Finding::new(parse(code, "finding code")?, "reading", "as told"),
                });
            } else if let Some(weight) = word.strip_prefix("all=") {
                now.weights = Weights([parse(weight, "weight")?; 6]);
            } else if let Some((name, weight)) = word.split_once('=') {
                let family = ThreatFamily::ALL
                    .into_iter()
                    .find(|family| family.as_str() == name)
                    .ok_or_else(|| format!("{name:?} is not a threat family"))?;
                now.weights = now.weights.with(family, parse(weight, "weight")?);
            } else {
                return Err(format!("not understood: {word:?}"));
            }
        }
        if steps.is_empty() {
            step(&mut steps, 10);
        }
        let used = self.readings.entry(device.clone()).or_insert(0);
        let (first, last) = readings.unwrap_or((*used + 1, *used + 10));
        *used = (*used).max(last);
        Ok(Evidence {
            modality,
            digest: Digest::of(format!("{device} {first}..{last}").as_bytes()),
            readings: Some(ReadingRange {
                device,
                boot: 1,
                first,
                last,
            }),
            interpreter: format!("{modality}/1"),
            captured_at,
            findings,
            steps,
        })
    }

    /// What an honest engine proposes from what it sees now.
    fn proposal(&self, case: &Inspection) -> Result<Proposal, Failure> {
        let (policy, rules) = self.ledger.policy().ok_or("no policy is active")?;
        let mut ledger = self.ledger.clone();
        // The engine's clock is the port's: a command that is refused takes the ledger's time there.
        ledger.apply(Command {
            at: self.now,
            traceparent: String::new(),
            body: CommandBody::Cluster(ClusterCommand::NodeDown {
                node: NodeId(u64::MAX),
                boot: BootId(0),
            }),
        });
        Ok(Proposal {
            policy,
            evidence: case.evidence_set(),
            verdict: ledger.verdict_of(case, rules),
        })
    }

    fn conclude(&mut self, mut words: Words) -> Result<Vec<String>, Failure> {
        let case = self.case(&words.next("container")?)?;
        let mut proposal = match words.flag("with") {
            true => {
                let name = words.next("a proposal")?;
                let known = self.proposals.get(&name).cloned();
                known.ok_or_else(|| format!("nothing was proposed as {name:?}"))?
            }
            false => self.proposal(&case)?,
        };
        if let Some(list) = words.option("evidence") {
            proposal.evidence = list
                .split(',')
                .map(|position| parse(position, "position"))
                .collect::<Result<_, _>>()?;
        }
        if let Some(claimed) = words.option("claiming") {
            proposal.verdict.tier = tier(&claimed)?;
        }
        let body = ActorBody::Conclude {
            inspection: case.no,
            policy: proposal.policy,
            evidence: proposal.evidence,
            verdict: proposal.verdict,
        };
        self.actor(ActorKey::Fusion(shard_of(case.no)), words, body)
    }

    fn again(&mut self) -> Result<Vec<String>, Failure> {
        let (body, before) = self.last.clone().ok_or("nothing came before")?;
        let lines = self.run(body.clone());
        let (_, after) = self.last.clone().ok_or("nothing came before")?;
        if to_bytes(&before) == to_bytes(&after) {
            return Ok(vec!["the first answer, byte for byte".to_owned()]);
        }
        self.last = Some((body, before));
        Ok(lines)
    }

    // Applying and telling.

    fn apply(&mut self, body: CommandBody) -> Application {
        let application = self.ledger.apply(Command {
            at: self.now,
            traceparent: String::new(),
            body: body.clone(),
        });
        if let Some(entry) = &application.entry {
            let leaf = entry.leaf();
            if let Event::Announced {
                inspection,
                announcement,
                ..
            } = &leaf.event
            {
                self.cases.insert(announcement.equipment.clone(), *inspection);
            }
            if let Event::NodeUp { node, boot, .. } = &leaf.event {
                self.boots.insert(*node, *boot);
            }
            self.leaves.push(leaf);
        }
        self.leaves.extend(application.alarms.iter().map(LogEntry::leaf));
        self.last = Some((body, application.outcome.clone()));
        application
    }

    fn run(&mut self, body: CommandBody) -> Vec<String> {
        let before = self.ledger.clone();
        let application = self.apply(body);
        let mut lines = vec![self.outcome(&application)];
        for case in self.ledger.changed_since(before.number()) {
            let was = before.inspection(case.no).map(|was| was.stage);
            if was == Some(case.stage) {
                continue;
            }
            lines.push(match was {
                Some(was) => format!("{}: {was} -> {}", case.equipment, case.stage),
                None => format!("{}: {}", case.equipment, case.stage),
            });
        }
        for case in before.inspections_from(InspectionNo(0)) {
            if self.ledger.inspection(case.no).is_none() {
                lines.push(format!("{}: {} -> {}", case.equipment, case.stage, Stage::Departed));
            }
        }
        let facts = |lane: &Lane| (lane.open, lane.next, lane.current);
        for (id, lane) in self.ledger.lanes() {
            if before.lane(id).map(facts) == Some(facts(lane)) {
                continue;
            }
            let name = |no: Option<InspectionNo>| no.map_or_else(|| "nobody".to_owned(), |no| self.name_of(no));
            let open = if lane.open { "open" } else { "closed" };
            lines.push(format!(
                "{id}: {open}, next {}, current {}",
                name(lane.next),
                name(lane.current)
            ));
        }
        lines
    }

    fn outcome(&self, application: &Application) -> String {
        match &application.outcome {
            Outcome::Refused(refusal) => format!("refused {refusal}"),
            Outcome::Applied(applied) => {
                let what = match &application.entry {
                    Some(entry) => {
                        let leaf = entry.leaf();
                        let (no, kind) = (entry.no, leaf.event.kind());
                        format!("entry {no}: {kind} by {}{}", leaf.actor, self.facts(&leaf.event))
                    }
                    None => "nothing new".to_owned(),
                };
                let answer = match &applied.answer {
                    Answer::Done => String::new(),
                    Answer::Inspection { inspection, known } => {
                        format!("; answer {inspection}{}", if *known { ", known" } else { "" })
                    }
                    Answer::Placed { epoch } => format!("; answer {epoch}"),
                    Answer::Pass { pass } => format!("; answer pass {pass}"),
                    Answer::Node { node } => format!("; answer {node}"),
                };
                format!("applied {}, {what}{answer}", applied.number)
            }
        }
    }

    fn facts(&self, event: &Event) -> String {
        let waiting = |aborted: &[InspectionNo]| match aborted {
            [] => String::new(),
            some => {
                let names: Vec<_> = some.iter().map(|no| self.name_of(*no)).collect();
                format!(", broke off {}", names.join(" "))
            }
        };
        let codes = |findings: &[Finding]| match findings {
            [] => String::new(),
            some => {
                let codes: Vec<_> = some.iter().map(|finding| finding.code.as_str()).collect();
                format!(", found {}", codes.join(" "))
            }
        };
        match event {
            Event::Founded { policy, .. } => format!(": policy {}", policy.name),
            Event::NodeUp {
                node, boot, aborted, ..
            }
            | Event::NodeDown { node, boot, aborted } => format!(": {node} {boot}{}", waiting(aborted)),
            Event::Placed {
                key,
                epoch,
                node,
                aborted,
                ..
            } => format!(": {key} on {node} under {epoch}{}", waiting(aborted)),
            Event::VersionActivated { version } => format!(": {version}"),
            Event::LaneDefined { spec } => {
                let can: Vec<_> = spec.modalities().iter().map(|m| m.as_str()).collect();
                format!(": {} with {}", spec.id, can.join(" "))
            }
            Event::LaneOpened { lane } | Event::LaneClosed { lane } => format!(": {lane}"),
            Event::PolicyAdded { policy } => format!(": {}", policy.name),
            Event::ModelAdded { size, .. } => format!(": {size} bytes"),
            Event::PolicyActivated { policy } => format!(": {}", self.policy_name(policy)),
            Event::PolicyAdopted { policy, reason } => format!(": {}, because {reason:?}", policy.name),
            Event::Announced {
                announcement, findings, ..
            } => format!(": {}{}", announcement.equipment, codes(findings)),
            Event::AnnouncedAgain {
                equipment, findings, ..
            } => format!(": {equipment}{}", codes(findings)),
            Event::Profiled { inspection, queued, .. } => format!(
                ": {}{}",
                self.name_of(*inspection),
                if *queued { ", due" } else { ", not due yet" }
            ),
            Event::Enqueued { inspection } => format!(": {}", self.name_of(*inspection)),
            Event::Assigned {
                inspection,
                lane,
                claimed,
            } => format!(
                ": {} to {lane}{}",
                self.name_of(*inspection),
                if *claimed { ", claimed" } else { "" }
            ),
            Event::PassStarted { inspection, lane, pass } => {
                format!(": {} on {lane}, pass {pass}", self.name_of(*inspection))
            }
            Event::EvidenceRecorded {
                inspection,
                pass,
                evidence,
                completes_pass,
            } => format!(
                ": {} pass {pass}{}{}",
                self.name_of(*inspection),
                sources(evidence),
                if *completes_pass { ", complete" } else { "" }
            ),
            Event::Aborted {
                inspection,
                lane,
                cause,
            } => format!(": {} on {lane}, {}", self.name_of(*inspection), cause.as_str()),
            Event::Concluded {
                equipment,
                policy,
                evidence,
                verdict,
                ..
            } => format!(
                ": {equipment} {} by policy {} from {evidence:?}",
                self.verdict(verdict),
                self.policy_name(policy)
            ),
            Event::EvidenceAfterConclusion {
                inspection,
                evidence,
                reopened,
            } => format!(
                ": {}{}{}",
                self.name_of(*inspection),
                sources(evidence),
                if *reopened { ", reopened" } else { "" }
            ),
            Event::Adjudicated {
                equipment,
                ruling,
                reason,
                ..
            } => format!(": {equipment} {}, {reason:?}", ruling.as_str()),
            Event::Departed { equipment, .. } => format!(": {equipment}"),
            Event::NodeEnrolled { node, address, .. } => format!(": {node} at {address}"),
            Event::NodeDrained { node } | Event::NodeUndrained { node } | Event::NodeRemoved { node } => {
                format!(": {node}")
            }
            Event::Restored { size, .. } => format!(": from {size} entries"),
            Event::DriftAlarmed { alarm } => format!(": {} {} after {}", alarm.chart, alarm.trend, alarm.after),
            Event::ChartReset { chart, reason, .. } => format!(": {chart}, {reason:?}"),
        }
    }

    fn verdict(&self, verdict: &Verdict) -> String {
        let reasons: Vec<_> = verdict.reasons.iter().map(describe).collect();
        let stopped = if verdict.stopped { ", enough was known" } else { "" };
        format!(
            "{} at sample {}{stopped} ({})",
            verdict.tier,
            verdict.at_sample,
            reasons.join("; ")
        )
    }

    fn policy_name(&self, digest: &Digest) -> String {
        self.ledger
            .policy_of(digest)
            .map_or_else(|| digest.to_string(), |policy| policy.name.clone())
    }

    /// What a barrier is told: open only for what is committed as free to leave.
    fn barrier(&self, case: &Inspection) -> String {
        match case.stage {
            Stage::Released => format!("{}: open", case.equipment),
            other => format!("{}: stay closed, it is {other}", case.equipment),
        }
    }

    fn explain(&self, case: &Inspection) -> Result<Vec<String>, Failure> {
        let conclusion = case.conclusion.as_ref().ok_or("nothing is concluded")?;
        let policy = self.ledger.policy_of(&conclusion.policy);
        let policy = policy.ok_or("the policy is gone")?;
        let explanation = explain(policy, case).ok_or("there is no explanation")?;
        let mut lines = vec![explanation.sentence.clone()];
        for sum in &explanation.sums {
            if !adds_up(sum) {
                return Err(format!("{} does not add up", sum.family));
            }
            let terms: Vec<_> = sum
                .terms
                .iter()
                .filter(|term| term.adds != 0)
                .map(|term| format!(" {:+} {}", term.adds, term.source))
                .collect();
            lines.push(format!(
                "{} {} = {} prior{}",
                sum.family,
                sum.score,
                sum.prior,
                terms.concat()
            ));
        }
        lines.extend(explanation.unseen.iter().map(|line| format!("unseen: {line}")));
        lines.extend(
            explanation
                .would_change
                .iter()
                .map(|line| format!("would change it: {line}")),
        );
        Ok(lines)
    }

    fn show(&self, case: &Inspection) -> Vec<String> {
        let mut lines = vec![format!(
            "{} is {}: {}, {} passes, {} pieces of evidence{}",
            case.equipment,
            case.no,
            case.stage,
            case.passes,
            case.evidence.len(),
            if case.pass_complete { ", pass complete" } else { "" }
        )];
        lines.extend(case.findings.iter().map(|finding| format!("finding {finding}")));
        lines.extend(
            case.adjudications
                .iter()
                .map(|one| format!("adjudicated {} by {}: {:?}", one.ruling.as_str(), one.by, one.reason)),
        );
        lines
    }

    /// What holds at the end of every story, whatever it was about.
    fn check_promises(&self) -> Result<(), Failure> {
        let mut replayed = Ledger::new();
        for leaf in &self.leaves {
            replayed.replay(leaf.clone());
        }
        if replayed.log() != self.ledger.log() {
            return Err("the log's root is not that of its leaves".to_owned());
        }
        if !replayed
            .inspections_from(InspectionNo(0))
            .eq(self.ledger.inspections_from(InspectionNo(0)))
        {
            return Err("replaying the log gives other inspections".to_owned());
        }
        if !replayed.lanes().eq(self.ledger.lanes()) {
            return Err("replaying the log gives other lanes".to_owned());
        }
        Ok(())
    }
}

fn equipment(text: &str) -> Result<EquipmentId, Failure> {
    EquipmentId::new(text).map_err(|error| error.to_string())
}

/// Begins what may follow any command from outside.
fn is_clause(word: &str) -> bool {
    matches!(word, "by" | "request" | "through")
}

fn on_lane(words: &mut Words) -> Result<ActorKey, Failure> {
    words.expect("on")?;
    Ok(ActorKey::Lane(words.parse("lane")?))
}

fn abort_cause(text: &str) -> Result<AbortCause, Failure> {
    [
        AbortCause::NodeLost,
        AbortCause::LaneMoved,
        AbortCause::DeviceLost,
        AbortCause::TimedOut,
        AbortCause::LaneClosed,
    ]
    .into_iter()
    .find(|cause| cause.as_str() == text)
    .ok_or_else(|| format!("{text:?} is not a cause"))
}

fn sources(evidence: &[Evidence]) -> String {
    let words: Vec<_> = evidence
        .iter()
        .map(|one| {
            let ability = one.total().map_or("", |step| step.ability.as_str());
            let codes: Vec<_> = one
                .findings
                .iter()
                .map(|noted| format!(" {}", FindingCode::as_str(noted.finding.code)))
                .collect();
            format!("{} {ability}{}", one.modality, codes.concat())
        })
        .collect();
    match words.as_slice() {
        [] => String::new(),
        some => format!(", {}", some.join(", ")),
    }
}
