//! Transmission images of a container, strip by strip, and what a vendor's recognition found in them.

/// The most samples of one strip: pixels times energies. Two bytes each, so that a strip stays below the limit of a
/// reading, 1 MiB; a whole pass has the limit of what is kept of one sensor.
pub const STRIP_SAMPLES_MAX: usize = 500_000;
/// The most rows of a strip.
pub const STRIP_ROWS_MAX: u32 = 4_096;
/// The most energies of a strip.
pub const STRIP_ENERGIES_MAX: usize = 2;
/// The value of a corrected pixel with nothing in the beam. Below the largest 16-bit value, so that noise around it is not
/// clipped.
pub const TRANSMISSION_FULL: u16 = 60_000;
/// The most objects of one threat report.
pub const THREAT_OBJECTS_MAX: usize = 64;

/// A run of columns of a transmission image.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ImageStrip {
    /// Position of its first column in the whole image, from 0.
    pub first_column: u32,
    /// Columns of the whole image, if the scanner knows; else the image ends where the pass ends.
    pub columns_planned: Option<u32>,
    /// Columns of this strip.
    pub width: u32,
    /// Rows, top first.
    pub height: u32,
    /// Distance of two columns at the object plane (the middle of the container), micrometres.
    pub column_um: u32,
    /// Distance of two rows at the object plane, micrometres.
    pub row_um: u32,
    /// The rows from the roof to the floor of the container, if the scanner knows them.
    pub container_rows: Option<RowRange>,
    /// One image for each energy, lowest first: 1 or 2.
    pub energies: Vec<EnergyImage>,
}

/// Rows of an image: from the first to before the end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RowRange {
    /// The first row.
    pub first: u32,
    /// One behind the last row.
    pub end: u32,
}

/// A strip at one energy of the beam.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct EnergyImage {
    /// Highest energy of the beam, keV: 6000 for a beam of 6 MV.
    pub endpoint_kev: u32,
    /// How raw pixels become transmission. None for pixels that the scanner has corrected: 0 is dark and
    /// [`TRANSMISSION_FULL`] is open beam.
    pub references: Option<References>,
    /// Column after column, each from top to bottom: width times height.
    pub pixels: Vec<u16>,
}

/// What the detectors read without a beam and with nothing in it, row by row.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct References {
    /// Beam off, one value for each row.
    pub dark: Vec<u16>,
    /// Beam on and nothing in it, one value for each row.
    pub air: Vec<u16>,
}

/// What a recognition algorithm of a third party found in the image, with the meaning of a DICOS threat detection report
/// (NEMA IIC 1) of type Machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ThreatReport {
    /// Who made the algorithm.
    pub maker: String,
    /// Its name.
    pub algorithm: String,
    /// Its version.
    pub version: String,
    /// What it decided about the whole image.
    pub decision: AlarmDecision,
    /// Why it broke off, if it did.
    pub abort: Option<String>,
    /// Share of images with a threat in the set that its probabilities were calibrated on, millionths, if stated.
    pub test_prevalence_ppm: Option<u32>,
    /// What it found.
    pub objects: Vec<ThreatObject>,
}

/// The decision about a whole image.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum AlarmDecision {
    /// A threat.
    Alarm,
    /// None.
    Clear,
    /// It cannot say.
    Unknown,
}

/// One object of a report.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ThreatObject {
    /// Whether it is taken for a threat.
    pub flag: ThreatFlag,
    /// What kind of threat.
    pub category: ThreatCategory,
    /// Whether the algorithm could look at it.
    pub ability: AbilityAssessment,
    /// That it is a threat, millionths; none if not given.
    pub probability_ppm: Option<u32>,
    /// Where it is, if stated.
    pub bounds: Option<BoundingBox>,
}

/// Whether an object is taken for a threat.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum ThreatFlag {
    /// Beyond doubt.
    HighThreat,
    /// Yes.
    Threat,
    /// No.
    NoThreat,
    /// Not known.
    Unknown,
}

/// Kinds of threat in a report.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum ThreatCategory {
    /// Explosives.
    Explosive,
    /// Weapons and other prohibited items.
    ProhibitedItem,
    /// Smuggled goods, drugs above all.
    Contraband,
    /// Drugs as pharmaceutical goods.
    Pharmaceutical,
    /// People.
    Person,
    /// Something that does not belong to what is around it.
    Anomaly,
    /// Another, or none given.
    Other,
}

/// Whether the algorithm could look at an object.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum AbilityAssessment {
    /// Nothing was in the way.
    NoInterference,
    /// Something shields it.
    Shield,
    /// Not assessed.
    Unknown,
}

/// A rectangle of the image, in pixels of its strips.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BoundingBox {
    /// Its first column.
    pub column: u32,
    /// Its first row.
    pub row: u32,
    /// Columns.
    pub width: u32,
    /// Rows.
    pub height: u32,
}
