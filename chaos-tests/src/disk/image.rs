//! What a disk holds, and what of it would still be there after the power failed at this moment.
//!
//! The rules are those of POSIX, taken strictly: content and length of a file are durable once the file was synced, a name
//! (created, removed, renamed) once its folder was synced. What was not synced may be lost, kept, or kept in part: sectors
//! of a file in any combination, names in the order in which they were given.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::{OsStr, OsString};
use std::sync::Arc;

use rand::{Rng, RngExt};
use rustix::io::{Errno, Result};

/// What a disk writes as a whole, bytes.
pub const SECTOR: usize = 512;
const PAGE: usize = 4096;

/// Number of a file or folder.
pub type Ino = u64;
/// The folder at the top.
pub const ROOT: Ino = 1;

/// What becomes of what was not synced when the power fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Loss {
    /// All of it is gone.
    Everything,
    /// A random part of it is kept: any sectors, and the first so many of the names.
    Torn,
}

/// Files and folders with their durable and their present content.
#[derive(Debug)]
pub struct Image {
    nodes: BTreeMap<Ino, Node>,
    next: Ino,
    /// Changes of names whose folders were not synced since, in order.
    unsynced: Vec<Rename>,
    lies: bool,
    syncs: u64,
}

#[derive(Debug)]
enum Node {
    File(File),
    Folder(Folder),
}

#[derive(Debug, Default)]
struct File {
    now: Content,
    durable: Content,
    /// Pages that may differ between the two.
    touched: BTreeSet<u64>,
}

#[derive(Debug, Default, Clone)]
struct Content {
    length: u64,
    /// Pages that are not all zero.
    pages: BTreeMap<u64, Arc<[u8; PAGE]>>,
}

#[derive(Debug, Default)]
struct Folder {
    now: BTreeMap<OsString, Ino>,
    durable: BTreeMap<OsString, Ino>,
}

/// A change of names: something loses a name, gets one, or both at once.
#[derive(Debug)]
struct Rename {
    from: Option<(Ino, OsString)>,
    to: Option<(Ino, OsString, Ino)>,
}

/// What `stat` says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stat {
    /// Its number.
    pub ino: Ino,
    /// It is a folder.
    pub folder: bool,
    /// Bytes.
    pub length: u64,
    /// Bytes that are really kept.
    pub kept: u64,
}

impl Default for Image {
    fn default() -> Self {
        Self {
            nodes: BTreeMap::from([(ROOT, Node::Folder(Folder::default()))]),
            next: ROOT + 1,
            unsynced: Vec::new(),
            lies: false,
            syncs: 0,
        }
    }
}

impl Image {
    /// From now on, a disk that lies acknowledges every sync and makes nothing durable.
    pub fn lie(&mut self, lies: bool) {
        self.lies = lies;
    }

    /// How many syncs of files and folders were asked for.
    pub fn syncs(&self) -> u64 {
        self.syncs
    }

    /// What is known about a file or folder.
    ///
    /// # Errors
    /// If there is none. So it is with the functions below; those on files also refuse folders, and the other way round.
    pub fn stat(&self, ino: Ino) -> Result<Stat> {
        let (folder, length, kept) = match self.nodes.get(&ino).ok_or(Errno::NOENT)? {
            Node::File(file) => (false, file.now.length, file.now.pages.len() * PAGE),
            Node::Folder(folder) => (true, folder.now.len() as u64, 0),
        };
        Ok(Stat {
            ino,
            folder,
            length,
            kept: kept as u64,
        })
    }

    /// The number of a name.
    ///
    /// # Errors
    /// If there is none.
    pub fn lookup(&self, folder: Ino, name: &OsStr) -> Result<Ino> {
        self.folder(folder)?.now.get(name).copied().ok_or(Errno::NOENT)
    }

    /// All names of a folder.
    ///
    /// # Errors
    /// If there is no such folder.
    pub fn names(&self, folder: Ino) -> Result<Vec<(OsString, Stat)>> {
        let folder = self.folder(folder)?;
        folder
            .now
            .iter()
            .map(|(name, ino)| Ok((name.clone(), self.stat(*ino)?)))
            .collect()
    }

    /// Makes an empty file or folder.
    ///
    /// # Errors
    /// If the name is taken or the folder is missing.
    pub fn create(&mut self, folder: Ino, name: &OsStr, is_folder: bool) -> Result<Ino> {
        if self.folder(folder)?.now.contains_key(name) {
            return Err(Errno::EXIST);
        }
        let ino = self.next;
        self.next += 1;
        let node = match is_folder {
            true => Node::Folder(Folder::default()),
            false => Node::File(File::default()),
        };
        self.nodes.insert(ino, node);
        self.change(Rename {
            from: None,
            to: Some((folder, name.to_owned(), ino)),
        });
        Ok(ino)
    }

    /// Takes a name away. The file stays readable for who has it open.
    ///
    /// # Errors
    /// If there is no such name, it is of the other kind, or the folder is not empty.
    pub fn remove(&mut self, folder: Ino, name: &OsStr, is_folder: bool) -> Result<()> {
        let ino = self.lookup(folder, name)?;
        match (&self.nodes[&ino], is_folder) {
            (Node::Folder(inner), true) if !inner.now.is_empty() => {
                return Err(Errno::NOTEMPTY);
            }
            (Node::Folder(_), false) => return Err(Errno::ISDIR),
            (Node::File(_), true) => return Err(Errno::NOTDIR),
            _ => {}
        }
        self.change(Rename {
            from: Some((folder, name.to_owned())),
            to: None,
        });
        Ok(())
    }

    /// Gives a file or folder another name, replacing what had it.
    ///
    /// # Errors
    /// If there is nothing to rename, or a folder that is not empty is in the way.
    pub fn rename(&mut self, from: (Ino, &OsStr), to: (Ino, &OsStr)) -> Result<()> {
        let ino = self.lookup(from.0, from.1)?;
        self.folder(to.0)?;
        if let Ok(taken) = self.lookup(to.0, to.1)
            && matches!(&self.nodes[&taken], Node::Folder(inner) if !inner.now.is_empty())
        {
            return Err(Errno::NOTEMPTY);
        }
        self.change(Rename {
            from: Some((from.0, from.1.to_owned())),
            to: Some((to.0, to.1.to_owned(), ino)),
        });
        Ok(())
    }

    /// Reads; fewer bytes only at the end of the file.
    ///
    /// # Errors
    /// If there is no such file.
    pub fn read(&self, ino: Ino, offset: u64, length: usize) -> Result<Vec<u8>> {
        let Some(Node::File(file)) = self.nodes.get(&ino) else {
            return Err(Errno::NOENT);
        };
        Ok(file.now.read(offset, length))
    }

    /// Whether a write of so many bytes there would take pages that the file does not have.
    ///
    /// # Errors
    /// If there is no such file.
    pub fn takes_pages(&self, ino: Ino, offset: u64, length: usize) -> Result<bool> {
        let Some(Node::File(file)) = self.nodes.get(&ino) else {
            return Err(Errno::NOENT);
        };
        let last = offset.saturating_add(length as u64).saturating_sub(1) / PAGE as u64;
        let mut pages = offset / PAGE as u64..=last;
        Ok(length > 0 && pages.any(|page| !file.now.pages.contains_key(&page)))
    }

    /// Writes, and makes the file longer if need be.
    ///
    /// # Errors
    /// If there is no such file.
    pub fn write(&mut self, ino: Ino, offset: u64, bytes: &[u8]) -> Result<()> {
        let file = self.file(ino)?;
        file.touched.extend(file.now.write(offset, bytes));
        Ok(())
    }

    /// Makes a file shorter or longer; what is new is zero.
    ///
    /// # Errors
    /// If there is no such file.
    pub fn set_length(&mut self, ino: Ino, length: u64) -> Result<()> {
        let file = self.file(ino)?;
        file.touched.extend(file.now.set_length(length));
        Ok(())
    }

    /// Makes content and length of a file durable.
    ///
    /// # Errors
    /// If there is no such file.
    pub fn sync_file(&mut self, ino: Ino) -> Result<()> {
        self.syncs += 1;
        let lies = self.lies;
        let file = self.file(ino)?;
        if !lies {
            for page in std::mem::take(&mut file.touched) {
                match file.now.pages.get(&page) {
                    Some(bytes) => file.durable.pages.insert(page, bytes.clone()),
                    None => file.durable.pages.remove(&page),
                };
            }
            file.durable.length = file.now.length;
        }
        Ok(())
    }

    /// Makes the names of a folder durable. A change that concerns two folders is never durable by half.
    ///
    /// # Errors
    /// If there is no such folder.
    pub fn sync_folder(&mut self, ino: Ino) -> Result<()> {
        self.syncs += 1;
        self.folder(ino)?;
        if !self.lies {
            let (mine, others) = std::mem::take(&mut self.unsynced)
                .into_iter()
                .partition::<Vec<_>, _>(|change| change.concerns(ino));
            self.unsynced = others;
            for change in mine {
                self.make_durable(&change);
            }
        }
        Ok(())
    }

    /// The power fails: afterwards the disk holds what was durable, and of the rest what `loss` leaves.
    pub fn lose_power(&mut self, loss: Loss, rng: &mut impl Rng) {
        let unsynced = std::mem::take(&mut self.unsynced);
        let kept = match loss {
            Loss::Everything => 0,
            Loss::Torn => rng.random_range(0..=unsynced.len()),
        };
        for change in &unsynced[..kept] {
            self.make_durable(change);
        }
        for node in self.nodes.values_mut() {
            match node {
                Node::Folder(folder) => folder.now = folder.durable.clone(),
                Node::File(file) => file.lose_power(loss, rng),
            }
        }
        // What has no name any more is gone.
        let mut named = BTreeSet::from([ROOT]);
        let mut look = vec![ROOT];
        while let Some(ino) = look.pop() {
            if let Some(Node::Folder(folder)) = self.nodes.get(&ino) {
                look.extend(folder.durable.values().copied().filter(|ino| named.insert(*ino)));
            }
        }
        self.nodes.retain(|ino, _| named.contains(ino));
    }

    fn folder(&self, ino: Ino) -> Result<&Folder> {
        match self.nodes.get(&ino).ok_or(Errno::NOENT)? {
            Node::Folder(folder) => Ok(folder),
            Node::File(_) => Err(Errno::NOTDIR),
        }
    }

    fn file(&mut self, ino: Ino) -> Result<&mut File> {
        match self.nodes.get_mut(&ino).ok_or(Errno::NOENT)? {
            Node::File(file) => Ok(file),
            Node::Folder(_) => Err(Errno::ISDIR),
        }
    }

    fn change(&mut self, change: Rename) {
        change.apply(&mut self.nodes, |folder| &mut folder.now);
        self.unsynced.push(change);
    }

    fn make_durable(&mut self, change: &Rename) {
        change.apply(&mut self.nodes, |folder| &mut folder.durable);
    }
}

impl Rename {
    fn concerns(&self, folder: Ino) -> bool {
        self.from.as_ref().is_some_and(|(of, _)| *of == folder)
            || self.to.as_ref().is_some_and(|(of, ..)| *of == folder)
    }

    fn apply(&self, nodes: &mut BTreeMap<Ino, Node>, names: fn(&mut Folder) -> &mut BTreeMap<OsString, Ino>) {
        if let Some((folder, name)) = &self.from
            && let Some(Node::Folder(folder)) = nodes.get_mut(folder)
        {
            names(folder).remove(name);
        }
        if let Some((folder, name, ino)) = &self.to
            && let Some(Node::Folder(folder)) = nodes.get_mut(folder)
        {
            names(folder).insert(name.clone(), *ino);
        }
    }
}

impl File {
    fn lose_power(&mut self, loss: Loss, rng: &mut impl Rng) {
        let touched = std::mem::take(&mut self.touched);
        if loss == Loss::Torn {
            // Some files come through whole, some not at all, some in pieces.
            let share = [0.0, 0.1, 0.5, 0.9, 1.0][rng.random_range(0..5)];
            let length = match rng.random_bool(share) {
                true => self.now.length,
                false => self.durable.length,
            };
            for page in touched {
                let start = page * PAGE as u64;
                let new = self.now.read_whole(page);
                for sector in (0..PAGE).step_by(SECTOR) {
                    if rng.random_bool(share) {
                        self.durable.write(start + sector as u64, &new[sector..sector + SECTOR]);
                    }
                }
            }
            self.durable.set_length(length);
        }
        self.now = self.durable.clone();
    }
}

impl Content {
    fn read_whole(&self, page: u64) -> [u8; PAGE] {
        self.pages.get(&page).map_or([0; PAGE], |bytes| **bytes)
    }

    fn read(&self, offset: u64, length: usize) -> Vec<u8> {
        let end = self.length.min(offset.saturating_add(length as u64));
        let mut bytes = Vec::with_capacity(length);
        let mut at = offset;
        while at < end {
            let within = usize::try_from(at % PAGE as u64).expect("smaller than a page");
            let take = (PAGE - within).min(usize::try_from(end - at).unwrap_or(PAGE));
            match self.pages.get(&(at / PAGE as u64)) {
                Some(page) => bytes.extend_from_slice(&page[within..within + take]),
                None => bytes.resize(bytes.len() + take, 0),
            }
            at += take as u64;
        }
        bytes
    }

    /// Returns the pages that it has changed.
    fn write(&mut self, offset: u64, bytes: &[u8]) -> Vec<u64> {
        let mut touched = Vec::new();
        let mut done = 0;
        while done < bytes.len() {
            let at = offset + done as u64;
            let within = usize::try_from(at % PAGE as u64).expect("smaller than a page");
            let take = (PAGE - within).min(bytes.len() - done);
            let number = at / PAGE as u64;
            let page = self.pages.entry(number).or_insert_with(|| Arc::new([0; PAGE]));
            Arc::make_mut(page)[within..within + take].copy_from_slice(&bytes[done..done + take]);
            if page.iter().all(|byte| *byte == 0) {
                self.pages.remove(&number);
            }
            touched.push(number);
            done += take;
        }
        self.length = self.length.max(offset + bytes.len() as u64);
        touched
    }

    /// Returns the pages that it has changed.
    fn set_length(&mut self, length: u64) -> Vec<u64> {
        let mut touched = Vec::new();
        if length < self.length {
            let first = length.div_ceil(PAGE as u64);
            touched.extend(self.pages.split_off(&first).into_keys());
            let within = usize::try_from(length % PAGE as u64).expect("smaller than a page");
            let last = length / PAGE as u64;
            if within > 0
                && let Some(page) = self.pages.get_mut(&last)
            {
                Arc::make_mut(page)[within..].fill(0);
                touched.push(last);
            }
        }
        self.length = length;
        touched
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

    use rand::SeedableRng;
    use rand_chacha::ChaCha8Rng;

    use super::*;

    fn rng() -> ChaCha8Rng {
        ChaCha8Rng::seed_from_u64(7)
    }

    fn name(text: &str) -> &OsStr {
        OsStr::new(text)
    }

    fn whole(image: &Image, ino: Ino) -> Vec<u8> {
        let length = image.stat(ino).unwrap().length;
        image.read(ino, 0, usize::try_from(length).unwrap()).unwrap()
    }

    #[test]
    fn only_what_was_synced_in_a_synced_folder_outlives_the_power() {
        let mut image = Image::default();
        let kept = image.create(ROOT, name("kept"), false).unwrap();
        image.write(kept, 0, b"first").unwrap();
        image.sync_file(kept).unwrap();
        image.sync_folder(ROOT).unwrap();
        image.write(kept, 5, b" second").unwrap();
        let nameless = image.create(ROOT, name("nameless"), false).unwrap();
        image.write(nameless, 0, b"content without a durable name").unwrap();
        image.sync_file(nameless).unwrap();

        image.lose_power(Loss::Everything, &mut rng());
        assert_eq!(whole(&image, kept), b"first");
        assert!(image.lookup(ROOT, name("nameless")).is_err());
    }

    #[test]
    fn a_rename_without_a_sync_of_its_folder_is_undone_and_never_half_done() {
        let mut image = Image::default();
        let [one, two] = ["one", "two"].map(|folder| image.create(ROOT, name(folder), true).unwrap());
        let file = image.create(one, name("a"), false).unwrap();
        for folder in [ROOT, one, two] {
            image.sync_folder(folder).unwrap();
        }
        image.rename((one, name("a")), (two, name("b"))).unwrap();
        image.lose_power(Loss::Everything, &mut rng());
        assert_eq!(image.lookup(one, name("a")).unwrap(), file);

        image.rename((one, name("a")), (two, name("b"))).unwrap();
        image.sync_folder(two).unwrap();
        image.lose_power(Loss::Everything, &mut rng());
        assert!(image.lookup(one, name("a")).is_err());
        assert_eq!(image.lookup(two, name("b")).unwrap(), file);
    }

    #[test]
    fn a_torn_loss_mixes_old_and_new_by_sectors() {
        let mut seen = BTreeSet::new();
        for seed in 0..50 {
            let mut image = Image::default();
            let file = image.create(ROOT, name("log"), false).unwrap();
            image.write(file, 0, &[1; 8 * SECTOR]).unwrap();
            image.sync_file(file).unwrap();
            image.sync_folder(ROOT).unwrap();
            image.write(file, 0, &[2; 8 * SECTOR]).unwrap();
            image.lose_power(Loss::Torn, &mut ChaCha8Rng::seed_from_u64(seed));
            let content = whole(&image, file);
            for sector in content.chunks(SECTOR) {
                assert!(
                    sector.iter().all(|byte| *byte == sector[0]),
                    "a sector is written whole"
                );
            }
            seen.insert(content.iter().filter(|byte| **byte == 2).count() / SECTOR);
        }
        assert!(seen.len() > 4, "{seen:?}");
        assert!(seen.contains(&0) && seen.contains(&8), "{seen:?}");
    }

    #[test]
    fn a_lying_disk_loses_what_it_acknowledged() {
        let mut image = Image::default();
        let file = image.create(ROOT, name("log"), false).unwrap();
        image.sync_folder(ROOT).unwrap();
        image.lie(true);
        image.write(file, 0, b"acknowledged").unwrap();
        image.sync_file(file).unwrap();
        image.lose_power(Loss::Everything, &mut rng());
        assert_eq!(whole(&image, file), b"");
    }

    #[test]
    fn bytes_read_are_bytes_written_across_pages_holes_and_truncations() {
        let mut image = Image::default();
        let file = image.create(ROOT, name("log"), false).unwrap();
        let mut model = Vec::new();
        let mut rng = rng();
        for _ in 0..300 {
            if rng.random_bool(0.2) {
                let length = rng.random_range(0..40_000);
                model.resize(length, 0);
                image.set_length(file, length as u64).unwrap();
            } else {
                let at = rng.random_range(0..30_000);
                let bytes = vec![rng.random_range(0..3_u8); rng.random_range(1..9000)];
                if model.len() < at + bytes.len() {
                    model.resize(at + bytes.len(), 0);
                }
                model[at..at + bytes.len()].copy_from_slice(&bytes);
                image.write(file, at as u64, &bytes).unwrap();
            }
            if rng.random_bool(0.3) {
                image.sync_file(file).unwrap();
                image.sync_folder(ROOT).unwrap();
                image.lose_power(Loss::Torn, &mut rng);
            }
            assert!(whole(&image, file) == model);
        }
    }
}
