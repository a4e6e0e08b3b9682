//! The command line: what is typed, asked of a running cluster, and shown.
//!
//! [`Cli`] is what is typed. `demo` and `node run` are for whoever starts processes; everything else goes to
//! [`run_client_command`], which speaks the public API like any other client and has no way in of its own. Data goes to
//! stdout, as tables for people or JSON for programs; everything else goes to stderr. How a command ends is an [`Exit`].

mod announce;
mod args;
mod asker;
mod backup;
mod bench;
mod case_file;
mod client;
mod cluster;
mod config;
mod events;
mod failure;
mod fault_spec;
mod inspection;
mod json;
mod lane;
mod learning;
mod log;
mod members;
mod output;
mod policy;
mod reasons;
mod replay;
mod risk;
mod span;
mod utc;
mod words;

use std::io::{self, IsTerminal};
use std::process::ExitCode;

use clap::parser::ValueSource;
use clap::{CommandFactory as _, FromArgMatches as _};

pub use args::{
    AnnounceArgs, Asker, Cli, ClientCommand, ClusterCommand, Command, ConfigCommand, DemoArgs, ErrorsArgs,
    EventsCommand, Format, Global, InspectionCommand, LaneCommand, LogCommand, NodeCommand, NodeRunArgs, ReplayArgs,
    Ruling, TailArgs,
};
pub use bench::{
    BedArgs, BenchCommand, Beside, CeilingArgs, ClientArgs, CommitArgs, FailoverArgs, HandoverArgs, InspectArgs,
    PaceArgs, ReadArgs, RestartArgs, Seen, StreamArgs, Target,
};
pub use failure::Exit;
pub use fault_spec::{FaultKind, FaultSpec};
pub use learning::{
    EvaluateCommand, EvaluateFusionArgs, EvaluateLanesArgs, EvaluateRadiationArgs, EvaluateRiskArgs, PolicyLearnArgs,
    RiskTrainArgs, Sensors,
};

use client::Cluster;
use failure::Failure;
use output::{Output, remark};
pub(crate) use output::{facts, table};
pub use policy::PolicyCommand;
pub use risk::RiskCommand;

impl Cli {
    /// Reads the command line. Ends the process with help, version or a usage error where that is what it asks for.
    pub fn read() -> Self {
        Self::of(Self::command().get_matches()).unwrap_or_else(|error| error.exit())
    }

    fn of(matches: clap::ArgMatches) -> Result<Self, clap::Error> {
        let given = matches.value_source("endpoints") == Some(ValueSource::CommandLine);
        let mut cli = Self::from_arg_matches(&matches)?;
        cli.global.endpoints_given = given;
        Ok(cli)
    }
}

impl Global {
    /// The form of the output: the one asked for, else tables on a terminal and JSON elsewhere.
    pub fn format(&self) -> Format {
        self.output.unwrap_or_else(|| output::usual(io::stdout().is_terminal()))
    }
}

/// Prints one document to stdout, in the form asked for.
pub(crate) fn print_document(
    global: &Global,
    json: impl FnOnce() -> serde_json::Value,
    text: impl FnOnce(Option<u16>) -> String,
) -> anyhow::Result<()> {
    Output::stdout(global.output)
        .document(json, text)
        .map_err(|failure| anyhow::anyhow!("{failure}"))
}

/// Runs a command that needs no node or demo of its own, and says on stderr why if it fails.
pub fn run_client_command(global: &Global, command: ClientCommand) -> ExitCode {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let result = runtime
        .map_err(|error| Failure::new(Exit::Error, format!("cannot start: {error}")))
        .and_then(|runtime| runtime.block_on(Box::pin(run(global, command))));
    match result {
        Ok(exit) => exit.into(),
        Err(failure) => {
            if !failure.what.is_empty() {
                remark(failure.to_string());
            }
            failure.exit.into()
        }
    }
}

async fn run(global: &Global, command: ClientCommand) -> Result<Exit, Failure> {
    let output = &mut Output::stdout(global.output);
    // These ask nobody, so that a wrong endpoint is none of their business.
    match &command {
        ClientCommand::Config(ConfigCommand::Check { config, set }) => return config::check(output, config, set),
        ClientCommand::Cluster(ClusterCommand::Backup { data_dir, to }) => {
            return backup::make(output, data_dir, to).await;
        }
        ClientCommand::Cluster(ClusterCommand::Restore {
            from,
            data_dir,
            node_id,
            address,
            cluster_id,
        }) => return backup::restore(output, from, data_dir, *node_id, address, *cluster_id),
        ClientCommand::Errors(args) => return reasons::list(output, args.code.as_deref()),
        ClientCommand::Evaluate(command) => return learning::evaluate(output, command),
        // Asks a cluster only for what is not in a file.
        ClientCommand::Policy(command) => return Box::pin(policy::run(global, output, command)).await,
        ClientCommand::Risk(command) => return Box::pin(risk::run(global, output, command)).await,
        _ => {}
    }
    let cluster = &Cluster::new(global)?;
    match command {
        ClientCommand::Cluster(command) => members::run(cluster, output, command).await,
        ClientCommand::Lane(command) => run_lane(cluster, output, command).await,
        ClientCommand::Inspection(command) => run_inspection(cluster, output, command).await,
        ClientCommand::Events(EventsCommand::Tail(args)) => events::tail(cluster, output, args).await,
        ClientCommand::Log(LogCommand::Head) => log::head(cluster, output).await,
        ClientCommand::Log(LogCommand::Entry { entry }) => log::entry(cluster, output, entry).await,
        ClientCommand::Announce(args) => announce::announce(cluster, output, args).await,
        ClientCommand::Config(_)
        | ClientCommand::Errors(_)
        | ClientCommand::Evaluate(_)
        | ClientCommand::Policy(_)
        | ClientCommand::Risk(_) => Ok(Exit::Ok),
    }
}

async fn run_lane(cluster: &Cluster, output: &mut Output, command: LaneCommand) -> Result<Exit, Failure> {
    match command {
        LaneCommand::Ls { terminal } => lane::ls(cluster, output, terminal).await,
        LaneCommand::Open { lane, asker } => lane::set_open(cluster, output, lane, true, &asker).await,
        LaneCommand::Close { lane, asker } => lane::set_open(cluster, output, lane, false, &asker).await,
        LaneCommand::Replay(args) => Box::pin(replay::replay(cluster, output, args)).await,
    }
}

async fn run_inspection(cluster: &Cluster, output: &mut Output, command: InspectionCommand) -> Result<Exit, Failure> {
    match command {
        InspectionCommand::Ls {
            stage,
            equipment,
            terminal,
            limit,
        } => {
            let wanted = inspection::Wanted {
                stages: stage,
                equipment,
                terminal,
                limit,
            };
            inspection::ls(cluster, output, wanted).await
        }
        InspectionCommand::Show { target, container } => {
            inspection::show(cluster, output, inspection::target(&target, container)?).await
        }
        InspectionCommand::Adjudicate {
            target,
            ruling,
            reason,
            asker,
        } => {
            let target = inspection::target(&target, false)?;
            inspection::adjudicate(cluster, output, target, ruling, reason, &asker).await
        }
        InspectionCommand::Depart { container, asker } => inspection::depart(cluster, output, &container, &asker).await,
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn parse(line: &str) -> Result<Cli, clap::Error> {
        Cli::of(Cli::command().try_get_matches_from(line.split(' '))?)
    }

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn the_demo_has_its_defaults_and_takes_faults() {
        let Command::Demo(demo) = parse("portcullis demo").unwrap().command else {
            panic!("it is the demo")
        };
        assert_eq!(
            (demo.nodes, demo.lanes, demo.containers, demo.seed, demo.port),
            (3, 8, None, 7, 7401)
        );
        let line = "portcullis demo --lanes 8 --containers 500 --seed 7 --until-done -o json --fault kill-leader@40 \
                    --fault pause-lane-host@60";
        let cli = parse(line).unwrap();
        assert_eq!(cli.global.output, Some(Format::Json));
        let Command::Demo(demo) = cli.command else {
            panic!("it is the demo")
        };
        assert_eq!(demo.containers, Some(500));
        assert_eq!(
            demo.faults,
            [
                FaultSpec {
                    kind: FaultKind::KillLeader,
                    at_percent: 40
                },
                FaultSpec {
                    kind: FaultKind::PauseLaneHost,
                    at_percent: 60
                }
            ]
        );
    }

    #[test]
    fn what_cannot_be_is_a_usage_error() {
        for line in [
            "portcullis demo --until-done",
            "portcullis demo --fault kill-everybody@40",
            "portcullis demo --speed 0",
            "portcullis demo --lanes 0",
            "portcullis node run",
            "portcullis inspection adjudicate 7 maybe --reason x",
            "portcullis inspection adjudicate 7 hold",
            "portcullis announce",
            "portcullis announce --declaration a.xml --goods cocoa",
            "portcullis events tail --max 0",
            "portcullis log entry x",
            "portcullis lane open lane-x",
            "portcullis cluster status --timeout never",
            "portcullis cluster remove",
            "portcullis cluster replace 3",
            "portcullis cluster init --members 1",
            "portcullis cluster join",
            "portcullis nothing",
        ] {
            let error = parse(line).expect_err(line);
            assert_eq!(error.exit_code(), 2, "{line}");
        }
    }

    #[test]
    fn global_options_stand_anywhere_and_endpoints_add_up() {
        let cli =
            parse("portcullis cluster status --endpoint a:1,b:2 --endpoint c:3 --timeout 500ms -o table").unwrap();
        assert_eq!(cli.global.endpoints, ["a:1", "b:2", "c:3"]);
        assert_eq!(cli.global.timeout, Duration::from_millis(500));
        assert_eq!(cli.global.format(), Format::Table);
    }

    #[test]
    fn a_running_cluster_is_measured_only_if_it_is_named_on_the_command_line() {
        for (line, given) in [
            ("portcullis bench commit --endpoint a:1", true),
            ("portcullis --endpoint a:1 bench commit", true),
            ("portcullis bench commit", false),
        ] {
            assert_eq!(parse(line).unwrap().global.endpoints_given, given, "{line}");
        }
    }

    #[test]
    fn without_an_endpoint_the_demo_on_this_machine_is_asked() {
        // What the environment of the test says would win.
        if std::env::var_os("PORTCULLIS_ENDPOINT").is_none() {
            let cli = parse("portcullis cluster status").unwrap();
            assert_eq!(
                cli.global.endpoints,
                [
                    "http://127.0.0.1:7401",
                    "http://127.0.0.1:7402",
                    "http://127.0.0.1:7403"
                ]
            );
        }
    }

    #[test]
    fn following_can_be_switched_off_in_two_ways() {
        let follow = |line: &str| {
            let Command::Client(ClientCommand::Events(EventsCommand::Tail(args))) = parse(line).unwrap().command else {
                panic!("it is the tail")
            };
            args.follow && !args.no_follow
        };
        assert!(follow("portcullis events tail"));
        assert!(follow("portcullis events tail --follow"));
        assert!(!follow("portcullis events tail --follow=false"));
        assert!(!follow("portcullis events tail --no-follow"));
    }
}
