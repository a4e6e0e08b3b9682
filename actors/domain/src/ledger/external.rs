//! Deciding what people and systems outside ask.

use super::{Decision, Ledger};
use crate::command::ExternalBody;
use crate::event::Event;
use crate::finding::{Finding, FindingCode};
use crate::id::{Incarnation, InspectionNo, InvalidId, LaneId, NodeId, SourceId};
use crate::inspection::{Inspection, Ruling, Stage};
use crate::lane::{Lane, LaneSpec};
use crate::manifest::{Announcement, FINDINGS_MAX, Party, TEXT_MAX};
use crate::outcome::{Answer, Outcome, Refusal, RefusalReason};
use crate::roster::{ADDRESS_MAX, has_left, taken};

impl Ledger {
    pub(super) fn decide_external(&self, source: &SourceId, body: ExternalBody) -> Result<Decision, Refusal> {
        match body {
            ExternalBody::Announce(announcement) => self.announce(source, announcement),
            ExternalBody::Adjudicate {
                inspection,
                ruling,
                reason,
            } => self.adjudicate(inspection, ruling, reason),
            ExternalBody::ReportDeparture { equipment } => {
                let inspection = self.open_inspection(&equipment).ok_or_else(|| {
                    Refusal::new(
                        RefusalReason::UnknownContainer,
                        "equipment_id",
                        format!("{equipment} is not in the port"),
                    )
                })?;
                // What customs has taken leaves with customs, and its number is free for another visit then.
                if !mutant!(
                    LeavesUnreleased,
                    true,
                    matches!(inspection.stage, Stage::Released | Stage::Seized)
                ) {
                    return Err(Refusal::new(
                        RefusalReason::NotReleased,
                        "equipment_id",
                        format!(
                            "{equipment} ({}) is {} and must not leave; if it has left, alert customs",
                            inspection.no, inspection.stage
                        ),
                    ));
                }
                Decision::event(Event::Departed {
                    inspection: inspection.no,
                    equipment,
                })
            }
            ExternalBody::OpenLane { lane } => match self.known_lane(lane)?.open {
                true => Decision::nothing_new(Answer::Done),
                false => Decision::event(Event::LaneOpened { lane }),
            },
            ExternalBody::CloseLane { lane } => match self.known_lane(lane)?.open {
                false => Decision::nothing_new(Answer::Done),
                true => Decision::event(Event::LaneClosed { lane }),
            },
            ExternalBody::DefineLane(spec) => self.define_lane(spec),
            ExternalBody::AddModel(model) => self.add_model(&model),
            ExternalBody::AddPolicy(policy) => self.add_policy(policy),
            ExternalBody::ActivatePolicy { policy } => self.activate_policy(policy),
            ExternalBody::AdoptPolicy { policy, reason } => self.adopt_policy(policy, reason),
            ExternalBody::AddNode {
                wanted,
                above,
                incarnation,
                address,
            } => self.add_node(wanted, above, incarnation, &address),
            ExternalBody::DrainNode { node } => match self.enrolled(node)? {
                true => Decision::nothing_new(Answer::Done),
                false => Decision::event(Event::NodeDrained { node }),
            },
            ExternalBody::UndrainNode { node } => match self.enrolled(node)? {
                false => Decision::nothing_new(Answer::Done),
                true => Decision::event(Event::NodeUndrained { node }),
            },
            ExternalBody::RemoveNode { node } => match self.roster.get(&node) {
                Some(enrolment) if enrolment.removed => Decision::nothing_new(Answer::Done),
                _ => Decision::event(Event::NodeRemoved { node }),
            },
            ExternalBody::ResetChart { chart, reason } => self.reset_chart(chart, reason),
        }
    }

    fn add_node(
        &self,
        wanted: Option<NodeId>,
        above: NodeId,
        incarnation: Incarnation,
        address: &str,
    ) -> Result<Decision, Refusal> {
        self.check_address(address, Some(incarnation))?;
        if let Some((node, enrolment)) = self.node_of(incarnation) {
            if enrolment.removed {
                return Err(has_left(node));
            }
            if wanted.is_some_and(|wanted| wanted != node) {
                return Err(Refusal::new(
                    RefusalReason::NodeIdUsed,
                    "node.id",
                    format!("the data folder belongs to {node}; start it under that id"),
                ));
            }
            return self.enrol(node, incarnation, address);
        }
        let node = match wanted {
            None => self.fresh_node(above),
            Some(wanted) => match self.roster.get(&wanted) {
                Some(enrolment) if enrolment.removed => return Err(has_left(wanted)),
                Some(_) => return Err(taken(wanted)),
                None if wanted.0 == 0 || self.nodes.contains_key(&wanted) => return Err(taken(wanted)),
                None => wanted,
            },
        };
        self.enrol(node, incarnation, address)
    }

    /// Binds an id that is free or belongs to this folder already.
    pub(super) fn enrol(&self, node: NodeId, incarnation: Incarnation, address: &str) -> Result<Decision, Refusal> {
        let answer = Answer::Node { node };
        let known = self.roster.get(&node);
        if known.is_some_and(|known| known.incarnation == Some(incarnation) && known.address == address) {
            return Decision::nothing_new(answer);
        }
        let event = Event::NodeEnrolled {
            node,
            incarnation,
            address: address.to_owned(),
        };
        Decision::answered(event, answer)
    }

    /// An address must be one, and nobody else's.
    pub(super) fn check_address(&self, address: &str, of: Option<Incarnation>) -> Result<(), Refusal> {
        let bad = |why: String| Refusal::new(RefusalReason::InvalidArgument, "address", why);
        let sound = address.len() <= ADDRESS_MAX && address.bytes().all(|byte| byte.is_ascii_graphic());
        if !sound || !address.contains(':') {
            return Err(bad(format!(
                "expected host:port in at most {ADDRESS_MAX} visible characters"
            )));
        }
        let other = self
            .roster()
            .find(|(_, one)| !one.removed && one.address == address && one.incarnation != of);
        match other {
            Some((node, _)) => Err(bad(format!(
                "{node} is reached at {address}; remove it first, or listen elsewhere"
            ))),
            None => Ok(()),
        }
    }

    /// Whether a node that is in the roster and has not left is drained.
    fn enrolled(&self, node: NodeId) -> Result<bool, Refusal> {
        match self.roster.get(&node) {
            Some(enrolment) if enrolment.removed => Err(has_left(node)),
            Some(enrolment) => Ok(enrolment.drained),
            None => Err(Refusal::new(
                RefusalReason::UnknownNode,
                "node",
                format!("there is no {node}; see `cluster status`"),
            )),
        }
    }

    fn announce(&self, source: &SourceId, announcement: Announcement) -> Result<Decision, Refusal> {
        announcement
            .manifest
            .check()
            .map_err(|error| invalid("announcement.manifest", &error))?;
        if announcement.findings.len() > FINDINGS_MAX {
            return Err(Refusal::new(
                RefusalReason::TooMany,
                "announcement.findings",
                format!("more than {FINDINGS_MAX} findings"),
            ));
        }
        if let Some(open) = self.open_inspection(&announcement.equipment) {
            return again(open, source, &announcement);
        }
        let inspection = InspectionNo(self.number.0);
        let mut findings = announcement.findings;
        findings.extend(announcement.equipment.findings());
        if announcement.manifest.document.is_none() {
            findings.push(Finding::new(
                FindingCode::DocumentUnverified,
                "announcement.manifest.document",
                "no digest of a document came with it",
            ));
        }
        let announcement = Announcement {
            manifest: announcement.manifest.sealed(),
            findings: Vec::new(),
            ..announcement
        };
        Decision::answered(
            Event::Announced {
                inspection,
                announcement,
                findings,
            },
            Answer::Inspection {
                inspection,
                known: false,
            },
        )
    }

    fn adjudicate(&self, no: InspectionNo, ruling: Ruling, reason: String) -> Result<Decision, Refusal> {
        let inspection = self.known_inspection(no)?;
        if reason.trim().is_empty() || reason.len() > TEXT_MAX {
            return Err(Refusal::new(
                RefusalReason::InvalidArgument,
                "reason",
                format!("a reason of 1 to {TEXT_MAX} bytes is needed"),
            ));
        }
        let allowed = match inspection.stage {
            Stage::UnderReview => matches!(ruling, Ruling::Release | Ruling::Hold),
            Stage::Held => matches!(ruling, Ruling::Release | Ruling::Seize),
            _ => false,
        };
        if !allowed {
            return Err(Refusal::new(
                RefusalReason::WrongStage,
                "inspection",
                format!(
                    "{no} is {}; from review it can be released or held, when held it can be released or seized",
                    inspection.stage
                ),
            ));
        }
        Decision::event(Event::Adjudicated {
            inspection: no,
            equipment: inspection.equipment.clone(),
            ruling,
            reason,
        })
    }

    fn define_lane(&self, spec: LaneSpec) -> Result<Decision, Refusal> {
        spec.check().map_err(|error| invalid("lane", &error))?;
        if let Some(lane) = self.lanes.get(&spec.id) {
            if lane.spec == spec {
                return Decision::nothing_new(Answer::Done);
            }
            if lane.next.is_some() || lane.current.is_some() {
                return Err(Refusal::new(
                    RefusalReason::LaneBusy,
                    "lane.id",
                    format!("{} has a container; close it, wait, and define it then", spec.id),
                ));
            }
        }
        for (other, lane) in self.lanes() {
            let shared = spec
                .devices
                .iter()
                .find(|device| lane.spec.device(&device.id).is_some());
            if let Some(device) = shared.filter(|_| other != spec.id) {
                return Err(Refusal::new(
                    RefusalReason::InvalidArgument,
                    "lane.devices",
                    format!("{} belongs to {other}", device.id),
                ));
            }
        }
        Decision::event(Event::LaneDefined { spec })
    }

    /// Personal values live beside the log, where they can be erased.
    pub(super) fn keep_personal(&mut self, parties: Vec<Party>, outcome: &Outcome) {
        if let Outcome::Applied(applied) = outcome
            && let Answer::Inspection {
                inspection,
                known: false,
            } = applied.answer
            && !parties.is_empty()
        {
            self.personal.insert(inspection, parties);
        }
    }

    pub(super) fn founded(&self) -> Result<(), Refusal> {
        match self.cluster {
            Some(_) => Ok(()),
            None => Err(Refusal::new(
                RefusalReason::NotFounded,
                "",
                "the cluster is still starting; try again in a moment",
            )),
        }
    }

    pub(super) fn known_inspection(&self, no: InspectionNo) -> Result<&Inspection, Refusal> {
        self.inspections.get(&no).map(AsRef::as_ref).ok_or_else(|| {
            let why = match no.0 <= self.number.0 {
                true => format!("{no} is not open: its container has left, or the number was never an inspection's"),
                false => format!("there is no {no}"),
            };
            Refusal::new(RefusalReason::UnknownInspection, "inspection", why)
        })
    }

    pub(super) fn known_lane(&self, id: LaneId) -> Result<&Lane, Refusal> {
        self.lanes.get(&id).ok_or_else(|| {
            Refusal::new(
                RefusalReason::UnknownLane,
                "lane",
                format!("there is no {id}; see `lane ls`"),
            )
        })
    }
}

/// A container that is open is announced again: the same inspection, with a finding for what is new about it.
fn again(open: &Inspection, source: &SourceId, announcement: &Announcement) -> Result<Decision, Refusal> {
    let answer = Answer::Inspection {
        inspection: open.no,
        known: true,
    };
    let mut findings = Vec::new();
    if *source != open.source && !open.other_sources.contains(source) {
        findings.push(Finding::new(
            FindingCode::AnnouncedByAnother,
            "announcement",
            format!("{source} announced it too, after {}", open.source),
        ));
    }
    if !announcement.manifest.same_cargo(&open.manifest) {
        findings.push(Finding::new(
            FindingCode::ManifestDiffers,
            "announcement.manifest",
            format!("{source} declares other contents than {} did", open.source),
        ));
    }
    findings.retain(|finding| !open.findings.contains(finding));
    if findings.is_empty() {
        return Decision::nothing_new(answer);
    }
    Decision::answered(
        Event::AnnouncedAgain {
            inspection: open.no,
            equipment: open.equipment.clone(),
            findings,
        },
        answer,
    )
}

pub(super) fn invalid(field: &str, error: &InvalidId) -> Refusal {
    Refusal::new(
        RefusalReason::InvalidArgument,
        field,
        format!("{}: {}", error.value, error.why),
    )
}
