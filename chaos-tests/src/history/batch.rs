//! Writes that go together on a `Submit` stream: one batch, one answer, and each write put down for itself.

use std::sync::Arc;
use std::time::Duration;

use portcullis_proto::v1 as pb;
use portcullis_proto::v1::inspection_service_client::InspectionServiceClient;
use prost::Message as _;
use tonic::transport::Channel;
use tonic::{Code, Status};

use super::request::{GRACE, Request};
use crate::cluster::deadline;
use crate::write::Told;

/// Sends these writes as one batch and waits for their answers, in their order. Whatever a batch cannot hold, and whatever is
/// not answered within the time, is unknown.
pub async fn submit(channel: Channel, requests: &[Arc<Request>], limit: Duration) -> Vec<Told> {
    let answers = tokio::time::timeout(limit + GRACE, one_batch(channel, requests, limit)).await;
    let mut results = answers.ok().flatten().unwrap_or_default().into_iter();
    let told = |request: &Arc<Request>| match results.next() {
        Some(result) => result_of(request, result),
        None => Told::Unknown,
    };
    requests.iter().map(told).collect()
}

async fn one_batch(channel: Channel, requests: &[Arc<Request>], limit: Duration) -> Option<Vec<pb::SubmitResult>> {
    use pb::submission::Command;
    let submissions: Option<Vec<pb::Submission>> = requests
        .iter()
        .map(|request| {
            let command = match &**request {
                Request::Announce(request) => Command::Announce(request.clone()),
                Request::Adjudicate(request) => Command::Adjudicate(request.clone()),
                Request::ReportDeparture(request) => Command::ReportDeparture(request.clone()),
                _ => return None,
            };
            Some(pb::Submission { command: Some(command) })
        })
        .collect();
    let batch = pb::SubmitRequest {
        batch: 1,
        submissions: submissions?,
    };
    let mut client = InspectionServiceClient::new(channel);
    let stream = client.submit(deadline(tokio_stream::once(batch), limit)).await.ok()?;
    let answer = stream.into_inner().message().await.ok()??;
    Some(answer.results)
}

fn result_of(request: &Request, result: pb::SubmitResult) -> Told {
    use pb::submit_result::Result as Outcome;
    match result.result {
        Some(Outcome::Announced(answer)) => Told::Applied(answer.encode_to_vec()),
        Some(Outcome::Adjudicated(answer)) => Told::Applied(answer.encode_to_vec()),
        Some(Outcome::Departed(answer)) => Told::Applied(answer.encode_to_vec()),
        Some(Outcome::Failure(failure)) => {
            let code = Code::from_i32(failure.code);
            request.failed(&Status::with_details(code, failure.message, failure.details))
        }
        None => Told::Unknown,
    }
}
