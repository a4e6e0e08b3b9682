//! The nodes of a demo: configuration, keys and folders of each, and their processes.

use std::collections::BTreeMap;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, bail};
use ed25519_dalek::SigningKey;
use fs4::fs_std::FileExt;
use portcullis_config::PortClock;
use portcullis_domain::evidence::Modality;
use portcullis_domain::id::{ClusterId, DeviceId, LaneId, TerminalId};
use portcullis_domain::lane::{DeviceKind, DeviceSpec, LaneSpec};
use portcullis_simulator::Outfit;

use crate::local::{Server, stop_all};
use crate::loopback::addresses;

/// The terminal of the simulated port.
pub(super) const TERMINAL: &str = "T1";
/// A node that ends sooner after its start has something wrong with it.
const SHORT_LIFE: Duration = Duration::from_secs(3);

/// What a demo is made of.
pub(crate) struct Blueprint {
    pub(crate) dir: PathBuf,
    pub(crate) nodes: u32,
    pub(crate) lanes: u32,
    /// Which devices the lanes have.
    pub(crate) outfit: Outfit,
    /// First port; 0 takes free ones.
    pub(crate) port: u16,
    pub(crate) clock: PortClock,
    /// Nodes are declared down sooner than in a real port.
    pub(crate) hasty: bool,
    /// `KEY=VALUE` over all that.
    pub(crate) set: Vec<String>,
}

/// The nodes of a demo, as processes.
pub(crate) struct Cluster {
    pub(crate) dir: PathBuf,
    pub(crate) nodes: BTreeMap<u64, Server>,
    pub(crate) lanes: Vec<LaneSpec>,
    pub(crate) keys: BTreeMap<DeviceId, SigningKey>,
    pub(super) spare_lane: LaneId,
    // Held as long as the demo runs, so that two demos do not share a folder.
    _lock: File,
}

impl Cluster {
    /// Lays out folder, keys and configuration. What an earlier demo left there is removed.
    pub(crate) fn lay_out(blueprint: &Blueprint) -> anyhow::Result<Self> {
        let dir = &blueprint.dir;
        std::fs::create_dir_all(dir).with_context(|| format!("--dir: creating {}", dir.display()))?;
        let lock = File::create(dir.join("lock")).with_context(|| format!("--dir: writing to {}", dir.display()))?;
        if !lock.try_lock_exclusive().unwrap_or(false) {
            bail!(
                "another demo runs in {}; end it, or choose another folder with --dir",
                dir.display()
            );
        }
        for old in std::fs::read_dir(dir)?.flatten() {
            let name = old.file_name();
            let ours = name
                .to_str()
                .is_some_and(|name| name == "keys" || name.starts_with("node-"));
            if ours && old.path().is_dir() {
                std::fs::remove_dir_all(old.path())
                    .with_context(|| format!("--dir: removing {} of an earlier demo", old.path().display()))?;
            }
        }
        let (lanes, keys) = lanes(blueprint.lanes, blueprint.outfit)?;
        let key_dir = dir.join("keys");
        std::fs::create_dir_all(&key_dir)?;
        for (device, key) in &keys {
            std::fs::write(key_dir.join(format!("{device}.key")), hex::encode(key.to_bytes()))?;
        }
        let addresses = addresses(blueprint.nodes, blueprint.port)?;
        let cluster = ClusterId(rand::random());
        let nodes = Server::nodes(dir, cluster, &addresses, &blueprint.set, |config| {
            "demo".clone_into(&mut config.cluster.name);
            config.clock = blueprint.clock;
            config.lanes.clone_from(&lanes);
            // A demo shares two cores with its port: nodes are declared down sooner than in a real port, and still late
            // enough for a process that only waits for its turn.
            // All nodes and the simulated port share one machine.
            config.raft.heartbeat = Duration::from_millis(100);
            config.raft.election_min = Duration::from_millis(400);
            config.raft.election_max = Duration::from_millis(600);
            if blueprint.hasty {
                config.liveness.beat = Duration::from_millis(200);
                config.liveness.suspect = Duration::from_millis(800);
                config.liveness.suspend = Duration::from_millis(1500);
                config.liveness.down = Duration::from_millis(2500);
            }
        })?;
        Ok(Self {
            dir: dir.clone(),
            nodes,
            lanes,
            keys,
            spare_lane: LaneId(blueprint.lanes + 1),
            _lock: lock,
        })
    }

    /// Starts every node's process.
    pub(super) fn start_all(&mut self) -> anyhow::Result<()> {
        for node in self.nodes.values_mut() {
            node.start()?;
        }
        Ok(())
    }

    /// The addresses of all nodes.
    pub(super) fn addresses(&self) -> Vec<String> {
        self.nodes.values().map(|node| node.address.clone()).collect()
    }

    /// Nodes that should run and have ended by themselves, or by somebody else's hand; each is told once.
    ///
    /// # Errors
    /// When one of them hardly ran: it would do so again, and its log says why.
    pub(super) fn ended(&mut self) -> anyhow::Result<Vec<u64>> {
        let mut ended = Vec::new();
        for node in self.nodes.values_mut() {
            let Some(status) = node.ended()? else { continue };
            if node.age() < SHORT_LIFE {
                bail!(
                    "node {} ended right after its start ({status}); the reason is in {}",
                    node.id,
                    node.log.display()
                );
            }
            ended.push(node.id);
        }
        Ok(ended)
    }

    /// Asks every node to stop, and kills those that do not.
    pub(super) async fn stop_all(&mut self) {
        stop_all(self.nodes.values_mut()).await;
    }
}

/// Lanes with a controller and a sensor of each modality of the outfit, and one spare lane whose radiation portal is left to
/// recorded passes.
fn lanes(count: u32, outfit: Outfit) -> anyhow::Result<(Vec<LaneSpec>, BTreeMap<DeviceId, SigningKey>)> {
    let mut keys = BTreeMap::new();
    let mut device = |lane: u32, name: &str, kind: DeviceKind| -> anyhow::Result<DeviceSpec> {
        let id = DeviceId::new(format!("lane-{lane}-{name}"))?;
        let key = SigningKey::from_bytes(&rand::random());
        let public_key = key.verifying_key().to_bytes();
        keys.insert(id.clone(), key);
        Ok(DeviceSpec { id, kind, public_key })
    };
    let mut lanes = Vec::new();
    for lane in 1..=count {
        let mut devices = vec![device(lane, "controller", DeviceKind::Controller)?];
        for modality in outfit.modalities() {
            devices.push(device(lane, modality.as_str(), DeviceKind::Sensor(*modality))?);
        }
        lanes.push(lane_spec(lane, devices, true)?);
    }
    let spare = vec![device(count + 1, "radiation", DeviceKind::Sensor(Modality::Radiation))?];
    lanes.push(lane_spec(count + 1, spare, false)?);
    Ok((lanes, keys))
}

fn lane_spec(lane: u32, devices: Vec<DeviceSpec>, scheduled: bool) -> anyhow::Result<LaneSpec> {
    Ok(LaneSpec {
        id: LaneId(lane),
        terminal: TerminalId::new(TERMINAL)?,
        devices,
        nodes: Vec::new(),
        usual_pass_s: 90,
        scheduled,
    })
}

/// Where a demo keeps its files unless it is told otherwise.
pub fn default_dir() -> PathBuf {
    std::env::temp_dir().join("portcullis-demo")
}

/// Where a demo keeps the key of a device.
pub fn key_file(dir: &Path, device: &str) -> PathBuf {
    dir.join("keys").join(format!("{device}.key"))
}
