//! What one entry looks like inside a record of the Raft log.
//!
//! ```text
//! u8   format        1
//! u16  group         big-endian
//! u8   kind          0 blank, 1 commands, 2 membership
//! u32  length        big-endian, of what follows
//! ..   body
//! ```
//! The record around it (type, log id, checksum) is the log's own. The same `kind` and `body` travel between nodes.

use std::collections::{BTreeMap, BTreeSet};
use std::io;

use bytes::{Buf, BufMut, Bytes};
use openraft::EntryPayload;

use crate::types::{GROUP, GroupId, LogId, Member, Membership, Payload, Proposal, log_id};

/// Version of this layout.
pub(crate) const RECORD_FORMAT: u8 = 1;

const BLANK: u8 = 0;
const COMMANDS: u8 = 1;
const MEMBERSHIP: u8 = 2;

/// An entry's payload on its way to or from bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Record {
    pub(crate) group: GroupId,
    pub(crate) kind: u8,
    pub(crate) body: Bytes,
}

impl Record {
    pub(crate) fn of(payload: &Payload) -> Self {
        let (kind, body) = match payload {
            EntryPayload::Blank => (BLANK, Bytes::new()),
            EntryPayload::Normal(Proposal(bytes)) => (COMMANDS, bytes.clone()),
            EntryPayload::Membership(membership) => {
                let mut body = Vec::new();
                put_membership(&mut body, membership);
                (MEMBERSHIP, Bytes::from(body))
            }
        };
        Record {
            group: GROUP,
            kind,
            body,
        }
    }

    pub(crate) fn payload(&self) -> io::Result<Payload> {
        match self.kind {
            BLANK if self.body.is_empty() => Ok(EntryPayload::Blank),
            COMMANDS => Ok(EntryPayload::Normal(Proposal(self.body.clone()))),
            MEMBERSHIP => {
                let mut rest = self.body.clone();
                let membership = get_membership(&mut rest)?;
                nothing_left(&rest, "membership entry")?;
                Ok(EntryPayload::Membership(membership))
            }
            kind => Err(invalid(format!("log entry has unknown kind {kind}"))),
        }
    }

    /// Size of the body: what a cache or a message limit has to count.
    pub(crate) fn len(&self) -> usize {
        self.body.len()
    }

    pub(crate) fn encode(&self, out: &mut impl io::Write) -> io::Result<usize> {
        let length = u32::try_from(self.body.len()).map_err(|_| invalid("log entry is larger than 4 GiB"))?;
        let mut head = [0_u8; 8];
        (&mut head[..]).put_u8(RECORD_FORMAT);
        (&mut head[1..]).put_u16(self.group);
        (&mut head[3..]).put_u8(self.kind);
        (&mut head[4..]).put_u32(length);
        out.write_all(&head)?;
        out.write_all(&self.body)?;
        Ok(head.len() + self.body.len())
    }

    pub(crate) fn decode(input: &mut impl io::Read) -> io::Result<Self> {
        let mut head = [0_u8; 8];
        input.read_exact(&mut head)?;
        let mut fields = &head[..];
        let format = fields.get_u8();
        if format != RECORD_FORMAT {
            return Err(invalid(format!(
                "log record has format {format}, this program reads {RECORD_FORMAT}"
            )));
        }
        let group = fields.get_u16();
        if group != GROUP {
            return Err(invalid(format!(
                "log record belongs to group {group}, this log to {GROUP}"
            )));
        }
        let kind = fields.get_u8();
        let length = fields.get_u32() as usize;
        let mut body = Vec::new();
        io::Read::read_to_end(&mut io::Read::take(input, length as u64), &mut body)?;
        if body.len() != length {
            // The log cuts a tail that ends early, so it must see it as just that.
            return Err(io::Error::new(
                io::ErrorKind::UnexpectedEof,
                "log record ends inside its body",
            ));
        }
        Ok(Record {
            group,
            kind,
            body: Bytes::from(body),
        })
    }
}

pub(crate) fn put_log_id(out: &mut impl BufMut, id: Option<&LogId>) {
    match id {
        None => out.put_u8(0),
        Some(id) => {
            out.put_u8(1);
            out.put_u64(id.leader_id.term);
            out.put_u64(id.leader_id.node_id);
            out.put_u64(id.index);
        }
    }
}

pub(crate) fn get_log_id(input: &mut impl Buf) -> io::Result<Option<LogId>> {
    match input.try_get_u8().map_err(short)? {
        0 => Ok(None),
        1 => {
            let term = input.try_get_u64().map_err(short)?;
            let node = input.try_get_u64().map_err(short)?;
            let index = input.try_get_u64().map_err(short)?;
            Ok(Some(log_id(term, node, index)))
        }
        other => Err(invalid(format!("log id has presence byte {other}"))),
    }
}

pub(crate) fn put_membership(out: &mut impl BufMut, membership: &Membership) {
    let configs = membership.get_joint_config();
    out.put_u32(configs.len() as u32);
    for config in configs {
        out.put_u32(config.len() as u32);
        for id in config {
            out.put_u64(*id);
        }
    }
    let nodes: Vec<_> = membership.nodes().collect();
    out.put_u32(nodes.len() as u32);
    for (id, member) in nodes {
        out.put_u64(*id);
        out.put_u32(member.address.len() as u32);
        out.put_slice(member.address.as_bytes());
    }
}

pub(crate) fn get_membership(input: &mut Bytes) -> io::Result<Membership> {
    let mut configs = Vec::new();
    for _ in 0..input.try_get_u32().map_err(short)? {
        let mut config = BTreeSet::new();
        for _ in 0..input.try_get_u32().map_err(short)? {
            config.insert(input.try_get_u64().map_err(short)?);
        }
        configs.push(config);
    }
    let mut nodes = BTreeMap::new();
    for _ in 0..input.try_get_u32().map_err(short)? {
        let id = input.try_get_u64().map_err(short)?;
        let address = get_bytes(input)?;
        let address =
            String::from_utf8(address.to_vec()).map_err(|_| invalid(format!("address of node {id} is not UTF-8")))?;
        nodes.insert(id, Member { address });
    }
    if configs.is_empty() && nodes.is_empty() {
        return Ok(Membership::default());
    }
    Membership::new(configs, nodes).map_err(|error| invalid(format!("membership: {error}")))
}

/// Bytes with a u32 length before them.
pub(crate) fn get_bytes(input: &mut Bytes) -> io::Result<Bytes> {
    let length = input.try_get_u32().map_err(short)? as usize;
    if length > input.remaining() {
        return Err(invalid(format!(
            "a field of {length} bytes with {} bytes left",
            input.remaining()
        )));
    }
    Ok(input.split_to(length))
}

pub(crate) fn nothing_left(rest: &impl Buf, what: &str) -> io::Result<()> {
    match rest.remaining() {
        0 => Ok(()),
        more => Err(invalid(format!("{what} has {more} bytes too many"))),
    }
}

pub(crate) fn short(_: bytes::TryGetError) -> io::Error {
    invalid("a field ends early")
}

pub(crate) fn invalid(message: impl Into<String>) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, message.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bytes_of(payload: &Payload) -> Vec<u8> {
        let mut out = Vec::new();
        Record::of(payload).encode(&mut out).unwrap();
        out
    }

    #[test]
    fn the_bytes_of_a_record_never_change() {
        assert_eq!(hex::encode(bytes_of(&EntryPayload::Blank)), "0100000000000000");
        let commands = EntryPayload::Normal(Proposal(Bytes::from_static(b"abc")));
        assert_eq!(hex::encode(bytes_of(&commands)), "0100000100000003616263");
        let nodes = BTreeMap::from([(7, Member::new("h:1")), (9, Member::new("h:2"))]);
        let membership = Membership::new(vec![BTreeSet::from([7])], nodes).unwrap();
        assert_eq!(
            hex::encode(bytes_of(&EntryPayload::Membership(membership))),
            "0100000200000032\
             00000001000000010000000000000007\
             00000002\
             000000000000000700000003683a31\
             000000000000000900000003683a32"
        );
    }

    #[test]
    fn every_payload_comes_back_from_its_record() {
        let nodes = BTreeMap::from([(1, Member::new("a:1")), (2, Member::new("b:2"))]);
        let membership = Membership::new(vec![BTreeSet::from([1]), BTreeSet::from([1, 2])], nodes).unwrap();
        for payload in [
            EntryPayload::Blank,
            EntryPayload::Normal(Proposal(Bytes::from(vec![5; 100_000]))),
            EntryPayload::Membership(membership),
        ] {
            let bytes = bytes_of(&payload);
            let back = Record::decode(&mut &bytes[..]).unwrap();
            assert_eq!(back.payload().unwrap(), payload);
        }
    }

    #[test]
    fn a_record_of_another_format_or_group_is_refused_by_name() {
        let mut bytes = bytes_of(&EntryPayload::Blank);
        bytes[0] = 9;
        let error = Record::decode(&mut &bytes[..]).unwrap_err().to_string();
        assert!(error.contains("format 9"), "{error}");
        let mut bytes = bytes_of(&EntryPayload::Blank);
        bytes[2] = 3;
        let error = Record::decode(&mut &bytes[..]).unwrap_err().to_string();
        assert!(error.contains("group 3"), "{error}");
    }

    #[test]
    fn a_record_cut_short_reports_the_end_of_input() {
        let bytes = bytes_of(&EntryPayload::Normal(Proposal(Bytes::from_static(b"abc"))));
        for cut in 0..bytes.len() {
            let error = Record::decode(&mut &bytes[..cut]).unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::UnexpectedEof, "cut at {cut}");
        }
    }
}
