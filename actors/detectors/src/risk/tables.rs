//! What the model knows about single values: how often each was seen, and how often it was fraud.

use super::item::{DeclaredItem, Field};

/// Stands for a number that is not there, such as the logarithm of a mass of zero. It lies below every number, so a split
/// sends it to the left.
pub const MISSING: i32 = i32::MIN;

/// What is known about one value of a category.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Category {
    /// The value, or several values joined ([`DeclaredItem::key`]).
    pub key: String,
    /// Smoothed odds of fraud among its declarations, in milli-decibans.
    pub odds: i32,
    /// The same for critical fraud.
    pub critical_odds: i32,
    /// How many declarations had it.
    pub count: u32,
}

/// What is known about the values of one field, or of several together.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CategoryTable {
    /// Which fields make the key.
    pub fields: Vec<Field>,
    /// The odds of a value that is not in the table: those of all declarations, in milli-decibans.
    pub prior: i32,
    /// The same for critical fraud.
    pub critical_prior: i32,
    /// Sorted by key, each once.
    pub categories: Vec<Category>,
}

impl CategoryTable {
    /// What is known about the value that an item has; nothing if it was never seen.
    pub fn look_up(&self, item: &DeclaredItem) -> Option<&Category> {
        let key = item.key(&self.fields);
        let at = self
            .categories
            .binary_search_by(|category| category.key.as_str().cmp(&key))
            .ok()?;
        self.categories.get(at)
    }
}

/// The usual price of a kilogram for one key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UsualPrice {
    /// The value, or several values joined ([`DeclaredItem::key`]).
    pub key: String,
    /// Median of [`log_unit_price`], milli-decibans.
    pub median: i32,
}

/// The usual price of a kilogram by the values of some fields.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PriceTable {
    /// Which fields make the key.
    pub fields: Vec<Field>,
    /// For a key that is not in the table: the median of all declarations.
    pub otherwise: i32,
    /// Sorted by key, each once.
    pub prices: Vec<UsualPrice>,
}

impl PriceTable {
    /// The usual logarithm of the unit price for such an item, in milli-decibans.
    pub fn usual(&self, item: &DeclaredItem) -> i32 {
        let key = item.key(&self.fields);
        self.prices
            .binary_search_by(|price| price.key.as_str().cmp(&key))
            .ok()
            .and_then(|at| self.prices.get(at))
            .map_or(self.otherwise, |price| price.median)
    }
}

/// 10,000 log10 of a quantity, rounded: one integer step is a quarter of a thousandth of the quantity. [`MISSING`] for zero.
///
/// The logarithm is that of `libm`, so every platform finds the same integer.
pub fn log_quantity(quantity: u64) -> i32 {
    if quantity == 0 {
        return MISSING;
    }
    libm::round(10_000.0 * libm::log10(quantity as f64)) as i32
}

/// 10,000 log10 of the price of a gram in thousandths of the currency unit; [`MISSING`] without a price or a mass.
pub fn log_unit_price(item: &DeclaredItem) -> i32 {
    match (log_quantity(item.price), log_quantity(item.net_mass_g)) {
        (MISSING, _) | (_, MISSING) => MISSING,
        (price, mass) => price - mass,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mass_of_zero_has_no_unit_price() {
        let item = DeclaredItem {
            price: 5_000,
            ..Default::default()
        };
        assert_eq!(log_unit_price(&item), MISSING);
    }

    #[test]
    fn ten_times_the_quantity_is_ten_decibans_more() {
        assert_eq!(log_quantity(1), 0);
        assert_eq!(log_quantity(1_000), 30_000);
        assert_eq!(log_quantity(u64::MAX), 192_659);
    }

    #[test]
    fn a_key_without_a_usual_price_takes_the_one_of_all() {
        let table = PriceTable {
            fields: vec![Field::Hs6],
            otherwise: 7,
            prices: vec![UsualPrice {
                key: "010129".to_owned(),
                median: 9,
            }],
        };
        let mut item = DeclaredItem::default();
        assert_eq!(table.usual(&item), 7);
        item.hs6 = "010129".to_owned();
        assert_eq!(table.usual(&item), 9);
    }
}
