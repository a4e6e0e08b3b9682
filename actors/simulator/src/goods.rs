//! What containers carry: a catalogue of goods with commodity codes, origins and natural radioactivity.

/// How goods are carried.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Cargo {
    /// Nothing.
    Empty,
    /// Dry goods.
    Standard,
    /// Cooled.
    Reefer,
    /// Dangerous goods.
    Dangerous,
}

/// One kind of goods.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Goods {
    /// Harmonised System code, six digits.
    pub code: &'static str,
    /// As a trader would write it.
    pub description: &'static str,
    /// How it is carried.
    pub cargo: Cargo,
    /// Share among goods carried so, any unit.
    pub share: u32,
    /// Cents for a kilogram.
    pub cents_per_kg: u32,
    /// Where it comes from, two letters each.
    pub origins: &'static [&'static str],
    /// Gamma counts a second that a full container of it adds at the portal on average; 0 for most goods.
    pub norm_cps: u32,
    /// UN number of dangerous goods.
    pub un_number: Option<u16>,
}

const fn dry(
    code: &'static str,
    description: &'static str,
    share: u32,
    cents_per_kg: u32,
    origins: &'static [&'static str],
    norm_cps: u32,
) -> Goods {
    let cargo = Cargo::Standard;
    Goods {
        code,
        description,
        cargo,
        share,
        cents_per_kg,
        origins,
        norm_cps,
        un_number: None,
    }
}

const fn cooled(
    code: &'static str,
    description: &'static str,
    share: u32,
    cents_per_kg: u32,
    origins: &'static [&'static str],
    norm_cps: u32,
) -> Goods {
    let cargo = Cargo::Reefer;
    Goods {
        code,
        description,
        cargo,
        share,
        cents_per_kg,
        origins,
        norm_cps,
        un_number: None,
    }
}

const fn dangerous(
    code: &'static str,
    description: &'static str,
    share: u32,
    cents_per_kg: u32,
    origins: &'static [&'static str],
    un_number: u16,
) -> Goods {
    let cargo = Cargo::Dangerous;
    Goods {
        code,
        description,
        cargo,
        share,
        cents_per_kg,
        origins,
        norm_cps: 0,
        un_number: Some(un_number),
    }
}

/// Radioactive material, declared: class 7 of the dangerous goods.
pub(crate) const CLASS_7: &str = "284443";

/// The catalogue. Shares are of the order seen in trade; counts of natural radioactivity are of the order that makes
/// potash, tiles, granite and cat litter the usual innocent alarms and bananas just invisible.
pub const CATALOGUE: &[Goods] = &[
    dry(
        "610910",
        "T-shirts, cotton, knitted",
        60,
        1_800,
        &["BD", "CN", "TR", "IN"],
        0,
    ),
    dry(
        "620342",
        "Men's trousers, cotton",
        40,
        2_200,
        &["BD", "CN", "PK", "TR"],
        0,
    ),
    dry(
        "640399",
        "Footwear, leather uppers",
        35,
        3_000,
        &["VN", "CN", "IT", "ID"],
        0,
    ),
    dry("640419", "Footwear, textile uppers", 30, 1_900, &["VN", "CN", "ID"], 0),
    dry("940360", "Wooden furniture", 70, 350, &["CN", "VN", "PL", "MY"], 0),
    dry(
        "940161",
        "Seats, upholstered, wooden frame",
        45,
        450,
        &["CN", "VN", "PL"],
        0,
    ),
    dry("950300", "Toys", 50, 900, &["CN", "VN"], 0),
    dry("851713", "Smartphones", 12, 25_000, &["CN", "VN", "IN"], 0),
    dry(
        "852872",
        "Television receivers, colour",
        25,
        1_800,
        &["CN", "MX", "TR"],
        0,
    ),
    dry("847130", "Portable computers", 15, 15_000, &["CN", "TW"], 0),
    dry(
        "848180",
        "Taps, cocks and valves",
        30,
        1_400,
        &["CN", "IT", "DE", "TW"],
        0,
    ),
    dry(
        "870899",
        "Parts of motor vehicles",
        70,
        900,
        &["CN", "DE", "JP", "KR", "TH"],
        0,
    ),
    dry("401110", "Tyres for motor cars", 45, 380, &["CN", "TH", "KR", "JP"], 0),
    dry("392690", "Articles of plastics", 60, 500, &["CN", "TW", "US"], 0),
    dry(
        "390120",
        "Polyethylene, high density",
        45,
        130,
        &["SA", "US", "AE", "KR"],
        0,
    ),
    dry(
        "480256",
        "Paper, uncoated, in sheets",
        30,
        100,
        &["ID", "BR", "FI", "CN"],
        0,
    ),
    dry("481910", "Cartons of corrugated paper", 20, 150, &["CN", "US", "DE"], 0),
    dry("732690", "Articles of iron or steel", 45, 350, &["CN", "IN", "TR"], 0),
    dry(
        "721049",
        "Flat steel, zinc coated",
        25,
        95,
        &["KR", "CN", "IN", "TR"],
        0,
    ),
    dry("760612", "Aluminium alloy plates", 20, 380, &["CN", "DE", "ZA"], 0),
    dry("440711", "Pine wood, sawn", 30, 45, &["BR", "CL", "SE", "FI"], 0),
    dry(
        "090111",
        "Coffee, not roasted",
        35,
        420,
        &["BR", "VN", "CO", "HN", "ET"],
        0,
    ),
    dry("180100", "Cocoa beans", 18, 500, &["CI", "GH", "EC"], 0),
    dry("100630", "Rice, milled", 30, 65, &["IN", "TH", "PK", "VN"], 0),
    dry("170199", "Cane or beet sugar", 15, 60, &["BR", "IN", "TH"], 0),
    dry("220421", "Wine in bottles", 30, 520, &["CL", "ZA", "AU", "FR", "ES"], 0),
    dry("240120", "Tobacco, stripped", 8, 520, &["BR", "ZW", "CN"], 25),
    dry("690721", "Ceramic tiles", 13, 45, &["ES", "IT", "CN", "IN", "TR"], 520),
    dry(
        "690810",
        "Glazed ceramic tiles, code of an older edition",
        3,
        50,
        &["CN", "ES"],
        520,
    ),
    dry(
        "691010",
        "Sinks and wash basins, porcelain",
        6,
        160,
        &["CN", "TR", "TH"],
        300,
    ),
    dry("680223", "Granite, cut", 9, 40, &["IN", "CN", "BR", "ZA"], 450),
    dry("250810", "Bentonite, cat litter", 5, 30, &["TR", "CN", "US", "IN"], 600),
    dry(
        "310420",
        "Potassium chloride, fertiliser",
        5,
        40,
        &["CA", "BY", "DE", "IL"],
        1_200,
    ),
    dry("690220", "Refractory bricks, alumina", 3, 110, &["CN", "IN", "BR"], 800),
    dry(
        "261510",
        "Zirconium ores and concentrates",
        2,
        220,
        &["ZA", "AU", "SN"],
        2_200,
    ),
    cooled("080390", "Bananas, fresh", 30, 75, &["EC", "CO", "CR", "PA", "CI"], 60),
    cooled("080510", "Oranges, fresh", 12, 80, &["ZA", "EG", "MA", "BR"], 15),
    cooled(
        "020230",
        "Beef, boneless, frozen",
        14,
        600,
        &["BR", "UY", "AR", "AU"],
        0,
    ),
    cooled("030617", "Shrimps, frozen", 14, 850, &["EC", "VN", "IN", "ID"], 0),
    cooled("071080", "Vegetables, frozen", 10, 140, &["CN", "EG", "PE"], 8),
    cooled("040690", "Cheese", 8, 520, &["NZ", "IE", "NL"], 0),
    cooled("020714", "Chicken cuts, frozen", 12, 230, &["BR", "TH", "UA"], 0),
    dangerous("320890", "Paints, flammable", 20, 450, &["CN", "US", "DE"], 1_263),
    dangerous(
        "850760",
        "Lithium-ion accumulators",
        26,
        1_900,
        &["CN", "KR", "PL"],
        3_480,
    ),
    dangerous(
        "220710",
        "Ethyl alcohol, undenatured",
        10,
        85,
        &["BR", "US", "PK"],
        1_170,
    ),
    dangerous("330300", "Perfumes", 12, 3_500, &["FR", "AE", "ES"], 1_266),
    dangerous("290511", "Methanol", 9, 50, &["TT", "SA", "US"], 1_230),
    dangerous("281511", "Sodium hydroxide, solid", 9, 60, &["CN", "US", "SA"], 1_823),
    dangerous("380892", "Fungicides", 8, 1_200, &["IN", "CN", "DE"], 3_077),
    dangerous("360410", "Fireworks", 3, 450, &["CN"], 336),
    dangerous(
        CLASS_7,
        "Radioactive sources for industry",
        2,
        80_000,
        &["CA", "ZA", "DE", "US"],
        2_915,
    ),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_catalogue_has_well_formed_codes_origins_and_un_numbers() {
        for goods in CATALOGUE {
            assert_eq!(goods.code.len(), 6, "{goods:?}");
            assert!(goods.code.bytes().all(|digit| digit.is_ascii_digit()), "{goods:?}");
            assert!(!goods.origins.is_empty() && goods.share > 0, "{goods:?}");
            assert!(goods.origins.iter().all(|origin| origin.len() == 2), "{goods:?}");
            assert_eq!(goods.un_number.is_some(), goods.cargo == Cargo::Dangerous, "{goods:?}");
            assert!(goods.cargo != Cargo::Empty, "{goods:?}");
        }
    }

    #[test]
    fn goods_with_noticeable_natural_radioactivity_are_a_few_percent_of_dry_cargo() {
        let share = |least: u32| -> u32 {
            let dry = CATALOGUE.iter().filter(|goods| goods.cargo == Cargo::Standard);
            dry.filter(|goods| goods.norm_cps >= least)
                .map(|goods| goods.share)
                .sum()
        };
        let permille = 1000 * share(100) / share(0);
        assert!((30..70).contains(&permille), "{permille}");
    }
}
