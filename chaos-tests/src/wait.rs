//! Waiting for a condition, with a deadline: nothing is slept for to be right.

use std::time::{Duration, Instant};

/// Probes until there is a value.
///
/// # Errors
/// If there is none in time; the error of the last probe says why.
pub async fn eventually<T>(
    what: &str,
    within: Duration,
    mut probe: impl AsyncFnMut() -> Result<T, String>,
) -> anyhow::Result<T> {
    let end = Instant::now() + within;
    loop {
        match probe().await {
            Ok(value) => return Ok(value),
            Err(why) if Instant::now() > end => anyhow::bail!("{what}: not within {within:?}: {why}"),
            Err(_) => tokio::time::sleep(Duration::from_millis(10)).await,
        }
    }
}
