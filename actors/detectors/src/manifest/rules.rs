//! First weighing of a manifest, by rules.
//!
//! Each rule is a plain statement about the declaration with a small weight, set by judgement and not fitted to data:
//! they are there so that an odd declaration is looked at sooner, and cannot condemn a container (see [`CAP`]). No rule
//! uses a country, a name or a person. Legal goods that resemble a threat (arms, explosives, radioactive material) weigh
//! for their family because they must be told apart from it by a sensor, not because declaring them is suspicious.

use portcullis_domain::equipment::EquipmentId;
use portcullis_domain::evidence::{Ability, ThreatFamily, Weights};
use portcullis_domain::finding::{Finding, FindingCode};
use portcullis_domain::manifest::{GoodsItem, Manifest};

use crate::interpretation::Interpretation;

/// All rules together never weigh more than this for or against a family, milli-decibans.
pub const CAP: i32 = 6_000;

/// A rule that applies to a manifest.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Applied {
    /// What the rule says, for the officer.
    pub statement: &'static str,
    /// For which family.
    pub family: ThreatFamily,
    /// How much, milli-decibans.
    pub weight: i32,
}

/// Commodity chapters (first two digits) that must be told apart from a threat by a sensor.
const CHAPTERS: [(&str, ThreatFamily, i32, &str); 4] = [
    (
        "36",
        ThreatFamily::Explosives,
        3_000,
        "explosives, fireworks or matches are declared",
    ),
    ("93", ThreatFamily::Weapons, 3_000, "arms or ammunition are declared"),
    (
        "08",
        ThreatFamily::Narcotics,
        1_000,
        "fresh fruit, a favoured cover load",
    ),
    ("44", ThreatFamily::Narcotics, 500, "wood, a favoured cover load"),
];

/// Headings (first four digits) of the same kind.
const HEADINGS: [(&str, ThreatFamily, i32, &str); 3] = [
    ("2844", ThreatFamily::Nuclear, 3_000, "radioactive material is declared"),
    ("2845", ThreatFamily::Nuclear, 1_000, "isotopes are declared"),
    (
        "8401",
        ThreatFamily::Nuclear,
        3_000,
        "reactors or fuel elements are declared",
    ),
];

/// Words that describe nothing.
const VAGUE: [&str; 8] = [
    "general cargo",
    "said to contain",
    "freight all kinds",
    "personal effects",
    "consolidated",
    "various",
    "miscellaneous",
    "samples",
];

/// Weighs what is declared about a container by rules.
pub(super) fn weigh(manifest: &Manifest, equipment: &EquipmentId) -> Interpretation {
    let mut weights = Weights::ZERO;
    for rule in applied(manifest, equipment) {
        let sum = weights.of(rule.family).saturating_add(rule.weight).clamp(-CAP, CAP);
        weights = weights.with(rule.family, sum);
    }
    let findings = findings(manifest);
    // A manifest that says nothing about the goods could not be looked at.
    let blank = !manifest.empty
        && manifest
            .goods
            .iter()
            .all(|item| item.description.is_empty() && item.commodity_code.is_empty());
    let ability = if blank { Ability::Degraded } else { Ability::Clear };
    Interpretation {
        weights,
        ability,
        findings,
    }
}

/// The rules that apply, in a fixed order.
pub fn applied(manifest: &Manifest, equipment: &EquipmentId) -> Vec<Applied> {
    let mut rules = Vec::new();
    let mut rule = |applies: bool, statement, family, weight| {
        if applies {
            rules.push(Applied {
                statement,
                family,
                weight,
            });
        }
    };
    let undeclared = ThreatFamily::Undeclared;
    let goods = &manifest.goods;
    let any = |test: fn(&GoodsItem) -> bool| goods.iter().any(test);
    let laden = !manifest.empty;
    let blank = laden && goods.is_empty();
    rule(blank, "a laden container without goods items", undeclared, 2_000);
    let massless = laden && !blank && manifest.declared_mass_g().is_none_or(|mass| mass == 0);
    rule(massless, "no mass is declared", undeclared, 1_000);
    rule(
        any(net_above_gross),
        "a net mass above the gross mass",
        undeclared,
        1_000,
    );
    rule(
        any(is_vague),
        "goods described in words that say nothing",
        undeclared,
        1_500,
    );
    rule(
        any(odd_code),
        "a goods code that is missing or of odd length",
        undeclared,
        1_000,
    );
    rule(
        laden && manifest.seals.is_empty(),
        "no seal is declared",
        undeclared,
        500,
    );
    let odd_id = !equipment.findings().is_empty();
    rule(odd_id, "the container number deviates from ISO 6346", undeclared, 500);
    rule(
        manifest.empty && !goods.is_empty(),
        "goods in a container said to be empty",
        undeclared,
        2_000,
    );
    let sound = laden && !blank && !massless && !odd_id && !any(net_above_gross) && !any(is_vague) && !any(odd_code);
    rule(sound, "a complete and consistent declaration", undeclared, -1_000);
    for (code, family, weight, statement) in CHAPTERS.into_iter().chain(HEADINGS) {
        let declared = goods.iter().any(|item| item.commodity_code.starts_with(code));
        rule(declared, statement, family, weight);
    }
    let class_one = |item: &GoodsItem| item.dangerous_goods.is_some_and(|number| (4..=512).contains(&number));
    rule(
        goods.iter().any(class_one),
        "dangerous goods of class 1",
        ThreatFamily::Explosives,
        1_000,
    );
    let class_seven = |item: &GoodsItem| {
        item.dangerous_goods.is_some_and(|number| {
            (2908..=2919).contains(&number) || (2977..=2978).contains(&number) || (3321..=3333).contains(&number)
        })
    };
    rule(
        goods.iter().any(class_seven),
        "dangerous goods of class 7",
        ThreatFamily::Nuclear,
        1_000,
    );
    rules
}

fn findings(manifest: &Manifest) -> Vec<Finding> {
    /// A manifest may have 999 items; the first few odd ones make the point.
    const EACH_MAX: usize = 10;
    let mut findings = Vec::new();
    let mut each = |code, test: fn(&GoodsItem) -> bool, detail: &str| {
        findings.extend(
            manifest
                .goods
                .iter()
                .filter(|item| test(item))
                .take(EACH_MAX)
                .map(|item| Finding::new(code, format!("goods item {}", item.sequence), detail)),
        );
    };
    each(
        FindingCode::MassMissing,
        |item| item.gross_mass_g.is_none() && item.net_mass_g.is_none(),
        "no mass is declared",
    );
    each(
        FindingCode::MassZero,
        |item| item.gross_mass_g == Some(0) || item.net_mass_g == Some(0),
        "a mass of zero is declared",
    );
    each(
        FindingCode::MassInconsistent,
        net_above_gross,
        "the net mass is above the gross mass",
    );
    each(
        FindingCode::CommodityCodeOdd,
        odd_code,
        "the goods code is missing or of odd length",
    );
    if !manifest.empty && manifest.goods.is_empty() {
        findings.push(Finding::new(
            FindingCode::ElementMissing,
            "goods",
            "a laden container without goods items",
        ));
    }
    findings
}

fn net_above_gross(item: &GoodsItem) -> bool {
    matches!((item.net_mass_g, item.gross_mass_g), (Some(net), Some(gross)) if net > gross)
}

/// HS codes have 6 digits, national ones 8 to 11.
fn odd_code(item: &GoodsItem) -> bool {
    let code = &item.commodity_code;
    !matches!(code.len(), 6 | 8 | 10 | 11) || !code.bytes().all(|byte| byte.is_ascii_digit())
}

fn is_vague(item: &GoodsItem) -> bool {
    let description = item.description.to_lowercase();
    description.trim().chars().count() < 3 || VAGUE.iter().any(|words| description.contains(words))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cocoa() -> Manifest {
        Manifest {
            goods: vec![GoodsItem {
                sequence: 1,
                commodity_code: "18040000".to_owned(),
                description: "Cocoa butter".to_owned(),
                gross_mass_g: Some(15_000),
                net_mass_g: Some(10_000),
                ..GoodsItem::default()
            }],
            seals: vec!["S1".to_owned()],
            ..Manifest::default()
        }
    }

    fn number() -> EquipmentId {
        EquipmentId::new("CBHU6192031").unwrap()
    }

    #[test]
    fn a_complete_declaration_speaks_a_little_for_the_declarant() {
        let result = weigh(&cocoa(), &number());
        assert_eq!(result.weights, Weights::ZERO.with(ThreatFamily::Undeclared, -1_000));
        assert_eq!((result.ability, result.findings.len()), (Ability::Clear, 0));
    }

    #[test]
    fn declared_arms_explosives_and_radioactive_material_weigh_for_their_family() {
        for (code, family) in [
            ("93062100", ThreatFamily::Weapons),
            ("360410", ThreatFamily::Explosives),
            ("284410", ThreatFamily::Nuclear),
        ] {
            let mut manifest = cocoa();
            manifest.goods[0].commodity_code = code.to_owned();
            assert!(weigh(&manifest, &number()).weights.of(family) >= 1_000, "{code}");
        }
    }

    #[test]
    fn a_manifest_that_says_nothing_was_not_really_seen() {
        let result = weigh(&Manifest::default(), &number());
        assert_eq!(result.ability, Ability::Degraded);
        assert_eq!(result.weights.of(ThreatFamily::Undeclared), 2_500);
        assert_eq!(result.findings[0].code, FindingCode::ElementMissing);
    }

    #[test]
    fn an_empty_container_without_goods_is_fine() {
        let manifest = Manifest {
            empty: true,
            ..Manifest::default()
        };
        let result = weigh(&manifest, &number());
        assert_eq!((result.weights, result.findings.len()), (Weights::ZERO, 0));
    }

    #[test]
    fn everything_odd_at_once_stays_below_the_cap_and_is_explained_by_the_rules() {
        let mut manifest = cocoa();
        manifest.seals.clear();
        manifest.empty = true;
        manifest.goods[0] = GoodsItem {
            net_mass_g: Some(2),
            gross_mass_g: Some(1),
            description: "various".to_owned(),
            ..GoodsItem::default()
        };
        let odd = EquipmentId::new("DM1234").unwrap();
        let result = weigh(&manifest, &odd);
        assert_eq!(result.weights.of(ThreatFamily::Undeclared), CAP);
        assert!(applied(&manifest, &odd).len() >= 5);
    }
}
