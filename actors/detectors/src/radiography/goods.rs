//! What declared goods look like to a beam: what they are made of, and how much unevenness they explain.

use portcullis_domain::manifest::Manifest;

use super::beam::Material;

/// How evenly goods fill a container.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Order {
    /// Nothing is declared to be inside.
    Empty,
    /// One kind of goods in bulk or in bags: nothing explains a dense spot.
    Homogeneous,
    /// One kind of goods in cartons, on pallets, or as machines.
    Packed,
    /// Groupage, or goods that nobody named.
    Mixed,
}

/// What is declared, as far as an image can show it.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Declared {
    pub(super) order: Order,
    /// Materials with their shares of the mass, which add up to 1; empty if the goods are not named.
    pub(super) materials: Vec<(Material, f64)>,
}

impl Declared {
    pub(super) fn of(manifest: &Manifest) -> Self {
        if manifest.empty {
            return Self {
                order: Order::Empty,
                materials: vec![(Material::Iron, 1.0)],
            };
        }
        let chapters: Vec<(u8, f64)> = manifest
            .goods
            .iter()
            .filter_map(|item| {
                let chapter = item.commodity_code.get(..2)?.parse().ok()?;
                let grams = item.gross_mass_g.or(item.net_mass_g).unwrap_or(1).max(1);
                Some((chapter, grams as f64))
            })
            .collect();
        if chapters.is_empty() || chapters.len() < manifest.goods.len() {
            return Self {
                order: Order::Mixed,
                materials: Vec::new(),
            };
        }
        let total: f64 = chapters.iter().map(|(_, grams)| grams).sum();
        let materials = Material::ALL
            .into_iter()
            .filter_map(|material| {
                let grams: f64 = chapters
                    .iter()
                    .filter(|(chapter, _)| material_of(*chapter) == material)
                    .map(|(_, grams)| grams)
                    .sum();
                (grams > 0.0).then_some((material, grams / total))
            })
            .collect();
        let one_chapter = chapters.iter().all(|(chapter, _)| *chapter == chapters[0].0);
        let order = match (one_chapter, is_bulk(chapters[0].0)) {
            (true, true) => Order::Homogeneous,
            (true, false) => Order::Packed,
            (false, _) => Order::Mixed,
        };
        Self { order, materials }
    }

    /// The standard deviation of a mass from the image, relative: composition within the material, direction of the rays,
    /// scatter. An assumption, checked in the simulated port.
    pub(super) fn relative_sigma(&self) -> f64 {
        match self.materials.len() {
            1 => 0.04,
            2 => 0.06,
            _ => 0.08,
        }
    }
}

/// Chapters of the Harmonised System whose goods fill a container evenly: cereals, flour, seeds, sugar, coffee, cocoa beans,
/// feed, salt and stone, ores, mineral fuels, fertilisers, wood pulp.
fn is_bulk(chapter: u8) -> bool {
    matches!(chapter, 9..=12 | 17 | 18 | 23 | 25..=27 | 31 | 47)
}

/// What most goods of a chapter of the Harmonised System are made of.
fn material_of(chapter: u8) -> Material {
    match chapter {
        // Meat, fish, milk, live plants, fresh fruit and vegetables, preserves; liquids; plastics and rubber.
        1..=8 | 15 | 16 | 20 | 21 | 27 | 33 | 34 | 39 | 40 => Material::Water,
        // Salt and stone; inorganic chemicals; fertilisers; stone, ceramics, glass; aluminium.
        25 | 28 | 31 | 68..=70 | 76 => Material::Mineral,
        // Ores; iron, copper, nickel and other metals; tools; machines, vehicles, arms.
        26 | 72..=75 | 78..=89 | 93 => Material::Iron,
        // Also drinks: with their glass, a third of the mass, they have the electrons of cellulose.
        _ => Material::Cellulose,
    }
}

#[cfg(test)]
mod tests {
    use portcullis_domain::manifest::GoodsItem;

    use super::*;

    fn manifest(items: &[(&str, u64)]) -> Manifest {
        let item = |(code, grams): &(&str, u64)| GoodsItem {
            commodity_code: (*code).to_owned(),
            gross_mass_g: Some(*grams),
            ..GoodsItem::default()
        };
        Manifest {
            goods: items.iter().map(item).collect(),
            ..Manifest::default()
        }
    }

    #[test]
    fn bulk_goods_explain_nothing_and_groupage_explains_much() {
        assert_eq!(Declared::of(&manifest(&[("100630", 1)])).order, Order::Homogeneous);
        assert_eq!(Declared::of(&manifest(&[("950300", 1)])).order, Order::Packed);
        assert_eq!(
            Declared::of(&manifest(&[("950300", 1), ("100630", 1)])).order,
            Order::Mixed
        );
        for unknown in [
            vec![],
            vec![("", 1)],
            vec![("x", 1)],
            vec![("é", 1)],
            vec![("100630", 1), ("", 1)],
        ] {
            let declared = Declared::of(&manifest(&unknown));
            assert_eq!(
                (declared.order, declared.materials.len()),
                (Order::Mixed, 0),
                "{unknown:?}"
            );
        }
        let empty = Manifest {
            empty: true,
            ..Manifest::default()
        };
        assert_eq!(Declared::of(&empty).order, Order::Empty);
    }

    #[test]
    fn materials_are_shared_out_by_mass() {
        let declared = Declared::of(&manifest(&[("100630", 3), ("721049", 1)]));
        assert_eq!(
            declared.materials,
            [(Material::Cellulose, 0.75), (Material::Iron, 0.25)]
        );
    }
}
