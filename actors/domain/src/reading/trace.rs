//! Trace detection: ion mobility spectra of a swab, and the alarms of the instrument.

/// The most points of one spectrum.
pub const DRIFT_POINTS_MAX: usize = 16_384;
/// The most alarms of one reading.
pub const TRACE_ALARMS_MAX: usize = 32;

/// One analysis of a swab.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IonMobility {
    /// Id of the swab.
    pub swab: String,
    /// What was analysed.
    pub purpose: SwabPurpose,
    /// Which ions were collected.
    pub polarity: Polarity,
    /// The spectrum, if the instrument gives it.
    pub spectrum: Option<DriftSpectrum>,
    /// What the instrument itself raised.
    pub alarms: Vec<TraceAlarm>,
}

/// What was analysed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum SwabPurpose {
    /// A swab that was drawn over the container.
    Sample,
    /// A clean swab, to see what the instrument itself carries.
    Blank,
}

/// Sign of the ions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Polarity {
    /// Positive ions, as most narcotics make.
    Positive,
    /// Negative ions, as most explosives make.
    Negative,
}

/// Ion current over drift time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DriftSpectrum {
    /// Drift time of the first point, nanoseconds.
    pub start_ns: u64,
    /// Distance of two points, nanoseconds.
    pub step_ns: u32,
    /// Ion current of each point, units of the instrument.
    pub intensities: Vec<u32>,
    /// The value that the instrument cannot exceed, if it states one.
    pub full_scale: Option<u32>,
    /// The known ion that drift times are compared with; none if the instrument adds none.
    pub calibrant: Option<Calibrant>,
}

/// An ion of known mobility in the same spectrum.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Calibrant {
    /// Its name.
    pub name: String,
    /// Its reduced mobility, 10^-4 cm²/(V s).
    pub reduced_mobility: u32,
    /// Where the instrument expects it, drift time in nanoseconds.
    pub expected_ns: u64,
}

/// An alarm of the instrument.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TraceAlarm {
    /// The substance, as the vendor calls it.
    pub substance: String,
    /// The vendor's channel that raised it.
    pub channel: String,
    /// Of a million swabs with the substance, how many raise it, if stated.
    pub true_alarm_ppm: Option<u32>,
    /// Of a million swabs without it, how many raise it, if stated.
    pub false_alarm_ppm: Option<u32>,
}
