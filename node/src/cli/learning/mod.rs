//! Commands that learn from labelled data and say how good what was learned is. They ask no cluster.

mod evaluate;
mod figures;
mod policy;
mod risk;

use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};
use portcullis_domain::evidence::ThreatFamily;
use portcullis_simulator::Outfit;

use super::failure::{Exit, Failure};
use super::output::Output;

pub(super) use policy::{learn, read as read_policy};
pub use risk::RiskTrainArgs;
pub(super) use risk::{read as read_model, train as train_risk};

/// `portcullis evaluate`.
#[derive(Debug, Clone, Subcommand)]
pub enum EvaluateCommand {
    /// A policy in a world of sensors: what it misses, what it bothers people with, and whether its claims are true.
    Fusion(EvaluateFusionArgs),
    /// A policy on simulated lanes with every detector, from raw readings to decisions.
    Lanes(EvaluateLanesArgs),
    /// A manifest risk model, fitted to earlier declarations, on later ones.
    Risk(EvaluateRiskArgs),
    /// What radiation spectra of a few seconds tell about what is inside.
    Radiation(EvaluateRadiationArgs),
}

/// `portcullis evaluate fusion`.
#[derive(Debug, Clone, Args)]
pub struct EvaluateFusionArgs {
    /// The world, TOML; cluster-config/worlds has examples.
    #[arg(long, value_name = "FILE")]
    pub world: PathBuf,
    /// How many containers are drawn.
    #[arg(long, default_value_t = 200_000, value_parser = clap::value_parser!(u64).range(1..))]
    pub containers: u64,
    /// What they are drawn from.
    #[arg(long, default_value_t = 7)]
    pub seed: u64,
    /// The policy, TOML; by default one that is learned in the same world, from other containers.
    #[arg(long, value_name = "FILE")]
    pub policy: Option<PathBuf>,
}

/// `portcullis evaluate lanes`.
#[derive(Debug, Clone, Args)]
pub struct EvaluateLanesArgs {
    /// How many containers pass; each takes some tenths of a second of the processor.
    #[arg(long, default_value_t = 1_000, value_parser = clap::value_parser!(u32).range(1..))]
    pub containers: u32,
    /// What they are drawn from.
    #[arg(long, default_value_t = 7)]
    pub seed: u64,
    /// The policy, TOML; by default the one that ships for lanes with every detector.
    #[arg(long, value_name = "FILE")]
    pub policy: Option<PathBuf>,
    /// A manifest risk model that the policy names, unless it ships; repeat it for several.
    #[arg(long = "model", value_name = "FILE")]
    pub models: Vec<PathBuf>,
    /// Which detectors the lanes have.
    #[arg(long, value_enum, default_value_t)]
    pub sensors: Sensors,
}

/// Which detectors simulated lanes have.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub enum Sensors {
    /// Every kind: X-ray, radiation spectra, magnetometers, NQR, trace, weighbridge, camera.
    #[default]
    All,
    /// A radiation portal that counts, a weighbridge, a camera: less work for the machine.
    Basic,
}

impl Sensors {
    /// What the simulator calls it.
    pub(crate) fn outfit(self) -> Outfit {
        match self {
            Self::All => Outfit::Full,
            Self::Basic => Outfit::Basic,
        }
    }
}

/// `portcullis evaluate risk`.
#[derive(Debug, Clone, Args)]
pub struct EvaluateRiskArgs {
    /// Declarations with outcomes that the model is fitted to, CSV in time order.
    #[arg(long, value_name = "CSV")]
    pub train: PathBuf,
    /// Later declarations that it is measured on.
    #[arg(long, value_name = "CSV")]
    pub test: PathBuf,
    /// Declarations between the two to choose the model with; by default the last part of those it is fitted to.
    #[arg(long, value_name = "CSV")]
    pub valid: Option<PathBuf>,
    /// What random choices are drawn from.
    #[arg(long, default_value_t = 7)]
    pub seed: u64,
}

/// `portcullis evaluate radiation`.
#[derive(Debug, Clone, Args)]
pub struct EvaluateRadiationArgs {
    /// Spectra of known sources, CSV: name, live_time_s, and counts by channel.
    #[arg(long, value_name = "CSV")]
    pub spectra: PathBuf,
    /// Length of a look, seconds.
    #[arg(long, default_value_t = 5.0)]
    pub seconds: f64,
    /// Looks at each source.
    #[arg(long, default_value_t = 200, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    pub trials: u32,
    /// What the counts are drawn from.
    #[arg(long, default_value_t = 7)]
    pub seed: u64,
}

/// `portcullis policy learn`.
#[derive(Debug, Clone, Args)]
pub struct PolicyLearnArgs {
    /// The world to draw labelled containers from, TOML; cluster-config/worlds has examples.
    #[arg(long, value_name = "FILE", required_unless_present_any = ["outcomes", "lanes"])]
    pub world: Option<PathBuf>,
    /// What inspections found, JSON Lines with one container each (docs/evaluate.md), instead of a world.
    #[arg(long, value_name = "FILE", conflicts_with = "world")]
    pub outcomes: Option<PathBuf>,
    /// The raw readings of simulated lanes with every detector, instead of a world.
    #[arg(long, conflicts_with_all = ["world", "outcomes"])]
    pub lanes: bool,
    /// The policy, TOML, whose rules families keep that have too few outcomes; its rules about findings, ages, passes and
    /// required sensors are kept too. By default the first policy.
    #[arg(long, value_name = "FILE")]
    pub base: Option<PathBuf>,
    /// A manifest risk model for a family before simulated lanes, in place of rules; repeat it for several.
    #[arg(long = "model", value_name = "FAMILY=FILE", requires = "lanes", value_parser = risk::family_and_file)]
    pub models: Vec<(ThreatFamily, PathBuf)>,
    /// How many containers are drawn; by default 200,000 of a world, and 4,000 before lanes.
    #[arg(long, value_parser = clap::value_parser!(u64).range(1..))]
    pub containers: Option<u64>,
    /// Name of the policy; by default that of the world or of the file.
    #[arg(long)]
    pub name: Option<String>,
    /// Innocent containers that may be reviewed, percent.
    #[arg(long, value_name = "PERCENT", default_value_t = 10.0)]
    pub review: f64,
    /// Innocent containers that may be examined, percent.
    #[arg(long, value_name = "PERCENT", default_value_t = 2.0)]
    pub exam: f64,
    /// Where the policy goes; by default to standard output.
    #[arg(long, value_name = "FILE")]
    pub to: Option<PathBuf>,
    /// What random choices are drawn from. Another seed than `evaluate fusion` has, so that a policy is not judged on the
    /// containers that it was learned from.
    #[arg(long, default_value_t = 1)]
    pub seed: u64,
}

pub(super) fn evaluate(output: &mut Output, command: &EvaluateCommand) -> Result<Exit, Failure> {
    match command {
        EvaluateCommand::Fusion(args) => evaluate::fusion(output, args),
        EvaluateCommand::Lanes(args) => evaluate::lanes(output, args),
        EvaluateCommand::Risk(args) => evaluate::risk(output, args),
        EvaluateCommand::Radiation(args) => evaluate::radiation(output, args),
    }
}
