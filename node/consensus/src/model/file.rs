//! A file of the model disk: what a program sees, what the disk has, and what is on its way between them.

use std::collections::BTreeMap;
use std::time::Duration;

use super::Random;

/// What is written as one: a sector, bytes.
const SECTOR: usize = 512;

/// A sector as it was before a sync that is not over yet.
#[derive(Debug)]
struct Before {
    began: Duration,
    over: Duration,
    sector: usize,
    bytes: Vec<u8>,
    length: usize,
}

/// A file.
#[derive(Debug, Default)]
pub(super) struct File {
    /// As a program sees it.
    content: Vec<u8>,
    /// As the disk has it, or will have it when the syncs under way are over.
    durable: Vec<u8>,
    /// Sectors in which they differ, and when they were written.
    dirty: BTreeMap<usize, Duration>,
    /// What syncs under way replace, the oldest first.
    before: Vec<Before>,
}

impl File {
    /// A file whose content the disk has.
    pub(super) fn durable(content: Vec<u8>) -> Self {
        Self {
            durable: content.clone(),
            content,
            ..Self::default()
        }
    }

    /// As a program sees it.
    pub(super) fn content(&self) -> &[u8] {
        &self.content
    }

    /// Its length as a program sees it, bytes.
    pub(super) fn len(&self) -> usize {
        self.content.len()
    }

    /// Writes, as far as the program sees. The file grows where it has to.
    pub(super) fn write_at(&mut self, now: Duration, offset: usize, bytes: &[u8]) {
        let end = offset + bytes.len();
        if end > self.content.len() {
            self.content.resize(end, 0);
        }
        self.content[offset..end].copy_from_slice(bytes);
        if !bytes.is_empty() {
            self.dirty
                .extend((offset / SECTOR..=(end - 1) / SECTOR).map(|sector| (sector, now)));
        }
    }

    fn persist(&mut self, sector: usize) {
        let start = sector * SECTOR;
        let end = (start + SECTOR).min(self.content.len());
        if self.durable.len() < end {
            self.durable.resize(end, 0);
        }
        self.durable[start..end].copy_from_slice(&self.content[start..end]);
    }

    /// Brings to the disk what was written. Until `over` a crash may find that it was not.
    /// Both lie ahead of `clock` in work that took its time before this.
    pub(super) fn sync(&mut self, clock: Duration, now: Duration, over: Duration) {
        self.before.retain(|before| before.over > clock);
        for sector in std::mem::take(&mut self.dirty).into_keys() {
            if over > clock {
                let start = (sector * SECTOR).min(self.durable.len());
                let end = (start + SECTOR).min(self.durable.len());
                self.before.push(Before {
                    began: now,
                    over,
                    sector,
                    bytes: self.durable[start..end].to_vec(),
                    length: self.durable.len(),
                });
            }
            self.persist(sector);
        }
    }

    /// The power is cut: some of what was not synced is there, and nothing of what was not done yet.
    pub(super) fn crash(&mut self, random: &mut Random, now: Duration) {
        // The newest first, so that an older sync that is not over gives back what was there before all of them.
        for before in std::mem::take(&mut self.before).into_iter().rev() {
            if before.over > now && (before.began > now || random.coin()) {
                let start = before.sector * SECTOR;
                let end = (start + SECTOR).min(self.durable.len());
                self.durable[start.min(end)..end].fill(0);
                let kept = before.bytes.len();
                self.durable[start..start + kept].copy_from_slice(&before.bytes);
                if self.durable.len() <= start + SECTOR {
                    self.durable.truncate(before.length.max(start + kept));
                }
            }
        }
        for (sector, written) in std::mem::take(&mut self.dirty) {
            if written <= now && random.coin() {
                self.persist(sector);
            }
        }
        self.content.clone_from(&self.durable);
    }
}
