//! The risk analyst: puts another policy into effect while containers are judged, and now and then one that contradicts itself.

use std::sync::Arc;

use portcullis_proto::v1 as pb;
use prost::Message as _;
use rand::RngExt as _;
use rand::seq::IndexedMutRandom as _;

use super::client::Client;
use crate::history::Request;
use crate::write::Told;

/// Thresholds move by no more, milli-decibans.
const SHIFT: i32 = 3_000;

/// Changes the policy for ever. Once the port is calm, the one that is active stays.
pub(super) async fn run(mut client: Client) {
    let mut number = 0;
    loop {
        client.pause(client.shared.options.operator_pause * 2).await;
        if client.shared.is_calm() || !client.shared.operators_act() {
            continue;
        }
        let Some(active) = active(&mut client).await else {
            continue;
        };
        number += 1;
        let policy = changed(&mut client, active, number);
        let context = client.context("risk", "analyst");
        let request = Arc::new(Request::ActivatePolicy(pb::ActivatePolicyRequest {
            context,
            policy: Some(policy),
            reason: "what officers found last week".to_owned(),
        }));
        client.insist(&request).await;
        if client.misbehaves(|share| share.repeat) {
            client.ask_shared(&request).await;
        }
    }
}

/// The policy that is active, as some node sees it, which may be one that is not any more.
async fn active(client: &mut Client) -> Option<pb::Policy> {
    let consistency = [pb::Consistency::Local, pb::Consistency::Lease, pb::Consistency::Quorum];
    let request = Request::GetPolicy(pb::GetPolicyRequest {
        consistency: consistency[client.rng.random_range(0..3)].into(),
        ..pb::GetPolicyRequest::default()
    });
    let Told::Applied(bytes) = client.ask(request).await else {
        return None;
    };
    pb::GetPolicyResponse::decode(&*bytes).ok()?.policy
}

/// The policy with one thing changed.
fn changed(client: &mut Client, mut policy: pb::Policy, number: u32) -> pb::Policy {
    policy.name = format!("drill {number}");
    let contradicts = client.misbehaves(|share| share.wrong_moment);
    match client.rng.random_range(0..3) {
        0 if contradicts => policy.passes_max = 0,
        0 => policy.passes_max = client.rng.random_range(1..=4),
        1 => {
            if let Some(stopping) = &mut policy.stopping {
                stopping.least_samples = client.rng.random_range(1..=20);
            }
        }
        _ => {
            let shift = client.rng.random_range(-SHIFT..=SHIFT);
            if let Some(family) = policy.families.choose_mut(&mut client.rng) {
                let review = family.review_milli_decibans + shift;
                family.review_milli_decibans = match contradicts {
                    true => family.exam_milli_decibans + 1,
                    false => review.min(family.exam_milli_decibans),
                };
            }
        }
    }
    policy
}
