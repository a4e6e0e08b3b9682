//! What the tests of this folder share: clusters of real node processes, devices, the command line, and waiting.
#![allow(dead_code, unused_imports, reason = "each test program uses a part of it")]
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod cluster;
mod command;
mod demo;
mod device;
mod pass;
mod request;
mod wait;

pub(crate) use cluster::{Cluster, Node, channel};
pub(crate) use command::{Finished, portcullis, program, test_data};
pub(crate) use demo::Demo;
pub(crate) use device::{Attached, device, seed_of, sensor_of};
pub(crate) use pass::{full_lane, scanned};
pub(crate) use portcullis::loopback::free_port;
pub(crate) use request::{Refused, announce, context, deadline, manifest};
pub(crate) use wait::{DEADLINE, eventually};
