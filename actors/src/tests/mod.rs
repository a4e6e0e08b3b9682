//! The actors together, on fake ports over a real ledger, with time that passes only when nobody has anything to do.

mod cluster;
mod lanes;
mod policies;
mod port;
mod waking;
