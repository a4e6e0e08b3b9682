//! The way of a command to the log, from any node.
//!
//! Commands queue. As long as a round is on its way, more gather, and go together with the next: batches are as large as
//! the load is high, and a lone command waits for nobody. On the leader a round is written to the log; elsewhere it is
//! forwarded to the leader. A command that certainly had no effect is tried again until its deadline.

use std::fmt::Display;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::Duration;

use futures::{Stream, StreamExt};
use openraft::errors::ClientWriteError;
use openraft::raft::WriteResult;
use portcullis_domain::codec;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, oneshot, watch};
use tokio::time::{Instant, timeout_at};
use tokio_util::sync::CancellationToken;

use crate::errors::{ProposeError, Reason};
use crate::forward::{Forwarded, Forwarder};
use crate::leadership::{Leadership, Raft};
use crate::ledger::{Command, Outcome};
use crate::proposal;
use crate::types::{Clock, Group, Proposal};

/// Rounds on their way at the same time: the next is prepared while the last is being made durable.
const ROUNDS: usize = 2;
/// Commands in one round.
const ROUND: usize = 1024;
/// First pause before a command is tried again; doubles up to [`PAUSE_MAX`].
const PAUSE: Duration = Duration::from_millis(5);
const PAUSE_MAX: Duration = Duration::from_millis(80);

/// What a caller gets for a command.
pub(crate) type Answer = Result<Outcome, ProposeError>;

/// A command that waits for its outcome.
pub(crate) struct Item {
    pub(crate) command: Command,
    pub(crate) deadline: Instant,
    /// Came from another node: it is not sent on, that node knows better.
    forwarded: bool,
    attempts: u32,
    state: Arc<AtomicU8>,
    answer: oneshot::Sender<Answer>,
    _place: OwnedSemaphorePermit,
}

/// States of a command: in the queue, on its way, given up by its caller.
const QUEUED: u8 = 0;
const SENT: u8 = 1;
const ABANDONED: u8 = 2;

impl Item {
    pub(crate) fn finish(self, answer: Answer) {
        // The caller may have gone.
        let _ = self.answer.send(answer);
    }

    /// Takes the command out of the queue. False when its caller gave up before.
    fn claim(&self) -> bool {
        self.state
            .compare_exchange(QUEUED, SENT, Ordering::AcqRel, Ordering::Acquire)
            .is_ok()
    }
}

/// The queue and what empties it.
pub(crate) struct Proposer {
    queue: mpsc::UnboundedSender<Item>,
    /// Bounds the queue together with everything that is on its way.
    places: Arc<Semaphore>,
    raft: Raft,
    node: u64,
    clock: Clock,
    leadership: watch::Receiver<Leadership>,
    /// Why the node has stopped, once it has.
    fatal: watch::Receiver<Option<String>>,
    forwarder: Forwarder,
}

impl Proposer {
    /// A proposer and the loop that drives it.
    pub(crate) fn new(
        raft: Raft,
        node: u64,
        clock: Clock,
        places: usize,
        leadership: watch::Receiver<Leadership>,
        fatal: watch::Receiver<Option<String>>,
        forwarder: Forwarder,
    ) -> (Arc<Self>, mpsc::UnboundedReceiver<Item>) {
        let (queue, items) = mpsc::unbounded_channel();
        let proposer = Proposer {
            queue,
            places: Arc::new(Semaphore::new(places)),
            raft,
            node,
            clock,
            leadership,
            fatal,
            forwarder,
        };
        (Arc::new(proposer), items)
    }

    /// Puts commands into the queue and waits for all of their answers.
    pub(crate) async fn submit(&self, commands: Vec<Command>, patience: Duration, forwarded: bool) -> Vec<Answer> {
        let deadline = Instant::now() + patience;
        let mut waiting = Vec::with_capacity(commands.len());
        for command in commands {
            let Ok(place) = Arc::clone(&self.places).try_acquire_owned() else {
                waiting.push(Err(overloaded()));
                continue;
            };
            let (answer, answered) = oneshot::channel();
            let state = Arc::new(AtomicU8::new(QUEUED));
            let item = Item {
                command,
                deadline,
                forwarded,
                attempts: 0,
                state: Arc::clone(&state),
                answer,
                _place: place,
            };
            waiting.push(match self.queue.send(item) {
                Ok(()) => Ok((answered, state)),
                Err(_) => Err(ProposeError::stopped("consensus was shut down")),
            });
        }
        let mut answers = Vec::with_capacity(waiting.len());
        for one in waiting {
            answers.push(match one {
                Ok((answered, state)) => wait(answered, &state, deadline).await,
                Err(error) => Err(error),
            });
        }
        answers
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
            let now = Instant::now();
            let (live, late): (Vec<Item>, Vec<Item>) = round
                .drain(..)
                .filter(Item::claim)
                .partition(|item| item.deadline > now);
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
                let (foreign, own): (Vec<Item>, Vec<Item>) = items.into_iter().partition(|item| item.forwarded);
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
        let mut groups: Vec<Vec<Item>> = Vec::new();
        let mut proposals = Vec::new();
        let mut group = Vec::new();
        let mut encoded: Vec<Vec<u8>> = Vec::new();
        let mut size = 0;
        for mut item in items {
            item.command.at = now;
            let bytes = codec::to_bytes(&item.command);
            if bytes.len() > proposal::COMMAND_BYTES {
                item.finish(Err(too_large(bytes.len())));
                continue;
            }
            if group.len() == proposal::COMMANDS || (!group.is_empty() && size + bytes.len() > proposal::BYTES) {
                proposals.push(Proposal::of(&encoded));
                groups.push(std::mem::take(&mut group));
                encoded.clear();
                size = 0;
            }
            size += bytes.len();
            encoded.push(bytes);
            group.push(item);
        }
        if !group.is_empty() {
            proposals.push(Proposal::of(&encoded));
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
            .map(|item| item.deadline)
            .max()
            .unwrap_or_else(Instant::now);
        let proposer = Arc::clone(self);
        tokio::spawn(async move {
            pair(groups, results, until, |group, result| match result {
                Ok(result) => proposer.settle(group, result),
                Err(why) => unknown(group, &why),
            })
            .await;
            drop(turn);
        });
    }

    fn settle(self: &Arc<Self>, group: Vec<Item>, result: WriteResult<Group>) {
        match result {
            Ok(response) => {
                let outcomes = response.response.0;
                debug_assert_eq!(outcomes.len(), group.len());
                for (item, outcome) in group.into_iter().zip(outcomes) {
                    item.finish(Ok(outcome));
                }
            }
            // Refused before it was appended: no effect.
            Err(ClientWriteError::ForwardToLeader(_)) => self.again(group, "the leader has no quorum or just changed"),
            Err(error) => unknown(group, &error.to_string()),
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
                Forwarded::Lost(detail) => unknown(items, &detail),
                Forwarded::TooLarge(size) => {
                    for item in items {
                        item.finish(Err(too_large(size)));
                    }
                }
            }
        }
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
            if item.forwarded || item.deadline <= now + PAUSE {
                item.finish(Err(no_leader(why)));
                continue;
            }
            pause = pause.min(PAUSE * 2_u32.saturating_pow(item.attempts.min(8)));
            item.attempts += 1;
            item.state.store(QUEUED, Ordering::Release);
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

async fn wait(answered: oneshot::Receiver<Answer>, state: &AtomicU8, deadline: Instant) -> Answer {
    tokio::pin!(answered);
    match timeout_at(deadline, &mut answered).await {
        Ok(Ok(answer)) => answer,
        Ok(Err(_)) => Err(ProposeError::unknown("the node stopped while it was being applied")),
        Err(_) => {
            let abandoned = state.compare_exchange(QUEUED, ABANDONED, Ordering::AcqRel, Ordering::Acquire);
            if abandoned.is_ok() {
                return Err(no_leader("no leader with a quorum took it before its deadline"));
            }
            match answered.try_recv() {
                Ok(answer) => answer,
                Err(_) => Err(ProposeError::unknown("no answer before the deadline")),
            }
        }
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
