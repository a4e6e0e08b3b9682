//! Answers to requests from outside: the first one is given again to whoever repeats the request.
//!
//! A request is known by half of the SHA-256 of its source and id. The answer to an announcement stays while its inspection
//! is open; from then on, and for every other request from the start, it is kept for [`ANSWERS_KEPT_MS`]. After that only
//! the key stays, so that a very late repetition is refused instead of run.

use super::digest_map::{DigestMap, Key};
use super::{ANSWERS_KEPT_MS, Ledger};
use crate::codec::{Canonical, canonical};
use crate::command::{ExternalBody, ExternalCommand};
use crate::id::{Digest, InspectionNo, RequestId, Timestamp};
use crate::outcome::{Answer, Applied, Outcome, Refusal, RefusalReason};

/// How many answers one command forgets at most: more than it can bring, so that they become fewer, and few enough that no
/// command takes long, also after a day without any.
const FORGOTTEN_AT_ONCE: usize = 64;

/// What a request is known by.
pub(super) type RequestKey = Key;
/// The first answers that are kept.
pub(super) type Answers = DigestMap<Answered, 8>;
/// Which requests were answered so long ago that only this is still known of them, for ever: so it has to be small.
pub(super) type Spent = DigestMap<(), 64>;

/// The answer to a request that was taken in before.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Answered {
    /// Half of the digest of what was asked.
    body: [u8; 16],
    /// The first answer.
    outcome: Kept,
}

canonical!(struct Answered { body, outcome });

/// An outcome, with the rarer and larger kind out of the way: there may be millions.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Kept {
    Applied(Applied),
    Refused(std::sync::Arc<Refusal>),
}

canonical!(enum Kept { 1 => Applied(applied), 2 => Refused(refusal) });

impl Kept {
    fn of(outcome: &Outcome) -> Self {
        match outcome {
            Outcome::Applied(applied) => Self::Applied(applied.clone()),
            Outcome::Refused(refusal) => Self::Refused(refusal.clone().into()),
        }
    }

    fn outcome(&self) -> Outcome {
        match self {
            Self::Applied(applied) => Outcome::Applied(applied.clone()),
            Self::Refused(refusal) => Outcome::Refused((**refusal).clone()),
        }
    }

    /// The inspection that it names, if it answers an announcement.
    fn inspection(&self) -> Option<InspectionNo> {
        match self {
            Self::Applied(Applied {
                answer: Answer::Inspection { inspection, .. },
                ..
            }) => Some(*inspection),
            _ => None,
        }
    }
}

/// What a request is recognised by.
#[derive(Debug, Clone, Copy)]
pub(super) struct Asked {
    key: RequestKey,
    body: [u8; 16],
}

impl Asked {
    pub(super) fn of(command: &ExternalCommand) -> Self {
        let mut bytes = Vec::with_capacity(512);
        command.source.put(&mut bytes);
        command.request.put(&mut bytes);
        let key = half_digest(&bytes);
        bytes.clear();
        put_comparable(&command.body, &mut bytes);
        Self {
            key,
            body: half_digest(&bytes),
        }
    }
}

impl Ledger {
    /// The answer to a request that was taken in before.
    pub(super) fn answer_again(&self, asked: Asked, request: &RequestId) -> Option<Outcome> {
        if let Some(known) = self.answers.get(&asked.key) {
            return Some(match mutant!(BodiesNotCompared, true, known.body == asked.body) {
                true => known.outcome.outcome(),
                false => Outcome::Refused(Refusal::new(
                    RefusalReason::RequestIdReused,
                    "context.request_id",
                    format!("{request} was used for another request; take a new id"),
                )),
            });
        }
        self.spent.get(&asked.key).map(|()| {
            Outcome::Refused(Refusal::new(
                RefusalReason::RequestExpired,
                "context.request_id",
                format!("the answer to {request} is no longer kept; look up what became of it"),
            ))
        })
    }

    /// Keeps the first answer.
    pub(super) fn keep_answer(&mut self, asked: Asked, outcome: &Outcome) {
        mutant!(RequestsForgotten, return);
        let outcome = Kept::of(outcome);
        match outcome.inspection() {
            Some(no) => {
                self.staying.insert((no, asked.key));
            }
            None => self.expiring.push_back((self.now, asked.key)),
        }
        let body = asked.body;
        self.answers.insert(asked.key, Answered { body, outcome });
    }

    /// An inspection is closed: the answers to its announcements stay only for their time.
    pub(super) fn let_answers_expire(&mut self, no: InspectionNo) {
        let keys: Vec<_> = self.staying.range((no, [0; 16])..=(no, [255; 16])).copied().collect();
        for key in keys {
            self.staying.remove(&key);
            self.expiring.push_back((self.now, key.1));
        }
    }

    /// Which answers stay with their inspection follows from the answers.
    pub(super) fn find_staying(&mut self) {
        let staying = self.answers.iter().filter_map(|(key, answered)| {
            let no = answered.outcome.inspection()?;
            self.inspections.contains_key(&no).then_some((no, *key))
        });
        self.staying = staying.collect();
    }

    pub(super) fn forget_old_answers(&mut self) {
        let horizon = Timestamp(self.now.0.saturating_sub(ANSWERS_KEPT_MS));
        for _ in 0..FORGOTTEN_AT_ONCE {
            match self.expiring.front() {
                Some((at, key)) if *at < horizon => {
                    let key = *key;
                    self.expiring.pop_front();
                    self.answers.remove(&key);
                    self.spent.insert(key, ());
                }
                _ => return,
            }
        }
    }
}

fn half_digest(bytes: &[u8]) -> [u8; 16] {
    let mut half = [0; 16];
    half.copy_from_slice(&Digest::of(bytes).0[..16]);
    half
}

/// The body without parties: their salts differ between two intakes of one request, and an unsalted hash of a name would
/// outlive its erasure.
fn put_comparable(body: &ExternalBody, out: &mut Vec<u8>) {
    match body {
        ExternalBody::Announce(announcement) => announcement.put_without_parties(out),
        other => other.put(out),
    }
}
