//! The handle through which the rest of the system proposes, reads and follows.

use std::any::Any;
use std::fmt;
use std::future::Future;
use std::io;
use std::panic::AssertUnwindSafe;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures::FutureExt;
use tokio::sync::watch;
use tokio::time::{Instant, timeout_at};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::agreement::Agreement;
use crate::blobs::Blobs;
use crate::errors::{ChangeError, OpenError, ProposeError};
use crate::fetch::Fetcher;
use crate::forward::Forwarder;
use crate::home::{Home, HomeError};
use crate::index::Index;
use crate::leadership::{self, Leadership, Raft};
use crate::ledger::{Command, Digest, Incarnation, Ledger, NodeId, Outcome};
use crate::log::LogStore;
use crate::machine::Machine;
use crate::network::Network;
use crate::peers::{Connector, Known, Peers};
use crate::proposer::{Proposer, Room};
use crate::replica::Replica;
use crate::settings::Settings;
use crate::snapshot::Content;
use crate::snapshots::Snapshots;
use crate::tlog::Tlog;
use crate::{purge, snapshotting};

/// How long shutting down waits for its tasks.
const SHUTDOWN: Duration = Duration::from_secs(10);

/// The replicated core of one node. Clones are cheap and mean the same node.
#[derive(Clone)]
pub struct Consensus {
    inner: Arc<Inner>,
}

struct Inner {
    node: u64,
    incarnation: Incarnation,
    patience: Duration,
    /// How long a leader may trust that a quorum has confirmed it.
    lease: Duration,
    /// Until when this node has to keep what it may have promised a leader before it was restarted.
    promises_until: Option<Instant>,
    raft: Raft,
    replica: Arc<Replica>,
    proposer: Arc<Proposer>,
    peers: Peers,
    fetcher: Fetcher,
    index: Arc<Index>,
    blobs: Blobs,
    leadership: watch::Receiver<Leadership>,
    stop: CancellationToken,
    tasks: TaskTracker,
    held: Mutex<Option<Held>>,
}

/// What another process may use once this node has shut down.
struct Held {
    log: LogStore,
    _home: Home,
}

impl Drop for Held {
    fn drop(&mut self) {
        // Others may still hold the log; its writer must be gone before the lock of the folder is.
        self.log.end();
    }
}

impl fmt::Debug for Consensus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Consensus")
            .field("node", &self.inner.node)
            .finish_non_exhaustive()
    }
}

impl Consensus {
    /// Opens the node's folder, restores its state from snapshot and log, and takes part in the cluster as soon as
    /// [`Consensus::grpc_service`] is mounted. Needs a tokio runtime.
    ///
    /// # Errors
    /// Everything that makes the folder unfit; each says what to do.
    pub async fn open(settings: Settings, connector: Connector) -> Result<Self, OpenError> {
        let config = Arc::new(settings.raft_config()?);
        let opened = {
            let settings = settings.clone();
            // Errors of two kinds: those of the thread, and ours.
            let opened = settings.blocking.run({
                let settings = settings.clone();
                move || Ok(open_files(&settings))
            });
            opened.await.map_err(|error| OpenError::Restore(error.to_string()))??
        };
        let Files {
            home,
            log,
            machine,
            replica,
            blobs,
        } = opened;
        let incarnation = home.incarnation();
        let roster = {
            let replica = Arc::clone(&replica);
            move |node| known(&replica, node)
        };
        let peers = Peers::new(
            connector,
            settings.cluster,
            settings.node,
            incarnation,
            Arc::new(roster),
        );

        let network = Network {
            peers: peers.clone(),
            disk: Arc::clone(&settings.disk),
            blocking: settings.blocking,
            patience: settings.timing.election_max.max(Duration::from_secs(1)),
        };
        let stop = CancellationToken::new();
        let tasks = TaskTracker::new();
        // The replay inside of `new` makes bundles already.
        {
            let tlog = Arc::clone(&replica.tlog);
            let writer = tlog.write_bundles(settings.blocking, stop.clone());
            spawn(&tasks, &replica, "writing the decision log", writer);
        }
        let raft = match Raft::new(settings.node, config, network, log.clone(), machine).await {
            Ok(raft) => raft,
            Err(fatal) => {
                stop.cancel();
                return Err(OpenError::Restore(fatal.to_string()));
            }
        };

        let promises_until = Instant::now() + settings.timing.election_max;
        let promised = raft.is_initialized().await;
        let promised = promised.map_err(|fatal| OpenError::Restore(fatal.to_string()))?;

        let (leaders, leadership) = watch::channel(Leadership::default());
        let forwarder = Forwarder::new(peers.clone(), leadership.clone());
        let (proposer, queue) = Proposer::new(
            raft.clone(),
            &settings,
            leadership.clone(),
            replica.fatal.subscribe(),
            forwarder,
        );
        let fetcher = Fetcher {
            peers: peers.clone(),
            raft: raft.clone(),
            replica: Arc::clone(&replica),
        };
        let consensus = Consensus {
            inner: Arc::new(Inner {
                node: settings.node,
                incarnation,
                patience: settings.patience,
                lease: settings.timing.lease(),
                promises_until: promised.then_some(promises_until),
                raft: raft.clone(),
                replica: Arc::clone(&replica),
                proposer: Arc::clone(&proposer),
                peers,
                fetcher: fetcher.clone(),
                index: Arc::new(Index::new(home.sled(), Arc::clone(&settings.open_store))),
                blobs,
                leadership,
                stop: stop.clone(),
                tasks: tasks.clone(),
                held: Mutex::new(Some(Held { log, _home: home })),
            }),
        };
        {
            let stop = stop.clone();
            spawn(&tasks, &replica, "proposing", async move {
                proposer.run(queue, stop).await;
                Ok(())
            });
        }
        let purging = purge::run(raft.clone(), Arc::clone(&replica), settings.keep_entries, stop.clone());
        spawn(&tasks, &replica, "purging the Raft log", purging);
        let snapshotting = snapshotting::run(
            raft.clone(),
            Arc::clone(&replica),
            settings.snapshot_every,
            stop.clone(),
        );
        spawn(&tasks, &replica, "taking snapshots", snapshotting);
        spawn(&tasks, &replica, "fetching bundles", fetcher.run(stop.clone()));
        let indexing = Arc::clone(consensus.index()).run(consensus.clone(), stop.clone());
        spawn(&tasks, &replica, "indexing the decision log", indexing);
        {
            let (following, stop) = (Arc::clone(&replica), stop.clone());
            spawn(&tasks, &replica, "following Raft", async move {
                // While the node is being shut down Raft may fail on what has ended before it.
                if let Some(reason) = leadership::follow(raft, leaders).await
                    && !stop.is_cancelled()
                {
                    following.stop_for(format!("consensus: {reason}"));
                }
                Ok(())
            });
        }
        {
            let (consensus, stop) = (consensus.clone(), stop.clone());
            spawn(&tasks, &replica, "waiting for promised leases", async move {
                tokio::select! {
                    () = consensus.keep_promises() => consensus.raft().runtime_config().elect(true),
                    () = stop.cancelled() => {}
                }
                Ok(())
            });
        }
        tasks.close();
        Ok(consensus)
    }

    /// Has commands applied, from any node, and returns the outcome of each, in their order. They are stamped by the leader;
    /// `Command::at` of what is given does not matter. They need not end up side by side in the log.
    ///
    /// # Errors
    /// For each command by itself; [`ProposeError::Unknown`] means that it may still take effect.
    pub async fn propose(&self, commands: Vec<Command>) -> Vec<Result<Outcome, ProposeError>> {
        self.propose_within(commands, self.inner.patience).await
    }

    /// Waits for places in the queue. For a stream of commands, which is made to wait before it sends more instead of being
    /// refused; streams together get half of the queue.
    pub async fn room(&self, commands: usize) -> Room {
        self.inner.proposer.room(commands).await
    }

    /// Places in the queue for a stream of commands, as [`Consensus::room`] gives them, if they are free.
    pub fn room_now(&self, commands: usize) -> Option<Room> {
        self.inner.proposer.room_now(commands)
    }

    /// Like [`Consensus::propose`], with a deadline of its own.
    ///
    /// # Errors
    /// As there.
    pub async fn propose_within(
        &self,
        commands: Vec<Command>,
        patience: Duration,
    ) -> Vec<Result<Outcome, ProposeError>> {
        self.inner.proposer.submit(commands, patience, false).await
    }

    /// Looks something up in the newest state without freezing it, as [`Consensus::view`] does: for what is asked often and
    /// found at once. Applying waits meanwhile.
    pub fn peek<T>(&self, look: impl FnOnce(&Ledger) -> T) -> T {
        self.inner.replica.shown.read(look)
    }

    /// Number of entries in the decision log, each time it has grown.
    pub fn changes(&self) -> watch::Receiver<u64> {
        self.inner.replica.changes.subscribe()
    }

    /// Index of the last applied Raft entry plus one, each time one was applied, also those without an entry in the decision
    /// log.
    pub fn applied(&self) -> watch::Receiver<u64> {
        self.inner.replica.applied.subscribe()
    }

    /// Who leads, each time that changes.
    pub fn leadership(&self) -> watch::Receiver<Leadership> {
        self.inner.leadership.clone()
    }

    /// Does this node lead, as far as it knows?
    pub fn leads(&self) -> bool {
        self.inner.leadership.borrow().leader == Some(self.inner.node)
    }

    /// This node's id.
    pub fn node(&self) -> u64 {
        self.inner.node
    }

    /// The incarnation of this node's data folder.
    pub fn incarnation(&self) -> Incarnation {
        self.inner.incarnation
    }

    /// Compares another replica's log with this one.
    pub fn check_root(&self, size: u64, root: &Digest) -> Agreement {
        self.inner.replica.check_root(size, root)
    }

    /// Takes a snapshot now instead of when it is due. Returns when it was asked for, not when it is done.
    ///
    /// # Errors
    /// When the node has stopped.
    pub async fn snapshot(&self) -> Result<(), ChangeError> {
        let asked = self.inner.raft.trigger().snapshot().await;
        asked.map_err(|fatal| ChangeError::Stopped(fatal.to_string()))
    }

    /// Resolves with the reason when this node cannot go on: a disk that fails, a file that is damaged, a replica that differs
    /// from what it was. The process has to stop then.
    pub fn fatal(&self) -> impl Future<Output = String> + Send + use<> {
        let mut fatal = self.inner.replica.fatal.subscribe();
        async move {
            loop {
                if let Some(reason) = &*fatal.borrow_and_update() {
                    return reason.clone();
                }
                if fatal.changed().await.is_err() {
                    // Shut down without a reason.
                    return std::future::pending().await;
                }
            }
        }
    }

    /// Makes this node stop for a reason that was found elsewhere, for example a root that differs from the majority's.
    pub fn stop_for(&self, reason: impl Into<String>) {
        self.inner.replica.stop_for(reason);
    }

    /// Stops everything and frees the folder. Proposals that wait get [`ProposeError::Unknown`] or
    /// [`ProposeError::Stopped`].
    pub async fn shutdown(&self) {
        let deadline = Instant::now() + SHUTDOWN;
        // First the tasks that use Raft, then Raft: what they ask then fails instead of hanging.
        self.inner.stop.cancel();
        if timeout_at(deadline, self.inner.raft.shutdown()).await.is_err() {
            tracing::warn!("Raft did not stop in time");
        }
        if timeout_at(deadline, self.inner.tasks.wait()).await.is_err() {
            tracing::warn!("tasks of consensus did not stop in time");
        }
        self.inner.index.close();
        let held = self.inner.held.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(held) = held
            && timeout_at(deadline, held.log.close()).await.is_err()
        {
            tracing::warn!("the Raft log did not close in time; its folder stays locked until the process ends");
            std::mem::forget(held);
        }
    }

    /// How long a caller waits who says nothing about it.
    pub(crate) fn patience(&self) -> Duration {
        self.inner.patience
    }

    pub(crate) fn lease(&self) -> Duration {
        self.inner.lease
    }

    /// Resolves when every lease has run out that this node granted before it was restarted: it has forgotten whom it promised
    /// not to elect another leader, and that leader may still answer reads on it.
    pub(crate) async fn keep_promises(&self) {
        if let Some(until) = self.inner.promises_until {
            tokio::time::sleep_until(until).await;
        }
    }

    pub(crate) fn raft(&self) -> &Raft {
        &self.inner.raft
    }

    pub(crate) fn replica(&self) -> &Arc<Replica> {
        &self.inner.replica
    }

    pub(crate) fn proposer(&self) -> &Proposer {
        &self.inner.proposer
    }

    pub(crate) fn peers(&self) -> &Peers {
        &self.inner.peers
    }

    pub(crate) fn fetcher(&self) -> &Fetcher {
        &self.inner.fetcher
    }

    pub(crate) fn index(&self) -> &Arc<Index> {
        &self.inner.index
    }

    pub(crate) fn blobs(&self) -> &Blobs {
        &self.inner.blobs
    }

    pub(crate) fn tasks(&self) -> &TaskTracker {
        &self.inner.tasks
    }

    pub(crate) fn stopped(&self) -> &CancellationToken {
        &self.inner.stop
    }

    pub(crate) fn raft_bytes(&self) -> u64 {
        let held = self.inner.held.lock().unwrap_or_else(PoisonError::into_inner);
        held.as_ref().map_or(0, |held| held.log.disk_bytes())
    }
}

/// What the ledger of this replica knows of a node.
fn known(replica: &Replica, node: u64) -> Known {
    let address = replica.members.borrow().get(node).map(|member| member.address.clone());
    replica.shown.read(|ledger| match ledger.enrolment(NodeId(node)) {
        Some(enrolment) => Known {
            incarnation: enrolment.incarnation,
            gone: enrolment.removed && address.is_none(),
            address,
        },
        None => Known {
            address,
            ..Known::default()
        },
    })
}

/// A task whose error or panic stops the node.
fn spawn(
    tasks: &TaskTracker,
    replica: &Arc<Replica>,
    what: &'static str,
    task: impl Future<Output = io::Result<()>> + Send + 'static,
) {
    let replica = Arc::clone(replica);
    tasks.spawn(async move {
        let ended = AssertUnwindSafe(task).catch_unwind().await;
        let ended = ended.unwrap_or_else(|panic| Err(io::Error::other(format!("it panicked: {}", said(&*panic)))));
        if let Err(error) = ended {
            tracing::error!(%error, what, "this node has to stop");
            replica.stop_for(format!("{what}: {error}"));
        }
    });
}

/// What a panic said.
fn said(panic: &(dyn Any + Send)) -> &str {
    match (panic.downcast_ref::<String>(), panic.downcast_ref::<&str>()) {
        (Some(text), _) => text,
        (None, Some(text)) => text,
        (None, None) => "no text",
    }
}

/// Everything that was found on disk.
struct Files {
    home: Home,
    log: LogStore,
    machine: Machine,
    replica: Arc<Replica>,
    blobs: Blobs,
}

fn open_files(settings: &Settings) -> Result<Files, OpenError> {
    let disk = &settings.disk;
    let home = Home::open(disk, &settings.folder, settings.cluster, settings.node)?;

    let snapshots = Snapshots::new(Arc::clone(disk), home.snapshots(), settings.cluster);
    let mut newest = snapshots.newest()?;

    let tlog = Tlog::open(Arc::clone(disk), home.bundles()).map_err(|source| OpenError::DecisionLog {
        folder: home.bundles(),
        source,
    })?;
    let log = LogStore::open(disk, &home.raft(), &settings.log, home.log_begun(), settings.blocking);
    let log = log.map_err(|error| OpenError::of_log(home.raft(), error))?;
    home.note_log_begun(disk)?;
    let (purged, last) = log.reach().map_err(|source| OpenError::LogIo {
        folder: home.raft(),
        source,
    })?;
    let snapshot = newest.snapshot.as_ref().and_then(|(content, _)| content.last);
    let snapshot = snapshot.map(|id| id.index);
    if let Some(purged) = purged
        && snapshot.is_none_or(|last| last < purged)
    {
        // A damaged snapshot is why it does not reach far enough.
        return Err(match newest.damaged.into_iter().next() {
            Some(damaged) => OpenError::NeededSnapshot(damaged),
            None => OpenError::Gap {
                folder: home.snapshots(),
                purged,
                snapshot,
            },
        });
    }
    // Nothing was purged where a restored folder has no Raft log yet: its state is in the snapshot alone.
    if newest
        .damaged_up_to()
        .is_some_and(|needed| last.is_none_or(|last| last < needed))
        && let Some(damaged) = newest.damaged.pop()
    {
        return Err(OpenError::NeededSnapshot(damaged));
    }
    snapshots.set_aside(&newest.damaged).map_err(|source| {
        OpenError::Home(HomeError::Io {
            doing: "set aside a damaged snapshot in",
            path: home.snapshots(),
            source,
        })
    })?;

    let (content, file) = match newest.snapshot {
        Some((content, file)) => (content, Some(file)),
        None => (Content::empty(), None),
    };
    let blobs = Blobs::open(Arc::clone(disk), home.blobs()).map_err(OpenError::Blobs)?;
    let (ledger, last) = (content.ledger.clone(), content.last);
    let replica = Arc::new(Replica::new(ledger, last, tlog, snapshots, settings.blocking));
    if let Some(file) = file {
        replica.set_current_snapshot(content.meta(), file);
    }
    let machine = Machine::new(Arc::clone(&replica), content).map_err(|error| OpenError::Restore(error.to_string()))?;
    Ok(Files {
        home,
        log,
        machine,
        replica,
        blobs,
    })
}
