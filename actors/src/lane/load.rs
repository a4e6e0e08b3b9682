//! What the scheduler is told of the lane: what it can measure and when it is free.

use std::time::Duration;

use portcullis_domain::evidence::Modality;
use portcullis_domain::lane::Lane as LaneRecord;
use portcullis_domain::message::{LaneLoad, Message};
use portcullis_domain::placement::ActorKey;
use tokio::time::Instant;

use super::Lane;

const REPORT_EVERY: Duration = Duration::from_secs(1);

impl Lane {
    pub(super) fn report(&mut self, lane: &LaneRecord) {
        let mut live: Vec<Modality> = self.sensors().map(|(.., modality)| modality).collect();
        live.sort_unstable();
        live.dedup();
        let pass_s = self.pass_s.unwrap_or(lane.spec.usual_pass_s).max(1);
        let pass_ms = u64::from(pass_s) * 1000;
        let mut free_at = match (&self.pass, lane.current) {
            (Some(pass), _) => pass.started_at.plus_millis(pass_ms),
            (None, Some(_)) => self.context.now(),
            (None, None) => self.idle_since,
        };
        if let Some(called) = &self.called {
            free_at = free_at.max(called.since).plus_millis(pass_ms);
        }
        let load = LaneLoad {
            lane: self.id,
            epoch: self.context.epoch,
            live,
            controller: !self.barrier_ends(lane).is_empty(),
            free_at,
            pass_s,
        };
        let due = self
            .reported
            .as_ref()
            .is_none_or(|(last, at)| *last != load || at.elapsed() >= REPORT_EVERY);
        if due {
            let to = ActorKey::Scheduler(lane.spec.terminal.clone());
            self.context.tell(&to, Message::LaneLoad(load.clone()));
            self.reported = Some((load, Instant::now()));
        }
    }
}
