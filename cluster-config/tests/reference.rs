//! `REFERENCE.md` says what the code does.

use std::path::Path;

#[test]
fn the_reference_is_what_the_schema_says() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("REFERENCE.md");
    let wanted = portcullis_config::reference();
    if std::env::var_os("UPDATE_REFERENCE").is_some() {
        std::fs::write(&path, &wanted).unwrap();
    }
    let found = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(
        found == wanted,
        "REFERENCE.md is out of date: UPDATE_REFERENCE=1 cargo test -p portcullis-config --test reference"
    );
}
