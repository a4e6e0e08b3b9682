//! The command line as it is typed: commands, arguments, and their help.

use std::path::PathBuf;
use std::time::Duration;

use clap::builder::ArgPredicate;
use clap::{Args, Parser, Subcommand, ValueEnum};
use portcullis_domain::id::{ClusterId, LaneId, NodeId};

use super::bench::BenchCommand;
use super::fault_spec::FaultSpec;
use super::learning::{EvaluateCommand, Sensors};
use super::policy::PolicyCommand;
use super::risk::RiskCommand;
use super::span::parse_span;

const EXAMPLES: &str = "\
Examples:
  portcullis demo                                a port on this machine
  portcullis cluster status                      who leads, what runs where
  portcullis inspection ls --stage under_review  what waits for an officer
  portcullis inspection show MSKU1234565         one case, with its sum
  portcullis events tail -o json | jq .kind      what happens, as it happens
  portcullis announce --declaration FILE         announce from a declaration
  portcullis evaluate fusion --world FILE        how good a policy is in a world
  portcullis errors                              what each reason means

Data goes to stdout, everything else to stderr. Exit codes:
  0 ok                5 not found                   11 degraded
  1 error             6 impossible as things stand  12 verification failed
  2 usage            10 unhealthy                  130 interrupted
  3 unreachable, timeout, or outcome unknown         4 denied";

/// Screens containers: one binary for nodes, demo and operators.
#[derive(Debug, Clone, Parser)]
#[command(name = "portcullis", version, about, after_help = EXAMPLES)]
pub struct Cli {
    /// What holds for every command.
    #[command(flatten)]
    pub global: Global,
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// Options that every command takes.
#[derive(Debug, Clone, Args)]
pub struct Global {
    /// Node to ask, host:port or URL; repeat it or separate by commas. Tried in order until one answers.
    #[arg(
        long = "endpoint",
        value_name = "URL",
        env = "PORTCULLIS_ENDPOINT",
        value_delimiter = ',',
        global = true,
        default_values = ["http://127.0.0.1:7401", "http://127.0.0.1:7402", "http://127.0.0.1:7403"]
    )]
    pub endpoints: Vec<String>,
    /// Endpoints stand on the command line, not only in the environment or among the defaults.
    #[arg(skip)]
    pub endpoints_given: bool,
    /// Longest time of a call, such as 10s, 500ms or 1m.
    #[arg(
        long,
        value_name = "TIME",
        env = "PORTCULLIS_TIMEOUT",
        default_value = "10s",
        value_parser = parse_span,
        global = true
    )]
    pub timeout: Duration,
    /// Form of the output; by default a table on a terminal and JSON otherwise.
    #[arg(short, long, value_name = "FORMAT", env = "PORTCULLIS_OUTPUT", global = true)]
    pub output: Option<Format>,
}

/// Form of the output.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// For people.
    Table,
    /// For programs: one JSON document, or one JSON object a line for what streams.
    Json,
}

/// All commands.
#[derive(Debug, Clone, Subcommand)]
pub enum Command {
    /// Start a whole port on this machine: three nodes, lanes, and simulated trucks.
    Demo(DemoArgs),
    /// Run one node.
    #[command(subcommand)]
    Node(NodeCommand),
    /// Measure: commits, reads, failover, restart; beside etcd, on clusters started for it.
    #[command(subcommand)]
    Bench(BenchCommand),
    /// Everything that asks a running cluster, or none at all.
    #[command(flatten)]
    Client(ClientCommand),
}

/// `portcullis demo`.
#[derive(Debug, Clone, Args)]
pub struct DemoArgs {
    /// How many nodes.
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..=9))]
    pub nodes: u32,
    /// How many lanes with simulated devices. One more lane, without a device, is for `lane replay`.
    #[arg(long, default_value_t = 8, value_parser = clap::value_parser!(u32).range(1..=256))]
    pub lanes: u32,
    /// How many containers come; without it they keep coming.
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..), required_if_eq("until_done", "true"))]
    pub containers: Option<u32>,
    /// What the port, its cargo and its noise are drawn from.
    #[arg(long, default_value_t = 7)]
    pub seed: u64,
    /// Simulated seconds that pass in a real one; by default as fast as the rest of the options allow.
    #[arg(long, value_name = "FACTOR", value_parser = parse_speed)]
    pub speed: Option<f64>,
    /// Which detectors the lanes have.
    #[arg(long, value_enum, default_value_t)]
    pub sensors: Sensors,
    /// End when all containers have a conclusion, and print one report.
    #[arg(long)]
    pub until_done: bool,
    /// Break something at a share of the conclusions, such as kill-leader@40, kill-lane-host@40, pause-lane-host@40.
    #[arg(long = "fault", value_name = "KIND@PERCENT")]
    pub faults: Vec<FaultSpec>,
    /// Where configuration, keys and data go; by default portcullis-demo in the directory for temporary files.
    #[arg(long, value_name = "DIR")]
    pub dir: Option<PathBuf>,
    /// Port of the first node, the others follow; 0 takes free ports.
    #[arg(long, default_value_t = 7401)]
    pub port: u16,
}

/// `portcullis node`.
#[derive(Debug, Clone, Subcommand)]
pub enum NodeCommand {
    /// Run a node in the foreground until it is told to stop.
    Run(NodeRunArgs),
}

/// `portcullis node run`.
#[derive(Debug, Clone, Args)]
pub struct NodeRunArgs {
    /// Its configuration, TOML.
    #[arg(short, long, value_name = "FILE")]
    pub config: PathBuf,
    /// Sets one key over file and environment, such as raft.heartbeat_ms=100. Repeatable.
    #[arg(long, value_name = "KEY=VALUE")]
    pub set: Vec<String>,
    /// Also stop when standard input ends: for whoever starts nodes and may be killed.
    #[arg(long, hide = true)]
    pub stop_with_stdin: bool,
}

/// Commands for which no node and no demo has to be started.
#[derive(Debug, Clone, Subcommand)]
pub enum ClientCommand {
    /// The cluster: nodes, leader, placements.
    #[command(subcommand)]
    Cluster(ClusterCommand),
    /// The lanes, and a recorded pass played to one of them.
    #[command(subcommand)]
    Lane(LaneCommand),
    /// The cases: list, explain, decide.
    #[command(subcommand)]
    Inspection(InspectionCommand),
    /// What happens.
    #[command(subcommand)]
    Events(EventsCommand),
    /// The decision log.
    #[command(subcommand)]
    Log(LogCommand),
    /// How good fusion, manifest risk and radiation evidence are, measured where the truth is known.
    #[command(subcommand)]
    Evaluate(EvaluateCommand),
    /// Fusion policies: learn, show, compare, and put one into a running cluster.
    #[command(subcommand)]
    Policy(PolicyCommand),
    /// Manifest risk models: learn, look at, and bring one into a running cluster.
    #[command(subcommand)]
    Risk(RiskCommand),
    /// Announce containers, from a declaration or by hand.
    Announce(AnnounceArgs),
    /// The configuration of a node.
    #[command(subcommand)]
    Config(ConfigCommand),
    /// What every reason of a refusal and every finding means.
    Errors(ErrorsArgs),
}

/// `portcullis cluster`.
#[derive(Debug, Clone, Subcommand)]
pub enum ClusterCommand {
    /// The cluster as the answering node sees it. Exits with 10 without a quorum and with 11 if a node is down.
    Status {
        /// List every placement, not only their count.
        #[arg(long)]
        placements: bool,
    },
    /// Found a cluster from nodes that run and belong to none yet.
    Init {
        /// Its members, ID=HOST:PORT; without them the node that is asked, alone.
        #[arg(long, value_name = "ID=HOST:PORT", value_delimiter = ',', value_parser = parse_member)]
        members: Vec<(NodeId, String)>,
        /// Who asks.
        #[command(flatten)]
        asker: Asker,
    },
    /// Run a new node that joins the cluster named in its configuration (cluster.join). The same as `node run`.
    Join(NodeRunArgs),
    /// Take a node out of service: it gives its actors away and does not lead; it keeps its vote.
    Drain {
        /// The node, such as 3.
        node: NodeId,
        /// Who asks.
        #[command(flatten)]
        asker: Asker,
    },
    /// Put a drained node back into service.
    Undrain {
        /// The node, such as 3.
        node: NodeId,
        /// Who asks.
        #[command(flatten)]
        asker: Asker,
    },
    /// Remove a node for good: drain it, take its vote, let it go. Its id is never used again.
    Remove {
        /// The node, such as 3.
        node: NodeId,
        /// Who asks.
        #[command(flatten)]
        asker: Asker,
    },
    /// Wait until a new node votes, then remove an old one.
    Replace {
        /// The old node, such as 3.
        old: NodeId,
        /// The new one, started with cluster.join: its id, or where it listens.
        #[arg(long, value_name = "ID|HOST:PORT")]
        with: String,
        /// Who asks.
        #[command(flatten)]
        asker: Asker,
    },
    /// Back up the data folder of a stopped node: state, decision log and raw readings.
    Backup {
        /// The node's data folder (node.data_dir).
        #[arg(long, value_name = "DIR")]
        data_dir: PathBuf,
        /// Where the backup goes: a folder that is not there yet.
        #[arg(long, value_name = "DIR")]
        to: PathBuf,
    },
    /// Make a backup the data folder of the first node of a new cluster. Everything is checked against its Merkle root.
    Restore {
        /// The backup.
        #[arg(long, value_name = "DIR")]
        from: PathBuf,
        /// The data folder to write: one that is not there yet.
        #[arg(long, value_name = "DIR")]
        data_dir: PathBuf,
        /// The node that it will be.
        #[arg(long, value_name = "ID")]
        node_id: NodeId,
        /// Where that node will listen, HOST:PORT.
        #[arg(long)]
        address: String,
        /// The id of the new cluster; by default a random one.
        #[arg(long, value_name = "ID")]
        cluster_id: Option<ClusterId>,
    },
    /// Hand leadership to another voter.
    TransferLeader {
        /// To which node; by default one that is well and not drained.
        node: Option<NodeId>,
        /// Who asks.
        #[command(flatten)]
        asker: Asker,
    },
}

/// `portcullis lane`.
#[derive(Debug, Clone, Subcommand)]
pub enum LaneCommand {
    /// All lanes.
    Ls {
        /// Of this terminal only.
        #[arg(long)]
        terminal: Option<String>,
    },
    /// Let a lane take containers.
    Open {
        /// The lane, such as 3.
        lane: LaneId,
        /// Who asks.
        #[command(flatten)]
        asker: Asker,
    },
    /// Let a lane take no further containers; what is on it is finished.
    Close {
        /// The lane, such as 3.
        lane: LaneId,
        /// Who asks.
        #[command(flatten)]
        asker: Asker,
    },
    /// Act as a lane's radiation portal: play a recorded N42 pass of a container that stands before it.
    Replay(ReplayArgs),
}

/// `portcullis lane replay`.
#[derive(Debug, Clone, Args)]
pub struct ReplayArgs {
    /// The lane, such as 9. It must be open and have a radiation sensor in its definition.
    #[arg(long)]
    pub lane: LaneId,
    /// The announced container that stands before it.
    #[arg(long, value_name = "ID")]
    pub container: String,
    /// The recorded pass, N42.42 of 2006 or 2012.
    #[arg(long, value_name = "FILE")]
    pub n42: PathBuf,
    /// A recorded background, N42.42; without one the background is taken from the pass, or from the file's own.
    #[arg(long, value_name = "FILE")]
    pub background: Option<PathBuf>,
    /// Send as fast as the lane takes the samples, instead of with their own timing on the port's clock.
    #[arg(long)]
    pub fast: bool,
    /// The device to act as; by default the lane's radiation sensor.
    #[arg(long, value_name = "ID")]
    pub device: Option<String>,
    /// Its private key: PKCS#8 PEM, or a 32-byte seed in hex; by default the one that the demo wrote.
    #[arg(long, value_name = "FILE", env = "PORTCULLIS_DEVICE_KEY")]
    pub key: Option<PathBuf>,
    /// Give up when nothing happens for so long.
    #[arg(long, value_name = "TIME", default_value = "60s", value_parser = parse_span)]
    pub patience: Duration,
}

/// `portcullis inspection`.
#[derive(Debug, Clone, Subcommand)]
pub enum InspectionCommand {
    /// Open inspections, by number.
    Ls {
        /// At this stage, such as queued or under_review. Repeatable.
        #[arg(long, value_delimiter = ',')]
        stage: Vec<String>,
        /// Container id starts so.
        #[arg(long, value_name = "PREFIX")]
        equipment: Option<String>,
        /// At this terminal.
        #[arg(long)]
        terminal: Option<String>,
        /// At most so many; 0 for all.
        #[arg(long, default_value_t = 100)]
        limit: usize,
    },
    /// One inspection: timeline, evidence, the sum of weights, conclusion and why.
    Show {
        /// Its number, or its container while it is in the port.
        #[arg(value_name = "ID|CONTAINER")]
        target: String,
        /// Take the target for a container id, even if it is all digits.
        #[arg(long)]
        container: bool,
    },
    /// Record an officer's decision about a container that is under review or held.
    Adjudicate {
        /// The inspection's number, or its container.
        #[arg(value_name = "ID|CONTAINER")]
        target: String,
        /// What is decided.
        ruling: Ruling,
        /// Why, in the officer's words.
        #[arg(long)]
        reason: String,
        /// Who asks; the principal is the officer.
        #[command(flatten)]
        asker: Asker,
    },
    /// Report that a container left through the gate.
    Depart {
        /// The container.
        container: String,
        /// Who asks.
        #[command(flatten)]
        asker: Asker,
    },
}

/// What an officer decides.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Ruling {
    /// Let it go.
    Release,
    /// Keep it for an exam.
    Hold,
    /// Take it.
    Seize,
}

/// `portcullis events`.
#[derive(Debug, Clone, Subcommand)]
pub enum EventsCommand {
    /// Follow the events, each with a token to go on from. A broken stream goes on through another node.
    Tail(TailArgs),
}

/// `portcullis events tail`.
#[derive(Debug, Clone, Args)]
pub struct TailArgs {
    /// Go on after this token, or start at this entry of the log or at this moment of UTC, such as 2026-03-01T12:00Z.
    /// Without it: from now on.
    #[arg(long, value_name = "TOKEN|ENTRY|TIME")]
    pub from: Option<String>,
    /// About this inspection. Repeatable.
    #[arg(long, value_name = "ID")]
    pub inspection: Vec<portcullis_domain::id::InspectionNo>,
    /// About this container. Repeatable.
    #[arg(long, value_name = "ID")]
    pub equipment: Vec<String>,
    /// About this lane. Repeatable.
    #[arg(long, value_name = "ID")]
    pub lane: Vec<LaneId>,
    /// Of this kind, such as concluded. Repeatable.
    #[arg(long)]
    pub kind: Vec<String>,
    /// With false: end at the present head of the log, and start at its beginning unless --from says otherwise.
    #[arg(
        long,
        default_value_t = true,
        num_args = 0..=1,
        default_missing_value = "true",
        action = clap::ArgAction::Set,
        default_value_if("no_follow", ArgPredicate::IsPresent, "false")
    )]
    pub follow: bool,
    /// The same as --follow=false.
    #[arg(long, conflicts_with = "follow")]
    pub no_follow: bool,
    /// End after so many events.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    pub max: Option<u64>,
}

/// `portcullis log`.
#[derive(Debug, Clone, Subcommand)]
pub enum LogCommand {
    /// How long the log is, and its Merkle root.
    Head,
    /// One entry: its bytes, their hash computed here and compared, and what they say.
    Entry {
        /// Its position, from 0.
        entry: u64,
    },
}

/// `portcullis announce`.
#[derive(Debug, Clone, Args)]
pub struct AnnounceArgs {
    /// A WCO Data Model declaration, XML. Every container it names is announced.
    #[arg(long, value_name = "FILE", required_unless_present = "equipment")]
    pub declaration: Option<PathBuf>,
    /// The container: one of the declaration's, or the one it does not name, or all there is.
    #[arg(long, value_name = "ID")]
    pub equipment: Option<String>,
    /// What is inside, in words, if there is no declaration. Repeatable.
    #[arg(long, conflicts_with = "declaration")]
    pub goods: Vec<String>,
    /// The terminal.
    #[arg(long, default_value = "T1")]
    pub terminal: String,
    /// When it must leave: 2026-03-01T12:00:00Z, or +90m from now, on the port's clock.
    #[arg(long, value_name = "TIME", allow_hyphen_values = true)]
    pub due: Option<String>,
    /// 0 is ordinary; higher goes first.
    #[arg(long, default_value_t = 0)]
    pub priority: u8,
    /// Who asks. Without a request id, the same file and options are the same request.
    #[command(flatten)]
    pub asker: Asker,
}

/// Who asks for a write.
#[derive(Debug, Clone, Args)]
pub struct Asker {
    /// The system that sends.
    #[arg(long, env = "PORTCULLIS_SOURCE", default_value = "cli")]
    pub source: String,
    /// What makes the request unique; the same id and body get the first answer again.
    #[arg(long, value_name = "ID")]
    pub request_id: Option<String>,
    /// Who acts; by default the user of this machine.
    #[arg(long, env = "PORTCULLIS_PRINCIPAL")]
    pub principal: Option<String>,
}

/// `portcullis config`.
#[derive(Debug, Clone, Subcommand)]
pub enum ConfigCommand {
    /// Check a configuration, and print every key with its value and where it comes from.
    Check {
        /// The file, TOML.
        #[arg(short, long, value_name = "FILE")]
        config: PathBuf,
        /// Sets one key over file and environment. Repeatable.
        #[arg(long, value_name = "KEY=VALUE")]
        set: Vec<String>,
    },
}

/// `portcullis errors`.
#[derive(Debug, Clone, Args)]
pub struct ErrorsArgs {
    /// Only this one, such as WRONG_STAGE.
    pub code: Option<String>,
}

fn parse_member(text: &str) -> Result<(NodeId, String), String> {
    let member = text.split_once('=').and_then(|(node, address)| {
        let node: NodeId = node.trim().parse().ok()?;
        (address.contains(':') && node != NodeId::NONE).then(|| (node, address.trim().to_owned()))
    });
    member.ok_or_else(|| "expected a node's id and where it listens, such as 1=127.0.0.1:7401".to_owned())
}

fn parse_speed(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(speed) if speed > 0.0 && speed <= 10_000.0 => Ok(speed),
        _ => Err("expected a number above 0 and at most 10000".to_owned()),
    }
}
