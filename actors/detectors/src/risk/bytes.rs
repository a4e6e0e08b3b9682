//! The canonical bytes of a risk model, with every size bounded before anything is read.

use portcullis_domain::codec::{Canonical, CodecError, Reader};

use super::feature::Feature;
use super::item::Field;
use super::tables::{Category, CategoryTable, PriceTable, UsualPrice};
use super::tree::{Node, Split, Tree};
use super::{ALGORITHM, ModelParts, RiskModel};

/// What the bytes of every model begin with; the algorithm follows.
const MAGIC: [u8; 6] = *b"PCRISK";

/// Greatest length of a model's name in bytes.
const NAME: usize = 200;

/// Greatest number of tables of either kind.
const TABLES: usize = 256;
/// Greatest number of fields in one key.
const FIELDS: usize = 8;
/// Greatest number of values in one table.
const CATEGORIES: usize = 4_000_000;
/// Greatest number of features.
const FEATURES: usize = 1024;
/// Greatest number of trees.
const TREES: usize = 16_384;
/// Greatest number of nodes in one tree.
const NODES: usize = 4096;

fn put_list<T>(list: &[T], out: &mut Vec<u8>, put: impl Fn(&T, &mut Vec<u8>)) {
    // A list that is longer than its bound was refused when the model was made.
    u32::try_from(list.len()).unwrap_or(u32::MAX).put(out);
    for element in list {
        put(element, out);
    }
}

fn take_list<T>(
    from: &mut Reader<'_>,
    most: usize,
    what: &'static str,
    take: impl Fn(&mut Reader<'_>) -> Result<T, CodecError>,
) -> Result<Vec<T>, CodecError> {
    let count = u32::take(from)? as usize;
    if count > most {
        return Err(invalid(what, format!("{count} of them; at most {most} are allowed")));
    }
    if count > from.remaining() {
        return Err(CodecError::Truncated { what });
    }
    (0..count).map(|_| take(from)).collect()
}

fn invalid(what: &'static str, why: String) -> CodecError {
    CodecError::Invalid { what, why }
}

fn put_field(field: &Field, out: &mut Vec<u8>) {
    field.tag().put(out);
}

fn take_field(from: &mut Reader<'_>) -> Result<Field, CodecError> {
    let tag = u8::take(from)?;
    Field::of_tag(tag).ok_or(CodecError::UnknownTag { what: "field", tag })
}

fn put_table(table: &CategoryTable, out: &mut Vec<u8>) {
    put_list(&table.fields, out, put_field);
    table.prior.put(out);
    table.critical_prior.put(out);
    put_list(&table.categories, out, |category, out| {
        category.key.put(out);
        category.odds.put(out);
        category.critical_odds.put(out);
        category.count.put(out);
    });
}

fn take_table(from: &mut Reader<'_>) -> Result<CategoryTable, CodecError> {
    Ok(CategoryTable {
        fields: take_list(from, FIELDS, "fields", take_field)?,
        prior: i32::take(from)?,
        critical_prior: i32::take(from)?,
        categories: take_list(from, CATEGORIES, "categories", |from| {
            Ok(Category {
                key: String::take(from)?,
                odds: i32::take(from)?,
                critical_odds: i32::take(from)?,
                count: u32::take(from)?,
            })
        })?,
    })
}

fn put_prices(table: &PriceTable, out: &mut Vec<u8>) {
    put_list(&table.fields, out, put_field);
    table.otherwise.put(out);
    put_list(&table.prices, out, |price, out| {
        price.key.put(out);
        price.median.put(out);
    });
}

fn take_prices(from: &mut Reader<'_>) -> Result<PriceTable, CodecError> {
    Ok(PriceTable {
        fields: take_list(from, FIELDS, "fields", take_field)?,
        otherwise: i32::take(from)?,
        prices: take_list(from, CATEGORIES, "prices", |from| {
            Ok(UsualPrice {
                key: String::take(from)?,
                median: i32::take(from)?,
            })
        })?,
    })
}

fn put_feature(feature: &Feature, out: &mut Vec<u8>) {
    let (tag, table): (u8, u16) = match *feature {
        Feature::Odds(table) => (1, table),
        Feature::CriticalOdds(table) => (2, table),
        Feature::Count(table) => (3, table),
        Feature::Unseen(table) => (4, table),
        Feature::TaxRate => (5, 0),
        Feature::Price => (6, 0),
        Feature::Mass => (7, 0),
        Feature::UnitPrice => (8, 0),
        Feature::Overprice(table) => (9, table),
    };
    tag.put(out);
    table.put(out);
}

fn take_feature(from: &mut Reader<'_>) -> Result<Feature, CodecError> {
    Ok(match (u8::take(from)?, u16::take(from)?) {
        (1, table) => Feature::Odds(table),
        (2, table) => Feature::CriticalOdds(table),
        (3, table) => Feature::Count(table),
        (4, table) => Feature::Unseen(table),
        (5, 0) => Feature::TaxRate,
        (6, 0) => Feature::Price,
        (7, 0) => Feature::Mass,
        (8, 0) => Feature::UnitPrice,
        (9, table) => Feature::Overprice(table),
        (tag, _) => return Err(CodecError::UnknownTag { what: "feature", tag }),
    })
}

fn put_node(node: &Node, out: &mut Vec<u8>) {
    node.value.put(out);
    match node.split {
        None => out.push(0),
        Some(split) => {
            out.push(1);
            split.feature.put(out);
            split.threshold.put(out);
            split.left.put(out);
            split.right.put(out);
        }
    }
}

fn take_node(from: &mut Reader<'_>) -> Result<Node, CodecError> {
    let value = i32::take(from)?;
    let split = match bool::take(from)? {
        false => None,
        true => Some(Split {
            feature: u16::take(from)?,
            threshold: i32::take(from)?,
            left: u16::take(from)?,
            right: u16::take(from)?,
        }),
    };
    Ok(Node { value, split })
}

/// Refuses lists that are longer than a reader accepts.
pub(super) fn check_sizes(parts: &ModelParts) -> Result<(), String> {
    let within = |what: &str, count: usize, most: usize| {
        if count > most {
            return Err(format!("{count} {what}; at most {most} are allowed"));
        }
        Ok(())
    };
    within("bytes in the name", parts.name.len(), NAME)?;
    within("category tables", parts.categories.len(), TABLES)?;
    within("price tables", parts.prices.len(), TABLES)?;
    within("features", parts.features.len(), FEATURES)?;
    within("trees", parts.trees.len(), TREES)?;
    for table in &parts.categories {
        within("fields in a key", table.fields.len(), FIELDS)?;
        within("categories", table.categories.len(), CATEGORIES)?;
    }
    for table in &parts.prices {
        within("fields in a key", table.fields.len(), FIELDS)?;
        within("prices", table.prices.len(), CATEGORIES)?;
    }
    for tree in &parts.trees {
        within("nodes in a tree", tree.nodes.len(), NODES)?;
    }
    Ok(())
}

impl Canonical for RiskModel {
    fn put(&self, out: &mut Vec<u8>) {
        let ModelParts {
            name,
            prior,
            categories,
            prices,
            features,
            bias,
            trees,
        } = self.parts();
        MAGIC.put(out);
        ALGORITHM.put(out);
        name.put(out);
        prior.put(out);
        put_list(categories, out, put_table);
        put_list(prices, out, put_prices);
        put_list(features, out, put_feature);
        bias.put(out);
        put_list(trees, out, |tree, out| put_list(&tree.nodes, out, put_node));
    }

    fn take(from: &mut Reader<'_>) -> Result<Self, CodecError> {
        if from.array("risk model")? != MAGIC {
            return Err(invalid(
                "risk model",
                "the bytes do not begin as those of a risk model".to_owned(),
            ));
        }
        let algorithm = u16::take(from)?;
        if algorithm != ALGORITHM {
            let why =
                format!("algorithm {algorithm} is not known; this version knows {ALGORITHM}: train the model again");
            return Err(invalid("risk model", why));
        }
        let parts = ModelParts {
            name: String::take(from)?,
            prior: i32::take(from)?,
            categories: take_list(from, TABLES, "category tables", take_table)?,
            prices: take_list(from, TABLES, "price tables", take_prices)?,
            features: take_list(from, FEATURES, "features", take_feature)?,
            bias: i32::take(from)?,
            trees: take_list(from, TREES, "trees", |from| {
                Ok(Tree {
                    nodes: take_list(from, NODES, "nodes", take_node)?,
                })
            })?,
        };
        Self::new(parts).map_err(|error| invalid("risk model", error.to_string()))
    }
}
