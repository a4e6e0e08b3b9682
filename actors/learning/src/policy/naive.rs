//! The naive policy, to compare with: every sensor counts in full, and thresholds are set where a port would set them that
//! believes its sensors independent.

use portcullis_domain::policy::Policy;

use super::learning::{apply, claim};
use super::scoring::{never, score};
use super::thresholds::spend;
use super::{Claims, Labelled, LearnOptions, calibration, labelled};
use crate::world::World;

/// The naive counterpart of a policy in a world, and what it claims. Thresholds, table and claims are from containers of
/// the same world with independent sensors: the world that a plain sum believes in.
pub(crate) fn naive(world: &World, policy: &Policy, options: &LearnOptions, containers: u64) -> (Policy, Claims) {
    let believed = world.unchanged().independent();
    let setting = labelled(&believed, containers, options.seed);
    let claiming = labelled(&believed, containers, options.seed.wrapping_add(1));
    let mut naive = policy.clone();
    "naive".clone_into(&mut naive.name);
    naive.stopping = never();
    for coefficient in &mut naive.coefficients {
        coefficient.permille = 1000;
    }
    let scored = score(&naive, &setting, &options.kept);
    apply(
        &mut naive,
        &options.kept,
        &spend(
            &scored,
            options.needless_review,
            options.needless_exam,
            &options.harm,
            &options.kept,
        ),
    );
    naive.calibration = calibration::table(&scored);
    let claiming: Vec<&Labelled> = claiming.iter().collect();
    let (claims, _) = claim(&naive, &claiming, options.alpha);
    (naive, claims)
}
