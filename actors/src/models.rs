//! The learned models that the active policy names, read once for all shards of a node.

use std::sync::{Arc, Mutex, PoisonError};

use portcullis_detectors::manifest::ManifestModels;
use portcullis_detectors::risk::RiskModel;
use portcullis_domain::codec::from_bytes;
use portcullis_domain::id::Digest;
use portcullis_domain::ledger::Ledger;
use portcullis_domain::model::Model;
use portcullis_domain::policy::Policy;
use tracing::error;

/// Models as they were read for the policy that was active last. A policy's models never change, so its digest tells.
#[derive(Debug, Default)]
pub(crate) struct Models(Mutex<Option<(Digest, Arc<ManifestModels>)>>);

impl Models {
    /// What manifests are weighed with now.
    pub(crate) fn of(&self, ledger: &Ledger) -> Arc<ManifestModels> {
        let Some((digest, policy)) = ledger.policy() else {
            return Arc::new(ManifestModels::none());
        };
        // Held while reading, so that the other shards wait for the result and do not read as well.
        let mut held = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match &*held {
            Some((known, models)) if *known == digest => Arc::clone(models),
            _ => {
                let models = Arc::new(read(ledger, policy));
                *held = Some((digest, Arc::clone(&models)));
                models
            }
        }
    }
}

fn read(ledger: &Ledger, policy: &Policy) -> ManifestModels {
    let named = policy.manifest_models.iter();
    named.fold(ManifestModels::none(), |models, one| {
        let read = ledger.model(&one.model).map(Model::bytes).map(from_bytes::<RiskModel>);
        match read {
            Some(Ok(model)) => models.with(one.family, Some(Arc::new(model))),
            // The gateway refuses what it cannot read, so another version took it in.
            Some(Err(why)) => {
                error!(model = %one.model, family = %one.family, %why, "this version cannot read the model that the policy names");
                models.with(one.family, None)
            }
            None => models.with(one.family, None),
        }
    })
}
