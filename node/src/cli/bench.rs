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
