//! The faults: what can happen, to whom, how it is undone, and what proves that it happened.
//!
//! A fault is one kind in the table below and one arm in the file of its family. It begins with [`begin`], moves with
//! [`Active::tick`], ends with [`Active::end`], and says with [`Active::proof`] what it did; one that did nothing does not
//! count.

mod clock;
mod disk;
mod membership;
mod network;
mod process;

use std::time::Duration;

use rand::SeedableRng as _;
use rand::seq::IndexedRandom as _;
use rand_chacha::ChaCha8Rng;

use crate::world::World;

/// A fault that is under way.
pub(crate) trait Active {
    /// Time has gone by since it began.
    fn tick(&mut self, _world: &mut World, _since: Duration) {}
    /// Undoes it.
    fn end(&mut self, world: &mut World);
    /// Is it undone? Asked after [`Active::end`], until it is.
    fn over(&mut self, _world: &mut World) -> bool {
        true
    }
    /// What it did, if it did something. Asked while it is under way and once it is over.
    fn proof(&mut self, world: &mut World) -> Option<String>;
}

macro_rules! kinds {
    ($($family:ident { $($kind:ident $name:literal $what:literal)* })*) => {
        /// A kind of fault.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
        pub(crate) enum Kind {
            $($(#[doc = $what] $kind,)*)*
        }

        impl Kind {
            /// Every kind.
            pub(crate) const ALL: &[Kind] = &[$($(Kind::$kind,)*)*];

            /// The word in plans and tables.
            pub(crate) fn name(self) -> &'static str {
                match self { $($(Kind::$kind => $name,)*)* }
            }

            /// What happens.
            pub(crate) fn what(self) -> &'static str {
                match self { $($(Kind::$kind => $what,)*)* }
            }

            /// The family that it belongs to.
            pub(crate) fn family(self) -> &'static str {
                match self { $($(Kind::$kind => stringify!($family),)*)* }
            }
        }

        /// Lets a fault begin. `None` if it is not possible now, for example because it would take what no cluster survives.
        pub(crate) fn begin(world: &mut World, kind: Kind, draw: u64, lasts: Duration) -> Option<Box<dyn Active>> {
            let mut rng = ChaCha8Rng::seed_from_u64(draw);
            match kind { $($(Kind::$kind => $family::begin(world, kind, &mut rng, lasts),)*)* }
        }
    };
}

kinds! {
    process {
        KillLeader "kill-leader" "kill -9 of the leader"
        KillFollower "kill-follower" "kill -9 of a follower"
        KillMajority "kill-majority" "kill -9 of a majority at once"
        KillAll "kill-all" "kill -9 of every node at once"
        PowerLeader "power-leader" "the leader loses its power, and what its disk had not synced"
        PowerFollower "power-follower" "a follower loses its power"
        PowerMajority "power-majority" "a majority loses its power at once"
        PowerAll "power-all" "every node loses its power at once"
        RestartStorm "restart-storm" "a node is killed over and over, sooner than it starts"
        LongAbsence "long-absence" "a node stays away for longer than the cluster waits for it"
        RestartInOrder "restart-in-order" "a node is asked to stop, and starts again"
        RollingRestart "rolling-restart" "all nodes are asked to stop and start again, one after the other"
        DiesAtWrite "dies-at-write" "the power fails between two calls to the disk"
        DiesWhileStarting "dies-while-starting" "the power fails again while a node starts"
    }
    network {
        CutLeader "cut-leader" "nobody reaches the leader"
        CutFollower "cut-follower" "nobody reaches a follower"
        Split "split" "the nodes fall into two parts"
        CutAll "cut-all" "no node reaches another"
        Ring "ring" "each node reaches its neighbours only"
        DeafLeader "deaf-leader" "the leader is heard and hears nobody"
        MuteLeader "mute-leader" "the leader hears and is not heard"
        DeafFollower "deaf-follower" "a follower is heard and hears nobody"
        Flapping "flapping" "a link breaks and comes back several times a second"
        Held "held" "messages of a node are held back, and come all at once"
        SlowLinks "slow-links" "messages between all nodes take a tenth of a second and more"
        SlowNode "slow-node" "messages to and from one node take up to half a second"
        Loss "loss" "some messages are lost, and with them their connections"
        ClientsCut "clients-cut" "clients and devices do not reach a node"
        AllClientsCut "all-clients-cut" "clients and devices reach no node"
    }
    disk {
        WriteFails "write-fails" "a write to the disk fails"
        SyncFails "sync-fails" "every sync of the disk fails"
        SyncFailsOnce "sync-fails-once" "one sync fails, the next one would not"
        FolderSyncFails "folder-sync-fails" "a sync of a folder fails"
        ReadFails "read-fails" "a read of the disk fails"
        DiskFull "disk-full" "the disk is full"
        SlowDisk "slow-disk" "syncs take up to a third of a second"
        StalledDisk "stalled-disk" "a sync takes seconds"
        IndexLost "index-lost" "the store of indexes is gone at the next start"
        Leftovers "leftovers" "half-written files are found at the next start"
        LogDamaged "log-damaged" "the Raft log has a flipped bit, and the node has to be replaced"
        SnapshotDamaged "snapshot-damaged" "the newest snapshot has a flipped bit"
    }
    clock {
        ClockAhead "clock-ahead" "a node's clock jumps five minutes ahead"
        ClockBehind "clock-behind" "a node's clock jumps five minutes back"
        ClockSteps "clock-steps" "a node's clock jumps to and fro by seconds"
        ClockDrifts "clock-drifts" "a node's clock runs a tenth too fast"
        LeaderClock "leader-clock" "the leader's clock jumps by seconds or minutes"
    }
    membership {
        Replace "replace" "a node is lost for good and replaced by a new one"
        RemoveLeader "remove-leader" "the leader is removed, and a new node joins"
        Join "join" "a node joins"
        TwoOperators "two-operators" "two operators remove two nodes at once, and two join"
        Wiped "wiped" "a node comes back under its id with an empty disk"
        FoundedTwice "founded-twice" "somebody founds the cluster again"
        HandOver "hand-over" "leadership is handed to and fro"
        Drain "drain" "a node is drained and put back"
        ForcedSnapshot "forced-snapshot" "all nodes take a snapshot now"
    }
}

/// Any node whose process serves, the leader excluded.
fn follower(world: &mut World, rng: &mut ChaCha8Rng) -> Option<u64> {
    let leader = world.leader();
    let up = serving(world);
    let others: Vec<u64> = up.into_iter().filter(|id| Some(*id) != leader).collect();
    others.choose(rng).copied()
}

/// Any node whose process serves.
fn any(world: &mut World, rng: &mut ChaCha8Rng) -> Option<u64> {
    serving(world).choose(rng).copied()
}

/// Nodes whose process serves.
fn serving(world: &mut World) -> Vec<u64> {
    world.statuses().into_keys().collect()
}

/// May the data of one more node be lost? Of the voters a majority has to keep theirs.
fn may_spoil(world: &mut World) -> bool {
    let members = world.members();
    let spoiled = members.iter().filter(|id| world.slots[id].spoiled).count();
    let off = world.slots.values().filter(|slot| !slot.gone && slot.held > 0).count();
    (spoiled + 1) * 2 < members.len() && off == 0
}
