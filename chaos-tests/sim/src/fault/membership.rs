//! Members that come and go, and operators who do the wrong thing.

use std::net::SocketAddr;
use std::time::Duration;

use portcullis_consensus::Status;
use portcullis_proto::v1 as pb;
use portcullis_proto::v1::cluster_service_client::ClusterServiceClient;
use portcullis_wire::status::WriteAnswer;
use rand::RngExt as _;
use rand::seq::IndexedRandom as _;
use rand_chacha::ChaCha8Rng;
use tonic::{Code, Request};

use super::{Active, Kind, any, follower, may_spoil, serving};
use crate::control::{Asked, DESK};
use crate::network;
use crate::world::World;

/// No call of an operator takes longer.
const CALL: Duration = Duration::from_secs(10);
/// Between two tries.
const PAUSE: Duration = Duration::from_millis(300);

pub(super) fn begin(world: &mut World, kind: Kind, rng: &mut ChaCha8Rng, _: Duration) -> Option<Box<dyn Active>> {
    let changes = |removed: &[u64], world: &mut World| -> Box<dyn Active> {
        let replacements: Vec<Replacement> = removed.iter().map(|id| Replacement::of(*id)).collect();
        let mut changes = Changes { replacements };
        changes.tick(world, Duration::ZERO);
        Box::new(changes)
    };
    match kind {
        Kind::Replace => {
            if !may_spoil(world) {
                return None;
            }
            let victim = any(world, rng)?;
            world.kill(victim);
            let slot = world.slot(victim);
            slot.spoiled = true;
            slot.held += 1;
            slot.machine.disk.wipe();
            Some(changes(&[victim], world))
        }
        Kind::RemoveLeader => {
            let leader = world.leader()?;
            may_spoil(world).then(|| changes(&[leader], world))
        }
        Kind::TwoOperators => {
            let (one, other) = (world.leader()?, follower(world, rng)?);
            may_spoil(world).then(|| changes(&[one, other], world))
        }
        Kind::Join => {
            let mut joining = Replacement::nobody();
            joining.tick(world);
            Some(Box::new(Changes {
                replacements: vec![joining],
            }))
        }
        Kind::Wiped => Wiped::begin(world, rng),
        Kind::FoundedTwice => FoundedTwice::begin(world, rng),
        Kind::HandOver => HandOver::begin(world, rng),
        Kind::Drain => Drain::begin(world, rng),
        Kind::ForcedSnapshot => ForcedSnapshot::begin(world),
        _ => None,
    }
}

/// Who asks, and under which id.
fn context(draw: u64) -> Option<pb::RequestContext> {
    Some(pb::RequestContext {
        source: "desk".to_owned(),
        request_id: format!("{draw:016x}"),
        principal: "operator".to_owned(),
    })
}

/// Where the operator asks: every member, one after the other.
fn addresses(world: &World) -> Vec<SocketAddr> {
    world.members().into_iter().map(|id| world.address(id)).collect()
}

/// Asks until the answer is certain, at one node after the other. `None` when it was refused for good.
async fn insist<T>(
    at: Vec<SocketAddr>,
    meters: network::Meters,
    mut ask: impl AsyncFnMut(ClusterServiceClient<tonic::transport::Channel>) -> Result<T, tonic::Status>,
) -> Result<T, String> {
    let connect = network::connector(DESK, &meters);
    let mut last = String::new();
    for turn in 0..60 {
        let client = ClusterServiceClient::new(connect(&at[turn % at.len()].to_string()));
        match tokio::time::timeout(CALL, ask(client)).await {
            Ok(Ok(answer)) => return Ok(answer),
            Ok(Err(status)) => {
                last = format!("{:?}: {}", status.code(), status.message());
                let again = WriteAnswer::from_status(&status).again_after().is_some();
                // What the cluster does not dare now it may dare later.
                if !again && status.code() != Code::FailedPrecondition {
                    return Err(last);
                }
            }
            Err(_) => "no answer".clone_into(&mut last),
        }
        tracing::info!(last, "the operator asks again");
        tokio::time::sleep(PAUSE).await;
    }
    Err(last)
}

/// A node that is removed, and another one that joins.
pub(super) struct Replacement {
    removed: Option<u64>,
    asked: Option<Asked<Result<pb::RemoveNodeResponse, String>>>,
    state: State,
    /// For the report.
    done: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Joining(Option<u64>),
    Removing,
    Leaving(u64),
    Done,
}

impl Replacement {
    /// First a new one joins, then this one is removed, so that there are never fewer voters than before.
    pub(super) fn of(removed: u64) -> Self {
        Self {
            removed: Some(removed),
            asked: None,
            state: State::Joining(None),
            done: None,
        }
    }

    /// One joins and none is removed.
    fn nobody() -> Self {
        Self {
            removed: None,
            ..Self::of(0)
        }
    }

    /// Goes on. True when it is done.
    pub(super) fn tick(&mut self, world: &mut World) -> bool {
        match self.state {
            // One after the other: a machine has the number of the id that it will be granted.
            State::Joining(None) if world.joining.is_some() => {}
            State::Joining(None) => {
                world.joining = Some(world.join());
                self.state = State::Joining(world.joining);
            }
            State::Joining(Some(new)) => {
                let votes = world
                    .statuses()
                    .values()
                    .any(|status| status.leader == Some(status.node) && status.voters.contains_key(&new));
                if votes {
                    world.joining = None;
                    self.state = match self.removed {
                        Some(_) => State::Removing,
                        None => State::Done,
                    };
                    self.done = Some(format!("node {new} joined"));
                }
            }
            State::Removing => self.remove(world),
            State::Leaving(node) => self.leave(world, node),
            State::Done => {}
        }
        self.state == State::Done
    }

    fn remove(&mut self, world: &mut World) {
        let Some(node) = self.removed else {
            self.state = State::Done;
            return;
        };
        match &self.asked {
            None => {
                let (at, meters) = (addresses(world), world.meters.clone());
                let request = pb::RemoveNodeRequest {
                    context: context(world.rng.random()),
                    node,
                };
                self.asked = Some(world.control.ask(insist(at, meters, async move |mut client| {
                    let mut request = Request::new(request.clone());
                    request.set_timeout(CALL);
                    Ok(client.remove_node(request).await?.into_inner())
                })));
            }
            Some(asked) => match asked.take() {
                None => {}
                // It is decided. Whoever pulled the plug now would take a vote that still counts.
                Some(Ok(_)) => self.state = State::Leaving(node),
                // It is asked again: the cluster may not have been able to.
                Some(Err(_)) => self.asked = None,
            },
        }
    }
}

impl Replacement {
    fn leave(&mut self, world: &mut World, node: u64) {
        let leads = |status: &Status| status.leader == Some(status.node);
        let member = |status: &Status| status.voters.contains_key(&node) || status.learners.contains_key(&node);
        if !world.statuses().values().any(|status| leads(status) && !member(status)) {
            return;
        }
        let slot = world.slot(node);
        slot.gone = true;
        slot.held += 1;
        world.kill(node);
        world.nodes.remove(node);
        self.state = State::Done;
        let before = self.done.take().unwrap_or_default();
        self.done = Some(format!("{before} node {node} was removed").trim().to_owned());
    }
}

/// Members that change while everything else goes on.
struct Changes {
    replacements: Vec<Replacement>,
}

impl Active for Changes {
    fn tick(&mut self, world: &mut World, _: Duration) {
        for replacement in &mut self.replacements {
            replacement.tick(world);
        }
    }

    fn end(&mut self, _: &mut World) {}

    fn over(&mut self, world: &mut World) -> bool {
        self.replacements.iter_mut().all(|replacement| replacement.tick(world))
    }

    fn proof(&mut self, _: &mut World) -> Option<String> {
        let done: Vec<&str> = self.replacements.iter().filter_map(|one| one.done.as_deref()).collect();
        (!done.is_empty()).then(|| done.join(", "))
    }
}

/// A node that has lost everything, and whose process is started again under its id. It must not take part.
struct Wiped {
    victim: u64,
    turned_away: Option<String>,
    replacement: Option<Replacement>,
}

impl Wiped {
    fn begin(world: &mut World, rng: &mut ChaCha8Rng) -> Option<Box<dyn Active>> {
        if !may_spoil(world) {
            return None;
        }
        let victim = any(world, rng)?;
        world.lose_power(victim);
        let slot = world.slot(victim);
        slot.spoiled = true;
        slot.machine.disk.wipe();
        slot.machine.store.clear();
        // One that founds a cluster would found another one.
        slot.machine.configure(|config| config.cluster.bootstrap = false);
        world.start(victim);
        Some(Box::new(Self {
            victim,
            turned_away: None,
            replacement: None,
        }))
    }
}

impl Active for Wiped {
    fn tick(&mut self, world: &mut World, _: Duration) {
        if self.turned_away.is_none()
            && let Some(crate::machine::Ended::Failed(why)) = world.slot(self.victim).machine.ended()
        {
            self.turned_away = Some(why);
        }
    }

    fn end(&mut self, world: &mut World) {
        world.kill(self.victim);
        world.slot(self.victim).held += 1;
    }

    fn over(&mut self, world: &mut World) -> bool {
        let victim = self.victim;
        self.replacement
            .get_or_insert_with(|| Replacement::of(victim))
            .tick(world)
    }

    fn proof(&mut self, _: &mut World) -> Option<String> {
        let why = self.turned_away.as_ref()?;
        Some(format!("node {} was turned away: {why}", self.victim))
    }
}

/// A second founding, which has to be refused.
struct FoundedTwice {
    asked: Asked<String>,
    answer: Option<String>,
}

impl FoundedTwice {
    fn begin(world: &mut World, rng: &mut ChaCha8Rng) -> Option<Box<dyn Active>> {
        let asked_at = any(world, rng)?;
        let at = world.address(asked_at).to_string();
        let meters = world.meters.clone();
        let request = pb::InitClusterRequest {
            context: context(rng.random()),
            members: Vec::new(),
        };
        let asked = world.control.ask(async move {
            let mut client = ClusterServiceClient::new(network::connector(DESK, &meters)(&at));
            let mut request = Request::new(request);
            request.set_timeout(CALL);
            match tokio::time::timeout(CALL, client.init_cluster(request)).await {
                Ok(Ok(_)) => "founded".to_owned(),
                Ok(Err(status)) => format!("{:?}: {}", status.code(), status.message()),
                Err(_) => "no answer".to_owned(),
            }
        });
        Some(Box::new(Self { asked, answer: None }))
    }
}

impl Active for FoundedTwice {
    fn end(&mut self, _: &mut World) {}

    fn over(&mut self, _: &mut World) -> bool {
        self.answer = self.answer.take().or_else(|| self.asked.take());
        self.answer.is_some()
    }

    fn proof(&mut self, _: &mut World) -> Option<String> {
        self.answer = self.answer.take().or_else(|| self.asked.take());
        self.answer.clone().filter(|answer| answer != "no answer")
    }
}

/// Leadership that goes round.
struct HandOver {
    every: Duration,
    next: Duration,
    asked: Vec<Asked<bool>>,
    done: u32,
}

impl HandOver {
    fn begin(world: &mut World, rng: &mut ChaCha8Rng) -> Option<Box<dyn Active>> {
        world.leader()?;
        Some(Box::new(Self {
            every: Duration::from_millis(rng.random_range(150..1200)),
            next: Duration::ZERO,
            asked: Vec::new(),
            done: 0,
        }))
    }

    fn count(&mut self) {
        self.asked.retain(|asked| match asked.take() {
            Some(done) => {
                self.done += u32::from(done);
                false
            }
            None => true,
        });
    }
}

impl Active for HandOver {
    fn tick(&mut self, world: &mut World, since: Duration) {
        self.count();
        let Some(leader) = world.leader().filter(|_| since >= self.next) else {
            return;
        };
        self.next = since + self.every;
        let (at, meters) = (world.address(leader).to_string(), world.meters.clone());
        let others: Vec<u64> = serving(world).into_iter().filter(|id| *id != leader).collect();
        let request = pb::TransferLeaderRequest {
            context: context(world.rng.random()),
            node: others.choose(&mut world.rng).copied(),
        };
        self.asked.push(world.control.ask(async move {
            let mut client = ClusterServiceClient::new(network::connector(DESK, &meters)(&at));
            let mut request = Request::new(request);
            request.set_timeout(CALL);
            matches!(
                tokio::time::timeout(CALL, client.transfer_leader(request)).await,
                Ok(Ok(_))
            )
        }));
    }

    fn end(&mut self, _: &mut World) {}

    fn proof(&mut self, _: &mut World) -> Option<String> {
        self.count();
        (self.done > 0).then(|| format!("{} times", self.done))
    }
}

/// A node that carries no actors for a while.
struct Drain {
    node: u64,
    drained: Asked<Result<(), String>>,
    was: bool,
    back: Option<Asked<Result<(), String>>>,
}

impl Drain {
    fn begin(world: &mut World, rng: &mut ChaCha8Rng) -> Option<Box<dyn Active>> {
        let node = any(world, rng)?;
        let request = pb::DrainNodeRequest {
            context: context(rng.random()),
            node,
        };
        let (at, meters) = (addresses(world), world.meters.clone());
        let drained = world.control.ask(insist(at, meters, async move |mut client| {
            let mut request = Request::new(request.clone());
            request.set_timeout(CALL);
            client.drain_node(request).await.map(|_| ())
        }));
        Some(Box::new(Self {
            node,
            drained,
            was: false,
            back: None,
        }))
    }
}

impl Active for Drain {
    fn end(&mut self, world: &mut World) {
        self.was |= matches!(self.drained.take(), Some(Ok(())));
        let request = pb::UndrainNodeRequest {
            context: context(world.rng.random()),
            node: self.node,
        };
        let (at, meters) = (addresses(world), world.meters.clone());
        self.back = Some(world.control.ask(insist(at, meters, async move |mut client| {
            let mut request = Request::new(request.clone());
            request.set_timeout(CALL);
            client.undrain_node(request).await.map(|_| ())
        })));
    }

    fn over(&mut self, _: &mut World) -> bool {
        self.back.as_ref().is_none_or(|back| back.take().is_some())
    }

    fn proof(&mut self, _: &mut World) -> Option<String> {
        self.was |= matches!(self.drained.take(), Some(Ok(())));
        self.was.then(|| format!("node {} was drained", self.node))
    }
}

/// Snapshots that nobody waited for.
struct ForcedSnapshot {
    asked: Vec<Asked<bool>>,
    taken: u32,
}

impl ForcedSnapshot {
    fn begin(world: &mut World) -> Option<Box<dyn Active>> {
        let consensus: Vec<_> = world
            .slots
            .values()
            .filter_map(|slot| slot.machine.consensus())
            .collect();
        let asked = consensus
            .into_iter()
            .map(|consensus| world.control.ask(async move { consensus.snapshot().await.is_ok() }));
        Some(Box::new(Self {
            asked: asked.collect(),
            taken: 0,
        }))
    }
}

impl Active for ForcedSnapshot {
    fn end(&mut self, _: &mut World) {}

    fn proof(&mut self, _: &mut World) -> Option<String> {
        self.taken += self.asked.iter().filter(|asked| asked.take() == Some(true)).count() as u32;
        (self.taken > 0).then(|| format!("on {} nodes", self.taken))
    }
}
