//! The state machine under openraft: committed entries in, outcomes out.
//!
//! The ledger lives in memory. On disk are the Raft log, snapshots and bundles; after a restart the newest snapshot is
//! loaded and the log replayed over it. Whether the replay gave what was there before the restart is checked by `recheck`.

use std::io;
use std::sync::Arc;

use futures::{Stream, StreamExt};
use openraft::entry::RaftEntry;
use openraft::storage::{ApplyResponder, EntryResponder, RaftSnapshotBuilder, RaftStateMachine};
use openraft::{EntryPayload, OptionalSend, Snapshot};
use tokio::time::Instant;

use crate::bundle::{Hashed, LEAVES};
use crate::ledger::{self, Ledger};
use crate::membership::Members;
use crate::record::invalid;
use crate::replica::Replica;
use crate::snapshot::Content;
use crate::snapshots::SnapshotFile;
use crate::types::{Answers, Applied, Group, LogId, Payload, SnapshotMeta, StoredMembership};

/// Entries applied before their view is shown and their callers answered.
const ROUND: usize = 32;

/// The state machine. Owned by openraft; everyone else sees the [`Replica`].
#[derive(Debug)]
pub(crate) struct Machine {
    replica: Arc<Replica>,
    last: Option<LogId>,
    membership: StoredMembership,
    /// Only for the suite of openraft, which applies entries that do not follow each other.
    #[cfg(test)]
    pub(crate) gaps: bool,
}

impl Machine {
    /// A machine at the snapshot that was found on disk, or at the beginning.
    pub(crate) fn new(replica: Arc<Replica>, content: Content) -> io::Result<Self> {
        let Content {
            last,
            membership,
            ledger,
            roots,
            open_leaves,
        } = content;
        replica.tlog.install(roots, open_leaves)?;
        replica.install(ledger, last);
        replica.members.send_replace(Members::of(&membership));
        Ok(Machine {
            replica,
            last,
            membership,
            #[cfg(test)]
            gaps: false,
        })
    }

    /// A machine at the beginning, for tests, with its files in an empty folder.
    #[cfg(test)]
    pub(crate) fn in_empty(folder: &std::path::Path) -> Self {
        use crate::blocking::Blocking;
        use crate::disk::StdDisk;
        use crate::ledger::ClusterId;
        use crate::snapshots::Snapshots;
        use crate::tlog::Tlog;

        let disk = Arc::new(StdDisk);
        let tlog = Tlog::open(disk.clone(), folder.to_owned()).unwrap();
        let snapshots = Snapshots::new(disk, folder.to_owned(), ClusterId([1; 16]));
        let content = Content::empty();
        let (ledger, last) = (content.ledger.clone(), content.last);
        let replica = Replica::new(ledger, last, tlog, snapshots, Blocking::Threads);
        Machine::new(Arc::new(replica), content).unwrap()
    }

    fn run(&mut self, payload: Payload) -> io::Result<Answers> {
        match payload {
            EntryPayload::Blank => {
                self.replica.shown.change(self.last, |_| ());
                Ok(Answers::default())
            }
            EntryPayload::Membership(membership) => {
                self.replica.shown.change(self.last, |_| ());
                self.membership = StoredMembership::new(self.last, membership);
                self.replica.members.send_replace(Members::of(&self.membership));
                Ok(Answers::default())
            }
            EntryPayload::Normal(proposal) => {
                let commands = proposal.commands().map_err(|error| {
                    invalid(format!(
                        "committed entry {} cannot be read: {error}; a newer version of the program may have written it, \
                         start that version",
                        self.last.map_or(0, |id| id.index)
                    ))
                })?;
                #[allow(clippy::redundant_locals, reason = "it is one only where nothing is planted")]
                let commands = portcullis_domain::mutant!(
                    OrderOfItsOwn,
                    // A hash map has another order each time.
                    (0..)
                        .zip(commands)
                        .collect::<std::collections::HashMap<u64, _>>()
                        .into_values()
                        .collect(),
                    commands,
                );
                let apply = |ledger: &mut Ledger| {
                    let mut outcomes = Vec::with_capacity(commands.len());
                    for command in commands {
                        let applied = ledger.apply(command);
                        outcomes.push(applied.outcome.clone());
                        for entry in applied.into_entries() {
                            self.replica.tlog.append(Hashed {
                                bytes: entry.bytes.into(),
                                hash: entry.hash,
                            });
                        }
                    }
                    (outcomes, ledger::head(ledger))
                };
                let (outcomes, (size, root)) = self.replica.shown.change(self.last, apply);
                self.replica.remember(size, root);
                Ok(Answers {
                    outcomes,
                    applied: None,
                })
            }
        }
    }

    /// Tells what was applied, then answers those who wait for it: who was answered finds it in the view.
    fn finish(&self, begun: Instant, waiting: &mut Vec<(ApplyResponder<Group>, Answers)>) {
        self.replica.progressed(self.last);
        let shown = Instant::now();
        for (responder, mut answers) in waiting.drain(..) {
            answers.applied = Some(Applied { begun, shown });
            responder.send(answers);
        }
    }

    /// An entry that is left out would change everything after it without a trace.
    fn check_next(&self, index: u64) -> io::Result<()> {
        #[cfg(test)]
        if self.gaps {
            return Ok(());
        }
        let next = self.last.map_or(0, |id| id.index + 1);
        if index == next {
            return Ok(());
        }
        Err(invalid(format!(
            "Raft entry {index} is to be applied, but the next is {next}: entries between the snapshot and the Raft log are \
             missing; remove this node from the cluster and add a new one with a new id"
        )))
    }
}

impl RaftStateMachine<Group> for Machine {
    type SnapshotData = SnapshotFile;
    type SnapshotBuilder = Builder;

    async fn applied_state(&mut self) -> io::Result<(Option<LogId>, StoredMembership)> {
        Ok((self.last, self.membership.clone()))
    }

    async fn apply<Strm>(&mut self, mut entries: Strm) -> io::Result<()>
    where
        Strm: Stream<Item = io::Result<EntryResponder<Group>>> + Unpin + OptionalSend,
    {
        self.replica.tlog.room().await?;
        let mut begun = Instant::now();
        let mut waiting = Vec::new();
        let mut count = 0;
        while let Some(item) = entries.next().await {
            let (entry, responder) = item?;
            self.check_next(entry.index())?;
            self.last = Some(entry.log_id());
            let answers = self.run(entry.payload)?;
            if let Some(responder) = responder {
                waiting.push((responder, answers));
            }
            count += 1;
            if count == ROUND {
                count = 0;
                self.finish(begun, &mut waiting);
                begun = Instant::now();
            }
        }
        if count > 0 {
            self.finish(begun, &mut waiting);
        }
        Ok(())
    }

    async fn try_create_snapshot_builder(&mut self, _force: bool) -> Option<Builder> {
        Some(self.get_snapshot_builder().await)
    }

    async fn get_snapshot_builder(&mut self) -> Builder {
        Builder {
            replica: Arc::clone(&self.replica),
            content: Content {
                last: self.last,
                membership: self.membership.clone(),
                ledger: self.replica.shown.freeze(),
                // Known once the last full bundle is durable.
                roots: Vec::new(),
                open_leaves: self.replica.tlog.open_leaves(),
            },
        }
    }

    async fn install_snapshot(&mut self, meta: &SnapshotMeta, file: SnapshotFile) -> io::Result<()> {
        let replica = Arc::clone(&self.replica);
        let wanted = meta.clone();
        // The snapshot gets its name before anything else changes: a crash before that leaves the old state, one after it
        // leaves the new one, and what the Raft log holds below it is not looked at any more.
        let (content, file) = self
            .replica
            .blocking
            .run(move || {
                let content = match file.content {
                    Some(content) => Arc::unwrap_or_clone(content),
                    None => replica.snapshots.read(&file.path).map_err(io::Error::other)?,
                };
                if content.meta() != wanted {
                    return Err(invalid(format!(
                        "the snapshot holds {}, but {wanted} was announced",
                        content.meta()
                    )));
                }
                let file = replica.snapshots.adopt(wanted.last_log_id, &file.path)?;
                Ok((content, file))
            })
            .await?;
        self.replica.tlog.install(content.roots, content.open_leaves)?;
        self.last = content.last;
        self.membership = content.membership;
        self.replica.members.send_replace(Members::of(&self.membership));
        self.replica.set_current_snapshot(meta.clone(), file);
        self.replica.install(content.ledger, content.last);
        Ok(())
    }

    async fn get_current_snapshot(&mut self) -> io::Result<Option<SnapshotOfGroup>> {
        Ok(self
            .replica
            .current_snapshot()
            .map(|(meta, snapshot)| Snapshot { meta, snapshot }))
    }
}

pub(crate) type SnapshotOfGroup = openraft::alias::SnapshotOf<Group, SnapshotFile>;

/// A frozen state on its way to a file.
#[derive(Debug)]
pub(crate) struct Builder {
    replica: Arc<Replica>,
    content: Content,
}

impl RaftSnapshotBuilder<Group> for Builder {
    type SnapshotData = SnapshotFile;

    async fn build_snapshot(&mut self) -> io::Result<SnapshotOfGroup> {
        // The Raft log is purged behind a snapshot, so what the snapshot does not hold must be in bundles by then.
        let (size, _) = ledger::head(&self.content.ledger);
        self.replica.tlog.durable(size / LEAVES).await?;

        let mut content = self.content.clone();
        content.roots = self.replica.tlog.bundles.roots(size / LEAVES);
        let replica = Arc::clone(&self.replica);
        let meta = content.meta();
        let snapshot = self
            .replica
            .blocking
            .run(move || replica.snapshots.write(&content))
            .await?;
        self.replica.set_current_snapshot(meta.clone(), snapshot.clone());
        self.replica
            .taken
            .send_replace(self.content.last.map_or(0, |id| id.index));
        Ok(Snapshot { meta, snapshot })
    }
}

#[cfg(test)]
mod tests {
    use futures::stream;
    use openraft::entry::RaftEntry as _;

    use super::*;
    use crate::types::{Entry, Proposal, log_id};

    async fn apply(machine: &mut Machine, index: u64, payload: Payload) -> io::Result<()> {
        let entry = Entry::new(log_id(1, 1, index), payload);
        machine.apply(stream::iter([Ok((entry, None))])).await
    }

    #[tokio::test]
    async fn a_snapshot_that_is_not_the_announced_one_changes_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let mut machine = Machine::in_empty(folder.path());
        apply(&mut machine, 0, EntryPayload::Blank).await.unwrap();
        let received = folder.path().join("incoming-0.tmp");
        let written = machine.replica.snapshots.write(&Content::empty()).unwrap();
        std::fs::rename(written.path, &received).unwrap();
        let announced = SnapshotMeta {
            last_log_id: Some(log_id(1, 1, 7)),
            ..Content::empty().meta()
        };
        let file = SnapshotFile::at(received.clone());
        let error = machine.install_snapshot(&announced, file).await.unwrap_err();
        assert!(error.to_string().contains("was announced"), "{error}");
        assert_eq!(machine.last, Some(log_id(1, 1, 0)));
        assert!(received.exists() && machine.replica.snapshots.newest().unwrap().snapshot.is_none());
    }

    #[tokio::test]
    async fn an_entry_that_does_not_follow_the_last_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let mut machine = Machine::in_empty(folder.path());
        apply(&mut machine, 0, EntryPayload::Blank).await.unwrap();
        let error = apply(&mut machine, 2, EntryPayload::Blank).await.unwrap_err();
        assert!(error.to_string().contains("the next is 1"), "{error}");
    }

    #[tokio::test]
    async fn a_committed_entry_that_cannot_be_read_stops_the_node() {
        let folder = tempfile::tempdir().unwrap();
        let mut machine = Machine::in_empty(folder.path());
        let newer = EntryPayload::Normal(Proposal(bytes::Bytes::from_static(&[0, 1, 0, 0, 0, 3, 255, 1, 2])));
        let error = apply(&mut machine, 0, newer).await.unwrap_err();
        assert!(error.to_string().contains("a newer version of the program"), "{error}");
    }
}
