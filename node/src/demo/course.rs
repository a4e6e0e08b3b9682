//! The course of events as the decision log tells it, checked as it goes: what the demo reports is derived from the log
//! and from nothing that the actors say about themselves.

use std::collections::{BTreeMap, BTreeSet};

/// One event of the decision log, as far as the course needs it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Happened {
    /// Position in the log.
    pub(crate) entry: u64,
    /// Port time, milliseconds.
    pub(crate) at_ms: u64,
    /// Name of the event.
    pub(crate) kind: String,
    /// Inspections it is about.
    pub(crate) inspections: Vec<u64>,
    /// The container, where the event names it.
    pub(crate) equipment: String,
    /// The lane, where the event names it.
    pub(crate) lane: Option<u32>,
    /// The lane took the container because it stood before it.
    pub(crate) claimed: bool,
}

/// What has happened so far.
#[derive(Debug, Default)]
pub(super) struct Course {
    /// The entry that comes next.
    next: u64,
    announced: BTreeMap<u64, String>,
    concluded: BTreeSet<u64>,
    double_concluded: u64,
    double_assigned: u64,
    on_lane: BTreeMap<u64, u32>,
    scanning: BTreeMap<u32, u64>,
    complete_at: BTreeMap<u64, u64>,
    latencies_ms: Vec<u64>,
}

impl Course {
    /// Takes in one event. Events that were seen before are passed over; a gap is an error of the stream.
    ///
    /// # Errors
    /// When entries are missing.
    pub(super) fn take_in(&mut self, event: &Happened) -> Result<(), String> {
        if event.entry < self.next {
            return Ok(());
        }
        if event.entry > self.next {
            return Err(format!(
                "the event stream jumped from entry {} to {}",
                self.next, event.entry
            ));
        }
        self.next += 1;
        let first = event.inspections.first().copied();
        match (event.kind.as_str(), first, event.lane) {
            ("announced", Some(no), _) => {
                self.announced.insert(no, event.equipment.clone());
            }
            ("assigned", Some(no), Some(lane)) => {
                // A claim may take over a call-up that nobody has followed, but not a pass.
                if event.claimed && !self.scanning.values().any(|scanned| *scanned == no) {
                    self.on_lane.remove(&no);
                }
                self.double_assigned += u64::from(self.on_lane.insert(no, lane).is_some());
            }
            ("pass_started", Some(no), Some(lane)) => {
                let elsewhere = self.on_lane.get(&no) != Some(&lane);
                let occupied = self.scanning.insert(lane, no).is_some();
                if elsewhere || occupied {
                    self.double_assigned += 1;
                }
            }
            ("evidence_recorded", Some(no), _) => {
                self.complete_at.insert(no, event.at_ms);
            }
            ("concluded", Some(no), _) => {
                self.double_concluded += u64::from(!self.concluded.insert(no));
                if let Some(complete) = self.complete_at.remove(&no) {
                    self.latencies_ms.push(event.at_ms.saturating_sub(complete));
                }
                self.leave(no);
            }
            ("aborted" | "node_up" | "node_down" | "placed", ..) => {
                for no in &event.inspections {
                    self.leave(*no);
                    self.complete_at.remove(no);
                }
            }
            _ => {}
        }
        Ok(())
    }

    fn leave(&mut self, no: u64) {
        if let Some(lane) = self.on_lane.remove(&no)
            && self.scanning.get(&lane) == Some(&no)
        {
            self.scanning.remove(&lane);
        }
    }

    /// How many containers were announced.
    pub(super) fn announced(&self) -> usize {
        self.announced.len()
    }

    /// How many inspections have a conclusion.
    pub(super) fn concluded(&self) -> usize {
        self.concluded.len()
    }

    /// Inspections that were announced and have no conclusion.
    pub(super) fn unconcluded(&self) -> impl Iterator<Item = u64> {
        self.announced.keys().copied().filter(|no| !self.concluded.contains(no))
    }

    /// How many of them there are.
    pub(super) fn open(&self) -> usize {
        self.unconcluded().count()
    }

    /// Second conclusions. Always 0 if the ledger keeps its promise.
    pub(super) fn double_concluded(&self) -> u64 {
        self.double_concluded
    }

    /// Containers on two lanes, or lanes with two containers in a pass. Always 0 if the ledger keeps its promise.
    pub(super) fn double_assigned(&self) -> u64 {
        self.double_assigned
    }

    /// Whether all evidence of its running pass is recorded.
    pub(super) fn is_complete(&self, no: u64) -> bool {
        self.complete_at.contains_key(&no)
    }

    /// Inspections that a lane has right now, with the lane.
    pub(super) fn on_lanes(&self) -> impl Iterator<Item = (u64, u32)> {
        self.on_lane.iter().map(|(no, lane)| (*no, *lane))
    }

    /// Lanes with a pass under way.
    pub(super) fn scanning(&self) -> impl Iterator<Item = u32> {
        self.scanning.keys().copied()
    }

    /// Port milliseconds from complete evidence to conclusion, at a quantile from 0 to 1.
    pub(super) fn latency_ms(&self, quantile: f64) -> Option<u64> {
        let mut sorted = self.latencies_ms.clone();
        sorted.sort_unstable();
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "an index of a vector in memory"
        )]
        let index = ((sorted.len() as f64 * quantile).ceil() as usize).saturating_sub(1);
        sorted.get(index).copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(script: &[(&str, &[u64], Option<u32>)]) -> Course {
        let mut course = Course::default();
        for (entry, (kind, inspections, lane)) in script.iter().enumerate() {
            let happened = Happened {
                entry: entry as u64,
                at_ms: entry as u64 * 10,
                kind: (*kind).to_owned(),
                inspections: inspections.to_vec(),
                equipment: "X".to_owned(),
                lane: *lane,
                claimed: false,
            };
            course.take_in(&happened).unwrap();
        }
        course
    }

    #[test]
    fn the_happy_way_counts_one_of_everything_and_no_harm() {
        let course = run(&[
            ("announced", &[1], None),
            ("assigned", &[1], Some(1)),
            ("pass_started", &[1], Some(1)),
            ("evidence_recorded", &[1], None),
            ("concluded", &[1], None),
        ]);
        assert_eq!((course.announced(), course.concluded(), course.open()), (1, 1, 0));
        assert_eq!((course.double_assigned(), course.double_concluded()), (0, 0));
        assert_eq!(course.latency_ms(0.5), Some(10));
    }

    #[test]
    fn a_broken_pass_may_be_repeated_elsewhere() {
        let course = run(&[
            ("announced", &[1], None),
            ("assigned", &[1], Some(1)),
            ("pass_started", &[1], Some(1)),
            ("node_down", &[1], None),
            ("assigned", &[1], Some(2)),
            ("pass_started", &[1], Some(2)),
        ]);
        assert_eq!(course.double_assigned(), 0);
    }

    #[test]
    fn two_lanes_for_one_container_two_containers_on_one_lane_and_second_conclusions_are_seen() {
        assert_eq!(
            run(&[("assigned", &[1], Some(1)), ("assigned", &[1], Some(2))]).double_assigned(),
            1
        );
        let crowded = run(&[
            ("assigned", &[1], Some(1)),
            ("pass_started", &[1], Some(1)),
            ("assigned", &[2], Some(1)),
            ("pass_started", &[2], Some(1)),
        ]);
        assert_eq!(crowded.double_assigned(), 1);
        assert_eq!(
            run(&[("concluded", &[1], None), ("concluded", &[1], None)]).double_concluded(),
            1
        );
    }

    #[test]
    fn a_gap_in_the_stream_is_noticed_and_a_repetition_is_passed_over() {
        let mut course = run(&[("announced", &[1], None)]);
        let mut again = Happened {
            entry: 0,
            at_ms: 0,
            kind: "announced".to_owned(),
            inspections: vec![1],
            equipment: "X".to_owned(),
            lane: None,
            claimed: false,
        };
        assert!(course.take_in(&again).is_ok());
        assert_eq!(course.announced(), 1);
        again.entry = 7;
        assert!(course.take_in(&again).is_err());
    }
}
