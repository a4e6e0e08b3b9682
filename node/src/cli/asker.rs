//! Who asks for a write, from the command line to the request.

use portcullis_domain::id::{Principal, RequestId, SourceId};
use portcullis_proto::v1;
use portcullis_wire::context::{Context, encode_context};
use serde_json::{Value, json};

use super::args::Asker;
use super::failure::Failure;

/// The context of a write. Without a request id on the command line it gets `usual`, else a random one.
pub(super) fn context(asker: &Asker, usual: Option<RequestId>) -> Result<Context, Failure> {
    let source = SourceId::new(&asker.source).map_err(|error| bad("--source", &error))?;
    let request = match (&asker.request_id, usual) {
        (Some(id), _) => RequestId::new(id).map_err(|error| bad("--request-id", &error))?,
        (None, Some(usual)) => usual,
        (None, None) => RequestId::new(format!("cli-{:032x}", rand::random::<u128>()))
            .map_err(|error| bad("--request-id", &error))?,
    };
    let principal = match &asker.principal {
        Some(principal) => Principal::new(principal).map_err(|error| bad("--principal", &error))?,
        None => usual_principal()?,
    };
    Ok(Context {
        source,
        request,
        principal,
    })
}

/// The field `context` of a request.
pub(super) fn encode(context: &Context) -> Option<v1::RequestContext> {
    Some(encode_context(context))
}

/// What became of a write, with what it takes to ask again.
pub(super) fn receipt(applied: Option<v1::Applied>, context: &Context) -> Value {
    let applied = applied.unwrap_or_default();
    json!({
        "write": "applied",
        "command_number": applied.command_number,
        "entry": applied.entry,
        "request_id": context.request.as_str(),
        "source": context.source.as_str(),
        "principal": context.principal.as_str(),
    })
}

/// The same for people.
pub(super) fn receipt_text(applied: Option<v1::Applied>, context: &Context) -> String {
    let applied = applied.unwrap_or_default();
    let entry = match applied.entry {
        Some(entry) => format!("log entry {entry}"),
        None => "nothing had to change".to_owned(),
    };
    format!(
        "applied: command {}, {entry}, request id {}",
        applied.command_number, context.request
    )
}

/// The user of this machine, or the program itself if the name cannot stand in the log.
fn usual_principal() -> Result<Principal, Failure> {
    let user = std::env::var("USER").ok().and_then(|user| Principal::new(user).ok());
    user.map_or_else(|| Principal::new("cli").map_err(|error| bad("--principal", &error)), Ok)
}

fn bad(option: &str, error: &portcullis_domain::id::InvalidId) -> Failure {
    Failure::usage(option, error.to_string()).next("use 1 to 64 visible ASCII characters without spaces")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::failure::Exit;

    fn asker(request_id: Option<&str>) -> Asker {
        Asker {
            source: "tos-1".to_owned(),
            request_id: request_id.map(str::to_owned),
            principal: Some("ana".to_owned()),
        }
    }

    #[test]
    fn a_request_id_is_the_given_one_else_the_usual_one_else_a_new_one() {
        let usual = || Some(RequestId::new("usual").unwrap());
        let id = |given: Option<&str>, usual| context(&asker(given), usual).unwrap().request.to_string();
        assert_eq!(id(Some("mine"), usual()), "mine");
        assert_eq!(id(None, usual()), "usual");
        assert_ne!(id(None, None), id(None, None));
    }

    #[test]
    fn a_label_that_cannot_be_names_its_option() {
        let failure = context(&asker(Some("a b")), None).unwrap_err();
        assert_eq!(
            (failure.exit, failure.field.as_deref()),
            (Exit::Usage, Some("--request-id"))
        );
    }
}
