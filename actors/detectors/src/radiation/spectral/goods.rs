//! Goods that are known to radiate by themselves.

use portcullis_domain::manifest::Manifest;

/// Headings of the Harmonised System whose goods often alarm portals, with the usual nuclide (IAEA-TECDOC-1312,
/// Detection of radioactive materials at borders, 2002, annex on innocent alarms).
const KNOWN: &[(&str, &str)] = &[
    ("0803", "potassium in bananas, weak"),
    ("2508", "uranium and thorium in bentonite and other clays"),
    ("2515", "uranium and thorium in stone"),
    ("2516", "uranium, thorium and potassium in granite"),
    ("2530", "thorium and uranium in mineral sands"),
    ("2612", "thorium and uranium in monazite"),
    ("2614", "thorium in titanium ores"),
    ("2615", "uranium and thorium in zircon, niobium and tantalum ores"),
    ("2834", "potassium nitrate"),
    ("3103", "uranium in phosphate fertiliser"),
    ("3104", "potash"),
    ("3105", "potassium and uranium in mixed fertiliser"),
    ("6802", "worked granite and other stone"),
    ("6804", "thorium and uranium in abrasives"),
    ("6902", "thorium and uranium in refractory bricks"),
    ("6903", "thorium and uranium in refractories"),
    ("6905", "clay in roof tiles"),
    ("6907", "zircon glaze on tiles"),
    ("6910", "zircon glaze on sanitary ware"),
    ("8311", "thorium in welding rods"),
];

/// Why the declared goods may radiate by themselves, with the heading; none if nothing is known of them.
pub fn radiating(manifest: &Manifest) -> Option<(&'static str, &'static str)> {
    manifest.goods.iter().find_map(|item| {
        KNOWN
            .iter()
            .copied()
            .find(|(heading, _)| item.commodity_code.starts_with(heading))
    })
}

#[cfg(test)]
mod tests {
    use portcullis_domain::manifest::GoodsItem;

    use super::*;

    #[test]
    fn potash_is_known_to_radiate_and_shirts_are_not() {
        let of = |code: &str| Manifest {
            goods: vec![GoodsItem {
                commodity_code: code.to_owned(),
                ..GoodsItem::default()
            }],
            ..Manifest::default()
        };
        assert_eq!(radiating(&of("31042090")).map(|(heading, _)| heading), Some("3104"));
        assert_eq!(radiating(&of("6907")).map(|(heading, _)| heading), Some("6907"));
        for code in ["610510", "", "31"] {
            assert_eq!(radiating(&of(code)), None);
        }
    }
}
