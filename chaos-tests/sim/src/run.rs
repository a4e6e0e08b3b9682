//! One run: start, faults, healing, judgement.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Context as _, bail};
use portcullis_chaos::promises::{self, CutOff, Evidence, Recovery, Violation};
use portcullis_chaos::simulation::{Injected, Outcome};
use portcullis_chaos::write::Told;
use portcullis_domain::placement::FUSION_SHARDS;
use sha2::{Digest as _, Sha256};

use crate::fault::{self, Active, Kind};
use crate::invariants::Invariants;
use crate::places::{self, Places};
use crate::plan::{Plan, Planned};
use crate::world::World;

/// The cluster serves within this time after its start.
const STARTS_WITHIN: Duration = Duration::from_secs(30);
/// A fault is undone, with what an operator has to do for that, within this time after its end.
const UNDONE_WITHIN: Duration = Duration::from_secs(90);
/// A write is applied within this time after all faults are over.
const SERVES_WITHIN: Duration = Duration::from_secs(15);
/// Every inspection is concluded within this time after the port is calm.
const CONCLUDES_WITHIN: Duration = Duration::from_secs(120);
/// A node that hears of no other knows that it has no quorum within this time: what `plan` sets, and some more.
const KNOWN_WITHIN: Duration = Duration::from_millis(2500);
/// The port goes on after the faults for this time.
const AFTERWARDS: Duration = Duration::from_secs(3);
/// The simulated network and clock may add so much to a deadline.
const SLACK: Duration = Duration::from_millis(500);
/// A controller and three sensors.
const DEVICES_OF_A_LANE: u64 = 4;
/// Steps between two looks at all nodes, and between two moves of faults.
const LOOK: u64 = 10;
const MOVE: u64 = 5;

static PANICS: Mutex<Vec<String>> = Mutex::new(Vec::new());

/// From now on a panic is put down as a broken promise.
pub(crate) fn note_panics() {
    std::panic::set_hook(Box::new(|info| {
        let trace = std::backtrace::Backtrace::force_capture().to_string();
        let ours: Vec<&str> = trace
            .lines()
            .filter(|line| line.contains("portcullis"))
            .take(6)
            .map(str::trim)
            .collect();
        PANICS
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push(format!("{info} [{}]", ours.join(" < ")));
    }));
}

/// A fault that has begun.
struct Running {
    planned: Planned,
    began: Duration,
    ended: Option<Duration>,
    active: Box<dyn Active>,
    proof: Option<String>,
    /// Another fault was under way at some time.
    company: bool,
}

/// A run under way.
struct Run {
    plan: Plan,
    world: World,
    invariants: Invariants,
    steps: u64,
    running: Vec<Running>,
    injected: Vec<Injected>,
    /// Times in which no node reached another, and every one had to know it.
    cut_off: Vec<CutOff>,
    violations: Vec<Violation>,
}

/// Runs a plan to its end.
///
/// # Errors
/// If the simulation itself fails. Broken promises are no errors.
pub(crate) fn run(plan: Plan, places: &Places) -> anyhow::Result<Outcome> {
    let mut run = Run {
        world: World::new(&plan)?,
        plan,
        invariants: Invariants::default(),
        steps: 0,
        running: Vec::new(),
        injected: Vec::new(),
        cut_off: Vec::new(),
        violations: Vec::new(),
    };
    match run.whole() {
        Ok((evidence, healed, concluded)) => Ok(run.result(evidence, healed, concluded, places)),
        Err(error) => {
            run.violations.push(Violation {
                promise: "P10",
                what: format!("{error:#}"),
            });
            Ok(run.result(Evidence::default(), Duration::ZERO, None, places))
        }
    }
}

impl Run {
    fn whole(&mut self) -> anyhow::Result<(Evidence, Duration, Option<Duration>)> {
        self.until("the cluster serves", STARTS_WITHIN, |world| {
            match world.counts().applied("announce") {
                0 => Err("no announcement is applied".to_owned()),
                _ => Ok(()),
            }
        })?;
        self.faults()?;
        let healed = self.world.now();
        self.span(AFTERWARDS)?;
        self.world.calm();
        let concluded = self.until("everything is concluded", CONCLUDES_WITHIN + self.world.ahead, settled);
        let concluded = match concluded {
            Ok(()) => Some(self.world.now()),
            Err(error) => {
                self.violations.push(Violation {
                    promise: "P10",
                    what: format!("{error:#}"),
                });
                None
            }
        };
        self.world.stop_port();
        let mut evidence = None;
        self.until("the logs are read", UNDONE_WITHIN, |world| {
            evidence = world.evidence();
            evidence.as_ref().map(|_| ()).ok_or_else(|| "not yet".to_owned())
        })?;
        let evidence = evidence
            .context("the logs were not read")?
            .map_err(|error| anyhow::anyhow!("reading the logs: {error}"))?;
        Ok((evidence, healed, concluded))
    }

    /// One step of time.
    fn step(&mut self) -> anyhow::Result<()> {
        self.world.step()?;
        self.steps += 1;
        if self.steps.is_multiple_of(LOOK) {
            let undisturbed = self.running.iter().all(|one| one.planned.kind.family() == "process");
            self.invariants.look(&self.world, undisturbed);
            if !self.invariants.hold() {
                bail!("stopped at step {}: an invariant does not hold", self.steps);
            }
        }
        if self.steps.is_multiple_of(50) {
            self.world.supervise();
        }
        if self.steps.is_multiple_of(MOVE) {
            self.move_faults();
        }
        Ok(())
    }

    fn span(&mut self, time: Duration) -> anyhow::Result<()> {
        let end = self.world.now() + time;
        while self.world.now() < end {
            self.step()?;
        }
        Ok(())
    }

    fn until(
        &mut self,
        what: &str,
        within: Duration,
        mut probe: impl FnMut(&mut World) -> Result<(), String>,
    ) -> anyhow::Result<()> {
        let end = self.world.now() + within;
        loop {
            for _ in 0..20 {
                self.step()?;
            }
            match probe(&mut self.world) {
                Ok(()) => return Ok(()),
                Err(why) if self.world.now() > end => {
                    bail!("{what}: not within {within:?}: {why}; {}", self.world.describe())
                }
                Err(_) => {}
            }
        }
    }

    /// All faults, until the last one is undone.
    fn faults(&mut self) -> anyhow::Result<()> {
        let start = self.world.now();
        let mut planned: Vec<Planned> = self.plan.faults.clone();
        planned.sort_by_key(|planned| planned.at);
        for planned in planned {
            while self.world.now() < start + planned.at {
                self.step()?;
            }
            let begun = fault::begin(&mut self.world, planned.kind, planned.draw, planned.lasts);
            tracing::info!(fault = planned.kind.name(), possible = begun.is_some(), at = ?self.world.now(), "fault");
            match begun {
                Some(active) => self.running.push(Running {
                    began: self.world.now(),
                    ended: None,
                    planned,
                    active,
                    proof: None,
                    company: false,
                }),
                None => self.injected.push(Injected {
                    number: planned.number,
                    kind: planned.kind.name().to_owned(),
                    proof: None,
                }),
            }
        }
        while !self.running.is_empty() {
            self.step()?;
            let now = self.world.now();
            if let Some(stuck) = self
                .running
                .iter()
                .find(|one| one.ended.is_some_and(|at| now > at + UNDONE_WITHIN))
            {
                let kind = stuck.planned.kind.name();
                bail!(
                    "{kind} was not undone within {UNDONE_WITHIN:?}: {}",
                    self.world.describe()
                );
            }
        }
        Ok(())
    }

    fn move_faults(&mut self) {
        let now = self.world.now();
        let several = self.running.len() > 1;
        let mut left = Vec::new();
        for mut one in std::mem::take(&mut self.running) {
            one.company |= several;
            let over = match one.ended {
                None if now >= one.began + one.planned.lasts => {
                    one.active.tick(&mut self.world, now - one.began);
                    one.proof = one.active.proof(&mut self.world);
                    one.active.end(&mut self.world);
                    one.ended = Some(now);
                    let known = one.began + KNOWN_WITHIN;
                    if one.planned.kind == Kind::CutAll && !one.company && known < now {
                        self.cut_off.push(CutOff {
                            from: known,
                            until: now,
                        });
                    }
                    false
                }
                None => {
                    one.active.tick(&mut self.world, now - one.began);
                    false
                }
                Some(_) => one.active.over(&mut self.world),
            };
            if over {
                let proof = one.active.proof(&mut self.world).or(one.proof);
                tracing::info!(fault = one.planned.kind.name(), proof, "over");
                self.injected.push(Injected {
                    number: one.planned.number,
                    kind: one.planned.kind.name().to_owned(),
                    proof,
                });
            } else {
                left.push(one);
            }
        }
        self.running = left;
    }

    /// A process that ends by itself without a fault of its disk or of the members did so for nothing.
    fn unexplained_ends(&mut self) {
        let explains = |kind: Kind| {
            matches!(kind.family(), "disk" | "membership")
                || matches!(kind, Kind::DiesAtWrite | Kind::DiesWhileStarting)
        };
        if self.plan.faults.iter().any(|planned| explains(planned.kind)) {
            return;
        }
        for (node, why) in &self.world.ends {
            self.violations.push(Violation {
                promise: "bug",
                what: format!("node {node} ended by itself: {why}"),
            });
        }
    }

    fn result(
        mut self,
        mut evidence: Evidence,
        healed: Duration,
        concluded: Option<Duration>,
        places: &Places,
    ) -> Outcome {
        let served = evidence.history.operations.iter().filter(|operation| {
            operation.invoked.at >= healed
                && operation.request.context().is_some()
                && matches!(operation.told, Told::Applied(_))
        });
        let served = served.filter_map(|operation| operation.returned).map(|at| at.at).min();
        let looks = self.invariants.looks();
        let looked = std::mem::take(&mut self.invariants).looked();
        // First, because they say why a run was stopped.
        self.violations.splice(0..0, looked.found);
        let finished = !evidence.logs.is_empty();
        if finished {
            // The nodes went on for a moment after their logs were read.
            let read = evidence.logs.values().map(Vec::len).max().unwrap_or(0) as u64;
            evidence
                .heads
                .extend(looked.heads.into_iter().filter(|head| head.size <= read));
            evidence.applied = looked.applied;
            evidence.slack = SLACK;
            // A device may be attached twice for a moment; beside lanes and shards there is a scheduler, and placement.
            let lanes = u64::from(self.plan.port.lanes);
            evidence.count_loads(lanes * DEVICES_OF_A_LANE * 2, lanes + u64::from(FUSION_SHARDS) + 2);
            evidence.cut_off = std::mem::take(&mut self.cut_off);
            evidence.recoveries.push(Recovery {
                healed,
                served,
                serve_within: SERVES_WITHIN,
                concluded,
                conclude_within: Some(AFTERWARDS + CONCLUDES_WITHIN + self.world.ahead),
            });
            self.violations.extend(promises::check(&evidence));
        }
        self.unexplained_ends();
        let reached = places.reached();
        for place in places::NEVER.iter().filter(|place| reached.contains_key(**place)) {
            self.violations.push(Violation {
                promise: "bug",
                what: format!("a node said: {place}"),
            });
        }
        for panic in PANICS.lock().unwrap_or_else(PoisonError::into_inner).drain(..) {
            self.violations.push(Violation {
                promise: "bug",
                what: panic,
            });
        }
        let counts = self.world.counts();
        let counts = match &evidence.history.operations[..] {
            [] => counts,
            _ => self.world.last_counts(),
        };
        let (operations, answered) = counts.total();
        self.injected.sort_by_key(|injected| injected.number);
        let total = self.world.meters.total();
        let entries = evidence.logs.values().map(|log| log.len() as u64).max().unwrap_or(0);
        let millis =
            |from: Duration, to: Duration| u64::try_from(to.saturating_sub(from).as_millis()).unwrap_or(u64::MAX);
        let mut digest = Sha256::new();
        for leaf in evidence.logs.values().flatten() {
            digest.update(leaf);
        }
        digest.update(format!("{counts:?} {total:?} {} {:?}", self.steps, self.injected));
        Outcome {
            seed: self.plan.seed,
            violations: self.violations.iter().map(ToString::to_string).collect(),
            faults: self.injected,
            nodes: self.plan.nodes,
            simulated_s: self.world.now().as_secs_f64(),
            real_s: 0.0,
            steps: self.steps,
            looks,
            operations,
            answered,
            entries,
            bytes: total.sent,
            starts: self.world.slots.values().map(|slot| slot.machine.starts()).sum(),
            calls: counts.calls,
            events: counts.events,
            reached,
            ends: self.world.ends,
            served_ms: served.map(|served| millis(healed, served)),
            concluded_ms: concluded.map(|concluded| millis(healed, concluded)),
            digest: hex::encode(digest.finalize()),
        }
    }
}

/// Every node serves, all have the same log, and everything is concluded.
fn settled(world: &mut World) -> Result<(), String> {
    let members = world.members();
    let statuses = world.statuses();
    let away: Vec<&u64> = members.iter().filter(|id| !statuses.contains_key(id)).collect();
    if !away.is_empty() {
        let why = world
            .ends
            .last()
            .map(|(id, why)| format!("; last end: node {id}: {why}"))
            .unwrap_or_default();
        return Err(format!("nodes {away:?} do not serve{why}"));
    }
    let sizes: Vec<_> = statuses
        .values()
        .map(|status| (status.node, status.leader, status.log_size))
        .collect();
    if sizes
        .windows(2)
        .any(|pair| (pair[0].1, pair[0].2) != (pair[1].1, pair[1].2))
    {
        return Err(format!("nodes, their leaders and their logs: {sizes:?}"));
    }
    let unused: Vec<u64> = members.into_iter().filter(|id| !world.is_used(*id)).collect();
    if !unused.is_empty() {
        return Err(format!(
            "nodes {unused:?} serve, and the cluster does not count on them"
        ));
    }
    match world.open_inspections() {
        _ if world.is_settled() => Ok(()),
        open => Err(format!(
            "{} inspections are open: {:?}",
            open.len(),
            &open[..open.len().min(5)]
        )),
    }
}
