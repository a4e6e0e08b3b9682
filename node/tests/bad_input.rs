//! What cannot be is refused with its reason and field, leaves no trace in the log, and harms nobody.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod support;

use std::time::Duration;

use portcullis_domain::equipment::EquipmentId;
use portcullis_domain::evidence::Modality;
use portcullis_domain::id::{ClusterId, EntryNo, InspectionNo, LaneId, PassNo, SampleNo, TerminalId};
use portcullis_domain::lane::{DeviceKind, LaneSpec};
use portcullis_domain::message::FromDevice;
use portcullis_domain::reading::{Candidate, ReadingContent, Recognition, Weighing};
use portcullis_proto::v1 as pb;
use portcullis_proto::v1::lane_service_client::LaneServiceClient;
use portcullis_wire::status::WriteAnswer;
use portcullis_wire::token::{Conditions, encode_page_token, encode_resume_token};
use support::{Attached, Cluster, Refused, announce, context, deadline, device, portcullis, sensor_of};
use tonic::{Code, Response, Status};

const CALL: Duration = Duration::from_secs(5);
/// No lane stands there.
const QUIET: &str = "T9";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bad_requests_are_refused_with_reason_and_field_leave_no_trace_and_do_no_harm() {
    let cluster = Cluster::start(3, vec![spare_lane(1)]).await;
    let good = announce("req-1", "MSKU1234565", QUIET);
    let inspection = cluster.announce(&good).await.inspection;
    cluster.at_stage(1, inspection, pb::Stage::Queued).await;
    let before = cluster.head().await.size;

    announcements_that_cannot_be(&cluster, &good).await;
    tokens_that_cannot_be(&cluster).await;
    names_of_nothing(&cluster).await;
    attachments_that_cannot_be(&cluster).await;
    a_message_beyond_the_limit(&cluster).await;

    // Only the cluster may have written about itself meanwhile.
    let after = cluster.head().await.size;
    for event in cluster.events(2, before, after).await {
        let ours = matches!(
            event.actor.as_ref().and_then(|actor| actor.actor.as_ref()),
            Some(pb::actor::Actor::External(_))
        );
        assert!(
            !ours && event.inspections.is_empty(),
            "a refused request left {event:?}"
        );
    }
    a_deadline_that_has_passed_leaves_the_outcome_open_and_the_next_try_certain(&cluster).await;
    let answer = cluster.announce(&announce("req-good", "CSQU3054383", QUIET)).await;
    assert!(!answer.known && answer.applied.unwrap().entry.is_some());
    cluster.at_stage(3, answer.inspection, pb::Stage::Queued).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn readings_that_cannot_be_are_refused_become_findings_and_never_lead_to_a_release() {
    let cluster = Cluster::start(3, vec![spare_lane(1)]).await;
    let channel = cluster.nodes[&2].channel.clone();
    let inspection = cluster
        .announce(&announce("req-1", "MSKU1234565", "T1"))
        .await
        .inspection;
    let mut scale = Attached::attach(&channel, 1, "lane-1-weighbridge", 5).await;
    let mut camera = Attached::attach(&channel, 1, "lane-1-ocr", 5).await;
    let mut controller = Attached::attach(&channel, 1, "lane-1-controller", 5).await;

    // Before a pass, and for containers that nobody announced.
    let equipment = EquipmentId::new("MSKU1234565").unwrap();
    let about = Some((InspectionNo(inspection), &equipment));
    let early = scale.reading(weighing(), about, SampleNo(1));
    scale.say(FromDevice::Reading(early)).await;
    assert_eq!(scale.refusal().await, (1, "NO_PASS".to_owned()));
    controller
        .say(FromDevice::Arrived {
            equipment: EquipmentId::new("TGHU7654322").unwrap(),
        })
        .await;
    assert_eq!(controller.refusal().await.1, "UNKNOWN_CONTAINER");

    // A pass of the container that stands there.
    controller
        .say(FromDevice::Arrived {
            equipment: equipment.clone(),
        })
        .await;
    let (started, pass) = scale.start_of_pass().await;
    assert_eq!(started.0, inspection);
    assert_eq!(camera.start_of_pass().await, (started, pass));
    let before = cluster.head().await.size;

    let mut forged = scale.reading(weighing(), about, SampleNo(1));
    forged.signature[10] ^= 1;
    scale.say(FromDevice::Reading(forged)).await;
    assert_eq!(scale.refusal().await.1, "SIGNATURE_INVALID");
    // Signed by another device of the lane, in the name of this one.
    let key = std::mem::replace(&mut scale.key, camera.key.clone());
    let foreign = scale.reading(weighing(), about, SampleNo(1));
    scale.key = key;
    scale.say(FromDevice::Reading(foreign)).await;
    assert_eq!(scale.refusal().await.1, "SIGNATURE_INVALID");
    let other = EquipmentId::new("TGHU7654322").unwrap();
    let elsewhere = scale.reading(weighing(), Some((InspectionNo(inspection), &other)), SampleNo(1));
    scale.say(FromDevice::Reading(elsewhere)).await;
    assert_eq!(scale.refusal().await, (4, "READING_FOR_ANOTHER_CONTAINER".to_owned()));
    let unlike = scale.reading(recognition(), about, SampleNo(1));
    scale.say(FromDevice::Reading(unlike)).await;
    assert_eq!(scale.refusal().await, (5, "WRONG_MODALITY".to_owned()));
    let true_one = scale.reading(weighing(), about, SampleNo(1));
    scale.say(FromDevice::Reading(true_one.clone())).await;
    scale.say(FromDevice::Reading(true_one)).await;
    assert_eq!(scale.refusal().await, (6, "READING_REPLAYED".to_owned()));
    assert_eq!(cluster.head().await.size, before, "what is refused is not in the log");

    // The stream has gone on through all of that.
    let read = camera.reading(recognition(), about, SampleNo(1));
    camera.say(FromDevice::Reading(read)).await;
    camera
        .say(FromDevice::PassEnded {
            inspection: started,
            pass,
        })
        .await;
    scale
        .say(FromDevice::PassEnded {
            inspection: started,
            pass: PassNo(pass.0),
        })
        .await;
    let case = support::eventually("the inspection is concluded", async || {
        let found = cluster.inspection(3, inspection).await.inspection.unwrap();
        if found.conclusion.is_some() {
            Ok(found)
        } else {
            Err(format!("{:?}", found.stage()))
        }
    })
    .await;
    let tier = case.conclusion.as_ref().unwrap().tier();
    assert!(
        matches!(tier, pb::Tier::Review | pb::Tier::Exam),
        "radiation was never seen: {tier:?}"
    );
    let weighed = case
        .evidence
        .iter()
        .find(|evidence| evidence.modality() == pb::Modality::Weighbridge)
        .unwrap();
    let noted: Vec<&str> = weighed
        .findings
        .iter()
        .filter_map(|noted| Some(noted.finding.as_ref()?.field.as_str()))
        .collect();
    for reason in ["SIGNATURE_INVALID", "READING_REPLAYED", "READING_FOR_ANOTHER_CONTAINER"] {
        assert!(noted.contains(&reason), "{reason} is not among the findings {noted:?}");
    }
}

#[tokio::test]
async fn every_reason_that_a_node_or_a_lane_gives_is_explained_by_the_command_line() {
    let listed = portcullis(&["errors", "-o", "json"], CALL).await.good();
    let known: Vec<&str> = listed["reasons"]
        .as_array()
        .unwrap()
        .iter()
        .filter_map(|row| row["code"].as_str())
        .collect();
    let given = [
        "ASSIGNED_ELSEWHERE",
        "COMMAND_UNREADABLE",
        "DEADLINE_BEFORE_SUBMIT",
        "ENTRY_BEYOND_HEAD",
        "ENTRY_NOT_HERE",
        "INVALID_ARGUMENT",
        "LANE_CLOSED",
        "LANE_NOT_RUNNING",
        "NODE_STOPPED",
        "NOT_PROFILED",
        "NO_LEADER",
        "NO_PASS",
        "NO_QUORUM",
        "OVERLOADED",
        "READING_REPLAYED",
        "REQUEST_ID_REUSED",
        "SIGNATURE_INVALID",
        "TOKEN_MALFORMED",
        "UNKNOWN_CONTAINER",
        "UNKNOWN_DEVICE",
    ];
    for reason in given {
        assert!(known.contains(&reason), "{reason} is not among {known:?}");
    }
}

fn spare_lane(lane: u32) -> LaneSpec {
    LaneSpec {
        id: LaneId(lane),
        terminal: TerminalId::new("T1").unwrap(),
        devices: vec![
            device(&format!("lane-{lane}-controller"), DeviceKind::Controller),
            sensor_of(lane, Modality::Weighbridge),
            sensor_of(lane, Modality::Ocr),
        ],
        nodes: Vec::new(),
        usual_pass_s: 90,
        scheduled: false,
    }
}

fn weighing() -> ReadingContent {
    ReadingContent::Weighing(Weighing {
        gross_mass_kg: 32_000,
        vehicle_mass_kg: Some(14_000),
        sigma_kg: None,
        speed_mm_s: 0,
        axles_kg: Vec::new(),
    })
}

fn recognition() -> ReadingContent {
    let candidate = Candidate {
        text: "MSKU1234565".to_owned(),
        confidence_permille: 990,
    };
    ReadingContent::Recognition(Recognition {
        candidates: vec![candidate],
        seal: None,
    })
}

fn refusal<T: std::fmt::Debug>(answer: Result<Response<T>, Status>) -> Refused {
    Refused::of(&answer.expect_err("it is refused"))
}

async fn announcements_that_cannot_be(cluster: &Cluster, good: &pb::AnnounceRequest) {
    let invalid = |field: &str| Refused::new(Code::InvalidArgument, "INVALID_ARGUMENT", field);
    let altered = |alter: &dyn Fn(&mut pb::AnnounceRequest)| {
        let mut request = announce("req-bad", "CSQU3054383", QUIET);
        alter(&mut request);
        request
    };
    let mut cases: Vec<(pb::AnnounceRequest, Refused)> = [
        "",
        "ABCDEFGHIJKLMNOPQR",
        "MSKU\u{7}1234565",
        "MSKU\n",
        "MÜSKU123",
        "ＭＳＫＵ",
    ]
    .into_iter()
    .map(|id| (announce("req-bad", id, QUIET), invalid("announcement.equipment_id")))
    .collect();
    cases.push((altered(&|request| request.context = None), invalid("context")));
    cases.push((
        altered(&|request| request.context.as_mut().unwrap().request_id.clear()),
        invalid("context.request_id"),
    ));
    cases.push((
        altered(&|request| request.context.as_mut().unwrap().source = "two words".to_owned()),
        invalid("context.source"),
    ));
    cases.push((
        altered(&|request| request.context.as_mut().unwrap().principal = "x".repeat(65)),
        invalid("context.principal"),
    ));
    cases.push((altered(&|request| request.announcement = None), invalid("announcement")));
    cases.push((
        altered(&|request| request.announcement.as_mut().unwrap().manifest = None),
        invalid("announcement.manifest"),
    ));
    cases.push((
        altered(&|request| request.announcement.as_mut().unwrap().priority = 256),
        invalid("announcement.priority"),
    ));
    cases.push((
        altered(&|request| request.announcement.as_mut().unwrap().terminal = "T 1".to_owned()),
        invalid("announcement.terminal"),
    ));
    // The same request id for another container, on every node.
    let mut reused = good.clone();
    reused.announcement.as_mut().unwrap().equipment_id = "CSQU3054383".to_owned();
    for _ in cluster.ids() {
        let wanted = Refused::new(Code::AlreadyExists, "REQUEST_ID_REUSED", "context.request_id");
        cases.push((reused.clone(), wanted));
    }
    let mut node = cluster.ids().into_iter().cycle();
    for (request, wanted) in cases {
        let id = node.next().unwrap();
        let answer = cluster.inspections(id).announce(deadline(request.clone(), CALL)).await;
        assert_eq!(refusal(answer), wanted, "{request:?}");
    }
    let nameless = pb::ReportDepartureRequest {
        context: context("req-bad"),
        equipment_id: "*".to_owned(),
    };
    assert_eq!(
        refusal(cluster.inspections(1).report_departure(nameless).await),
        invalid("equipment_id")
    );
    let targetless = pb::GetInspectionRequest::default();
    assert_eq!(
        refusal(cluster.inspections(1).get_inspection(targetless).await),
        invalid("inspection")
    );
    let groundless = pb::AdjudicateRequest {
        context: context("req-bad"),
        inspection: 1,
        ruling: pb::Ruling::Hold.into(),
        reason: " ".to_owned(),
    };
    assert_eq!(
        refusal(cluster.inspections(1).adjudicate(groundless).await),
        invalid("reason")
    );
}

async fn tokens_that_cannot_be(cluster: &Cluster) {
    let none = Conditions([0; 8]);
    let strange = ClusterId([9; 16]);
    let (bad, over) = (Code::InvalidArgument, Code::OutOfRange);
    let tokens = [
        ("garbage".to_owned(), bad, "TOKEN_MALFORMED"),
        ("ä".repeat(40), bad, "TOKEN_MALFORMED"),
        ("A".repeat(5000), bad, "TOKEN_MALFORMED"),
        (
            encode_page_token(strange, InspectionNo(1), none),
            over,
            "TOKEN_OF_OTHER_CLUSTER",
        ),
        (
            encode_resume_token(cluster.id, EntryNo(1), none),
            bad,
            "TOKEN_OF_OTHER_CALL",
        ),
        (
            encode_page_token(cluster.id, InspectionNo(1), none),
            bad,
            "TOKEN_OF_OTHER_CONDITIONS",
        ),
    ];
    for (page_token, code, reason) in tokens {
        let request = pb::ListInspectionsRequest {
            page_token,
            ..pb::ListInspectionsRequest::default()
        };
        let answer = cluster.inspections(1).list_inspections(request).await;
        assert_eq!(refusal(answer), Refused::new(code, reason, "page_token"));
    }
    let tokens = [
        ("garbage".to_owned(), bad, "TOKEN_MALFORMED"),
        (
            encode_resume_token(strange, EntryNo(1), none),
            over,
            "TOKEN_OF_OTHER_CLUSTER",
        ),
        (
            encode_page_token(cluster.id, InspectionNo(1), none),
            bad,
            "TOKEN_OF_OTHER_CALL",
        ),
    ];
    for (resume_token, code, reason) in tokens {
        let request = pb::WatchRequest {
            resume_token,
            ..pb::WatchRequest::default()
        };
        assert_eq!(
            refusal(cluster.inspections(2).watch(request).await),
            Refused::new(code, reason, "resume_token")
        );
    }
    let beyond = pb::WatchRequest {
        from_entry: Some(u64::MAX),
        ..pb::WatchRequest::default()
    };
    let wanted = Refused::new(Code::OutOfRange, "ENTRY_BEYOND_HEAD", "entry");
    assert_eq!(refusal(cluster.inspections(2).watch(beyond).await), wanted);
    let unknown_kind = pb::WatchRequest {
        kinds: vec!["conclude".to_owned()],
        ..pb::WatchRequest::default()
    };
    let wanted = Refused::new(Code::InvalidArgument, "INVALID_ARGUMENT", "kinds[0]");
    assert_eq!(refusal(cluster.inspections(2).watch(unknown_kind).await), wanted);
}

async fn names_of_nothing(cluster: &Cluster) {
    let absent = |reason: &str, field: &str| Refused::new(Code::NotFound, reason, field);
    for id in cluster.ids() {
        let request = pb::OpenLaneRequest {
            context: context("req-no-lane"),
            lane: 99,
        };
        let answer = cluster.lanes(id).open_lane(deadline(request, CALL)).await;
        assert_eq!(refusal(answer), absent("UNKNOWN_LANE", "lane"));
    }
    let by_number = pb::GetInspectionRequest {
        target: Some(pb::get_inspection_request::Target::Inspection(999_999)),
        ..pb::GetInspectionRequest::default()
    };
    let wanted = absent("UNKNOWN_INSPECTION", "inspection");
    assert_eq!(refusal(cluster.inspections(1).get_inspection(by_number).await), wanted);
    let by_container = pb::GetInspectionRequest {
        target: Some(pb::get_inspection_request::Target::EquipmentId(
            "TGHU7654322".to_owned(),
        )),
        ..pb::GetInspectionRequest::default()
    };
    let wanted = absent("UNKNOWN_CONTAINER", "equipment_id");
    assert_eq!(
        refusal(cluster.inspections(2).get_inspection(by_container).await),
        wanted
    );
    let departure = pb::ReportDepartureRequest {
        context: context("req-gone"),
        equipment_id: "TGHU7654322".to_owned(),
    };
    assert_eq!(
        refusal(cluster.inspections(3).report_departure(departure).await),
        wanted
    );
    let ruling = pb::AdjudicateRequest {
        context: context("req-nothing"),
        inspection: 999_999,
        ruling: pb::Ruling::Hold.into(),
        reason: "suspicious".to_owned(),
    };
    let wanted = absent("UNKNOWN_INSPECTION", "inspection");
    assert_eq!(refusal(cluster.inspections(1).adjudicate(ruling).await), wanted);
}

async fn attachments_that_cannot_be(cluster: &Cluster) {
    let channel = || cluster.nodes[&1].channel.clone();
    let refused = async |lane, name: &str| {
        let answer = Attached::try_attach(channel(), lane, name, 1).await;
        Refused::of(&answer.err().expect("it is refused"))
    };
    let wanted = Refused::new(Code::NotFound, "UNKNOWN_LANE", "hello.lane");
    assert_eq!(refused(99, "lane-1-ocr").await, wanted);
    let wanted = Refused::new(Code::InvalidArgument, "INVALID_ARGUMENT", "hello.device");
    assert_eq!(refused(1, "stranger").await, wanted);
    // Something else than hello comes first.
    let pong = pb::DeviceMessage {
        message: Some(pb::device_message::Message::Pong(pb::Pong { nonce: 1 })),
    };
    let answer = LaneServiceClient::new(channel())
        .attach(futures::stream::iter([pong]))
        .await;
    assert_eq!(
        refusal(answer),
        Refused::new(Code::InvalidArgument, "INVALID_ARGUMENT", "message")
    );
    let empty = pb::DeviceMessage { message: None };
    let answer = LaneServiceClient::new(channel())
        .attach(futures::stream::iter([empty]))
        .await;
    assert_eq!(
        refusal(answer),
        Refused::new(Code::InvalidArgument, "INVALID_ARGUMENT", "message")
    );
}

async fn a_message_beyond_the_limit(cluster: &Cluster) {
    let mut request = announce("req-large", "CSQU3054383", QUIET);
    request
        .announcement
        .as_mut()
        .unwrap()
        .manifest
        .as_mut()
        .unwrap()
        .size_type = "x".repeat(5 << 20);
    let status = cluster
        .inspections(2)
        .announce(deadline(request, CALL))
        .await
        .unwrap_err();
    assert!(
        matches!(status.code(), Code::OutOfRange | Code::ResourceExhausted),
        "{status:?}"
    );
    assert!(status.message().contains("4194304"), "the limit is named: {status:?}");
    // A text beyond its own limit, in a message within the limit.
    let mut request = announce("req-long", "CSQU3054383", QUIET);
    request.announcement.as_mut().unwrap().manifest.as_mut().unwrap().goods[0].description = "x".repeat(513);
    let answer = cluster.inspections(2).announce(deadline(request, CALL)).await;
    let field = "announcement.manifest.goods[0].description";
    assert_eq!(
        refusal(answer),
        Refused::new(Code::InvalidArgument, "INVALID_ARGUMENT", field)
    );
}

async fn a_deadline_that_has_passed_leaves_the_outcome_open_and_the_next_try_certain(cluster: &Cluster) {
    let request = announce("req-hurry", "HLXU2008419", QUIET);
    let follower = cluster.follower().await;
    let hurried = deadline(request.clone(), Duration::from_millis(1));
    if let Err(status) = cluster.inspections(follower).announce(hurried).await {
        let codes = [
            Code::DeadlineExceeded,
            Code::Cancelled,
            Code::Unknown,
            Code::Unavailable,
        ];
        assert!(codes.contains(&status.code()), "{status:?}");
        // Unknown, or refused because it waited too long: either way the same request may be sent again.
        let answer = WriteAnswer::from_status(&status);
        assert!(answer.again_after().is_some(), "{status:?}");
    }
    let first = cluster.announce(&request).await;
    assert_eq!(
        cluster.announce(&request).await,
        first,
        "asked again, the answer is certain, and stays"
    );
    let read = pb::GetHeadRequest {
        consistency: pb::Consistency::Quorum.into(),
    };
    if let Err(status) = cluster
        .log(follower)
        .get_head(deadline(read, Duration::from_nanos(1)))
        .await
    {
        // Out of time, said by whoever noticed first; the node itself says what it was waiting for.
        let told = status.code() == Code::Unavailable && status.message().starts_with("NO_QUORUM");
        assert!(
            told || matches!(status.code(), Code::DeadlineExceeded | Code::Cancelled),
            "{status:?}"
        );
    }
}
