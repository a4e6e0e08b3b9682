//! A device that numbers, stamps and signs its readings.

use ed25519_dalek::{Signer as _, SigningKey};
use portcullis_domain::equipment::EquipmentId;
use portcullis_domain::id::{DeviceId, InspectionNo, SampleNo, Timestamp};
use portcullis_domain::reading::{Reading, ReadingContent, ReadingHeader, SignedReading};
use portcullis_wire::reading::{READING_BODY_MAX, encode_reading};

/// A device, since its start.
pub(super) struct Device {
    pub(super) id: DeviceId,
    /// Grows with each start.
    pub(super) boot: u64,
    key: SigningKey,
    sequence: u64,
}

impl Device {
    /// Starts a device.
    pub(super) fn start(id: DeviceId, boot: u64, key: SigningKey) -> Self {
        Self {
            id,
            boot,
            key,
            sequence: 0,
        }
    }

    /// Its public key.
    pub(super) fn public_key(&self) -> [u8; 32] {
        self.key.verifying_key().to_bytes()
    }

    /// The next reading.
    pub(super) fn sign(
        &mut self,
        content: ReadingContent,
        captured_at: Timestamp,
        inspection: Option<InspectionNo>,
        equipment: &EquipmentId,
        sample: SampleNo,
    ) -> SignedReading {
        self.sequence += 1;
        let mut reading = Reading {
            header: ReadingHeader {
                device: self.id.clone(),
                boot: self.boot,
                sequence: self.sequence,
                captured_at,
                inspection,
                equipment: Some(equipment.clone()),
                sample,
            },
            content,
        };
        let mut body = encode_reading(&reading);
        if body.len() > READING_BODY_MAX {
            // The sums of the channels are in the counts: what is lost is the resolution, not the reading.
            if let ReadingContent::Radiation(sample) = &mut reading.content {
                sample
                    .detectors
                    .iter_mut()
                    .for_each(|detector| detector.spectrum = None);
            }
            body = encode_reading(&reading);
        }
        let mut signed = SignedReading {
            body,
            signature: Vec::new(),
        };
        signed.signature = self.key.sign(&signed.digest().0).to_bytes().to_vec();
        signed
    }
}

#[cfg(test)]
mod tests {
    use ed25519_dalek::{Signature, VerifyingKey};
    use portcullis_domain::reading::{DetectorCounts, RadiationKind, RadiationSample, Spectrum};
    use portcullis_wire::reading::decode_reading;

    use super::*;

    fn device() -> Device {
        Device::start(DeviceId::new("rpm-1").unwrap(), 5, SigningKey::from_bytes(&[7; 32]))
    }

    fn equipment() -> EquipmentId {
        EquipmentId::new("DM1234").unwrap()
    }

    fn counts(channels: usize) -> ReadingContent {
        let spectrum = Spectrum {
            calibration_kev: Vec::new(),
            counts: vec![u32::MAX; channels],
        };
        ReadingContent::Radiation(RadiationSample {
            real_time_us: 250_000,
            detectors: vec![
                DetectorCounts {
                    name: "a".to_owned(),
                    kind: RadiationKind::Gamma,
                    live_time_us: 250_000,
                    counts: 9,
                    spectrum: Some(spectrum),
                };
                8
            ],
        })
    }

    #[test]
    fn readings_are_numbered_from_one_and_verify_under_the_devices_key() {
        let mut device = device();
        let key = VerifyingKey::from_bytes(&device.public_key()).unwrap();
        for sequence in 1..=3 {
            let signed = device.sign(
                counts(4),
                Timestamp(9),
                Some(InspectionNo(41)),
                &equipment(),
                SampleNo(1),
            );
            let signature = Signature::from_slice(&signed.signature).unwrap();
            key.verify_strict(&signed.digest().0, &signature).unwrap();
            let header = decode_reading(&signed.body).unwrap().header;
            assert_eq!(
                (header.sequence, header.boot, header.inspection),
                (sequence, 5, Some(InspectionNo(41)))
            );
        }
    }

    #[test]
    fn a_reading_too_large_to_send_loses_its_spectra_and_keeps_its_counts() {
        let signed = device().sign(counts(65_536), Timestamp(9), None, &equipment(), SampleNo(1));
        assert!(signed.body.len() < READING_BODY_MAX);
        let ReadingContent::Radiation(sample) = decode_reading(&signed.body).unwrap().content else {
            panic!("it is radiation");
        };
        assert!(
            sample
                .detectors
                .iter()
                .all(|detector| detector.counts == 9 && detector.spectrum.is_none())
        );
    }
}
