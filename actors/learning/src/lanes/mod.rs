//! Lanes of a simulated port as a place to learn and to judge: raw readings of every detector, the interpreters that lanes
//! use, and the truth about each container.
//!
//! A world says how far apart sensors see innocent and threatening containers; here that follows from the simulator's
//! models of goods, concealment and detectors, so errors of interpreters and of their dependence count as they are. What
//! the simulator leaves out is left out here too.

mod declarations;
mod pass;

use std::thread;

use portcullis_detectors::manifest::ManifestModels;
use portcullis_domain::evidence::ThreatFamily;
use portcullis_domain::id::InvalidId;
use portcullis_simulator::{Outfit, PortOptions, PortPlan, ReadingSource, Visit};

use crate::policy::Labelled;

pub use declarations::declarations;

/// The terminal of the port.
const TERMINAL: &str = "T1";
/// How many of a thousand containers hide a threat of each family, so that some hundred containers show all of them.
const OVER_SAMPLED: [u32; 6] = [70, 40, 40, 60, 60, 70];
/// Containers of a thread between two reports of progress.
const BATCH: usize = 4;

/// Containers of the simulated port whose content is known, threats over-sampled and weighted back to how common they are
/// there ([`PortOptions::new`]); each takes a tenth of a second and more of the processor. `models` weigh the manifests. `progress` is told how many are
/// done, of how many.
///
/// # Errors
/// None but those of the names of the port, which are valid.
pub fn containers(
    outfit: Outfit,
    containers: u32,
    seed: u64,
    models: &ManifestModels,
    progress: &dyn Fn(u64, u64),
) -> Result<Vec<Labelled>, InvalidId> {
    let natural = PortOptions::for_terminal(TERMINAL)?;
    let drawn = PortOptions {
        threat_permille: OVER_SAMPLED,
        ..natural.clone()
    };
    let plan = PortPlan::new(seed, containers, drawn.clone());
    let source = ReadingSource::new(seed, outfit);
    let label = |visit: &Visit| Labelled {
        manifest: visit.announcement.manifest.clone(),
        evidence: pass::evidence(&source, outfit, visit, models),
        content: content(visit),
        weight: visit.importance(&drawn, &natural),
        at: pass::ends_at(visit),
    };
    let threads = thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let of = u64::from(containers);
    let mut all = Vec::with_capacity(plan.visits().len());
    for batch in plan.visits().chunks(threads * BATCH) {
        let label = &label;
        thread::scope(|scope| {
            let parts: Vec<_> = batch
                .chunks(BATCH)
                .map(|part| scope.spawn(move || part.iter().map(label).collect::<Vec<_>>()))
                .collect();
            for part in parts {
                match part.join() {
                    Ok(part) => all.extend(part),
                    Err(panic) => std::panic::resume_unwind(panic),
                }
            }
        });
        progress(all.len() as u64, of);
    }
    Ok(all)
}

/// What the container is counted as: of several threats, the first in the order of [`ThreatFamily::ALL`].
fn content(visit: &Visit) -> Option<ThreatFamily> {
    visit.truth.families.first().copied()
}

#[cfg(test)]
mod tests {
    use portcullis_domain::evidence::Modality;

    use super::*;

    #[test]
    fn every_detector_gives_evidence_of_every_container_and_weights_make_up_for_over_sampling() {
        let drawn = containers(Outfit::Full, 6, 3, &ManifestModels::none(), &|_, _| ()).unwrap();
        for one in &drawn {
            let seen: Vec<Modality> = one.evidence.iter().map(|evidence| evidence.modality).collect();
            assert_eq!(seen, Modality::ALL, "{:?}", one.manifest.goods);
            for evidence in &one.evidence {
                evidence.check().unwrap();
            }
        }
        // The same again, whatever thread made it.
        let again = containers(Outfit::Full, 6, 3, &ManifestModels::none(), &|_, _| ()).unwrap();
        for (one, other) in drawn.iter().zip(&again) {
            assert_eq!(one.evidence, other.evidence);
        }
        let many = containers(Outfit::Basic, 3_000, 5, &ManifestModels::none(), &|_, _| ()).unwrap();
        let weight = |threats: bool| -> f64 {
            let of = many.iter().filter(|one| one.content.is_some() == threats);
            of.map(|one| one.weight).sum()
        };
        let share = weight(true) / (weight(true) + weight(false));
        // The natural port has some 6 % of them, and drew a third here.
        assert!((0.045..0.08).contains(&share), "{share}");
    }
}
