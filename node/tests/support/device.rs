//! A device as its vendor would write it: attaches, answers pings, numbers and signs its readings.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use ed25519_dalek::SigningKey;
use portcullis::demo::sign;
use portcullis_domain::equipment::EquipmentId;
use portcullis_domain::evidence::Modality;
use portcullis_domain::id::{DeviceId, Digest, InspectionNo, LaneId, PassNo, SampleNo, Timestamp};
use portcullis_domain::lane::{DeviceKind, DeviceSpec};
use portcullis_domain::message::{FromDevice, ToDevice};
use portcullis_domain::reading::{Reading, ReadingContent, ReadingHeader, SignedReading};
use portcullis_proto::v1 as pb;
use portcullis_proto::v1::lane_service_client::LaneServiceClient;
use portcullis_simulator::{ReadingSource, Visit};
use portcullis_wire::device::{DeviceFrame, Hello, LaneFrame, decode_lane_message, encode_device_message};
use tokio::sync::mpsc;
use tokio::time::timeout;
use tokio_stream::wrappers::ReceiverStream;
use tonic::Status;
use tonic::transport::Channel;

use super::{DEADLINE, eventually};

/// An attached device.
pub(crate) struct Attached {
    pub(crate) id: DeviceId,
    pub(crate) key: SigningKey,
    pub(crate) boot: u64,
    pub(crate) sequence: u64,
    outbox: mpsc::Sender<pb::DeviceMessage>,
    inbox: mpsc::Receiver<ToDevice>,
}

/// The key of a device, made from its name.
fn key_of(name: &str) -> SigningKey {
    SigningKey::from_bytes(&Digest::of(name.as_bytes()).0)
}

/// The same as a file of the command line holds it.
pub(crate) fn seed_of(name: &str) -> String {
    hex::encode(key_of(name).to_bytes())
}

/// A device for a lane's definition.
pub(crate) fn device(name: &str, kind: DeviceKind) -> DeviceSpec {
    DeviceSpec {
        id: DeviceId::new(name).unwrap(),
        kind,
        public_key: key_of(name).verifying_key().to_bytes(),
    }
}

/// A sensor for a lane's definition, named by lane and modality.
pub(crate) fn sensor_of(lane: u32, modality: Modality) -> DeviceSpec {
    device(&format!("lane-{lane}-{modality}"), DeviceKind::Sensor(modality))
}

impl Attached {
    /// Attaches through a node, once. The status is the node's refusal.
    pub(crate) async fn try_attach(channel: Channel, lane: u32, name: &str, boot: u64) -> Result<Self, Status> {
        let (outbox, messages) = mpsc::channel(256);
        let id = DeviceId::new(name).unwrap();
        let hello = DeviceFrame::Hello(Hello {
            lane: LaneId(lane),
            device: id.clone(),
            boot,
        });
        outbox.send(encode_device_message(&hello)).await.unwrap();
        let mut stream = LaneServiceClient::new(channel)
            .attach(ReceiverStream::new(messages))
            .await?
            .into_inner();
        let (heard, inbox) = mpsc::channel(256);
        tokio::spawn({
            let outbox = outbox.clone();
            async move {
                while let Ok(Some(message)) = stream.message().await {
                    match decode_lane_message(message).expect("the lane keeps to the contract") {
                        LaneFrame::Ping(nonce) => {
                            let _ = outbox.send(encode_device_message(&DeviceFrame::Pong(nonce))).await;
                        }
                        LaneFrame::Message(message) => {
                            let _ = heard.send(message).await;
                        }
                    }
                }
            }
        });
        Ok(Self {
            id,
            key: key_of(name),
            boot,
            sequence: 0,
            outbox,
            inbox,
        })
    }

    /// Attaches, again while the lane has no home, and waits for the welcome.
    pub(crate) async fn attach(channel: &Channel, lane: u32, name: &str, boot: u64) -> Self {
        eventually(&format!("{name} is welcome"), async || {
            let mut device = Self::try_attach(channel.clone(), lane, name, boot)
                .await
                .map_err(|status| status.to_string())?;
            match timeout(Duration::from_secs(5), device.inbox.recv()).await {
                Ok(Some(ToDevice::Welcome { .. })) => Ok(device),
                other => Err(format!("{other:?}")),
            }
        })
        .await
    }

    /// Waits for a message; others are passed over.
    pub(crate) async fn expect<T>(&mut self, what: &str, mut pick: impl FnMut(ToDevice) -> Option<T>) -> T {
        let mut heard = Vec::new();
        let found = timeout(DEADLINE, async {
            while let Some(message) = self.inbox.recv().await {
                heard.push(format!("{message:?}"));
                if let Some(found) = pick(message) {
                    return Some(found);
                }
            }
            None
        });
        let found = found.await.ok().flatten();
        found.unwrap_or_else(|| panic!("{}: {what} did not come; heard {heard:?}", self.id))
    }

    /// Waits for the start of a pass.
    pub(crate) async fn start_of_pass(&mut self) -> (InspectionNo, PassNo) {
        self.expect("start", |message| match message {
            ToDevice::Start { inspection, pass, .. } => Some((inspection, pass)),
            _ => None,
        })
        .await
    }

    /// Waits for a refusal: sequence number and reason.
    pub(crate) async fn refusal(&mut self) -> (u64, String) {
        self.expect("a refusal", |message| match message {
            ToDevice::Refused {
                sequence,
                reason,
                detail,
            } => {
                assert!(!detail.is_empty());
                Some((sequence, reason))
            }
            _ => None,
        })
        .await
    }

    pub(crate) async fn say(&self, message: FromDevice) {
        let message = encode_device_message(&DeviceFrame::Message(message));
        self.outbox.send(message).await.expect("the stream is open");
    }

    /// The next reading, signed.
    pub(crate) fn reading(
        &mut self,
        content: ReadingContent,
        about: Option<(InspectionNo, &EquipmentId)>,
        sample: SampleNo,
    ) -> SignedReading {
        self.sequence += 1;
        let since_1970 = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
        let reading = Reading {
            header: ReadingHeader {
                device: self.id.clone(),
                boot: self.boot,
                sequence: self.sequence,
                captured_at: Timestamp(u64::try_from(since_1970.as_millis()).unwrap()),
                inspection: about.map(|(inspection, _)| inspection),
                equipment: about.map(|(_, equipment)| equipment.clone()),
                sample,
            },
            content,
        };
        sign(&self.key, &reading)
    }

    /// Measures one pass from its start to its end, as the simulated sensor of this modality.
    pub(crate) async fn measure(&mut self, modality: Modality, source: &ReadingSource, visit: &Visit) {
        let (inspection, pass) = self.start_of_pass().await;
        self.measure_started(inspection, pass, modality, source, visit).await;
    }

    /// The same, once the start is known.
    pub(crate) async fn measure_started(
        &mut self,
        inspection: InspectionNo,
        pass: PassNo,
        modality: Modality,
        source: &ReadingSource,
        visit: &Visit,
    ) {
        for (sample, content) in source.readings(modality, visit) {
            if matches!(self.inbox.try_recv(), Ok(ToDevice::Stop { .. })) {
                break;
            }
            let about = (sample != SampleNo(0)).then_some((inspection, &visit.equipment));
            let reading = self.reading(content, about, sample);
            self.say(FromDevice::Reading(reading)).await;
        }
        self.say(FromDevice::PassEnded { inspection, pass }).await;
    }
}
