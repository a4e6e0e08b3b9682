//! Which declared goods items are fraud, learned from past outcomes.
//!
//! - [`read_records`]: declarations with outcomes, from a file
//! - [`train`]: a model from them, for [`portcullis_detectors::risk`] to score with
//! - [`evaluate`]: how good it is on a later time
//!
//! Trees are boosted on single numbers: the smoothed odds of fraud of each value (of a field, or of some together), how often
//! it was seen, prices and masses. The odds of a training row never come from its own outcome. Rows are never drawn twice:
//! that ruins the calibration and buys no ranking.

mod booster;
mod calibrate;
mod encode;
mod evaluate;
mod measures;
mod records;
mod train;

pub use evaluate::{CriticalReport, RiskReport, evaluate, measure};
pub use measures::Interval;
pub use records::{COLUMNS, Record, RecordsError, read_records, records_from};
pub use train::{TrainError, TrainOptions, train, train_with};
