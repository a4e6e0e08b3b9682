//! The vehicle under a container, and how long things take.

use crate::noise::Noise;

/// Length of a sample of a pass, milliseconds.
pub const SAMPLE_PERIOD_MS: u64 = 1_000;

/// Fewest samples of a pass.
pub const PASS_SAMPLES_MIN: u32 = 8;
/// Most samples of a pass.
pub const PASS_SAMPLES_MAX: u32 = 25;

/// The portal sees the vehicle from this distance before to this distance behind it, millimetres.
const MARGIN_MM: u32 = 2_500;
/// The box begins this far behind the front bumper, millimetres.
const BOX_FROM_MM: u32 = 4_800;
/// The chassis is at least this long behind the start of the box, millimetres.
const CHASSIS_MM: u32 = 12_400;

/// A tractor with chassis. It belongs to the visit, so every pass of a container has the same course.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Truck {
    /// From call-up to standing before the lane, milliseconds of the port's clock.
    pub travel_ms: u64,
    /// Samples of a pass, 8 to 25.
    pub pass_samples: u32,
    /// Speed through the portal, millimetres a second.
    pub speed_mm_s: u32,
    /// Length over all, millimetres.
    pub length_mm: u32,
    /// Where the box begins behind the front bumper, millimetres.
    pub box_from_mm: u32,
    /// Where the box ends behind the front bumper, millimetres.
    pub box_to_mm: u32,
    /// Tractor, chassis, fuel and driver, grams.
    pub mass_g: u64,
}

impl Truck {
    /// Draws a truck for a box of this length in millimetres.
    pub(crate) fn draw(noise: &mut Noise, box_length_mm: u32) -> Self {
        let length_mm = BOX_FROM_MM + CHASSIS_MM.max(box_length_mm + 200);
        let course_mm = length_mm + 2 * MARGIN_MM;
        let wanted_mm_s = noise.range(850.0, 2_700.0);
        let pass_samples =
            (libm::ceil(f64::from(course_mm) / wanted_mm_s) as u32).clamp(PASS_SAMPLES_MIN, PASS_SAMPLES_MAX);
        Self {
            travel_ms: noise.between(40_000, 110_000),
            pass_samples,
            speed_mm_s: course_mm / pass_samples,
            length_mm,
            box_from_mm: BOX_FROM_MM,
            box_to_mm: BOX_FROM_MM + box_length_mm,
            mass_g: libm::round(14_500.0 + 700.0 * noise.normal().clamp(-3.0, 3.0)) as u64 * 1_000,
        }
    }

    /// Length of a whole pass, milliseconds of the port's clock.
    pub fn pass_ms(&self) -> u64 {
        u64::from(self.pass_samples) * SAMPLE_PERIOD_MS
    }

    /// Where the front bumper is in the middle of a sample, counted from 1: millimetres beyond the portal, negative
    /// before it.
    pub(crate) fn front_mm(&self, sample: u32) -> f64 {
        f64::from(self.speed_mm_s) * (f64::from(sample) - 0.5) - f64::from(MARGIN_MM)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pass_begins_before_the_portal_and_ends_behind_it() {
        for number in 0..500 {
            let mut noise = Noise::of_visit(1, "test", number);
            let truck = Truck::draw(&mut noise, 12_192);
            assert!((PASS_SAMPLES_MIN..=PASS_SAMPLES_MAX).contains(&truck.pass_samples));
            assert!(truck.front_mm(1) < 0.0, "{truck:?}");
            assert!(
                truck.front_mm(truck.pass_samples) > f64::from(truck.length_mm),
                "{truck:?}"
            );
            assert!((40_000..=110_000).contains(&truck.travel_ms));
            assert!((12_000_000..17_000_000).contains(&truck.mass_g));
        }
    }
}
