//! Following the decision log of a demo through whichever node answers, without gaps.

use std::time::Duration;

use portcullis_proto::v1 as pb;
use portcullis_proto::v1::inspection_service_client::InspectionServiceClient;
use tokio::sync::mpsc;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use super::course::Happened;
use super::rpc::Nodes;

/// A node sends a bookmark every second; one that is silent for longer is not asked any more.
const SILENCE: Duration = Duration::from_millis(2500);
/// Events that may wait to be taken in.
const WAITING: usize = 4096;

/// All events from the beginning of the log, in order, each once.
pub(crate) fn follow(nodes: Nodes, stop: CancellationToken) -> mpsc::Receiver<Happened> {
    let (events, received) = mpsc::channel(WAITING);
    tokio::spawn(async move {
        let mut token = String::new();
        let mut turn = 0;
        while !stop.is_cancelled() && !events.is_closed() {
            tokio::select! {
                () = stop.cancelled() => return,
                () = one_stream(&nodes, turn, &mut token, &events) => {}
            }
            turn += 1;
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    });
    received
}

async fn one_stream(nodes: &Nodes, turn: usize, token: &mut String, events: &mpsc::Sender<Happened>) {
    let mut client = InspectionServiceClient::new(nodes.nth(turn));
    let request = if token.is_empty() {
        pb::WatchRequest {
            from_entry: Some(0),
            ..pb::WatchRequest::default()
        }
    } else {
        pb::WatchRequest {
            resume_token: token.clone(),
            ..pb::WatchRequest::default()
        }
    };
    let Ok(Ok(response)) = timeout(SILENCE, client.watch(request)).await else {
        return;
    };
    let mut stream = response.into_inner();
    while let Ok(Ok(Some(next))) = timeout(SILENCE, stream.message()).await {
        if let Some(pb::watch_response::Item::Event(event)) = next.item {
            let claimed = event.kind == "assigned" && event.detail_json.contains("\"claimed\":true");
            let happened = Happened {
                claimed,
                entry: event.entry,
                at_ms: event.at_ms,
                kind: event.kind,
                inspections: event.inspections,
                equipment: event.equipment_id,
                lane: event.lane,
            };
            if events.send(happened).await.is_err() {
                return;
            }
        }
        *token = next.resume_token;
    }
}
