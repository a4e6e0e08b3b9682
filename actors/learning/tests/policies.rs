//! Policies learned in the worlds that come with the system, and how good they are there.

#![allow(clippy::unwrap_used, reason = "a test that cannot learn fails")]

use std::path::Path;
use std::sync::OnceLock;

use portcullis_domain::evidence::{Modality, ThreatFamily};
use portcullis_domain::policy::{Policy, Share, Tier};
use portcullis_learning::evaluate::{FusionInput, FusionReport, fusion};
use portcullis_learning::policy::{Labelled, LearnError, LearnOptions, Learned, learn, learn_in};
use portcullis_learning::world::{Stratified, World};

fn world(name: &str) -> World {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../cluster-config/worlds");
    World::load(&folder.join(format!("{name}.toml"))).unwrap()
}

fn quiet(_: u64, _: u64) {}

fn evaluated(world: &World, learned: &Learned, containers: u64) -> FusionReport {
    let input = FusionInput {
        claims: Some(&learned.claims),
        ..FusionInput::new(world, &learned.policy, containers, 2)
    };
    fusion(&input, &quiet)
}

fn learned(world: &World, containers: u64) -> Learned {
    learn_in(world, containers, &LearnOptions::default(), &quiet).unwrap()
}

/// Learned once, for the tests that ask different things about it.
fn calm() -> &'static (Learned, FusionReport) {
    static CALM: OnceLock<(Learned, FusionReport)> = OnceLock::new();
    CALM.get_or_init(|| {
        let learned = learned(&world("calm"), 100_000);
        let report = evaluated(&world("calm"), &learned, 100_000);
        (learned, report)
    })
}

#[test]
fn in_calm_few_threats_are_missed_within_the_budgets() {
    let (learned, report) = calm();
    let measure = &report.measure;
    assert!(measure.missed.value <= 0.035, "{report:#?}");
    // A third of the samples sets the thresholds: 16,000 innocent containers know a tenth to 0.25 points.
    assert!(measure.needless_review.value <= 0.105, "{report:#?}");
    assert!(measure.needless_exam.value <= 0.023, "{report:#?}");
    assert!(measure.missed.value >= report.bayes_limit_missed.low, "{report:#?}");
    assert!((0.025..0.033).contains(&report.bayes_limit_missed.value), "{report:#?}");
    assert!(
        measure.lane_minutes.mean < 5.0 && measure.stopped_early.value > 0.3,
        "{report:#?}"
    );
    assert!(measure.ece < 0.01, "{report:#?}");
    assert!(learned.report.families.values().all(|family| family.guarantee.enough));
}

#[test]
fn what_a_policy_claims_is_what_it_does() {
    let (_, report) = calm();
    let measure = &report.measure;
    let needless = measure.needless_review.value + measure.needless_exam.value;
    assert!(
        (measure.claimed_missed.value - measure.missed.value).abs() <= 0.005,
        "{report:#?}"
    );
    assert!(
        (measure.claimed_needless.value - needless).abs() <= 0.005,
        "{report:#?}"
    );
}

#[test]
fn families_that_sensors_do_not_tell_apart_need_the_same_evidence() {
    let (learned, _) = calm();
    let distances: Vec<i32> = learned
        .policy
        .families
        .iter()
        .map(|rule| rule.review - rule.prior)
        .collect();
    let (least, most) = (distances.iter().min().unwrap(), distances.iter().max().unwrap());
    assert!(most - least < 100, "{distances:?}");
}

#[test]
fn a_container_that_could_not_be_seen_is_never_released() {
    let (learned, report) = calm();
    let required = &learned.policy.required;
    assert!(
        required
            .iter()
            .any(|one| one.modality == Modality::Radiography && one.otherwise > Tier::Release)
    );
    assert!((0.007..0.013).contains(&report.measure.unseen.value), "{report:#?}");
    // They are a part of the needless reviews, and not beside them.
    assert!(report.measure.needless_review.value > report.measure.unseen.value);
}

#[test]
fn the_naive_sum_claims_5_percent_and_is_9_9_where_sensors_share_errors() {
    let correlated = world("correlated");
    let options = LearnOptions {
        needless_review: 0.04,
        needless_exam: 0.01,
        ..LearnOptions::default()
    };
    let learned = learn_in(&correlated, 60_000, &options, &quiet).unwrap();
    let input = FusionInput {
        claims: Some(&learned.claims),
        needless_review: 0.04,
        needless_exam: 0.01,
        ..FusionInput::new(&correlated, &learned.policy, 60_000, 2)
    };
    let report = fusion(&input, &quiet);
    let naive = &report.naive;
    let needless = naive.needless_review.value + naive.needless_exam.value;
    assert!((naive.claimed_needless.value - 0.05).abs() < 0.005, "{report:#?}");
    assert!((needless - 0.099).abs() < 0.006, "{report:#?}");
    // The learned policy knows better.
    let measure = &report.measure;
    let needless = measure.needless_review.value + measure.needless_exam.value;
    assert!(
        (measure.claimed_needless.value - needless).abs() <= 0.006,
        "{report:#?}"
    );
    assert!((needless - 0.05).abs() < 0.006, "{report:#?}");
}

#[test]
fn the_same_seed_gives_the_same_policy_and_the_same_report() {
    let rush = world("rush");
    let (first, second) = (learned(&rush, 9_000), learned(&rush, 9_000));
    assert_eq!(first.policy, second.policy);
    assert_eq!(evaluated(&rush, &first, 6_000), evaluated(&rush, &second, 6_000));
    let options = LearnOptions {
        seed: 5,
        ..LearnOptions::default()
    };
    let other = learn_in(&rush, 9_000, &options, &quiet).unwrap();
    assert_ne!(first.policy.digest(), other.policy.digest());
}

#[test]
fn drift_is_noticed_where_there_is_drift_and_nowhere_else() {
    let policy = &calm().0;
    let report = evaluated(&world("drifting"), policy, 20_000);
    let alarm = report.drift.alarm_after.unwrap();
    eprintln!("{:?}", report.drift);
    assert!((100..3_000).contains(&alarm), "{:?}", report.drift);
    assert_eq!(report.drift.alarm_by.as_deref(), Some("radiography falls"));
    assert_eq!(report.drift.false_alarms, 0);
    // Stated is one false alarm in 100,000 containers at most: here are 100,000, and 5 come once in 270 times then.
    let calm = world("calm");
    let counts = (0..5).map(|seed| {
        let drift = fusion(&FusionInput::new(&calm, &policy.policy, 20_000, 10 + seed), &quiet).drift;
        assert_eq!((drift.watched, drift.false_alarm_every), (20_000, 100_000));
        drift.false_alarms
    });
    assert!(counts.sum::<u64>() < 5);
}

#[test]
fn what_a_policy_expects_is_what_the_world_is_like() {
    let watch = calm().0.policy.watch.as_ref().unwrap();
    // A score is normal and its weight linear in it, so the sum over six families has mean -6 d'^2 / 2 and deviation 6 d' nats
    // without a threat, at 4,343 milli-decibans each; 2.6 % of the containers are threats and move both a little.
    for (modality, d_prime) in [
        (Modality::Manifest, 1.1),
        (Modality::Radiography, 2.84),
        (Modality::Weighbridge, 1.0),
    ] {
        let found = watch.weight(modality).unwrap();
        let (mean, deviation) = (-13_029.0 * d_prime * d_prime, 26_058.0 * d_prime);
        assert!((f64::from(found.mean) - mean).abs() < 0.1 * deviation, "{found:?}");
        assert!(
            (f64::from(found.deviation) - deviation).abs() < 0.08 * deviation,
            "{found:?}"
        );
        // Of a normal distribution it would be 0.25^2 / 2 = 0.03125 nats.
        for toll in [found.rise_toll, found.fall_toll] {
            assert!((31_250..42_000).contains(&toll), "{found:?}");
        }
    }
    let unseen = watch.shares.iter().find(|one| one.share == Share::Unseen).unwrap();
    assert!((9_000..13_000).contains(&unseen.ppm), "{unseen:?}");
    // Of one in a hundred that cannot be seen, the other sensors (joint d' 1.75) speak for a threat in a fifth: Phi(-1.75 / 2).
    let hiding = watch.shares.iter().find(|one| one.share == Share::Hiding).unwrap();
    assert!((1_700..3_200).contains(&hiding.ppm), "{hiding:?}");
    // Two charts for each of four sensors, and four shares.
    assert_eq!(watch.limit, 13_997_833, "ln (12 x 100,000)");
    assert_eq!((watch.device_tier, watch.port_tier), (Tier::Review, Tier::Review));
}

#[test]
fn threats_that_begin_to_shield_themselves_are_noticed_and_none_is_released_for_it() {
    let (learned, calm) = calm();
    let adversary = world("adversary");
    // A fifth of 2.6 % of the containers.
    for seed in 0..6 {
        let input = FusionInput::new(&adversary, &learned.policy, 20_000, 20 + seed);
        let report = fusion(&input, &quiet);
        eprintln!("{:?}", report.drift);
        assert!(report.drift.alarm_after.is_some(), "{:?}", report.drift);
        assert!(report.measure.missed.value <= calm.measure.missed.high, "{report:#?}");
    }
}

#[test]
fn another_port_than_the_one_learned_in_is_noticed_by_what_changed() {
    let (learned, _) = calm();
    let home = world("calm");
    let alarm = |world: &World| {
        let input = FusionInput {
            calibrated_in: Some(&home),
            ..FusionInput::new(world, &learned.policy, 10_000, 2)
        };
        fusion(&input, &quiet).drift
    };
    // Ten times as many containers that cannot be seen, twice as many threats.
    let unseen = alarm(&world("hidden"));
    assert_eq!(unseen.alarm_by.as_deref(), Some("unseen rises"));
    let mut dangerous = world("calm");
    for share in &mut dangerous.threat_share {
        *share *= 2.0;
    }
    let base_rate = alarm(&dangerous);
    assert_eq!(base_rate.alarm_by.as_deref(), Some("examined rises"));
    for found in [unseen, base_rate] {
        assert!(
            found.alarm_after.unwrap() < 6_000 && found.false_alarms == 0,
            "{found:?}"
        );
    }
}

#[test]
fn a_report_has_the_keys_that_its_readers_know() {
    let json = serde_json::to_value(&calm().1).unwrap();
    for key in [
        "missed",
        "needless_review",
        "needless_exam",
        "claimed_missed",
        "claimed_needless",
        "bayes_limit_missed",
        "stopped_early",
        "ppv",
        "unseen",
        "auc",
    ] {
        for part in ["value", "low", "high"] {
            assert!(json[key][part].is_number(), "{key}.{part}");
        }
    }
    assert!(json["ece"].is_number());
    assert!(json["lane_minutes"]["mean"].is_number() && json["lane_minutes"]["p95"].is_number());
    assert!(json["naive"]["claimed_missed"]["value"].is_number());
    assert!(json["by_family"]["narcotics"]["missed"]["value"].is_number());
    assert!(json["founding"].is_array() && json["drift"]["false_alarm_every"].is_number());
}

#[test]
fn a_policy_without_claims_is_asked_for_those_of_its_table() {
    let (learned, _) = calm();
    let calm = world("calm");
    let measure = fusion(&FusionInput::new(&calm, &learned.policy, 30_000, 3), &quiet).measure;
    assert!(
        (measure.claimed_missed.value - measure.missed.value).abs() < 0.01,
        "{measure:#?}"
    );
}

fn labelled(world: &World, containers: u64) -> Vec<Labelled> {
    Stratified::new(world, containers, 24.0, 1)
        .iter()
        .map(|drawn| Labelled {
            manifest: portcullis_domain::manifest::Manifest::default(),
            evidence: drawn.container.evidence(world),
            content: drawn.container.content,
            weight: drawn.weight,
            at: drawn.container.at(),
        })
        .collect()
}

#[test]
fn too_few_labelled_outcomes_are_refused_and_few_positives_guarantee_nothing() {
    let calm = world("calm");
    let options = LearnOptions::default();
    let error = learn(&labelled(&calm, 200), &options, &quiet).unwrap_err();
    assert!(matches!(error, LearnError::TooFew { .. }), "{error}");
    // Narcotics only: nothing can be said about the others.
    let mut samples = labelled(&calm, 6_000);
    samples.retain(|one| one.content.is_none_or(|family| family == ThreatFamily::Narcotics));
    let learned = learn(&samples, &options, &quiet).unwrap();
    let nuclear = &learned.report.families["nuclear"].guarantee;
    assert!(!nuclear.enough && !nuclear.holds && nuclear.positives == 0);
    assert_eq!(learned.policy.check(), Ok(()));
}

#[test]
fn a_guarantee_that_comes_first_is_kept_and_costs_reviews() {
    let hidden = world("hidden");
    let budget_first = learned(&hidden, 30_000);
    assert!(
        budget_first
            .report
            .families
            .values()
            .all(|family| !family.guarantee.holds)
    );
    let options = LearnOptions {
        guarantee_first: true,
        ..LearnOptions::default()
    };
    let learned = learn_in(&hidden, 30_000, &options, &quiet).unwrap();
    assert!(learned.report.families.values().all(|family| family.guarantee.holds));
    let measure = evaluated(&hidden, &learned, 20_000).measure;
    assert!(measure.missed.low <= 0.05, "{measure:#?}");
    assert!((0.12..0.30).contains(&measure.needless_review.value), "{measure:#?}");
    assert!(measure.claimed_missed.agrees_with(&measure.missed), "{measure:#?}");
}

#[test]
fn bad_options_and_samples_are_refused_by_name() {
    let samples = labelled(&world("calm"), 3_000);
    let refused =
        |options: &LearnOptions, samples: &[Labelled]| learn(samples, options, &quiet).unwrap_err().to_string();
    let default = LearnOptions::default;
    assert!(
        refused(
            &LearnOptions {
                alpha: 0.0,
                ..default()
            },
            &samples
        )
        .contains("alpha")
    );
    assert!(
        refused(
            &LearnOptions {
                needless_exam: 1.2,
                ..default()
            },
            &samples
        )
        .contains("needless")
    );
    let never = LearnOptions {
        false_alarm_every: f64::INFINITY,
        ..default()
    };
    assert!(refused(&never, &samples).contains("false_alarm_every"));
    let mut wrong = samples.clone();
    wrong[7].weight = f64::NAN;
    assert!(refused(&default(), &wrong).contains("sample 7"));
    wrong.clone_from(&samples);
    wrong[9].evidence[0].steps.clear();
    assert!(refused(&default(), &wrong).contains("sample 9"));
    let mut base = Policy::first();
    base.passes_max = 0;
    assert!(refused(&LearnOptions { base, ..default() }, &samples).contains("passes_max"));
}

/// `cargo test -p portcullis-learning --test policies -- --ignored --nocapture`
#[test]
#[ignore = "a measurement of a minute: false alarms in a million containers of a world that does not change"]
fn false_alarms_of_a_million_containers() {
    let (learned, _) = calm();
    let world = world("calm");
    eprintln!("{:#?}", learned.policy.watch);
    let mut count = 0;
    for seed in 0..50 {
        let drift = fusion(&FusionInput::new(&world, &learned.policy, 20_000, 100 + seed), &quiet).drift;
        if drift.alarm_after.is_some() {
            eprintln!("seed {seed}: {drift:?}");
        }
        count += drift.false_alarms;
    }
    eprintln!("{count} false alarms in 1,000,000 containers");
    // At most one in 100,000 is stated, so at most 10; a Poisson count of 10 is above 20 once in 600 runs.
    assert!(count <= 20, "{count}");
}
