//! The process that runs on each machine of a Portcullis cluster, and its command line.
//!
//! [`process`] opens what is on disk and wires everything; [`services`] answers clients; [`link`] carries actors' messages
//! and devices between nodes; [`beat`] exchanges heartbeats; [`ports`] gives the actors what they need. [`demo`] runs a
//! cluster of three such processes beside a simulated port, and [`bench`] measures one; [`cli`] is the command line.
#![allow(clippy::missing_errors_doc)]

pub mod beat;
pub mod bench;
pub mod cli;
pub mod clock;
pub mod demo;
pub mod founding;
pub mod link;
mod local;
pub mod ports;
pub mod process;
pub mod services;
pub mod signal;
pub mod telemetry;
