//! Why a command did not do what it was asked: what happened, where, what to do next, and how it ends.

use std::fmt;
use std::process::ExitCode;
use std::time::Duration;

use portcullis_wire::status::{self as wire, DOMAIN};
use tonic::{Code, Status};
use tonic_types::StatusExt as _;

/// How the process ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Exit {
    /// Done.
    Ok = 0,
    /// An error of no other kind.
    Error = 1,
    /// The command line cannot be understood.
    Usage = 2,
    /// Nobody answered, or not in time, or nobody knows whether a write took effect.
    Unreachable = 3,
    /// Not allowed.
    Denied = 4,
    /// No such thing.
    NotFound = 5,
    /// Not possible as things stand.
    Precondition = 6,
    /// The cluster cannot decide anything.
    Unhealthy = 10,
    /// The cluster works, and a member is down.
    Degraded = 11,
    /// What was checked is not what was claimed.
    VerificationFailed = 12,
    /// Ctrl-C.
    Interrupted = 130,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit as u8)
    }
}

/// Which of the answers a write got, apart from "applied".
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum WriteAnswer {
    /// Certainly no effect.
    Refused,
    /// May still take effect.
    Unknown,
}

/// What was asked, as far as errors depend on it.
#[derive(Debug, Clone, Copy)]
pub(super) enum Asked<'a> {
    /// Changes nothing.
    Read,
    /// Changes something, under this request id.
    Write(&'a str),
}

/// Why a command ends without having done what it was asked.
#[derive(Debug, Clone)]
pub(super) struct Failure {
    pub(super) exit: Exit,
    /// What happened, one sentence. Empty if there is nothing to say, as when the reader of a pipe has gone.
    pub(super) what: String,
    /// UPPER_SNAKE, if the cluster gave one.
    pub(super) reason: Option<String>,
    /// The field, file or option concerned.
    pub(super) field: Option<String>,
    pub(super) write: Option<WriteAnswer>,
    /// What to do.
    pub(super) next: Vec<String>,
}

impl Failure {
    pub(super) fn new(exit: Exit, what: impl Into<String>) -> Self {
        Self {
            exit,
            what: what.into(),
            reason: None,
            field: None,
            write: None,
            next: Vec::new(),
        }
    }

    /// Ends the command without a word.
    pub(super) fn silent(exit: Exit) -> Self {
        Self::new(exit, "")
    }

    /// A value on the command line that cannot be.
    pub(super) fn usage(option: &str, what: impl Into<String>) -> Self {
        Self::new(Exit::Usage, what).field(option)
    }

    pub(super) fn field(mut self, field: impl Into<String>) -> Self {
        self.field = Some(field.into());
        self
    }

    pub(super) fn next(mut self, next: impl Into<String>) -> Self {
        self.next.push(next.into());
        self
    }

    /// What a node answered instead of a response.
    pub(super) fn of_status(status: &Status, asked: Asked<'_>) -> Self {
        let refusal = Refusal::of(status, asked);
        let mut failure = Self::new(
            exit_of(status.code(), refusal.write),
            message_of(status, refusal.reason.as_deref()),
        );
        failure.next = advice(&refusal, status.code(), asked);
        failure.reason = refusal.reason;
        failure.field = refusal.field;
        failure.write = refusal.write;
        failure
    }
}

/// The error and its causes in one line.
pub(super) fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let cause_text = cause.to_string();
        if !text.contains(&cause_text) {
            text = format!("{text}: {cause_text}");
        }
        source = cause.source();
    }
    text
}

/// Several lines: what happened; then, indented, where, what became of a write, and what to do.
impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "error: {}", plain(&self.what))?;
        if let Some(reason) = &self.reason {
            write!(f, " [{}]", plain(reason))?;
        }
        if let Some(field) = &self.field {
            write!(f, "\n  where: {}", plain(field))?;
        }
        match self.write {
            Some(WriteAnswer::Refused) => f.write_str("\n  write: refused, certainly without effect")?,
            Some(WriteAnswer::Unknown) => f.write_str("\n  write: unknown, it may still take effect")?,
            None => {}
        }
        self.next
            .iter()
            .try_for_each(|next| write!(f, "\n  next:  {}", plain(next)))
    }
}

/// Text from elsewhere must not steer the terminal.
pub(super) fn plain(text: &str) -> String {
    text.chars()
        .map(|c| match c {
            '\n' | '\t' => ' ',
            // Bidirectional overrides make text look like another text.
            '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' => '\u{fffd}',
            c if c.is_control() => '\u{fffd}',
            c => c,
        })
        .collect()
}

/// What the details of a status say.
#[derive(Debug, Clone)]
pub(super) struct Refusal {
    pub(super) reason: Option<String>,
    pub(super) field: Option<String>,
    pub(super) write: Option<WriteAnswer>,
    /// The same may be asked again after this time.
    pub(super) retry_after: Option<Duration>,
}

impl Refusal {
    pub(super) fn of(status: &Status, asked: Asked<'_>) -> Self {
        let details = status.get_error_details();
        let info = details.error_info().filter(|info| info.domain == DOMAIN);
        let write = match asked {
            Asked::Read => None,
            Asked::Write(_) => Some(match wire::WriteAnswer::from_status(status) {
                wire::WriteAnswer::Refused { .. } => WriteAnswer::Refused,
                // Too large to be taken in: gRPC itself says so, before anybody looks at the request.
                wire::WriteAnswer::Unknown { .. } if status.code() == Code::OutOfRange => WriteAnswer::Refused,
                wire::WriteAnswer::Unknown { .. } => WriteAnswer::Unknown,
            }),
        };
        Self {
            reason: info.map(|info| info.reason.clone()).filter(|reason| !reason.is_empty()),
            field: info.and_then(|info| info.metadata.get("field").cloned()),
            write,
            retry_after: details.retry_info().map(|retry| retry.retry_delay.unwrap_or_default()),
        }
    }

    /// How long to wait before the same is asked again, here or elsewhere; none if asking again is of no use.
    pub(super) fn again_after(&self, code: Code) -> Option<Duration> {
        let at_once = Some(Duration::ZERO);
        match (self.retry_after, self.write, code) {
            (Some(delay), ..) => Some(delay),
            (None, Some(WriteAnswer::Refused), _) => None,
            // With the same request id the first answer comes back, so asking again is safe.
            (None, Some(WriteAnswer::Unknown), _) => at_once,
            (None, None, Code::Unavailable | Code::DeadlineExceeded | Code::Cancelled) => at_once,
            (None, None, _) => None,
        }
    }
}

fn exit_of(code: Code, write: Option<WriteAnswer>) -> Exit {
    match code {
        _ if write == Some(WriteAnswer::Unknown) => Exit::Unreachable,
        Code::NotFound | Code::OutOfRange => Exit::NotFound,
        Code::FailedPrecondition | Code::AlreadyExists | Code::Aborted => Exit::Precondition,
        Code::PermissionDenied | Code::Unauthenticated => Exit::Denied,
        Code::Unavailable | Code::DeadlineExceeded | Code::Cancelled => Exit::Unreachable,
        _ => Exit::Error,
    }
}

/// The message without the reason and field in front of it, which have places of their own.
fn message_of(status: &Status, reason: Option<&str>) -> String {
    let message = status.message();
    let shorter = reason
        .and_then(|reason| message.strip_prefix(reason))
        .and_then(|rest| rest.split_once(": "))
        .filter(|(field, _)| field.is_empty() || (field.starts_with(" (") && field.ends_with(')')));
    match (status.code(), shorter.map_or(message, |(_, detail)| detail)) {
        (Code::DeadlineExceeded | Code::Cancelled, "" | "Timeout expired") => "no answer in time".to_owned(),
        (code, "") => code.description().to_owned(),
        (_, message) => message.to_owned(),
    }
}

fn advice(refusal: &Refusal, code: Code, asked: Asked<'_>) -> Vec<String> {
    let mut next = Vec::new();
    match (refusal.write, asked) {
        (Some(WriteAnswer::Unknown), Asked::Write(id)) => {
            next.push(format!(
                "ask again with the same options and --request-id {id}: the first answer comes back"
            ));
        }
        (Some(WriteAnswer::Refused), _) if refusal.retry_after.is_some() => {
            next.push("the same command may be given again in a moment".to_owned());
        }
        _ => {}
    }
    let hint = match refusal.reason.as_deref().unwrap_or_default() {
        "UNKNOWN_INSPECTION" | "UNKNOWN_CONTAINER" => "portcullis inspection ls shows what is in the port",
        "UNKNOWN_LANE" => "portcullis lane ls shows the lanes there are",
        "LANE_CLOSED" => "portcullis lane open LANE opens it",
        "REQUEST_ID_REUSED" => "give another --request-id, or leave it out; ids are for one body each",
        "REQUEST_EXPIRED" => "look whether it took effect, then give another --request-id",
        "WRONG_STAGE" | "NOT_RELEASED" | "ALREADY_CONCLUDED" => {
            "portcullis inspection show CONTAINER tells where it stands"
        }
        "INVALID_ARGUMENT" => "correct it and give the command again",
        "ENTRY_BEYOND_HEAD" => "portcullis log head tells how long the log is",
        reason if reason.starts_with("TOKEN_") || reason.starts_with("RESUME_TOKEN_") => {
            "start without the token: portcullis inspection ls, then portcullis events tail"
        }
        "" if code == Code::Unimplemented => "the node speaks an older version of the API; ask another --endpoint",
        "" if matches!(code, Code::Unavailable | Code::DeadlineExceeded | Code::Cancelled) => {
            "portcullis cluster status tells which nodes are up; a longer --timeout may help"
        }
        "" => "",
        reason => return [next, vec![format!("portcullis errors {reason} explains the reason")]].concat(),
    };
    if !hint.is_empty() && refusal.write != Some(WriteAnswer::Unknown) {
        next.push(hint.to_owned());
    }
    next
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use tonic_types::ErrorDetails;

    use super::*;

    fn status(code: Code, reason: &str, metadata: &[(&str, &str)], retry: bool) -> Status {
        let metadata: HashMap<String, String> = metadata
            .iter()
            .map(|(key, value)| ((*key).to_owned(), (*value).to_owned()))
            .collect();
        let mut details = ErrorDetails::with_error_info(reason, "portcullis", metadata);
        if retry {
            details.set_retry_info(Some(Duration::from_millis(50)));
        }
        Status::with_error_details(code, format!("{reason} (some.field): it cannot be"), details)
    }

    #[test]
    fn a_refused_write_says_so_with_field_and_next_step() {
        let status = status(
            Code::FailedPrecondition,
            "WRONG_STAGE",
            &[("write", "refused"), ("field", "inspection")],
            false,
        );
        let failure = Failure::of_status(&status, Asked::Write("id-1"));
        assert_eq!(failure.exit, Exit::Precondition);
        assert_eq!(
            failure.to_string(),
            "error: it cannot be [WRONG_STAGE]\n  where: inspection\n  write: refused, certainly without effect\n  \
             next:  portcullis inspection show CONTAINER tells where it stands"
        );
    }

    #[test]
    fn an_unknown_write_names_the_request_id_to_ask_again_with() {
        for status in [
            status(Code::Unknown, "OUTCOME_UNKNOWN", &[("write", "unknown")], false),
            Status::deadline_exceeded("Timeout expired"),
            Status::cancelled(""),
            Status::unavailable("tcp connect error"),
        ] {
            let failure = Failure::of_status(&status, Asked::Write("id-1"));
            assert_eq!(
                (failure.exit, failure.write),
                (Exit::Unreachable, Some(WriteAnswer::Unknown)),
                "{status}"
            );
            assert!(failure.to_string().contains("--request-id id-1"), "{failure}");
        }
    }

    #[test]
    fn only_what_may_help_is_asked_again() {
        let again = |status: &Status, asked| Refusal::of(status, asked).again_after(status.code());
        let write = Asked::Write("id");
        let refused = |retry| status(Code::Unavailable, "NO_LEADER", &[("write", "refused")], retry);
        assert_eq!(again(&refused(true), write), Some(Duration::from_millis(50)));
        assert_eq!(again(&refused(false), write), None);
        assert_eq!(again(&Status::unavailable("gone"), write), Some(Duration::ZERO));
        assert_eq!(again(&Status::unavailable("gone"), Asked::Read), Some(Duration::ZERO));
        assert_eq!(again(&Status::not_found("none"), Asked::Read), None);
        assert_eq!(again(&Status::invalid_argument("no"), Asked::Read), None);
        assert_eq!(again(&Status::out_of_range("message length too large"), write), None);
    }

    #[test]
    fn every_code_has_its_exit() {
        let exit = |code| Failure::of_status(&Status::new(code, "x"), Asked::Read).exit as u8;
        assert_eq!(exit(Code::NotFound), 5);
        assert_eq!(exit(Code::OutOfRange), 5);
        assert_eq!(exit(Code::FailedPrecondition), 6);
        assert_eq!(exit(Code::AlreadyExists), 6);
        assert_eq!(exit(Code::PermissionDenied), 4);
        assert_eq!(exit(Code::Unauthenticated), 4);
        assert_eq!(exit(Code::DeadlineExceeded), 3);
        assert_eq!(exit(Code::Unavailable), 3);
        assert_eq!(exit(Code::InvalidArgument), 1);
        assert_eq!(exit(Code::Internal), 1);
    }

    #[test]
    fn text_from_elsewhere_cannot_steer_the_terminal() {
        assert_eq!(plain("a\x1b[2Jb\nc\u{202e}d"), "a\u{fffd}[2Jb c\u{fffd}d");
    }
}
