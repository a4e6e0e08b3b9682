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

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use rustix::process::{Signal, getpid, kill_process};

    use super::asked_to_stop;

    /// A signal that is not taken by then ends the test program.
    #[tokio::test]
    async fn a_signal_before_the_first_poll_is_taken() {
        for signal in [Signal::INT, Signal::TERM] {
            let asked = asked_to_stop();
            kill_process(getpid(), signal).unwrap();
            tokio::time::timeout(Duration::from_secs(10), asked)
                .await
                .unwrap_or_else(|_| panic!("{signal:?} is not told"));
        }
    }
}
