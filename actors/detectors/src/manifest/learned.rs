//! A manifest weighed by a model that was learned from past outcomes.

use portcullis_domain::evidence::ThreatFamily;
use portcullis_domain::finding::{Finding, FindingCode};
use portcullis_domain::manifest::{GoodsItem, Manifest};

use crate::risk::{DeclaredItem, RiskModel};

/// Papers alone never weigh more than this for or against a family, milli-decibans: a likelihood ratio of about 30.
pub const LEARNED_CAP: i32 = 15_000;
/// Contributions that a finding names; the others are summed up.
const NAMED: usize = 4;

/// What a model says about a container, and why.
pub(super) struct Weighed {
    /// Milli-decibans.
    pub(super) weight: i32,
    pub(super) finding: Finding,
}

/// The weight of the item that speaks most for the family: the model's odds over the odds of all declarations that it was
/// learned from. Nothing without goods items.
pub(super) fn weigh(model: &RiskModel, family: ThreatFamily, manifest: &Manifest) -> Option<Weighed> {
    let scored = manifest
        .goods
        .iter()
        .map(|item| (item, model.score(&declared_item(manifest, item))));
    let (item, score) = scored.max_by_key(|(item, score)| (score.total, std::cmp::Reverse(item.sequence)))?;
    let ratio = i64::from(score.total) - i64::from(model.parts().prior);
    let weight = ratio.clamp(-i64::from(LEARNED_CAP), i64::from(LEARNED_CAP)) as i32;
    let named = model.explain(&score, NAMED);
    // What every item starts with, and the features that are not named.
    let rest = ratio - named.iter().map(|(_, adds)| i64::from(*adds)).sum::<i64>();
    let mut terms: Vec<String> = named
        .iter()
        .map(|(what, adds)| format!("{what} {}", decibans(i64::from(*adds))))
        .collect();
    terms.push(format!("all else {}", decibans(rest)));
    let capped = if i64::from(weight) == ratio {
        String::new()
    } else {
        format!(", of which {} dB count", decibans(i64::from(weight)))
    };
    let detail = format!(
        "{family}, goods item {}: {} dB{capped} = {}",
        item.sequence,
        decibans(ratio),
        terms.join(", ")
    );
    let finding = Finding::new(FindingCode::DeclarationWeighed, family.as_str(), detail);
    Some(Weighed { weight, finding })
}

/// A goods item as the model sees it: what the decision log holds of it. What only customs systems know (office, parties,
/// duties) stays empty, in learning as in weighing.
pub fn declared_item(manifest: &Manifest, item: &GoodsItem) -> DeclaredItem {
    DeclaredItem {
        // National codes are longer; the first six digits are the same everywhere.
        hs6: item.commodity_code.chars().take(6).collect(),
        departure: manifest.dispatch_country.clone(),
        origin: item.origin.clone(),
        net_mass_g: item.net_mass_g.or(item.gross_mass_g).unwrap_or(0),
        price: item
            .amount
            .as_ref()
            .and_then(|amount| u64::try_from(amount.hundredths).ok())
            .unwrap_or(0)
            .saturating_mul(10),
        ..DeclaredItem::default()
    }
}

/// Milli-decibans as decibans with a sign.
fn decibans(milli: i64) -> String {
    let sign = if milli < 0 { '-' } else { '+' };
    let size = milli.unsigned_abs();
    format!("{sign}{}.{:03}", size / 1_000, size % 1_000)
}

#[cfg(test)]
mod tests {
    use portcullis_domain::evidence::{Ability, Weights};

    use super::super::{ManifestModels, interpret};
    use super::*;
    use crate::risk::{Category, CategoryTable, Feature, Field, ModelParts, Node, Split, Tree};
    use std::sync::Arc;

    /// Origins CO and BE were seen; the tree asks for the odds of the origin, then for the mass.
    fn model(far: i32) -> RiskModel {
        let category = |key: &str, odds| Category {
            key: key.to_owned(),
            odds,
            critical_odds: odds,
            count: 100,
        };
        let node = |value, split: Option<(u16, i32, u16, u16)>| Node {
            value,
            split: split.map(|(feature, threshold, left, right)| Split {
                feature,
                threshold,
                left,
                right,
            }),
        };
        RiskModel::new(ModelParts {
            name: "by hand".to_owned(),
            prior: -20_000,
            categories: vec![CategoryTable {
                fields: vec![Field::Origin],
                prior: -20_000,
                critical_prior: -20_000,
                categories: vec![category("BE", -22_000), category("CO", -14_000)],
            }],
            prices: Vec::new(),
            features: vec![Feature::Odds(0), Feature::Mass],
            bias: -20_500,
            trees: vec![Tree {
                nodes: vec![
                    node(0, Some((0, -18_000, 1, 2))),
                    node(-1_500, None),
                    node(far, Some((1, 70_000, 3, 4))),
                    node(far - 250, None),
                    node(far + 1_000, None),
                ],
            }],
        })
        .unwrap()
    }

    fn manifest(origins: &[&str]) -> Manifest {
        let goods = origins.iter().zip(1..).map(|(origin, sequence)| GoodsItem {
            sequence,
            commodity_code: "0803900000".to_owned(),
            description: "Bananas, fresh".to_owned(),
            origin: (*origin).to_owned(),
            net_mass_g: Some(18_000_000),
            gross_mass_g: Some(19_000_000),
            ..GoodsItem::default()
        });
        Manifest {
            goods: goods.collect(),
            seals: vec!["S1".to_owned()],
            ..Manifest::default()
        }
    }

    fn number() -> portcullis_domain::equipment::EquipmentId {
        portcullis_domain::equipment::EquipmentId::new("CBHU6192031").unwrap()
    }

    fn narcotics(far: i32) -> ManifestModels {
        ManifestModels::none().with(ThreatFamily::Narcotics, Some(Arc::new(model(far))))
    }

    #[test]
    fn the_item_that_speaks_most_for_it_counts_and_its_sum_adds_up() {
        let known = interpret(&manifest(&["BE", "CO"]), &number(), &narcotics(5_000));
        // -20.5 + 6 over odds of -20.
        assert_eq!(known.weights.of(ThreatFamily::Narcotics), 5_500);
        let said = &known.findings.last().unwrap().detail;
        assert_eq!(
            said,
            "narcotics, goods item 2: +5.500 dB = origin: past finds +5.000, mass +1.000, all else -0.500"
        );
    }

    #[test]
    fn other_families_keep_the_weight_of_the_rules() {
        let by_rules = interpret(&manifest(&["BE"]), &number(), &ManifestModels::none());
        let known = interpret(&manifest(&["BE"]), &number(), &narcotics(5_000));
        assert_eq!(known.weights.of(ThreatFamily::Narcotics), -2_000);
        assert_eq!(
            known.weights.with(ThreatFamily::Narcotics, 0),
            by_rules.weights.with(ThreatFamily::Narcotics, 0)
        );
        assert!(by_rules.weights.of(ThreatFamily::Narcotics) > 0, "fruit by the rules");
    }

    #[test]
    fn papers_alone_do_not_condemn() {
        let known = interpret(&manifest(&["CO"]), &number(), &narcotics(60_000));
        assert_eq!(known.weights.of(ThreatFamily::Narcotics), LEARNED_CAP);
        let said = &known.findings.last().unwrap().detail;
        assert!(said.contains("+60.500 dB, of which +15.000 dB count"), "{said}");
    }

    #[test]
    fn a_container_without_goods_is_left_to_the_rules() {
        let empty = Manifest {
            empty: true,
            ..Manifest::default()
        };
        let known = interpret(&empty, &number(), &narcotics(5_000));
        assert_eq!((known.weights, known.findings.len()), (Weights::ZERO, 0));
    }

    #[test]
    fn a_model_that_cannot_be_read_is_said_and_rules_take_its_place() {
        let models = ManifestModels::none().with(ThreatFamily::Narcotics, None);
        let known = interpret(&manifest(&["CO"]), &number(), &models);
        assert_eq!(known.ability, Ability::Degraded);
        assert_eq!(known.findings.last().unwrap().code, FindingCode::ModelUnreadable);
        assert!(known.weights.of(ThreatFamily::Narcotics) > 0);
        assert_eq!(models.version(), "manifest-rules/1");
    }

    #[test]
    fn the_version_names_the_models() {
        let models = narcotics(5_000);
        let version = models.version();
        assert!(
            version.starts_with("manifest-learned/1:") && version.len() <= 64,
            "{version}"
        );
        assert_eq!(version, narcotics(5_000).version());
        assert_ne!(version, narcotics(5_001).version());
        let other = ManifestModels::none().with(ThreatFamily::People, Some(Arc::new(model(5_000))));
        assert_ne!(version, other.version());
    }
}
