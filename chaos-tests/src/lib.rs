//! Checks of the whole: a cluster of real processes is hurt, and what its clients were told is compared with what it holds.
//! `README.md` says how to run them and how to read a failure.
//!
//! `tests/house.rs` keeps the walls between the packages.

pub mod disk;
