//! The log as it is judged: the longest one that most nodes hold, and what becomes of the ledger when they are played.

use std::collections::{BTreeMap, VecDeque};

use portcullis_domain::codec::from_bytes;
use portcullis_domain::drift::ChartKey;
use portcullis_domain::event::{Actor, Event, Leaf};
use portcullis_domain::id::{Digest, InspectionNo};
use portcullis_domain::inspection::Inspection;
use portcullis_domain::ledger::Ledger;
use portcullis_domain::policy::Policy;
use std::sync::Arc;

use super::Evidence;

/// The decision log.
#[derive(Debug, Clone, Default)]
pub struct Record {
    /// The exact bytes, by entry.
    pub bytes: Vec<Vec<u8>>,
    /// What they say, with their entries, ascending.
    pub leaves: Vec<(u64, Leaf)>,
    /// Entries whose bytes say nothing, and why.
    pub unreadable: Vec<(u64, String)>,
    /// Entries by source and request id.
    pub by_request: BTreeMap<(String, String), Vec<u64>>,
}

impl Record {
    /// The log of a run: the longest one that most nodes hold. That the others are its beginning is for P6 to say.
    pub fn of(evidence: &Evidence) -> Self {
        let mut record = Self {
            bytes: evidence.reference().to_vec(),
            ..Self::default()
        };
        for (entry, bytes) in (0..).zip(&record.bytes) {
            match from_bytes::<Leaf>(bytes) {
                Ok(leaf) => {
                    if let Actor::External { source, request, .. } = &leaf.actor {
                        let id = (source.as_str().to_owned(), request.as_str().to_owned());
                        record.by_request.entry(id).or_default().push(entry);
                    }
                    record.leaves.push((entry, leaf));
                }
                Err(error) => record.unreadable.push((entry, error.to_string())),
            }
        }
        record
    }

    /// The leaf of an entry, if it is there and can be read.
    pub fn leaf(&self, entry: u64) -> Option<&Leaf> {
        let at = self.leaves.binary_search_by_key(&entry, |(entry, _)| *entry).ok()?;
        self.leaves.get(at).map(|(_, leaf)| leaf)
    }

    /// The entry of an inspection's conclusion that a barrier order may appeal to.
    pub fn conclusion(&self, entry: u64) -> Option<(InspectionNo, &Leaf)> {
        let leaf = self.leaf(entry)?;
        match &leaf.event {
            Event::Concluded { inspection, .. } => Some((*inspection, leaf)),
            _ => None,
        }
    }
}

/// A conclusion with all that it was judged from, as the log alone gives it.
#[derive(Debug, Clone)]
pub struct Judged {
    /// Its entry.
    pub entry: u64,
    /// The inspection right before it.
    pub case: Arc<Inspection>,
    /// The policy that it names, if the log has it.
    pub policy: Option<Arc<Policy>>,
    /// The policy that was active.
    pub active: Option<Digest>,
    /// What was adrift.
    pub adrift: Vec<ChartKey>,
}

/// The ledger, rebuilt from the leaves alone, as an auditor does it.
#[derive(Debug, Default)]
pub struct Replayed {
    /// The state at the end.
    pub ledger: Ledger,
    /// The root after each number of leaves, from none on.
    pub roots: Vec<Digest>,
    /// Every conclusion of an inspection that was there.
    pub judged: Vec<Judged>,
    /// Conclusions about what is not there: entry and inspection.
    pub unfounded: Vec<(u64, InspectionNo)>,
    /// Drift alarms that are not those that the conclusion before them raises: entry, and what is wrong.
    pub false_alarms: Vec<(u64, &'static str)>,
    /// The stage of each inspection after each command that changed it.
    pub stages: BTreeMap<(u64, u64), &'static str>,
}

impl Replayed {
    /// Plays the log. What cannot be read is left out, so nothing after it can be relied on.
    pub fn of(record: &Record) -> Self {
        let mut replayed = Self::default();
        replayed.roots.push(replayed.ledger.log().root());
        let mut due = VecDeque::new();
        for (entry, leaf) in &record.leaves {
            match (&leaf.event, due.pop_front()) {
                (Event::DriftAlarmed { alarm }, Some(expected)) if *alarm == expected => {}
                (Event::DriftAlarmed { .. }, Some(_)) => replayed
                    .false_alarms
                    .push((*entry, "is another alarm than the charts raise")),
                (Event::DriftAlarmed { .. }, None) => {
                    replayed.false_alarms.push((*entry, "is an alarm that no chart raises"))
                }
                (_, Some(_)) => {
                    due.clear();
                    replayed.false_alarms.push((*entry, "stands where an alarm should"));
                }
                (_, None) => {}
            }
            if let Event::Concluded { inspection, policy, .. } = &leaf.event {
                match replayed.ledger.inspection(*inspection) {
                    Some(case) => replayed.judged.push(Judged {
                        entry: *entry,
                        case: case.clone(),
                        policy: replayed.ledger.policy_of(policy).cloned(),
                        active: replayed.ledger.policy().map(|(digest, _)| digest),
                        adrift: replayed.ledger.charts().adrift(),
                    }),
                    None => replayed.unfounded.push((*entry, *inspection)),
                }
            }
            let number = leaf.number.0;
            let about = leaf.event.subjects().inspections;
            due.extend(replayed.ledger.replay(leaf.clone()));
            replayed.roots.push(replayed.ledger.log().root());
            for no in about {
                let open = replayed.ledger.inspection(no);
                let stage = open.map_or("departed", |case| case.stage.as_str());
                replayed.stages.insert((no.0, number), stage);
            }
        }
        replayed
    }
}
