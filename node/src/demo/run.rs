//! The course of a demo: lay out, start, announce, measure, break, heal, report.

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use anyhow::{Context, bail};
use portcullis_config::{PortClock, all_detectors_policy, shipped_models};
use portcullis_domain::equipment::EquipmentId;
use portcullis_domain::id::Timestamp;
use portcullis_domain::policy::Tier;
use portcullis_proto::v1 as pb;
use portcullis_proto::v1::inspection_service_client::InspectionServiceClient;
use portcullis_simulator::{Assessment, Visit};
use portcullis_wire::status::WriteAnswer;
use tokio::sync::Semaphore;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::cluster::{Blueprint, Cluster, default_dir};
use super::course::Course;
use super::device::{Port, start_devices};
use super::fault::{Injected, inject};
use super::progress::Progress;
use super::report::{Containers, Latency, Report, Truth, decisions, replica};
use super::rpc::{Nodes, within};
use crate::cli::{DemoArgs, Format, Sensors};
use crate::clock::{PortTime, unix_ms};

/// A demo that is not ready after this time has failed.
const READY_WITHIN: Duration = Duration::from_secs(30);
/// A node that is back and not part of the cluster after this time is reported as it is.
const REJOIN_WITHIN: Duration = Duration::from_secs(15);
/// With `--until-done`, a demo in which nothing is concluded for so long has failed.
const STALLED_AFTER: Duration = Duration::from_secs(60);
/// How long a node stays away that somebody else ended.
const RESTART_AFTER: Duration = Duration::from_secs(5);
/// Real seconds that a demo with `--until-done` is to take without faults, if it may choose its speed.
const WORK_S: f64 = 20.0;
/// Real seconds that a machine with two cores needs for one container's readings of every detector, to make and to
/// interpret them.
const READINGS_S: f64 = 0.25;
/// Port seconds between two containers of one lane: mostly the way of the truck.
const CYCLE_S: f64 = 80.0;
/// Speed of a demo that goes on until it is ended.
const PLEASANT_SPEED: f64 = 20.0;
/// Containers of a demo that goes on until it is ended; it starts again under other numbers when they have all come.
const ENDLESS: u32 = 20_000;

/// Runs a demo.
///
/// # Errors
/// What kept it from working, or that a promise was broken.
pub async fn run(args: DemoArgs, format: Format) -> anyhow::Result<ExitCode> {
    let started = Instant::now();
    let speed = args.speed.unwrap_or_else(|| choose_speed(&args));
    let clock = PortClock {
        origin: Timestamp(MONDAY_MORNING_MS),
        epoch_ms: unix_ms(),
        speed,
    };
    let asked_to_stop = crate::signal::asked_to_stop();
    let dir: PathBuf = args.dir.clone().unwrap_or_else(default_dir);
    let mut cluster = Cluster::lay_out(&Blueprint {
        dir,
        nodes: args.nodes,
        lanes: args.lanes,
        outfit: args.sensors.outfit(),
        port: args.port,
        clock,
        hasty: true,
        set: Vec::new(),
    })?;
    let stop = CancellationToken::new();
    let outcome = {
        let mut demo = Demo::new(&args, &mut cluster, clock, stop.clone());
        tokio::select! {
            outcome = demo.work(started) => outcome,
            () = asked_to_stop => Ok(None),
        }
    };
    stop.cancel();
    cluster.stop_all().await;
    let Some(report) = outcome? else {
        return Ok(ExitCode::SUCCESS);
    };
    print(&report, format)?;
    Ok(if report.is_good() {
        ExitCode::SUCCESS
    } else {
        ExitCode::from(12)
    })
}

/// 2026-01-05T06:00:00Z.
const MONDAY_MORNING_MS: u64 = 1_767_592_800_000;

fn choose_speed(args: &DemoArgs) -> f64 {
    match (args.until_done, args.containers) {
        (true, Some(containers)) => {
            let port_s = f64::from(containers) * CYCLE_S / f64::from(args.lanes) + 2.0 * CYCLE_S;
            let machine_s = match args.sensors {
                Sensors::All => f64::from(containers) * READINGS_S,
                Sensors::Basic => 0.0,
            };
            (port_s / WORK_S.max(machine_s)).clamp(1.0, 600.0).round()
        }
        _ => PLEASANT_SPEED,
    }
}

#[expect(clippy::print_stdout, reason = "the report is this command's data")]
fn print(report: &Report, format: Format) -> anyhow::Result<()> {
    match format {
        Format::Json => println!("{}", serde_json::to_string_pretty(report)?),
        Format::Table => print!("{}", report.text()),
    }
    Ok(())
}

struct Demo<'a> {
    args: &'a DemoArgs,
    cluster: &'a mut Cluster,
    port: Arc<Port>,
    nodes: Nodes,
    clock: PortTime,
    course: Course,
    faults: Vec<crate::cli::FaultSpec>,
    injected: Vec<Injected>,
    restarts: Vec<(u64, Instant)>,
    progress: Progress,
}

impl<'a> Demo<'a> {
    fn new(args: &'a DemoArgs, cluster: &'a mut Cluster, clock: PortClock, stop: CancellationToken) -> Self {
        let nodes = Nodes::new(&cluster.addresses());
        let count = args.containers.unwrap_or(ENDLESS);
        let lanes = (args.lanes, args.sensors.outfit());
        let port = Arc::new(Port::new(args.seed, count, lanes, clock, nodes.clone(), stop));
        let mut faults = args.faults.clone();
        faults.sort_by_key(|fault| std::cmp::Reverse(fault.at_percent));
        Self {
            args,
            cluster,
            port,
            nodes,
            clock: PortTime::new(clock),
            course: Course::default(),
            faults,
            injected: Vec::new(),
            restarts: Vec::new(),
            progress: Progress::new(args.containers),
        }
    }

    /// Runs to the end; nothing to report when there is none.
    async fn work(&mut self, started: Instant) -> anyhow::Result<Option<Report>> {
        self.cluster.start_all()?;
        self.ready(started).await?;
        self.choose_policy().await?;
        let ready_s = started.elapsed().as_secs_f64();
        self.introduce(ready_s);

        start_devices(&self.cluster.lanes, &self.cluster.keys, &self.port);
        let mut events = super::watch::follow(self.nodes.clone(), self.port.stop.clone());
        let announcing = tokio::spawn(announce_all(self.port.clone()));
        let wanted = self.args.containers.map(|count| count as usize);
        let mut ticks = tokio::time::interval(Duration::from_millis(100));
        let mut advanced = (0, Instant::now());
        loop {
            tokio::select! {
                event = events.recv() => {
                    let event = event.context("the event stream ended")?;
                    self.course.take_in(&event).map_err(|gap| anyhow::anyhow!("{gap}"))?;
                    for injected in &mut self.injected {
                        injected.notice(&event);
                    }
                }
                _ = ticks.tick() => {
                    self.progress.show(&self.course, self.clock.rate.speed, started.elapsed());
                    self.restart_ended()?;
                    self.break_and_heal().await?;
                }
            }
            if self.course.concluded() > advanced.0 {
                advanced = (self.course.concluded(), Instant::now());
            }
            let done = wanted.is_some_and(|wanted| self.course.concluded() >= wanted) && self.healed();
            if done && self.args.until_done {
                break;
            }
            if self.args.until_done && advanced.1.elapsed() > STALLED_AFTER {
                bail!(
                    "nothing was concluded for {} s with {} containers open; the nodes' logs are in {}",
                    STALLED_AFTER.as_secs(),
                    self.course.open(),
                    self.cluster.dir.display()
                );
            }
        }
        announcing.abort();
        self.rejoined().await;
        self.progress.finish();
        self.report(started, ready_s).await.map(Some)
    }

    /// Waits until there is a leader, every node is up and every actor has a home.
    async fn ready(&mut self, started: Instant) -> anyhow::Result<()> {
        let lanes = self.cluster.lanes.len();
        let mut last = "no node answers".to_owned();
        while started.elapsed() < READY_WITHIN {
            if let Some(node) = self.cluster.ended()?.first() {
                bail!("node {node} ended before the cluster was ready");
            }
            match self.nodes.status().await {
                Ok(status) => {
                    let up = status.nodes.iter().filter(|node| node.up).count();
                    let placed = status.placements.iter().filter(|placed| placed.live).count();
                    // Every lane, every fusion shard, and the scheduler of the one terminal.
                    let wanted = lanes + usize::from(portcullis_domain::placement::FUSION_SHARDS) + 1;
                    if up == self.cluster.nodes.len() && placed == wanted && status.leader.is_some() {
                        return Ok(());
                    }
                    last = format!("{up} nodes are up, {placed} of {wanted} actors have a home");
                }
                Err(status) => last = format!("no node answers: {}", status.message()),
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        bail!(
            "the cluster was not ready after {} s: {last}; the nodes' logs are in {}",
            READY_WITHIN.as_secs(),
            self.cluster.dir.display()
        )
    }

    /// The policy that a new cluster starts with knows only the basic detectors; lanes with all of them get one that was
    /// learned for them, before the first container comes.
    async fn choose_policy(&self) -> anyhow::Result<()> {
        if self.args.sensors == Sensors::Basic {
            return Ok(());
        }
        let policy = all_detectors_policy().context("the policy that ships for lanes with every detector")?;
        for model in shipped_models() {
            let refused = self.nodes.add_model(model).await;
            refused.context("bringing in the model that weighs manifests")?;
        }
        let refused = self.nodes.activate(&policy, "the lanes have every detector").await;
        refused.context("activating the policy for lanes with every detector")
    }

    /// Waits until every node is part of the cluster again: one that was paused first has to learn that it was given up, and
    /// what it still sends until then is fenced and belongs into the report.
    async fn rejoined(&self) {
        let deadline = Instant::now() + REJOIN_WITHIN;
        while Instant::now() < deadline {
            if let Ok(status) = self.nodes.status().await
                && status.nodes.iter().all(|node| node.up)
            {
                return;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    fn introduce(&self, ready_s: f64) {
        let spare = self.cluster.spare_lane;
        let endpoints: Vec<String> = self
            .cluster
            .nodes
            .values()
            .map(|node| format!("node {} http://{}", node.id, node.address))
            .collect();
        self.progress.say(&format!(
            "SIMULATED DATA. Ready after {ready_s:.1} s; {} port seconds pass in a real one; listening on loopback only, \
             without TLS.",
            self.clock.rate.speed
        ));
        self.progress.say(&format!("nodes      {}", endpoints.join(", ")));
        self.progress.say(&format!(
            "files      {} (logs in node-*/log.txt, device keys in keys/); removed by the next demo",
            self.cluster.dir.display()
        ));
        self.progress.say(&format!(
            "open lane  {spare} has no device: `portcullis lane replay --lane {}` brings one",
            spare.0
        ));
        let first = self
            .cluster
            .nodes
            .values()
            .next()
            .map(|node| node.address.clone())
            .unwrap_or_default();
        self.progress.say(&format!(
            "try        portcullis cluster status --endpoint http://{first}, inspection ls, events tail, log head"
        ));
    }

    fn healed(&self) -> bool {
        self.faults.is_empty() && self.injected.iter().all(Injected::is_over)
    }

    /// A node that somebody else ended comes back after a while, as a process under a supervisor would.
    fn restart_ended(&mut self) -> anyhow::Result<()> {
        for node in self.cluster.ended()? {
            self.progress.say(&format!(
                "node {node} has ended; it starts again in {} s",
                RESTART_AFTER.as_secs()
            ));
            self.restarts.push((node, Instant::now() + RESTART_AFTER));
        }
        let due: Vec<u64> = self
            .restarts
            .extract_if(.., |(_, at)| *at <= Instant::now())
            .map(|(node, _)| node)
            .collect();
        for node in due {
            if let Some(process) = self.cluster.nodes.get_mut(&node) {
                process.start()?;
                self.progress.say(&format!("node {node} is started again"));
            }
        }
        Ok(())
    }

    async fn break_and_heal(&mut self) -> anyhow::Result<()> {
        for injected in &mut self.injected {
            let before = injected.is_over();
            injected.heal_when_due(self.cluster)?;
            if !before && injected.is_over() {
                self.progress
                    .say(&format!("fault over: node {} is back", injected.node));
            }
        }
        let total = self.args.containers.unwrap_or(u32::MAX) as usize;
        let Some(due) = self.faults.last().copied() else {
            return Ok(());
        };
        if self.course.concluded() * 100 < total * usize::from(due.at_percent) {
            return Ok(());
        }
        let Ok(status) = self.nodes.status().await else {
            return Ok(());
        };
        if let Some(injected) = inject(due, self.cluster, &status, &self.course).await? {
            self.progress.say(&format!("fault {due}: node {}", injected.node));
            self.injected.push(injected);
            self.faults.pop();
        }
        Ok(())
    }

    async fn report(&mut self, started: Instant, ready_s: f64) -> anyhow::Result<Report> {
        let inspections = self.nodes.inspections().await.context("listing the inspections")?;
        let (by_tier, digest) = decisions(&inspections);
        let (replicas, replicas_agree) = self.replicas().await;
        let status = self.nodes.status().await.context("reading the status")?;
        let assessment = Assessment::of(&self.port.plan, |equipment| tier_of(&inspections, equipment));
        let planned = self.port.plan.visits().len();
        let mut faults = self.args.faults.iter().map(ToString::to_string).collect::<Vec<_>>();
        faults.sort();
        Ok(Report {
            seed: self.args.seed,
            speed: self.clock.rate.speed,
            lanes: self.args.lanes,
            faults,
            containers: Containers {
                announced: self.course.announced(),
                concluded: self.course.concluded(),
                lost: planned - self.course.concluded().min(planned),
                double_concluded: self.course.double_concluded(),
                double_assigned: self.course.double_assigned(),
            },
            decisions: by_tier,
            decisions_sha256: digest,
            truth: Truth {
                honest: assessment.honest,
                threats: assessment.threats,
                order: ["release", "review", "exam"],
            },
            replicas,
            replicas_agree,
            fenced_commands: status.fenced_commands,
            stale_barrier_orders: self.port.stale_orders.load(Ordering::Relaxed),
            conclusion_latency_ms: Latency::of(&self.course, self.clock.rate.speed),
            recovery_ms: self
                .injected
                .first()
                .and_then(|injected| injected.recovery)
                .map(|recovery| u64::try_from(recovery.as_millis()).unwrap_or(u64::MAX)),
            ready_s: (ready_s * 100.0).round() / 100.0,
            elapsed_s: (started.elapsed().as_secs_f64() * 100.0).round() / 100.0,
        })
    }

    /// Where the replicas stand, once they have caught up with each other.
    async fn replicas(&self) -> (Vec<super::report::ReplicaState>, bool) {
        let deadline = Instant::now() + Duration::from_secs(15);
        loop {
            let states: Vec<_> = self
                .nodes
                .each()
                .await
                .iter()
                .filter_map(|answer| replica(answer.as_ref().ok()?))
                .collect();
            let all = states.len() == self.cluster.nodes.len();
            let equal = states.windows(2).all(|pair| {
                pair[0].applied == pair[1].applied
                    && pair[0].log_size == pair[1].log_size
                    && pair[0].root == pair[1].root
            });
            if (all && equal) || Instant::now() > deadline {
                return (states, all && equal);
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }
}

fn tier_of(inspections: &[pb::Inspection], equipment: &EquipmentId) -> Option<Tier> {
    let inspection = inspections
        .iter()
        .find(|inspection| inspection.equipment_id == equipment.as_str())?;
    match inspection.conclusion.as_ref()?.tier() {
        pb::Tier::Release => Some(Tier::Release),
        pb::Tier::Review => Some(Tier::Review),
        pb::Tier::Exam => Some(Tier::Exam),
        pb::Tier::Unspecified => None,
    }
}

/// The terminal system of the simulated port: announces each container when it is due, and again until it has an answer.
async fn announce_all(port: Arc<Port>) {
    let begin = port.clock.now();
    let at_once = Arc::new(Semaphore::new(16));
    for visit in port.plan.visits() {
        let due = begin.plus_millis(visit.ready_after_ms);
        let wait = due.millis_since(port.clock.now());
        tokio::select! {
            () = port.stop.cancelled() => return,
            () = tokio::time::sleep(port.clock.rate.real_wait(wait)) => {}
        }
        let Ok(permit) = at_once.clone().acquire_owned().await else {
            return;
        };
        let request = announcement(visit, begin);
        let (port, index) = (port.clone(), visit.index as usize);
        tokio::spawn(async move {
            let _permit = permit;
            announce(&port, request, index).await;
        });
    }
}

/// What the terminal system says about a visit, if the plan starts at `begin`.
pub(crate) fn announcement(visit: &Visit, begin: Timestamp) -> pb::AnnounceRequest {
    pb::AnnounceRequest {
        context: Some(pb::RequestContext {
            source: "simulated-terminal".to_owned(),
            request_id: format!("visit-{}", visit.index),
            principal: "simulated-terminal".to_owned(),
        }),
        announcement: Some(portcullis_wire::announcement::encode_announcement(
            &visit.announcement_from(begin),
        )),
    }
}

/// Announces until there is an answer, at one node after the other.
pub(crate) async fn announce(port: &Port, request: pb::AnnounceRequest, index: usize) {
    let limit = Duration::from_secs(3);
    let mut turn = index;
    while !port.stop.is_cancelled() {
        let mut client = InspectionServiceClient::new(port.nodes.nth(turn));
        let answer = match tokio::time::timeout(limit, client.announce(within(request.clone(), limit))).await {
            Ok(Ok(_)) => return,
            Ok(Err(status)) => WriteAnswer::from_status(&status),
            Err(_) => WriteAnswer::Unknown {
                detail: "no answer".to_owned(),
            },
        };
        let Some(again_after) = answer.again_after() else {
            tracing::error!(?answer, "an announcement was refused");
            return;
        };
        turn += 1;
        tokio::time::sleep(again_after.max(Duration::from_millis(50))).await;
    }
}
