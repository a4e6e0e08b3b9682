//! Plays a recorded pass to a lane, over as many attachments and passes as it takes until there is a conclusion.

use std::time::Duration;

use portcullis_domain::equipment::EquipmentId;
use portcullis_domain::id::{InspectionNo, LaneId, PassNo, SampleNo};
use portcullis_domain::message::{FromDevice, ToDevice};
use portcullis_domain::reading::{RadiationSample, ReadingContent, SourceDocument};
use portcullis_proto::v1;
use portcullis_proto::v1::get_inspection_request::Target;
use portcullis_proto::v1::lane_service_client::LaneServiceClient;
use portcullis_wire::device::{DeviceFrame, Hello, LaneFrame, decode_lane_message, encode_device_message};
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep, sleep_until, timeout};
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Status, Streaming};

use super::device::Device;
use super::port_clock::PortClock;
use crate::cli::client::{Cluster, stream_may_go_on};
use crate::cli::failure::{Asked, Exit, Failure, plain};
use crate::cli::inspection::get;
use crate::cli::output::remark;

/// Readings that may wait to be sent. More would only be stale when the lane says stop.
const WAITING: usize = 16;
/// How often to look for the conclusion.
const LOOK_EVERY: Duration = Duration::from_millis(200);
/// Between two tries to attach.
const PAUSE: Duration = Duration::from_millis(250);
/// How often to say that it is tried again.
const TELL_EVERY: Duration = Duration::from_secs(5);
/// The most refusals that are kept for the report.
const REFUSED_MAX: usize = 100;

/// A device in front of its lane, with what it has to play.
pub(super) struct Player<'a> {
    pub(super) cluster: &'a Cluster,
    pub(super) device: Device,
    pub(super) lane: LaneId,
    pub(super) equipment: EquipmentId,
    /// The open inspection of the container.
    pub(super) inspection: u64,
    pub(super) documents: Vec<SourceDocument>,
    pub(super) background: Option<RadiationSample>,
    pub(super) samples: Vec<RadiationSample>,
    pub(super) clock: PortClock,
    pub(super) fast: bool,
    pub(super) patience: Duration,
    pub(super) played: Played,
}

/// What was played.
#[derive(Debug, Default)]
pub(super) struct Played {
    /// Samples sent in the last pass.
    pub(super) sent: usize,
    /// The lane had enough after this sample.
    pub(super) stopped: Option<u32>,
    /// Passes that were started.
    pub(super) passes: u32,
    /// What the lane did not take.
    pub(super) refused: Vec<v1::DeviceRefusal>,
    /// The last order to the barrier: open or not.
    pub(super) barrier: Option<bool>,
}

/// Where the pass stands, as the device sees it.
enum Pass {
    /// It has not begun, or it broke off.
    Waiting,
    /// Samples are being sent.
    Running {
        inspection: InspectionNo,
        pass: PassNo,
        started: Instant,
        next: usize,
        port_us: u64,
    },
    /// Everything was said, except that it was.
    Ending { inspection: InspectionNo, pass: PassNo },
    /// The lane knows that everything was said.
    Ended,
}

/// Why an attachment ended.
enum Ended {
    /// The inspection has its conclusion.
    Concluded(Box<v1::GetInspectionResponse>),
    /// Attach again.
    Lost(String),
}

impl Player<'_> {
    /// Plays until there is a conclusion.
    pub(super) async fn play(mut self) -> Result<(Played, v1::GetInspectionResponse), Failure> {
        let mut progress = Instant::now();
        let mut told: Option<Instant> = None;
        let mut node = 0;
        loop {
            let why = match self.attach(node).await {
                Err(status) if stream_may_go_on(&status) => status.message().to_owned(),
                Err(status) => return Err(Failure::of_status(&status, Asked::Read)),
                Ok((to_lane, from_lane)) => match self.perform(to_lane, from_lane, &mut progress).await? {
                    Ended::Concluded(case) => return Ok((self.played, *case)),
                    Ended::Lost(why) => why,
                },
            };
            if progress.elapsed() > self.patience {
                return Err(self.gave_up(&why));
            }
            if told.is_none_or(|told| told.elapsed() > TELL_EVERY) {
                remark(format!("attaching again: {}", plain(&why)));
                told = Some(Instant::now());
            }
            node += 1;
            sleep(PAUSE).await;
        }
    }

    fn gave_up(&self, why: &str) -> Failure {
        let passes = self.played.passes;
        Failure::new(
            Exit::Unreachable,
            format!("nothing happened for {} s: {why}", self.patience.as_secs()),
        )
        .field(format!("{} of {}, {passes} passes begun", self.device.id, self.lane))
        .next(format!(
            "portcullis inspection show {} tells where the container stands",
            self.inspection
        ))
        .next("portcullis lane ls tells what the lane does; --patience waits longer")
    }

    async fn attach(
        &self,
        node: usize,
    ) -> Result<(mpsc::Sender<v1::DeviceMessage>, Streaming<v1::LaneMessage>), Status> {
        let (channel, address) = self.cluster.connect(node).await?;
        let (to_lane, waiting) = mpsc::channel(WAITING);
        let hello = DeviceFrame::Hello(Hello {
            lane: self.lane,
            device: self.device.id.clone(),
            boot: self.device.boot,
        });
        // There is room: nothing was sent yet.
        let _ = to_lane.try_send(encode_device_message(&hello));
        let mut client = LaneServiceClient::new(channel);
        // A deadline on the wire would end the stream itself; what is limited is the wait for it.
        match timeout(self.cluster.timeout(), client.attach(ReceiverStream::new(waiting))).await {
            Ok(response) => Ok((to_lane, response?.into_inner())),
            Err(_) => Err(Status::deadline_exceeded(format!(
                "{address} did not take the device in time"
            ))),
        }
    }

    /// One attachment, from the welcome to its end.
    async fn perform(
        &mut self,
        to_lane: mpsc::Sender<v1::DeviceMessage>,
        mut from_lane: Streaming<v1::LaneMessage>,
        progress: &mut Instant,
    ) -> Result<Ended, Failure> {
        let mut pass = Pass::Waiting;
        let mut look = tokio::time::interval(LOOK_EVERY);
        loop {
            let due = self.due(&pass);
            tokio::select! {
                message = from_lane.message() => {
                    let message = match message {
                        Ok(Some(message)) => message,
                        Ok(None) => return Ok(Ended::Lost("the stream ended".to_owned())),
                        Err(status) if stream_may_go_on(&status) => return Ok(Ended::Lost(status.message().to_owned())),
                        Err(status) => return Err(Failure::of_status(&status, Asked::Read)),
                    };
                    let frame = decode_lane_message(message).map_err(|invalid| {
                        Failure::new(Exit::Error, format!("the lane sent what cannot be: {invalid}"))
                    })?;
                    match frame {
                        LaneFrame::Ping(nonce) => send(&to_lane, &DeviceFrame::Pong(nonce)).await,
                        LaneFrame::Message(ToDevice::Detached { reason }) => return Ok(Ended::Lost(reason)),
                        LaneFrame::Message(ToDevice::Welcome { .. }) => {
                            *progress = Instant::now();
                            self.present(&to_lane).await;
                        }
                        LaneFrame::Message(message) => {
                            let again = self.hear(message, &mut pass, progress)?;
                            if again {
                                self.present(&to_lane).await;
                            }
                        }
                    }
                }
                permit = when_due(&to_lane, due) => {
                    let Some(permit) = permit else { return Ok(Ended::Lost("the stream broke".to_owned())) };
                    *progress = Instant::now();
                    permit.send(encode_device_message(&DeviceFrame::Message(self.say(&mut pass))));
                }
                _ = look.tick(), if self.played.passes > 0 => {
                    let target = Target::Inspection(self.inspection);
                    // While the cluster changes its leader nobody may answer; the next look is soon.
                    if let Ok(case) = get(self.cluster, target, v1::InspectionView::Full).await
                        && case.inspection.as_ref().is_some_and(|case| case.conclusion.is_some())
                    {
                        return Ok(Ended::Concluded(Box::new(case)));
                    }
                }
                () = sleep_until(*progress + self.patience) => {
                    let waits_for = match pass {
                        Pass::Waiting => "the lane did not start the pass",
                        Pass::Running { .. } | Pass::Ending { .. } => "the lane did not take the samples",
                        Pass::Ended => "the pass ended and no conclusion came",
                    };
                    return Err(self.gave_up(waits_for));
                }
            }
        }
    }

    /// Sends what comes before a pass, and that the container is there.
    async fn present(&mut self, to_lane: &mpsc::Sender<v1::DeviceMessage>) {
        let mut contents: Vec<ReadingContent> = self
            .documents
            .iter()
            .cloned()
            .map(ReadingContent::SourceDocument)
            .collect();
        contents.extend(self.background.clone().map(ReadingContent::RadiationBackground));
        for content in contents {
            let now = self.clock.at(Instant::now());
            let reading = self.device.sign(content, now, None, &self.equipment, SampleNo(0));
            send(to_lane, &DeviceFrame::Message(FromDevice::Reading(reading))).await;
        }
        send(
            to_lane,
            &DeviceFrame::Message(FromDevice::Arrived {
                equipment: self.equipment.clone(),
            }),
        )
        .await;
    }

    /// Takes in what the lane says. True: the pass broke off, and the container has to be presented again.
    fn hear(&mut self, message: ToDevice, pass: &mut Pass, progress: &mut Instant) -> Result<bool, Failure> {
        match message {
            ToDevice::Start {
                inspection,
                equipment,
                pass: number,
                ..
            } if equipment == self.equipment => {
                *progress = Instant::now();
                self.played.passes += 1;
                self.played.sent = 0;
                self.played.stopped = None;
                *pass = Pass::Running {
                    inspection,
                    pass: number,
                    started: Instant::now(),
                    next: 0,
                    port_us: 0,
                };
            }
            // Sample 0 says that the pass broke off: the container has to be scanned again.
            ToDevice::Stop {
                inspection,
                sample: SampleNo(0),
            } if inspection.0 == self.inspection => {
                let began = !matches!(pass, Pass::Waiting);
                *pass = Pass::Waiting;
                return Ok(began);
            }
            ToDevice::Stop { inspection, sample } => {
                if let Pass::Running {
                    inspection: running,
                    pass: number,
                    ..
                } = *pass
                    && running == inspection
                {
                    *progress = Instant::now();
                    self.played.stopped = Some(sample.0);
                    *pass = Pass::Ending {
                        inspection,
                        pass: number,
                    };
                }
            }
            ToDevice::Barrier { open, inspection, .. } if inspection.0 == self.inspection => {
                self.played.barrier = Some(open);
            }
            ToDevice::Refused {
                sequence,
                reason,
                detail,
            } => return self.refused(sequence, reason, detail, pass),
            ToDevice::Continue { .. } | ToDevice::CallUp { .. } => *progress = Instant::now(),
            // Another container's, or of no concern to a device that is attached.
            ToDevice::Start { .. }
            | ToDevice::Barrier { .. }
            | ToDevice::Welcome { .. }
            | ToDevice::Detached { .. } => {}
        }
        Ok(false)
    }

    fn refused(&mut self, sequence: u64, reason: String, detail: String, pass: &Pass) -> Result<bool, Failure> {
        let signature = reason == "SIGNATURE_INVALID";
        // Without a pass it is the container that was refused; a refused sample costs certainty, not the pass.
        if signature || (sequence == 0 && matches!(pass, Pass::Waiting)) {
            let (exit, field) = match reason.as_str() {
                "SIGNATURE_INVALID" => (Exit::Denied, "signature"),
                "UNKNOWN_CONTAINER" => (Exit::NotFound, "equipment_id"),
                _ => (Exit::Precondition, "equipment_id"),
            };
            let mut failure = Failure::new(exit, detail).field(field);
            failure.next.push(format!(
                "portcullis inspection show {} tells where the container stands",
                self.inspection
            ));
            failure.reason = Some(reason);
            return Err(failure);
        }
        if self.played.refused.len() < REFUSED_MAX {
            self.played.refused.push(v1::DeviceRefusal {
                sequence,
                reason,
                detail,
            });
        }
        Ok(false)
    }

    /// When there is something to say; none if there is not.
    fn due(&self, pass: &Pass) -> Option<Instant> {
        match pass {
            Pass::Waiting | Pass::Ended => None,
            Pass::Ending { .. } => Some(Instant::now()),
            Pass::Running { .. } if self.fast => Some(Instant::now()),
            // A sample is complete at the end of its slice.
            Pass::Running {
                started, next, port_us, ..
            } => {
                let slice = self.samples.get(*next).map_or(0, |sample| sample.real_time_us);
                Some(*started + self.clock.real(port_us.saturating_add(slice)))
            }
        }
    }

    /// The next thing to say in a pass; after the last sample, that it was the last.
    fn say(&mut self, pass: &mut Pass) -> FromDevice {
        if let Pass::Running {
            inspection,
            started,
            next,
            port_us,
            ..
        } = pass
            && let Some(sample) = self.samples.get(*next)
        {
            *port_us = port_us.saturating_add(sample.real_time_us);
            *next += 1;
            self.played.sent = *next;
            let captured_at = if self.fast {
                self.clock.at(Instant::now())
            } else {
                self.clock.at(*started + self.clock.real(*port_us))
            };
            let number = SampleNo(u32::try_from(*next).unwrap_or(u32::MAX));
            let content = ReadingContent::Radiation(sample.clone());
            let reading = self
                .device
                .sign(content, captured_at, Some(*inspection), &self.equipment, number);
            return FromDevice::Reading(reading);
        }
        let (inspection, number) = match pass {
            Pass::Running { inspection, pass, .. } | Pass::Ending { inspection, pass } => (*inspection, *pass),
            // Nothing is due then, so that nobody asks.
            Pass::Waiting | Pass::Ended => (InspectionNo(self.inspection), PassNo(0)),
        };
        *pass = Pass::Ended;
        FromDevice::PassEnded {
            inspection,
            pass: number,
        }
    }
}

/// Room for one message, once it is due; never if nothing is. None if the stream is gone.
async fn when_due(
    to_lane: &mpsc::Sender<v1::DeviceMessage>,
    due: Option<Instant>,
) -> Option<mpsc::Permit<'_, v1::DeviceMessage>> {
    match due {
        Some(due) => sleep_until(due).await,
        None => std::future::pending().await,
    }
    to_lane.reserve().await.ok()
}

/// Sends a message. If the stream is gone, its other half says so.
async fn send(to_lane: &mpsc::Sender<v1::DeviceMessage>, frame: &DeviceFrame) {
    let _ = to_lane.send(encode_device_message(frame)).await;
}
