//! Readings of quantum sensors: echoes of quadrupole resonance and magnetic profiles.

use portcullis_domain::reading::{
    Iq, MAGNETIC_SENSORS_MAX, MAGNETIC_VALUES_MAX, MagneticProfile, MagneticSensor, NQR_SAMPLES_MAX, NqrWaveform,
};
use portcullis_proto::v1 as pb;

use crate::invalid::{self, InvalidField};

pub(super) fn decode_nqr(waveform: pb::NqrWaveform) -> Result<NqrWaveform, InvalidField> {
    let echo_train = decode_samples("echo_train", &waveform.echo_train, NQR_SAMPLES_MAX)?;
    let reference = decode_samples("reference", &waveform.reference, NQR_SAMPLES_MAX - echo_train.len())?;
    Ok(NqrWaveform {
        carrier_hz: waveform.carrier_hz,
        sample_rate_hz: waveform.sample_rate_hz,
        femtovolts_per_count: waveform.femtovolts_per_count,
        echoes: waveform.echoes,
        echo_spacing_us: waveform.echo_spacing_us,
        window_start_us: waveform.window_start_us,
        goods_temperature_mk: waveform.goods_temperature_mk,
        quality_factor: waveform.quality_factor,
        quality_factor_empty: waveform.quality_factor_empty,
        picovolts_per_mole: waveform.picovolts_per_mole,
        echo_train,
        reference,
    })
}

pub(super) fn encode_nqr(waveform: &NqrWaveform) -> pb::NqrWaveform {
    pb::NqrWaveform {
        carrier_hz: waveform.carrier_hz,
        sample_rate_hz: waveform.sample_rate_hz,
        femtovolts_per_count: waveform.femtovolts_per_count,
        echoes: waveform.echoes,
        echo_spacing_us: waveform.echo_spacing_us,
        window_start_us: waveform.window_start_us,
        goods_temperature_mk: waveform.goods_temperature_mk,
        quality_factor: waveform.quality_factor,
        quality_factor_empty: waveform.quality_factor_empty,
        picovolts_per_mole: waveform.picovolts_per_mole,
        echo_train: waveform
            .echo_train
            .iter()
            .flat_map(|sample| [sample.i, sample.q])
            .collect(),
        reference: waveform
            .reference
            .iter()
            .flat_map(|sample| [sample.i, sample.q])
            .collect(),
    }
}

fn decode_samples(field: &str, numbers: &[i32], samples_max: usize) -> Result<Vec<Iq>, InvalidField> {
    if numbers.len() / 2 > samples_max {
        return Err(InvalidField::new(
            field,
            format!(
                "it has {} samples; at most {samples_max} are allowed here",
                numbers.len() / 2
            ),
        ));
    }
    let (pairs, rest) = numbers.as_chunks::<2>();
    if !rest.is_empty() {
        return Err(InvalidField::new(field, "it ends between I and Q"));
    }
    Ok(pairs.iter().map(|[i, q]| Iq { i: *i, q: *q }).collect())
}

pub(super) fn decode_profile(profile: pb::MagneticProfile) -> Result<MagneticProfile, InvalidField> {
    let samples = profile.positions_mm.len();
    let values = profile
        .sensors
        .iter()
        .map(|sensor| sensor.field_pt.len())
        .fold(samples, usize::saturating_add);
    if values > MAGNETIC_VALUES_MAX {
        return Err(InvalidField::new(
            "sensors",
            format!("they have {values} values with the positions; at most {MAGNETIC_VALUES_MAX} are allowed"),
        ));
    }
    Ok(MagneticProfile {
        earth_pt: [profile.earth_x_pt, profile.earth_y_pt, profile.earth_z_pt],
        box_length_mm: profile.box_length_mm,
        positions_mm: profile.positions_mm,
        sensors: invalid::list("sensors", profile.sensors, MAGNETIC_SENSORS_MAX, |sensor| {
            if sensor.field_pt.len() == samples {
                return Ok(MagneticSensor {
                    x_mm: sensor.x_mm,
                    y_mm: sensor.y_mm,
                    z_mm: sensor.z_mm,
                    noise_pt: sensor.noise_pt,
                    field_pt: sensor.field_pt,
                });
            }
            Err(InvalidField::new(
                "field_pt",
                format!("it has {} values for {samples} positions", sensor.field_pt.len()),
            ))
        })?,
    })
}

pub(super) fn encode_profile(profile: &MagneticProfile) -> pb::MagneticProfile {
    let [earth_x_pt, earth_y_pt, earth_z_pt] = profile.earth_pt;
    pb::MagneticProfile {
        earth_x_pt,
        earth_y_pt,
        earth_z_pt,
        box_length_mm: profile.box_length_mm,
        positions_mm: profile.positions_mm.clone(),
        sensors: profile
            .sensors
            .iter()
            .map(|sensor| pb::MagneticSensor {
                x_mm: sensor.x_mm,
                y_mm: sensor.y_mm,
                z_mm: sensor.z_mm,
                noise_pt: sensor.noise_pt,
                field_pt: sensor.field_pt.clone(),
            })
            .collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn nqr(echo_train: Vec<i32>, reference: Vec<i32>) -> Result<NqrWaveform, String> {
        decode_nqr(pb::NqrWaveform {
            echo_train,
            reference,
            ..Default::default()
        })
        .map_err(|error| error.field)
    }

    #[test]
    fn samples_come_in_pairs_and_share_one_limit() {
        let read = nqr(vec![1, -2, 3, i32::MIN], vec![]).unwrap();
        assert_eq!(read.echo_train, [Iq { i: 1, q: -2 }, Iq { i: 3, q: i32::MIN }]);
        assert_eq!(nqr(vec![1, 2, 3], vec![]).unwrap_err(), "echo_train");
        assert_eq!(nqr(vec![], vec![1]).unwrap_err(), "reference");
        let full = vec![0; 2 * NQR_SAMPLES_MAX];
        assert!(nqr(full.clone(), vec![]).is_ok());
        assert_eq!(nqr(full, vec![0, 0]).unwrap_err(), "reference");
        assert_eq!(nqr(vec![0; 2 * NQR_SAMPLES_MAX + 2], vec![]).unwrap_err(), "echo_train");
    }

    #[test]
    fn each_sensor_has_a_value_for_each_position_within_the_limits() {
        let profile = |positions: usize, fields: &[usize]| {
            decode_profile(pb::MagneticProfile {
                positions_mm: vec![0; positions],
                sensors: fields
                    .iter()
                    .map(|values| pb::MagneticSensor {
                        field_pt: vec![0; *values],
                        ..Default::default()
                    })
                    .collect(),
                ..Default::default()
            })
            .map_err(|error| error.field)
        };
        assert!(profile(3, &[3, 3]).is_ok());
        assert_eq!(profile(3, &[3, 2]).unwrap_err(), "sensors[1].field_pt");
        assert_eq!(profile(1, &[1; MAGNETIC_SENSORS_MAX + 1]).unwrap_err(), "sensors");
        let half = MAGNETIC_VALUES_MAX / 2;
        assert!(profile(half, &[half]).is_ok());
        assert_eq!(profile(half + 1, &[half + 1]).unwrap_err(), "sensors");
    }
}
