//! Models and policies learned from labelled data, and how good they are.
//!
//! - [`risk`]: which declared goods items are fraud, from past outcomes

pub mod risk;
