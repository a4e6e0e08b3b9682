//! What sensors with bell-shaped scores of equal spread can reach (the equal-variance binormal model).
//!
//! A sensor's score is normal with standard deviation 1; a threat moves its mean by d' (in standard deviations). Then
//! Pd = Phi(d' - z(1 - FP)). Everything here is a pure function; probabilities lie between 0 and 1.

mod correlation;
mod hidden;
mod look;
mod normal;
mod rates;
mod sequential;

pub use correlation::{Correlation, NaiveSum, NotPositiveDefinite};
pub use hidden::{Hidden, hidden_pd};
pub use look::{Costs, Look};
pub use normal::{cdf, quantile, tail};
pub use rates::{auc, bound_after_no_miss, d_prime, decibans, misses_allowed, pd, positives_needed, ppv};
pub use sequential::{MeanLooks, Sequential, Simulated};
