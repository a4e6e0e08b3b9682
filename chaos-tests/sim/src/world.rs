//! The simulated world: machines, the port in front of them, the operator's desk, and the hand that hurts them.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::Context as _;
use portcullis_chaos::port::{Counts, Nodes, Port};
use portcullis_chaos::promises::Evidence;
use portcullis_config::{NodeConfig, Peer, PeerAddress, PortClock};
use portcullis_consensus::Status;
use portcullis_domain::id::{ClusterId, NodeId, Timestamp};
use rand::{RngExt as _, SeedableRng as _};
use rand_chacha::ChaCha8Rng;
use tokio_util::sync::CancellationToken;

use crate::control::{Control, DESK};
use crate::machine::{EPOCH_MS, Ended, Machine, PORT};
use crate::network::{self, Meters};
use crate::plan::Plan;

/// The host of the port's clients.
pub(crate) const CLIENTS: &str = "port";
/// A process that ended by itself is started again after this time, as a supervisor does.
const SUPERVISOR: Duration = Duration::from_secs(1);
/// Reading all logs takes no longer.
const GATHER: Duration = Duration::from_secs(20);
/// The cluster.
pub(crate) const CLUSTER: ClusterId = ClusterId([0x51; 16]);

/// A machine in the world.
pub(crate) struct Slot {
    /// It.
    pub(crate) machine: Machine,
    /// Faults that keep its process from being started.
    pub(crate) held: u32,
    /// Its data is gone for good: it has to be replaced.
    pub(crate) spoiled: bool,
    /// It was removed from the cluster and stays off.
    pub(crate) gone: bool,
    /// When its process was seen to have ended by itself.
    ended_at: Option<Duration>,
}

/// Everything that is simulated.
pub(crate) struct World {
    /// The simulation.
    pub(crate) sim: turmoil::Sim<'static>,
    /// Machines by number; `node-1` is number 1.
    pub(crate) slots: BTreeMap<u64, Slot>,
    /// What went over the network.
    pub(crate) meters: Meters,
    /// The operator's desk.
    pub(crate) control: Control,
    /// What is done on the host of the port's clients.
    clients: Control,
    /// The nodes that the port's clients ask.
    pub(crate) nodes: Nodes,
    /// What draws for everything that hurts.
    pub(crate) rng: ChaCha8Rng,
    /// The machine that is being taken in.
    pub(crate) joining: Option<u64>,
    /// The most that a clock was ahead. Log time never goes back, so what a leader stamped then comes true so much later.
    pub(crate) ahead: Duration,
    /// Longest time that a message takes, usually.
    pub(crate) latency: Duration,
    /// Nodes that ended by themselves, and why.
    pub(crate) ends: Vec<(u64, String)>,
    port: Arc<Mutex<Option<Port>>>,
    stop_port: CancellationToken,
    evidence: Arc<Mutex<Option<anyhow::Result<Evidence>>>>,
    last_counts: Arc<Mutex<Counts>>,
    found: NodeConfig,
}

impl World {
    /// A world in which everything is about to start.
    ///
    /// # Errors
    /// If names or lanes of the plan cannot be.
    pub(crate) fn new(plan: &Plan) -> anyhow::Result<Self> {
        let mut builder = turmoil::Builder::new();
        builder
            .rng_seed(plan.seed)
            .tick_duration(Duration::from_millis(1))
            .min_message_latency(Duration::from_micros(200))
            .max_message_latency(plan.latency)
            .tcp_capacity(1 << 20)
            .ephemeral_ports(1024..=65_535)
            .simulation_duration(Duration::from_secs(1 << 20));
        if plan.shuffled {
            builder.enable_random_order();
        }
        let nodes = Nodes::default();
        let mut port = Port::new(plan.port.clone(), nodes.clone()).context("making the port")?;
        let mut found =
            NodeConfig::with_defaults(NodeId(1), Path::new("/node"), SocketAddr::from(([127, 0, 0, 1], PORT)))?;
        found.cluster.id = Some(CLUSTER);
        found.lanes = port.lanes();
        found.clock = PortClock {
            origin: Timestamp(EPOCH_MS),
            epoch_ms: EPOCH_MS,
            speed: plan.speed,
        };
        plan.tune(&mut found);
        let mut world = Self {
            sim: builder.build(),
            slots: BTreeMap::new(),
            meters: Meters::default(),
            control: Control::default(),
            clients: Control::default(),
            nodes,
            rng: ChaCha8Rng::seed_from_u64(plan.seed ^ 0x5eed),
            joining: None,
            ahead: Duration::ZERO,
            latency: plan.latency,
            ends: Vec::new(),
            port: Arc::default(),
            stop_port: CancellationToken::new(),
            evidence: Arc::default(),
            last_counts: Arc::default(),
            found,
        };
        let peers = |world: &World, id: u64| Peer {
            id: NodeId(id),
            address: PeerAddress::from(world.address(id)),
        };
        world.found.cluster.peers = (1..=plan.nodes).map(|id| peers(&world, id)).collect();
        for id in 1..=plan.nodes {
            let mut config = world.found.clone();
            config.node.id = NodeId(id);
            config.cluster.bootstrap = id == 1;
            world.add(id, config);
        }
        let control = world.control.clone();
        world.sim.host(DESK, move || {
            let control = control.clone();
            async move {
                control.run().await;
                Ok(())
            }
        });
        let (slot, nodes, meters) = (Arc::clone(&world.port), world.nodes.clone(), world.meters.clone());
        let (stop, evidence, clients) = (
            world.stop_port.clone(),
            Arc::clone(&world.evidence),
            world.clients.clone(),
        );
        let last_counts = Arc::clone(&world.last_counts);
        let addresses: Vec<(u64, SocketAddr)> = (1..=plan.nodes).map(|id| (id, world.address(id))).collect();
        world.sim.client(CLIENTS, async move {
            let connect = network::connector(CLIENTS, &meters);
            for (id, address) in addresses {
                nodes.add(id, connect(&address.to_string()));
            }
            port.start();
            *slot.lock().unwrap_or_else(PoisonError::into_inner) = Some(port);
            tokio::select! {
                () = stop.cancelled() => {}
                () = clients.run() => {}
            }
            let port = slot.lock().unwrap_or_else(PoisonError::into_inner).take();
            if let Some(port) = port {
                *last_counts.lock().unwrap_or_else(PoisonError::into_inner) = port.counts();
                let gathered = Evidence::gather(port.stop().await, &nodes, GATHER).await;
                *evidence.lock().unwrap_or_else(PoisonError::into_inner) = Some(gathered);
            }
            Ok(())
        });
        Ok(world)
    }

    /// Where a machine listens.
    pub(crate) fn address(&self, id: u64) -> SocketAddr {
        (self.sim.lookup(name(id)), PORT).into()
    }

    /// A machine whose process runs from now on.
    fn add(&mut self, id: u64, mut config: NodeConfig) {
        config.node.listen = self.address(id);
        config.node.data_dir = format!("/{}", name(id)).into();
        let seed = self.rng.random();
        let machine = Machine::new(&name(id), config, &self.meters, seed);
        self.slots.insert(
            id,
            Slot {
                machine: machine.clone(),
                held: 0,
                spoiled: false,
                gone: false,
                ended_at: None,
            },
        );
        self.sim.host(name(id), move || {
            let machine = machine.clone();
            async move {
                machine.run().await;
                Ok(())
            }
        });
    }

    /// A new machine that asks the others to be taken in. Its number, which is the id it will be granted if no other asks
    /// meanwhile.
    pub(crate) fn join(&mut self) -> u64 {
        let id = self.slots.keys().next_back().map_or(1, |last| last + 1);
        let mut config = self.found.clone();
        config.node.id = NodeId::NONE;
        config.cluster.join = self
            .slots
            .iter()
            .filter(|(_, slot)| !slot.gone && !slot.spoiled)
            .map(|(id, _)| PeerAddress::from(self.address(*id)))
            .collect();
        config.cluster.peers = vec![Peer {
            id: NodeId::NONE,
            address: PeerAddress::from(self.address(id)),
        }];
        self.add(id, config);
        let (nodes, meters, address) = (self.nodes.clone(), self.meters.clone(), self.address(id).to_string());
        // A channel belongs to the host that makes it.
        self.clients
            .ask(async move { nodes.add(id, network::connector(CLIENTS, &meters)(&address)) });
        id
    }

    /// Moves time on by a step.
    ///
    /// # Errors
    /// If the simulation itself fails.
    pub(crate) fn step(&mut self) -> anyhow::Result<()> {
        self.sim
            .step()
            .map_err(|error| anyhow::anyhow!("the simulation failed: {error}"))?;
        Ok(())
    }

    /// Simulated time since the beginning.
    pub(crate) fn now(&self) -> Duration {
        self.sim.elapsed()
    }

    /// A machine.
    ///
    /// # Panics
    /// If there is none of this number.
    pub(crate) fn slot(&mut self, id: u64) -> &mut Slot {
        self.slots.get_mut(&id).expect("a machine of the world")
    }

    /// Does a process run there?
    pub(crate) fn runs(&mut self, id: u64) -> bool {
        self.sim.is_host_running(name(id))
    }

    /// Machines that belong to the cluster.
    pub(crate) fn members(&self) -> Vec<u64> {
        self.slots
            .iter()
            .filter(|(_, slot)| !slot.gone)
            .map(|(id, _)| *id)
            .collect()
    }

    /// How each node is whose process serves.
    pub(crate) fn statuses(&self) -> BTreeMap<u64, Status> {
        let serving = self.slots.iter().filter(|(_, slot)| !slot.gone);
        serving
            .filter_map(|(id, slot)| Some((*id, slot.machine.status()?)))
            .collect()
    }

    /// The leader of the newest term.
    pub(crate) fn leader(&self) -> Option<u64> {
        let leads = |status: &Status| status.role == "Leader";
        let statuses = self.statuses();
        let leaders = statuses.iter().filter(|(_, status)| leads(status));
        leaders.max_by_key(|(_, status)| status.term).map(|(id, _)| *id)
    }

    /// Ends a process as `kill -9` does. False if none runs.
    pub(crate) fn kill(&mut self, id: u64) -> bool {
        if !self.runs(id) {
            return false;
        }
        self.sim.crash(name(id));
        let seed = self.rng.random();
        self.slot(id).machine.kill(seed);
        true
    }

    /// Cuts the power of a machine. False if no process runs there.
    pub(crate) fn lose_power(&mut self, id: u64) -> bool {
        let ran = self.runs(id);
        self.sim.crash(name(id));
        let (seed, now) = (self.rng.random(), self.now());
        self.slot(id).machine.lose_power(seed, now);
        ran
    }

    /// Starts a process, unless it runs.
    pub(crate) fn start(&mut self, id: u64) {
        if !self.runs(id) && !self.slot(id).gone {
            self.slot(id).ended_at = None;
            self.sim.bounce(name(id));
        }
    }

    /// Starts processes again that ended by themselves, as a supervisor does.
    pub(crate) fn supervise(&mut self) {
        let now = self.now();
        for id in self.members() {
            if self.runs(id) {
                continue;
            }
            let slot = self.slot(id);
            if slot.held > 0 {
                continue;
            }
            match slot.ended_at {
                None => {
                    slot.ended_at = Some(now);
                    if let Some(Ended::Failed(why)) = slot.machine.ended() {
                        self.ends.push((id, why));
                    }
                }
                Some(at) if now >= at + SUPERVISOR => self.start(id),
                Some(_) => {}
            }
        }
    }

    /// How the cluster is, as the first node that serves sees it: for messages.
    pub(crate) fn describe(&self) -> String {
        let consensus = self.slots.values().find_map(|slot| slot.machine.consensus());
        let Some(consensus) = consensus else {
            return "no node serves".to_owned();
        };
        let nodes = consensus.peek(|ledger| {
            let nodes = ledger.nodes().filter(|(_, record)| record.up);
            let nodes = nodes.map(|(node, _)| {
                let carries = ledger
                    .placements()
                    .filter(|(_, home)| home.live && home.node == node)
                    .count();
                let drained = if ledger.carries_nothing(node) {
                    ", to carry nothing"
                } else {
                    ""
                };
                format!("{node} carries {carries}{drained}")
            });
            nodes.collect::<Vec<_>>().join("; ")
        });
        format!(
            "up are: {nodes}; leader {:?}, voters {:?}",
            self.leader(),
            consensus.status().voters.keys().collect::<Vec<_>>()
        )
    }

    /// Does the ledger of the leader have this node as one on which actors can be placed?
    pub(crate) fn is_used(&self, id: u64) -> bool {
        let leader = self.leader().and_then(|leader| self.slots.get(&leader));
        let consensus = leader.and_then(|slot| slot.machine.consensus());
        consensus.is_some_and(|consensus| {
            consensus.peek(|ledger| ledger.nodes().any(|(node, record)| node == NodeId(id) && record.up))
        })
    }

    /// What the port's clients did so far.
    pub(crate) fn counts(&self) -> Counts {
        let port = self.port.lock().unwrap_or_else(PoisonError::into_inner);
        port.as_ref().map(Port::counts).unwrap_or_default()
    }

    /// Inspections that are not concluded, as far as clients know.
    pub(crate) fn open_inspections(&self) -> Vec<u64> {
        let port = self.port.lock().unwrap_or_else(PoisonError::into_inner);
        port.as_ref().map(Port::open).unwrap_or_default()
    }

    /// Nothing is open, and nothing is under way that could open something.
    pub(crate) fn is_settled(&self) -> bool {
        let port = self.port.lock().unwrap_or_else(PoisonError::into_inner);
        port.as_ref().is_some_and(Port::is_settled)
    }

    /// Ends what clients do wrong.
    pub(crate) fn calm(&self) {
        if let Some(port) = &*self.port.lock().unwrap_or_else(PoisonError::into_inner) {
            port.calm();
        }
    }

    /// Stops the clients, and has what they saw and what the nodes hold gathered, which takes some steps.
    pub(crate) fn stop_port(&self) {
        self.stop_port.cancel();
    }

    /// What was gathered, once it is there.
    pub(crate) fn evidence(&self) -> Option<anyhow::Result<Evidence>> {
        self.evidence.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    /// What the port's clients did until they were stopped.
    pub(crate) fn last_counts(&self) -> Counts {
        self.last_counts.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// The name of a machine.
pub(crate) fn name(id: u64) -> String {
    format!("node-{id}")
}
