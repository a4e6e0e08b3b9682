//! Follows the local replica and wakes whom a change concerns.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use portcullis_domain::id::{CommandNo, EntryNo, InspectionNo, LaneId};
use portcullis_domain::ledger::Ledger;
use portcullis_domain::placement::{ActorKey, NodeRecord, Placement, shard_of};
use tokio::time::MissedTickBehavior;

use crate::directory::Directory;
use crate::ports::Ports;
use crate::reconciler::Reconciling;

/// Deadlines are looked at this often.
const TICK: Duration = Duration::from_millis(100);
/// Everything else is looked at every so many ticks even if nothing seems to have changed.
const SLOW_TICKS: u32 = 10;

/// How the lanes stood in the ledger when it was last looked at.
#[derive(Default)]
pub(crate) struct Lanes(BTreeMap<LaneId, Occupancy>);

/// What of a lane changes.
#[derive(PartialEq, Eq)]
pub(crate) struct Occupancy {
    entry: EntryNo,
    open: bool,
    inspections: [Option<InspectionNo>; 2],
}

impl Lanes {
    /// The lanes that changed since the last look, or of whose inspections one did.
    pub(crate) fn concerned(&mut self, ledger: &Ledger, changed: &BTreeSet<InspectionNo>) -> BTreeSet<LaneId> {
        let mut concerned = BTreeSet::new();
        for (id, lane) in ledger.lanes() {
            let now = Occupancy {
                entry: lane.entry,
                open: lane.open,
                inspections: [lane.next, lane.current],
            };
            if self.0.get(&id) != Some(&now) || now.inspections.iter().flatten().any(|no| changed.contains(no)) {
                self.0.insert(id, now);
                concerned.insert(id);
            }
        }
        concerned
    }
}

/// What decides which actors have to run here, when the ledger was last looked at.
#[derive(Default)]
struct Homes {
    founded: bool,
    nodes: Vec<NodeRecord>,
    placements: Vec<Placement>,
}

impl Homes {
    /// Has it changed since the last look?
    fn changed(&mut self, ledger: &Ledger) -> bool {
        let same = self.founded == ledger.cluster().is_some()
            && self.nodes.iter().eq(ledger.nodes().map(|(_, node)| node))
            && self
                .placements
                .iter()
                .eq(ledger.placements().map(|(_, placement)| placement));
        if !same {
            self.founded = ledger.cluster().is_some();
            self.nodes = ledger.nodes().map(|(_, node)| node.clone()).collect();
            self.placements = ledger.placements().map(|(_, placement)| *placement).collect();
        }
        !same
    }
}

/// Whom the changes since a command concern.
#[derive(Default)]
struct Concerned {
    by_shard: BTreeMap<u8, Vec<InspectionNo>>,
    by_terminal: BTreeMap<ActorKey, Vec<InspectionNo>>,
    lanes: BTreeSet<LaneId>,
    /// Who runs where has changed.
    homes: bool,
}

/// How everything stood when the ledger was last looked at.
#[derive(Default)]
struct Seen {
    cursor: CommandNo,
    lanes: Lanes,
    homes: Homes,
}

impl Seen {
    fn concerned(&mut self, ledger: &Ledger) -> Concerned {
        let mut concerned = Concerned::default();
        let mut changed: BTreeSet<InspectionNo> = BTreeSet::new();
        for case in ledger.changed_since(self.cursor) {
            changed.insert(case.no);
            concerned.by_shard.entry(shard_of(case.no)).or_default().push(case.no);
            concerned
                .by_terminal
                .entry(ActorKey::Scheduler(case.terminal.clone()))
                .or_default()
                .push(case.no);
        }
        concerned.lanes = self.lanes.concerned(ledger, &changed);
        concerned.homes = self.homes.changed(ledger);
        self.cursor = ledger.number();
        concerned
    }
}

/// Runs until it is aborted.
pub(crate) async fn watch(ports: Ports, directory: Directory, reconciling: Reconciling) {
    let mut changes = ports.ledger.changes();
    let mut quorum = ports.quorum.changes();
    let mut tick = tokio::time::interval(TICK);
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut seen = Seen {
        cursor: ports.ledger.ledger().number(),
        ..Seen::default()
    };
    let mut ticks = 0_u32;
    let (mut follows, mut asks) = (true, true);
    loop {
        tokio::select! {
            changed = changes.changed(), if follows => {
                follows = changed.is_ok();
                let mut concerned = Concerned::default();
                ports.ledger.peek(&mut |ledger| concerned = seen.concerned(ledger));
                pass_on(&concerned, &directory);
                if concerned.homes {
                    reconciling.wake();
                }
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

/// Wakes whom a change concerns and nobody else: with many lanes most of the time would go into looking in vain. Shards and
/// schedulers learn which of their inspections changed; lanes look for themselves, and at each tick whatever else there may be.
fn pass_on(concerned: &Concerned, directory: &Directory) {
    for (key, entry) in directory.all() {
        match &key {
            ActorKey::Lane(id) => {
                if concerned.lanes.contains(id) {
                    entry.wake(&[]);
                }
            }
            ActorKey::Fusion(shard) => {
                if let Some(changed) = concerned.by_shard.get(shard) {
                    entry.wake(changed);
                }
            }
            ActorKey::Scheduler(_) => {
                let changed = concerned.by_terminal.get(&key).map_or(&[][..], Vec::as_slice);
                // Also when only lanes changed: one of them may have a free slot now, or a home.
                if !changed.is_empty() || !concerned.lanes.is_empty() || concerned.homes {
                    entry.wake(changed);
                }
            }
            ActorKey::Placement => {}
        }
    }
}
