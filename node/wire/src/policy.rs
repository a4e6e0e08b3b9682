//! Policies: all of one, and what the ledger knows about it.

use portcullis_domain::command::{ExternalBody, ExternalCommand};
use portcullis_domain::event::Actor;
use portcullis_domain::evidence::{Modality, ThreatFamily};
use portcullis_domain::id::Digest;
use portcullis_domain::ledger::{Activation, Ledger};
use portcullis_domain::manifest::TEXT_MAX;
use portcullis_domain::policy::{
    CalibrationPoint, Coefficient, FamilyRule, FindingRule, ManifestModel, MaximumAge, NAME_MAX, POINTS_MAX, Policy,
    RULES_MAX, Requirement, Scope, Stopping,
};
use portcullis_proto::v1 as pb;

use crate::announcement::encode_digest;
use crate::context::decode_context;
use crate::drift::{decode_watch, encode_watch};
use crate::invalid::{self, InvalidField, Within};
use crate::vocabulary::{decode_family, decode_modality, decode_tier, encode_family, encode_modality, encode_tier};

/// Reads a request to bring a policy in and make it the active one.
///
/// # Errors
/// Names the first field that cannot be, by its path within the request, such as `policy.required[2].otherwise`. Whether the
/// policy makes sense is the ledger's to say.
pub fn decode_activate_policy(request: pb::ActivatePolicyRequest) -> Result<ExternalCommand, InvalidField> {
    let context = decode_context(request.context)?;
    let policy = invalid::required("policy", request.policy)?;
    Ok(context.command(ExternalBody::AdoptPolicy {
        policy: decode_policy(policy).within("policy")?,
        reason: invalid::text("reason", request.reason, TEXT_MAX)?,
    }))
}

/// Reads which policy is asked for; none for the active one.
///
/// # Errors
/// When `sha256` is neither empty nor a digest.
pub fn decode_policy_digest(sha256: &[u8]) -> Result<Option<Digest>, InvalidField> {
    match sha256 {
        [] => Ok(None),
        bytes => invalid::digest("sha256", bytes).map(Some),
    }
}

/// Reads a policy. What belongs to modalities and families is brought into their order.
///
/// # Errors
/// Names the first field that cannot be, from the policy.
pub fn decode_policy(policy: pb::Policy) -> Result<Policy, InvalidField> {
    let stopping = invalid::required("stopping", policy.stopping)?;
    let [modalities, families] = [Modality::ALL.len(), ThreatFamily::ALL.len()];
    let policy = Policy {
        name: invalid::text("name", policy.name, NAME_MAX)?,
        algorithm: u16::try_from(policy.algorithm)
            .map_err(|_| InvalidField::new("algorithm", format!("version {} is not known", policy.algorithm)))?,
        coefficients: invalid::list("coefficients", policy.coefficients, modalities, |one| {
            Ok(Coefficient {
                modality: decode_modality("modality", one.modality)?,
                permille: one.permille,
            })
        })?,
        families: invalid::list("families", policy.families, families, |one| {
            Ok(FamilyRule {
                family: decode_family("family", one.family)?,
                prior: one.prior_milli_decibans,
                review: one.review_milli_decibans,
                exam: one.exam_milli_decibans,
            })
        })?,
        required: invalid::list("required", policy.required, RULES_MAX, decode_requirement)?,
        findings: invalid::list("findings", policy.findings, RULES_MAX, |one| {
            Ok(FindingRule {
                code: invalid::parse("code", &one.code)?,
                tier: decode_tier("tier", one.tier)?,
            })
        })?,
        maximum_ages: invalid::list("maximum_ages", policy.maximum_ages, modalities, |one| {
            Ok(MaximumAge {
                modality: decode_modality("modality", one.modality)?,
                seconds: one.seconds,
            })
        })?,
        stopping: Stopping {
            least_samples: stopping.least_samples,
            release_margin: stopping.release_margin_milli_decibans,
            exam_margin: stopping.exam_margin_milli_decibans,
        },
        passes_max: policy.passes_max,
        calibration: invalid::list("calibration", policy.calibration, POINTS_MAX, |point| {
            Ok(CalibrationPoint {
                score: point.score_milli_decibans,
                ppm: point.ppm,
            })
        })?,
        manifest_models: invalid::list("manifest_models", policy.manifest_models, families, |one| {
            Ok(ManifestModel {
                family: decode_family("family", one.family)?,
                model: invalid::digest("model_sha256", &one.model_sha256)?,
            })
        })?,
        watch: policy.watch.map(decode_watch).transpose().within("watch")?,
    };
    Ok(policy.in_order())
}

fn decode_requirement(one: pb::PolicyRequirement) -> Result<Requirement, InvalidField> {
    use pb::policy_requirement::Scope as Wire;
    let only_true = |field: &str| InvalidField::new(field, "it can only be true");
    Ok(Requirement {
        modality: decode_modality("modality", one.modality)?,
        scope: match invalid::required("scope", one.scope)? {
            Wire::Every(true) => Scope::Every,
            Wire::Laden(true) => Scope::Laden,
            Wire::Every(false) => return Err(only_true("every")),
            Wire::Laden(false) => return Err(only_true("laden")),
            Wire::CommodityCodePrefix(prefix) => Scope::Commodity(prefix),
        },
        degraded_is_enough: one.degraded_is_enough,
        otherwise: decode_tier("otherwise", one.otherwise)?,
    })
}

/// Writes a policy.
pub fn encode_policy(policy: &Policy) -> pb::Policy {
    let coefficient = |one: &Coefficient| pb::PolicyCoefficient {
        modality: encode_modality(one.modality).into(),
        permille: one.permille,
    };
    let family = |one: &FamilyRule| pb::PolicyFamily {
        family: encode_family(one.family).into(),
        prior_milli_decibans: one.prior,
        review_milli_decibans: one.review,
        exam_milli_decibans: one.exam,
    };
    let finding = |one: &FindingRule| pb::PolicyFinding {
        code: one.code.as_str().to_owned(),
        tier: encode_tier(one.tier).into(),
    };
    let maximum_age = |one: &MaximumAge| pb::PolicyMaximumAge {
        modality: encode_modality(one.modality).into(),
        seconds: one.seconds,
    };
    let point = |one: &CalibrationPoint| pb::PolicyCalibrationPoint {
        score_milli_decibans: one.score,
        ppm: one.ppm,
    };
    pb::Policy {
        name: policy.name.clone(),
        algorithm: policy.algorithm.into(),
        coefficients: policy.coefficients.iter().map(coefficient).collect(),
        families: policy.families.iter().map(family).collect(),
        required: policy.required.iter().map(encode_requirement).collect(),
        findings: policy.findings.iter().map(finding).collect(),
        maximum_ages: policy.maximum_ages.iter().map(maximum_age).collect(),
        stopping: Some(pb::PolicyStopping {
            least_samples: policy.stopping.least_samples,
            release_margin_milli_decibans: policy.stopping.release_margin,
            exam_margin_milli_decibans: policy.stopping.exam_margin,
        }),
        passes_max: policy.passes_max,
        calibration: policy.calibration.iter().map(point).collect(),
        watch: policy.watch.as_ref().map(encode_watch),
        manifest_models: policy
            .manifest_models
            .iter()
            .map(|one| pb::PolicyManifestModel {
                family: encode_family(one.family).into(),
                model_sha256: encode_digest(&one.model),
            })
            .collect(),
    }
}

fn encode_requirement(one: &Requirement) -> pb::PolicyRequirement {
    use pb::policy_requirement::Scope as Wire;
    pb::PolicyRequirement {
        modality: encode_modality(one.modality).into(),
        scope: Some(match &one.scope {
            Scope::Every => Wire::Every(true),
            Scope::Laden => Wire::Laden(true),
            Scope::Commodity(prefix) => Wire::CommodityCodePrefix(prefix.clone()),
        }),
        degraded_is_enough: one.degraded_is_enough,
        otherwise: encode_tier(one.otherwise).into(),
    }
}

/// Writes what the ledger knows about one of its policies.
pub fn encode_policy_record(ledger: &Ledger, digest: &Digest, policy: &Policy) -> pb::PolicyRecord {
    pb::PolicyRecord {
        sha256: encode_digest(digest),
        name: policy.name.clone(),
        algorithm: policy.algorithm.into(),
        active: ledger.policy().is_some_and(|(active, _)| active == *digest),
        activation: ledger.activation(digest).map(encode_activation),
    }
}

fn encode_activation(activation: &Activation) -> pb::PolicyActivation {
    let (source, principal) = match &activation.by {
        Actor::External { source, principal, .. } => (source.to_string(), principal.to_string()),
        Actor::Placed { .. } | Actor::Cluster => Default::default(),
    };
    pb::PolicyActivation {
        at_ms: activation.at.0,
        entry: activation.entry.0,
        source,
        principal,
        reason: activation.reason.clone(),
    }
}

#[cfg(test)]
mod tests {
    use portcullis_domain::command::{ClusterCommand, Command, CommandBody};
    use portcullis_domain::id::{ClusterId, Timestamp};
    use portcullis_domain::policy::Tier;

    use super::*;
    use crate::context::encode_context;
    use crate::samples;

    fn policy() -> Policy {
        let mut policy = Policy::first();
        policy.required.push(Requirement {
            modality: Modality::Nqr,
            scope: Scope::Commodity("3602".to_owned()),
            degraded_is_enough: false,
            otherwise: Tier::Exam,
        });
        policy.manifest_models.push(ManifestModel {
            family: ThreatFamily::Narcotics,
            model: Digest([5; 32]),
        });
        policy
    }

    fn request() -> pb::ActivatePolicyRequest {
        pb::ActivatePolicyRequest {
            context: Some(encode_context(&samples::context())),
            policy: Some(encode_policy(&policy())),
            reason: "as learned in March".to_owned(),
        }
    }

    #[test]
    fn a_policy_reads_back_with_the_same_digest_in_whatever_order_it_is_listed() {
        let mut sent = encode_policy(&policy());
        assert_eq!(decode_policy(sent.clone()), Ok(policy()));
        sent.coefficients.reverse();
        sent.families.reverse();
        sent.maximum_ages.reverse();
        assert_eq!(decode_policy(sent).map(|read| read.digest()), Ok(policy().digest()));
    }

    #[test]
    fn a_request_becomes_the_command_of_whoever_asked() {
        let command = decode_activate_policy(request()).unwrap();
        assert_eq!(command.principal, samples::context().principal);
        let expected = ExternalBody::AdoptPolicy {
            policy: policy(),
            reason: "as learned in March".to_owned(),
        };
        assert_eq!(command.body, expected);
    }

    #[test]
    fn each_bad_field_is_named_by_its_path_within_the_request() {
        type Spoil = fn(&mut pb::ActivatePolicyRequest, &mut pb::Policy);
        let field = |spoil: Spoil| {
            let mut request = request();
            let mut policy = request.policy.take().unwrap();
            spoil(&mut request, &mut policy);
            request.policy = Some(policy);
            decode_activate_policy(request).map_err(|invalid| invalid.field)
        };
        use pb::policy_requirement::Scope as Wire;
        let cases: [(Spoil, &str); 16] = [
            (|r, _| r.context = None, "context"),
            (|r, _| r.reason = "x".repeat(513), "reason"),
            (|_, p| p.name = "n".repeat(129), "policy.name"),
            (|_, p| p.algorithm = 65_536, "policy.algorithm"),
            (|_, p| p.coefficients[1].modality = 0, "policy.coefficients[1].modality"),
            (|_, p| p.coefficients.extend_from_within(..), "policy.coefficients"),
            (|_, p| p.families[2].family = 77, "policy.families[2].family"),
            (|_, p| p.required[0].scope = None, "policy.required[0].scope"),
            (
                |_, p| p.required[0].scope = Some(Wire::Every(false)),
                "policy.required[0].every",
            ),
            (
                |_, p| p.required[1].scope = Some(Wire::Laden(false)),
                "policy.required[1].laden",
            ),
            (|_, p| p.required[3].modality = -1, "policy.required[3].modality"),
            (|_, p| p.required[3].otherwise = 0, "policy.required[3].otherwise"),
            (
                |_, p| p.findings[0].code = "NEUTRON".to_owned(),
                "policy.findings[0].code",
            ),
            (|_, p| p.findings[1].tier = 0, "policy.findings[1].tier"),
            (|_, p| p.maximum_ages[0].modality = 0, "policy.maximum_ages[0].modality"),
            (|_, p| p.stopping = None, "policy.stopping"),
        ];
        for (spoil, expected) in cases {
            assert_eq!(field(spoil), Err(expected.to_owned()));
        }
        let nothing = pb::ActivatePolicyRequest {
            policy: None,
            ..request()
        };
        assert_eq!(decode_activate_policy(nothing).unwrap_err().field, "policy");
    }

    #[test]
    fn a_record_says_which_policy_is_active_since_when_and_through_whom() {
        let mut ledger = Ledger::new();
        let mut apply = |at, body| {
            let application = ledger.apply(Command {
                at: Timestamp(at),
                traceparent: String::new(),
                body,
            });
            assert_eq!(application.outcome.refusal(), None);
        };
        let cluster = ClusterId([7; 16]);
        let found = ClusterCommand::Found {
            cluster,
            policy: Policy::first(),
        };
        apply(1_000, CommandBody::Cluster(found));
        let mut other = Policy::first();
        other.name = "other".to_owned();
        let body = ExternalBody::AdoptPolicy {
            policy: other.clone(),
            reason: "as learned in March".to_owned(),
        };
        apply(2_000, CommandBody::External(samples::context().command(body)));

        let record = |policy: &Policy| encode_policy_record(&ledger, &policy.digest(), policy);
        let adopted = record(&other);
        assert_eq!(
            (adopted.name.as_str(), adopted.algorithm, adopted.active),
            ("other", 1, true)
        );
        let expected = pb::PolicyActivation {
            at_ms: 2_000,
            entry: 1,
            source: samples::context().source.to_string(),
            principal: samples::context().principal.to_string(),
            reason: "as learned in March".to_owned(),
        };
        assert_eq!(adopted.activation, Some(expected));
        let founded = record(&Policy::first());
        assert!(!founded.active);
        let expected = pb::PolicyActivation {
            at_ms: 1_000,
            ..pb::PolicyActivation::default()
        };
        assert_eq!(founded.activation, Some(expected));
    }

    #[test]
    fn a_digest_has_32_bytes_or_is_left_out() {
        assert_eq!(decode_policy_digest(&[]), Ok(None));
        assert_eq!(decode_policy_digest(&[7; 32]), Ok(Some(Digest([7; 32]))));
        assert_eq!(decode_policy_digest(&[7; 31]).unwrap_err().field, "sha256");
    }
}
