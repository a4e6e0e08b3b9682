//! The commands of one Raft entry as bytes: `u16 count`, then for each `u32 length` and canonical bytes. Big-endian.

use std::io;

use bytes::{Buf, BufMut, Bytes};
use portcullis_domain::codec::{self, Canonical};

use crate::ledger::Command;
use crate::record::{get_bytes, invalid, nothing_left, short};
use crate::types::Proposal;

/// Commands in one entry at most.
pub(crate) const COMMANDS: usize = 64;
/// An entry of this many bytes takes no further command.
pub(crate) const BYTES: usize = 1 << 20;
/// The largest command, bytes. Keeps an entry with some company below the message limit.
pub(crate) const COMMAND_BYTES: usize = 4 << 20;

/// An entry that is being put together. Commands are encoded into it once; the same bytes go to disk, cache and wire.
#[derive(Debug, Default)]
pub(crate) struct Packing {
    out: Vec<u8>,
    count: u16,
}

impl Packing {
    /// Adds a command. The error is its size, when that is too large; the entry is then as it was.
    pub(crate) fn push(&mut self, command: &Command) -> Result<(), usize> {
        if self.out.is_empty() {
            self.out.put_u16(0);
        }
        let start = self.out.len();
        self.out.put_u32(0);
        command.put(&mut self.out);
        let size = self.out.len() - start - 4;
        if size > COMMAND_BYTES {
            self.out.truncate(start);
            return Err(size);
        }
        (&mut self.out[start..start + 4]).put_u32(size as u32);
        self.count += 1;
        Ok(())
    }

    /// Has it all that one entry may have?
    pub(crate) fn is_full(&self) -> bool {
        usize::from(self.count) >= COMMANDS || self.out.len() >= BYTES
    }

    /// The entry; a new one begins.
    pub(crate) fn finish(&mut self) -> Proposal {
        let mut out = std::mem::take(&mut self.out);
        if out.is_empty() {
            out.put_u16(0);
        }
        (&mut out[..2]).put_u16(std::mem::take(&mut self.count));
        Proposal(Bytes::from(out))
    }
}

impl Proposal {
    /// The commands, in their order.
    pub(crate) fn commands(&self) -> io::Result<Vec<Command>> {
        let mut rest = self.0.clone();
        let count = rest.try_get_u16().map_err(short)?;
        let mut commands = Vec::with_capacity(usize::from(count));
        for number in 0..count {
            let bytes = get_bytes(&mut rest)?;
            let command = codec::from_bytes(&bytes)
                .map_err(|error| invalid(format!("command {number} of the entry: {error}")))?;
            commands.push(command);
        }
        nothing_left(&rest, "entry")?;
        Ok(commands)
    }
}
