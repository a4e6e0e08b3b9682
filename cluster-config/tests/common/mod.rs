//! Loads configurations from texts.

#![allow(dead_code, reason = "not every test file uses everything")]
#![allow(clippy::unwrap_used, reason = "a test that cannot write its file fails")]

use portcullis_config::{ConfigError, Loaded};

/// The least that loads.
pub(crate) const LEAST: &str = "node.id = 1\nnode.data_dir = \"data\"\n";

/// Loads a file of this text, with variables and overrides.
pub(crate) fn load(text: &str, env: &[(&str, &str)], overrides: &[&str]) -> Result<Loaded, ConfigError> {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("node.toml");
    std::fs::write(&path, text).unwrap();
    let env = env
        .iter()
        .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
    let overrides: Vec<String> = overrides.iter().map(|text| (*text).to_owned()).collect();
    Loaded::load(Some(&path), env, &overrides)
}

/// Each problem as it is printed, with the file's name alone.
pub(crate) fn problems(text: &str, env: &[(&str, &str)], overrides: &[&str]) -> Vec<String> {
    let error = load(text, env, overrides).expect_err("it is refused");
    error
        .problems()
        .iter()
        .map(|problem| without_folder(&problem.to_string()))
        .collect()
}

/// Files are named as they were given; the folder of a test is different each time.
fn without_folder(line: &str) -> String {
    const FILE: &str = "node.toml:";
    let words = line.split(' ').map(|word| match word.rfind(FILE) {
        Some(at) => format!("{}{}", if word.starts_with('(') { "(" } else { "" }, &word[at..]),
        None => word.to_owned(),
    });
    words.collect::<Vec<_>>().join(" ")
}

/// The one problem of a file.
pub(crate) fn problem(text: &str) -> String {
    let mut found = problems(text, &[], &[]);
    assert_eq!(found.len(), 1, "{found:#?}");
    found.remove(0)
}

/// The one problem of a file that has all that is required before this text.
pub(crate) fn problem_after_least(text: &str) -> String {
    problem(&format!("{LEAST}{text}"))
}
