//! What a score is worth as probability: isotonic regression (pool adjacent violators) of threats on the highest score.

use portcullis_domain::policy::{CalibrationPoint, Tier};

use super::scoring::{Scored, highest};

/// Groups of equal size that the samples are cut into before pooling, so that each point rests on many.
const GROUPS: usize = 100;

#[derive(Debug, Clone, Copy, Default)]
struct Block {
    weight: f64,
    threats: f64,
    scores: f64,
}

impl Block {
    fn join(self, other: Self) -> Self {
        Self {
            weight: self.weight + other.weight,
            threats: self.threats + other.threats,
            scores: self.scores + other.scores,
        }
    }

    fn probability(&self) -> f64 {
        self.threats / self.weight
    }
}

/// The table, from containers that scores alone decide on: those held for other reasons were not seen well enough for
/// their scores to mean the same.
pub(super) fn table(scored: &[Scored]) -> Vec<CalibrationPoint> {
    let mut seen: Vec<(i32, &Scored)> = scored
        .iter()
        .filter(|one| one.least == Tier::Release)
        .map(|one| (highest(&one.scores), one))
        .collect();
    seen.sort_by_key(|(score, _)| *score);
    let mut blocks: Vec<Block> = Vec::new();
    for group in seen.chunks(seen.len().div_ceil(GROUPS).max(1)) {
        let mut block = group.iter().fold(Block::default(), |block, (score, one)| {
            block.join(Block {
                weight: one.weight,
                threats: if one.content.is_some() { one.weight } else { 0.0 },
                scores: one.weight * f64::from(*score),
            })
        });
        while let Some(last) = blocks.pop_if(|last| last.probability() >= block.probability()) {
            block = last.join(block);
        }
        blocks.push(block);
    }
    let mut points: Vec<CalibrationPoint> = Vec::new();
    for block in blocks {
        let point = CalibrationPoint {
            score: (block.scores / block.weight).round() as i32,
            ppm: (1_000_000.0 * block.probability()).round() as u32,
        };
        if points
            .last()
            .is_none_or(|last| last.score < point.score && last.ppm <= point.ppm)
        {
            points.push(point);
        }
    }
    points
}

#[cfg(test)]
mod tests {
    use super::*;
    use portcullis_domain::evidence::{ThreatFamily, Weights};

    #[test]
    fn the_table_ascends_and_gives_the_frequency_of_threats() {
        let scored: Vec<Scored> = (0..10_000)
            .map(|i: i32| Scored {
                content: (i % 10 < i / 1_000).then_some(ThreatFamily::Weapons),
                weight: 1.0,
                scores: Weights([i; 6]),
                least: Tier::Release,
            })
            .collect();
        let points = table(&scored);
        assert!(points.is_sorted_by(|a, b| a.score < b.score && a.ppm <= b.ppm));
        for (point, wanted) in points
            .iter()
            .filter(|point| point.score % 1_000 > 100)
            .zip([0, 100_000])
        {
            assert!(point.ppm.abs_diff(wanted) < 2_000, "{point:?}");
        }
        assert_eq!(points.last().map(|point| point.ppm), Some(900_000));
    }
}
