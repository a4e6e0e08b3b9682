//! A policy for a running cluster: brought in through any node, in force for what is concluded afterwards, kept for good.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod support;

use std::time::Duration;

use portcullis_domain::id::Digest;
use portcullis_domain::policy::Policy;
use portcullis_proto::v1 as pb;
use portcullis_proto::v1::policy_service_client::PolicyServiceClient;
use portcullis_simulator::{PortOptions, PortPlan, Visit};
use portcullis_wire::announcement::encode_announcement;
use portcullis_wire::policy::{decode_policy, encode_policy};
use prost::Message as _;
use support::{Cluster, Refused, context, deadline, full_lane, scanned};
use tonic::transport::Channel;
use tonic::{Code, Status};

const CALL: Duration = Duration::from_secs(5);

fn client(cluster: &Cluster, node: u64) -> PolicyServiceClient<Channel> {
    PolicyServiceClient::new(cluster.nodes[&node].channel.clone())
}

/// A policy under which everything is at least reviewed, because of any score at all.
fn strict() -> Policy {
    let mut policy = Policy::first();
    policy.name = "strict".to_owned();
    for rule in &mut policy.families {
        rule.review = -900_000;
    }
    policy
}

fn request(id: &str, policy: &Policy) -> pb::ActivatePolicyRequest {
    pb::ActivatePolicyRequest {
        context: context(id),
        policy: Some(encode_policy(policy)),
        reason: "a seizure upstream".to_owned(),
    }
}

async fn activate(
    cluster: &Cluster,
    request: &pb::ActivatePolicyRequest,
) -> Result<pb::ActivatePolicyResponse, Status> {
    let ask = async |channel| {
        let request = deadline(request.clone(), CALL);
        PolicyServiceClient::new(channel).activate_policy(request).await
    };
    cluster.ask("the policy is answered", ask).await
}

async fn listed(cluster: &Cluster, node: u64) -> Vec<pb::PolicyRecord> {
    let ask = async |_| {
        let consistency = pb::Consistency::Quorum.into();
        let request = deadline(pb::ListPoliciesRequest { consistency }, CALL);
        client(cluster, node).list_policies(request).await
    };
    cluster.ask("the policies are listed", ask).await.unwrap().policies
}

async fn got(cluster: &Cluster, node: u64, sha256: &[u8]) -> Result<pb::GetPolicyResponse, Status> {
    let ask = async |_| {
        let request = pb::GetPolicyRequest {
            sha256: sha256.to_vec().into(),
            consistency: pb::Consistency::Quorum.into(),
        };
        client(cluster, node).get_policy(deadline(request, CALL)).await
    };
    cluster.ask("the policy is given", ask).await
}

async fn concluded(cluster: &Cluster, visit: &Visit, boot: u64) -> pb::Inspection {
    let mut announcement = encode_announcement(&visit.announcement);
    announcement.ready_at_ms = None;
    announcement.due_at_ms = None;
    let request = pb::AnnounceRequest {
        context: context(&format!("visit-{boot}")),
        announcement: Some(announcement),
    };
    let number = cluster.announce(&request).await.inspection;
    scanned(cluster, number, visit, boot).await;
    cluster.inspection(1, number).await.inspection.unwrap()
}

fn judged_by(case: &pb::Inspection) -> (&[u8], pb::Tier) {
    let conclusion = case.conclusion.as_ref().expect("it is concluded");
    (&conclusion.policy_sha256, conclusion.tier())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_policy_judges_what_is_concluded_after_it_and_no_node_or_crash_forgets_it() {
    let mut cluster = Cluster::start(3, vec![full_lane()]).await;
    let plan = PortPlan::new(7, 2, PortOptions::for_terminal("T1").unwrap());
    let (first, strict) = (Policy::first(), strict());

    let founded = listed(&cluster, 2).await;
    let [only] = &founded[..] else { panic!("{founded:?}") };
    assert_eq!(only.sha256.as_ref(), first.digest().0);
    assert_eq!((only.name.as_str(), only.algorithm, only.active), ("first", 1, true));
    let activation = only.activation.as_ref().unwrap();
    assert_eq!((activation.entry, activation.principal.as_str()), (0, ""));
    let before = concluded(&cluster, &plan.visits()[0], 1).await;
    assert_eq!(judged_by(&before).0, first.digest().0);

    // Through any node, once, whoever repeats it.
    let follower = cluster.follower().await;
    let asked = request("strict-1", &strict);
    let answer = client(&cluster, follower)
        .activate_policy(deadline(asked.clone(), CALL))
        .await;
    let answer = answer.unwrap().into_inner();
    assert_eq!(answer.sha256.as_ref(), strict.digest().0);
    let entry = answer.applied.unwrap().entry.expect("it is in the log");
    for node in cluster.ids() {
        let again = client(&cluster, node)
            .activate_policy(deadline(asked.clone(), CALL))
            .await;
        assert_eq!(again.unwrap().into_inner().encode_to_vec(), answer.encode_to_vec());
    }
    let once_more = activate(&cluster, &request("strict-2", &strict)).await.unwrap();
    assert_eq!(once_more.applied.unwrap().entry, None, "it is active already");
    let event = cluster.events(follower, entry, entry + 1).await.remove(0);
    assert_eq!(event.kind, "policy_adopted");
    assert_eq!(event.actor.unwrap().text, "gate-clerk via tos-1");
    let detail: serde_json::Value = serde_json::from_str(&event.detail_json).unwrap();
    assert_eq!(detail["reason"], "a seizure upstream");
    assert_eq!(detail["policy_sha256"], strict.digest().to_string());
    assert_eq!(
        detail["policy"]["families_milli_decibans"]["nuclear"]["review"],
        -900_000
    );

    // What is concluded from now on; what was concluded stays.
    let after = concluded(&cluster, &plan.visits()[1], 2).await;
    assert_eq!(judged_by(&after).0, strict.digest().0);
    assert_ne!(judged_by(&after).1, pb::Tier::Release);
    let still = cluster.inspection(2, before.number).await.inspection.unwrap();
    assert_eq!(judged_by(&still), judged_by(&before));
    assert_eq!(
        still.explanation, before.explanation,
        "it is explained by its own policy"
    );

    cluster.kill_all().await;
    for id in cluster.ids() {
        cluster.node(id).start();
    }
    cluster.ready().await;
    for node in cluster.ids() {
        let policies = listed(&cluster, node).await;
        let names: Vec<_> = policies.iter().map(|one| (one.name.as_str(), one.active)).collect();
        assert_eq!(names, [("strict", true), ("first", false)]);
        let activation = policies[0].activation.clone().unwrap();
        assert_eq!(activation.entry, entry);
        assert_eq!(
            (activation.source.as_str(), activation.principal.as_str()),
            ("tos-1", "gate-clerk")
        );
        assert_eq!(activation.reason, "a seizure upstream");
        assert_eq!(activation.at_ms, event.at_ms);
    }
    let given = got(&cluster, 3, &first.digest().0).await.unwrap();
    assert_eq!(decode_policy(given.policy.unwrap()), Ok(first.clone()));
    assert!(!given.record.unwrap().active);
    let active = got(&cluster, 3, &[]).await.unwrap();
    assert_eq!(decode_policy(active.policy.unwrap()), Ok(strict));

    // Back to the former one.
    activate(&cluster, &request("back", &first)).await.unwrap();
    let names: Vec<_> = listed(&cluster, 1)
        .await
        .into_iter()
        .map(|one| (one.name, one.active))
        .collect();
    assert_eq!(names, [("first".to_owned(), true), ("strict".to_owned(), false)]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_policy_that_cannot_be_is_refused_with_its_field_and_changes_nothing() {
    let cluster = Cluster::start(1, vec![full_lane()]).await;
    type Spoil = fn(&mut pb::ActivatePolicyRequest, &mut pb::Policy);
    let invalid = |field: &str| Refused::new(Code::InvalidArgument, "INVALID_ARGUMENT", field);
    let cases: [(Spoil, Refused); 11] = [
        (|r, _| r.context = None, invalid("context")),
        (|r, _| r.reason = "x".repeat(513), invalid("reason")),
        (|_, p| p.algorithm = 2, invalid("policy.algorithm")),
        (|_, p| p.algorithm = 70_000, invalid("policy.algorithm")),
        (|_, p| p.name.clear(), invalid("policy.name")),
        (
            |_, p| p.families[2].review_milli_decibans = 0,
            invalid("policy.families.nuclear.review"),
        ),
        (|_, p| p.families.truncate(5), invalid("policy.families.undeclared")),
        (
            |_, p| p.required[0].otherwise = 1,
            invalid("policy.required[0].otherwise"),
        ),
        (|_, p| p.passes_max = 0, invalid("policy.passes_max")),
        (
            |_, p| p.stopping.as_mut().unwrap().exam_margin_milli_decibans = -1,
            invalid("policy.stopping.exam_margin"),
        ),
        (
            |_, p| p.required[0].modality = pb::Modality::Nqr.into(),
            Refused::new(Code::FailedPrecondition, "LANE_UNABLE", "policy.required[0]"),
        ),
    ];
    let before = cluster.head().await;
    for (number, (spoil, expected)) in cases.into_iter().enumerate() {
        let mut asked = request(&format!("bad-{number}"), &strict());
        let mut policy = asked.policy.take().unwrap();
        spoil(&mut asked, &mut policy);
        asked.policy = Some(policy);
        let refused = activate(&cluster, &asked).await.unwrap_err();
        assert_eq!(Refused::of(&refused), expected, "{refused}");
    }
    let nothing = pb::ActivatePolicyRequest {
        policy: None,
        ..request("nothing", &strict())
    };
    let refused = activate(&cluster, &nothing).await.unwrap_err();
    assert_eq!(Refused::of(&refused), invalid("policy"));
    assert_eq!(cluster.head().await.size, before.size, "nothing is half done");
    let [only] = &listed(&cluster, 1).await[..] else {
        panic!("no other policy came")
    };
    assert!(only.active);

    activate(&cluster, &request("once", &strict())).await.unwrap();
    let refused = activate(&cluster, &request("once", &Policy::first()))
        .await
        .unwrap_err();
    assert_eq!(
        Refused::of(&refused),
        Refused::new(Code::AlreadyExists, "REQUEST_ID_REUSED", "context.request_id")
    );
    let refused = got(&cluster, 1, &Digest::of(b"nobody's").0).await.unwrap_err();
    assert_eq!(
        Refused::of(&refused),
        Refused::new(Code::NotFound, "UNKNOWN_POLICY", "sha256")
    );
    let refused = got(&cluster, 1, &[7; 31]).await.unwrap_err();
    assert_eq!(Refused::of(&refused), invalid("sha256"));
}
