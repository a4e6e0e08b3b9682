//! Models and policies learned from labelled data, and how good they are.
//!
//! - [`binormal`]: what sensors with bell-shaped scores can reach, in closed form
//! - [`evaluate`]: how good a fusion policy is in a world whose truth is known
//! - [`lanes`]: simulated lanes with every detector, from raw readings, to learn and to measure on
//! - [`policy`]: fusion policies from labelled outcomes
//! - [`radiation`]: what a few seconds of a spectrum tell about what is inside
//! - [`risk`]: which declared goods items are fraud, from past outcomes
//! - [`world`]: ports with known statistics, to learn and to measure in

pub mod binormal;
mod estimate;
pub mod evaluate;
pub mod lanes;
mod noise;
pub mod policy;
pub mod radiation;
pub mod risk;
pub mod world;

pub use estimate::Estimate;
