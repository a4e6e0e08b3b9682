//! How fast N42.42 documents are read: a pass of 24 samples of 8 germanium detectors in both editions, with channels written
//! out and with runs of zeros counted, and the recorded pass of the test data if it is there.
//!
//! `cargo bench -p portcullis-detectors --bench n42`. The anchor is a count of line ends in the same bytes with memchr.
//! `PORTCULLIS_TEST_DATA` names the folder of the test data.
#![allow(clippy::unwrap_used, missing_docs, reason = "a bench that cannot go on fails")]
#![allow(unreachable_pub, dead_code, reason = "the support modules are shared with tests")]

#[path = "support/documents.rs"]
mod documents;
#[path = "support/noise.rs"]
mod noise;

use std::hint::black_box;

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use noise::Noise;
use portcullis_detectors::n42::{Spectra, read_with};
use portcullis_domain::reading::RadiationSample;

const SAMPLES: usize = 24;
const DETECTORS: usize = 8;
const CHANNELS: usize = 16_384;

fn documents() -> Vec<(String, Vec<u8>)> {
    let mut noise = Noise(1);
    let mut documents = Vec::new();
    for zeros_counted in [false, true] {
        let form = if zeros_counted { "counted zeros" } else { "all channels" };
        let old = documents::form_2006(&mut noise, SAMPLES, DETECTORS, CHANNELS, zeros_counted);
        let new = documents::form_2012(&mut noise, SAMPLES, DETECTORS, CHANNELS, zeros_counted);
        documents.push((format!("2006, {form}"), old.into_bytes()));
        documents.push((format!("2012, {form}"), new.into_bytes()));
    }
    let root = std::env::var_os("PORTCULLIS_TEST_DATA").map(std::path::PathBuf::from);
    match root.and_then(|root| std::fs::read(root.join("n42/passthrough.n42")).ok()) {
        Some(bytes) => documents.push(("recorded pass".to_owned(), bytes)),
        None => eprintln!("skipped: n42/passthrough.n42 is not below PORTCULLIS_TEST_DATA"),
    }
    documents
}

fn reading(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("n42");
    group.sample_size(20);
    for (name, bytes) in documents() {
        let record = read_with(&bytes, Spectra::Keep).unwrap();
        assert!(!record.samples.is_empty());
        group.throughput(Throughput::Bytes(bytes.len() as u64));
        for (kept, spectra) in [("keep", Spectra::Keep), ("sum only", Spectra::SumOnly)] {
            group.bench_with_input(BenchmarkId::new(kept, &name), &bytes, |bench, bytes| {
                bench.iter(|| read_with(black_box(bytes), spectra).unwrap());
            });
        }
        // As an interpreter uses a record: the channels of one sample after the other.
        group.bench_with_input(
            BenchmarkId::new("keep, then unpack each sample", &name),
            &bytes,
            |bench, bytes| {
                bench.iter(|| {
                    let record = read_with(black_box(bytes), Spectra::Keep).unwrap();
                    for sample in record.samples {
                        black_box(RadiationSample::from(sample));
                    }
                });
            },
        );
        group.bench_with_input(BenchmarkId::new("anchor: memchr", &name), &bytes, |bench, bytes| {
            bench.iter(|| memchr::memchr_iter(b'\n', black_box(bytes)).count());
        });
    }
    group.finish();
}

criterion_group!(benches, reading);
criterion_main!(benches);
