//! The way of a command to the log, from any node.
//!
//! Commands queue. As long as a round is on its way, more gather, and go together with the next: batches are as large as
//! the load is high, and a lone command waits for nobody. On the leader a round is written to the log; elsewhere it is
//! forwarded to the leader. A command that certainly had no effect is tried again until its deadline.

use std::fmt::Display;
use std::sync::Arc;
use std::time::Duration;

use futures::{Stream, StreamExt};
use openraft::Instant as _;
use openraft::async_runtime::WatchReceiver;
use openraft::errors::ClientWriteError;
use openraft::raft::WriteResult;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, watch};
use tokio::time::{Instant, timeout_at};
use tokio_util::sync::CancellationToken;

use crate::errors::{ProposeError, Reason};
use crate::forward::{Forwarded, Forwarder};
use crate::gate::{Gate, Held};
use crate::leadership::{Leadership, Raft};
use crate::ledger::Command;
use crate::proposal::{self, Packing};
use crate::settings::Settings;
use crate::stages::Meters;
use crate::submission::{self, Answer, Item};
use crate::types::{Answers, Clock, Group};

/// Rounds on their way at the same time: the next is prepared while the last is being made durable.
const ROUNDS: usize = 2;
/// Commands in one round.
const ROUND: usize = 1024;
/// First pause before a command is tried again; doubles up to [`PAUSE_MAX`].
const PAUSE: Duration = Duration::from_millis(5);
const PAUSE_MAX: Duration = Duration::from_millis(80);

/// Places that a stream has in the queue, until it is dropped.
#[derive(Debug)]
pub struct Room {
    _places: Option<OwnedSemaphorePermit>,
}

/// The queue and what empties it.
pub(crate) struct Proposer {
    queue: mpsc::UnboundedSender<Item>,
    /// Bounds the queue together with everything that is on its way.
    places: Arc<Semaphore>,
    /// Bounds what streams have in the queue.
    streams: Arc<Semaphore>,
    streams_most: u32,
    raft: Raft,
    node: u64,
    /// How long a leader may go on without word from a quorum.
    election_max: Duration,
    clock: Clock,
    leadership: watch::Receiver<Leadership>,
    /// Why the node has stopped, once it has.
    fatal: watch::Receiver<Option<String>>,
    forwarder: Forwarder,
    meters: Meters,
    /// Shut while leadership is handed over.
    gate: Gate,
}

impl Proposer {
    /// A proposer and the loop that drives it.
    pub(crate) fn new(
        raft: Raft,
        settings: &Settings,
        leadership: watch::Receiver<Leadership>,
        fatal: watch::Receiver<Option<String>>,
        forwarder: Forwarder,
    ) -> (Arc<Self>, mpsc::UnboundedReceiver<Item>) {
        let (queue, items) = mpsc::unbounded_channel();
        let half = settings.queue.div_ceil(2);
        let proposer = Proposer {
            queue,
            places: Arc::new(Semaphore::new(settings.queue)),
            streams: Arc::new(Semaphore::new(half)),
            streams_most: u32::try_from(half).unwrap_or(u32::MAX),
            raft,
            node: settings.node,
            election_max: settings.timing.election_max,
            clock: Arc::clone(&settings.clock),
            leadership,
            fatal,
            forwarder,
            meters: Meters::default(),
            gate: Gate::default(),
        };
        (Arc::new(proposer), items)
    }

    /// Puts commands into the queue and waits for all of their answers. All of them find a place, or none does.
    pub(crate) async fn submit(&self, commands: Vec<Command>, patience: Duration, forwarded: bool) -> Vec<Answer> {
        let count = commands.len();
        if count == 0 {
            return Vec::new();
        }
        let wanted = u32::try_from(count).unwrap_or(u32::MAX);
        let Ok(places) = Arc::clone(&self.places).try_acquire_many_owned(wanted) else {
            return vec![Err(overloaded()); count];
        };
        let (items, waiting) = submission::batch(commands, Instant::now() + patience, forwarded, places);
        for item in items {
            if let Err(item) = self.queue.send(item) {
                item.0.finish(Err(ProposeError::stopped("consensus was shut down")));
            }
        }
        waiting.answers().await
    }

    /// Waits for places in that half of the queue that streams may fill; the other half is for those who do not wait.
    pub(crate) async fn room(&self, count: usize) -> Room {
        let count = self.stream_places(count);
        // The semaphore is never closed.
        Room {
            _places: Arc::clone(&self.streams).acquire_many_owned(count).await.ok(),
        }
    }

    /// The same without waiting: nothing when they are not free, or others wait for them.
    pub(crate) fn room_now(&self, count: usize) -> Option<Room> {
        let count = self.stream_places(count);
        let places = Arc::clone(&self.streams).try_acquire_many_owned(count).ok()?;
        Some(Room { _places: Some(places) })
    }

    fn stream_places(&self, count: usize) -> u32 {
        u32::try_from(count).unwrap_or(u32::MAX).min(self.streams_most)
    }

    /// Writes and forwards nothing until what is returned is dropped.
    pub(crate) fn hold(&self) -> Held {
        self.gate.hold()
    }

    /// Empties the queue until stopped.
    pub(crate) async fn run(self: Arc<Self>, mut items: mpsc::UnboundedReceiver<Item>, stop: CancellationToken) {
        let rounds = Arc::new(Semaphore::new(ROUNDS));
        let mut round = Vec::new();
        loop {
            let turn = tokio::select! {
                turn = Arc::clone(&rounds).acquire_owned() => turn,
                () = stop.cancelled() => break,
            };
            // The semaphore is never closed.
            let Ok(turn) = turn else { break };
            tokio::select! {
                _ = items.recv_many(&mut round, ROUND) => {}
                () = stop.cancelled() => break,
            }
            tokio::select! {
                () = self.gate.opened() => {}
                () = stop.cancelled() => break,
            }
            let now = Instant::now();
            let (live, late): (Vec<Item>, Vec<Item>) = round
                .drain(..)
                .filter(Item::claim)
                .partition(|item| item.deadline() > now);
            for item in late {
                item.finish(Err(ProposeError::not_applied(
                    Reason::Deadline,
                    "it waited in the queue until its deadline",
                )));
            }
            if !live.is_empty() {
                self.dispatch(live, turn).await;
            }
        }
        items.close();
        while let Ok(item) = items.try_recv() {
            item.finish(Err(ProposeError::stopped("consensus was shut down")));
        }
    }

    pub(crate) fn meters(&self) -> &Meters {
        &self.meters
    }

    /// Does this node lead without a quorum? Not so for a leader that has just been elected and is about to hear of one.
    fn cut_off(&self) -> bool {
        let metrics = self.raft.metrics();
        let metrics = metrics.borrow_watched();
        let heard = metrics.last_quorum_acked.map(|at| at.elapsed());
        metrics.current_leader == Some(self.node) && heard.is_some_and(|age| age > self.election_max)
    }

    fn stopped(&self) -> Option<String> {
        self.fatal.borrow().clone()
    }

    async fn dispatch(self: &Arc<Self>, items: Vec<Item>, turn: OwnedSemaphorePermit) {
        if let Some(reason) = self.stopped() {
            return stop(items, &reason);
        }
        let leader = self.leadership.borrow().leader;
        match leader {
            Some(leader) if leader == self.node => self.write(items, turn).await,
            Some(leader) => {
                let (foreign, own): (Vec<Item>, Vec<Item>) = items.into_iter().partition(Item::forwarded);
                for item in foreign {
                    item.finish(Err(no_leader("the node that was asked does not lead")));
                }
                if !own.is_empty() {
                    let proposer = Arc::clone(self);
                    tokio::spawn(async move {
                        proposer.forward(leader, own).await;
                        drop(turn);
                    });
                }
            }
            None => self.again(items, "no leader is known"),
        }
    }

    /// The leader's way: stamp, put together, append.
    async fn write(self: &Arc<Self>, items: Vec<Item>, turn: OwnedSemaphorePermit) {
        let now = (self.clock)();
        let taken = Instant::now();
        let mut groups: Vec<Vec<Item>> = Vec::new();
        let mut proposals = Vec::new();
        let mut group = Vec::new();
        let mut entry = Packing::default();
        for mut item in items {
            item.command.at = now;
            if let Err(size) = entry.push(&item.command) {
                item.finish(Err(too_large(size)));
                continue;
            }
            self.meters.queue.add(taken.saturating_duration_since(item.begun()));
            group.push(item);
            if entry.is_full() {
                proposals.push(entry.finish());
                groups.push(std::mem::take(&mut group));
            }
        }
        if !group.is_empty() {
            proposals.push(entry.finish());
            groups.push(group);
        }
        let results = match self.raft.client_write_many(proposals).await {
            Ok(results) => results,
            Err(fatal) => {
                for item in groups.into_iter().flatten() {
                    item.finish(Err(ProposeError::stopped(fatal.to_string())));
                }
                return;
            }
        };
        // One deadline for all: callers have their own, and the results come in the order of the groups.
        let until = groups
            .iter()
            .flatten()
            .map(Item::deadline)
            .max()
            .unwrap_or_else(Instant::now);
        let proposer = Arc::clone(self);
        tokio::spawn(async move {
            pair(groups, results, until, |group, result| match result {
                Ok(result) => proposer.settle(taken, group, result),
                Err(why) => unknown(group, &why),
            })
            .await;
            drop(turn);
        });
    }

    fn settle(self: &Arc<Self>, taken: Instant, group: Vec<Item>, result: WriteResult<Group>) {
        match result {
            Ok(response) => {
                let Answers { outcomes, applied } = response.response;
                if let Some(applied) = applied {
                    let took = |from: Instant, to: Instant| to.saturating_duration_since(from);
                    self.meters.agree.add(took(taken, applied.begun));
                    self.meters.apply.add(took(applied.begun, applied.shown));
                    self.meters.answer.add(applied.shown.elapsed());
                }
                debug_assert_eq!(outcomes.len(), group.len());
                let answers = portcullis_domain::mutant!(
                    AnswersMixedUp,
                    outcomes.into_iter().rev().collect::<Vec<_>>(),
                    outcomes
                );
                for (item, outcome) in group.into_iter().zip(answers) {
                    item.finish(Ok(outcome));
                }
            }
            // Refused before it was appended: no effect.
            Err(ClientWriteError::ForwardToLeader(_)) if self.cut_off() => {
                for item in group {
                    item.finish(Err(ProposeError::not_applied(
                        Reason::NoQuorum,
                        "the leader does not reach a majority of the nodes",
                    )));
                }
            }
            Err(ClientWriteError::ForwardToLeader(_)) => self.again(group, "the leader has no quorum or just changed"),
            Err(error) => self.unanswered(group, &error.to_string()),
        }
    }

    async fn forward(self: &Arc<Self>, leader: u64, items: Vec<Item>) {
        for (items, result) in self.forwarder.send(&self.raft, leader, items).await {
            match result {
                Forwarded::Answers(answers) => {
                    let mut refused = Vec::new();
                    for (item, answer) in items.into_iter().zip(answers) {
                        match answer {
                            Err(ProposeError::NotApplied {
                                reason: Reason::NoLeader,
                                ..
                            })
                            | Err(ProposeError::Stopped { .. }) => refused.push(item),
                            answer => item.finish(answer),
                        }
                    }
                    self.again(refused, "the leader changed");
                }
                Forwarded::NotSent(detail) => self.again(items, &detail),
                Forwarded::Lost(detail) => self.unanswered(items, &detail),
                Forwarded::TooLarge(size) => {
                    for item in items {
                        item.finish(Err(too_large(size)));
                    }
                }
            }
        }
    }

    /// No answer came. What the ledger would know again is sent again, and gets the first answer; the rest is unknown.
    fn unanswered(self: &Arc<Self>, items: Vec<Item>, detail: &str) {
        let soon = Instant::now() + PAUSE;
        let (mut again, mut rest) = (Vec::new(), Vec::new());
        for mut item in items {
            let known = portcullis_domain::mutant!(LostIsRefused, true, item.doubt());
            match known && !item.forwarded() && item.deadline() > soon {
                true => again.push(item),
                false => rest.push(item),
            }
        }
        unknown(rest, detail);
        self.again(again, detail);
    }

    /// Tries commands again that certainly had no effect, after a pause or as soon as the leadership changes.
    fn again(self: &Arc<Self>, items: Vec<Item>, why: &str) {
        if let Some(reason) = self.stopped() {
            return stop(items, &reason);
        }
        let now = Instant::now();
        let mut pause = PAUSE_MAX;
        let mut kept = Vec::with_capacity(items.len());
        for mut item in items {
            // The node that sent it tries again: it may know the new leader before this one does.
            if item.forwarded() || item.deadline() <= now + PAUSE {
                item.finish(Err(no_leader(why)));
                continue;
            }
            pause = pause.min(PAUSE * 2_u32.saturating_pow(item.attempts.min(8)));
            item.attempts += 1;
            item.unclaim();
            kept.push(item);
        }
        if kept.is_empty() {
            return;
        }
        let proposer = Arc::clone(self);
        let mut leadership = self.leadership.clone();
        leadership.mark_unchanged();
        tokio::spawn(async move {
            let _ = tokio::time::timeout(pause, leadership.changed()).await;
            for item in kept {
                if let Err(item) = proposer.queue.send(item) {
                    item.0.finish(Err(ProposeError::stopped("consensus was shut down")));
                }
            }
        });
    }
}

/// Gives each group its result. The n-th result belongs to the n-th group and nothing in it says so: after one that did not
/// come, all that follow are unknown, because the next that comes may be the late one.
async fn pair<G, T, E: Display>(
    groups: Vec<G>,
    mut results: impl Stream<Item = Result<T, E>> + Unpin,
    until: Instant,
    mut settle: impl FnMut(G, Result<T, String>),
) {
    let mut broken: Option<String> = None;
    for group in groups {
        let result = match &broken {
            Some(why) => Err(why.clone()),
            None => match timeout_at(until, results.next()).await {
                Ok(Some(Ok(result))) => Ok(result),
                Ok(Some(Err(fatal))) => Err(format!("the node stopped: {fatal}")),
                Ok(None) => Err("the node stopped".to_owned()),
                Err(_) => Err("no quorum answered before the deadline".to_owned()),
            },
        };
        broken = broken.or_else(|| result.as_ref().err().cloned());
        settle(group, result);
    }
}

fn stop(items: Vec<Item>, reason: &str) {
    for item in items {
        item.finish(Err(ProposeError::stopped(reason)));
    }
}

fn unknown(items: Vec<Item>, detail: &str) {
    for item in items {
        item.finish(Err(ProposeError::unknown(detail)));
    }
}

fn overloaded() -> ProposeError {
    ProposeError::not_applied(Reason::Overloaded, "too many commands are waiting on this node")
}

fn no_leader(why: &str) -> ProposeError {
    ProposeError::not_applied(Reason::NoLeader, why)
}

fn too_large(size: usize) -> ProposeError {
    ProposeError::not_applied(
        Reason::TooLarge,
        format!("the command has {size} bytes, one may have {}", proposal::COMMAND_BYTES),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_result_that_comes_too_late_is_not_given_to_the_next_group() {
        let (results, stream) = futures::channel::mpsc::unbounded::<Result<&str, &str>>();
        let until = Instant::now() + Duration::from_millis(20);
        let mut settled = Vec::new();
        pair(vec!["first", "second"], stream, until, |group, result| {
            // The quorum is back as soon as the first group was given up.
            results.unbounded_send(Ok("the outcome of the first")).unwrap();
            settled.push((group, result.is_ok()));
        })
        .await;
        assert_eq!(settled, [("first", false), ("second", false)]);
    }

    #[tokio::test]
    async fn each_group_gets_its_own_result_until_the_stream_breaks() {
        let stream = futures::stream::iter([Ok("1"), Ok("2"), Err("gone"), Ok("4")]);
        let mut settled = Vec::new();
        let until = Instant::now() + Duration::from_secs(5);
        pair(vec!["1", "2", "3", "4"], stream, until, |group, result| {
            settled.push((group, result.ok()));
        })
        .await;
        assert_eq!(settled, [("1", Some("1")), ("2", Some("2")), ("3", None), ("4", None)]);
    }
}
