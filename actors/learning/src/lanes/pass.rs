//! One pass of a container before every detector of a lane.

use portcullis_detectors::{Declared, Interpretation, Interpreter, manifest};
use portcullis_domain::evidence::{Evidence, Modality, Noted, ReadingRange, Step};
use portcullis_domain::finding::Finding;
use portcullis_domain::id::{DeviceId, Digest, SampleNo, Timestamp};
use portcullis_simulator::{Outfit, ReadingSource, Visit};

/// When the pass is over, on the port's clock: without a queue, after the way to the lane.
pub(super) fn ends_at(visit: &Visit) -> Timestamp {
    let ready = visit.announcement.ready_at.unwrap_or(Timestamp::ZERO);
    ready.plus_millis(visit.travel_ms() + visit.truck.pass_ms())
}

/// What the manifest and every device of the lane say.
pub(super) fn evidence(source: &ReadingSource, outfit: Outfit, visit: &Visit) -> Vec<Evidence> {
    let declared = Declared {
        manifest: &visit.announcement.manifest,
        equipment: &visit.equipment,
    };
    let mut papers = Trajectory::default();
    papers.learn(SampleNo(0), manifest::interpret(declared.manifest, declared.equipment));
    let papers = papers.evidence(Modality::Manifest, manifest::VERSION, visit);
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
            known.learn(sample, next);
        }
    }
    if let Some(whole) = interpreter.finish(declared) {
        known.learn(last, whole);
    }
    known.evidence(modality, interpreter.version(), visit)
}

/// Knowledge as it grows.
#[derive(Debug, Default)]
struct Trajectory {
    steps: Vec<Step>,
    findings: Vec<Noted>,
}

impl Trajectory {
    fn learn(&mut self, sample: SampleNo, known: Interpretation) {
        for finding in known.findings {
            self.note(sample, finding);
        }
        let step = Step {
            sample,
            ability: known.ability,
            weights: known.weights,
        };
        match self.steps.last_mut() {
            Some(last) if last.sample >= sample => *last = step,
            _ => self.steps.push(step),
        }
    }

    fn note(&mut self, sample: SampleNo, finding: Finding) {
        let known = |noted: &Noted| noted.finding.code == finding.code && noted.finding.field == finding.field;
        if !self.findings.iter().any(known) {
            self.findings.push(Noted { sample, finding });
        }
    }

    fn evidence(self, modality: Modality, version: &str, visit: &Visit) -> Option<Evidence> {
        if self.steps.is_empty() {
            return None;
        }
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
            findings: self.findings,
            steps: self.steps,
        })
    }
}
