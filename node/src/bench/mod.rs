//! `portcullis bench`: measures clusters of real processes on this machine, ours and another beside it, by the same load in
//! the same run. This process is the load; every server is a process of its own.

mod bed;
mod body;
mod ceiling;
mod closed;
mod commit;
mod cpu;
mod disk;
mod etcd;
mod failover;
mod flow;
mod grpc;
mod handover;
mod inspect;
mod ledger;
mod load;
mod machine;
mod read;
mod report;
mod restart;
mod stages;
mod submit;
mod system;
mod tally;
mod tied;
mod writers;

use std::process::ExitCode;

use anyhow::Context;
use tokio::task::LocalSet;

use bed::Bed;
use report::Report;

use crate::cli::{BenchCommand, Exit, Global, print_document};

/// Runs a measurement to its end and prints its result.
///
/// # Errors
/// What kept it from measuring.
pub fn run(global: &Global, command: BenchCommand) -> anyhow::Result<ExitCode> {
    match command {
        BenchCommand::Tied { to, command } => tied::run(to, &command).map(|never| match never {}),
        BenchCommand::EchoServer { listen } => {
            let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
            runtime.block_on(ceiling::serve(listen))?;
            // Reading standard input blocks a thread for good; nothing else is left by now.
            runtime.shutdown_background();
            Ok(ExitCode::SUCCESS)
        }
        command => {
            // One thread: the load competes with the servers for cores.
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .context("starting")?;
            runtime.block_on(LocalSet::new().run_until(measure(global, command)))
        }
    }
}

async fn measure(global: &Global, command: BenchCommand) -> anyhow::Result<ExitCode> {
    let dir = match &command {
        BenchCommand::Commit(args) => args.bed.dir.as_deref(),
        BenchCommand::Stream(args) => args.bed.dir.as_deref(),
        BenchCommand::Read(args) => args.bed.dir.as_deref(),
        BenchCommand::Failover(args) => args.bed.dir.as_deref(),
        BenchCommand::Handover(args) => args.bed.dir.as_deref(),
        BenchCommand::Restart(args) => args.bed.dir.as_deref(),
        BenchCommand::Inspect(args) => args.dir.as_deref(),
        BenchCommand::Ceiling(args) => args.dir.as_deref(),
        BenchCommand::EchoServer { .. } | BenchCommand::Tied { .. } => None,
    };
    let asked_to_stop = crate::signal::asked_to_stop();
    let mut bed = Bed::make(dir)?;
    let outcome = tokio::select! {
        outcome = Box::pin(on(&mut bed, global, &command)) => Some(outcome),
        () = asked_to_stop => None,
    };
    bed.end().await;
    let Some(outcome) = outcome else {
        return Ok(Exit::Interrupted.into());
    };
    let report = outcome?;
    print_document(global, || report.json(), |width| report.text(width))?;
    for wrong in &report.wrong {
        eprintln!("portcullis: {wrong}");
    }
    Ok(if report.wrong.is_empty() {
        Exit::Ok
    } else {
        Exit::VerificationFailed
    }
    .into())
}

async fn on(bed: &mut Bed, global: &Global, command: &BenchCommand) -> anyhow::Result<Report> {
    match command {
        BenchCommand::Commit(args) => {
            let mut report = commit::run(bed, global, args).await?;
            if args.bed.ceilings {
                let rows = ceiling::rows(bed, &args.clients, args.client.connections, &args.pace).await?;
                report.rows.push(rows);
            }
            Ok(report)
        }
        BenchCommand::Stream(args) => {
            let mut report = submit::run(bed, global, args).await?;
            if args.bed.ceilings {
                let rows = ceiling::rows(bed, &[args.window], args.streams, &args.pace).await?;
                report.rows.push(rows);
            }
            Ok(report)
        }
        BenchCommand::Read(args) => read::run(bed, global, args).await,
        BenchCommand::Failover(args) => failover::run(bed, global, args).await,
        BenchCommand::Handover(args) => handover::run(bed, global, args).await,
        BenchCommand::Restart(args) => restart::run(bed, global, args).await,
        BenchCommand::Inspect(args) => inspect::run(bed, global, args).await,
        BenchCommand::Ceiling(args) => ceiling::run(bed, args).await,
        BenchCommand::EchoServer { .. } | BenchCommand::Tied { .. } => unreachable!("they measure nothing"),
    }
}
