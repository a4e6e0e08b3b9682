//! Checks of the house as a whole, which no single package can make.
//!
//! Today these are the walls: `tests/house.rs` reads the manifests and fails on a dependency that `ARCHITECTURE.md` does not
//! allow. Faults against real processes are tested where the processes are started, in `node/tests`, through the demo.
