//! What a measurement ran on. Without it a figure says nothing.

use std::fs;
use std::path::Path;

use serde::Serialize;

use super::disk::SyncedWrites;

/// Machine, program and directory.
#[derive(Debug, Clone, Serialize)]
pub(super) struct Machine {
    cpu: String,
    cores: usize,
    memory_mb: u64,
    kernel: String,
    /// Of the data directory, such as "ext4 on /dev/vda".
    file_system: String,
    directory: String,
    /// A write of 4 KiB into a preallocated file there with fdatasync, microseconds.
    fdatasync_p50_us: u64,
    fdatasync_p99_us: u64,
    program: String,
    rustc: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) etcd: Option<String>,
    /// Load of the last minute when the measurement began: what else ran.
    load_average: f64,
    /// Whatever makes the figures say less than they seem to.
    pub(super) warnings: Vec<String>,
}

impl Machine {
    /// Looks at this machine; data will be in `dir`, whose disk is measured.
    pub(super) fn look(dir: &Path) -> anyhow::Result<Self> {
        let writes = SyncedWrites::measure(dir)?;
        let file_system = file_system(dir);
        let load_average = read("/proc/loadavg")
            .split(' ')
            .next()
            .and_then(|one| one.parse().ok())
            .unwrap_or(0.0);
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        let mut warnings = Vec::new();
        if cfg!(debug_assertions) {
            warnings.push("the program was built for development; build it with --release to measure".to_owned());
        }
        if file_system.starts_with("tmpfs") || file_system.starts_with("ramfs") {
            warnings.push(
                "the directory is in memory, so that nothing was made durable; choose a disk with --dir".to_owned(),
            );
        }
        if load_average > 0.5 {
            warnings.push(format!(
                "something else ran: the load average was {load_average} at the beginning"
            ));
        }
        Ok(Self {
            cpu: field("/proc/cpuinfo", "model name").unwrap_or_else(|| std::env::consts::ARCH.to_owned()),
            cores,
            memory_mb: field("/proc/meminfo", "MemTotal")
                .and_then(|total| total.split(' ').next()?.parse::<u64>().ok())
                .unwrap_or(0)
                / 1024,
            kernel: read("/proc/sys/kernel/osrelease").trim().to_owned(),
            file_system,
            directory: dir.display().to_string(),
            fdatasync_p50_us: writes.p50_us,
            fdatasync_p99_us: writes.p99_us,
            program: format!(
                "portcullis {} ({})",
                env!("CARGO_PKG_VERSION"),
                if cfg!(debug_assertions) {
                    "development build"
                } else {
                    "release build"
                }
            ),
            rustc: env!("BUILT_WITH"),
            etcd: None,
            load_average,
            warnings,
        })
    }

    /// For people.
    pub(super) fn facts(&self) -> Vec<(&'static str, String)> {
        vec![
            (
                "machine",
                format!(
                    "{}, {} cores, {} MB, Linux {}",
                    self.cpu, self.cores, self.memory_mb, self.kernel
                ),
            ),
            (
                "disk",
                format!(
                    "{}, {}; write of 4 KiB with fdatasync p50 {} us, p99 {} us",
                    self.directory, self.file_system, self.fdatasync_p50_us, self.fdatasync_p99_us
                ),
            ),
            ("program", format!("{}, {}", self.program, self.rustc)),
            ("beside", self.etcd.clone().unwrap_or_default()),
            ("warning", self.warnings.join("; ")),
        ]
    }
}

fn read(path: &str) -> String {
    fs::read_to_string(path).unwrap_or_default()
}

/// The value of the first line `name : value` of a file.
fn field(path: &str, name: &str) -> Option<String> {
    read(path)
        .lines()
        .find_map(|line| line.split_once(':').filter(|(key, _)| key.trim() == name))
        .map(|(_, value)| value.trim().to_owned())
}

/// Type and device of the file system that holds a directory: of the mount point that is the longest prefix of its path.
fn file_system(dir: &Path) -> String {
    let dir = fs::canonicalize(dir).unwrap_or_else(|_| dir.to_owned());
    read("/proc/self/mountinfo")
        .lines()
        .filter_map(|line| {
            let (mount, source) = line.split_once(" - ")?;
            let point = mount.split(' ').nth(4)?.to_owned();
            let mut source = source.split(' ');
            let (kind, device) = (source.next()?, source.next()?);
            dir.starts_with(&point)
                .then(|| (point.len(), format!("{kind} on {device}")))
        })
        // Of two mounts at one point the later one hides the other.
        .max_by_key(|(length, _)| *length)
        .map_or_else(|| "unknown".to_owned(), |(_, name)| name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_machine_has_a_name_memory_and_a_disk() {
        let dir = tempfile::tempdir().unwrap();
        let machine = Machine::look(dir.path()).unwrap();
        assert!(
            machine.cores > 0 && machine.memory_mb > 0 && !machine.cpu.is_empty(),
            "{machine:?}"
        );
        assert!(machine.file_system.contains(" on "), "{machine:?}");
        assert!(
            machine.fdatasync_p50_us > 0 && machine.fdatasync_p99_us >= machine.fdatasync_p50_us,
            "{machine:?}"
        );
        assert!(machine.rustc.starts_with("rustc "), "{machine:?}");
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0, "it leaves nothing behind");
    }
}
