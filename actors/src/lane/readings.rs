//! What sensors measure: a reading is taken if it is new and belongs here, and fusion hears what it adds to what is known.

use std::sync::Arc;

use portcullis_detectors::Declared;
use portcullis_domain::finding::{Finding, FindingCode};
use portcullis_domain::id::{DeviceId, InspectionNo, PassNo, SampleNo};
use portcullis_domain::lane::DeviceKind;
use portcullis_domain::ledger::DeviceMark;
use portcullis_domain::message::{Feature, Message, ToDevice};
use portcullis_domain::placement::{ActorKey, shard_of};

use super::Lane;
use crate::pass::Phase;
use crate::source::{Authentic, SOURCE_BYTES_MAX};

/// A sensor hears after so many samples that they are taken in.
const CONTINUE_EVERY: u32 = 4;

impl Lane {
    pub(super) fn take_reading(&mut self, id: &DeviceId, reading: Authentic) {
        let header = reading.reading.header.clone();
        let sequence = header.sequence;
        let Some(device) = self.devices.get_mut(id) else { return };
        if header.device != *id {
            let detail = format!("it is of {}, this is {id}", header.device);
            return self.refuse(id, sequence, "READING_OF_ANOTHER_DEVICE", detail);
        }
        let mark = self
            .marks
            .entry(id.clone())
            .or_insert(DeviceMark { boot: 0, sequence: 0 });
        let this = DeviceMark {
            boot: header.boot,
            sequence,
        };
        if this <= *mark || header.boot != device.boot {
            let detail = format!(
                "start {} number {sequence} is not after start {} number {}, or not of the start that attached ({})",
                header.boot, mark.boot, mark.sequence, device.boot
            );
            if let Some(source) = self.source(id) {
                // Honest sensors repeat themselves after a fault of the line, so this casts no doubt.
                source.note(Finding::new(
                    FindingCode::ReadingStray,
                    "READING_REPLAYED",
                    detail.clone(),
                ));
            }
            return self.refuse(id, sequence, "READING_REPLAYED", detail);
        }
        *mark = this;
        let gap = device.last.filter(|last| sequence > last + 1);
        device.last = Some(sequence);
        let DeviceKind::Sensor(modality) = device.spec.kind else {
            return self.refuse(
                id,
                sequence,
                "NOT_A_SENSOR",
                format!("{id} controls the lane and measures nothing"),
            );
        };
        let content = &reading.reading.content;
        if content.modality().is_some_and(|found| found != modality) {
            let detail = format!("{id} is configured as {modality}");
            return self.refuse(id, sequence, "WRONG_MODALITY", detail);
        }
        if let (Some(last), Some(source)) = (gap, self.source(id)) {
            let detail = format!("numbers {} to {} are missing", last + 1, sequence - 1);
            portcullis_domain::mutant!(
                GapsOverlooked,
                (),
                source.doubt(Finding::new(FindingCode::ReadingGap, "sequence", detail)),
            );
        }
        if content.precedes_pass() {
            self.take_prelude(id, reading);
        } else {
            self.take_sample(id, reading);
        }
    }

    fn take_prelude(&mut self, id: &DeviceId, reading: Authentic) {
        let bytes_max = self.context.config.pass_bytes_max;
        let pass = self.pass.as_mut().filter(|pass| pass.phase == Phase::Measuring);
        let too_large = pass
            .as_ref()
            .is_some_and(|pass| !pass.has_room(id, &reading.signed, bytes_max));
        let source = pass
            .and_then(|pass| pass.sources.get_mut(id))
            .filter(|source| !source.ended && source.last_sample == SampleNo(0));
        match source {
            Some(_) if too_large => {
                let sequence = reading.reading.header.sequence;
                let detail = pass_too_large(bytes_max);
                self.refuse(id, sequence, "PASS_TOO_LARGE", detail);
            }
            Some(source) => source.take_prelude(reading),
            None => self.preludes.entry(id.clone()).or_default().push(reading),
        }
    }

    fn take_sample(&mut self, id: &DeviceId, reading: Authentic) {
        let header = reading.reading.header.clone();
        let sequence = header.sequence;
        let bytes_max = self.context.config.pass_bytes_max;
        let running = self.pass.as_mut().filter(|pass| pass.phase == Phase::Measuring);
        let Some(pass) = running else {
            let detail = format!("no pass is under way on {}", self.id);
            return self.refuse(id, sequence, "NO_PASS", detail);
        };
        let expected = (pass.inspection, pass.equipment.clone());
        let about_this = header.inspection == Some(expected.0)
            && header
                .equipment
                .as_ref()
                .is_none_or(|equipment| *equipment == expected.1);
        if !about_this {
            let detail = format!("in the lane is {} ({})", expected.1, expected.0);
            if let Some(source) = self.source(id) {
                // A sensor may still be sending what belongs to a pass that broke off.
                let found = Finding::new(
                    FindingCode::ReadingStray,
                    "READING_FOR_ANOTHER_CONTAINER",
                    detail.clone(),
                );
                source.note(found);
            }
            return self.refuse(id, sequence, "READING_FOR_ANOTHER_CONTAINER", detail);
        }
        let too_large = !pass.has_room(id, &reading.signed, bytes_max);
        let sources = u32::try_from(pass.sources.len()).unwrap_or(u32::MAX);
        let (no, case) = (pass.pass, Arc::clone(&pass.case));
        let Some(source) = pass.sources.get_mut(id).filter(|source| !source.ended) else {
            let detail = format!("{id} does not take part in this pass, or has ended it");
            return self.refuse(id, sequence, "NO_PASS", detail);
        };
        if too_large {
            let detail = pass_too_large(bytes_max);
            source.doubt(Finding::new(
                FindingCode::ReadingRefused,
                "PASS_TOO_LARGE",
                detail.clone(),
            ));
            return self.refuse(id, sequence, "PASS_TOO_LARGE", detail);
        }
        if header.sample < source.last_sample {
            let detail = format!("sample {} comes after sample {}", header.sample, source.last_sample);
            source.doubt(Finding::new(FindingCode::SampleGap, "sample", detail.clone()));
            return self.refuse(id, sequence, "SAMPLE_OUT_OF_ORDER", detail);
        }
        let declared = Declared {
            manifest: &case.manifest,
            equipment: &case.equipment,
        };
        let prelude = self.preludes.entry(id.clone()).or_default();
        source.take_sample(reading, declared, prelude);
        let taken = header.sample;
        let acknowledge = taken.0 >= source.told.0.saturating_add(CONTINUE_EVERY);
        if acknowledge {
            source.told = taken;
        }
        let feature = self.feature(expected.0, no, id, sources, false);
        if acknowledge {
            self.hint(
                id,
                ToDevice::Continue {
                    inspection: expected.0,
                    sample: taken,
                },
            );
        }
        self.tell_fusion(feature);
    }

    pub(super) fn feature(
        &self,
        inspection: InspectionNo,
        pass: PassNo,
        device: &DeviceId,
        sources: u32,
        last: bool,
    ) -> Option<Feature> {
        let source = self.pass.as_ref()?.sources.get(device)?;
        let (ability, weights) = source.knowledge();
        Some(Feature {
            lane: self.id,
            lane_epoch: self.context.epoch,
            inspection,
            pass,
            device: device.clone(),
            modality: source.modality,
            sample: source.last_sample,
            ability,
            weights,
            last,
            sources,
        })
    }

    pub(super) fn tell_fusion(&self, feature: Option<Feature>) {
        if let Some(feature) = feature {
            let to = ActorKey::Fusion(shard_of(feature.inspection));
            self.context.tell(&to, Message::Feature(feature));
        }
    }
}

fn pass_too_large(bytes_max: usize) -> String {
    format!("the readings of one pass may have {bytes_max} bytes together, those of one sensor {SOURCE_BYTES_MAX}")
}
