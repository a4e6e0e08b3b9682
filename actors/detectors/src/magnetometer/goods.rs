//! What declared goods explain of the iron in a container.

use portcullis_domain::manifest::Manifest;

/// How much iron the declared goods explain.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Explains {
    /// None: food, wood, paper, textiles, stone, plastics in primary form. Also an empty container.
    Nothing,
    /// Some: goods with springs, fittings, belts, motors or drums, and goods that nobody named.
    Some,
    /// Any amount: iron, steel, machines, vehicles, arms.
    Everything,
}

/// Chapters of the Harmonised System that are or contain iron in any amount: 72, 73 iron and steel; 82 tools; 83 articles of
/// base metal; 84, 85 machines and electrical goods; 86 to 89 vehicles; 93 arms; 26 ores and slag.
const EVERYTHING: &[&str] = &["26", "72", "73", "82", "83", "84", "85", "86", "87", "88", "89", "93"];
/// Chapters that hold no iron to speak of: 01 to 24 food and tobacco; 25, 27 minerals; 31 fertilisers; 41, 43 hides; 44 wood;
/// 45, 46 cork and plaiting; 47 to 49 paper; 50 to 60 yarn and fabric; 61 to 63 clothing; 64 footwear; 68 to 70 stone, ceramics,
/// glass; 76 aluminium.
const NOTHING: &[std::ops::RangeInclusive<u8>] = &[1..=25, 27..=27, 31..=31, 41..=41, 43..=64, 68..=70, 76..=76];

/// What the goods of a manifest explain: as much as the item that explains most.
pub(super) fn explained(manifest: &Manifest) -> Explains {
    if manifest.empty {
        return Explains::Nothing;
    }
    let of_item = |code: &str| {
        let Some(chapter) = code.get(..2) else {
            return Explains::Some;
        };
        if EVERYTHING.contains(&chapter) {
            return Explains::Everything;
        }
        match chapter.parse::<u8>() {
            Ok(number) if NOTHING.iter().any(|range| range.contains(&number)) => Explains::Nothing,
            _ => Explains::Some,
        }
    };
    let items = manifest.goods.iter().map(|item| of_item(&item.commodity_code));
    items.max().unwrap_or(Explains::Some)
}
