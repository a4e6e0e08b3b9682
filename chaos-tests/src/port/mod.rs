//! A whole port as a workload: everybody who talks to the cluster, honest and not, until they are stopped.
//!
//! It reaches nodes only through the channels it is given, waits only on tokio's clock, and draws only from its seed, so
//! that it runs against real processes and in a simulation alike. One kind of client is one file.

mod analyst;
mod client;
mod clock;
mod controller;
mod counts;
mod device;
mod gate;
mod lanes;
mod line;
mod nodes;
mod officer;
mod operator;
mod options;
mod reader;
mod sensor;
mod shared;
mod terminal;
mod watcher;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use anyhow::Context as _;
use ed25519_dalek::SigningKey;
use portcullis_domain::id::DeviceId;
use portcullis_domain::lane::LaneSpec;
use portcullis_proto::v1 as pb;
use portcullis_simulator::{Arrivals, PortPlan};
use prost::Message as _;
use rand::SeedableRng as _;
use rand_chacha::ChaCha8Rng;
use tokio::task::JoinSet;

pub use client::is_final;
pub use counts::Counts;
pub use nodes::Nodes;
pub use options::{Misbehaviour, PortOptions};

use self::client::Client;
use self::device::Device;
use self::shared::Shared;
use crate::history::{History, Recorder, Request};
use crate::write::Told;

/// Terminal systems that announce containers.
const TERMINALS: u32 = 2;

/// The clients of a port. They end when this is dropped.
pub struct Port {
    shared: Arc<Shared>,
    lanes: Vec<LaneSpec>,
    keys: BTreeMap<DeviceId, SigningKey>,
    clients: JoinSet<()>,
}

impl Port {
    /// A port in front of these nodes. Nothing runs yet.
    ///
    /// # Errors
    /// If a name of the port cannot be one.
    pub fn new(options: PortOptions, nodes: Nodes) -> anyhow::Result<Self> {
        let mut rng = ChaCha8Rng::seed_from_u64(options.seed);
        let (lanes, keys) = lanes::lanes(options.lanes, &mut rng).context("making the port's lanes")?;
        let mut plan =
            portcullis_simulator::PortOptions::for_terminal(lanes::TERMINAL).context("making the port's plan")?;
        plan.arrivals = Arrivals::Poisson {
            per_hour: (options.per_minute * 60.0).round().max(1.0) as u32,
        };
        let plan = PortPlan::new(options.seed, options.containers.max(1), plan);
        Ok(Self {
            shared: Arc::new(Shared::new(options, nodes, plan)),
            lanes,
            keys,
            clients: JoinSet::new(),
        })
    }

    /// The lanes with their devices, for the configuration that founds the cluster.
    pub fn lanes(&self) -> Vec<LaneSpec> {
        self.lanes.clone()
    }

    /// Starts all clients, in the runtime that this is called in. They wait until a node tells them the port's time.
    pub fn start(&mut self) {
        let shared = self.shared.clone();
        let client = |name: String| Client::new(&shared, name);
        let spawn = &mut self.clients;
        spawn.spawn(clock::keep(client("clock".to_owned())));
        for number in 0..TERMINALS {
            spawn.spawn(terminal::run(client(format!("tos-{number}")), number, TERMINALS));
        }
        for number in 0..shared.options.watchers {
            spawn.spawn(watcher::run(client(format!("watcher-{number}"))));
        }
        for number in 0..shared.options.officers {
            spawn.spawn(officer::run(client(format!("officer-{number}"))));
        }
        for number in 0..shared.options.readers {
            spawn.spawn(reader::run(client(format!("reader-{number}"))));
        }
        spawn.spawn(line::run(client("line".to_owned())));
        spawn.spawn(gate::run(client("gate".to_owned())));
        spawn.spawn(operator::run(client("operator".to_owned()), self.lanes.clone()));
        spawn.spawn(analyst::run(client("analyst".to_owned())));
        for lane in &self.lanes {
            for spec in &lane.devices {
                if let Some(key) = self.keys.get(&spec.id).cloned() {
                    let device = Device::new(&shared, lane.id, spec.id.clone(), spec.kind, key);
                    spawn.spawn(Arc::new(device).run());
                }
            }
        }
    }

    /// Ends misbehaviour and announcements. Closed lanes are opened, drained nodes put back; everything that is open can be
    /// concluded from now on, and officers decide what waits for them.
    pub fn calm(&self) {
        self.shared.calm.send_replace(true);
    }

    /// Whether the operator and the analyst act. An operator who does not still opens lanes and nodes that were taken out of
    /// service.
    pub fn operators(&self, act: bool) {
        self.shared.operators.store(act, Ordering::Relaxed);
    }

    /// What was done so far.
    pub fn counts(&self) -> Counts {
        self.shared.counts().clone()
    }

    /// Inspections whose announcement was acknowledged and that no watcher has seen concluded, ascending.
    pub fn open(&self) -> Vec<u64> {
        let world = self.shared.world();
        let open = world.announced.keys().filter(|no| !world.concluded.contains(no));
        open.copied().collect()
    }

    /// What the nodes say about those that are open: where each of them stands, in a line.
    pub async fn open_cases(&self) -> Vec<String> {
        let mut asking = Client::new(&self.shared, "open-cases");
        let mut cases = Vec::new();
        for inspection in self.open() {
            let request = Request::GetInspection(pb::GetInspectionRequest {
                target: Some(pb::get_inspection_request::Target::Inspection(inspection)),
                ..pb::GetInspectionRequest::default()
            });
            let case = match asking.insist(&Arc::new(request)).await {
                Told::Applied(bytes) => pb::GetInspectionResponse::decode(&*bytes).ok(),
                Told::Refused(_) | Told::Unknown => None,
            };
            cases.push(match case.and_then(|answer| answer.inspection) {
                Some(case) => format!(
                    "{inspection} ({}): {} at lane {:?}, {} passes, ready at {}",
                    case.equipment_id,
                    case.stage().as_str_name(),
                    case.lane,
                    case.passes,
                    case.ready_at_ms
                ),
                None => format!("{inspection}: no node says"),
            });
        }
        cases
    }

    /// Nothing is open, and no announcement is under way that could open something. Once the port is calm it stays so.
    pub fn is_settled(&self) -> bool {
        self.shared.asked() == 0 && self.open().is_empty()
    }

    /// What was put down so far: a copy for checks while the port runs.
    pub fn history(&self) -> History {
        self.shared.recorder.history()
    }

    /// Where the history is put down, for what else happens to the cluster.
    pub fn recorder(&self) -> Recorder {
        self.shared.recorder.clone()
    }

    /// Stops all clients, and returns what they saw. Calls under way stay unknown.
    pub async fn stop(mut self) -> History {
        self.clients.shutdown().await;
        self.shared.recorder.take()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

    use std::time::Duration;

    use portcullis_domain::equipment::EquipmentId;
    use portcullis_domain::id::LaneId;
    use rand::RngExt as _;

    use super::*;

    fn port(seed: u64) -> Port {
        let options = PortOptions {
            seed,
            containers: 10,
            ..PortOptions::default()
        };
        Port::new(options, Nodes::default()).unwrap()
    }

    #[test]
    fn a_port_is_made_of_its_seed() {
        assert_eq!(port(1).lanes(), port(1).lanes());
        assert_ne!(port(1).lanes(), port(2).lanes(), "keys are drawn");
        assert_eq!(port(1).shared.plan.visits(), port(1).shared.plan.visits());
    }

    #[test]
    fn what_one_client_draws_depends_on_seed_and_name_alone() {
        let draws = |port: &Port, name: &str| -> Vec<u64> {
            let mut client = Client::new(&port.shared, name);
            (0..8).map(|_| client.rng.random()).collect()
        };
        let (one, same, other) = (port(1), port(1), port(2));
        draws(&same, "officer-0");
        assert_eq!(draws(&one, "gate"), draws(&same, "gate"), "the officer moved nothing");
        assert_ne!(draws(&one, "gate"), draws(&one, "officer-0"));
        assert_ne!(draws(&one, "gate"), draws(&other, "gate"));
    }

    #[test]
    fn request_ids_of_a_client_are_never_used_twice() {
        let port = port(1);
        let mut gate = Client::new(&port.shared, "gate");
        let ids: std::collections::BTreeSet<String> = (0..100)
            .map(|_| gate.context("gate", "clerk").unwrap().request_id)
            .collect();
        assert_eq!(ids.len(), 100);
    }

    #[test]
    fn a_container_stands_before_one_lane_and_drives_on_once() {
        let port = port(1);
        let equipment = EquipmentId::new("MSKU1234565").unwrap();
        let mut world = port.shared.world();
        world.standing.insert(equipment.clone(), LaneId(1));
        world.standing.insert(equipment.clone(), LaneId(2));
        assert!(!world.leave(&equipment, LaneId(1)), "it has driven to another lane");
        assert!(world.leave(&equipment, LaneId(2)));
        assert!(!world.leave(&equipment, LaneId(2)));
    }

    #[tokio::test]
    async fn a_port_without_nodes_waits_and_can_be_stopped() {
        let mut port = port(1);
        port.start();
        tokio::task::yield_now().await;
        port.calm();
        assert!(port.open().is_empty());
        let history = tokio::time::timeout(Duration::from_secs(5), port.stop()).await.unwrap();
        assert!(history.operations.is_empty() && history.orders.is_empty());
    }
}
