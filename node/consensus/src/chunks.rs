//! A file in checked pieces, written and read in one pass with little memory.
//!
//! ```text
//! any number of   u32 length, not 0   u32 CRC-32 (IEEE) of the bytes   bytes
//! u32 0
//! 32 bytes SHA-256 of all before
//! ```
//! Integers are big-endian. The CRC says where a damage is before much has been read; the SHA-256 says that nothing was
//! cut, moved or exchanged.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use sha2::{Digest as _, Sha256};

use crate::disk::{Disk, DiskFile};
use crate::record::invalid;

/// The most bytes in one piece.
pub(crate) const CHUNK: usize = 1 << 20;
const HEAD: usize = 8;
const SUM: usize = 32;

/// Writes such a file.
pub(crate) struct ChunkWriter {
    file: Box<dyn DiskFile>,
    /// The piece that is being filled.
    piece: Vec<u8>,
    sum: Sha256,
}

impl ChunkWriter {
    /// Over an empty file.
    pub(crate) fn new(file: Box<dyn DiskFile>) -> Self {
        ChunkWriter {
            file,
            piece: Vec::new(),
            sum: Sha256::new(),
        }
    }

    pub(crate) fn write(&mut self, mut bytes: &[u8]) -> io::Result<()> {
        while !bytes.is_empty() {
            let (now, later) = bytes.split_at(bytes.len().min(CHUNK - self.piece.len()));
            self.piece.extend_from_slice(now);
            bytes = later;
            if self.piece.len() == CHUNK {
                self.cut()?;
            }
        }
        Ok(())
    }

    /// Ends the piece: what comes next is in another one.
    pub(crate) fn cut(&mut self) -> io::Result<()> {
        if self.piece.is_empty() {
            return Ok(());
        }
        let mut head = [0; HEAD];
        head[..4].copy_from_slice(&(self.piece.len() as u32).to_be_bytes());
        head[4..].copy_from_slice(&crc32fast::hash(&self.piece).to_be_bytes());
        for bytes in [&head[..], &self.piece] {
            self.sum.update(bytes);
            self.file.write(bytes)?;
        }
        self.piece.clear();
        Ok(())
    }

    /// Ends the file. Returns when it is durable.
    pub(crate) fn finish(mut self) -> io::Result<()> {
        self.cut()?;
        let end = [0; 4];
        self.sum.update(end);
        self.file.write(&end)?;
        self.file.write(&self.sum.finalize())?;
        portcullis_domain::mutant!(SnapshotUnsynced, Ok(()), self.file.sync())
    }
}

/// Reads such a file.
pub(crate) struct ChunkReader {
    disk: Arc<dyn Disk>,
    path: PathBuf,
    offset: u64,
    sum: Sha256,
}

impl ChunkReader {
    pub(crate) fn new(disk: Arc<dyn Disk>, path: &Path) -> Self {
        ChunkReader {
            disk,
            path: path.to_owned(),
            offset: 0,
            sum: Sha256::new(),
        }
    }

    /// The next piece. `None` at the end, when everything before it was as it was written.
    ///
    /// # Errors
    /// Those of the disk, and of kind `InvalidData` when the file is damaged.
    pub(crate) fn next(&mut self) -> io::Result<Option<Bytes>> {
        let at = self.offset;
        let bytes: Bytes = self.disk.read_at(&self.path, at, HEAD + CHUNK)?.into();
        let cut = || invalid(format!("it is cut off after byte {at}"));
        let length = match bytes.first_chunk::<4>() {
            Some(length) => u32::from_be_bytes(*length) as usize,
            None => return Err(cut()),
        };
        if length == 0 {
            self.sum.update([0; 4]);
            let sum = self.sum.clone().finalize();
            return match &bytes[4..] {
                rest if rest.len() < SUM => Err(cut()),
                rest if rest[..SUM] != sum[..] => Err(invalid("the SHA-256 at its end is not that of its content")),
                rest if rest.len() > SUM => Err(invalid("there are bytes behind its end")),
                _ => Ok(None),
            };
        }
        if length > CHUNK {
            return Err(invalid(format!("byte {at} is not the beginning of a piece")));
        }
        let Some(piece) = bytes.get(HEAD..HEAD + length) else {
            return Err(cut());
        };
        let crc = crc32fast::hash(piece).to_be_bytes();
        if bytes[4..HEAD] != crc {
            return Err(invalid(format!("the CRC of the piece at byte {at} is wrong")));
        }
        self.sum.update(&bytes[..HEAD + length]);
        self.offset += (HEAD + length) as u64;
        Ok(Some(bytes.slice(HEAD..HEAD + length)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::disk::StdDisk;

    fn read(path: &Path) -> io::Result<Vec<Bytes>> {
        let mut reader = ChunkReader::new(Arc::new(StdDisk), path);
        std::iter::from_fn(|| reader.next().transpose()).collect()
    }

    #[test]
    fn what_was_written_comes_back_and_any_damage_is_seen() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        let mut writer = ChunkWriter::new(StdDisk.create(&path).unwrap());
        writer.write(b"head").unwrap();
        writer.cut().unwrap();
        let body: Vec<u8> = (0..CHUNK + 5000).map(|i| (i % 251) as u8).collect();
        for part in body.chunks(70_000) {
            writer.write(part).unwrap();
        }
        writer.finish().unwrap();
        let pieces = read(&path).unwrap();
        assert_eq!(&pieces[0][..], b"head");
        assert_eq!(pieces[1].len(), CHUNK);
        assert_eq!(pieces[1..].concat(), body);

        let whole = std::fs::read(&path).unwrap();
        let bad = |bytes: &[u8]| {
            std::fs::write(&path, bytes).unwrap();
            assert_eq!(read(&path).unwrap_err().kind(), io::ErrorKind::InvalidData);
        };
        for at in (0..whole.len()).step_by(9973).chain(whole.len() - 40..whole.len()) {
            let mut changed = whole.clone();
            changed[at] ^= 1;
            bad(&changed);
            bad(&whole[..at]);
        }
        bad(&[&whole[..], b"x"].concat());
        // Two pieces exchanged, each with a right CRC.
        let second = 8 + 4;
        let mut moved = whole[second..second + 8 + CHUNK].to_vec();
        moved.extend(&whole[..second]);
        moved.extend(&whole[second + 8 + CHUNK..]);
        bad(&moved);
    }
}
