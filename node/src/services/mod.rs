//! The gRPC services that port operators, terminal systems, devices, auditors and SREs call. No rule of screening is here:
//! requests become commands, outcomes and views become answers.

mod archive;
mod attach;
mod cluster;
mod homes;
mod inspections;
mod lanes;
mod log;
mod membership;
mod policies;
mod submit;
mod watch;

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::time::Duration;

use portcullis_config::NodeConfig;
use portcullis_consensus::{Connector, Consensus, Consistency, View};
use portcullis_domain::command::{CommandBody, ExternalCommand};
use portcullis_domain::id::{BootId, ClusterId};
use portcullis_domain::outcome::{Applied, Outcome, Refusal, RefusalReason};
use portcullis_proto::v1 as pb;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tonic::{Request, Status};

use crate::beat::Beats;
use crate::clock::PortTime;
use crate::link::{HostSlot, Links};
use crate::ports::unstamped;

/// What the services stand on.
#[derive(Clone)]
pub struct Gateway {
    inner: Arc<Inner>,
}

struct Inner {
    cluster: ClusterId,
    /// Where this node is reached.
    address: String,
    connector: Connector,
    boot: BootId,
    config: NodeConfig,
    consensus: Consensus,
    beats: Beats,
    links: Links,
    host: HostSlot,
    homes: tokio::sync::watch::Receiver<homes::Homes>,
    port_time: PortTime,
    watchers: Arc<Semaphore>,
    devices: Arc<Semaphore>,
    attached: Arc<AtomicU32>,
    started: tokio::time::Instant,
    nonce: AtomicU64,
    stop: CancellationToken,
}

/// Parts of a running process that the services use.
pub struct Parts {
    /// The cluster.
    pub cluster: ClusterId,
    /// Where this node is reached.
    pub address: String,
    /// Reaches other nodes.
    pub connector: Connector,
    /// This process.
    pub boot: BootId,
    /// How it is configured.
    pub config: NodeConfig,
    /// The replicated core.
    pub consensus: Consensus,
    /// Heartbeats.
    pub beats: Beats,
    /// Links to the other nodes.
    pub links: Links,
    /// The actors here.
    pub host: HostSlot,
    /// The port's clock.
    pub port_time: PortTime,
    /// Counts attached devices.
    pub attached: Arc<AtomicU32>,
    /// Ends every stream.
    pub stop: CancellationToken,
}

impl Gateway {
    /// Services over these parts.
    pub fn new(parts: Parts) -> Self {
        let limits = &parts.config.limits;
        Self {
            inner: Arc::new(Inner {
                watchers: Arc::new(Semaphore::new(limits.watchers)),
                devices: Arc::new(Semaphore::new(limits.attached_devices)),
                attached: parts.attached,
                cluster: parts.cluster,
                address: parts.address,
                connector: parts.connector,
                boot: parts.boot,
                config: parts.config,
                homes: homes::follow(parts.consensus.clone(), parts.stop.clone()),
                consensus: parts.consensus,
                beats: parts.beats,
                links: parts.links,
                host: parts.host,
                port_time: parts.port_time,
                started: tokio::time::Instant::now(),
                nonce: AtomicU64::new(1),
                stop: parts.stop,
            }),
        }
    }

    /// Proposes a command from outside and waits for its outcome.
    async fn write(&self, command: ExternalCommand, asked: &Asked) -> Result<Applied, Status> {
        let command = unstamped(CommandBody::External(command), asked.traceparent.clone());
        let answers = self.inner.consensus.propose_within(vec![command], asked.within).await;
        match answers.into_iter().next() {
            Some(Ok(Outcome::Applied(applied))) => Ok(applied),
            Some(Ok(Outcome::Refused(refusal))) => Err(portcullis_wire::status::refused(&refusal)),
            Some(Err(error)) => Err(failed_write(&error)),
            None => Err(portcullis_wire::status::unknown("the node is stopping")),
        }
    }

    /// A view that has seen what the request says it must have.
    async fn view(&self, consistency: i32, asked: &Asked) -> Result<Viewed, Status> {
        let consistency = decode_consistency(consistency)?;
        let read = self.inner.consensus.read_within(consistency, asked.within).await;
        let view = read.map_err(|error| failed_read(&error))?;
        let read_point = self.read_point(&view, consistency);
        Ok(Viewed { view, read_point })
    }

    fn read_point(&self, view: &View, consistency: Consistency) -> pb::ReadPoint {
        pb::ReadPoint {
            node: self.inner.config.node.id.0,
            command_number: view.ledger.number().0,
            log_size: view.log_size,
            linearizable: consistency != Consistency::Local,
        }
    }

    fn next_nonce(&self) -> u64 {
        self.inner.nonce.fetch_add(1, Ordering::Relaxed)
    }
}

/// What a read sees, and as of when.
struct Viewed {
    view: Arc<View>,
    read_point: pb::ReadPoint,
}

fn decode_consistency(value: i32) -> Result<Consistency, Status> {
    match pb::Consistency::try_from(value) {
        Ok(pb::Consistency::Unspecified | pb::Consistency::Local) => Ok(Consistency::Local),
        Ok(pb::Consistency::Lease) => Ok(Consistency::Lease),
        Ok(pb::Consistency::Quorum) => Ok(Consistency::Quorum),
        Err(_) => Err(portcullis_wire::status::invalid(&portcullis_wire::InvalidField::new(
            "consistency",
            format!("{value} is none of 1 local, 2 lease, 3 quorum"),
        ))),
    }
}

/// What every call brings beside its message.
struct Asked {
    traceparent: String,
    within: Duration,
}

impl Asked {
    /// Reads trace context and deadline; a call without a deadline gets the configured one, which is also the longest.
    fn of<T>(gateway: &Gateway, request: &Request<T>) -> Self {
        let longest = gateway.inner.config.limits.call;
        let stated = request
            .metadata()
            .get("grpc-timeout")
            .and_then(|value| grpc_timeout(value.to_str().ok()?));
        let traceparent = request
            .metadata()
            .get("traceparent")
            .and_then(|value| value.to_str().ok())
            .filter(|value| value.len() <= 64)
            .unwrap_or_default()
            .to_owned();
        // A little less than the caller waits, so that our answer, also "unknown", still reaches it.
        let within = stated.map_or(longest, |stated| stated.min(longest)).mul_f64(0.9);
        Self { traceparent, within }
    }
}

/// The `grpc-timeout` header: up to eight digits and a unit.
fn grpc_timeout(text: &str) -> Option<Duration> {
    let (digits, unit) = text.split_at_checked(text.len().checked_sub(1)?)?;
    if digits.is_empty() || digits.len() > 8 {
        return None;
    }
    let count: u64 = digits.parse().ok()?;
    match unit {
        "H" => Some(Duration::from_secs(count * 3600)),
        "M" => Some(Duration::from_secs(count * 60)),
        "S" => Some(Duration::from_secs(count)),
        "m" => Some(Duration::from_millis(count)),
        "u" => Some(Duration::from_micros(count)),
        "n" => Some(Duration::from_nanos(count)),
        _ => None,
    }
}

fn failed_write(error: &portcullis_consensus::ProposeError) -> Status {
    use portcullis_consensus::ProposeError;
    match error {
        ProposeError::NotApplied {
            reason,
            detail,
            retry_after,
        } => portcullis_wire::status::not_applied(reason.as_str(), detail, *retry_after),
        ProposeError::Stopped { detail } => {
            portcullis_wire::status::not_applied("NODE_STOPPED", detail, Duration::from_millis(200))
        }
        ProposeError::Unknown { detail } => portcullis_wire::status::unknown(detail),
    }
}

/// A read that the replicated core could not answer.
fn failed_read(error: &portcullis_consensus::ReadError) -> Status {
    use portcullis_consensus::ReadError;
    let retry_after = Duration::from_millis(200);
    let reason = match error {
        ReadError::NoQuorum { .. } => "NO_QUORUM",
        ReadError::NotHere { .. } => "ENTRY_NOT_HERE",
        ReadError::IndexBehind { .. } => "INDEX_NOT_READY",
        ReadError::Stopped => "NODE_STOPPED",
        ReadError::Storage(_) => return portcullis_wire::status::internal(&error.to_string()),
    };
    portcullis_wire::status::unavailable(reason, &error.to_string(), retry_after)
}

/// Something that a request names and that is not there.
fn absent(reason: RefusalReason, field: &str, detail: String) -> Status {
    portcullis_wire::status::refused(&Refusal::new(reason, field, detail))
}

/// A limit of this node that is reached for now.
fn full(reason: &str, detail: &str) -> Status {
    portcullis_wire::status::unavailable(reason, detail, Duration::from_secs(1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_timeout_header_is_read_and_nonsense_is_not() {
        assert_eq!(grpc_timeout("250m"), Some(Duration::from_millis(250)));
        assert_eq!(grpc_timeout("2S"), Some(Duration::from_secs(2)));
        for nonsense in ["", "S", "123456789S", "5x", "-1S", "5é"] {
            assert_eq!(grpc_timeout(nonsense), None, "{nonsense}");
        }
    }
}
