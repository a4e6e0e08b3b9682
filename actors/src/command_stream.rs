//! The commands of one actor under one placement: numbered from 1, proposed in tasks of their own, retried under the same
//! number until they are answered.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use portcullis_domain::command::{ActorBody, ActorCommand, CommandBody};
use portcullis_domain::id::{CommandNo, Epoch, Sequence};
use portcullis_domain::outcome::{Outcome, Refusal};
use portcullis_domain::placement::ActorKey;
use thiserror::Error;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tracing::{Instrument as _, debug};

use crate::ports::{ProposeError, Proposer};

/// The ledger remembers this many outcomes of an actor, so no more may be under way.
pub(crate) const IN_FLIGHT_MAX: usize = 64;

const RETRY_FIRST: Duration = Duration::from_millis(20);
const RETRY_MAX: Duration = Duration::from_secs(2);
/// What an actor had in hand when it ended is asked about for so long.
const LAST_WORD: Duration = Duration::from_secs(5);

/// Where outcomes go.
pub(crate) type Deliver = Arc<dyn Fn(Sequence, Result<Outcome, Unanswerable>) + Send + Sync>;

/// A command that will not be applied however often it is proposed, such as one that is too large.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("this command can never be applied: {0}")]
pub(crate) struct Unanswerable(String);

/// What an answer means to the actor.
#[derive(Debug)]
pub(crate) enum Settled<T> {
    /// It is in the log, and soon in the local replica.
    Applied,
    /// It has no effect.
    Refused(T, Refusal),
    /// Not one of ours.
    Unknown,
}

struct Open<T> {
    ticket: T,
    /// Set once it is applied; it stays open until the local replica shows it.
    applied: Option<CommandNo>,
}

/// The commands of one actor under one placement.
pub(crate) struct CommandStream<T> {
    key: ActorKey,
    epoch: Epoch,
    next: u64,
    open: BTreeMap<u64, Open<T>>,
    proposer: Arc<dyn Proposer>,
    deliver: Deliver,
    ended: CancellationToken,
}

impl<T> CommandStream<T> {
    pub(crate) fn new(key: ActorKey, epoch: Epoch, proposer: Arc<dyn Proposer>, deliver: Deliver) -> Self {
        Self {
            key,
            epoch,
            next: 1,
            open: BTreeMap::new(),
            proposer,
            deliver,
            ended: CancellationToken::new(),
        }
    }

    /// Another command may be sent now.
    pub(crate) fn has_room(&self) -> bool {
        let oldest = self
            .open
            .iter()
            .find(|(_, open)| open.applied.is_none())
            .map(|(sequence, _)| *sequence);
        let span = oldest.map_or(0, |oldest| self.next - oldest);
        self.open.len() < IN_FLIGHT_MAX && span < IN_FLIGHT_MAX as u64
    }

    /// Sends a command; the ticket says what it is about. False if there is no room: ask again when something settled.
    pub(crate) fn submit(&mut self, body: ActorBody, ticket: T, traceparent: &str) -> bool {
        if !self.has_room() {
            return false;
        }
        let sequence = Sequence(self.next);
        self.next += 1;
        self.open.insert(sequence.0, Open { ticket, applied: None });
        let command = ActorCommand {
            key: self.key.clone(),
            epoch: self.epoch,
            sequence,
            body,
        };
        let task = propose(
            Arc::clone(&self.proposer),
            command,
            traceparent.to_owned(),
            Arc::clone(&self.deliver),
            self.ended.clone(),
        );
        tokio::spawn(task.in_current_span());
        true
    }

    /// Takes an answer in.
    pub(crate) fn settle(&mut self, sequence: Sequence, outcome: Outcome) -> Settled<T> {
        match outcome {
            Outcome::Applied(applied) => match self.open.get_mut(&sequence.0) {
                Some(open) => {
                    open.applied = Some(applied.number);
                    Settled::Applied
                }
                None => Settled::Unknown,
            },
            Outcome::Refused(refusal) => match self.open.remove(&sequence.0) {
                Some(open) => Settled::Refused(open.ticket, refusal),
                None => Settled::Unknown,
            },
        }
    }

    /// Closes the commands whose effects the local replica shows.
    pub(crate) fn seen(&mut self, number: CommandNo) {
        self.open
            .retain(|_, open| open.applied.is_none_or(|applied| applied > number));
    }

    /// What commands are under way about, answered or not, as long as the local replica does not show them.
    pub(crate) fn pending(&self) -> impl Iterator<Item = &T> {
        self.open.values().map(|open| &open.ticket)
    }
}

impl<T> Drop for CommandStream<T> {
    fn drop(&mut self) {
        self.ended.cancel();
    }
}

/// Proposes until there is an answer. What an actor had in hand when it ended is asked about for a little longer: if it
/// was replaced, the command is fenced, and that is then on record; if the process stops in good order, it still counts.
async fn propose(
    proposer: Arc<dyn Proposer>,
    command: ActorCommand,
    traceparent: String,
    deliver: Deliver,
    ended: CancellationToken,
) {
    let sequence = command.sequence;
    let mut wait = RETRY_FIRST;
    let mut until: Option<Instant> = None;
    loop {
        let answer = proposer
            .propose(CommandBody::Actor(command.clone()), traceparent.clone())
            .await;
        let pause = match answer {
            Ok(outcome) => return deliver(sequence, Ok(outcome)),
            Err(ProposeError::Stopped) => return,
            Err(ProposeError::NotApplied { reason, retry_after }) if retry_after.is_zero() => {
                return deliver(sequence, Err(Unanswerable(reason)));
            }
            Err(error) => {
                debug!(%sequence, %error, "command has no outcome yet");
                portcullis_domain::mutant!(RetriesStop, return);
                match error {
                    ProposeError::NotApplied { retry_after, .. } => retry_after.max(wait).min(RETRY_MAX),
                    _ => wait,
                }
            }
        };
        wait = (wait * 2).min(RETRY_MAX);
        if until.is_none() {
            tokio::select! {
                () = tokio::time::sleep(pause) => {}
                () = ended.cancelled() => until = Some(Instant::now() + LAST_WORD),
            }
        } else {
            tokio::time::sleep(pause).await;
        }
        if until.is_some_and(|until| Instant::now() >= until) {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use portcullis_domain::id::InspectionNo;
    use portcullis_domain::outcome::{Answer, Applied, RefusalReason};
    use portcullis_domain::placement::ActorKey;

    use super::*;
    use crate::ports::BoxFuture;

    /// Notes what is proposed and answers as told.
    struct Script {
        seen: Mutex<Vec<u64>>,
        answer: fn(usize) -> Result<Outcome, ProposeError>,
    }

    impl Proposer for Script {
        fn propose(&self, body: CommandBody, _: String) -> BoxFuture<'_, Result<Outcome, ProposeError>> {
            Box::pin(async move {
                let CommandBody::Actor(command) = body else {
                    panic!("an actor's command was expected")
                };
                let count = {
                    let mut seen = self.seen.lock().unwrap();
                    seen.push(command.sequence.0);
                    seen.len()
                };
                (self.answer)(count)
            })
        }
    }

    fn applied(number: u64) -> Outcome {
        Outcome::Applied(Applied {
            number: CommandNo(number),
            entry: None,
            answer: Answer::Done,
        })
    }

    type Outcomes = Arc<Mutex<Vec<(Sequence, Result<Outcome, Unanswerable>)>>>;

    fn stream(answer: fn(usize) -> Result<Outcome, ProposeError>) -> (CommandStream<u32>, Arc<Script>, Outcomes) {
        let script = Arc::new(Script {
            seen: Mutex::default(),
            answer,
        });
        let outcomes = Outcomes::default();
        let sink = Arc::clone(&outcomes);
        let deliver: Deliver = Arc::new(move |sequence, outcome| sink.lock().unwrap().push((sequence, outcome)));
        let stream = CommandStream::new(ActorKey::Fusion(0), Epoch(5), script.clone(), deliver);
        (stream, script, outcomes)
    }

    fn body() -> ActorBody {
        ActorBody::Enqueue {
            inspection: InspectionNo(1),
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_command_is_asked_again_under_its_number_until_it_is_answered() {
        let (mut stream, script, outcomes) = stream(|count| {
            if count < 4 {
                Err(ProposeError::Unknown)
            } else {
                Ok(applied(9))
            }
        });
        assert!(stream.submit(body(), 1, ""));
        tokio::time::sleep(Duration::from_secs(5)).await;
        assert_eq!(*script.seen.lock().unwrap(), [1, 1, 1, 1]);
        assert_eq!(*outcomes.lock().unwrap(), [(Sequence(1), Ok(applied(9)))]);
    }

    #[tokio::test(start_paused = true)]
    async fn a_command_that_can_never_be_applied_is_given_back_after_one_try() {
        let (mut stream, script, outcomes) = stream(|_| {
            Err(ProposeError::NotApplied {
                reason: "too large".to_owned(),
                retry_after: Duration::ZERO,
            })
        });
        stream.submit(body(), 1, "");
        tokio::time::sleep(Duration::from_secs(5)).await;
        assert_eq!(*script.seen.lock().unwrap(), [1]);
        let given_up = Err(Unanswerable("too large".to_owned()));
        assert_eq!(*outcomes.lock().unwrap(), [(Sequence(1), given_up)]);
    }

    #[tokio::test(start_paused = true)]
    async fn no_more_commands_are_under_way_than_the_ledger_remembers() {
        let (mut stream, ..) = stream(|_| Err(ProposeError::Unknown));
        let taken = (0..100).filter(|ticket| stream.submit(body(), *ticket, "")).count();
        assert_eq!(taken, IN_FLIGHT_MAX);
        // Answers to later ones do not make room as long as the first is open.
        for sequence in 2..=64 {
            assert!(matches!(
                stream.settle(Sequence(sequence), applied(sequence)),
                Settled::Applied
            ));
        }
        stream.seen(CommandNo(64));
        assert!(!stream.has_room());
        stream.settle(Sequence(1), applied(65));
        stream.seen(CommandNo(65));
        assert!(stream.has_room());
    }

    #[tokio::test(start_paused = true)]
    async fn an_applied_command_stays_pending_until_the_replica_shows_it() {
        let (mut stream, ..) = stream(|_| Ok(applied(7)));
        stream.submit(body(), 42, "");
        stream.settle(Sequence(1), applied(7));
        stream.seen(CommandNo(6));
        assert_eq!(stream.pending().copied().collect::<Vec<_>>(), [42]);
        stream.seen(CommandNo(7));
        assert_eq!(stream.pending().count(), 0);
    }

    #[tokio::test(start_paused = true)]
    async fn a_refusal_gives_the_ticket_back() {
        let (mut stream, ..) = stream(|_| Err(ProposeError::Stopped));
        stream.submit(body(), 42, "");
        let refusal = Refusal::new(RefusalReason::WrongStage, "inspection", "gone");
        let settled = stream.settle(Sequence(1), Outcome::Refused(refusal));
        assert!(matches!(settled, Settled::Refused(42, _)));
    }

    #[tokio::test(start_paused = true)]
    async fn what_an_actor_had_in_hand_when_it_ended_is_asked_about_for_a_while_and_not_for_ever() {
        let (mut stream, script, _) = stream(|_| Err(ProposeError::Unknown));
        stream.submit(body(), 1, "");
        tokio::time::sleep(Duration::from_millis(1)).await;
        drop(stream);
        tokio::time::sleep(LAST_WORD * 2).await;
        let asked = script.seen.lock().unwrap().len();
        assert!((3..20).contains(&asked), "{asked}");
        tokio::time::sleep(LAST_WORD * 2).await;
        assert_eq!(script.seen.lock().unwrap().len(), asked);
    }
}
