//! P2: one inspection has at most one conclusion, and a repeated request gets the first answer, byte for byte.

use std::collections::BTreeMap;

use portcullis_domain::event::Event;

use super::{Evidence, Found, Record};
use crate::history::{Operation, Request};
use crate::port::is_final;
use crate::write::Told;

pub(super) fn check(evidence: &Evidence, record: &Record) -> Found {
    let mut found = Found::of("P2");
    let mut concluded = BTreeMap::new();
    for (entry, leaf) in &record.leaves {
        if let Event::Concluded { inspection, .. } = &leaf.event
            && let Some(before) = concluded.insert(*inspection, *entry)
        {
            found.add(format!(
                "{inspection} is concluded at entry {before} and again at {entry}"
            ));
        }
    }
    let mut requests: BTreeMap<(&str, &str), Vec<&Operation>> = BTreeMap::new();
    for operation in &evidence.history.operations {
        if let Some(context) = operation.request.context() {
            let calls = requests.entry((&context.source, &context.request_id)).or_default();
            calls.push(operation);
        }
    }
    for ((source, request), calls) in requests {
        let mut bodies: BTreeMap<Vec<u8>, Vec<&Operation>> = BTreeMap::new();
        for call in calls {
            bodies.entry(call.request.bytes()).or_default().push(call);
        }
        let taken = bodies
            .values()
            .filter(|calls| calls.iter().any(|call| matches!(call.told, Told::Applied(_))));
        if taken.count() > 1 {
            found.add(format!(
                "request {request} of {source} was applied with different bodies"
            ));
        }
        let one_body = bodies.len() == 1;
        for calls in bodies.into_values() {
            same_answers(source, request, &calls, one_body, &mut found);
        }
    }
    found
}

/// All final answers to one request must be one.
fn same_answers(source: &str, request: &str, calls: &[&Operation], one_body: bool, found: &mut Found) {
    let mut first: Option<&Told> = None;
    for call in calls {
        let is_answer = match &call.told {
            Told::Applied(_) => true,
            // Its answer is gone, or another body came first: no answer to this request.
            Told::Refused(reason) if reason == "REQUEST_EXPIRED" => false,
            Told::Refused(reason) if reason == "REQUEST_ID_REUSED" && !one_body => false,
            // The service itself may refuse to drain a node, without asking the ledger.
            Told::Refused(reason) => is_final(reason) && !matches!(*call.request, Request::DrainNode(_)),
            Told::Unknown => false,
        };
        if !is_answer {
            continue;
        }
        match first {
            None => first = Some(&call.told),
            Some(first) if *first == call.told => {}
            Some(first) => found.add(format!(
                "request {request} of {source} was answered {}, and when it was repeated {}",
                brief(first),
                brief(&call.told)
            )),
        }
    }
}

fn brief(told: &Told) -> String {
    match told {
        Told::Applied(bytes) => hex::encode(bytes),
        Told::Refused(reason) => reason.clone(),
        Told::Unknown => "unknown".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::super::sample;
    use super::*;

    fn judge(evidence: &Evidence) -> Vec<String> {
        sample::words(check(evidence, &Record::of(evidence)))
    }

    #[test]
    fn a_clean_run_passes() {
        assert_eq!(judge(&sample::run()), [""; 0]);
    }

    #[test]
    fn a_second_conclusion_is_found() {
        let mut run = sample::run();
        for log in run.logs.values_mut() {
            let again = log[sample::conclusion()].clone();
            log.push(again);
        }
        assert!(judge(&run)[0].contains("and again at"));
    }

    #[test]
    fn another_answer_to_a_repeated_request_is_found() {
        for other in [Told::Applied(vec![1]), Told::Refused("WRONG_STAGE".to_owned())] {
            let mut run = sample::run();
            let first = run.history.operations[0].clone();
            sample::add(&mut run, (*first.request).clone(), other);
            assert!(judge(&run)[0].contains("and when it was repeated"));
        }
        let mut run = sample::run();
        let first = run.history.operations[0].clone();
        for allowed in [first.told.clone(), Told::Unknown, Told::Refused("NO_LEADER".to_owned())] {
            sample::add(&mut run, (*first.request).clone(), allowed);
        }
        assert_eq!(judge(&run), [""; 0]);
    }

    #[test]
    fn a_request_id_that_served_two_bodies_is_found() {
        let mut run = sample::run();
        let announce = run.history.operations.iter().find_map(|one| match &*one.request {
            Request::Announce(request) => Some(request.clone()),
            _ => None,
        });
        let mut other = announce.unwrap();
        other.announcement.as_mut().unwrap().priority += 1;
        sample::add(
            &mut run,
            Request::Announce(other.clone()),
            Told::Refused("REQUEST_ID_REUSED".to_owned()),
        );
        assert_eq!(judge(&run), [""; 0]);
        sample::add(&mut run, Request::Announce(other), Told::Applied(vec![2]));
        assert!(judge(&run)[0].contains("with different bodies"));
    }
}
