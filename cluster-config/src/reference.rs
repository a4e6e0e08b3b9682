//! The reference of all keys, made from the schema.

use std::fmt::Write as _;

use crate::origin::variable_of;
use crate::overlay::OTHER_VARIABLES;
use crate::schema::{FILE, Kind, Preset, Table};

/// `REFERENCE.md`, as it must be.
#[must_use]
pub fn reference() -> String {
    let mut text = String::from(INTRODUCTION);
    let others: Vec<_> = OTHER_VARIABLES.iter().map(|name| format!("`{name}`")).collect();
    let _ = writeln!(text, "belong to the command line and the tests: {}.", others.join(", "));
    for table in FILE.all().into_iter().skip(1) {
        section(table, &mut text);
    }
    text
}

const INTRODUCTION: &str = "\
<!-- Made from src/schema.rs; a test compares. Make it anew with: UPDATE_REFERENCE=1 cargo test -p portcullis-config --test reference -->
# Configuration of a node

A node reads one TOML file; `examples/` has files to start from. Four layers, each over the one before:

1. the defaults below;
2. the file;
3. environment variables: `PORTCULLIS_`, then the key in capitals with two underscores between the levels:
   `PORTCULLIS_RAFT__HEARTBEAT_MS=100`;
4. flags: `--set raft.heartbeat_ms=100`, as often as needed.

Texts may stand without quotes in the environment and in flags. Lists are set as a whole, as TOML:
`PORTCULLIS_CLUSTER__PEERS='[{ id = 1, address = \"127.0.0.1:7401\" }]'`.
Unknown keys are refused in every layer. Durations are whole numbers with their unit in the name of the key.
`portcullis config check` shows each value in force and the layer that it comes from.

These variables are not keys; they ";

fn section(table: &Table, text: &mut String) {
    let _ = write!(text, "\n## `{}`\n\n{}\n\n", table.heading(), table.about);
    text.push_str("| key | value | default | meaning, and why |\n|---|---|---|---|\n");
    for key in table.keys {
        let default = match key.preset {
            Preset::Required => "required".to_owned(),
            Preset::Absent(meaning) => meaning.to_owned(),
            Preset::Value(value) => format!("`{value}`"),
        };
        let kind = match key.kind {
            Kind::Tables(inner) => format!("tables `{}`", inner.heading()),
            kind => kind.expected(),
        };
        let _ = writeln!(text, "| `{}` | {kind} | {default} | {} |", key.name, key.about);
    }
    if !table.heading().starts_with("[[") {
        let first = table
            .keys
            .first()
            .map(|key| variable_of(&table.path_of(key.name)))
            .unwrap_or_default();
        let _ = writeln!(text, "\nIn the environment: `{first}` and so on.");
    }
}
