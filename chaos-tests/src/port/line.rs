//! A shipping line: announces many containers in one batch, some of which others have announced, some twice in the batch.

use std::sync::Arc;

use portcullis_domain::id::Timestamp;
use rand::RngExt as _;
use rand::seq::IndexedRandom as _;

use super::client::{Client, is_final};
use super::terminal::announcement;
use crate::history::Request;
use crate::write::Told;

/// A batch is sent so often until all of it is known.
const TRIES: u32 = 20;
/// What a line brings beside what the terminals announce.
const SHARE: f64 = 0.15;
/// Containers of a batch on average.
const BATCH: f64 = 4.0;

/// Sends batches until the port is calm.
pub(super) async fn run(mut client: Client) {
    let shared = client.shared.clone();
    for batch in 0_u64.. {
        let every_ms = BATCH / SHARE / shared.options.per_minute * 60_000.0;
        let wait = shared.time().await.real_wait(every_ms as u64);
        client.pause(wait).await;
        let _asking = shared.asking();
        if shared.is_calm() {
            return;
        }
        let now = shared.time().await.now();
        let count = client.rng.random_range(2..7);
        let mut requests = Vec::new();
        for one in 0..count {
            let Some(visit) = shared.plan.visits().choose(&mut client.rng) else {
                return;
            };
            // They are there already.
            let begin = Timestamp(now.0.saturating_sub(visit.ready_after_ms));
            requests.push(Arc::new(announcement(visit, begin, "line", &format!("{batch}.{one}"))));
        }
        if client.misbehaves(|share| share.repeat) {
            requests.push(requests[0].clone());
        }
        insist(&mut client, &requests).await;
    }
}

/// Sends a batch at one node after the other, always all of it, until each answer is known and final.
async fn insist(client: &mut Client, requests: &[Arc<Request>]) {
    for _ in 0..TRIES {
        let mut answers = Vec::new();
        if let Some((node, _)) = client.shared.nodes.any(&mut client.rng) {
            answers = client.shared.submit(&client.name, node, requests).await;
        }
        let is_known = |told: &Told| match told {
            Told::Applied(_) => true,
            Told::Refused(reason) => is_final(reason),
            Told::Unknown => false,
        };
        if !answers.is_empty() && answers.iter().all(is_known) {
            return;
        }
        client.pause(client.shared.options.pause).await;
    }
}
