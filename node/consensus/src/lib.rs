//! The replicated core of Portcullis: every node that opens a [`Consensus`] holds the same ledger and the same decision log.
//!
//! Commands go in through [`Consensus::propose`] on any node, are ordered and made durable by Raft, applied to the pure ledger
//! of the domain on each replica, and answered with the outcome of apply. The rest of the system reads views of the ledger,
//! follows the decision log, and never sees Raft.
//!
//! | file | idea |
//! |---|---|
//! | `consensus`, `settings`, `status`, `errors` | the handle and what it tells |
//! | `submission`, `proposer`, `stages`, `forward`, `read`, `entries`, `lookup`, `blobs`, `agreement` | what one can do with it |
//! | `machine`, `replica`, `tlog`, `bundle`, `bundles`, `merkle`, `snapshot`, `snapshots`, `chunks`, `snapshotting`, `purge` | state: applied, shown, kept |
//! | `fetch`, `holding`, `serve_state`, `history` | state on its way between nodes, and without a node |
//! | `index`, `course`, `pace`, `recheck` | what is found by what; is the replica what it was |
//! | `log/`, `record`, `proposal`, `types` | the Raft log |
//! | `network`, `server`, `wire`, `peers`, `leadership` | between the nodes |
//! | `home`, `disk`, `remedy`, `state_store`, `sled_store`, `blocking` | the machine underneath |
//! | `model` | a machine to simulate with |
#![cfg_attr(test, allow(clippy::unwrap_used))]
#![cfg_attr(not(test), warn(clippy::disallowed_methods))]

mod agreement;
#[doc(hidden)]
#[allow(clippy::disallowed_methods, reason = "for benches")]
pub mod bench_support;
mod blobs;
#[allow(clippy::disallowed_methods, reason = "where threads for blocking work are")]
mod blocking;
mod bundle;
mod bundles;
mod chunks;
mod consensus;
mod course;
#[allow(clippy::disallowed_methods, reason = "the disk of a real machine")]
mod disk;
mod entries;
mod errors;
#[cfg(test)]
mod faulty;
mod fetch;
mod forward;
mod gate;
mod history;
mod holding;
mod home;
mod incarnation;
mod index;
mod leadership;
mod ledger;
mod log;
mod lookup;
mod machine;
mod membership;
mod merkle;
pub mod model;
mod network;
mod pace;
mod peers;
mod proposal;
mod proposer;
mod purge;
mod read;
mod recheck;
mod record;
mod remedy;
mod replica;
mod serve_state;
mod server;
mod settings;
mod shown;
#[allow(clippy::disallowed_methods, reason = "sled does its own I/O")]
mod sled_store;
mod snapshot;
mod snapshots;
mod snapshotting;
mod stages;
mod state_store;
mod status;
#[cfg(test)]
mod store_suite;
mod submission;
mod tlog;
#[allow(
    deprecated,
    reason = "openraft's macro names its own default runtime by its deprecated path"
)]
mod types;
mod wire;

pub use agreement::Agreement;
pub use blobs::BLOB_BYTES;
pub use blocking::Blocking;
pub use consensus::Consensus;
pub use disk::{Disk, DiskFile, Lock, RandomAccess, StdDisk};
pub use errors::{ChangeError, OpenError, ProposeError, ReadError, Reason};
pub use history::{HistoryError, HistoryReader, HistoryWriter};
pub use holding::Holding;
pub use home::{FORMAT, HomeError, owner_of};
pub use incarnation::incarnation_of;
pub use index::{OpenStore, sled_opener};
pub use leadership::Leadership;
pub use log::LogSettings;
pub use membership::Members;
pub use peers::{Connector, MESSAGE_BYTES, tcp_connector, tuned};
pub use proposer::Room;
pub use read::Consistency;
pub use server::Service;
pub use settings::{Settings, Timing};
pub use shown::View;
pub use snapshots::SnapshotError;
pub use stages::{CommitStages, StageTime};
pub use state_store::{Checkpoint, StateBatch, StateStore};
pub use status::Status;
pub use types::{Clock, Member};
