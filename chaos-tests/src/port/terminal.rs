//! A terminal system: announces what comes, and asks again in every way that real ones do.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use portcullis_domain::id::Timestamp;
use portcullis_proto::v1 as pb;
use portcullis_simulator::Visit;
use rand::RngExt as _;
use rand::seq::IndexedRandom as _;
use tokio::task::JoinSet;

use super::client::Client;
use super::shared::Asking;
use crate::history::Request;

/// Announcements that one system has under way at the same time.
const AT_ONCE: usize = 12;
/// Past requests that may be repeated long after.
const REMEMBERED: usize = 64;
/// After so many announcements one of long ago is repeated.
const LATE_EVERY: u64 = 12;

/// Announces the visits of one of several systems, for ever: when all have come, the first ones come again.
pub(super) async fn run(mut client: Client, number: u32, of: u32) {
    let shared = client.shared.clone();
    if !shared.plan.visits().iter().any(|visit| visit.index % of == number) {
        return;
    }
    let mut under_way = JoinSet::new();
    let mut past: VecDeque<Arc<Request>> = VecDeque::new();
    let mut sent = 0;
    for round in 0_u64.. {
        let begin = shared.time().await.now();
        for visit in shared.plan.visits() {
            if visit.index % of != number {
                continue;
            }
            // Set anew from time to time, so it is read each time.
            let time = shared.time().await;
            let due = begin.plus_millis(visit.ready_after_ms);
            tokio::time::sleep(time.real_wait(due.millis_since(time.now()))).await;
            while under_way.len() >= AT_ONCE {
                under_way.join_next().await;
            }
            while under_way.try_join_next().is_some() {}
            let asking = shared.asking();
            if shared.is_calm() {
                drop(asking);
                // What is under way is brought to an end; nothing new comes.
                while under_way.join_next().await.is_some() {}
                return;
            }
            let source = format!("tos-{number}");
            let request = Arc::new(announcement(visit, begin, &source, &format!("{round}.{}", visit.index)));
            past.push_back(request.clone());
            if past.len() > REMEMBERED {
                past.pop_front();
            }
            let one = Client::new(&shared, format!("{source}/{round}.{}", visit.index));
            under_way.spawn(announce(one, visit.clone(), begin, request, asking));
            sent += 1;
            if sent % LATE_EVERY == 0
                && client.misbehaves(|share| share.repeat * 4)
                && let Some(old) = past.make_contiguous().choose(&mut client.rng).cloned()
            {
                let mut again = Client::new(&shared, format!("{source}/late.{sent}"));
                let asking = shared.asking();
                under_way.spawn(async move {
                    let _asking = asking;
                    again.ask_shared(&old).await;
                });
            }
        }
    }
}

/// One announcement, and what a hasty, confused or doubled system makes of it.
async fn announce(mut client: Client, visit: Visit, begin: Timestamp, request: Arc<Request>, _asking: Asking) {
    let shared = client.shared.clone();
    let hasty = client.misbehaves(|share| share.repeat);
    if hasty {
        // The same request twice at the same time.
        let mut twin = Client::new(&shared, format!("{}/twin", client.name));
        tokio::join!(client.insist(&request), twin.ask_shared(&request));
    } else {
        client.insist(&request).await;
    }
    if client.misbehaves(|share| share.repeat) {
        let wait = client.rng.random_range(50..5000);
        tokio::time::sleep(Duration::from_millis(wait)).await;
        client.ask_shared(&request).await;
    }
    if client.misbehaves(|share| share.reuse)
        && let Request::Announce(asked) = &*request
    {
        let mut other = asked.clone();
        if let Some(announcement) = &mut other.announcement {
            announcement.priority = (announcement.priority + 1) % 200;
        }
        client.ask(Request::Announce(other)).await;
    }
    if client.misbehaves(|share| share.both) {
        let tag = format!("{}.{}", client.name, visit.index);
        client.ask(announcement(&visit, begin, "tos-shipping-line", &tag)).await;
    }
}

/// What a system says about a visit.
pub(super) fn announcement(visit: &Visit, begin: Timestamp, source: &str, tag: &str) -> Request {
    Request::Announce(pb::AnnounceRequest {
        context: Some(pb::RequestContext {
            source: source.to_owned(),
            request_id: format!("visit-{tag}"),
            principal: "gate-clerk".to_owned(),
        }),
        announcement: Some(portcullis_wire::announcement::encode_announcement(
            &visit.announcement_from(begin),
        )),
    })
}
