//! Many writes over one stream: batches in, answers out as each batch is decided.

use std::pin::Pin;
use std::time::Duration;

use futures::Stream;
use portcullis_domain::command::{Command, CommandBody, ExternalCommand};
use portcullis_domain::outcome::Outcome;
use portcullis_proto::v1 as pb;
use portcullis_proto::v1::submission::Command as Submitted;
use portcullis_proto::v1::submit_result::Result as Answer;
use portcullis_wire::{InvalidField, write};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Status, Streaming};

use super::{Asked, Gateway};
use crate::ports::unstamped;

/// Answers to batches.
pub(super) type Answers = Pin<Box<dyn Stream<Item = Result<pb::SubmitResponse, Status>> + Send>>;

/// Batches of one stream that may wait for their answer; a stream that sends more waits in its own connection.
const BATCHES: usize = 1024;
/// Writes in one batch.
const BATCH: usize = 1024;

/// What kind of answer a write gets.
#[derive(Debug, Clone, Copy)]
enum Kind {
    Announce,
    Adjudicate,
    ReportDeparture,
}

impl Gateway {
    /// Takes batches until the client ends the stream or the node stops. What was taken is answered in either case.
    pub(super) fn take_batches(&self, request: Request<Streaming<pb::SubmitRequest>>) -> Answers {
        let asked = Asked::of(self, &request);
        let mut batches = request.into_inner();
        let (answers, outgoing) = mpsc::channel(BATCHES);
        let gateway = self.clone();
        tokio::spawn(async move {
            let stop = gateway.inner.stop.clone();
            loop {
                // A place for the answer first, so that a client that does not read its answers cannot pile up work.
                let Ok(place) = answers.clone().reserve_owned().await else {
                    return;
                };
                let batch = tokio::select! {
                    batch = batches.message() => batch,
                    () = stop.cancelled() => return,
                };
                let Ok(Some(batch)) = batch else { return };
                if batch.submissions.len() > BATCH {
                    let why = format!("a batch has {BATCH} at most, this has {}", batch.submissions.len());
                    let invalid = InvalidField::new("submissions", why);
                    place.send(Err(portcullis_wire::status::invalid(&invalid)));
                    return;
                }
                // A stream that is faster than the log waits here, and with it its client.
                let room = tokio::select! {
                    room = gateway.inner.consensus.room(batch.submissions.len()) => room,
                    () = stop.cancelled() => return,
                };
                let gateway = gateway.clone();
                let traceparent = asked.traceparent.clone();
                let within = asked.within;
                tokio::spawn(async move {
                    place.send(Ok(gateway.submit_batch(batch, traceparent, within).await));
                    drop(room);
                });
            }
        });
        Box::pin(ReceiverStream::new(outgoing))
    }

    async fn submit_batch(
        &self,
        request: pb::SubmitRequest,
        traceparent: String,
        within: Duration,
    ) -> pb::SubmitResponse {
        let mut commands: Vec<Command> = Vec::with_capacity(request.submissions.len());
        let taken: Vec<Result<Kind, Status>> = request
            .submissions
            .into_iter()
            .enumerate()
            .map(|(number, submission)| {
                let (kind, command) = decode(number, submission)?;
                commands.push(unstamped(CommandBody::External(command), traceparent.clone()));
                Ok(kind)
            })
            .collect();
        let mut outcomes = self.inner.consensus.propose_within(commands, within).await.into_iter();
        let results = taken
            .into_iter()
            .map(|taken| {
                let result = taken.and_then(|kind| match outcomes.next() {
                    Some(Ok(Outcome::Applied(applied))) => Ok(encode(kind, &applied)),
                    Some(Ok(Outcome::Refused(refusal))) => Err(portcullis_wire::status::refused(&refusal)),
                    Some(Err(error)) => Err(super::failed_write(&error)),
                    None => Err(portcullis_wire::status::unknown("the node is stopping")),
                });
                pb::SubmitResult {
                    result: Some(result.unwrap_or_else(|status| Answer::Failure(failure(&status)))),
                }
            })
            .collect();
        pb::SubmitResponse {
            batch: request.batch,
            results,
        }
    }
}

fn decode(number: usize, submission: pb::Submission) -> Result<(Kind, ExternalCommand), Status> {
    let decoded = match submission.command {
        Some(Submitted::Announce(request)) => {
            let salt: [u8; 16] = rand::random();
            write::decode_announce(request, &salt).map(|command| (Kind::Announce, command))
        }
        Some(Submitted::Adjudicate(request)) => {
            write::decode_adjudicate(request).map(|command| (Kind::Adjudicate, command))
        }
        Some(Submitted::ReportDeparture(request)) => {
            write::decode_report_departure(request).map(|command| (Kind::ReportDeparture, command))
        }
        None => Err(InvalidField::missing("command")),
    };
    decoded.map_err(|invalid| {
        let field = format!("submissions[{number}].{}", invalid.field);
        portcullis_wire::status::invalid(&InvalidField::new(field, invalid.reason))
    })
}

fn encode(kind: Kind, applied: &portcullis_domain::outcome::Applied) -> Answer {
    let done = Some(write::encode_applied(applied));
    match kind {
        Kind::Announce => Answer::Announced(write::encode_announce(applied)),
        Kind::Adjudicate => Answer::Adjudicated(pb::AdjudicateResponse { applied: done }),
        Kind::ReportDeparture => Answer::Departed(pb::ReportDepartureResponse { applied: done }),
    }
}

fn failure(status: &Status) -> pb::Failure {
    pb::Failure {
        code: status.code().into(),
        message: status.message().to_owned(),
        details: status.details().to_vec().into(),
    }
}
