//! A client of another language, made from nothing but the server's own descriptors.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod support;

use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use serde_json::Value;
use support::Demo;
use tokio::process::Command;
use tokio::time::timeout;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_python_script_announces_a_container_and_follows_it_to_its_conclusion() {
    let python = std::env::var_os("PORTCULLIS_TEST_PYTHON").unwrap_or_else(|| "python3".into());
    let imports = Command::new(&python)
        .args(["-c", "import grpc, grpc_reflection"])
        .stderr(Stdio::null())
        .status();
    if !imports.await.is_ok_and(|status| status.success()) {
        eprintln!(
            "skipped: the client in Python needs grpcio and grpcio-reflection; install them, or set \
             PORTCULLIS_TEST_PYTHON to an interpreter that has them"
        );
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let demo = Demo::start(
        dir.path(),
        &[
            "--lanes",
            "1",
            "--containers",
            "1",
            "--sensors",
            "basic",
            "--speed",
            "100",
        ],
    )
    .await;
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/client.py");
    let endpoint = demo.endpoints[1].trim_start_matches("http://").to_owned();
    let run = Command::new(&python)
        .arg(&script)
        .args(["--endpoint", &endpoint, "--container", "CSQU3054383", "--timeout", "50"])
        .stdin(Stdio::null())
        .kill_on_drop(true)
        .output();
    let output = timeout(Duration::from_secs(60), run)
        .await
        .expect("the script ends")
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let stdout = String::from_utf8(output.stdout).unwrap();
    let lines: Vec<Value> = stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(lines[0]["announced"], "CSQU3054383");
    let kinds: Vec<&str> = lines[1..].iter().map(|line| line["kind"].as_str().unwrap()).collect();
    assert_eq!(
        (kinds.first(), kinds.last()),
        (Some(&"announced"), Some(&"concluded")),
        "{kinds:?}"
    );
    let entries: Vec<u64> = lines[1..].iter().map(|line| line["entry"].as_u64().unwrap()).collect();
    assert!(entries.is_sorted_by(|a, b| a < b), "{entries:?}");
    let (ended, _) = demo.interrupt().await;
    assert!(ended.success());
}
