//! What happens between nodes: homes, fencing, overload.

use std::time::Duration;

use portcullis_domain::command::{ClusterCommand, CommandBody, ExternalBody};
use portcullis_domain::event::Event;
use portcullis_domain::evidence::{Ability, Modality, Weights};
use portcullis_domain::id::{DeviceId, Epoch, Incarnation, InspectionNo, LaneId, PassNo, SampleNo, Timestamp};
use portcullis_domain::inspection::Stage;
use portcullis_domain::message::{Envelope, Feature, FromDevice, Message};
use portcullis_domain::placement::{ActorKey, FUSION_SHARDS};
use portcullis_domain::policy::Tier;
use portcullis_domain::reading::ReadingContent;
use tokio::sync::mpsc;

use super::port::*;
use crate::{Attachment, Refused};

fn home(port: &Port, key: &ActorKey) -> u64 {
    port.ledger().placement(key).unwrap().node.0
}

/// Every node hears of every other, until the test ends.
fn heartbeats(nodes: &[&Node]) -> tokio::task::JoinHandle<()> {
    let all: Vec<_> = nodes
        .iter()
        .map(|node| (node.host.clone(), node.id, node.boot))
        .collect();
    tokio::spawn(async move {
        loop {
            for (host, ..) in &all {
                for (_, id, boot) in &all {
                    host.node_seen(*id, *boot);
                }
            }
            tokio::time::sleep(Duration::from_millis(500)).await;
        }
    })
}

#[tokio::test(start_paused = true)]
async fn every_actor_gets_a_home_and_nodes_that_start_together_share() {
    let port = Port::new();
    for lane in 1..=8 {
        port.external(ExternalBody::DefineLane(full_lane(LaneId(lane))));
    }
    let (one, two, three) = (port.node(1).await, port.node(2).await, port.node(3).await);
    let _beats = heartbeats(&[&one, &two, &three]);
    one.host.leader_changed(Some(1));
    let count = usize::from(FUSION_SHARDS) + 8 + 1;
    port.until("homes for all", |ledger| {
        ledger.placements().filter(|(_, p)| p.live).count() == count
    })
    .await;
    tokio::time::sleep(Duration::from_secs(5)).await;
    let running = [&one, &two, &three].map(|node| node.host.running().len());
    // The placement actor itself has no placement.
    assert_eq!(running.iter().sum::<usize>(), count + 1, "{running:?}");
    assert!(running.iter().all(|count| *count > 10), "{running:?}");
    let placed = port.events(|event| matches!(event, Event::Placed { .. }));
    assert_eq!(placed, count, "nobody moved again");
}

#[tokio::test(start_paused = true)]
async fn a_silent_node_is_declared_down_after_the_full_time_and_its_actors_move() {
    let port = Port::new();
    port.external(ExternalBody::DefineLane(full_lane(LANE)));
    let (one, two) = (port.node(1).await, port.node(2).await);
    let beats = heartbeats(&[&one, &two]);
    one.host.leader_changed(Some(1));
    port.until_placed(&ActorKey::Fusion(0)).await;
    port.until("both carry", |ledger| {
        [1, 2]
            .iter()
            .all(|node| ledger.placements().any(|(_, p)| p.node.0 == *node))
    })
    .await;
    beats.abort();
    let silent = tokio::time::Instant::now();
    port.until("the node to be down", |ledger| !ledger.node(two.id).unwrap().up)
        .await;
    assert!(
        silent.elapsed() >= Duration::from_millis(4_400),
        "{:?}",
        silent.elapsed()
    );
    tokio::time::timeout(Duration::from_secs(10), two.host.boot_lost())
        .await
        .unwrap();
    port.until("all on the first", |ledger| {
        ledger.placements().all(|(_, p)| p.live && p.node == one.id)
    })
    .await;
    assert_eq!(two.host.running(), []);

    // The same machine comes back as another process.
    two.host.stop().await;
    let again = port.process(2, 4711).await;
    port.until("the new process", |ledger| {
        ledger
            .node(again.id)
            .is_some_and(|node| node.up && node.boot == again.boot)
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_lane_leaves_a_drained_node_between_two_containers_also_while_more_wait_for_it() {
    let port = Port::new();
    port.external(ExternalBody::DefineLane(full_lane(LANE)));
    let (one, two) = (port.node(1).await, port.node(2).await);
    let _beats = heartbeats(&[&one, &two]);
    one.host.leader_changed(Some(1));
    for node in [&one, &two] {
        port.must(CommandBody::Cluster(ClusterCommand::Enrol {
            node: node.id,
            incarnation: Incarnation([node.id.0 as u8; 16]),
            address: format!("node-{}:7401", node.id.0),
        }));
    }
    let lane = ActorKey::Lane(LANE);
    port.until_placed(&lane).await;
    let _orders = equip(&port, LANE).await;
    let first = port.ledger().placement(&lane).unwrap().node;
    for number in 0..40 {
        port.announce(&format!("MSKU{number:07}"));
    }
    port.until("the lane to be busy", |ledger| {
        ledger
            .lanes()
            .any(|(_, lane)| lane.next.is_some() && lane.current.is_some())
    })
    .await;
    port.external(ExternalBody::DrainNode { node: first });
    port.until("the lane to move", |ledger| {
        ledger.placement(&lane).is_some_and(|now| now.live && now.node != first)
    })
    .await;
    let wait = port
        .ledger()
        .inspections_from(InspectionNo(0))
        .filter(|case| case.stage == Stage::Queued)
        .count();
    assert!(
        wait > 20,
        "it did not have to be idle for want of containers: {wait} wait"
    );
    assert_eq!(
        port.events(|event| matches!(event, Event::Aborted { .. })),
        0,
        "no pass was broken off"
    );
}

#[tokio::test(start_paused = true)]
async fn a_node_that_is_far_behind_says_once_that_it_is_up() {
    let port = Port::new();
    let before = port.ledger().number();
    let node = port.process_behind(1, 1001).await;
    port.until("it is up", |ledger| ledger.node(node.id).is_some_and(|node| node.up))
        .await;
    tokio::time::sleep(Duration::from_secs(60)).await;
    assert_eq!(port.ledger().number().0, before.0 + 1);
    // Once it has caught up it goes on as any other.
    node.thaw();
    node.host.leader_changed(Some(1));
    port.until_placed(&ActorKey::Fusion(0)).await;
}

#[tokio::test(start_paused = true)]
async fn a_paused_owner_wakes_up_fenced_and_the_container_is_concluded_once_by_the_new_owner() {
    let port = Port::new();
    port.external(ExternalBody::DefineLane(full_lane(LANE)));
    let (one, two) = (port.node(1).await, port.node(2).await);
    port.until("both nodes", |ledger| {
        ledger.nodes().filter(|(_, node)| node.up).count() == 2
    })
    .await;
    // The lane on the second node, everything else on the first.
    port.place(ActorKey::Lane(LANE), &two);
    port.place(ActorKey::Scheduler(terminal()), &one);
    for shard in 0..FUSION_SHARDS {
        port.place(ActorKey::Fusion(shard), &one);
    }
    port.until_placed(&ActorKey::Lane(LANE)).await;
    let mut portal = Device::attach(&port, LANE, "portal-1").await;
    let scale = Device::attach(&port, LANE, "scale-1").await;
    let camera = Device::attach(&port, LANE, "camera-1").await;
    sensor(scale, Modality::Weighbridge);
    sensor(camera, Modality::Ocr);
    let mut orders = controller(Device::attach(&port, LANE, "controller-1").await);
    let no = port.announce(BOX);
    let (inspection, pass) = portal.expect_start().await;
    portal
        .measure(Some(inspection), 1, ReadingContent::Radiation(quiet(500)))
        .await;

    two.freeze();
    port.must(CommandBody::Cluster(ClusterCommand::NodeDown {
        node: two.id,
        boot: two.boot,
    }));
    assert_eq!(port.case(no).stage, Stage::Queued);
    port.place(ActorKey::Lane(LANE), &one);
    // The old owner still believes, and its sensor finishes.
    assert!(two.runs(&ActorKey::Lane(LANE)));
    portal
        .measure(Some(inspection), 2, ReadingContent::Radiation(quiet(500)))
        .await;
    portal.say(FromDevice::PassEnded { inspection, pass }).await;
    port.until("the old owner to be fenced", |ledger| ledger.fenced() > 0)
        .await;
    for _ in 0..100 {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    assert!(!two.runs(&ActorKey::Lane(LANE)), "who is fenced stops");
    assert_eq!(port.case(no).evidence.len(), 1, "nothing of the old pass was recorded");

    sensor(portal, Modality::Radiation);
    port.until_concluded(no).await;
    two.thaw();
    tokio::time::timeout(Duration::from_secs(10), two.host.boot_lost())
        .await
        .unwrap();
    let case = port.case(no);
    assert_eq!(case.passes.0, 2);
    assert_eq!(case.conclusion.as_ref().unwrap().verdict.tier, Tier::Release);
    assert_eq!(port.events(|event| matches!(event, Event::Concluded { .. })), 1);
    let order = orders.recv().await.unwrap();
    let epoch = port.ledger().placement(&ActorKey::Lane(LANE)).unwrap().epoch;
    assert!(matches!(order, portcullis_domain::message::ToDevice::Barrier { lane_epoch, .. } if lane_epoch == epoch));
}

#[tokio::test(start_paused = true)]
async fn features_and_steering_cross_between_nodes() {
    let port = Port::new();
    port.external(ExternalBody::DefineLane(full_lane(LANE)));
    let (one, two) = (port.node(1).await, port.node(2).await);
    port.until("both nodes", |ledger| {
        ledger.nodes().filter(|(_, node)| node.up).count() == 2
    })
    .await;
    port.place(ActorKey::Lane(LANE), &one);
    port.place(ActorKey::Scheduler(terminal()), &two);
    for shard in 0..FUSION_SHARDS {
        port.place(ActorKey::Fusion(shard), &two);
    }
    port.until_placed(&ActorKey::Lane(LANE)).await;
    let _orders = equip(&port, LANE).await;
    let no = port.announce(BOX);
    port.until_concluded(no).await;
    assert_ne!(home(&port, &ActorKey::Lane(LANE)), home(&port, &ActorKey::Fusion(0)));
    assert!(port.case(no).conclusion.as_ref().unwrap().verdict.stopped);
}

fn feature_for(port: &Port, shard: u8, epoch: Epoch) -> Envelope {
    let _ = port;
    Envelope {
        to: ActorKey::Fusion(shard),
        to_epoch: epoch,
        from: ActorKey::Lane(LANE),
        traceparent: String::new(),
        message: Message::Feature(Feature {
            lane: LANE,
            lane_epoch: Epoch(1),
            inspection: InspectionNo(u64::from(shard)),
            pass: PassNo(1),
            device: DeviceId::new("portal-1").unwrap(),
            modality: Modality::Radiation,
            sample: SampleNo(1),
            ability: Ability::Clear,
            weights: Weights::ZERO,
            last: false,
            sources: 1,
        }),
    }
}

#[tokio::test(start_paused = true)]
async fn too_many_messages_are_answered_with_overload_and_the_actor_recovers() {
    let port = Port::new();
    let node = port.one_node().await;
    port.until_placed(&ActorKey::Fusion(3)).await;
    let epoch = port.ledger().placement(&ActorKey::Fusion(3)).unwrap().epoch;
    // The test does not wait in between, so the actor has no time to work.
    let answers: Vec<_> = (0..1000)
        .map(|_| node.host.deliver(feature_for(&port, 3, epoch)))
        .collect();
    assert_eq!(answers.iter().filter(|answer| answer.is_ok()).count(), 256);
    assert_eq!(answers.last(), Some(&Err(Refused::Overloaded)));
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_eq!(node.host.deliver(feature_for(&port, 3, epoch)), Ok(()));
}

#[tokio::test(start_paused = true)]
async fn a_message_for_another_placement_or_another_node_is_refused() {
    let port = Port::new();
    let node = port.one_node().await;
    port.until_placed(&ActorKey::Fusion(3)).await;
    let epoch = port.ledger().placement(&ActorKey::Fusion(3)).unwrap().epoch;
    let old = Epoch(epoch.0 - 1);
    assert_eq!(
        node.host.deliver(feature_for(&port, 3, old)),
        Err(Refused::WrongEpoch { current: epoch })
    );
    let mut elsewhere = feature_for(&port, 3, epoch);
    elsewhere.to = ActorKey::Lane(LaneId(77));
    assert_eq!(node.host.deliver(elsewhere), Err(Refused::NotHere));
}

#[tokio::test(start_paused = true)]
async fn a_device_is_told_why_it_cannot_attach() {
    let port = Port::new();
    port.external(ExternalBody::DefineLane(full_lane(LANE)));
    let node = port.node(1).await;
    let attach = |lane: LaneId, device: &str| {
        let (outgoing, _) = mpsc::channel(8);
        let device = DeviceId::new(device).unwrap();
        node.host
            .attach(Attachment {
                lane,
                device,
                boot: 1,
                outgoing,
            })
            .map(drop)
            .unwrap_err()
            .reason
    };
    assert_eq!(attach(LaneId(9), "portal-1"), "UNKNOWN_LANE");
    assert_eq!(attach(LANE, "stranger"), "UNKNOWN_DEVICE");
    assert_eq!(attach(LANE, "portal-1"), "NOT_HERE");
}

#[tokio::test(start_paused = true)]
async fn a_container_that_is_not_ready_yet_is_queued_when_its_time_comes() {
    let port = Port::new();
    port.external(ExternalBody::DefineLane(full_lane(LANE)));
    let _node = port.one_node().await;
    let ready = Timestamp(port.now().0 + 600_000);
    let no = port.announce_in(BOX, Some(ready));
    port.until("the profile", |ledger| {
        ledger.inspection(no).unwrap().stage == Stage::Profiled
    })
    .await;
    port.until("the queue", |ledger| {
        ledger.inspection(no).unwrap().stage == Stage::Queued
    })
    .await;
    assert!(port.now() >= ready);
    assert_eq!(port.story(no), ["announced", "profiled", "enqueued"]);
}

#[tokio::test(start_paused = true)]
async fn the_lane_that_is_expected_to_be_finished_first_is_taken() {
    let port = Port::new();
    let (slow, fast) = (LaneId(1), LaneId(2));
    port.external(ExternalBody::DefineLane(portcullis_domain::lane::LaneSpec {
        usual_pass_s: 300,
        ..full_lane(slow)
    }));
    port.external(ExternalBody::DefineLane(full_lane(fast)));
    let _node = port.one_node().await;
    let _slow = equip(&port, slow).await;
    let _fast = equip(&port, fast).await;
    // Until both lanes have said how they stand.
    tokio::time::sleep(Duration::from_secs(3)).await;
    let no = port.announce(BOX);
    port.until("the assignment", |ledger| {
        ledger.inspection(no).unwrap().stage.lane().is_some()
    })
    .await;
    assert_eq!(port.case(no).stage.lane(), Some(fast));
}

#[tokio::test(start_paused = true)]
async fn a_new_leader_takes_over_where_the_old_one_stopped() {
    let port = Port::new();
    let (one, two) = (port.node(1).await, port.node(2).await);
    let _beats = heartbeats(&[&one, &two]);
    one.host.leader_changed(Some(1));
    port.until_placed(&ActorKey::Fusion(0)).await;
    one.host.leader_changed(None);
    two.host.leader_changed(Some(2));
    port.until("the new leader to place", |_| {
        two.runs(&ActorKey::Placement) && !one.runs(&ActorKey::Placement)
    })
    .await;
    port.external(ExternalBody::DefineLane(full_lane(LANE)));
    port.until_placed(&ActorKey::Lane(LANE)).await;
}

/// What was decided about each container: tier, scores and the sample it was judged at.
async fn decisions(troubled: bool) -> Vec<String> {
    let port = Port::new();
    for lane in 1..=2 {
        port.external(ExternalBody::DefineLane(full_lane(LaneId(lane))));
    }
    let (one, two) = (port.node(1).await, port.node(2).await);
    let _beats = heartbeats(&[&one, &two]);
    one.host.leader_changed(Some(1));
    let _first = equip(&port, LaneId(1)).await;
    let _second = equip(&port, LaneId(2)).await;
    let all: Vec<_> = (0..12).map(|i| port.announce(&format!("TESU20000{i:02}"))).collect();
    if troubled {
        let faults = [
            Fault::AnswerLost,
            Fault::RequestLost,
            Fault::Slow(Duration::from_millis(90)),
        ];
        for turn in 0..8_u32 {
            port.faults.lock().unwrap().extend(faults);
            tokio::time::sleep(Duration::from_millis(777)).await;
            // Lanes and shards move in the middle of whatever they do.
            let to = if turn % 2 == 0 { &two } else { &one };
            port.place(ActorKey::Lane(LaneId(1 + turn % 2)), to);
            for shard in 0..8 {
                port.place(ActorKey::Fusion(shard), to);
            }
            if turn == 3 {
                port.clock_panics.store(true, std::sync::atomic::Ordering::SeqCst);
            }
        }
    }
    for no in &all {
        port.until_concluded(*no).await;
    }
    assert_eq!(port.events(|event| matches!(event, Event::Concluded { .. })), all.len());
    if troubled {
        let broken_off = port.events(|event| matches!(event, Event::Placed { aborted, .. } if !aborted.is_empty()));
        assert!(broken_off > 0, "no pass was disturbed");
    }
    all.iter()
        .map(|no| {
            let case = port.case(*no);
            let verdict = &case.conclusion.as_ref().unwrap().verdict;
            format!(
                "{} {} {:?} {}",
                case.equipment, verdict.tier, verdict.scores, verdict.at_sample
            )
        })
        .collect()
}

#[tokio::test(start_paused = true)]
async fn what_is_decided_does_not_depend_on_faults_moves_and_crashes() {
    let calm = decisions(false).await;
    assert_eq!(decisions(true).await, calm);
}
