//! Choosing the mistake that is planted in this process.

use std::io::Write as _;

use anyhow::Context as _;
use portcullis_domain::mutant::{Mutant, plant};
use serde_json::json;

/// Plants the one that was asked for, or lists all. True if nothing is to be run.
///
/// # Errors
/// If there is none of this name.
pub(crate) fn chosen(name: Option<&str>, list: bool) -> anyhow::Result<bool> {
    if list {
        for mutant in Mutant::ALL {
            let about = mutant.about();
            let line = json!({ "name": about.name, "broken": about.broken, "promise": about.promise });
            writeln!(std::io::stdout(), "{line}")?;
        }
        return Ok(true);
    }
    if let Some(name) = name {
        plant(Mutant::named(name).with_context(|| format!("--mutant {name}: there is none; see --list-mutants"))?);
    }
    Ok(false)
}
