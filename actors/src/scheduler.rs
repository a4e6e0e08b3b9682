//! The actor of a terminal's scheduler: knows who waits and how the lanes stand, and proposes what the planner plans.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use portcullis_domain::command::ActorBody;
use portcullis_domain::fusion::required_of;
use portcullis_domain::id::{CommandNo, InspectionNo, LaneId, TerminalId, Timestamp};
use portcullis_domain::inspection::{Inspection, Stage};
use portcullis_domain::ledger::Ledger;
use portcullis_domain::message::LaneLoad;
use portcullis_domain::outcome::Refusal;
use portcullis_domain::placement::ActorKey;
use portcullis_domain::schedule::{Candidate, PlanRules, Waiting, plan};
use tokio::time::Instant;
use tracing::info;

use crate::shell::{Context, Halt, Role};

/// A lane that has not reported for so long gets nothing.
const REPORT_VALID: Duration = Duration::from_secs(5);
/// A lane whose plan was refused gets the next one after this, when this replica has seen why.
const TRY_AGAIN: Duration = Duration::from_millis(100);
/// Besides what it is told, the scheduler looks for itself this often at what changed.
const LOOK_AGAIN: Duration = Duration::from_secs(1);

/// What reaches a scheduler.
#[derive(Debug)]
pub(crate) enum SchedulerMessage {
    /// How a lane stands.
    Load(LaneLoad),
}

/// What a command is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum SchedulerTicket {
    Enqueue(InspectionNo),
    Assign(InspectionNo, LaneId),
}

/// The actor.
pub(crate) struct Scheduler {
    context: Context<Self>,
    terminal: TerminalId,
    /// Containers that wait for a lane.
    queued: BTreeSet<InspectionNo>,
    /// Containers whose time has not come, by it.
    coming: BTreeSet<(Timestamp, InspectionNo)>,
    /// Under which time each of them is filed: it is put off when a container does not come to its lane.
    comes_at: BTreeMap<InspectionNo, Timestamp>,
    /// Up to which command the changes of the ledger were looked at here, and when.
    seen: CommandNo,
    seen_at: Instant,
    loads: BTreeMap<LaneId, (LaneLoad, Instant)>,
    not_before: BTreeMap<LaneId, Instant>,
}

impl Role for Scheduler {
    type Message = SchedulerMessage;
    type Ticket = SchedulerTicket;
    type Setup = TerminalId;

    fn start(context: Context<Self>, terminal: TerminalId) -> Self {
        let ledger = context.ledger();
        let mut scheduler = Self {
            context,
            terminal,
            queued: BTreeSet::new(),
            coming: BTreeSet::new(),
            comes_at: BTreeMap::new(),
            seen: ledger.number(),
            seen_at: Instant::now(),
            loads: BTreeMap::new(),
            not_before: BTreeMap::new(),
        };
        for case in ledger.inspections_from(InspectionNo(0)) {
            scheduler.file(case);
        }
        scheduler
    }

    fn context(&mut self) -> &mut Context<Self> {
        &mut self.context
    }

    fn wake(&mut self, changed: BTreeSet<InspectionNo>) -> Result<(), Halt> {
        let ledger = self.context.ledger();
        for no in changed {
            match ledger.inspection(no) {
                Some(case) => self.file(case),
                None => self.unfile(no),
            }
        }
        if self.seen_at.elapsed() >= LOOK_AGAIN {
            // Whatever was missed, such as a change around the moment this actor started.
            for case in ledger.changed_since(self.seen) {
                self.file(case);
            }
            // Those that were closed since are not among the changed ones.
            let filed = self.queued.iter().chain(self.comes_at.keys());
            let closed: Vec<InspectionNo> = filed.copied().filter(|no| ledger.inspection(*no).is_none()).collect();
            for no in closed {
                self.unfile(no);
            }
            self.seen = ledger.number();
            self.seen_at = Instant::now();
        }
        self.enqueue();
        self.assign(&ledger);
        Ok(())
    }

    fn receive(&mut self, message: SchedulerMessage) -> Result<(), Halt> {
        let SchedulerMessage::Load(load) = message;
        self.loads.insert(load.lane, (load, Instant::now()));
        let ledger = self.context.ledger();
        self.assign(&ledger);
        Ok(())
    }

    fn refused(&mut self, ticket: SchedulerTicket, _: Refusal) -> Result<(), Halt> {
        if let SchedulerTicket::Assign(_, lane) = ticket {
            self.not_before.insert(lane, Instant::now() + TRY_AGAIN);
        }
        Ok(())
    }
}

impl Scheduler {
    /// Puts an inspection where it belongs by its stage.
    fn file(&mut self, case: &Inspection) {
        if case.terminal != self.terminal {
            return;
        }
        self.unfile(case.no);
        match case.stage {
            Stage::Profiled => {
                self.coming.insert((case.ready_at, case.no));
                self.comes_at.insert(case.no, case.ready_at);
            }
            Stage::Queued => {
                self.queued.insert(case.no);
            }
            _ => {}
        }
    }

    fn unfile(&mut self, no: InspectionNo) {
        self.queued.remove(&no);
        if let Some(before) = self.comes_at.remove(&no) {
            self.coming.remove(&(before, no));
        }
    }

    fn enqueue(&mut self) {
        let now = self.context.now();
        let pending: Vec<SchedulerTicket> = self.context.commands.pending().copied().collect();
        let due: Vec<InspectionNo> = self
            .coming
            .iter()
            .take_while(|(ready_at, _)| *ready_at <= now)
            .map(|(_, no)| *no)
            .filter(|no| !pending.contains(&SchedulerTicket::Enqueue(*no)))
            .collect();
        for inspection in due {
            if !self
                .context
                .submit(ActorBody::Enqueue { inspection }, SchedulerTicket::Enqueue(inspection))
            {
                break;
            }
        }
    }

    fn assign(&mut self, ledger: &Ledger) {
        let Some((_, policy)) = ledger.policy() else { return };
        let pending: Vec<SchedulerTicket> = self.context.commands.pending().copied().collect();
        let lanes = self.candidates(ledger, &pending);
        if self.queued.is_empty() || !lanes.iter().any(|lane| lane.slot_free) {
            return;
        }
        let waiting: Vec<Waiting> = self
            .queued
            .iter()
            .filter_map(|no| ledger.inspection(*no))
            .filter(|case| case.stage == Stage::Queued && case.passes.0 < policy.passes_max)
            .filter(|case| {
                !pending
                    .iter()
                    .any(|ticket| matches!(ticket, SchedulerTicket::Assign(no, _) if *no == case.no))
            })
            .map(|case| {
                let mut needs: Vec<_> = required_of(policy, &case.manifest).map(|r| r.modality).collect();
                needs.sort_unstable();
                needs.dedup();
                Waiting {
                    inspection: case.no,
                    version: case.version,
                    priority: case.priority,
                    ready_at: case.ready_at,
                    due_at: case.due_at,
                    needs,
                }
            })
            .collect();
        for step in plan(self.context.now(), &waiting, &lanes, &PlanRules::default()) {
            info!(inspection = %step.inspection, lane = %step.lane, "assigning");
            let body = ActorBody::Assign {
                inspection: step.inspection,
                expect: step.expect,
                lane: step.lane,
                lane_epoch: step.lane_epoch,
            };
            if !self
                .context
                .submit(body, SchedulerTicket::Assign(step.inspection, step.lane))
            {
                break;
            }
        }
    }

    /// The lanes that could take a container, with what they said last about themselves.
    fn candidates(&self, ledger: &Ledger, pending: &[SchedulerTicket]) -> Vec<Candidate> {
        ledger
            .lanes()
            .filter(|(_, lane)| lane.spec.terminal == self.terminal && lane.open && lane.spec.scheduled)
            .filter_map(|(id, lane)| {
                let placement = ledger
                    .placement(&ActorKey::Lane(id))
                    .filter(|placement| placement.live)?;
                let (load, at) = self.loads.get(&id)?;
                let told = load.epoch == placement.epoch && at.elapsed() < REPORT_VALID && load.controller;
                let asked = pending
                    .iter()
                    .any(|ticket| matches!(ticket, SchedulerTicket::Assign(_, lane) if *lane == id));
                // A lane that always has a next container is never idle, and only an idle one is moved.
                let moving = ledger.gives_away(placement.node);
                let resting = self.not_before.get(&id).is_some_and(|until| Instant::now() < *until);
                told.then(|| Candidate {
                    lane: id,
                    epoch: placement.epoch,
                    can: load.live.clone(),
                    free_at: load.free_at,
                    pass_s: load.pass_s,
                    slot_free: portcullis_domain::mutant!(
                        LaneTakenTwice,
                        true,
                        lane.next.is_none() && !asked && !resting && !moving
                    ),
                })
            })
            .collect()
    }
}
