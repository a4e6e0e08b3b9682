//! Messages of the contract as JSON, made from their descriptors, so that no field can be forgotten.
//!
//! Names are those of the `.proto` files. Digests and other bytes are hex, enums are their words in lower case, numbers
//! are numbers, also those of 64 bits. An absent optional field is left out; everything else is always there.

use std::sync::OnceLock;

use portcullis_proto::FILE_DESCRIPTOR_SET;
use prost::Message;
use prost_reflect::{DescriptorPool, DynamicMessage, FieldDescriptor, Kind, ReflectMessage as _, Value as Field};
use serde_json::{Map, Value, json};

/// A message as JSON. `name` is its name within `portcullis.v1`.
pub(super) fn to_json<M: Message>(name: &str, message: &M) -> Value {
    let descriptor = pool().get_message_by_name(&format!("portcullis.v1.{name}"));
    let dynamic =
        descriptor.and_then(|descriptor| DynamicMessage::decode(descriptor, message.encode_to_vec().as_slice()).ok());
    // The message was generated from the same descriptors; a name that is not there is a slip of this crate's.
    debug_assert!(dynamic.is_some(), "{name} is a message of portcullis.v1");
    dynamic.map_or(Value::Null, |dynamic| object(&dynamic))
}

fn pool() -> &'static DescriptorPool {
    static POOL: OnceLock<DescriptorPool> = OnceLock::new();
    POOL.get_or_init(|| DescriptorPool::decode(FILE_DESCRIPTOR_SET).unwrap_or_default())
}

fn object(message: &DynamicMessage) -> Value {
    let mut fields = Map::new();
    for field in message.descriptor().fields() {
        if field.supports_presence() && !message.has_field(&field) {
            continue;
        }
        let one = value(&message.get_field(&field), &field);
        match (field.name(), &one) {
            // JSON within JSON is of no use to anybody.
            ("detail_json", Value::String(text)) => {
                let detail = serde_json::from_str::<Value>(text).unwrap_or_else(|_| json!(text));
                fields.insert("detail".to_owned(), detail);
            }
            (name, _) => {
                fields.insert(name.to_owned(), one);
            }
        }
    }
    Value::Object(fields)
}

fn value(field: &Field, of: &FieldDescriptor) -> Value {
    match field {
        Field::Bool(value) => json!(value),
        Field::I32(value) => json!(value),
        Field::I64(value) => json!(value),
        Field::U32(value) => json!(value),
        Field::U64(value) => json!(value),
        Field::F32(value) => json!(value),
        Field::F64(value) => json!(value),
        Field::String(value) => json!(value),
        Field::Bytes(value) => json!(hex::encode(value)),
        Field::EnumNumber(number) => word(*number, of),
        Field::Message(message) => object(message),
        Field::List(values) => values.iter().map(|one| value(one, of)).collect(),
        Field::Map(entries) => entries
            .iter()
            .map(|(key, one)| (format!("{key:?}"), value(one, of)))
            .collect(),
    }
}

/// `STAGE_UNDER_REVIEW` of `Stage` is `under_review`.
fn word(number: i32, of: &FieldDescriptor) -> Value {
    let Kind::Enum(descriptor) = of.kind() else {
        return json!(number);
    };
    let Some(name) = descriptor
        .get_value(number)
        .map(|value| value.name().to_ascii_lowercase())
    else {
        return json!(number);
    };
    let prefix: String = descriptor
        .name()
        .chars()
        .enumerate()
        .flat_map(|(at, c)| {
            let gap = (at > 0 && c.is_ascii_uppercase()).then_some('_');
            gap.into_iter().chain([c.to_ascii_lowercase()])
        })
        .chain(['_'])
        .collect();
    json!(name.strip_prefix(&prefix).unwrap_or(&name))
}

#[cfg(test)]
mod tests {
    use portcullis_proto::v1;

    use super::*;

    #[test]
    fn words_digests_and_details_read_as_people_write_them() {
        let event = v1::Event {
            entry: 41,
            kind: "concluded".to_owned(),
            lane: Some(3),
            detail_json: r#"{"tier":"release"}"#.to_owned(),
            ..Default::default()
        };
        assert_eq!(
            to_json("Event", &event),
            json!({"entry": 41, "command_number": 0, "at_ms": 0, "kind": "concluded", "inspections": [],
                   "equipment_id": "", "lane": 3, "detail": {"tier": "release"}})
        );
        let inspection = to_json(
            "Inspection",
            &v1::Inspection {
                stage: v1::Stage::UnderReview as i32,
                number: u64::MAX,
                ..Default::default()
            },
        );
        assert_eq!(
            (&inspection["stage"], &inspection["number"]),
            (&json!("under_review"), &json!(u64::MAX))
        );
        let head = to_json(
            "GetHeadResponse",
            &v1::GetHeadResponse {
                root: vec![0xab, 1].into(),
                ..Default::default()
            },
        );
        assert_eq!(head["root"], json!("ab01"));
    }

    #[test]
    fn an_absent_field_is_left_out_and_an_unknown_word_is_its_number() {
        let node = to_json(
            "Node",
            &v1::Node {
                role: 77,
                ..Default::default()
            },
        );
        assert_eq!(node.get("heartbeat_age_ms"), None);
        assert_eq!(node["role"], json!(77));
    }
}
