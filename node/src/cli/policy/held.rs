//! The policies of a running cluster: bringing one in, listing them, writing one to a file.

use std::path::Path;

use portcullis_config::{policy_from_toml, policy_to_toml};
use portcullis_domain::policy::Policy;
use portcullis_proto::v1;
use portcullis_proto::v1::policy_service_client::PolicyServiceClient;
use portcullis_wire::policy::encode_policy;
use serde_json::json;

use super::shown::value;
use crate::cli::args::{Asker, Format, Global};
use crate::cli::asker::{context, encode, receipt, receipt_text};
use crate::cli::client::{Cluster, timed};
use crate::cli::failure::{Asked, Exit, Failure};
use crate::cli::json::to_json;
use crate::cli::output::{Output, or_dash, table};
use crate::cli::utc::utc;

/// So many digits of a digest are shown in a table.
const SHORT: usize = 16;

/// Brings a policy in and makes it the active one.
pub(super) async fn activate(
    global: &Global,
    output: &mut Output,
    policy: &Policy,
    reason: &str,
    asker: &Asker,
) -> Result<Exit, Failure> {
    let cluster = Cluster::new(global)?;
    let context = context(asker, None)?;
    let answer = cluster
        .ask(Asked::Write(context.request.as_str()), async |channel, limit| {
            let request = v1::ActivatePolicyRequest {
                context: encode(&context),
                policy: Some(encode_policy(policy)),
                reason: reason.to_owned(),
            };
            PolicyServiceClient::new(channel)
                .activate_policy(timed(request, limit))
                .await
        })
        .await?;
    let digest = hex::encode(&answer.sha256);
    output.document(
        || {
            let mut json = receipt(answer.applied, &context);
            json["digest"] = json!(digest);
            json["name"] = json!(policy.name);
            json
        },
        |_| {
            format!(
                "{} is the active policy\ndigest: {digest}\n{}",
                policy.name,
                receipt_text(answer.applied, &context)
            )
        },
    )?;
    Ok(Exit::Ok)
}

/// All of them, with every write that was acknowledged before.
pub(super) async fn list(cluster: &Cluster) -> Result<v1::ListPoliciesResponse, Failure> {
    let request = v1::ListPoliciesRequest {
        consistency: v1::Consistency::Quorum.into(),
    };
    cluster
        .read(request, async |channel, request| {
            PolicyServiceClient::new(channel).list_policies(request).await
        })
        .await
}

pub(super) async fn ls(global: &Global, output: &mut Output) -> Result<Exit, Failure> {
    let policies = list(&Cluster::new(global)?).await?;
    output.document(
        || to_json("ListPoliciesResponse", &policies),
        |width| text(&policies.policies, width),
    )?;
    Ok(Exit::Ok)
}

fn text(policies: &[v1::PolicyRecord], width: Option<u16>) -> String {
    let rows = policies.iter().map(|record| {
        let activation = record.activation.as_ref();
        let mut digest = hex::encode(&record.sha256);
        digest.truncate(SHORT);
        vec![
            digest,
            record.name.clone(),
            if record.active { "active" } else { "" }.to_owned(),
            record.algorithm.to_string(),
            or_dash(activation.map(|one| utc(one.at_ms))),
            or_dash(activation.map(who)),
            activation.map(|one| one.reason.clone()).unwrap_or_default(),
        ]
    });
    let headers = ["DIGEST", "NAME", "STATE", "ALGORITHM", "ACTIVATED", "BY", "WHY"];
    table(&headers, rows.collect(), &[3], width)
}

/// Who made it the active one.
pub(super) fn who(activation: &v1::PolicyActivation) -> String {
    match activation.principal.as_str() {
        "" => "the founding".to_owned(),
        principal => format!("{principal} via {}", activation.source),
    }
}

/// Writes a policy as a file that says the same.
pub(super) fn export(
    global: &Global,
    output: &mut Output,
    policy: &Policy,
    to: Option<&Path>,
) -> Result<Exit, Failure> {
    let failed = |error: portcullis_config::PolicyFileError| Failure::new(Exit::Error, error.to_string());
    let text = policy_to_toml(policy).map_err(failed)?;
    let digest = policy.digest();
    if policy_from_toml(&text).map_err(failed)?.digest() != digest {
        return Err(
            Failure::new(Exit::VerificationFailed, "its file would have another digest").field(digest.to_string()),
        );
    }
    match to {
        Some(to) => {
            std::fs::write(to, &text).map_err(|error| {
                Failure::new(Exit::Error, format!("cannot be written: {error}")).field(to.display().to_string())
            })?;
            output.document(
                || json!({ "policy": to, "digest": digest.to_string() }),
                |_| format!("{digest} is in {}", to.display()),
            )?;
        }
        None if global.output == Some(Format::Json) => output.document(|| value(policy), |_| text.clone())?,
        None => output.verbatim(&text)?,
    }
    Ok(Exit::Ok)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn policies_are_listed_with_who_made_them_active_and_when() {
        let activation = |principal: &str, reason: &str| {
            Some(v1::PolicyActivation {
                at_ms: 1_772_366_400_000,
                entry: 7,
                source: "cli".to_owned(),
                principal: principal.to_owned(),
                reason: reason.to_owned(),
            })
        };
        let record = |byte: u8, name: &str, activation: Option<v1::PolicyActivation>| v1::PolicyRecord {
            sha256: vec![byte; 32].into(),
            name: name.to_owned(),
            algorithm: 1,
            active: byte == 0xaa,
            activation,
        };
        let policies = [
            record(0xaa, "calm", activation("ana", "learned in March")),
            record(0xbb, "first", activation("", "")),
            record(0xcc, "shelved", None),
        ];
        let expected = "\
DIGEST            NAME     STATE   ALGORITHM  ACTIVATED                 BY            WHY
aaaaaaaaaaaaaaaa  calm     active          1  2026-03-01T12:00:00.000Z  ana via cli   learned in March
bbbbbbbbbbbbbbbb  first                    1  2026-03-01T12:00:00.000Z  the founding
cccccccccccccccc  shelved                  1  -                         -";
        assert_eq!(text(&policies, None), expected);
    }
}
