//! `portcullis policy`: learning, reading and comparing policies, and those of a running cluster. Files need no cluster;
//! what is named by digest is asked of one.

mod drift;
mod held;
mod named;
mod outcomes;
mod shown;

use std::path::PathBuf;

use clap::Subcommand;
use portcullis_domain::drift::ChartKey;

use super::args::{Asker, Global};
use super::client::Cluster;
use super::failure::{Exit, Failure};
use super::learning::{self, PolicyLearnArgs};
use super::output::Output;
use named::Named;

pub(super) use shown::{text_of, value};

/// `portcullis policy`.
#[derive(Debug, Clone, Subcommand)]
pub enum PolicyCommand {
    /// Learn a policy from a world, or from what inspections found.
    Learn(PolicyLearnArgs),
    /// Join a list of exams with the evidence of the cluster: the file that `policy learn --outcomes` reads.
    Outcomes {
        /// The list, JSON Lines: inspection (its number), selection, sampling_probability, content; see docs/evaluate.md.
        #[arg(long, value_name = "FILE")]
        exams: PathBuf,
        /// Where the outcomes go.
        #[arg(long, value_name = "FILE")]
        to: PathBuf,
    },
    /// Make a policy the active one of the cluster: what is concluded from now on is judged by it.
    Activate {
        /// The policy: a TOML file, or the digest of one that the cluster has.
        #[arg(value_name = "FILE|DIGEST")]
        policy: String,
        /// Why; stands in the log.
        #[arg(long, value_name = "TEXT", default_value = "")]
        reason: String,
        /// Who asks.
        #[command(flatten)]
        asker: Asker,
    },
    /// The policies of the cluster, the active one first.
    Ls,
    /// Show what a policy says, and its digest.
    Show {
        /// A TOML file, or the digest of one that the cluster has: 8 of its 64 digits are enough.
        #[arg(value_name = "FILE|DIGEST")]
        policy: String,
    },
    /// Show what differs between two policies.
    Diff {
        /// The one: a TOML file, or a digest.
        #[arg(value_name = "FILE|DIGEST")]
        old: String,
        /// The other.
        #[arg(value_name = "FILE|DIGEST")]
        new: String,
    },
    /// Write a policy of the cluster as a file: TOML, also when piped, unless JSON is asked for.
    Export {
        /// Its digest, 8 to 64 digits.
        digest: String,
        /// Where it goes; by default to standard output.
        #[arg(long, value_name = "FILE")]
        to: Option<PathBuf>,
    },
    /// Whether detectors and containers still are what the active policy was learned from: every drift chart.
    Drift,
    /// Say that what was adrift has been checked: its chart begins anew, and its alarm no longer stands.
    ResetChart {
        /// The chart, as `policy drift` names it: device:ID, declarations, or share:held, examined, unseen or hiding.
        chart: ChartKey,
        /// What was checked, and what was found; stands in the log.
        #[arg(long, value_name = "TEXT")]
        reason: String,
        /// Who asks.
        #[command(flatten)]
        asker: Asker,
    },
}

pub(super) async fn run(global: &Global, output: &mut Output, command: &PolicyCommand) -> Result<Exit, Failure> {
    match command {
        PolicyCommand::Learn(args) => learning::learn(output, args),
        PolicyCommand::Outcomes { exams, to } => outcomes::write(&Cluster::new(global)?, output, exams, to).await,
        PolicyCommand::Activate { policy, reason, asker } => {
            let found = Named::of(policy).find(global).await?;
            held::activate(global, output, &found.policy, reason, asker).await
        }
        PolicyCommand::Ls => held::ls(global, output).await,
        PolicyCommand::Show { policy } => {
            let found = Named::of(policy).find(global).await?;
            shown::show(output, &found)
        }
        PolicyCommand::Diff { old, new } => {
            let (old, new) = (Named::of(old).find(global).await?, Named::of(new).find(global).await?);
            shown::diff(output, &old.policy, &new.policy)
        }
        PolicyCommand::Export { digest, to } => {
            let found = Named::held(digest)?.find(global).await?;
            held::export(global, output, &found.policy, to.as_deref())
        }
        PolicyCommand::Drift => drift::ls(global, output).await,
        PolicyCommand::ResetChart { chart, reason, asker } => drift::reset(global, output, chart, reason, asker).await,
    }
}
