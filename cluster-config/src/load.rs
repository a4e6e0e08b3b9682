//! From the four layers to one configuration.

use std::net::SocketAddr;
use std::path::Path;

use portcullis_domain::id::NodeId;
use serde::Deserialize;

use crate::check::check_table;
use crate::error::{ConfigError, Problem};
use crate::file;
use crate::merge::{complete, overlay, settings};
use crate::node_config::NodeConfig;
use crate::origin::Setting;
use crate::overlay::{from_environment, from_overrides};
use crate::schema::FILE;
use crate::shape::Shape;
use crate::tree::{Fields, plain_table};
use crate::validate::validate;

/// A configuration and where each of its values comes from.
#[derive(Debug, Clone)]
pub struct Loaded {
    /// What holds.
    pub config: NodeConfig,
    /// Every key with value and origin, in the order of the reference.
    pub settings: Vec<Setting>,
}

impl Loaded {
    /// Loads a configuration: defaults, then the file, then the environment, then `overrides` of the form `key=value`.
    ///
    /// Of the environment, only variables that begin with `PORTCULLIS_` are looked at, and of these
    /// [`OTHER_VARIABLES`](crate::OTHER_VARIABLES) are left alone. [`environment`](crate::environment) gives those of
    /// the process.
    ///
    /// # Errors
    /// [`ConfigError::Read`] if there is no such file or it is no text; [`ConfigError::Invalid`] with all problems of
    /// the first stage that has any: syntax, then unknown keys, types and ranges, then missing keys, then values that
    /// contradict each other.
    pub fn load(
        file: Option<&Path>,
        env: impl Iterator<Item = (String, String)>,
        overrides: &[String],
    ) -> Result<Self, ConfigError> {
        let written = file.map_or_else(|| Ok(Fields::new()), file::read)?;
        Self::over(written, env, overrides)
    }

    /// The layers over the parsed file.
    pub(crate) fn over(
        written: Fields,
        env: impl Iterator<Item = (String, String)>,
        overrides: &[String],
    ) -> Result<Self, ConfigError> {
        let mut problems = Vec::new();
        let from_environment = from_environment(env, &mut problems);
        let from_overrides = from_overrides(overrides, &mut problems);
        let mut fields = Fields::new();
        for layer in [written, from_environment, from_overrides] {
            overlay(&mut fields, check_table(&FILE, "", layer, &mut problems));
        }
        done(&mut problems)?;
        complete(&FILE, "", &mut fields, None, &mut problems);
        done(&mut problems)?;
        let mut flat = Vec::new();
        settings(&FILE, "", &fields, &mut flat);
        let shape = Shape::deserialize(plain_table(&fields)).map_err(|error| {
            let what = error.to_string().trim().to_owned();
            ConfigError::Invalid(vec![Problem {
                origin: None,
                key: String::new(),
                value: None,
                what,
            }])
        })?;
        let config = validate(shape, &flat).map_err(ConfigError::Invalid)?;
        Ok(Self { config, settings: flat })
    }
}

/// Ends a stage: whatever follows would only report what follows from its problems.
fn done(problems: &mut Vec<Problem>) -> Result<(), ConfigError> {
    if problems.is_empty() {
        Ok(())
    } else {
        Err(ConfigError::Invalid(std::mem::take(problems)))
    }
}

impl NodeConfig {
    /// [`Loaded::load`] without the origins.
    ///
    /// # Errors
    /// As there.
    pub fn load(
        file: Option<&Path>,
        env: impl Iterator<Item = (String, String)>,
        overrides: &[String],
    ) -> Result<Self, ConfigError> {
        Loaded::load(file, env, overrides).map(|loaded| loaded.config)
    }

    /// A cluster of one node with all defaults, to be changed from there by a program that makes configurations.
    ///
    /// # Errors
    /// [`ConfigError::Invalid`] as for a file with these values, so for a `listen` that is not loopback.
    pub fn with_defaults(id: NodeId, data_dir: &Path, listen: SocketAddr) -> Result<Self, ConfigError> {
        let data_dir = toml::Value::String(data_dir.to_string_lossy().into_owned());
        let overrides = [
            format!("node.id={}", id.0),
            format!("node.data_dir={data_dir}"),
            format!("node.listen={listen}"),
        ];
        Self::load(None, std::iter::empty(), &overrides)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const EXAMPLE: &str = include_str!("../examples/port-eight-lanes.toml");

    proptest! {
        #[test]
        fn a_damaged_file_is_loaded_or_refused_but_never_panics(
            at in 0..EXAMPLE.len(), gone in 0..40_usize, put in "[ -~\n]{0,6}",
        ) {
            let boundary = |at: usize| (at..).find(|at| EXAMPLE.is_char_boundary(*at)).unwrap_or(EXAMPLE.len());
            let (from, to) = (boundary(at), boundary((at + gone).min(EXAMPLE.len())));
            let text = format!("{}{put}{}", &EXAMPLE[..from], &EXAMPLE[to..]);
            let loaded = file::parse(Path::new("damaged.toml"), &text)
                .and_then(|fields| Loaded::over(fields, std::iter::empty(), &[]));
            if let Err(error) = loaded {
                prop_assert!(!error.problems().is_empty());
                prop_assert!(error.problems().iter().all(|problem| !problem.what.is_empty()));
            }
        }

        #[test]
        fn any_override_is_taken_or_refused_but_never_panics(key in "[a-z._\\[\\]0-9]{0,20}", value in "\\PC{0,20}") {
            let _ = Loaded::over(Fields::new(), std::iter::empty(), &[format!("{key}={value}")]);
            let variable = format!("PORTCULLIS_{}", key.to_uppercase());
            let _ = Loaded::over(Fields::new(), std::iter::once((variable, value)), &[]);
        }
    }
}
