//! Where the program under test is. Cargo tells tests of other packages nothing about it, so it is looked for beside this
//! one, and built if it is missing or older than its sources.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;
use std::time::SystemTime;

use anyhow::{Context, bail};

/// What the `portcullis` program is made of.
const NODE: &[&str] = &["proto", "actors", "cluster-config", "node"];
/// What the simulation is made of.
const SIMULATION: &[&str] = &["proto", "actors", "cluster-config", "node", "chaos-tests"];

/// The `portcullis` program of the same build as this one.
///
/// # Errors
/// If it is not there and cannot be built.
pub fn program() -> anyhow::Result<&'static Path> {
    static FOUND: OnceLock<Result<PathBuf, String>> = OnceLock::new();
    let found = FOUND.get_or_init(|| find("portcullis", NODE).map_err(|error| format!("{error:#}")));
    found.as_deref().map_err(|why| anyhow::anyhow!("{why}"))
}

/// The `portcullis-sim` program of the same build as this one.
///
/// # Errors
/// If it is not there and cannot be built.
pub fn simulator() -> anyhow::Result<&'static Path> {
    static FOUND: OnceLock<Result<PathBuf, String>> = OnceLock::new();
    let found = FOUND.get_or_init(|| find("portcullis-sim", SIMULATION).map_err(|error| format!("{error:#}")));
    found.as_deref().map_err(|why| anyhow::anyhow!("{why}"))
}

/// The `portcullis-sim` program with planted bugs. It is built into a folder of its own, so that no other build ever has one.
///
/// # Errors
/// If it cannot be built.
pub fn mutants() -> anyhow::Result<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let target = std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root.join("target"), PathBuf::from);
    let target = target.join("mutants");
    let mut cargo = cargo(&root);
    cargo.args([
        "--release",
        "-p",
        "portcullis-sim",
        "--features",
        "mutants",
        "--target-dir",
    ]);
    run(cargo.arg(&target), "portcullis-sim")?;
    Ok(target.join("release").join("portcullis-sim"))
}

fn find(name: &str, sources: &[&str]) -> anyhow::Result<PathBuf> {
    let this = std::env::current_exe().context("finding this program")?;
    let mut folder = this.parent().context("this program is in no folder")?;
    if folder.ends_with("deps") {
        folder = folder.parent().context("deps is in no folder")?;
    }
    let path = folder.join(name);
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let built = std::fs::metadata(&path).and_then(|meta| meta.modified()).ok();
    if built.is_none() || built < newest_source(&root, sources) {
        build(name, folder, &root)?;
    }
    Ok(path)
}

fn build(name: &str, folder: &Path, root: &Path) -> anyhow::Result<()> {
    eprintln!(
        "{} is missing or older than its sources: building it",
        folder.join(name).display()
    );
    let mut cargo = cargo(root);
    // All packages with programs, so that the dependencies that they share are not built twice with different features.
    for package in ["portcullis", "portcullis-chaos", "portcullis-sim"] {
        cargo.args(["-p", package]);
    }
    match folder.file_name().and_then(|name| name.to_str()) {
        Some("debug") => {}
        Some(profile) => {
            cargo.args(["--profile", profile]);
        }
        None => bail!("{} is no folder of a build", folder.display()),
    }
    run(&mut cargo, name)
}

fn cargo(root: &Path) -> Command {
    let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    cargo.args(["build", "--locked"]).current_dir(root);
    cargo
}

fn run(cargo: &mut Command, name: &str) -> anyhow::Result<()> {
    let status = cargo
        .status()
        .with_context(|| format!("running cargo to build {name}"))?;
    if !status.success() {
        bail!("building {name} failed ({status}); run `cargo build -p {name}` to see why");
    }
    Ok(())
}

/// When a source of these folders was last changed; `None` where there are none.
fn newest_source(root: &Path, folders: &[&str]) -> Option<SystemTime> {
    let mut newest = None;
    let mut folders: Vec<PathBuf> = folders.iter().map(|name| root.join(name)).collect();
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
            let path = entry.path();
            if path.is_dir() {
                // What belongs to tests and benches alone does not change the program.
                if !path.ends_with("tests") && !path.ends_with("benches") {
                    folders.push(path);
                }
            } else if path
                .extension()
                .is_some_and(|ending| ending == "rs" || ending == "proto" || ending == "toml")
            {
                newest = newest.max(entry.metadata().and_then(|meta| meta.modified()).ok());
            }
        }
    }
    newest
}
