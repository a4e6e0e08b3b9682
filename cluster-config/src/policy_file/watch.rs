//! The section of a policy file that says what is watched for drift.

use std::collections::BTreeMap;

use portcullis_domain::evidence::Modality;
use portcullis_domain::policy::{Share, ShareReference, Watch, WeightReference};
use serde::{Deserialize, Serialize};

use super::{PolicyFileError, modality, tier, unknown};

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct WatchEntry {
    shift_permille: u32,
    limit: u32,
    device_tier: String,
    port_tier: String,
    #[serde(default)]
    weights: BTreeMap<String, WeightEntry>,
    #[serde(default)]
    shares: BTreeMap<String, ShareEntry>,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct WeightEntry {
    low: i32,
    high: i32,
    mean: i32,
    deviation: u32,
    rise_toll: u32,
    fall_toll: u32,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct ShareEntry {
    ppm: u32,
    hit: u32,
    toll: u32,
}

impl WatchEntry {
    pub(super) fn read(&self) -> Result<Watch, PolicyFileError> {
        for key in self.weights.keys() {
            modality(&format!("watch.weights.{key}"), key)?;
        }
        for key in self.shares.keys() {
            if !Share::ALL.iter().any(|share| share.as_str() == key) {
                return Err(unknown(
                    &format!("watch.shares.{key}"),
                    key,
                    Share::ALL.map(Share::as_str),
                ));
            }
        }
        let weights = Modality::ALL.into_iter().filter_map(|modality| {
            let entry = self.weights.get(modality.as_str())?;
            Some(WeightReference {
                modality,
                low: entry.low,
                high: entry.high,
                mean: entry.mean,
                deviation: entry.deviation,
                rise_toll: entry.rise_toll,
                fall_toll: entry.fall_toll,
            })
        });
        let shares = Share::ALL.into_iter().filter_map(|share| {
            let ShareEntry { ppm, hit, toll } = *self.shares.get(share.as_str())?;
            Some(ShareReference { share, ppm, hit, toll })
        });
        Ok(Watch {
            shift_permille: self.shift_permille,
            limit: self.limit,
            weights: weights.collect(),
            shares: shares.collect(),
            device_tier: tier("watch.device_tier", &self.device_tier)?,
            port_tier: tier("watch.port_tier", &self.port_tier)?,
        })
    }
}

impl From<&Watch> for WatchEntry {
    fn from(watch: &Watch) -> Self {
        let weight = |one: &WeightReference| {
            let entry = WeightEntry {
                low: one.low,
                high: one.high,
                mean: one.mean,
                deviation: one.deviation,
                rise_toll: one.rise_toll,
                fall_toll: one.fall_toll,
            };
            (one.modality.to_string(), entry)
        };
        let share = |one: &ShareReference| {
            let ShareReference { share, ppm, hit, toll } = *one;
            (share.to_string(), ShareEntry { ppm, hit, toll })
        };
        Self {
            shift_permille: watch.shift_permille,
            limit: watch.limit,
            device_tier: watch.device_tier.to_string(),
            port_tier: watch.port_tier.to_string(),
            weights: watch.weights.iter().map(weight).collect(),
            shares: watch.shares.iter().map(share).collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use portcullis_domain::policy::{Policy, Tier};

    use super::super::{policy_from_toml, policy_to_toml};
    use super::*;

    fn policy() -> Policy {
        let mut policy = Policy::first();
        policy.watch = Some(Watch {
            shift_permille: 250,
            limit: 14_150_000,
            weights: vec![WeightReference {
                modality: Modality::Radiation,
                low: -9_000,
                high: 3_000,
                mean: -3_000,
                deviation: 1_500,
                rise_toll: 31_250,
                fall_toll: 31_300,
            }],
            shares: vec![ShareReference {
                share: Share::Unseen,
                ppm: 10_000,
                hit: 405_465,
                toll: 5_063,
            }],
            device_tier: Tier::Review,
            port_tier: Tier::Release,
        });
        policy
    }

    #[test]
    fn what_is_watched_reads_back_with_the_same_digest() {
        let text = policy_to_toml(&policy()).unwrap();
        assert!(text.contains("[watch.weights.radiation]"), "{text}");
        let read = policy_from_toml(&text).unwrap();
        assert_eq!((read.digest(), read), (policy().digest(), policy()));
        let without = policy_to_toml(&Policy::first()).unwrap();
        assert!(!without.contains("watch"), "{without}");
    }

    #[test]
    fn what_is_wrong_is_named_with_its_key() {
        let text = policy_to_toml(&policy()).unwrap();
        for (from, to, what) in [
            (
                "device_tier = \"review\"",
                "device_tier = \"maybe\"",
                "watch.device_tier",
            ),
            (
                "device_tier = \"review\"",
                "device_tier = \"release\"",
                "watch.device_tier",
            ),
            ("weights.radiation", "weights.radar", "watch.weights.radar"),
            ("shares.unseen", "shares.unheard", "held, examined, unseen, hiding"),
            ("deviation = 1500", "deviation = 0", "watch.weights.radiation.deviation"),
            ("deviation = 1500", "spread = 1500", "unknown field `spread`"),
        ] {
            assert!(text.contains(from), "{text}");
            let error = policy_from_toml(&text.replacen(from, to, 1)).unwrap_err().to_string();
            assert!(error.contains(what), "{from} -> {to}: {error}");
        }
    }
}
