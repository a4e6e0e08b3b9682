//! Mistakes that are planted on purpose, to see that the checks of the simulation find them.
//!
//! One of them is chosen for a whole process. This module is there with the feature `mutants` alone, and nothing that is
//! shipped is built with that. A place where one is planted is written with [`mutant!`](crate::mutant!).

use std::sync::atomic::{AtomicUsize, Ordering};

/// What a planted mistake breaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Planted {
    /// Its name on the command line.
    pub name: &'static str,
    /// What is wrong with the code.
    pub broken: &'static str,
    /// The promise whose check should find it.
    pub promise: &'static str,
}

macro_rules! mutants {
    ($($variant:ident $name:literal $promise:literal $broken:literal;)*) => {
        /// A mistake that can be planted.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub enum Mutant {
            $(#[doc = $broken] $variant,)*
        }

        impl Mutant {
            /// All of them.
            pub const ALL: &[Self] = &[$(Self::$variant),*];

            /// What it breaks.
            pub const fn about(self) -> Planted {
                match self {
                    $(Self::$variant => Planted { name: $name, broken: $broken, promise: $promise },)*
                }
            }
        }
    };
}

mutants! {
    SpokenTooSoon "spoken-too-soon" "P1" "The log says that an entry is durable before it is synced.";
    VoteForgotten "vote-forgotten" "raft" "A vote is not written to disk.";
    SnapshotUnsynced "snapshot-unsynced" "P1" "A snapshot gets its name before its bytes are durable.";
    LostIsRefused "lost-is-refused" "P1" "Commands whose answer was lost are answered as refused.";
    UnknownIsRefused "unknown-is-refused" "P1" "A write whose outcome is unknown is answered as refused.";
    AnswersMixedUp "answers-mixed-up" "P1" "Commands that share a Raft entry get each other's answers.";
    RequestsForgotten "requests-forgotten" "P2" "Answers to requests are not kept, so that repeated ones run again.";
    BodiesNotCompared "bodies-not-compared" "P2" "A request id that comes with another body gets the first answer.";
    AnswersNotInSnapshot "answers-not-in-snapshot" "P2" "A snapshot does not hold the answers that were given.";
    ConcludedTwice "concluded-twice" "P2" "The engine concludes again what is under review, and the ledger takes it.";
    LinearizableReadsLocal "linearizable-reads-local" "P3" "A linearizable read is answered from what this replica has.";
    LeaseTooLong "lease-too-long" "P3" "A leader trusts its lease for as long as it believes that it leads.";
    LaneTakenTwice "lane-taken-twice" "P4" "Neither scheduler nor ledger looks whether a lane has called a container up.";
    OldEpochObeyed "old-epoch-obeyed" "P5" "Commands of an actor that lost its placement are applied.";
    BootIdKept "boot-id-kept" "P10" "A process starts under the boot id of the one before it.";
    OrderOfItsOwn "order-of-its-own" "P6" "Each replica applies the commands of one entry in an order of its own.";
    OpenNotRebuilt "open-not-rebuilt" "P6" "A ledger from a snapshot does not find open inspections by container.";
    WatchSkips "watch-skips" "P6" "A watcher that is slow misses events and is not told.";
    WatchResumesLate "watch-resumes-late" "P6" "A watch that is resumed begins one entry too late.";
    ShieldedIsEnough "shielded-is-enough" "P7" "Required evidence that could not see counts as if it had.";
    MissingIsEnough "missing-is-enough" "P7" "Required evidence that is missing is overlooked.";
    StaleIsEnough "stale-is-enough" "P7" "Required evidence that is too old counts as if it were new.";
    GapsOverlooked "gaps-overlooked" "P7" "Missing readings in the middle of a pass cast no doubt.";
    SignaturesUnchecked "signatures-unchecked" "P7" "Readings are taken without looking at their signatures.";
    OpensForReview "opens-for-review" "P7" "The barrier opens for a container that is to be reviewed.";
    LeavesUnreleased "leaves-unreleased" "P7" "A container that is held may leave.";
    VerdictBelieved "verdict-believed" "P8" "The engine rounds its scores, and the ledger does not weigh again.";
    ClockGoesBack "clock-goes-back" "P8" "Log time follows the leader's clock also when that goes back.";
    ReasonLeftOut "reason-left-out" "P9" "A node that is not able to take a call does not say why.";
    GivesUpForGood "gives-up-for-good" "P10" "A proposal of the reconciler that had no answer is never made again.";
    RetriesStop "retries-stop" "P10" "An actor's command that had no answer is not asked about again.";
    NeverDown "never-down" "P10" "A node that is silent is never declared down.";
    PurgesTooMuch "purges-too-much" "raft" "The log is purged one entry beyond the newest snapshot.";
}

static CHOSEN: AtomicUsize = AtomicUsize::new(usize::MAX);

impl Mutant {
    /// The one of this name.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|mutant| mutant.about().name == name)
    }
}

/// Chooses the mistake of this process, before anything else is done.
pub fn plant(mutant: Mutant) {
    CHOSEN.store(mutant as usize, Ordering::Relaxed);
}

/// Whether this mistake is planted in this process.
pub fn planted(mutant: Mutant) -> bool {
    CHOSEN.load(Ordering::Relaxed) == mutant as usize
}
