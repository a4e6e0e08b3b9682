//! From the file's words to a world, or the key that is wrong and why.

use std::collections::BTreeMap;

use portcullis_domain::evidence::{Modality, ThreatFamily};

use super::file::{Dependence, File};
use super::{ByFamily, Sensor, World};
use crate::binormal::Correlation;

/// Key and reason.
type Refused = (String, String);

pub(super) fn world(file: File) -> Result<World, Refused> {
    if file.name.trim().is_empty() || file.name.len() > 64 {
        return refuse("name", "give 1 to 64 bytes");
    }
    let threat_share = by_family("containers.threat_share", &file.containers.threat_share, share)?;
    if threat_share.iter().sum::<f64>() > 0.5 {
        return refuse(
            "containers.threat_share",
            "together the families are more than half of all containers",
        );
    }
    let per_hour = file.containers.per_hour;
    if !(per_hour > 0.0 && per_hour.is_finite()) {
        return refuse("containers.per_hour", "give a number above 0");
    }
    if file.sensor.is_empty() {
        return refuse("sensor", "give at least one");
    }
    let mut sensors: Vec<Sensor> = Vec::new();
    for (index, raw) in file.sensor.into_iter().enumerate() {
        let key = |name: &str| format!("sensor[{index}].{name}");
        let modality = modality(&key("modality"), &raw.modality)?;
        if sensors.iter().any(|other| other.modality == modality) {
            return refuse(key("modality"), format!("{modality} is there already; give each once"));
        }
        sensors.push(Sensor {
            modality,
            d_prime: by_family(&key("d_prime"), &raw.d_prime, d_prime)?,
            seconds: at_least_0(key("seconds"), raw.seconds)?,
            shielded_share: share(key("shielded_share"), raw.shielded_share)?,
            failed_share: share(key("failed_share"), raw.failed_share)?,
            drift_per_hour: finite(key("drift_per_hour"), raw.drift_per_hour)?,
        });
    }
    let mut shields = vec![0.0; sensors.len()];
    for (word, value) in file.adversary.shields {
        let key = format!("adversary.shields.{word}");
        let position = position(&key, &word, &sensors)?;
        if let Some(slot) = shields.get_mut(position) {
            *slot = share(key, value)?;
        }
    }
    Ok(World {
        name: file.name,
        threat_share,
        per_hour,
        dependence: dependence(&file.dependence, &sensors)?,
        sensors,
        shields,
    })
}

fn dependence(pairs: &[Dependence], sensors: &[Sensor]) -> Result<Correlation, Refused> {
    let mut named: BTreeMap<(usize, usize), f64> = BTreeMap::new();
    for (index, pair) in pairs.iter().enumerate() {
        let key = |name: &str| format!("dependence[{index}].{name}");
        let [a, b] = pair.sensors.as_slice() else {
            return refuse(key("sensors"), "give two modalities");
        };
        let (a, b) = (
            position(&key("sensors"), a, sensors)?,
            position(&key("sensors"), b, sensors)?,
        );
        if a == b {
            return refuse(key("sensors"), "give two different modalities");
        }
        if !(pair.rho > -1.0 && pair.rho < 1.0) {
            return refuse(
                key("rho"),
                format!("{} is not between -1 and 1, both excluded", pair.rho),
            );
        }
        if named.insert((a.min(b), a.max(b)), pair.rho).is_some() {
            return refuse(key("sensors"), "this pair is there already; give each once");
        }
    }
    let rho = |i: usize, j: usize| {
        if i == j {
            1.0
        } else {
            named.get(&(i.min(j), i.max(j))).copied().unwrap_or(0.0)
        }
    };
    let size = sensors.len();
    Correlation::new((0..size).map(|i| (0..size).map(|j| rho(i, j)).collect()).collect())
        .map_err(|error| ("dependence.rho".to_owned(), error.to_string()))
}

fn position(key: &str, word: &str, sensors: &[Sensor]) -> Result<usize, Refused> {
    let modality = modality(key, word)?;
    sensors
        .iter()
        .position(|sensor| sensor.modality == modality)
        .ok_or_else(|| (key.to_owned(), format!("this world has no sensor with modality {word}")))
}

fn modality(key: &str, word: &str) -> Result<Modality, Refused> {
    word.parse()
        .map_err(|error: portcullis_domain::id::InvalidId| (key.to_owned(), error.to_string()))
}

fn by_family(
    key: &str,
    values: &BTreeMap<String, f64>,
    check: impl Fn(String, f64) -> Result<f64, Refused>,
) -> Result<ByFamily, Refused> {
    let mut all = ByFamily::default();
    for (word, value) in values {
        let key = format!("{key}.{word}");
        let family = ThreatFamily::ALL.into_iter().find(|family| family.as_str() == word);
        let Some(slot) = family.and_then(|family| all.get_mut(family.index())) else {
            let known = ThreatFamily::ALL.map(ThreatFamily::as_str).join(", ");
            return refuse(key, format!("no such family; known are {known}"));
        };
        *slot = check(key, *value)?;
    }
    Ok(all)
}

fn share(key: String, value: f64) -> Result<f64, Refused> {
    if (0.0..=1.0).contains(&value) {
        Ok(value)
    } else {
        refuse(key, format!("{value} is no share; give 0 to 1"))
    }
}

fn d_prime(key: String, value: f64) -> Result<f64, Refused> {
    // Beyond 10 standard deviations the normal model says nothing about any real sensor.
    if (0.0..=10.0).contains(&value) {
        Ok(value)
    } else {
        refuse(key, format!("{value} is not between 0 and 10 standard deviations"))
    }
}

fn at_least_0(key: String, value: f64) -> Result<f64, Refused> {
    if (0.0..=86_400.0).contains(&value) {
        Ok(value)
    } else {
        refuse(key, format!("{value} is not between 0 and 86,400 seconds"))
    }
}

fn finite(key: String, value: f64) -> Result<f64, Refused> {
    if value.abs() <= 10.0 {
        Ok(value)
    } else {
        refuse(key, format!("{value} is not between -10 and 10 standard deviations"))
    }
}

fn refuse<T>(key: impl Into<String>, why: impl Into<String>) -> Result<T, Refused> {
    Err((key.into(), why.into()))
}
