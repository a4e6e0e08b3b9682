//! P1: a command that was acknowledged is never lost or changed. It is in the log of every node, at the entry that the answer
//! named, and says what was asked. What was refused is not there, also if the same was asked again later, and nothing is there
//! that nobody asked for.

use std::collections::{BTreeMap, BTreeSet};

use portcullis_domain::equipment::EquipmentId;
use portcullis_domain::event::{Actor, Event, Leaf};
use portcullis_domain::inspection::Ruling;
use portcullis_proto::v1 as pb;
use prost::Message as _;

use super::{Evidence, Found, Record};
use crate::history::{Operation, Request};
use crate::write::Told;

pub(super) fn check(evidence: &Evidence, record: &Record) -> Found {
    let mut found = Found::of("P1");
    let mut requests: BTreeMap<(String, String), Vec<&Operation>> = BTreeMap::new();
    let mut sources = BTreeSet::new();
    let known = known_at_call(evidence);
    for operation in &evidence.history.operations {
        let Some(context) = operation.request.context() else {
            continue;
        };
        sources.insert(context.source.clone());
        let id = (context.source.clone(), context.request_id.clone());
        requests.entry(id).or_default().push(operation);
        if let Told::Applied(bytes) = &operation.told {
            acknowledged(evidence, record, operation, context, bytes, &mut found);
        }
    }
    for (id, entries) in &record.by_request {
        if !sources.contains(&id.0) {
            continue;
        }
        let (source, request) = id;
        if entries.len() > 1 {
            found.add(format!(
                "request {request} of {source} took effect at all of {entries:?}"
            ));
        }
        match requests.get(id) {
            None => found.add(format!(
                "{entries:?} have request {request} of {source}, which was never sent"
            )),
            Some(calls) if calls.iter().all(|call| matches!(call.told, Told::Refused(_))) => {
                found.add(format!(
                    "{entries:?} have request {request} of {source}, which was refused"
                ));
            }
            Some(calls) => refused_and_done(calls, evidence, record, entries, &known, &mut found),
        }
    }
    found
}

/// The newest command that somebody had been told of when each call was made, by the order of that moment.
fn known_at_call(evidence: &Evidence) -> BTreeMap<u64, u64> {
    let mut told: BTreeMap<u64, u64> = BTreeMap::new();
    for operation in &evidence.history.operations {
        let (Some(returned), Told::Applied(bytes)) = (operation.returned, &operation.told) else {
            continue;
        };
        let written = operation.request.applied(bytes).map(|applied| applied.command_number);
        let read = operation.request.read_point(bytes).map(|point| point.command_number);
        if let Some(number) = written.max(read) {
            told.insert(returned.order, number);
        }
    }
    let mut newest = 0;
    for number in told.values_mut() {
        newest = newest.max(*number);
        *number = newest;
    }
    let at_call = |operation: &Operation| {
        let before = told.range(..operation.invoked.order).next_back();
        (operation.invoked.order, before.map_or(0, |(_, number)| *number))
    };
    evidence.history.operations.iter().map(at_call).collect()
}

/// A request took effect at a time when all calls that had been made for it were refused, and so certainly without effect.
fn refused_and_done(
    calls: &[&Operation],
    evidence: &Evidence,
    record: &Record,
    entries: &[u64],
    known: &BTreeMap<u64, u64>,
    found: &mut Found,
) {
    let Some((entry, leaf)) = entries.first().and_then(|entry| Some((entry, record.leaf(*entry)?))) else {
        return;
    };
    // A smaller log was seen later only where a node lagged behind.
    let applied = evidence.applied.range(entry + 1..).map(|(_, at)| *at).min();
    let may_have = |call: &&Operation| {
        let before = known.get(&call.invoked.order).copied().unwrap_or_default();
        !matches!(call.told, Told::Refused(_))
            && before < leaf.number.0
            && applied.is_none_or(|applied| call.invoked.at <= applied)
    };
    if let Some(first) = calls.first().filter(|_| !calls.iter().any(may_have)) {
        found.add(format!(
            "entry {entry} has {} of {}, which had been refused by then, and was repeated with success only later",
            first.request.kind(),
            first.client
        ));
    }
}

fn acknowledged(
    evidence: &Evidence,
    record: &Record,
    operation: &Operation,
    context: &pb::RequestContext,
    answer: &[u8],
    found: &mut Found,
) {
    let what = format!(
        "{} {} of {}",
        operation.request.kind(),
        context.request_id,
        context.source
    );
    let Some(applied) = operation.request.applied(answer) else {
        return found.add(format!("{what} was acknowledged with bytes that are no answer"));
    };
    let id = (context.source.clone(), context.request_id.clone());
    let Some(entry) = applied.entry else {
        if let Some(entries) = record.by_request.get(&id) {
            found.add(format!(
                "{what} was answered to change nothing, and {entries:?} have it"
            ));
        }
        return;
    };
    let kept = usize::try_from(entry).ok().and_then(|at| record.bytes.get(at));
    for (node, log) in &evidence.logs {
        let there = usize::try_from(entry).ok().and_then(|at| log.get(at));
        if there.is_none() {
            found.add(format!(
                "{what} was acknowledged at entry {entry}, and node {node} has lost it"
            ));
        } else if there != kept {
            found.add(format!(
                "{what} was acknowledged at entry {entry}, which is another one on node {node}"
            ));
        }
    }
    let Some(leaf) = record.leaf(entry) else {
        if kept.is_some() {
            found.add(format!(
                "{what} was acknowledged at entry {entry}, which cannot be read"
            ));
        }
        return;
    };
    let by = match &leaf.actor {
        Actor::External {
            source,
            request,
            principal,
        } => (source.as_str(), request.as_str(), principal.as_str()),
        _ => ("", "", ""),
    };
    let asked = (&*context.source, &*context.request_id, &*context.principal);
    if by != asked || leaf.number.0 != applied.command_number {
        return found.add(format!(
            "{what} was acknowledged at entry {entry} as command {}, which is command {} of {by:?}",
            applied.command_number, leaf.number.0
        ));
    }
    if !says(leaf, &operation.request, answer) {
        found.add(format!(
            "{what} was acknowledged at entry {entry}, which says: {}",
            leaf.event.kind()
        ));
    }
}

/// Whether a leaf says what was asked and answered.
fn says(leaf: &Leaf, request: &Request, answer: &[u8]) -> bool {
    let same = |equipment: &EquipmentId, text: &str| EquipmentId::new(text).is_ok_and(|asked| asked == *equipment);
    match (request, &leaf.event) {
        (
            Request::Announce(asked),
            Event::Announced {
                inspection,
                announcement,
                ..
            },
        ) => {
            let told = pb::AnnounceResponse::decode(answer).unwrap_or_default();
            let asked = asked.announcement.clone().unwrap_or_default();
            told.inspection == inspection.0
                && !told.known
                && same(&announcement.equipment, &asked.equipment_id)
                && announcement.terminal.as_str() == asked.terminal
                && u32::from(announcement.priority) == asked.priority
        }
        (
            Request::Announce(asked),
            Event::AnnouncedAgain {
                inspection, equipment, ..
            },
        ) => {
            let told = pb::AnnounceResponse::decode(answer).unwrap_or_default();
            let asked = asked.announcement.clone().unwrap_or_default();
            told.inspection == inspection.0 && told.known && same(equipment, &asked.equipment_id)
        }
        (
            Request::Adjudicate(asked),
            Event::Adjudicated {
                inspection,
                ruling,
                reason,
                ..
            },
        ) => {
            let wanted = match asked.ruling() {
                pb::Ruling::Release => Some(Ruling::Release),
                pb::Ruling::Hold => Some(Ruling::Hold),
                pb::Ruling::Seize => Some(Ruling::Seize),
                pb::Ruling::Unspecified => None,
            };
            asked.inspection == inspection.0 && wanted == Some(*ruling) && asked.reason == *reason
        }
        (Request::ReportDeparture(asked), Event::Departed { equipment, .. }) => same(equipment, &asked.equipment_id),
        (Request::DefineLane(asked), Event::LaneDefined { spec }) => {
            asked.definition.as_ref() == Some(&portcullis_wire::lane::encode_lane_spec(spec))
        }
        (Request::OpenLane(asked), Event::LaneOpened { lane }) => asked.lane == lane.0,
        (Request::CloseLane(asked), Event::LaneClosed { lane }) => asked.lane == lane.0,
        (Request::DrainNode(asked), Event::NodeDrained { node }) => asked.node == node.0,
        (Request::UndrainNode(asked), Event::NodeUndrained { node }) => asked.node == node.0,
        (Request::ActivatePolicy(asked), Event::PolicyAdopted { policy, reason }) => {
            let told = pb::ActivatePolicyResponse::decode(answer).unwrap_or_default();
            *told.sha256 == policy.digest().0
                && asked.policy.as_ref() == Some(&portcullis_wire::policy::encode_policy(policy))
                && asked.reason == *reason
        }
        _ => false,
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
    fn an_acknowledged_write_that_one_node_has_lost_is_found() {
        let mut run = sample::run();
        let last = sample::last_write(&run);
        run.logs.get_mut(&2).unwrap().truncate(usize::try_from(last).unwrap());
        assert!(judge(&run).iter().any(|what| what.contains("node 2 has lost it")));
    }

    #[test]
    fn an_acknowledged_write_that_all_nodes_have_changed_is_found() {
        let mut run = sample::run();
        let (entry, bytes) = sample::changed_adjudication(&run);
        for log in run.logs.values_mut() {
            log[entry].clone_from(&bytes);
        }
        assert!(
            judge(&run).iter().any(|what| what.contains("which says: adjudicated")),
            "{:?}",
            judge(&run)
        );
    }

    #[test]
    fn a_write_that_was_refused_or_never_sent_and_is_there_is_found() {
        let mut run = sample::run();
        for operation in &mut run.history.operations {
            if operation.request.kind() == "depart" {
                operation.told = Told::Refused("NOT_RELEASED".to_owned());
            }
        }
        assert!(judge(&run).iter().any(|what| what.contains("which was refused")));
        let gone = run
            .history
            .operations
            .iter()
            .position(|one| one.request.kind() == "adjudicate");
        run.history.operations.remove(gone.unwrap());
        let context = sample::context("customs", "another");
        sample::add(
            &mut run,
            Request::OpenLane(pb::OpenLaneRequest { context, lane: 9 }),
            Told::Unknown,
        );
        assert!(
            judge(&run).iter().any(|what| what.contains("which was never sent")),
            "{:?}",
            judge(&run)
        );
    }

    /// Makes the last departure one that was refused: where it is, what was asked, and what was told.
    fn refuse_departure(run: &mut Evidence) -> (usize, Request, Told) {
        let mut operations = run.history.operations.iter_mut().enumerate();
        let last = operations.rfind(|(_, one)| one.request.kind() == "depart");
        let (last, departure) = last.unwrap();
        let told = std::mem::replace(&mut departure.told, Told::Refused("NO_LEADER".to_owned()));
        (last, (*departure.request).clone(), told)
    }

    #[test]
    fn a_write_that_took_effect_while_it_was_refused_is_found_although_it_was_repeated() {
        let mut run = sample::run();
        let (last, request, told) = refuse_departure(&mut run);
        // A read, or a write of somebody else, shows that it was there before it was repeated.
        let head = pb::GetHeadResponse {
            read_point: Some(pb::ReadPoint {
                command_number: u64::MAX,
                ..pb::ReadPoint::default()
            }),
            ..pb::GetHeadResponse::default()
        };
        let read = Request::GetHead(pb::GetHeadRequest::default());
        sample::add(&mut run, read, Told::Applied(head.encode_to_vec()));
        sample::add(&mut run, request, told);
        assert!(
            judge(&run).iter().any(|what| what.contains("had been refused by then")),
            "{:?}",
            judge(&run)
        );
        run.history.operations[last].told = Told::Unknown;
        assert_eq!(judge(&run), [""; 0], "it may have taken effect then");
    }

    #[test]
    fn a_write_that_nodes_had_while_it_was_refused_is_found_although_nobody_was_told() {
        let mut run = sample::run();
        let (_, request, told) = refuse_departure(&mut run);
        sample::add(&mut run, request, told);
        let repeated = run.history.operations.last().unwrap().invoked.at;
        let size = run.logs[&1].len() as u64;
        run.applied = BTreeMap::from([(size, repeated)]);
        assert_eq!(judge(&run), [""; 0], "the repeated call may have done it");
        run.applied = BTreeMap::from([(size, repeated.saturating_sub(std::time::Duration::from_nanos(1)))]);
        assert!(
            judge(&run).iter().any(|what| what.contains("had been refused by then")),
            "{:?}",
            judge(&run)
        );
    }

    #[test]
    fn a_write_that_took_effect_twice_is_found() {
        let mut run = sample::run();
        for log in run.logs.values_mut() {
            let again = log[usize::try_from(sample::first_announcement()).unwrap()].clone();
            log.push(again);
        }
        assert!(judge(&run).iter().any(|what| what.contains("took effect at all of")));
    }
}
