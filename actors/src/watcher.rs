//! Follows the local replica and wakes whom a change concerns.

use std::collections::BTreeMap;
use std::time::Duration;

use portcullis_domain::id::{CommandNo, InspectionNo};
use portcullis_domain::ledger::Ledger;
use portcullis_domain::placement::{ActorKey, shard_of};
use tokio::time::MissedTickBehavior;

use crate::directory::Directory;
use crate::ports::Ports;
use crate::reconciler::Reconciling;

/// Deadlines are looked at this often.
const TICK: Duration = Duration::from_millis(100);
/// Everything else is looked at every so many ticks even if nothing seems to have changed.
const SLOW_TICKS: u32 = 10;

/// Runs until it is aborted.
pub(crate) async fn watch(ports: Ports, directory: Directory, reconciling: Reconciling) {
    let mut changes = ports.ledger.changes();
    let mut quorum = ports.quorum.changes();
    let mut tick = tokio::time::interval(TICK);
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut cursor = ports.ledger.ledger().number();
    let mut ticks = 0_u32;
    let (mut follows, mut asks) = (true, true);
    loop {
        tokio::select! {
            changed = changes.changed(), if follows => {
                follows = changed.is_ok();
                let ledger = ports.ledger.ledger();
                let from = std::mem::replace(&mut cursor, ledger.number());
                pass_on(&ledger, from, &directory);
                reconciling.wake();
            }
            changed = quorum.changed(), if asks => {
                asks = changed.is_ok();
                wake_lanes(&directory);
            }
            _ = tick.tick() => {
                ticks = ticks.wrapping_add(1);
                if ticks.is_multiple_of(SLOW_TICKS) {
                    for (_, entry) in directory.all() {
                        entry.wake(&[]);
                    }
                    reconciling.wake();
                } else {
                    for (key, entry) in directory.all() {
                        if matches!(key, ActorKey::Lane(_) | ActorKey::Placement) {
                            entry.wake(&[]);
                        }
                    }
                }
            }
        }
    }
}

fn wake_lanes(directory: &Directory) {
    for (key, entry) in directory.all() {
        if matches!(key, ActorKey::Lane(_)) {
            entry.wake(&[]);
        }
    }
}

/// Shards and schedulers learn which of their inspections changed; lanes look for themselves.
fn pass_on(ledger: &Ledger, from: CommandNo, directory: &Directory) {
    let mut by_shard: BTreeMap<u8, Vec<InspectionNo>> = BTreeMap::new();
    let mut by_terminal: BTreeMap<ActorKey, Vec<InspectionNo>> = BTreeMap::new();
    for case in ledger.changed_since(from) {
        by_shard.entry(shard_of(case.no)).or_default().push(case.no);
        by_terminal
            .entry(ActorKey::Scheduler(case.terminal.clone()))
            .or_default()
            .push(case.no);
    }
    for (key, entry) in directory.all() {
        match &key {
            ActorKey::Lane(_) => entry.wake(&[]),
            ActorKey::Fusion(shard) => {
                if let Some(changed) = by_shard.get(shard) {
                    entry.wake(changed);
                }
            }
            // Also when only lanes changed: one of them may have a free slot now.
            ActorKey::Scheduler(_) => entry.wake(by_terminal.get(&key).map_or(&[], Vec::as_slice)),
            ActorKey::Placement => {}
        }
    }
}
