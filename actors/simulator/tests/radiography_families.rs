//! People and arms in images of the simulated port, drawn as the port draws them, at a fixed rate of false alarms.
//!
//! The alarm of each family is set so high that one in twenty honest containers of all kinds of goods reaches it, and then
//! the containers are counted in which the threat is named. Containers whose load the beam does not get through count as missed.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::sync::OnceLock;

use portcullis_detectors::radiography::RadiographyInterpreter;
use portcullis_domain::evidence::{ThreatFamily, Weights};
use portcullis_domain::id::SampleNo;
use portcullis_simulator::{PortOptions, PortPlan, Sensors};

/// One false alarm in so many honest containers.
const FALSE_ALARMS_ONE_IN: usize = 20;
const HONEST: u32 = 60;
const THREATS: u32 = 30;

/// What the images of so many containers weigh, if each hides this family, or none of them anything.
fn weights(seed: u64, containers: u32, hidden: Option<ThreatFamily>) -> Vec<Weights> {
    let mut options = PortOptions::for_terminal("T1").unwrap();
    options.threat_permille = [0; 6];
    options.swapped_permille = 0;
    if let Some(family) = hidden {
        options.threat_permille[family.index()] = 1_000;
    }
    let sensors = Sensors::new(seed);
    let plan = PortPlan::new(seed, containers, options);
    let weigh = |visit| {
        let mut interpreter = RadiographyInterpreter::new();
        for sample in 1..=sensors.pass_samples(visit) {
            sensors
                .radiography(visit, SampleNo(sample))
                .iter()
                .for_each(|strip| _ = interpreter.push_strip(strip));
        }
        interpreter.finish();
        interpreter.interpret(&visit.announcement.manifest).weights
    };
    plan.visits().iter().map(weigh).collect()
}

fn honest() -> &'static [Weights] {
    static HONEST_WEIGHTS: OnceLock<Vec<Weights>> = OnceLock::new();
    HONEST_WEIGHTS.get_or_init(|| weights(5_001, HONEST, None))
}

/// Share of threats above the weight that one in twenty honest containers exceeds, and which speaks for the family.
fn found(family: ThreatFamily, seed: u64) -> f64 {
    let mut without: Vec<i32> = honest().iter().map(|weights| weights.of(family)).collect();
    without.sort_unstable_by(|a, b| b.cmp(a));
    let alarm = without[without.len() / FALSE_ALARMS_ONE_IN].max(0);
    let with = weights(seed, THREATS, Some(family));
    let found = with.iter().filter(|weights| weights.of(family) > alarm).count();
    let mean_ratio = without
        .iter()
        .map(|weight| 10_f64.powf(f64::from(*weight) / 10_000.0))
        .sum::<f64>()
        / without.len() as f64;
    eprintln!(
        "{family}: {found} of {THREATS} above {alarm}; honest: mean ratio {mean_ratio:.2}, highest {:?}",
        &without[..6]
    );
    // If the weights are right, likelihood ratios are 1 on average without a threat.
    assert!(mean_ratio < 1.5, "{family}: {mean_ratio}");
    found as f64 / f64::from(THREATS)
}

#[test]
fn people_are_found_in_free_space_and_among_goods() {
    let share = found(ThreatFamily::People, 5_002);
    assert!(share >= 0.7, "{share}");
}

#[test]
fn arms_are_found_in_goods_of_all_kinds() {
    let share = found(ThreatFamily::Weapons, 5_003);
    assert!(share >= 0.6, "{share}");
}
