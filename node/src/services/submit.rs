//! Many writes over one stream: batches in, answers out as each batch is decided.

use std::pin::Pin;
use std::time::Duration;

use futures::{FutureExt, Stream};
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
/// As long as they have fewer writes together, batches that have come are handed on as one: as many as a Raft entry takes.
const TOGETHER: usize = 64;

/// What kind of answer a write gets.
#[derive(Debug, Clone, Copy)]
enum Kind {
    Announce,
    Adjudicate,
    ReportDeparture,
}

/// A batch that was read, with the place for its answer.
struct Taken {
    batch: pb::SubmitRequest,
    place: mpsc::OwnedPermit<Result<pb::SubmitResponse, Status>>,
}

/// What reading the next batch gave.
enum Next {
    Taken(Taken),
    /// The stream is at its end, or what came was refused.
    Ended,
}

impl Next {
    fn of(
        read: Result<Option<pb::SubmitRequest>, Status>,
        place: mpsc::OwnedPermit<Result<pb::SubmitResponse, Status>>,
    ) -> Self {
        let Ok(Some(batch)) = read else { return Self::Ended };
        if batch.submissions.len() > BATCH {
            let why = format!("a batch has {BATCH} at most, this has {}", batch.submissions.len());
            let invalid = InvalidField::new("submissions", why);
            place.send(Err(portcullis_wire::status::invalid(&invalid)));
            return Self::Ended;
        }
        Self::Taken(Taken { batch, place })
    }
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
            let consensus = &gateway.inner.consensus;
            // Read, but there was no room for it together with those before.
            let mut ahead = None;
            let mut ended = false;
            while !ended {
                let first = match ahead.take() {
                    Some(taken) => taken,
                    None => {
                        // A place for the answer first, so that a client that does not read its answers cannot pile up work.
                        let Ok(place) = answers.clone().reserve_owned().await else {
                            return;
                        };
                        let read = tokio::select! {
                            read = batches.message() => read,
                            () = stop.cancelled() => return,
                        };
                        match Next::of(read, place) {
                            Next::Taken(taken) => taken,
                            Next::Ended => return,
                        }
                    }
                };
                // A stream that is faster than the log waits here, and with it its client.
                let room = tokio::select! {
                    room = consensus.room(first.batch.submissions.len()) => room,
                    () = stop.cancelled() => return,
                };
                let mut count = first.batch.submissions.len();
                let mut rooms = vec![room];
                let mut group = vec![first];
                // Small batches that have come already go together: they would share a Raft entry anyway, and a task and a
                // wake-up for each cost more than the commands in them.
                while count < TOGETHER {
                    let Ok(place) = answers.clone().try_reserve_owned() else {
                        break;
                    };
                    let Some(read) = batches.message().now_or_never() else {
                        break;
                    };
                    let Next::Taken(taken) = Next::of(read, place) else {
                        ended = true;
                        break;
                    };
                    // To wait here could be to wait for the room that the group itself holds.
                    let Some(room) = consensus.room_now(taken.batch.submissions.len()) else {
                        ahead = Some(taken);
                        break;
                    };
                    count += taken.batch.submissions.len();
                    rooms.push(room);
                    group.push(taken);
                }
                let gateway = gateway.clone();
                let traceparent = asked.traceparent.clone();
                let within = asked.within;
                tokio::spawn(async move {
                    gateway.submit_together(group, &traceparent, within).await;
                    drop(rooms);
                });
            }
        });
        Box::pin(ReceiverStream::new(outgoing))
    }

    /// Proposes the commands of some batches and answers each batch.
    async fn submit_together(&self, group: Vec<Taken>, traceparent: &str, within: Duration) {
        let mut commands: Vec<Command> = Vec::new();
        let group: Vec<_> = group
            .into_iter()
            .map(|Taken { batch, place }| {
                let decode = |(number, submission)| {
                    let (kind, command) = decode(number, submission)?;
                    commands.push(unstamped(CommandBody::External(command), traceparent.to_owned()));
                    Ok(kind)
                };
                let kinds: Vec<Result<Kind, Status>> = batch.submissions.into_iter().enumerate().map(decode).collect();
                (batch.batch, kinds, place)
            })
            .collect();
        let mut outcomes = self.inner.consensus.propose_within(commands, within).await.into_iter();
        for (batch, kinds, place) in group {
            let answer = |kind: Result<Kind, Status>| {
                let result = kind.and_then(|kind| match outcomes.next() {
                    Some(Ok(Outcome::Applied(applied))) => Ok(encode(kind, &applied)),
                    Some(Ok(Outcome::Refused(refusal))) => Err(portcullis_wire::status::refused(&refusal)),
                    Some(Err(error)) => Err(super::failed_write(&error)),
                    None => Err(portcullis_wire::status::unknown("the node is stopping")),
                });
                pb::SubmitResult {
                    result: Some(result.unwrap_or_else(|status| Answer::Failure(failure(&status)))),
                }
            };
            let results = kinds.into_iter().map(answer).collect();
            place.send(Ok(pb::SubmitResponse { batch, results }));
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
