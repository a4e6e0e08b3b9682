//! A container has left: what became of it is found and shown as before, also after a restart and without the index.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod support;

use std::time::Duration;

use portcullis_proto::v1 as pb;
use portcullis_proto::v1::get_inspection_request::Target;
use portcullis_proto::v1::watch_response::Item;
use portcullis_simulator::{PortOptions, PortPlan, Visit};
use portcullis_wire::announcement::encode_announcement;
use prost::Message as _;
use support::{Cluster, Refused, context, deadline, eventually, full_lane, scanned};
use tonic::Code;

const CALL: Duration = Duration::from_secs(5);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_departed_inspection_is_shown_with_its_timeline_after_restart_and_without_the_index() {
    let mut cluster = Cluster::start(1, vec![full_lane()]).await;
    let plan = PortPlan::new(7, 1, PortOptions::for_terminal("T1").unwrap());
    let visit = &plan.visits()[0];
    let mut announcement = encode_announcement(&visit.announcement);
    announcement.ready_at_ms = None;
    announcement.due_at_ms = None;
    let request = pb::AnnounceRequest {
        context: context("visit-0"),
        announcement: Some(announcement),
    };
    let answer = cluster.announce(&request).await;
    let no = answer.inspection;
    scanned(&cluster, no, visit, 1).await;
    let before = cluster.inspection(1, no).await;
    leave(&cluster, before.inspection.as_ref().unwrap()).await;

    let by_number = shown(&cluster, Target::Inspection(no)).await;
    let case = by_number.inspection.clone().unwrap();
    assert_eq!(case.stage(), pb::Stage::Departed);
    assert!(case.departed_at_ms.is_some());
    let mut as_it_was = before.inspection.clone().unwrap();
    as_it_was.set_stage(pb::Stage::Departed);
    as_it_was.version = case.version;
    as_it_was.departed_at_ms = case.departed_at_ms;
    as_it_was.adjudications.clone_from(&case.adjudications);
    assert_eq!(case, as_it_was, "manifest, evidence, conclusion and explanation stay");
    let story: Vec<&str> = by_number.timeline.iter().map(|event| event.kind.as_str()).collect();
    assert_eq!((story[0], story[story.len() - 1]), ("announced", "departed"));
    assert_eq!(
        by_number.timeline[..before.timeline.len()],
        before.timeline,
        "what had happened stays as it was"
    );
    let by_container = shown(&cluster, Target::EquipmentId(visit.equipment.to_string())).await;
    assert_eq!(by_container.inspection, by_number.inspection);
    assert_eq!(by_container.timeline, by_number.timeline);

    assert_eq!(listed(&cluster, &[]).await, [0; 0], "it is not open");
    assert_eq!(listed(&cluster, &[pb::Stage::Departed]).await, [no]);
    let nothing = cluster
        .inspections(1)
        .get_inspection(get(Target::Inspection(no + 1)))
        .await;
    assert_eq!(
        Refused::of(&nothing.unwrap_err()),
        Refused::new(Code::NotFound, "UNKNOWN_INSPECTION", "inspection")
    );
    let watched = watched(&cluster, visit, by_number.timeline.len()).await;
    assert_eq!(
        watched, by_number.timeline,
        "a watch of the container finds all events of the visit"
    );

    for without_index in [false, true] {
        cluster.kill_all().await;
        let sled = cluster.node(1).data().join("sled");
        assert!(sled.exists(), "the index is where this test expects it");
        if without_index {
            std::fs::remove_dir_all(sled).unwrap();
        }
        cluster.node(1).start();
        cluster.ready().await;
        let again = shown(&cluster, Target::EquipmentId(visit.equipment.to_string())).await;
        assert_eq!(again.inspection, by_number.inspection);
        assert_eq!(again.timeline, by_number.timeline);
        let repeated = cluster.announce(&request).await;
        assert_eq!(
            repeated.encode_to_vec(),
            answer.encode_to_vec(),
            "the first answer, byte for byte"
        );
    }
    let adjudicate = pb::AdjudicateRequest {
        context: context("too-late"),
        inspection: no,
        ruling: pb::Ruling::Hold.into(),
        reason: "something was found elsewhere".to_owned(),
    };
    let refused = cluster.inspections(1).adjudicate(deadline(adjudicate, CALL)).await;
    let refused = refused.unwrap_err();
    assert_eq!(
        Refused::of(&refused),
        Refused::new(Code::NotFound, "UNKNOWN_INSPECTION", "inspection")
    );
    assert!(refused.message().contains("has left"), "{refused}");
}

/// Has the container released, if it is not yet, and reports that it left.
async fn leave(cluster: &Cluster, case: &pb::Inspection) {
    if case.stage() != pb::Stage::Released {
        let adjudicate = pb::AdjudicateRequest {
            context: context("released"),
            inspection: case.number,
            ruling: pb::Ruling::Release.into(),
            reason: "looked at".to_owned(),
        };
        cluster
            .inspections(1)
            .adjudicate(deadline(adjudicate, CALL))
            .await
            .unwrap();
    }
    let depart = pb::ReportDepartureRequest {
        context: context("gone"),
        equipment_id: case.equipment_id.clone(),
    };
    cluster
        .inspections(1)
        .report_departure(deadline(depart, CALL))
        .await
        .unwrap();
}

fn get(target: Target) -> tonic::Request<pb::GetInspectionRequest> {
    let request = pb::GetInspectionRequest {
        target: Some(target),
        consistency: pb::Consistency::Quorum.into(),
        ..pb::GetInspectionRequest::default()
    };
    deadline(request, CALL)
}

/// The inspection, once the node can answer: after a start its index may be behind for a moment, and it says so.
async fn shown(cluster: &Cluster, target: Target) -> pb::GetInspectionResponse {
    eventually("the inspection is shown", async || {
        match cluster.inspections(1).get_inspection(get(target.clone())).await {
            Ok(found) => Ok(found.into_inner()),
            Err(status) => {
                assert_eq!(status.code(), Code::Unavailable, "{status}");
                Err(status.to_string())
            }
        }
    })
    .await
}

async fn listed(cluster: &Cluster, stages: &[pb::Stage]) -> Vec<u64> {
    let (mut numbers, mut page_token) = (Vec::new(), String::new());
    loop {
        let request = pb::ListInspectionsRequest {
            stages: stages.iter().map(|stage| *stage as i32).collect(),
            page_size: 1,
            page_token,
            consistency: pb::Consistency::Quorum.into(),
            ..pb::ListInspectionsRequest::default()
        };
        let page = cluster.inspections(1).list_inspections(deadline(request, CALL)).await;
        let page = page.unwrap().into_inner();
        numbers.extend(page.inspections.iter().map(|inspection| inspection.number));
        if page.next_page_token.is_empty() {
            return numbers;
        }
        page_token = page.next_page_token;
    }
}

/// The first events of a container from the beginning of the log on.
async fn watched(cluster: &Cluster, visit: &Visit, count: usize) -> Vec<pb::Event> {
    let request = pb::WatchRequest {
        from_entry: Some(0),
        equipment_ids: vec![visit.equipment.to_string()],
        ..pb::WatchRequest::default()
    };
    let stream = cluster.inspections(1).watch(request).await.unwrap();
    let mut stream = stream.into_inner();
    let mut events = Vec::new();
    while events.len() < count {
        let next = tokio::time::timeout(CALL, stream.message())
            .await
            .expect("an event comes");
        if let Some(Item::Event(event)) = next.unwrap().expect("the stream goes on").item {
            events.push(event);
        }
    }
    events
}
