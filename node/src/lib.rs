//! The process that runs on each machine of a Portcullis cluster, and its command line.
//!
//! [`process`] opens what is on disk and wires everything; [`services`] answers clients; [`link`] carries actors' messages
//! and devices between nodes; [`beat`] exchanges heartbeats; [`ports`] gives the actors what they need. [`demo`] runs a
//! cluster of three such processes beside a simulated port, and [`mod@bench`] measures one; [`cli`] is the command line.
//! [`loopback`] finds free ports for both, and for the tests.
//! [`joining`] takes a new node into a cluster, [`enrolling`] says which data folder a node has, [`steward`] brings the members
//! in line with the ledger, and [`neighbours`] is who they are. [`backup`] copies a stopped node's folder, and makes such a copy
//! a new cluster.
#![allow(clippy::missing_errors_doc)]
#![cfg_attr(not(test), warn(clippy::disallowed_methods))]

#[allow(clippy::disallowed_methods, reason = "a tool, not a part of a node")]
pub mod backup;
pub mod beat;
#[allow(clippy::disallowed_methods, reason = "a tool, not a part of a node")]
pub mod bench;
#[allow(clippy::disallowed_methods, reason = "a tool, not a part of a node")]
pub mod cli;
#[allow(clippy::disallowed_methods, reason = "the clock of a real machine")]
pub mod clock;
#[allow(clippy::disallowed_methods, reason = "a tool, not a part of a node")]
pub mod demo;
pub mod enrolling;
pub mod founding;
pub mod joining;
pub mod link;
#[allow(clippy::disallowed_methods, reason = "starts processes of nodes")]
mod local;
#[allow(clippy::disallowed_methods, reason = "a tool, not a part of a node")]
pub mod loopback;
pub mod neighbours;
#[allow(clippy::disallowed_methods, reason = "a real machine")]
pub mod platform;
pub mod ports;
pub mod process;
pub mod services;
pub mod signal;
pub mod steward;
pub mod telemetry;
