//! What the log holds, in memory: vote, bounds, where each entry is, and the newest entries themselves.
//!
//! The same code follows the calls of a running node and the records of a log that is opened, so both give the same state.

use std::collections::VecDeque;
use std::io;

use crate::log::segment::{Change, Header};
use crate::record::{Record, invalid};
use crate::types::{LogId, Vote};

/// A place in the log. Later records have greater places.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Place {
    /// Number of the segment.
    pub(super) segment: u64,
    /// Offset in it, bytes.
    pub(super) offset: u32,
}

/// One entry.
#[derive(Debug, Clone)]
pub(super) struct Slot {
    pub(super) id: LogId,
    pub(super) place: Place,
    /// Of its record on disk, bytes.
    pub(super) length: u32,
    /// `None` once it is on disk only.
    pub(super) record: Option<Record>,
}

/// The state of the log after some of its changes.
#[derive(Debug, Default, Clone)]
pub(super) struct Index {
    pub(super) vote: Option<Vote>,
    pub(super) purged: Option<LogId>,
    pub(super) committed: Option<LogId>,
    /// Id of the entry before the first slot. Above `purged` only while a log is opened whose first segments are gone.
    before: Option<LogId>,
    slots: VecDeque<Slot>,
    /// How many slots at the front are on disk only.
    evicted: usize,
    cached_bytes: usize,
}

impl Index {
    /// The state that a segment begins with.
    pub(super) fn of(header: &Header) -> Self {
        Index {
            vote: header.vote,
            purged: header.purged,
            committed: header.committed,
            before: header.last,
            ..Index::default()
        }
    }

    /// The header of a segment that begins now.
    pub(super) fn header(&self, number: u64, capacity: u64) -> Header {
        Header {
            number,
            capacity,
            previous: (0, 0),
            vote: self.vote,
            purged: self.purged,
            last: self.last(),
            committed: self.committed,
        }
    }

    /// Id of the last entry, purged ones included.
    pub(super) fn last(&self) -> Option<LogId> {
        self.slots.back().map_or(self.before, |slot| Some(slot.id))
    }

    /// Segment of the first entry that is left.
    pub(super) fn first_segment(&self) -> Option<u64> {
        self.slots.front().map(|slot| slot.place.segment)
    }

    /// Entries that are missing because the segments before the first one are gone and were not purged.
    pub(super) fn missing(&self) -> Option<LogId> {
        self.before
            .filter(|before| self.purged.is_none_or(|purged| purged.index < before.index))
    }

    /// Takes a change that is written at a place.
    pub(super) fn take(&mut self, change: &Change, place: Place) -> io::Result<()> {
        match change {
            Change::Entry(id, record) => self.append(*id, record.clone(), place, change.len()?),
            Change::Vote(vote) => {
                self.vote = Some(*vote);
                Ok(())
            }
            Change::Truncate(after) => {
                self.truncate(*after);
                Ok(())
            }
            Change::Purge(upto) => {
                self.purge(*upto);
                Ok(())
            }
            Change::Committed(id) => {
                self.committed = Some(*id);
                Ok(())
            }
            Change::Mark => Ok(()),
        }
    }

    fn append(&mut self, id: LogId, record: Record, place: Place, length: u32) -> io::Result<()> {
        let fits = match (self.slots.back(), self.before) {
            (Some(last), _) => id.index == last.id.index + 1,
            (None, Some(before)) => id.index > before.index,
            (None, None) => true,
        };
        if !fits {
            let last = self.last().map_or(0, |id| id.index);
            return Err(invalid(format!("entry {} cannot follow entry {last}", id.index)));
        }
        self.cached_bytes += record.len();
        self.slots.push_back(Slot {
            id,
            place,
            length,
            record: Some(record),
        });
        Ok(())
    }

    fn truncate(&mut self, after: Option<LogId>) {
        let next = after.map_or(0, |id| id.index + 1);
        while self.slots.back().is_some_and(|slot| slot.id.index >= next)
            && let Some(slot) = self.slots.pop_back()
        {
            self.cached_bytes -= slot.record.as_ref().map_or(0, Record::len);
        }
        self.evicted = self.evicted.min(self.slots.len());
        if self.before.is_some_and(|before| before.index >= next) {
            self.before = after;
        }
    }

    fn purge(&mut self, upto: LogId) {
        if self.purged.is_some_and(|purged| purged.index >= upto.index) {
            return;
        }
        self.purged = Some(upto);
        while self.slots.front().is_some_and(|slot| slot.id.index <= upto.index)
            && let Some(slot) = self.slots.pop_front()
        {
            self.cached_bytes -= slot.record.as_ref().map_or(0, Record::len);
            self.evicted = self.evicted.saturating_sub(1);
            self.before = Some(slot.id);
        }
        if self.before.is_none_or(|before| before.index <= upto.index) {
            self.before = Some(upto);
        }
    }

    /// Drops the oldest entries from memory until no more than `limit` bytes are left, but none from `end` on.
    pub(super) fn evict(&mut self, limit: usize, end: Place) {
        while self.cached_bytes > limit
            && let Some(slot) = self.slots.get_mut(self.evicted)
            && slot.place < end
        {
            self.cached_bytes -= slot.record.take().as_ref().map_or(0, Record::len);
            self.evicted += 1;
        }
    }

    /// Entries with `from <= index < to`.
    pub(super) fn range(&self, from: u64, to: u64) -> impl Iterator<Item = &Slot> {
        let first = self.slots.front().map_or(0, |slot| slot.id.index);
        let at = |index: u64| (index.saturating_sub(first) as usize).min(self.slots.len());
        let (start, end) = (at(from), at(to));
        self.slots.range(start..end.max(start))
    }
}

#[cfg(test)]
mod tests {
    use openraft::EntryPayload;

    use super::*;
    use crate::types::{Proposal, log_id};

    fn filled(entries: u64) -> Index {
        let mut index = Index::default();
        for number in 0..entries {
            add(&mut index, number).unwrap();
        }
        index
    }

    fn add(index: &mut Index, number: u64) -> io::Result<()> {
        let payload = EntryPayload::Normal(Proposal(vec![0; 10].into()));
        let place = Place {
            segment: 1 + number / 10,
            offset: number as u32,
        };
        index.take(&Change::Entry(log_id(1, 1, number), Record::of(&payload)), place)
    }

    fn indexes(index: &Index, from: u64, to: u64) -> Vec<u64> {
        index.range(from, to).map(|slot| slot.id.index).collect()
    }

    #[test]
    fn a_hole_is_refused() {
        let mut index = filled(3);
        assert!(add(&mut index, 4).is_err());
        assert!(add(&mut index, 2).is_err());
        add(&mut index, 3).unwrap();
    }

    #[test]
    fn only_entries_before_a_place_leave_memory_and_only_as_many_as_needed() {
        let mut index = filled(20);
        let end = Place { segment: 1, offset: 5 };
        index.evict(150, end);
        assert_eq!(index.range(0, 20).filter(|slot| slot.record.is_none()).count(), 5);
        index.evict(100, Place { segment: 9, offset: 0 });
        assert_eq!(index.cached_bytes, 100);
        index.purge(log_id(1, 1, 12));
        index.truncate(Some(log_id(1, 1, 15)));
        assert_eq!(index.cached_bytes, 30);
        assert_eq!(indexes(&index, 0, 100), [13, 14, 15]);
        assert_eq!(index.first_segment(), Some(2));
    }

    #[test]
    fn purging_behind_the_end_leaves_an_empty_log_that_goes_on_there() {
        let mut index = filled(3);
        index.purge(log_id(2, 1, 50));
        assert_eq!(index.last(), Some(log_id(2, 1, 50)));
        assert!(indexes(&index, 0, 100).is_empty());
        add(&mut index, 51).unwrap();
        // Going back is not possible.
        index.purge(log_id(1, 1, 10));
        assert_eq!(index.purged, Some(log_id(2, 1, 50)));
    }

    #[test]
    fn a_log_whose_first_segments_are_gone_is_whole_once_what_was_in_them_is_purged() {
        let mut index = Index::of(&filled(10).header(2, 4096));
        assert_eq!(index.missing(), Some(log_id(1, 1, 9)));
        index.truncate(Some(log_id(1, 1, 7)));
        assert_eq!(index.missing(), Some(log_id(1, 1, 7)));
        index.purge(log_id(1, 1, 7));
        assert_eq!(index.missing(), None);
    }
}
