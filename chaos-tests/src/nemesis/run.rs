//! The run: load, faults, proof, heal, proof, service again, judgement; and the next step.

use std::fs::File;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Context;
use rand::{RngExt as _, SeedableRng as _};
use rand_chacha::ChaCha8Rng;

use super::arena::{Active, Arena, Ended};
use super::control::{self, Control};
use super::fault::Fault;
use super::namespace::Network;
use super::report::{Done, Report, StepReport, Tally};
use super::schedule::{Schedule, Step};
use super::traffic::Traffic;
use crate::account::Account;
use crate::cluster::{Blueprint, Cluster};
use crate::court::Court;
use crate::load::Load;

/// Clients: one may wait for a node that does not answer while the others go on.
const CLIENTS: usize = 3;

/// What a run does.
#[derive(Debug, Clone)]
pub struct Plan {
    /// What steps, victims and moments are drawn from.
    pub seed: u64,
    /// The faults.
    pub faults: Vec<Fault>,
    /// How many nodes.
    pub nodes: u64,
    /// No step begins after this time.
    pub at_most: Duration,
    /// It stops after so many steps.
    pub steps: u64,
    /// Longest time until the cluster serves again, and until all nodes agree.
    pub within: Duration,
    /// Kills of the leader that are timed at the end, on ours and on etcd beside it; 0 for none.
    pub control_kills: u32,
}

/// A cluster in a network of its own, under load, with its judge.
pub struct Run {
    plan: Plan,
    dir: PathBuf,
    arena: Arena,
    court: Court,
    traffic: Traffic,
    steps: File,
    done: Vec<StepReport>,
}

impl Run {
    /// Makes the network and starts the cluster in a folder. Must be called in a sandbox.
    ///
    /// # Errors
    /// If the network cannot be made, or the cluster does not serve in time.
    pub async fn start(plan: Plan, program: &Path, dir: &Path) -> anyhow::Result<Self> {
        let network = Arc::new(Network::make(dir, plan.nodes).await.context("making the network")?);
        let mut traffic = Traffic::new(plan.seed)?;
        let blueprint = Blueprint {
            nodes: plan.nodes,
            power: true,
            seats: network.seats().clone(),
            lanes: traffic.lanes(),
            clock: traffic.clock(),
            ..Blueprint::new(program, dir)
        };
        let cluster = Cluster::start(&blueprint, plan.within)
            .await
            .context("starting the cluster")?;
        traffic.start(&cluster);
        let account = Account::open(&dir.join("account.jsonl"))?;
        let channels = cluster.nodes.values().map(|node| node.channel.clone()).collect();
        let court = Court::new(Load::of(CLIENTS, channels, account), plan.within);
        let steps = File::create_new(dir.join("steps.jsonl")).context("making steps.jsonl")?;
        let within = plan.within;
        Ok(Self {
            plan,
            dir: dir.to_owned(),
            arena: Arena {
                cluster,
                network,
                within,
            },
            court,
            traffic,
            steps,
            done: Vec::new(),
        })
    }

    /// Runs the steps, tells each one, judges the whole, and times kills beside etcd.
    ///
    /// # Errors
    /// If the cluster does not serve again in time, or a fault cannot be done or undone. Broken promises are no errors, and
    /// faults without proof are none: they are in the report.
    pub async fn run(mut self, mut tell: impl FnMut(&StepReport)) -> anyhow::Result<Report> {
        let started = Instant::now();
        let mut violations = Vec::new();
        let mut schedule = Schedule::new(self.plan.seed, &self.plan.faults);
        while started.elapsed() < self.plan.at_most && (self.done.len() as u64) < self.plan.steps {
            let Some(step) = schedule.next() else { break };
            let what = || format!("step {} ({})", step.number, names(&step.faults));
            // Of each step its own, so that one step's draws do not shift the next one's.
            let mut rng = ChaCha8Rng::seed_from_u64(self.plan.seed.wrapping_add(step.number));
            let (report, found) = self.step(&step, &mut rng).await.with_context(what)?;
            writeln!(self.steps, "{}", serde_json::to_string(&report)?).context("writing steps.jsonl")?;
            tell(&report);
            self.done.push(report);
            violations = found;
            if !violations.is_empty() {
                break;
            }
        }
        let under_faults = started.elapsed();
        let mut control = Control::default();
        if violations.is_empty() {
            let judged = self.traffic.judge(&mut self.arena.cluster, self.plan.within).await;
            violations = judged.context("the judgement of the port")?;
        }
        if violations.is_empty() {
            control = control::run(&mut self.arena, &self.court, &self.dir, &self.plan)
                .await
                .context("timing kills of the leader")?;
            let found = self.court.whole(&mut self.arena.cluster).await;
            let found = found.context("the judgement of the whole")?;
            violations = found.iter().map(ToString::to_string).collect();
        }
        self.arena.cluster.stop().await;
        let report = Report::new(&self.plan, &self.dir, &self.done, &self.court, violations, under_faults);
        Ok(Report {
            port: self.traffic.counts().clone(),
            control,
            ..report
        })
    }

    async fn step(&mut self, step: &Step, rng: &mut ChaCha8Rng) -> anyhow::Result<(StepReport, Vec<String>)> {
        let within = self.plan.within;
        let scene = self.arena.scene().await?;
        let before = self.court.load().account().end();
        self.court.load().go();
        self.court.load().applied_after(Instant::now(), within).await?;
        tokio::time::sleep(Duration::from_millis(rng.random_range(50..300))).await;
        self.court.load().next_send().await;

        let harmed = Instant::now();
        let mut active: Vec<Active> = Vec::new();
        for fault in &step.faults {
            let fault = self.arena.inject(*fault, &scene, rng).await;
            active.push(fault.context("doing it")?);
        }
        let injected = Instant::now();
        let cut_off = self.traffic.now();
        let served = self.court.load().applied_after(injected, step.lasts);
        let (served, ()) = tokio::join!(
            async { served.await.is_ok().then(|| injected.elapsed()) },
            tokio::time::sleep(step.lasts)
        );
        let tally = Tally::of(&self.court.load().account(), before);
        if step.faults.iter().any(|fault| fault.no_quorum()) {
            self.traffic.had_no_quorum(cut_off);
        }

        let mut ended: Vec<Ended> = Vec::new();
        for fault in active.into_iter().rev() {
            ended.push(self.arena.revert(fault).await.context("undoing it")?);
        }
        let healed = Instant::now();
        self.traffic.healed();
        self.court.load().applied_after(healed, within).await?;
        let recovery = healed.elapsed();
        let mut faults = Vec::new();
        for fault in ended.into_iter().rev() {
            let reverted = self.arena.reverted(&fault).await;
            faults.push(Done::new(fault, reverted));
        }
        self.court.load().pause().await?;
        let head = self.arena.cluster.caught_up(within).await?;
        let caught_up = healed.elapsed();

        let again = step.number.is_multiple_of(8);
        let mut found = self.court.judge(&self.arena.cluster, &head, again, rng).await?;
        found.extend(self.court.repeat(before, rng).await?);
        let mut violations: Vec<String> = found.iter().map(ToString::to_string).collect();
        let silent = step.faults.iter().find(|fault| fault.silences());
        if let (Some(fault), Some(after)) = (silent, served) {
            violations.push(format!(
                "step {}: a write that was sent under {} was acknowledged after {} ms",
                step.number,
                fault.name(),
                millis(after)
            ));
        }
        let report = StepReport {
            step: step.number,
            faults,
            lasted_ms: millis(injected.duration_since(harmed) + step.lasts),
            during: tally,
            served_ms: served.map(millis),
            recovery_ms: millis(recovery),
            caught_up_ms: millis(caught_up),
            entries: self.court.size(),
        };
        Ok((report, violations))
    }
}

fn names(faults: &[Fault]) -> String {
    faults.iter().map(|fault| fault.name()).collect::<Vec<_>>().join(" + ")
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
