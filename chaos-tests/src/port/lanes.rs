//! The port's lanes and the keys of their devices, made from the seed.

use std::collections::BTreeMap;

use ed25519_dalek::{Signer as _, SigningKey};
use portcullis_domain::id::{DeviceId, InvalidId, LaneId, TerminalId};
use portcullis_domain::lane::{DeviceKind, DeviceSpec, LaneSpec};
use portcullis_domain::reading::{Reading, SignedReading};
use portcullis_simulator::Outfit;
use rand::Rng;

/// The terminal of the simulated port.
pub(super) const TERMINAL: &str = "T1";

/// So many lanes, each with a controller and a sensor of each simulated modality.
pub(super) fn lanes(
    count: u32,
    rng: &mut impl Rng,
) -> Result<(Vec<LaneSpec>, BTreeMap<DeviceId, SigningKey>), InvalidId> {
    let mut keys = BTreeMap::new();
    let mut lanes = Vec::new();
    for lane in 1..=count {
        let controller = ("controller", DeviceKind::Controller);
        let modalities = Outfit::Basic.modalities().iter();
        let sensors = modalities.map(|modality| (modality.as_str(), DeviceKind::Sensor(*modality)));
        let mut devices = Vec::new();
        for (name, kind) in [controller].into_iter().chain(sensors) {
            let id = DeviceId::new(format!("lane-{lane}-{name}"))?;
            let mut secret = [0; 32];
            rng.fill_bytes(&mut secret);
            let key = SigningKey::from_bytes(&secret);
            devices.push(DeviceSpec {
                id: id.clone(),
                kind,
                public_key: key.verifying_key().to_bytes(),
            });
            keys.insert(id, key);
        }
        lanes.push(LaneSpec {
            id: LaneId(lane),
            terminal: TerminalId::new(TERMINAL)?,
            devices,
            nodes: Vec::new(),
            usual_pass_s: 90,
            scheduled: true,
        });
    }
    Ok((lanes, keys))
}

/// Signs a reading as its device.
pub(super) fn sign(key: &SigningKey, reading: &Reading) -> SignedReading {
    let mut signed = SignedReading {
        body: portcullis_wire::reading::encode_reading(reading),
        signature: Vec::new(),
    };
    signed.signature = key.sign(&signed.digest().0).to_bytes().to_vec();
    signed
}
