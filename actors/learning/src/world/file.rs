//! The world file as serde sees it.

use std::collections::BTreeMap;

use serde::Deserialize;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct File {
    pub(super) name: String,
    pub(super) containers: Containers,
    pub(super) sensor: Vec<Sensor>,
    #[serde(default)]
    pub(super) dependence: Vec<Dependence>,
    #[serde(default)]
    pub(super) adversary: Adversary,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Containers {
    pub(super) threat_share: BTreeMap<String, f64>,
    #[serde(default = "once_a_minute")]
    pub(super) per_hour: f64,
}

/// A pace that a single lane keeps: a container a minute.
fn once_a_minute() -> f64 {
    60.0
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Sensor {
    pub(super) modality: String,
    pub(super) d_prime: BTreeMap<String, f64>,
    pub(super) seconds: f64,
    #[serde(default)]
    pub(super) shielded_share: f64,
    #[serde(default)]
    pub(super) failed_share: f64,
    #[serde(default)]
    pub(super) drift_per_hour: f64,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Dependence {
    pub(super) sensors: Vec<String>,
    pub(super) rho: f64,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Adversary {
    #[serde(default)]
    pub(super) shields: BTreeMap<String, f64>,
}
