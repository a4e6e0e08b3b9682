//! The numbers that the trees ask about.

use super::item::{DeclaredItem, Field};
use super::tables::{Category, CategoryTable, MISSING, PriceTable, log_quantity, log_unit_price};

/// Where one number about an item comes from. Numbers in brackets are positions of tables in the model.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Feature {
    /// Past odds of fraud of the value; the prior for one that was never seen.
    Odds(u16),
    /// Past odds of critical fraud of the value; the prior for one that was never seen.
    CriticalOdds(u16),
    /// Logarithm of how often the value was seen; [`MISSING`] for one that was never seen.
    Count(u16),
    /// 1 for a value that was never seen, else 0.
    Unseen(u16),
    /// Duty rate, thousandths of a percent.
    TaxRate,
    /// Logarithm of the price, milli-decibans.
    Price,
    /// Logarithm of the mass, milli-decibans.
    Mass,
    /// Logarithm of the unit price, milli-decibans.
    UnitPrice,
    /// How far the unit price lies above the usual one, milli-decibans.
    Overprice(u16),
}

impl Feature {
    /// The table of categories that it reads.
    pub fn category_table(self) -> Option<u16> {
        match self {
            Self::Odds(table) | Self::CriticalOdds(table) | Self::Count(table) | Self::Unseen(table) => Some(table),
            Self::TaxRate | Self::Price | Self::Mass | Self::UnitPrice | Self::Overprice(_) => None,
        }
    }

    /// The table of prices that it reads.
    pub fn price_table(self) -> Option<u16> {
        match self {
            Self::Overprice(table) => Some(table),
            _ => None,
        }
    }

    /// In words, for explanations; the same for the same model.
    pub(super) fn words(self, categories: &[CategoryTable], prices: &[PriceTable]) -> String {
        let fields = self
            .category_table()
            .and_then(|at| categories.get(usize::from(at)))
            .map(|table| table.fields.as_slice())
            .or_else(|| Some(prices.get(usize::from(self.price_table()?))?.fields.as_slice()));
        let of = join(fields.unwrap_or_default());
        match self {
            Self::Odds(_) => format!("{of}: past finds"),
            Self::CriticalOdds(_) => format!("{of}: past critical finds"),
            Self::Count(_) => format!("{of}: how often seen"),
            Self::Unseen(_) => format!("{of}: never seen"),
            Self::TaxRate => "tax rate".to_owned(),
            Self::Price => "price".to_owned(),
            Self::Mass => "mass".to_owned(),
            Self::UnitPrice => "unit price".to_owned(),
            Self::Overprice(_) => format!("unit price against the usual for {of}"),
        }
    }

    /// The number, given what the category tables know about the item (one look-up each).
    pub fn value(self, item: &DeclaredItem, known: &[Known<'_>], prices: &[PriceTable]) -> i32 {
        let at = |table: u16| known.get(usize::from(table)).copied().unwrap_or_default();
        match self {
            Self::Odds(table) => at(table).odds(),
            Self::CriticalOdds(table) => at(table).critical_odds(),
            Self::Count(table) => at(table)
                .category
                .map_or(MISSING, |category| log_quantity(u64::from(category.count))),
            Self::Unseen(table) => i32::from(at(table).category.is_none()),
            Self::TaxRate => i32::try_from(item.tax_rate).unwrap_or(i32::MAX),
            Self::Price => log_quantity(item.price),
            Self::Mass => log_quantity(item.net_mass_g),
            Self::UnitPrice => log_unit_price(item),
            Self::Overprice(table) => match (log_unit_price(item), prices.get(usize::from(table))) {
                (MISSING, _) | (_, None) => MISSING,
                (price, Some(table)) => price.saturating_sub(table.usual(item)),
            },
        }
    }
}

/// What one category table knows about one item.
#[derive(Debug, Clone, Copy, Default)]
pub struct Known<'a> {
    table: Option<&'a CategoryTable>,
    category: Option<&'a Category>,
}

impl<'a> Known<'a> {
    /// Looks an item up.
    pub fn new(table: &'a CategoryTable, item: &DeclaredItem) -> Self {
        Self {
            table: Some(table),
            category: table.look_up(item),
        }
    }

    fn odds(self) -> i32 {
        let prior = self.table.map_or(0, |table| table.prior);
        self.category.map_or(prior, |category| category.odds)
    }

    fn critical_odds(self) -> i32 {
        let prior = self.table.map_or(0, |table| table.critical_prior);
        self.category.map_or(prior, |category| category.critical_odds)
    }
}

fn join(fields: &[Field]) -> String {
    let words: Vec<&str> = fields.iter().map(|field| field.words()).collect();
    words.join(" + ")
}
