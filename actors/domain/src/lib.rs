//! What the port decides: the pure rules of Portcullis.
//!
//! No I/O, no clock, no randomness, no async, no serde, and in replicated state no float. Everything here is a function
//! of its arguments, so that every node, and every auditor, gets the same result from the same log.
//!
//! Start with [`ledger`]: commands go in, outcomes and leaves of the decision log come out. [`fusion`] turns evidence
//! into a verdict under a [`policy`]; [`placement`] and [`schedule`] are the two planners, which propose what the ledger
//! then grants or refuses.
#![cfg_attr(not(test), warn(clippy::disallowed_methods))]

#[macro_use]
mod planting;

pub mod archive;
pub mod codec;
pub mod command;
mod course;
pub mod drift;
pub mod equipment;
pub mod event;
pub mod evidence;
pub mod explanation;
pub mod finding;
pub mod fusion;
pub mod id;
pub mod inspection;
pub mod lane;
pub mod ledger;
pub mod manifest;
pub mod merkle;
pub mod message;
pub mod model;
#[cfg(feature = "mutants")]
pub mod mutant;
pub mod outcome;
pub mod placement;
pub mod policy;
pub mod reading;
pub mod roster;
pub mod schedule;
