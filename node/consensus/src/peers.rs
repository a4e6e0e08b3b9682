//! Connections to the other nodes, one for each node and class of traffic, and who is speaking to whom.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use portcullis_proto::internal::v1::raft_client::RaftClient;
use tonic::metadata::{MetadataMap, MetadataValue};
use tonic::transport::{Channel, Endpoint};
use tonic::{Request, Status};

use crate::ledger::{ClusterId, Incarnation};
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
const FROM_INCARNATION: &str = "portcullis-from-incarnation";
const TO_INCARNATION: &str = "portcullis-to-incarnation";

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

/// What the ledger knows of a node.
#[derive(Debug, Clone, Default)]
pub(crate) struct Known {
    /// The data folder that its id belongs to.
    pub(crate) incarnation: Option<Incarnation>,
    /// It was removed, and is no member any more.
    pub(crate) gone: bool,
    /// Where it is as a member. It may move.
    pub(crate) address: Option<String>,
}

/// Looks a node up in the ledger.
pub(crate) type Roster = Arc<dyn Fn(u64) -> Known + Send + Sync>;

/// Why a call is refused.
#[derive(Debug)]
pub(crate) struct NotForUs {
    /// For the caller.
    pub(crate) status: Status,
    /// This node's id belongs to another data folder: it must not take part.
    pub(crate) impostor: bool,
}

/// The connections of one node.
#[derive(Clone)]
pub(crate) struct Peers {
    connector: Connector,
    cluster: ClusterId,
    from: u64,
    incarnation: Incarnation,
    roster: Roster,
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
    pub(crate) fn new(
        connector: Connector,
        cluster: ClusterId,
        from: u64,
        incarnation: Incarnation,
        roster: Roster,
    ) -> Self {
        Peers {
            connector,
            cluster,
            from,
            incarnation,
            roster,
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

    /// Where a member is now.
    pub(crate) fn address_of(&self, node: u64) -> Option<String> {
        (self.roster)(node).address
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
        put(FROM_INCARNATION, self.incarnation.to_string());
        if let Some(known) = (self.roster)(to).incarnation {
            put(TO_INCARNATION, known.to_string());
        }
        request
    }

    /// Is this call for us?
    pub(crate) fn check(&self, metadata: &MetadataMap) -> Result<(), NotForUs> {
        let text = |key: &str| metadata.get(key).and_then(|value| value.to_str().ok());
        let refuse = |message: String, impostor: bool| {
            tracing::warn!(%message, "a call that is not for this node was refused");
            let status = Status::failed_precondition(message);
            Err(NotForUs { status, impostor })
        };
        for (key, ours) in [
            (CLUSTER, self.cluster.to_string()),
            (GROUP_KEY, GROUP.to_string()),
            (TO, self.from.to_string()),
        ] {
            let theirs = text(key);
            if theirs != Some(&ours) {
                let theirs = theirs.unwrap_or("nothing");
                let message = format!(
                    "{key} is {theirs} in the call, but {ours} here; the caller's list of members has the wrong address or \
                     belongs to another cluster"
                );
                return refuse(message, false);
            }
        }
        let ours = self.incarnation.to_string();
        if text(TO_INCARNATION).is_some_and(|theirs| theirs != ours) {
            return refuse(
                format!(
                    "node id {} belongs to another data folder; bring that folder back, or join as a new node with an empty \
                     data folder and no node.id",
                    self.from
                ),
                true,
            );
        }
        let from = text(FROM).and_then(|from| from.parse().ok()).unwrap_or(0);
        let known = (self.roster)(from);
        if known.gone {
            return refuse(format!("node {from} was removed from the cluster"), false);
        }
        let theirs = text(FROM_INCARNATION).and_then(|text| text.parse::<Incarnation>().ok());
        if known.incarnation.is_some() && theirs != known.incarnation {
            return refuse(
                format!("the call is from another data folder than the one that node id {from} belongs to"),
                false,
            );
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
        folder(cluster, node, 1, None)
    }

    /// A node with a data folder, whose ledger knows one folder for every node.
    fn folder(cluster: u8, node: u64, own: u8, known: Option<u8>) -> Peers {
        let incarnation = |byte: u8| Incarnation([byte; 16]);
        let own = incarnation(own);
        let known = Known {
            incarnation: known.map(incarnation),
            gone: false,
            address: None,
        };
        let roster = Arc::new(move |_| known.clone());
        Peers::new(tcp_connector(), ClusterId([cluster; 16]), node, own, roster)
    }

    #[test]
    fn a_call_is_taken_only_by_the_node_and_cluster_that_it_is_meant_for() {
        let call = peers(1, 1).request(2, ());
        peers(1, 2).check(call.metadata()).unwrap();
        for (other, key) in [(peers(1, 3), TO), (peers(2, 2), CLUSTER)] {
            let status = other.check(call.metadata()).unwrap_err().status;
            assert_eq!(status.code(), tonic::Code::FailedPrecondition);
            assert!(status.message().starts_with(key), "{}", status.message());
        }
        let nobody = MetadataMap::new();
        assert!(
            peers(1, 2)
                .check(&nobody)
                .unwrap_err()
                .status
                .message()
                .contains("is nothing in the call")
        );
    }

    #[test]
    fn a_wiped_folder_is_neither_asked_nor_heard_under_its_old_id() {
        let (bound, wiped) = (1, 2);
        // The others know node 2 by its first folder; the folder that is there now is another.
        let call = folder(1, 1, bound, Some(bound)).request(2, ());
        let refused = folder(1, 2, wiped, None).check(call.metadata()).unwrap_err();
        assert!(refused.impostor, "it has to stop: {}", refused.status);
        folder(1, 2, bound, Some(bound)).check(call.metadata()).unwrap();

        let call = folder(1, 2, wiped, None).request(1, ());
        let refused = folder(1, 1, bound, Some(bound)).check(call.metadata()).unwrap_err();
        assert!(!refused.impostor, "the node that is asked is in order");
        assert!(
            refused.status.message().contains("another data folder"),
            "{}",
            refused.status
        );
    }
}
