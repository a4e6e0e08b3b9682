//! One small port, pinned: every change of the simulated world shows here.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod common;

use common::plan;
use portcullis_domain::codec::to_bytes;
use portcullis_domain::id::Digest;
use portcullis_domain::reading::{RadiationSample, ReadingContent};
use portcullis_simulator::{Outfit, PortPlan, ReadingSource};

fn put(out: &mut Vec<u8>, number: u64) {
    out.extend_from_slice(&number.to_be_bytes());
}

fn put_text(out: &mut Vec<u8>, text: &str) {
    put(out, text.len() as u64);
    out.extend_from_slice(text.as_bytes());
}

fn put_radiation(out: &mut Vec<u8>, sample: &RadiationSample) {
    put(out, sample.real_time_us);
    for detector in &sample.detectors {
        put_text(out, &detector.name);
        put(out, detector.live_time_us);
        put(out, detector.counts);
        assert!(detector.spectrum.is_none());
    }
}

fn put_content(out: &mut Vec<u8>, content: &ReadingContent) {
    match content {
        ReadingContent::Radiation(sample) | ReadingContent::RadiationBackground(sample) => {
            put_radiation(out, sample);
        }
        ReadingContent::Weighing(weighing) => {
            put(out, weighing.gross_mass_kg as u64);
            put(out, weighing.vehicle_mass_kg.unwrap_or(-1) as u64);
            put(out, u64::from(weighing.sigma_kg.unwrap_or(0)));
            put(out, u64::from(weighing.speed_mm_s));
            for axle in &weighing.axles_kg {
                put(out, u64::from(*axle));
            }
        }
        ReadingContent::Recognition(recognition) => {
            for candidate in &recognition.candidates {
                put_text(out, &candidate.text);
                put(out, u64::from(candidate.confidence_permille));
            }
            if let Some(seal) = &recognition.seal {
                put(out, seal.state as u64);
                for candidate in &seal.candidates {
                    put_text(out, &candidate.text);
                    put(out, u64::from(candidate.confidence_permille));
                }
            }
        }
        ReadingContent::SourceDocument(_)
        | ReadingContent::Nqr(_)
        | ReadingContent::MagneticProfile(_)
        | ReadingContent::ImageStrip(_)
        | ReadingContent::ThreatReport(_)
        | ReadingContent::IonMobility(_) => {
            unreachable!("no device of a simulated lane sends it")
        }
    }
}

fn announced(plan: &PortPlan) -> Digest {
    let mut out = Vec::new();
    for visit in plan.visits() {
        put(&mut out, visit.ready_after_ms);
        out.extend_from_slice(&to_bytes(&visit.announcement));
    }
    Digest::of(&out)
}

fn true_and_read(plan: &PortPlan) -> Digest {
    let source = ReadingSource::new(plan.seed(), Outfit::Basic);
    let mut out = Vec::new();
    for visit in plan.visits() {
        put_text(&mut out, visit.equipment.as_str());
        put_text(&mut out, visit.truth.painted.as_str());
        put_text(&mut out, &visit.truth.summary());
        put(&mut out, visit.truth.true_mass_g);
        put(&mut out, visit.truth.tare_mass_g);
        put(&mut out, u64::from(visit.truth.shadow_permille));
        put(&mut out, visit.travel_ms());
        for modality in Outfit::Basic.modalities().iter().copied() {
            for (sample, content) in source.readings(modality, visit) {
                put(&mut out, u64::from(sample.0));
                put_content(&mut out, &content);
            }
        }
    }
    Digest::of(&out)
}

#[test]
fn the_same_seed_gives_the_same_port_for_ever() {
    let plan = plan(7, 40);
    assert_eq!(
        announced(&plan).to_string(),
        "dc5f452267790df4b56ea01506cfa7e5250d740d45b7e6fde71a9c9a3efec4c4",
        "announcements changed; they do too when the canonical bytes of a manifest change"
    );
    assert_eq!(
        true_and_read(&plan).to_string(),
        "c5e3cb04a3a22c270118dee482a27a6e1571f9b07ba154ae0e57be7d24dfe298",
        "truth or readings changed"
    );
}
