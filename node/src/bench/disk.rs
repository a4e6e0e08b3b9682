//! What the disk does by itself: small synced writes, as every commit needs at least one.

use std::os::unix::fs::FileExt;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::Context;
use hdrhistogram::Histogram;

/// Bytes of a write.
const WRITE: usize = 4096;
/// Writes to the file, which is as long as they need.
const WRITES: usize = 512;
/// No more writes after this time.
const LONGEST: Duration = Duration::from_secs(1);

/// How long writes of 4 KiB with fdatasync took.
pub(super) struct SyncedWrites {
    pub(super) p50_us: u64,
    pub(super) p99_us: u64,
}

impl SyncedWrites {
    /// Writes into a preallocated file in `dir`, one after the other, for at most a second; removes the file.
    ///
    /// # Errors
    /// When the directory cannot be written to.
    pub(super) fn measure(dir: &Path) -> anyhow::Result<Self> {
        let whole = || -> std::io::Result<Self> {
            // With a name: of a file without one, file systems need not keep anything.
            let named = tempfile::NamedTempFile::new_in(dir)?;
            let file = named.as_file();
            file.write_all_at(&vec![0; WRITE * WRITES], 0)?;
            file.sync_all()?;
            let mut took = Histogram::<u64>::new(3).unwrap_or_else(|_| unreachable!("three digits are allowed"));
            let begin = Instant::now();
            for index in 0..WRITES {
                let before = Instant::now();
                file.write_all_at(
                    &[u8::try_from(index % 251).unwrap_or_default(); WRITE],
                    (index * WRITE) as u64,
                )?;
                file.sync_data()?;
                let us = u64::try_from(before.elapsed().as_micros()).unwrap_or(u64::MAX);
                took.saturating_record(us.max(1));
                if begin.elapsed() > LONGEST {
                    break;
                }
            }
            Ok(Self {
                p50_us: took.value_at_quantile(0.5),
                p99_us: took.value_at_quantile(0.99),
            })
        };
        whole().with_context(|| format!("writing to {}", dir.display()))
    }
}
