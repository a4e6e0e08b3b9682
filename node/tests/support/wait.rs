//! Waiting for a condition, with a deadline: nothing is slept for to be right.

use std::time::{Duration, Instant};

/// Nothing that is waited for may take longer, also on a machine that does other things.
pub(crate) const DEADLINE: Duration = Duration::from_secs(40);

/// Probes until there is a value. The error of the last probe says why there was none.
pub(crate) async fn eventually<T>(what: &str, mut probe: impl AsyncFnMut() -> Result<T, String>) -> T {
    let end = Instant::now() + DEADLINE;
    loop {
        match probe().await {
            Ok(value) => return value,
            Err(why) if Instant::now() > end => panic!("{what}: not within {DEADLINE:?}: {why}"),
            Err(_) => tokio::time::sleep(Duration::from_millis(20)).await,
        }
    }
}
