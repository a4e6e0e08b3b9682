//! Policies and the models that they name: what is on the shelf, which one is active since when and through whom, and which one may become active.
//!
//! An inspection is judged by the policy that is active when its conclusion is applied. A conclusion that was proposed under
//! another one is refused, and the engine judges again.

use std::collections::{BTreeMap, BTreeSet};

use super::{Decision, Ledger};
use crate::codec::canonical;
use crate::course::Spot;
use crate::event::{Actor, Event};
use crate::evidence::Modality;
use crate::id::{Digest, EntryNo, TerminalId, Timestamp};
use crate::manifest::TEXT_MAX;
use crate::model::{MODELS_MAX, Model};
use crate::outcome::{Answer, Outcome, Refusal, RefusalReason};
use crate::policy::{InvalidPolicy, ManifestModel, Policy, Scope};

/// When a policy became the active one for the last time, and through whom.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Activation {
    /// The log entry that says so.
    pub entry: EntryNo,
    /// Log time.
    pub at: Timestamp,
    /// Who did it; the cluster itself when it was founded.
    pub by: Actor,
    /// Why, for people; empty if nobody said.
    pub reason: String,
}

canonical!(struct Activation { entry, at, by, reason });

impl Ledger {
    /// When a policy became the active one for the last time; none if it never was.
    pub fn activation(&self, policy: &Digest) -> Option<&Activation> {
        self.activations.get(policy)
    }

    pub(super) fn add_model(&self, model: &Model) -> Result<Decision, Refusal> {
        let digest = model.digest();
        if self.models.contains_key(&digest) {
            return Decision::nothing_new(Answer::Done);
        }
        if self.models.len() >= MODELS_MAX {
            return Err(Refusal::new(
                RefusalReason::TooMany,
                "model",
                format!("the cluster keeps {MODELS_MAX} models already"),
            ));
        }
        Decision::event(Event::ModelAdded {
            model: digest,
            size: model.bytes().len() as u64,
        })
    }

    /// Keeps the bytes of a model that was taken in. They are no part of the log, so a replay of the log does without.
    pub(super) fn keep_model(&mut self, model: Option<Model>, outcome: &Outcome) {
        if let (Some(model), Outcome::Applied(_)) = (model, outcome) {
            self.models.insert(model.digest(), model);
        }
    }

    /// A policy that names a model which nobody brought in could not be followed.
    pub(super) fn check_models(&self, policy: &Policy) -> Result<(), Refusal> {
        let unknown = |one: &&ManifestModel| !self.models.contains_key(&one.model);
        match policy.manifest_models.iter().find(unknown) {
            None => Ok(()),
            Some(one) => Err(Refusal::new(
                RefusalReason::UnknownModel,
                format!("policy.manifest_models.{}", one.family),
                format!("no model has the digest {}; add it first: `risk add`", one.model),
            )),
        }
    }

    pub(super) fn add_policy(&self, policy: Policy) -> Result<Decision, Refusal> {
        policy.check().map_err(invalid)?;
        if self.policies.contains_key(&policy.digest()) {
            return Decision::nothing_new(Answer::Done);
        }
        Decision::event(Event::PolicyAdded { policy })
    }

    pub(super) fn activate_policy(&self, digest: Digest) -> Result<Decision, Refusal> {
        let Some(policy) = self.policies.get(&digest) else {
            return Err(Refusal::new(
                RefusalReason::UnknownPolicy,
                "policy",
                format!("no policy has the digest {digest}; add it first"),
            ));
        };
        if self.policy == Some(digest) {
            return Decision::nothing_new(Answer::Done);
        }
        self.check_lanes_can(policy)?;
        self.check_models(policy)?;
        Decision::event(Event::PolicyActivated { policy: digest })
    }

    pub(super) fn adopt_policy(&self, policy: Policy, reason: String) -> Result<Decision, Refusal> {
        policy.check().map_err(invalid)?;
        if reason.len() > TEXT_MAX {
            return Err(Refusal::new(
                RefusalReason::InvalidArgument,
                "reason",
                format!("it has {} bytes; at most {TEXT_MAX} are allowed", reason.len()),
            ));
        }
        if self.policy == Some(policy.digest()) {
            return Decision::nothing_new(Answer::Done);
        }
        self.check_lanes_can(&policy)?;
        self.check_models(&policy)?;
        Decision::event(Event::PolicyAdopted { policy, reason })
    }

    /// A container is called up only to a lane that has every sensor its policy requires. So a policy under which no
    /// scheduled lane of a terminal could take a container would make it wait for ever.
    fn check_lanes_can(&self, policy: &Policy) -> Result<(), Refusal> {
        let always = policy
            .required
            .iter()
            .filter(|one| !matches!(one.scope, Scope::Commodity(_)));
        let always: BTreeSet<Modality> = always.map(|one| one.modality).collect();
        for (terminal, equipped) in self.equipped() {
            let can = |wanted: &BTreeSet<Modality>| equipped.iter().any(|has| wanted.is_subset(has));
            let unable = |field: String, what: String| {
                let detail = format!(
                    "no scheduled lane of {terminal} has {what}, so containers would wait for ever; define such a lane first"
                );
                Err(Refusal::new(RefusalReason::LaneUnable, field, detail))
            };
            for (at, one) in policy.required.iter().enumerate() {
                if !can(&BTreeSet::from([one.modality])) {
                    return unable(format!("policy.required[{at}]"), one.modality.to_string());
                }
            }
            if !can(&always) {
                return unable("policy.required".to_owned(), format!("all of {}", words(&always)));
            }
            for (at, one) in policy.required.iter().enumerate() {
                let mut together = always.clone();
                if together.insert(one.modality) && !can(&together) {
                    return unable(
                        format!("policy.required[{at}]"),
                        format!("{} together with {}", one.modality, words(&always)),
                    );
                }
            }
        }
        Ok(())
    }

    /// What the scheduled lanes of each terminal can measure; lanes that can measure the same are one.
    fn equipped(&self) -> BTreeMap<&TerminalId, BTreeSet<BTreeSet<Modality>>> {
        let mut equipped: BTreeMap<_, BTreeSet<_>> = BTreeMap::new();
        for lane in self.lanes.values().filter(|lane| lane.spec.scheduled) {
            let has = lane.spec.modalities().into_iter().collect();
            equipped.entry(&lane.spec.terminal).or_default().insert(has);
        }
        equipped
    }

    /// Makes a policy of the shelf the active one.
    pub(super) fn activate(&mut self, spot: Spot, policy: Digest, by: Actor, reason: String) {
        self.policy = Some(policy);
        // What was counted was compared with what another policy expects.
        self.charts.reset_all();
        let activation = Activation {
            entry: spot.entry,
            at: spot.at,
            by,
            reason,
        };
        self.activations.insert(policy, activation);
    }
}

fn words(modalities: &BTreeSet<Modality>) -> String {
    let words: Vec<_> = modalities.iter().map(|modality| modality.as_str()).collect();
    words.join(", ")
}

/// A policy that breaks a rule, with the field seen from the command.
pub(super) fn invalid(error: InvalidPolicy) -> Refusal {
    Refusal::new(
        RefusalReason::InvalidArgument,
        format!("policy.{}", error.field),
        error.why,
    )
}
