//! Processes that die, and machines that lose their power.

use std::time::Duration;

use rand::RngExt as _;
use rand::seq::SliceRandom as _;
use rand_chacha::ChaCha8Rng;

use super::{Active, Kind, any, follower, serving};
use crate::world::World;

/// How a process ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum How {
    Kill,
    Power,
}

pub(super) fn begin(world: &mut World, kind: Kind, rng: &mut ChaCha8Rng, lasts: Duration) -> Option<Box<dyn Active>> {
    let majority = |world: &mut World, rng: &mut ChaCha8Rng| {
        let mut all = serving(world);
        all.shuffle(rng);
        all.truncate(world.members().len() / 2 + 1);
        all
    };
    let (victims, how) = match kind {
        Kind::KillLeader => (vec![world.leader()?], How::Kill),
        Kind::KillFollower | Kind::LongAbsence => (vec![follower(world, rng)?], How::Kill),
        Kind::KillMajority => (majority(world, rng), How::Kill),
        Kind::KillAll => (serving(world), How::Kill),
        Kind::PowerLeader => (vec![world.leader()?], How::Power),
        Kind::PowerFollower => (vec![follower(world, rng)?], How::Power),
        Kind::PowerMajority => (majority(world, rng), How::Power),
        Kind::PowerAll => (serving(world), How::Power),
        Kind::RestartStorm => return storm(world, rng),
        Kind::RestartInOrder => return Some(Box::new(InOrder::new(vec![any(world, rng)?]))),
        Kind::RollingRestart => return Some(Box::new(InOrder::new(serving(world)))),
        Kind::DiesAtWrite => return at_write(world, rng),
        Kind::DiesWhileStarting => return while_starting(world, rng),
        _ => return None,
    };
    let least = match kind {
        // Longer than the cluster waits before it declares a process down.
        Kind::LongAbsence => lasts.max(Duration::from_secs(5)),
        _ => Duration::ZERO,
    };
    down(world, victims, how, least)
}

fn end_process(world: &mut World, id: u64, how: How) -> bool {
    match how {
        How::Kill => world.kill(id),
        How::Power => world.lose_power(id),
    }
}

/// Processes that are gone for a while.
struct Down {
    victims: Vec<u64>,
    least: Duration,
    since: Duration,
    ended: Vec<u64>,
}

fn down(world: &mut World, victims: Vec<u64>, how: How, least: Duration) -> Option<Box<dyn Active>> {
    let mut ended = Vec::new();
    for id in &victims {
        if end_process(world, *id, how) {
            ended.push(*id);
        }
        world.slot(*id).held += 1;
    }
    Some(Box::new(Down {
        victims,
        least,
        since: world.now(),
        ended,
    }))
}

impl Active for Down {
    fn end(&mut self, _: &mut World) {}

    fn over(&mut self, world: &mut World) -> bool {
        if world.now() < self.since + self.least {
            return false;
        }
        for id in self.victims.drain(..) {
            world.slot(id).held -= 1;
            if world.slot(id).held == 0 {
                world.start(id);
            }
        }
        true
    }

    fn proof(&mut self, _: &mut World) -> Option<String> {
        (!self.ended.is_empty()).then(|| format!("ended {:?}", self.ended))
    }
}

/// A node that is killed over and over.
struct Storm {
    victim: u64,
    every: Duration,
    next: Duration,
    kills: u32,
}

fn storm(world: &mut World, rng: &mut ChaCha8Rng) -> Option<Box<dyn Active>> {
    Some(Box::new(Storm {
        victim: any(world, rng)?,
        every: Duration::from_millis(rng.random_range(20..700)),
        next: Duration::ZERO,
        kills: 0,
    }))
}

impl Active for Storm {
    fn tick(&mut self, world: &mut World, since: Duration) {
        if since >= self.next && world.slot(self.victim).held == 0 {
            self.next = since + self.every;
            if world.kill(self.victim) {
                self.kills += 1;
            }
            world.start(self.victim);
        }
    }

    fn end(&mut self, _: &mut World) {}

    fn proof(&mut self, _: &mut World) -> Option<String> {
        (self.kills > 1).then(|| format!("killed {} {} times", self.victim, self.kills))
    }
}

/// Nodes that are asked to stop, one after the other.
struct InOrder {
    left: Vec<u64>,
    now: Option<(u64, u64)>,
    done: Vec<u64>,
}

impl InOrder {
    fn new(left: Vec<u64>) -> Self {
        Self {
            left,
            now: None,
            done: Vec::new(),
        }
    }
}

impl Active for InOrder {
    fn tick(&mut self, world: &mut World, _: Duration) {
        match self.now {
            None => {
                let Some(id) = self.left.pop() else { return };
                if world.slot(id).machine.consensus().is_some() {
                    world.slot(id).machine.ask_to_stop();
                    self.now = Some((id, world.slot(id).machine.starts()));
                }
            }
            Some((id, starts)) => {
                if !world.runs(id) {
                    world.start(id);
                }
                let slot = world.slot(id);
                if slot.gone || slot.held > 0 {
                    self.now = None;
                } else if slot.machine.starts() > starts && slot.machine.consensus().is_some() {
                    self.done.push(id);
                    self.now = None;
                }
            }
        }
    }

    fn end(&mut self, _: &mut World) {
        self.left.clear();
    }

    fn over(&mut self, world: &mut World) -> bool {
        self.tick(world, Duration::ZERO);
        self.now.is_none()
    }

    fn proof(&mut self, _: &mut World) -> Option<String> {
        (!self.done.is_empty()).then(|| format!("stopped and started {:?}", self.done))
    }
}

/// A disk that dies between two calls, and with it the machine.
struct AtWrite {
    victim: u64,
    calls: u64,
    died: bool,
}

fn at_write(world: &mut World, rng: &mut ChaCha8Rng) -> Option<Box<dyn Active>> {
    let victim = any(world, rng)?;
    let calls = rng.random_range(0..60);
    world.slot(victim).machine.disk.die_after(calls);
    Some(Box::new(AtWrite {
        victim,
        calls,
        died: false,
    }))
}

impl Active for AtWrite {
    fn tick(&mut self, world: &mut World, _: Duration) {
        if !self.died && world.slot(self.victim).machine.disk.is_dead() {
            self.died = true;
            world.lose_power(self.victim);
            if world.slot(self.victim).held == 0 {
                world.start(self.victim);
            }
        }
    }

    fn end(&mut self, world: &mut World) {
        self.tick(world, Duration::ZERO);
        world.slot(self.victim).machine.disk.heal();
    }

    fn proof(&mut self, _: &mut World) -> Option<String> {
        self.died
            .then(|| format!("node {} died after {} calls", self.victim, self.calls))
    }
}

/// A node that dies again while it starts.
struct WhileStarting {
    victim: u64,
    calls: u64,
    deaths: u32,
}

fn while_starting(world: &mut World, rng: &mut ChaCha8Rng) -> Option<Box<dyn Active>> {
    let victim = any(world, rng)?;
    let calls = rng.random_range(1..30);
    world.lose_power(victim);
    world.slot(victim).machine.disk.die_after(calls);
    world.start(victim);
    Some(Box::new(WhileStarting {
        victim,
        calls,
        deaths: 0,
    }))
}

impl Active for WhileStarting {
    fn tick(&mut self, world: &mut World, _: Duration) {
        if self.deaths < 3 && world.slot(self.victim).machine.disk.is_dead() {
            self.deaths += 1;
            world.lose_power(self.victim);
            let more = self.calls + u64::from(self.deaths) * 3;
            if self.deaths < 3 {
                world.slot(self.victim).machine.disk.die_after(more);
            }
            if world.slot(self.victim).held == 0 {
                world.start(self.victim);
            }
        }
    }

    fn end(&mut self, world: &mut World) {
        self.tick(world, Duration::ZERO);
        let disk = &world.slot(self.victim).machine.disk;
        let dead = disk.is_dead();
        disk.heal();
        if dead {
            world.lose_power(self.victim);
        }
    }

    fn proof(&mut self, _: &mut World) -> Option<String> {
        (self.deaths > 0).then(|| format!("node {} died {} times while it started", self.victim, self.deaths))
    }
}
