//! What was recorded: the samples of a pass, the document they were read from, and a background.

use std::collections::BTreeMap;
use std::path::Path;

use portcullis_detectors::n42::{Form, RadiationRecord, SampleClass, read};
use portcullis_domain::id::Digest;
use portcullis_domain::manifest::FINDINGS_MAX;
use portcullis_domain::reading::{DetectorCounts, RadiationKind, RadiationSample, SourceDocument};
use portcullis_wire::reading::DETECTORS_MAX;

use crate::cli::failure::{Exit, Failure, chain};

/// The longest detector name that a reading may carry, in bytes.
const NAME_MAX: usize = 64;
/// The most calibration coefficients that a reading may carry.
const COEFFICIENTS_MAX: usize = 16;

/// A recorded pass.
#[derive(Debug)]
pub(super) struct Recording {
    pub(super) document: SourceDocument,
    /// In the order of the record.
    pub(super) samples: Vec<RadiationSample>,
    /// What the record itself says about the surroundings, summed.
    pub(super) background: Option<RadiationSample>,
}

impl Recording {
    /// Reads a pass.
    pub(super) fn pass(path: &Path) -> Result<Self, Failure> {
        let (document, record) = document(path)?;
        let of_pass = |class| matches!(class, SampleClass::Foreground | SampleClass::Unspecified);
        let samples = samples(&record, of_pass);
        if samples.is_empty() {
            return Err(Failure::new(
                Exit::Error,
                "the record holds no foreground sample, only backgrounds or calibrations",
            )
            .field(path.display().to_string())
            .next("name the recorded pass of a vehicle; a background goes to --background"));
        }
        if let Some(many) = samples
            .iter()
            .map(|sample| sample.detectors.len())
            .find(|count| *count > DETECTORS_MAX)
        {
            return Err(Failure::new(
                Exit::Error,
                format!("a sample has {many} detectors; a reading takes {DETECTORS_MAX}"),
            )
            .field(path.display().to_string())
            .next("split the record by detectors"));
        }
        let background = summed(samples_of(&record, SampleClass::Background));
        Ok(Self {
            document,
            samples,
            background,
        })
    }

    /// Reads a background: the background samples of a record, or all it has if it names none so.
    pub(super) fn background(path: &Path) -> Result<(SourceDocument, RadiationSample), Failure> {
        let (document, record) = document(path)?;
        let named = summed(samples_of(&record, SampleClass::Background));
        let any = || summed(samples(&record, |class| class != SampleClass::Calibration));
        let background = named.or_else(any).ok_or_else(|| {
            Failure::new(Exit::Error, "the record holds no counts that could be a background")
                .field(path.display().to_string())
        })?;
        Ok((document, background))
    }
}

fn document(path: &Path) -> Result<(SourceDocument, RadiationRecord), Failure> {
    let bytes = std::fs::read(path).map_err(|error| {
        Failure::new(Exit::Error, format!("cannot read the file: {error}")).field(path.display().to_string())
    })?;
    let record = read(&bytes).map_err(|error| {
        Failure::new(Exit::Error, chain(&error))
            .field(path.display().to_string())
            .next("an N42.42 record of 2006 or 2012 is expected")
    })?;
    let format = match record.form {
        Form::Form2006 => "n42-2006",
        Form::Form2012 => "n42-2012",
    };
    let mut findings = record.findings.clone();
    findings.truncate(FINDINGS_MAX);
    Ok((
        SourceDocument {
            digest: Digest::of(&bytes),
            format: format.to_owned(),
            findings,
        },
        record,
    ))
}

fn samples_of(record: &RadiationRecord, class: SampleClass) -> Vec<RadiationSample> {
    samples(record, |found| found == class)
}

fn samples(record: &RadiationRecord, wanted: impl Fn(SampleClass) -> bool) -> Vec<RadiationSample> {
    record
        .samples
        .iter()
        .filter(|sample| wanted(sample.class))
        .map(|sample| {
            let mut sample = RadiationSample::from(sample.clone());
            sample.detectors.iter_mut().for_each(fit);
            sample
        })
        .collect()
}

/// Cuts what a reading cannot carry: over-long names, and calibrations that nobody could use.
fn fit(detector: &mut DetectorCounts) {
    let end = (0..=NAME_MAX.min(detector.name.len()))
        .rev()
        .find(|at| detector.name.is_char_boundary(*at));
    detector.name.truncate(end.unwrap_or(0));
    if let Some(spectrum) = &mut detector.spectrum {
        let usable = spectrum.calibration_kev.len() <= COEFFICIENTS_MAX
            && spectrum
                .calibration_kev
                .iter()
                .all(|coefficient| coefficient.is_finite());
        if !usable {
            spectrum.calibration_kev.clear();
        }
    }
}

/// All samples as one long one: counts and times of each detector together, without spectra, which a background's rate
/// does not need.
fn summed(samples: Vec<RadiationSample>) -> Option<RadiationSample> {
    let mut detectors: BTreeMap<(String, RadiationKind), (u64, u64)> = BTreeMap::new();
    let mut real_time_us = 0_u64;
    for sample in &samples {
        real_time_us = real_time_us.saturating_add(sample.real_time_us);
        for detector in &sample.detectors {
            let (live, counts) = detectors.entry((detector.name.clone(), detector.kind)).or_default();
            *live = live.saturating_add(detector.live_time_us);
            *counts = counts.saturating_add(detector.counts);
        }
    }
    let detectors: Vec<DetectorCounts> = detectors
        .into_iter()
        .take(DETECTORS_MAX)
        .map(|((name, kind), (live_time_us, counts))| DetectorCounts {
            name,
            kind,
            live_time_us,
            counts,
            spectrum: None,
        })
        .collect();
    (!detectors.is_empty()).then_some(RadiationSample {
        real_time_us,
        detectors,
    })
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::*;

    fn data(name: &str) -> Option<PathBuf> {
        let path = std::env::var_os("PORTCULLIS_TEST_DATA").map(|folder| Path::new(&folder).join("n42").join(name));
        let found = path.filter(|path| path.exists());
        if found.is_none() {
            eprintln!("skipped: {name} is not there; PORTCULLIS_TEST_DATA names the folder of public input files");
        }
        found
    }

    #[test]
    fn the_recorded_portal_pass_has_its_samples_timing_and_findings() {
        let Some(path) = data("passthrough.n42") else { return };
        let recording = Recording::pass(&path).unwrap();
        assert_eq!(recording.samples.len(), 133);
        assert!(recording.samples.iter().all(|sample| sample.real_time_us == 250_000));
        assert_eq!(recording.document.format, "n42-2006");
        assert!(!recording.document.findings.is_empty());
    }

    #[test]
    fn a_background_is_one_long_sample() {
        let Some(path) = data("background_20100317.n42") else {
            return;
        };
        let (_, background) = Recording::background(&path).unwrap();
        assert!(background.real_time_us >= 500_000_000, "{}", background.real_time_us);
        assert!(
            background
                .detectors
                .iter()
                .all(|detector| detector.counts > 0 && detector.spectrum.is_none())
        );
    }

    #[test]
    fn a_record_may_bring_its_own_background() {
        let Some(path) = data("U235_Unshielded_6000.n42") else {
            return;
        };
        let recording = Recording::pass(&path).unwrap();
        assert!(!recording.samples.is_empty() && recording.background.is_some());
    }

    #[test]
    fn a_file_that_is_no_record_is_refused_with_its_name() {
        let failure = Recording::pass(Path::new("no-such-file.n42")).unwrap_err();
        assert_eq!(failure.field.as_deref(), Some("no-such-file.n42"));
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), "<N42InstrumentData><Measurement>").unwrap();
        let failure = Recording::pass(file.path()).unwrap_err();
        assert!(failure.what.contains("Measurement"), "{failure}");
    }

    #[test]
    fn counts_of_the_same_detector_add_up_in_a_background() {
        let sample = |counts| RadiationSample {
            real_time_us: 10,
            detectors: vec![DetectorCounts {
                name: "a".to_owned(),
                kind: RadiationKind::Gamma,
                live_time_us: 9,
                counts,
                spectrum: None,
            }],
        };
        let background = summed(vec![sample(3), sample(4)]).unwrap();
        assert_eq!(
            (background.real_time_us, background.detectors[0].live_time_us),
            (20, 18)
        );
        assert_eq!(background.detectors[0].counts, 7);
        assert_eq!(summed(Vec::new()), None);
    }
}
