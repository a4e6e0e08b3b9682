//! P9: work is bounded. No call takes longer than its deadline, every refusal says why, and no queue is longer than its limit.

use super::{Evidence, Found};
use crate::history::GRACE;
use crate::write::Told;

pub(super) fn check(evidence: &Evidence) -> Found {
    let mut found = Found::of("P9");
    let operations = &evidence.history.operations;
    let last = operations
        .iter()
        .flat_map(|one| [Some(one.invoked.at), one.returned.map(|returned| returned.at)]);
    let end = last.flatten().max().unwrap_or_default();
    for operation in operations {
        let what = format!(
            "{} of {} to node {} at {:?}",
            operation.request.kind(),
            operation.client,
            operation.node,
            operation.invoked.at
        );
        let allowed = operation.limit + GRACE + evidence.slack;
        let took = operation
            .returned
            .map_or(end, |returned| returned.at)
            .saturating_sub(operation.invoked.at);
        if took > allowed {
            found.add(match operation.returned {
                Some(_) => format!("{what} took {took:?}, its deadline is {:?}", operation.limit),
                None => format!(
                    "{what} has had no answer for {took:?}, its deadline is {:?}",
                    operation.limit
                ),
            });
        }
        if matches!(&operation.told, Told::Refused(reason) if reason.is_empty()) {
            found.add(format!("{what} was refused, and nobody said why"));
        }
    }
    for figure in evidence.figures.iter().filter(|figure| figure.value > figure.limit) {
        found.add(format!(
            "{} of node {} was {}, the limit is {}",
            figure.name, figure.node, figure.value, figure.limit
        ));
    }
    found
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::super::{Figure, sample};
    use super::*;

    fn judge(evidence: &Evidence) -> Vec<String> {
        sample::words(check(evidence))
    }

    #[test]
    fn a_clean_run_passes() {
        assert_eq!(judge(&sample::run()), [""; 0]);
    }

    #[test]
    fn a_call_that_took_too_long_or_was_never_answered_is_found() {
        let mut run = sample::run();
        let first = &mut run.history.operations[0];
        let late = first.invoked.at + first.limit + Duration::from_millis(1500);
        first.returned.as_mut().unwrap().at = late;
        assert!(judge(&run)[0].contains("its deadline is"));
        run.slack = Duration::from_secs(2);
        assert_eq!(judge(&run), [""; 0]);
        run.slack = Duration::ZERO;
        run.history.operations[0].returned = None;
        run.history.operations[1].returned.as_mut().unwrap().at = late;
        assert!(judge(&run).iter().any(|what| what.contains("has had no answer")));
    }

    #[test]
    fn a_refusal_without_a_reason_and_a_queue_beyond_its_limit_are_found() {
        let mut run = sample::run();
        run.history.operations[0].told = Told::Refused(String::new());
        assert!(judge(&run)[0].contains("nobody said why"));
        let mut run = sample::run();
        let figure = |value| Figure {
            node: 2,
            name: "attached devices".to_owned(),
            value,
            limit: 10,
        };
        run.figures = vec![figure(10), figure(11)];
        assert_eq!(judge(&run), ["attached devices of node 2 was 11, the limit is 10"]);
    }
}
