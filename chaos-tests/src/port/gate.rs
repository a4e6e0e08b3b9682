//! The gate: reports the departure of containers that are free to go, and now and then of one that is not.

use std::sync::Arc;

use portcullis_proto::v1 as pb;
use prost::Message as _;
use rand::seq::IndexedRandom as _;

use super::client::Client;
use crate::history::Request;
use crate::write::Told;

/// Reports departures for ever.
pub(super) async fn run(mut client: Client) {
    loop {
        client.pause(client.shared.options.pause).await;
        let free = leaving(&mut client).await;
        let wrong = client.misbehaves(|share| share.wrong_moment);
        let announced = wrong.then(|| {
            let world = client.shared.world();
            world.announced.values().map(ToString::to_string).collect::<Vec<_>>()
        });
        let from = announced.as_ref().unwrap_or(&free);
        let Some(equipment) = from.choose(&mut client.rng).cloned() else {
            continue;
        };
        let request = Arc::new(Request::ReportDeparture(pb::ReportDepartureRequest {
            context: client.context("gate", "gate-clerk"),
            equipment_id: equipment,
        }));
        client.insist(&request).await;
        if client.misbehaves(|share| share.repeat) {
            client.ask_shared(&request).await;
        }
    }
}

/// Containers that may leave, as some node sees it.
async fn leaving(client: &mut Client) -> Vec<String> {
    let request = Request::ListInspections(pb::ListInspectionsRequest {
        stages: vec![pb::Stage::Released.into(), pb::Stage::Seized.into()],
        page_size: 20,
        consistency: pb::Consistency::Local.into(),
        view: pb::InspectionView::Basic.into(),
        ..pb::ListInspectionsRequest::default()
    });
    let Told::Applied(bytes) = client.ask(request).await else {
        return Vec::new();
    };
    let page = pb::ListInspectionsResponse::decode(&*bytes).unwrap_or_default();
    page.inspections.into_iter().map(|one| one.equipment_id).collect()
}
