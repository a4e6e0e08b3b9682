//! Holds commands back while leadership is handed over: they wait for the next leader instead of failing.

use std::sync::Arc;

use tokio::sync::watch;
use tokio::time::Instant;

/// Open unless somebody holds it.
#[derive(Debug, Clone)]
pub(crate) struct Gate(Arc<watch::Sender<usize>>);

/// As long as it lives the gate is shut.
#[derive(Debug)]
pub(crate) struct Held {
    /// Since when.
    pub(crate) since: Instant,
    gate: Gate,
}

impl Default for Gate {
    fn default() -> Self {
        Gate(Arc::new(watch::channel(0).0))
    }
}

impl Gate {
    /// Shuts the gate.
    pub(crate) fn hold(&self) -> Held {
        self.0.send_modify(|holders| *holders += 1);
        Held {
            since: Instant::now(),
            gate: self.clone(),
        }
    }

    /// Resolves when nobody holds it.
    pub(crate) async fn opened(&self) {
        // The sender lives as long as this gate.
        let _ = self.0.subscribe().wait_for(|holders| *holders == 0).await;
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.gate.0.send_modify(|holders| *holders -= 1);
    }
}

#[cfg(test)]
mod tests {
    use futures::FutureExt;

    use super::*;

    #[tokio::test]
    async fn a_gate_opens_when_the_last_holder_lets_go() {
        let gate = Gate::default();
        gate.opened().await;
        let (first, second) = (gate.hold(), gate.hold());
        drop(first);
        assert!(gate.opened().now_or_never().is_none());
        drop(second);
        gate.opened().await;
    }
}
