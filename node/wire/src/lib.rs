//! The only conversions between protobuf and the types of the domain, in both directions.
//!
//! `decode_*` checks: whatever a peer may send becomes a domain value or an [`InvalidField`] that names the field by its
//! dotted path within the request; nothing panics. `encode_*` cannot fail. [`status`] is the one place where refusals and
//! failures become gRPC statuses, and where a client of ours reads them back.
#![cfg_attr(not(test), warn(clippy::disallowed_methods))]

pub mod announcement;
pub mod beat;
pub mod cluster;
pub mod context;
pub mod device;
pub mod drift;
pub mod event;
pub mod inspection;
pub mod invalid;
pub mod json;
pub mod lane;
pub mod link;
pub mod model;
pub mod policy;
pub mod reading;
pub mod status;
pub mod token;
pub mod vocabulary;
pub mod watch;
pub mod write;

pub use invalid::InvalidField;

#[cfg(test)]
mod samples;
