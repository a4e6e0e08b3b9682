//! How good a fusion policy is in a world whose truth is known.
//!
//! [`fusion`] draws containers (threats over-sampled and weighted back), has the domain judge each of them, and compares.
//! Beside the policy stand the naive sum, the world's Bayes limit on the same containers, and the figures that the system
//! was founded on.

mod drift;
mod founding;
mod fusion;
mod lanes;
mod limit;
mod measure;
mod ranking;

pub use drift::Drift;
pub use founding::Founding;
pub use fusion::{FamilyMeasure, FusionInput, FusionReport, fusion};
pub use lanes::{LanesReport, lanes};
pub use measure::{LaneMinutes, Measure};
