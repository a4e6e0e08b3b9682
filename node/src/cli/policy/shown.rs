//! What a policy says, and how two of them differ.

use std::collections::{BTreeMap, BTreeSet};

use portcullis_config::PolicyFile;
use portcullis_domain::policy::Policy;
use portcullis_proto::v1;
use serde_json::{Value, json};

use super::held::who;
use super::named::Found;
use crate::cli::failure::{Exit, Failure};
use crate::cli::json::to_json;
use crate::cli::output::{Output, facts, or_dash, section, table};
use crate::cli::utc::utc;

/// A policy as JSON, in the shape of its file.
pub(in crate::cli) fn value(policy: &Policy) -> Value {
    serde_json::to_value(PolicyFile::from(policy)).unwrap_or_default()
}

/// Shows one.
pub(super) fn show(output: &mut Output, found: &Found) -> Result<Exit, Failure> {
    let Found { policy, record } = found;
    let digest = policy.digest().to_string();
    let known = known(record.as_ref());
    output.document(
        || {
            let mut json = json!({ "digest": digest, "policy": value(policy) });
            if let Some(record) = record {
                json["record"] = to_json("PolicyRecord", record);
            }
            json
        },
        |width| text_of(policy, &digest, &known, width),
    )?;
    Ok(Exit::Ok)
}

/// What the cluster knows about it.
fn known(record: Option<&v1::PolicyRecord>) -> Vec<(&'static str, String)> {
    let Some(record) = record else { return Vec::new() };
    let state = if record.active { "active" } else { "not active" };
    let mut known = vec![("state", state.to_owned())];
    if let Some(activation) = &record.activation {
        known.push(("activated", utc(activation.at_ms)));
        known.push(("by", who(activation)));
        known.push(("why", activation.reason.clone()));
        known.push(("log entry", activation.entry.to_string()));
    }
    known
}

/// A policy for people, with what else is known about it.
pub(in crate::cli) fn text_of(policy: &Policy, digest: &str, known: &[(&str, String)], width: Option<u16>) -> String {
    let decibans = |value: i32| format!("{:.3}", f64::from(value) / 1000.0);
    let families = policy.families.iter().map(|rule| {
        let thresholds = [rule.prior, rule.review, rule.exam].map(decibans);
        [rule.family.to_string()].into_iter().chain(thresholds).collect()
    });
    let families = table(
        &["FAMILY", "PRIOR", "REVIEW AT", "EXAM AT"],
        families.collect(),
        &[1, 2, 3],
        width,
    );
    let counts = policy
        .coefficients
        .iter()
        .map(|one| vec![one.modality.to_string(), one.permille.to_string()]);
    let counts = table(&["MODALITY", "PERMILLE"], counts.collect(), &[1], width);
    let required: Vec<String> = policy
        .required
        .iter()
        .map(|one| format!("{} of {:?}, else {}", one.modality, one.scope, one.otherwise))
        .collect();
    let models: Vec<String> = policy
        .manifest_models
        .iter()
        .map(|one| format!("{} by {}", one.family, one.model))
        .collect();
    let stopping = &policy.stopping;
    let head = [
        ("name", policy.name.clone()),
        ("digest", digest.to_owned()),
        ("algorithm", policy.algorithm.to_string()),
        (
            "stops",
            format!(
                "after {} samples at the earliest; {} dB below every review threshold, or {} dB above one for exam",
                stopping.least_samples,
                decibans(stopping.release_margin),
                decibans(stopping.exam_margin)
            ),
        ),
    ];
    let head: Vec<_> = head.into_iter().chain(known.iter().cloned()).collect();
    [
        format!("{}\n", facts(&head)),
        section("Families, dB of posterior odds", &families),
        section("How much of a source's weight counts", &counts),
        section("Required", &required.join("\n").to_lowercase()),
        section("Manifests weighed by learned models", &models.join("\n")),
        section("Watched for drift", &watched(policy, width)),
    ]
    .concat()
}

/// What a policy watches; nothing if it watches nothing.
fn watched(policy: &Policy, width: Option<u16>) -> String {
    let Some(watch) = &policy.watch else {
        return String::new();
    };
    let decibans = |value: i32| format!("{:.3}", f64::from(value) / 1000.0);
    let weights = watch.weights.iter().map(|one| {
        let deviation = format!("{:.3}", f64::from(one.deviation) / 1000.0);
        vec![
            one.modality.to_string(),
            decibans(one.mean),
            deviation,
            format!("{} to {}", decibans(one.low), decibans(one.high)),
        ]
    });
    let weights = table(
        &["MODALITY", "MEAN, dB", "DEVIATION", "COUNTED"],
        weights.collect(),
        &[1, 2],
        width,
    );
    let shares = watch
        .shares
        .iter()
        .map(|one| format!("{} at most {:.2} %", one.share, f64::from(one.ppm) / 10_000.0));
    let follows = format!(
        "a device adrift means at least {}, the port adrift at least {}; alarms at {:.2} nats",
        watch.device_tier,
        watch.port_tier,
        f64::from(watch.limit) / 1_000_000.0
    );
    [weights, shares.collect::<Vec<_>>().join(", "), follows].join("\n")
}

/// Shows what differs.
pub(super) fn diff(output: &mut Output, old: &Policy, new: &Policy) -> Result<Exit, Failure> {
    let (before, after) = (flat(&value(old)), flat(&value(new)));
    let keys: BTreeSet<&String> = before.keys().chain(after.keys()).collect();
    let changed: Vec<_> = keys
        .into_iter()
        .map(|key| (key, before.get(key), after.get(key)))
        .filter(|(_, before, after)| before != after)
        .collect();
    output.document(
        || {
            let rows: Vec<Value> = changed
                .iter()
                .map(|(key, before, after)| json!({ "key": key, "old": before, "new": after }))
                .collect();
            json!({ "changed": rows })
        },
        |width| match changed.is_empty() {
            true => "they say the same".to_owned(),
            false => {
                let rows = changed
                    .iter()
                    .map(|(key, before, after)| vec![(*key).clone(), or_dash(*before), or_dash(*after)]);
                table(&["KEY", "OLD", "NEW"], rows.collect(), &[], width)
            }
        },
    )?;
    Ok(Exit::Ok)
}

/// Every value under the path that leads to it.
fn flat(value: &Value) -> BTreeMap<String, Value> {
    fn walk(path: &str, value: &Value, into: &mut BTreeMap<String, Value>) {
        let below = |key: &str| match path.is_empty() {
            true => key.to_owned(),
            false => format!("{path}.{key}"),
        };
        match value {
            Value::Object(fields) => fields.iter().for_each(|(key, value)| walk(&below(key), value, into)),
            Value::Array(items) => items
                .iter()
                .enumerate()
                .for_each(|(at, value)| walk(&format!("{path}[{at}]"), value, into)),
            value => {
                into.insert(path.to_owned(), value.clone());
            }
        }
    }
    let mut into = BTreeMap::new();
    walk("", value, &mut into);
    into
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_value_of_a_policy_has_a_path() {
        let flat = flat(&value(&Policy::first()));
        assert_eq!(flat["families.nuclear.prior"], json!(-37_000));
        assert_eq!(flat["required[0].modality"], json!("radiation"));
    }

    #[test]
    fn a_policy_is_shown_with_its_thresholds_in_decibans() {
        let policy = Policy::first();
        let text = text_of(&policy, "d", &[("state", "active".to_owned())], None);
        assert!(text.contains("nuclear") && text.contains("-37.000"), "{text}");
        assert!(text.contains("radiation of every, else review"), "{text}");
        assert!(text.contains("state      active\n"), "{text}");
    }
}
