//! P3: reads marked linearizable see every write acknowledged before them, and never less than such a read before them. For
//! each container, one order of changes and reads explains all that clients were told.

use portcullis_proto::v1 as pb;
use prost::Message as _;

use super::{Evidence, Found, Record, Replayed};
use crate::history::{Operation, Request};
use crate::linearizability;
use crate::write::Told;

pub(super) fn check(evidence: &Evidence, record: &Record, replayed: &Replayed) -> Found {
    let mut found = Found::of("P3");
    never_less(evidence, &mut found);
    as_logged(evidence, replayed, &mut found);
    match linearizability::registers(&evidence.history, record) {
        Err(why) => found.add(why),
        Ok(registers) => {
            for (subject, operations) in registers {
                if let Err(why) = linearizability::check(&operations) {
                    found.add(format!("{subject:?}: {why}"));
                }
            }
        }
    }
    found
}

/// How much must have been seen: command number and entries of the log.
#[derive(Debug, Clone, Copy, Default)]
struct Known {
    command: u64,
    entries: u64,
}

fn never_less(evidence: &Evidence, found: &mut Found) {
    let mut events: Vec<(u64, bool, &Operation)> = Vec::new();
    for operation in &evidence.history.operations {
        events.push((operation.invoked.order, false, operation));
        if let Some(returned) = operation.returned {
            events.push((returned.order, true, operation));
        }
    }
    events.sort_by_key(|(order, ..)| *order);
    let mut known = Known::default();
    let mut at_call = std::collections::BTreeMap::new();
    for (_, is_answer, operation) in events {
        if !is_answer {
            at_call.insert(operation.invoked.order, known);
            continue;
        }
        let Told::Applied(bytes) = &operation.told else {
            continue;
        };
        if let Some(applied) = operation.request.applied(bytes) {
            known.command = known.command.max(applied.command_number);
            known.entries = known.entries.max(applied.entry.map_or(0, |entry| entry + 1));
        }
        let Some(point) = operation.request.read_point(bytes).filter(|point| point.linearizable) else {
            continue;
        };
        let must = at_call.get(&operation.invoked.order).copied().unwrap_or_default();
        if point.command_number < must.command || point.log_size < must.entries {
            found.add(format!(
                "{} read {} at node {} as of command {} and {} entries; command {} and {} entries were acknowledged before",
                operation.client,
                operation.request.kind(),
                operation.node,
                point.command_number,
                point.log_size,
                must.command,
                must.entries
            ));
        }
        known.command = known.command.max(point.command_number);
        known.entries = known.entries.max(point.log_size);
    }
}

/// What a read says of a container, also a local one, is what the log says it was at that version.
fn as_logged(evidence: &Evidence, replayed: &Replayed, found: &mut Found) {
    for operation in &evidence.history.operations {
        let (Request::GetInspection(_), Told::Applied(bytes)) = (&*operation.request, &operation.told) else {
            continue;
        };
        let answer = pb::GetInspectionResponse::decode(&**bytes).unwrap_or_default();
        let Some(seen) = answer.inspection else {
            found.add(format!("{} read a container without an inspection", operation.client));
            continue;
        };
        let stage = seen.stage().as_str_name().trim_start_matches("STAGE_").to_lowercase();
        match replayed.stages.get(&(seen.number, seen.version)) {
            Some(logged) if *logged == stage => {}
            Some(logged) => found.add(format!(
                "{} read inspection {} at version {} as {stage}; by the log it was {logged}",
                operation.client, seen.number, seen.version
            )),
            None => found.add(format!(
                "{} read inspection {} at version {}, at which nothing changed it",
                operation.client, seen.number, seen.version
            )),
        }
    }
}

#[cfg(test)]
mod tests {
    use portcullis_domain::event::Event;
    use portcullis_domain::policy::Policy;

    use super::super::sample;
    use super::*;

    fn judge(evidence: &Evidence) -> Vec<String> {
        let record = Record::of(evidence);
        sample::words(check(evidence, &record, &Replayed::of(&record)))
    }

    /// Changes the answer of the last linearizable read of a container.
    fn reread(run: &mut Evidence, change: impl FnOnce(&mut pb::GetInspectionResponse)) {
        let read = run
            .history
            .operations
            .iter_mut()
            .rfind(|one| one.request.kind() == "get_inspection");
        let read = read.unwrap();
        let Told::Applied(bytes) = &read.told else {
            panic!("it was answered")
        };
        let mut answer = pb::GetInspectionResponse::decode(&**bytes).unwrap();
        change(&mut answer);
        read.told = Told::Applied(answer.encode_to_vec());
    }

    #[test]
    fn a_clean_run_passes() {
        assert_eq!(judge(&sample::run()), [""; 0]);
    }

    #[test]
    fn a_linearizable_read_as_of_too_early_is_found_and_a_local_one_may_be() {
        let mut run = sample::run();
        reread(&mut run, |answer| {
            if let Some(point) = &mut answer.read_point {
                point.log_size = 3;
            }
        });
        assert!(judge(&run)[0].contains("were acknowledged before"));
        reread(&mut run, |answer| {
            if let Some(point) = &mut answer.read_point {
                point.linearizable = false;
            }
        });
        assert_eq!(judge(&run), [""; 0]);
    }

    #[test]
    fn a_stale_state_of_a_container_is_found_by_both_checkers() {
        let mut run = sample::run();
        let (version, stage) = sample::earlier_state(&run);
        reread(&mut run, |answer| {
            let inspection = answer.inspection.as_mut().unwrap();
            inspection.version = version;
            inspection.stage = stage.into();
        });
        let found = judge(&run);
        // What both found is said by the one that says why; if they did not agree, that would be said.
        assert!(found.iter().any(|what| what.starts_with("Container(")), "{found:?}");
        assert!(!found.iter().any(|what| what.contains("checker")), "{found:?}");
    }

    #[test]
    fn a_state_that_never_was_is_found() {
        let mut run = sample::run();
        reread(&mut run, |answer| {
            answer.inspection.as_mut().unwrap().stage = pb::Stage::Seized.into()
        });
        assert!(judge(&run)[0].contains("by the log it was"));
        reread(&mut run, |answer| answer.inspection.as_mut().unwrap().version = 1);
        assert!(judge(&run)[0].contains("at which nothing changed it"));
    }

    #[test]
    fn a_stale_read_of_the_active_policy_is_found() {
        let policy = Policy {
            name: "another".to_owned(),
            ..Policy::first()
        };
        let reason = String::new();
        let mut run = sample::and_then(vec![Event::PolicyAdopted { policy, reason }]);
        let newest = run.logs[&1].len() as u64 - 1;
        let mut read = |entry: u64| {
            let request = Request::GetPolicy(pb::GetPolicyRequest {
                consistency: pb::Consistency::Quorum.into(),
                ..pb::GetPolicyRequest::default()
            });
            let activation = Some(pb::PolicyActivation {
                entry,
                ..pb::PolicyActivation::default()
            });
            let record = Some(pb::PolicyRecord {
                activation,
                ..pb::PolicyRecord::default()
            });
            let answer = pb::GetPolicyResponse {
                record,
                ..pb::GetPolicyResponse::default()
            };
            sample::add(&mut run, request, Told::Applied(answer.encode_to_vec()));
            judge(&run)
        };
        assert_eq!(read(0), [""; 0]);
        assert_eq!(read(newest), [""; 0]);
        assert!(read(0)[0].starts_with("Policy: "));
    }
}
