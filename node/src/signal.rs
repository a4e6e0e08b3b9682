//! Being asked to stop by the operating system.

use tokio::signal::unix::{SignalKind, signal};

/// Takes SIGINT and SIGTERM from the call on, which is before the first poll: what this process has begun by then it can still
/// put in order. Resolves at the first of them.
pub fn asked_to_stop() -> impl Future<Output = ()> + Send + 'static {
    let taken = signal(SignalKind::interrupt()).and_then(|interrupt| Ok((interrupt, signal(SignalKind::terminate())?)));
    async move {
        let (mut interrupt, mut terminate) = match taken {
            Ok(taken) => taken,
            Err(error) => {
                tracing::error!("signals cannot be received ({error}); stop this process with SIGKILL");
                return std::future::pending().await;
            }
        };
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
        }
    }
}
