//! Raw readings to evidence: what a detector sent, as weights for each threat family.
//!
//! Everything here is a pure function: bytes or counts in, values out; no I/O, no clock, no randomness. Interpretation
//! happens once, on the node that took the reading in; its result is recorded with the interpreter's name and version,
//! and nobody has to compute it again to agree on it. Floats are used inside and end at the weights.
//!
//! - [`Interpreter`]: any of the following behind one face, reading by reading
//! - [`xml`]: a hardened, lenient reader that the two formats below share
//! - [`n42`]: ANSI N42.42 radiation records, both editions
//! - [`radiation`]: gamma and neutron counts, sample by sample; nuclides from spectra, second by second
//! - [`radiography`]: transmission images, strip by strip: mass, anomalies, and a vendor's threat reports
//! - [`trace`]: ion mobility spectra of swabs, and the alarms of their instruments
//! - [`weighbridge`]: measured against declared mass
//! - [`nqr`]: echoes of nuclear quadrupole resonance, for explosives
//! - [`magnetometer`]: magnetic objects in a passing container, against what is declared
//! - [`ocr`]: the container number read against the one announced
//! - [`declaration`]: WCO Data Model declarations to manifests
//! - [`manifest`]: weighing a manifest, by learned models and by rules
//! - [`risk`]: a declared goods item, by a model learned from past outcomes
//!
//! Without readings of a modality the policy sees no such evidence, which is not the same as evidence of nothing.

mod country;
pub mod declaration;
mod interpretation;
mod interpreter;
pub mod magnetometer;
pub mod manifest;
pub mod n42;
pub mod nqr;
pub mod ocr;
pub mod radiation;
pub mod radiography;
pub mod risk;
pub mod trace;
mod trajectory;
pub mod weighbridge;
pub mod xml;

#[cfg(test)]
mod test_data;
#[cfg(test)]
mod test_noise;

pub use interpretation::{Interpretation, WEIGHT_CAP};
pub use interpreter::{Declared, Interpreter};
pub use trajectory::Trajectory;
