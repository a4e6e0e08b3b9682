//! The faults: what there is.

use std::ops::Range;

use serde::{Deserialize, Serialize};

use super::clock;

/// What a fault is done to. Faults of two parts can be in force at the same time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Part {
    /// Packets between nodes, and between nodes and clients.
    Network,
    /// Processes, disks and clocks: each of these may end the process.
    Node,
}

/// What is done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[allow(missing_docs, reason = "`about` says what each one is")]
pub enum Fault {
    KillLeader,
    KillFollower,
    KillMajority,
    KillAll,
    PauseShort,
    PauseLong,
    Starve,
    RestartStorm,
    RollingRestart,
    IsolateLeader,
    Unreachable,
    Apart,
    OneWay,
    Bridge,
    Flapping,
    Loss,
    Reset,
    SlowLink,
    AnswersLost,
    DiskFull,
    SyncFails,
    SyncSlow,
    PowerLoss,
    TornPowerLoss,
    ClockAhead,
    ClockBehind,
}

/// All of them.
pub const ALL: [Fault; 26] = [
    Fault::KillLeader,
    Fault::KillFollower,
    Fault::KillMajority,
    Fault::KillAll,
    Fault::PauseShort,
    Fault::PauseLong,
    Fault::Starve,
    Fault::RestartStorm,
    Fault::RollingRestart,
    Fault::IsolateLeader,
    Fault::Unreachable,
    Fault::Apart,
    Fault::OneWay,
    Fault::Bridge,
    Fault::Flapping,
    Fault::Loss,
    Fault::Reset,
    Fault::SlowLink,
    Fault::AnswersLost,
    Fault::DiskFull,
    Fault::SyncFails,
    Fault::SyncSlow,
    Fault::PowerLoss,
    Fault::TornPowerLoss,
    Fault::ClockAhead,
    Fault::ClockBehind,
];

impl Fault {
    /// Its name, as on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Self::KillLeader => "kill-leader",
            Self::KillFollower => "kill-follower",
            Self::KillMajority => "kill-majority",
            Self::KillAll => "kill-all",
            Self::PauseShort => "pause-short",
            Self::PauseLong => "pause-long",
            Self::Starve => "starve",
            Self::RestartStorm => "restart-storm",
            Self::RollingRestart => "rolling-restart",
            Self::IsolateLeader => "isolate-leader",
            Self::Unreachable => "unreachable",
            Self::Apart => "apart",
            Self::OneWay => "one-way",
            Self::Bridge => "bridge",
            Self::Flapping => "flapping",
            Self::Loss => "loss",
            Self::Reset => "reset",
            Self::SlowLink => "slow-link",
            Self::AnswersLost => "answers-lost",
            Self::DiskFull => "disk-full",
            Self::SyncFails => "sync-fails",
            Self::SyncSlow => "sync-slow",
            Self::PowerLoss => "power-loss",
            Self::TornPowerLoss => "torn-power-loss",
            Self::ClockAhead => "clock-ahead",
            Self::ClockBehind => "clock-behind",
        }
    }

    /// What it is.
    pub fn about(self) -> &'static str {
        match self {
            Self::KillLeader => "SIGKILL for the leader",
            Self::KillFollower => "SIGKILL for a follower",
            Self::KillMajority => "SIGKILL for the leader and as many others as it takes to leave a minority",
            Self::KillAll => "SIGKILL for all at once",
            Self::PauseShort => "the leader stands (SIGSTOP) for less than an election takes",
            Self::PauseLong => "the leader stands for several elections, then goes on as if it still led",
            Self::Starve => "the leader runs for 10 ms at a time and then waits for 30 to 120",
            Self::RestartStorm => "a node is killed and started five times within two seconds",
            Self::RollingRestart => "all nodes are stopped and started in good order, one after the other",
            Self::IsolateLeader => "the leader and the others do not hear each other; clients reach all of them",
            Self::Unreachable => "nothing reaches a node or leaves it, neither other nodes nor clients",
            Self::Apart => "no two nodes hear each other; clients reach all of them",
            Self::OneWay => "a node hears the others and they do not hear it, or the other way round",
            Self::Bridge => "the leader and one follower do not hear each other; the rest hears both",
            Self::Flapping => "the leader is cut off and back again, every 0.1 to 1 s",
            Self::Loss => "a fifth of all packets between nodes is lost",
            Self::Reset => "one in fifty packets between nodes resets its connection",
            Self::SlowLink => "all that a node sends goes through 200 kbit/s",
            Self::AnswersLost => "requests of clients reach the nodes, answers do not come back",
            Self::DiskFull => "there is no room on a node's disk",
            Self::SyncFails => "every sync of a node's disk fails with EIO",
            Self::SyncSlow => "every sync of the leader's disk takes 0.3 s longer",
            Self::PowerLoss => "one node or all lose their power, and what was not synced",
            Self::TornPowerLoss => "the same, and a random part of what was not synced is kept",
            Self::ClockAhead => "a node's clock is 10 s ahead",
            Self::ClockBehind => "a node's clock is 10 s behind",
        }
    }

    /// The fault of this name.
    ///
    /// # Errors
    /// If there is none; names those that there are.
    pub fn of_name(name: &str) -> Result<Self, String> {
        let found = ALL.into_iter().find(|fault| fault.name() == name);
        found.ok_or_else(|| format!("no such fault; there are {}", ALL.map(Self::name).join(", ")))
    }

    /// What it is done to.
    pub fn part(self) -> Part {
        match self {
            Self::IsolateLeader
            | Self::Unreachable
            | Self::Apart
            | Self::OneWay
            | Self::Bridge
            | Self::Flapping
            | Self::Loss
            | Self::Reset
            | Self::SlowLink
            | Self::AnswersLost => Part::Network,
            _ => Part::Node,
        }
    }

    /// No node has a quorum while it is in force.
    pub fn no_quorum(self) -> bool {
        matches!(self, Self::KillMajority | Self::KillAll | Self::Apart)
    }

    /// No write that is sent while it is in force can be acknowledged: there is no quorum, or no way back to the client. That
    /// one was is either a broken promise or a fault that was not done.
    pub fn silences(self) -> bool {
        matches!(
            self,
            Self::KillMajority | Self::KillAll | Self::Apart | Self::AnswersLost
        )
    }

    /// It is met only by a node that writes, or seen only at one that answers; so it comes before others that may keep the
    /// node from it.
    pub fn comes_first(self) -> bool {
        matches!(
            self,
            Self::DiskFull | Self::SyncFails | Self::SyncSlow | Self::ClockAhead | Self::ClockBehind
        )
    }

    /// Both can be in force at the same time and be proven: a rolling restart goes on when a node answers.
    pub fn goes_with(self, other: Self) -> bool {
        let hides = |fault| matches!(fault, Self::Unreachable | Self::AnswersLost);
        let rolls = |fault| fault == Self::RollingRestart;
        self.part() != other.part() && !(hides(self) && rolls(other)) && !(rolls(self) && hides(other))
    }

    /// Why it cannot be done here, or `None` if it can.
    pub fn unusable(self) -> Option<String> {
        match self {
            Self::ClockAhead | Self::ClockBehind => clock::library().err().map(|error| error.to_string()),
            _ => None,
        }
    }

    /// How long it lasts, milliseconds.
    pub fn lasts_ms(self) -> Range<u64> {
        match self {
            // Elections are called after 250 ms at the earliest.
            Self::PauseShort => 80..150,
            Self::RestartStorm | Self::RollingRestart => 0..1,
            // Long enough for everybody to know.
            Self::KillMajority | Self::Apart => 3500..6000,
            Self::Flapping | Self::Loss | Self::Reset | Self::SlowLink => 3000..6000,
            _ => 1000..4000,
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_fault_is_listed_once_and_is_found_by_its_name() {
        let names: BTreeSet<&str> = ALL.iter().map(|fault| fault.name()).collect();
        assert_eq!(names.len(), ALL.len());
        for fault in ALL {
            assert_eq!(Fault::of_name(fault.name()), Ok(fault));
            assert!(!fault.about().is_empty());
            let written = serde_json::to_string(&fault).unwrap();
            assert_eq!(written, format!("\"{}\"", fault.name()));
        }
        assert!(Fault::of_name("earthquake").unwrap_err().contains("kill-leader"));
    }
}
