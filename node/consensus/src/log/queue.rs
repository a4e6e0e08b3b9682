//! What callers and the writer share: the state of the log, and the changes that wait to be written.
//!
//! Callers take the lock to look or to queue, the writer to fetch; nobody holds it during disk work. Each change gets its place
//! in the log when it is queued, so that nothing has to be told back once it is written.

use std::collections::BTreeMap;
use std::io;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use openraft::storage::IOFlushed;
use tokio::sync::{Notify, oneshot};

use crate::blocking::Blocking;
use crate::log::LogSettings;
use crate::log::files::{Folder, Segment, capacity};
use crate::log::index::{Index, Place};
use crate::log::recovery::Opened;
use crate::log::segment::{Change, Header, RECORDS};
use crate::types::{Group, LogId};

/// How long after its last batch the writer puts hints on disk that nobody waits for.
const LULL: Duration = Duration::from_millis(20);

/// What the writer has to do next.
pub(super) enum Op {
    Write(Change, Place),
    /// Go on in another segment.
    Begin(Box<Header>),
    /// Once all before is durable, segments below this number are not needed.
    Retire(u64),
}

/// Who waits for a sync.
pub(super) enum Waiting {
    Append(IOFlushed<Group>),
    Change(oneshot::Sender<io::Result<()>>),
}

impl Waiting {
    pub(super) fn complete(self, result: io::Result<()>) {
        match self {
            Waiting::Append(callback) => callback.io_completed(result),
            // Nobody waits any more when the node is stopping.
            Waiting::Change(waiting) => drop(waiting.send(result)),
        }
    }
}

/// What the writer fetches at once.
#[derive(Default)]
pub(super) struct Batch {
    pub(super) ops: Vec<Op>,
    pub(super) waiting: Vec<Waiting>,
    /// It has to be durable. Otherwise it holds only hints.
    pub(super) sync: bool,
    /// Nothing comes after it.
    pub(super) last: bool,
}

impl Batch {
    pub(super) fn fail(&mut self, failure: &Failure) {
        for waiting in self.waiting.drain(..) {
            waiting.complete(Err(failure.error()));
        }
    }
}

impl Drop for Batch {
    fn drop(&mut self) {
        // When the writer panics, nobody may wait for ever.
        self.fail(&Failure::writer_ended());
    }
}

/// Why the log takes no more calls.
#[derive(Clone)]
pub(super) struct Failure {
    pub(super) kind: io::ErrorKind,
    pub(super) reason: String,
}

impl Failure {
    pub(super) fn of(error: &io::Error) -> Self {
        Failure {
            kind: error.kind(),
            reason: format!("the Raft log is closed after a failed write: {error}"),
        }
    }

    pub(super) fn writer_ended() -> Self {
        Failure {
            kind: io::ErrorKind::Other,
            reason: "the writer of the Raft log has ended".to_owned(),
        }
    }

    fn closed() -> Self {
        Failure {
            kind: io::ErrorKind::Other,
            reason: "the Raft log has been closed".to_owned(),
        }
    }

    pub(super) fn error(&self) -> io::Error {
        io::Error::new(self.kind, self.reason.clone())
    }
}

/// The log behind its lock.
pub(super) struct State {
    pub(super) index: Index,
    /// Where the next record goes.
    tail: Place,
    /// Of the tail's segment.
    capacity: u64,
    pub(super) segments: BTreeMap<u64, Arc<Segment>>,
    /// The newest committed id that was told; written with the next change.
    pub(super) hint: Option<LogId>,
    batch: Batch,
    settings: LogSettings,
    writer_waits: bool,
    failure: Option<Failure>,
}

impl State {
    pub(super) fn new(settings: LogSettings, opened: &Opened) -> Self {
        State {
            hint: opened.index.committed,
            index: opened.index.clone(),
            tail: opened.tail,
            capacity: opened.newest.capacity,
            segments: opened.segments.clone(),
            batch: Batch::default(),
            settings,
            writer_waits: false,
            failure: None,
        }
    }

    /// Queues a change. It can be read at once.
    pub(super) fn push(&mut self, change: Change) -> io::Result<()> {
        if self.hint > self.index.committed
            && let Some(committed) = self.hint
        {
            self.place(Change::Committed(committed))?;
        }
        self.place(change)
    }

    fn place(&mut self, change: Change) -> io::Result<()> {
        let length = change.len()?;
        if u64::from(self.tail.offset) + u64::from(length) > self.capacity {
            let number = self.tail.segment + 1;
            self.capacity = capacity(&self.settings, number, length);
            self.tail = Place {
                segment: number,
                offset: RECORDS,
            };
            let header = self.index.header(number, self.capacity);
            self.batch.ops.push(Op::Begin(Box::new(header)));
        }
        self.index.take(&change, self.tail)?;
        self.batch.ops.push(Op::Write(change, self.tail));
        self.tail.offset += length;
        Ok(())
    }

    /// Lets files go that hold nothing but purged entries. Asks for a sync if there are any.
    pub(super) fn release(&mut self) {
        let needed = self.index.first_segment().unwrap_or(self.tail.segment);
        if self
            .segments
            .first_key_value()
            .is_some_and(|(first, _)| *first < needed)
        {
            self.batch.ops.push(Op::Retire(needed));
            self.batch.sync = true;
        }
    }

    /// Asks for a sync of everything queued.
    pub(super) fn wait(&mut self, waiting: Waiting) {
        self.batch.waiting.push(waiting);
        self.batch.sync = true;
    }

    fn fetch(&mut self, into: &mut Batch) {
        if !self.batch.sync
            && self.hint > self.index.committed
            && let Some(committed) = self.hint
        {
            // It always fits: a failure is one of the format, and only loses a hint.
            let _ = self.place(Change::Committed(committed));
        }
        let last = self.batch.last;
        std::mem::swap(&mut self.batch, into);
        self.batch.last = last;
    }

    fn ready(&self) -> bool {
        self.batch.sync || self.batch.last
    }
}

/// The lock and the bell.
pub(super) struct Shared {
    state: Mutex<State>,
    pub(super) folder: Arc<Folder>,
    blocking: Blocking,
    cache_bytes: usize,
    thread: Condvar,
    task: Notify,
}

impl Shared {
    pub(super) fn new(state: State, folder: Arc<Folder>, blocking: Blocking) -> Self {
        Shared {
            cache_bytes: state.settings.cache_bytes,
            state: Mutex::new(state),
            folder,
            blocking,
            thread: Condvar::new(),
            task: Notify::new(),
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // A panic with the lock held leaves a failure behind: see `Writer`. Callers change the state in single steps.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Looks at the log, unless it has failed or was closed.
    pub(super) fn look<T>(&self, look: impl FnOnce(&mut State) -> T) -> io::Result<T> {
        let mut state = self.state();
        match &state.failure {
            Some(failure) => Err(failure.error()),
            None => Ok(look(&mut state)),
        }
    }

    /// Changes the log and wakes the writer if that is needed. After an error nothing more is taken, because the caller may
    /// have queued half of what it wanted.
    pub(super) fn change<T>(&self, change: impl FnOnce(&mut State) -> io::Result<T>) -> io::Result<T> {
        let mut state = self.state();
        if let Some(failure) = &state.failure {
            return Err(failure.error());
        }
        let result = change(&mut state);
        if let Err(error) = &result {
            state.failure = Some(Failure::of(error));
        }
        let wake = state.writer_waits && state.ready();
        if wake {
            state.writer_waits = false;
        }
        drop(state);
        if wake {
            self.wake();
        }
        result
    }

    fn wake(&self) {
        match self.blocking {
            Blocking::Threads => self.thread.notify_one(),
            Blocking::Inline => self.task.notify_one(),
        }
    }

    /// Has the writer write what is queued and end. Later calls fail.
    pub(super) fn close(&self) {
        let mut state = self.state();
        state.batch.last = true;
        state.failure.get_or_insert_with(Failure::closed);
        state.writer_waits = false;
        drop(state);
        self.wake();
    }

    /// The first failure counts. Everybody who waits is told.
    pub(super) fn fail(&self, failure: &Failure) {
        let mut state = self.state();
        state.failure.get_or_insert_with(|| failure.clone());
        let mut batch = std::mem::take(&mut state.batch);
        drop(state);
        batch.fail(failure);
    }

    /// For the writer, after it wrote up to `written`.
    pub(super) fn written(&self, written: Place, begun: Vec<Arc<Segment>>, retire: Option<u64>) -> Vec<Arc<Segment>> {
        let mut state = self.state();
        for segment in begun {
            state.segments.insert(segment.number, segment);
        }
        state.index.evict(self.cache_bytes, written);
        match retire {
            None => Vec::new(),
            Some(needed) => {
                let kept = state.segments.split_off(&needed);
                std::mem::replace(&mut state.segments, kept).into_values().collect()
            }
        }
    }

    /// Waits until there is something to write. With `hints`, for a lull at most; then what is there is hints.
    pub(super) fn next_on_thread(&self, batch: &mut Batch, hints: bool) {
        let mut state = self.state();
        while !state.ready() {
            state.writer_waits = true;
            if hints {
                let waited = self
                    .thread
                    .wait_timeout(state, LULL)
                    .unwrap_or_else(PoisonError::into_inner);
                state = waited.0;
                if waited.1.timed_out() {
                    break;
                }
            } else {
                state = self.thread.wait(state).unwrap_or_else(PoisonError::into_inner);
            }
        }
        state.writer_waits = false;
        state.fetch(batch);
    }

    /// The same for a writer that is a task.
    pub(super) async fn next_on_task(&self, batch: &mut Batch, hints: bool) {
        loop {
            {
                let mut state = self.state();
                if state.ready() {
                    state.writer_waits = false;
                    return state.fetch(batch);
                }
                state.writer_waits = true;
            }
            if !hints {
                self.task.notified().await;
            } else if tokio::time::timeout(LULL, self.task.notified()).await.is_err() {
                return self.state().fetch(batch);
            }
        }
    }
}
