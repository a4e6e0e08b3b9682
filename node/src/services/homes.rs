//! Where the lanes' actors run, for all device streams of this node: the ledger is looked at once for each change, not once
//! for each stream.

use std::collections::BTreeMap;

use portcullis_consensus::Consensus;
use portcullis_domain::id::LaneId;
use portcullis_domain::ledger::Ledger;
use portcullis_domain::placement::{ActorKey, Placement};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

/// Placement of each lane's actor.
pub(super) type Homes = BTreeMap<LaneId, Placement>;

/// Follows the replica until it is stopped; changes only when a placement does.
pub(super) fn follow(consensus: Consensus, stop: CancellationToken) -> watch::Receiver<Homes> {
    let mut changes = consensus.changes();
    let (homes, receiver) = watch::channel(consensus.peek(homes_in));
    tokio::spawn(async move {
        loop {
            let now = consensus.peek(homes_in);
            homes.send_if_modified(|known| {
                let moved = *known != now;
                *known = now;
                moved
            });
            tokio::select! {
                changed = changes.changed() => if changed.is_err() { return },
                () = stop.cancelled() => return,
            }
        }
    });
    receiver
}

fn homes_in(ledger: &Ledger) -> Homes {
    let homes = ledger.placements().filter_map(|(key, placement)| match key {
        ActorKey::Lane(lane) => Some((*lane, *placement)),
        _ => None,
    });
    homes.collect()
}
