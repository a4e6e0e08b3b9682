//! The layers above the file: environment variables and overrides of the command line, one key each.

use std::collections::BTreeMap;

use toml::de::DeValue;

use crate::error::Problem;
use crate::merge::overlay;
use crate::origin::{Origin, PREFIX};
use crate::schema::{FILE, Kind, Table, join};
use crate::suggest::unknown;
use crate::tree::{Field, Fields, Located, Value, locate};

/// Variables that begin like ours but belong to the command line and the tests, and are not keys of the configuration.
pub const OTHER_VARIABLES: &[&str] = &[
    "PORTCULLIS_DEVICE_KEY",
    "PORTCULLIS_ENDPOINT",
    "PORTCULLIS_LOG",
    "PORTCULLIS_OUTPUT",
    "PORTCULLIS_PRINCIPAL",
    "PORTCULLIS_SOURCE",
    "PORTCULLIS_TEST_DATA",
    "PORTCULLIS_TEST_PYTHON",
    "PORTCULLIS_TIMEOUT",
];

/// The variables of this process that begin with `PORTCULLIS_`. A value that is not UTF-8 is taken as near as possible,
/// so that it is refused with its name; `std::env::vars` would panic.
pub fn environment() -> impl Iterator<Item = (String, String)> {
    std::env::vars_os()
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value.to_string_lossy().into_owned())))
        .filter(|(name, _)| name.starts_with(PREFIX))
}

/// The layer of the environment. Variables that do not begin with `PORTCULLIS_` are not ours.
pub(crate) fn from_environment(
    variables: impl Iterator<Item = (String, String)>,
    problems: &mut Vec<Problem>,
) -> Fields {
    let others: Vec<String> = OTHER_VARIABLES
        .iter()
        .map(|name| name[PREFIX.len()..].to_ascii_lowercase())
        .collect();
    let others: Vec<&str> = others.iter().map(String::as_str).collect();
    // Sorted, so that the same environment gives the same answer.
    let variables: BTreeMap<String, String> = variables.collect();
    let mut layer = Fields::new();
    for (variable, text) in &variables {
        let Some(name) = variable.strip_prefix(PREFIX) else {
            continue;
        };
        if OTHER_VARIABLES.contains(&variable.as_str()) {
            continue;
        }
        let key = name.to_ascii_lowercase().replace("__", ".");
        let origin = Origin::Environment(variable.as_str().into());
        if let Some(what) = misnamed(name) {
            problems.push(Problem {
                origin: Some(origin),
                key: String::new(),
                value: None,
                what,
            });
            continue;
        }
        match entry(&key, text, &origin, &others) {
            Ok(fields) => overlay(&mut layer, fields),
            Err(problem) => problems.push(problem),
        }
    }
    layer
}

/// What is wrong with the name itself, whichever key it means.
fn misnamed(name: &str) -> Option<String> {
    if name.chars().any(|c| c.is_ascii_lowercase()) {
        return Some(format!(
            "not a key: variables are written in capitals, {PREFIX}{}",
            name.to_ascii_uppercase()
        ));
    }
    let linked = format!("_{name}");
    let by_kubernetes = ["_SERVICE_HOST", "_SERVICE_PORT", "_PORT_"]
        .iter()
        .any(|part| linked.contains(part));
    if !name.contains("__") && (by_kubernetes || linked.ends_with("_PORT")) {
        return Some(
            "not a key: Kubernetes sets such variables for a Service whose name begins with portcullis; \
             set enableServiceLinks: false in the pod"
                .to_owned(),
        );
    }
    None
}

/// The layer of the command line: `key=value`, later ones over earlier ones.
pub(crate) fn from_overrides(overrides: &[String], problems: &mut Vec<Problem>) -> Fields {
    let mut layer = Fields::new();
    for text in overrides {
        let Some((key, value)) = text.split_once('=') else {
            problems.push(Problem {
                origin: Some(Origin::Override(text.as_str().into())),
                key: String::new(),
                value: None,
                what: "expected KEY=VALUE, such as raft.heartbeat_ms=100".to_owned(),
            });
            continue;
        };
        let key = key.trim();
        match entry(key, value, &Origin::Override(key.into()), &[]) {
            Ok(fields) => overlay(&mut layer, fields),
            Err(problem) => problems.push(problem),
        }
    }
    layer
}

/// A layer of one key.
fn entry(key: &str, text: &str, origin: &Origin, others: &[&str]) -> Result<Fields, Problem> {
    let names: Vec<&str> = key.split('.').collect();
    let value = value_at(&FILE, "", &names, text, origin, others)?;
    let nested = names.iter().rev().fold(value, |value, name| {
        let field = Field {
            key: origin.clone(),
            value,
        };
        Located {
            value: Value::Table(Fields::from([((*name).to_owned(), field)])),
            origin: origin.clone(),
        }
    });
    match nested.value {
        Value::Table(fields) => Ok(fields),
        _ => Ok(Fields::new()),
    }
}

/// Walks down the schema, then reads the text as the kind that is expected there.
fn value_at(
    table: &'static Table,
    path: &str,
    names: &[&str],
    text: &str,
    origin: &Origin,
    others: &[&str],
) -> Result<Located, Problem> {
    let (name, below) = names
        .split_first()
        .map_or(("", &[][..]), |(name, below)| (*name, below));
    let others = if path.is_empty() && below.is_empty() {
        others
    } else {
        &[]
    };
    let key = table
        .key(name)
        .ok_or_else(|| unknown(table, path, name, origin, others))?;
    let path = join(path, name);
    let refuse = |what: String| Problem {
        origin: Some(origin.clone()),
        key: path.clone(),
        value: None,
        what,
    };
    match key.kind {
        Kind::Table(inner) if below.is_empty() => {
            let known: Vec<_> = inner
                .keys
                .iter()
                .map(|key| origin.spell(&join(&path, key.name)))
                .collect();
            Err(refuse(format!("is a table; set one of {}", known.join(", "))))
        }
        Kind::Table(inner) => value_at(inner, &path, below, text, origin, others),
        Kind::Tables(_) if !below.is_empty() => Err(refuse(format!(
            "is a list and set as a whole: {}='[{{ id = 1, ... }}]'",
            origin.spell(&path)
        ))),
        _ if !below.is_empty() => Err(refuse("is a value and has no keys of its own".to_owned())),
        kind => read(kind, text, origin).map_err(|why| {
            let value = Some(Value::Text(text.to_owned()).short());
            Problem {
                value,
                ..refuse(format!("expected {} as TOML: {why}", kind.expected()))
            }
        }),
    }
}

/// Text is taken as it stands, with or without quotes; everything else is TOML. What is no TOML stays text, so that the
/// check of types speaks; only for lists the parser knows better what is wrong.
fn read(kind: Kind, text: &str, origin: &Origin) -> Result<Located, String> {
    let place = |_: std::ops::Range<usize>| origin.clone();
    let plain = || Located {
        value: Value::Text(text.to_owned()),
        origin: origin.clone(),
    };
    let parsed = DeValue::parse(text.trim());
    match (kind, parsed) {
        (Kind::Text | Kind::Word(_), Ok(value)) if value.get_ref().is_str() => Ok(locate(&value, &place)),
        (Kind::Text | Kind::Word(_), _) => Ok(plain()),
        (_, Ok(value)) => Ok(locate(&value, &place)),
        (Kind::Numbers | Kind::Texts | Kind::Tables(_), Err(error)) => Err(error.message().trim().to_owned()),
        (_, Err(_)) => Ok(plain()),
    }
}
