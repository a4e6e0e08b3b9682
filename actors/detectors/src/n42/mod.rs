//! Reader of ANSI N42.42 radiation data, in the forms of 2006 (`N42InstrumentData`) and 2012 (`RadInstrumentData`).
//!
//! Both forms become one [`RadiationRecord`]. Real devices deviate from both: every deviation that leaves the counts
//! readable is a finding; what leaves them unreadable is refused, with the element and the reason.

mod counts;
mod elements;
mod form_2006;
mod form_2012;
mod notes;
mod packed;
mod samples;
mod values;

use portcullis_domain::finding::{Finding, FindingCode};
use portcullis_domain::reading::{DetectorCounts, RadiationKind, RadiationSample, Spectrum};
use thiserror::Error;

use crate::xml::{Element, Limits, Place, Source, XmlError};
use notes::Notes;
pub use packed::{PackedCounts, PackedSpectrum};
use samples::Samples;

/// The most channels of one spectrum. Germanium portals have 16,384.
pub const CHANNELS_MAX: usize = 65_536;
/// The most channels of one record after expanding runs of zeros: 133 samples of 8 germanium detectors are 17.4 million.
pub const RECORD_CHANNELS_MAX: usize = 64 << 20;
/// The most samples of one record: 40 minutes at 4 Hz.
pub const SAMPLES_MAX: usize = 10_000;
/// The most detectors of one record.
pub const DETECTORS_MAX: usize = 256;

/// Which form of the standard a record was written in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// `N42InstrumentData`.
    Form2006,
    /// `RadInstrumentData`.
    Form2012,
}

/// Whether spectra are kept, or only their sums.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Spectra {
    /// Each channel that is not in a run of zeros: about the size of the document.
    Keep,
    /// Channels are checked and summed, and not kept. Reads and refuses exactly the same documents.
    SumOnly,
}

/// What a radiation instrument measured.
#[derive(Debug, Clone, PartialEq)]
pub struct RadiationRecord {
    /// The form it was written in.
    pub form: Form,
    /// The document's id, if it has one.
    pub document_id: Option<String>,
    /// Who measured.
    pub instrument: Instrument,
    /// Every detector that is declared or has sent data, in order of first mention.
    pub detectors: Vec<DetectorInfo>,
    /// The samples, in document order.
    pub samples: Vec<Sample>,
    /// What deviates from the standard or casts doubt on the data.
    pub findings: Vec<Finding>,
}

/// The instrument, in its own words.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Instrument {
    /// Who made it.
    pub manufacturer: Option<String>,
    /// Its model.
    pub model: Option<String>,
    /// Its serial number, as written.
    pub serial: Option<String>,
    /// Class (2012) or type (2006), such as `SpecPortal`.
    pub class: Option<String>,
    /// The lane it says it stands in.
    pub lane_number: Option<u32>,
}

/// A detector of the instrument.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DetectorInfo {
    /// Its name in the document; empty if it has none.
    pub name: String,
    /// What it counts.
    pub kind: DetectorKind,
    /// Its make, such as `HPGe 50%`.
    pub description: Option<String>,
}

/// What a detector counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum DetectorKind {
    /// Gamma rays.
    Gamma,
    /// Neutrons.
    Neutron,
    /// Something else, or not said.
    Other,
}

/// What a sample was taken of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum SampleClass {
    /// The object.
    Foreground,
    /// The surroundings.
    Background,
    /// A calibration source, or the instrument's own activity.
    Calibration,
    /// Not said.
    Unspecified,
}

/// What all detectors counted over one interval.
#[derive(Debug, Clone, PartialEq)]
pub struct Sample {
    /// The document's sample number, or the position from 1 if it numbers nothing.
    pub number: u32,
    /// What it was taken of.
    pub class: SampleClass,
    /// When it began, milliseconds since 1970 UTC; unknown without a time zone.
    pub start_ms: Option<i64>,
    /// Length of the sample, microseconds, if stated for the sample as a whole.
    pub real_time_us: Option<u64>,
    /// The occupancy flag. See [`FindingCode::OccupancyUnusable`] before using it.
    pub occupied: Option<bool>,
    /// Each detector's share.
    pub detectors: Vec<DetectorSample>,
}

/// What one detector counted over one interval.
#[derive(Debug, Clone, PartialEq)]
pub struct DetectorSample {
    /// The detector's name; empty if the document gives none.
    pub detector: String,
    /// What it counts.
    pub kind: DetectorKind,
    /// Length of the interval, microseconds.
    pub real_time_us: Option<u64>,
    /// Time in which it could count, microseconds. Rates need this one.
    pub live_time_us: Option<u64>,
    /// All counts; fractional ones are summed first and then rounded.
    pub counts: u64,
    /// The counts by channel, fractions rounded, if it measured a spectrum and spectra are kept.
    pub spectrum: Option<PackedSpectrum>,
}

/// Why a document is not radiation data that can be used.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum N42Error {
    /// Not readable as XML.
    #[error(transparent)]
    Xml(#[from] XmlError),
    /// Another kind of document.
    #[error(
        "root element {root} is neither N42InstrumentData (2006) nor RadInstrumentData (2012); send an N42.42 document"
    )]
    Root {
        /// The local name of the root.
        root: String,
    },
    /// Nothing was measured.
    #[error("{element} holds no counts and no spectrum; send the record with its measurements")]
    Empty {
        /// The element that should hold them.
        element: &'static str,
    },
    /// A value without which the counts mean nothing.
    #[error("{element} {place} cannot be used: {why}; correct the value at the device")]
    Value {
        /// The element's local name.
        element: String,
        /// Where it is.
        place: Place,
        /// What is wrong.
        why: String,
    },
    /// More than this reader takes.
    #[error("there are more than {limit} {what} {place}; send the record in parts")]
    Limit {
        /// What there are too many of.
        what: &'static str,
        /// The limit.
        limit: usize,
        /// Where.
        place: Place,
    },
}

/// Reads a record and keeps its spectra.
///
/// # Errors
/// [`N42Error`] names the element, the byte offset, the reason and what to do.
pub fn read(bytes: &[u8]) -> Result<RadiationRecord, N42Error> {
    read_with(bytes, Spectra::Keep)
}

/// Reads a record.
///
/// # Errors
/// The same as [`read`].
pub fn read_with(bytes: &[u8], spectra: Spectra) -> Result<RadiationRecord, N42Error> {
    let source = Source::decode(bytes, &Limits::READING)?;
    let document = source.parse(&Limits::READING)?;
    let mut notes = Notes::new(document.findings);
    let mut samples = Samples::new(spectra);
    let root = &document.root;
    let (form, namespace) = match root.name {
        "N42InstrumentData" => (Form::Form2006, "ANSIN4242"),
        "RadInstrumentData" => (Form::Form2012, "N42/2011/N42"),
        other => {
            return Err(N42Error::Root {
                root: other.chars().take(80).collect(),
            });
        }
    };
    if !document.namespace.as_deref().is_some_and(|uri| uri.contains(namespace)) {
        let found = document.namespace.as_deref().unwrap_or("none");
        notes.add(FindingCode::NamespaceUnexpected, root.name, || {
            format!("namespace {found}")
        });
    }
    let instrument = match form {
        Form::Form2006 => form_2006::read(root, &mut samples, &mut notes)?,
        Form::Form2012 => form_2012::read(root, &mut samples, &mut notes)?,
    };
    note_local_times(root, &mut notes);
    let (detectors, samples) = samples.finish(&mut notes);
    if samples.is_empty() {
        let element = match form {
            Form::Form2006 => "Measurement",
            Form::Form2012 => "RadMeasurement",
        };
        return Err(N42Error::Empty { element });
    }
    let document_id = ["n42DocUUID", "UUID"]
        .iter()
        .find_map(|name| root.attribute(name))
        .filter(|id| !id.is_empty())
        .map(str::to_owned);
    if form == Form::Form2012 && document_id.is_none() {
        notes.add(FindingCode::DocumentIdEmpty, "n42DocUUID", || {
            "it is empty or missing".to_owned()
        });
    }
    Ok(RadiationRecord {
        form,
        document_id,
        instrument,
        detectors,
        samples,
        findings: notes.finish(),
    })
}

impl Form {
    /// The name of the format, for the document's descriptor.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Form2006 => "n42-2006",
            Self::Form2012 => "n42-2012",
        }
    }
}

impl RadiationRecord {
    /// The samples of one class.
    pub fn of_class(&self, class: SampleClass) -> impl Iterator<Item = &Sample> {
        self.samples.iter().filter(move |sample| sample.class == class)
    }
}

impl Sample {
    /// Counts of all detectors of one kind; none if there is no such detector.
    pub fn counts(&self, kind: DetectorKind) -> Option<u64> {
        let mut of_kind = self.detectors.iter().filter(|d| d.kind == kind).peekable();
        of_kind.peek()?;
        Some(of_kind.map(|detector| detector.counts).fold(0, u64::saturating_add))
    }
}

/// The sample as a portal would have sent it. Without a live time the real time stands in; without both it is zero, and
/// an interpreter will not use the counts. Detectors that count something else are left out. Runs of zeros become channels, 4
/// bytes each.
impl From<Sample> for RadiationSample {
    fn from(sample: Sample) -> Self {
        let longest = sample.detectors.iter().filter_map(|share| share.real_time_us).max();
        let real_time_us = sample.real_time_us.or(longest);
        let detectors = sample.detectors.into_iter().filter_map(|share| {
            let kind = match share.kind {
                DetectorKind::Gamma => RadiationKind::Gamma,
                DetectorKind::Neutron => RadiationKind::Neutron,
                DetectorKind::Other => return None,
            };
            let live = share.live_time_us.or(share.real_time_us).or(real_time_us);
            Some(DetectorCounts {
                name: share.detector,
                kind,
                live_time_us: live.unwrap_or(0),
                counts: share.counts,
                spectrum: share.spectrum.map(Spectrum::from),
            })
        });
        let detectors: Vec<DetectorCounts> = detectors.collect();
        let live_max = detectors.iter().map(|counts| counts.live_time_us).max().unwrap_or(0);
        Self {
            real_time_us: real_time_us.unwrap_or(live_max),
            detectors,
        }
    }
}

/// Devices write local times into remarks beside the start time in UTC; the two must not be compared.
fn note_local_times(element: &Element<'_>, notes: &mut Notes) {
    for child in &element.children {
        if child.name == "Remark" && child.text.contains("Local") && child.text.contains("Time") {
            notes.add(FindingCode::TimesMixed, "Remark", || {
                format!(
                    "{:?} stands beside start times with a zone; it was ignored",
                    child.trimmed()
                )
            });
        } else {
            note_local_times(child, notes);
        }
    }
}

/// The place of an element, for errors.
fn place(element: &Element<'_>, parent: &str) -> Place {
    Place {
        path: format!("{parent}/{}", element.name),
        offset: element.offset,
    }
}

#[cfg(test)]
mod tests;
