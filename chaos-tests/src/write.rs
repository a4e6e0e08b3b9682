//! A write as a client makes it, and what it is told.

use portcullis_proto::v1 as pb;
use portcullis_proto::v1::inspection_service_client::InspectionServiceClient;
use portcullis_wire::status::WriteAnswer;
use prost::Message as _;
use tonic::transport::Channel;

use crate::cluster::{CALL, deadline};

/// The system that our writes come from.
pub const SOURCE: &str = "chaos";
/// No lane stands there, so that what is announced for it stays as it is.
const TERMINAL: &str = "T9";

/// What a client was told of a write.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Told {
    /// It took effect; the answer's bytes.
    Applied(Vec<u8>),
    /// It certainly has no effect, and why.
    Refused(String),
    /// It may be there or may not, for ever, but never twice.
    Unknown,
}

/// The announcement of this number. Its request id and its container are made of the number, so that the log says which
/// one it is.
pub fn request(serial: u64) -> pb::AnnounceRequest {
    pb::AnnounceRequest {
        context: Some(pb::RequestContext {
            source: SOURCE.to_owned(),
            request_id: serial.to_string(),
            principal: "gate-clerk".to_owned(),
        }),
        announcement: Some(pb::Announcement {
            equipment_id: equipment(serial),
            terminal: TERMINAL.to_owned(),
            manifest: Some(pb::Manifest {
                goods: vec![pb::GoodsItem {
                    sequence: 1,
                    commodity_code: "180400".to_owned(),
                    description: format!("Cocoa butter, lot {serial}"),
                    gross_mass_g: Some(15_000_000),
                    ..pb::GoodsItem::default()
                }],
                gross_mass_g: Some(15_000_000),
                ..pb::Manifest::default()
            }),
            ..pb::Announcement::default()
        }),
    }
}

/// The container of this number.
pub fn equipment(serial: u64) -> String {
    format!("CH{serial:09}")
}

/// Sends the announcement of this number, once.
pub async fn send(channel: Channel, serial: u64) -> Told {
    let mut client = InspectionServiceClient::new(channel);
    let answer = client.announce(deadline(request(serial), CALL));
    match tokio::time::timeout(CALL, answer).await {
        Ok(Ok(response)) => Told::Applied(response.into_inner().encode_to_vec()),
        Ok(Err(status)) => match WriteAnswer::from_status(&status) {
            WriteAnswer::Refused { reason, .. } => Told::Refused(reason),
            WriteAnswer::Unknown { .. } => Told::Unknown,
        },
        Err(_) => Told::Unknown,
    }
}
