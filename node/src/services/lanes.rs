//! Defining, opening, closing and listing lanes; devices attach through [`super::attach`].

use std::pin::Pin;

use futures::Stream;
use portcullis_domain::inspection::Stage;
use portcullis_domain::placement::ActorKey;
use portcullis_proto::v1 as pb;
use portcullis_proto::v1::lane_service_server::LaneService;
use tonic::{Request, Response, Status, Streaming};

use super::{Asked, Gateway, Viewed};

#[tonic::async_trait]
impl LaneService for Gateway {
    type AttachStream = Pin<Box<dyn Stream<Item = Result<pb::LaneMessage, Status>> + Send>>;

    async fn attach(
        &self,
        request: Request<Streaming<pb::DeviceMessage>>,
    ) -> Result<Response<Self::AttachStream>, Status> {
        let stream = self.attach_device(request.into_inner()).await?;
        Ok(Response::new(Box::pin(stream)))
    }

    async fn define_lane(
        &self,
        request: Request<pb::DefineLaneRequest>,
    ) -> Result<Response<pb::DefineLaneResponse>, Status> {
        let asked = Asked::of(self, &request);
        let command = portcullis_wire::write::decode_define_lane(request.into_inner())
            .map_err(|invalid| portcullis_wire::status::invalid(&invalid))?;
        let applied = self.write(command, &asked).await?;
        Ok(Response::new(pb::DefineLaneResponse {
            applied: Some(portcullis_wire::write::encode_applied(&applied)),
        }))
    }

    async fn open_lane(&self, request: Request<pb::OpenLaneRequest>) -> Result<Response<pb::OpenLaneResponse>, Status> {
        let asked = Asked::of(self, &request);
        let command = portcullis_wire::write::decode_open_lane(request.into_inner())
            .map_err(|invalid| portcullis_wire::status::invalid(&invalid))?;
        let applied = self.write(command, &asked).await?;
        Ok(Response::new(pb::OpenLaneResponse {
            applied: Some(portcullis_wire::write::encode_applied(&applied)),
        }))
    }

    async fn close_lane(
        &self,
        request: Request<pb::CloseLaneRequest>,
    ) -> Result<Response<pb::CloseLaneResponse>, Status> {
        let asked = Asked::of(self, &request);
        let command = portcullis_wire::write::decode_close_lane(request.into_inner())
            .map_err(|invalid| portcullis_wire::status::invalid(&invalid))?;
        let applied = self.write(command, &asked).await?;
        Ok(Response::new(pb::CloseLaneResponse {
            applied: Some(portcullis_wire::write::encode_applied(&applied)),
        }))
    }

    async fn list_lanes(
        &self,
        request: Request<pb::ListLanesRequest>,
    ) -> Result<Response<pb::ListLanesResponse>, Status> {
        let asked = Asked::of(self, &request);
        let request = request.into_inner();
        let Viewed { view, read_point } = self.view(request.consistency, &asked).await?;
        let ledger = &view.ledger;
        let lanes = ledger
            .lanes()
            .filter(|(_, lane)| request.terminal.is_empty() || lane.spec.terminal.as_str() == request.terminal)
            .map(|(id, lane)| {
                let waiting = ledger
                    .inspections_from(portcullis_domain::id::InspectionNo(0))
                    .filter(|case| case.stage == Stage::Queued && case.terminal == lane.spec.terminal)
                    .count();
                let placement = ledger.placement(&ActorKey::Lane(id));
                let waiting = u32::try_from(waiting).unwrap_or(u32::MAX);
                portcullis_wire::lane::encode_lane(lane, placement, waiting, ledger.charts())
            })
            .collect();
        Ok(Response::new(pb::ListLanesResponse {
            lanes,
            read_point: Some(read_point),
        }))
    }
}
