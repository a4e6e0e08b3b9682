//! The nemesis: real node processes, each in a network namespace of its own, hurt in every way that this machine can.
//!
//! Everything lives in a sandbox of namespaces for processes, mounts and network that the kernel takes down when its first
//! process ends. Each fault is proven injected and proven reverted; what cannot be proven does not count.

pub mod arena;
pub mod clock;
pub mod control;
pub mod disk;
mod etcd;
pub mod fault;
pub mod namespace;
pub mod network;
pub mod process;
pub mod report;
pub mod run;
pub mod sandbox;
pub mod schedule;
pub mod traffic;
