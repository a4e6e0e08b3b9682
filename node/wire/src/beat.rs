//! Heartbeats between nodes: who is there, how far, how loaded, with which log.

use portcullis_domain::id::{BootId, ClusterId, CommandNo, Digest, Incarnation, NodeId, Timestamp};
use portcullis_proto::internal::v1 as pb;
use prost::bytes::Bytes;

use crate::announcement::encode_digest;
use crate::invalid::{self, InvalidField, Within};

const CHECKPOINTS_MAX: usize = 16;
const ADDRESS_MAX: usize = 261;

/// A heartbeat.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Beat {
    /// The sender's cluster.
    pub cluster: ClusterId,
    /// The sender.
    pub node: NodeId,
    /// Its process.
    pub boot: BootId,
    /// The last command that it has applied.
    pub applied: CommandNo,
    /// Its decision log now.
    pub head: LogPoint,
    /// Roots at sizes where logs of different length can be compared, newest first.
    pub checkpoints: Vec<LogPoint>,
    /// The port's clock there.
    pub port_time: Timestamp,
    /// Its own clock, milliseconds since 1970-01-01T00:00:00Z.
    pub unix_time_ms: u64,
    /// What it carries.
    pub load: Load,
    /// Its Raft term.
    pub term: u64,
    /// It leads.
    pub leads: bool,
    /// Where clients reach it, `host:port`.
    pub address: String,
    /// Relative capacity for actors.
    pub capacity: u32,
    /// The incarnation of its data folder.
    pub incarnation: Incarnation,
    /// Highest cluster version it speaks.
    pub version: u32,
}

/// The decision log at a size.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LogPoint {
    /// How many entries.
    pub size: u64,
    /// The root over them.
    pub root: Digest,
}

/// What a node carries.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Load {
    /// Actors it runs.
    pub actors: u32,
    /// Devices attached to it.
    pub devices: u32,
    /// Memory, bytes.
    pub memory_bytes: u64,
}

/// What the receiver of a heartbeat answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BeatAnswer {
    /// Who answers.
    pub node: NodeId,
    /// Its process.
    pub boot: BootId,
    /// The port's clock there.
    pub port_time: Timestamp,
    /// Its own clock, milliseconds since 1970-01-01T00:00:00Z.
    pub unix_time_ms: u64,
}

/// Reads a heartbeat.
///
/// # Errors
/// Names the first field that cannot be.
pub fn decode_beat(beat: pb::BeatRequest) -> Result<Beat, InvalidField> {
    let load = beat.load.unwrap_or_default();
    Ok(Beat {
        cluster: invalid::cluster_id("cluster_id", &beat.cluster_id)?,
        node: NodeId(beat.node),
        boot: invalid::boot("boot", beat.boot)?,
        applied: CommandNo(beat.applied_command),
        head: decode_log_point(invalid::required("head", beat.head)?).within("head")?,
        checkpoints: invalid::list("checkpoints", beat.checkpoints, CHECKPOINTS_MAX, decode_log_point)?,
        port_time: Timestamp(beat.port_time_ms),
        unix_time_ms: beat.unix_time_ms,
        load: Load {
            actors: load.actors,
            devices: load.devices,
            memory_bytes: load.memory_bytes,
        },
        term: beat.term,
        leads: beat.leads,
        address: invalid::text("address", beat.address, ADDRESS_MAX)?,
        capacity: beat.capacity,
        incarnation: Incarnation(invalid::cluster_id("incarnation", &beat.incarnation)?.0),
        version: beat.version,
    })
}

/// Writes a heartbeat.
pub fn encode_beat(beat: &Beat) -> pb::BeatRequest {
    let Load {
        actors,
        devices,
        memory_bytes,
    } = beat.load;
    pb::BeatRequest {
        cluster_id: Bytes::copy_from_slice(&beat.cluster.0),
        node: beat.node.0,
        boot: beat.boot.0,
        applied_command: beat.applied.0,
        head: Some(encode_log_point(&beat.head)),
        checkpoints: beat.checkpoints.iter().map(encode_log_point).collect(),
        port_time_ms: beat.port_time.0,
        unix_time_ms: beat.unix_time_ms,
        load: Some(pb::BeatLoad {
            actors,
            devices,
            memory_bytes,
        }),
        term: beat.term,
        leads: beat.leads,
        address: beat.address.clone(),
        capacity: beat.capacity,
        incarnation: Bytes::copy_from_slice(&beat.incarnation.0),
        version: beat.version,
    }
}

/// Reads the answer to a heartbeat.
///
/// # Errors
/// When the boot id is missing.
pub fn decode_beat_answer(answer: pb::BeatResponse) -> Result<BeatAnswer, InvalidField> {
    Ok(BeatAnswer {
        node: NodeId(answer.node),
        boot: invalid::boot("boot", answer.boot)?,
        port_time: Timestamp(answer.port_time_ms),
        unix_time_ms: answer.unix_time_ms,
    })
}

/// Writes the answer to a heartbeat.
pub fn encode_beat_answer(answer: &BeatAnswer) -> pb::BeatResponse {
    pb::BeatResponse {
        node: answer.node.0,
        boot: answer.boot.0,
        port_time_ms: answer.port_time.0,
        unix_time_ms: answer.unix_time_ms,
    }
}

fn decode_log_point(point: pb::LogPoint) -> Result<LogPoint, InvalidField> {
    Ok(LogPoint {
        size: point.size,
        root: invalid::digest("root", &point.root)?,
    })
}

fn encode_log_point(point: &LogPoint) -> pb::LogPoint {
    pb::LogPoint {
        size: point.size,
        root: encode_digest(&point.root),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::samples;

    #[test]
    fn heartbeats_and_answers_read_back() {
        let beat = samples::beat();
        assert_eq!(decode_beat(encode_beat(&beat)), Ok(beat));
        let answer = BeatAnswer {
            node: NodeId(2),
            boot: BootId(9),
            port_time: Timestamp(7),
            unix_time_ms: 8,
        };
        assert_eq!(decode_beat_answer(encode_beat_answer(&answer)), Ok(answer));
    }

    #[test]
    fn each_bad_field_is_named_by_its_path() {
        let field = |spoil: fn(&mut pb::BeatRequest)| {
            let mut beat = encode_beat(&samples::beat());
            spoil(&mut beat);
            decode_beat(beat).unwrap_err().field
        };
        assert_eq!(
            field(|beat| beat.cluster_id = Bytes::from_static(b"short")),
            "cluster_id"
        );
        assert_eq!(field(|beat| beat.boot = 0), "boot");
        assert_eq!(field(|beat| beat.head = None), "head");
        assert_eq!(field(|beat| beat.head.as_mut().unwrap().root.clear()), "head.root");
        assert_eq!(field(|beat| beat.checkpoints[0].root.clear()), "checkpoints[0].root");
        assert_eq!(field(|beat| beat.address = "x".repeat(262)), "address");
        assert_eq!(
            decode_beat_answer(pb::BeatResponse::default()).unwrap_err().field,
            "boot"
        );
    }
}
