//! Three node processes, asked over gRPC like any client would: any node answers, and kills lose nothing.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod support;

use std::time::Duration;

use portcullis_domain::evidence::Modality;
use portcullis_domain::id::{Digest, LaneId, NodeId, TerminalId};
use portcullis_domain::lane::{DeviceKind, LaneSpec};
use portcullis_domain::merkle;
use portcullis_domain::merkle::leaf_hash;
use portcullis_domain::message::{FromDevice, ToDevice};
use portcullis_proto::v1 as pb;
use portcullis_proto::v1::watch_response::Item;
use portcullis_simulator::{Outfit, PortOptions, PortPlan, ReadingSource};
use portcullis_wire::announcement::encode_announcement;
use portcullis_wire::status::WriteAnswer;
use prost::Message as _;
use support::{Attached, Cluster, DEADLINE, Refused, announce, context, deadline, device, eventually, sensor_of};
use tonic::Code;
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_client::HealthClient;

/// No lane stands there, so that what is announced for it stays as it is.
const QUIET: &str = "T9";
const CALL: Duration = Duration::from_secs(5);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn any_node_answers_the_same_and_kills_of_the_leader_and_of_all_nodes_at_once_lose_nothing() {
    let mut cluster = Cluster::start(3, vec![spare_lane()]).await;
    status_health_and_reflection_answer_on_every_node(&cluster).await;

    let first = announce("req-1", "MSKU1234565", QUIET);
    let answer = a_container_announced_on_a_follower_is_seen_by_linearizable_reads_everywhere(&cluster, &first).await;
    let refused = what_is_not_allowed_is_refused_the_same_way_twice(&cluster, answer.inspection).await;
    a_list_comes_in_pages_from_any_node(&cluster).await;
    a_lane_closes_and_opens(&cluster).await;
    the_log_is_the_same_everywhere_and_hashes_to_its_root(&cluster).await;
    let token = a_watch_goes_on_at_another_node_without_gap_or_repetition(&cluster).await;
    let before = cluster.head().await;

    // The leader dies.
    let leader = cluster.leader().await;
    cluster.node(leader).kill().await;
    let again = cluster.announce(&first).await;
    assert_eq!(
        again.encode_to_vec(),
        answer.encode_to_vec(),
        "the first answer, byte for byte"
    );
    let second = announce("req-2", "CSQU3054383", QUIET);
    let answer_to_second = cluster.announce(&second).await;
    assert!(!answer_to_second.known);
    cluster.node(leader).start();
    cluster.ready().await;

    // All nodes lose power at once; what they acknowledged is on their disks.
    cluster.kill_all().await;
    cluster.node(1).start();
    one_node_of_three_says_that_it_cannot_answer_for_the_cluster(&cluster, 1).await;
    for id in [2, 3] {
        cluster.node(id).start();
    }
    cluster.ready().await;
    for (request, answer) in [(&first, &answer), (&second, &answer_to_second)] {
        let again = cluster.announce(request).await;
        assert_eq!(
            again.encode_to_vec(),
            answer.encode_to_vec(),
            "the first answer, byte for byte"
        );
    }
    assert_eq!(depart(&cluster, 3, "req-depart", "MSKU1234565").await, refused);
    let after = the_log_is_the_same_everywhere_and_hashes_to_its_root(&cluster).await;
    assert_eq!(
        root_of(&after[..usize::try_from(before.size).unwrap()]),
        before.root.as_ref(),
        "no entry has changed"
    );
    let missed = watch(
        &cluster,
        2,
        pb::WatchRequest {
            resume_token: token.0,
            ..Default::default()
        },
        1,
    )
    .await;
    assert_eq!(
        missed[0].0, token.1,
        "the token is good for other processes of the same cluster"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn devices_attached_to_a_node_that_does_not_own_the_lane_run_a_whole_pass_to_its_conclusion() {
    let cluster = Cluster::start(3, vec![scheduled_lane()]).await;
    let status = cluster
        .status_of(1)
        .get_status(pb::GetStatusRequest {})
        .await
        .unwrap()
        .into_inner();
    let home = status
        .placements
        .iter()
        .find(|placement| placement.text == "lane/1")
        .expect("the lane has a home");
    assert_eq!(home.node, 2, "the lane runs where its hardware is wired to");
    let channel = cluster.nodes[&3].channel.clone();

    let plan = PortPlan::new(7, 1, PortOptions::for_terminal("T1").unwrap());
    let visit = &plan.visits()[0];
    let source = ReadingSource::new(7, Outfit::Basic);
    let mut controller = Attached::attach(&channel, 1, "lane-1-controller", 1).await;
    let mut sensors = Vec::new();
    for modality in Outfit::Basic.modalities().iter().copied() {
        sensors.push((
            modality,
            Attached::attach(&channel, 1, &format!("lane-1-{modality}"), 1).await,
        ));
    }

    let mut announcement = encode_announcement(&visit.announcement);
    announcement.ready_at_ms = None;
    announcement.due_at_ms = None;
    let request = pb::AnnounceRequest {
        context: context("visit-0"),
        announcement: Some(announcement),
    };
    let inspection = cluster.announce(&request).await.inspection;
    let called = controller
        .expect("a call-up", |message| match message {
            ToDevice::CallUp {
                inspection, equipment, ..
            } => Some((inspection.0, equipment)),
            _ => None,
        })
        .await;
    assert_eq!(called, (inspection, visit.equipment.clone()));
    controller
        .say(FromDevice::Arrived {
            equipment: visit.equipment.clone(),
        })
        .await;
    let passes = sensors
        .iter_mut()
        .map(|(modality, sensor)| sensor.measure(*modality, &source, visit));
    futures::future::join_all(passes).await;
    let (open, of) = controller
        .expect("an order to the barrier", |message| match message {
            ToDevice::Barrier { open, inspection, .. } => Some((open, inspection.0)),
            _ => None,
        })
        .await;
    assert_eq!(of, inspection);

    let answer = cluster.inspection(1, inspection).await;
    let case = answer.inspection.unwrap();
    let conclusion = case.conclusion.clone().expect("it is concluded");
    assert_eq!(
        open,
        conclusion.tier() == pb::Tier::Release,
        "the barrier opens for a release and for nothing else"
    );
    let mut seen: Vec<_> = case.evidence.iter().map(pb::Evidence::modality).collect();
    seen.sort_unstable();
    use pb::Modality::{Manifest, Ocr, Radiation, Weighbridge};
    assert_eq!(seen, [Manifest, Radiation, Weighbridge, Ocr]);
    assert!(case.evidence.iter().all(|evidence| evidence.digest.len() == 32));
    let explanation = case.explanation.expect("it is explained");
    assert_eq!(explanation.families.len(), 6);
    for family in &explanation.families {
        let added: i32 = family.contributions.iter().map(|one| one.adds_milli_decibans).sum();
        assert_eq!(
            family.prior_milli_decibans + added,
            family.score_milli_decibans,
            "{family:?}"
        );
    }
    let story: Vec<&str> = answer.timeline.iter().map(|event| event.kind.as_str()).collect();
    let whole = [
        "announced",
        "profiled",
        "assigned",
        "pass_started",
        "evidence_recorded",
        "concluded",
    ];
    assert!(whole.iter().all(|kind| story.contains(kind)), "{story:?}");
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

fn scheduled_lane() -> LaneSpec {
    let mut devices = vec![device("lane-1-controller", DeviceKind::Controller)];
    devices.extend(
        Outfit::Basic
            .modalities()
            .iter()
            .map(|modality| sensor_of(1, *modality)),
    );
    LaneSpec {
        devices,
        nodes: vec![NodeId(2)],
        scheduled: true,
        ..spare_lane()
    }
}

async fn status_health_and_reflection_answer_on_every_node(cluster: &Cluster) {
    let leader = cluster.leader().await;
    for id in cluster.ids() {
        let status = cluster
            .status_of(id)
            .get_status(pb::GetStatusRequest {})
            .await
            .unwrap()
            .into_inner();
        assert_eq!(status.cluster_id, cluster.id.to_string());
        assert_eq!(
            (status.answering_node, status.leader, status.nodes.len()),
            (id, Some(leader), 3)
        );
        let own = cluster
            .status_of(id)
            .get_node_status(pb::GetNodeStatusRequest {})
            .await
            .unwrap()
            .into_inner();
        assert_eq!(own.node.as_ref().map(|node| node.id), Some(id));
        assert!(own.has_quorum);

        health_is(cluster, id, ServingStatus::Serving).await;
        let channel = cluster.nodes[&id].channel.clone();
        let (services, described) = reflect_v1(channel.clone()).await;
        assert_eq!(reflect_v1alpha(channel).await, (services.clone(), described));
        for service in [
            "portcullis.v1.InspectionService",
            "portcullis.v1.LaneService",
            "grpc.health.v1.Health",
        ] {
            assert!(
                services.iter().any(|known| known == service),
                "{service} is not among {services:?}"
            );
        }
        assert!(described, "the symbol is in a file that is sent");
    }
}

async fn health_is(cluster: &Cluster, id: u64, wanted: ServingStatus) {
    eventually(&format!("node {id} is {wanted:?}"), async || {
        let mut client = HealthClient::new(cluster.nodes[&id].channel.clone());
        let answer = client
            .check(HealthCheckRequest::default())
            .await
            .map_err(|status| status.to_string())?;
        let found = answer.into_inner().status();
        if found == wanted {
            Ok(())
        } else {
            Err(format!("{found:?}"))
        }
    })
    .await;
}

/// A reflection client of each version: the services that are listed, and whether a symbol is described.
macro_rules! reflect {
    ($name:ident, $version:ident) => {
        async fn $name(channel: tonic::transport::Channel) -> (Vec<String>, bool) {
            use pb::server_reflection_request::MessageRequest;
            use pb::server_reflection_response::MessageResponse;
            use tonic_reflection::pb::$version as pb;
            let ask = |what| pb::ServerReflectionRequest {
                host: String::new(),
                message_request: Some(what),
            };
            let symbol = "portcullis.v1.AnnounceRequest".to_owned();
            let asked = [
                ask(MessageRequest::ListServices(String::new())),
                ask(MessageRequest::FileContainingSymbol(symbol)),
            ];
            let mut client = pb::server_reflection_client::ServerReflectionClient::new(channel);
            let answers = client
                .server_reflection_info(futures::stream::iter(asked))
                .await
                .unwrap();
            let mut answers = answers.into_inner();
            let (mut services, mut described) = (Vec::new(), false);
            while let Some(answer) = answers.message().await.unwrap() {
                match answer.message_response.unwrap() {
                    MessageResponse::ListServicesResponse(list) => {
                        // Each version lists itself and not the other one.
                        services = list.service.into_iter().map(|service| service.name).collect();
                        services.retain(|name| !name.starts_with("grpc.reflection."));
                        services.sort_unstable();
                    }
                    MessageResponse::FileDescriptorResponse(files) => {
                        described = files
                            .file_descriptor_proto
                            .iter()
                            .any(|file| String::from_utf8_lossy(file).contains("AnnounceRequest"));
                    }
                    other => panic!("{other:?}"),
                }
            }
            (services, described)
        }
    };
}

reflect!(reflect_v1, v1);
reflect!(reflect_v1alpha, v1alpha);

async fn a_container_announced_on_a_follower_is_seen_by_linearizable_reads_everywhere(
    cluster: &Cluster,
    request: &pb::AnnounceRequest,
) -> pb::AnnounceResponse {
    let follower = cluster.follower().await;
    let answer = cluster
        .inspections(follower)
        .announce(deadline(request.clone(), CALL))
        .await
        .unwrap()
        .into_inner();
    assert!(!answer.known && answer.inspection > 0);
    let applied = answer.applied.unwrap();
    assert_eq!(
        applied.command_number, answer.inspection,
        "an inspection has the number of its command"
    );
    for id in cluster.ids() {
        let request = pb::GetInspectionRequest {
            target: Some(pb::get_inspection_request::Target::EquipmentId(
                "msku 123456-5".to_owned(),
            )),
            consistency: pb::Consistency::Quorum.into(),
            ..pb::GetInspectionRequest::default()
        };
        let found = cluster
            .inspections(id)
            .get_inspection(deadline(request, CALL))
            .await
            .unwrap()
            .into_inner();
        let point = found.read_point.unwrap();
        assert!(point.linearizable && point.node == id && point.command_number >= applied.command_number);
        assert_eq!(found.inspection.unwrap().number, answer.inspection);
        assert_eq!(found.timeline[0].kind, "announced");
    }
    for id in cluster.ids() {
        let again = cluster
            .inspections(id)
            .announce(deadline(request.clone(), CALL))
            .await
            .unwrap()
            .into_inner();
        assert_eq!(
            again.encode_to_vec(),
            answer.encode_to_vec(),
            "node {id}: the first answer, byte for byte"
        );
    }
    // Another request about the same container meets the open inspection.
    let met = cluster.announce(&announce("req-1-again", "MSKU1234565", QUIET)).await;
    assert_eq!((met.inspection, met.known), (answer.inspection, true));
    answer
}

async fn what_is_not_allowed_is_refused_the_same_way_twice(cluster: &Cluster, inspection: u64) -> Refused {
    cluster.at_stage(1, inspection, pb::Stage::Queued).await;
    let refused = depart(cluster, 1, "req-depart", "MSKU1234565").await;
    assert_eq!(
        refused,
        Refused::new(Code::FailedPrecondition, "NOT_RELEASED", "equipment_id")
    );
    assert_eq!(depart(cluster, 2, "req-depart", "MSKU1234565").await, refused);
    let request = pb::AdjudicateRequest {
        context: context("req-adjudicate"),
        inspection,
        ruling: pb::Ruling::Release.into(),
        reason: "looks fine".to_owned(),
    };
    for id in cluster.ids() {
        let status = cluster
            .inspections(id)
            .adjudicate(deadline(request.clone(), CALL))
            .await
            .unwrap_err();
        assert_eq!(
            Refused::of(&status),
            Refused::new(Code::FailedPrecondition, "WRONG_STAGE", "inspection")
        );
    }
    refused
}

async fn depart(cluster: &Cluster, node: u64, request_id: &str, equipment_id: &str) -> Refused {
    let request = pb::ReportDepartureRequest {
        context: context(request_id),
        equipment_id: equipment_id.to_owned(),
    };
    Refused::of(
        &cluster
            .inspections(node)
            .report_departure(deadline(request, CALL))
            .await
            .unwrap_err(),
    )
}

async fn a_list_comes_in_pages_from_any_node(cluster: &Cluster) {
    let mut announced = Vec::new();
    for number in 0..7 {
        let request = announce(&format!("page-{number}"), &format!("PAGE{number}"), "T8");
        announced.push(cluster.announce(&request).await.inspection);
    }
    let (mut listed, mut page_token, mut pages) = (Vec::new(), String::new(), 0);
    loop {
        let request = pb::ListInspectionsRequest {
            terminal: "T8".to_owned(),
            equipment_id_prefix: "page".to_owned(),
            page_size: 3,
            page_token,
            consistency: pb::Consistency::Quorum.into(),
            ..pb::ListInspectionsRequest::default()
        };
        let node = 1 + pages % 3;
        let page = cluster
            .inspections(node)
            .list_inspections(deadline(request, CALL))
            .await
            .unwrap()
            .into_inner();
        assert!(
            page.inspections.iter().all(|inspection| inspection.manifest.is_none()),
            "a list is basic"
        );
        listed.extend(page.inspections.iter().map(|inspection| inspection.number));
        page_token = page.next_page_token;
        pages += 1;
        if page_token.is_empty() {
            break;
        }
    }
    assert_eq!((listed, pages), (announced, 3));
}

async fn a_lane_closes_and_opens(cluster: &Cluster) {
    for (turn, open) in [false, true].into_iter().enumerate() {
        let node = 1 + turn as u64;
        let id = format!("lane-{open}");
        let applied = if open {
            let request = pb::OpenLaneRequest {
                context: context(&id),
                lane: 1,
            };
            cluster
                .lanes(node)
                .open_lane(deadline(request, CALL))
                .await
                .unwrap()
                .into_inner()
                .applied
        } else {
            let request = pb::CloseLaneRequest {
                context: context(&id),
                lane: 1,
            };
            cluster
                .lanes(node)
                .close_lane(deadline(request, CALL))
                .await
                .unwrap()
                .into_inner()
                .applied
        };
        assert!(applied.unwrap().entry.is_some());
        let request = pb::ListLanesRequest {
            consistency: pb::Consistency::Quorum.into(),
            ..pb::ListLanesRequest::default()
        };
        let lanes = cluster
            .lanes(3)
            .list_lanes(deadline(request, CALL))
            .await
            .unwrap()
            .into_inner()
            .lanes;
        assert_eq!((lanes.len(), lanes[0].open), (1, open));
    }
}

/// Reads the whole log of each node; returns the leaves.
async fn the_log_is_the_same_everywhere_and_hashes_to_its_root(cluster: &Cluster) -> Vec<Vec<u8>> {
    let head = cluster.head().await;
    let mut leaves: Vec<Vec<u8>> = Vec::new();
    for entry in 0..head.size {
        let node = 1 + entry % 3;
        let request = pb::GetEntryRequest { entry };
        let found = cluster
            .log(node)
            .get_entry(deadline(request, CALL))
            .await
            .unwrap()
            .into_inner();
        assert_eq!(found.entry, entry);
        assert_eq!(found.leaf_hash.as_ref(), leaf_hash(&found.leaf).0, "entry {entry}");
        let event = found.event.unwrap();
        assert_eq!(event.entry, entry);
        serde_json::from_str::<serde_json::Value>(&event.detail_json).expect("the detail is JSON");
        leaves.push(found.leaf.to_vec());
    }
    assert_eq!(
        root_of(&leaves),
        head.root.as_ref(),
        "the root is that of the leaves (RFC 6962)"
    );
    let beyond = pb::GetEntryRequest {
        entry: head.size + 1000,
    };
    let status = cluster.log(1).get_entry(deadline(beyond, CALL)).await.unwrap_err();
    assert_eq!(
        Refused::of(&status),
        Refused::new(Code::OutOfRange, "ENTRY_BEYOND_HEAD", "entry")
    );
    leaves
}

fn root_of(leaves: &[Vec<u8>]) -> [u8; 32] {
    let Digest(root) = merkle::root_of(leaves.iter().map(|leaf| leaf_hash(leaf)));
    root
}

/// Watches from the beginning on one node, and on from the middle on another. Returns a token and the entry it leads to.
async fn a_watch_goes_on_at_another_node_without_gap_or_repetition(cluster: &Cluster) -> (String, u64) {
    let size = cluster.head().await.size;
    let half = usize::try_from(size / 2).unwrap();
    let from_start = pb::WatchRequest {
        from_entry: Some(0),
        ..pb::WatchRequest::default()
    };
    let first = watch(cluster, 1, from_start, half).await;
    let resume_token = first[half - 1].1.clone();
    let go_on = pb::WatchRequest {
        resume_token: resume_token.clone(),
        ..pb::WatchRequest::default()
    };
    let rest = watch(cluster, 3, go_on, usize::try_from(size).unwrap() - half).await;
    let entries: Vec<u64> = first.iter().chain(&rest).map(|(entry, _)| *entry).collect();
    assert_eq!(entries, (0..size).collect::<Vec<_>>());

    // Or from a moment on, on a third one.
    let events = cluster.events(1, 0, size).await;
    let at = events[half].at_ms;
    let since = pb::WatchRequest {
        from_time_ms: Some(at),
        ..pb::WatchRequest::default()
    };
    let then = events.iter().find(|event| event.at_ms >= at).unwrap().entry;
    assert_eq!(watch(cluster, 2, since, 1).await[0].0, then);
    (resume_token, half as u64)
}

/// So many events, each with its token.
async fn watch(cluster: &Cluster, node: u64, request: pb::WatchRequest, count: usize) -> Vec<(u64, String)> {
    let mut stream = cluster.inspections(node).watch(request).await.unwrap().into_inner();
    let mut events = Vec::new();
    let all = async {
        while events.len() < count {
            let response = stream.message().await.unwrap().expect("the stream goes on");
            if let Some(Item::Event(event)) = response.item {
                events.push((event.entry, response.resume_token));
            }
        }
    };
    tokio::time::timeout(DEADLINE, all)
        .await
        .expect("the events come in time");
    events
}

async fn one_node_of_three_says_that_it_cannot_answer_for_the_cluster(cluster: &Cluster, id: u64) {
    health_is(cluster, id, ServingStatus::NotServing).await;
    let request = |consistency: pb::Consistency| pb::GetHeadRequest {
        consistency: consistency.into(),
    };
    // Its own state it tells, and says that it is only that.
    let own = cluster
        .log(id)
        .get_head(deadline(request(pb::Consistency::Local), CALL))
        .await
        .unwrap()
        .into_inner();
    assert!(!own.read_point.unwrap().linearizable);
    let (mut log, mut inspections) = (cluster.log(id), cluster.inspections(id));
    let write = announce("req-alone", "HLXU2008419", QUIET);
    let (read, written) = tokio::join!(
        // The answer comes before the caller gives up, so that it says why.
        log.get_head(deadline(request(pb::Consistency::Quorum), Duration::from_secs(2))),
        inspections.announce(deadline(write, Duration::from_secs(3))),
    );
    assert_eq!(
        Refused::of(&read.unwrap_err()),
        Refused::new(Code::Unavailable, "NO_QUORUM", "")
    );
    let answer = WriteAnswer::from_status(&written.unwrap_err());
    assert!(
        answer.again_after().is_some(),
        "a client is told to ask again: {answer:?}"
    );
}
