//! What comes to the port.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod common;

use std::collections::BTreeSet;

use common::plan;
use portcullis_domain::evidence::ThreatFamily;
use portcullis_domain::id::Timestamp;
use portcullis_domain::policy::Tier;
use portcullis_simulator::{Arrivals, Assessment, PortOptions, PortPlan, SourceKind, Visit};

fn share(plan: &PortPlan, is: impl Fn(&Visit) -> bool) -> f64 {
    plan.visits().iter().filter(|visit| is(visit)).count() as f64 / plan.visits().len() as f64
}

#[track_caller]
fn within(what: &str, value: f64, low: f64, high: f64) {
    assert!(
        (low..=high).contains(&value),
        "{what} is {value}, expected {low} to {high}"
    );
}

#[test]
fn the_same_arguments_give_the_same_plan_and_another_seed_another_one() {
    assert_eq!(plan(1, 200), plan(1, 200));
    assert_ne!(plan(1, 200).visits(), plan(2, 200).visits());
}

#[test]
fn a_longer_plan_begins_with_the_shorter_one() {
    assert_eq!(plan(1, 300).visits()[..100], *plan(1, 100).visits());
}

#[test]
fn every_container_number_is_used_once_and_found_again() {
    let plan = plan(11, 20_000);
    let mut seen = BTreeSet::new();
    for visit in plan.visits() {
        assert!(seen.insert(&visit.equipment), "{} twice", visit.equipment);
        assert_eq!(plan.visit(&visit.equipment), Some(visit));
        if visit.truth.painted != visit.equipment {
            assert!(seen.insert(&visit.truth.painted));
        }
    }
    assert_eq!(plan.visit(&"NOSUCH1".parse().unwrap()), None);
}

#[test]
fn an_empty_plan_is_a_plan() {
    assert!(plan(1, 0).visits().is_empty());
}

#[test]
fn shares_of_cargo_are_those_of_a_real_port() {
    let plan = plan(3, 10_000);
    let goods = |visit: &Visit| visit.announcement.manifest.goods.clone();
    within("empty", share(&plan, |v| v.announcement.manifest.empty), 0.11, 0.13);
    within(
        "dangerous",
        share(&plan, |v| goods(v).iter().any(|g| g.dangerous_goods.is_some())),
        0.07,
        0.092,
    );
    within(
        "reefer",
        share(&plan, |v| v.announcement.manifest.size_type.ends_with("R1")),
        0.06,
        0.08,
    );
    within(
        "20 feet",
        share(&plan, |v| v.announcement.manifest.size_type.starts_with('2')),
        0.38,
        0.42,
    );
    within(
        "odd number",
        share(&plan, |v| !v.equipment.findings().is_empty()),
        0.01,
        0.022,
    );
    within("no threat", share(&plan, |v| v.truth.is_honest()), 0.92, 0.95);
    let natural = |v: &Visit| {
        v.truth
            .sources
            .iter()
            .any(|s| s.kind == SourceKind::NaturalGoods && s.gamma_cps > 100)
    };
    within("noticeable natural radioactivity", share(&plan, natural), 0.02, 0.08);
    for family in ThreatFamily::ALL {
        let has = share(&plan, |v| v.truth.families.contains(&family));
        let wanted = f64::from(plan.options().threat_permille[family.index()]) / 1_000.0;
        within(family.as_str(), has, wanted * 0.6, wanted * 1.5 + 0.002);
    }
}

#[test]
fn masses_fit_together() {
    let plan = plan(5, 5_000);
    let mut gross = [(0.0, 0.0); 2];
    for visit in plan.visits() {
        let manifest = &visit.announcement.manifest;
        assert_eq!(manifest.check(), Ok(()));
        let declared = manifest.declared_mass_g().unwrap();
        let items: u64 = manifest.goods.iter().map(|item| item.gross_mass_g.unwrap()).sum();
        assert_eq!(declared, items);
        assert_eq!(manifest.empty, manifest.goods.is_empty());
        for item in &manifest.goods {
            assert!(item.net_mass_g < item.gross_mass_g && item.net_mass_g > Some(0));
        }
        let truth = &visit.truth;
        assert!(truth.true_mass_g < 45_000_000, "{truth:?}");
        if truth.is_honest() && !truth.careless_mass {
            assert!(truth.true_mass_g.abs_diff(declared) <= declared / 20, "{visit:?}");
        }
        assert!((50..=250).contains(&truth.shadow_permille));
        if !manifest.empty {
            let size = usize::from(!manifest.size_type.starts_with('2'));
            gross[size].0 += (declared + manifest.tare_mass_g.unwrap()) as f64 / 1e6;
            gross[size].1 += 1.0;
        }
    }
    within("mean of 20 feet, t", gross[0].0 / gross[0].1, 15.0, 16.5);
    within("mean of 40 feet, t", gross[1].0 / gross[1].1, 13.2, 14.8);
}

#[test]
fn trucks_come_in_order_and_announcements_can_be_moved_to_another_start() {
    let plan = plan(5, 500);
    assert!(plan.visits().is_sorted_by_key(|visit| visit.ready_after_ms));
    let hours = plan.visits()[499].ready_after_ms as f64 / 3.6e6;
    within("hours until the last of 500", hours, 2.0, 4.5);
    for visit in plan.visits() {
        let start = plan.options().starts_at;
        assert_eq!(visit.announcement_from(start), visit.announcement);
        let moved = visit.announcement_from(Timestamp(1_000));
        assert_eq!(moved.ready_at, Some(Timestamp(1_000 + visit.ready_after_ms)));
        assert!(
            moved
                .due_at
                .is_none_or(|due| due > Timestamp(1_000 + visit.ready_after_ms))
        );
        assert_eq!(moved.due_at.is_some(), visit.announcement.due_at.is_some());
    }
}

#[test]
fn a_port_without_threats_is_honest() {
    let mut options = PortOptions::for_terminal("T1").unwrap();
    options.threat_permille = [0; 6];
    options.swapped_permille = 0;
    options.arrivals = Arrivals::AtOnce;
    let plan = PortPlan::new(9, 2_000, options);
    assert!(
        plan.visits()
            .iter()
            .all(|visit| visit.truth.is_honest() && visit.ready_after_ms == 0)
    );
}

#[test]
fn an_assessment_says_what_was_missed_and_what_was_stopped_for_nothing() {
    let plan = plan(7, 1_000);
    let dishonest = plan.visits().iter().filter(|visit| !visit.truth.is_honest()).count() as u32;
    let all_released = Assessment::of(&plan, |_| Some(Tier::Release));
    assert_eq!(all_released.threats, [dishonest, 0, 0]);
    assert_eq!(all_released.honest, [1_000 - dishonest, 0, 0]);
    assert_eq!(all_released.missed.len() as u32, dishonest);
    assert!(
        all_released
            .families
            .values()
            .all(|count| count.missed == count.present)
    );
    let all_examined = Assessment::of(&plan, |_| Some(Tier::Exam));
    assert_eq!(all_examined.threats, [0, 0, dishonest]);
    assert!(all_examined.missed.is_empty());
    assert_eq!(Assessment::of(&plan, |_| None).undecided, 1_000);
}
