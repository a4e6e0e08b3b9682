//! The file layer: reads a file and parses it, with the place of every key and value.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use toml::de::DeTable;

use crate::error::{ConfigError, Problem};
use crate::origin::Places;
use crate::tree::{Fields, locate_table};

/// No configuration is longer, in bytes. A wrong file named by accident must not fill the memory.
const LONGEST: u64 = 1 << 20;

/// Reads and parses a file.
pub(crate) fn read(path: &Path) -> Result<Fields, ConfigError> {
    let failed = |source| ConfigError::Read {
        path: path.to_owned(),
        source,
    };
    let mut bytes = Vec::new();
    File::open(path)
        .and_then(|file| file.take(LONGEST + 1).read_to_end(&mut bytes))
        .map_err(failed)?;
    if u64::try_from(bytes.len()).is_ok_and(|length| length > LONGEST) {
        return Err(failed(io::Error::new(
            io::ErrorKind::InvalidData,
            "it is longer than 1 MiB, which no configuration is: is it the right file?",
        )));
    }
    let text = String::from_utf8(bytes).map_err(|_| {
        failed(io::Error::new(
            io::ErrorKind::InvalidData,
            "it is not UTF-8 text: is it the right file?",
        ))
    })?;
    parse(path, &text)
}

/// Parses the text of a file; `path` is only for messages.
pub(crate) fn parse(path: &Path, text: &str) -> Result<Fields, ConfigError> {
    let places = Places::new(path, text);
    match DeTable::parse(text) {
        Ok(table) => Ok(locate_table(table.get_ref(), &|span| places.at(span.start))),
        Err(error) => Err(ConfigError::Invalid(vec![Problem {
            origin: Some(places.at(error.span().map_or(0, |span| span.start))),
            key: String::new(),
            value: None,
            what: format!("not valid TOML: {}", error.message().trim()),
        }])),
    }
}
