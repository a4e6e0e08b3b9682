//! Learned models: bringing one in, and what the ledger knows about each.

use portcullis_domain::command::{ExternalBody, ExternalCommand};
use portcullis_domain::id::Digest;
use portcullis_domain::ledger::Ledger;
use portcullis_domain::model::Model;
use portcullis_proto::v1 as pb;

use crate::announcement::encode_digest;
use crate::context::decode_context;
use crate::invalid::{self, InvalidField};
use crate::vocabulary::encode_family;

/// Reads a request to bring a learned model in.
///
/// # Errors
/// Names the first field that cannot be. Whether anybody can weigh with the bytes is not looked at here.
pub fn decode_add_model(request: pb::AddModelRequest) -> Result<ExternalCommand, InvalidField> {
    let context = decode_context(request.context)?;
    let model = Model::new(&*request.model).map_err(|error| InvalidField::new("model", error.to_string()))?;
    Ok(context.command(ExternalBody::AddModel(model)))
}

/// Reads which model is asked for.
///
/// # Errors
/// When `sha256` is no digest.
pub fn decode_model_digest(sha256: &[u8]) -> Result<Digest, InvalidField> {
    invalid::digest("sha256", sha256)
}

/// Writes what the ledger knows about one of its models; `name` is what the model says it was learned from.
pub fn encode_model_record(ledger: &Ledger, digest: &Digest, model: &Model, name: String) -> pb::ModelRecord {
    let named = ledger
        .policy()
        .into_iter()
        .flat_map(|(_, policy)| &policy.manifest_models);
    pb::ModelRecord {
        sha256: encode_digest(digest),
        size: model.bytes().len() as u64,
        name,
        weighs: named
            .filter(|one| one.model == *digest)
            .map(|one| encode_family(one.family).into())
            .collect(),
    }
}

#[cfg(test)]
mod tests {
    use portcullis_domain::command::{ClusterCommand, Command, CommandBody};
    use portcullis_domain::evidence::ThreatFamily;
    use portcullis_domain::id::{ClusterId, RequestId, Timestamp};
    use portcullis_domain::policy::{ManifestModel, Policy};

    use super::*;
    use crate::context::encode_context;
    use crate::samples;

    fn request(model: &[u8]) -> pb::AddModelRequest {
        pb::AddModelRequest {
            context: Some(encode_context(&samples::context())),
            model: model.to_vec().into(),
        }
    }

    #[test]
    fn a_model_is_taken_as_it_is_and_none_is_refused() {
        let command = decode_add_model(request(&[1, 2, 3])).unwrap();
        let model = Model::new([1, 2, 3].as_slice()).unwrap();
        assert_eq!(command.body, ExternalBody::AddModel(model));
        assert_eq!(decode_add_model(request(&[])).unwrap_err().field, "model");
        assert_eq!(decode_model_digest(&[1, 2]).unwrap_err().field, "sha256");
    }

    #[test]
    fn a_record_names_the_families_that_the_active_policy_has_weighed_by_it() {
        let model = Model::new([1, 2, 3].as_slice()).unwrap();
        let mut policy = Policy::first();
        policy.manifest_models.push(ManifestModel {
            family: ThreatFamily::People,
            model: model.digest(),
        });
        let mut ledger = Ledger::new();
        let mut apply = |body| {
            let application = ledger.apply(Command {
                at: Timestamp(1_000),
                traceparent: String::new(),
                body,
            });
            assert_eq!(application.outcome.refusal(), None);
        };
        apply(CommandBody::Cluster(ClusterCommand::Found {
            cluster: ClusterId([7; 16]),
            policy: Policy::first(),
        }));
        let request = |id: &str, body| {
            let mut context = samples::context();
            context.request = RequestId::new(id).unwrap();
            CommandBody::External(context.command(body))
        };
        apply(request("m", ExternalBody::AddModel(model.clone())));
        let unused = encode_model_record(&ledger, &model.digest(), &model, "by hand".to_owned());
        assert_eq!((unused.size, unused.weighs.len()), (3, 0));

        let mut apply = |body| {
            ledger.apply(Command {
                at: Timestamp(2_000),
                traceparent: String::new(),
                body,
            })
        };
        let reason = String::new();
        apply(request("p", ExternalBody::AdoptPolicy { policy, reason }));
        let used = encode_model_record(&ledger, &model.digest(), &model, "by hand".to_owned());
        assert_eq!(used.weighs, [i32::from(encode_family(ThreatFamily::People))]);
        assert_eq!(used.sha256, model.digest().0.to_vec());
    }
}
