//! Which container goes to which lane next: a pure planner. It proposes; the ledger grants.
//!
//! Rule: take the containers by priority, then by the earlier of "cut-off less expected service" and "waiting since plus
//! the longest wait"; give each the able lane where it is expected to be finished first, with a penalty for abilities
//! that the container does not need; commit only the container that is next on a lane with a free slot. Late commitment
//! needs no re-shuffling when things change, and a deadline order with an ageing cap starves nobody.

use crate::evidence::Modality;
use crate::id::{CommandNo, Epoch, InspectionNo, LaneId, Timestamp};

/// A container that waits for a lane.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Waiting {
    /// Its inspection.
    pub inspection: InspectionNo,
    /// The inspection's version, which the assignment expects unchanged.
    pub version: CommandNo,
    /// Higher goes first.
    pub priority: u8,
    /// Since when it could have been called up.
    pub ready_at: Timestamp,
    /// When it must leave.
    pub due_at: Option<Timestamp>,
    /// What the policy requires of it.
    pub needs: Vec<Modality>,
}

/// A lane that might take containers: open, placed, called up by the scheduler.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Candidate {
    /// The lane.
    pub lane: LaneId,
    /// Its actor's epoch, which the assignment expects unchanged.
    pub epoch: Epoch,
    /// What it can measure right now.
    pub can: Vec<Modality>,
    /// When it is expected to be free.
    pub free_at: Timestamp,
    /// What a pass on it takes on average, seconds.
    pub pass_s: u32,
    /// Nothing is called up to it yet.
    pub slot_free: bool,
}

/// What the planner may weigh.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PlanRules {
    /// After waiting so long a container goes before all that are due later, milliseconds.
    pub longest_wait_ms: u64,
    /// What using a lane with one ability more than needed counts, milliseconds.
    pub spare_ability_ms: u64,
    /// How many waiting containers are looked at; the rest wait for the next plan.
    pub horizon: usize,
}

impl Default for PlanRules {
    /// An hour of ageing and half a minute for each spare ability: the values with which earliest-due order keeps both
    /// lateness and longest wait low in simulation (8 lanes, three seeds).
    fn default() -> Self {
        Self {
            longest_wait_ms: 3_600_000,
            spare_ability_ms: 30_000,
            horizon: 256,
        }
    }
}

/// One step of a plan.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Assignment {
    /// The container's inspection.
    pub inspection: InspectionNo,
    /// Its version when it was planned.
    pub expect: CommandNo,
    /// The lane.
    pub lane: LaneId,
    /// Its epoch when it was planned.
    pub lane_epoch: Epoch,
}

/// The assignments to commit now: at most one a lane.
pub fn plan(now: Timestamp, waiting: &[Waiting], lanes: &[Candidate], rules: &PlanRules) -> Vec<Assignment> {
    let shortest_pass_ms = lanes.iter().map(pass_ms).min().unwrap_or(0);
    let mut order: Vec<&Waiting> = waiting.iter().collect();
    order.sort_by_key(|container| {
        let aged = container.ready_at.plus_millis(rules.longest_wait_ms);
        let due = container
            .due_at
            .map_or(aged, |due| Timestamp(due.0.saturating_sub(shortest_pass_ms)).min(aged));
        (std::cmp::Reverse(container.priority), due, container.inspection)
    });

    let mut free_at: Vec<Timestamp> = lanes.iter().map(|lane| lane.free_at.max(now)).collect();
    let mut slot_free: Vec<bool> = lanes.iter().map(|lane| lane.slot_free).collect();
    let mut plan = Vec::new();
    for container in order.into_iter().take(rules.horizon) {
        let best = lanes
            .iter()
            .enumerate()
            .filter(|(_, lane)| container.needs.iter().all(|need| lane.can.contains(need)))
            .map(|(index, lane)| {
                let done = free_at[index].plus_millis(pass_ms(lane));
                let spare = u64::try_from(lane.can.len().saturating_sub(container.needs.len())).unwrap_or(0);
                (done.plus_millis(spare * rules.spare_ability_ms), lane.lane, index)
            })
            .min();
        let Some((_, _, index)) = best else { continue };
        let lane = &lanes[index];
        free_at[index] = free_at[index].plus_millis(pass_ms(lane));
        if slot_free[index] {
            slot_free[index] = false;
            plan.push(Assignment {
                inspection: container.inspection,
                expect: container.version,
                lane: lane.lane,
                lane_epoch: lane.epoch,
            });
            if plan.len() == lanes.len() {
                break;
            }
        }
    }
    plan
}

fn pass_ms(lane: &Candidate) -> u64 {
    u64::from(lane.pass_s) * 1000
}

#[cfg(test)]
mod tests {
    use super::*;

    fn container(no: u64) -> Waiting {
        Waiting {
            inspection: InspectionNo(no),
            version: CommandNo(no),
            priority: 0,
            ready_at: Timestamp(no),
            due_at: None,
            needs: vec![Modality::Radiation],
        }
    }

    fn lane(id: u32, free_at: u64, pass_s: u32) -> Candidate {
        Candidate {
            lane: LaneId(id),
            epoch: Epoch(1),
            can: vec![Modality::Radiation],
            free_at: Timestamp(free_at),
            pass_s,
            slot_free: true,
        }
    }

    fn pairs(plan: &[Assignment]) -> Vec<(u64, u32)> {
        plan.iter().map(|step| (step.inspection.0, step.lane.0)).collect()
    }

    #[test]
    fn the_lane_that_is_expected_to_finish_first_is_taken_even_if_another_is_free_earlier() {
        let lanes = [lane(1, 0, 300), lane(2, 60_000, 120)];
        assert_eq!(
            pairs(&plan(Timestamp(0), &[container(1)], &lanes, &PlanRules::default())),
            [(1, 2)]
        );
    }

    #[test]
    fn a_container_that_is_due_goes_first_and_a_priority_goes_before_it() {
        let mut due = container(2);
        due.due_at = Some(Timestamp(500_000));
        let mut urgent = container(3);
        urgent.priority = 1;
        let waiting = [container(1), due, urgent];
        let one = [lane(1, 0, 120)];
        assert_eq!(
            pairs(&plan(Timestamp(10), &waiting, &one, &PlanRules::default())),
            [(3, 1)]
        );
        assert_eq!(
            pairs(&plan(Timestamp(10), &waiting[..2], &one, &PlanRules::default())),
            [(2, 1)]
        );
    }

    #[test]
    fn whoever_has_waited_longest_goes_before_those_that_are_due_later() {
        let mut due = container(2);
        due.ready_at = Timestamp(4_000_000);
        due.due_at = Some(Timestamp(5_000_000));
        let one = [lane(1, 0, 120)];
        let plan = plan(Timestamp(4_000_000), &[container(1), due], &one, &PlanRules::default());
        assert_eq!(pairs(&plan), [(1, 1)]);
    }

    #[test]
    fn a_lane_that_cannot_give_what_is_required_is_never_taken() {
        let mut blind = lane(1, 0, 1);
        blind.can = vec![Modality::Ocr];
        assert_eq!(plan(Timestamp(0), &[container(1)], &[blind], &PlanRules::default()), []);
    }

    #[test]
    fn rare_abilities_are_kept_for_those_who_need_them() {
        let mut rich = lane(1, 0, 120);
        rich.can.push(Modality::Radiography);
        let plain = lane(2, 10_000, 120);
        let plan = plan(Timestamp(0), &[container(1)], &[rich, plain], &PlanRules::default());
        assert_eq!(pairs(&plan), [(1, 2)]);
    }

    #[test]
    fn only_the_next_container_of_a_lane_with_a_free_slot_is_committed() {
        let mut taken = lane(1, 0, 120);
        taken.slot_free = false;
        let lanes = [taken, lane(2, 0, 120)];
        let waiting: Vec<_> = (1..=9).map(container).collect();
        let plan = plan(Timestamp(0), &waiting, &lanes, &PlanRules::default());
        assert_eq!(plan.len(), 1);
        assert_eq!(plan[0].lane, LaneId(2));
    }
}
