//! Weighing a manifest: by learned models for the families that a policy names one for, by rules for the others.
//!
//! A declaration is evidence like any other: what the models say is a log-likelihood ratio, how much more often such goods
//! items were declared for containers of the family than for others. Names of people and firms are not used: the decision
//! log holds them sealed, and a weight must follow from what the log holds.

mod learned;
mod rules;

use std::sync::Arc;

use portcullis_domain::equipment::EquipmentId;
use portcullis_domain::evidence::{Ability, ThreatFamily};
use portcullis_domain::finding::{Finding, FindingCode};
use portcullis_domain::id::Digest;
use portcullis_domain::manifest::Manifest;

use crate::interpretation::Interpretation;
use crate::risk::RiskModel;

pub use learned::{LEARNED_CAP, declared_item};
pub use rules::{Applied, CAP, applied};

/// Name and version of weighing by rules alone.
const RULES_VERSION: &str = "manifest-rules/1";
/// Name and version of weighing with learned models; a digest of which models follows.
const LEARNED_VERSION: &str = "manifest-learned/1";

/// The learned models that weigh manifests, one for each of some families.
#[derive(Debug, Clone)]
pub struct ManifestModels {
    models: Vec<(ThreatFamily, Arc<RiskModel>)>,
    /// Families whose model is named and cannot be read here.
    unreadable: Vec<ThreatFamily>,
    version: String,
}

impl ManifestModels {
    /// No models: rules weigh everything.
    pub fn none() -> Self {
        Self {
            models: Vec::new(),
            unreadable: Vec::new(),
            version: RULES_VERSION.to_owned(),
        }
    }

    /// Has a family weighed by a model, in place of one that it had. None: the model is named and cannot be read here.
    #[must_use]
    pub fn with(mut self, family: ThreatFamily, model: Option<Arc<RiskModel>>) -> Self {
        self.models.retain(|(known, _)| *known != family);
        self.unreadable.retain(|known| *known != family);
        match model {
            Some(model) => self.models.push((family, model)),
            None => self.unreadable.push(family),
        }
        self.models.sort_by_key(|(family, _)| *family);
        self.unreadable.sort_unstable();
        self.version = version_of(&self.models);
        self
    }

    /// Name and version of the interpreter that these models make: the same for the same models.
    pub fn version(&self) -> &str {
        &self.version
    }
}

fn version_of(models: &[(ThreatFamily, Arc<RiskModel>)]) -> String {
    if models.is_empty() {
        return RULES_VERSION.to_owned();
    }
    let mut names = Vec::new();
    for (family, model) in models {
        names.extend_from_slice(family.as_str().as_bytes());
        names.extend_from_slice(&model.digest().0);
    }
    let digest = Digest::of(&names).to_string();
    format!("{LEARNED_VERSION}:{}", digest.get(..16).unwrap_or(&digest))
}

/// Weighs what is declared about a container. A family with a model takes the model's weight, with one finding that says
/// what it consists of; all others take that of the rules.
pub fn interpret(manifest: &Manifest, equipment: &EquipmentId, models: &ManifestModels) -> Interpretation {
    let mut known = rules::weigh(manifest, equipment);
    for (family, model) in &models.models {
        if let Some(weighed) = learned::weigh(model, *family, manifest) {
            known.weights = known.weights.with(*family, weighed.weight);
            known.findings.push(weighed.finding);
        }
    }
    for family in &models.unreadable {
        // The rules' weight is sound, but not what the policy counts on.
        known.ability = known.ability.max(Ability::Degraded);
        known.findings.push(Finding::new(
            FindingCode::ModelUnreadable,
            family.as_str(),
            "rules weighed it instead; bring all nodes to one version, or train the model again",
        ));
    }
    known
}
