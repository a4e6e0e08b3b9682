//! Being asked to stop by the operating system.

use tokio::signal::unix::{SignalKind, signal};

/// Takes SIGINT and SIGTERM from the call on, which is before the first poll: what a run has begun by then it can still put in
/// order. Resolves at the first of them.
///
/// # Errors
/// Signals cannot be received here.
pub(crate) fn asked_to_stop() -> anyhow::Result<impl Future<Output = ()>> {
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    Ok(async move {
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
        }
    })
}
