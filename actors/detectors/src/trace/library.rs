//! Ions that are looked for, with their reduced mobilities.
//!
//! Explosives: R. G. Ewing, D. A. Atkinson, G. A. Eiceman, G. J. Ewing, A critical review of ion mobility spectrometry for
//! the detection of explosives, Talanta 54 (2001) 515. Narcotics: Z. Karpas, Forensic science applications of ion mobility
//! spectrometry, Forensic Sci. Rev. 1 (1989) 103. Values of other authors differ by up to one percent with temperature, drift
//! gas and calibrant, which the tolerance does not cover: whoever uses another calibrant must state its mobility on the scale
//! of these. Substances whose published values differ more (ammonium nitrate, amphetamines, cannabinoids, ketamine) are
//! left to the alarms of the instrument.

use portcullis_domain::evidence::ThreatFamily;
use portcullis_domain::reading::Polarity;

/// One ion.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Ion {
    pub(super) substance: &'static str,
    pub(super) family: ThreatFamily,
    pub(super) polarity: Polarity,
    /// cm²/(V s).
    pub(super) reduced_mobility: f64,
}

const fn explosive(substance: &'static str, reduced_mobility: f64) -> Ion {
    Ion {
        substance,
        family: ThreatFamily::Explosives,
        polarity: Polarity::Negative,
        reduced_mobility,
    }
}

const fn narcotic(substance: &'static str, reduced_mobility: f64) -> Ion {
    Ion {
        substance,
        family: ThreatFamily::Narcotics,
        polarity: Polarity::Positive,
        reduced_mobility,
    }
}

/// The library: (M-H)- of TNT, chloride adducts of the other explosives, (M+H)+ of narcotics.
pub(super) const IONS: [Ion; 7] = [
    explosive("TNT", 1.451),
    explosive("RDX", 1.389),
    explosive("PETN", 1.15),
    explosive("nitroglycerin", 1.34),
    narcotic("cocaine", 1.161),
    narcotic("heroin", 1.042),
    narcotic("methamphetamine", 1.633),
];

/// Names and parts of names that vendors give to alarms, in small letters.
const NARCOTICS: [&str; 15] = [
    "cocaine",
    "heroin",
    "amphetamine",
    "mdma",
    "fentanyl",
    "ketamine",
    "thc",
    "cannab",
    "marijuana",
    "opium",
    "morphine",
    "acetylmorphine",
    "methadone",
    "narcotic",
    "drug",
];
const EXPLOSIVES: [&str; 16] = [
    "tnt",
    "rdx",
    "petn",
    "nitroglycer",
    "egdn",
    "hmx",
    "tetryl",
    "tatp",
    "hmtd",
    "ammonium nitrate",
    "urea nitrate",
    "black powder",
    "semtex",
    "nitrocellulose",
    "chlorate",
    "explosive",
];

/// The family of a substance as a vendor calls it; none if the name says nothing.
pub(super) fn family_of(substance: &str) -> Option<ThreatFamily> {
    let name = substance.to_lowercase();
    let is_in = |names: &[&str]| names.iter().any(|known| name.contains(known));
    if is_in(&EXPLOSIVES) || matches!(name.trim(), "ng" | "an" | "nc") {
        Some(ThreatFamily::Explosives)
    } else if is_in(&NARCOTICS) {
        Some(ThreatFamily::Narcotics)
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn vendors_names_find_their_family() {
        for (name, family) in [
            ("Cocaine-1", Some(ThreatFamily::Narcotics)),
            ("METHAMPHETAMINE", Some(ThreatFamily::Narcotics)),
            ("NG", Some(ThreatFamily::Explosives)),
            ("RDX-Cl", Some(ThreatFamily::Explosives)),
            ("lactic acid", None),
            ("", None),
        ] {
            assert_eq!(family_of(name), family, "{name}");
        }
        for ion in IONS {
            assert_eq!(family_of(ion.substance), Some(ion.family));
        }
    }
}
