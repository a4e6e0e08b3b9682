//! Numbers as one of at most 256 bins, so that a split is looked for among few thresholds.

/// Greatest number of bins of one feature.
pub(super) const BINS: usize = 256;

/// The upper ends of one feature's bins.
#[derive(Debug, Clone)]
pub(super) struct Cuts(Vec<i32>);

impl Cuts {
    /// Ends between values that occur, with about the same number of rows in each bin.
    pub(super) fn of(values: &[i32]) -> Self {
        let mut sorted = values.to_vec();
        sorted.sort_unstable();
        let mut cuts = Vec::new();
        let steps = sorted.windows(2).filter(|pair| pair.first() != pair.last()).count();
        // With few values every one has its own bin; with many, a bin is closed when it holds its share.
        let per_bin = if steps < BINS {
            1
        } else {
            sorted.len().div_ceil(BINS - 1)
        };
        let mut filled = 0;
        for pair in sorted.windows(2) {
            let &[low, high] = pair else { continue };
            filled += 1;
            if low != high && filled >= per_bin {
                // Half way, so that a value between the two falls to the nearer one.
                let middle = i64::from(low) + (i64::from(high) - i64::from(low)) / 2;
                cuts.push(if low == i32::MIN { low } else { middle as i32 });
                filled = 0;
            }
        }
        cuts.truncate(BINS - 1);
        Self(cuts)
    }

    /// The bin of a value.
    pub(super) fn bin(&self, value: i32) -> u8 {
        self.0.partition_point(|cut| *cut < value) as u8
    }

    /// The greatest value of a bin that is not the last.
    pub(super) fn threshold(&self, bin: usize) -> i32 {
        self.0.get(bin).copied().unwrap_or(i32::MAX)
    }

    /// How many bins there are.
    pub(super) fn count(&self) -> usize {
        self.0.len() + 1
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_lies_in_the_bins_up_to_a_threshold_just_if_it_is_not_above_it() {
        let mut values: Vec<i32> = (0..3_000).map(|i| (i * 7_919) % 1_009 - 300).collect();
        values.extend([i32::MIN, i32::MIN, i32::MAX, i32::MAX - 1]);
        let cuts = Cuts::of(&values);
        assert!(cuts.count() <= BINS);
        for value in values {
            for bin in 0..cuts.count() - 1 {
                assert_eq!(
                    usize::from(cuts.bin(value)) <= bin,
                    value <= cuts.threshold(bin),
                    "{value}, {bin}"
                );
            }
        }
    }

    #[test]
    fn few_values_have_a_bin_each_however_often_they_occur() {
        let values: Vec<i32> = [vec![5; 10_000], vec![7], vec![i32::MIN; 3]].concat();
        let cuts = Cuts::of(&values);
        assert_eq!(cuts.count(), 3);
        assert_eq!([i32::MIN, 5, 7].map(|value| cuts.bin(value)), [0, 1, 2]);
    }

    #[test]
    fn one_value_or_none_has_one_bin() {
        assert_eq!(Cuts::of(&[3; 9]).count(), 1);
        assert_eq!(Cuts::of(&[]).count(), 1);
    }
}
