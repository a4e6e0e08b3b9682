//! Many seeds of the simulation, each in a process of its own, and what they show together.
//!
//! The simulation itself is the program `portcullis-sim`: it replaces clock and entropy of the C library, so nothing else may
//! link it. This module starts it, collects what it prints, and makes failures small.

mod mutants;
mod outcome;
mod process;
mod reduce;
mod summary;
mod sweep;

pub use mutants::{Caught, hunt};
pub use outcome::{Injected, Outcome};
pub use process::{FaultKind, Simulator};
pub use reduce::{Reduced, reduce};
pub use summary::Summary;
pub use sweep::{Sweep, sweep};
