//! The sandbox: this program again, as the first process of its own namespaces for processes, mounts and network.
//!
//! When the first process of a process namespace ends, for whatever reason, the kernel kills all others in it; a mount or
//! network namespace is gone with its last process. So nothing has to be cleaned up but one folder, and nothing of the
//! machine's own network is ever touched.

use std::ffi::OsString;
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, bail};
use tempfile::TempDir;
use tokio::process::Command;
use tokio::sync::oneshot;

use crate::disk;

/// What names of folders begin with.
const PREFIX: &str = "portcullis-nemesis";
/// Who is told to stop has so long to do it in order.
const STOPS_WITHIN: Duration = Duration::from_secs(40);
/// The kind of namespaces; they go with the first process in them.
const UNSHARE: [&str; 6] = [
    "--net",
    "--mount",
    "--pid",
    "--fork",
    "--kill-child=SIGKILL",
    "--mount-proc",
];

/// What is missing here, and how it is had; empty if a sandbox can be made.
pub fn missing() -> Vec<String> {
    let mut missing = Vec::new();
    if !rustix::process::geteuid().is_root() {
        missing.push("root: making namespaces needs it".to_owned());
    }
    for (program, argument, package) in [
        ("unshare", "--version", "util-linux"),
        ("nsenter", "--version", "util-linux"),
        ("ip", "-Version", "iproute2"),
        ("tc", "-Version", "iproute2"),
        ("nft", "--version", "nftables"),
    ] {
        if !runs(program, &[argument]) {
            missing.push(format!("{program} (Debian, Ubuntu: apt-get install {package})"));
        }
    }
    missing.extend(disk::unusable());
    if missing.is_empty() && !runs("unshare", &[&UNSHARE[..], &["true"]].concat()) {
        missing.push("namespaces: `unshare --net --mount --pid --fork true` fails here".to_owned());
    }
    missing
}

fn runs(program: &str, arguments: &[&str]) -> bool {
    let mut command = std::process::Command::new(program);
    command.args(arguments).stdout(Stdio::null()).stderr(Stdio::null());
    command.status().is_ok_and(|status| status.success())
}

/// A new folder for a run, named by the process that makes it. Folders of runs that were killed before they could remove
/// theirs are removed first.
///
/// # Errors
/// If it cannot be made.
pub fn folder() -> anyhow::Result<TempDir> {
    let temporary = std::env::temp_dir();
    let whose = whose()?;
    for entry in std::fs::read_dir(&temporary).into_iter().flatten().flatten() {
        if let Some(process) = owner(&entry.file_name().to_string_lossy(), &whose)
            && !Path::new("/proc").join(process.to_string()).exists()
        {
            let left = entry.path();
            std::fs::remove_dir_all(&left).with_context(|| format!("removing {}, left by a run", left.display()))?;
            eprintln!("removed {}: its run was killed", left.display());
        }
    }
    tempfile::Builder::new()
        .prefix(&format!("{PREFIX}-{whose}-{}-", std::process::id()))
        .tempdir_in(&temporary)
        .with_context(|| format!("making a folder in {}", temporary.display()))
}

/// Keeps the folder of a run that has failed, under a name that no run removes. Returns where it is.
///
/// # Errors
/// If it cannot be renamed.
pub fn keep(folder: TempDir) -> anyhow::Result<PathBuf> {
    let from = folder.keep();
    let name = from.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let to = from.with_file_name(name.replacen(PREFIX, &format!("{PREFIX}-failed"), 1));
    std::fs::rename(&from, &to).with_context(|| format!("renaming {}", from.display()))?;
    Ok(to)
}

/// Numbers of processes mean something only within their namespace.
fn whose() -> anyhow::Result<String> {
    let link = std::fs::read_link("/proc/self/ns/pid").context("finding the namespace of this process")?;
    Ok(link.to_string_lossy().chars().filter(char::is_ascii_digit).collect())
}

/// The process that made a folder of this name, if one of this namespace did.
fn owner(name: &str, whose: &str) -> Option<u32> {
    let rest = name.strip_prefix(PREFIX)?.strip_prefix('-')?;
    let rest = rest.strip_prefix(whose)?.strip_prefix('-')?;
    rest.split_once('-')?.0.parse().ok()
}

/// Runs this program again with these arguments in a new sandbox, and returns its exit code. It is told to stop when `stop`
/// is ready, and also when this process ends, however that happens.
///
/// # Errors
/// If it cannot be started, or does not end when it is told to.
pub async fn enter(arguments: &[OsString], stop: impl Future<Output = ()>) -> anyhow::Result<u8> {
    let mut child = Command::new("unshare")
        .args(UNSHARE)
        .arg("--")
        .arg(std::env::current_exe().context("finding this program")?)
        .args(arguments)
        .stdin(Stdio::piped())
        // Ctrl-C in the terminal goes to this process alone, which then tells the other to stop.
        .process_group(0)
        .kill_on_drop(true)
        .spawn()
        .context("starting unshare")?;
    let stdin = child.stdin.take();
    let status = tokio::select! {
        status = child.wait() => status?,
        () = stop => {
            drop(stdin);
            tokio::time::timeout(STOPS_WITHIN, child.wait())
                .await
                .map_err(|_| anyhow::anyhow!("the sandbox did not end within {STOPS_WITHIN:?}; it is killed"))??
        }
    };
    match status.code().and_then(|code| u8::try_from(code).ok()) {
        Some(code) => Ok(code),
        None => bail!("the sandbox ended by a signal: {status}"),
    }
}

/// For the process inside: makes sure that it is, and returns what is ready when it has to stop.
///
/// # Errors
/// If this is not the first process of a sandbox: then nothing must be done to mounts and networks here.
pub fn inside() -> anyhow::Result<oneshot::Receiver<()>> {
    if std::process::id() != 1 {
        bail!("--inside is for the nemesis itself: run it without");
    }
    let links = std::fs::read_to_string("/proc/net/dev").context("listing network devices")?;
    let other = links.lines().skip(2).find(|line| !line.trim_start().starts_with("lo:"));
    if let Some(other) = other {
        bail!("this network namespace is not new, it has a device: {other}");
    }
    let (told, stop) = oneshot::channel();
    std::thread::spawn(move || {
        // Nobody writes there; it ends when the process outside lets go of it or is gone.
        let mut nothing = [0; 64];
        while matches!(std::io::stdin().read(&mut nothing), Ok(1..)) {}
        let _ = told.send(());
        std::thread::sleep(STOPS_WITHIN / 2);
        // Who waits longer is stuck. The kernel ends everything else with this process.
        std::process::exit(1);
    });
    Ok(stop)
}

/// Where a run keeps its network namespaces: in memory, seen in the sandbox only.
///
/// # Errors
/// If it cannot be mounted.
pub(super) fn memory(folder: &Path) -> anyhow::Result<PathBuf> {
    std::fs::create_dir_all(folder).with_context(|| format!("making {}", folder.display()))?;
    rustix::mount::mount(PREFIX, folder, "tmpfs", rustix::mount::MountFlags::empty(), None)
        .with_context(|| format!("mounting a tmpfs at {}", folder.display()))?;
    Ok(folder.to_owned())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

    use super::*;

    #[test]
    fn only_folders_that_a_run_of_this_namespace_made_have_an_owner() {
        assert_eq!(owner("portcullis-nemesis-4026531836-77-x8Uq2", "4026531836"), Some(77));
        for other in [
            "portcullis-nemesis-4026531837-77-x8Uq2",
            "portcullis-nemesis-4026531836-x-x8Uq2",
            "portcullis-nemesis-77",
            "portcullis-chaos-4026531836-77-x8Uq2",
            "portcullis-nemesis",
        ] {
            assert_eq!(owner(other, "4026531836"), None, "{other}");
        }
    }

    #[test]
    fn the_folder_of_a_failed_run_is_kept_under_a_name_without_an_owner() {
        let place = tempfile::tempdir().unwrap();
        let name = format!("{PREFIX}-4026531836-77-");
        let folder = tempfile::Builder::new().prefix(&name).tempdir_in(place.path()).unwrap();
        std::fs::write(folder.path().join("account.jsonl"), "{}").unwrap();
        let kept = keep(folder).unwrap();
        assert!(kept.join("account.jsonl").exists());
        assert_eq!(owner(&kept.file_name().unwrap().to_string_lossy(), "4026531836"), None);
    }

    #[test]
    fn whoever_is_not_the_first_process_of_a_sandbox_is_turned_away() {
        let error = inside().unwrap_err();
        assert!(error.to_string().contains("run it without"), "{error}");
    }
}
