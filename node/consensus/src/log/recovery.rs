//! Opening a log: which files count, what they say, and whether a crash can have left them so.
//!
//! Nothing of a segment is written before the one before it is durable, so only the newest segment can end in a torn write.
//! There, writes since the last sync may be on disk in part and in any order: records behind a bad one prove nothing by being
//! there. What they *say* does: each carries the offset up to which all was durable when it was written. The rule:
//!
//! - The log ends at its first bad record, at X.
//! - If a valid head behind X, or the mark, says that more than X was durable, what is bad at X had been durable: the file is
//!   damaged, and the log is refused.
//! - Otherwise nothing from X on was ever acknowledged: it is cut off, and wiped, so that no later record can lead to it.
//!
//! The mark is written once the log is idle for a moment and when it is closed, and protects the last batch in the same way;
//! without it, as after a loss of power in full work, damage to the very last batch cannot be told from a torn write.
//! A segment whose header is bad has not begun, by the same rule with X = 0. The mark of an older segment says that the next
//! one is durable, so a newest segment cannot be missing unseen.
//! A log that was begun has at least one segment with a valid header: without it the node would forget whom it has voted for,
//! and could vote again. Whether it was begun is noted outside of its folder, in `meta/raft`.
//! Older segments must be whole up to the end that the next header names, with the check of their last record.

use std::collections::BTreeMap;
use std::io;
use std::path::Path;
use std::sync::Arc;

use crate::disk::Disk;
use crate::log::LogSettings;
use crate::log::files::{Folder, Named, Segment, capacity, within};
use crate::log::index::{Index, Place};
use crate::log::segment::{ALIGN, Head, Header, RECORDS, unsupported};
use crate::log::writer::CONTINUES;
use crate::record::invalid;

/// A log that was found whole or made anew.
pub(super) struct Opened {
    pub(super) index: Index,
    pub(super) segments: BTreeMap<u64, Arc<Segment>>,
    pub(super) newest: Arc<Segment>,
    /// Where the next record goes.
    pub(super) tail: Place,
    /// Check of the last record.
    pub(super) check: u32,
}

/// Opens the log in a folder, or makes one in a folder where none was `begun` before.
///
/// # Errors
/// `InvalidData` names file, offset and fault when the log is damaged, `Unsupported` when it is not for this program; others
/// are of the disk.
pub(super) fn open(
    disk: &Arc<dyn Disk>,
    folder: &Arc<Folder>,
    settings: &LogSettings,
    begun: bool,
) -> io::Result<Opened> {
    let path = folder.path();
    let (mut numbers, mut spares) = (Vec::new(), Vec::new());
    for name in disk.list(path)? {
        match Named::parse(&name) {
            Some(Named::Segment(number)) => numbers.push(number),
            Some(Named::Spare(number)) => spares.push((number, disk.len(&path.join(name))?)),
            None => {
                let file = path.join(name);
                return Err(unsupported(format!(
                    "{} is no file of this log; move it away",
                    file.display()
                )));
            }
        }
    }
    let mut headers = BTreeMap::new();
    let mut unused = Vec::new();
    for number in numbers {
        let path = Named::Segment(number).path(path);
        let bytes = disk.read_at(&path, 0, RECORDS as usize)?;
        let header = Header::decode(&bytes).map_err(|error| in_file(&path, 0, &error))?;
        match header.filter(|header| header.number == number) {
            Some(header) => drop(headers.insert(number, header)),
            None => unused.push(number),
        }
    }
    let Some(newest) = headers.last_key_value().map(|(number, _)| *number) else {
        if begun {
            return Err(invalid(format!(
                "no segment with a valid header is in {}, but this node had a log: its entries and the votes that it has cast \
                 are lost",
                path.display()
            )));
        }
        return create(disk, folder, settings, &unused, &spares);
    };

    // What was retired may have stayed under its name in part. Whether something is missing shows at the end.
    let first = (1..=newest)
        .rev()
        .take_while(|number| headers.contains_key(number))
        .last()
        .unwrap_or(newest);
    let mut index = Index::of(&headers[&first]);
    let mut segments = BTreeMap::new();
    let mut end = (0, 0);
    for (&number, header) in headers.range(first..) {
        let path = Named::Segment(number).path(path);
        let bytes = disk.read(&path)?;
        if (bytes.len() as u64) < header.capacity {
            let why = format!("the file ends here, it was {} bytes long", header.capacity);
            return Err(at(&path, bytes.len() as u32, &why));
        }
        end = replay(&path, number, &bytes, &mut index)?;
        match headers.get(&(number + 1)) {
            Some(next) => {
                check_whole(&path, end, next)?;
                check_state(&Named::Segment(number + 1).path(folder.path()), next, &index)?;
            }
            None => cut(disk, &path, number, &bytes, end.0)?,
        }
        let file = disk.open(&path)?;
        let capacity = header.capacity;
        let segment = Segment {
            number,
            path,
            capacity,
            file,
        };
        segments.insert(number, Arc::new(segment));
        let place = Place {
            segment: number + 1,
            offset: 0,
        };
        index.evict(settings.cache_bytes, place);
    }
    if let Some(missing) = index.missing() {
        let needed = Named::Segment(first.saturating_sub(1)).path(path);
        let why = match unused.contains(&(first - 1)) {
            true => "the header of the segment is damaged",
            false => "the segment is missing",
        };
        return Err(at(
            &needed,
            0,
            &format!("{why}; it holds entries up to {}", missing.index),
        ));
    }

    for number in unused {
        let path = Named::Segment(number).path(path);
        if number > newest {
            check_unused(disk, &path, number)?;
        }
        disk.remove(&path)?;
    }
    for &number in headers.keys().take_while(|number| **number < first) {
        disk.remove(&Named::Segment(number).path(path))?;
    }
    disk.sync_dir(path)?;
    folder.found(segments.values().map(|segment| segment.capacity).sum(), spares);
    let tail = Place {
        segment: newest,
        offset: end.0,
    };
    let segment = Arc::clone(&segments[&newest]);
    // Records may be there that were written before a crash and never synced.
    segment
        .file
        .sync_data()
        .map_err(|error| within("cannot sync", &segment.path, error))?;
    Ok(Opened {
        index,
        segments,
        newest: segment,
        tail,
        check: end.1,
    })
}

fn create(
    disk: &Arc<dyn Disk>,
    folder: &Arc<Folder>,
    settings: &LogSettings,
    unused: &[u64],
    spares: &[(u64, u64)],
) -> io::Result<Opened> {
    let path = folder.path();
    if let Some((spare, _)) = spares.first() {
        let why = "a segment was used up to this one, but no segment with a valid header is there";
        return Err(at(&Named::Spare(*spare).path(path), 0, why));
    }
    for &number in unused {
        let path = Named::Segment(number).path(path);
        check_unused(disk, &path, number)?;
        disk.remove(&path)?;
    }
    let number = 1;
    let segment = folder.prepare(number, capacity(settings, number, 0))?;
    let index = Index::default();
    let mut header = Vec::new();
    index.header(number, segment.capacity).encode(&mut header);
    let written = segment
        .file
        .write_at(0, &header)
        .and_then(|()| segment.file.sync_data());
    written.map_err(|error| within("cannot write", &segment.path, error))?;
    let newest = Arc::new(segment);
    Ok(Opened {
        index,
        segments: BTreeMap::from([(number, Arc::clone(&newest))]),
        newest,
        tail: Place {
            segment: number,
            offset: RECORDS,
        },
        check: 0,
    })
}

/// Takes all records up to the first that is bad. Returns where that is and the check of the last good one.
fn replay(path: &Path, number: u64, bytes: &[u8], index: &mut Index) -> io::Result<(u32, u32)> {
    let (mut offset, mut check) = (RECORDS, 0);
    while let Some(record) = bytes.get(offset as usize..)
        && let Some(head) = Head::at(record, number, offset)
    {
        let wrong = |error: io::Error| in_file(path, offset, &error);
        match head.change(record).map_err(wrong)? {
            None => break,
            Some(change) => index
                .take(
                    &change,
                    Place {
                        segment: number,
                        offset,
                    },
                )
                .map_err(wrong)?,
        }
        check = head.check;
        offset += head.total();
    }
    Ok((offset, check))
}

/// A segment that has a successor must be whole.
fn check_whole(path: &Path, end: (u32, u32), next: &Header) -> io::Result<()> {
    if end == next.previous {
        return Ok(());
    }
    let why = match end.0.cmp(&next.previous.0) {
        std::cmp::Ordering::Less => format!("the record here is bad, and valid ones end only at {}", next.previous.0),
        _ => format!(
            "the next segment follows another one than this, one that ended at {}",
            next.previous.0
        ),
    };
    Err(at(path, end.0, &why))
}

fn check_state(path: &Path, header: &Header, index: &Index) -> io::Result<()> {
    let found = (header.vote, header.purged, header.last);
    if found == (index.vote, index.purged, index.last()) {
        return Ok(());
    }
    Err(at(path, 0, "the header does not agree with the segments before it"))
}

/// Cuts off a torn tail of the newest segment, or finds that it cannot be one.
fn cut(disk: &Arc<dyn Disk>, path: &Path, number: u64, bytes: &[u8], end: u32) -> io::Result<()> {
    let behind = behind(bytes, number, end);
    match behind.durable {
        CONTINUES => {
            let next = path.with_file_name(format!("{:020}.log", number + 1));
            return Err(at(&next, 0, "the segment is missing or its header is damaged"));
        }
        durable if durable > end => {
            let why = format!("the record here is bad, but everything before {durable} was written and synced");
            return Err(at(path, end, &why));
        }
        _ => {}
    }
    if behind.end > end {
        tracing::warn!(file = %path.display(), offset = end, "cut off writes of the Raft log that a crash left unfinished");
        let zeros = vec![0; (behind.end.min(bytes.len() as u32) - end) as usize];
        let file = disk.open(path)?;
        let wiped = file.write_at(u64::from(end), &zeros).and_then(|()| file.sync_data());
        wiped.map_err(|error| within("cannot write", path, error))?;
    }
    Ok(())
}

/// A segment without a valid header must never have held anything durable.
fn check_unused(disk: &Arc<dyn Disk>, path: &Path, number: u64) -> io::Result<()> {
    let bytes = disk.read(path)?;
    match behind(&bytes, number, 0).durable {
        0 => Ok(()),
        _ => Err(at(path, 0, "the header is bad, but there are synced records behind it")),
    }
}

/// What the mark and valid heads behind the end of a segment say.
struct Behind {
    /// The highest offset that was durable.
    durable: u32,
    /// Where the last of them ends.
    end: u32,
}

fn behind(bytes: &[u8], number: u64, end: u32) -> Behind {
    let mark = Head::at(bytes, number, 0);
    let mut behind = Behind {
        durable: mark.map_or(0, |mark| mark.durable),
        end,
    };
    for offset in (end..bytes.len() as u32).step_by(ALIGN as usize) {
        if let Some(head) = Head::at(&bytes[offset as usize..], number, offset) {
            behind.durable = behind.durable.max(head.durable);
            behind.end = behind.end.max(offset.saturating_add(head.total()));
        }
    }
    behind
}

/// An error with the place that it is about.
fn in_file(path: &Path, offset: u32, error: &io::Error) -> io::Error {
    io::Error::new(error.kind(), at(path, offset, &error.to_string()).to_string())
}

/// Damage at a place in a file.
fn at(path: &Path, offset: u32, why: &str) -> io::Error {
    invalid(format!("{} at offset {offset}: {why}", path.display()))
}
