//! How long interpreters take for one container: what an actor of a lane spends before it can answer again.
//!
//! `cargo bench -p portcullis-detectors --bench interpreters`. Gamma spectra have a bench of their own, `radiation`.
#![allow(clippy::unwrap_used, missing_docs, reason = "a bench that cannot go on fails")]
#![allow(unreachable_pub, dead_code, reason = "the support modules are shared with tests")]

#[path = "support/noise.rs"]
mod noise;
#[path = "support/readings.rs"]
mod readings;

use criterion::{BatchSize, Criterion, criterion_group, criterion_main};
use noise::Noise;
use portcullis_detectors::magnetometer;
use portcullis_detectors::nqr::NqrInterpreter;
use portcullis_detectors::radiation::spectral::{PLANNED_SECONDS, SpectralInterpreter};
use portcullis_detectors::radiation::{PLANNED_SAMPLES, RadiationInterpreter};
use portcullis_detectors::radiography::RadiographyInterpreter;
use portcullis_detectors::trace::TraceInterpreter;

fn magnetic(criterion: &mut Criterion) {
    let manifest = readings::bananas();
    for samples in [150, 1_000] {
        let profile = readings::magnetic(&mut Noise(1), samples);
        criterion.bench_function(&format!("magnetic profile of 8 sensors, {samples} samples"), |bench| {
            bench.iter(|| magnetometer::interpret(&profile, &manifest));
        });
    }
}

fn image(criterion: &mut Criterion) {
    let manifest = readings::bananas();
    for pitch_um in [10_000, 4_000] {
        let strips = readings::image(pitch_um);
        let mut interpreter = RadiographyInterpreter::new();
        criterion.bench_function(
            &format!("image of a 20-foot container at {} mm: strips", pitch_um / 1_000),
            |bench| {
                bench.iter(|| {
                    let mut interpreter = RadiographyInterpreter::new();
                    strips.iter().filter(|strip| interpreter.push_strip(strip)).count()
                });
            },
        );
        strips.iter().for_each(|strip| _ = interpreter.push_strip(strip));
        interpreter.finish();
        criterion.bench_function(
            &format!("image of a 20-foot container at {} mm: weights", pitch_um / 1_000),
            |bench| {
                bench.iter(|| interpreter.interpret(&manifest));
            },
        );
    }
}

fn resonance(criterion: &mut Criterion) {
    let manifest = readings::bananas();
    for echoes in [64, 512] {
        let waveform = readings::resonance(&mut Noise(1), echoes);
        criterion.bench_function(&format!("resonance of {echoes} echoes"), |bench| {
            bench.iter(|| NqrInterpreter::new().push(&waveform, &manifest));
        });
    }
}

fn trace(criterion: &mut Criterion) {
    let swabs = readings::swabs();
    criterion.bench_function("blank and swab of 1,500 points", |bench| {
        bench.iter(|| {
            let mut interpreter = TraceInterpreter::new();
            swabs.iter().for_each(|swab| interpreter.push(swab));
            interpreter.interpret()
        });
    });
}

fn radiation(criterion: &mut Criterion) {
    let mut noise = Noise(1);
    let samples: Vec<_> = (0..64)
        .map(|_| readings::radiation(&mut noise, 0.25, 4, 1_024))
        .collect();
    criterion.bench_function("pass of 64 samples, gross counts, no background", |bench| {
        bench.iter(|| {
            let mut interpreter = RadiationInterpreter::new(None, PLANNED_SAMPLES);
            samples.iter().for_each(|sample| _ = interpreter.push(sample));
            interpreter.finish()
        });
    });
    criterion.bench_function("pass of 64 samples of 4 scintillators, spectra", |bench| {
        bench.iter_batched(
            || SpectralInterpreter::new(None, None, PLANNED_SECONDS),
            |mut interpreter| {
                samples.iter().for_each(|sample| _ = interpreter.push(sample));
                interpreter.finish()
            },
            BatchSize::SmallInput,
        );
    });
}

criterion_group! {
    name = benches;
    config = Criterion::default().sample_size(20);
    targets = magnetic, image, resonance, trace, radiation
}
criterion_main!(benches);
