//! `portcullis bench` as it is typed.

use std::ffi::OsString;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Subcommand, ValueEnum};

use super::span::parse_span;

/// `portcullis bench`.
#[derive(Debug, Clone, Subcommand)]
pub enum BenchCommand {
    /// Announcements, one a call, by clients that each wait for the answer.
    Commit(CommitArgs),
    /// Announcements over one stream of batches, so many batches in flight.
    Stream(StreamArgs),
    /// Single inspections by number, from the leader and from a follower.
    Read(ReadArgs),
    /// Kill the leader under load: the time until a write is acknowledged, and whether any acknowledged write is lost.
    Failover(FailoverArgs),
    /// Hand leadership over under load: the longest pause between acknowledged writes, and whether any request failed.
    Handover(HandoverArgs),
    /// Whole inspections through the actors, with simulated devices: from complete evidence to the conclusion.
    Inspect(InspectArgs),
    /// Start nodes on a long history: time until they serve, speed of catching up, memory.
    Restart(RestartArgs),
    /// What gRPC and the disk of this machine can do at most.
    Ceiling(CeilingArgs),
    /// A server that answers with what it is asked; started by the benchmark itself.
    #[command(hide = true)]
    EchoServer {
        /// Where it listens.
        #[arg(long)]
        listen: SocketAddr,
    },
    /// Runs a command that ends when the given process does; started by the benchmark itself.
    #[command(hide = true)]
    Tied {
        /// The process to end with.
        #[arg(long)]
        to: u32,
        /// The command.
        #[arg(required = true, trailing_var_arg = true, allow_hyphen_values = true)]
        command: Vec<OsString>,
    },
}

/// A system to measure beside Portcullis, in the same run and by the same client code.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Beside {
    /// etcd 3.4 or later, as installed on this machine (Debian: apt-get install etcd-server).
    Etcd,
}

/// What holds for every measurement with servers.
#[derive(Debug, Clone, Args)]
pub struct BedArgs {
    /// How many nodes are started, each as a process of its own on loopback.
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..=9))]
    pub nodes: u32,
    /// Where the nodes keep their data; kept at the end. By default a folder for temporary files, removed at the end.
    #[arg(long, value_name = "DIR")]
    pub dir: Option<PathBuf>,
    /// Sets one key over the defaults of every node, such as raft.heartbeat_ms=40. Repeatable.
    #[arg(long, value_name = "KEY=VALUE")]
    pub set: Vec<String>,
    /// Measure this beside Portcullis, in turns.
    #[arg(long, value_enum)]
    pub beside: Option<Beside>,
    /// The etcd program.
    #[arg(long, value_name = "FILE", default_value = "etcd")]
    pub etcd: PathBuf,
    /// Also measure what plain gRPC reaches between two processes.
    #[arg(long)]
    pub ceilings: bool,
}

/// How clients reach the nodes.
#[derive(Debug, Clone, Args)]
pub struct ClientArgs {
    /// HTTP/2 connections, at most one a client; clients are spread over them evenly.
    #[arg(long, default_value_t = 4, value_parser = clap::value_parser!(u32).range(1..=1024))]
    pub connections: u32,
    /// Whom the connections go to.
    #[arg(long, value_enum, default_value_t = Target::Leader)]
    pub target: Target,
}

/// Whom clients speak to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Target {
    /// The leader alone.
    Leader,
    /// All nodes in turn; those that do not lead pass on what they get.
    All,
}

/// How long and how often.
#[derive(Debug, Clone, Args)]
pub struct PaceArgs {
    /// Measured time for each line of the result and each system, in seconds; warming up comes on top.
    #[arg(long, default_value_t = 8.0, value_name = "S", value_parser = parse_seconds)]
    pub seconds: f64,
    /// Parts that this time is split into, in turns with the other system; medians are reported.
    #[arg(long, default_value_t = 4, value_parser = clap::value_parser!(u32).range(1..=100))]
    pub rounds: u32,
    /// Before each part, not measured.
    #[arg(long, default_value = "500ms", value_name = "TIME", value_parser = parse_span)]
    pub warm_up: Duration,
}

/// `portcullis bench commit`.
#[derive(Debug, Clone, Args)]
pub struct CommitArgs {
    /// Where it runs.
    #[command(flatten)]
    pub bed: BedArgs,
    /// How clients reach the nodes.
    #[command(flatten)]
    pub client: ClientArgs,
    /// How long.
    #[command(flatten)]
    pub pace: PaceArgs,
    /// Numbers of clients, one line of the result for each.
    #[arg(long, value_delimiter = ',', default_values_t = [1, 16, 64, 256], value_parser = clap::value_parser!(u32).range(1..=65536))]
    pub clients: Vec<u32>,
    /// Requests a second of all clients together, sent when they are due whether or not answers came; latency counts from
    /// when a request was due. By default each client sends when it has its answer.
    #[arg(long, value_name = "PER_S", value_parser = parse_rate)]
    pub rate: Option<f64>,
    /// Let the nodes run their actors, each announcement then is weighed, which is a second command. By default the nodes
    /// carry none (node.capacity=0), so that one request is one command.
    #[arg(long)]
    pub actors: bool,
}

/// `portcullis bench stream`.
#[derive(Debug, Clone, Args)]
pub struct StreamArgs {
    /// Where it runs.
    #[command(flatten)]
    pub bed: BedArgs,
    /// How long.
    #[command(flatten)]
    pub pace: PaceArgs,
    /// Batches in flight.
    #[arg(long, default_value_t = 256, value_parser = clap::value_parser!(u32).range(1..=65536))]
    pub window: u32,
    /// Commands in a batch.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=1024))]
    pub batch: u32,
    /// Streams, each on a connection of its own; the window is divided among them.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=64))]
    pub streams: u32,
    /// Let the nodes run their actors.
    #[arg(long)]
    pub actors: bool,
}

/// What a read must have seen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Seen {
    /// What the answering node has applied.
    Local,
    /// Every write acknowledged before; the leader vouches for it by its lease.
    Lease,
    /// Every write acknowledged before; a quorum confirms it.
    Quorum,
}

impl Seen {
    /// The word for it.
    pub fn word(self) -> &'static str {
        match self {
            Self::Local => "local",
            Self::Lease => "lease",
            Self::Quorum => "quorum",
        }
    }
}

/// `portcullis bench read`.
#[derive(Debug, Clone, Args)]
pub struct ReadArgs {
    /// Where it runs.
    #[command(flatten)]
    pub bed: BedArgs,
    /// How long.
    #[command(flatten)]
    pub pace: PaceArgs,
    /// What reads must have seen, one pair of lines of the result for each: leader and follower.
    #[arg(long, value_enum, value_delimiter = ',', default_values_t = [Seen::Local, Seen::Lease, Seen::Quorum])]
    pub consistency: Vec<Seen>,
    /// Numbers of clients.
    #[arg(long, value_delimiter = ',', default_values_t = [1, 64], value_parser = clap::value_parser!(u32).range(1..=65536))]
    pub clients: Vec<u32>,
    /// HTTP/2 connections, at most one a client, all to the node that is asked.
    #[arg(long, default_value_t = 4, value_parser = clap::value_parser!(u32).range(1..=1024))]
    pub connections: u32,
    /// Requests a second of all clients together, whether or not answers came. By default each client waits for its answer.
    #[arg(long, value_name = "PER_S", value_parser = parse_rate)]
    pub rate: Option<f64>,
    /// How many inspections there are to be read.
    #[arg(long, default_value_t = 1000, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    pub known: u32,
}

/// `portcullis bench failover`.
///
/// Measured is the time from the SIGKILL of the leader's process to the first acknowledged write whose answered try began
/// after the kill; the request itself may be older. Writers repeat a request, under the same id and at the next node, when a
/// try fails or is not answered in time. The killed node is started again and has to catch up before the next kill.
#[derive(Debug, Clone, Args)]
pub struct FailoverArgs {
    /// Where it runs.
    #[command(flatten)]
    pub bed: BedArgs,
    /// How often the leader is killed.
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    pub kills: u32,
    /// Clients that write all the time, at all nodes.
    #[arg(long, default_value_t = 16, value_parser = clap::value_parser!(u32).range(1..=1024))]
    pub writers: u32,
    /// How long each waits after an acknowledged write.
    #[arg(long, value_name = "TIME", default_value = "10ms", value_parser = parse_span)]
    pub pause: Duration,
    /// No answer after this time is a failed try.
    #[arg(long, value_name = "TIME", default_value = "100ms", value_parser = parse_span)]
    pub try_within: Duration,
    /// Give etcd our heartbeat and our earliest election, as near as its rule allows (an election takes at least five
    /// heartbeats). By default it keeps its own: 100 and 1000 ms.
    #[arg(long, requires = "beside")]
    pub same_timing: bool,
}

/// `portcullis bench handover`.
#[derive(Debug, Clone, Args)]
pub struct HandoverArgs {
    /// Where it runs.
    #[command(flatten)]
    pub bed: BedArgs,
    /// How often leadership is handed over.
    #[arg(long, default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    pub rounds: u32,
    /// Clients that write all the time, at all nodes.
    #[arg(long, default_value_t = 16, value_parser = clap::value_parser!(u32).range(1..=1024))]
    pub writers: u32,
}

/// `portcullis bench inspect`.
#[derive(Debug, Clone, Args)]
pub struct InspectArgs {
    /// How many nodes.
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..=9))]
    pub nodes: u32,
    /// Where the nodes keep their data; kept at the end.
    #[arg(long, value_name = "DIR")]
    pub dir: Option<PathBuf>,
    /// Sets one key over the defaults of every node. Repeatable.
    #[arg(long, value_name = "KEY=VALUE")]
    pub set: Vec<String>,
    /// Containers announced a second, whether or not those before are concluded.
    #[arg(long, default_value_t = 100.0, value_name = "PER_S", value_parser = parse_rate)]
    pub rate: f64,
    /// Measured time.
    #[arg(long, default_value_t = 30.0, value_name = "S", value_parser = parse_seconds)]
    pub seconds: f64,
    /// Kill a node that does not lead in the middle, and compare the time from 10 s after that on with the time before.
    #[arg(long)]
    pub node_down: bool,
    /// Lanes, each with a controller and its sensors.
    #[arg(long, default_value_t = 32, value_parser = clap::value_parser!(u32).range(1..=256))]
    pub lanes: u32,
    /// Port seconds that pass in a real one; by default so many that the lanes are busy two thirds of the time.
    #[arg(long, value_name = "FACTOR", value_parser = parse_rate)]
    pub speed: Option<f64>,
    /// What cargo and noise are drawn from.
    #[arg(long, default_value_t = 7)]
    pub seed: u64,
}

/// `portcullis bench restart`.
#[derive(Debug, Clone, Args)]
pub struct RestartArgs {
    /// Where it runs.
    #[command(flatten)]
    pub bed: BedArgs,
    /// Inspections in the history, all of them closed.
    #[arg(long, default_value_t = 1_000_000, value_parser = clap::value_parser!(u64).range(1..=20_000_000))]
    pub closed: u64,
    /// Give up after so many seconds.
    #[arg(long, default_value_t = 300, value_name = "S")]
    pub within_s: u64,
}

/// `portcullis bench ceiling`.
#[derive(Debug, Clone, Args)]
pub struct CeilingArgs {
    /// Where it runs.
    #[arg(long, value_name = "DIR")]
    pub dir: Option<PathBuf>,
    /// How long.
    #[command(flatten)]
    pub pace: PaceArgs,
    /// Numbers of clients, one line of the result for each.
    #[arg(long, value_delimiter = ',', default_values_t = [1, 64, 256], value_parser = clap::value_parser!(u32).range(1..=65536))]
    pub clients: Vec<u32>,
    /// HTTP/2 connections, at most one a client.
    #[arg(long, default_value_t = 4, value_parser = clap::value_parser!(u32).range(1..=1024))]
    pub connections: u32,
}

fn parse_seconds(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(seconds) if (0.1..=3600.0).contains(&seconds) => Ok(seconds),
        _ => Err("expected seconds, from 0.1 to 3600".to_owned()),
    }
}

fn parse_rate(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(rate) if (0.1..=10_000_000.0).contains(&rate) => Ok(rate),
        _ => Err("expected requests a second, from 0.1 to 10000000".to_owned()),
    }
}
