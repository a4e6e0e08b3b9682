//! Plays the scenario scripts of `tests/scenarios/`, one story of the port a file, and compares what came of each
//! command with what the file says.
//!
//! A script is plain text. Lines that start with `#` are prose; every other line that is not indented is a command; the
//! lines under it, indented by four spaces, are what it led to: the outcome with the event and its key facts, then
//! inspections and lanes that changed. At the end of each story the decision log is replayed and has to lead to the same
//! inspections, lanes and root.
//!
//! When behaviour changes on purpose, run `PORTCULLIS_BLESS=1 cargo test -p portcullis-domain --test scenarios`: it
//! rewrites the files with what really comes of the commands. Read the difference before keeping it.

#[path = "support/story.rs"]
mod story;

use std::path::Path;

#[test]
fn every_story_goes_as_it_is_written() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/scenarios");
    let bless = std::env::var_os("PORTCULLIS_BLESS").is_some();
    let mut scripts: Vec<_> = std::fs::read_dir(&folder)
        .expect("the folder of scripts is there")
        .map(|entry| entry.expect("the folder can be listed").path())
        .filter(|path| path.extension().is_some_and(|end| end == "txt"))
        .collect();
    scripts.sort();
    assert!(!scripts.is_empty(), "there are no scripts in {folder:?}");

    let mut failures = Vec::new();
    for path in scripts {
        let name = path
            .file_stem()
            .map(|stem| stem.to_string_lossy().into_owned())
            .unwrap_or_default();
        let written = std::fs::read_to_string(&path)
            .expect("a script can be read")
            .replace("\r\n", "\n");
        match story::play(&written) {
            Err(failure) => failures.push(format!("{name}: {failure}")),
            Ok(told) if told == written => {}
            Ok(told) if bless => {
                std::fs::write(&path, told).expect("a script can be rewritten");
                eprintln!("{name}: rewritten");
            }
            Ok(told) => failures.push(format!(
                "{name} goes another way (- as written, + as it went):\n{}",
                difference(&written, &told)
            )),
        }
    }
    assert!(
        failures.is_empty(),
        "{}\nSet PORTCULLIS_BLESS=1 to rewrite the scripts if this is what should happen.",
        failures.join("\n\n")
    );
}

/// Lines that differ, each with its number and the command above it. Both texts have the same commands in the same
/// order, so they are compared command by command.
fn difference(written: &str, told: &str) -> String {
    let blocks = |text: &str| {
        let mut blocks: Vec<(String, Vec<String>)> = Vec::new();
        for line in text.lines() {
            match (line.strip_prefix("    "), blocks.last_mut()) {
                (Some(result), Some((_, results))) => results.push(result.to_owned()),
                _ => blocks.push((line.to_owned(), Vec::new())),
            }
        }
        blocks
    };
    let mut out = Vec::new();
    let mut line = 1;
    for ((command, expected), (_, found)) in blocks(written).into_iter().zip(blocks(told)) {
        if expected != found {
            out.push(format!("  line {line}: {command}"));
            let (missing, added) = (
                expected.iter().filter(|one| !found.contains(one)),
                found.iter().filter(|one| !expected.contains(one)),
            );
            out.extend(missing.map(|one| format!("  -     {one}")));
            out.extend(added.map(|one| format!("  +     {one}")));
        }
        line += 1 + expected.len();
    }
    if out.is_empty() {
        out.push("  only white space or the order of lines differs".to_owned());
    }
    out.join("\n")
}

#[test]
fn a_line_that_is_not_in_the_language_is_named_with_its_number() {
    let failure = story::play("# prose\nfound\nteleport MSKU1234565\n").unwrap_err();
    assert!(failure.starts_with("line 3:"), "{failure}");
}

#[test]
fn a_difference_names_the_command_and_both_results() {
    let shown = difference("found\n    a\n    b\nwait 5s\n", "found\n    a\n    c\nwait 5s\n");
    assert_eq!(shown, "  line 1: found\n  -     b\n  +     c");
}
