//! Requests as clients make them, and refusals as clients read them.

use std::time::Duration;

use portcullis_proto::v1 as pb;
use tonic::{Code, Request, Status};
use tonic_types::StatusExt as _;

/// The context of a write.
pub(crate) fn context(request_id: &str) -> Option<pb::RequestContext> {
    Some(pb::RequestContext {
        source: "tos-1".to_owned(),
        request_id: request_id.to_owned(),
        principal: "gate-clerk".to_owned(),
    })
}

/// A manifest with one kind of goods.
pub(crate) fn manifest() -> pb::Manifest {
    pb::Manifest {
        goods: vec![pb::GoodsItem {
            sequence: 1,
            commodity_code: "180400".to_owned(),
            description: "Cocoa butter".to_owned(),
            gross_mass_g: Some(15_000_000),
            ..pb::GoodsItem::default()
        }],
        gross_mass_g: Some(15_000_000),
        ..pb::Manifest::default()
    }
}

/// A container that comes to a terminal.
pub(crate) fn announce(request_id: &str, equipment_id: &str, terminal: &str) -> pb::AnnounceRequest {
    pb::AnnounceRequest {
        context: context(request_id),
        announcement: Some(pb::Announcement {
            equipment_id: equipment_id.to_owned(),
            terminal: terminal.to_owned(),
            manifest: Some(manifest()),
            ..pb::Announcement::default()
        }),
    }
}

/// A request with a deadline on the wire.
pub(crate) fn deadline<T>(message: T, limit: Duration) -> Request<T> {
    let mut request = Request::new(message);
    request.set_timeout(limit);
    request
}

/// What a status says in its rich details.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Refused {
    pub(crate) code: Code,
    pub(crate) reason: String,
    pub(crate) field: String,
}

impl Refused {
    pub(crate) fn new(code: Code, reason: &str, field: &str) -> Self {
        Self {
            code,
            reason: reason.to_owned(),
            field: field.to_owned(),
        }
    }

    /// Reads a status: it must carry our `ErrorInfo`, and its message must name reason and field for people as well.
    pub(crate) fn of(status: &Status) -> Self {
        let details = status.get_error_details();
        let info = details
            .error_info()
            .unwrap_or_else(|| panic!("no ErrorInfo: {status:?}"));
        assert_eq!(info.domain, "portcullis", "{status:?}");
        let field = info.metadata.get("field").cloned().unwrap_or_default();
        assert!(status.message().contains(&info.reason), "{status:?}");
        assert!(status.message().contains(&field), "{status:?}");
        Self {
            code: status.code(),
            reason: info.reason.clone(),
            field,
        }
    }
}
