//! Where the program under test is. Cargo tells tests of other packages nothing about it, so it is looked for beside this
//! one, and built if it is missing or older than its sources.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;
use std::time::SystemTime;

use anyhow::{Context, bail};

/// The `portcullis` program of the same build as this one.
///
/// # Errors
/// If it is not there and cannot be built.
pub fn program() -> anyhow::Result<&'static Path> {
    static FOUND: OnceLock<Result<PathBuf, String>> = OnceLock::new();
    let found = FOUND.get_or_init(|| find().map_err(|error| format!("{error:#}")));
    found.as_deref().map_err(|why| anyhow::anyhow!("{why}"))
}

fn find() -> anyhow::Result<PathBuf> {
    let this = std::env::current_exe().context("finding this program")?;
    let mut folder = this.parent().context("this program is in no folder")?;
    if folder.ends_with("deps") {
        folder = folder.parent().context("deps is in no folder")?;
    }
    let path = folder.join("portcullis");
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let built = std::fs::metadata(&path).and_then(|meta| meta.modified()).ok();
    if built.is_none() || built < newest_source(&root) {
        build(folder, &root)?;
    }
    Ok(path)
}

fn build(folder: &Path, root: &Path) -> anyhow::Result<()> {
    eprintln!(
        "{} is missing or older than its sources: building it",
        folder.join("portcullis").display()
    );
    let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    // Both packages, so that the dependencies that they share are not built twice with different features.
    cargo
        .args(["build", "--locked", "-p", "portcullis", "-p", "portcullis-chaos"])
        .current_dir(root);
    match folder.file_name().and_then(|name| name.to_str()) {
        Some("debug") => {}
        Some(profile) => {
            cargo.args(["--profile", profile]);
        }
        None => bail!("{} is no folder of a build", folder.display()),
    }
    let status = cargo
        .status()
        .context("running cargo to build the portcullis program")?;
    if !status.success() {
        bail!("building the portcullis program failed ({status}); run `cargo build -p portcullis` to see why");
    }
    Ok(())
}

/// When a source of the program was last changed; `None` where there are no sources.
fn newest_source(root: &Path) -> Option<SystemTime> {
    let mut newest = None;
    let mut folders: Vec<PathBuf> = ["proto", "actors", "cluster-config", "node"]
        .map(|name| root.join(name))
        .into();
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
