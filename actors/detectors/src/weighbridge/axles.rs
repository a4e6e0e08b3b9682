//! What the single axles say: whether they can be believed, whether one is overloaded, where the load lies.

use portcullis_domain::reading::Weighing;

use super::scale::{AXLE_OVER_GROSS, Tare, relative_sigma, sigma_kg, speed_kmh};

/// Scales round each axle; so far a value may be off by that, kilograms.
const ROUNDING_KG: f64 = 10.0;
/// A deviation of so many sigma is no chance.
const SIGMAS: f64 = 3.0;

/// Whether the axles can be used, and if not, why.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Axles {
    /// The scale sends none.
    None,
    /// They fit together.
    Sound(Sound),
    /// One weighs nothing, or all weigh exactly the same.
    Silent(String),
    /// Their sum is not the mass of the vehicle; by so much, kilograms.
    Differ(f64),
}

/// Axles that fit together.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Sound {
    axles_kg: Vec<f64>,
    /// Axles of the tractor; none if the number of axles does not tell.
    tractor: Option<usize>,
    /// Standard deviation of an axle, as a share.
    sigma: f64,
}

impl Axles {
    /// Looks at the axles of a weighing.
    pub(super) fn of(weighing: &Weighing) -> Self {
        let axles_kg: Vec<f64> = weighing.axles_kg.iter().map(|kg| f64::from(*kg)).collect();
        if axles_kg.is_empty() {
            return Self::None;
        }
        if let Some(at) = axles_kg.iter().position(|kg| *kg <= 0.0) {
            return Self::Silent(format!("axle {} weighs nothing: lifted, or its sensor is dead", at + 1));
        }
        // Three or more that agree to the kilogram are one value repeated.
        if axles_kg.len() >= 3 && axles_kg.windows(2).all(|pair| pair.first() == pair.last()) {
            return Self::Silent(format!("all {} axles weigh exactly the same", axles_kg.len()));
        }
        let gross = weighing.gross_mass_kg as f64;
        let sigma = AXLE_OVER_GROSS * relative_sigma(speed_kmh(weighing)).max(sigma_kg(weighing) / gross.max(1.0));
        let off = axles_kg.iter().sum::<f64>() - gross;
        let scatter = axles_kg.iter().map(|kg| (sigma * kg).powi(2)).sum::<f64>().sqrt();
        let allowed = SIGMAS * scatter.hypot(sigma_kg(weighing)) + ROUNDING_KG * axles_kg.len() as f64;
        if off.abs() > allowed {
            return Self::Differ(off);
        }
        // A scale for containers sees a tractor and a semi-trailer: two and two, two and three, three and three axles.
        let tractor = match axles_kg.len() {
            4 | 5 => Some(2),
            6 => Some(3),
            _ => None,
        };
        Self::Sound(Sound {
            axles_kg,
            tractor,
            sigma,
        })
    }
}

/// Most that a driven axle may carry in the European Union, kilograms (Directive 96/53/EC, annex I, 3.4); others may carry less.
const SINGLE_MAX_KG: f64 = 11_500.0;
/// Most that two and three axles of a semi-trailer together may carry at any distance, kilograms (annex I, 3.2 and 3.3).
const TANDEM_MAX_KG: f64 = 20_000.0;
const TRIPLE_MAX_KG: f64 = 24_000.0;
/// Most of whole road trains with a container, kilograms (annex I, 2.2): two axles and two; two and three in intermodal
/// transport; three and three in intermodal transport.
const TRAINS_MAX_KG: [(usize, f64); 3] = [(4, 38_000.0), (5, 42_000.0), (6, 44_000.0)];

impl Sound {
    /// What is above its legal limit beyond the error of the scale, for the officer.
    pub(super) fn overloaded(&self) -> Option<String> {
        let beyond = |kg: f64, limit: f64, axles: f64| kg * (1.0 - SIGMAS * self.sigma / axles.sqrt()) > limit;
        if let Some((at, kg)) = self
            .axles_kg
            .iter()
            .enumerate()
            .find(|(_, kg)| beyond(**kg, SINGLE_MAX_KG, 1.0))
        {
            return Some(format!(
                "axle {} carries {kg:.0} kg, of {SINGLE_MAX_KG:.0} kg allowed",
                at + 1
            ));
        }
        let (group, count) = self.trailer()?;
        let limit = if count == 2 { TANDEM_MAX_KG } else { TRIPLE_MAX_KG };
        if beyond(group, limit, count as f64) {
            return Some(format!(
                "{count} axles of the trailer carry {group:.0} kg, of {limit:.0} kg allowed"
            ));
        }
        let gross: f64 = self.axles_kg.iter().sum();
        let count = self.axles_kg.len();
        let (_, limit) = TRAINS_MAX_KG.into_iter().find(|(axles, _)| *axles == count)?;
        beyond(gross, limit, count as f64)
            .then(|| format!("a vehicle of {count} axles weighs {gross:.0} kg, of {limit:.0} kg allowed"))
    }

    /// What the axles of the trailer carry, kilograms, and how many they are.
    fn trailer(&self) -> Option<(f64, usize)> {
        let trailer = self.axles_kg.get(self.tractor?..)?;
        Some((trailer.iter().sum(), trailer.len()))
    }

    /// How far behind the middle of the container the centre of mass of the goods lies, for goods of this mass.
    ///
    /// The load stands on two supports, king pin and trailer axles, so what the trailer axles carry says where it lies.
    /// How a chassis is built is not sent: usual lengths stand for it, with a wide error. None for loads too light to
    /// tell.
    pub(super) fn load_offset(&self, goods_kg: f64, container: Tare, length: Length) -> Option<Offset> {
        /// Lighter goods move the axles less than the chassis is known.
        const GOODS_MIN_KG: f64 = 5_000.0;
        if goods_kg < GOODS_MIN_KG {
            return None;
        }
        let (group, count) = self.trailer()?;
        let goods = group - CHASSIS_ON_AXLES_KG - length.even_share * container.kg;
        let share = goods / goods_kg;
        let sigma_group = self.sigma * group / (count as f64).sqrt();
        let sigma_goods = sigma_group
            .hypot(CHASSIS_SIGMA_KG)
            .hypot(length.even_sigma * container.kg)
            / goods_kg;
        Some(Offset {
            metres: (share - length.even_share) * length.supports_m,
            sigma_m: sigma_goods.hypot(length.even_sigma) * length.supports_m,
        })
    }
}

/// What the axles of a trailer carry of its own mass, kilograms, and the deviation: two thirds of 4 to 6 t. Working values.
const CHASSIS_ON_AXLES_KG: f64 = 3_300.0;
const CHASSIS_SIGMA_KG: f64 = 400.0;

/// A length of containers, and how usual chassis carry it. Working values from makers' drawings.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Length {
    /// Of the container, metres.
    pub(super) metres: f64,
    /// From king pin to the middle of the trailer's axles, metres.
    supports_m: f64,
    /// Share of an even load that the trailer's axles carry.
    even_share: f64,
    /// Its deviation from chassis to chassis.
    even_sigma: f64,
}

impl Length {
    /// By ISO 6346 size code; none for lengths that are not common.
    pub(super) fn of(size_type: &str) -> Option<Self> {
        let of = |metres, supports_m, even_sigma| Self {
            metres,
            supports_m,
            even_share: 0.62,
            even_sigma,
        };
        match size_type.chars().next()? {
            // Short boxes stand further forward or back, as the chassis wants.
            '2' => Some(of(6.058, 4.8, 0.08)),
            '4' => Some(of(12.192, 8.1, 0.05)),
            'L' => Some(of(13.716, 8.3, 0.06)),
            _ => None,
        }
    }
}

/// Where the centre of mass lies behind the middle of the container.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Offset {
    /// Metres; negative is towards the front.
    pub(super) metres: f64,
    /// Its standard deviation.
    pub(super) sigma_m: f64,
}

impl Offset {
    /// Whether no more than chance and careful loading would put it there: more than a tenth of the length beyond the error.
    /// The CTU Code (IMO/ILO/UNECE 2014) wants no more than 60 % of the load in one half, which is a twentieth for an
    /// even load in each half.
    pub(super) fn is_uneven(self, length: Length) -> bool {
        self.metres.abs() > 0.1 * length.metres + 2.0 * self.sigma_m
    }

    /// Natural-log likelihood ratio for undeclared goods. Something heavy that was put in at one end moves the centre;
    /// honest loads lie unevenly too, so it says little: at most 4 decibans. Working values.
    pub(super) fn log_ratio(self, length: Length) -> f64 {
        const UNEVEN_HONEST: f64 = 0.10;
        const UNEVEN_THREAT: f64 = 0.25;
        let gauss = |share: f64| {
            let sigma = self.sigma_m.hypot(share * length.metres);
            (-0.5 * (self.metres / sigma).powi(2)).exp() / sigma
        };
        let (even, uneven) = (gauss(0.05), gauss(0.15));
        let mixed = |share: f64| share * uneven + (1.0 - share) * even;
        let ratio = mixed(UNEVEN_THREAT) / mixed(UNEVEN_HONEST);
        // Beyond some forty sigma both densities are 0.
        if ratio.is_finite() {
            ratio.ln()
        } else {
            (UNEVEN_THREAT / UNEVEN_HONEST).ln()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn weighing(axles_kg: &[u32]) -> Weighing {
        Weighing {
            gross_mass_kg: axles_kg.iter().map(|kg| i64::from(*kg)).sum(),
            vehicle_mass_kg: Some(14_000),
            sigma_kg: None,
            speed_mm_s: 1_000,
            axles_kg: axles_kg.to_vec(),
        }
    }

    fn sound(axles_kg: &[u32]) -> Sound {
        match Axles::of(&weighing(axles_kg)) {
            Axles::Sound(sound) => sound,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn axles_that_cannot_be_believed_are_told_from_sound_ones() {
        assert_eq!(Axles::of(&weighing(&[])), Axles::None);
        assert!(matches!(
            Axles::of(&weighing(&[6_000, 9_000, 0, 6_000, 6_000])),
            Axles::Silent(_)
        ));
        assert!(matches!(Axles::of(&weighing(&[6_000; 5])), Axles::Silent(_)));
        let mut light = weighing(&[6_000, 9_000, 6_000, 6_020, 6_000]);
        light.gross_mass_kg += 4_000;
        assert_eq!(Axles::of(&light), Axles::Differ(-4_000.0));
        sound(&[6_000, 9_000, 6_000, 6_020, 6_000]);
        sound(&[6_000, 6_000]);
    }

    #[test]
    fn an_axle_a_group_and_a_whole_vehicle_have_limits() {
        assert_eq!(sound(&[6_000, 11_000, 7_500, 7_500, 7_480]).overloaded(), None);
        for (axles, word) in [
            (&[6_000, 12_500, 7_000, 7_000, 7_100][..], "axle 2"),
            (&[6_000, 9_000, 8_600, 8_600, 8_620], "3 axles of the trailer"),
            (&[9_000, 11_400, 7_900, 7_900, 7_880], "weighs"),
        ] {
            let found = sound(axles).overloaded().unwrap();
            assert!(found.contains(word), "{found}");
        }
    }

    #[test]
    fn a_load_at_the_rear_end_lies_behind_the_middle_and_one_at_the_front_before_it() {
        let container = Tare {
            kg: 3_900.0,
            sigma_kg: 50.0,
        };
        let forty = Length::of("45G1").unwrap();
        // 14 t of goods: the trailer carries 3.3 t of the chassis, 62 % of the box, and a share of the goods.
        let offset = |share: f64| {
            let group = 3_300.0 + 0.62 * 3_900.0 + share * 14_000.0;
            let axle = (group / 3.0) as u32;
            sound(&[6_000, 9_000, axle, axle, axle + 20])
                .load_offset(14_000.0, container, forty)
                .unwrap()
        };
        assert!(offset(0.62).metres.abs() < 0.05);
        assert!((offset(0.80).metres - 0.18 * 8.1).abs() < 0.05);
        assert!(offset(0.45).metres < -1.0);
        assert!(!offset(0.66).is_uneven(forty) && offset(0.98).is_uneven(forty));
        let ratios = [0.62, 0.80, 0.98].map(|share| offset(share).log_ratio(forty));
        assert!(ratios.is_sorted() && ratios[0] < 0.0 && ratios[2] > 0.3, "{ratios:?}");
        assert!(ratios[2] < 0.93, "{ratios:?}");
        assert_eq!(
            sound(&[6_000, 9_000, 6_000, 6_000, 6_020]).load_offset(4_000.0, container, forty),
            None
        );
    }

    #[test]
    fn absurd_offsets_stay_bounded() {
        let forty = Length::of("45G1").unwrap();
        let absurd = Offset {
            metres: 1e6,
            sigma_m: 0.1,
        };
        assert!(absurd.log_ratio(forty) <= 0.93);
    }
}
