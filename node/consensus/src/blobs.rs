//! Raw readings and other large things, by their digest: files that never change, `blobs/<first byte>/<digest>`.
//!
//! They are not in sled: sled can be lost and made again, a reading cannot. A blob that is not here is asked for elsewhere.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;

use crate::consensus::Consensus;
use crate::disk::{Disk, temporary_name};
use crate::errors::ReadError;
use crate::ledger::Digest;
use crate::remedy::remedy;

/// The largest blob, bytes.
pub const BLOB_BYTES: usize = 32 << 20;

/// The folder of blobs.
#[derive(Debug, Clone)]
pub(crate) struct Blobs {
    disk: Arc<dyn Disk>,
    folder: PathBuf,
}

impl Blobs {
    pub(crate) fn new(disk: Arc<dyn Disk>, folder: PathBuf) -> Self {
        Blobs { disk, folder }
    }

    fn put(&self, digest: Digest, content: &[u8]) -> io::Result<()> {
        let path = self.path(digest);
        let folder = path.parent().unwrap_or(&self.folder);
        let there = self.disk.exists(&path);
        if !there {
            self.disk
                .create_dir_all(folder)
                .map_err(|error| self.failed("written", &path, &error))?;
        }
        // Folder and file may be there because another writer has just made them: their names are durable only after a sync.
        self.disk.sync_dir(&self.folder)?;
        if there {
            return self.disk.sync_dir(folder);
        }
        // Unfinished files stand outside of the many folders, so that a start need not look for them there.
        let unfinished = temporary_name(&self.folder.join("blob"));
        let written = self.disk.create(&unfinished).and_then(|mut file| {
            file.write(content)?;
            file.sync()
        });
        if let Err(error) = written.and_then(|()| self.disk.rename(&unfinished, &path)) {
            // What cannot be removed now is removed at the next start.
            let _ = self.disk.remove(&unfinished);
            return Err(self.failed("written", &path, &error));
        }
        self.disk.sync_dir(folder)
    }

    /// `None` when it is not here, or not whole any more.
    pub(crate) fn get(&self, digest: Digest) -> io::Result<Option<Bytes>> {
        let path = self.path(digest);
        let content = match self.disk.read(&path) {
            Ok(content) => Bytes::from(content),
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(self.failed("read", &path, &error)),
        };
        if Digest::of(&content) == digest {
            return Ok(Some(content));
        }
        tracing::error!(path = %path.display(), "a blob is damaged and was removed; it is fetched again when it is asked for");
        self.disk.remove(&path)?;
        Ok(None)
    }

    fn failed(&self, what: &str, path: &Path, error: &io::Error) -> io::Error {
        io::Error::new(
            error.kind(),
            format!(
                "the blob {} cannot be {what}: {error}; {}",
                path.display(),
                remedy(error)
            ),
        )
    }

    fn path(&self, digest: Digest) -> PathBuf {
        let name = hex::encode(digest.0);
        self.folder.join(&name[..2]).join(Path::new(&name))
    }
}

impl Consensus {
    /// Keeps content durably on this node and says under which digest. Putting it again changes nothing.
    ///
    /// # Errors
    /// When it is larger than [`BLOB_BYTES`] or the disk fails.
    pub async fn put_blob(&self, content: Bytes) -> Result<Digest, ReadError> {
        if content.len() > BLOB_BYTES {
            return Err(ReadError::Storage(format!(
                "a blob of {} bytes; the limit is {BLOB_BYTES}",
                content.len()
            )));
        }
        let blobs = self.blobs().clone();
        self.replica()
            .blocking
            .run(move || {
                let digest = Digest::of(&content);
                blobs.put(digest, &content)?;
                Ok(digest)
            })
            .await
            .map_err(|error| ReadError::Storage(error.to_string()))
    }

    /// The content with a digest, from this node or else from another. `None` when no node that could be asked has it.
    ///
    /// # Errors
    /// When the disk fails.
    pub async fn blob(&self, digest: Digest) -> Result<Option<Bytes>, ReadError> {
        let storage = |error: io::Error| ReadError::Storage(error.to_string());
        let blobs = self.blobs().clone();
        let here = self.replica().blocking.run(move || blobs.get(digest)).await;
        if let Some(content) = here.map_err(storage)? {
            return Ok(Some(content));
        }
        match self.fetcher().blob(digest).await {
            Ok(content) => {
                self.put_blob(content.clone()).await?;
                Ok(Some(content))
            }
            Err(detail) => {
                tracing::debug!(%digest, detail, "no node has this blob");
                Ok(None)
            }
        }
    }
}
