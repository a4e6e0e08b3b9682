//! Who carries out what the port decides: the four kinds of actors, and what they need from the process around them.
//!
//! A [`Host`] runs the actors that the ledger places on its process: a lane actor for each lane (runs passes, records
//! evidence), fusion shards (weigh manifests, conclude), a scheduler for each terminal, and, on the leader, the placement
//! actor. All rules are in `portcullis-domain`; an actor is a thin shell that takes messages and the ledger's changes and
//! makes commands and messages of them. The process provides the [`Ports`].
//!
//! Inside: `reconciler` compares what runs with what the ledger says; `shell` is the one ractor actor that every
//! role runs in; `bounded` admits messages; `command_stream` numbers and retries commands; `watcher` wakes whom a change
//! concerns.
#![cfg_attr(not(test), warn(clippy::disallowed_methods))]

mod bell;
mod bounded;
mod command_stream;
mod config;
mod device;
mod directory;
mod fusion;
mod host;
mod lane;
mod liveness;
mod models;
mod pass;
mod placement;
mod ports;
mod post;
mod reconciler;
mod scheduler;
mod shell;
mod source;
#[cfg(test)]
mod tests;
mod watcher;

pub use config::{HostConfig, Identity};
pub use device::{AttachRefused, Attachment, DevicePort, PortClosed};
pub use directory::Refused;
pub use host::{Host, StartError};
pub use liveness::Liveness;
pub use ports::{
    BlobError, Blobs, BoxFuture, Clock, LedgerView, Link, LinkError, Ports, ProposeError, Proposer, Quorum,
    ReadingDecoder,
};
