//! One sensor's part of a pass: its readings in order, what they mean so far, and the evidence they end up as.
//!
//! What comes out depends on the readings and on nothing else, least of all on when they came.

use std::collections::VecDeque;
use std::sync::Arc;

use portcullis_detectors::nqr::NqrInterpreter;
use portcullis_detectors::radiation::{Background, PLANNED_SAMPLES, RadiationInterpreter};
use portcullis_detectors::radiography::RadiographyInterpreter;
use portcullis_detectors::trace::TraceInterpreter;
use portcullis_detectors::{Interpretation, magnetometer, nqr, ocr, radiation, radiography, trace, weighbridge};
use portcullis_domain::codec::to_bytes;
use portcullis_domain::equipment::EquipmentId;
use portcullis_domain::evidence::{
    Ability, EVIDENCE_FINDINGS_MAX, Evidence, Modality, Noted, ReadingRange, STEPS_MAX, Step, Weights,
};
use portcullis_domain::finding::{Finding, FindingCode};
use portcullis_domain::id::{DeviceId, Digest, SampleNo, Timestamp};
use portcullis_domain::ledger::DeviceMark;
use portcullis_domain::manifest::Manifest;
use portcullis_domain::reading::{RadiationSample, Reading, ReadingContent, Recognition, SignedReading};

/// All evidence of a pass goes into one entry of the decision log, which has a limit (64 KiB): so many steps of 29 bytes
/// and so many bytes of findings are shared by the sources of a pass.
const STEPS_OF_A_PASS: usize = 1_200;
const FINDING_BYTES_OF_A_PASS: usize = 24_000;

/// The most bytes of readings that one sensor may bring in one pass: they are kept as one piece, and the store takes
/// pieces of 32 MiB.
pub(crate) const SOURCE_BYTES_MAX: usize = 24 << 20;

/// Readings before a pass that are kept, by number and by bytes; older ones give way.
const PRELUDE_MAX: usize = 256;
const PRELUDE_BYTES_MAX: usize = 4 << 20;

/// What a reading counts for towards limits in bytes: both fields and their lengths.
pub(crate) fn kept_bytes(reading: &SignedReading) -> usize {
    reading.body.len() + reading.signature.len() + 8
}

/// A reading whose signature was checked.
#[derive(Debug, Clone)]
pub(crate) struct Authentic {
    pub(crate) signed: SignedReading,
    pub(crate) reading: Reading,
}

/// What a sensor sent outside of any pass: backgrounds, and documents that announce what follows.
#[derive(Debug, Default)]
pub(crate) struct Prelude {
    /// Since the last pass began.
    new: VecDeque<Authentic>,
    /// Bytes of these.
    bytes: usize,
    /// What the last pass used, for sensors that do not measure a background before each one.
    backgrounds: Vec<RadiationSample>,
}

impl Prelude {
    pub(crate) fn push(&mut self, reading: Authentic) {
        self.bytes += kept_bytes(&reading.signed);
        self.new.push_back(reading);
        while self.new.len() > PRELUDE_MAX || self.bytes > PRELUDE_BYTES_MAX {
            let Some(oldest) = self.new.pop_front() else { break };
            self.bytes -= kept_bytes(&oldest.signed);
        }
    }

    /// The sensor started again: readings of its former life cannot be evidence of this one.
    pub(crate) fn sensor_restarted(&mut self) {
        self.take();
    }

    /// Forgets what came no later than what the ledger has used: a background between the samples of the last pass would
    /// otherwise make the readings of the next one begin before that pass ended, which the ledger refuses as a replay.
    pub(crate) fn forget_used(&mut self, used: DeviceMark) {
        self.new.retain(|reading| {
            let header = &reading.reading.header;
            (header.boot, header.sequence) > (used.boot, used.sequence)
        });
        self.bytes = self.new.iter().map(|reading| kept_bytes(&reading.signed)).sum();
    }

    fn take(&mut self) -> VecDeque<Authentic> {
        self.bytes = 0;
        std::mem::take(&mut self.new)
    }
}

/// What is to be compared with.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Declared<'a> {
    pub(crate) manifest: &'a Manifest,
    pub(crate) equipment: &'a EquipmentId,
}

enum Interpreter {
    /// Begins with the first sample, because it needs the background first.
    Radiation {
        /// Measured since the last pass began.
        before: Vec<RadiationSample>,
        /// Measured in this pass: if there are any, they are what counts.
        during: Vec<RadiationSample>,
        running: Option<Box<RadiationInterpreter>>,
    },
    Weighbridge,
    /// Each reading is one look of a camera; they are weighed together.
    Ocr {
        seen: Vec<Recognition>,
    },
    /// One reading for each excitation; they add up.
    Nqr(NqrInterpreter),
    /// One profile a pass.
    Magnetometer,
    Radiography(Box<RadiographyInterpreter>),
    Trace(Box<TraceInterpreter>),
    /// No device measures a manifest: no evidence comes, and the policy sees that.
    None,
}

/// One sensor's part of a pass.
pub(crate) struct Source {
    pub(crate) modality: Modality,
    device: DeviceId,
    boot: u64,
    interpreter: Interpreter,
    first: Option<u64>,
    last: u64,
    /// Not yet handed over to be kept.
    readings: Vec<SignedReading>,
    /// What they are kept under, once they are handed over.
    kept_under: Option<Digest>,
    bytes: usize,
    captured_at: Timestamp,
    findings: Vec<Noted>,
    finding_bytes_left: usize,
    steps: Vec<Step>,
    steps_max: usize,
    pub(crate) last_sample: SampleNo,
    /// Up to which sample the sensor was told that its readings are taken in.
    pub(crate) told: SampleNo,
    pub(crate) ended: bool,
    /// Readings are missing or were not authentic: from here on the view is degraded at best.
    doubted: bool,
}

impl Source {
    /// The sensor's part, among `sources`, of a pass that starts now; takes over what came before it.
    pub(crate) fn new(device: DeviceId, boot: u64, modality: Modality, sources: usize, prelude: &mut Prelude) -> Self {
        let sources = sources.max(1);
        let interpreter = match modality {
            Modality::Radiation => Interpreter::Radiation {
                before: Vec::new(),
                during: Vec::new(),
                running: None,
            },
            Modality::Weighbridge => Interpreter::Weighbridge,
            Modality::Ocr => Interpreter::Ocr { seen: Vec::new() },
            Modality::Nqr => Interpreter::Nqr(NqrInterpreter::new()),
            Modality::Magnetometer => Interpreter::Magnetometer,
            Modality::Radiography => Interpreter::Radiography(Box::default()),
            Modality::Trace => Interpreter::Trace(Box::default()),
            Modality::Manifest => Interpreter::None,
        };
        let mut source = Self {
            modality,
            device,
            boot,
            interpreter,
            first: None,
            last: 0,
            readings: Vec::new(),
            kept_under: None,
            bytes: 0,
            captured_at: Timestamp::ZERO,
            findings: Vec::new(),
            finding_bytes_left: FINDING_BYTES_OF_A_PASS / sources,
            steps: Vec::new(),
            steps_max: (STEPS_OF_A_PASS / sources).min(STEPS_MAX),
            last_sample: SampleNo(0),
            told: SampleNo(0),
            ended: false,
            doubted: false,
        };
        for reading in prelude.take() {
            source.take_prelude(reading);
        }
        if let Interpreter::Radiation { before, during, .. } = &mut source.interpreter {
            std::mem::swap(before, during);
        }
        source
    }

    /// Bytes of the readings so far.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    /// What the source knows by now.
    pub(crate) fn knowledge(&self) -> (Ability, Weights) {
        self.steps
            .last()
            .map_or((Ability::Shielded, Weights::ZERO), |step| (step.ability, step.weights))
    }

    /// Notes something about quality, known from the present sample on.
    pub(crate) fn note(&mut self, finding: Finding) {
        self.note_from(self.last_sample, finding);
    }

    /// Notes something about quality, known from a sample on.
    pub(crate) fn note_from(&mut self, sample: SampleNo, finding: Finding) {
        let known = |noted: &Noted| noted.finding.code == finding.code && noted.finding.field == finding.field;
        // Sample, code and two lengths besides the texts.
        let bytes = finding.field.len() + finding.detail.len() + 13;
        let fits = self.findings.len() < EVIDENCE_FINDINGS_MAX && bytes <= self.finding_bytes_left;
        if fits && !self.findings.iter().any(known) {
            self.finding_bytes_left -= bytes;
            self.findings.push(Noted { sample, finding });
        }
    }

    /// Notes that readings are missing or were not authentic.
    pub(crate) fn doubt(&mut self, finding: Finding) {
        self.note(finding);
        self.doubted = true;
    }

    /// Takes a background, a blank or a document. What comes before the first sample counts for this pass.
    pub(crate) fn take_prelude(&mut self, reading: Authentic) {
        match &reading.reading.content {
            ReadingContent::RadiationBackground(sample) => {
                if let Interpreter::Radiation {
                    during, running: None, ..
                } = &mut self.interpreter
                {
                    during.push(sample.clone());
                }
            }
            ReadingContent::IonMobility(blank) => {
                if let Interpreter::Trace(interpreter) = &mut self.interpreter {
                    interpreter.push(blank);
                }
            }
            ReadingContent::SourceDocument(document) => {
                for finding in &document.findings {
                    self.note(finding.clone());
                }
            }
            _ => {}
        }
        self.keep(reading);
    }

    /// Takes a sample in. The caller has checked device, order and inspection.
    pub(crate) fn take_sample(&mut self, reading: Authentic, declared: Declared<'_>, prelude: &mut Prelude) {
        let sample = reading.reading.header.sample;
        let skipped = sample.0.saturating_sub(self.last_sample.0) > 1;
        self.last_sample = sample;
        if skipped && self.modality == Modality::Radiation {
            self.doubt(Finding::new(
                FindingCode::SampleGap,
                "sample",
                format!("samples before {sample} are missing"),
            ));
        }
        let known = match (&mut self.interpreter, &reading.reading.content) {
            (
                Interpreter::Radiation {
                    before,
                    during,
                    running,
                },
                ReadingContent::Radiation(counts),
            ) => {
                let interpreter = running.get_or_insert_with(|| {
                    // The background of this very pass if there is one, so that what another pass left behind does not
                    // matter; else the latest there is.
                    if let Some(measured) = [during, before].into_iter().find(|measured| !measured.is_empty()) {
                        prelude.backgrounds.clone_from(measured);
                    }
                    let background = Background::measured(&prelude.backgrounds);
                    Box::new(RadiationInterpreter::new(background, PLANNED_SAMPLES))
                });
                let progress = interpreter.push(counts);
                Some(Interpretation {
                    weights: progress.weights,
                    ability: progress.ability,
                    findings: interpreter.findings(),
                })
            }
            (Interpreter::Weighbridge, ReadingContent::Weighing(weighing)) => {
                Some(weighbridge::interpret(weighing, declared.manifest))
            }
            (Interpreter::Ocr { seen }, ReadingContent::Recognition(recognition)) => {
                if seen.len() < ocr::LOOKS_MAX {
                    seen.push(recognition.clone());
                }
                Some(ocr::interpret(seen, declared.equipment, declared.manifest))
            }
            (Interpreter::Nqr(interpreter), ReadingContent::Nqr(waveform)) => {
                Some(interpreter.push(waveform, declared.manifest))
            }
            (Interpreter::Magnetometer, ReadingContent::MagneticProfile(profile)) => {
                Some(magnetometer::interpret(profile, declared.manifest))
            }
            (Interpreter::Radiography(interpreter), ReadingContent::ImageStrip(strip)) => {
                let worth = interpreter.push_strip(strip);
                worth.then(|| interpreter.interpret(declared.manifest))
            }
            (Interpreter::Radiography(interpreter), ReadingContent::ThreatReport(report)) => {
                interpreter.push_report(report);
                Some(interpreter.interpret(declared.manifest))
            }
            (Interpreter::Trace(interpreter), ReadingContent::IonMobility(analysis)) => {
                interpreter.push(analysis);
                Some(interpreter.interpret())
            }
            _ => None,
        };
        self.keep(reading);
        if let Some(known) = known {
            self.learn(sample, known);
        }
    }

    /// The sensor has nothing more to say about this pass.
    pub(crate) fn end(&mut self, declared: Declared<'_>) {
        self.ended = true;
        let known = match &mut self.interpreter {
            Interpreter::Radiation {
                running: Some(interpreter),
                ..
            } => {
                let progress = interpreter.finish();
                Some(Interpretation {
                    weights: progress.weights,
                    ability: progress.ability,
                    findings: interpreter.findings(),
                })
            }
            Interpreter::Radiography(interpreter) if !self.steps.is_empty() => {
                interpreter.finish();
                Some(interpreter.interpret(declared.manifest))
            }
            _ => None,
        };
        if let Some(known) = known {
            self.learn(self.last_sample, known);
        } else if let Some(last) = self.steps.last().filter(|_| self.doubted) {
            // What came before the doubt was learned with a clear view; the whole has none.
            let known = Interpretation {
                weights: last.weights,
                ability: last.ability,
                findings: Vec::new(),
            };
            self.learn(self.last_sample, known);
        }
    }

    fn learn(&mut self, sample: SampleNo, known: Interpretation) {
        for finding in known.findings {
            self.note(finding);
        }
        let ability = if self.doubted {
            known.ability.max(Ability::Degraded)
        } else {
            known.ability
        };
        let step = Step {
            sample,
            ability,
            weights: known.weights,
        };
        let full = self.steps.len() >= self.steps_max;
        match self.steps.last_mut() {
            Some(last) if (last.ability, last.weights) == (step.ability, step.weights) => {}
            Some(last) if last.sample >= sample => {
                *last = Step {
                    sample: last.sample,
                    ..step
                }
            }
            // The trajectory has a limit; from there on only its end moves.
            Some(last) if full => *last = step,
            _ => self.steps.push(step),
        }
    }

    fn keep(&mut self, reading: Authentic) {
        let header = &reading.reading.header;
        self.first.get_or_insert(header.sequence);
        self.last = self.last.max(header.sequence);
        self.captured_at = self.captured_at.max(header.captured_at);
        self.bytes += kept_bytes(&reading.signed);
        self.readings.push(reading.signed);
    }

    /// All readings together, to be kept, with the digest to keep them under; they are gone from here then.
    pub(crate) fn take_readings(&mut self) -> Option<(Digest, Arc<[u8]>)> {
        if self.readings.is_empty() {
            return None;
        }
        let bytes = to_bytes(&std::mem::take(&mut self.readings));
        let digest = Digest::of(&bytes);
        self.kept_under = Some(digest);
        Some((digest, bytes.into()))
    }

    /// What the source says; nothing if it never saw anything.
    pub(crate) fn evidence(&self) -> Option<Evidence> {
        if self.steps.is_empty() {
            return None;
        }
        Some(Evidence {
            modality: self.modality,
            readings: Some(ReadingRange {
                device: self.device.clone(),
                boot: self.boot,
                first: self.first?,
                last: self.last,
            }),
            digest: self.kept_under.unwrap_or_else(|| Digest::of(&to_bytes(&self.readings))),
            interpreter: match self.modality {
                Modality::Radiation => radiation::VERSION,
                Modality::Weighbridge => weighbridge::VERSION,
                Modality::Nqr => nqr::VERSION,
                Modality::Magnetometer => magnetometer::VERSION,
                Modality::Radiography => radiography::VERSION,
                Modality::Trace => trace::VERSION,
                _ => ocr::VERSION,
            }
            .to_owned(),
            captured_at: self.captured_at,
            findings: self.findings.clone(),
            steps: self.steps.clone(),
        })
    }
}

#[cfg(test)]
mod tests;
