//! The course of each inspection: the numbers of all entries about it, as they stand in the index.
//!
//! A course is a list of ascending numbers, each as the distance to the one before it in base 128, low digits first, with
//! the high bit set on all digits but the last. Ten entries that lie a few thousand apart take some twenty bytes.

use std::collections::{BTreeSet, HashMap};
use std::io;

use bytes::Bytes;
use portcullis_domain::event::Event;

use crate::bundle::LEAVES;
use crate::ledger;
use crate::record::invalid;
use crate::state_store::{INDEXED, StateBatch, StateStore, container_prefix, inspection_key, numbered, time_prefix};

/// Adds the number after `last` to a course.
fn push(course: &mut Vec<u8>, last: Option<u64>, entry: u64) {
    let mut rest = last.map_or(entry, |last| entry - last);
    while rest >= 0x80 {
        course.push(rest as u8 | 0x80);
        rest >>= 7;
    }
    course.push(rest as u8);
}

/// The entries of a course, ascending.
pub(crate) fn entries(course: &[u8]) -> io::Result<Vec<u64>> {
    let damaged = || invalid("a list of entries in the index is damaged");
    let mut entries: Vec<u64> = Vec::new();
    let mut digits = course.iter();
    while let Some(first) = digits.next() {
        let mut distance = u64::from(first & 0x7f);
        let (mut digit, mut shift) = (first, 7);
        while digit & 0x80 != 0 {
            digit = digits.next().ok_or_else(damaged)?;
            let part = u64::from(digit & 0x7f);
            if shift > 63 || part << shift >> shift != part {
                return Err(damaged());
            }
            distance |= part << shift;
            shift += 7;
        }
        let next = match entries.last() {
            None => distance,
            Some(last) if distance > 0 => last.checked_add(distance).ok_or_else(damaged)?,
            Some(_) => return Err(damaged()),
        };
        entries.push(next);
    }
    Ok(entries)
}

/// A course that may still grow.
#[derive(Debug)]
struct Open {
    course: Vec<u8>,
    last: Option<u64>,
}

/// Turns entries into what the store is to hold. Keeps the courses of open inspections at hand, no others.
#[derive(Debug, Default)]
pub(crate) struct Courses {
    open: HashMap<u64, Open>,
}

impl Courses {
    /// A batch for entries that follow what the store holds. Reads from the store what it does not know about them.
    pub(crate) fn note(&mut self, store: &dyn StateStore, entries: &[(u64, Bytes)]) -> io::Result<StateBatch> {
        let mut batch = StateBatch::default();
        let (mut touched, mut closed) = (BTreeSet::new(), Vec::new());
        for (entry, leaf) in entries {
            let leaf =
                ledger::leaf(leaf).map_err(|error| invalid(format!("entry {entry} of the decision log: {error}")))?;
            if entry.is_multiple_of(LEAVES) {
                batch.puts.push((numbered(time_prefix(leaf.at), *entry), Vec::new()));
            }
            let opens = matches!(leaf.event, Event::Announced { .. });
            let closes = matches!(leaf.event, Event::Departed { .. });
            let subjects = leaf.event.subjects();
            for inspection in subjects.inspections {
                let no = inspection.0;
                let open = match self.open.entry(no) {
                    std::collections::hash_map::Entry::Occupied(known) => known.into_mut(),
                    std::collections::hash_map::Entry::Vacant(place) => place.insert(Open::load(store, no, opens)?),
                };
                if open.last.is_none_or(|last| last < *entry) {
                    push(&mut open.course, open.last, *entry);
                    open.last = Some(*entry);
                }
                touched.insert(no);
                if closes {
                    closed.push(no);
                }
                if let Some(container) = subjects.equipment.as_ref().filter(|_| opens) {
                    batch.puts.push((numbered(container_prefix(container), no), Vec::new()));
                }
            }
        }
        if let Some((last, _)) = entries.last() {
            batch.puts.push((INDEXED.to_vec(), (last + 1).to_be_bytes().to_vec()));
        }
        let courses = touched.into_iter().filter_map(|no| {
            let open = self.open.get(&no)?;
            Some((inspection_key(no), open.course.clone()))
        });
        batch.puts.extend(courses);
        for no in closed {
            self.open.remove(&no);
        }
        Ok(batch)
    }
}

impl Open {
    /// What the store holds of an inspection; nothing yet when it opens just now.
    fn load(store: &dyn StateStore, no: u64, opens: bool) -> io::Result<Self> {
        let course = match opens {
            true => Vec::new(),
            false => store.get(&inspection_key(no))?.unwrap_or_default(),
        };
        let last = entries(&course)?.last().copied();
        Ok(Self { course, last })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn course(numbers: &[u64]) -> Vec<u8> {
        let mut course = Vec::new();
        let mut last = None;
        for number in numbers {
            push(&mut course, last, *number);
            last = Some(*number);
        }
        course
    }

    #[test]
    fn ten_entries_some_thousand_apart_take_about_twenty_bytes() {
        let numbers: Vec<u64> = (0..10).map(|number| 9_000_000 + number * 3_000).collect();
        assert_eq!(course(&numbers).len(), 4 + 9 * 2);
    }

    proptest! {
        #[test]
        fn a_course_reads_back(numbers in prop::collection::btree_set(any::<u64>(), 0..40)) {
            let numbers: Vec<u64> = numbers.into_iter().collect();
            prop_assert_eq!(entries(&course(&numbers)).unwrap(), numbers);
        }

        #[test]
        fn arbitrary_bytes_are_ascending_numbers_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..40)) {
            if let Ok(numbers) = entries(&bytes) {
                prop_assert!(numbers.is_sorted_by(|one, next| one < next));
            }
        }
    }
}
