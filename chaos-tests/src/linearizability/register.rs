//! The registers of a run: for each container, and for each inspection, what the log says changed it and what clients did to
//! it and saw of it.

use std::collections::BTreeMap;

use portcullis_domain::equipment::EquipmentId;
use portcullis_domain::event::{Actor, Event};
use portcullis_proto::v1 as pb;
use portcullis_proto::v1::get_inspection_request::Target;
use prost::Message as _;

use super::{Act, Operation};
use crate::history::{History, Request};
use crate::promises::Record;
use crate::write::Told;

/// What a register is about.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Subject {
    /// A container, over all of its visits.
    Container(EquipmentId),
    /// One visit.
    Inspection(u64),
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
    let (mut registers, versions) = changes(record, &windows);
    for read in &history.operations {
        let Request::GetInspection(request) = &*read.request else {
            continue;
        };
        // A local read may be old, and a failed one says nothing.
        if request.consistency() != pb::Consistency::Lease && request.consistency() != pb::Consistency::Quorum {
            continue;
        }
        let subject = match &request.target {
            Some(Target::Inspection(no)) => Subject::Inspection(*no),
            Some(Target::EquipmentId(text)) => match EquipmentId::new(text) {
                Ok(equipment) => Subject::Container(equipment),
                Err(_) => continue,
            },
            None => continue,
        };
        let at = match &read.told {
            Told::Applied(bytes) => {
                let answer = pb::GetInspectionResponse::decode(&**bytes).unwrap_or_default();
                let version = answer.inspection.map_or(0, |inspection| inspection.version);
                *versions.get(&(subject.clone(), version)).ok_or_else(|| {
                    format!("{subject:?} was read at version {version}, and the log has no such change of it")
                })?
            }
            Told::Refused(reason) if reason == "UNKNOWN_CONTAINER" || reason == "UNKNOWN_INSPECTION" => 0,
            Told::Refused(_) | Told::Unknown => continue,
        };
        registers.entry(subject).or_default().push(Operation {
            invoked: read.invoked.order,
            returned: read.returned.map(|returned| returned.order),
            act: Act::Observe(at),
        });
    }
    Ok(registers)
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

type Registers = BTreeMap<Subject, Vec<Operation>>;
type Versions = BTreeMap<(Subject, u64), u64>;

/// The changes of each register, and the position of each version in it.
fn changes(record: &Record, windows: &BTreeMap<(&str, &str), Window>) -> (Registers, Versions) {
    let mut registers = Registers::new();
    let mut versions = Versions::new();
    let mut containers = BTreeMap::new();
    for (_, leaf) in &record.leaves {
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
        // The cluster changes containers by itself: nobody knows when, but for the order.
        let window = window.copied().unwrap_or(Window {
            invoked: 0,
            returned: None,
        });
        for no in leaf.event.subjects().inspections {
            let container = containers.get(&no).cloned().map(Subject::Container);
            for subject in [Some(Subject::Inspection(no.0)), container].into_iter().flatten() {
                let register = registers.entry(subject.clone()).or_default();
                let position = register.len() as u64 + 1;
                register.push(Operation {
                    invoked: window.invoked,
                    returned: window.returned,
                    act: Act::Change(position),
                });
                versions.insert((subject, leaf.number.0), position);
            }
        }
    }
    (registers, versions)
}
