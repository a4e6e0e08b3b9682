//! A node's history without a node: written into an empty folder, or read and checked in a folder that nobody uses.
//!
//! What is written is what a node would have after it has applied the Raft log up to a snapshot and purged all of it: full
//! bundles of the decision log and a snapshot. A node opens the folder as its own. Measuring, restoring and backing up
//! millions of inspections need this, because applying them through consensus takes hours.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;

use crate::bundle::{Bundle, LEAVES};
use crate::bundles::Bundles;
use crate::disk::Disk;
use crate::home::{Home, HomeError, owner_of};
use crate::ledger::{self, Digest, Ledger};
use crate::settings::Settings;
use crate::snapshot::Content;
use crate::snapshots::{SnapshotError, Snapshots};
use crate::types::{Member, Membership, StoredMembership, log_id};

/// Bundles that are made durable together.
const BATCH: usize = 8;

/// Why a history cannot be written or read.
#[derive(Debug, thiserror::Error)]
pub enum HistoryError {
    /// The folder is refused.
    #[error(transparent)]
    Home(#[from] HomeError),
    /// The folder holds something already.
    #[error("{folder} holds the state of a node already; a history is written into an empty folder only")]
    NotEmpty {
        /// The folder.
        folder: PathBuf,
    },
    /// There is nothing to read.
    #[error(
        "{folder} holds no snapshot: it is not the folder of a node, or of one that has not taken its first snapshot yet"
    )]
    NoSnapshot {
        /// The folder.
        folder: PathBuf,
    },
    /// No snapshot can be used.
    #[error(transparent)]
    Snapshot(#[from] SnapshotError),
    /// A file cannot be written or read, or is damaged.
    #[error("{0}")]
    File(io::Error),
    /// The members are not a membership.
    #[error("the members of the cluster: {0}")]
    Members(String),
}

impl From<io::Error> for HistoryError {
    fn from(error: io::Error) -> Self {
        HistoryError::File(error)
    }
}

/// Writes a history. Holds a few bundles in memory, whatever its length. Calls block.
#[derive(Debug)]
pub struct HistoryWriter {
    home: Home,
    bundles: Bundles,
    snapshots: Snapshots,
    roots: Vec<Digest>,
    /// Full bundles that are not written yet.
    full: Vec<Bundle>,
    /// Leaves after them.
    open: Vec<Bytes>,
}

impl HistoryWriter {
    /// Claims the folder of the settings for their node and cluster. The folder must be empty or not exist.
    ///
    /// # Errors
    /// When it is not empty, or cannot be made.
    pub fn create(settings: &Settings) -> Result<Self, HistoryError> {
        let disk = &settings.disk;
        let home = Home::open(disk, &settings.folder, settings.cluster, settings.node)?;
        for folder in [home.bundles(), home.snapshots(), home.raft()] {
            if !disk.list(&folder)?.is_empty() {
                return Err(HistoryError::NotEmpty {
                    folder: settings.folder.clone(),
                });
            }
        }
        Ok(HistoryWriter {
            bundles: Bundles::open(Arc::clone(disk), home.bundles())?,
            snapshots: Snapshots::new(Arc::clone(disk), home.snapshots(), settings.cluster),
            home,
            roots: Vec::new(),
            full: Vec::new(),
            open: Vec::new(),
        })
    }

    /// Number of leaves so far.
    pub fn size(&self) -> u64 {
        self.roots.len() as u64 * LEAVES + self.open.len() as u64
    }

    /// Adds the canonical bytes of the next leaf.
    ///
    /// # Errors
    /// When the disk fails.
    pub fn push(&mut self, leaf: Bytes) -> Result<(), HistoryError> {
        self.open.push(leaf);
        if self.open.len() as u64 == LEAVES {
            let bundle = Bundle::of(self.roots.len() as u64, &self.open);
            self.open.clear();
            self.roots.push(bundle.root);
            self.full.push(bundle);
            if self.full.len() == BATCH {
                self.write_full()?;
            }
        }
        Ok(())
    }

    fn write_full(&mut self) -> Result<(), HistoryError> {
        self.bundles.write(&self.full)?;
        self.full.clear();
        Ok(())
    }

    /// Writes the snapshot: the ledger that has written exactly these leaves, and the voters with their addresses. The Raft
    /// log stays empty and goes on behind the snapshot. Folders of several nodes of one cluster have to be finished with the
    /// same ledger and members. Frees the folder.
    ///
    /// # Errors
    /// When the leaves are not those of the ledger, or the disk fails.
    pub fn finish(mut self, ledger: &Ledger, members: BTreeMap<u64, Member>) -> Result<(), HistoryError> {
        self.write_full()?;
        let (size, _) = ledger::head(ledger);
        // As if each leaf had been an entry of its own, in the term before the first election.
        let last = Some(log_id(0, 0, size));
        let voters: BTreeSet<u64> = members.keys().copied().collect();
        let membership =
            Membership::new(vec![voters], members).map_err(|error| HistoryError::Members(error.to_string()))?;
        self.snapshots.write(&Content {
            last,
            membership: StoredMembership::new(last, membership),
            ledger: ledger.clone(),
            roots: self.roots,
            open_leaves: self.open,
        })?;
        drop(self.home);
        Ok(())
    }
}

/// Reads a history: up to the newest snapshot, not what is in the Raft log after it. Changes nothing. Calls block.
#[derive(Debug)]
pub struct HistoryReader {
    bundles: Bundles,
    content: Content,
}

impl HistoryReader {
    /// Reads the newest snapshot that is whole.
    ///
    /// # Errors
    /// When there is none.
    pub fn open(disk: Arc<dyn Disk>, folder: &Path) -> Result<Self, HistoryError> {
        let nothing = || HistoryError::NoSnapshot {
            folder: folder.to_owned(),
        };
        let (cluster, _) = owner_of(&*disk, folder).ok_or_else(nothing)?;
        let newest = Snapshots::new(Arc::clone(&disk), folder.join("snap"), cluster).newest()?;
        let content = match (newest.snapshot, newest.damaged.into_iter().next()) {
            (Some((content, _)), _) => content,
            (None, Some(damaged)) => return Err(damaged.into()),
            (None, None) => return Err(nothing()),
        };
        let bundles = Bundles::open(disk, folder.join("tlog"))?;
        Ok(HistoryReader { bundles, content })
    }

    /// The ledger that has written the leaves.
    pub fn ledger(&self) -> &Ledger {
        &self.content.ledger
    }

    /// Number of leaves, and the Merkle root over them.
    pub fn head(&self) -> (u64, Digest) {
        ledger::head(&self.content.ledger)
    }

    /// The leaves from number `from` on, in order, with the number of each. Each bundle is checked to its last byte against
    /// the root of the log before any of its leaves is given. Ends after an error.
    pub fn leaves(&self, from: u64) -> impl Iterator<Item = Result<(u64, Bytes), HistoryError>> + '_ {
        let mut number = from / LEAVES;
        let mut skip = (from % LEAVES) as usize;
        let mut ready = Vec::new().into_iter();
        let mut over = false;
        std::iter::from_fn(move || {
            loop {
                if let Some(leaf) = ready.next() {
                    return Some(Ok(leaf));
                }
                if over {
                    return None;
                }
                match self.part(number) {
                    Ok(leaves) => {
                        over = leaves.len() as u64 != LEAVES;
                        let numbered: Vec<_> = (number * LEAVES..).zip(leaves).skip(skip).collect();
                        ready = numbered.into_iter();
                        (number, skip) = (number + 1, 0);
                    }
                    Err(error) => {
                        over = true;
                        return Some(Err(error.into()));
                    }
                }
            }
        })
    }

    /// The leaves of a full bundle, or those after the last.
    fn part(&self, number: u64) -> io::Result<Vec<Bytes>> {
        match self.content.roots.get(number as usize) {
            Some(root) => self.bundles.verify(number, *root)?.leaves(),
            None if number == self.content.roots.len() as u64 => Ok(self.content.open_leaves.clone()),
            None => Ok(Vec::new()),
        }
    }

    /// Checks every leaf of the log against the root that the ledger has. Reads all bundles.
    ///
    /// # Errors
    /// The first bundle that is missing or damaged, and what to do.
    pub fn verify(&self) -> Result<(), HistoryError> {
        for (number, root) in (0..).zip(&self.content.roots) {
            self.bundles.verify(number, *root)?;
        }
        // The leaves after them were checked with the snapshot.
        Ok(())
    }
}
