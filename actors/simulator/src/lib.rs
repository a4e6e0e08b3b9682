//! A sea port with ground truth: what is announced, what is really inside, and what the devices of a lane read.
//!
//! Pure: no I/O, no clock, no state. Everything is a function of a seed, so that a port can be made again, in another
//! process or on another day, and is the same port.
//!
//! - [`plan`]: [`PortPlan`] lists the [`Visit`]s: trucks, containers, declarations and the truth about them.
//! - [`sensors`]: [`Sensors`] are response models of radiation portal, weighbridge, number camera, X-ray portal, trace detector,
//!   resonance station and magnetometer arch. They are the simulator's own, so that interpreting is never tested on itself.
//! - [`pass`]: [`ReadingSource`] lists the readings of one device for one pass, in order; an [`Outfit`] says which devices
//!   the lanes have.
//! - [`assessment`]: [`Assessment`] compares decisions with the truth.
//!
//! # The law of noise
//! A reading depends on seed, container, modality and sample, and on nothing else: not on lane, time, attempt or order
//! of calls. A container that is scanned again, elsewhere, after a fault, reads the same.
//!
//! # What is left out
//! No sample of a pass is ever lost; what a radio or a cable does to readings is for whoever sends them. The shadow of a
//! vehicle is the same at all energies, and energy scales do not drift.

pub mod arrivals;
pub mod assessment;
pub mod goods;
pub mod noise;
pub mod number;
pub mod pass;
pub mod plan;
pub mod sensors;
pub mod truck;
pub mod truth;

pub use arrivals::Arrivals;
pub use assessment::Assessment;
pub use pass::{Outfit, ReadingSource};
pub use plan::{PortOptions, PortPlan, Visit};
pub use sensors::Sensors;
pub use truck::{SAMPLE_PERIOD_MS, Truck};
pub use truth::{Concealed, RadiationSource, Shielding, SourceKind, Truth};
