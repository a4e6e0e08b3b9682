//! The ledger: the one state machine of the cluster.
//!
//! Applying a command has two halves. *Deciding* reads the state and says either which event follows or why not; it
//! changes nothing. *Evolving* takes an event into the state; it cannot fail. So a refused command has no effect by
//! construction, and an auditor who has only the decision log can replay the events and arrive at the same state.
//!
//! Every structure is an ordered persistent map: cloning the ledger is O(1), which is how snapshots and readers get a
//! consistent cut without stopping anyone.

mod actor;
mod cluster;
mod evolve;
mod external;
mod state;

use crate::codec::{canonical, to_bytes};
use crate::command::{Command, CommandBody, ExternalBody, ExternalCommand};
use crate::event::{Actor, Event, LEAF_MAX, Leaf};
use crate::id::{CommandNo, Digest, EntryNo, Epoch, RequestId, Sequence, SourceId, Timestamp};
use crate::merkle::leaf_hash;
use crate::outcome::{Answer, Applied, Outcome, Refusal, RefusalReason};

pub use state::{DeviceMark, Ledger};

/// How long answers to external requests other than announcements are kept, milliseconds of log time.
pub const ANSWERS_KEPT_MS: u64 = 24 * 3600 * 1000;

/// How many outcomes of an actor are remembered, which is also how many commands it may have in flight.
pub const OUTCOMES_KEPT: u64 = 64;

/// A container that was called up and never came is called up again no sooner than this, milliseconds of log time.
pub const NO_SHOW_AGAIN_MS: u64 = 15 * 60 * 1000;

/// What applying a command did.
#[derive(Debug, Clone, PartialEq)]
pub struct Application {
    /// For whoever asked.
    pub outcome: Outcome,
    /// For the decision log, if anything changed.
    pub entry: Option<LogEntry>,
}

/// A new leaf of the decision log.
#[derive(Debug, Clone, PartialEq)]
pub struct LogEntry {
    /// Its position.
    pub no: EntryNo,
    /// Its canonical bytes.
    pub bytes: Vec<u8>,
    /// What it says.
    pub leaf: Leaf,
}

/// What follows from a command: an event if anything changes, and what the caller is told.
struct Decision {
    event: Option<Event>,
    answer: Answer,
}

impl Decision {
    fn event(event: Event) -> Result<Self, Refusal> {
        Ok(Self {
            event: Some(event),
            answer: Answer::Done,
        })
    }

    fn answered(event: Event, answer: Answer) -> Result<Self, Refusal> {
        Ok(Self {
            event: Some(event),
            answer,
        })
    }

    fn nothing_new(answer: Answer) -> Result<Self, Refusal> {
        Ok(Self { event: None, answer })
    }
}

/// The answer to a request that was taken in before.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Answered {
    /// Digest of what was asked.
    body: Digest,
    /// The first answer.
    outcome: Outcome,
}

canonical!(struct Answered { body, outcome });

/// The last outcomes of an actor under its present epoch.
#[derive(Debug, Clone, PartialEq, Eq)]
struct SequenceWindow {
    epoch: Epoch,
    high: Sequence,
    outcomes: imbl::OrdMap<Sequence, Outcome>,
}

canonical!(struct SequenceWindow { epoch, high, outcomes });

impl Ledger {
    /// Applies one command. Total and deterministic: every replica gets the same outcome and the same leaf.
    pub fn apply(&mut self, command: &Command) -> Application {
        self.number = CommandNo(self.number.0 + 1);
        self.now = self.now.max(command.at);
        self.forget_old_answers();
        match &command.body {
            CommandBody::External(external) => self.apply_external(external),
            CommandBody::Actor(actor) => {
                let key = actor.key.clone();
                if let Some(outcome) = self.fence(actor) {
                    return Application { outcome, entry: None };
                }
                let by = Actor::Placed {
                    key: key.clone(),
                    epoch: actor.epoch,
                };
                let decision = self.decide_actor(actor);
                let application = self.carry_out(by, decision);
                self.remember(&key, actor.sequence, &application.outcome);
                application
            }
            CommandBody::Cluster(body) => {
                let decision = self.decide_cluster(body);
                self.carry_out(Actor::Cluster, decision)
            }
        }
    }

    fn apply_external(&mut self, command: &ExternalCommand) -> Application {
        let key = (command.source.clone(), command.request.clone());
        let body = Digest::of(&to_bytes(&comparable(&command.body)));
        if let Some(known) = self.answers.get(&key) {
            let outcome = if known.body == body {
                known.outcome.clone()
            } else {
                Outcome::Refused(Refusal::new(
                    RefusalReason::RequestIdReused,
                    "context.request_id",
                    format!("{} was used for another request; take a new id", command.request),
                ))
            };
            return Application { outcome, entry: None };
        }
        if self.spent.contains_key(&spent_key(&command.source, &command.request)) {
            let refusal = Refusal::new(
                RefusalReason::RequestExpired,
                "context.request_id",
                format!(
                    "the answer to {} is no longer kept; look up what became of it",
                    command.request
                ),
            );
            return Application {
                outcome: Outcome::Refused(refusal),
                entry: None,
            };
        }
        if let Err(refusal) = self.founded() {
            // Not kept as the answer: the caller is told to ask again, and does so under the same id.
            return Application {
                outcome: Outcome::Refused(refusal),
                entry: None,
            };
        }
        let by = Actor::External {
            source: command.source.clone(),
            request: command.request.clone(),
            principal: command.principal.clone(),
        };
        let decision = self.decide_external(command);
        let application = self.carry_out(by, decision);
        self.keep_personal(&command.body, &application.outcome);
        let stays =
            matches!(command.body, ExternalBody::Announce(_)) && matches!(application.outcome, Outcome::Applied(_));
        if !stays {
            self.expiring.insert((self.now, key.clone()), ());
        }
        self.answers.insert(
            key,
            Answered {
                body,
                outcome: application.outcome.clone(),
            },
        );
        application
    }

    /// Turns a decision into an outcome, and its event into a leaf and into state.
    fn carry_out(&mut self, by: Actor, decision: Result<Decision, Refusal>) -> Application {
        let refused = |refusal| Application {
            outcome: Outcome::Refused(refusal),
            entry: None,
        };
        let decision = match decision {
            Ok(decision) => decision,
            Err(refusal) => return refused(refusal),
        };
        let Some(event) = decision.event else {
            let applied = Applied {
                number: self.number,
                entry: None,
                answer: decision.answer,
            };
            return Application {
                outcome: Outcome::Applied(applied),
                entry: None,
            };
        };
        let leaf = Leaf {
            number: self.number,
            at: self.now,
            actor: by,
            event,
        };
        let bytes = leaf.bytes();
        if bytes.len() > LEAF_MAX {
            return refused(Refusal::new(
                RefusalReason::TooMany,
                "",
                format!(
                    "its log entry would have {} bytes; at most {LEAF_MAX} are allowed",
                    bytes.len()
                ),
            ));
        }
        let no = EntryNo(self.log.size());
        self.log.append(leaf_hash(&bytes));
        self.evolve(no, &leaf);
        let applied = Applied {
            number: self.number,
            entry: Some(no),
            answer: decision.answer,
        };
        Application {
            outcome: Outcome::Applied(applied),
            entry: Some(LogEntry { no, bytes, leaf }),
        }
    }

    /// Takes in a leaf of an existing decision log: how an auditor rebuilds the state from the log alone. Answers that
    /// only the log's writers need (to repeated requests and actor commands) are not rebuilt.
    pub fn replay(&mut self, leaf: &Leaf) {
        let no = EntryNo(self.log.size());
        self.number = leaf.number;
        self.now = leaf.at;
        self.log.append(leaf_hash(&leaf.bytes()));
        self.evolve(no, leaf);
    }

    fn remember(&mut self, key: &crate::placement::ActorKey, sequence: Sequence, outcome: &Outcome) {
        let Some(window) = self.sequences.get_mut(key) else {
            return;
        };
        window.high = window.high.max(sequence);
        window.outcomes.insert(sequence, outcome.clone());
        let oldest = Sequence(window.high.0.saturating_sub(OUTCOMES_KEPT - 1));
        while let Some((first, _)) = window.outcomes.get_min() {
            if *first >= oldest {
                break;
            }
            let first = *first;
            window.outcomes.remove(&first);
        }
    }

    fn forget_old_answers(&mut self) {
        let horizon = Timestamp(self.now.0.saturating_sub(ANSWERS_KEPT_MS));
        while let Some(((at, key), ())) = self.expiring.get_min() {
            if *at >= horizon {
                break;
            }
            let (at, key) = (*at, key.clone());
            self.expiring.remove(&(at, key.clone()));
            self.answers.remove(&key);
            self.spent.insert(spent_key(&key.0, &key.1), ());
        }
    }
}

/// Half a digest is plenty to recognise a request that was answered long ago.
fn spent_key(source: &SourceId, request: &RequestId) -> [u8; 16] {
    let digest = Digest::of(&to_bytes(&(source.clone(), request.clone())));
    let mut key = [0; 16];
    key.copy_from_slice(&digest.0[..16]);
    key
}

/// The body without parties: their salts differ between two intakes of one request, and an unsalted hash of a name would
/// outlive its erasure.
fn comparable(body: &ExternalBody) -> ExternalBody {
    let mut body = body.clone();
    if let ExternalBody::Announce(announcement) = &mut body {
        announcement.manifest.parties.clear();
    }
    body
}
