//! What a node has to know to take part.

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use openraft::{Config, SnapshotPolicy};

use crate::blocking::Blocking;
use crate::disk::{Disk, StdDisk};
use crate::errors::OpenError;
use crate::index::{OpenStore, sled_opener};
use crate::ledger::ClusterId;
use crate::log::LogSettings;
use crate::types::Clock;

/// Heartbeats and elections, in real time.
///
/// After the last heartbeat of a leader that died, the others wait `election_max` for its lease and then between
/// `election_min` and `election_max` before one of them asks for votes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Timing {
    /// Time between heartbeats. Also the deadline of one.
    pub heartbeat: Duration,
    /// Shortest wait before an election.
    pub election_min: Duration,
    /// Longest wait before an election, and the lease of a leader.
    pub election_max: Duration,
}

impl Timing {
    /// For machines of their own on a local network: a new leader about 0.3 s after the old one died.
    pub const LAN: Timing = Timing {
        heartbeat: Duration::from_millis(30),
        election_min: Duration::from_millis(100),
        election_max: Duration::from_millis(150),
    };
}

impl Timing {
    /// How long a leader serves reads after a quorum confirmed it: nine tenths of the time for which the others have promised
    /// not to elect another one, so that clocks may differ in speed by a tenth.
    pub(crate) fn lease(&self) -> Duration {
        self.election_max * 9 / 10
    }
}

impl Default for Timing {
    /// Also good for several nodes on one small machine: a new leader about 1 s after the old one died.
    fn default() -> Self {
        Timing {
            heartbeat: Duration::from_millis(100),
            election_min: Duration::from_millis(400),
            election_max: Duration::from_millis(600),
        }
    }
}

/// Settings of one node.
#[derive(Clone)]
pub struct Settings {
    /// The node's data folder. Made when it does not exist.
    pub folder: PathBuf,
    /// The cluster it belongs to.
    pub cluster: ClusterId,
    /// Its own id, from 1. Never reused for another folder.
    pub node: u64,
    /// Port time, for stamping commands while this node leads.
    pub clock: Clock,
    /// Heartbeats and elections.
    pub timing: Timing,
    /// The Raft log.
    pub log: LogSettings,
    /// A snapshot is taken after this many Raft entries, up to ten times as many beside a busy log.
    pub snapshot_every: u64,
    /// Raft entries kept at least behind a snapshot, so that a short absence needs no snapshot. The log also always reaches
    /// back to the snapshot before the newest, in case the disk loses that one.
    pub keep_entries: u64,
    /// How long a proposal waits for its outcome unless it says otherwise.
    pub patience: Duration,
    /// Commands that may wait or be on their way on this node; more are refused.
    pub queue: usize,
    /// Where everything but sled is kept.
    pub disk: Arc<dyn Disk>,
    /// Where blocking work is run.
    pub blocking: Blocking,
    /// The index store.
    pub open_store: OpenStore,
}

impl fmt::Debug for Settings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Settings")
            .field("folder", &self.folder)
            .field("cluster", &self.cluster)
            .field("node", &self.node)
            .field("timing", &self.timing)
            .finish_non_exhaustive()
    }
}

impl Settings {
    /// The usual settings.
    pub fn new(folder: impl Into<PathBuf>, cluster: ClusterId, node: u64, clock: Clock) -> Self {
        Settings {
            folder: folder.into(),
            cluster,
            node,
            clock,
            timing: Timing::default(),
            log: LogSettings::default(),
            snapshot_every: 10_000,
            keep_entries: 12_500,
            patience: Duration::from_secs(5),
            queue: 16_384,
            disk: Arc::new(StdDisk),
            blocking: Blocking::Threads,
            open_store: sled_opener(),
        }
    }

    pub(crate) fn raft_config(&self) -> Result<Config, OpenError> {
        let millis = |duration: Duration| u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
        let heartbeat = millis(self.timing.heartbeat);
        let election_min = millis(self.timing.election_min);
        let election_max = millis(self.timing.election_max);
        if heartbeat == 0 || self.snapshot_every == 0 || self.queue == 0 {
            return Err(OpenError::Settings(
                "heartbeat, snapshot_every and queue must be above zero".to_owned(),
            ));
        }
        // Entries count as heartbeats if that cannot make a follower wait too long.
        let tick = (heartbeat * 13 / 64).max(1);
        let suppress = election_min > 2 * heartbeat + tick;
        Config {
            cluster_name: self.cluster.to_string(),
            heartbeat_interval: heartbeat,
            heartbeat_min_interval: suppress.then_some(heartbeat),
            election_timeout_min: election_min,
            election_timeout_max: election_max,
            enable_pre_vote: Some(true),
            // See `Consensus::keep_promises`.
            enable_elect: false,
            // A restarted leader must not serve a state that it has not caught up with.
            enable_leader_restore: Some(false),
            // Cures a leader that the others cannot reach but that still reaches them.
            quorum_loss_probe_interval: Some(2 * election_max),
            max_payload_entries: 1024,
            // Snapshots are taken by `snapshotting`.
            snapshot_policy: SnapshotPolicy::Never,
            // Entries are removed by `purge`.
            max_in_snapshot_log_to_keep: u64::MAX,
            replication_lag_threshold: self.snapshot_every.saturating_add(self.keep_entries).saturating_mul(4),
            // How long the receiver of a snapshot may be silent (it speaks each second), not how long it may take.
            install_snapshot_timeout: 20_000,
            backoff: "10ms 20ms ...200ms".to_owned(),
            ..Config::default()
        }
        .validate()
        .map_err(|error| OpenError::Settings(error.to_string()))
    }
}
