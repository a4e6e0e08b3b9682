//! One node's process: opens what is on disk, wires consensus, actors, link and services, and stops in order.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::AtomicU32;
use std::time::Duration;

use anyhow::{Context, bail};
use arc_swap::ArcSwapOption;
use portcullis_actors::{Host, HostConfig, Identity, Ports};
use portcullis_config::{NodeConfig, PeerAddress};
use portcullis_consensus::{Consensus, Member, Settings, Timing, incarnation_of, owner_of};
use portcullis_domain::id::{BootId, ClusterId, Incarnation, NodeId};
use portcullis_proto::internal::v1::heartbeat_service_server::HeartbeatServiceServer;
use portcullis_proto::internal::v1::link_service_server::LinkServiceServer;
use portcullis_proto::internal::v1::membership_service_server::MembershipServiceServer;
use portcullis_proto::v1::cluster_service_server::ClusterServiceServer;
use portcullis_proto::v1::inspection_service_server::InspectionServiceServer;
use portcullis_proto::v1::lane_service_server::LaneServiceServer;
use portcullis_proto::v1::log_service_server::LogServiceServer;
use portcullis_proto::v1::policy_service_server::PolicyServiceServer;
use tokio_util::sync::CancellationToken;
use tonic::transport::Server;

use crate::beat::{Beats, Sender};
use crate::clock::PortTime;
use crate::joining::{Applicant, Taken};
use crate::link::{HostSlot, LinkServer, Links, Speaker};
use crate::neighbours::Neighbours;
use crate::platform::{Incoming, Platform};
use crate::ports::{ByContract, Core, Majority};
use crate::services::{Gateway, Parts};

/// The highest cluster version that this program speaks.
pub const CLUSTER_VERSION: u32 = 1;
/// How long a process that was declared down stays for answers to what it has sent.
const ANSWERS_WITHIN: Duration = Duration::from_secs(1);
/// A process that is declared down sooner after its start waits before it starts again.
const SHORT_LIFE: Duration = Duration::from_secs(5);
/// How long a leader that stops tries to hand over.
const HAND_OVER_WITHIN: Duration = Duration::from_secs(1);
/// How long open calls may take to finish when the node stops. Streams are ended before; what is left are short calls and
/// the streams of other nodes' consensus, which end only from the other side.
const STOP_WITHIN: Duration = Duration::from_secs(1);

/// How a node's run ended in order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ended {
    /// It was asked to.
    Asked,
    /// The cluster declared the process down while it was away, so that it must start again under a new boot id.
    DeclaredDown,
}

/// A node that runs.
pub struct Process {
    config: NodeConfig,
    consensus: Consensus,
    beats: Beats,
    host: HostSlot,
    stop: CancellationToken,
    streams: CancellationToken,
    server: tokio::task::JoinHandle<Result<(), tonic::transport::Error>>,
}

impl Process {
    /// Starts a node on this machine and returns once it serves.
    ///
    /// # Errors
    /// Everything that keeps it from starting, each with what to do.
    pub async fn start(mut config: NodeConfig, platform: &Platform) -> anyhow::Result<Self> {
        let incoming = listen(&config, platform).await?;
        let connector = Arc::clone(&platform.connector);
        let mut taken = settle_identity(&mut config, platform).await?;
        let cluster = cluster_id(&config, platform)?;
        let boot = portcullis_domain::mutant!(BootIdKept, BootId(config.node.id.0), BootId(rand::random::<u64>() >> 1));
        let port_time = PortTime::by(config.clock, Arc::clone(&platform.wall));
        let consensus = open_consensus(&config, cluster, port_time.clone(), platform).await?;
        tracing::info!(cluster = %cluster, node = %config.node.id, %boot, listen = %config.node.listen, "node is starting");

        let stop = CancellationToken::new();
        let streams = CancellationToken::new();
        let host: HostSlot = Arc::new(ArcSwapOption::empty());
        let me = Speaker {
            cluster,
            node: config.node.id,
            boot,
        };
        let address = config
            .address_of(config.node.id)
            .map(ToString::to_string)
            .unwrap_or_default();
        if taken.is_none() && !config.cluster.join.is_empty() && consensus.membership().borrow().is_empty() {
            // It had its id and went away before it became a member.
            let applicant = applicant(&config, consensus.incarnation());
            taken = Some(crate::joining::join(&applicant, &config.cluster.join, &connector).await?);
        }
        let told = taken.map_or_else(|| configured(&config), |taken| taken.neighbours);
        let neighbours = crate::neighbours::follow(config.node.id, told, &consensus, &stop);
        let links = Links::start(me, neighbours.clone(), &connector, &stop);
        let attached = Arc::new(AtomicU32::new(0));
        let sender = Sender {
            cluster,
            node: config.node.id,
            boot,
            address: address.clone(),
            capacity: config.node.capacity,
            timing: config.liveness.clone(),
            port_time: port_time.clone(),
            memory: platform.memory,
            devices: attached.clone(),
        };
        let beats = Beats::start(sender, neighbours, &connector, consensus.clone(), host.clone(), &stop);
        let gateway = Gateway::new(Parts {
            cluster,
            address: address.clone(),
            connector: Arc::clone(&connector),
            boot,
            config: config.clone(),
            consensus: consensus.clone(),
            beats: beats.clone(),
            links: links.clone(),
            host: host.clone(),
            port_time: port_time.clone(),
            attached,
            stop: streams.clone(),
        });
        let (health, health_service) = tonic_health::server::health_reporter();
        let server = serve(
            incoming,
            &config,
            &consensus,
            gateway,
            beats.clone(),
            LinkServer::new(me, host.clone(), streams.clone()),
            health_service,
            stop.clone(),
        )?;

        if config.cluster.bootstrap {
            let members: BTreeMap<u64, Member> = config
                .cluster
                .peers
                .iter()
                .map(|peer| (peer.id.0, Member::new(peer.address.to_string())))
                .collect();
            consensus.initialize(members).await.context("founding the cluster")?;
        } else if config.cluster.join.is_empty() && consensus.members().is_empty() {
            tracing::info!(
                "this node belongs to no cluster yet; it waits to be founded or taken in: `portcullis cluster init`"
            );
        }

        let core = Core(consensus.clone());
        let ports = Ports {
            proposer: Arc::new(core.clone()),
            ledger: Arc::new(core.clone()),
            link: Arc::new(links),
            blobs: Arc::new(core),
            clock: Arc::new(port_time),
            quorum: Arc::new(Majority(beats.quorum())),
            decoder: Arc::new(ByContract),
        };
        let mut host_config = HostConfig::new(Identity {
            node: config.node.id,
            boot,
        });
        host_config.capacity = config.node.capacity;
        host_config.version = CLUSTER_VERSION;
        host_config.down_after = config.liveness.down;
        host_config.suspect_after = config.liveness.suspect;
        host_config.mailbox = config.limits.mailbox;
        let running = Host::start(host_config, ports).await.context("starting the actors")?;
        host.store(Some(Arc::new(running.clone())));
        tokio::spawn(follow_leadership(consensus.clone(), running, stop.clone()));
        tokio::spawn(crate::founding::run(
            config.clone(),
            cluster,
            consensus.clone(),
            stop.clone(),
        ));
        tokio::spawn(crate::enrolling::run(
            config.node.id,
            cluster,
            address,
            consensus.clone(),
            connector,
            stop.clone(),
        ));
        tokio::spawn(crate::steward::run(
            config.node.id,
            consensus.clone(),
            beats.clone(),
            stop.clone(),
        ));
        tokio::spawn(report_health(consensus.clone(), beats.quorum(), health, stop.clone()));
        Ok(Self {
            config,
            consensus,
            beats,
            host,
            stop,
            streams,
            server,
        })
    }

    /// The replicated core.
    pub fn consensus(&self) -> &Consensus {
        &self.consensus
    }

    /// Runs until `asked` resolves, or until the node must not or cannot go on; then stops in order.
    ///
    /// # Errors
    /// The reason why the node could not go on.
    pub async fn run_until(mut self, asked: impl Future<Output = ()>) -> anyhow::Result<Ended> {
        let result = tokio::select! {
            () = asked => Ok(Ended::Asked),
            () = self.declared_down() => {
                // What its actors had in hand gets its answer, which is that they are fenced.
                tokio::time::sleep(ANSWERS_WITHIN).await;
                Ok(Ended::DeclaredDown)
            }
            reason = self.consensus.fatal() => Err(anyhow::anyhow!("the node has to stop: {reason}")),
            ended = &mut self.server => match ended {
                Ok(Ok(())) => Err(anyhow::anyhow!("the server ended by itself")),
                Ok(Err(error)) => Err(anyhow::Error::new(error).context("serving")),
                Err(error) => Err(anyhow::Error::new(error).context("serving")),
            },
        };
        self.stop().await;
        result
    }

    /// Resolves when the cluster declared this process down: it must not go on under this boot id.
    fn declared_down(&self) -> impl Future<Output = ()> + use<> {
        let host = self.host.load_full();
        async move {
            match host {
                Some(host) => host.boot_lost().await,
                None => std::future::pending().await,
            }
        }
    }

    async fn stop(mut self) {
        tracing::info!(node = %self.config.node.id, "node is stopping");
        // Leadership goes first, while everything still works: commands that come meanwhile go on to the next leader.
        if self.consensus.leads()
            && let Some(to) = self.beats.freshest()
            && let Err(error) = self.consensus.transfer_leader(to.0, HAND_OVER_WITHIN).await
        {
            tracing::info!(%error, "leadership was not handed over");
        }
        let host = self.host.swap(None);
        self.streams.cancel();
        if let Some(host) = host {
            host.stop().await;
        }
        // From here on no connection is taken, and those that are open are told to go elsewhere. Calls in flight end.
        self.stop.cancel();
        if !self.server.is_finished() && tokio::time::timeout(STOP_WITHIN, &mut self.server).await.is_err() {
            self.server.abort();
        }
        self.consensus.shutdown().await;
        tracing::info!("node has stopped");
    }
}

/// Runs a node on this machine until it is asked to stop, by SIGINT, SIGTERM or `or_by`.
///
/// # Errors
/// What kept it from starting, or from going on.
pub async fn run(config: NodeConfig, or_by: impl Future<Output = ()> + Send + 'static) -> anyhow::Result<()> {
    let asked = CancellationToken::new();
    let asked_to_stop = crate::signal::asked_to_stop();
    tokio::spawn({
        let asked = asked.clone();
        async move {
            tokio::select! {
                () = asked_to_stop => {}
                () = or_by => {}
            }
            asked.cancel();
        }
    });
    run_on(&Platform::real(), config, asked, |_| {}).await
}

/// Runs a node on a machine until it is asked to stop. A process that the cluster declared down while it was away starts again
/// in place, as a new process would, with a new boot id. `started` is shown each process once it serves.
///
/// # Errors
/// What kept it from starting, or from going on.
pub async fn run_on(
    platform: &Platform,
    config: NodeConfig,
    asked: CancellationToken,
    started: impl Fn(&Process),
) -> anyhow::Result<()> {
    let mut since;
    loop {
        since = tokio::time::Instant::now();
        let process = tokio::select! {
            process = Process::start(config.clone(), platform) => process?,
            // It may wait for a cluster to take it in.
            () = asked.cancelled() => return Ok(()),
        };
        started(&process);
        match process.run_until(asked.cancelled()).await? {
            Ended::Asked => return Ok(()),
            Ended::DeclaredDown => {
                tracing::warn!("the cluster declared this process down while it was away; starting again");
                if since.elapsed() < SHORT_LIFE {
                    // Something keeps it from being heard; starting over and over would not help.
                    let _ = tokio::time::timeout(SHORT_LIFE, asked.cancelled()).await;
                }
            }
        }
    }
}

async fn listen(config: &NodeConfig, platform: &Platform) -> anyhow::Result<Incoming> {
    let address = config.node.listen;
    let listening = (platform.listen)(address).await;
    listening.map_err(|error| match error.kind() {
        std::io::ErrorKind::AddrInUse => anyhow::anyhow!(
            "node.listen: {address} is in use by another process; stop it, or choose another port with \
             --set node.listen=ADDRESS (demo: --port)"
        ),
        _ => anyhow::Error::new(error).context(format!("node.listen: cannot listen on {address}")),
    })
}

/// The cluster's id: from the configuration, or for a cluster of one node made up at its first start.
fn cluster_id(config: &NodeConfig, platform: &Platform) -> anyhow::Result<ClusterId> {
    if let Some(id) = config.cluster.id {
        return Ok(id);
    }
    if config.cluster.peers.len() > 1 {
        let example = ClusterId(rand::random());
        bail!(
            "cluster.id is missing: with several nodes all of them need the same one, for example id = \"{example}\""
        );
    }
    // What the folder was claimed for at its first start; consensus writes it durably and checks it at each start.
    let owner = owner_of(&*platform.disk, &config.node.data_dir);
    Ok(owner.map_or_else(|| ClusterId(rand::random()), |(cluster, _)| cluster))
}

/// For a node that joins: its id and cluster, from its data folder, or else from the cluster that it asks to be taken in.
async fn settle_identity(config: &mut NodeConfig, platform: &Platform) -> anyhow::Result<Option<Taken>> {
    if config.cluster.join.is_empty() {
        return Ok(None);
    }
    let (cluster, node, taken) = match owner_of(&*platform.disk, &config.node.data_dir) {
        Some((cluster, node)) => (cluster, node, None),
        None => {
            let folder = &config.node.data_dir;
            let incarnation = incarnation_of(&platform.disk, folder)
                .with_context(|| format!("node.data_dir: preparing {}", folder.display()))?;
            let applicant = applicant(config, incarnation);
            let taken = crate::joining::join(&applicant, &config.cluster.join, &platform.connector).await?;
            (taken.cluster, taken.node, Some(taken))
        }
    };
    // What is configured beside is compared with the folder when that is opened.
    config.cluster.id.get_or_insert(cluster);
    if config.node.id == NodeId::NONE {
        config.node.id = node;
    }
    for peer in &mut config.cluster.peers {
        peer.id = config.node.id;
    }
    Ok(taken)
}

fn applicant(config: &NodeConfig, incarnation: Incarnation) -> Applicant {
    Applicant {
        cluster: config.cluster.id,
        incarnation,
        address: PeerAddress::from(config.node.listen).to_string(),
        node: Some(config.node.id).filter(|node| *node != NodeId::NONE),
    }
}

/// The founders as the configuration names them.
fn configured(config: &NodeConfig) -> Neighbours {
    let peers = || config.cluster.peers.iter();
    let voters = match config.cluster.join.is_empty() {
        true => peers().map(|peer| peer.id).collect(),
        false => Vec::new(),
    };
    let members = peers().map(|peer| (peer.id, peer.address.to_string()));
    Neighbours::told(config.node.id, members, voters)
}

async fn open_consensus(
    config: &NodeConfig,
    cluster: ClusterId,
    port_time: PortTime,
    platform: &Platform,
) -> anyhow::Result<Consensus> {
    let clock = Arc::new(move || port_time.now());
    let mut settings = Settings::new(&config.node.data_dir, cluster, config.node.id.0, clock);
    settings.timing = Timing {
        heartbeat: config.raft.heartbeat,
        election_min: config.raft.election_min,
        election_max: config.raft.election_max,
    };
    settings.snapshot_every = config.raft.snapshot_every;
    settings.keep_entries = config.raft.snapshot_every.saturating_mul(5) / 4;
    settings.queue = config.limits.proposals;
    settings.patience = config.limits.call;
    settings.disk = Arc::clone(&platform.disk);
    settings.log = platform.log.clone();
    settings.open_store = Arc::clone(&platform.open_store);
    settings.blocking = platform.blocking;
    Consensus::open(settings, Arc::clone(&platform.connector))
        .await
        .context("opening the data folder")
}

#[expect(clippy::too_many_arguments, reason = "the one place where everything is mounted")]
fn serve(
    incoming: Incoming,
    config: &NodeConfig,
    consensus: &Consensus,
    gateway: Gateway,
    beats: Beats,
    link: LinkServer,
    health: tonic_health::pb::health_server::HealthServer<impl tonic_health::pb::health_server::Health>,
    stop: CancellationToken,
) -> anyhow::Result<tokio::task::JoinHandle<Result<(), tonic::transport::Error>>> {
    let limit = config.limits.message_bytes;
    let reflection = || {
        tonic_reflection::server::Builder::configure()
            .register_encoded_file_descriptor_set(portcullis_proto::FILE_DESCRIPTOR_SET)
            .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
    };
    let router = Server::builder()
        .timeout(config.limits.call)
        .tcp_nodelay(true)
        .max_concurrent_streams(Some(1024))
        .http2_max_pending_accept_reset_streams(Some(64))
        .http2_keepalive_interval(Some(Duration::from_secs(2)))
        .http2_keepalive_timeout(Some(Duration::from_secs(2)))
        .initial_stream_window_size(Some(8 << 20))
        .initial_connection_window_size(Some(32 << 20))
        .add_service(health)
        .add_service(reflection().build_v1().context("reflection v1")?)
        .add_service(reflection().build_v1alpha().context("reflection v1alpha")?)
        .add_service(InspectionServiceServer::new(gateway.clone()).max_decoding_message_size(limit))
        .add_service(LaneServiceServer::new(gateway.clone()).max_decoding_message_size(limit))
        .add_service(LogServiceServer::new(gateway.clone()).max_decoding_message_size(limit))
        .add_service(PolicyServiceServer::new(gateway.clone()).max_decoding_message_size(limit))
        .add_service(ClusterServiceServer::new(gateway.clone()).max_decoding_message_size(limit))
        .add_service(MembershipServiceServer::new(gateway).max_decoding_message_size(64 << 10))
        .add_service(LinkServiceServer::new(link).max_decoding_message_size(limit))
        .add_service(HeartbeatServiceServer::new(beats).max_decoding_message_size(64 << 10))
        .add_service(consensus.grpc_service());
    Ok(tokio::spawn(
        router.serve_with_incoming_shutdown(incoming, async move { stop.cancelled().await }),
    ))
}

/// The placement actor runs where the leader is.
async fn follow_leadership(consensus: Consensus, host: Host, stop: CancellationToken) {
    let mut leadership = consensus.leadership();
    loop {
        let now = *leadership.borrow_and_update();
        host.leader_changed((now.leader == Some(consensus.node())).then_some(now.term));
        tokio::select! {
            () = stop.cancelled() => return,
            changed = leadership.changed() => if changed.is_err() { return },
        }
    }
}

/// A node is healthy when it knows a leader and hears a majority.
async fn report_health(
    consensus: Consensus,
    mut quorum: tokio::sync::watch::Receiver<bool>,
    health: tonic_health::server::HealthReporter,
    stop: CancellationToken,
) {
    let mut leadership = consensus.leadership();
    loop {
        let well = leadership.borrow_and_update().leader.is_some() && *quorum.borrow_and_update();
        let status = if well {
            tonic_health::ServingStatus::Serving
        } else {
            tonic_health::ServingStatus::NotServing
        };
        health.set_service_status("", status).await;
        tokio::select! {
            () = stop.cancelled() => break,
            changed = leadership.changed() => if changed.is_err() { break },
            changed = quorum.changed() => if changed.is_err() { break },
        }
    }
    health
        .set_service_status("", tonic_health::ServingStatus::NotServing)
        .await;
}
