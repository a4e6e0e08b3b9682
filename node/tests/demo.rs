//! The demo as a person runs it: the promises hold with and without faults, and it leaves nothing behind.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod support;

use std::fs::File;
use std::net::TcpStream;
use std::path::Path;
use std::time::Duration;

use fs4::fs_std::FileExt;
use serde_json::Value;
use support::{Demo, portcullis};

/// Longer than a demo of this size takes on a busy machine.
const WITHIN: Duration = Duration::from_secs(110);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_container_is_concluded_once_and_alike_whether_the_leader_is_killed_or_a_lanes_host_is_paused() {
    let (plain, killed, paused) = tokio::join!(
        demo(None),
        demo(Some("kill-leader@40")),
        demo(Some("pause-lane-host@40"))
    );
    for report in [&plain, &killed, &paused] {
        let containers = &report["containers"];
        assert_eq!(
            (&containers["announced"], &containers["concluded"]),
            (&120.into(), &120.into()),
            "{report}"
        );
        for bad in ["lost", "double_concluded", "double_assigned"] {
            assert_eq!(containers[bad], 0, "{bad}: {report}");
        }
        assert_eq!(report["replicas_agree"], true, "{report}");
        let replicas = report["replicas"].as_array().unwrap();
        assert_eq!(replicas.len(), 3, "{report}");
        for replica in replicas {
            assert_eq!(
                (&replica["root"], &replica["log_size"]),
                (&replicas[0]["root"], &replicas[0]["log_size"])
            );
        }
        let by_tier = report["decisions"].as_object().unwrap();
        assert_eq!(by_tier.values().filter_map(Value::as_u64).sum::<u64>(), 120, "{report}");
        assert_eq!(report["decisions_sha256"].as_str().unwrap().len(), 64);
        assert_eq!(
            report["decisions_sha256"], plain["decisions_sha256"],
            "the same seed decides the same: {report}"
        );
        assert!(
            report["conclusion_latency_ms"]["p99"].is_number() && report["elapsed_s"].is_number(),
            "{report}"
        );
    }
    assert!(
        paused["fenced_commands"].as_u64().unwrap() > 0,
        "the zombie was fenced: {paused}"
    );
    for report in [&killed, &paused] {
        assert!(report["recovery_ms"].as_u64().is_some(), "{report}");
    }
}

/// Runs a demo to its end and returns its report, which must be all of stdout.
async fn demo(fault: Option<&str>) -> Value {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path().to_str().unwrap();
    let mut arguments = vec![
        "demo",
        "--lanes",
        "4",
        "--containers",
        "120",
        "--seed",
        "7",
        "--sensors",
        "basic",
        "--until-done",
        "--port",
        "0",
        "--dir",
        dir,
        "-o",
        "json",
    ];
    arguments.extend(fault.into_iter().flat_map(|fault| ["--fault", fault]));
    let report = portcullis(&arguments, WITHIN).await.good();
    assert_eq!(report["faults"].as_array().unwrap().len(), usize::from(fault.is_some()));
    report
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_detector_gives_evidence_of_raw_readings_and_the_case_file_explains_it() {
    let dir = tempfile::tempdir().unwrap();
    let demo = Demo::start(dir.path(), &["--lanes", "2", "--containers", "6", "--speed", "40"]).await;
    let endpoint = demo.endpoints[0].clone();
    let deadline = tokio::time::Instant::now() + WITHIN;
    let container = loop {
        let arguments = ["inspection", "ls", "--endpoint", &endpoint, "-o", "json"];
        let listed = portcullis(&arguments, WITHIN).await.good();
        let all = listed["inspections"].as_array().unwrap();
        let concluded = all.iter().find(|one| !one["conclusion"].is_null());
        if let Some(one) = concluded {
            break one["equipment_id"].as_str().unwrap().to_owned();
        }
        assert!(tokio::time::Instant::now() < deadline, "{listed}");
        tokio::time::sleep(Duration::from_millis(200)).await;
    };
    let arguments = ["inspection", "show", &container, "--endpoint", &endpoint, "-o", "json"];
    let shown = portcullis(&arguments, WITHIN).await.good();
    let inspection = &shown["inspection"];
    let evidence = inspection["evidence"].as_array().unwrap();
    let mut seen: Vec<&str> = evidence.iter().map(|one| one["modality"].as_str().unwrap()).collect();
    seen.sort_unstable();
    seen.dedup();
    let all = [
        "magnetometer",
        "manifest",
        "nqr",
        "ocr",
        "radiation",
        "radiography",
        "trace",
        "weighbridge",
    ];
    assert_eq!(seen, all, "{inspection}");
    let interpreters: Vec<&str> = evidence
        .iter()
        .map(|one| one["interpreter"].as_str().unwrap())
        .collect();
    assert!(interpreters.contains(&"radiation-spectral/1"), "{interpreters:?}");
    let explanation = &inspection["explanation"];
    assert_eq!(
        explanation["sources"].as_array().unwrap().len(),
        evidence.len(),
        "{explanation}"
    );
    assert_eq!(shown["sums_add_up"], true);
    let (ended, _) = demo.interrupt().await;
    assert!(ended.success(), "{ended}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_folder_takes_one_demo_at_a_time_and_ctrl_c_leaves_no_process_behind() {
    let dir = tempfile::tempdir().unwrap();
    let demo = Demo::start(dir.path(), &["--lanes", "1", "--nodes", "3"]).await;
    assert_eq!(demo.endpoints.len(), 3);

    let arguments = [
        "demo",
        "--lanes",
        "1",
        "--port",
        "0",
        "--dir",
        dir.path().to_str().unwrap(),
    ];
    let second = portcullis(&arguments, Duration::from_secs(15)).await;
    assert_eq!(second.code, Some(1), "{second:?}");
    assert!(
        second.stderr.contains("another demo runs in") && second.stderr.contains("--dir"),
        "{second:?}"
    );
    let status = portcullis(
        &["cluster", "status", "--endpoint", &demo.endpoints[2]],
        Duration::from_secs(15),
    )
    .await;
    assert_eq!(status.good()["health"], "healthy", "the first one goes on");

    let endpoints = demo.endpoints.clone();
    let (ended, printed) = demo.interrupt().await;
    assert!(ended.success(), "{ended}");
    assert_eq!(printed, "", "without --until-done there is nothing to report");
    for endpoint in endpoints {
        let address = endpoint.trim_start_matches("http://");
        assert!(
            TcpStream::connect(address).is_err(),
            "somebody still listens on {address}"
        );
    }
    for node in ["node-1", "node-2", "node-3"] {
        assert!(
            is_unlocked(&dir.path().join(node).join("data/LOCK")),
            "{node} still runs"
        );
    }
}

/// A node holds this lock as long as its process lives.
fn is_unlocked(lock: &Path) -> bool {
    File::open(lock).unwrap().try_lock_exclusive().unwrap()
}
