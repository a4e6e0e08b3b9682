//! `portcullis config check`: what a node would run with, and where each value comes from.

use std::path::Path;

use portcullis_config::{ConfigError, Loaded, environment};
use serde_json::{Value, json};

use super::failure::{Exit, Failure, chain};
use super::output::{Output, table};

pub(super) fn check(output: &mut Output, file: &Path, set: &[String]) -> Result<Exit, Failure> {
    let loaded = Loaded::load(Some(file), environment(), set).map_err(|error| failure(&error, file))?;
    output.document(
        || {
            let settings: Vec<Value> = loaded
                .settings
                .iter()
                .map(|setting| {
                    json!({ "key": setting.key, "value": setting.value, "origin": setting.origin.to_string() })
                })
                .collect();
            json!({ "valid": true, "settings": settings })
        },
        |width| {
            let rows = loaded
                .settings
                .iter()
                .map(|setting| vec![setting.key.clone(), setting.value.clone(), setting.origin.to_string()])
                .collect();
            table(&["KEY", "VALUE", "FROM"], rows, &[], width)
        },
    )?;
    Ok(Exit::Ok)
}

fn failure(error: &ConfigError, file: &Path) -> Failure {
    match error.problems() {
        [] => Failure::new(Exit::Error, chain(error)).field(file.display().to_string()),
        [one] => Failure::new(Exit::Error, one.what.clone()).field(place(one, file)),
        many => {
            let mut failure = Failure::new(Exit::Error, format!("the configuration has {} problems", many.len()));
            failure.field = Some(file.display().to_string());
            failure.next = many.iter().map(|problem| format!("mend {problem}")).collect();
            failure
        }
    }
}

fn place(problem: &portcullis_config::Problem, file: &Path) -> String {
    let origin = problem
        .origin
        .as_ref()
        .map_or_else(|| file.display().to_string(), ToString::to_string);
    match (problem.key.as_str(), &problem.value) {
        ("", _) => origin,
        (key, None) => format!("{origin}: {key}"),
        (key, Some(value)) => format!("{origin}: {key} = {value}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unknown_key_is_shown_with_its_place_and_a_suggestion() {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), "[raft]\nheartbeat_sm = 100\n").unwrap();
        let error = Loaded::load(Some(file.path()), std::iter::empty(), &[]).unwrap_err();
        let text = failure(&error, file.path()).to_string();
        assert!(text.contains(":2:1") && text.contains("heartbeat_ms"), "{text}");
    }

    #[test]
    fn a_missing_file_is_an_error_with_its_name() {
        let file = Path::new("no-such.toml");
        let error = Loaded::load(Some(file), std::iter::empty(), &[]).unwrap_err();
        let failure = failure(&error, file);
        assert_eq!(
            (failure.exit, failure.field.as_deref()),
            (Exit::Error, Some("no-such.toml"))
        );
    }
}
