//! The processes of a demo: configuration, keys and folders of each node, and starting, killing, pausing and ending them.

use std::collections::BTreeMap;
use std::fs::File;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, bail};
use ed25519_dalek::SigningKey;
use fs4::fs_std::FileExt;
use portcullis_config::{NodeConfig, Peer, PeerAddress, PortClock, to_toml};
use portcullis_domain::evidence::Modality;
use portcullis_domain::id::{ClusterId, DeviceId, LaneId, NodeId, TerminalId};
use portcullis_domain::lane::{DeviceKind, DeviceSpec, LaneSpec};
use portcullis_simulator::ReadingSource;
use rustix::process::{Pid, Signal, kill_process};
use tokio::process::{Child, Command};
use tokio::time::Instant;

/// The terminal of the simulated port.
pub(super) const TERMINAL: &str = "T1";
/// How long a node may take to stop before it is killed.
const STOP_WITHIN: Duration = Duration::from_secs(8);
/// A node that ends sooner after its start has something wrong with it.
const SHORT_LIFE: Duration = Duration::from_secs(3);

/// What a demo is made of.
pub(super) struct Blueprint {
    pub(super) dir: PathBuf,
    pub(super) nodes: u32,
    pub(super) lanes: u32,
    /// First port; 0 takes free ones.
    pub(super) port: u16,
    pub(super) clock: PortClock,
}

/// The nodes of a demo, as processes.
pub(super) struct Cluster {
    pub(super) dir: PathBuf,
    pub(super) nodes: BTreeMap<u64, Node>,
    pub(super) lanes: Vec<LaneSpec>,
    pub(super) keys: BTreeMap<DeviceId, SigningKey>,
    pub(super) spare_lane: LaneId,
    // Held as long as the demo runs, so that two demos do not share a folder.
    _lock: File,
}

/// One node's process.
pub(super) struct Node {
    pub(super) id: u64,
    pub(super) address: String,
    config: PathBuf,
    log: PathBuf,
    child: Option<Child>,
    started: Instant,
}

impl Cluster {
    /// Lays out folder, keys and configuration. What an earlier demo left there is removed.
    pub(super) fn lay_out(blueprint: &Blueprint) -> anyhow::Result<Self> {
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
        let (lanes, keys) = lanes(blueprint.lanes)?;
        let key_dir = dir.join("keys");
        std::fs::create_dir_all(&key_dir)?;
        for (device, key) in &keys {
            std::fs::write(key_dir.join(format!("{device}.key")), hex::encode(key.to_bytes()))?;
        }
        let addresses = addresses(blueprint.nodes, blueprint.port)?;
        let cluster = ClusterId(rand::random());
        let mut nodes = BTreeMap::new();
        for (id, address) in &addresses {
            let folder = dir.join(format!("node-{id}"));
            std::fs::create_dir_all(&folder)?;
            let mut config = NodeConfig::with_defaults(NodeId(*id), &folder.join("data"), *address)?;
            config.cluster.name = "demo".to_owned();
            config.cluster.id = Some(cluster);
            config.cluster.bootstrap = *id == 1;
            config.cluster.peers = addresses
                .iter()
                .map(|(id, address)| Peer {
                    id: NodeId(*id),
                    address: PeerAddress::from(*address),
                })
                .collect();
            config.clock = blueprint.clock;
            config.lanes = lanes.clone();
            // A demo shares two cores with its port: nodes are declared down sooner than in a real port, and still late
            // enough for a process that only waits for its turn.
            // All nodes and the simulated port share one machine.
            config.raft.heartbeat = Duration::from_millis(100);
            config.raft.election_min = Duration::from_millis(400);
            config.raft.election_max = Duration::from_millis(600);
            config.liveness.beat = Duration::from_millis(200);
            config.liveness.suspect = Duration::from_millis(800);
            config.liveness.suspend = Duration::from_millis(1500);
            config.liveness.down = Duration::from_millis(2500);
            let path = folder.join("node.toml");
            std::fs::write(&path, to_toml(&config))?;
            let log = folder.join("log.txt");
            nodes.insert(
                *id,
                Node {
                    id: *id,
                    address: address.to_string(),
                    config: path,
                    log,
                    child: None,
                    started: Instant::now(),
                },
            );
        }
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
            let Some(child) = &mut node.child else { continue };
            let Some(status) = child.try_wait()? else { continue };
            if node.started.elapsed() < SHORT_LIFE {
                bail!(
                    "node {} ended right after its start ({status}); the reason is in {}",
                    node.id,
                    node.log.display()
                );
            }
            node.child = None;
            ended.push(node.id);
        }
        Ok(ended)
    }

    /// Asks every node to stop, and kills those that do not.
    pub(super) async fn stop_all(&mut self) {
        for node in self.nodes.values() {
            node.signal(Signal::CONT);
            node.signal(Signal::TERM);
        }
        for node in self.nodes.values_mut() {
            if let Some(mut child) = node.child.take()
                && tokio::time::timeout(STOP_WITHIN, child.wait()).await.is_err()
            {
                let _ = child.kill().await;
            }
        }
    }
}

impl Node {
    /// Starts the node's process. It stops by itself when this process ends, however that happens.
    pub(super) fn start(&mut self) -> anyhow::Result<()> {
        let log = File::options()
            .create(true)
            .append(true)
            .open(&self.log)
            .with_context(|| format!("opening {}", self.log.display()))?;
        let program = std::env::current_exe().context("finding this program")?;
        let child = Command::new(program)
            .args(["node", "run", "--stop-with-stdin", "--config"])
            .arg(&self.config)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(log)
            .kill_on_drop(true)
            // Ctrl-C in the terminal goes to this process, which then stops the nodes in order.
            .process_group(0)
            .spawn()
            .context("starting a node")?;
        self.child = Some(child);
        self.started = Instant::now();
        Ok(())
    }

    /// Kills the process and waits until it is gone.
    pub(super) async fn kill(&mut self) -> anyhow::Result<()> {
        if let Some(mut child) = self.child.take() {
            child.kill().await.context("killing a node")?;
        }
        Ok(())
    }

    /// Stops the process from running, without its knowledge.
    pub(super) fn pause(&self) {
        self.signal(Signal::STOP);
    }

    /// Lets a paused process go on.
    pub(super) fn resume(&self) {
        self.signal(Signal::CONT);
    }

    fn signal(&self, signal: Signal) {
        let pid = self
            .child
            .as_ref()
            .and_then(Child::id)
            .and_then(|pid| i32::try_from(pid).ok())
            .and_then(Pid::from_raw);
        if let Some(pid) = pid {
            // The process is our child and not yet waited for, so its id cannot belong to anyone else.
            let _ = kill_process(pid, signal);
        }
    }
}

/// Lanes with a controller and a sensor of each simulated modality, and one spare lane whose radiation portal is left to
/// recorded passes.
fn lanes(count: u32) -> anyhow::Result<(Vec<LaneSpec>, BTreeMap<DeviceId, SigningKey>)> {
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
        for modality in ReadingSource::MODALITIES {
            devices.push(device(lane, modality.as_str(), DeviceKind::Sensor(modality))?);
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

fn addresses(nodes: u32, first: u16) -> anyhow::Result<BTreeMap<u64, SocketAddr>> {
    let mut held = Vec::new();
    let mut addresses = BTreeMap::new();
    for index in 0..nodes {
        let port = match first {
            0 => 0,
            first => first
                .checked_add(u16::try_from(index)?)
                .with_context(|| format!("--port: there are no {nodes} ports from {first} on"))?,
        };
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).map_err(|error| match error.kind() {
            std::io::ErrorKind::AddrInUse => anyhow::anyhow!(
                "port {port} on 127.0.0.1 is in use, perhaps by another demo; end it, or choose others with --port \
                 (0 takes free ones)"
            ),
            _ => anyhow::Error::new(error).context(format!("--port: cannot listen on 127.0.0.1:{port}")),
        })?;
        addresses.insert(u64::from(index) + 1, listener.local_addr()?);
        // Held until all are known, so that none is given twice.
        held.push(listener);
    }
    Ok(addresses)
}

/// Where a demo keeps its files unless it is told otherwise.
pub fn default_dir() -> PathBuf {
    std::env::temp_dir().join("portcullis-demo")
}

/// Where a demo keeps the key of a device.
pub fn key_file(dir: &Path, device: &str) -> PathBuf {
    dir.join("keys").join(format!("{device}.key"))
}
