//! Events of the decision log as clients see them.

use portcullis_domain::event::{Actor, Leaf};
use portcullis_domain::id::EntryNo;
use portcullis_domain::merkle::leaf_hash;
use portcullis_proto::v1 as pb;

use crate::announcement::encode_digest;
use crate::json::event_json;
use crate::vocabulary::encode_actor_key;

/// Every kind of event, in the order of the log's tags.
pub const KINDS: &[&str] = &[
    "founded",
    "node_up",
    "node_down",
    "placed",
    "version_activated",
    "lane_defined",
    "lane_opened",
    "lane_closed",
    "policy_added",
    "model_added",
    "policy_activated",
    "policy_adopted",
    "announced",
    "announced_again",
    "profiled",
    "enqueued",
    "assigned",
    "pass_started",
    "evidence_recorded",
    "aborted",
    "concluded",
    "evidence_after_conclusion",
    "adjudicated",
    "departed",
    "node_enrolled",
    "node_drained",
    "node_undrained",
    "node_removed",
    "restored",
    "drift_alarmed",
    "chart_reset",
];

/// Writes one leaf of the log as an event.
pub fn encode_event(entry: EntryNo, leaf: &Leaf) -> pb::Event {
    let subjects = leaf.event.subjects();
    pb::Event {
        entry: entry.0,
        command_number: leaf.number.0,
        at_ms: leaf.at.0,
        kind: leaf.event.kind().to_owned(),
        actor: Some(encode_actor(&leaf.actor)),
        inspections: subjects.inspections.iter().map(|inspection| inspection.0).collect(),
        equipment_id: subjects
            .equipment
            .map(|equipment| equipment.to_string())
            .unwrap_or_default(),
        lane: subjects.lane.map(|lane| lane.0),
        detail_json: event_json(&leaf.event).to_string(),
    }
}

/// Writes one entry of the log: its exact bytes, their hash and what they say.
pub fn encode_entry(entry: EntryNo, bytes: &[u8], leaf: &Leaf) -> pb::GetEntryResponse {
    pb::GetEntryResponse {
        entry: entry.0,
        leaf: bytes.to_vec().into(),
        leaf_hash: encode_digest(&leaf_hash(bytes)),
        event: Some(encode_event(entry, leaf)),
    }
}

fn encode_actor(actor: &Actor) -> pb::Actor {
    use pb::actor::{Actor as Kind, PlacedActor};
    let kind = match actor {
        Actor::External {
            source,
            request,
            principal,
        } => Kind::External(pb::RequestContext {
            source: source.to_string(),
            request_id: request.to_string(),
            principal: principal.to_string(),
        }),
        Actor::Placed { key, epoch } => Kind::Placed(PlacedActor {
            key: Some(encode_actor_key(key)),
            epoch: epoch.0,
        }),
        Actor::Cluster => Kind::Cluster(true),
    };
    pb::Actor {
        actor: Some(kind),
        text: actor.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use portcullis_domain::id::{CommandNo, Timestamp};

    use super::*;
    use crate::samples;

    #[test]
    fn every_kind_of_event_is_listed_and_shown() {
        let mut kinds = Vec::new();
        for event in samples::events() {
            let leaf = Leaf {
                number: CommandNo(9),
                at: Timestamp(1_000),
                actor: Actor::Cluster,
                event,
            };
            let shown = encode_event(EntryNo(3), &leaf);
            assert_eq!(shown.kind, leaf.event.kind());
            let detail: serde_json::Value = serde_json::from_str(&shown.detail_json).unwrap();
            assert!(detail.is_object(), "{}", shown.kind);
            kinds.push(leaf.event.kind());
        }
        assert_eq!(kinds, KINDS);
    }

    #[test]
    fn an_entry_carries_the_bytes_that_its_hash_is_of() {
        for actor in samples::actors() {
            let text = actor.to_string();
            let event = samples::events().remove(0);
            let leaf = Leaf {
                number: CommandNo(9),
                at: Timestamp(1_000),
                actor,
                event,
            };
            let bytes = leaf.bytes();
            let shown = encode_entry(EntryNo(0), &bytes, &leaf);
            assert_eq!(shown.leaf, bytes);
            assert_eq!(shown.leaf_hash, leaf_hash(&bytes).0.as_slice());
            assert_eq!(shown.event.unwrap().actor.unwrap().text, text);
        }
    }
}
