//! Who is woken by a change.

use std::collections::BTreeSet;

use portcullis_domain::command::ExternalBody;
use portcullis_domain::id::LaneId;

use super::port::*;
use crate::watcher::Lanes;

#[tokio::test(start_paused = true)]
async fn a_lane_is_woken_for_itself_and_for_its_inspections_and_not_for_others() {
    let port = Port::new();
    let other = LaneId(LANE.0 + 1);
    port.external(ExternalBody::DefineLane(full_lane(LANE)));
    port.external(ExternalBody::DefineLane(full_lane(other)));
    let mut lanes = Lanes::default();
    let nothing = BTreeSet::new();
    let nobody: BTreeSet<LaneId> = BTreeSet::new();
    assert_eq!(lanes.concerned(&port.ledger(), &nothing), BTreeSet::from([LANE, other]));
    assert_eq!(lanes.concerned(&port.ledger(), &nothing), nobody);
    port.external(ExternalBody::CloseLane { lane: other });
    assert_eq!(lanes.concerned(&port.ledger(), &nothing), BTreeSet::from([other]));

    let _node = port.one_node().await;
    let _orders = equip(&port, LANE).await;
    let no = port.announce(BOX);
    port.until("the pass begins", |ledger| {
        ledger.lane(LANE).is_some_and(|lane| lane.current == Some(no))
    })
    .await;
    let ledger = port.ledger();
    assert_eq!(lanes.concerned(&ledger, &nothing), BTreeSet::from([LANE]));
    assert_eq!(lanes.concerned(&ledger, &BTreeSet::from([no])), BTreeSet::from([LANE]));
    assert_eq!(lanes.concerned(&ledger, &nothing), nobody);
}
