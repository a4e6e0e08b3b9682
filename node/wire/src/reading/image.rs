//! Strips of a transmission image, and threat reports about it.

use portcullis_domain::reading::{
    AbilityAssessment, AlarmDecision, BoundingBox, EnergyImage, ImageStrip, References, RowRange, STRIP_ENERGIES_MAX,
    STRIP_ROWS_MAX, STRIP_SAMPLES_MAX, THREAT_OBJECTS_MAX, ThreatCategory, ThreatFlag, ThreatObject, ThreatReport,
};
use portcullis_proto::v1 as pb;

use super::{MILLION, NAME_MAX, at_most};
use crate::invalid::{self, InvalidField, Within};

pub(super) fn decode_strip(strip: pb::ImageStrip) -> Result<ImageStrip, InvalidField> {
    let width = invalid::positive("width", strip.width)?;
    let height = at_most("height", invalid::positive("height", strip.height)?, STRIP_ROWS_MAX)?;
    if strip.energies.is_empty() {
        return Err(InvalidField::missing("energies"));
    }
    let pixels = u64::from(width) * u64::from(height);
    if pixels * strip.energies.len() as u64 > STRIP_SAMPLES_MAX as u64 {
        return Err(InvalidField::new(
            "width",
            format!("{width} x {height} pixels are too many; at most {STRIP_SAMPLES_MAX} samples are allowed"),
        ));
    }
    let pixels = usize::try_from(pixels).unwrap_or(usize::MAX);
    if strip.first_column.checked_add(width).is_none() {
        return Err(InvalidField::new("first_column", "the last column has no number"));
    }
    Ok(ImageStrip {
        first_column: strip.first_column,
        columns_planned: strip.columns_planned,
        width,
        height,
        column_um: invalid::positive("column_um", strip.column_um)?,
        row_um: invalid::positive("row_um", strip.row_um)?,
        container_rows: strip
            .container_rows
            .map(|rows| decode_rows(&rows, height))
            .transpose()
            .within("container_rows")?,
        energies: invalid::list("energies", strip.energies, STRIP_ENERGIES_MAX, |energy| {
            decode_energy(&energy, pixels, height)
        })?,
    })
}

fn decode_rows(rows: &pb::RowRange, height: u32) -> Result<RowRange, InvalidField> {
    if rows.first >= rows.end || rows.end > height {
        let reason = format!("rows {} to {} are not within {height} rows", rows.first, rows.end);
        return Err(InvalidField::new("end", reason));
    }
    Ok(RowRange {
        first: rows.first,
        end: rows.end,
    })
}

fn decode_energy(energy: &pb::EnergyImage, pixels: usize, height: u32) -> Result<EnergyImage, InvalidField> {
    let rows = height as usize;
    Ok(EnergyImage {
        endpoint_kev: invalid::positive("endpoint_kev", energy.endpoint_kev)?,
        references: match &energy.references {
            None => None,
            Some(references) => Some(References {
                dark: decode_words("references.dark", &references.dark, rows)?,
                air: decode_words("references.air", &references.air, rows)?,
            }),
        },
        pixels: decode_words("pixels", &energy.pixels, pixels)?,
    })
}

/// Exactly `count` values of 16 bits, big-endian.
fn decode_words(field: &str, bytes: &[u8], count: usize) -> Result<Vec<u16>, InvalidField> {
    if bytes.len() != count.saturating_mul(2) {
        return Err(InvalidField::new(
            field,
            format!("it has {} bytes; {count} values of two bytes are needed", bytes.len()),
        ));
    }
    let (words, _) = bytes.as_chunks::<2>();
    Ok(words.iter().map(|word| u16::from_be_bytes(*word)).collect())
}

fn encode_words(words: &[u16]) -> Vec<u8> {
    words.iter().flat_map(|word| word.to_be_bytes()).collect()
}

pub(super) fn encode_strip(strip: &ImageStrip) -> pb::ImageStrip {
    pb::ImageStrip {
        first_column: strip.first_column,
        columns_planned: strip.columns_planned,
        width: strip.width,
        height: strip.height,
        column_um: strip.column_um,
        row_um: strip.row_um,
        container_rows: strip.container_rows.map(|rows| pb::RowRange {
            first: rows.first,
            end: rows.end,
        }),
        energies: strip
            .energies
            .iter()
            .map(|energy| pb::EnergyImage {
                endpoint_kev: energy.endpoint_kev,
                references: energy.references.as_ref().map(|references| pb::References {
                    dark: encode_words(&references.dark).into(),
                    air: encode_words(&references.air).into(),
                }),
                pixels: encode_words(&energy.pixels).into(),
            })
            .collect(),
    }
}

pub(super) fn decode_report(report: pb::ThreatReport) -> Result<ThreatReport, InvalidField> {
    Ok(ThreatReport {
        maker: invalid::text("maker", report.maker, NAME_MAX)?,
        algorithm: invalid::text("algorithm", report.algorithm, NAME_MAX)?,
        version: invalid::text("version", report.version, NAME_MAX)?,
        decision: invalid::known("decision", report.decision, |decision| match decision {
            pb::AlarmDecision::Unspecified => None,
            pb::AlarmDecision::Alarm => Some(AlarmDecision::Alarm),
            pb::AlarmDecision::Clear => Some(AlarmDecision::Clear),
            pb::AlarmDecision::Unknown => Some(AlarmDecision::Unknown),
        })?,
        abort: report
            .abort
            .map(|abort| invalid::text("abort", abort, NAME_MAX))
            .transpose()?,
        test_prevalence_ppm: report
            .test_prevalence_ppm
            .map(|share| at_most("test_prevalence_ppm", share, MILLION))
            .transpose()?,
        objects: invalid::list("objects", report.objects, THREAT_OBJECTS_MAX, decode_object)?,
    })
}

fn decode_object(object: pb::ThreatObject) -> Result<ThreatObject, InvalidField> {
    Ok(ThreatObject {
        flag: invalid::known("flag", object.flag, |flag| match flag {
            pb::ThreatFlag::Unspecified => None,
            pb::ThreatFlag::HighThreat => Some(ThreatFlag::HighThreat),
            pb::ThreatFlag::Threat => Some(ThreatFlag::Threat),
            pb::ThreatFlag::NoThreat => Some(ThreatFlag::NoThreat),
            pb::ThreatFlag::Unknown => Some(ThreatFlag::Unknown),
        })?,
        category: invalid::known("category", object.category, |category| match category {
            pb::ThreatCategory::Unspecified => None,
            pb::ThreatCategory::Explosive => Some(ThreatCategory::Explosive),
            pb::ThreatCategory::ProhibitedItem => Some(ThreatCategory::ProhibitedItem),
            pb::ThreatCategory::Contraband => Some(ThreatCategory::Contraband),
            pb::ThreatCategory::Pharmaceutical => Some(ThreatCategory::Pharmaceutical),
            pb::ThreatCategory::Person => Some(ThreatCategory::Person),
            pb::ThreatCategory::Anomaly => Some(ThreatCategory::Anomaly),
            pb::ThreatCategory::Other => Some(ThreatCategory::Other),
        })?,
        // Never assumed: a toolkit in use takes "nothing was in the way" for granted.
        ability: invalid::known("ability", object.ability, |ability| match ability {
            pb::AbilityAssessment::Unspecified => None,
            pb::AbilityAssessment::NoInterference => Some(AbilityAssessment::NoInterference),
            pb::AbilityAssessment::Shield => Some(AbilityAssessment::Shield),
            pb::AbilityAssessment::Unknown => Some(AbilityAssessment::Unknown),
        })?,
        probability_ppm: object
            .probability_ppm
            .map(|probability| at_most("probability_ppm", probability, MILLION))
            .transpose()?,
        bounds: object
            .bounds
            .map(|bounds| {
                Ok(BoundingBox {
                    column: bounds.column,
                    row: bounds.row,
                    width: invalid::positive("width", bounds.width)?,
                    height: invalid::positive("height", bounds.height)?,
                })
            })
            .transpose()
            .within("bounds")?,
    })
}

pub(super) fn encode_report(report: &ThreatReport) -> pb::ThreatReport {
    let decision = match report.decision {
        AlarmDecision::Alarm => pb::AlarmDecision::Alarm,
        AlarmDecision::Clear => pb::AlarmDecision::Clear,
        AlarmDecision::Unknown => pb::AlarmDecision::Unknown,
    };
    pb::ThreatReport {
        maker: report.maker.clone(),
        algorithm: report.algorithm.clone(),
        version: report.version.clone(),
        decision: decision as i32,
        abort: report.abort.clone(),
        test_prevalence_ppm: report.test_prevalence_ppm,
        objects: report.objects.iter().map(encode_object).collect(),
    }
}

fn encode_object(object: &ThreatObject) -> pb::ThreatObject {
    let flag = match object.flag {
        ThreatFlag::HighThreat => pb::ThreatFlag::HighThreat,
        ThreatFlag::Threat => pb::ThreatFlag::Threat,
        ThreatFlag::NoThreat => pb::ThreatFlag::NoThreat,
        ThreatFlag::Unknown => pb::ThreatFlag::Unknown,
    };
    let category = match object.category {
        ThreatCategory::Explosive => pb::ThreatCategory::Explosive,
        ThreatCategory::ProhibitedItem => pb::ThreatCategory::ProhibitedItem,
        ThreatCategory::Contraband => pb::ThreatCategory::Contraband,
        ThreatCategory::Pharmaceutical => pb::ThreatCategory::Pharmaceutical,
        ThreatCategory::Person => pb::ThreatCategory::Person,
        ThreatCategory::Anomaly => pb::ThreatCategory::Anomaly,
        ThreatCategory::Other => pb::ThreatCategory::Other,
    };
    let ability = match object.ability {
        AbilityAssessment::NoInterference => pb::AbilityAssessment::NoInterference,
        AbilityAssessment::Shield => pb::AbilityAssessment::Shield,
        AbilityAssessment::Unknown => pb::AbilityAssessment::Unknown,
    };
    pb::ThreatObject {
        flag: flag as i32,
        category: category as i32,
        ability: ability as i32,
        probability_ppm: object.probability_ppm,
        bounds: object.bounds.map(|bounds| pb::BoundingBox {
            column: bounds.column,
            row: bounds.row,
            width: bounds.width,
            height: bounds.height,
        }),
    }
}
