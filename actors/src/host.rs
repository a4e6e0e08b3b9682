//! The actors of one process, as the rest of the process sees them.

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use portcullis_domain::id::{BootId, Epoch, NodeId};
use portcullis_domain::message::Envelope;
use portcullis_domain::placement::ActorKey;
use thiserror::Error;
use tokio::sync::{Semaphore, oneshot, watch};
use tokio::task::AbortHandle;
use tokio::time::Instant;
use tracing::Instrument as _;

use crate::bounded::{Class, NotTaken};
use crate::config::HostConfig;
use crate::device::{AttachRefused, Attachment, DevicePort, key_of};
use crate::directory::{Address, Directory, Refused};
use crate::lane::LaneMessage;
use crate::liveness::Liveness;
use crate::ports::Ports;
use crate::reconciler::{Reconciler, ReconcilerMessage, Reconciling, Setup};
use crate::shell::Signal;
use crate::watcher::watch;

/// The host could not start.
#[derive(Debug, Error)]
#[error("the actors' supervisor did not start: {0}")]
pub struct StartError(String);

/// The actors of one process. Cheap to clone; all clones are the same host.
#[derive(Clone)]
pub struct Host {
    inner: Arc<Inner>,
}

struct Inner {
    config: Arc<HostConfig>,
    ports: Ports,
    directory: Directory,
    liveness: Arc<Mutex<Liveness>>,
    reconciling: Reconciling,
    lost: watch::Receiver<bool>,
    ports_given: AtomicU64,
    tasks: Vec<AbortHandle>,
}

impl fmt::Debug for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let identity = self.inner.config.identity;
        write!(f, "Host({} {})", identity.node, identity.boot)
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        self.end_tasks();
        self.reconciling.cell().stop(None);
    }
}

impl Inner {
    fn end_tasks(&self) {
        for task in &self.tasks {
            task.abort();
        }
    }
}

impl Host {
    /// Starts hosting: announces this process to the cluster, and from then on runs what the ledger places here.
    ///
    /// # Errors
    /// When the supervisor cannot start.
    pub async fn start(config: HostConfig, ports: Ports) -> Result<Self, StartError> {
        let config = Arc::new(config);
        let directory = Directory::default();
        let liveness = Arc::new(Mutex::new(Liveness::new(
            config.suspect_after,
            config.down_after,
            Instant::now(),
        )));
        let (lost_sender, lost) = watch::channel(false);
        let setup = Setup {
            config: Arc::clone(&config),
            ports: ports.clone(),
            directory: directory.clone(),
            liveness: Arc::clone(&liveness),
            lost: lost_sender.clone(),
        };
        let reconciling = Reconciler::start(setup)
            .await
            .map_err(|error| StartError(error.to_string()))?;
        let watcher = watch(ports.clone(), directory.clone(), reconciling.clone());
        let supervisor = reconciling.cell();
        let guard = async move {
            // Without the supervisor nothing is started or stopped any more: the process has to begin anew.
            let _ = supervisor.wait(None).await;
            lost_sender.send_replace(true);
        };
        let tasks = vec![
            tokio::spawn(watcher.in_current_span()).abort_handle(),
            tokio::spawn(guard).abort_handle(),
        ];
        reconciling.wake();
        let inner = Inner {
            config,
            ports,
            directory,
            liveness,
            reconciling,
            lost,
            ports_given: AtomicU64::new(0),
            tasks,
        };
        Ok(Self { inner: Arc::new(inner) })
    }

    /// Takes a message from another node in. Does not wait.
    ///
    /// # Errors
    /// When the actor is elsewhere, runs under another placement, or has too much to do.
    pub fn deliver(&self, envelope: Envelope) -> Result<(), Refused> {
        self.inner.directory.deliver(envelope)
    }

    /// Attaches a device to a lane whose actor runs here.
    ///
    /// # Errors
    /// `UNKNOWN_LANE`, `UNKNOWN_DEVICE`, `NOT_HERE` (ask the ledger where the lane runs and relay), `OVERLOADED`.
    pub fn attach(&self, attachment: Attachment) -> Result<DevicePort, AttachRefused> {
        let Attachment {
            lane: id,
            device,
            boot,
            outgoing,
        } = attachment;
        let ledger = self.inner.ports.ledger.ledger();
        let lane = ledger
            .lane(id)
            .ok_or_else(|| AttachRefused::new("UNKNOWN_LANE", format!("there is no {id}")))?;
        let spec = lane.spec.device(&device).ok_or_else(|| {
            AttachRefused::new(
                "UNKNOWN_DEVICE",
                format!("{device} does not belong to {id}; define the lane with it"),
            )
        })?;
        let not_here = || AttachRefused::new("NOT_HERE", format!("{id} is not run by this node"));
        let entry = self.inner.directory.get(&ActorKey::Lane(id)).ok_or_else(not_here)?;
        let Address::Lane(lane) = entry.address else {
            return Err(not_here());
        };
        let port = DevicePort {
            id: self.inner.ports_given.fetch_add(1, Ordering::Relaxed),
            device: device.clone(),
            key: key_of(spec),
            decoder: Arc::clone(&self.inner.ports.decoder),
            lane: lane.clone(),
            permits: Arc::new(Semaphore::new(self.inner.config.device_mailbox)),
        };
        let message = LaneMessage::Attach {
            device,
            port: port.id,
            boot,
            outgoing,
        };
        match lane.try_tell(Class::Control, Signal::Message(message), String::new()) {
            Ok(()) => Ok(port),
            Err(NotTaken::Overloaded) => Err(AttachRefused::new(
                "OVERLOADED",
                format!("{id} has too much to do; try again"),
            )),
            Err(NotTaken::Gone) => Err(not_here()),
        }
    }

    /// This node leads in this term, or does not lead.
    pub fn leader_changed(&self, term: Option<u64>) {
        self.inner.reconciling.tell(ReconcilerMessage::Leader(term));
    }

    /// A process of a node was heard of: a heartbeat came.
    pub fn node_seen(&self, node: NodeId, boot: BootId) {
        let mut liveness = self.inner.liveness.lock().unwrap_or_else(PoisonError::into_inner);
        liveness.heard(node, boot, Instant::now());
    }

    /// Waits until the cluster has given this process up (it was silent for too long) or the supervisor is gone. The host
    /// must then be replaced by one with a new boot id.
    pub fn boot_lost(&self) -> impl Future<Output = ()> + Send + 'static {
        let mut lost = self.inner.lost.clone();
        async move {
            if lost.wait_for(|lost| *lost).await.is_err() {
                // The host was stopped or dropped on purpose, which is no loss.
                std::future::pending().await
            }
        }
    }

    /// The actors that run here, with their placements.
    pub fn running(&self) -> Vec<(ActorKey, Epoch)> {
        self.inner
            .directory
            .all()
            .into_iter()
            .map(|(key, entry)| (key, entry.epoch))
            .collect()
    }

    /// Stops the actors top down: placement, schedulers, lanes, fusion. Devices are told to attach elsewhere.
    pub async fn stop(&self) {
        let (done, stopped) = oneshot::channel();
        self.inner.reconciling.tell(ReconcilerMessage::Stop(done));
        // A supervisor that is gone has nothing left to stop.
        let _ = stopped.await;
        self.inner.end_tasks();
        self.inner.reconciling.cell().stop(None);
    }
}
