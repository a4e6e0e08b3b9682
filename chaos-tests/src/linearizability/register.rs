//! The registers of a run: for each container, for each inspection, and for the active policy, what the log says changed it and
//! what clients did to it and saw of it.

use std::collections::BTreeMap;

use portcullis_domain::equipment::EquipmentId;
use portcullis_domain::event::{Actor, Event};
use portcullis_proto::v1 as pb;
use portcullis_proto::v1::get_inspection_request::Target;
use prost::Message as _;

use super::{Act, Operation};
use crate::history::{self, History, Request};
use crate::promises::Record;
use crate::write::Told;

/// What a register is about.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Subject {
    /// A container, over all of its visits.
    Container(EquipmentId),
    /// One visit.
    Inspection(u64),
    /// The policy that is active.
    Policy,
}

/// When the calls under one request id were under way.
#[derive(Debug, Clone, Copy)]
struct Window {
    invoked: u64,
    returned: Option<u64>,
}

/// All registers that somebody read or wrote.
///
/// # Errors
/// A read that saw a state of a container that the log does not know.
pub fn registers(history: &History, record: &Record) -> Result<BTreeMap<Subject, Vec<Operation>>, String> {
    let windows = windows(history);
    let between = Between::of(history, &windows, record.bytes.len());
    let (mut registers, versions) = changes(record, &windows, &between);
    for read in &history.operations {
        let Some((subject, version)) = seen(read) else {
            continue;
        };
        let at = match version {
            None => 0,
            Some(version) => *versions.get(&(subject.clone(), version)).ok_or_else(|| {
                format!("{subject:?} was read at version {version}, and the log has no such change of it")
            })?,
        };
        registers.entry(subject).or_default().push(Operation {
            invoked: read.invoked.order,
            returned: read.returned.map(|returned| returned.order),
            act: Act::Observe(at),
        });
    }
    Ok(registers)
}

/// What a read that has to be linearizable saw, and which version of it; none if it was not there. A local read may be old, and a
/// failed one says nothing.
fn seen(read: &history::Operation) -> Option<(Subject, Option<u64>)> {
    let linearizable = |consistency: pb::Consistency| {
        matches!(consistency, pb::Consistency::Lease | pb::Consistency::Quorum).then_some(())
    };
    match (&*read.request, &read.told) {
        (Request::GetInspection(request), told) => {
            linearizable(request.consistency())?;
            let subject = match request.target.as_ref()? {
                Target::Inspection(no) => Subject::Inspection(*no),
                Target::EquipmentId(text) => Subject::Container(EquipmentId::new(text).ok()?),
            };
            match told {
                Told::Applied(bytes) => {
                    let answer = pb::GetInspectionResponse::decode(&**bytes).unwrap_or_default();
                    Some((
                        subject,
                        Some(answer.inspection.map_or(0, |inspection| inspection.version)),
                    ))
                }
                Told::Refused(reason) if reason == "UNKNOWN_CONTAINER" || reason == "UNKNOWN_INSPECTION" => {
                    Some((subject, None))
                }
                Told::Refused(_) | Told::Unknown => None,
            }
        }
        (Request::GetPolicy(request), Told::Applied(bytes)) if request.sha256.is_empty() => {
            linearizable(request.consistency())?;
            let answer = pb::GetPolicyResponse::decode(&**bytes).unwrap_or_default();
            let activation = answer.record.and_then(|record| record.activation).unwrap_or_default();
            Some((Subject::Policy, Some(activation.entry)))
        }
        _ => None,
    }
}

/// The effect of a request lies between the first call under its id and the first answer that says so.
fn windows(history: &History) -> BTreeMap<(&str, &str), Window> {
    let mut windows: BTreeMap<(&str, &str), Window> = BTreeMap::new();
    for operation in &history.operations {
        let Some(context) = operation.request.context() else {
            continue;
        };
        let applied = matches!(operation.told, Told::Applied(_));
        let returned = operation.returned.filter(|_| applied).map(|returned| returned.order);
        windows
            .entry((&context.source, &context.request_id))
            .and_modify(|window| {
                window.invoked = window.invoked.min(operation.invoked.order);
                window.returned = match (window.returned, returned) {
                    (Some(a), Some(b)) => Some(a.min(b)),
                    (a, b) => a.or(b),
                };
            })
            .or_insert(Window {
                invoked: operation.invoked.order,
                returned,
            });
    }
    windows
}

/// When each entry must have taken effect at the earliest and at the latest, as the log has one order: after everything was
/// invoked that has an entry before it, and before anything returned that has, or has seen, an entry after it.
struct Between {
    earliest: Vec<u64>,
    latest: Vec<Option<u64>>,
}

impl Between {
    fn of(history: &History, windows: &BTreeMap<(&str, &str), Window>, size: usize) -> Self {
        let mut earliest = vec![0; size + 1];
        let mut latest: Vec<Option<u64>> = vec![None; size + 1];
        let sooner = |a: Option<u64>, b: Option<u64>| match (a, b) {
            (Some(a), Some(b)) => Some(a.min(b)),
            (a, b) => a.or(b),
        };
        for operation in &history.operations {
            let Told::Applied(bytes) = &operation.told else {
                continue;
            };
            let returned = operation.returned.map(|returned| returned.order);
            // Entries up to this one were there when it returned.
            let mut there = None;
            // Entries from this one on were not there at this moment.
            let mut not_yet = None;
            if let Some(applied) = operation.request.applied(bytes) {
                there = applied.entry;
                // Whoever repeats a request is answered with an old entry: what counts is when it was sent first.
                let context = operation.request.context();
                let window = context.and_then(|context| windows.get(&(&*context.source, &*context.request_id)));
                not_yet = applied
                    .entry
                    .zip(window)
                    .map(|(entry, window)| (entry + 1, window.invoked));
            } else if let Some(point) = operation.request.read_point(bytes) {
                there = point.log_size.checked_sub(1);
                not_yet = Some((point.log_size, operation.invoked.order)).filter(|_| point.linearizable);
            }
            let at = |entry: u64| usize::try_from(entry).unwrap_or(size).min(size);
            if let Some(entry) = there {
                latest[at(entry)] = sooner(latest[at(entry)], returned);
            }
            if let Some((entry, moment)) = not_yet {
                earliest[at(entry)] = earliest[at(entry)].max(moment);
            }
        }
        for entry in 1..=size {
            earliest[entry] = earliest[entry].max(earliest[entry - 1]);
        }
        for entry in (0..size).rev() {
            latest[entry] = sooner(latest[entry], latest[entry + 1]);
        }
        Self { earliest, latest }
    }

    fn window(&self, entry: u64) -> Window {
        let at = usize::try_from(entry).unwrap_or(usize::MAX);
        Window {
            invoked: self.earliest.get(at).copied().unwrap_or(0),
            returned: self.latest.get(at).copied().flatten(),
        }
    }
}

type Registers = BTreeMap<Subject, Vec<Operation>>;
type Versions = BTreeMap<(Subject, u64), u64>;

/// The changes of each register, and the position of each version in it.
fn changes(record: &Record, windows: &BTreeMap<(&str, &str), Window>, between: &Between) -> (Registers, Versions) {
    let mut registers = Registers::new();
    let mut versions = Versions::new();
    let mut containers = BTreeMap::new();
    for (entry, leaf) in &record.leaves {
        if let Event::Announced {
            inspection,
            announcement,
            ..
        } = &leaf.event
        {
            containers.insert(*inspection, announcement.equipment.clone());
        }
        let window = match &leaf.actor {
            Actor::External { source, request, .. } => windows.get(&(source.as_str(), request.as_str())),
            _ => None,
        };
        // The cluster changes containers by itself: nobody knows when, but the log has it between others.
        let window = window.copied().unwrap_or_else(|| between.window(*entry));
        let inspections = leaf.event.subjects().inspections.into_iter();
        let containers = &containers;
        let touched = inspections.flat_map(|no| {
            let container = containers.get(&no).cloned().map(Subject::Container);
            let both = [Some(Subject::Inspection(no.0)), container].into_iter().flatten();
            both.map(|subject| (subject, leaf.number.0))
        });
        let activates = matches!(
            leaf.event,
            Event::Founded { .. } | Event::PolicyActivated { .. } | Event::PolicyAdopted { .. }
        );
        // An inspection says as of which command it is, a policy by which entry it was activated.
        let policy = activates.then_some((Subject::Policy, *entry));
        for (subject, version) in touched.chain(policy) {
            let register = registers.entry(subject.clone()).or_default();
            let position = register.len() as u64 + 1;
            register.push(Operation {
                invoked: window.invoked,
                returned: window.returned,
                act: Act::Change(position),
            });
            versions.insert((subject, version), position);
        }
    }
    (registers, versions)
}
