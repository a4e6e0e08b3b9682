//! `portcullis log head` and `log entry`: the decision log, and a check of one entry that trusts nobody.

use portcullis_domain::codec::from_bytes;
use portcullis_domain::event::Leaf;
use portcullis_domain::id::{Digest, EntryNo};
use portcullis_domain::merkle::leaf_hash;
use portcullis_proto::v1;
use portcullis_proto::v1::log_service_client::LogServiceClient;
use portcullis_wire::event::encode_event;
use serde_json::{Value, json};

use super::client::Cluster;
use super::failure::{Exit, Failure};
use super::json::to_json;
use super::output::{Output, facts, section};
use super::utc::utc;

pub(super) async fn head(cluster: &Cluster, output: &mut Output) -> Result<Exit, Failure> {
    let head = get_head(cluster).await?;
    output.document(
        || to_json("GetHeadResponse", &head),
        |_| {
            let point = head.read_point.unwrap_or_default();
            facts(&[
                ("cluster", head.cluster_id.clone()),
                ("entries", head.size.to_string()),
                ("root", hex::encode(&head.root)),
                (
                    "answered by",
                    format!("node-{}, at command {}", point.node, point.command_number),
                ),
            ])
        },
    )?;
    Ok(Exit::Ok)
}

/// The head, from whichever node answers first.
pub(super) async fn get_head(cluster: &Cluster) -> Result<v1::GetHeadResponse, Failure> {
    let request = v1::GetHeadRequest {
        consistency: v1::Consistency::Local.into(),
    };
    cluster
        .read(request, async |channel, request| {
            LogServiceClient::new(channel).get_head(request).await
        })
        .await
}

pub(super) async fn entry(cluster: &Cluster, output: &mut Output, entry: u64) -> Result<Exit, Failure> {
    let answer = cluster
        .read(v1::GetEntryRequest { entry }, async |channel, request| {
            LogServiceClient::new(channel).get_entry(request).await
        })
        .await?;
    let check = Check::of(&answer, entry);
    output.document(|| check.json(&answer), |_| check.text(&answer))?;
    if check.troubles.is_empty() {
        return Ok(Exit::Ok);
    }
    Err(Failure::new(Exit::VerificationFailed, check.troubles.join("; "))
        .field(format!("log entry {entry}"))
        .next("ask the other nodes for the same entry, and compare: --endpoint HOST:PORT"))
}

/// An entry, checked here.
struct Check {
    hash: Digest,
    leaf: Option<Leaf>,
    troubles: Vec<String>,
}

impl Check {
    fn of(answer: &v1::GetEntryResponse, entry: u64) -> Self {
        let hash = leaf_hash(&answer.leaf);
        let mut troubles = Vec::new();
        if answer.entry != entry {
            troubles.push(format!("entry {} was sent instead", answer.entry));
        }
        if answer.leaf_hash.as_ref() != hash.0 {
            troubles.push(format!(
                "the leaf hashes to {hash}, and {} is claimed",
                hex::encode(&answer.leaf_hash)
            ));
        }
        let leaf = match from_bytes::<Leaf>(&answer.leaf) {
            Ok(leaf) => {
                troubles.extend(answer.event.as_ref().and_then(|event| differs(&leaf, event)));
                Some(leaf)
            }
            Err(error) => {
                troubles.push(format!("the leaf cannot be decoded: {error}"));
                None
            }
        };
        Self { hash, leaf, troubles }
    }

    /// What the leaf says, decoded here; without a leaf that can be decoded, what the node says about it.
    fn event(&self, answer: &v1::GetEntryResponse) -> Value {
        let decoded = self.leaf.as_ref().map(|leaf| encode_event(EntryNo(answer.entry), leaf));
        decoded
            .or_else(|| answer.event.clone())
            .map(|event| to_json("Event", &event))
            .unwrap_or_default()
    }

    fn json(&self, answer: &v1::GetEntryResponse) -> Value {
        let mut json = to_json("GetEntryResponse", answer);
        json["event"] = self.event(answer);
        json["computed_leaf_hash"] = json!(self.hash.to_string());
        json["verified"] = json!(self.troubles.is_empty());
        json["troubles"] = json!(self.troubles);
        json
    }

    fn text(&self, answer: &v1::GetEntryResponse) -> String {
        let verdict = if self.troubles.is_empty() {
            "the same as sent"
        } else {
            "see trouble"
        };
        let leaf = self.leaf.as_ref();
        let head = facts(&[
            ("entry", answer.entry.to_string()),
            ("leaf hash", format!("{}, computed here: {verdict}", self.hash)),
            ("trouble", self.troubles.join("; ")),
            ("command", leaf.map(|leaf| leaf.number.to_string()).unwrap_or_default()),
            ("time", leaf.map(|leaf| utc(leaf.at.0)).unwrap_or_default()),
            ("who", leaf.map(|leaf| leaf.actor.to_string()).unwrap_or_default()),
            (
                "what",
                leaf.map(|leaf| leaf.event.kind().to_owned()).unwrap_or_default(),
            ),
        ]);
        let event = self.event(answer);
        let bytes: Vec<String> = answer.leaf.chunks(48).map(hex::encode).collect();
        let leaf = section(&format!("Leaf, {} bytes", answer.leaf.len()), &bytes.join("\n"));
        format!("{head}\n{leaf}{}", section("Event", &format!("{event:#}")))
    }
}

/// How what a node says about a leaf differs from what the leaf says.
fn differs(leaf: &Leaf, event: &v1::Event) -> Option<String> {
    let subjects = leaf.event.subjects();
    let inspections: Vec<u64> = subjects.inspections.iter().map(|inspection| inspection.0).collect();
    let lane = subjects.lane.map(|lane| lane.0);
    let pairs = [
        ("command", leaf.number.0.to_string(), event.command_number.to_string()),
        ("time", leaf.at.0.to_string(), event.at_ms.to_string()),
        ("kind", leaf.event.kind().to_owned(), event.kind.clone()),
        (
            "inspections",
            format!("{inspections:?}"),
            format!("{:?}", event.inspections),
        ),
        ("lane", format!("{lane:?}"), format!("{:?}", event.lane)),
    ];
    pairs
        .into_iter()
        .find(|(_, leaf, said)| leaf != said)
        .map(|(what, leaf, said)| format!("the leaf's {what} is {leaf}, and {said} is claimed"))
}

#[cfg(test)]
mod tests {
    use portcullis_domain::event::{Actor, Event};
    use portcullis_domain::id::{CommandNo, LaneId, Timestamp};

    use super::*;

    fn answer() -> v1::GetEntryResponse {
        let leaf = Leaf {
            number: CommandNo(9),
            at: Timestamp(1_772_366_400_000),
            actor: Actor::Cluster,
            event: Event::LaneOpened { lane: LaneId(3) },
        };
        let bytes = leaf.bytes();
        v1::GetEntryResponse {
            entry: 4,
            leaf_hash: leaf_hash(&bytes).0.to_vec().into(),
            leaf: bytes.into(),
            event: Some(v1::Event {
                entry: 4,
                command_number: 9,
                at_ms: 1_772_366_400_000,
                kind: "lane_opened".to_owned(),
                lane: Some(3),
                detail_json: "{}".to_owned(),
                ..Default::default()
            }),
        }
    }

    #[test]
    fn an_honest_entry_is_verified_and_shown() {
        let answer = answer();
        let check = Check::of(&answer, 4);
        assert_eq!(check.troubles, Vec::<String>::new());
        assert_eq!(check.json(&answer)["verified"], json!(true));
        let text = check.text(&answer);
        assert!(text.contains("computed here: the same as sent"), "{text}");
        assert!(
            text.contains("what       lane_opened") && text.contains("2026-03-01T12:00:00.000Z"),
            "{text}"
        );
    }

    #[test]
    fn a_changed_leaf_hash_event_or_position_is_found() {
        let troubles = |spoil: fn(&mut v1::GetEntryResponse)| {
            let mut answer = answer();
            spoil(&mut answer);
            Check::of(&answer, 4).troubles
        };
        assert!(troubles(|answer| answer.leaf_hash = vec![0; 32].into())[0].contains("is claimed"));
        assert!(troubles(|answer| answer.leaf = answer.leaf.slice(1..))[0].contains("hashes to"));
        assert!(troubles(|answer| answer.entry = 5)[0].contains("entry 5"));
        let lie = troubles(|answer| answer.event.as_mut().unwrap().lane = Some(4));
        assert_eq!(lie, ["the leaf's lane is Some(3), and Some(4) is claimed"]);
    }
}
