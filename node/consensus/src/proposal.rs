//! The commands of one Raft entry as bytes: `u16 count`, then for each `u32 length` and canonical bytes. Big-endian.

use std::io;

use bytes::{Buf, BufMut, Bytes};
use portcullis_domain::codec;

use crate::ledger::Command;
use crate::record::{get_bytes, invalid, nothing_left, short};
use crate::types::Proposal;

/// Commands in one entry at most.
pub(crate) const COMMANDS: usize = 64;
/// Bytes of commands in one entry at most, beyond its first command.
pub(crate) const BYTES: usize = 1 << 20;
/// The largest command, bytes. Keeps an entry with some company below the message limit.
pub(crate) const COMMAND_BYTES: usize = 4 << 20;

impl Proposal {
    /// Puts encoded commands together.
    pub(crate) fn of(commands: &[Vec<u8>]) -> Self {
        let size: usize = commands.iter().map(|command| 4 + command.len()).sum();
        let mut out = Vec::with_capacity(2 + size);
        out.put_u16(commands.len() as u16);
        for command in commands {
            out.put_u32(command.len() as u32);
            out.put_slice(command);
        }
        Proposal(Bytes::from(out))
    }

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
