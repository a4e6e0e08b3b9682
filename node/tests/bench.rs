//! The benchmark as a person runs it, small: each measurement ends by itself, says what it must, holds what it checks, and
//! leaves nothing behind.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod support;

use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process, test_kill_process};
use serde_json::Value;
use support::{eventually, portcullis, program};
use tempfile::TempDir;

/// Longer than any measurement here takes on a busy machine.
const WITHIN: Duration = Duration::from_secs(150);
const ETCD: &str = "/usr/bin/etcd";

/// Runs `bench` to its end with temporary files in a folder of its own, which must be empty afterwards.
async fn bench(arguments: &[&str]) -> Value {
    let dir = tempfile::tempdir().unwrap();
    let mut command = program();
    command
        .arg("bench")
        .args(arguments)
        .args(["-o", "json"])
        .env("TMPDIR", dir.path());
    let output = tokio::time::timeout(WITHIN, command.output())
        .await
        .expect("it ends in time")
        .unwrap();
    assert!(
        output.status.success(),
        "{arguments:?}: {}\n{}\n{}",
        output.status,
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
    let left: Vec<_> = std::fs::read_dir(dir.path())
        .unwrap()
        .flatten()
        .map(|entry| entry.path())
        .collect();
    assert!(left.is_empty(), "{left:?}");
    serde_json::from_slice(&output.stdout).unwrap()
}

fn number(row: &Value, key: &str) -> f64 {
    row[key]
        .as_f64()
        .unwrap_or_else(|| panic!("{key} is not a number in {row}"))
}

/// A row of a load: it has its fields, nothing failed, and its figures are in an order that can be.
fn good_row(row: &Value, system: &str, mode: &str, clients: u64, batch: u64) {
    assert_eq!(
        (
            &row["system"],
            &row["mode"],
            &row["clients"],
            &row["batch"],
            &row["failed"]
        ),
        (&system.into(), &mode.into(), &clients.into(), &batch.into(), &0.into()),
        "{row}"
    );
    assert!(number(row, "ops_per_s") > 0.0, "{row}");
    let (p50, p99, max) = (number(row, "p50_us"), number(row, "p99_us"), number(row, "max_us"));
    assert!(0.0 < p50 && p50 <= p99 && p99 <= max, "{row}");
}

#[tokio::test]
async fn commits_are_measured_for_each_number_of_clients_and_the_machine_is_named() {
    let report = bench(&[
        "commit",
        "--clients",
        "1,4",
        "--seconds",
        "1",
        "--rounds",
        "2",
        "--warm-up",
        "100ms",
    ])
    .await;
    let rows = report["rows"].as_array().unwrap();
    assert_eq!(rows.len(), 2, "{report}");
    good_row(&rows[0], "portcullis", "commit", 1, 1);
    good_row(&rows[1], "portcullis", "commit", 4, 1);
    assert!(number(&rows[0], "server_cpu_us") > 0.0, "{report}");
    assert_eq!(report["ratios"], Value::Array(Vec::new()), "there is nothing beside it");
    let machine = &report["machine"];
    for key in ["cpu", "kernel", "file_system", "directory", "program", "rustc"] {
        assert!(!machine[key].as_str().unwrap().is_empty(), "{key}: {machine}");
    }
    for key in ["cores", "memory_mb", "fdatasync_p50_us", "fdatasync_p99_us"] {
        assert!(number(machine, key) > 0.0, "{key}: {machine}");
    }
}

#[tokio::test]
async fn a_given_rate_is_kept_and_not_exceeded() {
    let report = bench(&[
        "commit",
        "--clients",
        "8",
        "--rate",
        "40",
        "--seconds",
        "3",
        "--rounds",
        "1",
    ])
    .await;
    let row = &report["rows"][0];
    good_row(row, "portcullis", "commit", 8, 1);
    let rate = number(row, "ops_per_s");
    assert!((20.0..=45.0).contains(&rate), "{row}");
}

#[tokio::test]
async fn batches_over_a_stream_and_the_ceilings_of_this_machine_are_measured() {
    let small = ["--seconds", "1", "--rounds", "1", "--warm-up", "100ms"];
    let report = bench(&[&["stream", "--window", "8", "--batch", "16", "--ceilings"][..], &small].concat()).await;
    let rows = report["rows"].as_array().unwrap();
    assert_eq!(rows.len(), 3, "{report}");
    good_row(&rows[0], "portcullis", "stream", 8, 16);
    good_row(&rows[1], "echo", "echo unary", 8, 1);
    good_row(&rows[2], "echo", "echo stream", 8, 1);
}

#[tokio::test]
async fn reads_of_every_consistency_find_what_was_written_at_leader_and_follower() {
    let small = [
        "--clients",
        "4",
        "--known",
        "50",
        "--seconds",
        "0.5",
        "--rounds",
        "1",
        "--warm-up",
        "50ms",
    ];
    let report = bench(&[&["read"][..], &small].concat()).await;
    let rows = report["rows"].as_array().unwrap();
    let modes: Vec<_> = rows.iter().map(|row| row["mode"].as_str().unwrap()).collect();
    let wanted =
        ["local", "lease", "quorum"].map(|seen| [format!("read {seen} leader"), format!("read {seen} follower")]);
    assert_eq!(modes, wanted.concat(), "{report}");
    for (row, mode) in rows.iter().zip(modes) {
        good_row(row, "portcullis", mode, 4, 1);
    }
}

#[tokio::test]
async fn killing_the_leader_loses_no_acknowledged_write() {
    let report = bench(&["failover", "--kills", "2", "--writers", "4"]).await;
    let row = &report["rows"][0];
    assert_eq!(
        (&row["rounds"], &row["acked_lost"], &row["failed"]),
        (&2.into(), &0.into(), &0.into()),
        "{row}"
    );
    assert_eq!(
        (&row["applied_twice"], &row["replicas_agree"]),
        (&0.into(), &true.into()),
        "{row}"
    );
    assert!(number(row, "acked") >= 40.0, "{row}");
    let (p50, p99, max) = (number(row, "p50_ms"), number(row, "p99_ms"), number(row, "max_ms"));
    assert!(0.0 < p50 && p50 <= p99 && p99 <= max, "{row}");
}

#[tokio::test]
async fn inspections_come_to_their_conclusions_at_the_rate_they_are_announced() {
    let report = bench(&["inspect", "--rate", "5", "--seconds", "5", "--lanes", "8"]).await;
    let rows = report["rows"].as_array().unwrap();
    assert_eq!(rows.len(), 2, "{report}");
    good_row(&rows[0], "portcullis", "inspect", 8, 1);
    good_row(&rows[1], "portcullis", "inspect, from record", 8, 1);
    assert!(number(&rows[1], "p50_us") <= number(&rows[0], "p50_us"), "{report}");
}

#[tokio::test]
async fn nodes_start_on_a_long_history_and_a_new_one_catches_up() {
    let report = bench(&["restart", "--closed", "1000"]).await;
    let row = &report["rows"][0];
    assert_eq!(
        (&row["closed"], &row["replicas_agree"]),
        (&1000.into(), &true.into()),
        "{row}"
    );
    assert!(
        number(row, "entries") > 6000.0,
        "each inspection has its whole course: {row}"
    );
    for key in ["serve_s", "catch_up_s", "catch_up_mb_per_s", "rss_mb", "folder_mb"] {
        assert!(number(row, key) > 0.0, "{key}: {row}");
    }
}

#[tokio::test]
async fn etcd_is_measured_in_the_same_run_where_it_is_installed() {
    if !Path::new(ETCD).exists() {
        eprintln!("skipped: there is no {ETCD}; install it (Debian: apt-get install etcd-server)");
        return;
    }
    let small = [
        "--seconds",
        "1",
        "--rounds",
        "2",
        "--warm-up",
        "100ms",
        "--beside",
        "etcd",
        "--etcd",
        ETCD,
    ];
    let report = bench(&[&["commit", "--clients", "4"][..], &small].concat()).await;
    let rows = report["rows"].as_array().unwrap();
    good_row(&rows[0], "portcullis", "commit", 4, 1);
    good_row(&rows[1], "etcd", "commit", 4, 1);
    let ratio = &report["ratios"][0];
    let expected = number(&rows[0], "ops_per_s") / number(&rows[1], "ops_per_s");
    assert!((number(ratio, "ops_per_s") - expected).abs() < 0.01, "{report}");
    assert!(number(ratio, "p50") > 0.0 && number(ratio, "p99") > 0.0, "{report}");
    assert!(
        report["machine"]["etcd"].as_str().unwrap().starts_with("etcd 3."),
        "{report}"
    );

    let report = bench(&[
        "failover",
        "--kills",
        "1",
        "--writers",
        "4",
        "--beside",
        "etcd",
        "--etcd",
        ETCD,
    ])
    .await;
    let row = &report["rows"][1];
    assert_eq!(
        (&row["system"], &row["acked_lost"]),
        (&"etcd".into(), &0.into()),
        "{row}"
    );
    assert_eq!(row["replicas_agree"], true, "{row}");
}

#[tokio::test]
async fn without_etcd_it_is_said_how_to_get_it() {
    let run = portcullis(
        &["bench", "commit", "--beside", "etcd", "--etcd", "no-such-etcd"],
        WITHIN,
    )
    .await;
    assert_eq!(run.code, Some(1), "{run:?}");
    assert!(run.stderr.contains("apt-get install etcd-server"), "{run:?}");
}

#[tokio::test]
async fn a_folder_with_something_in_it_is_not_used() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("letter"), "dear").unwrap();
    let run = portcullis(&["bench", "commit", "--dir", dir.path().to_str().unwrap()], WITHIN).await;
    assert_eq!(run.code, Some(1), "{run:?}");
    assert!(
        run.stderr.contains("--dir") && run.stderr.contains("not empty"),
        "{run:?}"
    );
    assert!(dir.path().join("letter").exists());
}

/// Starts a long measurement and waits until its nodes run; returns its process and theirs.
async fn long_measurement(dir: &TempDir) -> (tokio::process::Child, Vec<Pid>) {
    let mut command = program();
    command
        .args(["bench", "commit", "--clients", "1", "--seconds", "600"])
        .env("TMPDIR", dir.path());
    let child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    let parent = i32::try_from(child.id().unwrap()).unwrap();
    let mut nodes = Vec::new();
    eventually("three nodes run", async || {
        nodes = children(parent);
        (nodes.len() == 3).then_some(()).ok_or_else(|| format!("{nodes:?}"))
    })
    .await;
    (child, nodes)
}

fn children(parent: i32) -> Vec<Pid> {
    std::fs::read_to_string(format!("/proc/{parent}/task/{parent}/children"))
        .unwrap_or_default()
        .split_ascii_whitespace()
        .filter_map(|pid| Pid::from_raw(pid.parse().ok()?))
        .collect()
}

async fn all_gone(nodes: &[Pid]) {
    eventually("the nodes are gone", async || {
        let left: Vec<_> = nodes.iter().filter(|pid| test_kill_process(**pid).is_ok()).collect();
        left.is_empty().then_some(()).ok_or_else(|| format!("{left:?}"))
    })
    .await;
}

#[tokio::test]
async fn ctrl_c_ends_a_measurement_and_leaves_neither_process_nor_file() {
    let dir = tempfile::tempdir().unwrap();
    let (mut child, nodes) = long_measurement(&dir).await;
    let pid = Pid::from_raw(i32::try_from(child.id().unwrap()).unwrap()).unwrap();
    kill_process(pid, Signal::INT).unwrap();
    let status = tokio::time::timeout(Duration::from_secs(30), child.wait())
        .await
        .expect("it ends soon")
        .unwrap();
    assert_eq!(status.code(), Some(130));
    all_gone(&nodes).await;
    assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0);
}

#[tokio::test]
async fn nodes_end_with_a_measurement_that_is_killed() {
    let dir = tempfile::tempdir().unwrap();
    let (mut child, nodes) = long_measurement(&dir).await;
    child.kill().await.unwrap();
    all_gone(&nodes).await;
}
