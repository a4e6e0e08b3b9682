//! What all clients of a port share.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use portcullis_domain::equipment::EquipmentId;
use portcullis_domain::id::LaneId;
use portcullis_proto::v1 as pb;
use portcullis_simulator::{Outfit, PortPlan, ReadingSource};
use prost::Message as _;
use tokio::sync::watch;

use super::clock::PortTime;
use super::counts::Counts;
use super::nodes::Nodes;
use super::options::PortOptions;
use crate::history::{Recorder, Request, submit};
use crate::write::Told;

/// What all clients share.
pub(super) struct Shared {
    pub(super) options: PortOptions,
    pub(super) nodes: Nodes,
    pub(super) recorder: Recorder,
    pub(super) plan: PortPlan,
    pub(super) source: ReadingSource,
    pub(super) clock: watch::Sender<Option<PortTime>>,
    pub(super) calm: watch::Sender<bool>,
    pub(super) operators: AtomicBool,
    asking: AtomicUsize,
    counts: Mutex<Counts>,
    world: Mutex<World>,
}

/// An announcement that is under way.
pub(super) struct Asking(Arc<Shared>);

impl Drop for Asking {
    fn drop(&mut self) {
        self.0.asking.fetch_sub(1, Ordering::SeqCst);
    }
}

/// What the port's own systems know of its containers.
#[derive(Debug, Default)]
pub(super) struct World {
    /// Inspections whose announcement was acknowledged.
    pub(super) announced: BTreeMap<u64, EquipmentId>,
    /// Inspections that watchers saw concluded.
    pub(super) concluded: BTreeSet<u64>,
    /// Before which lane each container stands that has arrived somewhere and was not sent on.
    pub(super) standing: BTreeMap<EquipmentId, LaneId>,
}

impl World {
    /// A container drives on from a lane; false if it does not stand there.
    pub(super) fn leave(&mut self, equipment: &EquipmentId, lane: LaneId) -> bool {
        let stands = self.standing.get(equipment) == Some(&lane);
        if stands {
            self.standing.remove(equipment);
        }
        stands
    }
}

impl Shared {
    pub(super) fn new(options: PortOptions, nodes: Nodes, plan: PortPlan) -> Self {
        Self {
            source: ReadingSource::new(plan.seed(), Outfit::Basic),
            options,
            nodes,
            recorder: Recorder::new(),
            plan,
            clock: watch::Sender::new(None),
            calm: watch::Sender::new(false),
            operators: AtomicBool::new(true),
            asking: AtomicUsize::new(0),
            counts: Mutex::default(),
            world: Mutex::default(),
        }
    }

    /// Asks a node, once, and puts it down.
    pub(super) async fn ask(&self, client: &Arc<str>, node: u64, request: &Arc<Request>) -> Told {
        let Some(channel) = self.nodes.channel(node) else {
            return Told::Unknown;
        };
        let limit = self.options.call;
        let place = self.recorder.invoke(client, node, request, limit);
        let told = request.send(channel, limit).await;
        self.recorder.answer(place, told.clone());
        self.learn(request, &told);
        told
    }

    /// Sends writes to a node as one batch, and puts down each of them.
    pub(super) async fn submit(&self, client: &Arc<str>, node: u64, requests: &[Arc<Request>]) -> Vec<Told> {
        let Some(channel) = self.nodes.channel(node) else {
            return Vec::new();
        };
        let limit = self.options.call;
        let invoke = |request| self.recorder.invoke(client, node, request, limit);
        let places: Vec<usize> = requests.iter().map(invoke).collect();
        let answers = submit(channel, requests, limit).await;
        for ((place, request), told) in places.into_iter().zip(requests).zip(&answers) {
            self.recorder.answer(place, told.clone());
            self.learn(request, told);
        }
        self.counts().happened("batch");
        answers
    }

    /// Counts an answer; one to an announcement names an inspection that is to be concluded.
    fn learn(&self, request: &Request, told: &Told) {
        self.counts().answered(request.kind(), told);
        if let (Request::Announce(asked), Told::Applied(bytes)) = (request, told)
            && let Some(announcement) = &asked.announcement
            && let Ok(equipment) = EquipmentId::new(&announcement.equipment_id)
            && let Ok(answer) = pb::AnnounceResponse::decode(&**bytes)
        {
            self.world().announced.insert(answer.inspection, equipment);
        }
    }

    /// Misbehaviour is over.
    pub(super) fn is_calm(&self) -> bool {
        *self.calm.borrow()
    }

    /// An announcement is under way until this is dropped.
    pub(super) fn asking(self: &Arc<Self>) -> Asking {
        self.asking.fetch_add(1, Ordering::SeqCst);
        Asking(self.clone())
    }

    /// Announcements whose answer is not known yet.
    pub(super) fn asked(&self) -> usize {
        self.asking.load(Ordering::SeqCst)
    }

    /// Operators may act.
    pub(super) fn operators_act(&self) -> bool {
        self.operators.load(Ordering::Relaxed)
    }

    /// The port's clock, once it is set.
    pub(super) async fn time(&self) -> PortTime {
        let mut clock = self.clock.subscribe();
        match clock.wait_for(Option::is_some).await.map(|time| *time) {
            Ok(Some(time)) => time,
            // The sender lives as long as we do, and the wait was for a time.
            _ => std::future::pending().await,
        }
    }

    pub(super) fn counts(&self) -> MutexGuard<'_, Counts> {
        self.counts.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn world(&self) -> MutexGuard<'_, World> {
        self.world.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
