//! The actor on the leader that gives every actor a home and declares silent nodes down.
//!
//! It decides nothing alone: every step is a compare-and-set that the ledger grants or refuses, so two of them at once,
//! around a change of leadership, do no harm.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use portcullis_domain::command::{ClusterCommand, CommandBody};
use portcullis_domain::id::{BootId, CommandNo, InspectionNo, NodeId};
use portcullis_domain::ledger::Ledger;
use portcullis_domain::outcome::{Outcome, Refusal};
use portcullis_domain::placement::{ActorKey, FUSION_SHARDS, Home, Tenant, solve};
use tokio::time::Instant;
use tracing::{debug, info, warn};

use crate::liveness::Liveness;
use crate::ports::ProposeError;
use crate::shell::{Context, Halt, Role};

/// Nodes that start together should share from the start, so actors that never had a home wait until the set of nodes
/// has been the same for so long.
const SETTLED: Duration = Duration::from_millis(500);
/// Moves that nobody needs right now come in rounds this far apart.
const ROUND: Duration = Duration::from_secs(1);
/// Proposals under way at a time.
const IN_FLIGHT_MAX: usize = 256;

/// What reaches the placement actor: an answer to one of its proposals.
#[derive(Debug)]
pub(crate) struct PlacementMessage {
    about: Subject,
    /// The command that settled it, which the local replica may not show yet.
    applied: Option<CommandNo>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Subject {
    Home(ActorKey),
    Down(NodeId, BootId),
}

/// The actor.
pub(crate) struct Placement {
    context: Context<Self>,
    liveness: Arc<Mutex<Liveness>>,
    /// Proposed and not yet seen in the local replica.
    open: Vec<(Subject, Option<CommandNo>)>,
    nodes: Vec<(NodeId, BootId)>,
    nodes_since: Instant,
    last_round: Instant,
}

impl Role for Placement {
    type Message = PlacementMessage;
    type Ticket = ();
    type Setup = Arc<Mutex<Liveness>>;

    fn start(context: Context<Self>, liveness: Arc<Mutex<Liveness>>) -> Self {
        let now = Instant::now();
        liveness.lock().unwrap_or_else(PoisonError::into_inner).listen_from(now);
        Self {
            context,
            liveness,
            open: Vec::new(),
            nodes: Vec::new(),
            nodes_since: now,
            last_round: now,
        }
    }

    fn context(&mut self) -> &mut Context<Self> {
        &mut self.context
    }

    fn wake(&mut self, _: BTreeSet<InspectionNo>) -> Result<(), Halt> {
        self.look();
        Ok(())
    }

    fn receive(&mut self, message: PlacementMessage) -> Result<(), Halt> {
        self.open.retain(|(subject, _)| *subject != message.about);
        if message.applied.is_some() {
            self.open.push((message.about, message.applied));
        }
        self.look();
        Ok(())
    }

    fn refused(&mut self, (): (), _: Refusal) -> Result<(), Halt> {
        Ok(())
    }
}

impl Placement {
    fn look(&mut self) {
        let ledger = self.context.ledger();
        if ledger.cluster().is_none() {
            return;
        }
        self.open
            .retain(|(_, applied)| applied.is_none_or(|applied| applied > ledger.number()));
        let now = Instant::now();
        let homes = self.homes(&ledger, now);
        let nodes: Vec<(NodeId, BootId)> = homes.iter().map(|home| (home.node, home.boot)).collect();
        if nodes != self.nodes {
            self.nodes = nodes;
            self.nodes_since = now;
        }
        self.place(&ledger, &homes, now);
    }

    /// The nodes that are up and heard of, suspects among them; the others are declared down.
    fn homes(&mut self, ledger: &Ledger, now: Instant) -> Vec<Home> {
        let me = self.context.config.identity;
        let mut overdue = Vec::new();
        let mut homes = Vec::new();
        {
            let mut liveness = self.liveness.lock().unwrap_or_else(PoisonError::into_inner);
            let up = ledger.nodes().filter(|(_, record)| record.up);
            liveness.look(now, up.map(|(node, record)| (node, record.boot)));
            for (node, record) in ledger.nodes().filter(|(_, record)| record.up) {
                let is_me = (node, record.boot) == (me.node, me.boot);
                if !is_me && liveness.is_overdue(node, record.boot, now) {
                    overdue.push((node, record.boot));
                } else {
                    homes.push(Home {
                        node,
                        boot: record.boot,
                        capacity: if ledger.carries_nothing(node) {
                            0
                        } else {
                            record.capacity
                        },
                        suspect: !is_me && liveness.is_suspect(node, record.boot, now),
                    });
                }
            }
        }
        for (node, boot) in overdue {
            portcullis_domain::mutant!(NeverDown, continue);
            let subject = Subject::Down(node, boot);
            if self.may_propose(&subject) {
                warn!(%node, %boot, "node is silent, declaring it down");
                self.propose(subject, ClusterCommand::NodeDown { node, boot });
            }
        }
        homes
    }

    fn place(&mut self, ledger: &Ledger, homes: &[Home], now: Instant) {
        let tenants = tenants(ledger);
        let settled = now.saturating_duration_since(self.nodes_since) >= SETTLED;
        let round = settled && now.saturating_duration_since(self.last_round) >= ROUND;
        for step in solve(&tenants, homes) {
            let tenant = tenants.iter().find(|tenant| tenant.key == step.key);
            let lives = |tenant: &Tenant| {
                tenant.now.is_some_and(|now| {
                    now.live && homes.iter().any(|home| (home.node, home.boot) == (now.node, now.boot))
                })
            };
            let at_home = tenant.is_some_and(lives);
            let new = tenant.is_some_and(|tenant| tenant.now.is_none());
            if (at_home && !round) || (new && !settled) {
                continue;
            }
            let subject = Subject::Home(step.key.clone());
            if !self.may_propose(&subject) {
                continue;
            }
            info!(key = %step.key, node = %step.node, expect = step.expect.0, voluntary = at_home, "placing");
            let (key, expect, node, boot) = (step.key, step.expect, step.node, step.boot);
            // A move that nobody needs right now must not break a pass off that has begun since this was planned.
            let command = if at_home {
                ClusterCommand::HandOver {
                    key,
                    expect,
                    node,
                    boot,
                }
            } else {
                ClusterCommand::Place {
                    key,
                    expect,
                    node,
                    boot,
                }
            };
            self.propose(subject, command);
            if at_home {
                self.last_round = now;
            }
        }
    }

    fn may_propose(&self, subject: &Subject) -> bool {
        self.open.len() < IN_FLIGHT_MAX && !self.open.iter().any(|(open, _)| open == subject)
    }

    fn propose(&mut self, about: Subject, command: ClusterCommand) {
        self.open.push((about.clone(), None));
        let proposer = Arc::clone(&self.context.ports.proposer);
        self.context.later(async move {
            let answer = proposer.propose(CommandBody::Cluster(command), String::new()).await;
            let applied = match answer {
                Ok(Outcome::Applied(applied)) => Some(applied.number),
                Ok(Outcome::Refused(refusal)) => {
                    debug!(?about, %refusal, "cluster command refused");
                    // What it was planned from has changed; the next look plans anew.
                    tokio::time::sleep(Duration::from_millis(50)).await;
                    None
                }
                Err(error) => {
                    debug!(?about, %error, "cluster command has no outcome");
                    let wait = match error {
                        ProposeError::NotApplied { retry_after, .. } => retry_after,
                        _ => Duration::ZERO,
                    };
                    tokio::time::sleep(wait.max(Duration::from_millis(100))).await;
                    None
                }
            };
            PlacementMessage { about, applied }
        });
    }
}

/// Every actor that there should be.
fn tenants(ledger: &Ledger) -> Vec<Tenant> {
    let tenant = |key: ActorKey, prefers: Vec<NodeId>, busy: bool| Tenant {
        now: ledger.placement(&key).copied(),
        key,
        prefers,
        busy,
    };
    let lanes = ledger.lanes().map(|(id, lane)| {
        let busy = lane.next.is_some() || lane.current.is_some();
        tenant(ActorKey::Lane(id), lane.spec.nodes.clone(), busy)
    });
    let shards = (0..FUSION_SHARDS).map(|shard| tenant(ActorKey::Fusion(shard), Vec::new(), false));
    let schedulers = ledger
        .terminals()
        .into_iter()
        .map(|terminal| tenant(ActorKey::Scheduler(terminal), Vec::new(), false));
    lanes.chain(shards).chain(schedulers).collect()
}
