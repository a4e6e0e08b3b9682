//! Files from the field, through the command line: a customs declaration and a recorded portal pass lead to a conclusion.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod support;

use std::path::Path;
use std::time::Duration;

use portcullis_domain::evidence::Modality;
use portcullis_domain::id::{LaneId, TerminalId};
use portcullis_domain::lane::LaneSpec;
use serde_json::Value;
use support::{Cluster, Finished, portcullis, seed_of, sensor_of, test_data};

const WITHIN: Duration = Duration::from_secs(30);

/// The command line, asking one node.
struct Console {
    endpoint: String,
}

impl Console {
    async fn run(&self, arguments: &[&str]) -> Finished {
        let mut all = arguments.to_vec();
        all.extend(["--endpoint", &self.endpoint, "-o", "json"]);
        portcullis(&all, WITHIN).await
    }

    async fn good(&self, arguments: &[&str]) -> Value {
        self.run(arguments).await.good()
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_declaration_and_a_recorded_pass_lead_to_a_review_that_names_every_finding_of_both_files() {
    let Some(data) = test_data("the recorded pass") else {
        return;
    };
    let cluster = Cluster::start(3, vec![spare_lane()]).await;
    let console = Console {
        endpoint: cluster.endpoint(cluster.follower().await),
    };
    let dir = tempfile::tempdir().unwrap();
    let key = dir.path().join("radiation.key");
    std::fs::write(&key, seed_of("lane-1-radiation")).unwrap();

    let declaration = data.join("wco-dm/declarations/TT_IM004a.xml");
    let announced = console
        .good(&[
            "announce",
            "--declaration",
            path(&declaration),
            "--equipment",
            "MSKU1234565",
        ])
        .await;
    let announced = &announced["announced"][0];
    let of_declaration = announced["findings"].as_array().unwrap();
    let again = console
        .good(&[
            "announce",
            "--declaration",
            path(&declaration),
            "--equipment",
            "MSKU1234565",
        ])
        .await;
    assert_eq!(
        &again["announced"][0]["command_number"], &announced["command_number"],
        "the same file is the same request"
    );

    let n42 = data.join("n42/passthrough.n42");
    let replay = [
        "lane",
        "replay",
        "--lane",
        "1",
        "--container",
        "MSKU1234565",
        "--n42",
        path(&n42),
        "--fast",
        "--key",
        path(&key),
    ];
    let played = console.good(&replay).await;
    assert_eq!(played["samples_recorded"], 133, "{played}");
    assert_eq!(played["passes"], 1, "{played}");
    assert_eq!(played["refused"], Value::Array(Vec::new()), "{played}");

    let shown = console.good(&["inspection", "show", "MSKU1234565"]).await;
    let case = &shown["inspection"];
    assert_eq!(case["conclusion"]["tier"], "review", "{case}");
    assert_eq!(shown["sums_add_up"], true);
    let families = case["explanation"]["families"].as_array().unwrap();
    assert_eq!(families.len(), 6);
    for family in families {
        let number = |name: &str| family[name].as_i64().unwrap_or_default();
        let contributions = family["contributions"].as_array().unwrap();
        let added: i64 = contributions
            .iter()
            .filter_map(|one| one["adds_milli_decibans"].as_i64())
            .sum();
        assert_eq!(
            number("prior_milli_decibans") + added,
            number("score_milli_decibans"),
            "{family}"
        );
    }
    // Every finding about the declaration, and every one about the record, by code and place.
    let of_case = case["findings"].as_array().unwrap();
    for finding in of_declaration {
        let same = |one: &&Value| one["code"] == finding["code"] && one["detail"] == finding["detail"];
        assert!(
            of_case.iter().any(|one| same(&one)),
            "{finding} is not shown: {of_case:?}"
        );
    }
    let radiation = case["evidence"]
        .as_array()
        .unwrap()
        .iter()
        .find(|evidence| evidence["modality"] == "radiation")
        .expect("the pass is evidence");
    let noted: Vec<&Value> = radiation["findings"]
        .as_array()
        .unwrap()
        .iter()
        .map(|noted| &noted["finding"])
        .collect();
    let record = portcullis_detectors::n42::read(&std::fs::read(&n42).unwrap()).unwrap();
    assert!(!record.findings.is_empty());
    for finding in &record.findings {
        let code = finding.code.as_str();
        let shown = noted
            .iter()
            .any(|one| one["code"] == code && one["field"] == finding.field.as_str());
        assert!(shown, "{finding:?} is not shown: {noted:?}");
    }

    every_looking_command_works_against_a_follower(&console).await;
}

/// A 64-bit number as protobuf's JSON writes it, or as a plain number.
fn number(value: &Value) -> u64 {
    value
        .as_u64()
        .or_else(|| value.as_str()?.parse().ok())
        .unwrap_or_else(|| panic!("{value} is no number"))
}

async fn every_looking_command_works_against_a_follower(console: &Console) {
    let status = console.good(&["cluster", "status"]).await;
    assert_eq!(status["health"], "healthy", "{status}");
    assert_ne!(
        number(&status["leader"]),
        number(&status["answering_node"]),
        "it is a follower that answers"
    );
    let lanes = console.good(&["lane", "ls"]).await;
    assert_eq!(lanes["lanes"].as_array().unwrap().len(), 1, "{lanes}");
    let inspections = console.good(&["inspection", "ls"]).await;
    let listed = inspections["inspections"].as_array().unwrap();
    assert!(
        listed
            .iter()
            .any(|inspection| inspection["equipment_id"] == "MSKU1234565"),
        "{inspections}"
    );
    let tail = console.run(&["events", "tail", "--from", "0", "--max", "5"]).await;
    assert_eq!(tail.code, Some(0), "{tail:?}");
    let lines: Vec<Value> = tail
        .stdout
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    assert_eq!(lines.len(), 5, "{tail:?}");
    let head = console.good(&["log", "head"]).await;
    assert!(number(&head["size"]) > 5, "{head}");
    let entry = console.good(&["log", "entry", "0"]).await;
    assert_eq!(
        (&entry["verified"], &entry["event"]["kind"]),
        (&true.into(), &"founded".into()),
        "{entry}"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_declaration_is_announced_or_refused_with_the_file_and_the_element() {
    let Some(data) = test_data("announcing the declarations") else {
        return;
    };
    let cluster = Cluster::start(1, vec![spare_lane()]).await;
    let console = Console {
        endpoint: cluster.endpoint(1),
    };
    let mut announced = 0;
    for file in files(&data.join("wco-dm/declarations")) {
        let ended = console
            .run(&["announce", "--declaration", path(&file), "--terminal", "T9"])
            .await;
        if ended.code == Some(0) {
            announced += ended.json()["announced"].as_array().unwrap().len();
        } else {
            assert!(ended.stderr.contains(path(&file)), "{ended:?}");
            assert!(
                ended.stderr.contains("TransportEquipment"),
                "the element is named: {ended:?}"
            );
            assert_eq!(ended.stdout, "");
        }
    }
    assert!(announced > 0, "some of the declarations name containers");
    // What is no declaration is refused with the file's name, and announces nothing.
    let before = number(&console.good(&["log", "head"]).await["size"]);
    let whole = std::fs::read(data.join("wco-dm/declarations/TT_IM004a.xml")).unwrap();
    let dir = tempfile::tempdir().unwrap();
    let depth = "<a>".repeat(100_000);
    let bomb = "<?xml version=\"1.0\"?><!DOCTYPE a [<!ENTITY b \"cccccccccc\"><!ENTITY d \"&b;&b;&b;\">]><a>&d;</a>";
    let hostile: [(&str, &[u8]); 5] = [
        ("truncated.xml", &whole[..whole.len() / 2]),
        ("deep.xml", depth.as_bytes()),
        ("bomb.xml", bomb.as_bytes()),
        ("empty.xml", b""),
        ("other.xml", b"<html/>"),
    ];
    for (name, bytes) in hostile {
        let file = dir.path().join(name);
        std::fs::write(&file, bytes).unwrap();
        let ended = console
            .run(&["announce", "--declaration", path(&file), "--terminal", "T9"])
            .await;
        assert_eq!(ended.code, Some(1), "{ended:?}");
        assert!(
            ended.stderr.contains(path(&file)) && ended.stderr.contains("nothing was announced"),
            "{ended:?}"
        );
        assert!(ended.took < Duration::from_secs(10), "{ended:?}");
    }
    assert_eq!(number(&console.good(&["log", "head"]).await["size"]), before);
}

fn spare_lane() -> LaneSpec {
    LaneSpec {
        id: LaneId(1),
        terminal: TerminalId::new("T1").unwrap(),
        devices: vec![sensor_of(1, Modality::Radiation)],
        nodes: Vec::new(),
        usual_pass_s: 90,
        scheduled: false,
    }
}

fn files(folder: &Path) -> Vec<std::path::PathBuf> {
    let mut files: Vec<_> = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    files.sort();
    assert!(!files.is_empty());
    files
}

fn path(path: &Path) -> &str {
    path.to_str().unwrap()
}
