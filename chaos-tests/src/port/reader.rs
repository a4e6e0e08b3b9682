//! Readers: ask for containers, lanes, the policy, the log and the cluster at any node, with every consistency.

use portcullis_proto::v1 as pb;
use rand::RngExt as _;
use rand::seq::IndexedRandom as _;

use super::client::Client;
use crate::history::Request;

/// Of the containers that are known, the newest so many are read: those that change.
const NEWEST: usize = 40;

/// Reads for ever.
pub(super) async fn run(mut client: Client) {
    loop {
        let wait = client.shared.options.pause;
        client.pause(wait).await;
        let consistency = [pb::Consistency::Local, pb::Consistency::Lease, pb::Consistency::Quorum]
            [client.rng.random_range(0..3)]
        .into();
        let request = match client.rng.random_range(0..20) {
            0 => Request::GetStatus(pb::GetStatusRequest {}),
            1 => Request::GetNodeStatus(pb::GetNodeStatusRequest {}),
            2 => Request::ListLanes(pb::ListLanesRequest {
                terminal: String::new(),
                consistency,
            }),
            3 => Request::ListInspections(pb::ListInspectionsRequest {
                page_size: 10,
                consistency,
                ..pb::ListInspectionsRequest::default()
            }),
            4 => Request::GetPolicy(pb::GetPolicyRequest {
                consistency,
                ..pb::GetPolicyRequest::default()
            }),
            5..7 => Request::GetHead(pb::GetHeadRequest { consistency }),
            _ => match container(&mut client, consistency) {
                Some(request) => request,
                None => continue,
            },
        };
        client.ask(request).await;
    }
}

/// A container by its id or by the number of its inspection; sometimes one that was never announced.
fn container(client: &mut Client, consistency: i32) -> Option<Request> {
    use pb::get_inspection_request::Target;
    let target = if client.rng.random_range(0..12) == 0 {
        let visit = client.shared.plan.visits().choose(&mut client.rng)?;
        Target::EquipmentId(visit.equipment.to_string())
    } else {
        let newest: Vec<(u64, String)> = {
            let world = client.shared.world();
            let newest = world.announced.iter().rev().take(NEWEST);
            newest.map(|(no, equipment)| (*no, equipment.to_string())).collect()
        };
        let (no, equipment) = newest.choose(&mut client.rng)?.clone();
        match client.rng.random_range(0..3) {
            0 => Target::Inspection(no),
            _ => Target::EquipmentId(equipment),
        }
    };
    let view = match client.rng.random_range(0..15) {
        0 => pb::InspectionView::Full,
        _ => pb::InspectionView::Basic,
    };
    Some(Request::GetInspection(pb::GetInspectionRequest {
        target: Some(target),
        consistency,
        view: view.into(),
    }))
}
