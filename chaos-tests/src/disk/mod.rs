//! A disk whose power can fail: a folder that loses what was not fsynced, through FUSE. It may also be full, fail to sync or
//! be slow.

mod image;
mod mount;
mod trouble;

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use anyhow::Context;
use fuser::BackgroundSession;
use rand::Rng;

pub use image::{Image, Ino, Loss, ROOT, SECTOR, Stat};
pub use trouble::{Met, Trouble};

use trouble::Troubles;

/// A disk with its folder. The content lives in this process; the folder is gone when the value is.
#[derive(Debug)]
pub struct PowerDisk {
    folder: PathBuf,
    image: Arc<Mutex<Image>>,
    troubles: Arc<Mutex<Troubles>>,
    session: Option<BackgroundSession>,
}

/// Why such disks cannot be had here, or `None` if they can.
pub fn unusable() -> Option<String> {
    if !rustix::process::geteuid().is_root() {
        return Some("mounting a FUSE file system needs root here".to_owned());
    }
    let device = Path::new("/dev/fuse");
    match std::fs::File::options().read(true).write(true).open(device) {
        Ok(_) => None,
        Err(error) => Some(format!("{} cannot be opened: {error}", device.display())),
    }
}

impl PowerDisk {
    /// An empty disk, with its content at `folder`, which is made.
    ///
    /// # Errors
    /// If it cannot be mounted there.
    pub fn new(folder: &Path) -> anyhow::Result<Self> {
        // What a process before left when it was killed.
        mount::detach(folder);
        std::fs::create_dir_all(folder).with_context(|| format!("making {}", folder.display()))?;
        let mut disk = Self {
            folder: folder.to_owned(),
            image: Arc::default(),
            troubles: Arc::default(),
            session: None,
        };
        disk.attach()?;
        Ok(disk)
    }

    /// The power of the disk fails and comes back. Whoever used the folder must be dead already.
    ///
    /// # Errors
    /// If the folder cannot be mounted again.
    pub fn lose_power(&mut self, loss: Loss, rng: &mut impl Rng) -> anyhow::Result<()> {
        // Before the content changes: the kernel keeps copies of what it has seen.
        self.detach();
        self.image().lose_power(loss, rng);
        self.attach()
    }

    /// See [`Image::lie`].
    pub fn lie(&self, lies: bool) {
        self.image().lie(lies);
    }

    /// See [`Image::syncs`].
    pub fn syncs(&self) -> u64 {
        self.image().syncs()
    }

    /// From now on, this is wrong with the disk.
    pub fn trouble(&self, trouble: Trouble) {
        self.troubles().now = trouble;
    }

    /// Who met its troubles so far.
    pub fn met(&self) -> Met {
        self.troubles().met
    }

    fn troubles(&self) -> MutexGuard<'_, Troubles> {
        self.troubles.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn image(&self) -> MutexGuard<'_, Image> {
        self.image.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn attach(&mut self) -> anyhow::Result<()> {
        let session = mount::mount(self.image.clone(), self.troubles.clone(), &self.folder)
            .with_context(|| format!("mounting a FUSE file system at {}", self.folder.display()))?;
        self.session = Some(session);
        Ok(())
    }

    fn detach(&mut self) {
        mount::detach(&self.folder);
        if let Some(session) = self.session.take() {
            let _ = session.umount_and_join();
        }
    }
}

impl Drop for PowerDisk {
    fn drop(&mut self) {
        self.detach();
    }
}
