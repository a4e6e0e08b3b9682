//! What happens on one lane.

use std::sync::atomic::Ordering;
use std::time::Duration;

use portcullis_domain::command::{AbortCause, ExternalBody};
use portcullis_domain::equipment::EquipmentId;
use portcullis_domain::event::Event;
use portcullis_domain::evidence::Modality;
use portcullis_domain::finding::FindingCode;
use portcullis_domain::fusion::Reason;
use portcullis_domain::id::{Epoch, InspectionNo};
use portcullis_domain::inspection::Stage;
use portcullis_domain::lane::{DeviceKind, LaneSpec};
use portcullis_domain::message::{FromDevice, ToDevice};
use portcullis_domain::placement::ActorKey;
use portcullis_domain::policy::Tier;
use portcullis_domain::reading::ReadingContent;

use super::port::*;

fn barrier(order: &ToDevice) -> (bool, InspectionNo, Epoch, u64) {
    match order {
        ToDevice::Barrier {
            open,
            inspection,
            lane_epoch,
            entry,
            ..
        } => (*open, *inspection, *lane_epoch, entry.0),
        other => panic!("not a barrier order: {other:?}"),
    }
}

const HAPPY: [&str; 6] = [
    "announced",
    "profiled",
    "assigned",
    "pass_started",
    "evidence_recorded",
    "concluded",
];

#[tokio::test(start_paused = true)]
async fn a_container_is_called_up_scanned_and_released_and_the_barrier_opens_for_the_committed_conclusion() {
    let port = Port::new();
    port.external(ExternalBody::DefineLane(full_lane(LANE)));
    let _node = port.one_node().await;
    let mut orders = equip(&port, LANE).await;
    let no = port.announce(BOX);
    port.until_concluded(no).await;
    let order = orders.recv().await.unwrap();

    let case = port.case(no);
    assert_eq!(case.stage, Stage::Released);
    assert_eq!(port.story(no), HAPPY);
    let epoch = port.ledger().placement(&ActorKey::Lane(LANE)).unwrap().epoch;
    assert_eq!(
        barrier(&order),
        (true, no, epoch, case.conclusion.as_ref().unwrap().entry.0)
    );
    // Manifest, and each of the three sensors.
    assert_eq!(case.evidence.len(), 4);
    assert_eq!(port.ledger().fenced(), 0);
    let kept = port.blobs.lock().unwrap().len();
    assert_eq!(kept, 3, "the readings of each sensor are kept together");
}

#[tokio::test(start_paused = true)]
async fn a_pass_stops_as_soon_as_enough_is_known_and_is_judged_at_that_sample() {
    let port = Port::new();
    port.external(ExternalBody::DefineLane(full_lane(LANE)));
    let _node = port.one_node().await;
    let _orders = equip(&port, LANE).await;
    let no = port.announce("HOTU1234562");
    port.until_concluded(no).await;

    let case = port.case(no);
    let portal = case
        .evidence
        .iter()
        .find(|recorded| recorded.evidence.modality == Modality::Radiation)
        .map(|recorded| recorded.evidence.clone())
        .unwrap();
    let range = portal.readings.clone().unwrap();
    let verdict = &case.conclusion.as_ref().unwrap().verdict;
    assert!(verdict.stopped, "{verdict:?}");
    assert!(range.last - range.first < u64::from(SAMPLES), "{range:?}");
    assert!((5..SAMPLES).contains(&verdict.at_sample.0), "{verdict:?}");
}

#[tokio::test(start_paused = true)]
async fn nothing_is_released_before_the_whole_vehicle_was_before_the_portal() {
    let port = Port::new();
    port.external(ExternalBody::DefineLane(full_lane(LANE)));
    let _node = port.one_node().await;
    let _orders = equip(&port, LANE).await;
    let no = port.announce(BOX);
    port.until_concluded(no).await;

    let case = port.case(no);
    assert_eq!(case.stage, Stage::Released);
    assert_eq!(case.conclusion.as_ref().unwrap().verdict.at_sample.0, SAMPLES);
}

#[tokio::test(start_paused = true)]
async fn many_containers_pass_two_lanes_and_each_has_one_conclusion() {
    let port = Port::new();
    for lane in 1..=2 {
        port.external(ExternalBody::DefineLane(full_lane(portcullis_domain::id::LaneId(lane))));
    }
    let _node = port.one_node().await;
    for lane in 1..=2 {
        let _ = equip(&port, portcullis_domain::id::LaneId(lane)).await;
    }
    let all: Vec<_> = (0..20).map(|i| port.announce(&format!("TESU10000{i:02}"))).collect();
    for no in &all {
        port.until_concluded(*no).await;
        assert_eq!(port.story(*no), HAPPY);
    }
    assert_eq!(port.events(|event| matches!(event, Event::Concluded { .. })), all.len());
    let on_second =
        port.events(|event| matches!(event, Event::Assigned { lane, .. } if *lane == portcullis_domain::id::LaneId(2)));
    assert!(
        (5..=15).contains(&on_second),
        "{on_second} of 20 went to the second lane"
    );
}

#[tokio::test(start_paused = true)]
async fn lost_requests_lost_answers_and_delays_change_nothing() {
    let port = Port::new();
    port.external(ExternalBody::DefineLane(full_lane(LANE)));
    let _node = port.one_node().await;
    let _orders = equip(&port, LANE).await;
    let faults = [
        Fault::AnswerLost,
        Fault::RequestLost,
        Fault::NotApplied,
        Fault::AnswerLost,
        Fault::AnswerLost,
        Fault::Slow(Duration::from_millis(700)),
    ];
    for _ in 0..4 {
        port.faults.lock().unwrap().extend(faults);
    }
    let no = port.announce(BOX);
    port.until_concluded(no).await;
    assert_eq!(port.story(no), HAPPY);
    assert!(port.faults.lock().unwrap().len() < 20);
}

#[tokio::test(start_paused = true)]
async fn a_sensor_that_is_lost_breaks_the_pass_off_and_the_container_is_scanned_again() {
    let port = Port::new();
    port.external(ExternalBody::DefineLane(full_lane(LANE)));
    let _node = port.one_node().await;
    port.until_placed(&ActorKey::Lane(LANE)).await;
    let _scale = sensor(Device::attach(&port, LANE, "scale-1").await, Modality::Weighbridge);
    let _camera = sensor(Device::attach(&port, LANE, "camera-1").await, Modality::Ocr);
    let _orders = controller(Device::attach(&port, LANE, "controller-1").await);
    let mut portal = Device::attach(&port, LANE, "portal-1").await;
    let no = port.announce(BOX);
    let (inspection, _) = portal.expect_start().await;
    portal
        .measure(Some(inspection), 1, ReadingContent::Radiation(quiet(500)))
        .await;
    portal.leave();
    port.until("the break-off", |_| port.story(no).contains(&"aborted"))
        .await;
    portal.attach_again().await;
    let _portal = sensor(portal, Modality::Radiation);
    port.until_concluded(no).await;
    let case = port.case(no);
    assert_eq!(case.passes.0, 2);
    assert_eq!(case.conclusion.as_ref().unwrap().verdict.tier, Tier::Release);
    let lost = |event: &Event| {
        matches!(
            event,
            Event::Aborted {
                cause: AbortCause::DeviceLost,
                ..
            }
        )
    };
    assert_eq!(port.events(lost), 1);
}

#[tokio::test(start_paused = true)]
async fn readings_that_are_forged_replayed_or_about_another_container_are_refused_and_noted() {
    let port = Port::new();
    port.external(ExternalBody::DefineLane(full_lane(LANE)));
    let _node = port.one_node().await;
    port.until_placed(&ActorKey::Lane(LANE)).await;
    let _scale = sensor(Device::attach(&port, LANE, "scale-1").await, Modality::Weighbridge);
    let _camera = sensor(Device::attach(&port, LANE, "camera-1").await, Modality::Ocr);
    let _orders = controller(Device::attach(&port, LANE, "controller-1").await);
    let mut portal = Device::attach(&port, LANE, "portal-1").await;
    let no = port.announce(BOX);
    let (inspection, pass) = portal.expect_start().await;
    let mut refused = Vec::new();

    portal
        .measure(None, 0, ReadingContent::RadiationBackground(quiet(500)))
        .await;
    let header = portal.header(Some(inspection), 1);
    let genuine = portal.sign(header, ReadingContent::Radiation(quiet(500)));
    let mut forged = genuine.clone();
    forged.signature[3] ^= 1;
    portal.say(FromDevice::Reading(forged)).await;
    refused.push(portal.expect_refusal().await);
    portal.say(FromDevice::Reading(genuine.clone())).await;
    portal.say(FromDevice::Reading(genuine)).await;
    refused.push(portal.expect_refusal().await);
    portal
        .measure(Some(InspectionNo(99_999)), 2, ReadingContent::Radiation(quiet(500)))
        .await;
    refused.push(portal.expect_refusal().await);
    portal.measure(Some(inspection), 2, weighing()).await;
    refused.push(portal.expect_refusal().await);
    let header = portal.header(Some(inspection), 2);
    let mut garbage = portal.sign(header, ReadingContent::Radiation(quiet(1)));
    garbage.body.push(0);
    portal.say(FromDevice::Reading(garbage)).await;
    refused.push(portal.expect_refusal().await);
    assert_eq!(
        refused,
        [
            "SIGNATURE_INVALID",
            "READING_REPLAYED",
            "READING_FOR_ANOTHER_CONTAINER",
            "WRONG_MODALITY",
            "SIGNATURE_INVALID"
        ]
    );
    for sample in 2..=12 {
        portal
            .measure(Some(inspection), sample, ReadingContent::Radiation(quiet(500)))
            .await;
    }
    portal.say(FromDevice::PassEnded { inspection, pass }).await;
    port.until_concluded(no).await;
    let case = port.case(no);
    let findings: Vec<_> = case
        .evidence
        .iter()
        .filter(|recorded| recorded.evidence.modality == Modality::Radiation)
        .flat_map(|recorded| &recorded.evidence.findings)
        .map(|noted| (noted.finding.code, noted.finding.field.clone()))
        .collect();
    for (code, field) in [
        (FindingCode::ReadingRefused, "SIGNATURE_INVALID"),
        (FindingCode::ReadingStray, "READING_REPLAYED"),
        (FindingCode::ReadingStray, "READING_FOR_ANOTHER_CONTAINER"),
    ] {
        assert!(findings.contains(&(code, field.to_owned())), "{field}: {findings:?}");
    }
    assert_eq!(case.conclusion.as_ref().unwrap().verdict.tier, Tier::Review);
    // The unsigned number was never seen, so the device's count has a hole.
    assert!(
        findings.iter().any(|(code, _)| *code == FindingCode::ReadingGap),
        "{findings:?}"
    );
}

#[tokio::test(start_paused = true)]
async fn readings_of_an_earlier_pass_cannot_be_used_again_after_the_lane_moved() {
    let port = Port::new();
    port.external(ExternalBody::DefineLane(full_lane(LANE)));
    let node = port.one_node().await;
    let _orders = equip(&port, LANE).await;
    let first = port.announce(BOX);
    port.until_concluded(first).await;
    let used = port
        .ledger()
        .device_mark(&portcullis_domain::id::DeviceId::new("camera-1").unwrap())
        .unwrap();
    // A new owner knows only what the ledger says.
    port.place(ActorKey::Lane(LANE), &node);
    port.until_placed(&ActorKey::Lane(LANE)).await;
    let mut thief = Device::attach(&port, LANE, "camera-1").await;
    thief.sequence = used.sequence - 1;
    thief.measure(Some(first), 1, number(BOX)).await;
    assert_eq!(thief.expect_refusal().await, "READING_REPLAYED");
}

#[tokio::test(start_paused = true)]
async fn without_a_quorum_the_barrier_waits_and_then_follows_the_conclusion() {
    let port = Port::new();
    port.external(ExternalBody::DefineLane(full_lane(LANE)));
    let _node = port.one_node().await;
    let mut orders = equip(&port, LANE).await;
    let no = port.announce(BOX);
    port.until("the pass", |_| port.story(no).contains(&"pass_started"))
        .await;
    port.quorum.send_replace(false);
    port.until_concluded(no).await;
    let waiting = tokio::time::timeout(Duration::from_secs(30), orders.recv()).await;
    assert!(waiting.is_err(), "{waiting:?}");
    // Nor is anybody called up.
    let next = port.announce("TEMU3412100");
    port.until("the assignment", |ledger| ledger.lane(LANE).unwrap().next == Some(next))
        .await;
    tokio::time::sleep(Duration::from_secs(5)).await;
    assert_eq!(port.case(next).stage, Stage::Assigned { lane: LANE });

    port.quorum.send_replace(true);
    assert_eq!(barrier(&orders.recv().await.unwrap()).1, no);
    port.until_concluded(next).await;
}

#[tokio::test(start_paused = true)]
async fn a_container_that_stands_before_a_lane_without_being_called_up_is_claimed_once_it_is_profiled() {
    let port = Port::new();
    let replay = device_spec("replay-1", DeviceKind::Sensor(Modality::Radiation));
    port.external(ExternalBody::DefineLane(LaneSpec {
        devices: vec![replay],
        scheduled: false,
        ..full_lane(LANE)
    }));
    let node = port.node(1).await;
    port.until("the node", |ledger| ledger.node(node.id).is_some()).await;
    port.place(ActorKey::Lane(LANE), &node);
    let mut device = Device::attach(&port, LANE, "replay-1").await;
    // Nobody weighs manifests yet.
    let no = port.announce(BOX);
    device.arrive(&EquipmentId::new(BOX).unwrap()).await;
    tokio::time::sleep(Duration::from_secs(3)).await;
    assert_eq!(port.case(no).stage, Stage::Announced);
    node.host.leader_changed(Some(1));
    let (inspection, pass) = device.expect_start().await;
    assert_eq!(inspection, no);
    for sample in 1..=20 {
        device
            .measure(Some(no), sample, ReadingContent::Radiation(quiet(500)))
            .await;
    }
    device.say(FromDevice::PassEnded { inspection, pass }).await;
    port.until_concluded(no).await;
    let verdict = port.case(no).conclusion.clone().unwrap().verdict;
    // Weight and number are required and were not seen.
    assert_eq!(verdict.tier, Tier::Review);
    assert!(
        verdict
            .reasons
            .iter()
            .any(|reason| matches!(reason, Reason::Missing { .. }))
    );
    // A lane without a controller tells its device.
    assert!(!barrier(&device.expect_barrier().await).0);
}

#[tokio::test(start_paused = true)]
async fn a_container_that_nobody_announced_or_called_up_is_turned_away_with_a_reason() {
    let port = Port::new();
    port.external(ExternalBody::DefineLane(full_lane(LANE)));
    let _node = port.one_node().await;
    port.until_placed(&ActorKey::Lane(LANE)).await;
    let mut controller = Device::attach(&port, LANE, "controller-1").await;
    let stranger = EquipmentId::new("TEMU3412100").unwrap();
    controller.arrive(&stranger).await;
    assert_eq!(controller.expect_refusal().await, "UNKNOWN_CONTAINER");

    for (name, modality) in [
        ("portal-1", Modality::Radiation),
        ("scale-1", Modality::Weighbridge),
        ("camera-1", Modality::Ocr),
    ] {
        sensor(Device::attach(&port, LANE, name).await, modality);
    }
    let called = port.announce(BOX);
    port.until("the assignment", |ledger| {
        ledger.lane(LANE).unwrap().next == Some(called)
    })
    .await;
    port.announce(stranger.as_str());
    controller.arrive(&stranger).await;
    assert_eq!(controller.expect_refusal().await, "NOT_CALLED_UP");
}

#[tokio::test(start_paused = true)]
async fn a_closed_lane_gives_back_whom_it_called_up_and_calls_nobody() {
    let port = Port::new();
    port.external(ExternalBody::DefineLane(full_lane(LANE)));
    let _node = port.one_node().await;
    for (name, modality) in [
        ("portal-1", Modality::Radiation),
        ("scale-1", Modality::Weighbridge),
        ("camera-1", Modality::Ocr),
    ] {
        sensor(Device::attach(&port, LANE, name).await, modality);
    }
    let mut controller = Device::attach(&port, LANE, "controller-1").await;
    let no = port.announce(BOX);
    controller
        .expect("a call-up", |message| {
            matches!(message, ToDevice::CallUp { .. }).then_some(())
        })
        .await;
    port.external(ExternalBody::CloseLane { lane: LANE });
    port.until("the return to the queue", |ledger| {
        ledger.inspection(no).unwrap().stage == Stage::Queued
    })
    .await;
    tokio::time::sleep(Duration::from_secs(3)).await;
    assert_eq!(port.case(no).stage, Stage::Queued);
    controller.arrive(&port.case(no).equipment).await;
    assert_eq!(controller.expect_refusal().await, "LANE_CLOSED");
}

/// Sensors of the lane that do their work for as long as the test lasts.
async fn sensors(port: &std::sync::Arc<Port>) {
    for (name, modality) in [
        ("portal-1", Modality::Radiation),
        ("scale-1", Modality::Weighbridge),
        ("camera-1", Modality::Ocr),
    ] {
        sensor(Device::attach(port, LANE, name).await, modality);
    }
}

#[tokio::test(start_paused = true)]
async fn a_truck_that_never_comes_makes_room_for_others_and_is_called_up_again_later_or_claimed_when_it_comes() {
    let port = Port::new();
    port.external(ExternalBody::DefineLane(full_lane(LANE)));
    let _node = port.one_node().await;
    sensors(&port).await;
    let mut controller = Device::attach(&port, LANE, "controller-1").await;
    let late = port.announce(BOX);
    let called = |message: &ToDevice| match message {
        ToDevice::CallUp { inspection, .. } => Some(*inspection),
        _ => None,
    };
    assert_eq!(controller.expect("a call-up", called).await, late);
    let other = port.announce("TEMU3412100");
    assert_eq!(controller.expect("the next call-up", called).await, other);
    let never_came = |event: &Event| {
        matches!(
            event,
            Event::Aborted {
                cause: AbortCause::TimedOut,
                ..
            }
        )
    };
    assert_eq!(port.events(never_came), 1);
    controller.arrive(&port.case(other).equipment).await;
    port.until_concluded(other).await;
    // Its time comes again, and again it is not there.
    assert_eq!(controller.expect("a second call-up", called).await, late);
    port.until("the second time", |_| port.events(never_came) == 2).await;
    assert_eq!(port.case(late).stage, Stage::Profiled);
    controller.arrive(&port.case(late).equipment).await;
    port.until_concluded(late).await;
    assert_eq!(port.case(late).passes.0, 1);
}

#[tokio::test(start_paused = true)]
async fn a_controller_that_reports_a_concluded_container_gets_its_order_from_a_new_owner_that_calls_up_another() {
    let port = Port::new();
    port.external(ExternalBody::DefineLane(full_lane(LANE)));
    let node = port.one_node().await;
    sensors(&port).await;
    let mut controller = Device::attach(&port, LANE, "controller-1").await;
    let first = port.announce(BOX);
    let called = |message: &ToDevice| matches!(message, ToDevice::CallUp { .. }).then_some(());
    controller.expect("a call-up", called).await;
    controller.arrive(&port.case(first).equipment).await;
    port.until("the pass", |_| port.story(first).contains(&"pass_started"))
        .await;
    // The order cannot leave before the lane changes hands.
    port.quorum.send_replace(false);
    port.until_concluded(first).await;
    port.place(ActorKey::Lane(LANE), &node);
    port.until_placed(&ActorKey::Lane(LANE)).await;
    port.quorum.send_replace(true);
    controller.attach_again().await;
    let next = port.announce("TEMU3412100");
    controller.expect("the next call-up", called).await;
    controller.arrive(&port.case(first).equipment).await;
    assert_eq!(barrier(&controller.expect_barrier().await).1, first);
    assert_eq!(port.ledger().lane(LANE).unwrap().next, Some(next));
}

#[tokio::test(start_paused = true)]
async fn a_barrier_order_is_repeated_for_a_controller_that_attaches_again_and_for_no_sensor() {
    let port = Port::new();
    port.external(ExternalBody::DefineLane(full_lane(LANE)));
    let _node = port.one_node().await;
    sensors(&port).await;
    let mut controller = Device::attach(&port, LANE, "controller-1").await;
    let no = port.announce(BOX);
    let called = |message: &ToDevice| matches!(message, ToDevice::CallUp { .. }).then_some(());
    controller.expect("a call-up", called).await;
    controller.arrive(&port.case(no).equipment).await;
    assert_eq!(barrier(&controller.expect_barrier().await).1, no);
    let _camera = Device::attach(&port, LANE, "camera-1").await;
    tokio::time::sleep(Duration::from_secs(2)).await;
    let more: Vec<_> = std::iter::from_fn(|| controller.incoming.try_recv().ok()).collect();
    assert!(
        !more.iter().any(|message| matches!(message, ToDevice::Barrier { .. })),
        "{more:?}"
    );
    controller.attach_again().await;
    assert_eq!(barrier(&controller.expect_barrier().await).1, no);
    // Once another container stands there, the order is history.
    controller.arrive(&EquipmentId::new("TEMU3412100").unwrap()).await;
    assert_eq!(controller.expect_refusal().await, "UNKNOWN_CONTAINER");
    controller.attach_again().await;
    tokio::time::sleep(Duration::from_secs(2)).await;
    let more: Vec<_> = std::iter::from_fn(|| controller.incoming.try_recv().ok()).collect();
    assert!(
        !more.iter().any(|message| matches!(message, ToDevice::Barrier { .. })),
        "{more:?}"
    );
}

#[tokio::test(start_paused = true)]
async fn a_pass_whose_readings_cannot_be_kept_breaks_off_and_is_driven_again_when_the_store_takes_them() {
    let port = Port::new();
    port.external(ExternalBody::DefineLane(full_lane(LANE)));
    let _node = port.one_node().await;
    let _orders = equip(&port, LANE).await;
    port.store_full.store(true, Ordering::SeqCst);
    let no = port.announce(BOX);
    port.until("the break-off", |_| port.story(no).contains(&"aborted"))
        .await;
    port.store_full.store(false, Ordering::SeqCst);
    port.until_concluded(no).await;
    let case = port.case(no);
    assert_eq!(case.conclusion.as_ref().unwrap().verdict.tier, Tier::Release);
    assert!(case.passes.0 >= 2);
    let timed_out = |event: &Event| {
        matches!(
            event,
            Event::Aborted {
                cause: AbortCause::TimedOut,
                ..
            }
        )
    };
    assert_eq!(port.events(timed_out), 1);
}

#[tokio::test(start_paused = true)]
async fn a_background_between_the_samples_of_a_pass_does_not_spoil_the_next_one() {
    let port = Port::new();
    port.external(ExternalBody::DefineLane(full_lane(LANE)));
    let _node = port.one_node().await;
    port.until_placed(&ActorKey::Lane(LANE)).await;
    sensor(Device::attach(&port, LANE, "scale-1").await, Modality::Weighbridge);
    sensor(Device::attach(&port, LANE, "camera-1").await, Modality::Ocr);
    let _orders = controller(Device::attach(&port, LANE, "controller-1").await);
    let mut portal = Device::attach(&port, LANE, "portal-1").await;
    let all = [port.announce(BOX), port.announce("TEMU3412100")];
    for no in all {
        let (inspection, pass) = portal.expect_start().await;
        assert_eq!(inspection, no);
        for sample in 1..=12 {
            if sample == 1 || sample == 6 {
                let background = ReadingContent::RadiationBackground(quiet(500));
                portal.measure(None, 0, background).await;
            }
            let counts = ReadingContent::Radiation(quiet(500));
            portal.measure(Some(inspection), sample, counts).await;
        }
        portal.say(FromDevice::PassEnded { inspection, pass }).await;
        port.until_concluded(no).await;
        assert_eq!(port.case(no).passes.0, 1);
    }
}

#[tokio::test(start_paused = true)]
async fn a_container_whose_passes_all_break_off_ends_in_an_exam() {
    let port = Port::new();
    let portal = device_spec("portal-1", DeviceKind::Sensor(Modality::Radiation));
    let mut spec = full_lane(LANE);
    spec.devices
        .retain(|device| device.kind != DeviceKind::Sensor(Modality::Radiation));
    spec.devices.push(portal);
    port.external(ExternalBody::DefineLane(spec));
    let _node = port.one_node().await;
    port.until_placed(&ActorKey::Lane(LANE)).await;
    sensor(Device::attach(&port, LANE, "scale-1").await, Modality::Weighbridge);
    sensor(Device::attach(&port, LANE, "camera-1").await, Modality::Ocr);
    let _orders = controller(Device::attach(&port, LANE, "controller-1").await);
    let mut portal = Device::attach(&port, LANE, "portal-1").await;
    let no = port.announce(BOX);
    for _ in 0..8 {
        portal.expect_start().await;
        portal.attach_again().await;
    }
    port.until_concluded(no).await;
    let case = port.case(no);
    assert_eq!(case.stage, Stage::Held);
    assert!(
        case.conclusion
            .as_ref()
            .unwrap()
            .verdict
            .reasons
            .contains(&Reason::PassesExhausted { passes: 8 })
    );
}

#[tokio::test(start_paused = true)]
async fn a_lane_actor_that_crashes_comes_back_under_a_new_epoch_and_the_container_is_scanned_again() {
    let port = Port::new();
    port.external(ExternalBody::DefineLane(full_lane(LANE)));
    let node = port.one_node().await;
    let _orders = equip(&port, LANE).await;
    let no = port.announce(BOX);
    port.until("the pass", |_| port.story(no).contains(&"pass_started"))
        .await;
    let before = port.ledger().placement(&ActorKey::Lane(LANE)).unwrap().epoch;
    port.clock_panics.store(true, Ordering::SeqCst);
    while port.clock_panics.load(Ordering::SeqCst) {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    // Something happens, and everybody looks.
    port.external(ExternalBody::OpenLane { lane: LANE });
    // Not before it has a new epoch: under the old one its command numbers would start again and get old answers.
    for _ in 0..15 {
        tokio::time::sleep(Duration::from_millis(10)).await;
        assert!(!node.runs(&ActorKey::Lane(LANE)));
    }
    port.until("a new epoch", |ledger| {
        ledger.placement(&ActorKey::Lane(LANE)).unwrap().epoch > before
    })
    .await;
    port.until_concluded(no).await;
    assert!(node.runs(&ActorKey::Lane(LANE)));
    assert_eq!(port.case(no).passes.0, 2);
    assert_eq!(port.events(|event| matches!(event, Event::Concluded { .. })), 1);
}

#[tokio::test(start_paused = true)]
async fn stopping_the_host_tells_the_devices_to_attach_elsewhere() {
    let port = Port::new();
    port.external(ExternalBody::DefineLane(full_lane(LANE)));
    let node = port.one_node().await;
    port.until_placed(&ActorKey::Lane(LANE)).await;
    let mut camera = Device::attach(&port, LANE, "camera-1").await;
    camera
        .expect("welcome", |message| {
            matches!(message, ToDevice::Welcome { .. }).then_some(())
        })
        .await;
    node.host.stop().await;
    camera
        .expect("detached", |message| {
            matches!(message, ToDevice::Detached { .. }).then_some(())
        })
        .await;
    assert_eq!(camera.incoming.recv().await, None);
    assert_eq!(node.host.running(), []);
}
