//! The configuration of one node: from a TOML file to validated domain types.
//!
//! Four layers, each over the one before: defaults, the file, the environment (`PORTCULLIS_RAFT__HEARTBEAT_MS=100`) and
//! overrides of the command line (`--set raft.heartbeat_ms=100`). What is not known is refused, with its place and the
//! nearest known key; what is out of range is refused, with what was expected. All problems of a stage are reported at
//! once, so that a file is not mended line by line.
//!
//! [`NodeConfig::load`] is the way in. Which keys exist, what they default to and why is written once, in `schema`;
//! `REFERENCE.md` is made from it. `shape` is the file as serde sees it, `validate` turns it into [`NodeConfig`].

mod check;
mod clock;
mod error;
mod file;
mod load;
mod merge;
mod node_config;
mod origin;
mod overlay;
mod peer_address;
mod policy_file;
mod reference;
mod schema;
mod shape;
mod suggest;
mod tree;
mod validate;

pub use clock::PortClock;
pub use error::{ConfigError, Problem};
pub use load::Loaded;
pub use node_config::{
    ClusterSection, LimitsSection, LivenessSection, LogFormat, LogSection, NodeConfig, NodeSection, Peer, RaftSection,
};
pub use origin::{Origin, Setting};
pub use overlay::{OTHER_VARIABLES, environment};
pub use peer_address::PeerAddress;
pub use policy_file::{
    PolicyFile, PolicyFileError, all_detectors_policy, policy_from_toml, policy_to_toml, shipped_models,
};
pub use reference::reference;
pub use shape::to_toml;
