//! Gamma lines of the nuclides that are looked for.
//!
//! Energies in keV, intensities in photons per 100 decays of the named nuclide, as evaluated in ENSDF and shown by NuDat 3
//! (Brookhaven) and the DDEP tables (LNHB), rounded. Chains are in equilibrium and their daughters' lines are scaled by
//! branching. Lines below the grid and lines that add less than a hundredth to their nuclide are left out.

/// What a nuclide usually is in cargo (the categories of ANSI N42.34 and IEC 62327, with the background added).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum NuclideClass {
    /// Nothing but the surroundings.
    Background,
    /// Naturally occurring: potassium, uranium and thorium series in goods.
    Norm,
    /// Given to patients.
    Medical,
    /// Gauges, radiography, calibration.
    Industrial,
    /// Uranium, plutonium, neptunium.
    SpecialNuclear,
    /// Something that no template explains.
    Unknown,
}

impl NuclideClass {
    /// The word in reports and findings.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Background => "background",
            Self::Norm => "norm",
            Self::Medical => "medical",
            Self::Industrial => "industrial",
            Self::SpecialNuclear => "special_nuclear",
            Self::Unknown => "unknown",
        }
    }
}

/// A nuclide, or a chain named by its head, with its photons.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Nuclide {
    /// Element and mass number, such as `Cs137`.
    pub name: &'static str,
    /// What it usually is.
    pub class: NuclideClass,
    /// Energy in keV and photons per 100 decays.
    pub lines: &'static [(f64, f64)],
    /// A beta emitter strong enough that its bremsstrahlung shows.
    pub beta: Option<Beta>,
}

/// Electrons that are stopped near the nuclide and radiate.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Beta {
    /// Endpoint of the spectrum, keV.
    pub endpoint_kev: f64,
    /// Atomic number of what stops them.
    pub stopper: f64,
}

const fn nuclide(name: &'static str, class: NuclideClass, lines: &'static [(f64, f64)]) -> Nuclide {
    Nuclide {
        name,
        class,
        lines,
        beta: None,
    }
}

const fn with_beta(mut nuclide: Nuclide, endpoint_kev: f64, stopper: f64) -> Nuclide {
    nuclide.beta = Some(Beta { endpoint_kev, stopper });
    nuclide
}

use NuclideClass::{Industrial, Medical, Norm, SpecialNuclear};

/// Lines of the thorium series from Th-228 on, which aged U-232 has in common.
const TH228: &[(f64, f64)] = &[
    (74.8, 10.3),
    (77.1, 17.1),
    (87.3, 5.8),
    (238.63, 43.6),
    (240.99, 4.1),
    (277.37, 2.4),
    (300.09, 3.3),
    (510.77, 8.1),
    (583.19, 30.6),
    (727.33, 6.7),
    (785.37, 1.1),
    (860.56, 4.5),
    (1620.5, 1.5),
    (2614.51, 35.9),
];

/// Every nuclide with templates.
///
/// Th-228 stands for thorium without actinium and for aged U-232, whose daughters are the same: with uranium beside it,
/// its 2614 keV line hints at recycled or U-233-bearing material.
pub const LIBRARY: &[Nuclide] = &[
    nuclide("K40", Norm, &[(1460.82, 10.66)]),
    nuclide(
        "Ra226",
        Norm,
        &[
            (46.54, 4.3),
            (74.8, 6.3),
            (77.1, 10.5),
            (87.3, 3.6),
            (186.21, 3.64),
            (242.0, 7.27),
            (295.22, 18.4),
            (351.93, 35.6),
            (609.31, 45.5),
            (665.45, 1.53),
            (768.36, 4.89),
            (806.17, 1.26),
            (934.06, 3.11),
            (1120.29, 14.9),
            (1155.19, 1.64),
            (1238.11, 5.83),
            (1280.96, 1.43),
            (1377.67, 3.97),
            (1401.5, 1.33),
            (1407.98, 2.39),
            (1509.23, 2.13),
            (1661.28, 1.05),
            (1729.6, 2.84),
            (1764.49, 15.3),
            (1847.42, 2.03),
            (2118.55, 1.16),
            (2204.21, 4.91),
            (2447.86, 1.55),
        ],
    ),
    nuclide(
        "Th232",
        Norm,
        &[
            (74.8, 10.3),
            (77.1, 17.1),
            (87.3, 5.8),
            (93.35, 5.6),
            (129.06, 2.4),
            (209.25, 3.9),
            (238.63, 43.6),
            (240.99, 4.1),
            (270.25, 3.5),
            (277.37, 2.4),
            (300.09, 3.3),
            (328.0, 3.0),
            (338.32, 11.3),
            (463.0, 4.4),
            (510.77, 8.1),
            (583.19, 30.6),
            (727.33, 6.7),
            (785.37, 1.1),
            (794.95, 4.3),
            (835.71, 1.6),
            (860.56, 4.5),
            (911.2, 25.8),
            (964.77, 5.0),
            (968.97, 15.8),
            (1588.2, 3.2),
            (1620.5, 1.5),
            (1630.63, 1.5),
            (2614.51, 35.9),
        ],
    ),
    nuclide("Th228", Norm, TH228),
    nuclide("Tc99m", Medical, &[(140.51, 89.0)]),
    nuclide("F18", Medical, &[(511.0, 193.5)]),
    nuclide(
        "I131",
        Medical,
        &[
            (80.19, 2.6),
            (284.31, 6.1),
            (364.49, 81.5),
            (636.99, 7.2),
            (722.91, 1.8),
        ],
    ),
    nuclide("I123", Medical, &[(158.97, 83.3), (528.96, 1.4)]),
    nuclide(
        "Tl201",
        Medical,
        &[(68.9, 27.0), (70.8, 46.0), (80.2, 15.5), (135.34, 2.6), (167.43, 10.0)],
    ),
    nuclide(
        "Ga67",
        Medical,
        &[
            (91.27, 3.1),
            (93.31, 39.0),
            (184.58, 21.4),
            (208.95, 2.5),
            (300.22, 16.6),
            (393.53, 4.6),
        ],
    ),
    nuclide("In111", Medical, &[(171.28, 90.7), (245.35, 94.1)]),
    nuclide("Lu177", Medical, &[(54.6, 3.4), (112.95, 6.2), (208.37, 10.4)]),
    nuclide("Xe133", Medical, &[(81.0, 36.9)]),
    nuclide(
        "Mo99",
        Medical,
        &[
            (140.51, 85.0),
            (181.07, 6.1),
            (366.42, 1.2),
            (739.5, 12.2),
            (777.92, 4.3),
        ],
    ),
    nuclide(
        "Sm153",
        Medical,
        &[(41.2, 49.0), (47.0, 12.0), (69.67, 4.7), (103.18, 29.2)],
    ),
    nuclide("Cs137", Industrial, &[(661.66, 85.1)]),
    nuclide("Co60", Industrial, &[(1173.23, 99.85), (1332.49, 99.98)]),
    nuclide(
        "Ir192",
        Industrial,
        &[
            (66.0, 7.1),
            (205.79, 3.3),
            (295.96, 28.7),
            (308.46, 29.7),
            (316.51, 82.7),
            (468.07, 47.8),
            (484.58, 3.2),
            (588.58, 4.5),
            (604.41, 8.2),
            (612.46, 5.3),
        ],
    ),
    nuclide(
        "Ba133",
        Industrial,
        &[
            (53.16, 2.1),
            (79.61, 2.7),
            (81.0, 32.9),
            (276.4, 7.2),
            (302.85, 18.3),
            (356.01, 62.1),
            (383.85, 8.9),
        ],
    ),
    nuclide("Co57", Industrial, &[(122.06, 85.6), (136.47, 10.7)]),
    nuclide(
        "Se75",
        Industrial,
        &[
            (66.05, 1.1),
            (96.73, 3.4),
            (121.12, 17.2),
            (136.0, 58.3),
            (198.61, 1.5),
            (264.66, 58.9),
            (279.54, 25.0),
            (303.92, 1.3),
            (400.66, 11.5),
        ],
    ),
    nuclide("Na22", Industrial, &[(511.0, 180.7), (1274.54, 99.9)]),
    nuclide(
        "Eu152",
        Industrial,
        &[
            (40.0, 58.0),
            (45.7, 14.8),
            (121.78, 28.5),
            (244.7, 7.6),
            (344.28, 26.6),
            (411.12, 2.2),
            (443.96, 3.1),
            (778.9, 12.9),
            (867.38, 4.2),
            (964.06, 14.5),
            (1085.84, 10.1),
            (1089.74, 1.7),
            (1112.08, 13.7),
            (1212.95, 1.4),
            (1299.14, 1.6),
            (1408.01, 20.9),
        ],
    ),
    // The faint hard lines are what is left of it behind steel.
    nuclide(
        "Am241",
        Industrial,
        &[
            (59.54, 35.9),
            (98.97, 0.0203),
            (102.98, 0.0195),
            (125.3, 0.0041),
            (208.01, 0.00079),
            (322.5, 0.00015),
            (332.35, 0.00015),
            (335.37, 0.0005),
            (368.6, 0.00022),
            (376.65, 0.00014),
            (662.4, 0.00036),
            (722.01, 0.0002),
        ],
    ),
    nuclide(
        "Cs134",
        Industrial,
        &[
            (563.25, 8.3),
            (569.33, 15.4),
            (604.72, 97.6),
            (795.86, 85.5),
            (801.95, 8.7),
            (1167.97, 1.8),
            (1365.19, 3.0),
        ],
    ),
    nuclide("Mn54", Industrial, &[(834.85, 99.98)]),
    nuclide("Zn65", Industrial, &[(511.0, 2.8), (1115.54, 50.0)]),
    nuclide("Y88", Industrial, &[(898.04, 93.7), (1836.06, 99.2)]),
    nuclide("Co58", Industrial, &[(511.0, 29.8), (810.76, 99.4)]),
    nuclide(
        "U235",
        SpecialNuclear,
        &[
            (84.21, 6.7),
            (89.95, 3.5),
            (93.35, 5.6),
            (105.6, 2.0),
            (109.19, 1.7),
            (143.77, 10.96),
            (163.36, 5.1),
            (185.72, 57.0),
            (202.12, 1.1),
            (205.31, 5.0),
        ],
    ),
    // Th-234 and Pa-234m. The 2.27 MeV electrons of Pa-234m, stopped in the uranium itself, outshine the lines.
    with_beta(
        nuclide(
            "U238",
            SpecialNuclear,
            &[
                (63.29, 3.7),
                (92.6, 4.2),
                (112.8, 0.21),
                (258.2, 0.07),
                (742.8, 0.11),
                (766.36, 0.32),
                (786.3, 0.05),
                (1001.03, 0.84),
            ],
        ),
        2_269.0,
        92.0,
    ),
    nuclide(
        "Pu239",
        SpecialNuclear,
        &[
            (51.62, 0.0272),
            (98.44, 0.0061),
            (94.67, 0.0040),
            (129.3, 0.00631),
            (203.55, 0.00057),
            (332.85, 0.00049),
            (345.01, 0.00056),
            (375.05, 0.00155),
            (393.14, 0.00035),
            (413.71, 0.00147),
            (451.48, 0.00019),
        ],
    ),
    // With Pa-233.
    nuclide(
        "Np237",
        SpecialNuclear,
        &[
            (86.48, 12.4),
            (75.27, 1.3),
            (94.65, 10.0),
            (98.43, 16.0),
            (111.0, 8.0),
            (300.13, 6.6),
            (311.9, 38.5),
            (340.48, 4.5),
            (398.5, 1.4),
            (415.76, 1.7),
        ],
    ),
];

/// The entry of the library that a name starts with: `Tl201wTl202` is `Tl201`, but `Lu177m` is another nuclide than
/// `Lu177`.
pub fn named(name: &str) -> Option<&'static Nuclide> {
    LIBRARY.iter().find(|nuclide| {
        name.strip_prefix(nuclide.name)
            .is_some_and(|rest| !rest.starts_with(|next: char| next.is_ascii_digit() || next == 'm'))
    })
}
