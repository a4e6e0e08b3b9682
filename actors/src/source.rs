//! One sensor's part of a pass: its readings in order, what they mean so far, and the evidence they end up as.
//!
//! What comes out depends on the readings and on nothing else, least of all on when they came.

use std::collections::VecDeque;
use std::sync::Arc;

use portcullis_detectors::{Declared, Interpretation, Interpreter, Trajectory};
use portcullis_domain::codec::to_bytes;
use portcullis_domain::evidence::{Ability, Evidence, Modality, ReadingRange, Weights};
use portcullis_domain::finding::{Finding, FindingCode};
use portcullis_domain::id::{DeviceId, Digest, SampleNo, Timestamp};
use portcullis_domain::ledger::DeviceMark;
use portcullis_domain::reading::{RadiationSample, Reading, ReadingContent, SignedReading};

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

/// One sensor's part of a pass.
pub(crate) struct Source {
    pub(crate) modality: Modality,
    device: DeviceId,
    boot: u64,
    interpreter: Interpreter,
    /// Backgrounds since the last pass began; those of this very pass are with the interpreter.
    backgrounds_before: Vec<RadiationSample>,
    first: Option<u64>,
    last: u64,
    /// Not yet handed over to be kept.
    readings: Vec<SignedReading>,
    /// What they are kept under, once they are handed over.
    kept_under: Option<Digest>,
    bytes: usize,
    captured_at: Timestamp,
    known: Trajectory,
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
        let mut source = Self {
            modality,
            device,
            boot,
            interpreter: Interpreter::new(modality),
            backgrounds_before: Vec::new(),
            first: None,
            last: 0,
            readings: Vec::new(),
            kept_under: None,
            bytes: 0,
            captured_at: Timestamp::ZERO,
            known: Trajectory::new(STEPS_OF_A_PASS / sources, FINDING_BYTES_OF_A_PASS / sources),
            last_sample: SampleNo(0),
            told: SampleNo(0),
            ended: false,
            doubted: false,
        };
        for reading in prelude.take() {
            source.take_prelude(reading);
        }
        if let Interpreter::Radiation { backgrounds, .. } = &mut source.interpreter {
            source.backgrounds_before = std::mem::take(backgrounds);
        }
        source
    }

    /// Bytes of the readings so far.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    /// What the source knows by now.
    pub(crate) fn knowledge(&self) -> (Ability, Weights) {
        self.known
            .latest()
            .map_or((Ability::Shielded, Weights::ZERO), |step| (step.ability, step.weights))
    }

    /// Notes something about quality, known from the present sample on.
    pub(crate) fn note(&mut self, finding: Finding) {
        self.note_from(self.last_sample, finding);
    }

    /// Notes something about quality, known from a sample on.
    pub(crate) fn note_from(&mut self, sample: SampleNo, finding: Finding) {
        self.known.note(sample, finding);
    }

    /// Notes that readings are missing or were not authentic.
    pub(crate) fn doubt(&mut self, finding: Finding) {
        self.note(finding);
        self.doubted = true;
    }

    /// Takes a background, a blank or a document. What comes before the first sample counts for this pass.
    pub(crate) fn take_prelude(&mut self, reading: Authentic) {
        self.interpreter.take_prelude(&reading.reading.content);
        if let ReadingContent::SourceDocument(document) = &reading.reading.content {
            for finding in &document.findings {
                self.note(finding.clone());
            }
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
        self.choose_backgrounds(prelude);
        let known = self.interpreter.push(&reading.reading.content, declared);
        self.keep(reading);
        if let Some(known) = known {
            self.learn(sample, known);
        }
    }

    /// The sensor has nothing more to say about this pass.
    pub(crate) fn end(&mut self, declared: Declared<'_>) {
        self.ended = true;
        // A device that never showed anything says nothing at its end either.
        let known = if self.known.latest().is_none() {
            None
        } else {
            self.interpreter.finish(declared)
        };
        if let Some(known) = known {
            self.learn(self.last_sample, known);
        } else if let Some(last) = self.known.latest().filter(|_| self.doubted) {
            // What came before the doubt was learned with a clear view; the whole has none.
            let known = Interpretation {
                weights: last.weights,
                ability: last.ability,
                findings: Vec::new(),
            };
            self.learn(self.last_sample, known);
        }
    }

    /// Before the first sample: the backgrounds of this very pass if there are any, so that what another pass left behind
    /// does not matter; else the latest there are.
    fn choose_backgrounds(&mut self, prelude: &mut Prelude) {
        let Interpreter::Radiation {
            backgrounds,
            running: None,
        } = &mut self.interpreter
        else {
            return;
        };
        let latest = [&*backgrounds, &self.backgrounds_before];
        if let Some(measured) = latest.into_iter().find(|measured| !measured.is_empty()) {
            prelude.backgrounds.clone_from(measured);
        }
        backgrounds.clone_from(&prelude.backgrounds);
    }

    fn learn(&mut self, sample: SampleNo, known: Interpretation) {
        let at_best = if self.doubted {
            Ability::Degraded
        } else {
            Ability::Clear
        };
        self.known.learn(sample, known, at_best);
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
        self.known.latest()?;
        Some(Evidence {
            modality: self.modality,
            readings: Some(ReadingRange {
                device: self.device.clone(),
                boot: self.boot,
                first: self.first?,
                last: self.last,
            }),
            digest: self.kept_under.unwrap_or_else(|| Digest::of(&to_bytes(&self.readings))),
            interpreter: self.interpreter.version().to_owned(),
            captured_at: self.captured_at,
            findings: self.known.findings().to_vec(),
            steps: self.known.steps().to_vec(),
        })
    }
}

#[cfg(test)]
mod tests;
