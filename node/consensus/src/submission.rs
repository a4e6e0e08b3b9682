//! Commands that somebody waits for: handed in together, decided one by one, answered together.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::{OwnedSemaphorePermit, oneshot};
use tokio::time::{Instant, timeout_at};

use crate::errors::{ProposeError, Reason};
use crate::ledger::{Command, CommandBody, Outcome};

/// What a caller gets for a command.
pub(crate) type Answer = Result<Outcome, ProposeError>;

/// Where one command stands.
#[derive(Debug)]
enum Slot {
    /// In the queue of this node; nobody else has seen it.
    Queued,
    /// On its way: it may take effect.
    Sent,
    /// Its caller gave up while it was in the queue.
    Abandoned,
    Answered(Answer),
}

#[derive(Debug)]
struct Shared {
    slots: Mutex<Vec<Slot>>,
    /// Commands without an answer.
    left: AtomicUsize,
    answered: Mutex<Option<oneshot::Sender<()>>>,
    begun: Instant,
    deadline: Instant,
    /// Came from another node: not sent on, that node knows better.
    forwarded: bool,
    /// Holds the places in the queue as long as anybody can still use them.
    _places: OwnedSemaphorePermit,
}

impl Shared {
    fn slots(&self) -> MutexGuard<'_, Vec<Slot>> {
        // A slot is replaced as a whole; a panic cannot leave half of one.
        self.slots.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn answer(&self, index: usize, answer: Answer) {
        {
            let mut slots = self.slots();
            if let slot @ (Slot::Queued | Slot::Sent) = &mut slots[index] {
                *slot = Slot::Answered(answer);
            }
        }
        if self.left.fetch_sub(1, Ordering::AcqRel) == 1 {
            let answered = self.answered.lock().unwrap_or_else(PoisonError::into_inner).take();
            if let Some(answered) = answered {
                // The caller may have gone.
                let _ = answered.send(());
            }
        }
    }
}

/// One command on its way. Dropped without an answer, it is answered with "unknown".
#[derive(Debug)]
pub(crate) struct Item {
    pub(crate) command: Command,
    /// How often it was tried.
    pub(crate) attempts: u32,
    /// An earlier try may have taken effect, so that only an outcome says what became of it.
    doubtful: bool,
    index: usize,
    shared: Option<Arc<Shared>>,
}

impl Item {
    fn shared(&self) -> Option<&Shared> {
        self.shared.as_deref()
    }

    pub(crate) fn deadline(&self) -> Instant {
        self.shared().map_or_else(Instant::now, |shared| shared.deadline)
    }

    /// When it was handed in.
    pub(crate) fn begun(&self) -> Instant {
        self.shared().map_or_else(Instant::now, |shared| shared.begun)
    }

    pub(crate) fn forwarded(&self) -> bool {
        self.shared().is_some_and(|shared| shared.forwarded)
    }

    /// An answer to one of its tries did not come. Asking again is safe if the ledger knows the command again.
    pub(crate) fn doubt(&mut self) -> bool {
        self.doubtful = true;
        match self.command.body {
            CommandBody::External(_) | CommandBody::Actor(_) => true,
            // Compare-and-set: a second one would be refused although the first one took effect.
            CommandBody::Cluster(_) => false,
        }
    }

    pub(crate) fn finish(mut self, answer: Answer) {
        let answer = match answer {
            Err(ProposeError::NotApplied { detail, .. } | ProposeError::Stopped { detail }) if self.doubtful => Err(
                ProposeError::unknown(format!("no answer came to the first try, and then: {detail}")),
            ),
            answer => answer,
        };
        if let Some(shared) = self.shared.take() {
            shared.answer(self.index, answer);
        }
    }

    /// Takes the command out of the queue. False when its caller gave up before.
    pub(crate) fn claim(&self) -> bool {
        let Some(shared) = self.shared() else { return false };
        let mut slots = shared.slots();
        if self.doubtful {
            return matches!(slots[self.index], Slot::Sent);
        }
        let queued = matches!(slots[self.index], Slot::Queued);
        if queued {
            slots[self.index] = Slot::Sent;
        }
        queued
    }

    /// Puts it back: it certainly had no effect, unless an earlier try may have had one.
    pub(crate) fn unclaim(&self) {
        if self.doubtful {
            return;
        }
        if let Some(shared) = self.shared()
            && let slot @ Slot::Sent = &mut shared.slots()[self.index]
        {
            *slot = Slot::Queued;
        }
    }
}

impl Drop for Item {
    fn drop(&mut self) {
        if let Some(shared) = self.shared.take() {
            let lost = Err(ProposeError::unknown("the node stopped while it was being applied"));
            shared.answer(self.index, lost);
        }
    }
}

/// Whoever waits for a batch.
pub(crate) struct Waiting {
    shared: Arc<Shared>,
    answered: oneshot::Receiver<()>,
}

/// Makes items of commands, and somebody who waits for all of them.
pub(crate) fn batch(
    commands: Vec<Command>,
    deadline: Instant,
    forwarded: bool,
    places: OwnedSemaphorePermit,
) -> (Vec<Item>, Waiting) {
    let (answer, answered) = oneshot::channel();
    let shared = Arc::new(Shared {
        slots: Mutex::new(commands.iter().map(|_| Slot::Queued).collect()),
        left: AtomicUsize::new(commands.len()),
        answered: Mutex::new(Some(answer)),
        begun: Instant::now(),
        deadline,
        forwarded,
        _places: places,
    });
    let items = commands
        .into_iter()
        .enumerate()
        .map(|(index, command)| Item {
            command,
            attempts: 0,
            doubtful: false,
            index,
            shared: Some(Arc::clone(&shared)),
        })
        .collect();
    (items, Waiting { shared, answered })
}

impl Waiting {
    /// The answers, in the order of the commands, at the deadline at the latest.
    pub(crate) async fn answers(self) -> Vec<Answer> {
        let Waiting { shared, answered } = self;
        if shared.left.load(Ordering::Acquire) > 0 {
            let _ = timeout_at(shared.deadline, answered).await;
        }
        let mut slots = shared.slots();
        slots
            .iter_mut()
            .map(|slot| match std::mem::replace(slot, Slot::Abandoned) {
                Slot::Answered(answer) => answer,
                Slot::Queued | Slot::Abandoned => Err(ProposeError::not_applied(
                    Reason::NoLeader,
                    "no leader with a quorum took it before its deadline",
                )),
                Slot::Sent => Err(ProposeError::unknown("no answer before the deadline")),
            })
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use portcullis_domain::command::{ClusterCommand, CommandBody};
    use portcullis_domain::id::{CommandNo, Timestamp};
    use portcullis_domain::outcome;
    use tokio::sync::Semaphore;

    use super::*;

    fn three(patience: Duration) -> (Vec<Item>, Waiting) {
        let command = Command {
            at: Timestamp::ZERO,
            traceparent: String::new(),
            body: CommandBody::Cluster(ClusterCommand::ActivateVersion { version: 2 }),
        };
        let places = Arc::new(Semaphore::new(3)).try_acquire_many_owned(3).unwrap();
        batch(vec![command; 3], Instant::now() + patience, false, places)
    }

    fn applied(number: u64) -> Answer {
        Ok(Outcome::Applied(outcome::Applied {
            number: CommandNo(number),
            entry: None,
            answer: outcome::Answer::Done,
        }))
    }

    #[tokio::test]
    async fn what_may_have_taken_effect_is_not_called_without_effect_later() {
        let (items, waiting) = three(Duration::from_secs(5));
        for (number, mut item) in items.into_iter().enumerate() {
            assert!(item.claim());
            assert!(!item.doubt(), "the ledger does not know compare-and-set again");
            item.unclaim();
            assert!(item.claim(), "it may be tried again all the same");
            match number {
                0 => item.finish(applied(7)),
                1 => item.finish(Err(ProposeError::not_applied(Reason::NoLeader, "gone"))),
                _ => item.finish(Err(ProposeError::stopped("gone"))),
            }
        }
        let answers = waiting.answers().await;
        assert_eq!(answers[0], applied(7));
        for answer in &answers[1..] {
            assert!(matches!(answer, Err(ProposeError::Unknown { .. })), "{answer:?}");
        }
    }

    #[tokio::test]
    async fn each_command_gets_its_own_answer_in_whatever_order_they_are_decided() {
        let (mut items, waiting) = three(Duration::from_secs(5));
        assert!(items.iter().all(Item::claim));
        items.reverse();
        for (number, item) in items.into_iter().enumerate() {
            item.finish(applied(number as u64));
        }
        assert_eq!(waiting.answers().await, [applied(2), applied(1), applied(0)]);
    }

    #[tokio::test]
    async fn at_the_deadline_what_was_sent_is_unknown_and_what_was_not_had_no_effect() {
        let (items, waiting) = three(Duration::from_millis(10));
        assert!(items[1].claim());
        assert!(items[2].claim());
        items[2].unclaim();
        let answers = waiting.answers().await;
        assert!(matches!(answers[0], Err(ProposeError::NotApplied { .. })));
        assert!(matches!(answers[1], Err(ProposeError::Unknown { .. })));
        assert!(matches!(answers[2], Err(ProposeError::NotApplied { .. })));
        assert!(!items[0].claim(), "its caller was told that it had no effect");
    }

    #[tokio::test]
    async fn what_is_dropped_is_unknown() {
        let (items, waiting) = three(Duration::from_secs(5));
        assert!(items.iter().all(Item::claim));
        drop(items);
        let answers = waiting.answers().await;
        assert!(
            answers
                .iter()
                .all(|answer| matches!(answer, Err(ProposeError::Unknown { .. })))
        );
    }
}
