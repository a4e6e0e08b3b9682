//! The actor of a lane: calls containers up, runs their passes, records what the sensors say, orders the barrier.
//!
//! It follows the ledger: every wake-up compares what the ledger says about the lane with what was last done about it.
//! So a lost message delays and never misleads, and a new owner of the lane continues from the ledger alone.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use portcullis_domain::command::{AbortCause, ActorBody};
use portcullis_domain::equipment::EquipmentId;
use portcullis_domain::evidence::Modality;
use portcullis_domain::finding::{Finding, FindingCode};
use portcullis_domain::id::{DeviceId, EntryNo, InspectionNo, LaneId, PassNo, SampleNo, Timestamp};
use portcullis_domain::inspection::{Inspection, Stage};
use portcullis_domain::lane::{DeviceKind, DeviceSpec, Lane as LaneRecord};
use portcullis_domain::ledger::{DeviceMark, Ledger};
use portcullis_domain::message::{Feature, LaneLoad, Message, Steer, ToDevice};
use portcullis_domain::outcome::Refusal;
use portcullis_domain::placement::{ActorKey, shard_of};
use portcullis_domain::policy::Tier;
use portcullis_domain::reading::ReadingContent;
use tokio::sync::mpsc;
use tokio::time::Instant;
use tracing::{debug, error, info, warn};

use crate::device::Said;
use crate::pass::{Pass, Phase};
use crate::shell::{Context, Halt, Role};
use crate::source::{Authentic, Declared, Prelude, SOURCE_BYTES_MAX, Source};

/// A sensor hears after so many samples that they are taken in.
const CONTINUE_EVERY: u32 = 4;
/// How long a container that nobody knows may stand before that is said: an announcement may still be on its way to
/// this replica.
const UNKNOWN_GRACE: Duration = Duration::from_secs(1);
/// A refused claim or start is tried again this often, because the plan may have changed in between.
const TRIES: u32 = 3;
const TRY_AGAIN: Duration = Duration::from_millis(250);
const REPORT_EVERY: Duration = Duration::from_secs(1);
const KEEP_AGAIN: Duration = Duration::from_millis(200);
/// Readings that cannot be kept for so long (real time) break the pass off: the lane is worth more than this pass.
const KEEP_WITHIN: Duration = Duration::from_secs(20);

/// What reaches a lane.
#[derive(Debug)]
pub(crate) enum LaneMessage {
    /// A device comes.
    Attach {
        device: DeviceId,
        port: u64,
        boot: u64,
        outgoing: mpsc::Sender<ToDevice>,
    },
    /// A device goes.
    Detach { device: DeviceId, port: u64 },
    /// A device said something.
    Said { device: DeviceId, port: u64, said: Said },
    /// Fusion says whether enough is known.
    Steer(Steer),
    /// The readings of a pass are kept.
    Kept { inspection: InspectionNo, pass: PassNo },
    /// They could not be kept in time.
    NotKept { inspection: InspectionNo, pass: PassNo },
}

/// What a command is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum LaneTicket {
    Claim,
    StartPass,
    Record,
    Abort,
}

/// A device that is attached.
struct Device {
    spec: DeviceSpec,
    port: u64,
    boot: u64,
    outgoing: mpsc::Sender<ToDevice>,
    /// The last reading of the pass under way, or since the last one began.
    last: Option<u64>,
}

/// A container that is called up.
struct Called {
    inspection: InspectionNo,
    entry: EntryNo,
    since: Timestamp,
    since_real: Instant,
    sent: bool,
}

/// A container that stands before the lane.
struct Standing {
    equipment: EquipmentId,
    by: DeviceId,
    since: Timestamp,
    since_real: Instant,
    not_before: Instant,
    tries: u32,
}

/// The last order for the barrier.
struct Order {
    inspection: InspectionNo,
    sent: bool,
}

/// The actor.
pub(crate) struct Lane {
    context: Context<Self>,
    id: LaneId,
    devices: BTreeMap<DeviceId, Device>,
    /// How far the readings of each device were seen, here or in the ledger.
    marks: BTreeMap<DeviceId, DeviceMark>,
    preludes: BTreeMap<DeviceId, Prelude>,
    called: Option<Called>,
    standing: Option<Standing>,
    /// The sensors that were there when the start of the pass was asked for.
    starting: BTreeSet<DeviceId>,
    pass: Option<Pass>,
    /// The pass that was last begun, so that none begins twice.
    begun: Option<(InspectionNo, PassNo)>,
    /// Which inspection the ledger had on the lane when it was last looked at.
    on_lane: Option<InspectionNo>,
    order: Option<Order>,
    abort_not_before: Instant,
    /// Moving average of what a pass takes, seconds of the port's clock; none before the first.
    pass_s: Option<u32>,
    idle_since: Timestamp,
    reported: Option<(LaneLoad, Instant)>,
}

impl Role for Lane {
    type Message = LaneMessage;
    type Ticket = LaneTicket;
    type Setup = LaneId;

    fn start(context: Context<Self>, id: LaneId) -> Self {
        Self {
            context,
            id,
            devices: BTreeMap::new(),
            marks: BTreeMap::new(),
            preludes: BTreeMap::new(),
            called: None,
            standing: None,
            starting: BTreeSet::new(),
            pass: None,
            begun: None,
            on_lane: None,
            order: None,
            abort_not_before: Instant::now(),
            pass_s: None,
            idle_since: Timestamp::ZERO,
            reported: None,
        }
    }

    fn context(&mut self) -> &mut Context<Self> {
        &mut self.context
    }

    fn wake(&mut self, _: BTreeSet<InspectionNo>) -> Result<(), Halt> {
        self.follow_ledger();
        Ok(())
    }

    fn receive(&mut self, message: LaneMessage) -> Result<(), Halt> {
        match message {
            LaneMessage::Attach {
                device,
                port,
                boot,
                outgoing,
            } => self.attach(device, port, boot, outgoing),
            LaneMessage::Detach { device, port } => self.detach(&device, port, "the device left"),
            LaneMessage::Said { device, port, said } => self.hear(&device, port, said),
            LaneMessage::Steer(steer) => self.steer(steer),
            LaneMessage::Kept { inspection, pass } => self.record(inspection, pass),
            LaneMessage::NotKept { inspection, pass } => self.not_kept(inspection, pass),
        }
        self.follow_ledger();
        Ok(())
    }

    fn refused(&mut self, ticket: LaneTicket, refusal: Refusal) -> Result<(), Halt> {
        match ticket {
            LaneTicket::Claim | LaneTicket::StartPass => {
                self.starting.clear();
                if let Some(standing) = &mut self.standing {
                    standing.tries += 1;
                    standing.not_before = Instant::now() + TRY_AGAIN;
                    if standing.tries >= TRIES {
                        self.turn_away(refusal.reason.as_str(), refusal.detail);
                    }
                }
            }
            LaneTicket::Record => {
                // Either the pass is over, which the ledger will show, or this evidence can never be recorded.
                error!(%refusal, "evidence refused");
                self.break_off(AbortCause::DeviceLost);
            }
            LaneTicket::Abort => {
                // What it is about may be over already; ask again only when this replica has had time to learn it.
                self.abort_not_before = Instant::now() + TRY_AGAIN;
            }
        }
        self.follow_ledger();
        Ok(())
    }

    fn stopping(&mut self) {
        for device in self.devices.values() {
            let reason = "the lane moves to another owner".to_owned();
            let _ = device.outgoing.try_send(ToDevice::Detached { reason });
        }
    }
}

// Devices.
impl Lane {
    fn attach(&mut self, id: DeviceId, port: u64, boot: u64, outgoing: mpsc::Sender<ToDevice>) {
        let ledger = self.context.ledger();
        let Some(spec) = ledger.lane(self.id).and_then(|lane| lane.spec.device(&id)).cloned() else {
            let reason = format!("{id} does not belong to {}", self.id);
            let _ = outgoing.try_send(ToDevice::Detached { reason });
            return;
        };
        if let Some(old) = self.devices.get(&id) {
            if old.boot > boot {
                let reason = format!("start {} of {id} is attached, which came after start {boot}", old.boot);
                let _ = outgoing.try_send(ToDevice::Detached { reason });
                return;
            }
            let old_port = old.port;
            self.detach(&id, old_port, "the device attached again");
        }
        let mark = self
            .marks
            .entry(id.clone())
            .or_insert(DeviceMark { boot: 0, sequence: 0 });
        *mark = (*mark).max(ledger.device_mark(&id).unwrap_or(*mark));
        let prelude = self.preludes.entry(id.clone()).or_default();
        if mark.boot != boot {
            prelude.sensor_restarted();
        }
        let welcome = ToDevice::Welcome {
            lane_epoch: self.context.epoch,
        };
        let device = Device {
            spec,
            port,
            boot,
            outgoing,
            last: None,
        };
        info!(device = %id, boot, "device attached");
        self.devices.insert(id.clone(), device);
        self.send(&id, welcome);
        // What the others were told before it came.
        if let Some(called) = self.called.as_ref().filter(|called| called.sent)
            && let Some(case) = ledger.inspection(called.inspection)
        {
            let call = self.call_up(called, &case.equipment);
            self.send(&id, call);
        }
        // Whoever moves the barrier may have missed the order.
        let moves_barrier = ledger
            .lane(self.id)
            .is_some_and(|lane| self.barrier_ends(lane).contains(&id));
        if let Some(order) = self.order.as_mut().filter(|_| moves_barrier) {
            order.sent = false;
        }
    }

    fn detach(&mut self, id: &DeviceId, port: u64, reason: &str) {
        if self.devices.get(id).is_none_or(|device| device.port != port) {
            return;
        }
        let Some(device) = self.devices.remove(id) else { return };
        info!(device = %id, reason, "device detached");
        let _ = device.outgoing.try_send(ToDevice::Detached {
            reason: reason.to_owned(),
        });
        let needed = self.pass.as_ref().is_some_and(|pass| {
            pass.phase == Phase::Measuring && pass.sources.get(id).is_some_and(|source| !source.ended)
        });
        if needed {
            self.break_off(AbortCause::DeviceLost);
        }
    }

    /// Sends what the device must get. One that does not take its messages is given up.
    fn send(&mut self, id: &DeviceId, message: ToDevice) {
        let Some(device) = self.devices.get(id) else { return };
        debug!(device = %id, ?message, "to device");
        if device.outgoing.try_send(message).is_err() {
            let port = device.port;
            self.detach(id, port, "the device does not take its messages");
        }
    }

    fn send_all(&mut self, ids: &[DeviceId], message: &ToDevice) {
        for id in ids {
            self.send(id, message.clone());
        }
    }

    /// Sends what the device may miss.
    fn hint(&self, id: &DeviceId, message: ToDevice) {
        if let Some(device) = self.devices.get(id) {
            let _ = device.outgoing.try_send(message);
        }
    }

    fn refuse(&self, id: &DeviceId, sequence: u64, reason: &str, detail: String) {
        info!(device = %id, sequence, reason, detail, "refused");
        self.hint(
            id,
            ToDevice::Refused {
                sequence,
                reason: reason.to_owned(),
                detail,
            },
        );
    }

    fn sensors(&self) -> impl Iterator<Item = (&DeviceId, &Device, Modality)> {
        self.devices.iter().filter_map(|(id, device)| match device.spec.kind {
            DeviceKind::Sensor(modality) => Some((id, device, modality)),
            DeviceKind::Controller => None,
        })
    }

    /// Who gets barrier orders: the controllers; on a lane that has none, everybody.
    fn barrier_ends(&self, lane: &LaneRecord) -> Vec<DeviceId> {
        let has_controller = lane
            .spec
            .devices
            .iter()
            .any(|device| device.kind == DeviceKind::Controller);
        self.devices
            .iter()
            .filter(|(_, device)| !has_controller || device.spec.kind == DeviceKind::Controller)
            .map(|(id, _)| id.clone())
            .collect()
    }

    fn hear(&mut self, id: &DeviceId, port: u64, said: Said) {
        if self.devices.get(id).is_none_or(|device| device.port != port) {
            return;
        }
        match said {
            Said::Reading(reading) => self.take_reading(id, *reading),
            Said::Unfit { reason, detail } => {
                self.refuse(id, 0, reason, detail.clone());
                if let Some(source) = self.source(id) {
                    source.doubt(Finding::new(FindingCode::ReadingRefused, reason, detail));
                }
            }
            Said::Arrived(equipment) => self.arrived(id, equipment),
            Said::PassEnded(inspection, pass) => self.ended(id, inspection, pass),
        }
    }

    /// The device's part of the pass, while it measures.
    fn source(&mut self, id: &DeviceId) -> Option<&mut Source> {
        let pass = self.pass.as_mut().filter(|pass| pass.phase == Phase::Measuring)?;
        pass.sources.get_mut(id).filter(|source| !source.ended)
    }
}

// Readings.
impl Lane {
    fn take_reading(&mut self, id: &DeviceId, reading: Authentic) {
        let header = reading.reading.header.clone();
        let sequence = header.sequence;
        let Some(device) = self.devices.get_mut(id) else { return };
        if header.device != *id {
            let detail = format!("it is of {}, this is {id}", header.device);
            return self.refuse(id, sequence, "READING_OF_ANOTHER_DEVICE", detail);
        }
        let mark = self
            .marks
            .entry(id.clone())
            .or_insert(DeviceMark { boot: 0, sequence: 0 });
        let this = DeviceMark {
            boot: header.boot,
            sequence,
        };
        if this <= *mark || header.boot != device.boot {
            let detail = format!(
                "start {} number {sequence} is not after start {} number {}, or not of the start that attached ({})",
                header.boot, mark.boot, mark.sequence, device.boot
            );
            if let Some(source) = self.source(id) {
                // Honest sensors repeat themselves after a fault of the line, so this casts no doubt.
                source.note(Finding::new(
                    FindingCode::ReadingStray,
                    "READING_REPLAYED",
                    detail.clone(),
                ));
            }
            return self.refuse(id, sequence, "READING_REPLAYED", detail);
        }
        *mark = this;
        let gap = device.last.filter(|last| sequence > last + 1);
        device.last = Some(sequence);
        let DeviceKind::Sensor(modality) = device.spec.kind else {
            return self.refuse(
                id,
                sequence,
                "NOT_A_SENSOR",
                format!("{id} controls the lane and measures nothing"),
            );
        };
        let content = &reading.reading.content;
        if content.modality().is_some_and(|found| found != modality) {
            let detail = format!("{id} is configured as {modality}");
            return self.refuse(id, sequence, "WRONG_MODALITY", detail);
        }
        if let (Some(last), Some(source)) = (gap, self.source(id)) {
            let detail = format!("numbers {} to {} are missing", last + 1, sequence - 1);
            source.doubt(Finding::new(FindingCode::ReadingGap, "sequence", detail));
        }
        let before_samples = matches!(
            content,
            ReadingContent::RadiationBackground(_) | ReadingContent::SourceDocument(_)
        );
        if before_samples {
            self.take_prelude(id, reading);
        } else {
            self.take_sample(id, reading);
        }
    }

    fn take_prelude(&mut self, id: &DeviceId, reading: Authentic) {
        let bytes_max = self.context.config.pass_bytes_max;
        let pass = self.pass.as_mut().filter(|pass| pass.phase == Phase::Measuring);
        let too_large = pass
            .as_ref()
            .is_some_and(|pass| !pass.has_room(id, &reading.signed, bytes_max));
        let source = pass
            .and_then(|pass| pass.sources.get_mut(id))
            .filter(|source| !source.ended && source.last_sample == SampleNo(0));
        match source {
            Some(_) if too_large => {
                let sequence = reading.reading.header.sequence;
                let detail = pass_too_large(bytes_max);
                self.refuse(id, sequence, "PASS_TOO_LARGE", detail);
            }
            Some(source) => source.take_prelude(reading),
            None => self.preludes.entry(id.clone()).or_default().push(reading),
        }
    }

    fn take_sample(&mut self, id: &DeviceId, reading: Authentic) {
        let header = reading.reading.header.clone();
        let sequence = header.sequence;
        let bytes_max = self.context.config.pass_bytes_max;
        let running = self.pass.as_mut().filter(|pass| pass.phase == Phase::Measuring);
        let Some(pass) = running else {
            let detail = format!("no pass is under way on {}", self.id);
            return self.refuse(id, sequence, "NO_PASS", detail);
        };
        let expected = (pass.inspection, pass.equipment.clone());
        let about_this = header.inspection == Some(expected.0)
            && header
                .equipment
                .as_ref()
                .is_none_or(|equipment| *equipment == expected.1);
        if !about_this {
            let detail = format!("in the lane is {} ({})", expected.1, expected.0);
            if let Some(source) = self.source(id) {
                // A sensor may still be sending what belongs to a pass that broke off.
                let found = Finding::new(
                    FindingCode::ReadingStray,
                    "READING_FOR_ANOTHER_CONTAINER",
                    detail.clone(),
                );
                source.note(found);
            }
            return self.refuse(id, sequence, "READING_FOR_ANOTHER_CONTAINER", detail);
        }
        let too_large = !pass.has_room(id, &reading.signed, bytes_max);
        let sources = u32::try_from(pass.sources.len()).unwrap_or(u32::MAX);
        let (no, case) = (pass.pass, Arc::clone(&pass.case));
        let Some(source) = pass.sources.get_mut(id).filter(|source| !source.ended) else {
            let detail = format!("{id} does not take part in this pass, or has ended it");
            return self.refuse(id, sequence, "NO_PASS", detail);
        };
        if too_large {
            let detail = pass_too_large(bytes_max);
            source.doubt(Finding::new(
                FindingCode::ReadingRefused,
                "PASS_TOO_LARGE",
                detail.clone(),
            ));
            return self.refuse(id, sequence, "PASS_TOO_LARGE", detail);
        }
        if header.sample < source.last_sample {
            let detail = format!("sample {} comes after sample {}", header.sample, source.last_sample);
            source.doubt(Finding::new(FindingCode::SampleGap, "sample", detail.clone()));
            return self.refuse(id, sequence, "SAMPLE_OUT_OF_ORDER", detail);
        }
        let declared = Declared {
            manifest: &case.manifest,
            equipment: &case.equipment,
        };
        let prelude = self.preludes.entry(id.clone()).or_default();
        source.take_sample(reading, declared, prelude);
        let taken = header.sample;
        let acknowledge = taken.0 >= source.told.0.saturating_add(CONTINUE_EVERY);
        if acknowledge {
            source.told = taken;
        }
        let feature = self.feature(expected.0, no, id, sources, false);
        if acknowledge {
            self.hint(
                id,
                ToDevice::Continue {
                    inspection: expected.0,
                    sample: taken,
                },
            );
        }
        self.tell_fusion(feature);
    }

    fn feature(
        &self,
        inspection: InspectionNo,
        pass: PassNo,
        device: &DeviceId,
        sources: u32,
        last: bool,
    ) -> Option<Feature> {
        let source = self.pass.as_ref()?.sources.get(device)?;
        let (ability, weights) = source.knowledge();
        Some(Feature {
            lane: self.id,
            lane_epoch: self.context.epoch,
            inspection,
            pass,
            device: device.clone(),
            modality: source.modality,
            sample: source.last_sample,
            ability,
            weights,
            last,
            sources,
        })
    }

    fn tell_fusion(&self, feature: Option<Feature>) {
        if let Some(feature) = feature {
            let to = ActorKey::Fusion(shard_of(feature.inspection));
            self.context.tell(&to, Message::Feature(feature));
        }
    }

    /// Fusion knows what features reached it; some may be lost. So the lane, which has every reading, looks once more
    /// before it stops: a pass that stops too early could end in another conclusion than the same readings would.
    fn steer(&mut self, steer: Steer) {
        let Some(pass) = &self.pass else { return };
        let meant = (pass.inspection, pass.pass) == (steer.inspection, steer.pass);
        if !steer.stop || !meant || pass.stop_sent || pass.phase != Phase::Measuring {
            return;
        }
        let ledger = self.context.ledger();
        let Some((_, policy)) = ledger.policy() else { return };
        let Some(sample) = pass.enough(policy, self.context.now()) else {
            debug!(inspection = %steer.inspection, sample = steer.sample.0, "not enough is known here, going on");
            return;
        };
        info!(inspection = %steer.inspection, sample = sample.0, "enough is known, stopping");
        let running: Vec<DeviceId> = pass
            .sources
            .iter()
            .filter(|(_, source)| !source.ended)
            .map(|(id, _)| id.clone())
            .collect();
        if let Some(pass) = &mut self.pass {
            pass.stop_sent = true;
        }
        self.send_all(
            &running,
            &ToDevice::Stop {
                inspection: steer.inspection,
                sample,
            },
        );
    }

    fn ended(&mut self, id: &DeviceId, inspection: InspectionNo, no: PassNo) {
        let Some(pass) = self.pass.as_mut().filter(|pass| pass.phase == Phase::Measuring) else {
            return;
        };
        if (pass.inspection, pass.pass) != (inspection, no) {
            return;
        }
        let sources = u32::try_from(pass.sources.len()).unwrap_or(u32::MAX);
        match pass.sources.get_mut(id) {
            Some(source) if !source.ended => source.end(),
            _ => return,
        }
        let complete = pass.is_complete();
        let feature = self.feature(inspection, no, id, sources, true);
        self.tell_fusion(feature);
        if complete {
            self.keep_readings();
        }
    }

    /// Readings are kept before the evidence names them.
    fn keep_readings(&mut self) {
        let Some(pass) = &mut self.pass else { return };
        pass.phase = Phase::Recording;
        let took_s = u32::try_from(self.context.now().millis_since(pass.started_at) / 1000).unwrap_or(u32::MAX);
        self.pass_s = Some(match self.pass_s {
            // A new pass counts an eighth.
            Some(average) => average - average / 8 + took_s / 8,
            None => took_s,
        });
        let (inspection, no) = (pass.inspection, pass.pass);
        let readings = pass.take_readings();
        debug!(%inspection, pass = no.0, sources = readings.len(), "keeping readings");
        let blobs = Arc::clone(&self.context.ports.blobs);
        self.context.later(async move {
            let kept = async {
                while let Err(error) = blobs.put(readings.clone()).await {
                    warn!(%inspection, %error, "trying again");
                    tokio::time::sleep(KEEP_AGAIN).await;
                }
            };
            match tokio::time::timeout(KEEP_WITHIN, kept).await {
                Ok(()) => LaneMessage::Kept { inspection, pass: no },
                Err(_) => LaneMessage::NotKept { inspection, pass: no },
            }
        });
    }

    fn not_kept(&mut self, inspection: InspectionNo, no: PassNo) {
        let waits = self
            .pass
            .as_ref()
            .is_some_and(|pass| pass.phase == Phase::Recording && (pass.inspection, pass.pass) == (inspection, no));
        if waits {
            warn!(%inspection, pass = no.0, "the readings of the pass could not be kept in {KEEP_WITHIN:?}");
            self.break_off(AbortCause::TimedOut);
        }
    }

    fn record(&mut self, inspection: InspectionNo, no: PassNo) {
        let Some(pass) = self.pass.as_mut().filter(|pass| pass.phase == Phase::Recording) else {
            return;
        };
        if (pass.inspection, pass.pass) != (inspection, no) {
            return;
        }
        let evidence = pass.evidence();
        info!(%inspection, pass = no.0, sources = evidence.len(), "pass complete");
        let body = ActorBody::RecordEvidence {
            inspection,
            pass: no,
            evidence,
            completes_pass: true,
        };
        self.context.submit(body, LaneTicket::Record);
    }

    /// The pass cannot be completed: sensors stop, the ledger puts the container back into the queue.
    fn break_off(&mut self, cause: AbortCause) {
        let Some(pass) = &mut self.pass else { return };
        if matches!(pass.phase, Phase::Aborting(_)) {
            return;
        }
        pass.phase = Phase::Aborting(cause);
        let inspection = pass.inspection;
        warn!(%inspection, pass = pass.pass.0, cause = cause.as_str(), "breaking off the pass");
        self.stop_sensors();
        self.context
            .submit(ActorBody::Abort { inspection, cause }, LaneTicket::Abort);
    }

    fn stop_sensors(&mut self) {
        let Some(pass) = &self.pass else { return };
        let stop = ToDevice::Stop {
            inspection: pass.inspection,
            sample: SampleNo(0),
        };
        let ids: Vec<DeviceId> = pass.sources.keys().cloned().collect();
        self.send_all(&ids, &stop);
    }
}

fn pass_too_large(bytes_max: usize) -> String {
    format!("the readings of one pass may have {bytes_max} bytes together, those of one sensor {SOURCE_BYTES_MAX}")
}

// Following the ledger.
impl Lane {
    fn follow_ledger(&mut self) {
        let ledger = self.context.ledger();
        let Some(lane) = ledger.lane(self.id) else { return };
        self.give_up_changed_devices(lane);
        self.follow_pass(&ledger, lane);
        self.follow_conclusion(&ledger, lane);
        self.order_barrier(&ledger, lane);
        self.follow_call_up(&ledger, lane);
        self.receive_standing(&ledger, lane);
        self.report(lane);
    }

    fn is_pending(&self, tickets: &[LaneTicket]) -> bool {
        self.context.commands.pending().any(|ticket| tickets.contains(ticket))
    }

    fn may_abort(&self) -> bool {
        Instant::now() >= self.abort_not_before && !self.is_pending(&[LaneTicket::Abort])
    }

    fn has_quorum(&self) -> bool {
        self.context.ports.quorum.has_quorum()
    }

    /// A deadline of the port has passed, and at least as much real time as the cluster needs.
    fn is_past(&self, since: Timestamp, since_real: Instant, limit_ms: u64) -> bool {
        self.context.now().millis_since(since) >= limit_ms && since_real.elapsed() >= self.context.config.least_wait
    }

    fn give_up_changed_devices(&mut self, lane: &LaneRecord) {
        let changed: Vec<(DeviceId, u64)> = self
            .devices
            .iter()
            .filter(|(id, device)| lane.spec.device(id) != Some(&device.spec))
            .map(|(id, device)| (id.clone(), device.port))
            .collect();
        for (id, port) in changed {
            self.detach(&id, port, "the lane was defined anew");
        }
    }

    fn follow_pass(&mut self, ledger: &Ledger, lane: &LaneRecord) {
        if let Some(pass) = &self.pass {
            let runs = ledger.inspection(pass.inspection).is_some_and(|case| {
                case.stage == Stage::InPass { lane: self.id }
                    && case.passes == pass.pass
                    && case.pass_epoch == self.context.epoch
                    && !case.pass_complete
            });
            let aborting = match pass.phase {
                Phase::Aborting(cause) => Some(cause),
                Phase::Measuring | Phase::Recording => None,
            };
            let late = aborting.is_none()
                && !self.is_pending(&[LaneTicket::Record])
                && self.is_past(
                    pass.started_at,
                    pass.started,
                    self.context.config.pass_factor * u64::from(lane.spec.usual_pass_s) * 1000,
                );
            if !runs {
                if pass.phase == Phase::Measuring {
                    self.stop_sensors();
                }
                self.pass = None;
                self.idle_since = self.context.now();
            } else if late {
                self.break_off(AbortCause::TimedOut);
            } else if let Some(cause) = aborting.filter(|_| self.may_abort()) {
                // It was refused, and yet the pass still runs as far as this replica knows.
                let inspection = pass.inspection;
                self.context
                    .submit(ActorBody::Abort { inspection, cause }, LaneTicket::Abort);
            }
        }
        if self.pass.is_some() {
            return;
        }
        let Some(case) = lane.current.and_then(|no| ledger.inspection(no)) else {
            return;
        };
        let mine = case.stage == Stage::InPass { lane: self.id } && case.pass_epoch == self.context.epoch;
        if mine && !case.pass_complete && self.begun != Some((case.no, case.passes)) {
            self.begin_pass(ledger, lane, Arc::clone(case));
        }
    }

    fn begin_pass(&mut self, ledger: &Ledger, lane: &LaneRecord, case: Arc<Inspection>) {
        let wanted = std::mem::take(&mut self.starting);
        self.begun = Some((case.no, case.passes));
        self.standing = self
            .standing
            .take()
            .filter(|standing| standing.equipment != case.equipment);
        self.order = None;
        let mut sources = BTreeMap::new();
        let present: Vec<(DeviceId, u64, Modality)> = self
            .sensors()
            .map(|(id, device, modality)| (id.clone(), device.boot, modality))
            .collect();
        let count = present.len();
        for (id, boot, modality) in present {
            let prelude = self.preludes.entry(id.clone()).or_default();
            if let Some(used) = ledger.device_mark(&id) {
                prelude.forget_used(used);
            }
            sources.insert(id.clone(), Source::new(id, boot, modality, count, prelude));
        }
        let lost = sources.is_empty() || wanted.iter().any(|id| !sources.contains_key(id));
        let absent = lane
            .spec
            .devices
            .iter()
            .filter(|device| matches!(device.kind, DeviceKind::Sensor(_)) && !sources.contains_key(&device.id));
        let findings = absent
            .map(|device| {
                let detail = format!("{} was not attached when the pass began", device.id);
                Finding::new(FindingCode::DeviceLost, device.id.as_str(), detail)
            })
            .collect();
        info!(inspection = %case.no, pass = case.passes.0, sensors = sources.len(), "pass starts");
        let start = ToDevice::Start {
            inspection: case.no,
            equipment: case.equipment.clone(),
            pass: case.passes,
            lane_epoch: self.context.epoch,
        };
        let ids: Vec<DeviceId> = sources.keys().cloned().collect();
        // Gaps are counted within a pass: what was lost between passes casts no doubt on this one.
        for device in self.devices.values_mut() {
            device.last = None;
        }
        self.pass = Some(Pass {
            inspection: case.no,
            pass: case.passes,
            equipment: case.equipment.clone(),
            case,
            started_at: self.context.now(),
            started: Instant::now(),
            sources,
            stop_sent: false,
            phase: Phase::Measuring,
            findings,
        });
        if lost {
            self.break_off(AbortCause::DeviceLost);
        } else {
            self.send_all(&ids, &start);
        }
    }

    /// A container that has left the lane in the ledger has a conclusion, or its pass broke off.
    fn follow_conclusion(&mut self, ledger: &Ledger, lane: &LaneRecord) {
        if self.on_lane == lane.current {
            return;
        }
        if let Some(no) = std::mem::replace(&mut self.on_lane, lane.current)
            && ledger.inspection(no).is_some_and(|case| case.conclusion.is_some())
        {
            self.order = Some(Order {
                inspection: no,
                sent: false,
            });
        }
    }

    /// The barrier moves for committed conclusions only, and never while this node may be cut off.
    fn order_barrier(&mut self, ledger: &Ledger, lane: &LaneRecord) {
        let Some(order) = self.order.as_ref().filter(|order| !order.sent) else {
            return;
        };
        let Some(case) = ledger.inspection(order.inspection) else {
            // It has left the port: there is nothing to let through any more.
            self.order = None;
            return;
        };
        let Some(conclusion) = &case.conclusion else { return };
        let ends = self.barrier_ends(lane);
        if ends.is_empty() || !self.has_quorum() {
            return;
        }
        let message = ToDevice::Barrier {
            open: conclusion.verdict.tier == Tier::Release && case.stage == Stage::Released,
            inspection: case.no,
            equipment: case.equipment.clone(),
            lane_epoch: self.context.epoch,
            entry: conclusion.entry,
        };
        info!(inspection = %case.no, tier = %conclusion.verdict.tier, entry = conclusion.entry.0, "ordering the barrier");
        if let Some(order) = &mut self.order {
            order.sent = true;
        }
        self.send_all(&ends, &message);
    }

    fn call_up(&self, called: &Called, equipment: &EquipmentId) -> ToDevice {
        ToDevice::CallUp {
            inspection: called.inspection,
            equipment: equipment.clone(),
            lane_epoch: self.context.epoch,
            entry: called.entry,
        }
    }

    fn follow_call_up(&mut self, ledger: &Ledger, lane: &LaneRecord) {
        let Some(case) = lane.next.and_then(|no| ledger.inspection(no)) else {
            self.called = None;
            return;
        };
        if self.called.as_ref().is_none_or(|called| called.inspection != case.no) {
            self.called = Some(Called {
                inspection: case.no,
                entry: lane.entry,
                since: self.context.now(),
                since_real: Instant::now(),
                sent: false,
            });
        }
        let Some(called) = &self.called else { return };
        let is_there = self
            .standing
            .as_ref()
            .is_some_and(|standing| standing.equipment == case.equipment);
        let late = self.is_past(called.since, called.since_real, self.context.config.call_up_ms);
        let cause = match (lane.open, is_there) {
            (false, false) => Some(AbortCause::LaneClosed),
            (_, false) if late => Some(AbortCause::TimedOut),
            (_, true) if late && lane.current.is_none() && self.sensors().next().is_none() => {
                Some(AbortCause::DeviceLost)
            }
            _ => None,
        };
        let may_abort = self.may_abort() && !self.is_pending(&[LaneTicket::StartPass]);
        if let Some(cause) = cause {
            if may_abort {
                info!(inspection = %case.no, cause = cause.as_str(), "giving up the call-up");
                self.context.submit(
                    ActorBody::Abort {
                        inspection: case.no,
                        cause,
                    },
                    LaneTicket::Abort,
                );
            }
        } else if !called.sent && !is_there && self.has_quorum() {
            info!(inspection = %case.no, equipment = %case.equipment, "calling up");
            let message = self.call_up(called, &case.equipment);
            if let Some(called) = &mut self.called {
                called.sent = true;
            }
            let everybody: Vec<DeviceId> = self.devices.keys().cloned().collect();
            self.send_all(&everybody, &message);
        }
    }

    fn arrived(&mut self, by: &DeviceId, equipment: EquipmentId) {
        info!(%equipment, "container stands before the lane");
        let now = Instant::now();
        let ledger = self.context.ledger();
        let gone = |order: &Order| {
            let case = ledger.inspection(order.inspection);
            order.sent && case.is_none_or(|case| case.equipment != equipment)
        };
        if self.order.as_ref().is_some_and(gone) {
            // Another container stands there now: the order for the one before it must not be given again.
            self.order = None;
        }
        self.standing = Some(Standing {
            equipment,
            by: by.clone(),
            since: self.context.now(),
            since_real: now,
            not_before: now,
            tries: 0,
        });
    }

    /// Nothing comes of the container that stands before the lane: whoever reported it is told why.
    fn turn_away(&mut self, reason: &str, detail: String) {
        if let Some(standing) = self.standing.take() {
            self.refuse(&standing.by, 0, reason, detail);
        }
    }

    fn receive_standing(&mut self, ledger: &Ledger, lane: &LaneRecord) {
        let Some(standing) = &self.standing else { return };
        if self.is_pending(&[LaneTicket::Claim, LaneTicket::StartPass, LaneTicket::Abort])
            || Instant::now() < standing.not_before
        {
            return;
        }
        let equipment = standing.equipment.clone();
        let Some(case) = ledger.open_inspection(&equipment) else {
            if standing.since_real.elapsed() >= UNKNOWN_GRACE {
                self.turn_away("UNKNOWN_CONTAINER", format!("nobody announced {equipment}"));
            }
            return;
        };
        if lane.current == Some(case.no) {
            self.standing = None;
        } else if case.conclusion.is_some() {
            // It was concluded while the lane changed hands: the order is due again, whoever was called up since.
            self.order = Some(Order {
                inspection: case.no,
                sent: false,
            });
            self.standing = None;
            self.order_barrier(ledger, lane);
        } else if lane.current.is_some() {
            // It waits until the lane is free.
        } else if lane.next == Some(case.no) {
            self.start_pass(lane, case.no);
        } else if let Some(next) = lane.next {
            let detail = format!("{} has called up {next}, and {equipment} is {}", self.id, case.stage);
            self.turn_away("NOT_CALLED_UP", detail);
        } else if !lane.open {
            self.turn_away("LANE_CLOSED", format!("{} takes no containers now", self.id));
        } else {
            self.claim(case);
        }
    }

    fn claim(&mut self, case: &Inspection) {
        let Some(standing) = &self.standing else { return };
        match case.stage {
            // Also one that another lane has called up: it stands here and not there.
            Stage::Profiled | Stage::Queued | Stage::Assigned { .. } => {
                if self.has_quorum() {
                    info!(inspection = %case.no, equipment = %case.equipment, "claiming");
                    self.context
                        .submit(ActorBody::Claim { inspection: case.no }, LaneTicket::Claim);
                }
            }
            Stage::Announced => {
                if self.is_past(standing.since, standing.since_real, self.context.config.standing_ms) {
                    let detail = format!(
                        "the manifest of {} was not weighed in time; report it again",
                        case.equipment
                    );
                    self.turn_away("NOT_PROFILED", detail);
                }
            }
            stage => {
                let detail = format!("{} is {stage}", case.equipment);
                self.turn_away("ASSIGNED_ELSEWHERE", detail);
            }
        }
    }

    fn start_pass(&mut self, lane: &LaneRecord, inspection: InspectionNo) {
        let Some(standing) = &self.standing else { return };
        let present: BTreeSet<DeviceId> = self.sensors().map(|(id, ..)| id.clone()).collect();
        let all = lane
            .spec
            .devices
            .iter()
            .filter(|device| matches!(device.kind, DeviceKind::Sensor(_)))
            .all(|device| present.contains(&device.id));
        // A pass without one of its sensors may end in a needless review, so a lane that has just moved waits for them.
        let waited = self.is_past(standing.since, standing.since_real, self.context.config.sensors_ms);
        if present.is_empty() || !(all || waited) || !self.has_quorum() {
            return;
        }
        if self
            .context
            .submit(ActorBody::StartPass { inspection }, LaneTicket::StartPass)
        {
            self.starting = present;
        }
    }

    fn report(&mut self, lane: &LaneRecord) {
        let mut live: Vec<Modality> = self.sensors().map(|(.., modality)| modality).collect();
        live.sort_unstable();
        live.dedup();
        let pass_s = self.pass_s.unwrap_or(lane.spec.usual_pass_s).max(1);
        let pass_ms = u64::from(pass_s) * 1000;
        let mut free_at = match (&self.pass, lane.current) {
            (Some(pass), _) => pass.started_at.plus_millis(pass_ms),
            (None, Some(_)) => self.context.now(),
            (None, None) => self.idle_since,
        };
        if let Some(called) = &self.called {
            free_at = free_at.max(called.since).plus_millis(pass_ms);
        }
        let load = LaneLoad {
            lane: self.id,
            epoch: self.context.epoch,
            live,
            controller: !self.barrier_ends(lane).is_empty(),
            free_at,
            pass_s,
        };
        let due = self
            .reported
            .as_ref()
            .is_none_or(|(last, at)| *last != load || at.elapsed() >= REPORT_EVERY);
        if due {
            let to = ActorKey::Scheduler(lane.spec.terminal.clone());
            self.context.tell(&to, Message::LaneLoad(load.clone()));
            self.reported = Some((load, Instant::now()));
        }
    }
}
