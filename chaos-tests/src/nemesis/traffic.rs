//! The port in front of a cluster that is hurt: who talks to it all the time, what they saw, and the promises by that.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::Context as _;
use portcullis_config::PortClock;
use portcullis_domain::id::Timestamp;
use portcullis_domain::lane::LaneSpec;

use crate::cluster::Cluster;
use crate::port::{Counts, Nodes, Port, PortOptions};
use crate::promises::{CutOff, Evidence, Recovery, check};
use crate::wait::eventually;

/// Port seconds in a real one: a pass takes about a second then.
const SPEED: f64 = 60.0;
/// When the port's day begins, milliseconds since 1970: 2026-01-05T06:00:00Z.
const MORNING: Timestamp = Timestamp(1_767_592_800_000);
/// A node knows by then that it has no quorum: it suspends its actors after 1.5 s, and what was on its way has come.
const KNOWN_AFTER: Duration = Duration::from_millis(2500);
/// A call may take so much longer than its deadline, on a machine that is shared by everybody in the run.
const SLACK: Duration = Duration::from_secs(2);
/// The cluster serves again so soon after all faults have ended.
const SERVES_WITHIN: Duration = Duration::from_secs(10);
/// Each container that waits may take so much longer until the last one is concluded.
const EACH_CONCLUDED_WITHIN: Duration = Duration::from_secs(1);

/// The port, and what only the run knows.
pub struct Traffic {
    port: Option<Port>,
    nodes: Nodes,
    clock: PortClock,
    counts: Counts,
    cut_off: Vec<CutOff>,
    /// When each step was healed.
    healed: Vec<Duration>,
}

impl Traffic {
    /// The port of this seed. Nothing runs yet.
    ///
    /// # Errors
    /// If it cannot be made.
    pub fn new(seed: u64) -> anyhow::Result<Self> {
        let nodes = Nodes::default();
        let options = PortOptions {
            seed,
            // Less than the lanes can do, as long as nobody hurts them.
            lanes: 6,
            per_minute: 1.0,
            ..PortOptions::default()
        };
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Ok(Self {
            port: Some(Port::new(options, nodes.clone()).context("making the port")?),
            nodes,
            clock: PortClock {
                origin: MORNING,
                epoch_ms: u64::try_from(since.as_millis()).unwrap_or_default(),
                speed: SPEED,
            },
            counts: Counts::default(),
            cut_off: Vec::new(),
            healed: Vec::new(),
        })
    }

    /// The lanes, for the configuration that founds the cluster.
    pub fn lanes(&self) -> Vec<LaneSpec> {
        self.port.as_ref().map(Port::lanes).unwrap_or_default()
    }

    /// The port's clock, for all nodes.
    pub fn clock(&self) -> PortClock {
        self.clock
    }

    /// Everybody begins.
    pub fn start(&mut self, cluster: &Cluster) {
        for node in cluster.nodes.values() {
            self.nodes.add(node.id, node.channel.clone());
        }
        if let Some(port) = &mut self.port {
            port.start();
        }
    }

    /// The time of the history.
    pub fn now(&self) -> Duration {
        self.port
            .as_ref()
            .map(|port| port.recorder().elapsed())
            .unwrap_or_default()
    }

    /// From this moment of the history until now nobody had a quorum.
    pub fn had_no_quorum(&mut self, since: Duration) {
        let (from, until) = (since + KNOWN_AFTER, self.now());
        if from < until {
            self.cut_off.push(CutOff { from, until });
        }
    }

    /// Nothing is broken any more.
    pub fn healed(&mut self) {
        let now = self.now();
        self.healed.push(now);
    }

    /// What was done.
    pub fn counts(&self) -> &Counts {
        &self.counts
    }

    /// Lets everything come to its end, stops the port, and returns the promises that were broken.
    ///
    /// # Errors
    /// If what the nodes hold cannot be read.
    pub async fn judge(&mut self, cluster: &mut Cluster, within: Duration) -> anyhow::Result<Vec<String>> {
        let Some(port) = self.port.take() else {
            return Ok(Vec::new());
        };
        let recorder = port.recorder();
        port.calm();
        let calm = recorder.elapsed();
        let open = async || match port.open() {
            open if open.is_empty() => Ok(()),
            open => Err(format!("inspections {open:?} are open")),
        };
        let waiting = u32::try_from(port.open().len()).unwrap_or(u32::MAX);
        let conclude_within = within + EACH_CONCLUDED_WITHIN.saturating_mul(waiting);
        let concluded = eventually("everything is concluded", conclude_within, open).await;
        let concluded = concluded.is_ok().then(|| recorder.elapsed());
        let still_open = match concluded {
            Some(_) => Vec::new(),
            None => port.open_cases().await,
        };
        self.counts = port.counts();
        let history = port.stop().await;
        let recovery = |healed| Recovery {
            healed,
            served: history.applied_after(healed),
            serve_within: SERVES_WITHIN,
            concluded: None,
            conclude_within: None,
        };
        let mut recoveries: Vec<Recovery> = self.healed.iter().copied().map(recovery).collect();
        recoveries.push(Recovery {
            concluded,
            conclude_within: Some(conclude_within),
            ..recovery(calm)
        });
        let mut evidence = Evidence::gather(history, &self.nodes, within).await?;
        evidence.recoveries = recoveries;
        evidence.cut_off = std::mem::take(&mut self.cut_off);
        evidence.slack = SLACK;
        cluster.agree(within).await?;
        let mut violations: Vec<String> = check(&evidence).iter().map(ToString::to_string).collect();
        violations.extend(still_open.iter().map(|case| format!("P10: still open: {case}")));
        Ok(violations)
    }
}
