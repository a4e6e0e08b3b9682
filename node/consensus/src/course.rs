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

    /// `cargo test -p portcullis-consensus --lib a_million_inspections -- --ignored --nocapture`
    #[test]
    #[ignore = "a measurement of minutes: making the index of a million closed inspections, its size, opening it again"]
    fn a_million_inspections_of_ten_entries() {
        use crate::sled_store::SledStore;

        const COUNT: u64 = 1_000_000;
        const EACH: u64 = 10;
        /// Inspections that are open at a time.
        const OPEN: u64 = 500;
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("sled");
        let store = SledStore::open(&path).unwrap();
        let mut courses = Courses::default();
        let started = std::time::Instant::now();
        let mut making = std::time::Duration::ZERO;
        let mut next = 0;
        while next < COUNT * EACH {
            let until = (next + 16 * 1024).min(COUNT * EACH);
            // Groups of inspections go through their ten steps side by side.
            let entries: Vec<(u64, Bytes)> = (next..until)
                .map(|entry| {
                    let (group, within) = (entry / (OPEN * EACH), entry % (OPEN * EACH));
                    let leaf = samples::leaf(entry, group * OPEN + within % OPEN, within / OPEN, EACH);
                    (entry, leaf)
                })
                .collect();
            let since = std::time::Instant::now();
            let batch = courses.note(&store, &entries).unwrap();
            store.apply(batch).unwrap();
            store.flush().unwrap();
            making += since.elapsed();
            next = until;
        }
        eprintln!(
            "{} entries in {:.0} s ({:.0} s of it for the leaves), {} MB on disk, {} courses in memory",
            COUNT * EACH,
            started.elapsed().as_secs_f64(),
            (started.elapsed() - making).as_secs_f64(),
            store.disk_bytes() >> 20,
            courses.open.len(),
        );
        drop(store);
        let resident = samples::resident();
        let since = std::time::Instant::now();
        let store = SledStore::open(&path).unwrap();
        let opened = since.elapsed();
        for no in (0..COUNT).step_by(997) {
            let course = store.get(&inspection_key(no)).unwrap().unwrap();
            assert_eq!(entries(&course).unwrap().len() as u64, EACH);
        }
        eprintln!(
            "opened again in {} ms; {} MB more resident after 1000 look-ups",
            opened.as_millis(),
            samples::resident().saturating_sub(resident) >> 20
        );
    }

    /// Leaves for the measurement.
    mod samples {
        use bytes::Bytes;
        use portcullis_domain::event::{Actor, Event, Leaf};
        use portcullis_domain::id::{CommandNo, InspectionNo, Principal, RequestId, SourceId, TerminalId, Timestamp};
        use portcullis_domain::manifest::{Announcement, Manifest};

        pub(super) fn leaf(entry: u64, no: u64, step: u64, steps: u64) -> Bytes {
            let inspection = InspectionNo(no);
            let equipment = format!("ABCU{no:07}").parse().unwrap();
            let event = match step {
                0 => Event::Announced {
                    inspection,
                    announcement: Announcement {
                        equipment,
                        terminal: TerminalId::new("T1").unwrap(),
                        ready_at: None,
                        due_at: None,
                        priority: 0,
                        manifest: Manifest::default(),
                        findings: Vec::new(),
                    },
                    findings: Vec::new(),
                },
                last if last + 1 == steps => Event::Departed { inspection, equipment },
                _ => Event::Enqueued { inspection },
            };
            let leaf = Leaf {
                number: CommandNo(entry),
                at: Timestamp(entry),
                actor: Actor::External {
                    source: SourceId::new("tos-1").unwrap(),
                    request: RequestId::new("r").unwrap(),
                    principal: Principal::new("tos-1").unwrap(),
                },
                event,
            };
            leaf.bytes().into()
        }

        /// Resident memory of this process, bytes.
        pub(super) fn resident() -> usize {
            let statm = std::fs::read_to_string("/proc/self/statm").unwrap();
            statm.split(' ').nth(1).unwrap().parse::<usize>().unwrap() * 4096
        }
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
