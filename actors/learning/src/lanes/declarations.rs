//! Declarations of the simulated port with what was found behind them: what risk models for its lanes are learned from.

use portcullis_detectors::manifest::declared_item;
use portcullis_domain::evidence::ThreatFamily;
use portcullis_domain::id::InvalidId;
use portcullis_simulator::{PortOptions, PortPlan, Visit};

use super::TERMINAL;
use crate::risk::Record;

/// The goods items of so many containers, with whether the container held a threat of the family, as lanes see them:
/// with what a manifest in the decision log says. Threats are as common as they are there: papers cost no scanning, so many
/// containers take the place of over-sampling.
///
/// # Errors
/// None but those of the names of the port, which are valid.
pub fn declarations(family: ThreatFamily, containers: u32, seed: u64) -> Result<Vec<Record>, InvalidId> {
    let plan = PortPlan::new(seed, containers, PortOptions::for_terminal(TERMINAL)?);
    Ok(plan.visits().iter().flat_map(|visit| records(visit, family)).collect())
}

fn records(visit: &Visit, family: ThreatFamily) -> impl Iterator<Item = Record> {
    let manifest = &visit.announcement.manifest;
    let fraud = visit.truth.families.contains(&family);
    manifest.goods.iter().map(move |item| Record {
        id: format!("{}/{}", visit.equipment, item.sequence),
        // A simulated port has no seasons.
        date: "simulation".to_owned(),
        item: declared_item(manifest, item),
        fraud,
        critical: false,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::risk::{TrainOptions, train};

    /// Where the simulator has narcotics come from more often.
    const LURES: [&str; 5] = ["EC", "CO", "CR", "PA", "BR"];

    #[test]
    fn the_share_of_a_family_is_that_of_the_port_and_the_same_seed_gives_the_same() {
        let drawn = declarations(ThreatFamily::Undeclared, 2_000, 3).unwrap();
        assert_eq!(drawn, declarations(ThreatFamily::Undeclared, 2_000, 3).unwrap());
        let share = drawn.iter().filter(|record| record.fraud).count() as f64 / drawn.len() as f64;
        // 30 of a thousand and those that were swapped, give or take three deviations.
        assert!((0.02..0.045).contains(&share), "{share}");
        // Lanes weigh with these very fields.
        let first = &drawn[0].item;
        assert!(
            first.hs6.len() == 6 && first.origin.len() == 2 && first.importer.is_empty(),
            "{first:?}"
        );
        assert_eq!(*first, first.as_in_manifest());
    }

    #[test]
    fn a_model_learns_from_which_origins_narcotics_come() {
        let records = declarations(ThreatFamily::Narcotics, 40_000, 5).unwrap();
        let model = train(&records, &TrainOptions::default(), &|_, _| ()).unwrap();
        let later = declarations(ThreatFamily::Narcotics, 3_000, 6).unwrap();
        let mean = |lures: bool| {
            let of = |record: &&Record| LURES.contains(&record.item.origin.as_str()) == lures;
            let scores: Vec<i32> = later
                .iter()
                .filter(of)
                .map(|one| model.score(&one.item).total)
                .collect();
            scores.iter().map(|score| i64::from(*score)).sum::<i64>() / scores.len() as i64
        };
        // Hidden there 4,000 / 700 times as often, 7.7 dB of odds.
        let apart = mean(true) - mean(false);
        assert!((6_000..9_500).contains(&apart), "{apart}");
        let asked = model.feature_names();
        assert!(
            !asked.iter().any(|name| name.contains("importer")),
            "never declared here: {asked:?}"
        );
    }
}
