//! Who asks for a write.

use portcullis_domain::command::{ExternalBody, ExternalCommand};
use portcullis_domain::id::{Principal, RequestId, SourceId};
use portcullis_proto::v1 as pb;

use crate::invalid::{self, InvalidField, Within};

/// Source, request id and principal of a write.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Context {
    /// Which system sent it.
    pub source: SourceId,
    /// What makes it unique for that source.
    pub request: RequestId,
    /// Who acts.
    pub principal: Principal,
}

impl Context {
    /// The command that asks for `body`.
    pub fn command(self, body: ExternalBody) -> ExternalCommand {
        ExternalCommand {
            source: self.source,
            request: self.request,
            principal: self.principal,
            body,
        }
    }
}

/// Reads the field `context` of a write.
///
/// # Errors
/// When it, or a part of it, is missing or not a label; paths start with `context`.
pub fn decode_context(context: Option<pb::RequestContext>) -> Result<Context, InvalidField> {
    let context = invalid::required("context", context)?;
    let read = || {
        Ok(Context {
            source: invalid::parse("source", &context.source)?,
            request: invalid::parse("request_id", &context.request_id)?,
            principal: invalid::parse("principal", &context.principal)?,
        })
    };
    read().within("context")
}

/// Writes the field `context` of a write.
pub fn encode_context(context: &Context) -> pb::RequestContext {
    pb::RequestContext {
        source: context.source.to_string(),
        request_id: context.request.to_string(),
        principal: context.principal.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::samples;

    #[test]
    fn a_context_reads_back() {
        let context = samples::context();
        assert_eq!(decode_context(Some(encode_context(&context))), Ok(context));
    }

    #[test]
    fn what_is_missing_or_odd_is_named() {
        let good = encode_context(&samples::context());
        let field = |context| decode_context(context).unwrap_err().field;
        assert_eq!(field(None), "context");
        assert_eq!(
            field(Some(pb::RequestContext {
                source: String::new(),
                ..good.clone()
            })),
            "context.source"
        );
        assert_eq!(
            field(Some(pb::RequestContext {
                request_id: "a b".into(),
                ..good.clone()
            })),
            "context.request_id"
        );
        assert_eq!(
            field(Some(pb::RequestContext {
                principal: "x".repeat(65),
                ..good
            })),
            "context.principal"
        );
    }
}
