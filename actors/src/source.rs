//! One sensor's part of a pass: its readings in order, what they mean so far, and the evidence they end up as.
//!
//! What comes out depends on the readings and on nothing else, least of all on when they came.

use std::collections::VecDeque;
use std::sync::Arc;

use portcullis_detectors::radiation::{Background, PLANNED_SAMPLES, RadiationInterpreter};
use portcullis_detectors::radiography::RadiographyInterpreter;
use portcullis_detectors::trace::TraceInterpreter;
use portcullis_detectors::{Interpretation, ocr, radiation, radiography, trace, weighbridge};
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
    Ocr {
        seen: Recognition,
    },
    Radiography(Box<RadiographyInterpreter>),
    Trace(Box<TraceInterpreter>),
    /// There is no interpreter for this modality yet: no evidence comes, and the policy sees that.
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
            Modality::Ocr => Interpreter::Ocr {
                seen: Recognition { candidates: Vec::new() },
            },
            Modality::Radiography => Interpreter::Radiography(Box::default()),
            Modality::Trace => Interpreter::Trace(Box::default()),
            Modality::Manifest | Modality::Magnetometer | Modality::Nqr => Interpreter::None,
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
                seen.candidates.extend(recognition.candidates.iter().cloned());
                Some(ocr::interpret(seen, declared.equipment))
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
mod tests {
    use portcullis_domain::evidence::ThreatFamily;
    use portcullis_domain::id::InspectionNo;
    use portcullis_domain::reading::{
        AbilityAssessment, AlarmDecision, Candidate, DetectorCounts, EnergyImage, ImageStrip, IonMobility, Polarity,
        RadiationKind, ReadingHeader, RowRange, SwabPurpose, ThreatCategory, ThreatFlag, ThreatObject, ThreatReport,
        TraceAlarm,
    };

    use super::*;

    fn portal(counts: u64) -> RadiationSample {
        RadiationSample {
            real_time_us: 250_000,
            detectors: vec![DetectorCounts {
                name: "gamma".to_owned(),
                kind: RadiationKind::Gamma,
                live_time_us: 250_000,
                counts,
                spectrum: None,
            }],
        }
    }

    fn reading(sequence: u64, sample: u32, content: ReadingContent) -> Authentic {
        let header = ReadingHeader {
            device: DeviceId::new("rpm-1").unwrap(),
            boot: 1,
            sequence,
            captured_at: Timestamp(1_000 + sequence),
            inspection: Some(InspectionNo(9)),
            equipment: None,
            sample: SampleNo(sample),
        };
        Authentic {
            signed: SignedReading {
                body: sequence.to_be_bytes().to_vec(),
                signature: Vec::new(),
            },
            reading: Reading { header, content },
        }
    }

    fn pass(prelude: &mut Prelude, samples: u32) -> Evidence {
        let (manifest, equipment) = (Manifest::default(), EquipmentId::new("CBHU6192031").unwrap());
        let declared = Declared {
            manifest: &manifest,
            equipment: &equipment,
        };
        let mut source = Source::new(DeviceId::new("rpm-1").unwrap(), 1, Modality::Radiation, 1, prelude);
        for sample in 1..=samples {
            let content = ReadingContent::Radiation(portal(500 + u64::from(sample % 7)));
            source.take_sample(reading(100 + u64::from(sample), sample, content), declared, prelude);
        }
        source.evidence().unwrap()
    }

    #[test]
    fn the_background_before_the_pass_counts_and_is_kept_for_a_pass_that_brings_none() {
        let mut prelude = Prelude::default();
        prelude.push(reading(1, 0, ReadingContent::RadiationBackground(portal(500))));
        let first = pass(&mut prelude, 20);
        assert_eq!(first.readings.as_ref().unwrap().first, 1);
        let second = pass(&mut prelude, 20);
        assert_eq!(second.readings.as_ref().unwrap().first, 101);
        assert_eq!(first.steps, second.steps);
        let codes: Vec<_> = second.findings.iter().map(|noted| noted.finding.code).collect();
        assert!(!codes.contains(&FindingCode::BackgroundFromPass), "{codes:?}");
    }

    #[test]
    fn what_an_earlier_pass_left_behind_does_not_matter_to_one_with_its_own_background() {
        let (manifest, equipment) = (Manifest::default(), EquipmentId::new("CBHU6192031").unwrap());
        let declared = Declared {
            manifest: &manifest,
            equipment: &equipment,
        };
        let steps = |left_behind: Option<u64>| {
            let mut prelude = Prelude::default();
            if let Some(counts) = left_behind {
                prelude.push(reading(1, 0, ReadingContent::RadiationBackground(portal(counts))));
            }
            let id = DeviceId::new("rpm-1").unwrap();
            let mut source = Source::new(id, 1, Modality::Radiation, 1, &mut prelude);
            source.take_prelude(reading(2, 0, ReadingContent::RadiationBackground(portal(500))));
            for sample in 1..=10 {
                let content = ReadingContent::Radiation(portal(520));
                source.take_sample(reading(2 + u64::from(sample), sample, content), declared, &mut prelude);
            }
            source.evidence().unwrap().steps
        };
        assert_eq!(steps(None), steps(Some(900)));
    }

    #[test]
    fn a_trajectory_never_has_more_steps_than_the_ledger_takes() {
        let evidence = pass(&mut Prelude::default(), 600);
        assert!(evidence.steps.len() <= STEPS_MAX);
        evidence.check().unwrap();
    }

    #[test]
    fn missing_samples_degrade_the_view_from_there_on() {
        let (manifest, equipment) = (Manifest::default(), EquipmentId::new("CBHU6192031").unwrap());
        let declared = Declared {
            manifest: &manifest,
            equipment: &equipment,
        };
        let mut prelude = Prelude::default();
        prelude.push(reading(1, 0, ReadingContent::RadiationBackground(portal(500))));
        let mut source = Source::new(DeviceId::new("rpm-1").unwrap(), 1, Modality::Radiation, 1, &mut prelude);
        for sample in [1, 2, 3, 7, 8] {
            let content = ReadingContent::Radiation(portal(500));
            source.take_sample(reading(u64::from(sample) + 1, sample, content), declared, &mut prelude);
        }
        source.end(declared);
        let evidence = source.evidence().unwrap();
        assert_eq!(evidence.at(SampleNo(8)).unwrap().ability, Ability::Degraded);
        assert!(
            evidence
                .findings
                .iter()
                .any(|noted| { noted.sample == SampleNo(7) && noted.finding.code == FindingCode::SampleGap })
        );
    }

    #[test]
    fn a_doubt_that_comes_after_the_only_reading_degrades_the_view_in_the_end() {
        let (manifest, equipment) = (Manifest::default(), EquipmentId::new("CBHU6192031").unwrap());
        let declared = Declared {
            manifest: &manifest,
            equipment: &equipment,
        };
        let candidates = vec![Candidate {
            text: "CBHU6192031".to_owned(),
            confidence_permille: 990,
        }];
        let mut prelude = Prelude::default();
        let mut source = Source::new(DeviceId::new("ocr-1").unwrap(), 1, Modality::Ocr, 1, &mut prelude);
        let content = ReadingContent::Recognition(Recognition { candidates });
        source.take_sample(reading(1, 1, content), declared, &mut prelude);
        assert_eq!(source.knowledge().0, Ability::Clear);
        source.doubt(Finding::new(FindingCode::ReadingRefused, "SIGNATURE_INVALID", "forged"));
        source.end(declared);
        assert_eq!(source.knowledge().0, Ability::Degraded);
        source.evidence().unwrap().check().unwrap();
    }

    #[test]
    fn readings_before_a_pass_are_bounded_in_bytes_and_the_oldest_give_way() {
        let mut prelude = Prelude::default();
        for sequence in 1..=9 {
            let mut large = reading(sequence, 0, ReadingContent::RadiationBackground(portal(500)));
            large.signed.body = vec![0; 1 << 20];
            prelude.push(large);
        }
        let left: Vec<_> = prelude.new.iter().map(|one| one.reading.header.sequence).collect();
        assert_eq!(left, [7, 8, 9]);
        prelude.forget_used(DeviceMark { boot: 1, sequence: 8 });
        assert_eq!(prelude.new.len(), 1);
        assert!(prelude.bytes < (1 << 20) + 16);
    }

    #[test]
    fn several_looks_at_the_number_are_taken_together() {
        let (manifest, equipment) = (Manifest::default(), EquipmentId::new("CBHU6192031").unwrap());
        let declared = Declared {
            manifest: &manifest,
            equipment: &equipment,
        };
        let mut prelude = Prelude::default();
        let mut source = Source::new(DeviceId::new("ocr-1").unwrap(), 1, Modality::Ocr, 1, &mut prelude);
        for (sample, text) in [(1, "CBHU6??????"), (2, "CBHU6192031")] {
            let candidates = vec![Candidate {
                text: text.to_owned(),
                confidence_permille: 900,
            }];
            let content = ReadingContent::Recognition(Recognition { candidates });
            source.take_sample(reading(u64::from(sample), sample, content), declared, &mut prelude);
        }
        let evidence = source.evidence().unwrap();
        assert_eq!(evidence.total().unwrap().ability, Ability::Clear);
    }

    /// Columns of a container with light goods, 100 of 646 of a centimetre each.
    fn columns(first_column: u32) -> ImageStrip {
        let width = 100.min(646 - first_column);
        let of_column = |column: u32| {
            let inside = (20..626).contains(&column);
            (0..240_u32).map(move |row| if inside && row >= 20 { 40_000 } else { 60_000 })
        };
        ImageStrip {
            first_column,
            columns_planned: Some(646),
            width,
            height: 240,
            column_um: 10_000,
            row_um: 10_000,
            container_rows: Some(RowRange { first: 20, end: 240 }),
            energies: vec![EnergyImage {
                endpoint_kev: 6_000,
                references: None,
                pixels: (first_column..first_column + width).flat_map(of_column).collect(),
            }],
        }
    }

    #[test]
    fn an_image_is_evidence_from_its_first_columns_on_and_seen_when_the_pass_ends() {
        let (manifest, equipment) = (Manifest::default(), EquipmentId::new("CBHU6192031").unwrap());
        let declared = Declared {
            manifest: &manifest,
            equipment: &equipment,
        };
        let image = |strips: u32| {
            let mut prelude = Prelude::default();
            let id = DeviceId::new("xray-1").unwrap();
            let mut source = Source::new(id, 1, Modality::Radiography, 1, &mut prelude);
            for number in 0..strips {
                let content = ReadingContent::ImageStrip(columns(number * 100));
                let sample = number + 3;
                source.take_sample(reading(u64::from(sample), sample, content), declared, &mut prelude);
                assert_eq!(source.knowledge().0, Ability::Shielded);
            }
            source.end(declared);
            source.evidence().unwrap()
        };
        let whole = image(7);
        whole.check().unwrap();
        assert_eq!(whole.interpreter, radiography::VERSION);
        assert_eq!(whole.total().unwrap().ability, Ability::Clear, "{whole:?}");
        assert_eq!(whole.steps[0].sample, SampleNo(3));
        assert!(whole.total().unwrap().weights.of(ThreatFamily::Narcotics) < 0);
        assert_eq!(image(5).total().unwrap().ability, Ability::Degraded);
        assert_eq!(image(2).total().unwrap().ability, Ability::Shielded);
    }

    #[test]
    fn a_vendors_report_is_evidence_beside_the_image() {
        let (manifest, equipment) = (Manifest::default(), EquipmentId::new("CBHU6192031").unwrap());
        let declared = Declared {
            manifest: &manifest,
            equipment: &equipment,
        };
        let mut prelude = Prelude::default();
        let id = DeviceId::new("xray-1").unwrap();
        let mut source = Source::new(id, 1, Modality::Radiography, 1, &mut prelude);
        let report = ThreatReport {
            maker: "Acme".to_owned(),
            algorithm: "find".to_owned(),
            version: "1".to_owned(),
            decision: AlarmDecision::Alarm,
            abort: None,
            test_prevalence_ppm: None,
            objects: vec![ThreatObject {
                flag: ThreatFlag::Threat,
                category: ThreatCategory::ProhibitedItem,
                ability: AbilityAssessment::NoInterference,
                probability_ppm: Some(900_000),
                bounds: None,
            }],
        };
        for number in 0..7 {
            let content = ReadingContent::ImageStrip(columns(number * 100));
            source.take_sample(
                reading(u64::from(number) + 1, number + 1, content),
                declared,
                &mut prelude,
            );
        }
        source.take_sample(
            reading(8, 8, ReadingContent::ThreatReport(report)),
            declared,
            &mut prelude,
        );
        source.end(declared);
        let evidence = source.evidence().unwrap();
        evidence.check().unwrap();
        assert_eq!(evidence.total().unwrap().weights.of(ThreatFamily::Weapons), 9_542);
    }

    #[test]
    fn a_swab_is_evidence_and_the_blank_before_the_pass_counts_for_it() {
        let (manifest, equipment) = (Manifest::default(), EquipmentId::new("CBHU6192031").unwrap());
        let declared = Declared {
            manifest: &manifest,
            equipment: &equipment,
        };
        let analysis = |purpose: SwabPurpose| IonMobility {
            swab: "swab-1".to_owned(),
            purpose,
            polarity: Polarity::Negative,
            spectrum: None,
            alarms: vec![TraceAlarm {
                substance: "RDX".to_owned(),
                channel: "RDX-Cl".to_owned(),
                true_alarm_ppm: None,
                false_alarm_ppm: None,
            }],
        };
        let blank = ReadingContent::IonMobility(analysis(SwabPurpose::Blank));
        let swab = ReadingContent::IonMobility(analysis(SwabPurpose::Sample));
        assert!(blank.precedes_pass() && !swab.precedes_pass());
        let mut prelude = Prelude::default();
        prelude.push(reading(1, 0, blank));
        let id = DeviceId::new("ims-1").unwrap();
        let mut source = Source::new(id, 1, Modality::Trace, 1, &mut prelude);
        source.take_sample(reading(2, 1, swab), declared, &mut prelude);
        source.end(declared);
        let evidence = source.evidence().unwrap();
        evidence.check().unwrap();
        assert_eq!(evidence.interpreter, trace::VERSION);
        assert_eq!(evidence.readings.as_ref().unwrap().first, 1);
        assert!(evidence.total().unwrap().weights.of(ThreatFamily::Explosives) > 0);
        let codes: Vec<_> = evidence.findings.iter().map(|noted| noted.finding.code).collect();
        assert_eq!(codes, [FindingCode::BlankContaminated, FindingCode::TraceAlarm]);
    }

    #[test]
    fn a_sensor_that_saw_nothing_has_no_evidence() {
        let source = Source::new(
            DeviceId::new("x").unwrap(),
            1,
            Modality::Ocr,
            1,
            &mut Prelude::default(),
        );
        assert_eq!(source.evidence(), None);
    }
}
