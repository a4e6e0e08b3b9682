//! A policy as a TOML file: how one is kept, read by people, compared and handed to the cluster.
//!
//! ```toml
//! name = "calm"
//! algorithm = 1
//! passes_max = 8
//! required = [{ modality = "radiation", scope = "every", degraded_is_enough = true, otherwise = "review" }]
//! findings = [{ code = "NEUTRON_ALARM", tier = "exam" }]
//! calibration = [{ score = -50000, ppm = 10 }, { score = 0, ppm = 500000 }]
//! [coefficients]                     # thousandths of a modality's weight that count
//! manifest = 1000
//! [families.narcotics]               # milli-decibans of posterior odds; one for each family
//! prior = -24000
//! review = -10000
//! exam = 5000
//! [maximum_ages]                     # seconds
//! radiation = 86400
//! [stopping]
//! least_samples = 5
//! release_margin = 14000
//! exam_margin = 6000
//! [manifest_models]                  # for which families a learned model weighs the manifest; may be left out
//! narcotics = "5f1d..."              # its digest, 64 digits
//! [watch]                            # for drift; may be left out. Micro-nats are millionths of a natural logarithm of odds
//! shift_permille = 250               # of a deviation
//! limit = 14150000                   # micro-nats
//! device_tier = "review"
//! port_tier = "review"
//! [watch.weights.radiation]          # milli-decibans, sums over the families; tolls in micro-nats
//! low = -9000
//! high = 3000
//! mean = -3000
//! deviation = 1500
//! rise_toll = 31250
//! fall_toll = 31250
//! [watch.shares.unseen]              # or held, examined, hiding; hit and toll in micro-nats
//! ppm = 10000
//! hit = 405465
//! toll = 5063
//! ```
//! `scope` is `every`, `laden`, or the beginning of a commodity code as `hs:3104`. The file says the same as the policy, no more
//! and no less: what is written reads back as a policy with the same digest, as long as its lists are in the order of
//! [`Modality::ALL`] and [`ThreatFamily::ALL`], which is the order that reading gives them.

mod watch;

use std::collections::BTreeMap;

use portcullis_domain::evidence::{Modality, ThreatFamily};
use portcullis_domain::finding::FindingCode;
use portcullis_domain::policy::{
    CalibrationPoint, Coefficient, FamilyRule, FindingRule, ManifestModel, MaximumAge, Policy, Requirement, Scope,
    Stopping, Tier,
};
use serde::{Deserialize, Serialize};
use thiserror::Error;

use watch::WatchEntry;

/// What a scope that names a commodity begins with.
const COMMODITY: &str = "hs:";

/// The policy that ships for lanes with every detector; it was learned on simulated lanes.
const ALL_DETECTORS: &str = include_str!("../policies/all-detectors.toml");

/// Its manifest risk model for narcotics.
const NARCOTICS: &[u8] = include_bytes!("../models/narcotics.model");

/// Why a text is not a policy.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum PolicyFileError {
    /// It is not TOML, or has a key that is unknown, missing or of another type.
    #[error("{0}")]
    Shape(String),
    /// A word that is not one of those expected.
    #[error("{key} = {value:?}: expected {expected}")]
    Word {
        /// The key, with its place in a list.
        key: String,
        /// What stands there.
        value: String,
        /// The words that may.
        expected: String,
    },
    /// It contradicts itself.
    #[error("{0}")]
    Contradiction(String),
}

/// A policy in the shape of its file.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PolicyFile {
    name: String,
    algorithm: u16,
    passes_max: u32,
    #[serde(default)]
    required: Vec<RequiredEntry>,
    #[serde(default)]
    findings: Vec<FindingEntry>,
    #[serde(default)]
    calibration: Vec<PointEntry>,
    coefficients: BTreeMap<String, i32>,
    families: BTreeMap<String, FamilyEntry>,
    #[serde(default)]
    maximum_ages: BTreeMap<String, u32>,
    stopping: StoppingEntry,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    manifest_models: BTreeMap<String, String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    watch: Option<WatchEntry>,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct FamilyEntry {
    prior: i32,
    review: i32,
    exam: i32,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct RequiredEntry {
    modality: String,
    scope: String,
    degraded_is_enough: bool,
    otherwise: String,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct FindingEntry {
    code: String,
    tier: String,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct PointEntry {
    score: i32,
    ppm: u32,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct StoppingEntry {
    least_samples: u32,
    release_margin: i32,
    exam_margin: i32,
}

/// Reads a policy and checks it.
///
/// # Errors
/// What is wrong, with line or key; see [`PolicyFileError`].
pub fn policy_from_toml(text: &str) -> Result<Policy, PolicyFileError> {
    let file: PolicyFile = toml::from_str(text).map_err(|error| PolicyFileError::Shape(error.to_string()))?;
    // Refused here, because a word that is not a modality would otherwise be left out silently.
    for key in file.coefficients.keys() {
        modality(&format!("coefficients.{key}"), key)?;
    }
    for key in file.maximum_ages.keys() {
        modality(&format!("maximum_ages.{key}"), key)?;
    }
    for key in file.families.keys() {
        family(&format!("families.{key}"), key)?;
    }
    for key in file.manifest_models.keys() {
        family(&format!("manifest_models.{key}"), key)?;
    }
    let coefficients = Modality::ALL.into_iter().filter_map(|modality| {
        let permille = *file.coefficients.get(modality.as_str())?;
        Some(Coefficient { modality, permille })
    });
    let families = ThreatFamily::ALL.into_iter().filter_map(|family| {
        let FamilyEntry { prior, review, exam } = *file.families.get(family.as_str())?;
        Some(FamilyRule {
            family,
            prior,
            review,
            exam,
        })
    });
    let maximum_ages = Modality::ALL.into_iter().filter_map(|modality| {
        let seconds = *file.maximum_ages.get(modality.as_str())?;
        Some(MaximumAge { modality, seconds })
    });
    let manifest_models = ThreatFamily::ALL.into_iter().filter_map(|family| {
        let digest = file.manifest_models.get(family.as_str())?;
        Some(manifest_model(family, digest))
    });
    let required = file.required.iter().enumerate().map(|(at, entry)| {
        Ok(Requirement {
            modality: modality(&format!("required[{at}].modality"), &entry.modality)?,
            scope: scope(&format!("required[{at}].scope"), &entry.scope)?,
            degraded_is_enough: entry.degraded_is_enough,
            otherwise: tier(&format!("required[{at}].otherwise"), &entry.otherwise)?,
        })
    });
    let findings = file.findings.iter().enumerate().map(|(at, entry)| {
        let code = entry.code.parse().map_err(|_| PolicyFileError::Word {
            key: format!("findings[{at}].code"),
            value: entry.code.clone(),
            expected: "the code of a finding, such as NEUTRON_ALARM".to_owned(),
        });
        let code: FindingCode = code?;
        let tier = tier(&format!("findings[{at}].tier"), &entry.tier)?;
        Ok(FindingRule { code, tier })
    });
    let StoppingEntry {
        least_samples,
        release_margin,
        exam_margin,
    } = file.stopping;
    let policy = Policy {
        algorithm: file.algorithm,
        coefficients: coefficients.collect(),
        families: families.collect(),
        required: required.collect::<Result<_, _>>()?,
        findings: findings.collect::<Result<_, _>>()?,
        maximum_ages: maximum_ages.collect(),
        stopping: Stopping {
            least_samples,
            release_margin,
            exam_margin,
        },
        passes_max: file.passes_max,
        calibration: file
            .calibration
            .iter()
            .map(|point| CalibrationPoint {
                score: point.score,
                ppm: point.ppm,
            })
            .collect(),
        manifest_models: manifest_models.collect::<Result<_, _>>()?,
        watch: file.watch.as_ref().map(WatchEntry::read).transpose()?,
        name: file.name,
    };
    policy
        .check()
        .map_err(|error| PolicyFileError::Contradiction(error.to_string()))?;
    Ok(policy)
}

/// The policy that ships for lanes with every detector: X-ray, radiation spectra, magnetometers, NQR, trace, weighbridge and
/// camera. It was learned on simulated lanes (`portcullis policy learn --lanes`), so its claims hold for those.
///
/// # Errors
/// Never in a build whose tests pass.
pub fn all_detectors_policy() -> Result<Policy, PolicyFileError> {
    policy_from_toml(ALL_DETECTORS)
}

/// The manifest risk models that ship, which the shipped policy names by digest. They were learned from declarations of the
/// simulated port (`portcullis risk train --simulated`).
pub fn shipped_models() -> [&'static [u8]; 1] {
    [NARCOTICS]
}

/// Writes a policy.
///
/// # Errors
/// Never for a policy that [`Policy::check`] accepts.
pub fn policy_to_toml(policy: &Policy) -> Result<String, PolicyFileError> {
    toml::to_string(&PolicyFile::from(policy)).map_err(|error| PolicyFileError::Shape(error.to_string()))
}

impl From<&Policy> for PolicyFile {
    fn from(policy: &Policy) -> Self {
        Self {
            name: policy.name.clone(),
            algorithm: policy.algorithm,
            passes_max: policy.passes_max,
            required: policy
                .required
                .iter()
                .map(|requirement| RequiredEntry {
                    modality: requirement.modality.to_string(),
                    scope: match &requirement.scope {
                        Scope::Every => "every".to_owned(),
                        Scope::Laden => "laden".to_owned(),
                        Scope::Commodity(prefix) => format!("{COMMODITY}{prefix}"),
                    },
                    degraded_is_enough: requirement.degraded_is_enough,
                    otherwise: requirement.otherwise.to_string(),
                })
                .collect(),
            findings: policy
                .findings
                .iter()
                .map(|rule| FindingEntry {
                    code: rule.code.to_string(),
                    tier: rule.tier.to_string(),
                })
                .collect(),
            calibration: policy
                .calibration
                .iter()
                .map(|point| PointEntry {
                    score: point.score,
                    ppm: point.ppm,
                })
                .collect(),
            coefficients: policy
                .coefficients
                .iter()
                .map(|one| (one.modality.to_string(), one.permille))
                .collect(),
            families: policy
                .families
                .iter()
                .map(|rule| {
                    let FamilyRule {
                        family,
                        prior,
                        review,
                        exam,
                    } = *rule;
                    (family.to_string(), FamilyEntry { prior, review, exam })
                })
                .collect(),
            maximum_ages: policy
                .maximum_ages
                .iter()
                .map(|age| (age.modality.to_string(), age.seconds))
                .collect(),
            stopping: StoppingEntry {
                least_samples: policy.stopping.least_samples,
                release_margin: policy.stopping.release_margin,
                exam_margin: policy.stopping.exam_margin,
            },
            manifest_models: policy
                .manifest_models
                .iter()
                .map(|one| (one.family.to_string(), one.model.to_string()))
                .collect(),
            watch: policy.watch.as_ref().map(WatchEntry::from),
        }
    }
}

fn modality(key: &str, word: &str) -> Result<Modality, PolicyFileError> {
    let found = Modality::ALL.into_iter().find(|modality| modality.as_str() == word);
    found.ok_or_else(|| unknown(key, word, Modality::ALL.map(Modality::as_str)))
}

fn family(key: &str, word: &str) -> Result<ThreatFamily, PolicyFileError> {
    let found = ThreatFamily::ALL.into_iter().find(|family| family.as_str() == word);
    found.ok_or_else(|| unknown(key, word, ThreatFamily::ALL.map(ThreatFamily::as_str)))
}

fn manifest_model(family: ThreatFamily, digest: &str) -> Result<ManifestModel, PolicyFileError> {
    let model = digest.parse().map_err(|_| PolicyFileError::Word {
        key: format!("manifest_models.{family}"),
        value: digest.to_owned(),
        expected: "the digest of a model: 64 hexadecimal digits".to_owned(),
    })?;
    Ok(ManifestModel { family, model })
}

fn tier(key: &str, word: &str) -> Result<Tier, PolicyFileError> {
    const TIERS: [Tier; 3] = [Tier::Release, Tier::Review, Tier::Exam];
    let found = TIERS.into_iter().find(|tier| tier.as_str() == word);
    found.ok_or_else(|| unknown(key, word, TIERS.map(Tier::as_str)))
}

fn scope(key: &str, word: &str) -> Result<Scope, PolicyFileError> {
    match (word, word.strip_prefix(COMMODITY)) {
        ("every", _) => Ok(Scope::Every),
        ("laden", _) => Ok(Scope::Laden),
        (_, Some(prefix)) if !prefix.is_empty() && prefix.bytes().all(|byte| byte.is_ascii_digit()) => {
            Ok(Scope::Commodity(prefix.to_owned()))
        }
        _ => Err(unknown(key, word, ["every", "laden", "hs:<digits>"])),
    }
}

fn unknown<const N: usize>(key: &str, value: &str, words: [&str; N]) -> PolicyFileError {
    PolicyFileError::Word {
        key: key.to_owned(),
        value: value.to_owned(),
        expected: format!("one of {}", words.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use portcullis_domain::id::Digest;

    use super::*;

    fn first() -> String {
        policy_to_toml(&Policy::first()).unwrap()
    }

    #[test]
    fn the_policy_for_every_detector_is_sound_and_weighs_all_modalities() {
        let policy = all_detectors_policy().unwrap();
        policy.check().unwrap();
        for modality in Modality::ALL {
            assert!(policy.permille(modality) > 0, "{modality}");
        }
        // What the first policy reviews by itself stays so.
        for rule in &Policy::first().findings {
            assert!(policy.findings.contains(rule), "{rule:?}");
        }
        assert!(policy.watch.is_some(), "a learned policy says what is usual");
        let shipped = shipped_models().map(Digest::of);
        let named: Vec<Digest> = policy.manifest_models.iter().map(|one| one.model).collect();
        assert_eq!(named, shipped, "the models that it names ship with it");
    }

    #[test]
    fn a_policy_that_is_written_reads_back_with_the_same_digest() {
        let mut policy = Policy::first();
        policy.required.push(Requirement {
            modality: Modality::Nqr,
            scope: Scope::Commodity("3602".to_owned()),
            degraded_is_enough: false,
            otherwise: Tier::Exam,
        });
        let read = policy_from_toml(&policy_to_toml(&policy).unwrap()).unwrap();
        assert_eq!(read, policy);
        assert_eq!(read.digest(), policy.digest());
    }

    #[test]
    fn what_is_wrong_is_named_with_its_key() {
        let changed = |from: &str, to: &str| {
            let text = first();
            assert!(text.contains(from), "{text}");
            policy_from_toml(&text.replacen(from, to, 1)).unwrap_err().to_string()
        };
        for (from, to, what) in [
            ("scope = \"every\"", "scope = \"some\"", "required[0].scope = \"some\""),
            ("scope = \"every\"", "scope = \"hs:x\"", "every, laden"),
            (
                "modality = \"radiation\"",
                "modality = \"radar\"",
                "required[0].modality",
            ),
            ("NEUTRON_ALARM", "NEUTRON", "findings[0].code = \"NEUTRON\""),
            ("tier = \"exam\"", "tier = \"maybe\"", "release, review, exam"),
            ("[families.people]", "[families.ghosts]", "families.ghosts"),
            ("manifest = 1000", "manifesto = 1000", "coefficients.manifesto"),
            ("manifest = 1000", "manifest = 3000", "between 0 and 2000"),
            ("passes_max = 8", "passes_max = 0", "passes_max"),
            ("passes_max = 8", "passes = 8", "unknown field `passes`"),
            ("passes_max = 8\n", "", "missing field `passes_max`"),
            ("passes_max = 8", "passes_max = \"many\"", "line"),
        ] {
            let error = changed(from, to);
            assert!(error.contains(what), "{from} -> {to}: {error}");
        }
    }
}
