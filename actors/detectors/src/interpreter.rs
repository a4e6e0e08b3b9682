//! The interpreter of any one device, for those who hold readings of all kinds: lanes, and whoever judges lanes.

use portcullis_domain::equipment::EquipmentId;
use portcullis_domain::evidence::Modality;
use portcullis_domain::manifest::Manifest;
use portcullis_domain::reading::{RadiationSample, ReadingContent, Recognition};

use crate::nqr::NqrInterpreter;
use crate::radiation::PortalInterpreter;
use crate::radiography::RadiographyInterpreter;
use crate::trace::TraceInterpreter;
use crate::{Interpretation, magnetometer, nqr, ocr, radiation, radiography, trace, weighbridge};

/// What readings are compared with.
#[derive(Debug, Clone, Copy)]
pub struct Declared<'a> {
    /// What is said to be inside.
    pub manifest: &'a Manifest,
    /// The container's number.
    pub equipment: &'a EquipmentId,
}

/// Interprets what one device reads in one pass, reading by reading.
#[derive(Debug, Clone)]
pub enum Interpreter {
    /// Begins with the first sample, because it needs the background first.
    Radiation {
        /// Samples without a vehicle.
        backgrounds: Vec<RadiationSample>,
        /// None before the first sample.
        running: Option<PortalInterpreter>,
    },
    /// One weighing a pass; a later one takes the place of an earlier one.
    Weighbridge,
    /// All that the cameras read.
    Ocr {
        /// One for each look of a camera; they are weighed together.
        seen: Vec<Recognition>,
    },
    /// One reading for each excitation; they add up.
    Nqr(NqrInterpreter),
    /// One profile a pass.
    Magnetometer,
    /// Strips and reports.
    Radiography(Box<RadiographyInterpreter>),
    /// Blanks and swabs.
    Trace(Box<TraceInterpreter>),
    /// No device measures a manifest: no evidence comes, and the policy sees that.
    None,
}

impl Interpreter {
    /// Begins a pass of a device of this modality.
    pub fn new(modality: Modality) -> Self {
        match modality {
            Modality::Radiation => Self::Radiation {
                backgrounds: Vec::new(),
                running: None,
            },
            Modality::Weighbridge => Self::Weighbridge,
            Modality::Ocr => Self::Ocr { seen: Vec::new() },
            Modality::Nqr => Self::Nqr(NqrInterpreter::new()),
            Modality::Magnetometer => Self::Magnetometer,
            Modality::Radiography => Self::Radiography(Box::default()),
            Modality::Trace => Self::Trace(Box::default()),
            Modality::Manifest => Self::None,
        }
    }

    /// Takes what was measured in front of the pass. Backgrounds after the first sample of a vehicle change nothing.
    pub fn take_prelude(&mut self, content: &ReadingContent) {
        match (self, content) {
            (Self::Radiation { backgrounds, .. }, ReadingContent::RadiationBackground(sample)) => {
                backgrounds.push(sample.clone());
            }
            (Self::Trace(interpreter), ReadingContent::IonMobility(blank)) => interpreter.push(blank),
            _ => {}
        }
    }

    /// Takes a reading of the pass and says what everything so far means; nothing if the reading tells nothing new, or
    /// is of another kind of device.
    pub fn push(&mut self, content: &ReadingContent, declared: Declared<'_>) -> Option<Interpretation> {
        match (self, content) {
            (Self::Radiation { backgrounds, running }, ReadingContent::Radiation(sample)) => {
                let portal =
                    running.get_or_insert_with(|| PortalInterpreter::new(sample, backgrounds, declared.manifest));
                Some(portal.push(sample))
            }
            (Self::Weighbridge, ReadingContent::Weighing(weighing)) => {
                Some(weighbridge::interpret(weighing, declared.manifest))
            }
            (Self::Ocr { seen }, ReadingContent::Recognition(recognition)) => {
                if seen.len() < ocr::LOOKS_MAX {
                    seen.push(recognition.clone());
                }
                Some(ocr::interpret(seen, declared.equipment, declared.manifest))
            }
            (Self::Nqr(interpreter), ReadingContent::Nqr(waveform)) => {
                Some(interpreter.push(waveform, declared.manifest))
            }
            (Self::Magnetometer, ReadingContent::MagneticProfile(profile)) => {
                Some(magnetometer::interpret(profile, declared.manifest))
            }
            (Self::Radiography(interpreter), ReadingContent::ImageStrip(strip)) => {
                let worth = interpreter.push_strip(strip);
                worth.then(|| interpreter.interpret(declared.manifest))
            }
            (Self::Radiography(interpreter), ReadingContent::ThreatReport(report)) => {
                interpreter.push_report(report);
                Some(interpreter.interpret(declared.manifest))
            }
            (Self::Trace(interpreter), ReadingContent::IonMobility(analysis)) => {
                interpreter.push(analysis);
                Some(interpreter.interpret())
            }
            _ => None,
        }
    }

    /// The device has nothing more to say: what the whole pass means, for devices that see it differently then.
    pub fn finish(&mut self, declared: Declared<'_>) -> Option<Interpretation> {
        match self {
            Self::Radiation {
                running: Some(portal), ..
            } => Some(portal.finish()),
            Self::Radiography(interpreter) => {
                interpreter.finish();
                Some(interpreter.interpret(declared.manifest))
            }
            _ => None,
        }
    }

    /// Name and version of the interpreter in use.
    pub fn version(&self) -> &'static str {
        match self {
            Self::Radiation {
                running: Some(portal), ..
            } => portal.version(),
            Self::Radiation { running: None, .. } => radiation::VERSION,
            Self::Weighbridge => weighbridge::VERSION,
            Self::Ocr { .. } => ocr::VERSION,
            Self::Nqr(_) => nqr::VERSION,
            Self::Magnetometer => magnetometer::VERSION,
            Self::Radiography(_) => radiography::VERSION,
            Self::Trace(_) => trace::VERSION,
            Self::None => "",
        }
    }
}
