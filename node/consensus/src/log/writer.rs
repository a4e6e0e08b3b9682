//! The one writer of the log.
//!
//! It fetches all that has queued, writes it in one piece, syncs once, and tells everybody who waited; meanwhile the next
//! batch gathers. A lone change is written at once. A failed write or sync is final, because nobody knows what the disk holds
//! then.

use std::io;
use std::sync::Arc;

use crate::blocking::in_place;
use crate::log::LogSettings;
use crate::log::files::{Helper, Segment, capacity, within};
use crate::log::index::Place;
use crate::log::queue::{Batch, Failure, Op, Shared};
use crate::log::recovery::Opened;
use crate::log::segment::{Change, Header, RECORDS};

/// Most that is written in one piece, bytes.
const PIECE: usize = 4 << 20;
/// `durable` of the mark of a segment once the next one is durable.
pub(super) const CONTINUES: u32 = u32::MAX;

pub(super) struct Writer {
    shared: Arc<Shared>,
    settings: LogSettings,
    helper: Helper,
    segment: Arc<Segment>,
    /// Offsets in the segment: what is on disk, and what is written.
    durable: u32,
    written: u32,
    /// Check of the last record.
    check: u32,
    /// What is to be written at `written`.
    buffer: Vec<u8>,
    /// The segment before, until the first sync of this one.
    left: Option<Arc<Segment>>,
    begun: Vec<Arc<Segment>>,
}

impl Writer {
    pub(super) fn new(shared: Arc<Shared>, settings: LogSettings, helper: Helper, opened: &Opened) -> Self {
        Writer {
            shared,
            settings,
            helper,
            segment: Arc::clone(&opened.newest),
            durable: opened.tail.offset,
            written: opened.tail.offset,
            check: opened.check,
            buffer: Vec::new(),
            left: None,
            begun: Vec::new(),
        }
    }

    /// Runs on a thread of its own until the log is closed or fails.
    pub(super) fn run_on_thread(mut self) {
        let mut batch = Batch::default();
        let mut hints = true;
        loop {
            self.shared.next_on_thread(&mut batch, hints);
            hints = batch.sync;
            let done = self.batch(&mut batch);
            if !self.tell(&mut batch, done) {
                return;
            }
        }
    }

    /// Runs as a task, with disk work in place.
    pub(super) async fn run_on_task(mut self) {
        let mut batch = Batch::default();
        let mut hints = true;
        loop {
            self.shared.next_on_task(&mut batch, hints).await;
            hints = batch.sync;
            let done = in_place(|| self.batch(&mut batch)).await;
            if !self.tell(&mut batch, done) {
                return;
            }
        }
    }

    /// Tells everybody who waited how a batch went, and leaves it empty. False when it was the last one.
    fn tell(&mut self, batch: &mut Batch, done: io::Result<Option<u64>>) -> bool {
        let retire = match done {
            Ok(retire) => retire,
            Err(error) => {
                let failure = Failure::of(&error);
                tracing::error!(%error, "the Raft log has failed");
                batch.fail(&failure);
                self.shared.fail(&failure);
                return false;
            }
        };
        for waiting in batch.waiting.drain(..) {
            waiting.complete(Ok(()));
        }
        let place = Place {
            segment: self.segment.number,
            offset: self.written,
        };
        let retired = self.shared.written(place, std::mem::take(&mut self.begun), retire);
        if !retired.is_empty() {
            self.helper.retire(retired);
        }
        // While half of the segment is left, so that a log that is hardly used does not grow.
        if u64::from(self.written) > self.segment.capacity / 2 {
            let number = self.segment.number + 1;
            self.helper.prepare(number, capacity(&self.settings, number, 0));
        }
        batch.sync = false;
        !batch.last
    }

    /// Writes a batch. The number below which segments are not needed any more, if that has changed.
    fn batch(&mut self, batch: &mut Batch) -> io::Result<Option<u64>> {
        let mut retire = None;
        for op in batch.ops.drain(..) {
            match op {
                Op::Write(change, place) => {
                    let offset = self.written + self.buffer.len() as u32;
                    assert_eq!(
                        (place.segment, place.offset),
                        (self.segment.number, offset),
                        "a record in the wrong place"
                    );
                    self.check = change.encode(&mut self.buffer, place.segment, offset, self.durable)?;
                    if self.buffer.len() > PIECE {
                        self.flush()?;
                    }
                }
                Op::Begin(header) => self.begin(*header)?,
                Op::Retire(needed) => retire = Some(needed),
            }
        }
        self.flush()?;
        if batch.sync || batch.last {
            self.sync()?;
        }
        // A lull, or the end: no later record will say that these are durable.
        if !batch.sync || batch.last {
            mark(&self.segment, self.durable)?;
        }
        if batch.last {
            let path = &self.segment.path;
            self.segment
                .file
                .sync_data()
                .map_err(|error| within("cannot sync", path, error))?;
        }
        Ok(retire)
    }

    fn begin(&mut self, mut header: Header) -> io::Result<()> {
        // Nothing of a segment is written before all of the one before is durable.
        self.flush()?;
        self.sync()?;
        let next = Arc::new(self.helper.next(header.number, header.capacity)?);
        header.previous = (self.written, self.check);
        let previous = std::mem::replace(&mut self.segment, Arc::clone(&next));
        self.left = Some(previous);
        self.begun.push(next);
        (self.durable, self.written, self.check) = (0, 0, 0);
        header.encode(&mut self.buffer);
        assert_eq!(self.buffer.len(), RECORDS as usize);
        Ok(())
    }

    fn flush(&mut self) -> io::Result<()> {
        if !self.buffer.is_empty() {
            let Segment { path, file, .. } = &*self.segment;
            file.write_at(u64::from(self.written), &self.buffer)
                .map_err(|error| within("cannot write", path, error))?;
            self.written += self.buffer.len() as u32;
            self.buffer.clear();
            // One huge batch must not keep its memory for ever.
            self.buffer.shrink_to(2 * PIECE);
        }
        Ok(())
    }

    fn sync(&mut self) -> io::Result<()> {
        if self.durable < self.written {
            let Segment { path, file, .. } = &*self.segment;
            portcullis_domain::mutant!(
                SpokenTooSoon,
                (),
                file.sync_data().map_err(|error| within("cannot sync", path, error))?,
            );
            self.durable = self.written;
            if let Some(previous) = self.left.take() {
                mark(&previous, CONTINUES)?;
            }
        }
        Ok(())
    }
}

/// Writes the mark of a segment. It is a hint: no sync waits for it.
fn mark(segment: &Segment, durable: u32) -> io::Result<()> {
    let mut mark = Vec::new();
    Change::Mark.encode(&mut mark, segment.number, 0, durable)?;
    let written = segment.file.write_at(0, &mark);
    written.map_err(|error| within("cannot write", &segment.path, error))
}

impl Drop for Writer {
    fn drop(&mut self) {
        // After a panic it is the first failure.
        self.shared.fail(&Failure::writer_ended());
    }
}
