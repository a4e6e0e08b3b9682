//! Lanes: their definitions and how they stand.

use portcullis_domain::drift::{ChartKey, Charts};
use portcullis_domain::id::{LaneId, NodeId};
use portcullis_domain::lane::{DEVICES_MAX, DeviceKind, DeviceSpec, Lane, LaneSpec};
use portcullis_domain::placement::Placement;
use portcullis_proto::v1 as pb;

use crate::invalid::{self, InvalidField};
use crate::vocabulary::{decode_modality, encode_modality};

/// The most nodes that a lane may name as wired to its hardware.
const NODES_MAX: usize = 64;

/// Reads a lane's definition.
///
/// # Errors
/// Names the first field that cannot be, from the definition: `devices[2].public_key`.
pub fn decode_lane_spec(definition: pb::LaneDefinition) -> Result<LaneSpec, InvalidField> {
    let spec = LaneSpec {
        id: LaneId(definition.lane),
        terminal: invalid::parse("terminal", &definition.terminal)?,
        devices: invalid::list("devices", definition.devices, DEVICES_MAX, decode_device)?,
        nodes: invalid::list("nodes", definition.nodes, NODES_MAX, |node| Ok(NodeId(node)))?,
        usual_pass_s: invalid::positive("usual_pass_s", definition.usual_pass_s)?,
        scheduled: definition.scheduled,
    };
    spec.check().map_err(|error| InvalidField::new("devices", error.why))?;
    Ok(spec)
}

/// Writes a lane's definition.
pub fn encode_lane_spec(spec: &LaneSpec) -> pb::LaneDefinition {
    pb::LaneDefinition {
        lane: spec.id.0,
        terminal: spec.terminal.to_string(),
        devices: spec.devices.iter().map(encode_device).collect(),
        nodes: spec.nodes.iter().map(|node| node.0).collect(),
        usual_pass_s: spec.usual_pass_s,
        scheduled: spec.scheduled,
    }
}

/// Writes a lane as it stands, with its home, how many containers wait at its terminal, and which of its devices are adrift.
pub fn encode_lane(lane: &Lane, placement: Option<&Placement>, queued: u32, charts: &Charts) -> pb::Lane {
    let adrift = lane.spec.devices.iter().filter(|device| {
        let chart = ChartKey::Device(device.id.clone());
        charts.standing(&chart).is_some()
    });
    let home = placement.filter(|placement| placement.live);
    pb::Lane {
        definition: Some(encode_lane_spec(&lane.spec)),
        open: lane.open,
        next_inspection: lane.next.map(|inspection| inspection.0),
        current_inspection: lane.current.map(|inspection| inspection.0),
        entry: lane.entry.0,
        node: home.map(|placement| placement.node.0),
        epoch: placement.map_or(0, |placement| placement.epoch.0),
        queued,
        adrift: adrift.map(|device| device.id.to_string()).collect(),
    }
}

fn decode_device(device: pb::Device) -> Result<DeviceSpec, InvalidField> {
    use pb::device::Kind;
    Ok(DeviceSpec {
        id: invalid::parse("id", &device.id)?,
        kind: match invalid::required("kind", device.kind)? {
            Kind::Sensor(modality) => DeviceKind::Sensor(decode_modality("sensor", modality)?),
            Kind::Controller(true) => DeviceKind::Controller,
            Kind::Controller(false) => return Err(InvalidField::new("controller", "it can only be true")),
        },
        public_key: invalid::array("public_key", &device.public_key)?,
    })
}

fn encode_device(device: &DeviceSpec) -> pb::Device {
    use pb::device::Kind;
    let kind = match device.kind {
        DeviceKind::Sensor(modality) => Kind::Sensor(encode_modality(modality) as i32),
        DeviceKind::Controller => Kind::Controller(true),
    };
    pb::Device {
        id: device.id.to_string(),
        kind: Some(kind),
        public_key: device.public_key.to_vec().into(),
    }
}

#[cfg(test)]
mod tests {
    use portcullis_domain::id::{EntryNo, Epoch, InspectionNo};

    use super::*;
    use crate::samples;

    #[test]
    fn a_definition_reads_back() {
        let spec = samples::lane_spec();
        assert_eq!(decode_lane_spec(encode_lane_spec(&spec)), Ok(spec));
    }

    #[test]
    fn each_bad_field_is_named_by_its_path() {
        let field = |spoil: fn(&mut pb::LaneDefinition)| {
            let mut definition = encode_lane_spec(&samples::lane_spec());
            spoil(&mut definition);
            decode_lane_spec(definition).unwrap_err().field
        };
        assert_eq!(field(|d| d.terminal.clear()), "terminal");
        assert_eq!(field(|d| d.usual_pass_s = 0), "usual_pass_s");
        assert_eq!(field(|d| d.devices[0].id.clear()), "devices[0].id");
        assert_eq!(field(|d| d.devices[0].kind = None), "devices[0].kind");
        assert_eq!(
            field(|d| d.devices[0].kind = Some(pb::device::Kind::Sensor(0))),
            "devices[0].sensor"
        );
        assert_eq!(
            field(|d| d.devices[1].public_key = vec![0; 31].into()),
            "devices[1].public_key"
        );
        assert_eq!(field(|d| d.devices = vec![d.devices[0].clone(); 2]), "devices");
        assert_eq!(field(|d| d.devices = vec![d.devices[0].clone(); 33]), "devices");
    }

    #[test]
    fn a_lane_shows_its_home_only_while_the_home_lives() {
        let lane = Lane {
            spec: samples::lane_spec(),
            open: true,
            next: None,
            current: Some(InspectionNo(5)),
            entry: EntryNo(4),
        };
        let mut placement = samples::placement();
        assert_eq!(
            encode_lane(&lane, Some(&placement), 3, &Charts::default()).node,
            Some(placement.node.0)
        );
        placement.live = false;
        let shown = encode_lane(&lane, Some(&placement), 3, &Charts::default());
        assert_eq!((shown.node, Epoch(shown.epoch)), (None, placement.epoch));
        assert_eq!(encode_lane(&lane, None, 3, &Charts::default()).epoch, 0);
    }
}
