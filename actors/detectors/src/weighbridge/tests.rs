use portcullis_domain::manifest::GoodsItem;
use proptest::prelude::*;

use super::*;

const SLOW_MM_S: u32 = 1_000;

fn manifest(declared_kg: Option<u64>) -> Manifest {
    let item = GoodsItem {
        gross_mass_g: declared_kg.map(|kg| kg * 1_000),
        ..GoodsItem::default()
    };
    Manifest {
        goods: vec![item],
        tare_mass_g: Some(3_900_000),
        size_type: "45G1".to_owned(),
        ..Manifest::default()
    }
}

fn scale(gross_mass_kg: i64) -> Weighing {
    Weighing {
        gross_mass_kg,
        vehicle_mass_kg: Some(14_100),
        sigma_kg: None,
        speed_mm_s: SLOW_MM_S,
        axles_kg: Vec::new(),
    }
}

fn weigh(goods_kg: i64, declared_kg: u64) -> Interpretation {
    interpret(&scale(goods_kg + 18_000), &manifest(Some(declared_kg)))
}

fn undeclared(result: &Interpretation) -> i32 {
    result.weights.of(ThreatFamily::Undeclared)
}

#[test]
fn goods_of_the_declared_mass_speak_a_little_against_undeclared_goods() {
    let result = weigh(14_050, 14_000);
    assert!((-4_000..0).contains(&undeclared(&result)), "{result:?}");
    assert_eq!((result.ability, result.findings.len()), (Ability::Clear, 0));
    for family in ThreatFamily::ALL {
        assert!(family == ThreatFamily::Undeclared || result.weights.of(family) == 0);
    }
}

#[test]
fn weight_rises_with_the_surplus_and_is_bounded() {
    let surplus = [0, 800, 1_200, 2_500, 5_000];
    let weights: Vec<i32> = surplus
        .iter()
        .map(|kg| undeclared(&weigh(14_000 + kg, 14_000)))
        .collect();
    assert!(weights.is_sorted(), "{weights:?}");
    assert!(
        weights[0] < 0 && weights[3] > 3_000 && weights[4] > 5_000,
        "{weights:?}"
    );
    assert!(weights.iter().all(|weight| *weight < 25_000), "{weights:?}");
    assert_eq!(weigh(16_500, 14_000).findings[0].code, FindingCode::MassOverDeclared);
}

#[test]
fn missing_goods_are_noticed_too() {
    let result = weigh(9_000, 14_000);
    assert!(undeclared(&result) > 2_000, "{result:?}");
    assert_eq!(result.findings[0].code, FindingCode::MassUnderDeclared);
}

#[test]
fn small_contraband_stays_unseen_and_weighs_next_to_nothing() {
    let none = undeclared(&weigh(14_000, 14_000));
    let fifty = undeclared(&weigh(14_050, 14_000));
    assert!((none - fifty).abs() < 500);
}

#[test]
fn a_fast_weighing_is_degraded_and_says_less() {
    let fast = Weighing {
        speed_mm_s: 17_000,
        ..scale(35_000)
    };
    let fast = interpret(&fast, &manifest(Some(14_000)));
    assert_eq!(fast.ability, Ability::Degraded);
    assert_eq!(fast.findings[0].code, FindingCode::WeighingTooFast);
    assert!(undeclared(&fast) < undeclared(&weigh(17_000, 14_000)));
}

#[test]
fn an_unknown_vehicle_says_less() {
    let unknown = Weighing {
        vehicle_mass_kg: None,
        ..scale(35_000)
    };
    let unknown = interpret(&unknown, &manifest(Some(14_000)));
    assert_eq!(unknown.ability, Ability::Degraded);
    assert_eq!(unknown.findings[0].code, FindingCode::ElementMissing);
    assert!(undeclared(&unknown) < undeclared(&weigh(17_000, 14_000)));
}

#[test]
fn impossible_weighings_see_nothing() {
    for bad in [
        scale(0),
        scale(-5),
        scale(80_001),
        Weighing {
            vehicle_mass_kg: Some(-1),
            ..scale(30_000)
        },
        Weighing {
            vehicle_mass_kg: Some(30_001),
            ..scale(30_000)
        },
    ] {
        let result = interpret(&bad, &manifest(Some(1)));
        assert_eq!(result.findings[0].code, FindingCode::WeighingImpossible, "{bad:?}");
        assert_eq!(result.ability, Ability::Shielded);
        assert_eq!(result.weights, Weights::ZERO);
    }
}

#[test]
fn without_a_declared_mass_nothing_is_claimed() {
    for declared in [None, Some(0)] {
        let result = interpret(&scale(30_000), &manifest(declared));
        assert_eq!(result.findings[0].code, FindingCode::MassUnknown);
        assert_eq!(result.weights, Weights::ZERO);
    }
}

#[test]
fn a_container_declared_empty_that_is_not_stands_out() {
    let mut empty = Manifest {
        empty: true,
        gross_mass_g: Some(0),
        ..manifest(None)
    };
    empty.goods.clear();
    assert!(undeclared(&interpret(&scale(18_000), &empty)) < 0);
    assert!(undeclared(&interpret(&scale(22_000), &empty)) > 8_000);
}

/// Five axles of a road train with so much in the box, of which the trailer's axles carry a share.
fn on_axles(goods_kg: f64, share: f64) -> Weighing {
    let group = 3_300.0 + 0.62 * 3_900.0 + share * goods_kg;
    let gross = 14_100.0 + 3_900.0 + goods_kg;
    let [steering, axle] = [0.38 * (gross - group), group / 3.0].map(|kg| kg as u32);
    let driven = gross as u32 - steering - 3 * axle;
    Weighing {
        axles_kg: vec![steering, driven, axle, axle, axle],
        ..scale(gross as i64)
    }
}

#[test]
fn axles_of_an_even_load_change_next_to_nothing() {
    let with = interpret(&on_axles(14_000.0, 0.62), &manifest(Some(14_000)));
    let without = weigh(14_000, 14_000);
    assert_eq!((with.ability, with.findings.len()), (Ability::Clear, 0), "{with:?}");
    assert!((-1_000..0).contains(&(undeclared(&with) - undeclared(&without))));
}

#[test]
fn a_load_at_one_end_weighs_a_little_for_undeclared_goods() {
    let even = interpret(&on_axles(14_000.0, 0.62), &manifest(Some(14_000)));
    let rear = interpret(&on_axles(14_000.0, 0.98), &manifest(Some(14_000)));
    assert!(
        (1_500..5_000).contains(&(undeclared(&rear) - undeclared(&even))),
        "{rear:?}"
    );
    assert!(
        rear.findings
            .iter()
            .any(|finding| finding.code == FindingCode::LoadUneven),
        "{rear:?}"
    );
}

#[test]
fn axles_that_contradict_the_whole_degrade_the_view_and_take_weight_from_it() {
    let mut broken = on_axles(18_000.0, 0.62);
    broken.axles_kg[1] -= 4_000;
    let broken = interpret(&broken, &manifest(Some(14_000)));
    assert_eq!(broken.ability, Ability::Degraded);
    assert_eq!(broken.findings[0].code, FindingCode::AxlesDiffer);
    assert!(
        undeclared(&broken) + 1_000 < undeclared(&weigh(18_000, 14_000)),
        "{broken:?}"
    );
    let mut silent = on_axles(14_000.0, 0.62);
    silent.axles_kg[3] = 0;
    assert_eq!(
        interpret(&silent, &manifest(Some(14_000))).findings[0].code,
        FindingCode::AxleSilent
    );
}

#[test]
fn what_neither_road_nor_container_may_carry_is_told_and_does_not_weigh() {
    let heavy = weigh(33_000, 33_000);
    assert_eq!(heavy.findings[0].code, FindingCode::MassOverRating);
    assert!(undeclared(&heavy) < 0);
    let heavy = interpret(&on_axles(27_000.0, 0.80), &manifest(Some(27_000)));
    assert!(
        heavy
            .findings
            .iter()
            .any(|finding| finding.code == FindingCode::AxleOverloaded),
        "{heavy:?}"
    );
}

#[test]
fn an_unknown_vehicle_is_taken_by_its_axles() {
    let unknown = |axles_kg: Vec<u32>| {
        let weighing = Weighing {
            vehicle_mass_kg: None,
            axles_kg,
            ..scale(32_000)
        };
        undeclared(&interpret(&weighing, &manifest(Some(14_000))))
    };
    // 32 t with 14 t declared is right for five axles, and heavy for a vehicle of three.
    assert!(unknown(vec![10_000, 11_000, 11_000]) > unknown(vec![6_000, 9_000, 5_600, 5_700, 5_700]));
}

proptest! {
    #[test]
    fn no_weighing_panics_or_weighs_more_than_the_cap(
        gross in any::<i64>(), vehicle in any::<Option<i64>>(), sigma in any::<Option<u32>>(), speed in any::<u32>(),
        axles in prop::collection::vec(any::<u32>(), 0..8), sane in 1_000..60_000_i64, size in "[24LM]?[05]?[GR]?",
        declared in 0..60_000_u64, empty in any::<bool>(),
    ) {
        for gross in [gross, sane] {
            let weighing = Weighing {
                gross_mass_kg: gross,
                vehicle_mass_kg: vehicle.map(|kg| kg % 20_000),
                sigma_kg: sigma,
                speed_mm_s: speed,
                axles_kg: axles.iter().map(|kg| kg % 20_000).collect(),
            };
            let manifest = Manifest {
                size_type: size.clone(),
                empty,
                ..manifest(Some(declared))
            };
            let result = interpret(&weighing, &manifest);
            prop_assert!(undeclared(&result).abs() <= WEIGHT_CAP);
        }
    }
}
