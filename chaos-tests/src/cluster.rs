//! A cluster of real node processes on loopback, or each in a network namespace of its own. Each has a folder and a disk of
//! its own, can be killed, can lose its power, and can be started again.

use std::collections::BTreeMap;
use std::fs::File;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use anyhow::{Context, bail};
use portcullis_config::{NodeConfig, Peer, PeerAddress, PortClock, to_toml};
use portcullis_domain::id::{ClusterId, NodeId};
use portcullis_domain::lane::LaneSpec;
use portcullis_proto::v1 as pb;
use portcullis_proto::v1::cluster_service_client::ClusterServiceClient;
use portcullis_proto::v1::log_service_client::LogServiceClient;
use rand::Rng;
use rand::seq::IteratorRandom;
use tokio::process::{Child, ChildStdin, Command};
use tonic::transport::{Channel, Endpoint};
use tonic::{Request, Response, Status};

use crate::disk::{Loss, PowerDisk};
use crate::ports::free_port;
use crate::wait::eventually;

/// No call takes longer.
pub const CALL: Duration = Duration::from_secs(5);

/// What a cluster is made of.
#[derive(Debug, Clone)]
pub struct Blueprint {
    /// The program.
    pub program: PathBuf,
    /// Where everything goes.
    pub dir: PathBuf,
    /// How many nodes, from 1.
    pub nodes: u64,
    /// The nodes' data is on disks whose power can fail.
    pub power: bool,
    /// What is set for each node over the file and over what the launcher chooses.
    pub set: Vec<String>,
    /// The lanes that the cluster is founded with.
    pub lanes: Vec<LaneSpec>,
    /// The port's clock.
    pub clock: PortClock,
    /// Where each node listens and runs, by id; empty for free ports on loopback, in the namespace of this process.
    pub seats: BTreeMap<u64, Seat>,
}

/// A node's place in a network.
#[derive(Debug, Clone)]
pub struct Seat {
    /// Where it listens.
    pub address: SocketAddr,
    /// The file that holds its network namespace.
    pub namespace: PathBuf,
}

impl Blueprint {
    /// Three nodes on ordinary disks on loopback, without lanes, with nothing set, in real time.
    pub fn new(program: &Path, dir: &Path) -> Self {
        Self {
            program: program.to_owned(),
            dir: dir.to_owned(),
            nodes: 3,
            power: false,
            set: Vec::new(),
            lanes: Vec::new(),
            clock: PortClock::REAL,
            seats: BTreeMap::new(),
        }
    }
}

/// Node processes and where they are.
pub struct Cluster {
    /// The nodes by id.
    pub nodes: BTreeMap<u64, Node>,
}

/// One node.
pub struct Node {
    /// Its id.
    pub id: u64,
    /// Where it answers.
    pub address: SocketAddr,
    /// How clients reach it.
    pub channel: Channel,
    /// Where its data is.
    pub data: PathBuf,
    /// What the program is told to read.
    pub config: PathBuf,
    /// Where its standard error goes.
    pub log: PathBuf,
    program: PathBuf,
    set: Vec<String>,
    namespace: Option<PathBuf>,
    environment: BTreeMap<String, String>,
    // Before the disk: it is dropped first, and its process is what keeps the disk busy.
    child: Option<Child>,
    // The process stops when it ends. Not left in `child`, which closes it to wait.
    stdin: Option<ChildStdin>,
    disk: Option<PowerDisk>,
}

/// A channel that connects when it is used, and again when the node is back.
///
/// # Panics
/// Never: an address of a socket is part of a valid URL.
pub fn channel(address: SocketAddr) -> Channel {
    Endpoint::from_shared(format!("http://{address}"))
        .expect("an address makes a valid URL")
        .connect_timeout(Duration::from_millis(500))
        // A connection whose packets vanish is given up, and a new one made, rather than waited for until TCP tries again.
        .http2_keep_alive_interval(Duration::from_secs(1))
        .keep_alive_timeout(Duration::from_secs(1))
        .keep_alive_while_idle(true)
        .tcp_nodelay(true)
        .connect_lazy()
}

/// The program, with nothing in its environment that would configure it.
pub fn command(program: &Path) -> Command {
    command_in(None, program)
}

/// The program in a network namespace, held by a file; `None` for that of this process. The process is the program's own:
/// `nsenter` becomes it.
pub fn command_in(namespace: Option<&Path>, program: &Path) -> Command {
    let mut command = match namespace {
        None => Command::new(program),
        Some(file) => {
            let mut enter = std::ffi::OsString::from("--net=");
            enter.push(file);
            let mut command = Command::new("nsenter");
            command.arg(enter).arg("--").arg(program);
            command
        }
    };
    for (name, _) in std::env::vars_os() {
        if name.to_str().is_some_and(|name| name.starts_with("PORTCULLIS_")) {
            command.env_remove(name);
        }
    }
    command.stdin(Stdio::null()).kill_on_drop(true);
    command
}

impl Cluster {
    /// Makes folders, configurations and disks of a new cluster. Nothing runs yet.
    ///
    /// # Errors
    /// If the file system refuses.
    pub fn create(blueprint: &Blueprint) -> anyhow::Result<Self> {
        let id = ClusterId(rand::random());
        let address = |id| blueprint.seats.get(&id).map_or_else(free_port, |seat| seat.address);
        let addresses: BTreeMap<u64, SocketAddr> = (1..=blueprint.nodes).map(|id| (id, address(id))).collect();
        let peers: Vec<Peer> = addresses
            .iter()
            .map(|(id, address)| Peer {
                id: NodeId(*id),
                address: PeerAddress::from(*address),
            })
            .collect();
        for (number, address) in &addresses {
            let folder = blueprint.dir.join(format!("node-{number}"));
            std::fs::create_dir_all(&folder).with_context(|| format!("making {}", folder.display()))?;
            let data = match blueprint.power {
                true => folder.join("disk").join("data"),
                false => folder.join("data"),
            };
            let mut config = NodeConfig::with_defaults(NodeId(*number), &data, *address)?;
            config.cluster.id = Some(id);
            config.cluster.bootstrap = *number == 1;
            config.cluster.peers = peers.clone();
            config.lanes.clone_from(&blueprint.lanes);
            config.clock = blueprint.clock;
            // A new leader soon enough for many cycles, late enough for a process that waits for its turn.
            config.raft.heartbeat = Duration::from_millis(60);
            config.raft.election_min = Duration::from_millis(250);
            config.raft.election_max = Duration::from_millis(400);
            // Often, so that faults meet them.
            config.raft.snapshot_every = 500;
            config.liveness.beat = Duration::from_millis(200);
            config.liveness.suspect = Duration::from_millis(800);
            config.liveness.suspend = Duration::from_millis(1500);
            config.liveness.down = Duration::from_millis(2500);
            std::fs::write(folder.join("node.toml"), to_toml(&config))?;
        }
        Self::open(blueprint)
    }

    /// Takes a cluster whose folders are there. Nothing runs yet.
    ///
    /// # Errors
    /// If they are not, or a disk cannot be mounted.
    pub fn open(blueprint: &Blueprint) -> anyhow::Result<Self> {
        let mut nodes = BTreeMap::new();
        for id in 1..=blueprint.nodes {
            let folder = blueprint.dir.join(format!("node-{id}"));
            let path = folder.join("node.toml");
            let config = NodeConfig::load(Some(&path), std::iter::empty(), &[])?;
            let disk = match blueprint.power {
                true => Some(PowerDisk::new(&folder.join("disk"))?),
                false => None,
            };
            let node = Node {
                id,
                address: config.node.listen,
                channel: channel(config.node.listen),
                data: config.node.data_dir,
                config: path,
                log: folder.join("log.txt"),
                program: blueprint.program.clone(),
                set: blueprint.set.clone(),
                namespace: blueprint.seats.get(&id).map(|seat| seat.namespace.clone()),
                environment: BTreeMap::new(),
                child: None,
                stdin: None,
                disk,
            };
            nodes.insert(id, node);
        }
        Ok(Self { nodes })
    }

    /// A new cluster that runs and serves.
    ///
    /// # Errors
    /// If it does not within the time.
    pub async fn start(blueprint: &Blueprint, within: Duration) -> anyhow::Result<Self> {
        let mut cluster = Self::create(blueprint)?;
        for node in cluster.nodes.values_mut() {
            node.start()?;
        }
        cluster.agree(within).await?;
        Ok(cluster)
    }

    /// Ids of all nodes.
    pub fn ids(&self) -> Vec<u64> {
        self.nodes.keys().copied().collect()
    }

    /// A node.
    ///
    /// # Panics
    /// If there is none of this id.
    pub fn node(&mut self, id: u64) -> &mut Node {
        self.nodes.get_mut(&id).expect("a node of the cluster")
    }

    /// Any node that should be running.
    ///
    /// # Panics
    /// If none is.
    pub fn any(&self, rng: &mut impl Rng) -> &Node {
        self.nodes
            .values()
            .filter(|node| node.child.is_some())
            .choose(rng)
            .expect("a node that runs")
    }

    /// The leader, as a majority of the nodes sees it.
    ///
    /// # Errors
    /// If there is none within the time.
    pub async fn leader(&self, within: Duration) -> anyhow::Result<u64> {
        eventually("there is a leader", within, async || {
            let mut votes: BTreeMap<u64, usize> = BTreeMap::new();
            for node in self.nodes.values() {
                if let Ok(status) = node.status().await
                    && let Some(leader) = status.leader.filter(|_| status.has_quorum)
                {
                    *votes.entry(leader).or_default() += 1;
                }
            }
            let leader = votes.iter().find(|(_, votes)| **votes > self.nodes.len() / 2);
            leader.map(|(leader, _)| *leader).ok_or_else(|| format!("{votes:?}"))
        })
        .await
    }

    /// Waits until all nodes answer linearizable reads with the same size and root of the log, and returns these.
    ///
    /// # Errors
    /// If they do not within the time, or one has ended by itself.
    pub async fn agree(&mut self, within: Duration) -> anyhow::Result<pb::GetHeadResponse> {
        let nodes = &mut self.nodes;
        let agreed = eventually("all nodes serve the same log", within, async || {
            let heads = futures::future::join_all(nodes.values().map(Node::head)).await;
            let heads = heads
                .into_iter()
                .zip(nodes.values())
                .map(|(head, node)| head.map_err(|why| format!("node {}: {why}", node.id)))
                .collect::<Result<Vec<_>, _>>()?;
            let same = |pair: &[pb::GetHeadResponse]| pair[0].size == pair[1].size && pair[0].root == pair[1].root;
            match heads.windows(2).all(same) {
                true => Ok(heads.into_iter().next().expect("a cluster has nodes")),
                false => Err(describe(&heads)),
            }
        })
        .await;
        for node in nodes.values_mut() {
            node.must_run()?;
        }
        agreed
    }

    /// Waits until every node holds what the log had a moment ago, while clients may go on writing, and returns its head of
    /// then.
    ///
    /// # Errors
    /// If one does not within the time, or has ended by itself.
    pub async fn caught_up(&mut self, within: Duration) -> anyhow::Result<pb::GetHeadResponse> {
        let nodes = &mut self.nodes;
        let caught_up = eventually("all nodes hold what was acknowledged", within, async || {
            let heads = futures::future::join_all(nodes.values().map(Node::head)).await;
            let heads = heads.into_iter().zip(nodes.values());
            let heads = heads.map(|(head, node)| head.map_err(|why| format!("node {}: {why}", node.id)));
            let heads = heads.collect::<Result<Vec<_>, _>>()?;
            // Each was complete when it was asked for, so that every node has what the shortest has.
            heads
                .into_iter()
                .min_by_key(|head| head.size)
                .ok_or_else(|| "a cluster has nodes".to_owned())
        })
        .await;
        for node in nodes.values_mut() {
            node.must_run()?;
        }
        caught_up
    }

    /// Kills these nodes at the same moment, and waits until their processes are gone.
    ///
    /// # Errors
    /// If a process cannot be killed, or was gone already.
    pub async fn kill(&mut self, ids: &[u64]) -> anyhow::Result<()> {
        for id in ids {
            self.node(*id).must_run()?;
        }
        for id in ids {
            if let Some(child) = &mut self.node(*id).child {
                child.start_kill()?;
            }
        }
        for id in ids {
            self.node(*id).kill().await?;
        }
        Ok(())
    }

    /// Kills these nodes, and what their disks had not made durable is lost.
    ///
    /// # Errors
    /// As of [`Cluster::kill`], or if a disk cannot be mounted again.
    pub async fn lose_power(&mut self, ids: &[u64], loss: Loss, rng: &mut impl Rng) -> anyhow::Result<()> {
        self.kill(ids).await?;
        for id in ids {
            let node = self.node(*id);
            let disk = node
                .disk
                .as_mut()
                .context("this cluster has no disks whose power can fail")?;
            disk.lose_power(loss, rng)?;
        }
        Ok(())
    }

    /// Ends the processes as an operator would, and kills those that do not end.
    pub async fn stop(&mut self) {
        futures::future::join_all(self.nodes.values_mut().map(Node::stop)).await;
    }
}

fn describe(heads: &[pb::GetHeadResponse]) -> String {
    let one = |head: &pb::GetHeadResponse| format!("{} entries, root {}", head.size, hex::encode(&head.root));
    heads.iter().map(one).collect::<Vec<_>>().join("; ")
}

impl Node {
    /// Starts the process. It stops by itself when this one ends, however that happens.
    ///
    /// # Errors
    /// If it cannot be started.
    pub fn start(&mut self) -> anyhow::Result<()> {
        let log = File::options().create(true).append(true).open(&self.log)?;
        let mut command = command_in(self.namespace.as_deref(), &self.program);
        command
            .envs(&self.environment)
            .args(["node", "run", "--stop-with-stdin", "--config"])
            .arg(&self.config);
        for set in &self.set {
            command.args(["--set", set]);
        }
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(log)
            // Ctrl-C in the terminal goes to this process, which then ends the nodes.
            .process_group(0)
            .spawn()
            .with_context(|| format!("starting {}", self.program.display()))?;
        self.stdin = child.stdin.take();
        self.child = Some(child);
        Ok(())
    }

    /// SIGKILL, and waits until the process is gone. Nothing happens if there is none.
    ///
    /// # Errors
    /// If it cannot be killed.
    pub async fn kill(&mut self) -> anyhow::Result<()> {
        if let Some(mut child) = self.child.take() {
            child.kill().await.context("killing a node")?;
        }
        Ok(())
    }

    /// Ends the process as an operator would, and kills it if it does not end.
    pub async fn stop(&mut self) {
        self.stdin = None;
        if let Some(mut child) = self.child.take()
            && tokio::time::timeout(CALL, child.wait()).await.is_err()
        {
            let _ = child.kill().await;
        }
    }

    /// From its next start on, this is set over its file, such as `raft.heartbeat_ms=30`.
    pub fn set_option(&mut self, option: &str) {
        self.set.push(option.to_owned());
    }

    /// From its next start on, its data is in another folder.
    pub fn set_data(&mut self, data: &Path) {
        self.set_option(&format!("node.data_dir={}", data.display()));
        self.data = data.to_owned();
    }

    /// What its next starts find in their environment, beside what this process has.
    pub fn set_environment(&mut self, environment: BTreeMap<String, String>) {
        self.environment = environment;
    }

    /// Ends the process as an operator would, and waits until it has ended in good order.
    ///
    /// # Errors
    /// If it does not within the time, or says that something failed.
    pub async fn stop_in_order(&mut self, within: Duration) -> anyhow::Result<()> {
        self.stdin = None;
        let status = self.ends(within).await?;
        if !status.success() {
            bail!(
                "node {} did not stop in order ({status}):\n{}",
                self.id,
                self.last_words()
            );
        }
        Ok(())
    }

    /// Waits until the process ends by itself.
    ///
    /// # Errors
    /// If it does not within the time, or none runs.
    pub async fn ends(&mut self, within: Duration) -> anyhow::Result<ExitStatus> {
        let child = self.child.as_mut().context("the node does not run")?;
        let status = tokio::time::timeout(within, child.wait())
            .await
            .map_err(|_| anyhow::anyhow!("node {} still runs after {within:?}", self.id))??;
        self.child = None;
        Ok(status)
    }

    /// The disk whose power can fail, if it has one.
    pub fn disk(&self) -> Option<&PowerDisk> {
        self.disk.as_ref()
    }

    /// The cluster as this node sees it.
    ///
    /// # Errors
    /// If it does not answer.
    pub async fn status(&self) -> Result<pb::GetStatusResponse, String> {
        let mut client = ClusterServiceClient::new(self.channel.clone());
        call(client.get_status(deadline(pb::GetStatusRequest {}, CALL))).await
    }

    /// The head of its log with everything acknowledged before.
    ///
    /// # Errors
    /// If it does not answer.
    pub async fn head(&self) -> Result<pb::GetHeadResponse, String> {
        let mut client = LogServiceClient::new(self.channel.clone());
        let request = pb::GetHeadRequest {
            consistency: pb::Consistency::Quorum.into(),
        };
        call(client.get_head(deadline(request, CALL))).await
    }

    /// What it has written to standard error.
    pub fn said(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap_or_default()
    }

    /// The end of what it said.
    pub fn last_words(&self) -> String {
        let text = self.said();
        let lines: Vec<&str> = text.lines().collect();
        lines[lines.len().saturating_sub(8)..].join("\n")
    }

    /// The process, while it runs.
    pub fn pid(&self) -> Option<u32> {
        self.child.as_ref().and_then(Child::id)
    }

    fn must_run(&mut self) -> anyhow::Result<()> {
        let Some(child) = &mut self.child else { return Ok(()) };
        if let Some(status) = child.try_wait()? {
            bail!(
                "node {} ended by itself ({status}); the end of {}:\n{}",
                self.id,
                self.log.display(),
                self.last_words()
            );
        }
        Ok(())
    }
}

/// A request with a deadline on the wire.
pub fn deadline<T>(message: T, limit: Duration) -> Request<T> {
    let mut request = Request::new(message);
    request.set_timeout(limit);
    request
}

/// The answer to a call, or why there is none.
///
/// # Errors
/// The status in words, or that there was no answer in time.
pub async fn call<T>(answer: impl Future<Output = Result<Response<T>, Status>>) -> Result<T, String> {
    match tokio::time::timeout(CALL, answer).await {
        Ok(Ok(response)) => Ok(response.into_inner()),
        Ok(Err(status)) => Err(status.to_string()),
        Err(_) => Err("no answer".to_owned()),
    }
}
