//! What the process writes about itself: structured log lines on standard error.

use portcullis_config::{LogFormat, LogSection};
use tracing_subscriber::EnvFilter;

/// Starts logging for a node. Standard output stays free for data.
///
/// # Errors
/// When the filter cannot be read.
pub fn start(log: &LogSection) -> anyhow::Result<()> {
    let filter = EnvFilter::try_new(&log.filter)
        .map_err(|error| anyhow::anyhow!("log.filter {:?} cannot be read: {error}", log.filter))?;
    let lines = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_target(true);
    // A second start in one process (tests) keeps the first.
    let _ = match log.format {
        LogFormat::Text => lines.with_ansi(false).try_init(),
        LogFormat::Json => lines.json().flatten_event(true).try_init(),
    };
    Ok(())
}

/// Starts logging for a command of the command line: warnings, or what `PORTCULLIS_LOG` says.
pub fn start_quiet() {
    let filter = EnvFilter::try_from_env("PORTCULLIS_LOG").unwrap_or_else(|_| EnvFilter::new("warn"));
    let _ = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .try_init();
}
