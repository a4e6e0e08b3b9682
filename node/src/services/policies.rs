//! Policies and the learned models that they name: bringing one in, making a policy the active one, reading one, listing all;
//! and the charts that watch whether the active one still fits.

use std::cmp::Reverse;

use portcullis_detectors::risk::RiskModel;
use portcullis_domain::codec::from_bytes;
use portcullis_domain::command::ExternalBody;
use portcullis_domain::model::Model;
use portcullis_domain::outcome::RefusalReason;
use portcullis_proto::v1 as pb;
use portcullis_proto::v1::policy_service_server::PolicyService;
use portcullis_wire::drift::{decode_reset_chart, encode_charts};
use portcullis_wire::invalid::InvalidField;
use portcullis_wire::model::{decode_add_model, decode_model_digest, encode_model_record};
use portcullis_wire::policy::{decode_activate_policy, decode_policy_digest, encode_policy, encode_policy_record};
use portcullis_wire::write::encode_applied;
use tonic::{Request, Response, Status};

use super::{Asked, Gateway, Viewed};

/// What a model was learned from; empty if this version cannot read it.
fn name_of(model: &Model) -> String {
    from_bytes::<RiskModel>(model.bytes()).map_or_else(|_| String::new(), |read| read.parts().name.clone())
}

#[tonic::async_trait]
impl PolicyService for Gateway {
    async fn activate_policy(
        &self,
        request: Request<pb::ActivatePolicyRequest>,
    ) -> Result<Response<pb::ActivatePolicyResponse>, Status> {
        let asked = Asked::of(self, &request);
        let command = decode_activate_policy(request.into_inner())
            .map_err(|invalid| portcullis_wire::status::invalid(&invalid))?;
        let sha256 = match &command.body {
            ExternalBody::AdoptPolicy { policy, .. } => policy.digest().0.to_vec(),
            _ => Vec::new(),
        };
        let applied = self.write(command, &asked).await?;
        Ok(Response::new(pb::ActivatePolicyResponse {
            applied: Some(encode_applied(&applied)),
            sha256: sha256.into(),
        }))
    }

    async fn get_policy(
        &self,
        request: Request<pb::GetPolicyRequest>,
    ) -> Result<Response<pb::GetPolicyResponse>, Status> {
        let asked = Asked::of(self, &request);
        let request = request.into_inner();
        let wanted =
            decode_policy_digest(&request.sha256).map_err(|invalid| portcullis_wire::status::invalid(&invalid))?;
        let Viewed { view, read_point } = self.view(request.consistency, &asked).await?;
        let ledger = &view.ledger;
        let found = match wanted {
            Some(digest) => ledger.policy_of(&digest).map(|policy| (digest, policy)),
            None => ledger.policy(),
        };
        let (digest, policy) = found.ok_or_else(|| {
            let detail = match wanted {
                Some(digest) => format!("no policy has the digest {digest}; see `policy ls`"),
                None => "no policy is active: the cluster is still starting".to_owned(),
            };
            super::absent(RefusalReason::UnknownPolicy, "sha256", detail)
        })?;
        Ok(Response::new(pb::GetPolicyResponse {
            policy: Some(encode_policy(policy)),
            record: Some(encode_policy_record(ledger, &digest, policy)),
            read_point: Some(read_point),
        }))
    }

    async fn list_policies(
        &self,
        request: Request<pb::ListPoliciesRequest>,
    ) -> Result<Response<pb::ListPoliciesResponse>, Status> {
        let asked = Asked::of(self, &request);
        let Viewed { view, read_point } = self.view(request.into_inner().consistency, &asked).await?;
        let ledger = &view.ledger;
        let mut policies: Vec<_> = ledger
            .policies()
            .map(|(digest, policy)| encode_policy_record(ledger, digest, policy))
            .collect();
        // The active one is the one that was activated last.
        policies.sort_by_key(|record| Reverse(record.activation.as_ref().map(|activation| activation.entry)));
        Ok(Response::new(pb::ListPoliciesResponse {
            policies,
            read_point: Some(read_point),
        }))
    }

    async fn add_model(&self, request: Request<pb::AddModelRequest>) -> Result<Response<pb::AddModelResponse>, Status> {
        let asked = Asked::of(self, &request);
        let command =
            decode_add_model(request.into_inner()).map_err(|invalid| portcullis_wire::status::invalid(&invalid))?;
        let sha256 = match &command.body {
            // A policy must not come to rest on bytes that no fusion engine can weigh with.
            ExternalBody::AddModel(model) => match from_bytes::<RiskModel>(model.bytes()) {
                Ok(_) => model.digest().0.to_vec(),
                Err(error) => {
                    let invalid = InvalidField::new("model", error.to_string());
                    return Err(portcullis_wire::status::invalid(&invalid));
                }
            },
            _ => Vec::new(),
        };
        let applied = self.write(command, &asked).await?;
        Ok(Response::new(pb::AddModelResponse {
            applied: Some(encode_applied(&applied)),
            sha256: sha256.into(),
        }))
    }

    async fn get_model(&self, request: Request<pb::GetModelRequest>) -> Result<Response<pb::GetModelResponse>, Status> {
        let asked = Asked::of(self, &request);
        let request = request.into_inner();
        let digest =
            decode_model_digest(&request.sha256).map_err(|invalid| portcullis_wire::status::invalid(&invalid))?;
        let Viewed { view, read_point } = self.view(request.consistency, &asked).await?;
        let model = view.ledger.model(&digest).ok_or_else(|| {
            let detail = format!("no model has the digest {digest}; see `risk ls`");
            super::absent(RefusalReason::UnknownModel, "sha256", detail)
        })?;
        Ok(Response::new(pb::GetModelResponse {
            model: model.bytes().to_vec().into(),
            read_point: Some(read_point),
        }))
    }

    async fn list_models(
        &self,
        request: Request<pb::ListModelsRequest>,
    ) -> Result<Response<pb::ListModelsResponse>, Status> {
        let asked = Asked::of(self, &request);
        let Viewed { view, read_point } = self.view(request.into_inner().consistency, &asked).await?;
        let ledger = &view.ledger;
        Ok(Response::new(pb::ListModelsResponse {
            models: ledger
                .models()
                .map(|(digest, model)| encode_model_record(ledger, digest, model, name_of(model)))
                .collect(),
            read_point: Some(read_point),
        }))
    }

    async fn list_charts(
        &self,
        request: Request<pb::ListChartsRequest>,
    ) -> Result<Response<pb::ListChartsResponse>, Status> {
        let asked = Asked::of(self, &request);
        let Viewed { view, read_point } = self.view(request.into_inner().consistency, &asked).await?;
        let ledger = &view.ledger;
        let watch = ledger.policy().and_then(|(_, policy)| policy.watch.as_ref());
        Ok(Response::new(pb::ListChartsResponse {
            charts: encode_charts(ledger),
            limit_micro_nats: watch.map_or(0, |watch| watch.limit),
            read_point: Some(read_point),
        }))
    }

    async fn reset_chart(
        &self,
        request: Request<pb::ResetChartRequest>,
    ) -> Result<Response<pb::ResetChartResponse>, Status> {
        let asked = Asked::of(self, &request);
        let command =
            decode_reset_chart(request.into_inner()).map_err(|invalid| portcullis_wire::status::invalid(&invalid))?;
        let applied = self.write(command, &asked).await?;
        Ok(Response::new(pb::ResetChartResponse {
            applied: Some(encode_applied(&applied)),
        }))
    }
}
