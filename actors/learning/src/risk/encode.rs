//! Tables of what is known about single values, and the numbers of training rows without a look at their own outcome.

use std::collections::BTreeMap;

use portcullis_detectors::risk::{
    Category, CategoryTable, Feature, Field, Known, MISSING, PriceTable, UsualPrice, log_quantity, log_unit_price,
};
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng as _, SeedableRng as _};

use super::records::Record;

/// How many declarations a key must have before it has a usual price of its own.
const PRICES_LEAST: usize = 5;

/// How values become numbers.
#[derive(Debug, Clone)]
pub(super) struct Encoding {
    /// Odds of fraud among all records, milli-decibans.
    pub(super) prior: i32,
    pub(super) categories: Vec<CategoryTable>,
    pub(super) prices: Vec<PriceTable>,
    pub(super) features: Vec<Feature>,
}

/// Numbers of many rows: one list for each feature, one element for each row.
pub(super) type Matrix = Vec<Vec<i32>>;

/// What one key was seen with.
#[derive(Debug, Clone, Copy, Default)]
struct Seen {
    rows: u32,
    frauds: u32,
    criticals: u32,
}

impl Seen {
    fn add(&mut self, record: &Record) {
        self.rows += 1;
        self.frauds += u32::from(record.fraud);
        self.criticals += u32::from(record.critical);
    }

    fn without(self, other: Self) -> Self {
        Self {
            rows: self.rows - other.rows,
            frauds: self.frauds - other.frauds,
            criticals: self.criticals - other.criticals,
        }
    }

    /// Odds of fraud and of critical fraud, in milli-decibans, drawn towards the `shares` of all rows as if those had been
    /// seen in `weight` more rows.
    fn odds(self, shares: (f64, f64), weight: f64) -> (i32, i32) {
        let smooth = |count: u32, share: f64| {
            let share = (f64::from(count) + weight * share) / (f64::from(self.rows) + weight);
            log_odds(share)
        };
        (smooth(self.frauds, shares.0), smooth(self.criticals, shares.1))
    }

    /// Shares among these rows; half a case more on both sides, so that no share is 0 or 1.
    fn shares(self) -> (f64, f64) {
        let share = |count: u32| (f64::from(count) + 0.5) / (f64::from(self.rows) + 1.0);
        (share(self.frauds), share(self.criticals))
    }
}

fn log_odds(share: f64) -> i32 {
    libm::round(10_000.0 * libm::log10(share / (1.0 - share))) as i32
}

/// Single fields, and the pairs that say more than their parts.
fn keys() -> Vec<Vec<Field>> {
    let mut keys: Vec<Vec<Field>> = Field::ALL.iter().map(|field| vec![*field]).collect();
    keys.extend([
        vec![Field::Hs6, Field::Origin],
        vec![Field::Heading, Field::Departure],
        vec![Field::Importer, Field::Office],
        vec![Field::Importer, Field::Hs6],
        vec![Field::Declarant, Field::Heading],
        vec![Field::Declarant, Field::Office],
        vec![Field::Departure, Field::Origin],
        vec![Field::Seller, Field::Heading],
        vec![Field::Office, Field::Chapter],
    ]);
    keys
}

impl Encoding {
    /// Learns the tables from `records`, and makes the numbers of these records: the odds and counts of a row come from the
    /// folds that it is not in, so that no row's number knows its outcome.
    pub(super) fn learn(records: &[Record], folds: u32, weight: f64, seed: u64) -> (Self, Matrix) {
        let folds = folds.max(2);
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let fold_of: Vec<u32> = records.iter().map(|_| rng.next_u32() % folds).collect();
        let mut all = Seen::default();
        records.iter().for_each(|record| all.add(record));
        let shares = all.shares();
        let (prior, critical_prior) = all.odds(shares, weight);

        let mut encoding = Self {
            prior,
            categories: Vec::new(),
            prices: Vec::new(),
            features: vec![Feature::TaxRate, Feature::Price, Feature::Mass, Feature::UnitPrice],
        };
        let mut matrix: Matrix = encoding
            .features
            .iter()
            .map(|feature| {
                records
                    .iter()
                    .map(|record| feature.value(&record.item, &[], &[]))
                    .collect()
            })
            .collect();
        for fields in [vec![Field::Hs6], vec![Field::Hs6, Field::Origin]] {
            let at = encoding.prices.len() as u16;
            encoding.prices.push(learn_prices(records, fields));
            let feature = Feature::Overprice(at);
            encoding.features.push(feature);
            let prices = &encoding.prices;
            matrix.push(
                records
                    .iter()
                    .map(|record| feature.value(&record.item, &[], prices))
                    .collect(),
            );
        }
        for fields in keys() {
            if !fields.iter().all(|field| varies(records, *field)) {
                // The same everywhere, it tells nothing: alone its odds would tell of the folds, and with others theirs again.
                continue;
            }
            let at = encoding.categories.len() as u16;
            let column = Column::new(records, &fields, &fold_of, folds);
            let table = CategoryTable {
                fields,
                prior,
                critical_prior,
                categories: column.categories(shares, weight),
            };
            let features = [
                Feature::Odds(at),
                Feature::CriticalOdds(at),
                Feature::Count(at),
                Feature::Unseen(at),
            ];
            for feature in features {
                encoding.features.push(feature);
                matrix.push(column.numbers(feature, &table, &fold_of, shares, weight));
            }
            encoding.categories.push(table);
        }
        (encoding, matrix)
    }

    /// The numbers of records that the tables were not learned from.
    pub(super) fn numbers(&self, records: &[Record]) -> Matrix {
        let mut matrix: Matrix = vec![Vec::with_capacity(records.len()); self.features.len()];
        for record in records {
            let known: Vec<Known<'_>> = self
                .categories
                .iter()
                .map(|table| Known::new(table, &record.item))
                .collect();
            for (feature, column) in self.features.iter().zip(&mut matrix) {
                column.push(feature.value(&record.item, &known, &self.prices));
            }
        }
        matrix
    }
}

/// Whether not all records have the same value.
fn varies(records: &[Record], field: Field) -> bool {
    let mut values = records.iter().map(|record| record.item.text(field));
    let first = values.next();
    values.any(|value| Some(value) != first)
}

/// The keys of all rows in one table.
struct Column {
    /// Every key, sorted, with what it was seen with in all rows.
    seen: BTreeMap<String, (usize, Seen)>,
    /// Position of each row's key.
    key_of: Vec<usize>,
    /// What each key was seen with in each fold; `key * folds + fold`.
    by_fold: Vec<Seen>,
    all: Vec<Seen>,
    folds: u32,
}

impl Column {
    fn new(records: &[Record], fields: &[Field], fold_of: &[u32], folds: u32) -> Self {
        let mut seen: BTreeMap<String, (usize, Seen)> = BTreeMap::new();
        for record in records {
            seen.entry(record.item.key(fields).into_owned())
                .or_default()
                .1
                .add(record);
        }
        for (at, (place, _)) in seen.values_mut().enumerate() {
            *place = at;
        }
        let all: Vec<Seen> = seen.values().map(|(_, seen)| *seen).collect();
        let mut by_fold = vec![Seen::default(); all.len() * folds as usize];
        let mut key_of = Vec::with_capacity(records.len());
        for (record, fold) in records.iter().zip(fold_of) {
            let key = seen.get(record.item.key(fields).as_ref()).map_or(0, |(at, _)| *at);
            key_of.push(key);
            by_fold[key * folds as usize + *fold as usize].add(record);
        }
        Self {
            seen,
            key_of,
            by_fold,
            all,
            folds,
        }
    }

    fn categories(&self, shares: (f64, f64), weight: f64) -> Vec<Category> {
        self.seen
            .iter()
            .map(|(key, (_, seen))| {
                let (odds, critical_odds) = seen.odds(shares, weight);
                Category {
                    key: key.clone(),
                    odds,
                    critical_odds,
                    count: seen.rows,
                }
            })
            .collect()
    }

    /// One feature of all rows, from the folds that each row is not in.
    fn numbers(
        &self,
        feature: Feature,
        table: &CategoryTable,
        fold_of: &[u32],
        shares: (f64, f64),
        weight: f64,
    ) -> Vec<i32> {
        self.key_of
            .iter()
            .zip(fold_of)
            .map(|(key, fold)| {
                let inside = self.by_fold[*key * self.folds as usize + *fold as usize];
                let outside = self.all[*key].without(inside);
                if outside.rows == 0 {
                    return match feature {
                        Feature::Odds(_) => table.prior,
                        Feature::CriticalOdds(_) => table.critical_prior,
                        Feature::Unseen(_) => 1,
                        _ => MISSING,
                    };
                }
                match feature {
                    Feature::Odds(_) => outside.odds(shares, weight).0,
                    Feature::CriticalOdds(_) => outside.odds(shares, weight).1,
                    // As many as a table made of all folds would hold.
                    Feature::Count(_) => {
                        log_quantity(u64::from(outside.rows) * u64::from(self.folds) / u64::from(self.folds - 1))
                    }
                    _ => 0,
                }
            })
            .collect()
    }
}

fn learn_prices(records: &[Record], fields: Vec<Field>) -> PriceTable {
    let mut by_key: BTreeMap<String, Vec<i32>> = BTreeMap::new();
    let mut all = Vec::new();
    for record in records {
        let price = log_unit_price(&record.item);
        if price != MISSING {
            by_key
                .entry(record.item.key(&fields).into_owned())
                .or_default()
                .push(price);
            all.push(price);
        }
    }
    let prices = by_key
        .into_iter()
        .filter(|(_, prices)| prices.len() >= PRICES_LEAST)
        .map(|(key, mut prices)| UsualPrice {
            key,
            median: median(&mut prices),
        })
        .collect();
    PriceTable {
        fields,
        otherwise: median(&mut all),
        prices,
    }
}

/// The middle value, the lower one of two; 0 of none.
fn median(values: &mut [i32]) -> i32 {
    values.sort_unstable();
    values.get(values.len().saturating_sub(1) / 2).copied().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use portcullis_detectors::risk::DeclaredItem;

    /// Rows of sellers with two declarations each, and outcomes by chance.
    fn by_chance(rows: usize) -> Vec<Record> {
        let mut rng = ChaCha8Rng::seed_from_u64(5);
        (0..rows)
            .map(|row| Record {
                id: row.to_string(),
                date: "2020-01-01".to_owned(),
                item: DeclaredItem {
                    seller: format!("S{}", row / 2),
                    ..Default::default()
                },
                fraud: rng.next_u32() % 2 == 0,
                critical: false,
            })
            .collect()
    }

    fn place(encoding: &Encoding, wanted: impl Fn(&Feature) -> bool) -> usize {
        encoding.features.iter().position(wanted).unwrap()
    }

    fn table_of(encoding: &Encoding, field: Field) -> u16 {
        let at = encoding.categories.iter().position(|table| table.fields == [field]);
        at.unwrap() as u16
    }

    #[test]
    fn the_numbers_of_a_training_row_do_not_know_its_outcome() {
        let records = by_chance(4_000);
        let (encoding, matrix) = Encoding::learn(&records, 10, 20.0, 1);
        let table = table_of(&encoding, Field::Seller);
        let odds = place(&encoding, |feature| *feature == Feature::Odds(table));
        let mean = |matrix: &Matrix, fraud: bool| {
            let picked: Vec<f64> = records
                .iter()
                .zip(&matrix[odds])
                .filter(|(record, _)| record.fraud == fraud)
                .map(|(_, odds)| f64::from(*odds))
                .collect();
            picked.iter().sum::<f64>() / picked.len() as f64
        };
        let gap = mean(&matrix, true) - mean(&matrix, false);
        assert!(gap.abs() < 30.0, "the own outcome shows: {gap}");
        let looked_up = encoding.numbers(&records);
        let naive = mean(&looked_up, true) - mean(&looked_up, false);
        assert!(
            naive > 150.0,
            "the tables must know it, or this test shows nothing: {naive}"
        );
    }

    #[test]
    fn a_key_seen_in_one_fold_only_counts_there_as_never_seen() {
        let mut records = by_chance(400);
        records[0].item.seller = "only once".to_owned();
        let (encoding, matrix) = Encoding::learn(&records, 10, 20.0, 1);
        let table = table_of(&encoding, Field::Seller);
        let unseen = place(&encoding, |feature| *feature == Feature::Unseen(table));
        assert_eq!(matrix[unseen][0], 1);
        assert_eq!(encoding.numbers(&records)[unseen][0], 0);
        assert_eq!(matrix.len(), encoding.features.len());
    }

    #[test]
    fn odds_are_drawn_to_those_of_all_rows() {
        let seen = Seen {
            rows: 20,
            frauds: 20,
            criticals: 0,
        };
        // (20 + 20 x 0.2) / 40 = 0.6, odds of 1.5.
        assert_eq!(seen.odds((0.2, 0.01), 20.0).0, 1_761);
        assert_eq!(Seen::default().odds((0.2, 0.01), 20.0).0, -6_021);
    }
}
