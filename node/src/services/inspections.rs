//! Announcing containers, looking at inspections, adjudicating, departing.

use std::pin::Pin;
use std::sync::Arc;

use futures::Stream;
use portcullis_domain::id::InspectionNo;
use portcullis_domain::inspection::Inspection;
use portcullis_domain::ledger::Ledger;
use portcullis_domain::outcome::RefusalReason;
use portcullis_proto::v1 as pb;
use portcullis_proto::v1::inspection_service_server::InspectionService;
use portcullis_wire::inspection::{View, decode_view, encode_inspection};
use tonic::{Request, Response, Status};

use super::archive::Course;
use super::{Asked, Gateway, Viewed};

/// The most events that the timeline of one answer has.
const TIMELINE_MAX: usize = 500;

#[tonic::async_trait]
impl InspectionService for Gateway {
    type WatchStream = Pin<Box<dyn Stream<Item = Result<pb::WatchResponse, Status>> + Send>>;
    type SubmitStream = super::submit::Answers;

    async fn announce(&self, request: Request<pb::AnnounceRequest>) -> Result<Response<pb::AnnounceResponse>, Status> {
        let asked = Asked::of(self, &request);
        let salt: [u8; 16] = rand::random();
        let command = portcullis_wire::write::decode_announce(request.into_inner(), &salt)
            .map_err(|invalid| portcullis_wire::status::invalid(&invalid))?;
        let applied = self.write(command, &asked).await?;
        Ok(Response::new(portcullis_wire::write::encode_announce(&applied)))
    }

    async fn get_inspection(
        &self,
        request: Request<pb::GetInspectionRequest>,
    ) -> Result<Response<pb::GetInspectionResponse>, Status> {
        let asked = Asked::of(self, &request);
        let request = request.into_inner();
        let Viewed { view, read_point } = self.view(request.consistency, &asked).await?;
        let ledger = &view.ledger;
        let found = match request.target {
            Some(pb::get_inspection_request::Target::Inspection(no)) => {
                let no = InspectionNo(no);
                let found = match ledger.inspection(no) {
                    Some(open) => Some(Found::Open(Arc::clone(open))),
                    None => self.closed(&view, no).await?.map(Found::closed),
                };
                found.ok_or_else(|| {
                    let detail = format!("there is no {no}");
                    super::absent(RefusalReason::UnknownInspection, "inspection", detail)
                })?
            }
            Some(pb::get_inspection_request::Target::EquipmentId(text)) => {
                let equipment = portcullis_wire::announcement::decode_equipment("equipment_id", &text)
                    .map_err(|invalid| portcullis_wire::status::invalid(&invalid))?;
                let found = match ledger.open_inspection(&equipment) {
                    Some(open) => Some(Found::Open(Arc::clone(open))),
                    None => self.last_visit(&view, &equipment).await?.map(Found::closed),
                };
                found.ok_or_else(|| {
                    let detail = format!("no container {equipment} was ever announced");
                    super::absent(RefusalReason::UnknownContainer, "equipment_id", detail)
                })?
            }
            None => {
                return Err(portcullis_wire::status::invalid(
                    &portcullis_wire::InvalidField::missing("inspection"),
                ));
            }
        };
        let detail = decode_view(request.view, View::Full);
        let (inspection, course) = match (found, detail) {
            (Found::Open(inspection), View::Full) => {
                let course = self.course(inspection.no).await?;
                (inspection, course)
            }
            (Found::Open(inspection), View::Basic) => (inspection, Course::new()),
            (Found::Closed(inspection, course), View::Full) => (inspection, course),
            (Found::Closed(inspection, _), View::Basic) => (inspection, Course::new()),
        };
        let timeline = course
            .iter()
            .take(TIMELINE_MAX)
            .map(|(entry, leaf)| super::log::event_of(*entry, leaf))
            .collect::<Result<Vec<_>, _>>()?;
        Ok(Response::new(pb::GetInspectionResponse {
            inspection: Some(encode(ledger, &inspection, detail)),
            read_point: Some(read_point),
            timeline,
            timeline_truncated: course.len() > TIMELINE_MAX,
        }))
    }

    async fn list_inspections(
        &self,
        request: Request<pb::ListInspectionsRequest>,
    ) -> Result<Response<pb::ListInspectionsResponse>, Status> {
        let asked = Asked::of(self, &request);
        let request = request.into_inner();
        let consistency = request.consistency;
        let query = portcullis_wire::watch::decode_list(request, self.inner.cluster)
            .map_err(|unusable| portcullis_wire::status::unusable("page_token", &unusable))?;
        let Viewed { view, read_point } = self.view(consistency, &asked).await?;
        let ledger = &view.ledger;
        let (inspections, more_after) = if query.closed {
            let (found, more_after) = self.closed_page(&view, &query).await?;
            let found = found.iter().map(|inspection| encode(ledger, inspection, query.view));
            (found.collect(), more_after)
        } else {
            let first = InspectionNo(query.after.map_or(0, |after| after.0.saturating_add(1)));
            // One more than the page tells whether there is a next one.
            let mut found: Vec<_> = ledger
                .inspections_from(first)
                .filter(|inspection| query.matches(inspection))
                .take(query.page_size + 1)
                .collect();
            let more = found.len() > query.page_size;
            found.truncate(query.page_size);
            let more_after = found.last().filter(|_| more).map(|last| last.no);
            let found = found
                .into_iter()
                .map(|inspection| encode(ledger, inspection, query.view));
            (found.collect(), more_after)
        };
        let next_page_token = more_after.map_or_else(String::new, |last| {
            portcullis_wire::token::encode_page_token(self.inner.cluster, last, query.conditions())
        });
        Ok(Response::new(pb::ListInspectionsResponse {
            inspections,
            next_page_token,
            read_point: Some(read_point),
        }))
    }

    async fn watch(&self, request: Request<pb::WatchRequest>) -> Result<Response<Self::WatchStream>, Status> {
        let stream = self.follow_events(request.into_inner()).await?;
        Ok(Response::new(Box::pin(stream)))
    }

    async fn submit(
        &self,
        request: Request<tonic::Streaming<pb::SubmitRequest>>,
    ) -> Result<Response<Self::SubmitStream>, Status> {
        Ok(Response::new(self.take_batches(request)))
    }

    async fn adjudicate(
        &self,
        request: Request<pb::AdjudicateRequest>,
    ) -> Result<Response<pb::AdjudicateResponse>, Status> {
        let asked = Asked::of(self, &request);
        let command = portcullis_wire::write::decode_adjudicate(request.into_inner())
            .map_err(|invalid| portcullis_wire::status::invalid(&invalid))?;
        let applied = self.write(command, &asked).await?;
        Ok(Response::new(pb::AdjudicateResponse {
            applied: Some(portcullis_wire::write::encode_applied(&applied)),
        }))
    }

    async fn report_departure(
        &self,
        request: Request<pb::ReportDepartureRequest>,
    ) -> Result<Response<pb::ReportDepartureResponse>, Status> {
        let asked = Asked::of(self, &request);
        let command = portcullis_wire::write::decode_report_departure(request.into_inner())
            .map_err(|invalid| portcullis_wire::status::invalid(&invalid))?;
        let applied = self.write(command, &asked).await?;
        Ok(Response::new(pb::ReportDepartureResponse {
            applied: Some(portcullis_wire::write::encode_applied(&applied)),
        }))
    }
}

/// An inspection as it was found.
enum Found {
    Open(Arc<Inspection>),
    Closed(Arc<Inspection>, Course),
}

impl Found {
    fn closed((inspection, course): (Inspection, Course)) -> Self {
        Self::Closed(Arc::new(inspection), course)
    }
}

fn encode(ledger: &Ledger, inspection: &Inspection, detail: View) -> pb::Inspection {
    let judged_by = inspection
        .conclusion
        .as_ref()
        .and_then(|conclusion| ledger.policy_of(&conclusion.policy));
    encode_inspection(inspection, judged_by.map(AsRef::as_ref), detail)
}
