//! Analyses of a swab.

use portcullis_domain::reading::{
    Calibrant, DRIFT_POINTS_MAX, DriftSpectrum, IonMobility, Polarity, SwabPurpose, TRACE_ALARMS_MAX, TraceAlarm,
};
use portcullis_proto::v1 as pb;

use super::{MILLION, NAME_MAX, at_most};
use crate::invalid::{self, InvalidField, Within};

pub(super) fn decode_analysis(analysis: pb::IonMobility) -> Result<IonMobility, InvalidField> {
    Ok(IonMobility {
        swab: invalid::text("swab", analysis.swab, NAME_MAX)?,
        purpose: invalid::known("purpose", analysis.purpose, |purpose| match purpose {
            pb::SwabPurpose::Unspecified => None,
            pb::SwabPurpose::Sample => Some(SwabPurpose::Sample),
            pb::SwabPurpose::Blank => Some(SwabPurpose::Blank),
        })?,
        polarity: invalid::known("polarity", analysis.polarity, |polarity| match polarity {
            pb::Polarity::Unspecified => None,
            pb::Polarity::Positive => Some(Polarity::Positive),
            pb::Polarity::Negative => Some(Polarity::Negative),
        })?,
        spectrum: analysis.spectrum.map(decode_spectrum).transpose().within("spectrum")?,
        alarms: invalid::list("alarms", analysis.alarms, TRACE_ALARMS_MAX, decode_alarm)?,
    })
}

fn decode_spectrum(spectrum: pb::DriftSpectrum) -> Result<DriftSpectrum, InvalidField> {
    Ok(DriftSpectrum {
        start_ns: spectrum.start_ns,
        step_ns: invalid::positive("step_ns", spectrum.step_ns)?,
        intensities: invalid::list("intensities", spectrum.intensities, DRIFT_POINTS_MAX, Ok)?,
        full_scale: spectrum.full_scale,
        calibrant: spectrum
            .calibrant
            .map(|calibrant| {
                Ok(Calibrant {
                    name: invalid::text("name", calibrant.name, NAME_MAX)?,
                    reduced_mobility: invalid::positive("reduced_mobility", calibrant.reduced_mobility)?,
                    expected_ns: invalid::positive("expected_ns", calibrant.expected_ns)?,
                })
            })
            .transpose()
            .within("calibrant")?,
    })
}

fn decode_alarm(alarm: pb::TraceAlarm) -> Result<TraceAlarm, InvalidField> {
    let rate = |field: &str, rate: Option<u32>| rate.map(|rate| at_most(field, rate, MILLION)).transpose();
    Ok(TraceAlarm {
        substance: invalid::text("substance", alarm.substance, NAME_MAX)?,
        channel: invalid::text("channel", alarm.channel, NAME_MAX)?,
        true_alarm_ppm: rate("true_alarm_ppm", alarm.true_alarm_ppm)?,
        false_alarm_ppm: rate("false_alarm_ppm", alarm.false_alarm_ppm)?,
    })
}

pub(super) fn encode_analysis(analysis: &IonMobility) -> pb::IonMobility {
    let purpose = match analysis.purpose {
        SwabPurpose::Sample => pb::SwabPurpose::Sample,
        SwabPurpose::Blank => pb::SwabPurpose::Blank,
    };
    let polarity = match analysis.polarity {
        Polarity::Positive => pb::Polarity::Positive,
        Polarity::Negative => pb::Polarity::Negative,
    };
    pb::IonMobility {
        swab: analysis.swab.clone(),
        purpose: purpose as i32,
        polarity: polarity as i32,
        spectrum: analysis.spectrum.as_ref().map(|spectrum| pb::DriftSpectrum {
            start_ns: spectrum.start_ns,
            step_ns: spectrum.step_ns,
            intensities: spectrum.intensities.clone(),
            full_scale: spectrum.full_scale,
            calibrant: spectrum.calibrant.as_ref().map(|calibrant| pb::Calibrant {
                name: calibrant.name.clone(),
                reduced_mobility: calibrant.reduced_mobility,
                expected_ns: calibrant.expected_ns,
            }),
        }),
        alarms: analysis
            .alarms
            .iter()
            .map(|alarm| pb::TraceAlarm {
                substance: alarm.substance.clone(),
                channel: alarm.channel.clone(),
                true_alarm_ppm: alarm.true_alarm_ppm,
                false_alarm_ppm: alarm.false_alarm_ppm,
            })
            .collect(),
    }
}
