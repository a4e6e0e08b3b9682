//! The machine under a simulated node: its disk, its store, its clock, and what became of its process.

use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use portcullis::platform::Platform;
use portcullis::process::{self, Process};
use portcullis_config::NodeConfig;
use portcullis_consensus::model::{Latency, ModelDisk, ModelStore};
use portcullis_consensus::{Blocking, Consensus, LogSettings, Status};
use tokio_util::sync::CancellationToken;

use crate::network::{self, Meters};

/// What all clocks show when the simulation begins, milliseconds since 1970: 2026-03-01T12:00:00Z.
pub(crate) const EPOCH_MS: u64 = 1_772_366_400_000;
/// Where nodes listen.
pub(crate) const PORT: u16 = 7401;

/// Simulated time since the beginning, for the host that runs.
pub(crate) fn elapsed() -> Duration {
    turmoil::sim_elapsed().unwrap_or_default()
}

/// How the process of a node ended by itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Ended {
    /// It was asked to stop, and did.
    Asked,
    /// It could not start, or not go on; why.
    Failed(String),
}

/// A machine. Clones are the same machine.
#[derive(Clone)]
pub(crate) struct Machine {
    /// Its disk.
    pub(crate) disk: ModelDisk,
    /// Its store of indexes.
    pub(crate) store: ModelStore,
    inner: Arc<Inner>,
}

struct Inner {
    name: String,
    config: Mutex<NodeConfig>,
    meters: Meters,
    /// How far the clock on the wall is wrong, milliseconds.
    skew: AtomicI64,
    process: Mutex<Life>,
}

#[derive(Default)]
struct Life {
    stop: CancellationToken,
    ended: Option<Ended>,
    starts: u64,
    lives: u64,
    consensus: Option<Consensus>,
}

impl Machine {
    /// A machine with an empty disk.
    pub(crate) fn new(name: &str, config: NodeConfig, meters: &Meters, seed: u64) -> Self {
        let disk = ModelDisk::default();
        disk.slow(fast(), elapsed, seed);
        Self {
            disk,
            store: ModelStore::default(),
            inner: Arc::new(Inner {
                name: name.to_owned(),
                config: Mutex::new(config),
                meters: meters.clone(),
                skew: AtomicI64::new(0),
                process: Mutex::default(),
            }),
        }
    }

    /// Runs the node's process until it ends.
    pub(crate) async fn run(self) {
        let stop = {
            let mut life = self.life();
            life.ended = None;
            life.consensus = None;
            life.starts += 1;
            life.stop = CancellationToken::new();
            life.stop.clone()
        };
        let config = self.config();
        let started = |process: &Process| {
            let mut life = self.life();
            life.lives += 1;
            life.consensus = Some(process.consensus().clone());
        };
        let result = process::run_on(&self.platform(), config, stop, started).await;
        let mut life = self.life();
        life.consensus = None;
        life.ended = Some(match result {
            Ok(()) => Ended::Asked,
            Err(error) => Ended::Failed(format!("{error:#}")),
        });
    }

    /// Asks the process to stop in order.
    pub(crate) fn ask_to_stop(&self) {
        self.life().stop.cancel();
    }

    /// How the process ended by itself, if it did.
    pub(crate) fn ended(&self) -> Option<Ended> {
        self.life().ended.clone()
    }

    /// Ends the process at once; what it wrote stays.
    pub(crate) fn kill(&self, seed: u64) {
        self.life().consensus = None;
        self.disk.kill();
        self.store.crash(seed);
    }

    /// Cuts the power at this moment: what was not synced may be gone.
    pub(crate) fn lose_power(&self, seed: u64, now: Duration) {
        self.life().consensus = None;
        self.disk.crash_at(seed, now);
        self.store.crash(seed);
    }

    /// The replicated core of the process, once it serves.
    pub(crate) fn consensus(&self) -> Option<Consensus> {
        self.life().consensus.clone()
    }

    /// How the replicated core is, once the process serves.
    pub(crate) fn status(&self) -> Option<Status> {
        self.consensus().map(|consensus| consensus.status())
    }

    /// How often a process came to serve: one that was declared down begins anew without being started.
    pub(crate) fn lives(&self) -> u64 {
        self.life().lives
    }

    /// How often it was started.
    pub(crate) fn starts(&self) -> u64 {
        self.life().starts
    }

    /// Its configuration.
    pub(crate) fn config(&self) -> NodeConfig {
        self.inner.config.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Changes its configuration, for its next start.
    pub(crate) fn configure(&self, change: impl FnOnce(&mut NodeConfig)) {
        change(&mut self.inner.config.lock().unwrap_or_else(PoisonError::into_inner));
    }

    /// Sets how far its clock on the wall is wrong, milliseconds.
    pub(crate) fn set_skew(&self, ms: i64) {
        self.inner.skew.store(ms, Ordering::Relaxed);
    }

    fn life(&self) -> std::sync::MutexGuard<'_, Life> {
        self.inner.process.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn platform(&self) -> Platform {
        let store = self.store.clone();
        let inner = Arc::clone(&self.inner);
        Platform {
            listen: network::listen(&self.inner.name, &self.inner.meters),
            connector: network::connector(&self.inner.name, &self.inner.meters),
            disk: Arc::new(self.disk.process()),
            // Small, so that files are begun, left and removed often.
            log: LogSettings {
                segment_bytes: 64 << 10,
                cache_bytes: 16 << 10,
            },
            open_store: Arc::new(move |_| Ok(Arc::new(store.clone()))),
            blocking: Blocking::Inline,
            wall: Arc::new(move || {
                let now = EPOCH_MS + elapsed().as_millis() as u64;
                now.saturating_add_signed(inner.skew.load(Ordering::Relaxed))
            }),
            memory: || 0,
        }
    }
}

/// A good disk: syncs take 0.2 to 2 milliseconds.
pub(crate) fn fast() -> Latency {
    Latency {
        least: Duration::from_micros(200),
        most: Duration::from_millis(2),
    }
}
