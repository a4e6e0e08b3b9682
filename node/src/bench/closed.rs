//! A port's past, made without a port: the domain's own ledger is led through whole inspections, from the announcement to the
//! departure, as honest actors would lead it.

use std::collections::BTreeMap;

use anyhow::{Context, bail};
use portcullis_domain::command::{
    ActorBody, ActorCommand, ClusterCommand, Command, CommandBody, ExternalBody, ExternalCommand,
};
use portcullis_domain::equipment::EquipmentId;
use portcullis_domain::evidence::{Ability, Evidence, Modality, ReadingRange, Step, Weights};
use portcullis_domain::id::{
    BootId, ClusterId, DeviceId, Digest, Epoch, LaneId, NodeId, Principal, RequestId, SampleNo, Sequence, SourceId,
    TerminalId, Timestamp,
};
use portcullis_domain::inspection::{Inspection, Ruling, Stage};
use portcullis_domain::lane::{DeviceKind, DeviceSpec, LaneSpec};
use portcullis_domain::ledger::Ledger;
use portcullis_domain::manifest::{Announcement, GoodsItem, Manifest};
use portcullis_domain::placement::{ActorKey, shard_of};
use portcullis_domain::policy::Policy;

use super::body::Series;

/// Milliseconds between two commands, eight for each container: the pace of the busiest port, a container a second. It decides
/// how many answers are still kept, because that goes by time.
const STEP_MS: u64 = 125;
/// An inspection that needs more commands goes in a circle.
const STEPS_MOST: u32 = 24;
/// What the first policy wants to know of every laden container.
const SENSORS: [Modality; 3] = [Modality::Radiation, Modality::Weighbridge, Modality::Ocr];
/// The lane that everything goes through, and its node.
const LANE: LaneId = LaneId(1);
const NODE: NodeId = NodeId(1);

/// A ledger that is being written.
pub(super) struct Past {
    ledger: Ledger,
    now: u64,
    requests: u64,
    readings: u64,
    sequences: BTreeMap<ActorKey, u64>,
    series: Series,
    terminal: TerminalId,
    leaves: Vec<Vec<u8>>,
}

impl Past {
    /// A cluster just founded, with one lane; its present is at `now`.
    pub(super) fn found(cluster: ClusterId, now: Timestamp, inspections: u64) -> anyhow::Result<Self> {
        // So that all of it is over by now.
        let long = inspections * u64::from(STEPS_MOST) * STEP_MS;
        let mut past = Self {
            ledger: Ledger::new(),
            now: now.0.saturating_sub(long),
            requests: 0,
            readings: 0,
            sequences: BTreeMap::new(),
            series: Series::random(),
            terminal: TerminalId::new("T1")?,
            leaves: Vec::new(),
        };
        let policy = Policy::first();
        past.cluster(ClusterCommand::Found { cluster, policy })?;
        past.cluster(ClusterCommand::NodeUp {
            node: NODE,
            boot: BootId(1),
            expect: None,
            capacity: 100,
            version: 1,
        })?;
        past.external(ExternalBody::DefineLane(LaneSpec {
            id: LANE,
            terminal: past.terminal.clone(),
            devices: SENSORS
                .iter()
                .zip(1..)
                .map(|(modality, key)| {
                    Ok(DeviceSpec {
                        id: device(*modality)?,
                        kind: DeviceKind::Sensor(*modality),
                        public_key: [key; 32],
                    })
                })
                .collect::<anyhow::Result<_>>()?,
            nodes: Vec::new(),
            usual_pass_s: 90,
            scheduled: true,
        }))?;
        Ok(past)
    }

    /// Leads one container from its announcement to its departure, and gives the leaves that were written since the last call.
    pub(super) fn inspection(&mut self, number: u64) -> anyhow::Result<Vec<Vec<u8>>> {
        let equipment = EquipmentId::new(std::str::from_utf8(&self.series.container(number))?)?;
        self.external(ExternalBody::Announce(Announcement {
            equipment: equipment.clone(),
            terminal: self.terminal.clone(),
            ready_at: None,
            due_at: None,
            priority: 0,
            manifest: Manifest {
                goods: vec![GoodsItem {
                    sequence: 1,
                    commodity_code: "847130".to_owned(),
                    description: "portable computers".to_owned(),
                    gross_mass_g: Some(12_000_000),
                    ..GoodsItem::default()
                }],
                gross_mass_g: Some(12_000_000),
                ..Manifest::default()
            },
            findings: Vec::new(),
        }))?;
        for _ in 0..STEPS_MOST {
            let Some(case) = self.ledger.open_inspection(&equipment).map(|case| (**case).clone()) else {
                return Ok(std::mem::take(&mut self.leaves));
            };
            self.advance(&case)?;
        }
        bail!("{equipment} does not leave the port")
    }

    /// The ledger after all of it.
    pub(super) fn ledger(&self) -> &Ledger {
        &self.ledger
    }

    /// The leaves that no call has given yet.
    pub(super) fn leaves(&mut self) -> Vec<Vec<u8>> {
        std::mem::take(&mut self.leaves)
    }

    fn advance(&mut self, case: &Inspection) -> anyhow::Result<()> {
        let inspection = case.no;
        let fusion = ActorKey::Fusion(shard_of(inspection));
        let scheduler = ActorKey::Scheduler(self.terminal.clone());
        match case.stage {
            Stage::Announced => {
                let evidence = self.evidence(Modality::Manifest)?;
                self.actor(fusion, |_| ActorBody::Profile { inspection, evidence })
            }
            Stage::Profiled => self.actor(scheduler, |_| ActorBody::Enqueue { inspection }),
            Stage::Queued => {
                self.home(&ActorKey::Lane(LANE))?;
                let lane_epoch = self.epoch(&ActorKey::Lane(LANE));
                self.actor(scheduler, |_| ActorBody::Assign {
                    inspection,
                    expect: case.version,
                    lane: LANE,
                    lane_epoch,
                })
            }
            Stage::Assigned { lane } => self.actor(ActorKey::Lane(lane), |_| ActorBody::StartPass { inspection }),
            Stage::InPass { lane } if !case.pass_complete => {
                let evidence = SENSORS.iter().map(|modality| self.evidence(*modality));
                let evidence = evidence.collect::<anyhow::Result<_>>()?;
                self.actor(ActorKey::Lane(lane), |_| ActorBody::RecordEvidence {
                    inspection,
                    pass: case.passes,
                    evidence,
                    completes_pass: true,
                })
            }
            Stage::InPass { .. } => {
                let (policy, rules) = self.ledger.policy().context("a founded cluster has a policy")?;
                let verdict = self.ledger.verdict_of(case, rules);
                let evidence = case.evidence_set();
                self.actor(fusion, |_| ActorBody::Conclude {
                    inspection,
                    policy,
                    evidence,
                    verdict,
                })
            }
            Stage::UnderReview | Stage::Held => self.external(ExternalBody::Adjudicate {
                inspection,
                ruling: Ruling::Release,
                reason: "looked at it".to_owned(),
            }),
            Stage::Released | Stage::Seized => self.external(ExternalBody::ReportDeparture {
                equipment: case.equipment.clone(),
            }),
            Stage::Departed => Ok(()),
        }
    }

    fn evidence(&mut self, modality: Modality) -> anyhow::Result<Evidence> {
        let first = self.readings + 1;
        self.readings += 10;
        Ok(Evidence {
            modality,
            readings: (modality != Modality::Manifest)
                .then(|| -> anyhow::Result<_> {
                    Ok(ReadingRange {
                        device: device(modality)?,
                        boot: 1,
                        first,
                        last: first + 9,
                    })
                })
                .transpose()?,
            digest: Digest::of(&first.to_le_bytes()),
            interpreter: "bench/1".to_owned(),
            captured_at: Timestamp(self.now),
            findings: Vec::new(),
            steps: vec![Step {
                sample: SampleNo(u32::from(modality != Modality::Manifest)),
                ability: Ability::Clear,
                weights: Weights::default(),
            }],
        })
    }

    fn cluster(&mut self, body: ClusterCommand) -> anyhow::Result<()> {
        self.run(CommandBody::Cluster(body))
    }

    fn external(&mut self, body: ExternalBody) -> anyhow::Result<()> {
        self.requests += 1;
        let command = ExternalCommand {
            source: SourceId::new(self.series.source())?,
            request: RequestId::new(Series::request_id(self.requests))?,
            principal: Principal::new("bench")?,
            body,
        };
        self.run(CommandBody::External(command))
    }

    fn actor(&mut self, key: ActorKey, body: impl FnOnce(&Self) -> ActorBody) -> anyhow::Result<()> {
        self.home(&key)?;
        let next = self.sequences.entry(key.clone()).or_insert(0);
        *next += 1;
        let sequence = Sequence(*next);
        let command = ActorCommand {
            epoch: self.epoch(&key),
            sequence,
            body: body(self),
            key,
        };
        self.run(CommandBody::Actor(command))
    }

    fn epoch(&self, key: &ActorKey) -> Epoch {
        self.ledger
            .placement(key)
            .map_or(Epoch::NONE, |placement| placement.epoch)
    }

    fn home(&mut self, key: &ActorKey) -> anyhow::Result<()> {
        if self.ledger.placement(key).is_some() {
            return Ok(());
        }
        self.cluster(ClusterCommand::Place {
            key: key.clone(),
            expect: Epoch::NONE,
            node: NODE,
            boot: BootId(1),
        })
    }

    fn run(&mut self, body: CommandBody) -> anyhow::Result<()> {
        self.now += STEP_MS;
        let application = self.ledger.apply(Command {
            at: Timestamp(self.now),
            traceparent: String::new(),
            body,
        });
        if application.entry.is_none() {
            anyhow::bail!("the ledger refused a step: {:?}", application.outcome);
        }
        self.leaves.extend(application.into_entries().map(|entry| entry.bytes));
        Ok(())
    }
}

fn device(modality: Modality) -> anyhow::Result<DeviceId> {
    let name = match modality {
        Modality::Weighbridge => "lane-1-weighbridge",
        Modality::Ocr => "lane-1-ocr",
        _ => "lane-1-radiation",
    };
    Ok(DeviceId::new(name)?)
}
