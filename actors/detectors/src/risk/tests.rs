//! What a risk model promises, on models made by hand and at random.

use std::collections::BTreeMap;

use portcullis_domain::codec::{CodecError, from_bytes, to_bytes};
use proptest::prelude::*;

use super::*;

fn category(key: &str, odds: i32, count: u32) -> Category {
    Category {
        key: key.to_owned(),
        odds,
        critical_odds: odds - 10_000,
        count,
    }
}

fn leaf(value: i32) -> Node {
    Node { value, split: None }
}

fn split(value: i32, feature: u16, threshold: i32, left: u16, right: u16) -> Node {
    Node {
        value,
        split: Some(Split {
            feature,
            threshold,
            left,
            right,
        }),
    }
}

/// One table of origins, one of prices, three features, and one tree that asks twice on its longest way.
fn parts() -> ModelParts {
    ModelParts {
        name: "by hand".to_owned(),
        prior: -6_000,
        categories: vec![CategoryTable {
            fields: vec![Field::Origin],
            prior: -6_000,
            critical_prior: -20_000,
            categories: vec![category("BE", -9_000, 10), category("CN", 2_000, 90)],
        }],
        prices: vec![PriceTable {
            fields: vec![Field::Hs6, Field::Origin],
            otherwise: 500,
            prices: Vec::new(),
        }],
        features: vec![Feature::Odds(0), Feature::Unseen(0), Feature::Price],
        bias: -5_500,
        trees: vec![Tree {
            nodes: vec![
                split(0, 0, -1_000, 1, 2),
                split(-700, 1, 0, 3, 4),
                leaf(1_200),
                leaf(-900),
                split(400, 2, 30_000, 5, 6),
                leaf(100),
                leaf(650),
            ],
        }],
    }
}

fn item(origin: &str, price: u64) -> DeclaredItem {
    DeclaredItem {
        origin: origin.to_owned(),
        price,
        ..Default::default()
    }
}

fn refused(change: impl FnOnce(&mut ModelParts)) -> String {
    let mut changed = parts();
    change(&mut changed);
    RiskModel::new(changed).unwrap_err().to_string()
}

#[test]
fn each_step_of_a_walk_is_put_down_to_the_feature_that_was_asked() {
    let model = RiskModel::new(parts()).unwrap();
    let score = model.score(&item("XX", 2_000));
    assert_eq!(score.contributions, [-700, 1_100, 250]);
    assert_eq!(score.total, -5_500 + 650);
    assert_eq!(model.score(&item("CN", 0)).contributions, [1_200, 0, 0]);
}

#[test]
fn a_value_that_was_never_seen_takes_the_prior_and_says_so() {
    let model = RiskModel::new(parts()).unwrap();
    let score = model.score(&item("XX", 2_000));
    assert_eq!(
        model.explain(&score, 2),
        [("origin: never seen", 1_100), ("origin: past finds", -700)]
    );
    assert_eq!(model.score(&item("BE", 2_000)).contributions, [-700, -200, 0]);
}

#[test]
fn odds_become_the_probability_that_they_stand_for() {
    assert_eq!(probability_ppm(0), 500_000);
    assert_eq!(probability_ppm(10_000), 909_091);
    assert_eq!(probability_ppm(-10_000), 90_909);
    assert_eq!((probability_ppm(i32::MIN), probability_ppm(i32::MAX)), (0, 1_000_000));
}

#[test]
fn a_model_comes_back_from_its_bytes_with_the_same_digest() {
    let model = RiskModel::new(parts()).unwrap();
    let read: RiskModel = from_bytes(&to_bytes(&model)).unwrap();
    assert_eq!(read, model);
    assert_eq!(read.digest(), model.digest());
}

#[test]
fn bytes_that_are_cut_short_or_of_something_else_are_refused() {
    let bytes = to_bytes(&RiskModel::new(parts()).unwrap());
    for length in 0..bytes.len() {
        assert!(from_bytes::<RiskModel>(&bytes[..length]).is_err(), "{length} bytes");
    }
    let longer = [bytes.as_slice(), &[0]].concat();
    assert_eq!(from_bytes::<RiskModel>(&longer), Err(CodecError::Trailing { count: 1 }));
    let error = from_bytes::<RiskModel>(b"not a model at all").unwrap_err();
    assert!(
        error.to_string().contains("do not begin as those of a risk model"),
        "{error}"
    );
}

#[test]
fn a_model_for_another_way_of_scoring_is_refused() {
    let mut bytes = to_bytes(&RiskModel::new(parts()).unwrap());
    bytes[7] = 2;
    let error = from_bytes::<RiskModel>(&bytes).unwrap_err();
    assert!(error.to_string().contains("algorithm 2 is not known"), "{error}");
}

#[test]
fn a_list_that_claims_more_than_is_allowed_is_refused_before_it_is_read() {
    let mut bytes = to_bytes(&RiskModel::new(parts()).unwrap());
    // Behind the magic bytes, the algorithm, the name and the odds comes the number of category tables.
    bytes[23..27].copy_from_slice(&u32::MAX.to_be_bytes());
    let error = from_bytes::<RiskModel>(&bytes).unwrap_err();
    assert!(error.to_string().contains("at most 256 are allowed"), "{error}");
}

#[test]
fn what_is_not_a_tree_is_refused() {
    let node = |at: usize, node: Node| refused(|parts| parts.trees[0].nodes[at] = node);
    assert!(node(0, split(0, 0, 0, 0, 2)).contains("node 0 leads back to node 0"));
    assert!(node(4, split(400, 2, 0, 3, 6)).contains("node 4 leads back to node 3"));
    assert!(node(1, split(-700, 1, 0, 2, 4)).contains("node 1 leads back to node 2"));
    assert!(node(4, split(400, 2, 0, 5, 7)).contains("node 7, which is not there"));
    assert!(node(4, leaf(400)).contains("no split leads to node 5"));
    assert!(node(4, split(400, 3, 0, 5, 6)).contains("feature 3, which is not there"));
    assert!(node(0, split(1, 0, 0, 1, 2)).contains("root"));
    assert!(node(5, leaf(100_001)).contains("worth more than 100000"));
    assert!(refused(|parts| parts.trees[0].nodes.clear()).contains("no nodes"));
}

#[test]
fn tables_out_of_order_and_features_without_their_table_are_refused() {
    assert!(refused(|parts| parts.categories[0].categories.reverse()).contains("not sorted"));
    let twice = |parts: &mut ModelParts| parts.categories[0].categories[1].key = "BE".to_owned();
    assert!(refused(twice).contains("names a value twice"));
    assert!(refused(|parts| parts.features[0] = Feature::Odds(1)).contains("feature 0 reads a table"));
    assert!(refused(|parts| parts.features[2] = Feature::Overprice(1)).contains("feature 2 reads a table"));
}

#[test]
fn a_model_whose_sums_could_overflow_is_refused() {
    assert!(refused(|parts| parts.bias = i32::MIN).contains("at most 1000000000"));
    let deep = |parts: &mut ModelParts| {
        let tree = Tree {
            nodes: vec![split(0, 0, 0, 1, 2), leaf(100_000), leaf(-100_000)],
        };
        parts.trees = vec![tree; 10_001];
    };
    assert!(refused(deep).contains("may add up to"));
}

fn any_item() -> impl Strategy<Value = DeclaredItem> {
    let text = || {
        prop_oneof![
            Just(String::new()),
            Just("CN".to_owned()),
            "[0-9A-Zé]{0,8}",
            any::<String>()
        ]
    };
    (
        (text(), text(), text(), text()),
        any::<u32>(),
        prop_oneof![Just(0), any::<u64>()],
        prop_oneof![Just(0), any::<u64>()],
    )
        .prop_map(
            |((origin, hs6, importer, office), tax_rate, net_mass_g, price)| DeclaredItem {
                origin,
                hs6,
                importer,
                office,
                tax_rate,
                net_mass_g,
                price,
                ..Default::default()
            },
        )
}

/// A tree of random shape and values on the features of [`any_model`].
fn any_tree() -> impl Strategy<Value = Tree> {
    let step = (
        any::<prop::sample::Index>(),
        0..9_u16,
        any::<i32>(),
        -50_000..50_000,
        -50_000..50_000,
    );
    prop::collection::vec(step, 0..12).prop_map(|steps| {
        let mut nodes = vec![leaf(0)];
        for (at, feature, threshold, left, right) in steps {
            let leaves: Vec<usize> = (0..nodes.len()).filter(|at| nodes[*at].split.is_none()).collect();
            let at = leaves[at.index(leaves.len())];
            let next = nodes.len() as u16;
            nodes[at] = split(nodes[at].value, feature, threshold, next, next + 1);
            nodes.extend([leaf(left), leaf(right)]);
        }
        Tree { nodes }
    })
}

fn any_model() -> impl Strategy<Value = RiskModel> {
    let rows = prop::collection::btree_map("[A-Z]{0,2}", (any::<i32>(), any::<i32>(), any::<u32>()), 0..6);
    let table = |rows: BTreeMap<String, (i32, i32, u32)>| CategoryTable {
        fields: vec![Field::Origin],
        prior: -6_000,
        critical_prior: -20_000,
        categories: rows
            .into_iter()
            .map(|(key, (odds, critical_odds, count))| Category {
                key,
                odds,
                critical_odds,
                count,
            })
            .collect(),
    };
    let prices = prop::collection::btree_map("[A-Z]{0,2}", any::<i32>(), 0..4);
    (rows, prices, any::<i32>(), prop::collection::vec(any_tree(), 0..8)).prop_map(
        move |(rows, prices, otherwise, trees)| {
            RiskModel::new(ModelParts {
                name: String::new(),
                prior: -6_000,
                categories: vec![table(rows)],
                prices: vec![PriceTable {
                    fields: vec![Field::Chapter],
                    otherwise,
                    prices: prices
                        .into_iter()
                        .map(|(key, median)| UsualPrice { key, median })
                        .collect(),
                }],
                features: vec![
                    Feature::Odds(0),
                    Feature::CriticalOdds(0),
                    Feature::Count(0),
                    Feature::Unseen(0),
                    Feature::TaxRate,
                    Feature::Price,
                    Feature::Mass,
                    Feature::UnitPrice,
                    Feature::Overprice(0),
                ],
                bias: -5_500,
                trees,
            })
            .unwrap()
        },
    )
}

proptest! {
    #[test]
    fn bias_and_contributions_add_up_to_the_score_for_any_model_and_item(model in any_model(), item in any_item()) {
        let score = model.score(&item);
        prop_assert_eq!(score.contributions.len(), model.feature_names().len());
        prop_assert_eq!(score.bias + score.contributions.iter().sum::<i32>(), score.total);
    }

    #[test]
    fn any_model_comes_back_from_its_bytes(model in any_model()) {
        prop_assert_eq!(from_bytes::<RiskModel>(&to_bytes(&model)).unwrap(), model);
    }

    #[test]
    fn arbitrary_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        prop_assert!(from_bytes::<RiskModel>(&bytes).is_err());
        let _ = from_bytes::<RiskModel>(&[b"PCRISK\0\x01\0\0\0\0".as_slice(), &bytes].concat());
    }

    #[test]
    fn a_model_with_a_changed_byte_is_refused_or_still_adds_up(
        model in any_model(), at in any::<prop::sample::Index>(), byte in any::<u8>(), item in any_item(),
    ) {
        let mut bytes = to_bytes(&model);
        let at = at.index(bytes.len());
        bytes[at] = byte;
        if let Ok(model) = from_bytes::<RiskModel>(&bytes) {
            let score = model.score(&item);
            prop_assert_eq!(score.bias + score.contributions.iter().sum::<i32>(), score.total);
        }
    }
}
