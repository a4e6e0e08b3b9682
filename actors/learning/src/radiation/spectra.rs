//! Reference spectra from a table: one spectrum a row, one channel a column.

use portcullis_detectors::radiation::spectral::nuclides::{self, Nuclide, NuclideClass};
use thiserror::Error;

/// The name of the row that holds the surroundings alone.
pub const BACKGROUND: &str = "background";
/// More channels than this are refused.
const CHANNELS_MAX: usize = 65_536;

/// A long measurement, or a simulated one, with the background in it.
#[derive(Debug, Clone, PartialEq)]
pub struct ReferenceSpectrum {
    /// Nuclide and shielding, as in `Cs137_Shielded`, or `background`.
    pub name: String,
    /// Live time, seconds.
    pub live_s: f64,
    /// Counts by channel.
    pub counts: Vec<f64>,
}

impl ReferenceSpectrum {
    /// The part of the name before the first `_`.
    pub fn nuclide_name(&self) -> &str {
        self.name.split('_').next().unwrap_or_default()
    }

    /// The part after it.
    pub fn shielding(&self) -> &str {
        self.name.split_once('_').map_or("", |(_, shielding)| shielding)
    }

    /// The library's nuclide that the name starts with. None for the background and for nuclides without templates.
    pub fn nuclide(&self) -> Option<&'static Nuclide> {
        nuclides::named(self.nuclide_name())
    }

    /// The class that follows from the name; none for nuclides without templates.
    pub fn class(&self) -> Option<NuclideClass> {
        if self.name == BACKGROUND {
            return Some(NuclideClass::Background);
        }
        self.nuclide().map(|nuclide| nuclide.class)
    }
}

/// Why a table is not usable.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum SpectraError {
    /// The first line does not name the columns.
    #[error(
        "line 1: there is no column {column}; the header must name name, live_time_s and c0, c1 and so on in order"
    )]
    Header {
        /// The missing column.
        column: String,
    },
    /// A value that cannot be used.
    #[error("line {line}, column {column}: {value:?} {why}; correct the value in the table")]
    Value {
        /// Line, from 1.
        line: usize,
        /// Column.
        column: String,
        /// What stands there.
        value: String,
        /// What is wrong with it.
        why: &'static str,
    },
    /// A line of another length.
    #[error("line {line} has {found} fields and the header {wanted}; write one field for each column")]
    Length {
        /// Line, from 1.
        line: usize,
        /// Fields in it.
        found: usize,
        /// Columns.
        wanted: usize,
    },
    /// No background, or nothing but background.
    #[error("the table has no row {what}; add one")]
    Missing {
        /// What is missing.
        what: &'static str,
    },
}

/// Reads a table with a header. Columns other than `name`, `live_time_s` and `c0`, `c1`... are not looked at.
///
/// # Errors
/// [`SpectraError`] names line, column and what to do.
pub fn read(csv: &str) -> Result<Vec<ReferenceSpectrum>, SpectraError> {
    let mut lines = csv.trim_start_matches('\u{feff}').lines().enumerate();
    let header: Vec<&str> = lines
        .next()
        .map(|(_, line)| line.split(',').map(str::trim).collect())
        .unwrap_or_default();
    let column = |wanted: &str| {
        header
            .iter()
            .position(|column| *column == wanted)
            .ok_or_else(|| SpectraError::Header {
                column: wanted.to_owned(),
            })
    };
    let (name_at, live_at, first) = (column("name")?, column("live_time_s")?, column("c0")?);
    let channels = header
        .iter()
        .skip(first)
        .take(CHANNELS_MAX)
        .enumerate()
        .take_while(|(channel, column)| **column == format!("c{channel}"))
        .count();
    let mut spectra = Vec::new();
    for (index, text) in lines.filter(|(_, line)| !line.trim().is_empty()) {
        let line = index + 1;
        let fields: Vec<&str> = text.split(',').map(str::trim).collect();
        if fields.len() != header.len() {
            return Err(SpectraError::Length {
                line,
                found: fields.len(),
                wanted: header.len(),
            });
        }
        let number = |at: usize| {
            let value = fields.get(at).copied().unwrap_or_default();
            let bad = |why| SpectraError::Value {
                line,
                column: header.get(at).copied().unwrap_or_default().to_owned(),
                value: value.chars().take(40).collect(),
                why,
            };
            let number: f64 = value.parse().map_err(|_| bad("is not a number"))?;
            if number.is_finite() && number >= 0.0 {
                Ok(number)
            } else {
                Err(bad("is not 0 or more"))
            }
        };
        let live_s = number(live_at)?;
        if live_s <= 0.0 {
            return Err(SpectraError::Value {
                line,
                column: "live_time_s".to_owned(),
                value: "0".to_owned(),
                why: "is no live time",
            });
        }
        spectra.push(ReferenceSpectrum {
            name: fields.get(name_at).copied().unwrap_or_default().to_owned(),
            live_s,
            counts: (first..first + channels).map(number).collect::<Result<_, _>>()?,
        });
    }
    if !spectra.iter().any(|spectrum| spectrum.name == BACKGROUND) {
        return Err(SpectraError::Missing { what: BACKGROUND });
    }
    if spectra.len() < 2 {
        return Err(SpectraError::Missing { what: "with a source" });
    }
    Ok(spectra)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_give_class_and_shielding() {
        let of = |name: &str| ReferenceSpectrum {
            name: name.to_owned(),
            live_s: 1.0,
            counts: Vec::new(),
        };
        let cases = [
            ("background", Some(NuclideClass::Background)),
            ("K40_Shielded-Point", Some(NuclideClass::Norm)),
            ("Tl201wTl202_Phantom", Some(NuclideClass::Medical)),
            ("Am241Li_Shielded", Some(NuclideClass::Industrial)),
            ("U235_Unshielded_0200", Some(NuclideClass::SpecialNuclear)),
            ("Lu177m_Shielded", None),
            ("Uore_Unshielded", None),
        ];
        for (name, class) in cases {
            assert_eq!(of(name).class(), class, "{name}");
        }
        assert_eq!(of("U235_Unshielded_0200").shielding(), "Unshielded_0200");
    }

    #[test]
    fn errors_name_line_and_column() {
        let head = "name,live_time_s,c0,c1\n";
        let bad = |rows: &str| read(&format!("{head}{rows}")).unwrap_err().to_string();
        assert!(bad("background,10,1,x\n").contains("line 2, column c1"));
        assert!(bad("background,10,1,-3\n").contains("not 0 or more"));
        assert!(bad("background,0,1,1\n").contains("live"));
        assert!(bad("background,10,1\n").contains("line 2 has 3 fields"));
        assert!(bad("Cs137_Shielded,10,1,2\n").contains("no row background"));
        assert!(read("name,c0\n").unwrap_err().to_string().contains("live_time_s"));
        let good = read(&format!("{head}background,10,1,2\nCs137_Shielded,10,3,4.5\n")).unwrap();
        assert_eq!(good[1].counts, [3.0, 4.5]);
    }
}
