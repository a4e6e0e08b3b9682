use portcullis_domain::manifest::GoodsItem;
use portcullis_domain::reading::MagneticSensor;
use proptest::prelude::*;

use super::*;
use crate::test_noise::Noise;

const EARTH: [f64; 3] = [18e6, 2e6, -44e6];
const LENGTH: f64 = 12.192;
const NOISE_PT: f64 = 200.0;

/// A dipole: place in the container, metres, and moment, A m2.
type Source = ([f64; 3], [f64; 3]);

/// The magnitude of the whole field vector at a sensor, dipoles added to the field of the Earth: no Anderson functions.
fn field(sensor: [f64; 3], front: f64, sources: &[Source]) -> f64 {
    let mut total = EARTH;
    for (place, moment) in sources {
        let r = [
            sensor[0] - (front - place[0]),
            sensor[1] - place[1],
            sensor[2] - place[2],
        ];
        let square: f64 = r.iter().map(|part| part * part).sum();
        let distance = square.sqrt();
        let along: f64 = r.iter().zip(moment).map(|(r, m)| r * m).sum();
        for axis in 0..3 {
            total[axis] += 1e5 * (3.0 * r[axis] * along / square - moment[axis]) / (square * distance);
        }
    }
    total.iter().map(|part| part * part).sum::<f64>().sqrt()
}

/// Iron of the vehicle, moments as the seed has it.
fn vehicle(noise: &mut Noise) -> Vec<Source> {
    let mut moment = |size: f64| {
        [
            size * (0.4 + 0.2 * noise.normal()),
            size * 0.1 * noise.normal(),
            size * (-0.9 + 0.2 * noise.normal()),
        ]
    };
    let mut sources = vec![
        ([-3.0, 0.0, 1.0], moment(300.0)),
        ([-1.5, 0.0, 1.0], moment(100.0)),
        ([0.0, 0.0, 2.5], moment(40.0)),
        ([LENGTH, 0.0, 2.5], moment(40.0)),
    ];
    let floor = moment(150.0);
    sources.extend((0..48).map(|part| {
        let behind = LENGTH * (f64::from(part) + 0.5) / 48.0;
        ([behind, 0.0, 1.0], floor.map(|part| part / 48.0))
    }));
    sources
}

/// Eight sensors, four on each side of the lane, 150 samples.
fn profile(load: &[Source], seed: u64) -> MagneticProfile {
    let mut noise = Noise(seed);
    let mut sources = vehicle(&mut noise);
    sources.extend_from_slice(load);
    let positions: Vec<f64> = (0..150).map(|number| -2.0 + 0.11 * f64::from(number)).collect();
    let drift: Vec<f64> = positions
        .iter()
        .map(|position| 3_000.0 * (0.7 * position).sin() + 20_000.0 * noise.normal())
        .collect();
    let mut sensors = Vec::new();
    for y in [-2.2, 2.2] {
        for z in [1.0, 2.0, 3.0, 4.0] {
            let offset = 50_000.0 * noise.normal();
            let field_pt = positions
                .iter()
                .zip(&drift)
                .map(|(front, drift)| {
                    (field([0.0, y, z], *front, &sources) + offset + drift + NOISE_PT * noise.normal()) as i64
                })
                .collect();
            sensors.push(MagneticSensor {
                x_mm: 0,
                y_mm: (y * 1_000.0) as i32,
                z_mm: (z * 1_000.0) as i32,
                noise_pt: NOISE_PT as u32,
                field_pt,
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

fn declared(code: &str) -> Manifest {
    Manifest {
        goods: vec![GoodsItem {
            commodity_code: code.to_owned(),
            ..GoodsItem::default()
        }],
        ..Manifest::default()
    }
}

fn weapons(result: &Interpretation) -> i32 {
    result.weights.of(ThreatFamily::Weapons)
}

fn undeclared(result: &Interpretation) -> i32 {
    result.weights.of(ThreatFamily::Undeclared)
}

fn count(result: &Interpretation, code: FindingCode) -> usize {
    result.findings.iter().filter(|finding| finding.code == code).count()
}

/// A crate of arms: 30 A m2.
const CRATE: Source = ([5.3, 0.4, 1.9], [10.0, 0.0, -28.3]);

#[test]
fn place_and_moment_of_a_dipole_are_recovered() {
    for (number, source) in [
        CRATE,
        ([8.1, -0.7, 2.4], [-20.0, 20.0, 10.0]),
        ([3.2, 0.1, 3.2], [0.0, 100.0, 0.0]),
        ([9.0, -0.2, 1.6], [0.0, 0.0, -50.0]),
    ]
    .into_iter()
    .enumerate()
    {
        for seed in 0..3 {
            let gradient = Gradient::new(&profile(&[source], seed)).unwrap();
            let (found, _) = dipole::find(&gradient, &dipole::candidates(&gradient));
            let first = found.first().expect("a dipole");
            let wanted = source.1.iter().map(|part| part * part).sum::<f64>().sqrt();
            let off: f64 = first.place.iter().zip(source.0).map(|(a, b)| (a - b).powi(2)).sum();
            assert!((first.size() / wanted - 1.0).abs() < 0.2, "{number} {seed}: {found:?}");
            assert!(off.sqrt() < 0.3, "{number} {seed}: {found:?}");
        }
    }
}

#[test]
fn an_ordinary_container_shows_no_dipole_and_speaks_a_little_against_threats() {
    for seed in 0..10 {
        let result = interpret(&profile(&[], seed), &declared("080390"));
        assert_eq!(count(&result, FindingCode::MagneticDipole), 0, "{seed}: {result:?}");
        assert_eq!(result.ability, Ability::Clear, "{result:?}");
        assert!((-6_000..-1_000).contains(&weapons(&result)), "{result:?}");
        assert!((-3_000..-300).contains(&undeclared(&result)), "{result:?}");
    }
}

#[test]
fn bananas_do_not_explain_a_dipole_and_machines_do() {
    let found = profile(&[CRATE], 1);
    let bananas = interpret(&found, &declared("080390"));
    assert!(weapons(&bananas) > 5_000 && undeclared(&bananas) > 2_000, "{bananas:?}");
    assert!(count(&bananas, FindingCode::MagneticDipole) >= 1, "{bananas:?}");
    let furniture = interpret(&found, &declared("940360"));
    assert!(weapons(&furniture) < weapons(&bananas) - 3_000, "{furniture:?}");
    let machines = interpret(&found, &declared("842951"));
    assert_eq!(machines.weights, Weights::ZERO);
    assert_eq!(count(&machines, FindingCode::MagneticDipole), 0);
    assert!(count(&machines, FindingCode::MagneticExplained) >= 1);
}

#[test]
fn a_container_declared_empty_that_holds_iron_stands_out() {
    let empty = Manifest {
        empty: true,
        ..Manifest::default()
    };
    let load = [CRATE, ([9.5, 0.0, 1.7], [30.0, 0.0, -80.0])];
    let result = interpret(&profile(&load, 4), &empty);
    assert!(undeclared(&result) > 3_000, "{result:?}");
    assert_eq!(count(&result, FindingCode::MagneticDipole), 2, "{result:?}");
    assert!(undeclared(&interpret(&profile(&[], 4), &empty)) < 0);
}

#[test]
fn goods_of_iron_explain_everything_whichever_item_they_are() {
    let mixed = Manifest {
        goods: vec![declared("080390").goods.remove(0), declared("730890").goods.remove(0)],
        ..Manifest::default()
    };
    assert_eq!(goods::explained(&mixed), Explains::Everything);
    for (code, wanted) in [
        ("080390", Explains::Nothing),
        ("440711", Explains::Nothing),
        ("610910", Explains::Nothing),
        ("950300", Explains::Some),
        ("", Explains::Some),
        ("9", Explains::Some),
        ("äö", Explains::Some),
        ("870323", Explains::Everything),
        ("930190", Explains::Everything),
    ] {
        assert_eq!(goods::explained(&declared(code)), wanted, "{code}");
    }
    assert_eq!(goods::explained(&Manifest::default()), Explains::Some);
}

#[test]
fn a_spark_in_one_sensor_is_no_dipole() {
    let mut reading = profile(&[], 2);
    for (number, value) in reading.sensors[3].field_pt.iter_mut().enumerate() {
        if (70..74).contains(&number) {
            *value += 40_000;
        }
    }
    let result = interpret(&reading, &declared("080390"));
    assert_eq!(count(&result, FindingCode::MagneticDipole), 0, "{result:?}");
    assert!(weapons(&result) < 5_000, "{result:?}");
}

#[test]
fn noisy_sensors_and_half_a_pass_claim_less_or_nothing() {
    let mut noisy = profile(&[], 1);
    let mut noise = Noise(9);
    for sensor in &mut noisy.sensors {
        sensor.noise_pt = 3_000_000;
        for value in &mut sensor.field_pt {
            *value += (3e6 * noise.normal()) as i64;
        }
    }
    let blind = interpret(&noisy, &declared("080390"));
    assert_eq!(
        (blind.ability, blind.weights),
        (Ability::Shielded, Weights::ZERO),
        "{blind:?}"
    );
    assert_eq!(count(&blind, FindingCode::MagneticBlind), 1);

    let cut = |to: usize| {
        let mut reading = profile(&[], 1);
        reading.positions_mm.truncate(to);
        for sensor in &mut reading.sensors {
            sensor.field_pt.truncate(to);
        }
        interpret(&reading, &declared("080390"))
    };
    assert_eq!(cut(60).ability, Ability::Shielded);
    assert_eq!(cut(60).weights, Weights::ZERO);
    assert_eq!(cut(110).ability, Ability::Degraded);
    assert_eq!(count(&cut(110), FindingCode::MagneticIncomplete), 1);
}

#[test]
fn a_profile_that_cannot_be_is_refused_with_its_field() {
    type Spoil = fn(&mut MagneticProfile);
    let spoils: [(&str, Spoil); 8] = [
        ("box_length_mm", |profile| profile.box_length_mm = 0),
        ("box_length_mm", |profile| profile.box_length_mm = u32::MAX),
        ("earth_pt", |profile| profile.earth_pt = [0; 3]),
        ("sensors", |profile| profile.sensors.clear()),
        ("sensors", |profile| profile.sensors[2].field_pt.truncate(5)),
        ("positions_mm", |profile| profile.positions_mm[4] = i32::MAX),
        ("positions_mm", |profile| profile.positions_mm.fill(i32::MIN)),
        ("field_pt", |profile| profile.sensors[1].field_pt[60] = i64::MIN),
    ];
    for (field, spoil) in spoils {
        let mut reading = profile(&[], 1);
        spoil(&mut reading);
        let result = interpret(&reading, &declared("080390"));
        assert_eq!(result.findings[0].code, FindingCode::MagneticUnusable, "{field}");
        assert_eq!(result.findings[0].field, field);
        assert_eq!((result.ability, result.weights), (Ability::Shielded, Weights::ZERO));
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(60))]

    #[test]
    fn arbitrary_profiles_never_panic_and_unusable_ones_weigh_nothing(
        earth_pt in prop_oneof![any::<[i32; 3]>(), Just([18_000_000, 0, -44_000_000])],
        box_length_mm in prop_oneof![any::<u32>(), 1_000_u32..20_000],
        mut positions_mm in prop::collection::vec(prop_oneof![any::<i32>(), -2_000_i32..16_000], 0..60),
        sorted in any::<bool>(),
        sensors in prop::collection::vec(
            (prop::array::uniform3(prop_oneof![any::<i32>(), -3_000_i32..5_000]), any::<u32>(),
             prop::collection::vec(prop_oneof![any::<i64>(), 47_000_000_i64..48_000_000], 60..61), any::<bool>()),
            0..6,
        ),
    ) {
        if sorted {
            positions_mm.sort_unstable();
        }
        let samples = positions_mm.len();
        let sensors = sensors.into_iter().map(|(place, noise_pt, mut field_pt, sane)| {
            if sane {
                field_pt.iter_mut().for_each(|value| *value = value.rem_euclid(100_000_000));
            }
            field_pt.truncate(samples);
            MagneticSensor { x_mm: place[0], y_mm: place[1], z_mm: place[2], noise_pt, field_pt }
        }).collect();
        let reading = MagneticProfile { earth_pt, box_length_mm, positions_mm, sensors };
        let result = interpret(&reading, &declared("080390"));
        for family in ThreatFamily::ALL {
            prop_assert!(result.weights.of(family).abs() <= WEIGHT_CAP);
        }
        if result.ability == Ability::Shielded {
            prop_assert_eq!(result.weights, Weights::ZERO);
        }
    }
}
