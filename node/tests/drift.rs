//! Drift in a running cluster: an alarm in the log, what rests on it is reviewed on every node, and a person takes it back.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod support;

use std::time::Duration;

use portcullis_domain::evidence::Modality;
use portcullis_domain::policy::{Policy, Tier, Watch, WeightReference};
use portcullis_proto::v1 as pb;
use portcullis_proto::v1::policy_service_client::PolicyServiceClient;
use portcullis_simulator::{PortOptions, PortPlan, Visit};
use portcullis_wire::announcement::encode_announcement;
use portcullis_wire::policy::encode_policy;
use support::{Cluster, Refused, context, deadline, full_lane, scanned};
use tonic::{Code, Status};

const CALL: Duration = Duration::from_secs(5);
/// What a device of [`full_lane`] is called in the charts.
const CHART: &str = "device:lane-1-weighbridge";

/// A policy that expects scales to weigh what none ever does, so that the first container is one too many.
fn watching() -> Policy {
    Policy {
        name: "watching".to_owned(),
        watch: Some(Watch {
            shift_permille: 1_000,
            limit: 1_000_000,
            weights: vec![WeightReference {
                modality: Modality::Weighbridge,
                low: 400_000,
                high: 420_000,
                mean: 420_000,
                deviation: 1_000,
                rise_toll: 500_000,
                fall_toll: 500_000,
            }],
            shares: Vec::new(),
            device_tier: Tier::Exam,
            port_tier: Tier::Review,
        }),
        ..Policy::first()
    }
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

async fn charts(cluster: &Cluster, node: u64) -> pb::ListChartsResponse {
    let ask = async |_| {
        let request = pb::ListChartsRequest {
            consistency: pb::Consistency::Quorum.into(),
        };
        PolicyServiceClient::new(cluster.nodes[&node].channel.clone())
            .list_charts(deadline(request, CALL))
            .await
    };
    cluster.ask("the charts are listed", ask).await.unwrap()
}

async fn reset(cluster: &Cluster, id: &str, chart: &str, reason: &str) -> Result<pb::ResetChartResponse, Status> {
    let request = pb::ResetChartRequest {
        context: context(id),
        chart: chart.to_owned(),
        reason: reason.to_owned(),
    };
    let ask = async |channel| {
        PolicyServiceClient::new(channel)
            .reset_chart(deadline(request.clone(), CALL))
            .await
    };
    cluster.ask("the reset is answered", ask).await
}

async fn adrift(cluster: &Cluster, node: u64) -> (Vec<String>, Vec<String>) {
    let status = cluster.status_of(node).get_status(pb::GetStatusRequest {}).await;
    let request = pb::ListLanesRequest {
        terminal: String::new(),
        consistency: pb::Consistency::Quorum.into(),
    };
    let lanes = cluster.lanes(node).list_lanes(deadline(request, CALL)).await;
    let mut lanes = lanes.unwrap().into_inner().lanes;
    (status.unwrap().into_inner().adrift, lanes.remove(0).adrift)
}

fn drifting(case: &pb::Inspection) -> Vec<(String, pb::Tier)> {
    use pb::reason::Reason as Why;
    let reasons = &case.conclusion.as_ref().expect("it is concluded").reasons;
    let charts = reasons.iter().filter_map(|reason| match &reason.reason {
        Some(Why::Drifting(chart)) => Some((chart.clone(), reason.tier())),
        _ => None,
    });
    charts.collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_device_that_drifts_is_told_of_and_not_relied_on_until_somebody_has_looked() {
    let mut cluster = Cluster::start(3, vec![full_lane()]).await;
    let plan = PortPlan::new(7, 4, PortOptions::for_terminal("T1").unwrap());
    let ask = async |channel| {
        let request = pb::ActivatePolicyRequest {
            context: context("watching"),
            policy: Some(encode_policy(&watching())),
            reason: "watch the scale".to_owned(),
        };
        PolicyServiceClient::new(channel)
            .activate_policy(deadline(request, CALL))
            .await
    };
    cluster.ask("the policy is active", ask).await.unwrap();
    assert_eq!(charts(&cluster, 1).await.charts, []);

    // The container that raises the alarm is judged as before it, the next one is not.
    let raising = concluded(&cluster, &plan.visits()[0], 1).await;
    assert_eq!(drifting(&raising), []);
    let entry = raising.conclusion.unwrap().entry;
    let event = cluster.events(2, entry + 1, entry + 2).await.remove(0);
    assert_eq!((event.kind.as_str(), event.lane), ("drift_alarmed", Some(1)));
    let detail: serde_json::Value = serde_json::from_str(&event.detail_json).unwrap();
    assert_eq!((&detail["chart"], &detail["trend"]), (&CHART.into(), &"falls".into()));
    assert_eq!(detail["raised_by_inspection"], raising.number);
    let concerned = concluded(&cluster, &plan.visits()[1], 2).await;
    assert_eq!(drifting(&concerned), [(CHART.to_owned(), pb::Tier::Exam)]);

    // Every node says so, also after all of them were killed.
    cluster.kill_all().await;
    for id in cluster.ids() {
        cluster.node(id).start();
    }
    cluster.ready().await;
    for node in cluster.ids() {
        let listed = charts(&cluster, node).await;
        let [chart] = &listed.charts[..] else {
            panic!("{listed:?}")
        };
        let alarm = chart.alarm.as_ref().unwrap();
        assert_eq!((chart.chart.as_str(), chart.seen), (CHART, 1));
        assert_eq!((alarm.entry, alarm.trend()), (entry + 1, pb::DriftTrend::Falls));
        assert_eq!((alarm.inspection, alarm.tier()), (raising.number, pb::Tier::Exam));
        let expected = (vec![CHART.to_owned()], vec!["lane-1-weighbridge".to_owned()]);
        assert_eq!(adrift(&cluster, node).await, expected);
    }

    // Somebody looks at the scale.
    let invalid = |field: &str| Refused::new(Code::InvalidArgument, "INVALID_ARGUMENT", field);
    let refused = reset(&cluster, "r-1", CHART, " ").await.unwrap_err();
    assert_eq!(Refused::of(&refused), invalid("reason"));
    let refused = reset(&cluster, "r-2", "scale", "looked").await.unwrap_err();
    assert_eq!(Refused::of(&refused), invalid("chart"));
    let refused = reset(&cluster, "r-3", "device:nobody", "looked").await.unwrap_err();
    assert_eq!(
        Refused::of(&refused),
        Refused::new(Code::NotFound, "UNKNOWN_CHART", "chart")
    );
    let done = reset(&cluster, "r-4", CHART, "weighed with test masses").await.unwrap();
    let entry = done.applied.unwrap().entry.expect("it is in the log");
    let again = reset(&cluster, "r-4", CHART, "weighed with test masses").await.unwrap();
    assert_eq!(
        again.applied.unwrap().entry,
        Some(entry),
        "asked again it is the same answer"
    );
    let event = cluster.events(3, entry, entry + 1).await.remove(0);
    assert_eq!(event.kind, "chart_reset");
    assert_eq!(event.actor.unwrap().text, "gate-clerk via tos-1");
    assert!(event.detail_json.contains("weighed with test masses"));
    assert_eq!(charts(&cluster, 2).await.charts, []);
    let after = concluded(&cluster, &plan.visits()[2], 3).await;
    assert_eq!(drifting(&after), []);
}
