//! Readings of each kind as a working device sends them, made from the physics that they stand for.

use portcullis_domain::manifest::{GoodsItem, Manifest};
use portcullis_domain::reading::{
    Calibrant, DetectorCounts, DriftSpectrum, EnergyImage, ImageStrip, IonMobility, Iq, MagneticProfile,
    MagneticSensor, NqrWaveform, Polarity, RadiationKind, RadiationSample, RowRange, Spectrum, SwabPurpose,
    TRANSMISSION_FULL, TraceAlarm,
};

use crate::noise::Noise;

/// A container of bananas with a declared mass.
pub fn bananas() -> Manifest {
    Manifest {
        goods: vec![GoodsItem {
            commodity_code: "080390".to_owned(),
            gross_mass_g: Some(20_000_000),
            ..GoodsItem::default()
        }],
        size_type: "22G1".to_owned(),
        ..Manifest::default()
    }
}

/// A sample of a portal: `detectors` of `channels` channels from 0 to 3 MeV, background that falls with energy, the line of
/// potassium, and two neutrons.
pub fn radiation(noise: &mut Noise, real_s: f64, detectors: usize, channels: usize) -> RadiationSample {
    let kev = 3_000.0 / channels as f64;
    let real_time_us = (real_s * 1e6) as u64;
    let mut all: Vec<DetectorCounts> = (0..detectors)
        .map(|number| {
            let mut counts: Vec<u32> = (0..channels)
                .map(|channel| {
                    let mean = real_s * 5.0 * kev * (-(channel as f64) * kev / 280.0).exp();
                    mean as u32 + u32::from(noise.unit() < mean.fract())
                })
                .collect();
            for _ in 0..(60.0 * real_s) as usize {
                let width = if channels > 4_096 { 0.8 } else { 30.0 };
                let channel = ((1_460.8 + width * noise.normal()) / kev) as usize;
                counts[channel.min(channels - 1)] += 1;
            }
            DetectorCounts {
                name: format!("A{number}"),
                kind: RadiationKind::Gamma,
                live_time_us: real_time_us - real_time_us / 50,
                counts: counts.iter().copied().map(u64::from).sum(),
                spectrum: Some(Spectrum {
                    calibration_kev: vec![0.01 * number as f64, kev, 0.0],
                    counts,
                }),
            }
        })
        .collect();
    all.push(DetectorCounts {
        name: "N".to_owned(),
        kind: RadiationKind::Neutron,
        live_time_us: real_time_us,
        counts: 2,
        spectrum: None,
    });
    RadiationSample {
        real_time_us,
        detectors: all,
    }
}

/// Eight magnetometers, four on each side of the lane, `samples` samples, and a crate of arms of 30 A m2 beside tractor and
/// chassis. Fields are those of dipoles along the direction of the field of the Earth.
pub fn magnetic(noise: &mut Noise, samples: usize) -> MagneticProfile {
    const EARTH: [f64; 3] = [18e6, 2e6, -44e6];
    const NOISE_PT: f64 = 200.0;
    let strength = EARTH.iter().map(|part| part * part).sum::<f64>().sqrt();
    let iron: [([f64; 3], [f64; 3]); 4] = [
        ([-3.0, 0.0, 1.0], [120.0, 10.0, -270.0]),
        ([0.0, 0.0, 2.5], [16.0, 0.0, -36.0]),
        ([12.192, 0.0, 2.5], [16.0, 0.0, -36.0]),
        ([5.3, 0.4, 1.9], [10.0, 0.0, -28.3]),
    ];
    let positions: Vec<f64> = (0..samples)
        .map(|number| -2.0 + 16.5 * number as f64 / samples as f64)
        .collect();
    let drift: Vec<f64> = positions.iter().map(|_| 20_000.0 * noise.normal()).collect();
    let mut sensors = Vec::new();
    for y in [-2.2, 2.2] {
        for z in [1.0, 2.0, 3.0, 4.0] {
            let field = |front: f64| {
                let of = |(place, moment): &([f64; 3], [f64; 3])| {
                    let r = [-(front - place[0]), y - place[1], z - place[2]];
                    let square: f64 = r.iter().map(|part| part * part).sum();
                    let along: f64 = r.iter().zip(moment).map(|(r, m)| r * m).sum();
                    let axis =
                        |axis: usize| 1e5 * (3.0 * r[axis] * along / square - moment[axis]) / (square * square.sqrt());
                    (0..3).map(|at| axis(at) * EARTH[at] / strength).sum::<f64>()
                };
                strength + iron.iter().map(of).sum::<f64>()
            };
            let values = positions.iter().zip(&drift);
            sensors.push(MagneticSensor {
                x_mm: 0,
                y_mm: (y * 1_000.0) as i32,
                z_mm: (z * 1_000.0) as i32,
                noise_pt: NOISE_PT as u32,
                field_pt: values
                    .map(|(front, drift)| (field(*front) + drift + NOISE_PT * noise.normal()) as i64)
                    .collect(),
            });
        }
    }
    MagneticProfile {
        earth_pt: EARTH.map(|part| part as i32),
        box_length_mm: 12_192,
        positions_mm: positions.iter().map(|position| (position * 1_000.0) as i32).collect(),
        sensors,
    }
}

/// Echoes of 48 samples at 100 kHz every 500 us at the carrier of RDX, and a reference of as many samples as 20 echoes.
pub fn resonance(noise: &mut Noise, echoes: u32) -> NqrWaveform {
    const LENGTH: u32 = 48;
    let mut samples = |count: u32| -> Vec<Iq> {
        let count_of = |value: f64| (4_000.0 * value) as i32;
        (0..count)
            .map(|_| Iq {
                i: count_of(noise.normal()),
                q: count_of(noise.normal()),
            })
            .collect()
    };
    NqrWaveform {
        carrier_hz: 3_410_000,
        sample_rate_hz: 100_000,
        femtovolts_per_count: 250,
        echoes,
        echo_spacing_us: 500,
        window_start_us: 10,
        goods_temperature_mk: Some(297_000),
        quality_factor: 100,
        quality_factor_empty: 100,
        picovolts_per_mole: 50,
        echo_train: samples(echoes * LENGTH),
        reference: samples(20 * LENGTH),
    }
}

/// Strips of 100 columns of a 20-foot container at this pitch, half full of even goods with a block in them.
pub fn image(pitch_um: u32) -> Vec<ImageStrip> {
    let columns = 6_460_000 / pitch_um;
    let rows = 2_400_000 / pitch_um;
    let air = 200_000 / pitch_um;
    let pixel = |column: u32, row: u32| {
        let at = |value: u32| f64::from(value) * f64::from(pitch_um) / 1e6;
        let (x, y) = (at(column), at(row));
        let goods = if y > 1.3 { 0.05 } else { 1.0 };
        let block = if (3.0..3.4).contains(&x) && (1.6..2.0).contains(&y) {
            0.8
        } else {
            1.0
        };
        let inside = (0.2..6.26).contains(&x) && y >= 0.2;
        let transmission = if inside { 0.87 * goods * block } else { 1.0 };
        (transmission * f64::from(TRANSMISSION_FULL)) as u16
    };
    (0..columns)
        .step_by(100)
        .map(|first_column| {
            let width = 100.min(columns - first_column);
            ImageStrip {
                first_column,
                columns_planned: Some(columns),
                width,
                height: rows,
                column_um: pitch_um,
                row_um: pitch_um,
                container_rows: Some(RowRange { first: air, end: rows }),
                energies: vec![EnergyImage {
                    endpoint_kev: 6_000,
                    references: None,
                    pixels: (first_column..first_column + width)
                        .flat_map(|column| (0..rows).map(move |row| (column, row)))
                        .map(|(column, row)| pixel(column, row))
                        .collect(),
                }],
            }
        })
        .collect()
}

/// A blank and a swab of one sign, 1,500 points each, with cocaine on the swab, and an alarm of the instrument.
pub fn swabs() -> Vec<IonMobility> {
    const EXPECTED_NS: u64 = 12_000_000;
    let of = |purpose: SwabPurpose, peaks: &[(f64, f64)]| {
        let intensities = (0..1_500_u32)
            .map(|point| {
                let time = f64::from(point) * 20_000.0;
                let mut value = 200.0 + 300.0 * (-time / 5e6).exp() + f64::from(point * 7_919 % 13);
                for (mobility, height) in peaks.iter().chain([&(1.860, 4_000.0)]) {
                    let centre = 1.860 * EXPECTED_NS as f64 / mobility;
                    let sigma = centre / 40.0 / 2.354_82;
                    value += height * (-0.5 * ((time - centre) / sigma).powi(2)).exp();
                }
                value as u32
            })
            .collect();
        IonMobility {
            swab: "swab-1".to_owned(),
            purpose,
            polarity: Polarity::Positive,
            spectrum: Some(DriftSpectrum {
                start_ns: 0,
                step_ns: 20_000,
                intensities,
                full_scale: None,
                calibrant: Some(Calibrant {
                    name: "nicotinamide".to_owned(),
                    reduced_mobility: 18_600,
                    expected_ns: EXPECTED_NS,
                }),
            }),
            alarms: vec![TraceAlarm {
                substance: "cocaine".to_owned(),
                channel: "1".to_owned(),
                true_alarm_ppm: Some(900_000),
                false_alarm_ppm: Some(10_000),
            }],
        }
    };
    vec![of(SwabPurpose::Blank, &[]), of(SwabPurpose::Sample, &[(1.161, 600.0)])]
}
