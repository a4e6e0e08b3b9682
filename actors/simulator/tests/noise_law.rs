//! A reading depends on seed, container, modality and sample, and on nothing else.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod common;

use std::collections::BTreeMap;
use std::sync::LazyLock;

use common::plan;
use portcullis_domain::evidence::Modality;
use portcullis_domain::id::SampleNo;
use portcullis_domain::reading::ReadingContent;
use portcullis_simulator::{Outfit, PortPlan, ReadingSource};
use proptest::prelude::*;

const SEED: u64 = 7;
const CONTAINERS: u32 = 12;

static PLAN: LazyLock<PortPlan> = LazyLock::new(|| plan(SEED, CONTAINERS));

/// All but the X-ray portal: images are slow to make, and have tests of their own.
fn modalities() -> impl Iterator<Item = Modality> {
    let all = Outfit::Full.modalities().iter().copied();
    all.filter(|modality| *modality != Modality::Radiography)
}

/// Visit, device, and how many readings of the device come before.
type Key = (u32, usize, usize);

/// Every reading of every container, taken in the natural order.
static READINGS: LazyLock<BTreeMap<Key, ReadingContent>> = LazyLock::new(|| {
    let source = ReadingSource::new(SEED, Outfit::Full);
    let mut readings = BTreeMap::new();
    for visit in PLAN.visits() {
        for (device, modality) in modalities().enumerate() {
            for (position, (_, content)) in source.readings(modality, visit).enumerate() {
                readings.insert((visit.index, device, position), content);
            }
        }
    }
    readings
});

/// Takes one reading on its own.
fn read(source: &ReadingSource, (index, device, position): Key) -> Option<ReadingContent> {
    let visit = &PLAN.visits()[index as usize];
    source
        .readings(modalities().nth(device).unwrap(), visit)
        .nth(position)
        .map(|(_, content)| content)
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(64) })]

    /// Lanes are devices of their own, each with its own history; attempts are repetitions, broken off anywhere.
    #[test]
    fn any_order_any_repetition_and_any_lane_give_the_same_readings(
        calls in proptest::collection::vec((0_usize..4, any::<proptest::sample::Index>(), 0_usize..3), 1..60),
    ) {
        let lanes: Vec<ReadingSource> = (0..4).map(|_| ReadingSource::new(SEED, Outfit::Full)).collect();
        let keys: Vec<&Key> = READINGS.keys().collect();
        for (lane, which, repetitions) in calls {
            let key = *keys[which.index(keys.len())];
            for _ in 0..=repetitions {
                prop_assert_eq!(read(&lanes[lane], key), READINGS.get(&key).cloned());
            }
        }
    }

    #[test]
    fn a_container_reads_the_same_in_a_plan_of_any_length_and_any_arrivals(
        containers in 1_u32..CONTAINERS,
        per_hour in 0_u32..1_000,
    ) {
        let mut options = PLAN.options().clone();
        options.arrivals = portcullis_simulator::Arrivals::Constant { per_hour };
        let other = PortPlan::new(SEED, containers, options);
        let source = ReadingSource::new(SEED, Outfit::Full);
        for visit in other.visits() {
            for (device, modality) in modalities().enumerate() {
                for (position, (_, content)) in source.readings(modality, visit).enumerate() {
                    prop_assert_eq!(Some(&content), READINGS.get(&(visit.index, device, position)));
                }
            }
        }
    }
}

#[test]
fn another_seed_another_container_and_another_sample_have_other_noise() {
    let source = ReadingSource::new(SEED, Outfit::Full);
    let other = ReadingSource::new(SEED + 1, Outfit::Full);
    let visit = &PLAN.visits()[0];
    let at = |source: &ReadingSource, sample| source.sensors().radiation(visit, SampleNo(sample)).unwrap();
    assert_ne!(at(&source, 1), at(&other, 1));
    assert_ne!(at(&source, 1), at(&source, 2));
    // The same vehicle and content under another number.
    let mut twin = visit.clone();
    twin.equipment = PLAN.visits()[1].equipment.clone();
    assert_ne!(source.sensors().weighing(visit), source.sensors().weighing(&twin));
    assert_ne!(at(&source, 1), source.sensors().radiation(&twin, SampleNo(1)).unwrap());
}

#[test]
fn a_device_sends_its_samples_in_order_and_none_twice() {
    for visit in PLAN.visits() {
        let source = ReadingSource::new(SEED, Outfit::Full);
        for modality in modalities() {
            let samples: Vec<u32> = source.readings(modality, visit).map(|(sample, _)| sample.0).collect();
            let wanted: Vec<u32> = match modality {
                Modality::Radiation => (0..=visit.pass_samples()).collect(),
                Modality::Trace => vec![0, 0, 1, 2],
                Modality::Nqr => vec![1, 2, 3],
                Modality::Magnetometer => vec![visit.pass_samples()],
                _ => vec![1],
            };
            assert_eq!(samples, wanted, "{modality}");
            for (_, content) in source.readings(modality, visit) {
                assert_eq!(content.modality(), Some(modality));
            }
        }
        assert_eq!(source.sensors().radiation(visit, SampleNo(0)), None);
        assert_eq!(
            source.sensors().radiation(visit, SampleNo(visit.pass_samples() + 1)),
            None
        );
    }
}
