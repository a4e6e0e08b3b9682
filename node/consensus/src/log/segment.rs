//! The bytes of a segment: a mark, a header, records without a gap, then zeros or what is left of the file's former use.
//!
//! ```text
//! header, 256 bytes at offset 24, big-endian
//!   8  magic "PCRAFTLG"          25  vote: 0 | 1, term, node, and (1 byte) whether it is committed
//!   4  format                    25  purged: 0 | 1, term, node, index
//!   2  group, 2 zero             25  id of the last entry before this segment, in the same way
//!   8  number of the segment     25  committed, in the same way
//!   8  capacity, bytes            .  zero
//!   4  end of the segment before  4  CRC-32 of all before it
//!   4  check of its last record
//!
//! record, a multiple of 8 bytes, big-endian
//!   4  check: CRC-32 of segment number, offset, and the next 20 bytes
//!   4  length of the body
//!   4  durable: everything before this offset of the segment was on disk when the record was written
//!   4  CRC-32 of the body
//!   1  kind, 1 zero, 2 group, 4 zero
//!   .. body, zeros up to a multiple of 8
//! ```
//! Number and offset are part of the check, so a record is valid only where it was written: what a recycled file still holds
//! is not. The head has a check of its own, so `durable` is known also when the body is torn.
//!
//! The mark is a record without a body at offset 0, written again and again: it says how much was durable when no later record
//! can. Zeros until the first.

use bytes::{Buf, BufMut};
use std::io;
use std::ops::Range;

use crate::record::{Record, get_log_id, invalid, put_log_id};
use crate::types::{GROUP, GroupId, LeaderOf, LogId, Vote};

/// Version of the layout of segments.
pub(super) const SEGMENT_FORMAT: u32 = 1;
/// Where the header is, behind the mark, and its length, bytes.
pub(super) const HEADER: Range<u32> = HEAD..HEAD + 256;
/// Where records begin.
pub(super) const RECORDS: u32 = HEADER.end;
/// Length of a record without its body, bytes.
pub(super) const HEAD: u32 = 24;
/// Records begin at multiples of this.
pub(super) const ALIGN: u32 = 8;
/// The longest body, bytes. Offsets are 32 bits wide.
pub(super) const BODY_MAX: u32 = 1 << 30;

const MAGIC: &[u8; 8] = b"PCRAFTLG";
/// Length of an optional log id or vote, bytes.
const OPTIONAL: usize = 25;
const MARK: u8 = 6;

/// What a log is when a segment begins: with it, the segments before need not be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Header {
    pub(super) number: u64,
    /// Length of the file, bytes.
    pub(super) capacity: u64,
    /// Where the records of the segment before end, and the check of the last one. Zero in the first segment.
    pub(super) previous: (u32, u32),
    pub(super) vote: Option<Vote>,
    pub(super) purged: Option<LogId>,
    /// Id of the last entry before this segment.
    pub(super) last: Option<LogId>,
    pub(super) committed: Option<LogId>,
}

impl Header {
    /// Appends what a segment begins with: no mark yet, and the header.
    pub(super) fn encode(&self, out: &mut Vec<u8>) {
        out.resize(out.len() + HEADER.start as usize, 0);
        let start = out.len();
        out.put_slice(MAGIC);
        out.put_u32(SEGMENT_FORMAT);
        out.put_u16(GROUP);
        out.put_u16(0);
        out.put_u64(self.number);
        out.put_u64(self.capacity);
        out.put_u32(self.previous.0);
        out.put_u32(self.previous.1);
        padded(out, |out| put_vote(out, self.vote.as_ref()));
        for id in [self.purged, self.last, self.committed] {
            padded(out, |out| put_log_id(out, id.as_ref()));
        }
        out.resize(start + HEADER.len() - 4, 0);
        let check = crc32fast::hash(&out[start..]);
        out.put_u32(check);
    }

    /// The header of a segment that begins with these bytes; `None` when there is no valid one. A header that is valid and not for this program is an error.
    pub(super) fn decode(bytes: &[u8]) -> io::Result<Option<Self>> {
        let Some(bytes) = bytes.get(HEADER.start as usize..HEADER.end as usize) else {
            return Ok(None);
        };
        let (content, mut check) = bytes.split_at(HEADER.len() - 4);
        if !content.starts_with(MAGIC) || check.get_u32() != crc32fast::hash(content) {
            return Ok(None);
        }
        let mut input = &content[MAGIC.len()..];
        let format = input.get_u32();
        if format != SEGMENT_FORMAT {
            return Err(unsupported(format!(
                "the segment has format {format}, this program reads {SEGMENT_FORMAT}; start the version that wrote it"
            )));
        }
        check_group(input.get_u16())?;
        input.advance(2);
        let number = input.get_u64();
        let capacity = input.get_u64();
        let previous = (input.get_u32(), input.get_u32());
        let mut optional = || {
            let (field, rest) = input.split_at(OPTIONAL);
            input = rest;
            field
        };
        let vote = get_vote(&mut optional())?;
        let purged = get_log_id(&mut optional())?;
        let last = get_log_id(&mut optional())?;
        let committed = get_log_id(&mut optional())?;
        Ok(Some(Header {
            number,
            capacity,
            previous,
            vote,
            purged,
            last,
            committed,
        }))
    }
}

/// One change of the log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Change {
    Entry(LogId, Record),
    Vote(Vote),
    /// All entries behind this one are gone.
    Truncate(Option<LogId>),
    /// All entries up to this one are gone.
    Purge(LogId),
    Committed(LogId),
    /// Stands at the beginning and not among the others.
    Mark,
}

impl Change {
    fn kind(&self) -> u8 {
        match self {
            Change::Entry(..) => 1,
            Change::Vote(_) => 2,
            Change::Truncate(_) => 3,
            Change::Purge(_) => 4,
            Change::Committed(_) => 5,
            Change::Mark => MARK,
        }
    }

    fn body_len(&self) -> usize {
        match self {
            Change::Entry(_, record) => OPTIONAL + 8 + record.len(),
            Change::Truncate(None) => 1,
            Change::Vote(_) | Change::Truncate(Some(_)) | Change::Purge(_) | Change::Committed(_) => OPTIONAL,
            Change::Mark => 0,
        }
    }

    /// Bytes of the record.
    pub(super) fn len(&self) -> io::Result<u32> {
        let body = u32::try_from(self.body_len()).ok().filter(|body| *body <= BODY_MAX);
        let body = body.ok_or_else(|| {
            let message = format!("a log entry has {} bytes, more than {BODY_MAX}", self.body_len());
            io::Error::new(io::ErrorKind::InvalidInput, message)
        })?;
        Ok(total(body))
    }

    /// Appends the record and returns its check.
    pub(super) fn encode(&self, out: &mut Vec<u8>, number: u64, offset: u32, durable: u32) -> io::Result<u32> {
        let start = out.len();
        out.resize(start + HEAD as usize, 0);
        match self {
            Change::Entry(id, record) => {
                put_log_id(out, Some(id));
                record.encode(out)?;
            }
            Change::Vote(vote) => put_vote(out, Some(vote)),
            Change::Truncate(after) => put_log_id(out, after.as_ref()),
            Change::Purge(id) | Change::Committed(id) => put_log_id(out, Some(id)),
            Change::Mark => {}
        }
        let body = start + HEAD as usize;
        let length = (out.len() - body) as u32;
        let body_check = crc32fast::hash(&out[body..]);
        let mut head = &mut out[start + 4..body];
        head.put_u32(length);
        head.put_u32(durable);
        head.put_u32(body_check);
        head.put_u8(self.kind());
        head.put_u8(0);
        head.put_u16(GROUP);
        let check = head_check(&out[start + 4..body], number, offset);
        (&mut out[start..]).put_u32(check);
        out.resize(start + total(length) as usize, 0);
        Ok(check)
    }

    fn decode(kind: u8, body: &[u8]) -> io::Result<Self> {
        let mut rest = body;
        let id = |rest: &mut &[u8]| get_log_id(rest)?.ok_or_else(|| invalid("a record names no log id"));
        let change = match kind {
            1 => {
                let id = id(&mut rest)?;
                Change::Entry(id, Record::decode(&mut rest)?)
            }
            2 => Change::Vote(get_vote(&mut rest)?.ok_or_else(|| invalid("a vote record holds no vote"))?),
            3 => Change::Truncate(get_log_id(&mut rest)?),
            4 => Change::Purge(id(&mut rest)?),
            5 => Change::Committed(id(&mut rest)?),
            MARK => Change::Mark,
            other => return Err(invalid(format!("a record has the unknown kind {other}"))),
        };
        match rest.len() {
            0 => Ok(change),
            more => Err(invalid(format!("a record has {more} bytes too many"))),
        }
    }
}

/// A record's head that is valid where it stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Head {
    pub(super) check: u32,
    pub(super) durable: u32,
    length: u32,
    body_check: u32,
    kind: u8,
    group: GroupId,
}

impl Head {
    /// The head that `bytes` begin with, if it is valid at this offset of this segment.
    pub(super) fn at(bytes: &[u8], number: u64, offset: u32) -> Option<Self> {
        let bytes = bytes.get(..HEAD as usize)?;
        let mut fields = bytes;
        let check = fields.get_u32();
        let length = fields.get_u32();
        let durable = fields.get_u32();
        let body_check = fields.get_u32();
        let kind = fields.get_u8();
        fields.advance(1);
        let group = fields.get_u16();
        // Cheap first: zeros and most of what is not a head end here.
        if kind == 0 || length > BODY_MAX || check != head_check(&bytes[4..], number, offset) {
            return None;
        }
        Some(Head {
            check,
            durable,
            length,
            body_check,
            kind,
            group,
        })
    }

    /// Bytes of the whole record.
    pub(super) fn total(&self) -> u32 {
        total(self.length)
    }

    /// What the record says that `bytes` begin with; `None` when its body is not what was written. What is whole and cannot
    /// be understood is an error.
    pub(super) fn change(&self, bytes: &[u8]) -> io::Result<Option<Change>> {
        let start = HEAD as usize;
        let body = bytes.get(start..start + self.length as usize);
        match body {
            Some(body) if crc32fast::hash(body) == self.body_check => {
                check_group(self.group)?;
                Change::decode(self.kind, body).map(Some)
            }
            _ => Ok(None),
        }
    }
}

fn total(body: u32) -> u32 {
    (HEAD + body).next_multiple_of(ALIGN)
}

fn head_check(fields: &[u8], number: u64, offset: u32) -> u32 {
    let mut place = [0; 12];
    (&mut place[..]).put_u64(number);
    (&mut place[8..]).put_u32(offset);
    let mut crc = crc32fast::Hasher::new();
    crc.update(&place);
    crc.update(fields);
    crc.finalize()
}

fn check_group(group: GroupId) -> io::Result<()> {
    match group {
        GROUP => Ok(()),
        other => Err(unsupported(format!(
            "it belongs to group {other}, this log to {GROUP}; move it to where it came from"
        ))),
    }
}

/// What is whole and not for this program.
pub(super) fn unsupported(message: String) -> io::Error {
    io::Error::new(io::ErrorKind::Unsupported, message)
}

fn padded(out: &mut Vec<u8>, put: impl FnOnce(&mut Vec<u8>)) {
    let start = out.len();
    put(out);
    out.resize(start + OPTIONAL, 0);
}

fn put_vote(out: &mut Vec<u8>, vote: Option<&Vote>) {
    let start = out.len();
    if let Some(vote) = vote {
        out.put_u8(1);
        out.put_u64(vote.leader_id.term);
        out.put_u64(vote.leader_id.node_id);
        out.put_u8(u8::from(vote.committed));
    }
    out.resize(start + OPTIONAL, 0);
}

fn get_vote(input: &mut &[u8]) -> io::Result<Option<Vote>> {
    if input.len() != OPTIONAL {
        return Err(invalid(format!(
            "a vote has {} bytes instead of {OPTIONAL}",
            input.len()
        )));
    }
    let mut field = std::mem::take(input);
    if field.get_u8() == 0 {
        return Ok(None);
    }
    let leader_id = LeaderOf {
        term: field.get_u64(),
        node_id: field.get_u64(),
    };
    match field.get_u8() {
        committed @ (0 | 1) => Ok(Some(Vote {
            leader_id,
            committed: committed == 1,
        })),
        other => Err(invalid(format!("a vote has committed byte {other}"))),
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use openraft::EntryPayload;

    use super::*;
    use crate::types::{Proposal, log_id};

    fn changes() -> Vec<Change> {
        let payload = EntryPayload::Normal(Proposal(Bytes::from_static(b"abc")));
        vec![
            Change::Entry(log_id(3, 2, 9), Record::of(&payload)),
            Change::Vote(Vote::new_committed(3, 2)),
            Change::Truncate(None),
            Change::Truncate(Some(log_id(3, 2, 8))),
            Change::Purge(log_id(1, 1, 4)),
            Change::Committed(log_id(1, 1, 5)),
            Change::Mark,
        ]
    }

    #[test]
    fn the_bytes_of_records_and_header_never_change() {
        let mut out = Vec::new();
        changes()[0].encode(&mut out, 7, 256, 256).unwrap();
        assert_eq!(
            hex::encode(&out),
            "691a984c00000024000001007f8bc51a010000000000000001000000000000000300000000000000020000000000000009010000010000000361626300000000"
        );
        let header = Header {
            number: 7,
            capacity: 1 << 20,
            previous: (512, 0xabcd),
            vote: Some(Vote::new(3, 2)),
            purged: None,
            last: Some(log_id(3, 2, 8)),
            committed: None,
        };
        let mut out = Vec::new();
        header.encode(&mut out);
        assert_eq!(out.len(), RECORDS as usize);
        let (used, unused) = out[HEADER.start as usize..].split_at(140);
        assert_eq!(
            hex::encode(used),
            "5043524146544c470000000100000000\
             00000000000000070000000000100000\
             000002000000abcd\
             01000000000000000300000000000000020000000000000000\
             00000000000000000000000000000000000000000000000000\
             01000000000000000300000000000000020000000000000008\
             00000000000000000000000000000000000000000000000000"
        );
        assert_eq!(hex::encode(&unused[112..]), "983faa2b");
        assert_eq!(Header::decode(&out).unwrap(), Some(header));
    }

    #[test]
    fn every_change_comes_back_from_its_record_and_takes_the_room_it_said() {
        for change in changes() {
            let mut out = vec![0; 64];
            let check = change.encode(&mut out, 5, 64, 32).unwrap();
            assert_eq!(out.len() - 64, change.len().unwrap() as usize, "{change:?}");
            let head = Head::at(&out[64..], 5, 64).unwrap();
            assert_eq!((head.check, head.durable), (check, 32));
            assert_eq!(head.total(), change.len().unwrap());
            assert_eq!(head.change(&out[64..]).unwrap(), Some(change));
        }
    }

    #[test]
    fn a_record_is_valid_only_in_the_segment_and_at_the_offset_it_was_written_for() {
        let mut out = Vec::new();
        changes()[0].encode(&mut out, 5, 0, 0).unwrap();
        assert!(Head::at(&out, 5, 0).is_some());
        assert_eq!(Head::at(&out, 6, 0), None);
        assert_eq!(Head::at(&out, 5, 8), None);
    }

    #[test]
    fn a_header_of_a_newer_format_or_another_group_is_refused_by_name() {
        let header = Header {
            number: 1,
            capacity: 4096,
            previous: (0, 0),
            vote: None,
            purged: None,
            last: None,
            committed: None,
        };
        let with = |at: usize, byte: u8| {
            let mut out = Vec::new();
            header.encode(&mut out);
            out[HEADER.start as usize + at] = byte;
            let end = out.len() - 4;
            let check = crc32fast::hash(&out[HEADER.start as usize..end]);
            (&mut out[end..]).put_u32(check);
            Header::decode(&out).unwrap_err().to_string()
        };
        assert!(with(11, 2).contains("format 2"));
        assert!(with(13, 3).contains("group 3"));
    }
}
