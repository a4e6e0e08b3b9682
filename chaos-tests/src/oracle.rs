//! The judge: reads the log as an outsider and compares it with what clients were told.
//!
//! It hashes every leaf itself, so that a root of a node vouches for all content that it has read so far.

use std::collections::BTreeMap;
use std::fmt;

use futures::StreamExt as _;
use portcullis_domain::id::Digest;
use portcullis_domain::merkle::{Frontier, leaf_hash};
use portcullis_proto::v1 as pb;
use portcullis_proto::v1::actor::Actor;
use portcullis_proto::v1::log_service_client::LogServiceClient;
use prost::Message as _;
use tonic::transport::Channel;

use crate::account::Account;
use crate::cluster::{CALL, call, deadline};
use crate::write::{SOURCE, Told, equipment};

/// Entries that are asked for at the same time.
const AT_ONCE: usize = 32;

/// What the log says about one of our writes.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Seen {
    entry: u64,
    command_number: u64,
    inspection: u64,
    equipment: String,
}

/// A broken promise.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Violation {
    /// A write was acknowledged and is not in the log.
    Lost {
        /// Its number.
        serial: u64,
    },
    /// What the log, or a repeated request, says is not what was acknowledged.
    Changed {
        /// Its number.
        serial: u64,
        /// What was acknowledged.
        told: String,
        /// What there is now.
        found: String,
    },
    /// A write took effect twice.
    Twice {
        /// Its number.
        serial: u64,
        /// Where, in the log.
        entries: [u64; 2],
    },
    /// The log has a write that was refused, or that nobody sent.
    Phantom {
        /// Its number.
        serial: u64,
        /// Where, in the log.
        entry: u64,
    },
    /// An entry, or the root over all entries, is not what it was, or not what its hash says.
    LogChanged {
        /// What was compared, and what was found.
        what: String,
    },
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Lost { serial } => write!(f, "write {serial} was acknowledged and is lost"),
            Self::Changed { serial, told, found } => {
                write!(
                    f,
                    "write {serial} has changed: acknowledged was {told}, now it is {found}"
                )
            }
            Self::Twice {
                serial,
                entries: [a, b],
            } => write!(f, "write {serial} took effect twice, in entries {a} and {b}"),
            Self::Phantom { serial, entry } => {
                write!(f, "entry {entry} has write {serial}, which was refused or never sent")
            }
            Self::LogChanged { what } => write!(f, "the log has changed: {what}"),
        }
    }
}

/// What has been read of the log.
#[derive(Debug, Default)]
pub struct Oracle {
    frontier: Frontier,
    hashes: Vec<Digest>,
    seen: BTreeMap<u64, Seen>,
    found: Vec<Violation>,
}

impl Oracle {
    /// How many entries were read.
    pub fn size(&self) -> u64 {
        self.frontier.size()
    }

    /// Reads on, up to this head, at one node, and compares the head's root with the own one.
    ///
    /// # Errors
    /// If the node does not answer; broken promises are no errors but found by [`Oracle::judge`].
    pub async fn follow(&mut self, node: &Channel, head: &pb::GetHeadResponse) -> anyhow::Result<()> {
        if head.size < self.size() {
            self.found.push(Violation::LogChanged {
                what: format!("it had {} entries, now it has {}", self.size(), head.size),
            });
            return Ok(());
        }
        let mut entries = entries(node, self.size(), head.size);
        while let Some(entry) = entries.next().await {
            self.take(&entry?);
        }
        if self.frontier.root().0.as_slice() != head.root {
            self.found.push(Violation::LogChanged {
                what: format!(
                    "the leaves of its {} entries give root {}, the nodes say {}",
                    head.size,
                    hex::encode(self.frontier.root().0),
                    hex::encode(&head.root)
                ),
            });
        }
        Ok(())
    }

    /// Reads everything again at one node, and compares it with what was read before.
    ///
    /// # Errors
    /// If the node does not answer.
    pub async fn read_again(&mut self, node: &Channel) -> anyhow::Result<()> {
        let mut entries = entries(node, 0, self.size());
        while let Some(entry) = entries.next().await {
            let entry = entry?;
            let before = usize::try_from(entry.entry).ok().and_then(|at| self.hashes.get(at));
            if before != Some(&leaf_hash(&entry.leaf)) {
                self.found.push(Violation::LogChanged {
                    what: format!("entry {} has another leaf than when it was read first", entry.entry),
                });
            }
        }
        Ok(())
    }

    /// A repeated request was answered: an acknowledged one must get the same bytes.
    pub fn repeated(&mut self, serial: u64, before: &Told, now: &Told) {
        let Told::Applied(told) = before else { return };
        let found = match now {
            Told::Applied(found) if found == told => return,
            Told::Applied(found) => hex::encode(found),
            Told::Refused(reason) => format!("refused with {reason}"),
            Told::Unknown => "unknown".to_owned(),
        };
        self.found.push(Violation::Changed {
            serial,
            told: hex::encode(told),
            found,
        });
    }

    /// The broken promises met while reading and repeating, without looking at the account.
    pub fn met(&self) -> &[Violation] {
        &self.found
    }

    /// All broken promises: those met while reading, and those of the account as it is now.
    pub fn judge(&self, account: &Account) -> Vec<Violation> {
        let mut found = self.found.clone();
        for (serial, told) in account.told() {
            let seen = self.seen.get(serial);
            match (told, seen) {
                (Told::Applied(_), None) => found.push(Violation::Lost { serial: *serial }),
                (Told::Applied(answer), Some(seen)) => found.extend(compare(*serial, answer, seen)),
                (Told::Refused(_), Some(seen)) => found.push(Violation::Phantom {
                    serial: *serial,
                    entry: seen.entry,
                }),
                (Told::Refused(_), None) | (Told::Unknown, _) => {}
            }
        }
        for (serial, seen) in self.seen.range(account.end()..) {
            found.push(Violation::Phantom {
                serial: *serial,
                entry: seen.entry,
            });
        }
        found
    }

    fn take(&mut self, entry: &pb::GetEntryResponse) {
        let hash = leaf_hash(&entry.leaf);
        self.frontier.append(hash);
        self.hashes.push(hash);
        let Some(event) = &entry.event else {
            self.found.push(Violation::LogChanged {
                what: format!("entry {} says nothing", entry.entry),
            });
            return;
        };
        let Some((serial, seen)) = ours(event) else { return };
        if let Some(before) = self.seen.get(&serial) {
            self.found.push(Violation::Twice {
                serial,
                entries: [before.entry, seen.entry],
            });
        } else {
            self.seen.insert(serial, seen);
        }
    }
}

/// One of our announcements, if this is one.
fn ours(event: &pb::Event) -> Option<(u64, Seen)> {
    let Actor::External(context) = event.actor.as_ref()?.actor.as_ref()? else {
        return None;
    };
    if context.source != SOURCE {
        return None;
    }
    let seen = Seen {
        entry: event.entry,
        command_number: event.command_number,
        inspection: event.inspections.first().copied().unwrap_or_default(),
        equipment: event.equipment_id.clone(),
    };
    // A request id that is no number is none that was ever sent.
    Some((context.request_id.parse().unwrap_or(u64::MAX), seen))
}

fn compare(serial: u64, answer: &[u8], seen: &Seen) -> Option<Violation> {
    let changed = |told: String| Violation::Changed {
        serial,
        told,
        found: format!("{seen:?}"),
    };
    let Ok(answer) = pb::AnnounceResponse::decode(answer) else {
        return Some(changed(format!("bytes that are no answer: {}", hex::encode(answer))));
    };
    let applied = answer.applied.as_ref();
    let told = Seen {
        entry: applied.and_then(|applied| applied.entry).unwrap_or(u64::MAX),
        command_number: applied.map_or(0, |applied| applied.command_number),
        inspection: answer.inspection,
        equipment: equipment(serial),
    };
    (told != *seen).then(|| changed(format!("{told:?}")))
}

fn entries(
    node: &Channel,
    from: u64,
    to: u64,
) -> impl futures::Stream<Item = anyhow::Result<pb::GetEntryResponse>> + Unpin {
    let log = LogServiceClient::new(node.clone());
    Box::pin(
        futures::stream::iter(from..to)
            .map(move |entry| {
                let mut log = log.clone();
                async move {
                    // A node that lacks a bundle fetches it first, which may take a second try.
                    crate::wait::eventually(&format!("entry {entry} is read"), CALL, async || {
                        call(log.get_entry(deadline(pb::GetEntryRequest { entry }, CALL))).await
                    })
                    .await
                }
            })
            .buffered(AT_ONCE),
    )
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

    use super::*;

    fn entry(entry: u64, serial: u64) -> pb::GetEntryResponse {
        let context = crate::write::request(serial).context.unwrap();
        pb::GetEntryResponse {
            entry,
            leaf: vec![u8::try_from(serial).unwrap()].into(),
            leaf_hash: Vec::new().into(),
            event: Some(pb::Event {
                entry,
                command_number: entry + 10,
                kind: "announced".to_owned(),
                actor: Some(pb::Actor {
                    actor: Some(Actor::External(context)),
                    text: String::new(),
                }),
                inspections: vec![entry + 100],
                equipment_id: equipment(serial),
                ..pb::Event::default()
            }),
        }
    }

    fn applied(entry: u64) -> Told {
        let answer = pb::AnnounceResponse {
            inspection: entry + 100,
            known: false,
            applied: Some(pb::Applied {
                command_number: entry + 10,
                entry: Some(entry),
            }),
        };
        Told::Applied(answer.encode_to_vec())
    }

    fn account(told: &[Told]) -> (tempfile::TempDir, Account) {
        let place = tempfile::tempdir().unwrap();
        let mut account = Account::open(&place.path().join("account.jsonl")).unwrap();
        for told in told {
            let serial = account.reserve().unwrap();
            account.record(serial, told.clone()).unwrap();
        }
        (place, account)
    }

    #[test]
    fn a_log_that_holds_what_was_told_breaks_no_promise() {
        let mut oracle = Oracle::default();
        for (at, serial) in [(0, 0), (1, 2)] {
            oracle.take(&entry(at, serial));
        }
        let refused = Told::Refused("NO_LEADER".to_owned());
        let (_place, account) = account(&[applied(0), refused, applied(1), Told::Unknown]);
        assert_eq!(oracle.judge(&account), []);
    }

    #[test]
    fn each_broken_promise_is_found() {
        let refused = Told::Refused("NO_LEADER".to_owned());
        let judge = |entries: &[(u64, u64)], told: &[Told]| {
            let mut oracle = Oracle::default();
            for (at, serial) in entries {
                oracle.take(&entry(*at, *serial));
            }
            let (_place, account) = account(told);
            oracle.judge(&account)
        };
        assert_eq!(judge(&[], &[applied(0)]), [Violation::Lost { serial: 0 }]);
        assert!(matches!(
            judge(&[(1, 0)], &[applied(0)])[..],
            [Violation::Changed { serial: 0, .. }]
        ));
        assert_eq!(
            judge(&[(0, 0), (1, 0)], &[Told::Unknown]),
            [Violation::Twice {
                serial: 0,
                entries: [0, 1]
            }],
            "unknown may be there, but not twice"
        );
        assert_eq!(
            judge(&[(0, 0)], &[refused]),
            [Violation::Phantom { serial: 0, entry: 0 }]
        );
        assert_eq!(judge(&[(0, 9)], &[]), [Violation::Phantom { serial: 9, entry: 0 }]);
    }

    #[test]
    fn a_repeated_request_with_other_bytes_is_found() {
        let mut oracle = Oracle::default();
        oracle.repeated(3, &applied(0), &applied(0));
        oracle.repeated(3, &Told::Unknown, &applied(0));
        let (_place, account) = account(&[]);
        assert_eq!(oracle.judge(&account), []);
        oracle.repeated(3, &applied(0), &applied(1));
        assert!(matches!(
            oracle.judge(&account)[..],
            [Violation::Changed { serial: 3, .. }]
        ));
    }
}
