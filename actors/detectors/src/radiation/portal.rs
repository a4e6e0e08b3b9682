//! One radiation portal: interpreted by its spectra if it has any, else by its counts.

use portcullis_domain::finding::Finding;
use portcullis_domain::manifest::Manifest;
use portcullis_domain::reading::RadiationSample;

use super::spectral::slices::{SpectralBackground, detector_of};
use super::spectral::{self, PLANNED_SECONDS, SpectralInterpreter};
use super::{Background, PLANNED_SAMPLES, Progress, RadiationInterpreter};
use crate::interpretation::Interpretation;

/// Interprets a pass of a portal of either kind while it happens.
#[derive(Debug, Clone)]
pub enum PortalInterpreter {
    /// By gross counts.
    Counts(Box<RadiationInterpreter>),
    /// By spectra.
    Spectra(Box<SpectralInterpreter>),
}

impl PortalInterpreter {
    /// Starts a pass whose first sample is `first`: spectra in it say which kind of portal this is. `backgrounds` were
    /// measured without a vehicle; may be empty.
    pub fn new(first: &RadiationSample, backgrounds: &[RadiationSample], manifest: &Manifest) -> Self {
        match detector_of(first) {
            Some(detector) => {
                let background = SpectralBackground::measured(&detector, backgrounds);
                let interpreter = SpectralInterpreter::new(background, Some(manifest), PLANNED_SECONDS);
                Self::Spectra(Box::new(interpreter))
            }
            None => {
                let background = Background::measured(backgrounds);
                Self::Counts(Box::new(RadiationInterpreter::new(background, PLANNED_SAMPLES)))
            }
        }
    }

    /// Takes the next sample.
    pub fn push(&mut self, sample: &RadiationSample) -> Interpretation {
        let progress = match self {
            Self::Counts(interpreter) => interpreter.push(sample),
            Self::Spectra(interpreter) => interpreter.push(sample),
        };
        self.with_findings(progress)
    }

    /// The vehicle is through.
    pub fn finish(&mut self) -> Interpretation {
        let progress = match self {
            Self::Counts(interpreter) => interpreter.finish(),
            Self::Spectra(interpreter) => interpreter.finish(),
        };
        self.with_findings(progress)
    }

    /// Name and version of the interpreter.
    pub fn version(&self) -> &'static str {
        match self {
            Self::Counts(_) => super::VERSION,
            Self::Spectra(_) => spectral::VERSION,
        }
    }

    fn with_findings(&self, progress: Progress) -> Interpretation {
        Interpretation {
            weights: progress.weights,
            ability: progress.ability,
            findings: self.findings(),
        }
    }

    fn findings(&self) -> Vec<Finding> {
        match self {
            Self::Counts(interpreter) => interpreter.findings(),
            Self::Spectra(interpreter) => interpreter.findings(),
        }
    }
}
