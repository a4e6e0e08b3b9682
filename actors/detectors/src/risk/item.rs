//! One goods item of a customs declaration, as the risk model sees it.

use std::borrow::Cow;

/// What was declared of one goods item. Identifiers and codes are texts, so leading zeros count; an empty text means that
/// nothing was declared.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct DeclaredItem {
    /// Customs office that takes the declaration.
    pub office: String,
    /// How the declaration is processed.
    pub process_type: String,
    /// Kind of import.
    pub import_type: String,
    /// What the goods are imported for.
    pub import_use: String,
    /// How duties are paid.
    pub payment_type: String,
    /// Mode of transport.
    pub transport_mode: String,
    /// Who declares.
    pub declarant: String,
    /// Who imports.
    pub importer: String,
    /// Who sells.
    pub seller: String,
    /// Express courier, if one carries it.
    pub courier: String,
    /// Commodity code: six digits of the Harmonized System.
    pub hs6: String,
    /// Country the goods left.
    pub departure: String,
    /// Country the goods were made in.
    pub origin: String,
    /// Legal ground of the duty rate.
    pub tax_type: String,
    /// How the origin is shown on the goods or in the papers.
    pub origin_mark: String,
    /// Duty rate in thousandths of a percent.
    pub tax_rate: u32,
    /// Net mass in grams; 0 if not declared.
    pub net_mass_g: u64,
    /// Price of the item in thousandths of the currency unit; 0 if not declared.
    pub price: u64,
}

macro_rules! fields {
    ($($(#[$doc:meta])* $tag:literal $name:ident $words:literal),* $(,)?) => {
        /// A part of a declared item that takes one of many values without order.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
        pub enum Field {
            $($(#[$doc])* $name,)*
        }

        impl Field {
            /// All of them, in the order of their tags.
            pub const ALL: &[Self] = &[$(Self::$name),*];

            pub(super) fn tag(self) -> u8 {
                match self { $(Self::$name => $tag,)* }
            }

            pub(super) fn of_tag(tag: u8) -> Option<Self> {
                match tag { $($tag => Some(Self::$name),)* _ => None }
            }

            /// In words, for explanations.
            pub fn words(self) -> &'static str {
                match self { $(Self::$name => $words,)* }
            }
        }
    };
}

fields! {
    /// Customs office.
    1 Office "office",
    /// How the declaration is processed.
    2 ProcessType "process type",
    /// Kind of import.
    3 ImportType "import type",
    /// What the goods are imported for.
    4 ImportUse "import use",
    /// How duties are paid.
    5 PaymentType "payment type",
    /// Mode of transport.
    6 TransportMode "transport mode",
    /// Who declares.
    7 Declarant "declarant",
    /// Who imports.
    8 Importer "importer",
    /// Who sells.
    9 Seller "seller",
    /// Express courier.
    10 Courier "courier",
    /// Commodity code, six digits.
    11 Hs6 "HS code",
    /// Its first four digits.
    12 Heading "HS heading",
    /// Its first two digits.
    13 Chapter "HS chapter",
    /// Country the goods left.
    14 Departure "departure",
    /// Country the goods were made in.
    15 Origin "origin",
    /// Legal ground of the duty rate.
    16 TaxType "tax type",
    /// How the origin is shown.
    17 OriginMark "origin mark",
}

/// Stands between the values of a combined key; it occurs in no code list.
const BETWEEN: char = '\u{1f}';

impl DeclaredItem {
    /// The same with only those fields that the decision log holds of a manifest in the clear: goods code, countries, mass
    /// and price. A model that is to weigh manifests in a cluster is learned from these.
    #[must_use]
    pub fn as_in_manifest(&self) -> Self {
        Self {
            hs6: self.hs6.clone(),
            departure: self.departure.clone(),
            origin: self.origin.clone(),
            net_mass_g: self.net_mass_g,
            price: self.price,
            ..Self::default()
        }
    }

    /// The text of one field.
    pub fn text(&self, field: Field) -> &str {
        match field {
            Field::Office => &self.office,
            Field::ProcessType => &self.process_type,
            Field::ImportType => &self.import_type,
            Field::ImportUse => &self.import_use,
            Field::PaymentType => &self.payment_type,
            Field::TransportMode => &self.transport_mode,
            Field::Declarant => &self.declarant,
            Field::Importer => &self.importer,
            Field::Seller => &self.seller,
            Field::Courier => &self.courier,
            Field::Hs6 => &self.hs6,
            Field::Heading => self.hs6.get(..4).unwrap_or(&self.hs6),
            Field::Chapter => self.hs6.get(..2).unwrap_or(&self.hs6),
            Field::Departure => &self.departure,
            Field::Origin => &self.origin,
            Field::TaxType => &self.tax_type,
            Field::OriginMark => &self.origin_mark,
        }
    }

    /// The key under which tables know the values of several fields together.
    pub fn key(&self, fields: &[Field]) -> Cow<'_, str> {
        match fields {
            [] => Cow::Borrowed(""),
            [field] => Cow::Borrowed(self.text(*field)),
            [first, rest @ ..] => {
                let mut key = self.text(*first).to_owned();
                for field in rest {
                    key.push(BETWEEN);
                    key.push_str(self.text(*field));
                }
                Cow::Owned(key)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_commodity_code_that_is_short_or_not_ascii_has_a_chapter_all_the_same() {
        for (hs6, heading, chapter) in [
            ("010129", "0101", "01"),
            ("9", "9", "9"),
            ("", "", ""),
            ("äöü", "äö", "ä"),
        ] {
            let item = DeclaredItem {
                hs6: hs6.to_owned(),
                ..Default::default()
            };
            assert_eq!(
                (item.text(Field::Heading), item.text(Field::Chapter)),
                (heading, chapter)
            );
        }
        let odd = DeclaredItem {
            hs6: "1€2".to_owned(),
            ..Default::default()
        };
        assert_eq!(odd.text(Field::Chapter), "1€2", "the cut would fall inside a character");
    }

    #[test]
    fn every_field_comes_back_from_its_tag() {
        for field in Field::ALL {
            assert_eq!(Field::of_tag(field.tag()), Some(*field));
        }
        assert_eq!(Field::of_tag(0), None);
    }
}
