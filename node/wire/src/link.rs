//! Frames of the link between two nodes.

use std::time::Duration;

use portcullis_domain::evidence::Modality;
use portcullis_domain::id::{
    BootId, ClusterId, CommandNo, DeviceId, Epoch, InspectionNo, LaneId, NodeId, PassNo, SampleNo, Timestamp,
};
use portcullis_domain::message::{Envelope, Feature, FromDevice, LaneLoad, Message, Steer, ToDevice};
use portcullis_proto::internal::v1 as pb;
use prost::bytes::Bytes;

use crate::device::{
    DeviceFrame, LaneFrame, decode_device_message, decode_lane_message, encode_device_message, encode_lane_message,
};
use crate::invalid::{self, InvalidField, Within};
use crate::vocabulary::{
    decode_ability, decode_actor_key, decode_modality, decode_weights, encode_ability, encode_actor_key,
    encode_modality, encode_weights,
};

/// The version of this protocol.
pub const LINK_VERSION: u32 = 1;
/// How long a message is worth something when its sender does not say.
pub const TTL: Duration = Duration::from_millis(1000);

const TRACEPARENT_MAX: usize = 128;
const REASON_MAX: usize = 64;

/// One frame.
#[derive(Debug, Clone, PartialEq)]
pub enum Frame {
    /// First, in both directions.
    Hello(Hello),
    /// A message to an actor.
    Tell(Tell),
    /// The receiver may send more.
    Credit {
        /// Of what.
        class: Class,
        /// How many more.
        count: u32,
    },
    /// A message was not delivered.
    Nack(Nack),
    /// A device attached to the sender belongs to a lane of the receiver.
    DeviceOpen(DeviceOpen),
    /// From the device.
    DeviceIn {
        /// Which attachment.
        attachment: u64,
        /// What.
        message: FromDevice,
    },
    /// To the device.
    DeviceOut {
        /// Which attachment.
        attachment: u64,
        /// What.
        message: ToDevice,
    },
    /// The attachment is over.
    DeviceClose {
        /// Which attachment.
        attachment: u64,
        /// Why, UPPER_SNAKE.
        reason: String,
    },
}

/// Who speaks, and to whom.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Hello {
    /// The speaker's cluster.
    pub cluster: ClusterId,
    /// The speaker.
    pub node: NodeId,
    /// Its process.
    pub boot: BootId,
    /// Lowest version of this protocol that it speaks.
    pub proto_min: u32,
    /// Highest.
    pub proto_max: u32,
    /// The last command that it has applied.
    pub applied: CommandNo,
    /// The node it believes to speak to.
    pub to: NodeId,
}

/// A message to an actor.
#[derive(Debug, Clone, PartialEq)]
pub struct Tell {
    /// Unique on the stream.
    pub id: u64,
    /// How long it is worth something, real time.
    pub ttl: Duration,
    /// The message.
    pub envelope: Envelope,
}

/// What is flow-controlled by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Class {
    /// Messages between actors.
    Actor,
    /// Frames of devices.
    Device,
}

/// A message was not delivered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Nack {
    /// Which.
    pub id: u64,
    /// Why.
    pub reason: NackReason,
    /// The epoch that the receiver knows, if any.
    pub epoch: Epoch,
}

/// Why a message was not delivered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NackReason {
    /// The actor does not run there.
    NotHere,
    /// It runs under another epoch.
    OtherEpoch,
    /// It has no room.
    Overloaded,
    /// The message came after its time.
    Expired,
    /// It could not be understood.
    Invalid,
}

/// A relayed device.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeviceOpen {
    /// Unique on the stream.
    pub attachment: u64,
    /// The lane it belongs to.
    pub lane: LaneId,
    /// The lane's placement that the sender knows.
    pub lane_epoch: Epoch,
    /// The device.
    pub device: DeviceId,
    /// The device's boot number.
    pub boot: u64,
}

/// Reads a frame.
///
/// # Errors
/// Names the first field that cannot be: `tell.envelope.feature.modality`.
pub fn decode_frame(frame: pb::LinkFrame) -> Result<Frame, InvalidField> {
    use pb::link_frame::Frame as Kind;
    Ok(match invalid::required("frame", frame.frame)? {
        Kind::Hello(hello) => Frame::Hello(decode_hello(&hello).within("hello")?),
        Kind::Tell(tell) => Frame::Tell(decode_tell(tell).within("tell")?),
        Kind::Credit(credit) => Frame::Credit {
            class: invalid::known("credit.class", credit.class, |class| match class {
                pb::LinkClass::Unspecified => None,
                pb::LinkClass::Actor => Some(Class::Actor),
                pb::LinkClass::Device => Some(Class::Device),
            })?,
            count: credit.count,
        },
        Kind::Nack(nack) => Frame::Nack(Nack {
            id: nack.msg_id,
            reason: decode_nack_reason("nack.reason", nack.reason)?,
            epoch: Epoch(nack.epoch),
        }),
        Kind::DeviceOpen(open) => Frame::DeviceOpen(DeviceOpen {
            attachment: open.attachment,
            lane: LaneId(open.lane),
            lane_epoch: Epoch(open.lane_epoch),
            device: invalid::parse("device_open.device", &open.device)?,
            boot: open.boot,
        }),
        Kind::DeviceIn(relayed) => {
            let message = invalid::required("device_in.message", relayed.message)?;
            match decode_device_message(message).within("device_in.message")? {
                DeviceFrame::Message(message) => Frame::DeviceIn {
                    attachment: relayed.attachment,
                    message,
                },
                DeviceFrame::Hello(_) | DeviceFrame::Pong(_) => {
                    return Err(InvalidField::new("device_in.message", "hello and pong are not relayed"));
                }
            }
        }
        Kind::DeviceOut(relayed) => {
            let message = invalid::required("device_out.message", relayed.message)?;
            match decode_lane_message(message).within("device_out.message")? {
                LaneFrame::Message(message) => Frame::DeviceOut {
                    attachment: relayed.attachment,
                    message,
                },
                LaneFrame::Ping(_) => {
                    return Err(InvalidField::new("device_out.message", "ping is not relayed"));
                }
            }
        }
        Kind::DeviceClose(close) => Frame::DeviceClose {
            attachment: close.attachment,
            reason: invalid::text("device_close.reason", close.reason, REASON_MAX)?,
        },
    })
}

/// Writes a frame.
pub fn encode_frame(frame: &Frame) -> pb::LinkFrame {
    use pb::link_frame::Frame as Kind;
    let kind = match frame {
        Frame::Hello(hello) => Kind::Hello(encode_hello(hello)),
        Frame::Tell(tell) => Kind::Tell(pb::LinkTell {
            msg_id: tell.id,
            ttl_ms: u32::try_from(tell.ttl.as_millis()).unwrap_or(u32::MAX).max(1),
            envelope: Some(encode_envelope(&tell.envelope)),
        }),
        Frame::Credit { class, count } => {
            let class = match class {
                Class::Actor => pb::LinkClass::Actor,
                Class::Device => pb::LinkClass::Device,
            };
            Kind::Credit(pb::LinkCredit {
                class: class as i32,
                count: *count,
            })
        }
        Frame::Nack(nack) => Kind::Nack(pb::LinkNack {
            msg_id: nack.id,
            reason: encode_nack_reason(nack.reason) as i32,
            epoch: nack.epoch.0,
        }),
        Frame::DeviceOpen(open) => Kind::DeviceOpen(pb::DeviceOpen {
            attachment: open.attachment,
            lane: open.lane.0,
            lane_epoch: open.lane_epoch.0,
            device: open.device.to_string(),
            boot: open.boot,
        }),
        Frame::DeviceIn { attachment, message } => Kind::DeviceIn(pb::DeviceIn {
            attachment: *attachment,
            message: Some(encode_device_message(&DeviceFrame::Message(message.clone()))),
        }),
        Frame::DeviceOut { attachment, message } => Kind::DeviceOut(pb::DeviceOut {
            attachment: *attachment,
            message: Some(encode_lane_message(&LaneFrame::Message(message.clone()))),
        }),
        Frame::DeviceClose { attachment, reason } => Kind::DeviceClose(pb::DeviceClose {
            attachment: *attachment,
            reason: reason.clone(),
        }),
    };
    pb::LinkFrame { frame: Some(kind) }
}

fn decode_hello(hello: &pb::LinkHello) -> Result<Hello, InvalidField> {
    if hello.proto_min > hello.proto_max {
        return Err(InvalidField::new("proto_min", "it is above proto_max"));
    }
    Ok(Hello {
        cluster: invalid::cluster_id("cluster_id", &hello.cluster_id)?,
        node: NodeId(hello.node),
        boot: invalid::boot("boot", hello.boot)?,
        proto_min: hello.proto_min,
        proto_max: hello.proto_max,
        applied: CommandNo(hello.applied_command),
        to: NodeId(hello.to_node),
    })
}

fn encode_hello(hello: &Hello) -> pb::LinkHello {
    pb::LinkHello {
        cluster_id: Bytes::copy_from_slice(&hello.cluster.0),
        node: hello.node.0,
        boot: hello.boot.0,
        proto_min: hello.proto_min,
        proto_max: hello.proto_max,
        applied_command: hello.applied.0,
        to_node: hello.to.0,
    }
}

fn decode_nack_reason(field: &str, reason: i32) -> Result<NackReason, InvalidField> {
    invalid::known(field, reason, |reason| match reason {
        pb::LinkNackReason::Unspecified => None,
        pb::LinkNackReason::NotHere => Some(NackReason::NotHere),
        pb::LinkNackReason::OtherEpoch => Some(NackReason::OtherEpoch),
        pb::LinkNackReason::Overloaded => Some(NackReason::Overloaded),
        pb::LinkNackReason::Expired => Some(NackReason::Expired),
        pb::LinkNackReason::Invalid => Some(NackReason::Invalid),
    })
}

fn encode_nack_reason(reason: NackReason) -> pb::LinkNackReason {
    match reason {
        NackReason::NotHere => pb::LinkNackReason::NotHere,
        NackReason::OtherEpoch => pb::LinkNackReason::OtherEpoch,
        NackReason::Overloaded => pb::LinkNackReason::Overloaded,
        NackReason::Expired => pb::LinkNackReason::Expired,
        NackReason::Invalid => pb::LinkNackReason::Invalid,
    }
}

fn decode_tell(tell: pb::LinkTell) -> Result<Tell, InvalidField> {
    Ok(Tell {
        id: tell.msg_id,
        ttl: match tell.ttl_ms {
            0 => TTL,
            millis => Duration::from_millis(u64::from(millis)),
        },
        envelope: decode_envelope(invalid::required("envelope", tell.envelope)?).within("envelope")?,
    })
}

fn decode_envelope(envelope: pb::LinkEnvelope) -> Result<Envelope, InvalidField> {
    use pb::link_envelope::Message as Kind;
    Ok(Envelope {
        to: decode_actor_key(invalid::required("to", envelope.to)?).within("to")?,
        to_epoch: Epoch(envelope.to_epoch),
        from: decode_actor_key(invalid::required("from", envelope.from)?).within("from")?,
        traceparent: invalid::text("traceparent", envelope.traceparent, TRACEPARENT_MAX)?,
        message: match invalid::required("message", envelope.message)? {
            Kind::Feature(feature) => Message::Feature(decode_feature(feature).within("feature")?),
            Kind::Steer(steer) => Message::Steer(Steer {
                inspection: InspectionNo(steer.inspection),
                pass: PassNo(steer.pass),
                sample: SampleNo(steer.sample),
                stop: steer.stop,
            }),
            Kind::LaneLoad(load) => Message::LaneLoad(decode_lane_load(load).within("lane_load")?),
        },
    })
}

fn encode_envelope(envelope: &Envelope) -> pb::LinkEnvelope {
    use pb::link_envelope::Message as Kind;
    let message = match &envelope.message {
        Message::Feature(feature) => Kind::Feature(pb::LinkFeature {
            lane: feature.lane.0,
            lane_epoch: feature.lane_epoch.0,
            inspection: feature.inspection.0,
            pass: feature.pass.0,
            device: feature.device.to_string(),
            modality: encode_modality(feature.modality) as i32,
            sample: feature.sample.0,
            ability: encode_ability(feature.ability) as i32,
            weights: Some(encode_weights(feature.weights)),
            last: feature.last,
            sources: feature.sources,
        }),
        Message::Steer(steer) => Kind::Steer(pb::LinkSteer {
            inspection: steer.inspection.0,
            pass: steer.pass.0,
            sample: steer.sample.0,
            stop: steer.stop,
        }),
        Message::LaneLoad(load) => Kind::LaneLoad(pb::LinkLaneLoad {
            lane: load.lane.0,
            epoch: load.epoch.0,
            live: load
                .live
                .iter()
                .map(|modality| encode_modality(*modality) as i32)
                .collect(),
            controller: load.controller,
            free_at_ms: load.free_at.0,
            pass_s: load.pass_s,
        }),
    };
    pb::LinkEnvelope {
        to: Some(encode_actor_key(&envelope.to)),
        to_epoch: envelope.to_epoch.0,
        from: Some(encode_actor_key(&envelope.from)),
        traceparent: envelope.traceparent.clone(),
        message: Some(message),
    }
}

fn decode_feature(feature: pb::LinkFeature) -> Result<Feature, InvalidField> {
    Ok(Feature {
        lane: LaneId(feature.lane),
        lane_epoch: Epoch(feature.lane_epoch),
        inspection: InspectionNo(feature.inspection),
        pass: PassNo(feature.pass),
        device: invalid::parse("device", &feature.device)?,
        modality: decode_modality("modality", feature.modality)?,
        sample: SampleNo(feature.sample),
        ability: decode_ability("ability", feature.ability)?,
        weights: decode_weights(invalid::required("weights", feature.weights)?),
        last: feature.last,
        sources: feature.sources,
    })
}

fn decode_lane_load(load: pb::LinkLaneLoad) -> Result<LaneLoad, InvalidField> {
    Ok(LaneLoad {
        lane: LaneId(load.lane),
        epoch: Epoch(load.epoch),
        live: invalid::list("live", load.live, Modality::ALL.len(), |modality| {
            decode_modality("", modality)
        })?,
        controller: load.controller,
        free_at: Timestamp(load.free_at_ms),
        pass_s: load.pass_s,
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use prost::Message as _;

    use super::*;
    use crate::samples;

    #[test]
    fn every_frame_reads_back() {
        for frame in samples::frames() {
            assert_eq!(decode_frame(encode_frame(&frame)), Ok(frame));
        }
    }

    #[test]
    fn a_message_without_a_time_to_live_gets_the_usual_one() {
        let mut sent = encode_frame(&Frame::Tell(samples::tell()));
        let Some(pb::link_frame::Frame::Tell(tell)) = &mut sent.frame else {
            panic!("it is a tell")
        };
        tell.ttl_ms = 0;
        assert!(matches!(decode_frame(sent), Ok(Frame::Tell(tell)) if tell.ttl == TTL));
    }

    #[test]
    fn each_bad_field_is_named_by_its_path() {
        use pb::link_frame::Frame as Kind;
        let field = |frame| decode_frame(pb::LinkFrame { frame }).unwrap_err().field;
        assert_eq!(field(None), "frame");
        assert_eq!(field(Some(Kind::Hello(pb::LinkHello::default()))), "hello.cluster_id");
        assert_eq!(field(Some(Kind::Tell(pb::LinkTell::default()))), "tell.envelope");
        assert_eq!(field(Some(Kind::Credit(pb::LinkCredit::default()))), "credit.class");
        assert_eq!(field(Some(Kind::Nack(pb::LinkNack::default()))), "nack.reason");
        assert_eq!(
            field(Some(Kind::DeviceOpen(pb::DeviceOpen::default()))),
            "device_open.device"
        );
        assert_eq!(
            field(Some(Kind::DeviceIn(pb::DeviceIn::default()))),
            "device_in.message"
        );
        let long = pb::DeviceClose {
            attachment: 1,
            reason: "X".repeat(65),
        };
        assert_eq!(field(Some(Kind::DeviceClose(long))), "device_close.reason");
        let ping = Some(encode_lane_message(&LaneFrame::Ping(1)));
        assert_eq!(
            field(Some(Kind::DeviceOut(pb::DeviceOut {
                attachment: 1,
                message: ping
            }))),
            "device_out.message"
        );
        let mut sent = encode_frame(&Frame::Tell(samples::tell()));
        let Some(Kind::Tell(tell)) = &mut sent.frame else {
            panic!("it is a tell")
        };
        let envelope = tell.envelope.as_mut().unwrap();
        let Some(pb::link_envelope::Message::Feature(feature)) = &mut envelope.message else {
            panic!("it is a feature")
        };
        feature.modality = 0;
        assert_eq!(decode_frame(sent).unwrap_err().field, "tell.envelope.feature.modality");
    }

    proptest! {
        #[test]
        fn arbitrary_bytes_are_read_or_refused_and_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            if let Ok(frame) = pb::LinkFrame::decode(bytes.as_slice()) {
                let _ = decode_frame(frame);
            }
        }

        #[test]
        fn a_damaged_frame_is_read_or_refused_and_never_panics(
            which in any::<prop::sample::Index>(), at in any::<prop::sample::Index>(), byte in any::<u8>(),
        ) {
            let frames = samples::frames();
            let mut bytes = encode_frame(&frames[which.index(frames.len())]).encode_to_vec();
            let at = at.index(bytes.len());
            bytes[at] = byte;
            if let Ok(frame) = pb::LinkFrame::decode(bytes.as_slice()) {
                let _ = decode_frame(frame);
            }
        }
    }
}
