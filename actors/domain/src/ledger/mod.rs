//! The ledger: the one state machine of the cluster.
//!
//! Applying a command has two halves. *Deciding* reads the state and says either which event follows or why not; it
//! changes nothing. *Evolving* takes an event into the state; it cannot fail. So a refused command has no effect by
//! construction, and an auditor who has only the decision log can replay the events and arrive at the same state.
//!
//! Every structure is an ordered persistent map: cloning the ledger is O(1), which is how snapshots and readers get a
//! consistent cut without stopping anyone.

mod actor;
mod answers;
mod cluster;
mod digest_map;
mod drift;
mod evolve;
mod external;
mod policies;
mod state;

use crate::codec::{canonical, from_bytes};
use crate::command::{Command, CommandBody, ExternalBody, ExternalCommand};
use crate::drift::Alarm;
use crate::event::{Actor, Event, LEAF_MAX, Leaf};
use crate::id::{CommandNo, Digest, EntryNo, Epoch, Sequence};
use crate::merkle::leaf_hash;
use crate::outcome::{Answer, Applied, Outcome, Refusal, RefusalReason};

pub use crate::course::NO_SHOW_AGAIN_MS;
pub use policies::Activation;
pub use state::{DeviceMark, Ledger};

/// How long answers to external requests are kept at least, milliseconds of log time: from the answer on, or, to an
/// announcement, from the departure of its container.
pub const ANSWERS_KEPT_MS: u64 = 24 * 3600 * 1000;

/// How many outcomes of an actor are remembered, which is also how many commands it may have in flight.
pub const OUTCOMES_KEPT: u64 = 64;

/// What applying a command did.
#[derive(Debug, Clone, PartialEq)]
pub struct Application {
    /// For whoever asked.
    pub outcome: Outcome,
    /// For the decision log, if anything changed.
    pub entry: Option<LogEntry>,
    /// For the decision log, right after it: the drift alarms that it raised.
    pub alarms: Vec<LogEntry>,
}

impl Application {
    fn only(outcome: Outcome) -> Self {
        Self {
            outcome,
            entry: None,
            alarms: Vec::new(),
        }
    }

    /// Everything for the decision log, in order.
    pub fn into_entries(self) -> impl Iterator<Item = LogEntry> {
        self.entry.into_iter().chain(self.alarms)
    }
}

/// A new leaf of the decision log.
#[derive(Debug, Clone, PartialEq)]
pub struct LogEntry {
    /// Its position.
    pub no: EntryNo,
    /// Its canonical bytes.
    pub bytes: Vec<u8>,
    /// Their [`leaf_hash`].
    pub hash: Digest,
}

impl LogEntry {
    /// What it says.
    pub fn leaf(&self) -> Leaf {
        from_bytes(&self.bytes).expect("these are the bytes of a leaf")
    }
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
    pub fn apply(&mut self, command: Command) -> Application {
        self.number = CommandNo(self.number.0 + 1);
        self.now = mutant!(ClockGoesBack, command.at, self.now.max(command.at));
        self.forget_old_answers();
        match command.body {
            CommandBody::External(external) => self.apply_external(external),
            CommandBody::Actor(actor) => {
                let key = actor.key.clone();
                if let Some(outcome) = self.fence(&actor) {
                    return Application::only(outcome);
                }
                let by = Actor::Placed {
                    key: key.clone(),
                    epoch: actor.epoch,
                };
                let decision = self.decide_actor(&actor);
                let application = self.carry_out(by, decision);
                self.remember(&key, actor.sequence, &application.outcome);
                application
            }
            CommandBody::Cluster(body) => {
                let decision = self.decide_cluster(&body);
                self.carry_out(Actor::Cluster, decision)
            }
        }
    }

    fn apply_external(&mut self, command: ExternalCommand) -> Application {
        let asked = answers::Asked::of(&command);
        if let Some(outcome) = self.answer_again(asked, &command.request) {
            return Application::only(outcome);
        }
        if let Err(refusal) = self.founded() {
            // Not kept as the answer: the caller is told to ask again, and does so under the same id.
            return Application::only(Outcome::Refused(refusal));
        }
        let ExternalCommand {
            source,
            request,
            principal,
            body,
        } = command;
        let parties = match &body {
            ExternalBody::Announce(announcement) => announcement.manifest.parties.clone(),
            _ => Vec::new(),
        };
        let model = match &body {
            ExternalBody::AddModel(model) => Some(model.clone()),
            _ => None,
        };
        let decision = self.decide_external(&source, body);
        let by = Actor::External {
            source,
            request,
            principal,
        };
        let application = self.carry_out(by, decision);
        self.keep_personal(parties, &application.outcome);
        self.keep_model(model, &application.outcome);
        self.keep_answer(asked, &application.outcome);
        application
    }

    /// Turns a decision into an outcome, and its event into a leaf and into state.
    fn carry_out(&mut self, by: Actor, decision: Result<Decision, Refusal>) -> Application {
        let refused = |refusal| Application::only(Outcome::Refused(refusal));
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
            return Application::only(Outcome::Applied(applied));
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
        let (entry, raised) = self.write(leaf, bytes);
        let alarms = raised.into_iter().map(|alarm| self.raise(alarm)).collect();
        let applied = Applied {
            number: self.number,
            entry: Some(entry.no),
            answer: decision.answer,
        };
        Application {
            outcome: Outcome::Applied(applied),
            entry: Some(entry),
            alarms,
        }
    }

    /// Puts a leaf into the decision log and takes its event into the state.
    fn write(&mut self, leaf: Leaf, bytes: Vec<u8>) -> (LogEntry, Vec<Alarm>) {
        let no = EntryNo(self.log.size());
        let hash = leaf_hash(&bytes);
        self.log.append(hash);
        let raised = self.evolve(no, leaf);
        (LogEntry { no, bytes, hash }, raised)
    }

    fn raise(&mut self, alarm: Alarm) -> LogEntry {
        let leaf = Leaf {
            number: self.number,
            at: self.now,
            actor: Actor::Cluster,
            event: Event::DriftAlarmed { alarm },
        };
        let bytes = leaf.bytes();
        self.write(leaf, bytes).0
    }

    /// Takes in a leaf of an existing decision log: how an auditor rebuilds the state from the log alone. Answers that
    /// only the log's writers need (to repeated requests and actor commands) are not rebuilt. Returns the drift alarms that
    /// must follow in the log, right after this leaf and in this order.
    pub fn replay(&mut self, leaf: Leaf) -> Vec<Alarm> {
        let no = EntryNo(self.log.size());
        self.number = leaf.number;
        self.now = leaf.at;
        self.log.append(leaf_hash(&leaf.bytes()));
        self.evolve(no, leaf)
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
}
