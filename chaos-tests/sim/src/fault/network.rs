//! Links that break, slow down, or lose messages.

use std::time::Duration;

use rand::RngExt as _;
use rand::seq::SliceRandom as _;
use rand_chacha::ChaCha8Rng;

use super::{Active, Kind, any, follower, serving};
use crate::network::Meter;
use crate::world::{CLIENTS, World, name};

/// A link in one direction.
type Link = (String, String);

pub(super) fn begin(world: &mut World, kind: Kind, rng: &mut ChaCha8Rng, _: Duration) -> Option<Box<dyn Active>> {
    let all = serving(world);
    let others = |one: u64| all.iter().copied().filter(move |id| *id != one);
    let both = |one: u64| -> Vec<Link> { others(one).flat_map(|other| pair(&name(one), &name(other))).collect() };
    let clients = |ids: &[u64]| -> Vec<Link> { ids.iter().flat_map(|id| pair(&name(*id), CLIENTS)).collect() };
    let cut = |links: Vec<Link>, world: &mut World| Cut::begin(world, links, None);
    match kind {
        Kind::CutLeader => {
            let leader = world.leader()?;
            // Clients still reach it: it has to refuse them.
            cut(both(leader), world)
        }
        Kind::CutFollower => {
            let follower = follower(world, rng)?;
            cut(both(follower), world)
        }
        Kind::Split => {
            let mut parts = all.clone();
            parts.shuffle(rng);
            let (few, many) = parts.split_at(rng.random_range(1..=parts.len().max(2) / 2).min(parts.len()));
            let links = few
                .iter()
                .flat_map(|one| many.iter().flat_map(|other| pair(&name(*one), &name(*other))));
            cut(links.collect(), world)
        }
        Kind::CutAll => cut(
            all.iter()
                .flat_map(|one| others(*one).map(|other| (name(*one), name(other))))
                .collect(),
            world,
        ),
        Kind::Ring => {
            // With three nodes a ring cuts nothing; there the nodes at the ends of a row do not reach each other.
            let last = all.len().checked_sub(1)?;
            let apart = |a: usize, b: usize| a.abs_diff(b) > 1 && (all.len() == 3 || a.abs_diff(b) != last);
            let places = 0..all.len();
            let links = places.clone().flat_map(|a| places.clone().map(move |b| (a, b)));
            let links = links
                .filter(|(a, b)| apart(*a, *b))
                .map(|(a, b)| (name(all[a]), name(all[b])));
            cut(links.collect(), world)
        }
        Kind::DeafLeader => {
            let leader = world.leader()?;
            cut(others(leader).map(|other| (name(other), name(leader))).collect(), world)
        }
        Kind::MuteLeader => {
            let leader = world.leader()?;
            cut(others(leader).map(|other| (name(leader), name(other))).collect(), world)
        }
        Kind::DeafFollower => {
            let follower = follower(world, rng)?;
            cut(
                others(follower).map(|other| (name(other), name(follower))).collect(),
                world,
            )
        }
        Kind::Flapping => {
            let one = any(world, rng)?;
            let every = Duration::from_millis(rng.random_range(40..400));
            Cut::begin(world, both(one), Some(every))
        }
        Kind::ClientsCut => {
            let one = any(world, rng)?;
            cut(clients(&[one]), world)
        }
        Kind::AllClientsCut => cut(clients(&all), world),
        Kind::Held => {
            let one = any(world, rng)?;
            Held::begin(world, one)
        }
        Kind::SlowLinks => {
            let most = Duration::from_millis(rng.random_range(50..200));
            let links = all
                .iter()
                .flat_map(|one| others(*one).map(|other| (name(*one), name(other))));
            Slow::begin(world, links.collect(), most)
        }
        Kind::SlowNode => {
            let one = any(world, rng)?;
            let most = Duration::from_millis(rng.random_range(100..500));
            Slow::begin(world, both(one), most)
        }
        Kind::Loss => Loss::begin(world, rng),
        _ => None,
    }
}

fn pair(a: &str, b: &str) -> [Link; 2] {
    [(a.to_owned(), b.to_owned()), (b.to_owned(), a.to_owned())]
}

/// Links that let nothing through.
struct Cut {
    links: Vec<Link>,
    /// Broken and whole in turns, each so long.
    flaps: Option<(Duration, Duration)>,
    broken: bool,
    breaks: u32,
    before: Vec<Meter>,
    lost: u64,
    refused: u64,
}

impl Cut {
    fn begin(world: &mut World, links: Vec<Link>, every: Option<Duration>) -> Option<Box<dyn Active>> {
        if links.is_empty() {
            return None;
        }
        let mut cut = Self {
            before: Vec::new(),
            links,
            flaps: every.map(|every| (every, every)),
            broken: false,
            breaks: 0,
            lost: 0,
            refused: 0,
        };
        cut.set(world, true);
        Some(Box::new(cut))
    }

    fn set(&mut self, world: &mut World, broken: bool) {
        self.measure(world);
        self.broken = broken;
        for (from, to) in &self.links {
            match broken {
                true => world.sim.partition_oneway(from.as_str(), to.as_str()),
                false => world.sim.repair_oneway(from.as_str(), to.as_str()),
            }
        }
        self.breaks += u32::from(broken);
        self.before = self.links.iter().map(|(from, to)| world.meters.of(from, to)).collect();
    }

    /// What was sent into links that let nothing through.
    fn measure(&mut self, world: &World) {
        if !self.broken {
            return;
        }
        let before = std::mem::take(&mut self.before);
        for ((from, to), before) in self.links.iter().zip(before) {
            let now = world.meters.of(from, to);
            self.lost += (now.sent - before.sent).saturating_sub(now.received - before.received);
            self.refused += now.refused - before.refused;
        }
        self.before = self.links.iter().map(|(from, to)| world.meters.of(from, to)).collect();
    }
}

impl Active for Cut {
    fn tick(&mut self, world: &mut World, since: Duration) {
        if let Some((every, next)) = self.flaps
            && since >= next
        {
            self.flaps = Some((every, since + every));
            self.set(world, !self.broken);
        }
    }

    fn end(&mut self, world: &mut World) {
        self.flaps = None;
        self.set(world, false);
    }

    fn proof(&mut self, world: &mut World) -> Option<String> {
        self.measure(world);
        let (lost, refused, breaks) = (self.lost, self.refused, self.breaks);
        (lost + refused > 0).then(|| format!("{breaks} breaks, {lost} bytes lost, {refused} connections refused"))
    }
}

/// Messages of a node that wait.
struct Held {
    links: Vec<Link>,
    before: u64,
    held: u64,
}

impl Held {
    fn begin(world: &mut World, one: u64) -> Option<Box<dyn Active>> {
        let others: Vec<u64> = serving(world).into_iter().filter(|id| *id != one).collect();
        let links: Vec<Link> = others.iter().map(|other| (name(one), name(*other))).collect();
        for (one, other) in &links {
            world.sim.hold(one.as_str(), other.as_str());
        }
        let before = sent(world, &links);
        (!links.is_empty()).then(|| {
            let held: Box<dyn Active> = Box::new(Self { links, before, held: 0 });
            held
        })
    }
}

fn sent(world: &World, links: &[Link]) -> u64 {
    let of = |(from, to): &Link| world.meters.of(from, to).sent + world.meters.of(to, from).sent;
    links.iter().map(of).sum()
}

fn received(world: &World, links: &[Link]) -> u64 {
    links.iter().map(|(from, to)| world.meters.of(from, to).received).sum()
}

impl Active for Held {
    fn end(&mut self, world: &mut World) {
        self.held = sent(world, &self.links) - self.before;
        for (one, other) in &self.links {
            world.sim.release(one.as_str(), other.as_str());
        }
    }

    fn proof(&mut self, _: &mut World) -> Option<String> {
        (self.held > 0).then(|| format!("{} bytes were held back", self.held))
    }
}

/// Links that take their time.
struct Slow {
    links: Vec<Link>,
    most: Duration,
    before: u64,
}

impl Slow {
    fn begin(world: &mut World, links: Vec<Link>, most: Duration) -> Option<Box<dyn Active>> {
        for (from, to) in &links {
            world.sim.set_link_max_message_latency(from.as_str(), to.as_str(), most);
        }
        let before = received(world, &links);
        Some(Box::new(Self { links, most, before }))
    }
}

impl Active for Slow {
    fn end(&mut self, world: &mut World) {
        let usual = world.latency;
        for (from, to) in &self.links {
            world
                .sim
                .set_link_max_message_latency(from.as_str(), to.as_str(), usual);
        }
    }

    fn proof(&mut self, world: &mut World) -> Option<String> {
        let slow = received(world, &self.links) - self.before;
        (slow > 0).then(|| format!("{slow} bytes took up to {} ms", self.most.as_millis()))
    }
}

/// Links that lose messages.
struct Loss {
    links: Vec<Link>,
    before: u64,
    lost: u64,
}

impl Loss {
    fn begin(world: &mut World, rng: &mut ChaCha8Rng) -> Option<Box<dyn Active>> {
        let all = serving(world);
        let rate = rng.random_range(0.002..0.05);
        let mut links = Vec::new();
        for (at, one) in all.iter().enumerate() {
            for other in &all[at + 1..] {
                world.sim.set_link_fail_rate(name(*one), name(*other), rate);
                links.extend(pair(&name(*one), &name(*other)));
            }
        }
        let before = missing(world, &links);
        (!links.is_empty()).then(|| {
            let loss: Box<dyn Active> = Box::new(Self { links, before, lost: 0 });
            loss
        })
    }
}

/// Bytes that were sent and have not come, so far.
fn missing(world: &World, links: &[Link]) -> u64 {
    let of = |(from, to): &Link| {
        let meter = world.meters.of(from, to);
        meter.sent.saturating_sub(meter.received)
    };
    links.iter().map(of).sum()
}

impl Active for Loss {
    fn end(&mut self, world: &mut World) {
        self.lost = missing(world, &self.links).saturating_sub(self.before);
        for (from, to) in &self.links {
            if from < to {
                world.sim.set_link_fail_rate(from.as_str(), to.as_str(), 0.0);
                // A message that is lost breaks the link, until it is repaired.
                world.sim.repair(from.as_str(), to.as_str());
            }
        }
    }

    fn proof(&mut self, _: &mut World) -> Option<String> {
        (self.lost > 0).then(|| format!("{} bytes lost", self.lost))
    }
}
