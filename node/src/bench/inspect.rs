//! `bench inspect`: whole inspections through the actors. Containers are announced at a steady rate, called up to lanes with
//! simulated devices, measured, weighed and concluded.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, bail};
use portcullis_config::PortClock;
use portcullis_domain::id::{InspectionNo, Timestamp};
use portcullis_simulator::Outfit;
use tokio::sync::mpsc;
use tokio::time::{Instant, interval, sleep_until};
use tokio_util::sync::CancellationToken;

use super::bed::Bed;
use super::report::{Part, Ratio, Report, Row, Rows};
use super::system::{Kind, System};
use super::tally::Tally;
use crate::cli::{Global, InspectArgs};
use crate::clock::unix_ms;
use crate::demo::{Blueprint, Cluster, Happened, Nodes, Port, announce, follow, start_devices};

/// Every actor has a home after this time, or something is wrong.
const READY_WITHIN: Duration = Duration::from_secs(30);
/// Conclusions that are outstanding at the end may take so long.
const CONCLUDED_WITHIN: Duration = Duration::from_secs(60);
/// After a node is lost, and before what counts as the new normal.
const SETTLING: Duration = Duration::from_secs(10);
/// Port seconds that one container takes of its lane, mostly the way of the truck.
const CYCLE_S: f64 = 80.0;
/// The lanes can do so many times what is asked of them.
const ROOM: f64 = 1.6;
/// Before anything is measured.
const WARM_UP: Duration = Duration::from_secs(3);

/// One conclusion.
struct Concluded {
    /// When it was seen.
    at: Instant,
    /// Since the last device of its pass had said everything.
    since_devices: Duration,
    /// Since its evidence was seen in the log.
    since_recorded: Option<Duration>,
}

/// What is seen of the port.
#[derive(Default)]
struct Seen {
    announced: BTreeSet<u64>,
    devices_done: BTreeMap<u64, Instant>,
    recorded: BTreeMap<u64, Instant>,
    concluded: Vec<Concluded>,
    twice: u64,
    done: BTreeSet<u64>,
}

impl Seen {
    fn take_in(&mut self, event: &Happened, at: Instant) {
        let Some(no) = event.inspections.first().copied() else {
            return;
        };
        match event.kind.as_str() {
            "announced" => {
                self.announced.insert(no);
            }
            "evidence_recorded" => {
                self.recorded.insert(no, at);
            }
            "concluded" => {
                if !self.done.insert(no) {
                    self.twice += 1;
                }
                // Without a pass, as when all tries broke off, there is no moment to count from.
                if let Some(devices) = self.devices_done.remove(&no) {
                    self.concluded.push(Concluded {
                        at,
                        since_devices: at.saturating_duration_since(devices),
                        since_recorded: self
                            .recorded
                            .remove(&no)
                            .map(|recorded| at.saturating_duration_since(recorded)),
                    });
                }
            }
            _ => {}
        }
    }

    fn open(&self) -> usize {
        self.announced.len() - self.done.intersection(&self.announced).count()
    }
}

/// Measures.
pub(super) async fn run(bed: &mut Bed, global: &Global, args: &InspectArgs) -> anyhow::Result<Report> {
    anyhow::ensure!(
        !global.endpoints_given,
        "bench inspect brings lanes and devices of its own, and so starts its own nodes: leave out --endpoint"
    );
    bed.expect(args.seconds.ceil() as u64);
    bed.say("starting");
    let speed = args
        .speed
        .unwrap_or_else(|| args.rate * CYCLE_S * ROOM / f64::from(args.lanes));
    let clock = PortClock {
        origin: Timestamp(unix_ms()),
        epoch_ms: unix_ms(),
        speed,
    };
    let cluster = Cluster::lay_out(&Blueprint {
        dir: bed.dir().to_owned(),
        nodes: args.nodes,
        lanes: args.lanes,
        outfit: Outfit::Basic,
        port: 0,
        clock,
        hasty: false,
        set: args.set.clone(),
    })?;
    let Cluster { nodes, lanes, keys, .. } = cluster;
    bed.systems.push(System::of(Kind::Portcullis, nodes));
    let system = &mut bed.systems[0];
    system.start().await?;
    let nodes = Nodes::new(&system.addresses.values().cloned().collect::<Vec<_>>());
    actors_have_homes(&nodes, lanes.len()).await?;

    let stop = CancellationToken::new();
    let _ended = stop.clone().drop_guard();
    let count = (args.rate * (WARM_UP.as_secs_f64() + args.seconds)).ceil() as u32;
    let (done, mut devices_done) = mpsc::unbounded_channel();
    let port = Arc::new(
        Port::new(
            args.seed,
            count,
            (args.lanes, Outfit::Basic),
            clock,
            nodes.clone(),
            stop.clone(),
        )
        .telling(done),
    );
    start_devices(&lanes, &keys, &port);
    let mut events = follow(nodes, stop);

    let begin = Instant::now();
    let from = begin + WARM_UP;
    let until = from + Duration::from_secs_f64(args.seconds);
    let kill_at = args
        .node_down
        .then(|| from + Duration::from_secs_f64(args.seconds / 2.0));
    let announcing = tokio::task::spawn_local(announce_all(port.clone(), begin, args.rate));
    let mut seen = Seen::default();
    let mut killed: Option<(u64, Instant)> = None;
    let mut ticks = interval(Duration::from_secs(1));
    loop {
        tokio::select! {
            event = events.recv() => seen.take_in(&event.context("the event stream ended")?, Instant::now()),
            Some((InspectionNo(no), at)) = devices_done.recv() => {
                // Of several devices and passes, the last one counts.
                seen.devices_done.insert(no, at);
            }
            _ = ticks.tick() => {
                bed.say(&format!("{} concluded, {} open", seen.done.len(), seen.open()));
                if Instant::now() > from {
                    bed.step();
                }
                if announcing.is_finished() && seen.open() == 0 && seen.announced.len() >= count as usize {
                    break;
                }
                if Instant::now() > until + CONCLUDED_WITHIN {
                    break;
                }
                if killed.is_none() && kill_at.is_some_and(|at| Instant::now() >= at) {
                    let system = &mut bed.systems[0];
                    let leader = system.ready().await?;
                    let node = system.follower(leader)?;
                    system.server(node)?.kill().await?;
                    killed = Some((node, Instant::now()));
                }
            }
        }
    }
    announcing.abort();

    let mut report = Report::new(bed.machine.clone());
    let healthy_until = killed.map_or(until, |(_, at)| at);
    let healthy = rows(&seen.concluded, "inspect", args, from, healthy_until);
    let mut rows_of_all = healthy.clone();
    if let Some((_, at)) = killed {
        let settled = at + SETTLING;
        if settled >= until {
            bail!(
                "--node-down needs --seconds 25 or more: half of it comes after the loss, and 10 s of that are for settling"
            );
        }
        let down = rows(&seen.concluded, "inspect node down", args, settled, until);
        report.ratios.extend(
            down.iter()
                .zip(&healthy)
                .map(|(down, healthy)| Ratio::of(down, healthy)),
        );
        rows_of_all.extend(down);
    }
    let open = seen.open() + (count as usize).saturating_sub(seen.announced.len());
    if let Some(first) = rows_of_all.first_mut() {
        first.failed = open as u64;
    }
    if open > 0 {
        report.wrong.push(format!("{open} containers have no conclusion"));
    }
    if seen.twice > 0 {
        report
            .wrong
            .push(format!("{} inspections have a second conclusion", seen.twice));
    }
    report.rows = Rows::Load(rows_of_all);
    Ok(report)
}

/// Two rows of the time given: from the devices' last word to the conclusion, and from the recorded evidence to it.
fn rows(concluded: &[Concluded], mode: &str, args: &InspectArgs, from: Instant, until: Instant) -> Vec<Row> {
    let mut devices = Tally::new(from, until);
    let mut recorded = Tally::new(from, until);
    for one in concluded.iter().filter(|one| one.at >= from && one.at < until) {
        devices.took(one.at, one.since_devices);
        if let Some(since) = one.since_recorded {
            recorded.took(one.at, since);
        }
    }
    [(mode.to_owned(), devices), (format!("{mode}, from record"), recorded)]
        .map(|(mode, tally)| Row::of("portcullis", &mode, args.lanes, 1, &[Part::plain(tally)]))
        .into()
}

async fn actors_have_homes(nodes: &Nodes, lanes: usize) -> anyhow::Result<()> {
    // Every lane, every fusion shard, and the scheduler of the one terminal.
    let wanted = lanes + usize::from(portcullis_domain::placement::FUSION_SHARDS) + 1;
    let deadline = Instant::now() + READY_WITHIN;
    loop {
        let placed = nodes.status().await.map_or(0, |status| {
            status.placements.iter().filter(|placed| placed.live).count()
        });
        if placed == wanted {
            return Ok(());
        }
        if Instant::now() > deadline {
            bail!(
                "{placed} of {wanted} actors have a home after {} s",
                READY_WITHIN.as_secs()
            );
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// Announces each container when it is due, whether or not the ones before it are answered.
async fn announce_all(port: Arc<Port>, begin: Instant, rate: f64) {
    let mut tasks = tokio::task::JoinSet::new();
    for (index, visit) in port.plan.visits().iter().enumerate() {
        sleep_until(begin + Duration::from_secs_f64(index as f64 / rate)).await;
        // Ready at once, whenever the plan has it.
        let start = Timestamp(port.clock.now().0.saturating_sub(visit.ready_after_ms));
        let request = crate::demo::announcement(visit, start);
        let port = port.clone();
        tasks.spawn_local(async move { announce(&port, request, index).await });
    }

    while tasks.join_next().await.is_some() {}
}
