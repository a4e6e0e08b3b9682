//! What a simulated machine is made of: a disk and a store of indexes in memory, which do what real ones do at the worst
//! moment. For tests and for simulation; a node uses them through the same seams as the real ones.

mod disk;
mod file;
mod store;
#[cfg(test)]
mod tests;

pub use disk::{Call, Latency, ModelDisk};
pub use store::ModelStore;

/// A small generator, so that a failure can be repeated by its seed. Source: Vigna, `SplitMix64`.
#[derive(Debug, Clone, Default)]
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn coin(&mut self) -> bool {
        self.next().is_multiple_of(2)
    }

    /// Below `end`; 0 if that is 0.
    fn below(&mut self, end: u64) -> u64 {
        self.next().checked_rem(end).unwrap_or(0)
    }
}
