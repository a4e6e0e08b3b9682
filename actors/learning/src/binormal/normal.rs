//! The normal distribution: Phi, its complement and its inverse.

use std::f64::consts::{PI, SQRT_2};

/// Phi(x): the probability that a standard normal value is at most `x`.
pub fn cdf(x: f64) -> f64 {
    0.5 * libm::erfc(-x / SQRT_2)
}

/// 1 - Phi(x), exact in the far tail too.
pub fn tail(x: f64) -> f64 {
    0.5 * libm::erfc(x / SQRT_2)
}

/// z(p): the value that a standard normal one stays below with probability `p`. Minus infinity at 0, infinity at 1, NaN
/// outside.
///
/// Acklam's rational approximation (relative error 1.2e-9), then one step of Halley's method on `erfc`.
pub fn quantile(p: f64) -> f64 {
    if p.is_nan() || !(0.0..=1.0).contains(&p) {
        return f64::NAN;
    }
    if p == 0.0 {
        return f64::NEG_INFINITY;
    }
    if p == 1.0 {
        return f64::INFINITY;
    }
    // By symmetry only the lower half is needed, where `erfc` keeps its digits.
    if p > 0.5 {
        return -quantile(1.0 - p);
    }
    let x = acklam(p);
    let error = cdf(x) - p;
    let step = error * libm::sqrt(2.0 * PI) * libm::exp(x * x / 2.0);
    x - step / (1.0 + x * step / 2.0)
}

/// For 0 < p <= 0.5.
fn acklam(p: f64) -> f64 {
    const A: [f64; 6] = [
        -3.969_683_028_665_376e1,
        2.209_460_984_245_205e2,
        -2.759_285_104_469_687e2,
        1.383_577_518_672_69e2,
        -3.066_479_806_614_716e1,
        2.506_628_277_459_239,
    ];
    const B: [f64; 6] = [
        -5.447_609_879_822_406e1,
        1.615_858_368_580_409e2,
        -1.556_989_798_598_866e2,
        6.680_131_188_771_972e1,
        -1.328_068_155_288_572e1,
        1.0,
    ];
    const C: [f64; 6] = [
        -7.784_894_002_430_293e-3,
        -3.223_964_580_411_365e-1,
        -2.400_758_277_161_838,
        -2.549_732_539_343_734,
        4.374_664_141_464_968,
        2.938_163_982_698_783,
    ];
    const D: [f64; 5] = [
        7.784_695_709_041_462e-3,
        3.224_671_290_700_398e-1,
        2.445_134_137_142_996,
        3.754_408_661_907_416,
        1.0,
    ];
    let horner = |coefficients: &[f64], x: f64| coefficients.iter().fold(0.0, |sum, c| sum * x + c);
    if p < 0.024_25 {
        let q = libm::sqrt(-2.0 * libm::log(p));
        horner(&C, q) / horner(&D, q)
    } else {
        let q = p - 0.5;
        let r = q * q;
        q * horner(&A, r) / horner(&B, r)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_quantile_undoes_the_distribution_from_tail_to_tail() {
        for p in [
            1e-12,
            1e-6,
            0.001,
            0.024,
            0.025,
            0.1,
            0.4,
            0.5,
            0.6,
            0.9,
            0.999,
            1.0 - 1e-9,
        ] {
            let back = cdf(quantile(p));
            assert!((back - p).abs() <= 1e-12 * p.max(1e-3), "{p}: {back}");
        }
        assert!((quantile(0.975) - 1.959_963_984_540_054).abs() < 1e-12);
    }

    #[test]
    fn what_is_no_probability_has_no_quantile() {
        assert!(quantile(-0.1).is_nan() && quantile(1.1).is_nan() && quantile(f64::NAN).is_nan());
        assert_eq!(quantile(0.0), f64::NEG_INFINITY);
        assert_eq!(quantile(1.0), f64::INFINITY);
    }
}
