//! The contract of Portcullis: the `.proto` files and the types generated from them, nothing else.
//!
//! `v1` is what terminal systems, devices, auditors and operators call; `internal::v1` is spoken between the nodes of
//! one cluster. Meaning is documented in the `.proto` files, which are what a client of another language reads.
#![allow(missing_docs, unreachable_pub, clippy::all)]

/// The public contract, package `portcullis.v1`.
pub mod v1 {
    tonic::include_proto!("portcullis.v1");
}

/// Between the nodes of one cluster, package `portcullis.internal.v1`.
pub mod internal {
    /// First version.
    pub mod v1 {
        tonic::include_proto!("portcullis.internal.v1");
    }
}

/// The descriptors of everything above, for gRPC reflection.
pub const FILE_DESCRIPTOR_SET: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/portcullis.bin"));
