use portcullis_domain::manifest::GoodsItem;
use portcullis_domain::reading::{
    AbilityAssessment, AlarmDecision, EnergyImage, References, RowRange, TRANSMISSION_FULL, ThreatCategory, ThreatFlag,
    ThreatObject,
};
use proptest::prelude::*;

use super::*;

const PITCH_UM: u32 = 10_000;
const ROWS: u32 = 240;
const AIR_ROWS: u32 = 20;
/// Columns of a 20-foot container with 20 columns of air at each end.
const COLUMNS: u32 = 606 + 40;

/// Transmission of a picture: walls everywhere, and what `goods` puts in, both as transmission.
fn pixel(goods: &impl Fn(u32, u32) -> f64, column: u32, row: u32) -> u16 {
    let in_box = (20..COLUMNS - 20).contains(&column) && row >= AIR_ROWS;
    let transmission = if in_box { 0.87 * goods(column, row) } else { 1.0 };
    (transmission * f64::from(TRANSMISSION_FULL)).round() as u16
}

fn strip(first_column: u32, width: u32, goods: impl Fn(u32, u32) -> f64) -> ImageStrip {
    let pixels = (first_column..first_column + width)
        .flat_map(|column| (0..ROWS).map(move |row| (column, row)))
        .map(|(column, row)| pixel(&goods, column, row))
        .collect();
    ImageStrip {
        first_column,
        columns_planned: Some(COLUMNS),
        width,
        height: ROWS,
        column_um: PITCH_UM,
        row_um: PITCH_UM,
        container_rows: Some(RowRange {
            first: AIR_ROWS,
            end: ROWS,
        }),
        energies: vec![EnergyImage {
            endpoint_kev: 6_000,
            references: None,
            pixels,
        }],
    }
}

fn strips(goods: impl Fn(u32, u32) -> f64 + Copy) -> Vec<ImageStrip> {
    (0..COLUMNS)
        .step_by(100)
        .map(|first| strip(first, 100.min(COLUMNS - first), goods))
        .collect()
}

fn rice() -> Manifest {
    Manifest {
        goods: vec![GoodsItem {
            commodity_code: "100630".to_owned(),
            gross_mass_g: Some(4_400_000),
            ..GoodsItem::default()
        }],
        size_type: "22G1".to_owned(),
        ..Manifest::default()
    }
}

/// Goods of this transmission up to half the height.
fn half_full(_: u32, row: u32) -> f64 {
    if row > 130 { 0.05 } else { 1.0 }
}

/// The same with a block.
fn with_block(column: u32, row: u32) -> f64 {
    let block = (300..340).contains(&column) && (160..200).contains(&row);
    half_full(column, row) * if block { 0.8 } else { 1.0 }
}

fn look(strips: &[ImageStrip]) -> RadiographyInterpreter {
    let mut interpreter = RadiographyInterpreter::new();
    for strip in strips {
        interpreter.push_strip(strip);
    }
    interpreter
}

fn interpret(strips: &[ImageStrip]) -> Interpretation {
    let mut interpreter = look(strips);
    interpreter.finish();
    interpreter.interpret(&rice())
}

fn codes(result: &Interpretation) -> Vec<FindingCode> {
    result.findings.iter().map(|finding| finding.code).collect()
}

fn narcotics(result: &Interpretation) -> i32 {
    result.weights.of(ThreatFamily::Narcotics)
}

#[test]
fn a_block_in_even_goods_stands_out_with_its_place_and_even_goods_do_not() {
    let even = interpret(&strips(half_full));
    assert_eq!((even.ability, codes(&even)), (Ability::Clear, vec![]), "{even:?}");
    assert!((-10_000..0).contains(&narcotics(&even)), "{even:?}");
    let result = interpret(&strips(with_block));
    assert_eq!(codes(&result), [FindingCode::DensityAnomaly]);
    assert!(
        result.findings[0].detail.contains("0.48 x 0.48 m at 2.97 m"),
        "{result:?}"
    );
    assert!(narcotics(&result) > 10_000, "{result:?}");
    assert_eq!(narcotics(&result), result.weights.of(ThreatFamily::Explosives));
}

/// Cartons, some 65 g/cm² of them, up to 1.7 m.
fn cartons(_: u32, row: u32) -> f64 {
    if row > 70 { 0.07 } else { 1.0 }
}

/// The same with somebody among them, whose head is above them: some 15 g/cm² of water, as transmission.
fn with_somebody(column: u32, row: u32) -> f64 {
    let room = (300..345).contains(&column) && (40..150).contains(&row);
    if room { 0.58 } else { cartons(column, row) }
}

/// The same with a room and nobody in it.
fn with_a_room(column: u32, row: u32) -> f64 {
    let room = (300..345).contains(&column) && (40..150).contains(&row);
    if room { 1.0 } else { cartons(column, row) }
}

/// The same with a crate of arms: as much as 13 cm of steel besides the cartons.
fn with_arms(column: u32, row: u32) -> f64 {
    let crate_of_arms = (300..345).contains(&column) && (160..195).contains(&row);
    cartons(column, row) * if crate_of_arms { 0.05 } else { 1.0 }
}

fn shoes() -> Manifest {
    let mut manifest = rice();
    manifest.goods[0].commodity_code = "640399".to_owned();
    manifest
}

#[test]
fn somebody_among_goods_is_lighter_than_they_are_and_heavier_than_nothing() {
    let people = |goods: fn(u32, u32) -> f64| {
        let mut interpreter = look(&strips(goods));
        interpreter.finish();
        let result = interpreter.interpret(&shoes());
        let like_a_body = result
            .findings
            .iter()
            .any(|finding| finding.detail.contains("like a body"));
        (result.weights.of(ThreatFamily::People), like_a_body)
    };
    let (weight, like_a_body) = people(with_somebody);
    assert!(weight > 10_000 && like_a_body, "{weight}");
    for goods in [cartons, with_a_room, with_arms] {
        let (weight, like_a_body) = people(goods);
        assert!(weight < 0 && !like_a_body, "{weight}");
    }
}

#[test]
fn arms_are_thicker_than_the_goods_of_their_stack() {
    let arms = |goods: fn(u32, u32) -> f64| {
        let mut interpreter = look(&strips(goods));
        interpreter.finish();
        interpreter.interpret(&shoes()).weights.of(ThreatFamily::Weapons)
    };
    assert!(arms(with_arms) > 6_000, "{}", arms(with_arms));
    // A row in which every second stack lacks a carton has places that are denser than the row, and no denser than goods.
    let uneven: fn(u32, u32) -> f64 = |column, row| {
        let lower = (column / 45).is_multiple_of(3) && row < 100;
        if lower { 1.0 } else { cartons(column, row) }
    };
    for goods in [cartons, with_a_room, uneven] {
        assert!(arms(goods) < 0, "{}", arms(goods));
    }
}

#[test]
fn raw_pixels_with_references_say_the_same_as_corrected_ones() {
    let corrected = strips(with_block);
    let raw: Vec<ImageStrip> = corrected
        .iter()
        .map(|strip| {
            let mut strip = strip.clone();
            let references = References {
                dark: (0..ROWS).map(|row| 500 + row as u16).collect(),
                air: (0..ROWS).map(|row| 60_500 + row as u16 % 9).collect(),
            };
            for (at, pixel) in strip.energies[0].pixels.iter_mut().enumerate() {
                let row = at % ROWS as usize;
                let (dark, air) = (f64::from(references.dark[row]), f64::from(references.air[row]));
                *pixel = (dark + f64::from(*pixel) / f64::from(TRANSMISSION_FULL) * (air - dark)).round() as u16;
            }
            strip.energies[0].references = Some(references);
            strip
        })
        .collect();
    let (a, b) = (interpret(&corrected), interpret(&raw));
    for (a, b) in a.weights.0.iter().zip(b.weights.0) {
        assert!((a - b).abs() < 100, "{a} {b}");
    }
    assert_eq!(codes(&a), codes(&b));
}

#[test]
fn a_wandering_beam_is_followed_in_the_air_and_a_failing_one_is_noted() {
    let dim = |share: f64| {
        let mut strips = strips(with_block);
        for (number, strip) in strips.iter_mut().enumerate() {
            let share = if number % 2 == 0 { share } else { 1.0 };
            for pixel in &mut strip.energies[0].pixels {
                *pixel = (f64::from(*pixel) * share).round() as u16;
            }
        }
        interpret(&strips)
    };
    let (steady, wandering, failing) = (dim(1.0), dim(0.9), dim(0.6));
    assert!(
        (narcotics(&steady) - narcotics(&wandering)).abs() < 300,
        "{steady:?} {wandering:?}"
    );
    assert_eq!(wandering.ability, Ability::Clear);
    assert!(codes(&failing).contains(&FindingCode::BeamUnsteady));
    assert_eq!(failing.ability, Ability::Degraded);
}

#[test]
fn until_the_pass_has_ended_nothing_was_seen_however_much_has_come() {
    let interpreter = look(&strips(half_full));
    assert_eq!(interpreter.interpret(&rice()).ability, Ability::Shielded);
    let nothing = RadiographyInterpreter::new().interpret(&rice());
    assert_eq!((nothing.ability, nothing.weights), (Ability::Shielded, Weights::ZERO));
}

#[test]
fn missing_repeated_and_disordered_columns_are_found_and_the_rest_is_used() {
    let whole = strips(with_block);
    let mut hole = whole.clone();
    hole.remove(1);
    let result = interpret(&hole);
    assert_eq!(result.ability, Ability::Degraded);
    assert!(codes(&result).contains(&FindingCode::ColumnsMissing), "{result:?}");
    assert!(narcotics(&result) > 10_000, "{result:?}");

    let mut swapped = whole.clone();
    swapped.swap(1, 2);
    let result = interpret(&swapped);
    assert!(codes(&result).contains(&FindingCode::ColumnsDisordered));
    assert_eq!(result.ability, Ability::Degraded);
    assert_eq!(result.weights, interpret(&whole).weights);

    let mut repeated = whole.clone();
    repeated.insert(2, strip(100, 100, |_, _| 1e-5));
    let result = interpret(&repeated);
    assert!(codes(&result).contains(&FindingCode::ColumnsDisordered));
    assert_eq!(result.weights, interpret(&whole).weights);

    let third = interpret(&whole[..2]);
    assert_eq!(third.ability, Ability::Shielded, "{third:?}");
}

#[test]
fn dark_parts_are_shielded_by_their_share_and_hide_what_is_missing() {
    let mut heavy = rice();
    heavy.goods[0].gross_mass_g = Some(25_000_000);
    let dark = |rows: u32| {
        let mut interpreter = look(&strips(move |_, row| if row >= ROWS - rows { 1e-6 } else { 1.0 }));
        interpreter.finish();
        interpreter.interpret(&heavy)
    };
    let little = dark(30);
    assert_eq!(little.ability, Ability::Degraded);
    assert_eq!(codes(&little), [FindingCode::NotPenetrated], "{little:?}");
    // What is missing may stand behind the dark part, so that it weighs for nothing.
    assert!(little.weights.of(ThreatFamily::Undeclared) < 0, "{little:?}");
    let much = dark(100);
    assert_eq!(much.ability, Ability::Shielded);
    assert!(much.weights.0.iter().all(|weight| *weight == 0), "{much:?}");
}

#[test]
fn strips_of_no_use_are_left_out_with_a_reason() {
    let good = strips(half_full);
    let spoil: [fn(&mut ImageStrip); 9] = [
        |strip| strip.column_um = 100,
        |strip| strip.row_um = 5_000_000,
        |strip| strip.width = 0,
        |strip| strip.height = 0,
        |strip| strip.energies[0].pixels.truncate(7),
        |strip| strip.energies[0].endpoint_kev = 160,
        |strip| strip.first_column = u32::MAX - 100,
        |strip| strip.energies[0].references = Some(References::default()),
        |strip| strip.container_rows = Some(RowRange { first: 9, end: 9 }),
    ];
    for spoil in spoil {
        let mut bad = good[1].clone();
        spoil(&mut bad);
        let alone = interpret(&[bad.clone()]);
        assert_eq!((alone.ability, alone.weights), (Ability::Shielded, Weights::ZERO));
        assert_eq!(codes(&alone), [FindingCode::ImageUnusable]);
        let mut among = good.clone();
        among.insert(0, bad);
        let result = interpret(&among);
        assert_eq!(result.ability, Ability::Degraded);
        assert!(codes(&result).contains(&FindingCode::ImageUnusable), "{result:?}");
        assert_eq!(result.weights, interpret(&good).weights);
    }
}

#[test]
fn without_an_outline_no_mass_is_compared() {
    let mut strips = strips(with_block);
    for strip in &mut strips {
        strip.container_rows = None;
    }
    let result = interpret(&strips);
    assert_eq!(result.ability, Ability::Degraded);
    assert!(codes(&result).contains(&FindingCode::OutlineUnknown));
    assert_eq!(result.weights.of(ThreatFamily::Undeclared), 0);
    assert!(narcotics(&result) > 0, "{result:?}");
}

#[test]
fn two_energies_tell_steel_from_straw_where_nobody_names_the_goods() {
    use beam::{Beam, Material};
    let (six, nine) = (Beam::of(6_000).unwrap(), Beam::of(9_000).unwrap());
    let mut manifest = rice();
    manifest.goods[0].commodity_code.clear();
    for (material, areal) in [(Material::Iron, 90.0), (Material::Water, 60.0)] {
        let energies = [(6_000, &six), (9_000, &nine)].map(|(endpoint_kev, beam)| {
            // What the pixels have to be for this much of the material.
            let wanted = beam.as_cellulose(areal, material);
            let full = f64::from(TRANSMISSION_FULL);
            let value = (1..60_000_u16).find(|pixel| beam.cellulose(f64::from(*pixel) / full) <= wanted);
            (endpoint_kev, f64::from(value.unwrap()) / full / 0.87)
        });
        let mut interpreter = RadiographyInterpreter::new();
        for first in (0..COLUMNS).step_by(100) {
            let width = 100.min(COLUMNS - first);
            let mut both = strip(first, width, |_, _| energies[0].1);
            let mut other = strip(first, width, |_, _| energies[1].1);
            other.energies[0].endpoint_kev = energies[1].0;
            both.energies.append(&mut other.energies);
            interpreter.push_strip(&both);
        }
        let (kg, _) = interpreter.goods_kg(&manifest).unwrap();
        // Inside the ends, without the walls.
        let expected = (areal - load::WALLS) * (606.0 - 24.0) * 220.0 / 1_000.0;
        assert!((kg / expected - 1.0).abs() < 0.05, "{material:?}: {kg} {expected}");
    }
}

fn report(objects: Vec<ThreatObject>) -> ThreatReport {
    ThreatReport {
        maker: "Acme".to_owned(),
        algorithm: "find".to_owned(),
        version: "1".to_owned(),
        decision: AlarmDecision::Alarm,
        abort: None,
        test_prevalence_ppm: None,
        objects,
    }
}

fn object(category: ThreatCategory, probability_ppm: Option<u32>) -> ThreatObject {
    ThreatObject {
        flag: ThreatFlag::Threat,
        category,
        ability: AbilityAssessment::NoInterference,
        probability_ppm,
        bounds: None,
    }
}

fn with_report(report: &ThreatReport) -> Interpretation {
    let mut interpreter = look(&strips(half_full));
    interpreter.push_report(report);
    interpreter.finish();
    interpreter.interpret(&rice())
}

#[test]
fn a_vendors_probability_is_weighed_against_the_odds_of_its_test() {
    let weapons = |report: &ThreatReport| with_report(report).weights.of(ThreatFamily::Weapons);
    let of = |probability, prevalence| {
        let mut report = report(vec![object(ThreatCategory::ProhibitedItem, probability)]);
        report.test_prevalence_ppm = prevalence;
        weapons(&report)
    };
    // 9 to 1 in a balanced test: 9.5 decibans.
    assert_eq!(of(Some(900_000), None), 9_542);
    // The same in a test with nine threats in ten says nothing.
    assert_eq!(of(Some(900_000), Some(900_000)), 0);
    // Certainty is not believed, and no probability is the operating point: 90 % at 6 %, 11.8 decibans.
    assert!((20_000..WEIGHT_CAP).contains(&of(Some(1_000_000), None)));
    assert!((of(None, None) - 11_761).abs() < 2);
}

#[test]
fn what_recognition_could_not_look_at_is_not_clear() {
    let mut shielded = object(ThreatCategory::Explosive, Some(0));
    shielded.ability = AbilityAssessment::Shield;
    let result = with_report(&report(vec![shielded]));
    assert_eq!(result.ability, Ability::Degraded);
    assert!(
        codes(&result).contains(&FindingCode::RecognitionIncomplete),
        "{result:?}"
    );
    // What the image itself says stays.
    let own = interpret(&strips(half_full)).weights;
    assert_eq!(result.weights, own);

    let mut broken = report(vec![object(ThreatCategory::ProhibitedItem, Some(1_000))]);
    broken.abort = Some("TIME_OUT".to_owned());
    broken.decision = AlarmDecision::Clear;
    let result = with_report(&broken);
    assert_eq!((result.ability, result.weights), (Ability::Degraded, own));

    let mut clear = report(Vec::new());
    clear.decision = AlarmDecision::Clear;
    assert_eq!(with_report(&clear).weights, own);
}

#[test]
fn a_report_without_an_image_weighs_and_sees_nothing() {
    let mut interpreter = RadiographyInterpreter::new();
    interpreter.push_report(&report(vec![object(ThreatCategory::Contraband, None)]));
    interpreter.finish();
    let result = interpreter.interpret(&rice());
    assert_eq!(result.ability, Ability::Shielded);
    assert!(narcotics(&result) > 0);
    assert!(codes(&result).contains(&FindingCode::ImageUnusable));
}

#[test]
fn reports_beyond_the_limit_are_left_out() {
    let mut interpreter = look(&strips(half_full));
    let mut unknown = report(Vec::new());
    unknown.decision = AlarmDecision::Unknown;
    (0..REPORTS_MAX).for_each(|_| interpreter.push_report(&unknown));
    interpreter.push_report(&report(vec![object(ThreatCategory::Contraband, None)]));
    assert!(narcotics(&interpreter.interpret(&rice())) < 0);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn arbitrary_strips_never_panic_and_rubbish_never_clears(
        shapes in prop::collection::vec(
            (
                prop_oneof![0_u32..300, any::<u32>()],
                prop_oneof![0_u32..40, any::<u32>()],
                prop_oneof![0_u32..60, any::<u32>()],
                prop_oneof![1_000_u32..20_001, any::<u32>()],
                prop_oneof![Just(6_000_u32), Just(9_000), any::<u32>()],
                any::<Option<u32>>(),
                0_usize..3,
                prop::option::of((0_u32..60, 0_u32..60)),
                prop_oneof![Just(0_usize), Just(60), 0_usize..70],
                any::<u64>(),
            ),
            1..4,
        ),
        empty in any::<bool>(),
    ) {
        let mut interpreter = RadiographyInterpreter::new();
        for (first_column, width, height, pitch, endpoint_kev, columns_planned, energies, rows, references, seed) in shapes {
            let count = (u64::from(width) * u64::from(height)).min(5_000) as usize;
            let mut state = seed | 1;
            let mut word = || {
                state ^= state << 13;
                state ^= state >> 7;
                state ^= state << 17;
                (state >> 40) as u16
            };
            let mut words = |count: usize| (0..count).map(|_| word()).collect::<Vec<u16>>();
            let energy = EnergyImage {
                endpoint_kev,
                references: (references > 0).then(|| References { dark: words(references), air: words(references) }),
                pixels: words(count),
            };
            interpreter.push_strip(&ImageStrip {
                first_column,
                columns_planned,
                width,
                height,
                column_um: pitch,
                row_um: pitch,
                container_rows: rows.map(|(first, end)| RowRange { first, end }),
                energies: vec![energy; energies],
            });
        }
        interpreter.finish();
        let manifest = Manifest { empty, ..rice() };
        let result = interpreter.interpret(&manifest);
        prop_assert!(result.weights.0.iter().all(|weight| weight.abs() <= WEIGHT_CAP));
        if result.ability == Ability::Shielded {
            prop_assert!(result.weights.0.iter().all(|weight| *weight >= 0));
        }
        interpreter.goods_kg(&manifest);
    }

    #[test]
    fn arbitrary_reports_never_panic_and_stay_within_the_cap(
        objects in prop::collection::vec((0_usize..7, 0_usize..4, 0_usize..3, any::<Option<u32>>()), 0..8),
        test_prevalence_ppm in any::<Option<u32>>(),
        decision in 0_usize..3,
        abort in any::<bool>(),
    ) {
        use AbilityAssessment::{NoInterference, Shield, Unknown};
        let categories = [
            ThreatCategory::Explosive, ThreatCategory::ProhibitedItem, ThreatCategory::Contraband,
            ThreatCategory::Pharmaceutical, ThreatCategory::Person, ThreatCategory::Anomaly, ThreatCategory::Other,
        ];
        let flags = [ThreatFlag::HighThreat, ThreatFlag::Threat, ThreatFlag::NoThreat, ThreatFlag::Unknown];
        let objects = objects
            .into_iter()
            .map(|(category, flag, ability, probability_ppm)| ThreatObject {
                flag: flags[flag],
                category: categories[category],
                ability: [NoInterference, Shield, Unknown][ability],
                probability_ppm,
                bounds: None,
            })
            .collect();
        let report = ThreatReport {
            decision: [AlarmDecision::Alarm, AlarmDecision::Clear, AlarmDecision::Unknown][decision],
            abort: abort.then(String::new),
            test_prevalence_ppm,
            ..report(objects)
        };
        let mut interpreter = RadiographyInterpreter::new();
        interpreter.push_report(&report);
        interpreter.finish();
        let result = interpreter.interpret(&rice());
        prop_assert!(result.weights.0.iter().all(|weight| (0..=WEIGHT_CAP).contains(weight)));
    }
}
