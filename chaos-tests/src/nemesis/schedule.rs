//! What is done when, drawn from a seed: first each fault once, by itself; then pairs, and single ones in between.

use std::time::Duration;

use rand::seq::{IndexedRandom as _, SliceRandom as _};
use rand::{RngExt as _, SeedableRng as _};
use rand_chacha::ChaCha8Rng;

use super::fault::{Fault, Part};

/// So many of a hundred steps are pairs, after each fault had its turn.
const PAIRS: u8 = 75;

/// Faults that are in force at the same time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Step {
    /// Its number, from 1.
    pub number: u64,
    /// One, or one of each part; in the order in which they are done.
    pub faults: Vec<Fault>,
    /// How long they last once they are proven.
    pub lasts: Duration,
}

/// Steps without end.
#[derive(Debug, Clone)]
pub struct Schedule {
    rng: ChaCha8Rng,
    faults: Vec<Fault>,
    /// Faults that had no turn yet.
    deck: Vec<Fault>,
    number: u64,
}

impl Schedule {
    /// The schedule of this seed with these faults.
    pub fn new(seed: u64, faults: &[Fault]) -> Self {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let mut deck = faults.to_vec();
        deck.shuffle(&mut rng);
        Self {
            rng,
            faults: faults.to_vec(),
            deck,
            number: 0,
        }
    }
}

impl Iterator for Schedule {
    type Item = Step;

    fn next(&mut self) -> Option<Step> {
        let faults = match self.deck.pop() {
            Some(fault) => vec![fault],
            None => {
                let of = |part| {
                    let faults = self.faults.iter().copied();
                    faults.filter(|fault| fault.part() == part).collect::<Vec<_>>()
                };
                let (network, node) = (of(Part::Network), of(Part::Node));
                let pair = self.rng.random_range(0..100) < PAIRS;
                match (pair, network.choose(&mut self.rng), node.choose(&mut self.rng)) {
                    (true, Some(network), Some(node)) if !network.goes_with(*node) => vec![*node],
                    (true, Some(network), Some(node)) if node.comes_first() => vec![*node, *network],
                    // Packets first: between nodes that are all dead there are none.
                    (true, Some(network), Some(node)) => vec![*network, *node],
                    _ => vec![*self.faults.choose(&mut self.rng)?],
                }
            }
        };
        let lasts = faults
            .iter()
            .map(|fault| self.rng.random_range(fault.lasts_ms()))
            .max()?;
        self.number += 1;
        Some(Step {
            number: self.number,
            faults,
            lasts: Duration::from_millis(lasts),
        })
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::super::fault::ALL;
    use super::*;

    #[test]
    fn each_fault_has_its_turn_before_pairs_come_and_a_pair_is_of_two_parts() {
        let steps: Vec<Step> = Schedule::new(7, &ALL).take(400).collect();
        let first: BTreeSet<Fault> = steps[..ALL.len()].iter().map(|step| step.faults[0]).collect();
        assert_eq!(first.len(), ALL.len());
        assert!(steps[..ALL.len()].iter().all(|step| step.faults.len() == 1));
        let pairs: BTreeSet<&[Fault]> = steps
            .iter()
            .map(|step| &step.faults[..])
            .filter(|of| of.len() == 2)
            .collect();
        assert!(pairs.len() > 80, "{} different pairs", pairs.len());
        assert!(pairs.iter().all(|pair| pair[0].goes_with(pair[1])));
        let first = |pair: &&[Fault]| pair[0].part() == Part::Node;
        assert!(
            pairs
                .iter()
                .all(|pair| first(pair) == pair[0].comes_first() && !pair[1].comes_first())
        );
    }

    #[test]
    fn a_seed_gives_the_same_steps_again_and_another_seed_gives_others() {
        let steps = |seed| Schedule::new(seed, &ALL).take(60).collect::<Vec<_>>();
        assert_eq!(steps(7), steps(7));
        assert_ne!(steps(7), steps(8));
    }

    #[test]
    fn a_schedule_of_one_fault_repeats_it_and_one_of_none_ends() {
        let steps: Vec<Step> = Schedule::new(1, &[Fault::KillLeader]).take(3).collect();
        assert!(steps.iter().all(|step| step.faults == [Fault::KillLeader]));
        assert_eq!(Schedule::new(1, &[]).next(), None);
    }
}
