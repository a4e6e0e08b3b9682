//! Between openraft's messages and those of `raft.proto`.

use openraft::entry::RaftEntry;
use openraft::raft::TransferLeaderError;
use openraft::raft::{
    AppendEntriesRequest, StreamAppendError, StreamAppendResult, TransferLeaderRequest, TransferLeaderResponse,
    VoteRequest, VoteResponse,
};
use portcullis_proto::internal::v1 as pb;

use crate::record::Record;
use crate::types::{Entry, GROUP, Group, LeaderOf, LogId, Vote, log_id};

/// A message without a field that it must have, or with one that makes no sense.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}.{field}: {why}")]
pub(crate) struct WireError {
    pub(crate) message: &'static str,
    pub(crate) field: &'static str,
    pub(crate) why: String,
}

impl WireError {
    pub(crate) fn missing(message: &'static str, field: &'static str) -> Self {
        WireError {
            message,
            field,
            why: "is missing".to_owned(),
        }
    }
}

pub(crate) fn put_log_id(id: &LogId) -> pb::RaftLogId {
    pb::RaftLogId {
        term: id.leader_id.term,
        node: id.leader_id.node_id,
        index: id.index,
    }
}

pub(crate) fn get_log_id(id: &pb::RaftLogId) -> LogId {
    log_id(id.term, id.node, id.index)
}

fn put_last(id: Option<&LogId>) -> Option<pb::RaftLogId> {
    id.map(put_log_id)
}

fn get_last(id: Option<&pb::RaftLogId>) -> Option<LogId> {
    id.map(get_log_id)
}

pub(crate) fn put_vote(vote: &Vote) -> pb::RaftVote {
    pb::RaftVote {
        term: vote.leader_id.term,
        node: vote.leader_id.node_id,
        committed: vote.committed,
    }
}

pub(crate) fn get_vote(message: &'static str, vote: Option<&pb::RaftVote>) -> Result<Vote, WireError> {
    let vote = vote.ok_or(WireError::missing(message, "vote"))?;
    Ok(Vote {
        leader_id: LeaderOf {
            term: vote.term,
            node_id: vote.node,
        },
        committed: vote.committed,
    })
}

pub(crate) fn put_append(request: &AppendEntriesRequest<Group>) -> pb::AppendRequest {
    let entries = request.entries.iter().map(|entry| {
        let record = Record::of(&entry.payload);
        pb::RaftEntry {
            id: Some(put_log_id(&entry.log_id())),
            kind: u32::from(record.kind),
            body: record.body,
        }
    });
    pb::AppendRequest {
        vote: Some(put_vote(&request.vote)),
        prev: put_last(request.prev_log_id.as_ref()),
        entries: entries.collect(),
        leader_commit: put_last(request.leader_commit.as_ref()),
    }
}

pub(crate) fn get_append(request: pb::AppendRequest) -> Result<AppendEntriesRequest<Group>, WireError> {
    const MESSAGE: &str = "AppendRequest";
    let vote = get_vote(MESSAGE, request.vote.as_ref())?;
    let entries = request
        .entries
        .into_iter()
        .map(|entry| {
            let id = entry.id.as_ref().ok_or(WireError::missing(MESSAGE, "entries.id"))?;
            let bad = |why: String| WireError {
                message: MESSAGE,
                field: "entries.kind",
                why,
            };
            let kind = u8::try_from(entry.kind).map_err(|_| bad(format!("{} is unknown", entry.kind)))?;
            let record = Record {
                group: GROUP,
                kind,
                body: entry.body,
            };
            let payload = record.payload().map_err(|error| bad(error.to_string()))?;
            Ok(Entry::new(get_log_id(id), payload))
        })
        .collect::<Result<_, WireError>>()?;
    Ok(AppendEntriesRequest {
        vote,
        prev_log_id: get_last(request.prev.as_ref()),
        entries,
        leader_commit: get_last(request.leader_commit.as_ref()),
    })
}

pub(crate) fn put_appended(result: &StreamAppendResult<Group>) -> pb::AppendResponse {
    use pb::append_response::{Matched, Result};
    let result = match result {
        Ok(matched) => Result::Matched(Matched {
            id: put_last(matched.as_ref()),
        }),
        Err(StreamAppendError::Conflict(id)) => Result::Conflict(put_log_id(id)),
        Err(StreamAppendError::HigherVote(vote)) => Result::HigherVote(put_vote(vote)),
    };
    pb::AppendResponse { result: Some(result) }
}

pub(crate) fn get_appended(response: &pb::AppendResponse) -> Result<StreamAppendResult<Group>, WireError> {
    use pb::append_response::Result;
    const MESSAGE: &str = "AppendResponse";
    match &response.result {
        Some(Result::Matched(matched)) => Ok(Ok(get_last(matched.id.as_ref()))),
        Some(Result::Conflict(id)) => Ok(Err(StreamAppendError::Conflict(get_log_id(id)))),
        Some(Result::HigherVote(vote)) => Ok(Err(StreamAppendError::HigherVote(get_vote(MESSAGE, Some(vote))?))),
        None => Err(WireError::missing(MESSAGE, "result")),
    }
}

pub(crate) fn put_vote_request(request: &VoteRequest<Group>) -> pb::VoteRequest {
    pb::VoteRequest {
        vote: Some(put_vote(&request.vote)),
        last: put_last(request.last_log_id.as_ref()),
        leadership_transfer: request.leadership_transfer,
    }
}

pub(crate) fn get_vote_request(request: &pb::VoteRequest) -> Result<VoteRequest<Group>, WireError> {
    Ok(VoteRequest {
        vote: get_vote("VoteRequest", request.vote.as_ref())?,
        last_log_id: get_last(request.last.as_ref()),
        leadership_transfer: request.leadership_transfer,
    })
}

pub(crate) fn put_vote_response(response: &VoteResponse<Group>) -> pb::VoteResponse {
    pb::VoteResponse {
        vote: Some(put_vote(&response.vote)),
        granted: response.vote_granted,
        last: put_last(response.last_log_id.as_ref()),
    }
}

pub(crate) fn get_vote_response(response: &pb::VoteResponse) -> Result<VoteResponse<Group>, WireError> {
    Ok(VoteResponse {
        vote: get_vote("VoteResponse", response.vote.as_ref())?,
        vote_granted: response.granted,
        last_log_id: get_last(response.last.as_ref()),
    })
}

pub(crate) fn put_transfer(request: &TransferLeaderRequest<Group>) -> pb::TransferLeaderRequest {
    pb::TransferLeaderRequest {
        from: Some(put_vote(request.from_leader())),
        to: *request.to_node_id(),
        last: put_last(request.last_log_id()),
    }
}

pub(crate) fn get_transfer(request: &pb::TransferLeaderRequest) -> Result<TransferLeaderRequest<Group>, WireError> {
    let from = get_vote("TransferLeaderRequest", request.from.as_ref())?;
    Ok(TransferLeaderRequest::new(
        from,
        request.to,
        get_last(request.last.as_ref()),
    ))
}

pub(crate) fn put_transferred(response: &TransferLeaderResponse<Group>) -> pb::TransferLeaderResponse {
    use pb::transfer_leader_response::{Accepted, LogNotFlushed, Result, VoteChanged};
    let result = match response {
        Ok(()) => Result::Accepted(Accepted {}),
        Err(TransferLeaderError::VoteChanged { expected, actual }) => Result::VoteChanged(VoteChanged {
            expected: Some(put_vote(expected)),
            actual: Some(put_vote(actual)),
        }),
        Err(TransferLeaderError::LogNotFlushed { expected, actual }) => Result::LogNotFlushed(LogNotFlushed {
            expected: put_last(expected.as_ref()),
            actual: put_last(actual.as_ref()),
        }),
    };
    pb::TransferLeaderResponse { result: Some(result) }
}

pub(crate) fn get_transferred(
    response: &pb::TransferLeaderResponse,
) -> Result<TransferLeaderResponse<Group>, WireError> {
    use pb::transfer_leader_response::Result;
    const MESSAGE: &str = "TransferLeaderResponse";
    match &response.result {
        Some(Result::Accepted(_)) => Ok(Ok(())),
        Some(Result::VoteChanged(changed)) => Ok(Err(TransferLeaderError::VoteChanged {
            expected: get_vote(MESSAGE, changed.expected.as_ref())?,
            actual: get_vote(MESSAGE, changed.actual.as_ref())?,
        })),
        Some(Result::LogNotFlushed(log)) => Ok(Err(TransferLeaderError::LogNotFlushed {
            expected: get_last(log.expected.as_ref()),
            actual: get_last(log.actual.as_ref()),
        })),
        None => Err(WireError::missing(MESSAGE, "result")),
    }
}

#[cfg(test)]
mod tests {
    use openraft::EntryPayload;

    use super::*;
    use crate::types::Proposal;

    #[test]
    fn messages_between_nodes_come_back_as_they_were() {
        let vote = Vote::new_committed(7, 2);
        let request = AppendEntriesRequest::<Group> {
            vote,
            prev_log_id: Some(log_id(6, 1, 40)),
            entries: vec![
                Entry::new(log_id(7, 2, 41), EntryPayload::Blank),
                Entry::new(log_id(7, 2, 42), EntryPayload::Normal(Proposal(vec![1, 2, 3].into()))),
            ],
            leader_commit: None,
        };
        let back = get_append(put_append(&request)).unwrap();
        assert_eq!(format!("{back:?}"), format!("{request:?}"));

        let results: [StreamAppendResult<Group>; 4] = [
            Ok(None),
            Ok(Some(log_id(1, 2, 3))),
            Err(StreamAppendError::Conflict(log_id(1, 2, 4))),
            Err(StreamAppendError::HigherVote(vote)),
        ];
        for result in results {
            assert_eq!(get_appended(&put_appended(&result)).unwrap(), result);
        }
        for result in [
            Ok(()),
            Err(TransferLeaderError::VoteChanged {
                expected: vote,
                actual: Vote::new(8, 3),
            }),
            Err(TransferLeaderError::LogNotFlushed {
                expected: Some(log_id(1, 1, 1)),
                actual: None,
            }),
        ] {
            assert_eq!(get_transferred(&put_transferred(&result)).unwrap(), result);
        }
    }

    #[test]
    fn a_message_without_a_field_that_it_must_have_names_it() {
        let error = get_append(pb::AppendRequest::default()).unwrap_err();
        assert_eq!(error.to_string(), "AppendRequest.vote: is missing");
        let entry = pb::RaftEntry {
            id: Some(pb::RaftLogId::default()),
            kind: 9,
            body: bytes::Bytes::new(),
        };
        let request = pb::AppendRequest {
            vote: Some(pb::RaftVote::default()),
            entries: vec![entry],
            ..pb::AppendRequest::default()
        };
        let error = get_append(request).unwrap_err();
        assert!(error.to_string().contains("entries.kind"), "{error}");
    }
}
