//! A cluster in network namespaces of its own is hurt in several ways, each proven done and undone, and breaks no promise; and
//! nothing of it is left behind, however it ends. `portcullis-chaos nemesis` does the same with every fault and in pairs.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use portcullis_chaos::nemesis::sandbox;
use portcullis_chaos::program::program;
use serde_json::Value;

/// Longest time of a run; one that takes longer is killed, and the test fails.
const RUN_WITHIN: Duration = Duration::from_secs(240);
/// Everything of a run that was told to stop, or was killed, is gone by then.
const GONE_WITHIN: Duration = Duration::from_secs(60);

/// A run with these arguments in a folder of temporary files of its own. `None`, with a word why, where there can be none.
fn nemesis(place: &Path, arguments: &[&str]) -> Option<Command> {
    let missing = sandbox::missing();
    if !missing.is_empty() {
        eprintln!(
            "skipped: the nemesis cannot be run here; missing: {}",
            missing.join("; ")
        );
        return None;
    }
    let mut command = Command::new(env!("CARGO_BIN_EXE_portcullis-chaos"));
    command
        .args(["nemesis", "--program"])
        .arg(program().unwrap())
        .args(arguments)
        .env("TMPDIR", place)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    Some(command)
}

fn until<T>(what: &str, within: Duration, mut probe: impl FnMut() -> Option<T>) -> T {
    let end = Instant::now() + within;
    loop {
        if let Some(value) = probe() {
            return value;
        }
        assert!(Instant::now() < end, "{what}: not within {within:?}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// The end of a run; its output is read by threads of the library, so that it cannot stand at a full pipe.
fn output(child: Child) -> Output {
    let id = child.id();
    let (done, waited) = std::sync::mpsc::channel();
    std::thread::spawn(move || done.send(child.wait_with_output()));
    match waited.recv_timeout(RUN_WITHIN) {
        Ok(output) => output.unwrap(),
        Err(_) => {
            kill(id, rustix::process::Signal::KILL);
            panic!("the run has not ended after {RUN_WITHIN:?}");
        }
    }
}

fn kill(process: u32, signal: rustix::process::Signal) {
    let pid = rustix::process::Pid::from_raw(i32::try_from(process).unwrap()).unwrap();
    rustix::process::kill_process(pid, signal).unwrap();
}

/// Processes that have this path among their arguments, this one excepted.
fn processes_with(path: &Path) -> Vec<String> {
    let path = path.to_str().unwrap();
    let mut found = Vec::new();
    for entry in std::fs::read_dir("/proc").unwrap().flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        let arguments = std::fs::read(entry.path().join("cmdline")).unwrap_or_default();
        let arguments = String::from_utf8_lossy(&arguments).replace('\0', " ");
        if name.parse() != Ok(std::process::id()) && arguments.contains(path) {
            found.push(format!("{name}: {arguments}"));
        }
    }
    found
}

/// What the machine has of mounts and network devices, as this process sees them.
fn machine(place: &Path) -> (BTreeSet<String>, BTreeSet<String>) {
    let mounts = std::fs::read_to_string("/proc/self/mounts").unwrap();
    let place = place.to_str().unwrap();
    let mounts = mounts.lines().filter(|line| line.contains(place)).map(str::to_owned);
    let devices = std::fs::read_dir("/sys/class/net").unwrap().flatten();
    let devices = devices.map(|device| device.file_name().to_string_lossy().into_owned());
    (mounts.collect(), devices.collect())
}

fn folders(place: &Path) -> Vec<PathBuf> {
    std::fs::read_dir(place)
        .unwrap()
        .flatten()
        .map(|entry| entry.path())
        .collect()
}

fn lines(output: &Output) -> Vec<Value> {
    let text = std::str::from_utf8(&output.stdout).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// Waits until the cluster of a run is up: all nodes have a process.
fn is_up(place: &Path) {
    until("the run starts its nodes", Duration::from_secs(60), || {
        let nodes = processes_with(place);
        (nodes.iter().filter(|line| line.contains("node run")).count() >= 3).then_some(())
    });
}

#[test]
fn faults_of_every_kind_are_proven_done_and_undone_break_no_promise_and_leave_nothing() {
    let place = tempfile::tempdir().unwrap();
    let faults = "isolate-leader,pause-long,sync-fails,torn-power-loss,reset,kill-all";
    let arguments = [
        "--faults",
        faults,
        "--steps",
        "7",
        "--seed",
        "3",
        "--control-kills",
        "1",
    ];
    let Some(mut command) = nemesis(place.path(), &arguments) else {
        return;
    };
    let before = machine(place.path());
    let output = output(command.spawn().unwrap());
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(
        output.status.success(),
        "{said}\n{}",
        String::from_utf8_lossy(&output.stdout)
    );
    eprintln!("{said}");

    let lines = lines(&output);
    let report = &lines.last().unwrap()["report"];
    assert_eq!(report["passed"], true, "{report}");
    assert_eq!(report["violations"].as_array().unwrap().len(), 0);
    assert_eq!(report["not_reached"].as_array().unwrap().len(), 0);
    let rows = report["faults"].as_array().unwrap();
    assert_eq!(rows.len(), 6);
    for row in rows {
        assert!(row["done"].as_u64() >= Some(1), "{row}");
        assert_eq!(
            (&row["proven"], &row["reverted"]),
            (&row["done"], &row["done"]),
            "{row}"
        );
    }
    // Else this has shown nothing.
    assert!(report["writes"]["applied"].as_u64() > Some(300), "{report}");
    assert!(
        report["writes"]["unknown"].as_u64() > Some(0),
        "faults were felt: {report}"
    );
    assert!(
        report["port"]["calls"]["announce"]["applied"].as_u64() > Some(10),
        "{report}"
    );
    assert!(report["port"]["events"]["barrier_open"].as_u64() > Some(0), "{report}");
    assert_eq!(report["control"]["ours"]["count"], 1);
    assert_eq!(lines.len(), 8, "each step has its line");

    assert_eq!(machine(place.path()), before);
    assert_eq!(processes_with(place.path()), [""; 0]);
    assert_eq!(folders(place.path()).len(), 0);
}

#[test]
fn a_run_that_is_told_to_stop_or_is_killed_leaves_no_process_mount_or_device_and_the_next_one_removes_its_folder() {
    let place = tempfile::tempdir().unwrap();
    let Some(mut command) = nemesis(place.path(), &["--minutes", "3", "--control-kills", "0"]) else {
        return;
    };
    let before = machine(place.path());
    let mut killed = command.spawn().unwrap();
    is_up(place.path());
    assert_eq!(
        machine(place.path()),
        before,
        "nothing is added to the machine while it runs"
    );
    killed.kill().unwrap();
    killed.wait().unwrap();
    until("its processes are gone", GONE_WITHIN, || {
        processes_with(place.path()).is_empty().then_some(())
    });
    assert_eq!(machine(place.path()), before);
    let left = folders(place.path());
    assert_eq!(left.len(), 1, "its folder cannot be removed by who is dead: {left:?}");

    let stopped = command.spawn().unwrap();
    is_up(place.path());
    assert!(!left[0].exists(), "the next run has removed it");
    kill(stopped.id(), rustix::process::Signal::INT);
    let output = output(stopped);
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(130), "{said}");
    assert!(said.contains("interrupted"), "{said}");
    assert_eq!(processes_with(place.path()).len(), 0);
    assert_eq!(machine(place.path()), before);
    assert_eq!(folders(place.path()).len(), 0);
}
