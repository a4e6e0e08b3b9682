//! Nodes and placements as operators see them.

use portcullis_domain::id::NodeId;
use portcullis_domain::placement::{ActorKey, NodeRecord, Placement};
use portcullis_domain::policy::Policy;
use portcullis_proto::v1 as pb;

use crate::announcement::encode_digest;
use crate::beat::{Beat, Load};
use crate::vocabulary::encode_actor_key;

/// Writes where an actor runs.
pub fn encode_placement(key: &ActorKey, placement: &Placement) -> pb::ActorPlacement {
    pb::ActorPlacement {
        key: Some(encode_actor_key(key)),
        node: placement.node.0,
        boot: placement.boot.0,
        epoch: placement.epoch.0,
        live: placement.live,
        text: key.to_string(),
    }
}

/// Writes a policy's name and digest.
pub fn encode_policy_name(policy: &Policy) -> pb::PolicyName {
    pb::PolicyName {
        name: policy.name.clone(),
        sha256: encode_digest(&policy.digest()),
    }
}

/// Writes what a node carries.
pub fn encode_node_load(load: &Load) -> pb::NodeLoad {
    let Load {
        actors,
        devices,
        memory_bytes,
    } = *load;
    pb::NodeLoad {
        actors,
        devices,
        memory_bytes,
    }
}

/// Writes a node from what the ledger knows and from its last heartbeat, if one has come. Role, vote, age of the heartbeat,
/// clock offset and whether it is drained or leaving are the answering node's to fill in.
pub fn encode_node(node: NodeId, record: &NodeRecord, beat: Option<&Beat>) -> pb::Node {
    // A heartbeat of another process says nothing about this one.
    let beat = beat.filter(|beat| beat.boot == record.boot);
    pb::Node {
        id: node.0,
        address: beat.map(|beat| beat.address.clone()).unwrap_or_default(),
        boot: record.boot.0,
        up: record.up,
        role: pb::NodeRole::Unspecified as i32,
        voter: false,
        term: beat.map_or(0, |beat| beat.term),
        applied_command: beat.map_or(0, |beat| beat.applied.0),
        log_size: beat.map_or(0, |beat| beat.head.size),
        root: beat.map(|beat| encode_digest(&beat.head.root)).unwrap_or_default(),
        heartbeat_age_ms: None,
        load: beat.map(|beat| encode_node_load(&beat.load)),
        capacity: record.capacity,
        version: record.version,
        since_ms: record.since.0,
        clock_offset_ms: None,
        drained: false,
        leaving: false,
    }
}

#[cfg(test)]
mod tests {
    use portcullis_domain::id::{BootId, Timestamp};

    use super::*;
    use crate::samples;

    #[test]
    fn a_placement_shows_its_key_in_words() {
        let shown = encode_placement(&ActorKey::Fusion(7), &samples::placement());
        assert_eq!(shown.text, "fusion/7");
        assert_eq!(shown.epoch, samples::placement().epoch.0);
        assert_eq!(encode_policy_name(&Policy::first()).sha256.len(), 32);
    }

    #[test]
    fn the_heartbeat_of_a_former_process_is_not_shown_as_the_nodes() {
        let beat = samples::beat();
        let mut record = NodeRecord {
            boot: beat.boot,
            up: true,
            capacity: 1,
            version: 1,
            since: Timestamp(5),
        };
        let shown = encode_node(beat.node, &record, Some(&beat));
        assert_eq!((shown.log_size, shown.address), (beat.head.size, beat.address.clone()));
        record.boot = BootId(beat.boot.0 + 1);
        let shown = encode_node(beat.node, &record, Some(&beat));
        assert_eq!((shown.log_size, shown.load), (0, None));
    }
}
