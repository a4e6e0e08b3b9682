//! P5: an actor that lost its placement changes nothing. Every entry of an actor stands under the placement that the log knows
//! for it at that point, and a device obeys no barrier order that is older than one it has seen.

use std::collections::{BTreeMap, BTreeSet};

use portcullis_domain::event::{Actor, Event};
use portcullis_domain::id::{Epoch, NodeId};
use portcullis_domain::placement::ActorKey;

use super::{Evidence, Found, Record};

/// Where an actor is.
struct Home {
    epoch: Epoch,
    node: NodeId,
    live: bool,
}

pub(super) fn check(evidence: &Evidence, record: &Record) -> Found {
    let mut found = Found::of("P5");
    let mut homes: BTreeMap<ActorKey, Home> = BTreeMap::new();
    let mut epochs: BTreeSet<(ActorKey, Epoch)> = BTreeSet::new();
    for (entry, leaf) in &record.leaves {
        if let Actor::Placed { key, epoch } = &leaf.actor {
            match homes.get(key) {
                Some(home) if home.live && home.epoch == *epoch => {}
                Some(home) => found.add(format!(
                    "entry {entry} ({}) is of {key} under {epoch}, whose placement is {} and {}",
                    leaf.event.kind(),
                    home.epoch,
                    if home.live { "live" } else { "over" }
                )),
                None => found.add(format!(
                    "entry {entry} ({}) is of {key}, which has no home",
                    leaf.event.kind()
                )),
            }
        }
        match &leaf.event {
            Event::Placed { key, epoch, node, .. } => {
                let before = homes.get(key).map(|home| home.epoch);
                if epoch.0 != leaf.number.0 || before.is_some_and(|before| before >= *epoch) {
                    found.add(format!("entry {entry} places {key} under {epoch}, after {before:?}"));
                }
                epochs.insert((key.clone(), *epoch));
                let home = Home {
                    epoch: *epoch,
                    node: *node,
                    live: true,
                };
                homes.insert(key.clone(), home);
            }
            Event::NodeUp { node, .. } | Event::NodeDown { node, .. } => {
                for home in homes.values_mut().filter(|home| home.node == *node) {
                    home.live = false;
                }
            }
            _ => {}
        }
    }
    orders(evidence, record, &epochs, &mut found);
    found
}

fn orders(evidence: &Evidence, record: &Record, epochs: &BTreeSet<(ActorKey, Epoch)>, found: &mut Found) {
    let mut newest: BTreeMap<_, (Epoch, u64)> = BTreeMap::new();
    for order in &evidence.history.orders {
        let what = format!(
            "{} was told at {:?} to {} for {} ({}) under {} by entry {}",
            order.device,
            order.given.at,
            if order.open { "open" } else { "keep shut" },
            order.equipment,
            order.inspection,
            order.epoch,
            order.entry
        );
        if !epochs.contains(&(ActorKey::Lane(order.lane), order.epoch)) {
            found.add(format!("{what}, a placement that {} never had", order.lane));
        }
        match record.conclusion(order.entry.0) {
            Some((inspection, _)) if inspection == order.inspection => {}
            _ => found.add(format!("{what}, which is no conclusion on it")),
        }
        let this = (order.epoch, order.entry.0);
        let newest = newest.entry(&order.device).or_insert(this);
        if order.obeyed && this < *newest {
            found.add(format!("{what}, and obeyed it after {newest:?}"));
        }
        *newest = (*newest).max(this);
    }
}

#[cfg(test)]
mod tests {
    use super::super::sample;
    use super::*;

    fn judge(evidence: &Evidence) -> Vec<String> {
        sample::words(check(evidence, &Record::of(evidence)))
    }

    #[test]
    fn a_clean_run_passes() {
        assert_eq!(judge(&sample::run()), [""; 0]);
    }

    #[test]
    fn an_entry_under_a_placement_that_is_over_is_found() {
        let mut run = sample::run();
        let down = Event::NodeDown {
            node: NodeId(1),
            boot: portcullis_domain::id::BootId(1),
            aborted: Vec::new(),
        };
        // The node goes down before everything that its actors did.
        sample::insert(&mut run, sample::first_announcement(), down);
        assert!(judge(&run)[0].contains("and over"), "{:?}", judge(&run));
        let mut run = sample::run();
        for log in run.logs.values_mut() {
            log.retain(|bytes| !sample::is_placement(bytes));
        }
        assert!(judge(&run)[0].contains("which has no home"));
    }

    #[test]
    fn a_placement_under_an_old_epoch_is_found() {
        let run = sample::and_then(vec![Event::Placed {
            key: ActorKey::Lane(portcullis_domain::id::LaneId(1)),
            epoch: Epoch(1),
            node: NodeId(1),
            boot: portcullis_domain::id::BootId(1),
            aborted: Vec::new(),
        }]);
        assert!(judge(&run)[0].contains("places lane/1 under"));
    }

    #[test]
    fn a_barrier_order_that_is_foreign_groundless_or_old_is_found() {
        let mut run = sample::run();
        run.history.orders[0].epoch = Epoch(1);
        assert!(judge(&run)[0].contains("never had"));
        let mut run = sample::run();
        run.history.orders[0].entry.0 = 2;
        assert!(judge(&run)[0].contains("no conclusion on it"));
        let mut run = sample::run();
        let mut old = run.history.orders[0].clone();
        let mut newer = old.clone();
        newer.epoch = Epoch(old.epoch.0 + 1);
        newer.obeyed = false;
        run.history.orders.push(newer);
        assert_eq!(judge(&run).len(), 1, "only the epoch that never was");
        run.history.orders.push(old.clone());
        assert!(judge(&run).iter().any(|what| what.contains("and obeyed it after")));
        old.obeyed = false;
        *run.history.orders.last_mut().unwrap() = old;
        assert_eq!(judge(&run).len(), 1, "it was refused, as promised");
    }
}
