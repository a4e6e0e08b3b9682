//! Connections to the other nodes, one for each node and class of traffic, and who is speaking to whom.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use portcullis_proto::internal::v1::raft_client::RaftClient;
use tonic::metadata::{MetadataMap, MetadataValue};
use tonic::transport::{Channel, Endpoint};
use tonic::{Request, Status};

use crate::ledger::ClusterId;
use crate::types::GROUP;

/// Makes a connection to an address (`host:port`), or something that will connect when it is used. Called once for each
/// class of traffic to a node.
pub type Connector = Arc<dyn Fn(&str) -> Channel + Send + Sync>;

/// The largest message between nodes, bytes.
pub const MESSAGE_BYTES: usize = 16 << 20;
/// The largest piece of a snapshot, bundle or blob, bytes.
pub(crate) const PIECE_BYTES: usize = 1 << 20;

const CLUSTER: &str = "portcullis-cluster";
const GROUP_KEY: &str = "portcullis-group";
const TO: &str = "portcullis-to";
const FROM: &str = "portcullis-from";

/// What a connection is for. A snapshot or a burst of entries must not delay a heartbeat.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Class {
    /// Votes, heartbeats, read indexes.
    Control,
    /// Entries.
    Data,
    /// Commands on their way to the leader.
    Forward,
    /// Snapshots, bundles, blobs.
    Bulk,
}

/// The connections of one node.
#[derive(Clone)]
pub(crate) struct Peers {
    connector: Connector,
    cluster: ClusterId,
    from: u64,
    channels: Arc<Mutex<HashMap<(String, Class), Channel>>>,
}

impl fmt::Debug for Peers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Peers")
            .field("cluster", &self.cluster)
            .field("from", &self.from)
            .finish_non_exhaustive()
    }
}

impl Peers {
    pub(crate) fn new(connector: Connector, cluster: ClusterId, from: u64) -> Self {
        Peers {
            connector,
            cluster,
            from,
            channels: Arc::default(),
        }
    }

    pub(crate) fn node(&self) -> u64 {
        self.from
    }

    /// A client for a node. Does not connect yet.
    pub(crate) fn client(&self, address: &str, class: Class) -> RaftClient<Channel> {
        let mut channels = self.channels.lock().unwrap_or_else(PoisonError::into_inner);
        let channel = channels
            .entry((address.to_owned(), class))
            .or_insert_with(|| (self.connector)(address))
            .clone();
        RaftClient::new(channel)
            .max_decoding_message_size(MESSAGE_BYTES)
            .max_encoding_message_size(MESSAGE_BYTES)
    }

    /// A call that says who speaks to whom.
    pub(crate) fn request<T>(&self, to: u64, message: T) -> Request<T> {
        let mut request = Request::new(message);
        let metadata = request.metadata_mut();
        let mut put = |key: &'static str, value: String| {
            if let Ok(value) = MetadataValue::try_from(value) {
                metadata.insert(key, value);
            }
        };
        put(CLUSTER, self.cluster.to_string());
        put(GROUP_KEY, GROUP.to_string());
        put(TO, to.to_string());
        put(FROM, self.from.to_string());
        request
    }

    /// Is this call for us?
    pub(crate) fn check(&self, metadata: &MetadataMap) -> Result<(), Status> {
        for (key, ours) in [
            (CLUSTER, self.cluster.to_string()),
            (GROUP_KEY, GROUP.to_string()),
            (TO, self.from.to_string()),
        ] {
            let theirs = metadata.get(key).and_then(|value| value.to_str().ok());
            if theirs != Some(&ours) {
                let theirs = theirs.unwrap_or("nothing");
                let message = format!(
                    "{key} is {theirs} in the call, but {ours} here; the caller's list of members has the wrong address or \
                     belongs to another cluster"
                );
                tracing::warn!(%message, "a call that is not for this node was refused");
                return Err(Status::failed_precondition(message));
            }
        }
        Ok(())
    }
}

/// Connects over TCP without encryption, with the settings that consensus needs: no delay, a dead peer is noticed within
/// seconds, windows that do not bound a snapshot.
pub fn tcp_connector() -> Connector {
    Arc::new(|address| {
        let endpoint = Endpoint::from_shared(format!("http://{address}")).unwrap_or_else(|_| {
            // An address that is not one fails when it is dialled, like one that nobody listens on.
            tracing::error!(address, "not a valid address");
            Endpoint::from_static("http://0.0.0.0:0")
        });
        tuned(endpoint).connect_lazy()
    })
}

/// The settings of [`tcp_connector`], for connectors that add TLS.
pub fn tuned(endpoint: Endpoint) -> Endpoint {
    endpoint
        .connect_timeout(Duration::from_millis(500))
        .tcp_nodelay(true)
        .tcp_keepalive(Some(Duration::from_secs(10)))
        .http2_keep_alive_interval(Duration::from_secs(2))
        .keep_alive_timeout(Duration::from_secs(2))
        .keep_alive_while_idle(true)
        .initial_stream_window_size(8 << 20)
        .initial_connection_window_size(32 << 20)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn peers(cluster: u8, node: u64) -> Peers {
        Peers::new(tcp_connector(), ClusterId([cluster; 16]), node)
    }

    #[test]
    fn a_call_is_taken_only_by_the_node_and_cluster_that_it_is_meant_for() {
        let call = peers(1, 1).request(2, ());
        peers(1, 2).check(call.metadata()).unwrap();
        for (other, key) in [(peers(1, 3), TO), (peers(2, 2), CLUSTER)] {
            let status = other.check(call.metadata()).unwrap_err();
            assert_eq!(status.code(), tonic::Code::FailedPrecondition);
            assert!(status.message().starts_with(key), "{}", status.message());
        }
        let nobody = MetadataMap::new();
        assert!(
            peers(1, 2)
                .check(&nobody)
                .unwrap_err()
                .message()
                .contains("is nothing in the call")
        );
    }
}
