//! A manifest risk model, from learning to the case of a container: brought in, named by a policy, weighing, kept for good.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod support;

use std::path::Path;
use std::time::Duration;

use portcullis_config::policy_to_toml;
use portcullis_domain::evidence::ThreatFamily;
use portcullis_domain::id::Digest;
use portcullis_domain::policy::{ManifestModel, Policy};
use portcullis_proto::v1 as pb;
use portcullis_proto::v1::policy_service_client::PolicyServiceClient;
use support::{Cluster, Finished, Refused, announce, context, deadline, full_lane, portcullis};
use tonic::Code;

const WITHIN: Duration = Duration::from_secs(60);
const CALL: Duration = Duration::from_secs(5);

async fn typed(cluster: &Cluster, arguments: &[&str]) -> Finished {
    let endpoint = cluster.endpoint(1);
    let (group, rest) = arguments.split_first().unwrap();
    let mut all = vec![*group, "--endpoint", &endpoint, "--timeout", "30s"];
    all.extend(rest);
    portcullis(&all, WITHIN).await
}

/// The first policy with narcotics weighed by a model, as a file.
fn policy(folder: &Path, model: Digest) -> String {
    let mut policy = Policy::first();
    policy.name = "with a model".to_owned();
    policy.manifest_models.push(ManifestModel {
        family: ThreatFamily::Narcotics,
        model,
    });
    let file = folder.join("policy.toml");
    std::fs::write(&file, policy_to_toml(&policy).unwrap()).unwrap();
    file.to_str().unwrap().to_owned()
}

/// The evidence of the manifest of a container that is announced now.
async fn weighed(cluster: &Cluster, node: u64, request: &str, equipment: &str) -> pb::Evidence {
    let mut request = announce(request, equipment, "T1");
    let manifest = request.announcement.as_mut().unwrap().manifest.as_mut().unwrap();
    manifest.dispatch_country = "EC".to_owned();
    for item in &mut manifest.goods {
        item.commodity_code = "080390".to_owned();
        item.origin = "EC".to_owned();
    }
    let number = cluster.announce(&request).await.inspection;
    let mut case = cluster.at_stage(node, number, pb::Stage::Queued).await;
    if case.evidence.is_empty() {
        case = cluster.inspection(node, number).await.inspection.unwrap();
    }
    case.evidence.remove(0)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_model_that_was_learned_weighs_manifests_on_every_node_and_no_crash_forgets_it() {
    // The lane has no device, so nothing but the manifest speaks.
    let mut cluster = Cluster::start(3, vec![full_lane()]).await;
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("narcotics.model");
    let file = file.to_str().unwrap();
    let train = [
        "risk",
        "train",
        "--simulated",
        "narcotics",
        "--containers",
        "20000",
        "--to",
        file,
    ];
    let learned = portcullis(&train, WITHIN).await.good();
    let bytes = std::fs::read(file).unwrap();
    let digest = Digest::of(&bytes);
    assert_eq!(learned["digest"], digest.to_string());
    assert_eq!(learned["fits_the_log"], true);

    let by_rules = weighed(&cluster, 2, "before", "MSKU1234565").await;
    assert_eq!(by_rules.interpreter, "manifest-rules/1");

    // First the model, then the policy that names it.
    let with_model = policy(folder.path(), digest);
    let early = typed(&cluster, &["policy", "activate", &with_model]).await;
    assert!(
        early.stderr.contains("UNKNOWN_MODEL") && early.stderr.contains("policy.manifest_models.narcotics"),
        "{}",
        early.stderr
    );
    let added = typed(&cluster, &["risk", "add", file, "--request-id", "m-1"])
        .await
        .good();
    assert_eq!(
        (&added["digest"], &added["write"]),
        (&learned["digest"], &"applied".into())
    );
    let again = typed(&cluster, &["risk", "add", file]).await.good();
    assert!(again["entry"].is_null(), "it is there already: {again}");
    typed(&cluster, &["policy", "activate", &with_model]).await.good();

    let by_model = weighed(&cluster, 3, "after", "CBHU6192031").await;
    assert!(
        by_model.interpreter.starts_with("manifest-learned/1:"),
        "{}",
        by_model.interpreter
    );
    let said = by_model.findings.iter().filter_map(|noted| noted.finding.clone());
    let said: Vec<_> = said.filter(|finding| finding.code == "DECLARATION_WEIGHED").collect();
    let [only] = &said[..] else { panic!("{said:?}") };
    assert_eq!(only.field, "narcotics");
    let weight = by_model.total.unwrap().weights.unwrap().narcotics;
    let stated = format!(
        "goods item 1: {}{}.{:03} dB = ",
        if weight < 0 { '-' } else { '+' },
        weight.abs() / 1000,
        weight.abs() % 1000
    );
    assert!(only.detail.contains(&stated), "{weight}: {}", only.detail);
    // Bananas from Ecuador, where narcotics come from four times as often as from elsewhere.
    assert!(weight > 2_000, "{}", only.detail);

    cluster.kill_all().await;
    for id in cluster.ids() {
        cluster.node(id).start();
    }
    cluster.ready().await;
    let later = weighed(&cluster, 1, "later", "HLXU8095617").await;
    assert_eq!(later.interpreter, by_model.interpreter);
    assert_eq!(later.total.unwrap().weights.unwrap().narcotics, weight);
    let listed = typed(&cluster, &["risk", "ls"]).await.good();
    assert_eq!(listed["models"].as_array().unwrap().len(), 1, "{listed}");
    let table = typed(&cluster, &["risk", "ls", "-o", "table"]).await.stdout;
    assert!(table.contains("narcotics") && table.contains("declarations"), "{table}");
    let copy = folder.path().join("copy.model");
    let to = copy.to_str().unwrap();
    typed(&cluster, &["risk", "export", &digest.to_string(), "--to", to])
        .await
        .good();
    assert_eq!(std::fs::read(&copy).unwrap(), bytes);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_no_model_is_refused_and_leaves_no_trace() {
    let cluster = Cluster::start(1, vec![full_lane()]).await;
    let before = cluster.head().await;
    let client = || PolicyServiceClient::new(cluster.nodes[&1].channel.clone());
    let invalid = |field: &str| Refused::new(Code::InvalidArgument, "INVALID_ARGUMENT", field);
    for (number, bytes) in [b"".as_slice(), b"PCRISK", b"seizures of March"]
        .into_iter()
        .enumerate()
    {
        let request = pb::AddModelRequest {
            context: context(&format!("bad-{number}")),
            model: bytes.to_vec().into(),
        };
        let refused = client().add_model(deadline(request, CALL)).await.unwrap_err();
        assert_eq!(Refused::of(&refused), invalid("model"), "{refused}");
    }
    let absent = |sha256: &[u8]| pb::GetModelRequest {
        sha256: sha256.to_vec().into(),
        consistency: pb::Consistency::Quorum.into(),
    };
    let refused = client().get_model(deadline(absent(&[7; 32]), CALL)).await.unwrap_err();
    assert_eq!(
        Refused::of(&refused),
        Refused::new(Code::NotFound, "UNKNOWN_MODEL", "sha256")
    );
    let refused = client().get_model(deadline(absent(&[7; 5]), CALL)).await.unwrap_err();
    assert_eq!(Refused::of(&refused), invalid("sha256"));
    assert_eq!(cluster.head().await.size, before.size);

    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("no.model");
    std::fs::write(&file, "seizures of March").unwrap();
    let refused = typed(&cluster, &["risk", "add", file.to_str().unwrap()]).await;
    assert!(
        refused.stderr.contains("no.model") && refused.stderr.contains("risk model"),
        "{}",
        refused.stderr
    );
}
