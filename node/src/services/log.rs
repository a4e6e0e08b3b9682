//! The decision log for auditors: its head, and any entry of it.

use portcullis_domain::codec;
use portcullis_domain::event::Leaf;
use portcullis_domain::id::EntryNo;
use portcullis_proto::v1 as pb;
use portcullis_proto::v1::log_service_server::LogService;
use tonic::{Request, Response, Status};

use super::{Asked, Gateway, Viewed};

#[tonic::async_trait]
impl LogService for Gateway {
    async fn get_head(&self, request: Request<pb::GetHeadRequest>) -> Result<Response<pb::GetHeadResponse>, Status> {
        let asked = Asked::of(self, &request);
        let consistency = request.into_inner().consistency;
        let Viewed { view, read_point } = self.view(consistency, &asked).await?;
        Ok(Response::new(pb::GetHeadResponse {
            cluster_id: self.inner.cluster.to_string(),
            size: view.log_size,
            root: view.root.0.to_vec().into(),
            read_point: Some(read_point),
        }))
    }

    async fn get_entry(&self, request: Request<pb::GetEntryRequest>) -> Result<Response<pb::GetEntryResponse>, Status> {
        let entry = request.into_inner().entry;
        let size = self.inner.consensus.view().log_size;
        if entry >= size {
            return Err(portcullis_wire::status::beyond_head(entry, size));
        }
        let leaves = self
            .inner
            .consensus
            .entries(entry, 1)
            .await
            .map_err(|error| super::failed_read(&error))?;
        let Some((_, bytes)) = leaves.into_iter().find(|(found, _)| *found == entry) else {
            return Err(portcullis_wire::status::internal(&format!(
                "entry {entry} is not in the log that it belongs to"
            )));
        };
        let leaf = leaf_of(entry, &bytes)?;
        Ok(Response::new(portcullis_wire::event::encode_entry(
            EntryNo(entry),
            &bytes,
            &leaf,
        )))
    }
}

fn leaf_of(entry: u64, bytes: &[u8]) -> Result<Leaf, Status> {
    codec::from_bytes(bytes)
        .map_err(|error| portcullis_wire::status::internal(&format!("entry {entry} cannot be read: {error}")))
}

/// A leaf as an event of the contract.
pub(super) fn event_of(entry: u64, bytes: &[u8]) -> Result<pb::Event, Status> {
    let leaf = leaf_of(entry, bytes)?;
    Ok(portcullis_wire::event::encode_event(EntryNo(entry), &leaf))
}
