//! The one map from refusals and failures to gRPC statuses with rich details, and the way back for our own client.
//!
//! Every status carries one `google.rpc.ErrorInfo` with domain `portcullis` and an UPPER_SNAKE reason. Its metadata `write`
//! says what became of a write: `refused` (certainly no effect) or `unknown` (may still take effect).

use std::collections::HashMap;
use std::time::Duration;

use portcullis_domain::outcome::{Refusal, RefusalReason};
use tonic::{Code, Status};
use tonic_types::{ErrorDetails, StatusExt as _};

use crate::invalid::InvalidField;
use crate::token::TokenError;
use crate::watch::Unusable;

/// Domain of every reason.
pub const DOMAIN: &str = "portcullis";
/// The reason of a write whose outcome is not known.
pub const OUTCOME_UNKNOWN: &str = "OUTCOME_UNKNOWN";
/// The reason of an entry that the log does not have yet.
pub const ENTRY_BEYOND_HEAD: &str = "ENTRY_BEYOND_HEAD";
/// The reason of a fault of this node.
pub const INTERNAL: &str = "INTERNAL";

const WRITE: &str = "write";
const FIELD: &str = "field";
const REFUSED: &str = "refused";
const UNKNOWN: &str = "unknown";

/// The longest message, in bytes: statuses travel in headers, which are limited.
const MESSAGE_MAX: usize = 1024;

/// What kind of refusal a reason is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// The request itself is wrong.
    Argument,
    /// The request id was used before.
    Reuse,
    /// Something named is not there.
    Absent(&'static str),
    /// The state does not allow it.
    Precondition,
    /// A limit is reached.
    Limit,
}

fn kind(reason: RefusalReason) -> Kind {
    use RefusalReason as R;
    match reason {
        R::InvalidArgument => Kind::Argument,
        R::RequestIdReused => Kind::Reuse,
        R::UnknownInspection => Kind::Absent("inspection"),
        R::UnknownContainer => Kind::Absent("container"),
        R::UnknownLane => Kind::Absent("lane"),
        R::UnknownPolicy => Kind::Absent("policy"),
        R::UnknownNode => Kind::Absent("node"),
        R::UnknownChart => Kind::Absent("chart"),
        R::UnknownModel => Kind::Absent("model"),
        R::TooMany => Kind::Limit,
        R::NotFounded
        | R::AlreadyFounded
        | R::RequestExpired
        | R::WrongStage
        | R::Fenced
        | R::SequenceTooOld
        | R::StalePlan
        | R::LaneBusy
        | R::LaneClosed
        | R::LaneUnable
        | R::WrongPass
        | R::ReadingReplayed
        | R::AlreadyConcluded
        | R::EvidenceChanged
        | R::VerdictDiffers
        | R::PolicyChanged
        | R::DriftChanged
        | R::StaleBoot
        | R::StaleEpoch
        | R::VersionNotActive
        | R::NotReleased
        | R::NodeIdUsed
        | R::NodeRemoved
        | R::QuorumAtRisk
        | R::LogAtRisk => Kind::Precondition,
    }
}

/// A refusal of the ledger. Also for reads that do not find what is asked for.
pub fn refused(refusal: &Refusal) -> Status {
    let reason = refusal.reason;
    let field = refusal.field.as_str();
    let detail = cut(&refusal.detail);
    let mut details = details(reason.as_str(), &[(WRITE, REFUSED), (FIELD, field)]);
    let code = match kind(reason) {
        Kind::Argument => {
            details.add_bad_request_violation(field, detail);
            Code::InvalidArgument
        }
        Kind::Reuse => {
            details.add_bad_request_violation(field, detail);
            Code::AlreadyExists
        }
        Kind::Absent(what) => {
            details.set_resource_info(what, field, "", detail);
            Code::NotFound
        }
        Kind::Precondition => {
            details.add_precondition_failure_violation(reason.as_str(), field, detail);
            Code::FailedPrecondition
        }
        Kind::Limit => {
            details.add_quota_failure_violation(field, detail);
            Code::ResourceExhausted
        }
    };
    Status::with_error_details(code, message(reason.as_str(), field, detail), details)
}

/// A field that cannot be. Nothing was proposed.
pub fn invalid(invalid: &InvalidField) -> Status {
    let reason = RefusalReason::InvalidArgument.as_str();
    let (field, why) = (cut(&invalid.field), cut(&invalid.reason));
    let mut details = details(reason, &[(WRITE, REFUSED), (FIELD, field)]);
    details.add_bad_request_violation(field, why);
    Status::with_error_details(Code::InvalidArgument, message(reason, field, why), details)
}

/// A token that cannot be used.
pub fn token(field: &str, error: TokenError) -> Status {
    let why = error.to_string();
    let mut details = details(error.reason(), &[(WRITE, REFUSED), (FIELD, field)]);
    let code = match error {
        TokenError::TooOld | TokenError::OtherCluster(_) => Code::OutOfRange,
        TokenError::Malformed | TokenError::Version(_) | TokenError::OtherCall | TokenError::OtherConditions => {
            details.add_bad_request_violation(field, why.as_str());
            Code::InvalidArgument
        }
    };
    Status::with_error_details(code, message(error.reason(), field, &why), details)
}

/// A watch or list that cannot be; `token_field` is the name of its token field.
pub fn unusable(token_field: &str, unusable: &Unusable) -> Status {
    match unusable {
        Unusable::Field(field) => invalid(field),
        Unusable::Token(error) => token(token_field, *error),
    }
}

/// A write that certainly had no effect, for a reason that is not the ledger's: `OVERLOADED` and `COMMAND_TOO_LARGE` have
/// codes of their own, everything else (`NO_LEADER`, ...) is UNAVAILABLE. `retry_after` zero means never.
pub fn not_applied(reason: &str, detail: &str, retry_after: Duration) -> Status {
    let code = match reason {
        "OVERLOADED" => Code::ResourceExhausted,
        "COMMAND_TOO_LARGE" => Code::InvalidArgument,
        "COMMAND_UNREADABLE" => Code::FailedPrecondition,
        _ => Code::Unavailable,
    };
    passing(code, reason, detail, retry_after, &[(WRITE, REFUSED)])
}

/// A read that cannot be answered now, for example linearizable without a quorum.
pub fn unavailable(reason: &str, detail: &str, retry_after: Duration) -> Status {
    passing(Code::Unavailable, reason, detail, retry_after, &[])
}

/// A write that may have taken or may still take effect.
pub fn unknown(detail: &str) -> Status {
    let detail = cut(detail);
    let written = portcullis_domain::mutant!(UnknownIsRefused, REFUSED, UNKNOWN);
    let text = format!("{OUTCOME_UNKNOWN}: {detail}; ask again with the same request id and body");
    Status::with_error_details(Code::Unknown, text, details(OUTCOME_UNKNOWN, &[(WRITE, written)]))
}

/// An entry that the log does not have yet.
pub fn beyond_head(entry: u64, log_size: u64) -> Status {
    let text =
        format!("{ENTRY_BEYOND_HEAD} (entry): the log of this node has {log_size} entries, from 0; {entry} is not one");
    let (entry, size) = (entry.to_string(), log_size.to_string());
    let details = details(
        ENTRY_BEYOND_HEAD,
        &[(FIELD, "entry"), ("entry", &entry), ("log_size", &size)],
    );
    Status::with_error_details(Code::OutOfRange, text, details)
}

/// A fault of this node while reading. A write whose outcome is lost by a fault is [`unknown`].
pub fn internal(detail: &str) -> Status {
    Status::with_error_details(
        Code::Internal,
        message(INTERNAL, "", cut(detail)),
        details(INTERNAL, &[]),
    )
}

fn passing(code: Code, reason: &str, detail: &str, retry_after: Duration, metadata: &[(&str, &str)]) -> Status {
    let mut details = details(portcullis_domain::mutant!(ReasonLeftOut, "", reason), metadata);
    if !retry_after.is_zero() {
        details.set_retry_info(Some(retry_after));
    }
    Status::with_error_details(code, message(reason, "", cut(detail)), details)
}

fn details(reason: &str, metadata: &[(&str, &str)]) -> ErrorDetails {
    let metadata: HashMap<String, String> = metadata
        .iter()
        .filter(|(_, value)| !value.is_empty())
        .map(|(key, value)| ((*key).to_owned(), cut(value).to_owned()))
        .collect();
    ErrorDetails::with_error_info(reason, DOMAIN, metadata)
}

fn message(reason: &str, field: &str, detail: &str) -> String {
    match field {
        "" => format!("{reason}: {detail}"),
        field => format!("{reason} ({field}): {detail}"),
    }
}

fn cut(text: &str) -> &str {
    let end = (0..=MESSAGE_MAX.min(text.len()))
        .rev()
        .find(|at| text.is_char_boundary(*at))
        .unwrap_or(0);
    &text[..end]
}

/// What a status says about a write that got no response message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum WriteAnswer {
    /// Certainly no effect.
    Refused {
        /// The code.
        code: Code,
        /// Why, UPPER_SNAKE; empty if the status comes from something else than a node of ours.
        reason: String,
        /// The field concerned, empty if none.
        field: String,
        /// For a person.
        detail: String,
        /// After this time the same request may be sent again; absent if the refusal is final.
        retry_after: Option<Duration>,
    },
    /// It may have taken or may still take effect: ask again with the same request id and body.
    Unknown {
        /// For a person.
        detail: String,
    },
}

impl WriteAnswer {
    /// Reads a status. Whatever does not say that it is a refusal is unknown, and so are DEADLINE_EXCEEDED, CANCELLED and a
    /// bare UNAVAILABLE; only refusals that happen before a node looks at the request are believed without details.
    pub fn from_status(status: &Status) -> Self {
        let details = status.get_error_details();
        let ours = details.error_info().filter(|info| info.domain == DOMAIN);
        let word = |key: &str| ours.and_then(|info| info.metadata.get(key)).map_or("", String::as_str);
        let refused = match word(WRITE) {
            REFUSED => true,
            UNKNOWN => false,
            _ => matches!(
                status.code(),
                Code::Unimplemented | Code::Unauthenticated | Code::PermissionDenied
            ),
        };
        let detail = status.message().to_owned();
        if !refused {
            return Self::Unknown { detail };
        }
        Self::Refused {
            code: status.code(),
            reason: ours.map(|info| info.reason.clone()).unwrap_or_default(),
            field: word(FIELD).to_owned(),
            detail,
            retry_after: details.retry_info().and_then(|info| info.retry_delay),
        }
    }

    /// The same request, with the same id, may or must be sent again: after how long.
    pub fn again_after(&self) -> Option<Duration> {
        match self {
            Self::Refused { retry_after, .. } => *retry_after,
            Self::Unknown { .. } => Some(Duration::ZERO),
        }
    }
}

#[cfg(test)]
mod tests {
    use portcullis_domain::id::ClusterId;

    use super::*;

    /// As a client gets it: through headers.
    fn received(status: &Status) -> Status {
        let mut headers = tonic::codegen::http::HeaderMap::new();
        status.add_header(&mut headers).unwrap();
        Status::from_header_map(&headers).unwrap()
    }

    #[test]
    fn every_reason_of_the_ledger_reaches_the_client_as_a_refusal_with_its_field() {
        for reason in RefusalReason::ALL {
            let status = received(&refused(&Refusal::new(*reason, "some.field", "what was found")));
            assert_ne!(status.code(), Code::Unknown);
            let WriteAnswer::Refused {
                code,
                reason: text,
                field,
                detail,
                retry_after,
            } = WriteAnswer::from_status(&status)
            else {
                panic!("{reason} is a refusal");
            };
            assert_eq!((text.as_str(), field.as_str()), (reason.as_str(), "some.field"));
            assert!(detail.contains("what was found"));
            // The ledger remembers its refusals, so repeating one is useless.
            assert_eq!(retry_after, None);
            let details = status.get_error_details();
            assert!(text.len() <= 63);
            match code {
                Code::InvalidArgument | Code::AlreadyExists => assert!(details.has_bad_request_violations()),
                Code::NotFound => assert!(details.resource_info().is_some()),
                Code::FailedPrecondition => assert!(details.has_precondition_failure_violations()),
                Code::ResourceExhausted => assert!(details.has_quota_failure_violations()),
                other => panic!("{reason} has code {other:?}"),
            }
        }
    }

    #[test]
    fn the_codes_that_clients_were_promised_stay() {
        let code = |reason| refused(&Refusal::new(reason, "f", "d")).code();
        assert_eq!(code(RefusalReason::InvalidArgument), Code::InvalidArgument);
        assert_eq!(code(RefusalReason::RequestIdReused), Code::AlreadyExists);
        assert_eq!(code(RefusalReason::UnknownContainer), Code::NotFound);
        assert_eq!(code(RefusalReason::NotReleased), Code::FailedPrecondition);
        assert_eq!(code(RefusalReason::TooMany), Code::ResourceExhausted);
    }

    #[test]
    fn a_bad_field_is_a_violation_that_names_it() {
        let status = received(&invalid(&InvalidField::new(
            "announcement.priority",
            "300 is above 255",
        )));
        assert_eq!(status.code(), Code::InvalidArgument);
        let details = status.get_error_details();
        let violation = &details.bad_request().unwrap().field_violations[0];
        assert_eq!(violation.field, "announcement.priority");
        assert!(
            matches!(WriteAnswer::from_status(&status), WriteAnswer::Refused { field, .. } if field == "announcement.priority")
        );
    }

    #[test]
    fn what_passes_says_when_to_come_again() {
        let wait = Duration::from_millis(50);
        for (reason, code) in [
            ("OVERLOADED", Code::ResourceExhausted),
            ("NO_LEADER", Code::Unavailable),
        ] {
            let status = received(&not_applied(reason, "busy", wait));
            assert_eq!(status.code(), code);
            assert_eq!(WriteAnswer::from_status(&status).again_after(), Some(wait));
        }
        let final_one = received(&not_applied("COMMAND_TOO_LARGE", "5 MiB", Duration::ZERO));
        assert_eq!(WriteAnswer::from_status(&final_one).again_after(), None);
        assert!(
            unavailable("NO_LEADER", "no quorum", wait)
                .get_error_details()
                .retry_info()
                .is_some()
        );
    }

    #[test]
    fn an_unknown_outcome_says_so_and_asks_to_be_repeated() {
        let status = received(&unknown("the leader was lost"));
        assert_eq!(status.code(), Code::Unknown);
        assert_eq!(status.get_error_details().error_info().unwrap().reason, OUTCOME_UNKNOWN);
        let answer = WriteAnswer::from_status(&status);
        assert!(matches!(answer, WriteAnswer::Unknown { .. }));
        assert_eq!(answer.again_after(), Some(Duration::ZERO));
    }

    #[test]
    fn bare_codes_are_unknown_unless_nobody_can_have_looked_at_the_request() {
        for code in (0..=16).map(Code::from_i32) {
            let refused = matches!(
                WriteAnswer::from_status(&Status::new(code, "")),
                WriteAnswer::Refused { .. }
            );
            let expected = matches!(
                code,
                Code::Unimplemented | Code::Unauthenticated | Code::PermissionDenied
            );
            assert_eq!(refused, expected, "{code:?}");
        }
    }

    #[test]
    fn a_refusal_of_another_domain_is_not_believed() {
        let metadata = HashMap::from([(WRITE.to_owned(), REFUSED.to_owned())]);
        let foreign = ErrorDetails::with_error_info("X", "proxy.example", metadata);
        let status = Status::with_error_details(Code::Unavailable, "", foreign);
        assert!(matches!(WriteAnswer::from_status(&status), WriteAnswer::Unknown { .. }));
    }

    #[test]
    fn tokens_that_are_of_no_use_any_more_are_out_of_range_and_others_invalid() {
        assert_eq!(token("resume_token", TokenError::TooOld).code(), Code::OutOfRange);
        assert_eq!(
            token("resume_token", TokenError::OtherCluster(ClusterId([1; 16]))).code(),
            Code::OutOfRange
        );
        assert_eq!(
            unusable("page_token", &Unusable::Token(TokenError::Malformed)).code(),
            Code::InvalidArgument
        );
        let field = Unusable::Field(InvalidField::missing("stages"));
        assert_eq!(unusable("page_token", &field).code(), Code::InvalidArgument);
        assert_eq!(beyond_head(7, 7).code(), Code::OutOfRange);
    }

    #[test]
    fn a_long_or_odd_detail_still_fits_into_headers() {
        let status = received(&refused(&Refusal::new(
            RefusalReason::WrongStage,
            "f",
            "ä\n\u{0}".repeat(20_000),
        )));
        assert_eq!(status.code(), Code::FailedPrecondition);
        assert!(status.details().len() < 8 * 1024);
    }
}
