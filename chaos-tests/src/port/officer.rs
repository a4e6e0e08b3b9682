//! Officers: decide about what is under review or held, alone, together, and now and then where there is nothing to decide.

use std::sync::Arc;

use portcullis_proto::v1 as pb;
use prost::Message as _;
use rand::RngExt as _;
use rand::seq::IndexedRandom as _;

use super::client::Client;
use crate::history::Request;
use crate::write::Told;

/// Decides for ever.
pub(super) async fn run(mut client: Client) {
    let mut colleague = Client::new(&client.shared, format!("{}-colleague", client.name));
    loop {
        client.pause(client.shared.options.pause).await;
        let Some((inspection, stage)) = choose(&mut client).await else {
            continue;
        };
        let ruling = ruling(&mut client, stage);
        let request = adjudication(&mut client, inspection, ruling);
        if client.misbehaves(|share| share.together) {
            // A colleague has the same case open and thinks otherwise, or the same.
            let other = self::ruling(&mut client, stage);
            let theirs = adjudication(&mut colleague, inspection, other);
            tokio::join!(client.insist(&request), colleague.insist(&theirs));
        } else {
            client.insist(&request).await;
        }
        if client.misbehaves(|share| share.repeat) {
            client.ask_shared(&request).await;
        }
    }
}

/// A case to decide. Sometimes one that is not ripe, or is long over.
async fn choose(client: &mut Client) -> Option<(u64, pb::Stage)> {
    if client.misbehaves(|share| share.wrong_moment) {
        let announced: Vec<u64> = client.shared.world().announced.keys().copied().collect();
        return Some((*announced.choose(&mut client.rng)?, pb::Stage::Unspecified));
    }
    let request = Request::ListInspections(pb::ListInspectionsRequest {
        stages: vec![pb::Stage::UnderReview.into(), pb::Stage::Held.into()],
        page_size: 20,
        consistency: pb::Consistency::Local.into(),
        view: pb::InspectionView::Basic.into(),
        ..pb::ListInspectionsRequest::default()
    });
    let Told::Applied(bytes) = client.ask(request).await else {
        return None;
    };
    let page = pb::ListInspectionsResponse::decode(&*bytes).ok()?;
    let case = page.inspections.choose(&mut client.rng)?;
    Some((case.number, case.stage()))
}

fn ruling(client: &mut Client, stage: pb::Stage) -> pb::Ruling {
    let draw = client.rng.random_range(0..10);
    match (stage, draw) {
        (pb::Stage::UnderReview, 0..7) => pb::Ruling::Release,
        (pb::Stage::UnderReview, _) => pb::Ruling::Hold,
        (pb::Stage::Held, 0..6) => pb::Ruling::Release,
        (pb::Stage::Held, _) => pb::Ruling::Seize,
        (_, 0..4) => pb::Ruling::Release,
        (_, 4..7) => pb::Ruling::Hold,
        _ => pb::Ruling::Seize,
    }
}

fn adjudication(client: &mut Client, inspection: u64, ruling: pb::Ruling) -> Arc<Request> {
    let principal = client.name.to_string();
    Arc::new(Request::Adjudicate(pb::AdjudicateRequest {
        context: client.context("customs", &principal),
        inspection,
        ruling: ruling.into(),
        reason: "looked at the images".to_owned(),
    }))
}
