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

/// The file of a folder with the most content.
///
/// # Errors
/// See [`files`]; also if there is none.
pub fn fullest(folder: &Path) -> io::Result<PathBuf> {
    let mut best = None;
    for file in files(folder)? {
        best = best.max(Some((end_of_content(&file)?, file)));
    }
    best.map(|(_, file)| file)
        .ok_or_else(|| io::Error::new(io::ErrorKind::NotFound, format!("no file in {}", folder.display())))
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
        assert_eq!(fullest(place.path()).unwrap(), roomy);
    }
}
