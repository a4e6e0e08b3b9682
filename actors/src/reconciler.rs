//! Makes what runs on this node what the ledger says should run here, and supervises it.
//!
//! It compares levels, not edges: on every change and every second the placements for this process are compared with the
//! actors that run. An actor that crashed is started again under a new epoch only, so that whatever it had under way
//! before is fenced.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use portcullis_domain::command::{ClusterCommand, CommandBody};
use portcullis_domain::id::{CommandNo, Epoch};
use portcullis_domain::ledger::Ledger;
use portcullis_domain::outcome::Outcome;
use portcullis_domain::placement::ActorKey;
use ractor::{Actor, ActorCell, ActorProcessingErr, ActorRef, SpawnErr, SupervisionEvent};
use tokio::sync::{oneshot, watch};
use tokio::task::JoinSet;
use tokio::time::Instant;
use tracing::{debug, error, info, warn};

use crate::bell::Bell;
use crate::bounded::{Admission, BoundedRef};
use crate::config::HostConfig;
use crate::directory::{Address, Directory, Entry};
use crate::fusion::{Fusion, Sharing};
use crate::lane::Lane;
use crate::liveness::Liveness;
use crate::models::Models;
use crate::placement::Placement;
use crate::ports::{LedgerView, Ports};
use crate::post::Post;
use crate::scheduler::Scheduler;
use crate::shell::{Role, Shell, Signal, Start};

const BACKOFF_FIRST: Duration = Duration::from_millis(200);
const BACKOFF_MAX: Duration = Duration::from_secs(10);
/// An actor that ran for so long starts with a clean record.
const FORGIVEN: Duration = Duration::from_secs(60);

/// What reaches the reconciler.
#[derive(Debug)]
pub(crate) enum ReconcilerMessage {
    Look,
    /// This node leads in this term, or does not lead.
    Leader(Option<u64>),
    /// The answer to the proposal of a new home for a crashed actor is in.
    Asked(ActorKey),
    /// The answer to the proposal that this node is up is in.
    Announced,
    /// End everything, top down.
    Stop(oneshot::Sender<()>),
}

/// Wakes the reconciler, once at a time.
#[derive(Clone)]
pub(crate) struct Reconciling {
    rung: Arc<AtomicBool>,
    to: ActorRef<ReconcilerMessage>,
}

impl Reconciling {
    pub(crate) fn wake(&self) {
        if !self.rung.swap(true, Ordering::AcqRel) {
            let _ = self.to.send_message(ReconcilerMessage::Look);
        }
    }

    pub(crate) fn tell(&self, message: ReconcilerMessage) {
        // One that is gone shows in `Host::boot_lost`.
        let _ = self.to.send_message(message);
    }

    pub(crate) fn cell(&self) -> ActorCell {
        self.to.get_cell()
    }
}

/// What the reconciler is started with.
pub(crate) struct Setup {
    pub(crate) config: Arc<HostConfig>,
    pub(crate) ports: Ports,
    pub(crate) directory: Directory,
    pub(crate) liveness: Arc<Mutex<Liveness>>,
    pub(crate) lost: watch::Sender<bool>,
}

/// An actor that crashed and waits for a new epoch.
struct Crashed {
    epoch: Epoch,
    backoff: Duration,
    at: Instant,
    asking: bool,
}

pub(crate) struct State {
    setup: Setup,
    post: Post,
    me: Reconciling,
    /// Of all fusion shards here.
    models: Arc<Models>,
    leader: Option<u64>,
    /// The term that the running placement actor belongs to.
    placing: Option<u64>,
    crashed: BTreeMap<ActorKey, Crashed>,
    /// Placements that are over although this replica still shows them: a command was fenced.
    over: BTreeMap<ActorKey, Epoch>,
    was_up: bool,
    announcing: bool,
    stopped: bool,
    tasks: JoinSet<()>,
}

/// The supervisor.
pub(crate) struct Reconciler;

impl Reconciler {
    /// Starts it.
    pub(crate) async fn start(setup: Setup) -> Result<Reconciling, SpawnErr> {
        let rung = Arc::new(AtomicBool::new(false));
        let (to, _) = Actor::spawn(None, Self, (setup, Arc::clone(&rung))).await?;
        Ok(Reconciling { rung, to })
    }
}

impl Actor for Reconciler {
    type Msg = ReconcilerMessage;
    type State = State;
    type Arguments = (Setup, Arc<AtomicBool>);

    async fn pre_start(
        &self,
        myself: ActorRef<Self::Msg>,
        (setup, rung): Self::Arguments,
    ) -> Result<State, ActorProcessingErr> {
        let post = Post {
            identity: setup.config.identity,
            directory: setup.directory.clone(),
            ports: setup.ports.clone(),
        };
        Ok(State {
            setup,
            post,
            me: Reconciling { rung, to: myself },
            models: Arc::default(),
            leader: None,
            placing: None,
            crashed: BTreeMap::new(),
            over: BTreeMap::new(),
            was_up: false,
            announcing: false,
            stopped: false,
            tasks: JoinSet::new(),
        })
    }

    async fn handle(
        &self,
        myself: ActorRef<Self::Msg>,
        message: ReconcilerMessage,
        state: &mut State,
    ) -> Result<(), ActorProcessingErr> {
        match message {
            ReconcilerMessage::Look => state.me.rung.store(false, Ordering::Release),
            ReconcilerMessage::Leader(term) => state.leader = term,
            ReconcilerMessage::Asked(key) => {
                if let Some(crashed) = state.crashed.get_mut(&key) {
                    crashed.asking = false;
                    crashed.at = Instant::now() + crashed.backoff;
                }
            }
            ReconcilerMessage::Announced => state.announcing = false,
            ReconcilerMessage::Stop(done) => {
                state.stopped = true;
                state.stop_all().await;
                let _ = done.send(());
                return Ok(());
            }
        }
        if !state.stopped {
            state.reconcile(&myself).await;
        }
        Ok(())
    }

    async fn handle_supervisor_evt(
        &self,
        _: ActorRef<Self::Msg>,
        event: SupervisionEvent,
        state: &mut State,
    ) -> Result<(), ActorProcessingErr> {
        match event {
            SupervisionEvent::ActorFailed(cell, error) => {
                if let Some((key, entry)) = state.setup.directory.remove_ended(cell.get_id()) {
                    error!(%key, epoch = entry.epoch.0, %error, "actor crashed");
                    state.crashed(key, entry.epoch);
                }
            }
            SupervisionEvent::ActorTerminated(cell, _, reason) => {
                // Whom the reconciler stopped is off the list already.
                if let Some((key, entry)) = state.setup.directory.remove_ended(cell.get_id()) {
                    debug!(%key, epoch = entry.epoch.0, ?reason, "actor ended by itself");
                    state.over.insert(key, entry.epoch);
                    state.me.wake();
                }
            }
            _ => {}
        }
        Ok(())
    }
}

impl State {
    async fn reconcile(&mut self, myself: &ActorRef<ReconcilerMessage>) {
        while self.tasks.try_join_next().is_some() {}
        let ledger = self.setup.ports.ledger.ledger();
        self.announce(&ledger);
        let me = self.setup.config.identity;
        let wanted: BTreeMap<ActorKey, Epoch> = ledger
            .placements()
            .filter(|(_, placement)| placement.live && (placement.node, placement.boot) == (me.node, me.boot))
            .map(|(key, placement)| (key.clone(), placement.epoch))
            .collect();
        self.over.retain(|key, epoch| wanted.get(key) == Some(epoch));
        for (key, entry) in self.setup.directory.all() {
            if key != ActorKey::Placement && wanted.get(&key) != Some(&entry.epoch) {
                info!(%key, epoch = entry.epoch.0, "the placement has moved, stopping the actor");
                self.setup.directory.remove(&key);
                entry.cell.stop(Some("moved".to_owned()));
            }
        }
        let supervisor = myself.get_cell();
        for (key, epoch) in &wanted {
            let crashed_here = self.crashed.get(key).is_some_and(|crashed| crashed.epoch == *epoch);
            let over = self.over.get(key) == Some(epoch);
            if !crashed_here && !over && self.setup.directory.get(key).is_none() {
                self.start(key, *epoch, &supervisor).await;
            }
        }
        self.revive(&wanted);
        self.follow_leadership(&supervisor).await;
    }

    /// Says that this process is up until the ledger knows; notices when the ledger has given this process up.
    fn announce(&mut self, ledger: &Ledger) {
        if ledger.cluster().is_none() || *self.setup.lost.borrow() {
            return;
        }
        let identity = self.setup.config.identity;
        let record = ledger.node(identity.node);
        let given_up = match record {
            Some(record) if record.boot == identity.boot => {
                self.was_up |= record.up;
                !record.up
            }
            _ => self.was_up,
        };
        if given_up {
            warn!(node = %identity.node, boot = %identity.boot, "this process was declared down; it needs a new boot id");
            self.setup.lost.send_replace(true);
            return;
        }
        if self.was_up || self.announcing {
            return;
        }
        self.announcing = true;
        let command = ClusterCommand::NodeUp {
            node: identity.node,
            boot: identity.boot,
            expect: record.map(|record| record.boot),
            capacity: self.setup.config.capacity,
            version: self.setup.config.version,
        };
        self.propose(command, ReconcilerMessage::Announced);
    }

    fn propose(&mut self, command: ClusterCommand, then: ReconcilerMessage) {
        let proposer = Arc::clone(&self.setup.ports.proposer);
        let ledger = Arc::clone(&self.setup.ports.ledger);
        let me = self.me.clone();
        self.tasks.spawn(async move {
            match proposer.propose(CommandBody::Cluster(command), String::new()).await {
                // A replica that is far behind would ask for it over and over until it shows it.
                Ok(Outcome::Applied(applied)) => shown(&*ledger, applied.number).await,
                Ok(Outcome::Refused(refusal)) => {
                    debug!(%refusal, "cluster command refused");
                    tokio::time::sleep(Duration::from_millis(100)).await;
                }
                Err(error) => {
                    debug!(%error, "cluster command has no outcome");
                    portcullis_domain::mutant!(GivesUpForGood, return);
                    tokio::time::sleep(Duration::from_millis(100)).await;
                }
            }
            me.tell(then);
        });
    }

    fn crashed(&mut self, key: ActorKey, epoch: Epoch) {
        let now = Instant::now();
        if key == ActorKey::Placement {
            // It has no epoch: every step it takes is compare-and-set. The next look starts it again.
            self.placing = None;
            self.look_after(BACKOFF_FIRST);
            return;
        }
        let backoff = match self.crashed.get(&key) {
            Some(before) if now.saturating_duration_since(before.at) < FORGIVEN => {
                (before.backoff * 2).min(BACKOFF_MAX)
            }
            _ => BACKOFF_FIRST,
        };
        self.crashed.insert(
            key,
            Crashed {
                epoch,
                backoff,
                at: now + backoff,
                asking: false,
            },
        );
        self.look_after(backoff);
    }

    fn look_after(&mut self, wait: Duration) {
        let me = self.me.clone();
        self.tasks.spawn(async move {
            tokio::time::sleep(wait).await;
            me.wake();
        });
    }

    /// Asks for a new epoch for each crashed actor that still belongs here and has waited long enough.
    fn revive(&mut self, wanted: &BTreeMap<ActorKey, Epoch>) {
        let now = Instant::now();
        let identity = self.setup.config.identity;
        let mut asks = Vec::new();
        for (key, crashed) in &mut self.crashed {
            if wanted.get(key) == Some(&crashed.epoch) && !crashed.asking && now >= crashed.at {
                crashed.asking = true;
                asks.push((key.clone(), crashed.epoch));
            }
        }
        for (key, expect) in asks {
            info!(%key, expect = expect.0, "asking for a new epoch after a crash");
            let command = ClusterCommand::Place {
                key: key.clone(),
                expect,
                node: identity.node,
                boot: identity.boot,
            };
            self.propose(command, ReconcilerMessage::Asked(key));
        }
        // A record is kept for a while after the actor lives again, so that the next crash waits longer.
        self.crashed.retain(|key, crashed| {
            wanted.get(key) == Some(&crashed.epoch) || now.saturating_duration_since(crashed.at) < FORGIVEN
        });
    }

    async fn follow_leadership(&mut self, supervisor: &ActorCell) {
        let lost = *self.setup.lost.borrow();
        let wanted = self.leader.filter(|_| !lost);
        if self.placing == wanted {
            return;
        }
        if let Some(entry) = self.setup.directory.remove(&ActorKey::Placement) {
            entry.cell.stop(Some("no longer the leader of that term".to_owned()));
        }
        self.placing = wanted;
        if let Some(term) = wanted {
            info!(term, "this node leads, placing actors");
            self.start(&ActorKey::Placement, Epoch::NONE, supervisor).await;
        }
    }

    async fn start(&mut self, key: &ActorKey, epoch: Epoch, supervisor: &ActorCell) {
        let started = match key {
            ActorKey::Lane(id) => self.spawn::<Lane>(key, epoch, *id, supervisor, Address::Lane).await,
            ActorKey::Fusion(shard) => {
                let models = Arc::clone(&self.models);
                let setup = Sharing { shard: *shard, models };
                self.spawn::<Fusion>(key, epoch, setup, supervisor, Address::Fusion)
                    .await
            }
            ActorKey::Scheduler(terminal) => {
                self.spawn::<Scheduler>(key, epoch, terminal.clone(), supervisor, Address::Scheduler)
                    .await
            }
            ActorKey::Placement => {
                let liveness = Arc::clone(&self.setup.liveness);
                self.spawn::<Placement>(key, epoch, liveness, supervisor, Address::Placement)
                    .await
            }
        };
        match started {
            Ok(entry) => {
                self.setup.directory.insert(key.clone(), entry.clone());
                // From here on it hears of changes; it starts from a ledger that has all those before.
                entry.wake(&[]);
            }
            Err(error) => {
                error!(%key, epoch = epoch.0, %error, "actor did not start");
                self.crashed(key.clone(), epoch);
            }
        }
    }

    async fn spawn<R: Role>(
        &self,
        key: &ActorKey,
        epoch: Epoch,
        setup: R::Setup,
        supervisor: &ActorCell,
        address: fn(BoundedRef<Signal<R::Message>>) -> Address,
    ) -> Result<Entry, SpawnErr> {
        let bell = Arc::new(Bell::default());
        let admission = Admission::new(self.setup.config.mailbox);
        let start = Start::<R> {
            key: key.clone(),
            epoch,
            config: Arc::clone(&self.setup.config),
            ports: self.setup.ports.clone(),
            post: self.post.clone(),
            bell: Arc::clone(&bell),
            admission: admission.clone(),
            setup,
        };
        let (to, _) = Actor::spawn_linked(None, Shell::<R>::new(), start, supervisor.clone()).await?;
        let cell = to.get_cell();
        Ok(Entry {
            epoch,
            cell,
            address: address(BoundedRef::new(to, admission)),
            bell,
        })
    }

    /// Top down: first who makes work, then who does it.
    async fn stop_all(&mut self) {
        let order = |key: &ActorKey| match key {
            ActorKey::Placement => 0,
            ActorKey::Scheduler(_) => 1,
            ActorKey::Lane(_) => 2,
            ActorKey::Fusion(_) => 3,
        };
        let mut all = self.setup.directory.all();
        all.sort_by_key(|(key, _)| order(key));
        for (key, entry) in all {
            self.setup.directory.remove(&key);
            let limit = Some(self.setup.config.stop_within);
            if entry
                .cell
                .stop_and_wait(Some("the node stops".to_owned()), limit)
                .await
                .is_err()
            {
                // Stopped by itself meanwhile, or stuck.
                entry.cell.kill();
            }
        }
        self.tasks.shutdown().await;
    }
}

/// Waits until this replica has applied a command.
async fn shown(ledger: &dyn LedgerView, number: CommandNo) {
    let mut changes = ledger.changes();
    while ledger.ledger().number() < number {
        if changes.changed().await.is_err() {
            return;
        }
    }
}
