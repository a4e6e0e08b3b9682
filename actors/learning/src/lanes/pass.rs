//! One pass of a container before every detector of a lane.

use portcullis_detectors::manifest::{self, ManifestModels};
use portcullis_detectors::{Declared, Interpreter, Trajectory};
use portcullis_domain::evidence::{Ability, Evidence, Modality, ReadingRange};
use portcullis_domain::id::{DeviceId, Digest, SampleNo, Timestamp};
use portcullis_simulator::{Outfit, ReadingSource, Visit};

/// When the pass is over, on the port's clock: without a queue, after the way to the lane.
pub(super) fn ends_at(visit: &Visit) -> Timestamp {
    let ready = visit.announcement.ready_at.unwrap_or(Timestamp::ZERO);
    ready.plus_millis(visit.travel_ms() + visit.truck.pass_ms())
}

/// What the manifest and every device of the lane say.
pub(super) fn evidence(
    source: &ReadingSource,
    outfit: Outfit,
    visit: &Visit,
    models: &ManifestModels,
) -> Vec<Evidence> {
    let declared = Declared {
        manifest: &visit.announcement.manifest,
        equipment: &visit.equipment,
    };
    let mut papers = Trajectory::default();
    let interpretation = manifest::interpret(declared.manifest, declared.equipment, models);
    papers.learn(SampleNo(0), interpretation, Ability::Clear);
    let papers = evidence_of(&papers, Modality::Manifest, models.version(), visit);
    let devices = outfit.modalities().iter();
    let devices = devices.filter_map(|modality| device(source, *modality, visit, declared));
    papers.into_iter().chain(devices).collect()
}

fn device(source: &ReadingSource, modality: Modality, visit: &Visit, declared: Declared<'_>) -> Option<Evidence> {
    let mut interpreter = Interpreter::new(modality);
    let mut known = Trajectory::default();
    let mut last = SampleNo(0);
    for (sample, content) in source.readings(modality, visit) {
        if content.precedes_pass() {
            interpreter.take_prelude(&content);
            continue;
        }
        last = sample;
        if let Some(next) = interpreter.push(&content, declared) {
            known.learn(sample, next, Ability::Clear);
        }
    }
    if let Some(whole) = interpreter.finish(declared) {
        known.learn(last, whole, Ability::Clear);
    }
    evidence_of(&known, modality, interpreter.version(), visit)
}

/// The evidence that knowledge of a pass amounts to; none if nothing was seen.
fn evidence_of(known: &Trajectory, modality: Modality, version: &str, visit: &Visit) -> Option<Evidence> {
    known.latest()?;
    let device = DeviceId::new(modality.as_str()).ok();
    let readings = device
        .filter(|_| modality != Modality::Manifest)
        .map(|device| ReadingRange {
            device,
            boot: 1,
            first: 1,
            last: 1,
        });
    Some(Evidence {
        modality,
        readings,
        // Readings are made and dropped, not kept.
        digest: Digest([0; 32]),
        interpreter: version.to_owned(),
        captured_at: ends_at(visit),
        findings: known.findings().to_vec(),
        steps: known.steps().to_vec(),
    })
}
