//! P10: faults end. When they do, the cluster serves again without an operator, and everything that is open is concluded.

use std::time::Duration;

use super::{Evidence, Found};

pub(super) fn check(evidence: &Evidence) -> Found {
    let mut found = Found::of("P10");
    for recovery in &evidence.recoveries {
        let mut late = |what: &str, at: Option<Duration>, within: Duration| match at {
            Some(at) if at.saturating_sub(recovery.healed) <= within => {}
            Some(at) => found.add(format!(
                "{what} {:?} after everything was healed at {:?}; {within:?} were allowed",
                at.saturating_sub(recovery.healed),
                recovery.healed
            )),
            None => found.add(format!(
                "{what} never after everything was healed at {:?}",
                recovery.healed
            )),
        };
        late("a write was applied", recovery.served, recovery.serve_within);
        if let Some(within) = recovery.conclude_within {
            late("the last inspection was concluded", recovery.concluded, within);
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::super::{Recovery, sample};
    use super::*;

    fn judge(change: impl FnOnce(&mut Recovery)) -> Vec<String> {
        let mut run = sample::run();
        let seconds = Duration::from_secs;
        let mut recovery = Recovery {
            healed: seconds(10),
            served: Some(seconds(12)),
            serve_within: seconds(3),
            concluded: Some(seconds(30)),
            conclude_within: Some(seconds(60)),
        };
        change(&mut recovery);
        run.recoveries.push(recovery);
        sample::words(check(&run))
    }

    #[test]
    fn a_cluster_that_serves_and_concludes_in_time_passes() {
        assert_eq!(judge(|_| {}), [""; 0]);
        let goes_on = |recovery: &mut Recovery| {
            recovery.concluded = None;
            recovery.conclude_within = None;
        };
        assert_eq!(judge(goes_on), [""; 0]);
    }

    #[test]
    fn a_cluster_that_serves_or_concludes_late_or_never_is_found() {
        assert!(judge(|recovery| recovery.served = Some(Duration::from_secs(14)))[0].contains("4s after"));
        assert!(judge(|recovery| recovery.served = None)[0].contains("a write was applied never"));
        assert!(judge(|recovery| recovery.concluded = None)[0].contains("concluded never"));
        assert!(judge(|recovery| recovery.concluded = Some(Duration::from_secs(71)))[0].contains("61s after"));
    }
}
