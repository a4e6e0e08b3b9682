//! `portcullis lane replay`: acts as a lane's radiation portal and plays a recorded pass, as the real device would.

mod device;
mod key;
mod player;
mod port_clock;
mod recording;

use std::time::{SystemTime, UNIX_EPOCH};

use portcullis_domain::id::{DeviceId, LaneId};
use portcullis_proto::v1;
use portcullis_proto::v1::get_inspection_request::Target;
use serde_json::{Value, json};

use self::device::Device;
use self::player::{Played, Player};
use self::port_clock::PortClock;
use self::recording::Recording;
use super::args::ReplayArgs;
use super::client::Cluster;
use super::failure::{Exit, Failure};
use super::inspection::{equipment, get};
use super::json::to_json;
use super::output::{Output, facts, remark, section};
use super::{case_file, cluster, lane, words};

pub(super) async fn replay(cluster: &Cluster, output: &mut Output, args: ReplayArgs) -> Result<Exit, Failure> {
    let recording = Recording::pass(&args.n42)?;
    let measured = args.background.as_deref().map(Recording::background).transpose()?;
    let equipment = equipment(&args.container)?;
    let definition = definition(cluster, args.lane).await?;
    let device = device(&definition, &args)?;

    let before = get(
        cluster,
        Target::EquipmentId(equipment.to_string()),
        v1::InspectionView::Basic,
    )
    .await;
    let before = before.map_err(|failure| match failure.exit {
        Exit::NotFound => failure.next(format!(
            "announce it first: portcullis announce --equipment {equipment}"
        )),
        _ => failure,
    })?;
    let case = before.inspection.unwrap_or_default();
    if case.conclusion.is_some() {
        let stage = words::stage(case.stage);
        return Err(Failure::new(
            Exit::Precondition,
            format!("{equipment} has its conclusion already and is {stage}"),
        )
        .field("--container")
        .next(format!("portcullis inspection show {equipment} tells why"))
        .next(format!(
            "once it has left, portcullis inspection depart {equipment}, it can be announced again"
        )));
    }

    let status = cluster::get(cluster).await?;
    let clock = PortClock::new(status.port_time_ms, status.port_speed_permille);
    // The document of the background has findings of its own, which belong to the evidence as well.
    let (documents, background) = match measured {
        Some((document, background)) => (vec![document, recording.document.clone()], Some(background)),
        None => (vec![recording.document.clone()], recording.background.clone()),
    };
    let total = recording.samples.len();
    remark(format!(
        "{} samples, {:.1} s, as {} of {}; background {}",
        total,
        recording
            .samples
            .iter()
            .map(|sample| sample.real_time_us as f64 / 1e6)
            .sum::<f64>(),
        device.id,
        args.lane,
        match (&args.background, &background) {
            (Some(path), _) => format!("from {}", path.display()),
            (None, Some(_)) => "from the record itself".to_owned(),
            (None, None) => "none: it is taken from the pass".to_owned(),
        }
    ));
    let (device_id, boot) = (device.id.clone(), device.boot);
    let player = Player {
        cluster,
        device,
        lane: args.lane,
        equipment,
        inspection: case.number,
        documents,
        background,
        samples: recording.samples,
        clock,
        fast: args.fast,
        patience: args.patience,
        played: Played::default(),
    };
    let (played, case) = player.play().await?;
    output.document(
        || {
            json!({
                "lane": args.lane.0,
                "device": device_id.as_str(),
                "device_boot": boot,
                "samples_recorded": total,
                "samples_sent": played.sent,
                "stopped_after_sample": played.stopped,
                "passes": played.passes,
                "refused": played.refused.iter().map(|one| to_json("DeviceRefusal", one)).collect::<Vec<_>>(),
                "barrier": played.barrier.map(|open| if open { "open" } else { "closed" }),
                "inspection": case.inspection.as_ref().map_or(Value::Null, |case| to_json("Inspection", case)),
            })
        },
        |_| text(&played, total, &case.inspection.clone().unwrap_or_default()),
    )?;
    Ok(Exit::Ok)
}

/// The lane's definition, from the cluster.
async fn definition(cluster: &Cluster, lane: LaneId) -> Result<v1::LaneDefinition, Failure> {
    let lanes = lane::get(cluster, String::new()).await?.lanes;
    let known: Vec<String> = lanes
        .iter()
        .filter_map(|lane| lane.definition.as_ref())
        .map(|definition| format!("lane-{}", definition.lane))
        .collect();
    let found = lanes
        .into_iter()
        .find(|one| one.definition.as_ref().is_some_and(|known| known.lane == lane.0));
    let Some(found) = found else {
        let mut failure = Failure::new(Exit::NotFound, format!("there is no {lane}")).field("--lane");
        failure.reason = Some("UNKNOWN_LANE".to_owned());
        return Err(failure.next(format!("lanes are {}", known.join(", "))));
    };
    if !found.open {
        let mut failure = Failure::new(Exit::Precondition, format!("{lane} is closed")).field("--lane");
        failure.reason = Some("LANE_CLOSED".to_owned());
        return Err(failure.next(format!("portcullis lane open {lane}")));
    }
    Ok(found.definition.unwrap_or_default())
}

/// The device to act as, with its key, checked against the lane's definition.
fn device(definition: &v1::LaneDefinition, args: &ReplayArgs) -> Result<Device, Failure> {
    let is_portal = |device: &&v1::Device| matches!(device.kind, Some(v1::device::Kind::Sensor(modality)) if modality == v1::Modality::Radiation as i32);
    let name = match &args.device {
        Some(name) => name.clone(),
        None => definition.devices.iter().find(is_portal).map_or_else(
            || format!("lane-{}-radiation", definition.lane),
            |device| device.id.clone(),
        ),
    };
    let id = DeviceId::new(name).map_err(|error| Failure::usage("--device", error.to_string()))?;
    let defined = definition.devices.iter().find(|device| device.id == id.as_str());
    let Some(defined) = defined.filter(is_portal) else {
        let what = match defined {
            Some(_) => format!("{id} is no radiation sensor"),
            None => format!("{id} does not belong to {}", args.lane),
        };
        let known: Vec<&str> = definition.devices.iter().map(|device| device.id.as_str()).collect();
        return Err(Failure::new(Exit::NotFound, what).field("--device").next(format!(
            "devices of {} are {}",
            args.lane,
            known.join(", ")
        )));
    };
    let path = args.key.clone().unwrap_or_else(|| key::usual_path(&id));
    let key = key::load(&path)?;
    // Grows with each start, as long as nobody sets the clock of this machine back.
    let boot = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(1, |since| since.as_millis());
    let device = Device::start(id, u64::try_from(boot).unwrap_or(u64::MAX), key);
    if defined.public_key.as_ref() != device.public_key() {
        return Err(Failure::new(
            Exit::Denied,
            format!("this is not the key that {} has for {}", args.lane, device.id),
        )
        .field(path.display().to_string())
        .next("no reading signed with it would be taken; name the device's own key with --key FILE"));
    }
    Ok(device)
}

fn text(played: &Played, total: usize, case: &v1::Inspection) -> String {
    let stopped = played
        .stopped
        .map(|sample| format!(", stopped by the lane after sample {sample}"))
        .unwrap_or_default();
    let refused: Vec<String> = played
        .refused
        .iter()
        .map(|one| format!("{} {}: {}", one.sequence, one.reason, one.detail))
        .collect();
    let head = facts(&[
        ("container", format!("{} (insp-{})", case.equipment_id, case.number)),
        ("stage", words::stage(case.stage)),
        ("sent", format!("{} of {total} samples{stopped}", played.sent)),
        ("passes", played.passes.to_string()),
        (
            "barrier",
            played
                .barrier
                .map(|open| if open { "open" } else { "closed" }.to_owned())
                .unwrap_or_default(),
        ),
        ("refused", refused.join("; ")),
    ]);
    let show = format!("portcullis inspection show {} has the whole case", case.number);
    format!(
        "{head}\n{}\n{show}",
        section("Conclusion", &case_file::conclusion(case))
    )
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;
    use std::time::Duration;

    use super::*;

    fn definition(public_key: [u8; 32]) -> v1::LaneDefinition {
        let device = |id: &str, kind| v1::Device {
            id: id.to_owned(),
            kind: Some(kind),
            public_key: public_key.to_vec().into(),
        };
        v1::LaneDefinition {
            lane: 9,
            devices: vec![
                device("gate-9", v1::device::Kind::Controller(true)),
                device("portal-9", v1::device::Kind::Sensor(v1::Modality::Radiation as i32)),
            ],
            ..Default::default()
        }
    }

    fn args(device: Option<&str>, key: &std::path::Path) -> ReplayArgs {
        ReplayArgs {
            lane: LaneId(9),
            container: "DM1234".to_owned(),
            n42: PathBuf::new(),
            background: None,
            fast: true,
            device: device.map(str::to_owned),
            key: Some(key.to_owned()),
            patience: Duration::from_secs(1),
        }
    }

    #[test]
    fn the_lanes_portal_is_played_with_its_own_key_and_with_no_other() {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), "07".repeat(32)).unwrap();
        let public_key = ed25519_dalek::SigningKey::from_bytes(&[7; 32])
            .verifying_key()
            .to_bytes();
        let found = device(&definition(public_key), &args(None, file.path())).ok().unwrap();
        assert_eq!(found.id.as_str(), "portal-9");
        let failure = device(&definition([1; 32]), &args(None, file.path())).err().unwrap();
        assert_eq!(failure.exit, Exit::Denied);
        for other in ["gate-9", "portal-8"] {
            let failure = device(&definition(public_key), &args(Some(other), file.path()))
                .err()
                .unwrap();
            assert_eq!(failure.exit, Exit::NotFound);
            assert!(failure.to_string().contains("portal-9"), "{failure}");
        }
    }
}
