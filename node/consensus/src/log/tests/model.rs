//! The log against a model, through clean restarts and crashes.
//!
//! The model is the list of states that the log went through since the last one that was acknowledged. After a crash the log
//! must be in one of them: everything acknowledged is there, nothing is there that was never asked for, and nothing later is
//! there without what came before it.

use openraft::storage::RaftLogStorage;
use proptest::prelude::*;

use super::{Appended, Seen, append, entry, open, seen};
use crate::log::LogStore;
use crate::model::{Call, ModelDisk};
use crate::record::Record;
use crate::types::{Vote, log_id};

#[derive(Debug, Clone)]
enum Step {
    Append {
        count: u64,
        bytes: usize,
        wait: bool,
    },
    /// In 1/256 of what is there.
    Truncate(u8),
    Purge(u8),
    PurgeBehindTheEnd,
    Vote,
    Committed(u8),
    Yield,
    Reopen,
    Crash {
        seed: u64,
        fail: Option<(Call, u64)>,
        count: u64,
        bytes: usize,
    },
}

fn step() -> impl Strategy<Value = Step> {
    let bytes = prop_oneof![4 => 0_usize..300, 1 => 300_usize..6000];
    let call = prop_oneof![Just(Call::Write), Just(Call::Sync), Just(Call::SyncDir)];
    prop_oneof![
        8 => (1_u64..12, bytes.clone(), any::<bool>()).prop_map(|(count, bytes, wait)| Step::Append { count, bytes, wait }),
        2 => any::<u8>().prop_map(Step::Truncate),
        3 => any::<u8>().prop_map(Step::Purge),
        1 => Just(Step::PurgeBehindTheEnd),
        2 => Just(Step::Vote),
        2 => any::<u8>().prop_map(Step::Committed),
        1 => Just(Step::Yield),
        1 => Just(Step::Reopen),
        3 => (any::<u64>(), prop::option::of((call, 0_u64..6)), 1_u64..30, bytes)
            .prop_map(|(seed, fail, count, bytes)| Step::Crash { seed, fail, count, bytes }),
    ]
}

struct Run {
    disk: ModelDisk,
    log: LogStore,
    /// Everything that the log may be after a crash, the newest last.
    states: Vec<Seen>,
    /// How many states were forgotten because later ones were acknowledged.
    forgotten: usize,
    /// Appends that were not waited for, with the number of the state that they end in.
    pending: Vec<(usize, Appended)>,
    term: u64,
    committed: Option<u64>,
}

impl Run {
    fn now(&self) -> &Seen {
        self.states.last().unwrap()
    }

    fn change(&mut self, change: impl FnOnce(&mut Seen)) {
        let mut next = self.now().clone();
        change(&mut next);
        self.states.push(next);
    }

    /// The state of this number was acknowledged.
    fn acknowledged(&mut self, number: usize) {
        if number > self.forgotten {
            self.states.drain(..number - self.forgotten);
            self.forgotten = number;
        }
    }

    fn number(&self) -> usize {
        self.forgotten + self.states.len() - 1
    }

    /// An index in what is there, or the last purged one.
    fn index(&self, part: u8) -> Option<u64> {
        let entries = &self.now().entries;
        let at = entries.len() * usize::from(part) / 256;
        entries.get(at).map(|(id, _)| id.index)
    }

    async fn append(&mut self, count: u64, bytes: usize) -> Option<Appended> {
        let next = self.now().last.map_or(0, |id| id.index + 1);
        let entries: Vec<_> = (next..next + count)
            .map(|index| entry(self.term, index, bytes))
            .collect();
        let appended = append(&mut self.log, entries.clone()).await;
        for entry in entries {
            self.change(|seen| {
                seen.last = Some(entry.log_id);
                seen.entries.push((entry.log_id, Record::of(&entry.payload)));
            });
        }
        appended.ok()
    }

    fn collect(&mut self) {
        let mut acknowledged = 0;
        self.pending.retain_mut(|(number, appended)| match appended.now() {
            None => true,
            Some(result) => {
                if result.is_ok() {
                    acknowledged = acknowledged.max(*number);
                }
                false
            }
        });
        self.acknowledged(acknowledged);
    }

    async fn take(&mut self, step: Step) {
        match step {
            Step::Append { count, bytes, wait } => {
                let appended = self.append(count, bytes).await.unwrap();
                let number = self.number();
                if wait {
                    appended.durable().await.unwrap();
                    self.acknowledged(number);
                } else {
                    self.pending.push((number, appended));
                }
            }
            Step::Truncate(part) => {
                if let Some(index) = self.index(part) {
                    let first = self.now().entries[0].0.index;
                    let after = match index == first {
                        true => self.now().purged,
                        false => Some(self.now().entries[(index - first - 1) as usize].0),
                    };
                    self.log.truncate_after(after).await.unwrap();
                    self.change(|seen| {
                        seen.entries.truncate((index - first) as usize);
                        seen.last = after;
                    });
                    self.term += 1;
                }
            }
            Step::Purge(part) => {
                if let Some(index) = self.index(part) {
                    let first = self.now().entries[0].0.index;
                    let upto = self.now().entries[(index - first) as usize].0;
                    self.log.purge(upto).await.unwrap();
                    self.change(|seen| {
                        seen.entries.drain(..=(index - first) as usize);
                        seen.purged = Some(upto);
                    });
                }
            }
            Step::PurgeBehindTheEnd => {
                let upto = log_id(self.term, 1, self.now().last.map_or(3, |id| id.index + 3));
                self.log.purge(upto).await.unwrap();
                self.change(|seen| {
                    seen.entries.clear();
                    (seen.purged, seen.last) = (Some(upto), Some(upto));
                });
            }
            Step::Vote => {
                self.term += 1;
                let vote = Vote::new(self.term, 1);
                self.change(|seen| seen.vote = Some(vote));
                self.log.save_vote(&vote).await.unwrap();
                self.acknowledged(self.number());
            }
            Step::Committed(part) => {
                if let Some(index) = self.index(part) {
                    let first = self.now().entries[0].0.index;
                    let id = self.now().entries[(index - first) as usize].0;
                    self.log.save_committed(Some(id)).await.unwrap();
                    self.committed = self.committed.max(Some(index));
                }
            }
            Step::Yield => tokio::task::yield_now().await,
            Step::Reopen => {
                self.log.close().await;
                self.acknowledged(self.number());
                self.pending.clear();
                self.log = open(&self.disk).unwrap();
            }
            Step::Crash {
                seed,
                fail,
                count,
                bytes,
            } => {
                match fail {
                    Some((call, after)) => {
                        self.disk.fail(call, after, 5);
                        let number = self.number() + count as usize;
                        if let Some(appended) = self.append(count, bytes).await
                            && appended.durable().await.is_ok()
                        {
                            self.acknowledged(number);
                        }
                    }
                    // Queued, and not written.
                    None => drop(self.append(count, bytes).await),
                }
                self.collect();
                self.pending.clear();
                self.disk.crash(seed);
                self.log = open(&self.disk).unwrap();
                let found = seen(&mut self.log).await;
                let known = self.states.iter().position(|state| *state == found);
                assert!(known.is_some(), "found {found:#?}\nwhich is none of {:#?}", self.states);
                self.states = vec![found];
                self.forgotten = 0;
                self.term += 1;
            }
        }
        self.collect();
        let found = seen(&mut self.log).await;
        assert_eq!(&found, self.now());
        let committed = self.log.read_committed().await.unwrap().map(|id| id.index);
        assert!(committed <= self.committed);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 150, failure_persistence: None, ..ProptestConfig::default() })]
    #[test]
    fn whatever_happens_all_that_was_acknowledged_is_there_and_nothing_that_never_was(
        steps in prop::collection::vec(step(), 1..60)
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        runtime.block_on(async {
            let disk = ModelDisk::default();
            let mut run = Run {
                log: open(&disk).unwrap(),
                disk,
                states: vec![Seen::default()],
                forgotten: 0,
                pending: Vec::new(),
                term: 1,
                committed: None,
            };
            for step in steps {
                run.take(step).await;
            }
        });
    }
}
