//! `portcullis policy` beside a running cluster, as an officer types it.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod support;

use std::path::Path;
use std::time::Duration;

use portcullis_config::{policy_from_toml, policy_to_toml};
use portcullis_domain::policy::Policy;
use support::{Cluster, Finished, full_lane, portcullis};

const WITHIN: Duration = Duration::from_secs(60);

/// Runs `portcullis policy` beside a cluster.
async fn policy(cluster: &Cluster, arguments: &[&str]) -> Finished {
    let endpoint = cluster.endpoint(1);
    let mut all = vec!["policy", "--endpoint", &endpoint, "--timeout", "30s"];
    all.extend(arguments);
    portcullis(&all, WITHIN).await
}

fn written(folder: &Path, name: &str, change: impl FnOnce(&mut Policy)) -> (String, Policy) {
    let mut policy = Policy::first();
    policy.name = name.to_owned();
    change(&mut policy);
    let file = folder.join(format!("{name}.toml"));
    std::fs::write(&file, policy_to_toml(&policy).unwrap()).unwrap();
    (file.to_str().unwrap().to_owned(), policy)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_file_becomes_the_active_policy_and_a_digest_becomes_a_file_again() {
    let cluster = Cluster::start(1, vec![full_lane()]).await;
    let folder = tempfile::tempdir().unwrap();
    let (calm, learned) = written(folder.path(), "calm", |policy| policy.families[5].review = -7_000);
    let (first, digest) = (Policy::first().digest().to_string(), learned.digest().to_string());

    let activate = [
        "activate",
        &calm,
        "--reason",
        "learned in March",
        "--principal",
        "ana",
        "--request-id",
        "p-1",
    ];
    let done = policy(&cluster, &activate).await.good();
    assert_eq!((&done["write"], &done["principal"]), (&"applied".into(), &"ana".into()));
    assert_eq!(
        (&done["digest"], &done["name"]),
        (&digest.as_str().into(), &"calm".into())
    );
    assert!(done["entry"].is_u64(), "{done}");
    assert_eq!(
        policy(&cluster, &activate).await.good(),
        done,
        "the same request id has the same answer"
    );

    let listed = policy(&cluster, &["ls"]).await.good();
    let listed = listed["policies"].as_array().unwrap();
    let states: Vec<_> = listed
        .iter()
        .map(|one| (one["name"].as_str().unwrap(), one["active"] == true))
        .collect();
    assert_eq!(states, [("calm", true), ("first", false)]);
    assert_eq!(listed[0]["activation"]["reason"], "learned in March");
    assert_eq!(listed[0]["activation"]["principal"], "ana");
    let table = policy(&cluster, &["ls", "-o", "table"]).await.stdout;
    assert!(
        table.contains("ana via cli") && table.contains("the founding"),
        "{table}"
    );

    // By file, by digest, and by the beginning of one.
    let from_file = policy(&cluster, &["show", &calm]).await.good();
    let from_cluster = policy(&cluster, &["show", &digest[..8]]).await.good();
    assert_eq!(from_cluster["policy"], from_file["policy"]);
    assert_eq!(from_cluster["digest"], digest);
    assert_eq!(
        (&from_cluster["record"]["active"], from_file.get("record")),
        (&true.into(), None)
    );
    let changed = policy(&cluster, &["diff", &first, &calm]).await.good();
    let changed: Vec<_> = changed["changed"]
        .as_array()
        .unwrap()
        .iter()
        .map(|one| one["key"].clone())
        .collect();
    assert_eq!(changed, ["families.undeclared.review", "name"]);

    let out = policy(&cluster, &["export", &digest]).await;
    assert_eq!(policy_from_toml(&out.stdout).unwrap(), learned, "TOML, also when piped");
    let to = folder.path().join("again.toml");
    policy(&cluster, &["export", &first[..12], "--to", to.to_str().unwrap()])
        .await
        .good();
    let text = std::fs::read_to_string(&to).unwrap();
    assert_eq!(policy_from_toml(&text).unwrap(), Policy::first());

    // A former one is taken back by its digest.
    let back = policy(&cluster, &["activate", &first, "--reason", "too many reviews"])
        .await
        .good();
    assert_eq!(back["name"], "first");
    let listed = policy(&cluster, &["ls"]).await.good();
    assert_eq!(listed["policies"][0]["name"], "first");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_cannot_be_done_says_why_and_where() {
    let cluster = Cluster::start(1, vec![full_lane()]).await;
    let folder = tempfile::tempdir().unwrap();
    let (unread, _) = written(folder.path(), "newer", |policy| policy.algorithm = 9);
    let (crossed, _) = written(folder.path(), "crossed", |policy| policy.families[0].review = 6_000);
    let (wanting, _) = written(folder.path(), "wanting", |policy| {
        policy.required[0].modality = portcullis_domain::evidence::Modality::Nqr;
    });
    let unknown = "0".repeat(64);
    for (arguments, code, said) in [
        (["activate", &unread], 1, "algorithm"),
        (["activate", &crossed], 1, "families.narcotics.review"),
        (["activate", &wanting], 6, "policy.required[0]"),
        (["activate", "nowhere.toml"], 1, "nowhere.toml"),
        (["activate", &unknown], 5, "UNKNOWN_POLICY"),
        (["show", "0123456789"], 5, "policy ls"),
        (["export", "calm.toml"], 2, "hexadecimal"),
    ] {
        let refused = policy(&cluster, &arguments).await;
        assert_eq!(
            (refused.code, refused.stdout.as_str()),
            (Some(code), ""),
            "{arguments:?} {refused:?}"
        );
        assert!(refused.stderr.contains(said), "{arguments:?}: {}", refused.stderr);
    }
    let listed = policy(&cluster, &["ls"]).await.good();
    assert_eq!(listed["policies"].as_array().unwrap().len(), 1, "{listed}");
}
