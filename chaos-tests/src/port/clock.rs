//! The port's clock as its devices have it: set by the nodes, carried on by tokio's.

use std::time::Duration;

use portcullis_domain::id::Timestamp;
use portcullis_proto::v1 as pb;
use prost::Message as _;
use tokio::time::Instant;

use super::client::Client;
use crate::history::Request;
use crate::write::Told;

/// Clocks are set again after so long: those of nodes are moved by faults, and drift.
const SET_EVERY: Duration = Duration::from_secs(10);

/// The port's time, as it was set last.
#[derive(Debug, Clone, Copy)]
pub(super) struct PortTime {
    port_ms: u64,
    set: Instant,
    speed: f64,
}

impl PortTime {
    /// A clock that shows this now, and passes so many times as fast as the real one.
    pub(super) fn starting(port_ms: u64, speed: f64) -> Self {
        Self {
            port_ms,
            set: Instant::now(),
            speed,
        }
    }

    /// Now, on the port's clock.
    pub(super) fn now(&self) -> Timestamp {
        let passed = self.set.elapsed().as_secs_f64() * 1000.0 * self.speed;
        Timestamp(self.port_ms.saturating_add(passed as u64))
    }

    /// How long so many milliseconds of the port take.
    pub(super) fn real_wait(&self, port_ms: u64) -> Duration {
        Duration::try_from_secs_f64(port_ms as f64 / 1000.0 / self.speed).unwrap_or(Duration::MAX)
    }
}

/// Sets the port's clock from the nodes, again and again. It takes the middle one, so that one node that is off moves nobody.
pub(super) async fn keep(mut client: Client) {
    loop {
        let mut told = Vec::new();
        for node in client.shared.nodes.ids() {
            let request = std::sync::Arc::new(Request::GetStatus(pb::GetStatusRequest {}));
            let Told::Applied(bytes) = client.shared.ask(&client.name, node, &request).await else {
                continue;
            };
            if let Ok(status) = pb::GetStatusResponse::decode(&*bytes) {
                told.push((status.port_time_ms, status.port_speed_permille));
            }
        }
        told.sort_unstable();
        let wait = match told.get(told.len() / 2) {
            Some((port_ms, speed_permille)) => {
                let speed = f64::from((*speed_permille).max(1)) / 1000.0;
                let time = PortTime::starting(*port_ms, speed);
                client.shared.clock.send_replace(Some(time));
                SET_EVERY
            }
            None => client.shared.options.pause,
        };
        client.pause(wait).await;
    }
}
