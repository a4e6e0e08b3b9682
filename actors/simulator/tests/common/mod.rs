//! What several tests need.

use portcullis_simulator::{PortOptions, PortPlan};

/// A plan with default options.
pub(crate) fn plan(seed: u64, containers: u32) -> PortPlan {
    PortPlan::new(seed, containers, PortOptions::for_terminal("T1").unwrap())
}
