//! The loop: load, harm, recovery, judgement, and again.

use std::fs::File;
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use rand::seq::IndexedRandom as _;
use rand::{RngExt as _, SeedableRng as _};
use rand_chacha::ChaCha8Rng;
use serde::{Deserialize, Serialize};

use crate::account::Account;
use crate::cluster::{Blueprint, Cluster};
use crate::court::Court;
use crate::disk::Loss;
use crate::load::Load;
use crate::oracle::Violation;
use crate::report::Report;
use crate::write::Told;

/// Every so many cycles the whole log is read again from a node.
const READ_AGAIN: u64 = 50;

/// What is done to nodes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Harm {
    /// SIGKILL.
    Kill,
    /// SIGKILL, and the disk loses what was not synced.
    PowerLoss,
}

/// What a campaign does.
#[derive(Debug, Clone)]
pub struct Plan {
    /// What is done.
    pub harm: Harm,
    /// Up to this cycle.
    pub cycles: u64,
    /// What victims and moments are drawn from.
    pub seed: u64,
    /// Longest time until the cluster serves again, and until all nodes agree.
    pub within: Duration,
    /// It stops before its next cycle after this time.
    pub at_most: Duration,
}

/// What happened in one cycle.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Cycle {
    /// Its number, from 1.
    pub cycle: u64,
    /// What was done, to whom: such as `kill leader`.
    pub harm: String,
    /// The nodes.
    pub victims: Vec<u64>,
    /// They were hurt once more while they started.
    pub twice: bool,
    /// Until a write was applied: since the harm if a majority stayed, else since the last start. Milliseconds.
    pub serving_ms: u64,
    /// Until all nodes agreed about the whole log, since the last start, milliseconds.
    pub agreed_ms: u64,
    /// Writes of this cycle that took effect.
    pub applied: u64,
    /// Writes of this cycle that were refused.
    pub refused: u64,
    /// Writes of this cycle whose outcome stayed unknown.
    pub unknown: u64,
    /// Entries of the log.
    pub entries: u64,
}

/// A cluster under load with its judge.
pub struct Campaign {
    plan: Plan,
    dir: PathBuf,
    cluster: Cluster,
    court: Court,
    done: Vec<Cycle>,
    cycles: File,
}

impl Campaign {
    /// Starts a cluster in a folder: a new one, or to go on with the one that is there.
    ///
    /// # Errors
    /// If it does not serve in time, or the folder does not fit.
    pub async fn start(plan: Plan, blueprint: &Blueprint, resume: bool) -> anyhow::Result<Self> {
        let dir = blueprint.dir.clone();
        let path = dir.join("cycles.jsonl");
        if path.exists() != resume {
            match resume {
                true => bail!(
                    "{} holds no campaign to go on with: {} is missing",
                    dir.display(),
                    path.display()
                ),
                false => bail!(
                    "{} holds a campaign already; go on with it by --resume, or choose another folder",
                    dir.display()
                ),
            }
        }
        let mut cluster = match resume {
            true => Cluster::open(blueprint)?,
            false => Cluster::create(blueprint)?,
        };
        for node in cluster.nodes.values_mut() {
            node.start()?;
        }
        cluster.agree(plan.within).await.context("starting the cluster")?;
        let done = read_cycles(&path)?;
        let cycles = File::options().create(true).append(true).open(&path)?;
        let account = Account::open(&dir.join("account.jsonl"))?;
        let channels = cluster.nodes.values().map(|node| node.channel.clone()).collect();
        let within = plan.within;
        Ok(Self {
            plan,
            dir,
            cluster,
            court: Court::new(Load::new(channels, account), within),
            done,
            cycles,
        })
    }

    /// Runs the cycles that are left, tells each one, and judges the whole at the end.
    ///
    /// # Errors
    /// If the cluster does not serve again in time, or something of the campaign itself fails. Broken promises are no
    /// errors: they are in the report.
    pub async fn run(mut self, mut tell: impl FnMut(&Cycle)) -> anyhow::Result<Report> {
        let started = Instant::now();
        let from = self.done.last().map_or(1, |cycle| cycle.cycle + 1);
        let mut rng = ChaCha8Rng::seed_from_u64(self.plan.seed.wrapping_add(from));
        let mut violations = self.judge(&mut rng).await.context("before the first cycle")?;
        for number in from..=self.plan.cycles {
            if !violations.is_empty() || started.elapsed() > self.plan.at_most {
                break;
            }
            // Of each cycle its own, so that going on draws what one run would have drawn.
            let mut rng = ChaCha8Rng::seed_from_u64(self.plan.seed.wrapping_add(number));
            let before = self.court.load().account().end();
            let mut cycle = self
                .cycle(number, &mut rng)
                .await
                .with_context(|| format!("cycle {number}"))?;
            violations = self.judge(&mut rng).await.with_context(|| format!("cycle {number}"))?;
            violations.extend(self.court.repeat(before, &mut rng).await?);
            self.count(before, &mut cycle);
            writeln!(self.cycles, "{}", serde_json::to_string(&cycle)?).context("writing cycles.jsonl")?;
            tell(&cycle);
            self.done.push(cycle);
        }
        if violations.is_empty() {
            violations = self
                .court
                .whole(&mut self.cluster)
                .await
                .context("the judgement of the whole")?;
        }
        self.cluster.stop().await;
        let account = self.court.load().account();
        Ok(Report::new(
            &self.plan,
            &self.dir,
            &self.done,
            &account,
            violations,
            started.elapsed(),
        ))
    }

    async fn cycle(&mut self, number: u64, rng: &mut ChaCha8Rng) -> anyhow::Result<Cycle> {
        let within = self.plan.within;
        let (victims, who) = self.victims(rng).await?;
        let loss = *[Loss::Everything, Loss::Torn].choose(rng).expect("there are two");
        let harm = match (self.plan.harm, loss) {
            (Harm::Kill, _) => "kill",
            (Harm::PowerLoss, Loss::Everything) => "power loss",
            (Harm::PowerLoss, Loss::Torn) => "torn power loss",
        };
        self.court.load().go();
        // Some load, and then the moment at which something is under way.
        tokio::time::sleep(Duration::from_millis(rng.random_range(50..300))).await;
        self.court.load().next_send().await;
        tokio::time::sleep(Duration::from_micros(rng.random_range(0..6000))).await;
        self.hurt(&victims, loss, rng).await?;

        let mut since = Instant::now();
        let majority_stays = victims.len() * 2 < self.cluster.nodes.len();
        if majority_stays {
            self.court.load().applied_after(since, within).await?;
        }
        let serving = since.elapsed();
        let twice = rng.random_bool(0.15);
        if twice {
            self.restart(&victims)?;
            tokio::time::sleep(Duration::from_millis(rng.random_range(0..150))).await;
            self.hurt(&victims, loss, rng).await?;
        }
        since = Instant::now();
        self.restart(&victims)?;
        let serving = match majority_stays {
            true => serving,
            false => {
                self.court.load().applied_after(since, within).await?;
                since.elapsed()
            }
        };
        self.court.load().pause().await?;
        self.cluster.agree(within).await?;
        Ok(Cycle {
            cycle: number,
            harm: format!("{harm} {who}"),
            victims,
            twice,
            serving_ms: millis(serving),
            agreed_ms: millis(since.elapsed()),
            applied: 0,
            refused: 0,
            unknown: 0,
            entries: 0,
        })
    }

    /// Leader or follower mostly, two or all now and then.
    async fn victims(&self, rng: &mut ChaCha8Rng) -> anyhow::Result<(Vec<u64>, &'static str)> {
        let leader = self.cluster.leader(self.plan.within).await?;
        let ids = self.cluster.ids();
        let others: Vec<u64> = ids.iter().copied().filter(|id| *id != leader).collect();
        let follower = *others.choose(rng).context("a cluster of one node has no followers")?;
        // A power failure seldom meets one machine of a rack alone.
        let (one, two) = match self.plan.harm {
            Harm::Kill => (70, 90),
            Harm::PowerLoss => (45, 65),
        };
        Ok(match rng.random_range(0..100) {
            draw if draw < one / 2 => (vec![leader], "leader"),
            draw if draw < one => (vec![follower], "follower"),
            draw if draw < two => (vec![leader, follower], "two"),
            _ => (ids, "all"),
        })
    }

    async fn hurt(&mut self, victims: &[u64], loss: Loss, rng: &mut ChaCha8Rng) -> anyhow::Result<()> {
        match self.plan.harm {
            Harm::Kill => self.cluster.kill(victims).await,
            Harm::PowerLoss => self.cluster.lose_power(victims, loss, rng).await,
        }
    }

    fn restart(&mut self, victims: &[u64]) -> anyhow::Result<()> {
        victims.iter().try_for_each(|id| self.cluster.node(*id).start())
    }

    /// Reads what is new in the log at one node, and compares all of it with the account; now and then reads all again.
    async fn judge(&mut self, rng: &mut ChaCha8Rng) -> anyhow::Result<Vec<Violation>> {
        let again = self.done.len() as u64 % READ_AGAIN == READ_AGAIN - 1;
        let head = self.cluster.agree(self.plan.within).await?;
        self.court.judge(&self.cluster, &head, again, rng).await
    }

    fn count(&self, from: u64, cycle: &mut Cycle) {
        for told in self.court.load().account().told().range(from..).map(|(_, told)| told) {
            match told {
                Told::Applied(_) => cycle.applied += 1,
                Told::Refused(_) => cycle.refused += 1,
                Told::Unknown => cycle.unknown += 1,
            }
        }
        cycle.entries = self.court.size();
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

fn read_cycles(path: &Path) -> anyhow::Result<Vec<Cycle>> {
    let Ok(file) = File::open(path) else {
        return Ok(Vec::new());
    };
    let mut cycles = Vec::new();
    for (at, line) in BufReader::new(file).lines().enumerate() {
        let cycle = serde_json::from_str(&line?).with_context(|| format!("{}:{}", path.display(), at + 1))?;
        cycles.push(cycle);
    }
    Ok(cycles)
}
