//! What devices and lanes tell each other on an attached stream.

use portcullis_domain::id::{DeviceId, EntryNo, Epoch, InspectionNo, LaneId, PassNo, SampleNo};
use portcullis_domain::message::{FromDevice, ToDevice};
use portcullis_proto::v1 as pb;

use crate::invalid::{self, InvalidField, Within};
use crate::reading::{decode_signed_reading, encode_signed_reading};

/// Who a device says it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hello {
    /// The lane it belongs to.
    pub lane: LaneId,
    /// Its id.
    pub device: DeviceId,
    /// Grows with each start of the device.
    pub boot: u64,
}

/// Anything that a device may send.
#[derive(Debug, Clone, PartialEq)]
pub enum DeviceFrame {
    /// First, and only once.
    Hello(Hello),
    /// For the lane's actor.
    Message(FromDevice),
    /// Answer to a ping, with its nonce.
    Pong(u64),
}

/// Anything that a device may be sent.
#[derive(Debug, Clone, PartialEq)]
pub enum LaneFrame {
    /// From the lane's actor.
    Message(ToDevice),
    /// Is the device there? With a nonce.
    Ping(u64),
}

/// Reads what a device sent.
///
/// # Errors
/// Names the first field that cannot be, from the message: `reading.signature`.
pub fn decode_device_message(message: pb::DeviceMessage) -> Result<DeviceFrame, InvalidField> {
    use pb::device_message::Message;
    Ok(match invalid::required("message", message.message)? {
        Message::Hello(hello) => DeviceFrame::Hello(Hello {
            lane: LaneId(hello.lane),
            device: invalid::parse("hello.device", &hello.device)?,
            boot: hello.boot,
        }),
        Message::Reading(reading) => {
            DeviceFrame::Message(FromDevice::Reading(decode_signed_reading(reading).within("reading")?))
        }
        Message::Arrived(arrived) => DeviceFrame::Message(FromDevice::Arrived {
            equipment: invalid::parse("arrived.equipment_id", &arrived.equipment_id)?,
        }),
        Message::PassEnded(ended) => DeviceFrame::Message(FromDevice::PassEnded {
            inspection: InspectionNo(invalid::positive("pass_ended.inspection", ended.inspection)?),
            pass: PassNo(invalid::positive("pass_ended.pass", ended.pass)?),
        }),
        Message::Pong(pong) => DeviceFrame::Pong(pong.nonce),
    })
}

/// Writes what a device sends.
pub fn encode_device_message(frame: &DeviceFrame) -> pb::DeviceMessage {
    use pb::device_message::Message;
    let message = match frame {
        DeviceFrame::Hello(hello) => Message::Hello(pb::Hello {
            lane: hello.lane.0,
            device: hello.device.to_string(),
            boot: hello.boot,
        }),
        DeviceFrame::Message(FromDevice::Reading(reading)) => Message::Reading(encode_signed_reading(reading)),
        DeviceFrame::Message(FromDevice::Arrived { equipment }) => Message::Arrived(pb::Arrived {
            equipment_id: equipment.to_string(),
        }),
        DeviceFrame::Message(FromDevice::PassEnded { inspection, pass }) => Message::PassEnded(pb::PassEnded {
            inspection: inspection.0,
            pass: pass.0,
        }),
        DeviceFrame::Pong(nonce) => Message::Pong(pb::Pong { nonce: *nonce }),
    };
    pb::DeviceMessage { message: Some(message) }
}

/// Reads what a lane sent.
///
/// # Errors
/// Names the first field that cannot be, from the message: `barrier.equipment_id`.
pub fn decode_lane_message(message: pb::LaneMessage) -> Result<LaneFrame, InvalidField> {
    use pb::lane_message::Message;
    let message = match invalid::required("message", message.message)? {
        Message::Welcome(welcome) => ToDevice::Welcome {
            lane_epoch: Epoch(welcome.lane_epoch),
        },
        Message::CallUp(call) => ToDevice::CallUp {
            inspection: InspectionNo(call.inspection),
            equipment: invalid::parse("call_up.equipment_id", &call.equipment_id)?,
            lane_epoch: Epoch(call.lane_epoch),
            entry: EntryNo(call.entry),
        },
        Message::StartPass(start) => ToDevice::Start {
            inspection: InspectionNo(start.inspection),
            equipment: invalid::parse("start_pass.equipment_id", &start.equipment_id)?,
            pass: PassNo(start.pass),
            lane_epoch: Epoch(start.lane_epoch),
        },
        Message::ContinuePass(go_on) => ToDevice::Continue {
            inspection: InspectionNo(go_on.inspection),
            sample: SampleNo(go_on.sample),
        },
        Message::StopPass(stop) => ToDevice::Stop {
            inspection: InspectionNo(stop.inspection),
            sample: SampleNo(stop.sample),
        },
        Message::Barrier(barrier) => ToDevice::Barrier {
            open: barrier.open,
            inspection: InspectionNo(barrier.inspection),
            equipment: invalid::parse("barrier.equipment_id", &barrier.equipment_id)?,
            lane_epoch: Epoch(barrier.lane_epoch),
            entry: EntryNo(barrier.entry),
        },
        Message::Refused(refused) => ToDevice::Refused {
            sequence: refused.sequence,
            reason: refused.reason,
            detail: refused.detail,
        },
        Message::Detached(detached) => ToDevice::Detached {
            reason: detached.reason,
        },
        Message::Ping(ping) => return Ok(LaneFrame::Ping(ping.nonce)),
    };
    Ok(LaneFrame::Message(message))
}

/// Writes what a lane sends.
pub fn encode_lane_message(frame: &LaneFrame) -> pb::LaneMessage {
    use pb::lane_message::Message;
    let message = match frame {
        LaneFrame::Ping(nonce) => Message::Ping(pb::Ping { nonce: *nonce }),
        LaneFrame::Message(message) => match message {
            ToDevice::Welcome { lane_epoch } => Message::Welcome(pb::Welcome {
                lane_epoch: lane_epoch.0,
            }),
            ToDevice::CallUp {
                inspection,
                equipment,
                lane_epoch,
                entry,
            } => Message::CallUp(pb::CallUp {
                inspection: inspection.0,
                equipment_id: equipment.to_string(),
                lane_epoch: lane_epoch.0,
                entry: entry.0,
            }),
            ToDevice::Start {
                inspection,
                equipment,
                pass,
                lane_epoch,
            } => Message::StartPass(pb::StartPass {
                inspection: inspection.0,
                equipment_id: equipment.to_string(),
                pass: pass.0,
                lane_epoch: lane_epoch.0,
            }),
            ToDevice::Continue { inspection, sample } => Message::ContinuePass(pb::ContinuePass {
                inspection: inspection.0,
                sample: sample.0,
            }),
            ToDevice::Stop { inspection, sample } => Message::StopPass(pb::StopPass {
                inspection: inspection.0,
                sample: sample.0,
            }),
            ToDevice::Barrier {
                open,
                inspection,
                equipment,
                lane_epoch,
                entry,
            } => Message::Barrier(pb::Barrier {
                open: *open,
                inspection: inspection.0,
                equipment_id: equipment.to_string(),
                lane_epoch: lane_epoch.0,
                entry: entry.0,
            }),
            ToDevice::Refused {
                sequence,
                reason,
                detail,
            } => Message::Refused(pb::DeviceRefusal {
                sequence: *sequence,
                reason: reason.clone(),
                detail: detail.clone(),
            }),
            ToDevice::Detached { reason } => Message::Detached(pb::Detached { reason: reason.clone() }),
        },
    };
    pb::LaneMessage { message: Some(message) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::samples;

    #[test]
    fn everything_a_device_sends_reads_back() {
        let hello = DeviceFrame::Hello(samples::hello());
        let messages = samples::from_device().into_iter().map(DeviceFrame::Message);
        for frame in messages.chain([hello, DeviceFrame::Pong(7)]) {
            assert_eq!(decode_device_message(encode_device_message(&frame)), Ok(frame));
        }
    }

    #[test]
    fn everything_a_lane_sends_reads_back() {
        for frame in samples::to_device()
            .into_iter()
            .map(LaneFrame::Message)
            .chain([LaneFrame::Ping(7)])
        {
            assert_eq!(decode_lane_message(encode_lane_message(&frame)), Ok(frame));
        }
    }

    #[test]
    fn each_bad_field_is_named_by_its_path() {
        use pb::device_message::Message;
        let field = |message| decode_device_message(pb::DeviceMessage { message }).unwrap_err().field;
        assert_eq!(field(None), "message");
        assert_eq!(field(Some(Message::Hello(pb::Hello::default()))), "hello.device");
        assert_eq!(
            field(Some(Message::Reading(pb::SignedReading::default()))),
            "reading.body"
        );
        assert_eq!(
            field(Some(Message::Arrived(pb::Arrived {
                equipment_id: "*".into()
            }))),
            "arrived.equipment_id"
        );
        assert_eq!(
            field(Some(Message::PassEnded(pb::PassEnded::default()))),
            "pass_ended.inspection"
        );
        let barrier = pb::lane_message::Message::Barrier(pb::Barrier::default());
        let invalid = decode_lane_message(pb::LaneMessage { message: Some(barrier) }).unwrap_err();
        assert_eq!(invalid.field, "barrier.equipment_id");
    }
}
