//! The operator: closes, opens and changes lanes while they work, takes nodes out of service, moves leadership.

use std::collections::BTreeSet;
use std::sync::Arc;

use portcullis_domain::id::LaneId;
use portcullis_domain::lane::LaneSpec;
use portcullis_proto::v1 as pb;
use rand::RngExt as _;
use rand::seq::IndexedRandom as _;

use super::client::{Client, is_final};
use crate::history::Request;
use crate::write::Told;

/// What the operator has done and will undo.
#[derive(Default)]
struct Undone {
    closed: BTreeSet<LaneId>,
    drained: BTreeSet<u64>,
}

/// Operates for ever. Once the port is calm, everything is opened and put back into service, and stays so.
pub(super) async fn run(mut client: Client, lanes: Vec<LaneSpec>) {
    let mut undone = Undone::default();
    loop {
        client.pause(client.shared.options.operator_pause).await;
        if client.shared.is_calm() || !client.shared.operators_act() {
            restore(&mut client, &mut undone).await;
            continue;
        }
        let Some(lane) = lanes.choose(&mut client.rng) else {
            return;
        };
        match client.rng.random_range(0..6) {
            // One lane at a time, so that the port goes on.
            0 if undone.closed.is_empty() && lanes.len() > 1 => {
                undone.closed.insert(lane.id);
                act(&mut client, |context| close(lane.id, context)).await;
            }
            1 => redefine(&mut client, lane).await,
            2 => {
                let nodes = client.shared.nodes.ids();
                let to = nodes.choose(&mut client.rng).copied();
                let context = client.context("operations", "operator");
                let request = pb::TransferLeaderRequest { context, node: to };
                client.ask(Request::TransferLeader(request)).await;
            }
            3 if undone.drained.is_empty() => {
                let nodes = client.shared.nodes.ids();
                if let Some(node) = nodes.choose(&mut client.rng).copied().filter(|_| nodes.len() > 1) {
                    undone.drained.insert(node);
                    act(&mut client, |context| {
                        Request::DrainNode(pb::DrainNodeRequest { context, node })
                    })
                    .await;
                }
            }
            _ => restore(&mut client, &mut undone).await,
        }
    }
}

/// Another usual time. A lane that has a container refuses it.
async fn redefine(client: &mut Client, lane: &LaneSpec) {
    let spec = LaneSpec {
        usual_pass_s: client.rng.random_range(80..120),
        ..lane.clone()
    };
    let definition = Some(portcullis_wire::lane::encode_lane_spec(&spec));
    act(client, |context| {
        Request::DefineLane(pb::DefineLaneRequest { context, definition })
    })
    .await;
}

async fn restore(client: &mut Client, undone: &mut Undone) {
    for lane in undone.closed.clone() {
        let told = act(client, |context| {
            Request::OpenLane(pb::OpenLaneRequest { context, lane: lane.0 })
        })
        .await;
        if settled(&told) {
            undone.closed.remove(&lane);
        }
    }
    for node in undone.drained.clone() {
        let told = act(client, |context| {
            Request::UndrainNode(pb::UndrainNodeRequest { context, node })
        })
        .await;
        if settled(&told) {
            undone.drained.remove(&node);
        }
    }
}

/// Done, or refused for good: a node may have left meanwhile.
fn settled(told: &Told) -> bool {
    match told {
        Told::Applied(_) => true,
        Told::Refused(reason) => is_final(reason),
        Told::Unknown => false,
    }
}

fn close(lane: LaneId, context: Option<pb::RequestContext>) -> Request {
    Request::CloseLane(pb::CloseLaneRequest { context, lane: lane.0 })
}

async fn act(client: &mut Client, request: impl FnOnce(Option<pb::RequestContext>) -> Request) -> Told {
    let context = client.context("operations", "operator");
    client.insist(&Arc::new(request(context))).await
}
