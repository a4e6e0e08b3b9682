//! Backing a stopped node's data folder up, and restoring it as the first node of a new cluster.
//!
//! A backup is a folder: the newest snapshot, all bundles of the decision log, the raw readings, and a `manifest` with size and
//! SHA-256 of each file and with size and Merkle root of the decision log. It is checked leaf by leaf when it is made and
//! again before it is restored.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, bail, ensure};
use portcullis_consensus::{
    Connector, Consensus, Disk, HistoryReader, HistoryWriter, Member, Settings, StdDisk, owner_of,
};
use portcullis_domain::id::{ClusterId, CommandNo, Digest, NodeId, Timestamp};
use tonic::transport::Endpoint;

/// The file that makes a folder a backup. Written last.
pub const MANIFEST: &str = "manifest";
/// Version of the layout of a backup.
const FORMAT: u32 = 2;
/// How long bringing the snapshot up to the log's end may take.
const SNAPSHOT_WITHIN: Duration = Duration::from_secs(600);
/// How often it is looked whether it is there.
const LOOK: Duration = Duration::from_millis(20);

/// What a backup holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Manifest {
    /// The cluster that was backed up.
    pub cluster: ClusterId,
    /// The node whose folder it was.
    pub node: NodeId,
    /// Number of leaves of the decision log.
    pub size: u64,
    /// Merkle root over them.
    pub root: Digest,
    /// The last command of the ledger.
    pub command: CommandNo,
    /// All files, by path within the backup.
    pub files: BTreeMap<String, FileEntry>,
}

/// One file of a backup.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FileEntry {
    /// Its length, bytes.
    pub bytes: u64,
    /// SHA-256 of its content.
    pub sha256: Digest,
}

impl Manifest {
    /// Length of all files, bytes.
    pub fn bytes(&self) -> u64 {
        self.files.values().map(|file| file.bytes).sum()
    }

    fn to_text(&self) -> String {
        let Self {
            cluster,
            node,
            size,
            root,
            command,
            files,
        } = self;
        let mut text = format!(
            "portcullis-backup {FORMAT}\ncluster {cluster}\nnode {}\ncommand {}\nlog {size} {root}\n",
            node.0, command.0
        );
        for (path, file) in files {
            // Writing to a string cannot fail.
            let _ = writeln!(text, "file {} {} {path}", file.sha256, file.bytes);
        }
        text
    }

    fn parse(text: &str) -> Option<Self> {
        let mut lines = text.lines();
        let mut value = |name: &str| lines.next()?.strip_prefix(name)?.strip_prefix(' ').map(str::to_owned);
        let format: u32 = value("portcullis-backup")?.parse().ok()?;
        let cluster = value("cluster")?.parse().ok()?;
        let node = NodeId(value("node")?.parse().ok()?);
        let command = CommandNo(value("command")?.parse().ok()?);
        let log = value("log")?;
        let (size, root) = log.split_once(' ')?;
        let mut files = BTreeMap::new();
        for line in lines {
            let mut words = line.strip_prefix("file ")?.splitn(3, ' ');
            let sha256 = words.next()?.parse().ok()?;
            let bytes = words.next()?.parse().ok()?;
            files.insert(words.next()?.to_owned(), FileEntry { bytes, sha256 });
        }
        (format == FORMAT).then_some(Self {
            cluster,
            node,
            size: size.parse().ok()?,
            root: root.parse().ok()?,
            command,
            files,
        })
    }
}

/// Backs the data folder of a stopped node up into a new folder: everything that the node knows to be committed.
///
/// # Errors
/// When the node runs, something in its folder is damaged, or the backup cannot be written.
pub async fn make(data_dir: &Path, to: &Path) -> anyhow::Result<Manifest> {
    let Some((cluster, node)) = owner_of(&StdDisk, data_dir) else {
        bail!("--data-dir: {} is not the data folder of a node", data_dir.display());
    };
    ensure!(
        is_free(to)?,
        "--to: {} is not empty; name a folder that is not there yet",
        to.display()
    );
    bring_to_the_end(data_dir, cluster, node).await?;

    let mut files = BTreeMap::new();
    copy(&data_dir.join("meta/node"), to, "meta/node", &mut files)?;
    let snapshot = newest_snapshot(data_dir)?;
    copy(
        &data_dir.join("snap").join(&snapshot),
        to,
        &format!("snap/{snapshot}"),
        &mut files,
    )?;
    for name in names(&data_dir.join("tlog"))? {
        if name.ends_with(".bundle") {
            copy(
                &data_dir.join("tlog").join(&name),
                to,
                &format!("tlog/{name}"),
                &mut files,
            )?;
        }
    }
    for name in names(&data_dir.join("blobs"))? {
        let path = format!("blobs/{name}");
        copy(&data_dir.join(&path), to, &path, &mut files)?;
    }
    let reader = open(to)?;
    let (size, root) = reader.head();
    reader.verify().context("checking the decision log of the backup")?;
    let manifest = Manifest {
        cluster,
        node,
        size,
        root,
        command: reader.ledger().number(),
        files,
    };
    let path = to.join(MANIFEST);
    StdDisk
        .publish(&path, manifest.to_text().as_bytes())
        .with_context(|| format!("writing {}", path.display()))?;
    Ok(manifest)
}

/// Checks a backup to its last byte: every file against the manifest, every leaf against the Merkle root.
///
/// # Errors
/// The first file that is missing or damaged.
pub fn verify(from: &Path) -> anyhow::Result<Manifest> {
    let path = from.join(MANIFEST);
    let text = std::fs::read_to_string(&path).with_context(|| format!("--from: reading {}", path.display()))?;
    let manifest = Manifest::parse(&text).with_context(|| {
        format!(
            "{} is damaged or was written by another version of the program; use that version, or another backup",
            path.display()
        )
    })?;
    for (name, expected) in &manifest.files {
        let path = from.join(name);
        let content = std::fs::read(&path).with_context(|| format!("reading {}", path.display()))?;
        let found = FileEntry {
            bytes: content.len() as u64,
            sha256: Digest::of(&content),
        };
        ensure!(
            found == *expected,
            "{} is damaged: it has {} bytes and SHA-256 {}, the manifest says {} bytes and {}; use another backup",
            path.display(),
            found.bytes,
            found.sha256,
            expected.bytes,
            expected.sha256
        );
    }
    let reader = open(from)?;
    ensure!(
        reader.head() == (manifest.size, manifest.root),
        "{} does not belong to these files: it names another decision log; use another backup",
        path.display()
    );
    reader.verify().context("checking the decision log of the backup")?;
    Ok(manifest)
}

/// Writes the data folder of the first node of a new cluster, which goes on where the backup ends.
///
/// # Errors
/// When the backup is damaged or the folder is not empty.
pub fn restore(
    from: &Path,
    data_dir: &Path,
    cluster: ClusterId,
    node: NodeId,
    address: &str,
) -> anyhow::Result<Manifest> {
    let manifest = verify(from)?;
    ensure!(
        cluster != manifest.cluster,
        "--cluster-id: a restored cluster needs an id of its own, not that of the one that was backed up"
    );
    ensure!(
        is_free(data_dir)?,
        "--data-dir: {} is not empty; name a folder that is not there yet",
        data_dir.display()
    );
    let reader = open(from)?;
    let written = write(from, data_dir, &manifest, &reader, cluster, node, address);
    if written.is_err() {
        // Half a folder would look like a node that lost its data.
        let _ = std::fs::remove_dir_all(data_dir);
    }
    written.map(|()| manifest)
}

fn write(
    from: &Path,
    data_dir: &Path,
    manifest: &Manifest,
    reader: &HistoryReader,
    cluster: ClusterId,
    node: NodeId,
    address: &str,
) -> anyhow::Result<()> {
    let mut writer = HistoryWriter::create(&settings(data_dir, cluster, node))?;
    for leaf in reader.leaves(0) {
        writer.push(leaf?.1)?;
    }
    for name in manifest.files.keys().filter(|name| name.starts_with("blobs/")) {
        copy(&from.join(name), data_dir, name, &mut BTreeMap::new())?;
    }
    let members = BTreeMap::from([(node.0, Member::new(address))]);
    writer.finish(&reader.ledger().detached(), members)?;
    Ok(())
}

/// Has a stopped node take a snapshot of everything that it knows to be committed. It talks to nobody meanwhile.
async fn bring_to_the_end(data_dir: &Path, cluster: ClusterId, node: NodeId) -> anyhow::Result<()> {
    let nobody: Connector = Arc::new(|_| Endpoint::from_static("http://0.0.0.0:0").connect_lazy());
    let consensus = Consensus::open(settings(data_dir, cluster, node), nobody)
        .await
        .context("opening the data folder")?;
    let taken = async {
        if consensus.status().applied.is_none() {
            bail!("--data-dir: the node has not been part of a cluster yet; there is nothing to back up");
        }
        loop {
            let status = consensus.status();
            if let Some(reason) = status.fatal {
                bail!("the data folder cannot be backed up: {reason}");
            }
            if status.snapshot >= status.applied {
                return Ok(());
            }
            consensus.snapshot().await?;
            tokio::time::sleep(LOOK).await;
        }
    };
    let taken = tokio::time::timeout(SNAPSHOT_WITHIN, taken).await;
    consensus.shutdown().await;
    taken.context("the snapshot was not finished in time")?
}

fn settings(data_dir: &Path, cluster: ClusterId, node: NodeId) -> Settings {
    Settings::new(data_dir, cluster, node.0, Arc::new(|| Timestamp::ZERO))
}

fn open(folder: &Path) -> anyhow::Result<HistoryReader> {
    // A short log has no bundle yet, and not every way of copying keeps an empty folder.
    StdDisk
        .create_dir_all(&folder.join("tlog"))
        .with_context(|| format!("creating {}", folder.join("tlog").display()))?;
    HistoryReader::open(Arc::new(StdDisk), folder).with_context(|| format!("reading {}", folder.display()))
}

/// Whether a folder does not exist or holds nothing.
fn is_free(folder: &Path) -> anyhow::Result<bool> {
    if !folder.exists() {
        return Ok(true);
    }
    Ok(names(folder)?.is_empty())
}

/// What is in a folder, in order; nothing if it does not exist.
fn names(folder: &Path) -> anyhow::Result<Vec<String>> {
    if !folder.exists() {
        return Ok(Vec::new());
    }
    let mut names = StdDisk
        .list(folder)
        .with_context(|| format!("listing {}", folder.display()))?;
    names.sort();
    Ok(names)
}

fn newest_snapshot(data_dir: &Path) -> anyhow::Result<String> {
    let folder = data_dir.join("snap");
    let index = |name: &String| name.strip_suffix(".snap")?.parse::<u64>().ok();
    let newest = names(&folder)?
        .into_iter()
        .filter_map(|name| Some((index(&name)?, name)))
        .max();
    let (_, name) = newest.with_context(|| format!("there is no snapshot in {}", folder.display()))?;
    Ok(name)
}

/// Copies a file durably, and notes its length and digest.
fn copy(source: &Path, to: &Path, name: &str, files: &mut BTreeMap<String, FileEntry>) -> anyhow::Result<()> {
    let content = std::fs::read(source).with_context(|| format!("reading {}", source.display()))?;
    let target: PathBuf = to.join(name);
    if let Some(parent) = target.parent() {
        StdDisk
            .create_dir_all(parent)
            .with_context(|| format!("creating {}", parent.display()))?;
    }
    StdDisk
        .publish(&target, &content)
        .with_context(|| format!("writing {}", target.display()))?;
    let entry = FileEntry {
        bytes: content.len() as u64,
        sha256: Digest::of(&content),
    };
    files.insert(name.to_owned(), entry);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_manifest_reads_back_and_a_damaged_one_does_not() {
        let manifest = Manifest {
            cluster: ClusterId([7; 16]),
            node: NodeId(3),
            size: 300,
            root: Digest::of(b"root"),
            command: CommandNo(310),
            files: BTreeMap::from([(
                "tlog/0.bundle".to_owned(),
                FileEntry {
                    bytes: 9,
                    sha256: Digest::of(b"bundle"),
                },
            )]),
        };
        let text = manifest.to_text();
        assert_eq!(Manifest::parse(&text), Some(manifest));
        for (old, new) in [
            ("backup 2", "backup 3"),
            ("log 300", "log x"),
            ("file ", "fill "),
            ("node 3\n", ""),
        ] {
            assert_eq!(Manifest::parse(&text.replace(old, new)), None, "{new}");
        }
    }
}
