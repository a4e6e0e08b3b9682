use super::*;
use crate::evidence::{ReadingRange, Step, Weights};
use crate::id::{Digest, SampleNo};
use crate::policy::ShareReference;

const AT: Timestamp = Timestamp(1_767_225_600_000);
const LIMIT: u32 = 14_000_000;

/// Integers that look normal, with mean 0 and deviation 1,000: the sum of twelve even ones (Irwin and Hall).
struct Noise(u64);

impl Noise {
    fn even(&mut self, below: u64) -> u64 {
        // SplitMix64.
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut bits = self.0;
        bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (bits ^ (bits >> 31)) % below
    }

    fn normal(&mut self) -> i32 {
        let sum: u64 = (0..12).map(|_| self.even(1_001)).sum();
        i32::try_from(sum).unwrap() - 6_000
    }
}

fn watch() -> Watch {
    Watch {
        shift_permille: 250,
        limit: LIMIT,
        weights: [Modality::Manifest, Modality::Radiation]
            .map(|modality| WeightReference {
                modality,
                low: -6_000,
                high: 0,
                mean: -3_000,
                deviation: 1_000,
                // Of a normal distribution: half the square of the shift.
                rise_toll: 31_250,
                fall_toll: 31_250,
            })
            .to_vec(),
        // ln 1.5 and ln (0.97 / 0.98).
        shares: vec![ShareReference {
            share: Share::Examined,
            ppm: 20_000,
            hit: 405_465,
            toll: 10_257,
        }],
        device_tier: Tier::Review,
        port_tier: Tier::Review,
    }
}

fn evidence(device: Option<&str>, sum: i32, ability: Ability) -> Evidence {
    Evidence {
        modality: match device {
            Some(_) => Modality::Radiation,
            None => Modality::Manifest,
        },
        readings: device.map(|device| ReadingRange {
            device: DeviceId::new(device).unwrap(),
            boot: 1,
            first: 1,
            last: 9,
        }),
        digest: Digest([0; 32]),
        interpreter: "test/1".to_owned(),
        captured_at: AT,
        findings: Vec::new(),
        steps: vec![
            Step {
                sample: SampleNo(1),
                ability: Ability::Clear,
                weights: Weights([sum + 500, 0, 0, 0, 0, -500]),
            },
            Step {
                sample: SampleNo(9),
                ability,
                weights: Weights([60_000; 6]),
            },
        ],
    }
}

fn verdict(tier: Tier) -> Verdict {
    Verdict {
        tier,
        scores: Weights::ZERO,
        at_sample: SampleNo(1),
        stopped: false,
        reasons: match tier {
            Tier::Exam => vec![Reason::PassesExhausted { passes: 8 }],
            _ => vec![Reason::NothingAgainst],
        },
    }
}

fn observe(charts: &mut Charts, evidence: &[&Evidence], verdict: &Verdict) -> Vec<Alarm> {
    let observed = Observed {
        inspection: InspectionNo(7),
        lane: Some(LaneId(3)),
        at: AT,
        evidence,
        verdict,
    };
    charts.observe(&watch(), &observed)
}

/// The first alarm of a device whose mean lies so many thousandths of a deviation from the learned one.
fn alarm_of(shift: i32, containers: u64, seed: u64) -> Option<Alarm> {
    let mut noise = Noise(seed);
    let mut charts = Charts::default();
    (0..containers).find_map(|_| {
        let one = evidence(Some("portal"), -3_000 + shift + noise.normal(), Ability::Clear);
        observe(&mut charts, &[&one], &verdict(Tier::Release)).pop()
    })
}

#[test]
fn a_steady_device_does_not_alarm_in_20_000_containers() {
    for seed in 0..5 {
        assert_eq!(alarm_of(0, 20_000, seed), None);
    }
}

#[test]
fn a_device_that_shifts_alarms_by_its_direction_and_the_sooner_the_more_it_shifts() {
    // Step on average: 0.25 x shift - 0.03125 nats; limit 14 nats: after 14 / 0.21875 = 64 for one deviation.
    for seed in 0..20 {
        for (shift, least, most, trend) in [
            (1_000, 35, 130, Trend::Rises),
            (-1_000, 35, 130, Trend::Falls),
            (500, 80, 400, Trend::Rises),
            (-250, 150, 2_000, Trend::Falls),
        ] {
            let alarm = alarm_of(shift, most, seed).unwrap();
            assert!((least..=most).contains(&alarm.after), "{shift}: {alarm:?}");
            assert_eq!(alarm.trend, trend);
            assert!(alarm.run <= alarm.after && alarm.since == AT);
            assert_eq!(
                (alarm.lane, alarm.modality),
                (Some(LaneId(3)), Some(Modality::Radiation))
            );
        }
    }
}

#[test]
fn the_run_tells_where_the_change_began() {
    let mut noise = Noise(1);
    let mut charts = Charts::default();
    let mut count = 0;
    let alarm = loop {
        count += 1;
        let shift = if count > 5_000 { -1_500 } else { 0 };
        let one = evidence(Some("portal"), -3_000 + shift + noise.normal(), Ability::Clear);
        if let Some(alarm) = observe(&mut charts, &[&one], &verdict(Tier::Release)).pop() {
            break alarm;
        }
    };
    let began = alarm.after - alarm.run;
    assert!(began.abs_diff(5_000) < 60, "{alarm:?}");
}

#[test]
fn what_lies_beyond_the_bounds_counts_as_the_bound() {
    let mut charts = Charts::default();
    let one = evidence(Some("portal"), 70_000, Ability::Clear);
    observe(&mut charts, &[&one], &verdict(Tier::Release));
    let chart = charts.get(&"device:portal".parse().unwrap()).unwrap();
    // Three deviations of 0.25 each, less the toll.
    assert_eq!(chart.rises.nats, 750_000 - 31_250);
    assert_eq!((chart.falls.nats, chart.falls.run), (0, 0));
}

#[test]
fn only_what_had_spoken_and_could_see_is_weighed() {
    let mut late = evidence(Some("portal"), 0, Ability::Clear);
    late.steps.remove(0);
    assert_eq!(weight(&late, &verdict(Tier::Release)), None);
    let mut shielded = evidence(Some("portal"), 0, Ability::Clear);
    shielded.steps[0].ability = Ability::Shielded;
    assert_eq!(weight(&shielded, &verdict(Tier::Release)), None);
    let one = evidence(Some("portal"), -42, Ability::Shielded);
    assert_eq!(weight(&one, &verdict(Tier::Release)), Some(-42));
}

#[test]
fn twice_as_many_exams_are_noticed_and_those_that_drift_itself_caused_are_none() {
    let key = ChartKey::Share(Share::Examined);
    let mut charts = Charts::default();
    let alarm = (0..5_000_u64).find_map(|number| {
        let tier = if number % 25 == 0 { Tier::Exam } else { Tier::Release };
        observe(&mut charts, &[], &verdict(tier)).pop()
    });
    let alarm = alarm.unwrap();
    assert_eq!((&alarm.chart, alarm.trend), (&key, Trend::Rises));
    // Step on average: 0.04 x 0.405 - 0.96 x 0.0103 = 0.0064 nats, so 2,190.
    assert!((1_500..3_000).contains(&alarm.after), "{alarm:?}");

    let mut fallen_back = verdict(Tier::Exam);
    fallen_back.reasons = vec![Reason::Drifting {
        chart: key,
        tier: Tier::Exam,
    }];
    assert!(Share::ALL.iter().all(|share| !share.counts(&[], &fallen_back)));

    // Nor is what a device brings about that is adrift itself.
    let mut charts = Charts::default();
    let mut misled = verdict(Tier::Exam);
    misled.reasons.push(Reason::Drifting {
        chart: "device:portal".parse().unwrap(),
        tier: Tier::Review,
    });
    observe(&mut charts, &[], &misled);
    assert_eq!(charts.iter().count(), 0);
    observe(&mut charts, &[], &verdict(Tier::Exam));
    assert_eq!(charts.iter().count(), 1);
}

#[test]
fn hiding_is_what_could_not_be_seen_while_the_rest_speaks_for_a_threat() {
    let mut unseen = verdict(Tier::Review);
    unseen.reasons = vec![Reason::NotSeen {
        modality: Modality::Radiography,
        ability: Ability::Shielded,
        tier: Tier::Review,
    }];
    let weighing = |first: i32, second: i32| {
        let mut one = evidence(None, 0, Ability::Clear);
        one.steps[0].weights = Weights([first, second, -9_000, -9_000, -9_000, -9_000]);
        one
    };
    let counts = |evidence: &[&Evidence], verdict: &Verdict| Share::Hiding.counts(evidence, verdict);
    let (manifest, device) = (
        weighing(4_000, -6_000),
        evidence(Some("portal"), -3_000, Ability::Clear),
    );
    // 4,000 - 3,000 + 500 for the first family.
    assert!(counts(&[&manifest, &device], &unseen));
    assert!(
        !counts(&[&weighing(2_500, 0), &device], &unseen),
        "2,500 - 2,500 is nothing"
    );
    assert!(!counts(&[&manifest, &device], &verdict(Tier::Exam)), "all was seen");
    assert!(!counts(&[], &unseen));
    let mut blind = weighing(4_000, 4_000);
    blind.steps[0].ability = Ability::Shielded;
    assert!(!counts(&[&blind], &unseen), "what could not see weighs nothing");
    unseen.stopped = true;
    assert!(!counts(&[&manifest, &device], &unseen), "enough was known without it");
}

#[test]
fn an_alarm_stands_until_it_is_reset_and_its_chart_rests_meanwhile() {
    let mut charts = Charts::default();
    let manifest = evidence(None, 0, Ability::Clear);
    let alarm = loop {
        if let Some(alarm) = observe(&mut charts, &[&manifest], &verdict(Tier::Release)).pop() {
            break alarm;
        }
    };
    assert_eq!(alarm.chart, ChartKey::Declarations);
    charts.stand(alarm.clone(), EntryNo(9), AT);
    assert_eq!(charts.adrift(), [ChartKey::Declarations]);
    let seen = charts.get(&ChartKey::Declarations).unwrap().seen;
    assert_eq!(observe(&mut charts, &[&manifest], &verdict(Tier::Release)), []);
    assert_eq!(charts.get(&ChartKey::Declarations).unwrap().seen, seen);
    charts.reset(&ChartKey::Declarations);
    assert_eq!((charts.adrift(), charts.get(&ChartKey::Declarations)), (vec![], None));
}

#[test]
fn a_chart_reads_back_from_its_words() {
    for key in [
        ChartKey::Device(DeviceId::new("l1:radiation").unwrap()),
        ChartKey::Declarations,
        ChartKey::Share(Share::Unseen),
    ] {
        assert_eq!(key.to_string().parse(), Ok(key));
    }
    for bad in ["", "portal", "device:", "share:none", "device:a b"] {
        assert!(bad.parse::<ChartKey>().is_err(), "{bad:?}");
    }
}
