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

pub use cluster::{default_dir, key_file};
pub use device::sign;
pub use run::run;
