//! A second of a germanium portal: 8 detectors, 4 samples, 16,384 channels, rebinned and explained.
//!
//! `cargo bench -p portcullis-detectors --bench radiation`. The pass before it is 8 s long; a potash load stands in it.
#![allow(clippy::unwrap_used, missing_docs, reason = "a bench that cannot go on fails")]

use criterion::{Criterion, criterion_group, criterion_main};
use portcullis_detectors::radiation::spectral::response::Detector;
use portcullis_detectors::radiation::spectral::slices::SpectralBackground;
use portcullis_detectors::radiation::spectral::{PLANNED_SECONDS, SpectralInterpreter, templates_of};
use portcullis_domain::reading::{DetectorCounts, RadiationKind, RadiationSample, Spectrum};

const CHANNELS: usize = 16_384;
const KEV: f64 = 0.1875;

/// Background that falls with energy, and lines at `lines` keV with so many counts each, all in `real_s` seconds.
fn sample(real_s: f64, slot: usize, lines: &[(f64, u32)]) -> RadiationSample {
    let mut counts: Vec<u32> = (0..CHANNELS)
        .map(|channel| {
            // A repeatable scatter of single counts, denser at low energies.
            let mean = real_s * 0.35 * (-(channel as f64) / 1_500.0).exp();
            let dice = (channel * 7_919 + slot * 104_729) % 1_000;
            mean as u32 + u32::from((dice as f64) < mean.fract() * 1_000.0)
        })
        .collect();
    for (kev, hits) in lines {
        for hit in 0..*hits {
            counts[(kev / KEV) as usize + (hit % 5) as usize] += 1;
        }
    }
    let real_us = (real_s * 1e6) as u64;
    let detectors = (0..8).map(|index| DetectorCounts {
        name: format!("A{index}"),
        kind: RadiationKind::Gamma,
        live_time_us: real_us,
        counts: counts.iter().map(|count| u64::from(*count)).sum(),
        spectrum: Some(Spectrum {
            calibration_kev: vec![0.01 * f64::from(index), KEV, -2e-9],
            counts: counts.clone(),
        }),
    });
    RadiationSample {
        real_time_us: real_us,
        detectors: detectors.collect(),
    }
}

fn second(criterion: &mut Criterion) {
    let empty = [sample(60.0, 0, &[])];
    let background = SpectralBackground::measured(&Detector::HPGE, &empty).unwrap();
    templates_of(&Detector::HPGE);
    let samples: Vec<RadiationSample> = (0..36)
        .map(|slot| sample(0.25, slot, &[(1_460.8, 12), (185.7, 6)]))
        .collect();
    let mut before = SpectralInterpreter::new(Some(background), None, PLANNED_SECONDS);
    for sample in &samples[..32] {
        before.push(sample);
    }
    criterion.bench_function("a second of 8 detectors x 16384 channels", |bench| {
        bench.iter_batched(
            || before.clone(),
            |mut interpreter| {
                for sample in &samples[32..] {
                    interpreter.push(sample);
                }
                interpreter
            },
            criterion::BatchSize::SmallInput,
        );
    });
}

criterion_group!(benches, second);
criterion_main!(benches);
