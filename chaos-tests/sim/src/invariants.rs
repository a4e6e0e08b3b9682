//! What must hold at every moment, also in the middle of a fault: looked at from outside, over all nodes at once.

use std::collections::BTreeMap;
use std::time::Duration;

use portcullis_chaos::promises::{Head, Violation};
use portcullis_consensus::Status;
use portcullis_domain::id::Digest;

use crate::world::World;

/// A node that is away for so long while a leader with a majority goes on is declared down: what `plan` sets, and some more.
const DECLARED_WITHIN: Duration = Duration::from_secs(4);

/// What has been seen so far.
#[derive(Debug, Default)]
pub(crate) struct Invariants {
    /// Root of the decision log by its size, and who had it first.
    roots: BTreeMap<u64, (Digest, u64)>,
    /// What each process of a node showed last.
    last: BTreeMap<u64, Seen>,
    heads: Vec<Head>,
    /// When a node was first seen to have so many entries.
    applied: BTreeMap<u64, Duration>,
    /// Since when each node that is away is.
    away: BTreeMap<u64, Duration>,
    /// The leader and its term, and since when nothing but the end of processes disturbs it.
    steady: Option<(u64, u64, Duration)>,
    found: Vec<Violation>,
    looks: u64,
}

/// What all looks showed.
#[derive(Debug)]
pub(crate) struct Looked {
    /// What did not hold.
    pub(crate) found: Vec<Violation>,
    /// Every head that a node had.
    pub(crate) heads: Vec<Head>,
    /// When a node was first seen to have so many entries.
    pub(crate) applied: BTreeMap<u64, Duration>,
}

#[derive(Debug)]
struct Seen {
    life: u64,
    term: u64,
    committed: Option<u64>,
    applied: Option<u64>,
    log_size: u64,
}

impl Invariants {
    /// Looks at all nodes. `undisturbed` says that no fault is under way but the end of processes.
    pub(crate) fn look(&mut self, world: &World, undisturbed: bool) {
        self.looks += 1;
        let statuses = world.statuses();
        for (id, status) in &statuses {
            let life = world.slots[id].machine.lives();
            self.order(*id, status, world.now());
            self.monotonic(*id, life, status, world.now());
            self.same(*id, status, world.now());
        }
        self.quorum(world, &statuses);
        self.declared(world, &statuses, undisturbed);
    }

    /// How often it was looked.
    pub(crate) fn looks(&self) -> u64 {
        self.looks
    }

    /// What all looks showed.
    pub(crate) fn looked(self) -> Looked {
        Looked {
            found: self.found,
            heads: self.heads,
            applied: self.applied,
        }
    }

    /// Nothing is found so far.
    pub(crate) fn hold(&self) -> bool {
        self.found.is_empty()
    }

    fn add(&mut self, promise: &'static str, now: Duration, what: String) {
        self.found.push(Violation {
            promise,
            what: format!("at {:.3} s: {what}", now.as_secs_f64()),
        });
    }

    /// What a node has purged it had in a snapshot, what it has applied was committed. Source: Ongaro, "Consensus: Bridging Theory and Practice",
    /// 2014, figure 3.2.
    fn order(&mut self, id: u64, status: &Status, now: Duration) {
        let Status {
            purged,
            snapshot,
            applied,
            last_index,
            ..
        } = status;
        if purged > snapshot {
            self.add(
                "raft",
                now,
                format!("node {id} purged {purged:?}, its snapshot reaches {snapshot:?}"),
            );
        }
        // A snapshot that is being installed may be ahead of what is applied, and of the log.
        if applied > last_index && applied > snapshot {
            self.add(
                "raft",
                now,
                format!("node {id} applied {applied:?}, its log ends at {last_index:?}"),
            );
        }
    }

    /// Terms, commits and the log never go back while a process lives.
    fn monotonic(&mut self, id: u64, life: u64, status: &Status, now: Duration) {
        let seen = Seen {
            life,
            term: status.term,
            committed: status.committed,
            applied: status.applied,
            log_size: status.log_size,
        };
        let before = self.last.get(&id).filter(|before| before.life == life);
        let went_back = before.and_then(|before| {
            [
                ("term", Some(before.term), Some(seen.term)),
                ("committed", before.committed, seen.committed),
                ("applied", before.applied, seen.applied),
                ("log size", Some(before.log_size), Some(seen.log_size)),
            ]
            .into_iter()
            .find(|(_, before, now)| before > now)
        });
        if let Some((what, before, then)) = went_back {
            self.add(
                "raft",
                now,
                format!("node {id}: {what} went from {before:?} to {then:?}"),
            );
        }
        self.last.insert(id, seen);
    }

    /// Whoever has so many entries has these entries.
    fn same(&mut self, id: u64, status: &Status, now: Duration) {
        match self.roots.get(&status.log_size) {
            None => {
                self.roots.insert(status.log_size, (status.log_root, id));
                self.applied.insert(status.log_size, now);
                self.heads.push(Head {
                    node: id,
                    size: status.log_size,
                    root: status.log_root,
                });
            }
            Some((root, first)) if *root != status.log_root => {
                let (root, first) = (*root, *first);
                let size = status.log_size;
                self.add(
                    "P6",
                    now,
                    format!(
                        "at {size} entries node {id} has root {}, node {first} had {root}",
                        status.log_root
                    ),
                );
            }
            Some(_) => {}
        }
    }

    /// What is committed is on a majority of the voters. Those that are away may have it, and those whose disk was taken had it.
    fn quorum(&mut self, world: &World, statuses: &BTreeMap<u64, Status>) {
        let now = world.now();
        let Some(newest) = statuses.values().max_by_key(|status| status.committed) else {
            return;
        };
        let voters: Vec<u64> = newest.voters.keys().copied().collect();
        let taken = |id: &u64| world.slots.get(id).is_some_and(|slot| slot.spoiled);
        let lacks = |id: &&u64| {
            let status = statuses.get(id).filter(|_| !taken(id));
            status.is_some_and(|status| status.last_index < newest.committed && status.snapshot < newest.committed)
        };
        let lacking: Vec<&u64> = voters.iter().filter(lacks).collect();
        if !voters.is_empty() && lacking.len() * 2 >= voters.len() && newest.committed.is_some() {
            let what = format!(
                "entry {:?} is committed, and of the voters {voters:?} {lacking:?} lack it",
                newest.committed
            );
            self.add("raft", now, what);
        }
    }

    /// A node that is away is not counted on for ever: its lanes and shards have to move.
    fn declared(&mut self, world: &World, statuses: &BTreeMap<u64, Status>, undisturbed: bool) {
        let now = world.now();
        let members = world.members();
        self.away
            .retain(|id, _| members.contains(id) && !statuses.contains_key(id));
        for id in members.iter().filter(|id| !statuses.contains_key(id)) {
            self.away.entry(*id).or_insert(now);
        }
        let leader = world.leader().and_then(|leader| statuses.get_key_value(&leader));
        let steady = leader.filter(|(_, status)| {
            let there = status.voters.keys().filter(|id| statuses.contains_key(id)).count();
            undisturbed && there * 2 > status.voters.len()
        });
        let Some((leader, status)) = steady else {
            self.steady = None;
            return;
        };
        let since = match self.steady {
            Some((same, term, since)) if (same, term) == (*leader, status.term) => since,
            _ => now,
        };
        self.steady = Some((*leader, status.term, since));
        let late = |away: &Duration| now > since.max(*away) + DECLARED_WITHIN;
        let silent = self.away.iter().filter(|(_, away)| late(away));
        let counted_on = silent.filter(|(id, _)| world.is_used(**id)).map(|(id, _)| *id);
        for id in counted_on.collect::<Vec<u64>>() {
            self.add(
                "P10",
                now,
                format!("node {id} is away for {DECLARED_WITHIN:?}, and the cluster still counts on it"),
            );
        }
    }
}
