//! A sea port with ground truth: what is announced, what is really inside, and what the devices of a lane read.
//!
//! Pure: no I/O, no clock, no state. Everything is a function of a seed, so that a port can be made again, in another
//! process or on another day, and is the same port.
//!
//! - [`plan`]: [`PortPlan`] lists the [`Visit`]s: trucks, containers, declarations and the truth about them.
//! - [`sensors`]: [`Sensors`] are response models of radiation portal, weighbridge, number camera, X-ray portal, trace detector,
//!   resonance station and magnetometer arch. They are the simulator's own, so that interpreting is never tested on itself.
//!   The last four are not on the lanes of a plan.
//! - [`pass`]: [`ReadingSource`] lists the readings of one device for one pass, in order.
//! - [`assessment`]: [`Assessment`] compares decisions with the truth.
//!
//! # The law of noise
//! A reading depends on seed, container, modality and sample, and on nothing else: not on lane, time, attempt or order
//! of calls. A container that is scanned again, elsewhere, after a fault, reads the same.
//!
//! # What is left out
//! No lane has an X-ray portal or a trace detector yet: ask [`Sensors`] for what they would read. Portals count without resolving energy: [`spectrum`](portcullis_domain::reading::DetectorCounts::spectrum) is always
//! absent. No sample of a pass is ever lost; what a radio or a cable does to readings is for whoever sends them.

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
pub use pass::ReadingSource;
pub use plan::{PortOptions, PortPlan, Visit};
pub use sensors::Sensors;
pub use truck::{SAMPLE_PERIOD_MS, Truck};
pub use truth::{Concealed, RadiationSource, Shielding, SourceKind, Truth};
