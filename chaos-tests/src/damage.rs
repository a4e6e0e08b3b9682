//! What befalls a data folder while nobody uses it.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};

/// All files below a folder, by name.
///
/// # Errors
/// If it cannot be read. So it is with the functions below.
pub fn files(folder: &Path) -> io::Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        match path.is_dir() {
            true => found.extend(files(&path)?),
            false => found.push(path),
        }
    }
    found.sort();
    Ok(found)
}

/// Copies a folder with all that is in it.
///
/// # Errors
/// See [`files`].
pub fn copy(from: &Path, to: &Path) -> io::Result<()> {
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from)? {
        let path = entry?.path();
        let Some(name) = path.file_name() else { continue };
        match path.is_dir() {
            true => copy(&path, &to.join(name))?,
            false => fs::copy(&path, to.join(name)).map(|_| ())?,
        }
    }
    Ok(())
}

/// Where the content of a file ends that was made larger than it is: behind its last byte that is not zero.
///
/// # Errors
/// See [`files`].
pub fn end_of_content(file: &Path) -> io::Result<u64> {
    let bytes = fs::read(file)?;
    let zeros = bytes.iter().rev().take_while(|byte| **byte == 0).count();
    Ok((bytes.len() - zeros) as u64)
}

/// Turns one bit over.
///
/// # Errors
/// See [`files`].
pub fn flip(file: &Path, at: u64) -> io::Result<()> {
    let file = File::options().read(true).write(true).open(file)?;
    let mut byte = [0];
    file.read_exact_at(&mut byte, at)?;
    byte[0] ^= 0x10;
    file.write_all_at(&byte, at)
}

/// Turns one bit over in the middle of a file's content.
///
/// # Errors
/// See [`files`].
pub fn flip_middle(file: &Path) -> io::Result<()> {
    flip(file, end_of_content(file)? / 2)
}

/// Takes the last bytes of a file's content away, as a write does that was not finished.
///
/// # Errors
/// See [`files`].
pub fn tear(path: &Path) -> io::Result<()> {
    let length = fs::metadata(path)?.len();
    let end = end_of_content(path)?;
    let file = File::options().write(true).open(path)?;
    file.set_len(end.saturating_sub(3))?;
    // A file that was made larger ahead stays so.
    match length > end {
        true => file.set_len(length),
        false => Ok(()),
    }
}

/// Where these bytes stand in the files below a folder.
///
/// # Errors
/// See [`files`].
pub fn places(folder: &Path, bytes: &[u8]) -> io::Result<Vec<(PathBuf, u64)>> {
    let mut found = Vec::new();
    for file in files(folder)? {
        let content = fs::read(&file)?;
        let here = content
            .windows(bytes.len())
            .enumerate()
            .filter(|(_, window)| *window == bytes);
        found.extend(here.map(|(at, _)| (file.clone(), at as u64)));
    }
    Ok(found)
}

/// Begins a record behind the last one of a segment of the Raft log and does not finish it: its head is there, its body is
/// not. So does a loss of power that keeps the first of two sectors.
///
/// # Errors
/// See [`files`]; also if the file is no segment or has no room.
pub fn unfinished_record(segment: &Path) -> io::Result<()> {
    const BODY: u32 = 600;
    let mut bytes = fs::read(segment)?;
    let end = segment::records(&bytes)?
        .last()
        .map_or(segment::RECORDS, |record| record.end);
    let end = end.next_multiple_of(segment::ALIGN);
    let head = bytes
        .get_mut(end..end + segment::HEAD)
        .ok_or_else(|| segment::no(segment))?;
    head[4..8].copy_from_slice(&BODY.to_be_bytes());
    head[8..12].copy_from_slice(&segment::offset(end)?.to_be_bytes());
    head[12..16].copy_from_slice(&0xDEAD_BEEF_u32.to_be_bytes());
    head[16] = 1;
    segment::seal(&mut bytes, end)?;
    fs::write(segment, bytes)
}

/// Changes one byte of a record in a segment of the Raft log and makes the checks of the record fit, which no disk does by
/// itself.
///
/// # Errors
/// See [`files`]; also if no record holds this place.
pub fn forge(segment: &Path, place: u64, byte: u8) -> io::Result<()> {
    let mut bytes = fs::read(segment)?;
    let place = usize::try_from(place).map_err(|_| segment::no(segment))?;
    let body = |record: &std::ops::Range<usize>| record.start + segment::HEAD..record.end;
    let mut records = segment::records(&bytes)?.into_iter();
    let record = records
        .find(|record| body(record).contains(&place))
        .ok_or_else(|| segment::no(segment))?;
    bytes[place] = byte;
    let check = crc32fast::hash(&bytes[body(&record)]);
    bytes[record.start + 12..record.start + 16].copy_from_slice(&check.to_be_bytes());
    segment::seal(&mut bytes, record.start)?;
    fs::write(segment, bytes)
}

/// The layout of `node/consensus/src/log/segment.rs`, written down a second time: who damages a record must know where it is.
mod segment {
    use std::io;
    use std::ops::Range;
    use std::path::Path;

    pub(super) const RECORDS: usize = 280;
    pub(super) const HEAD: usize = 24;
    pub(super) const ALIGN: usize = 8;
    const NUMBER: Range<usize> = 40..48;

    pub(super) fn no(segment: &Path) -> io::Error {
        invalid(&format!("{} has no such place", segment.display()))
    }

    fn invalid(why: &str) -> io::Error {
        io::Error::new(io::ErrorKind::InvalidData, why)
    }

    pub(super) fn offset(start: usize) -> io::Result<u32> {
        u32::try_from(start).map_err(|_| invalid("a segment is not that long"))
    }

    /// Where the records are, each from its head to the end of its body.
    pub(super) fn records(bytes: &[u8]) -> io::Result<Vec<Range<usize>>> {
        let mut found = Vec::new();
        let mut start = RECORDS;
        while let Some(head) = bytes.get(start..start + HEAD) {
            let Ok(length) = head[4..8].try_into().map(u32::from_be_bytes) else {
                break;
            };
            let end = start + HEAD + length as usize;
            if head[..4] != check(bytes, start)?.to_be_bytes() || end > bytes.len() {
                break;
            }
            found.push(start..end);
            start = end.next_multiple_of(ALIGN);
        }
        Ok(found)
    }

    /// Makes the check of a head fit.
    pub(super) fn seal(bytes: &mut [u8], start: usize) -> io::Result<()> {
        let check = check(bytes, start)?;
        bytes[start..start + 4].copy_from_slice(&check.to_be_bytes());
        Ok(())
    }

    fn check(bytes: &[u8], start: usize) -> io::Result<u32> {
        let [number, head] = [NUMBER, start + 4..start + HEAD].map(|range| bytes.get(range));
        let (Some(number), Some(head)) = (number, head) else {
            return Err(invalid("a segment ends inside a head"));
        };
        Ok(crc32fast::hash(&[number, &offset(start)?.to_be_bytes(), head].concat()))
    }
}

/// The file of a folder that was written last.
///
/// # Errors
/// See [`files`]; also if there is none.
pub fn newest(folder: &Path) -> io::Result<PathBuf> {
    let mut best = None;
    for file in files(folder)? {
        // Made ahead and still empty does not count.
        if end_of_content(&file)? > 0 {
            best = best.max(Some((fs::metadata(&file)?.modified()?, file)));
        }
    }
    best.map(|(_, file)| file)
        .ok_or_else(|| io::Error::new(io::ErrorKind::NotFound, format!("no file in {}", folder.display())))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

    use super::*;

    #[test]
    fn tearing_takes_content_away_and_leaves_the_room_made_ahead() {
        let place = tempfile::tempdir().unwrap();
        let [plain, roomy] = ["plain", "roomy"].map(|name| place.path().join(name));
        fs::write(&plain, b"content").unwrap();
        fs::write(&roomy, b"content\0\0\0\0").unwrap();
        tear(&plain).unwrap();
        tear(&roomy).unwrap();
        assert_eq!(fs::read(&plain).unwrap(), b"cont");
        assert_eq!(fs::read(&roomy).unwrap(), b"cont\0\0\0\0\0\0\0");
        flip_middle(&plain).unwrap();
        assert_eq!(fs::read(&plain).unwrap(), b"co\x7et");
        assert_eq!(places(place.path(), b"ont").unwrap(), [(roomy.clone(), 1)]);
    }
}
