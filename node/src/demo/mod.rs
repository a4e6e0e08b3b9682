//! `portcullis demo`: three nodes as three processes on this machine, and in this process a simulated port that talks to
//! them as real devices and a real terminal system would.

mod cluster;
mod course;
mod device;
mod fault;
mod progress;
mod report;
mod rpc;
mod run;
mod watch;

pub(crate) use cluster::{Blueprint, Cluster};
pub use cluster::{default_dir, key_file};
pub(crate) use course::Happened;
pub use device::sign;
pub(crate) use device::{Port, start_devices};
pub(crate) use rpc::Nodes;
pub use run::run;
pub(crate) use run::{announce, announcement};
pub(crate) use watch::follow;
