//! Watchers: follow all events without gaps, over nodes that fail, by their resume token.

use std::time::Duration;

use portcullis_proto::v1 as pb;
use portcullis_proto::v1::inspection_service_client::InspectionServiceClient;
use rand::RngExt as _;
use tokio::time::timeout;
use tonic::Code;

use super::client::Client;
use crate::history::Hole;

/// A node sends a bookmark every second; one that is silent for longer is not asked any more.
const SILENCE: Duration = Duration::from_millis(2500);

/// Where a watcher stands.
#[derive(Default)]
struct Standing {
    token: String,
    /// The entry that comes next.
    next: u64,
}

/// Watches for ever, and changes the node every now and then.
pub(super) async fn run(mut client: Client) {
    let mut standing = Standing::default();
    loop {
        let stay = Duration::from_millis(client.rng.random_range(1_000..30_000));
        let _ = timeout(stay, one_stream(&mut client, &mut standing)).await;
        client.pause(client.shared.options.pause).await;
    }
}

async fn one_stream(client: &mut Client, standing: &mut Standing) {
    let Some((node, channel)) = client.shared.nodes.any(&mut client.rng) else {
        return;
    };
    let request = pb::WatchRequest {
        resume_token: standing.token.clone(),
        from_entry: standing.token.is_empty().then_some(standing.next),
        ..pb::WatchRequest::default()
    };
    let mut watching = InspectionServiceClient::new(channel);
    let response = match timeout(SILENCE, watching.watch(request)).await {
        Ok(Ok(response)) => response,
        Ok(Err(status)) => {
            client.shared.counts().happened("watch_refused");
            // The node says in so many words that the token is of no use: the entry is.
            if status.code() == Code::OutOfRange {
                standing.token.clear();
            }
            return;
        }
        Err(_) => return,
    };
    client.shared.counts().happened("watch");
    let mut stream = response.into_inner();
    while let Ok(Ok(Some(next))) = timeout(SILENCE, stream.message()).await {
        match next.item {
            Some(pb::watch_response::Item::Event(event)) => take(client, standing, node, &event),
            Some(pb::watch_response::Item::Bookmark(_)) => client.shared.counts().happened("bookmark"),
            None => {}
        }
        standing.token = next.resume_token;
    }
}

fn take(client: &Client, standing: &mut Standing, node: u64, event: &pb::Event) {
    client.shared.counts().happened("event");
    if event.entry > standing.next {
        client.shared.recorder.hole(Hole {
            client: client.name.clone(),
            node,
            expected: standing.next,
            came: event.entry,
        });
    }
    standing.next = standing.next.max(event.entry + 1);
    if event.kind == "concluded" {
        client.shared.world().concluded.extend(&event.inspections);
    }
}
