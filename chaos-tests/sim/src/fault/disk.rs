//! Disks that fail, fill up, slow down, or have lost or changed what they were given.

use std::path::PathBuf;
use std::time::Duration;

use portcullis_consensus::Disk as _;
use portcullis_consensus::model::{Call, Latency};
use rand::RngExt as _;
use rand::seq::IndexedRandom as _;
use rand_chacha::ChaCha8Rng;

use super::membership::Replacement;
use super::{Active, Kind, any, may_spoil};
use crate::machine::{Ended, fast};
use crate::world::World;

const EIO: i32 = 5;
/// A node that refuses to start does so at once.
const STARTS_WITHIN: Duration = Duration::from_secs(3);

pub(super) fn begin(world: &mut World, kind: Kind, rng: &mut ChaCha8Rng, _: Duration) -> Option<Box<dyn Active>> {
    let victim = any(world, rng)?;
    let after = rng.random_range(0..30);
    let disk = world.slot(victim).machine.disk.clone();
    match kind {
        Kind::WriteFails => disk.fail_in(None, Call::Write, after, 1, EIO),
        Kind::SyncFails => disk.fail(Call::Sync, after, EIO),
        Kind::SyncFailsOnce => disk.fail_in(Some("raft"), Call::Sync, after, 1, EIO),
        // A start reads much and syncs folders.
        Kind::FolderSyncFails | Kind::ReadFails => {
            let call = match kind {
                Kind::ReadFails => Call::Read,
                _ => Call::SyncDir,
            };
            disk.fail_in(None, call, after / 6, 1, EIO);
            world.kill(victim);
            world.start(victim);
        }
        Kind::DiskFull => disk.limit(Some(disk.used() + rng.random_range(0..4_000))),
        Kind::SlowDisk => return Some(Slow::begin(world, victim, 20, 330)),
        Kind::StalledDisk => return Some(Slow::begin(world, victim, 1_000, 4_000)),
        Kind::IndexLost | Kind::Leftovers => return changed_at_rest(world, kind, victim),
        Kind::LogDamaged => return Damaged::begin(world, victim, "raft", rng),
        Kind::SnapshotDamaged => return Damaged::begin(world, victim, "snap", rng),
        _ => return None,
    }
    Some(Box::new(Failing {
        victim,
        before: disk.failed(),
    }))
}

/// Calls that fail.
struct Failing {
    victim: u64,
    before: u64,
}

impl Active for Failing {
    fn end(&mut self, world: &mut World) {
        world.slot(self.victim).machine.disk.heal();
    }

    fn proof(&mut self, world: &mut World) -> Option<String> {
        let failed = world.slot(self.victim).machine.disk.failed() - self.before;
        (failed > 0).then(|| format!("{failed} calls failed on node {}", self.victim))
    }
}

/// Syncs that take their time.
struct Slow {
    victim: u64,
    before: u64,
    after: Option<u64>,
}

impl Slow {
    fn begin(world: &mut World, victim: u64, least_ms: u64, most_ms: u64) -> Box<dyn Active> {
        let disk = &world.slot(victim).machine.disk;
        disk.set_latency(Latency {
            least: Duration::from_millis(least_ms),
            most: Duration::from_millis(most_ms),
        });
        let before = disk.calls(Call::Sync);
        Box::new(Self {
            victim,
            before,
            after: None,
        })
    }
}

impl Active for Slow {
    fn end(&mut self, world: &mut World) {
        let disk = &world.slot(self.victim).machine.disk;
        disk.set_latency(fast());
        self.after = Some(disk.calls(Call::Sync));
    }

    fn proof(&mut self, world: &mut World) -> Option<String> {
        let now = world.slot(self.victim).machine.disk.calls(Call::Sync);
        let slow = self.after.unwrap_or(now) - self.before;
        (slow > 0).then(|| format!("{slow} slow syncs on node {}", self.victim))
    }
}

/// What is changed while the process is away, and which a start has to cope with.
struct AtRest {
    victim: u64,
    starts: u64,
    leftovers: Vec<PathBuf>,
}

fn changed_at_rest(world: &mut World, kind: Kind, victim: u64) -> Option<Box<dyn Active>> {
    world.kill(victim);
    let slot = world.slot(victim);
    let starts = slot.machine.starts();
    let folder = slot.machine.config().node.data_dir;
    let mut leftovers = Vec::new();
    if kind == Kind::Leftovers {
        for file in [
            "tlog/7.bundle.3.tmp",
            "snap/incoming-0.tmp",
            "blobs/1.table.9.tmp",
            "meta/node.2.tmp",
        ] {
            leftovers.push(folder.join(file));
            slot.machine.disk.put(&folder.join(file), b"half".to_vec());
        }
    } else {
        slot.machine.store.clear();
    }
    world.start(victim);
    Some(Box::new(AtRest {
        victim,
        starts,
        leftovers,
    }))
}

impl Active for AtRest {
    fn end(&mut self, _: &mut World) {}

    fn proof(&mut self, world: &mut World) -> Option<String> {
        let machine = &world.slot(self.victim).machine;
        let gone = self.leftovers.iter().all(|file| !machine.disk.exists(file));
        let started = machine.starts() > self.starts && machine.consensus().is_some();
        (gone && started).then(|| format!("node {} started over it", self.victim))
    }
}

/// A flipped bit in a file. A node that notices refuses to start, and has to be replaced.
struct Damaged {
    victim: u64,
    file: PathBuf,
    starts: u64,
    refused: Option<String>,
    replacement: Option<Replacement>,
    deadline: Option<Duration>,
}

impl Damaged {
    fn begin(world: &mut World, victim: u64, folder: &str, rng: &mut ChaCha8Rng) -> Option<Box<dyn Active>> {
        if !may_spoil(world) {
            return None;
        }
        world.kill(victim);
        let slot = world.slot(victim);
        let folder = slot.machine.config().node.data_dir.join(folder);
        let files = slot.machine.disk.files();
        let files: Vec<PathBuf> = files
            .into_iter()
            .filter(|file| file.parent() == Some(&folder))
            .collect();
        let flipped = files.choose(rng).and_then(|file| {
            let mut content = slot.machine.disk.read(file).ok()?;
            // Where something is written; the rest of a file of the log is room.
            let written = content.iter().rposition(|byte| *byte != 0)? + 1;
            content[rng.random_range(0..written)] ^= 1 << rng.random_range(0..8);
            slot.machine.disk.put(file, content);
            Some(file.clone())
        });
        world.start(victim);
        let file = flipped?;
        Some(Box::new(Self {
            victim,
            file,
            starts: world.slots[&victim].machine.starts(),
            refused: None,
            replacement: None,
            deadline: None,
        }))
    }

    fn look(&mut self, world: &mut World) {
        if self.refused.is_none()
            && let Some(Ended::Failed(why)) = world.slot(self.victim).machine.ended()
            && !why.is_empty()
        {
            self.refused = Some(why);
            let slot = world.slot(self.victim);
            slot.spoiled = true;
            slot.held += 1;
            world.kill(self.victim);
        }
    }
}

impl Active for Damaged {
    fn tick(&mut self, world: &mut World, _: Duration) {
        self.look(world);
    }

    fn end(&mut self, world: &mut World) {
        self.deadline = Some(world.now() + STARTS_WITHIN);
    }

    fn over(&mut self, world: &mut World) -> bool {
        self.look(world);
        if self.refused.is_none() {
            return Some(world.now()) > self.deadline;
        }
        let victim = self.victim;
        let replacement = self.replacement.get_or_insert_with(|| Replacement::of(victim));
        replacement.tick(world)
    }

    fn proof(&mut self, world: &mut World) -> Option<String> {
        let file = self.file.display();
        match &self.refused {
            Some(why) => Some(format!("{file}: {why}")),
            // What is not needed, or there twice.
            None => (world.slots[&self.victim].machine.starts() > self.starts)
                .then(|| format!("{file}: started all the same")),
        }
    }
}
