//! Public input files for tests, found beside the checkout. A test that needs an absent one skips and says so.

use std::path::PathBuf;

/// The bytes of a file of the test data, or nothing, with a message, if it is not there.
pub(crate) fn load(path: &str) -> Option<Vec<u8>> {
    let root = std::env::var_os("PORTCULLIS_TEST_DATA").map(PathBuf::from);
    let bytes = root.and_then(|root| std::fs::read(root.join(path)).ok());
    if bytes.is_none() {
        eprintln!("skipped: test data file {path} is not below PORTCULLIS_TEST_DATA");
    }
    bytes
}

/// The paths of all files in a folder of the test data, sorted; empty, with a message, if it is not there.
pub(crate) fn list(folder: &str) -> Vec<String> {
    let root = std::env::var_os("PORTCULLIS_TEST_DATA").map(PathBuf::from);
    let entries = root.and_then(|root| std::fs::read_dir(root.join(folder)).ok());
    let Some(entries) = entries else {
        eprintln!("skipped: test data folder {folder} is not below PORTCULLIS_TEST_DATA");
        return Vec::new();
    };
    let mut names: Vec<String> = entries
        .filter_map(|entry| entry.ok()?.file_name().into_string().ok())
        .map(|name| format!("{folder}/{name}"))
        .collect();
    names.sort();
    names
}
