//! Checks of the whole: a cluster of real processes is hurt, and what its clients were told is compared with what it holds.
//! `README.md` says how to run them and how to read a failure.
//!
//! `tests/house.rs` keeps the walls between the packages.

pub mod account;
pub mod campaign;
pub mod cluster;
pub mod court;
pub mod damage;
pub mod disk;
pub mod history;
pub mod linearizability;
pub mod load;
pub mod nemesis;
pub mod oracle;
pub mod port;
pub mod ports;
pub mod program;
pub mod promises;
pub mod report;
pub mod simulation;
pub mod trace;
pub mod wait;
pub mod write;
