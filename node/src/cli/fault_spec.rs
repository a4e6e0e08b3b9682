//! A fault that the demo is asked to make: what, and when.

use std::fmt;
use std::str::FromStr;

/// What breaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum FaultKind {
    /// The process of the leader is killed, and started again after a while.
    KillLeader,
    /// The same for a node that is not the leader and owns a lane with a pass under way.
    KillLaneHost,
    /// The process of such a node is stopped, and goes on after a while.
    PauseLaneHost,
}

impl FaultKind {
    /// All kinds.
    pub const ALL: [Self; 3] = [Self::KillLeader, Self::KillLaneHost, Self::PauseLaneHost];

    /// The word on the command line and in reports.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::KillLeader => "kill-leader",
            Self::KillLaneHost => "kill-lane-host",
            Self::PauseLaneHost => "pause-lane-host",
        }
    }
}

/// A fault and its moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct FaultSpec {
    /// What breaks.
    pub kind: FaultKind,
    /// When so many percent of the containers have their conclusion, 0 to 99.
    pub at_percent: u8,
}

impl fmt::Display for FaultSpec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}@{}", self.kind.as_str(), self.at_percent)
    }
}

impl FromStr for FaultSpec {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (kind, percent) = text
            .split_once('@')
            .ok_or("expected KIND@PERCENT, such as kill-leader@40")?;
        let kind = FaultKind::ALL
            .into_iter()
            .find(|known| known.as_str() == kind)
            .ok_or_else(|| format!("{kind:?} is not one of kill-leader, kill-lane-host, pause-lane-host"))?;
        match percent.trim_end_matches('%').parse() {
            Ok(at_percent) if at_percent < 100 => Ok(Self { kind, at_percent }),
            _ => Err(format!("{percent:?} is not a whole number from 0 to 99")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fault_reads_back_from_what_it_prints() {
        for kind in FaultKind::ALL {
            let spec = FaultSpec { kind, at_percent: 40 };
            assert_eq!(spec.to_string().parse(), Ok(spec));
        }
    }

    #[test]
    fn an_unknown_fault_and_an_impossible_moment_are_refused_with_the_reason() {
        let error = |text: &str| text.parse::<FaultSpec>().expect_err(text);
        assert!(error("kill-leader").contains("KIND@PERCENT"));
        assert!(error("kill-everybody@40").contains("pause-lane-host"));
        assert!(error("kill-leader@100").contains("0 to 99"));
        assert!(error("kill-leader@x").contains("0 to 99"));
    }
}
