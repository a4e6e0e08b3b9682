//! How the channels of one calibration fall onto the grid: worked out once, used for every spectrum with it.
//!
//! Most channels lie wholly within one bin, and their whole counts are added as integers. Only channels that an edge of the
//! grid cuts have their counts spread, evenly between their own edges.

use std::ops::Range;

use portcullis_domain::finding::{Finding, FindingCode};

use super::grid::{Binned, ENERGY_MAX_KEV, ENERGY_MIN_KEV, Grid};

/// A channel that does not lie wholly within one bin.
#[derive(Debug, Clone, PartialEq)]
struct Cut {
    channel: usize,
    bin: usize,
    /// Share of the channel's counts that the bin gets.
    share: f64,
}

/// Where the counts of each channel go.
#[derive(Debug, Clone, PartialEq)]
pub struct Rebinning {
    channels: usize,
    /// For each bin the channels that lie wholly within it.
    whole: Vec<Range<usize>>,
    cuts: Vec<Cut>,
    first: usize,
    end: usize,
}

impl Rebinning {
    /// Works out where channels with these edges in keV fall; one edge more than channels.
    ///
    /// # Errors
    /// A finding that names the field: no channel, edges that are not finite or not ascending, or no common range.
    pub fn new(grid: &Grid, edges_kev: &[f64]) -> Result<Self, Finding> {
        let odd = |detail: String| Finding::new(FindingCode::CalibrationOdd, "calibration", detail);
        let (lowest, highest) = match edges_kev {
            [lowest, .., highest] => (*lowest, *highest),
            _ => return Err(odd(format!("{} edges make no channel", edges_kev.len()))),
        };
        let falling = edges_kev.windows(2).position(|pair| match pair {
            [low, high] => !(low.is_finite() && high.is_finite() && low < high),
            _ => true,
        });
        if let Some(channel) = falling {
            let detail = format!("energies do not rise at channel {channel}; the spectrum was left out");
            return Err(odd(detail));
        }
        let first = grid.edges_kev().partition_point(|edge| *edge < lowest);
        let end = grid
            .edges_kev()
            .partition_point(|edge| *edge <= highest)
            .saturating_sub(1);
        if first >= end {
            let detail = format!("{lowest:.0} to {highest:.0} keV is outside the range that is looked at");
            return Err(odd(detail));
        }
        let mut rebinning = Self {
            channels: edges_kev.len() - 1,
            whole: vec![0..0; grid.bins()],
            cuts: Vec::new(),
            first,
            end,
        };
        for (channel, (low, high)) in edges_kev.iter().zip(edges_kev.iter().skip(1)).enumerate() {
            rebinning.place(grid, channel, *low, *high);
        }
        Ok(rebinning)
    }

    fn place(&mut self, grid: &Grid, channel: usize, low: f64, high: f64) {
        let (mut from, to) = (low.max(ENERGY_MIN_KEV), high.min(ENERGY_MAX_KEV));
        if from >= to {
            return;
        }
        let mut bin = grid.bin_of(from).unwrap_or(0);
        while let Some(edge) = grid.edges_kev().get(bin + 1) {
            let upto = edge.min(to);
            let share = (upto - from).max(0.0) / (high - low);
            if share >= 1.0 {
                // Channels ascend, so that those of one bin follow each other.
                if let Some(whole) = self.whole.get_mut(bin) {
                    let start = if whole.start < whole.end { whole.start } else { channel };
                    *whole = start..channel + 1;
                }
            } else if share > 0.0 {
                self.cuts.push(Cut { channel, bin, share });
            }
            if *edge >= to {
                break;
            }
            from = upto.max(from);
            bin += 1;
        }
    }

    /// First bin that lies wholly within the calibrated range, and one past the last such bin.
    pub fn covered(&self) -> Range<usize> {
        self.first..self.end
    }

    /// Adds whole counts by channel to counts by bin. Counts of another length than the calibration add nothing.
    pub fn add(&self, counts: &[u32], binned: &mut [f64]) {
        let sum = |counts: &[u32]| counts.iter().map(|count| u64::from(*count)).sum::<u64>() as f64;
        self.spread(counts, sum, binned);
    }

    /// Brings counts by channel onto the grid.
    ///
    /// # Errors
    /// A finding that names the field: another number of counts than of channels, or counts that are negative or not
    /// finite.
    pub fn rebin<C: Copy + Into<f64>>(&self, counts: &[C]) -> Result<Binned, Finding> {
        if counts.len() != self.channels {
            let detail = format!("{} edges for {} channels", self.channels + 1, counts.len());
            return Err(Finding::new(FindingCode::CalibrationOdd, "calibration", detail));
        }
        let bad = counts.iter().position(|count| {
            let count: f64 = (*count).into();
            !(count.is_finite() && count >= 0.0)
        });
        if let Some(channel) = bad {
            let detail = format!("channel {channel} has no count of 0 or more; the spectrum was left out");
            return Err(Finding::new(FindingCode::ValueUnreadable, "counts", detail));
        }
        let mut binned = vec![0.0; self.whole.len()];
        let sum = |counts: &[C]| counts.iter().map(|count| -> f64 { (*count).into() }).sum::<f64>();
        self.spread(counts, sum, &mut binned);
        Ok(Binned {
            counts: binned,
            first: self.first,
            end: self.end,
        })
    }

    fn spread<C: Copy + Into<f64>>(&self, counts: &[C], sum: impl Fn(&[C]) -> f64, binned: &mut [f64]) {
        if counts.len() != self.channels {
            return;
        }
        for (bin, whole) in binned.iter_mut().zip(&self.whole) {
            *bin += counts.get(whole.clone()).map_or(0.0, &sum);
        }
        for cut in &self.cuts {
            if let (Some(bin), Some(count)) = (binned.get_mut(cut.bin), counts.get(cut.channel)) {
                *bin += cut.share * (*count).into();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::grid::channel_edges;
    use super::*;

    /// Counts in each bin by the overlap of every channel with every bin: slow, and made without the plan.
    fn by_overlap(grid: &Grid, edges_kev: &[f64], counts: &[u32]) -> Vec<f64> {
        let bins = grid.edges_kev().windows(2);
        bins.map(|bin| {
            let channels = edges_kev.windows(2).zip(counts);
            channels
                .map(|(channel, count)| {
                    let overlap = (channel[1].min(bin[1]) - channel[0].max(bin[0])).max(0.0);
                    f64::from(*count) * overlap / (channel[1] - channel[0])
                })
                .sum()
        })
        .collect()
    }

    proptest! {
        #[test]
        fn every_count_goes_where_its_channel_overlaps_a_bin(
            offset in -20.0..80.0_f64,
            width in prop_oneof![0.1..2.0_f64, 2.0..200.0_f64],
            bend in 0.0..1e-4_f64,
            counts in prop::collection::vec(0_u32..100_000, 1..800),
            bins in 1_usize..300,
        ) {
            let grid = Grid::new(bins);
            let edges = channel_edges(&[offset, width, bend], counts.len()).unwrap();
            let Ok(rebinning) = Rebinning::new(&grid, &edges) else {
                return Ok(());
            };
            let wanted = by_overlap(&grid, &edges, &counts);
            let mut whole = vec![0.0; bins];
            rebinning.add(&counts, &mut whole);
            let parts: Vec<f64> = counts.iter().copied().map(f64::from).collect();
            let parts = rebinning.rebin(&parts).unwrap();
            for ((wanted, whole), parts) in wanted.iter().zip(&whole).zip(&parts.counts) {
                prop_assert!((wanted - whole).abs() <= 1e-6 * wanted.max(1.0), "{wanted} {whole}");
                prop_assert!((wanted - parts).abs() <= 1e-6 * wanted.max(1.0), "{wanted} {parts}");
            }
        }
    }

    #[test]
    fn counts_of_another_length_are_refused_or_add_nothing() {
        let grid = Grid::new(8);
        let rebinning = Rebinning::new(&grid, &[0.0, 1_000.0, 2_000.0, 3_000.0]).unwrap();
        let finding = rebinning.rebin(&[1.0, 2.0]).unwrap_err();
        assert_eq!(finding.code, FindingCode::CalibrationOdd);
        let mut binned = [0.0; 8];
        rebinning.add(&[1, 2], &mut binned);
        assert_eq!(binned, [0.0; 8]);
    }
}
