//! What to say about a key that nobody knows.

use crate::error::Problem;
use crate::origin::Origin;
use crate::schema::{FILE, Table, join};

/// An unknown key of a table: the nearest known one, and all that the table knows. `path` is that of the table, with
/// positions in lists. `others` are names of this layer that are known but are not keys.
pub(crate) fn unknown(table: &'static Table, path: &str, name: &str, origin: &Origin, others: &[&str]) -> Problem {
    let known: Vec<&str> = table.keys.iter().map(|key| key.name).collect();
    let what = if path.is_empty() {
        "unknown table"
    } else {
        "unknown key"
    };
    let meant = elsewhere(name)
        .or_else(|| nearest(name, known.iter().copied().chain(others.iter().copied())).map(|key| join(path, key)));
    let hint = match meant {
        Some(key) => format!("{what}; did you mean {}?", origin.spell(&key)),
        None => format!("{what}."),
    };
    Problem {
        origin: Some(origin.clone()),
        key: join(path, name),
        value: None,
        what: format!("{hint} Known in {} are {}", table.heading(), known.join(", ")),
    }
}

/// The path of the one key of this very name in another table that is no list: a key under the wrong heading.
fn elsewhere(name: &str) -> Option<String> {
    let mut paths = FILE
        .all()
        .into_iter()
        .filter(|table| !table.path.is_empty() && !table.heading().starts_with("[["))
        .filter(|table| table.key(name).is_some())
        .map(|table| table.path_of(name));
    paths.next().filter(|_| paths.next().is_none())
}

/// The candidate that is spelled most alike, if it is alike at all.
fn nearest<'a>(name: &str, candidates: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    const ALIKE: f64 = 0.8;
    candidates
        .map(|candidate| (strsim::jaro_winkler(name, candidate), candidate))
        .filter(|(likeness, _)| *likeness >= ALIKE)
        .max_by(|(a, _), (b, _)| a.total_cmp(b))
        .map(|(_, candidate)| candidate)
}
