//! The `portcullis` binary.

use std::process::ExitCode;

use portcullis::cli::{self, Cli, ClientCommand, ClusterCommand, Command, NodeCommand, NodeRunArgs};
use portcullis::{bench, demo, process, telemetry};
use portcullis_config::NodeConfig;
use tokio::io::AsyncReadExt;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    let cli = Cli::read();
    let format = cli.global.format();
    let result = match cli.command {
        // A node, for all that it is typed under `cluster`.
        Command::Client(ClientCommand::Cluster(ClusterCommand::Join(args))) => join(&args).map(|()| ExitCode::SUCCESS),
        Command::Client(command) => {
            telemetry::start_quiet();
            return cli::run_client_command(&cli.global, command);
        }
        Command::Node(NodeCommand::Run(args)) => run_node(&args).map(|()| ExitCode::SUCCESS),
        Command::Demo(args) => {
            telemetry::start_quiet();
            on_all_cores(demo::run(args, format))
        }
        Command::Bench(command) => {
            telemetry::start_quiet();
            bench::run(&cli.global, command)
        }
    };
    result.unwrap_or_else(|error| {
        eprintln!("portcullis: {error:#}");
        ExitCode::FAILURE
    })
}

fn configuration(args: &NodeRunArgs) -> anyhow::Result<NodeConfig> {
    Ok(NodeConfig::load(
        Some(&args.config),
        portcullis_config::environment(),
        &args.set,
    )?)
}

fn join(args: &NodeRunArgs) -> anyhow::Result<()> {
    let config = configuration(args)?;
    if config.cluster.join.is_empty() {
        anyhow::bail!(
            "cluster.join: name at least one node of the running cluster, such as --set \
             'cluster.join=[\"127.0.0.1:7401\"]'"
        );
    }
    run(config, args)
}

fn run_node(args: &NodeRunArgs) -> anyhow::Result<()> {
    run(configuration(args)?, args)
}

fn run(config: NodeConfig, args: &NodeRunArgs) -> anyhow::Result<()> {
    telemetry::start(&config.log)?;
    let stop_with_stdin = args.stop_with_stdin;
    on_all_cores(process::run(config, async move {
        if stop_with_stdin {
            stdin_ended().await;
        } else {
            std::future::pending::<()>().await;
        }
    }))
}

fn on_all_cores<T>(work: impl Future<Output = anyhow::Result<T>>) -> anyhow::Result<T> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let result = runtime.block_on(work);
    // Reading standard input blocks a thread for good; nothing else is left by now.
    runtime.shutdown_background();
    result
}

/// Resolves when standard input ends, as it does when the process that started this one is gone.
async fn stdin_ended() {
    let mut sink = [0; 64];
    let mut stdin = tokio::io::stdin();
    while stdin.read(&mut sink).await.is_ok_and(|count| count > 0) {}
}
