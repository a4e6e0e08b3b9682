//! When trucks come.

use portcullis_domain::id::Timestamp;

use crate::noise::Noise;

const HOUR_MS: u64 = 3_600_000;
const HOURS_OF_A_WEEK: u64 = 168;
const WEEK_MS: u64 = HOURS_OF_A_WEEK * HOUR_MS;

/// How trucks arrive. All rates are of the port's clock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Arrivals {
    /// Everybody is there at the start.
    AtOnce,
    /// One truck after the other at equal distances.
    Constant {
        /// Trucks an hour; 0 is the same as [`Arrivals::AtOnce`].
        per_hour: u32,
    },
    /// At random with the same rate at every hour (Poisson).
    Poisson {
        /// Trucks an hour on average; 0 is the same as [`Arrivals::AtOnce`].
        per_hour: u32,
    },
    /// At random with the rate of each hour of the week at a real terminal. On Sundays nobody comes.
    Weekly {
        /// Trucks a week on average; 0 is the same as [`Arrivals::AtOnce`].
        per_week: u32,
        /// Whether the terminal books slots, which flattens the peaks.
        slot_booking: bool,
    },
}

impl Default for Arrivals {
    /// 12,000 a week: about 233 in the peak hour, as at a large terminal.
    fn default() -> Self {
        Self::Weekly {
            per_week: 12_000,
            slot_booking: false,
        }
    }
}

type Week = [[u16; 24]; 6];

/// Monday to Saturday by hour, unit 1e-5 of a week; a slightly distorted real terminal (conflowgen, MIT).
const WITHOUT_BOOKING: Week = [
    [
        0, 0, 0, 0, 0, 396, 828, 787, 905, 1065, 1275, 1664, 1403, 1480, 1497, 1114, 1389, 1082, 833, 699, 515, 300,
        226, 249,
    ],
    [
        190, 220, 170, 214, 242, 646, 930, 813, 935, 1134, 1370, 1297, 1533, 1419, 1488, 1219, 1211, 1092, 681, 580,
        529, 282, 194, 242,
    ],
    [
        163, 200, 145, 101, 222, 823, 917, 898, 1044, 1188, 1313, 1402, 1407, 1793, 1489, 1301, 1208, 1011, 894, 663,
        433, 431, 229, 247,
    ],
    [
        114, 125, 100, 94, 204, 518, 991, 1065, 1034, 1247, 1525, 1531, 1972, 1649, 1689, 1550, 1478, 1215, 814, 633,
        610, 471, 341, 171,
    ],
    [
        269, 216, 232, 160, 273, 655, 952, 1100, 1060, 1590, 1808, 1638, 1629, 1917, 1647, 1366, 1262, 969, 907, 442,
        427, 304, 169, 215,
    ],
    [
        281, 221, 202, 104, 95, 116, 142, 165, 154, 143, 72, 51, 46, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,
    ],
];

const BOOKED_DAY: [u16; 24] = [
    118, 118, 157, 157, 157, 157, 941, 1176, 1333, 1412, 1451, 1490, 1451, 1412, 1490, 1569, 1569, 1176, 784, 549, 471,
    235, 196, 157,
];
const BOOKED_MONDAY: [u16; 24] = [
    0, 0, 0, 157, 157, 157, 941, 1176, 1333, 1412, 1451, 1490, 1451, 1412, 1490, 1569, 1569, 1176, 784, 549, 471, 235,
    196, 157,
];
const WITH_BOOKING: Week = [
    BOOKED_MONDAY,
    BOOKED_DAY,
    BOOKED_DAY,
    BOOKED_DAY,
    BOOKED_DAY,
    [
        118, 118, 157, 157, 157, 157, 157, 157, 157, 157, 157, 118, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,
    ],
];

/// Walks through the arrivals, one truck after the other.
#[derive(Debug)]
pub(crate) struct ArrivalTimes {
    arrivals: Arrivals,
    seed: u64,
    /// How far into a week of the epoch the plan starts.
    phase_ms: u64,
    index: u64,
    /// Milliseconds after the start, of the last truck.
    at_ms: f64,
}

impl ArrivalTimes {
    pub(crate) fn new(arrivals: Arrivals, seed: u64, start: Timestamp) -> Self {
        Self {
            arrivals,
            seed,
            phase_ms: start.0 % WEEK_MS,
            index: 0,
            at_ms: 0.0,
        }
    }

    /// Milliseconds after the start at which the next truck is there. Never descends.
    pub(crate) fn next_ms(&mut self) -> u64 {
        let index = self.index;
        self.index += 1;
        let wait = || Noise::of_visit(self.seed, "arrival", index).exponential();
        match self.arrivals {
            Arrivals::AtOnce
            | Arrivals::Constant { per_hour: 0 }
            | Arrivals::Poisson { per_hour: 0 }
            | Arrivals::Weekly { per_week: 0, .. } => return 0,
            Arrivals::Constant { per_hour } => {
                return index.saturating_mul(HOUR_MS) / u64::from(per_hour);
            }
            Arrivals::Poisson { per_hour } => {
                self.at_ms += wait() * HOUR_MS as f64 / f64::from(per_hour);
            }
            Arrivals::Weekly { per_week, slot_booking } => {
                let week = if slot_booking { &WITH_BOOKING } else { &WITHOUT_BOOKING };
                let total: u32 = week.iter().flatten().map(|share| u32::from(*share)).sum();
                let mut left = wait();
                // The rate changes with the hour: spend the waiting time hour by hour.
                loop {
                    let now_ms = self.at_ms as u64;
                    let share = share_of_hour(week, self.phase_ms + now_ms);
                    let per_ms = f64::from(per_week) * f64::from(share) / f64::from(total) / HOUR_MS as f64;
                    let into_hour = (self.phase_ms + now_ms) % HOUR_MS;
                    let hour_end = (now_ms + HOUR_MS - into_hour) as f64;
                    let until_end = (hour_end - self.at_ms) * per_ms;
                    if left < until_end {
                        self.at_ms += left / per_ms;
                        break;
                    }
                    left -= until_end;
                    self.at_ms = hour_end;
                }
            }
        }
        self.at_ms as u64
    }
}

/// Days of the epoch begin with a Thursday.
fn share_of_hour(week: &Week, epoch_ms: u64) -> u16 {
    let hour_of_week = (epoch_ms / HOUR_MS + 3 * 24) % HOURS_OF_A_WEEK;
    let (day, hour) = (hour_of_week / 24, hour_of_week % 24);
    week.get(day as usize).map_or(0, |hours| hours[hour as usize])
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Thursday, 1 January 2026, 00:00 UTC.
    const THURSDAY: u64 = 1_767_225_600_000;

    fn times(arrivals: Arrivals, start: u64, n: usize) -> Vec<u64> {
        let mut times = ArrivalTimes::new(arrivals, 5, Timestamp(start));
        (0..n).map(|_| times.next_ms()).collect()
    }

    #[test]
    fn a_constant_rate_is_even_and_no_rate_is_at_once() {
        assert_eq!(times(Arrivals::Constant { per_hour: 60 }, 0, 3), [0, 60_000, 120_000]);
        for none in [
            Arrivals::AtOnce,
            Arrivals::Constant { per_hour: 0 },
            Arrivals::Poisson { per_hour: 0 },
            Arrivals::Weekly {
                per_week: 0,
                slot_booking: true,
            },
        ] {
            assert_eq!(times(none, 0, 3), [0, 0, 0], "{none:?}");
        }
    }

    #[test]
    fn a_poisson_rate_is_met_on_average() {
        let times = times(Arrivals::Poisson { per_hour: 200 }, 0, 10_000);
        assert!(times.is_sorted());
        let hours = *times.last().unwrap() as f64 / HOUR_MS as f64;
        assert!((48.0..52.0).contains(&hours), "{hours}");
    }

    #[test]
    fn the_week_has_its_peak_on_thursday_noon_and_nobody_comes_on_sunday() {
        let weekly = Arrivals::default();
        // A week that starts on a Thursday at midnight.
        let times = times(weekly, THURSDAY, 12_000);
        assert!(times.is_sorted());
        let in_hour = |day: u64, hour: u64| {
            let from = (day * 24 + hour) * HOUR_MS;
            times.iter().filter(|at| (from..from + HOUR_MS).contains(*at)).count()
        };
        assert!((180..290).contains(&in_hour(0, 12)), "{}", in_hour(0, 12));
        assert!(in_hour(0, 3) < 30);
        assert_eq!((0..24).map(|hour| in_hour(3, hour)).sum::<usize>(), 0);
    }

    #[test]
    fn the_tables_are_a_week_each() {
        for week in [&WITHOUT_BOOKING, &WITH_BOOKING] {
            let total: u32 = week.iter().flatten().map(|share| u32::from(*share)).sum();
            assert!((99_000..101_000).contains(&total), "{total}");
        }
    }
}
