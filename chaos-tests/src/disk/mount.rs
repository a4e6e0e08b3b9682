//! An image as a folder: what the kernel asks, translated.

use std::ffi::OsStr;
use std::io;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use fuser::{
    BackgroundSession, BsdFileFlags, Config, Errno, FileAttr, FileHandle, FileType, Filesystem, FopenFlags, Generation,
    INodeNo, LockOwner, MountOption, OpenFlags, RenameFlags, ReplyAttr, ReplyCreate, ReplyData, ReplyDirectory,
    ReplyEmpty, ReplyEntry, ReplyWrite, Request, TimeOrNow, WriteFlags,
};

use super::image::{Image, Stat};
use super::trouble::Troubles;

/// The name under which our file systems stand in the list of mounts.
const NAME: &str = "portcullis-chaos";
/// Nobody but the kernel changes what it has seen.
const CACHED: Duration = Duration::from_secs(3600);

/// Mounts an image.
pub(super) fn mount(
    image: Arc<Mutex<Image>>,
    troubles: Arc<Mutex<Troubles>>,
    folder: &Path,
) -> io::Result<BackgroundSession> {
    let mut config = Config::default();
    config.mount_options = vec![MountOption::FSName(NAME.to_owned()), MountOption::NoAtime];
    fuser::spawn_mount(Mounted { image, troubles }, folder, &config)
}

/// Takes our file system away from a folder, if one is there, also if whoever served it is gone.
pub(super) fn detach(folder: &Path) {
    let mounts = std::fs::read_to_string("/proc/self/mounts").unwrap_or_default();
    let folder = std::path::absolute(folder).unwrap_or_else(|_| folder.to_owned());
    let ours = mounts.lines().any(|line| {
        let mut words = line.split(' ');
        words.next() == Some(NAME) && words.next().is_some_and(|path| Path::new(path) == folder)
    });
    if ours {
        let _ = rustix::mount::unmount(&folder, rustix::mount::UnmountFlags::DETACH);
    }
}

struct Mounted {
    image: Arc<Mutex<Image>>,
    troubles: Arc<Mutex<Troubles>>,
}

impl Mounted {
    fn image(&self) -> MutexGuard<'_, Image> {
        self.image.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn troubles(&self) -> MutexGuard<'_, Troubles> {
        self.troubles.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A sync, with what the disk's troubles make of it.
    fn sync(&self, reply: ReplyEmpty, sync: impl FnOnce(&mut Image) -> rustix::io::Result<()> + Send + 'static) {
        match self.troubles().syncs() {
            Err(error) => reply.error(errno(error)),
            Ok(wait) if wait.is_zero() => empty(reply, sync(&mut self.image())),
            Ok(wait) => {
                let image = self.image.clone();
                // Elsewhere, so that a slow sync holds up nobody but who waits for it.
                std::thread::spawn(move || {
                    std::thread::sleep(wait);
                    let done = sync(&mut image.lock().unwrap_or_else(PoisonError::into_inner));
                    empty(reply, done);
                });
            }
        }
    }
}

fn errno(error: rustix::io::Errno) -> Errno {
    Errno::from_i32(error.raw_os_error())
}

fn attributes(stat: Stat) -> FileAttr {
    // Nobody here looks at times.
    let time = SystemTime::UNIX_EPOCH;
    FileAttr {
        ino: INodeNo(stat.ino),
        size: stat.length,
        blocks: stat.kept.div_ceil(512),
        atime: time,
        mtime: time,
        ctime: time,
        crtime: time,
        kind: kind(stat),
        perm: if stat.folder { 0o700 } else { 0o600 },
        nlink: 1,
        uid: rustix::process::geteuid().as_raw(),
        gid: rustix::process::getegid().as_raw(),
        rdev: 0,
        blksize: 4096,
        flags: 0,
    }
}

fn kind(stat: Stat) -> FileType {
    match stat.folder {
        true => FileType::Directory,
        false => FileType::RegularFile,
    }
}

impl Filesystem for Mounted {
    fn lookup(&self, _: &Request, parent: INodeNo, name: &OsStr, reply: ReplyEntry) {
        let image = self.image();
        match image.lookup(parent.0, name).and_then(|ino| image.stat(ino)) {
            Ok(stat) => reply.entry(&CACHED, &attributes(stat), Generation(0)),
            Err(error) => reply.error(errno(error)),
        }
    }

    fn getattr(&self, _: &Request, ino: INodeNo, _: Option<FileHandle>, reply: ReplyAttr) {
        match self.image().stat(ino.0) {
            Ok(stat) => reply.attr(&CACHED, &attributes(stat)),
            Err(error) => reply.error(errno(error)),
        }
    }

    fn setattr(
        &self,
        _: &Request,
        ino: INodeNo,
        _: Option<u32>,
        _: Option<u32>,
        _: Option<u32>,
        size: Option<u64>,
        _: Option<TimeOrNow>,
        _: Option<TimeOrNow>,
        _: Option<SystemTime>,
        _: Option<FileHandle>,
        _: Option<SystemTime>,
        _: Option<SystemTime>,
        _: Option<SystemTime>,
        _: Option<BsdFileFlags>,
        reply: ReplyAttr,
    ) {
        let mut image = self.image();
        let done = size.map_or(Ok(()), |length| image.set_length(ino.0, length));
        match done.and_then(|()| image.stat(ino.0)) {
            Ok(stat) => reply.attr(&CACHED, &attributes(stat)),
            Err(error) => reply.error(errno(error)),
        }
    }

    fn mkdir(&self, _: &Request, parent: INodeNo, name: &OsStr, _: u32, _: u32, reply: ReplyEntry) {
        if let Err(error) = self.troubles().takes_room() {
            return reply.error(errno(error));
        }
        let mut image = self.image();
        match image.create(parent.0, name, true).and_then(|ino| image.stat(ino)) {
            Ok(stat) => reply.entry(&CACHED, &attributes(stat), Generation(0)),
            Err(error) => reply.error(errno(error)),
        }
    }

    fn create(&self, _: &Request, parent: INodeNo, name: &OsStr, _: u32, _: u32, _: i32, reply: ReplyCreate) {
        if let Err(error) = self.troubles().takes_room() {
            return reply.error(errno(error));
        }
        let mut image = self.image();
        match image.create(parent.0, name, false).and_then(|ino| image.stat(ino)) {
            Ok(stat) => reply.created(
                &CACHED,
                &attributes(stat),
                Generation(0),
                FileHandle(0),
                FopenFlags::empty(),
            ),
            Err(error) => reply.error(errno(error)),
        }
    }

    fn unlink(&self, _: &Request, parent: INodeNo, name: &OsStr, reply: ReplyEmpty) {
        empty(reply, self.image().remove(parent.0, name, false));
    }

    fn rmdir(&self, _: &Request, parent: INodeNo, name: &OsStr, reply: ReplyEmpty) {
        empty(reply, self.image().remove(parent.0, name, true));
    }

    fn rename(
        &self,
        _: &Request,
        parent: INodeNo,
        name: &OsStr,
        newparent: INodeNo,
        newname: &OsStr,
        flags: RenameFlags,
        reply: ReplyEmpty,
    ) {
        let mut image = self.image();
        let taken = image.lookup(newparent.0, newname).is_ok();
        if !(flags & !RenameFlags::RENAME_NOREPLACE).is_empty() {
            reply.error(Errno::EINVAL);
        } else if taken && flags.contains(RenameFlags::RENAME_NOREPLACE) {
            reply.error(Errno::EEXIST);
        } else {
            empty(reply, image.rename((parent.0, name), (newparent.0, newname)));
        }
    }

    fn read(
        &self,
        _: &Request,
        ino: INodeNo,
        _: FileHandle,
        offset: u64,
        size: u32,
        _: OpenFlags,
        _: Option<LockOwner>,
        reply: ReplyData,
    ) {
        match self.image().read(ino.0, offset, size as usize) {
            Ok(bytes) => reply.data(&bytes),
            Err(error) => reply.error(errno(error)),
        }
    }

    fn write(
        &self,
        _: &Request,
        ino: INodeNo,
        _: FileHandle,
        offset: u64,
        data: &[u8],
        _: WriteFlags,
        _: OpenFlags,
        _: Option<LockOwner>,
        reply: ReplyWrite,
    ) {
        let mut image = self.image();
        let room = match image.takes_pages(ino.0, offset, data.len()) {
            Ok(true) => self.troubles().takes_room(),
            Ok(false) => Ok(()),
            Err(error) => Err(error),
        };
        let written = room.and_then(|()| image.write(ino.0, offset, data));
        drop(image);
        match (written, u32::try_from(data.len())) {
            (Ok(()), Ok(count)) => reply.written(count),
            (Ok(()), Err(_)) => reply.error(Errno::EINVAL),
            (Err(error), _) => reply.error(errno(error)),
        }
    }

    fn flush(&self, _: &Request, _: INodeNo, _: FileHandle, _: LockOwner, reply: ReplyEmpty) {
        // Closing a file makes nothing durable.
        reply.ok();
    }

    fn fsync(&self, _: &Request, ino: INodeNo, _: FileHandle, _: bool, reply: ReplyEmpty) {
        self.sync(reply, move |image| image.sync_file(ino.0));
    }

    fn fsyncdir(&self, _: &Request, ino: INodeNo, _: FileHandle, _: bool, reply: ReplyEmpty) {
        self.sync(reply, move |image| image.sync_folder(ino.0));
    }

    fn readdir(&self, _: &Request, ino: INodeNo, _: FileHandle, offset: u64, mut reply: ReplyDirectory) {
        match self.image().names(ino.0) {
            Ok(names) => {
                let from = usize::try_from(offset).unwrap_or(usize::MAX);
                for (at, (name, stat)) in names.iter().enumerate().skip(from) {
                    if reply.add(INodeNo(stat.ino), at as u64 + 1, kind(*stat), name) {
                        break;
                    }
                }
                reply.ok();
            }
            Err(error) => reply.error(errno(error)),
        }
    }

    fn fallocate(
        &self,
        _: &Request,
        ino: INodeNo,
        _: FileHandle,
        offset: u64,
        length: u64,
        mode: i32,
        reply: ReplyEmpty,
    ) {
        // Only plain preallocation: the others change what is read.
        if mode != 0 {
            return reply.error(Errno::EOPNOTSUPP);
        }
        let mut image = self.image();
        let end = offset.saturating_add(length);
        let done = image.stat(ino.0).and_then(|stat| match stat.length < end {
            true => image.set_length(ino.0, end),
            false => Ok(()),
        });
        empty(reply, done);
    }
}

fn empty(reply: ReplyEmpty, done: rustix::io::Result<()>) {
    match done {
        Ok(()) => reply.ok(),
        Err(error) => reply.error(errno(error)),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

    use std::fs::{self, File};
    use std::io::Write as _;
    use std::os::unix::fs::FileExt as _;

    use rand::SeedableRng;
    use rand_chacha::ChaCha8Rng;

    use std::time::{Duration, Instant};

    use crate::disk::{Loss, Met, PowerDisk, Trouble, unusable};

    #[test]
    fn a_program_sees_an_ordinary_folder_that_loses_what_was_not_synced() {
        if let Some(why) = unusable() {
            eprintln!("skipped: {why}");
            return;
        }
        let place = tempfile::tempdir().unwrap();
        let folder = place.path().join("disk");
        let mut disk = PowerDisk::new(&folder).unwrap();
        let mut rng = ChaCha8Rng::seed_from_u64(1);

        fs::create_dir(folder.join("raft")).unwrap();
        let path = folder.join("raft/log");
        let mut file = File::create(&path).unwrap();
        file.write_all(b"synced").unwrap();
        file.sync_data().unwrap();
        File::open(folder.join("raft")).unwrap().sync_all().unwrap();
        File::open(&folder).unwrap().sync_all().unwrap();
        file.write_all_at(b" and not", 6).unwrap();
        fs::write(folder.join("raft/other"), b"x").unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"synced and not");
        drop(file);

        disk.lose_power(Loss::Everything, &mut rng).unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"synced");
        let names: Vec<_> = fs::read_dir(folder.join("raft"))
            .unwrap()
            .map(|entry| entry.unwrap().file_name())
            .collect();
        assert_eq!(names, ["log"]);
        assert!(disk.syncs() >= 3);

        drop(disk);
        assert_eq!(fs::read_dir(&folder).unwrap().count(), 0, "it is unmounted");
    }

    #[test]
    fn a_disk_in_trouble_fails_as_disks_do_counts_whom_it_failed_and_is_well_again_afterwards() {
        if let Some(why) = unusable() {
            eprintln!("skipped: {why}");
            return;
        }
        let place = tempfile::tempdir().unwrap();
        let folder = place.path().join("disk");
        let disk = PowerDisk::new(&folder).unwrap();
        let file = File::create(folder.join("log")).unwrap();
        file.write_all_at(&[1; 4096], 0).unwrap();
        file.sync_data().unwrap();

        disk.trouble(Trouble::Full);
        file.write_all_at(&[2; 4096], 0).unwrap();
        let full = |error: std::io::Error| error.raw_os_error() == Some(rustix::io::Errno::NOSPC.raw_os_error());
        let more = file.write_all_at(&[2; 1], 4096).and_then(|()| file.sync_data());
        assert!(full(more.unwrap_err()));
        assert!(full(File::create(folder.join("other")).unwrap_err()));

        disk.trouble(Trouble::SyncFails);
        file.write_all_at(&[3; 1], 0).unwrap();
        let failed = file.sync_data().unwrap_err();
        assert_eq!(failed.raw_os_error(), Some(rustix::io::Errno::IO.raw_os_error()));

        let slow = Duration::from_millis(80);
        disk.trouble(Trouble::SyncSlow(slow));
        let began = Instant::now();
        file.sync_data().unwrap();
        assert!(began.elapsed() >= slow);

        disk.trouble(Trouble::None);
        file.write_all_at(&[4; 1], 4096).unwrap();
        file.sync_data().unwrap();
        let Met {
            no_room,
            failed_syncs,
            slow_syncs,
        } = disk.met();
        assert!(no_room >= 2 && failed_syncs >= 1 && slow_syncs >= 1, "{:?}", disk.met());
    }
}
