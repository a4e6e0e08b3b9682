//! Evidence: what one source of knowledge says about one container, as fixed-point weights.

use std::fmt;
use std::str::FromStr;

use crate::codec::canonical;
use crate::finding::Finding;
use crate::id::{DeviceId, Digest, InvalidId, SampleNo, Timestamp};

/// What is being looked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ThreatFamily {
    /// Drugs.
    Narcotics,
    /// Explosives.
    Explosives,
    /// Nuclear and other radioactive material out of control.
    Nuclear,
    /// Weapons.
    Weapons,
    /// People.
    People,
    /// Goods that are not what is declared.
    Undeclared,
}

canonical!(enum ThreatFamily {
    0 => Narcotics, 1 => Explosives, 2 => Nuclear, 3 => Weapons, 4 => People, 5 => Undeclared
});

impl ThreatFamily {
    /// All families, in the order of [`Weights`].
    pub const ALL: [Self; 6] = [
        Self::Narcotics,
        Self::Explosives,
        Self::Nuclear,
        Self::Weapons,
        Self::People,
        Self::Undeclared,
    ];

    /// Position in [`Weights`].
    pub fn index(self) -> usize {
        self as usize
    }

    /// The word in configuration, API and logs.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Narcotics => "narcotics",
            Self::Explosives => "explosives",
            Self::Nuclear => "nuclear",
            Self::Weapons => "weapons",
            Self::People => "people",
            Self::Undeclared => "undeclared",
        }
    }
}

impl fmt::Display for ThreatFamily {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// How something is seen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Modality {
    /// The declaration itself.
    Manifest,
    /// X-ray image.
    Radiography,
    /// Gamma and neutron portal.
    Radiation,
    /// Quantum magnetometer.
    Magnetometer,
    /// Nuclear quadrupole resonance.
    Nqr,
    /// Trace detection (ion mobility).
    Trace,
    /// Weighbridge.
    Weighbridge,
    /// Reading of container number and seal.
    Ocr,
}

canonical!(enum Modality {
    1 => Manifest, 2 => Radiography, 3 => Radiation, 4 => Magnetometer, 5 => Nqr, 6 => Trace, 7 => Weighbridge, 8 => Ocr
});

impl Modality {
    /// All modalities.
    pub const ALL: [Self; 8] = [
        Self::Manifest,
        Self::Radiography,
        Self::Radiation,
        Self::Magnetometer,
        Self::Nqr,
        Self::Trace,
        Self::Weighbridge,
        Self::Ocr,
    ];

    /// The word in configuration, API and logs.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Manifest => "manifest",
            Self::Radiography => "radiography",
            Self::Radiation => "radiation",
            Self::Magnetometer => "magnetometer",
            Self::Nqr => "nqr",
            Self::Trace => "trace",
            Self::Weighbridge => "weighbridge",
            Self::Ocr => "ocr",
        }
    }
}

impl fmt::Display for Modality {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Modality {
    type Err = InvalidId;

    fn from_str(text: &str) -> Result<Self, InvalidId> {
        Self::ALL
            .into_iter()
            .find(|modality| modality.as_str() == text)
            .ok_or_else(|| {
                InvalidId::new(
                    "modality",
                    text,
                    "known are manifest, radiography, radiation, magnetometer, nqr, trace, weighbridge and ocr",
                )
            })
    }
}

/// Whether a source could see what it was asked to look at. Worse is greater.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Ability {
    /// It could see.
    Clear,
    /// It could see with reservations, which are findings.
    Degraded,
    /// It could not see. This is not the same as having seen nothing.
    Shielded,
}

canonical!(enum Ability { 1 => Clear, 2 => Degraded, 3 => Shielded });

impl Ability {
    /// The word in API and logs.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Clear => "clear",
            Self::Degraded => "degraded",
            Self::Shielded => "shielded",
        }
    }
}

impl fmt::Display for Ability {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Weight of evidence for each family: log-likelihood ratio, threat against none, in milli-decibans
/// (10,000 log10 LR). Positive speaks for the threat.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Weights(pub [i32; 6]);

canonical!(newtype Weights);

/// No single source may weigh more than this, in milli-decibans: a likelihood ratio of 10,000,000 is beyond what any
/// sensor's model can be trusted to know.
pub const WEIGHT_LIMIT: i32 = 70_000;

impl Weights {
    /// Says nothing about anything.
    pub const ZERO: Self = Self([0; 6]);

    /// Weight for one family.
    pub fn of(self, family: ThreatFamily) -> i32 {
        self.0[family.index()]
    }

    /// The same weights with one family's replaced.
    pub fn with(mut self, family: ThreatFamily, milli_decibans: i32) -> Self {
        self.0[family.index()] = milli_decibans;
        self
    }
}

/// The state of a source's knowledge after one sample.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Step {
    /// After which sample of the pass.
    pub sample: SampleNo,
    /// How well it could see so far.
    pub ability: Ability,
    /// What everything up to here weighs (cumulative, not the step's own share).
    pub weights: Weights,
}

canonical!(struct Step { sample, ability, weights });

/// The most steps one piece of evidence may have; with eight sources a leaf stays far below 64 KiB.
pub const STEPS_MAX: usize = 240;
/// The most findings one piece of evidence may have.
pub const EVIDENCE_FINDINGS_MAX: usize = 64;

/// Which readings of a device went in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReadingRange {
    /// The device.
    pub device: DeviceId,
    /// The device's boot number; grows with each start of the device.
    pub boot: u64,
    /// Sequence number of the first reading.
    pub first: u64,
    /// Sequence number of the last reading.
    pub last: u64,
}

canonical!(struct ReadingRange { device, boot, first, last });

/// A finding of a source, with the sample that gave rise to it: what came after the stopping point must not decide.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Noted {
    /// From which sample on it is known; 0 for what was known before the pass.
    pub sample: SampleNo,
    /// The finding.
    pub finding: Finding,
}

canonical!(struct Noted { sample, finding });

/// What one source says about one container.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Evidence {
    /// How it was seen.
    pub modality: Modality,
    /// By which readings; none for the manifest.
    pub readings: Option<ReadingRange>,
    /// SHA-256 of what it was made from: the signed readings as they are kept, or the document.
    pub digest: Digest,
    /// Name and version of the interpreter, such as `radiation-gross/1`.
    pub interpreter: String,
    /// When the last reading was captured, on the port's clock.
    pub captured_at: Timestamp,
    /// Quality.
    pub findings: Vec<Noted>,
    /// Knowledge after each sample that changed it: at least one step, samples strictly ascending.
    pub steps: Vec<Step>,
}

canonical!(struct Evidence { modality, readings, digest, interpreter, captured_at, findings, steps });

impl Evidence {
    /// Everything the source knew at the end.
    pub fn total(&self) -> Option<&Step> {
        self.steps.last()
    }

    /// What the source knew after `sample`: nothing if its first step came later.
    pub fn at(&self, sample: SampleNo) -> Option<&Step> {
        let count = self.steps.partition_point(|step| step.sample <= sample);
        count.checked_sub(1).and_then(|index| self.steps.get(index))
    }

    /// Refuses what cannot be evidence: no steps, disorder, weights beyond the limit, too much of anything.
    pub fn check(&self) -> Result<(), InvalidId> {
        const WHAT: &str = "evidence";
        let bad = |why: String| Err(InvalidId::new(WHAT, self.modality.as_str(), why));
        if self.steps.is_empty() {
            return bad("it has no steps".to_owned());
        }
        if self.steps.len() > STEPS_MAX {
            return bad(format!("it has more than {STEPS_MAX} steps"));
        }
        if self.findings.len() > EVIDENCE_FINDINGS_MAX {
            return bad(format!("it has more than {EVIDENCE_FINDINGS_MAX} findings"));
        }
        if self.interpreter.len() > 64 {
            return bad("the interpreter's name is longer than 64 bytes".to_owned());
        }
        if !self.steps.is_sorted_by(|a, b| a.sample < b.sample) {
            return bad("its samples are not strictly ascending".to_owned());
        }
        let limit = WEIGHT_LIMIT.unsigned_abs();
        if self
            .steps
            .iter()
            .any(|step| step.weights.0.iter().any(|w| w.unsigned_abs() > limit))
        {
            return bad(format!("a weight is beyond {WEIGHT_LIMIT} milli-decibans"));
        }
        if self.readings.is_none() != (self.modality == Modality::Manifest) {
            return bad("only the manifest has no readings, and it has none".to_owned());
        }
        if self.readings.as_ref().is_some_and(|range| range.first > range.last) {
            return bad("its first reading comes after its last".to_owned());
        }
        Ok(())
    }
}
