//! Servers as real processes on this machine: starting, killing, pausing and ending them. What the demo and the benchmark share.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs::File;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use anyhow::Context;
use portcullis_config::{NodeConfig, Peer, PeerAddress, to_toml};
use portcullis_domain::id::{ClusterId, NodeId};
use rustix::process::{Pid, Signal, kill_process};
use tokio::process::{Child, Command};
use tokio::time::Instant;

/// How long a server may take to stop before it is killed.
const STOP_WITHIN: Duration = Duration::from_secs(8);

/// A server's process: how it is started, and whether it runs.
pub(crate) struct Server {
    /// Its number in the cluster.
    pub(crate) id: u64,
    /// Where clients reach it, host:port.
    pub(crate) address: String,
    /// Where its standard error goes.
    pub(crate) log: PathBuf,
    program: PathBuf,
    arguments: Vec<OsString>,
    child: Option<Child>,
    started: Instant,
}

impl Server {
    /// A server that does not run yet.
    pub(crate) fn new(id: u64, address: String, log: PathBuf, program: PathBuf, arguments: Vec<OsString>) -> Self {
        Self {
            id,
            address,
            log,
            program,
            arguments,
            child: None,
            started: Instant::now(),
        }
    }

    /// A node of this very program, which stops by itself when this process ends, however that happens. `set` holds
    /// `KEY=VALUE` over its configuration.
    fn node(id: u64, address: String, log: PathBuf, config: &Path, set: &[String]) -> anyhow::Result<Self> {
        let program = std::env::current_exe().context("finding this program")?;
        let mut arguments: Vec<OsString> = ["node", "run", "--stop-with-stdin", "--config"].map(Into::into).into();
        arguments.push(config.into());
        for set in set {
            arguments.extend(["--set".into(), set.into()]);
        }
        Ok(Self::new(id, address, log, program, arguments))
    }

    /// The nodes of a new cluster, laid out in `dir`: node 1 founds it and has its data in `node-1/data`. `adjust` changes what
    /// they have in common, from the defaults; `set` is as in [`Server::node`].
    pub(crate) fn nodes(
        dir: &Path,
        cluster: ClusterId,
        addresses: &BTreeMap<u64, SocketAddr>,
        set: &[String],
        adjust: impl Fn(&mut NodeConfig),
    ) -> anyhow::Result<BTreeMap<u64, Self>> {
        let peer = |(id, address): (&u64, &SocketAddr)| Peer {
            id: NodeId(*id),
            address: PeerAddress::from(*address),
        };
        let peers: Vec<Peer> = addresses.iter().map(peer).collect();
        let mut nodes = BTreeMap::new();
        for (id, address) in addresses {
            let folder = dir.join(format!("node-{id}"));
            std::fs::create_dir_all(&folder).with_context(|| format!("creating {}", folder.display()))?;
            let mut config = NodeConfig::with_defaults(NodeId(*id), &folder.join("data"), *address)?;
            config.cluster.id = Some(cluster);
            config.cluster.bootstrap = *id == 1;
            config.cluster.peers.clone_from(&peers);
            adjust(&mut config);
            let path = folder.join("node.toml");
            std::fs::write(&path, to_toml(&config)).with_context(|| format!("writing {}", path.display()))?;
            let log = folder.join("log.txt");
            nodes.insert(*id, Self::node(*id, address.to_string(), log, &path, set)?);
        }
        Ok(nodes)
    }

    /// Starts the process.
    pub(crate) fn start(&mut self) -> anyhow::Result<()> {
        let log = File::options()
            .create(true)
            .append(true)
            .open(&self.log)
            .with_context(|| format!("opening {}", self.log.display()))?;
        let child = Command::new(&self.program)
            .args(&self.arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(log)
            .kill_on_drop(true)
            // Ctrl-C in the terminal goes to this process, which then stops its servers in order.
            .process_group(0)
            .spawn()
            .with_context(|| format!("starting {}", self.program.display()))?;
        self.child = Some(child);
        self.started = Instant::now();
        Ok(())
    }

    /// Its process id, while it runs.
    pub(crate) fn pid(&self) -> Option<u32> {
        self.child.as_ref().and_then(Child::id)
    }

    /// How long ago it was started last.
    pub(crate) fn age(&self) -> Duration {
        self.started.elapsed()
    }

    /// How it ended, if it should run and has ended by itself, or by somebody else's hand. Told once.
    ///
    /// # Errors
    /// When the operating system does not say.
    pub(crate) fn ended(&mut self) -> anyhow::Result<Option<ExitStatus>> {
        let Some(child) = &mut self.child else { return Ok(None) };
        let status = child.try_wait()?;
        if status.is_some() {
            self.child = None;
        }
        Ok(status)
    }

    /// Kills the process and waits until it is gone.
    pub(crate) async fn kill(&mut self) -> anyhow::Result<()> {
        if let Some(mut child) = self.child.take() {
            child
                .kill()
                .await
                .with_context(|| format!("killing server {}", self.id))?;
        }
        Ok(())
    }

    /// Stops the process from running, without its knowledge.
    pub(crate) fn pause(&self) {
        self.signal(Signal::STOP);
    }

    /// Lets a paused process go on.
    pub(crate) fn resume(&self) {
        self.signal(Signal::CONT);
    }

    fn signal(&self, signal: Signal) {
        let pid = self
            .pid()
            .and_then(|pid| i32::try_from(pid).ok())
            .and_then(Pid::from_raw);
        if let Some(pid) = pid {
            // The process is our child and not yet waited for, so its id cannot belong to anyone else.
            let _ = kill_process(pid, signal);
        }
    }
}

/// Asks every server to stop, and kills those that do not.
pub(crate) async fn stop_all(servers: impl Iterator<Item = &mut Server>) {
    let mut servers: Vec<_> = servers.collect();
    for server in &servers {
        server.signal(Signal::CONT);
        server.signal(Signal::TERM);
    }
    for server in &mut servers {
        if let Some(mut child) = server.child.take()
            && tokio::time::timeout(STOP_WITHIN, child.wait()).await.is_err()
        {
            let _ = child.kill().await;
        }
    }
}
