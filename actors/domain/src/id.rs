//! The identifiers of the port and of the cluster, one newtype each.

use std::fmt;
use std::str::FromStr;

use thiserror::Error;

use crate::codec::{Canonical, CodecError, Reader, canonical};

/// Why a text is not an identifier.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{value:?} is not a valid {what}: {why}")]
pub struct InvalidId {
    /// The kind of identifier that was expected.
    pub what: &'static str,
    /// The text, shortened.
    pub value: String,
    /// What is wrong with it.
    pub why: String,
}

impl InvalidId {
    pub(crate) fn new(what: &'static str, value: &str, why: impl Into<String>) -> Self {
        Self {
            what,
            value: value.chars().take(40).collect(),
            why: why.into(),
        }
    }
}

macro_rules! number_id {
    ($(#[$doc:meta])* $name:ident($int:ty), $prefix:literal) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(pub $int);

        canonical!(newtype $name);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!($prefix, "{}"), self.0)
            }
        }

        /// Accepts the number with or without its prefix.
        impl FromStr for $name {
            type Err = InvalidId;

            fn from_str(text: &str) -> Result<Self, InvalidId> {
                let digits = text.strip_prefix($prefix).unwrap_or(text);
                digits.parse().map(Self).map_err(|_| {
                    InvalidId::new(stringify!($name), text, concat!("expected a number such as ", $prefix, "7"))
                })
            }
        }
    };
}

number_id! {
    /// A node of the cluster. Never reused.
    NodeId(u64), "node-"
}
number_id! {
    /// One start of a node's process, random. An old boot id never comes back.
    BootId(u64), "boot-"
}
number_id! {
    /// A screening lane.
    LaneId(u32), "lane-"
}
number_id! {
    /// One visit of a container, from announcement to departure: the number of the command that announced it.
    InspectionNo(u64), "insp-"
}
number_id! {
    /// The ledger's own number of an applied command. Starts at 1, never goes back.
    CommandNo(u64), "c"
}
number_id! {
    /// A version of a placement: the number of the command that made it. Zero means "never placed".
    Epoch(u64), "e"
}
number_id! {
    /// The position of a leaf in the decision log, from 0.
    EntryNo(u64), ""
}
number_id! {
    /// Sequence number of an actor's commands within one epoch, from 1.
    Sequence(u64), ""
}
number_id! {
    /// Which sample of a pass, from 1; 0 stands for knowledge that was there before the pass.
    SampleNo(u32), ""
}
number_id! {
    /// Which try at scanning an inspection, from 1; 0 stands for "before any pass".
    PassNo(u32), ""
}

impl NodeId {
    /// No node: the first node has number 1.
    pub const NONE: Self = Self(0);
}

impl Default for CommandNo {
    /// Before the first command.
    fn default() -> Self {
        Self(0)
    }
}

impl Epoch {
    /// Never placed.
    pub const NONE: Self = Self(0);
}

/// Milliseconds since 1970-01-01T00:00:00Z on the port's clock.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Timestamp(pub u64);

canonical!(newtype Timestamp);

impl Timestamp {
    /// The start of time.
    pub const ZERO: Self = Self(0);

    /// Milliseconds since `earlier`, 0 if it lies in the future.
    pub fn millis_since(self, earlier: Self) -> u64 {
        self.0.saturating_sub(earlier.0)
    }

    /// This time plus `millis`.
    pub fn plus_millis(self, millis: u64) -> Self {
        Self(self.0.saturating_add(millis))
    }
}

/// A cluster, random when it is founded. Checked wherever nodes or files meet.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ClusterId(pub [u8; 16]);

canonical!(newtype ClusterId);

/// One life of a node's data folder, random when the folder is made. A node id belongs to one incarnation for good.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Incarnation(pub [u8; 16]);

canonical!(newtype Incarnation);

/// A SHA-256 value.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Digest(pub [u8; 32]);

canonical!(newtype Digest);

impl Digest {
    /// SHA-256 of `bytes`.
    pub fn of(bytes: &[u8]) -> Self {
        use sha2::Digest as _;
        Self(sha2::Sha256::digest(bytes).into())
    }
}

macro_rules! hex_id {
    ($name:ident, $len:literal) => {
        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!(stringify!($name), "({})"), self)
            }
        }

        impl FromStr for $name {
            type Err = InvalidId;

            fn from_str(text: &str) -> Result<Self, InvalidId> {
                let bad = || {
                    InvalidId::new(
                        stringify!($name),
                        text,
                        concat!("expected ", $len, " bytes in hex"),
                    )
                };
                if !text.is_ascii() || text.len() != 2 * $len {
                    return Err(bad());
                }
                let mut out = [0; $len];
                for (byte, pair) in out.iter_mut().zip(text.as_bytes().chunks_exact(2)) {
                    let pair = std::str::from_utf8(pair).map_err(|_| bad())?;
                    *byte = u8::from_str_radix(pair, 16).map_err(|_| bad())?;
                }
                Ok(Self(out))
            }
        }
    };
}
hex_id!(ClusterId, 16);
hex_id!(Incarnation, 16);
hex_id!(Digest, 32);

/// The longest label, in characters.
pub const LABEL_MAX: usize = 64;

macro_rules! label_id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(String);

        impl $name {
            /// Checks and takes a label: 1 to 64 visible ASCII characters without spaces.
            pub fn new(text: impl Into<String>) -> Result<Self, InvalidId> {
                let text = text.into();
                check_label(stringify!($name), &text)?;
                Ok(Self(text))
            }

            /// The text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!(stringify!($name), "({})"), self.0)
            }
        }

        impl FromStr for $name {
            type Err = InvalidId;

            fn from_str(text: &str) -> Result<Self, InvalidId> {
                Self::new(text)
            }
        }

        impl Canonical for $name {
            fn put(&self, out: &mut Vec<u8>) {
                self.0.put(out);
            }
            fn take(from: &mut Reader<'_>) -> Result<Self, CodecError> {
                Self::new(String::take(from)?).map_err(|error| CodecError::Invalid {
                    what: stringify!($name),
                    why: error.why,
                })
            }
        }
    };
}

fn check_label(what: &'static str, text: &str) -> Result<(), InvalidId> {
    if text.is_empty() {
        return Err(InvalidId::new(what, text, "it is empty"));
    }
    if text.len() > LABEL_MAX {
        return Err(InvalidId::new(
            what,
            text,
            format!("it is longer than {LABEL_MAX} characters"),
        ));
    }
    match text.chars().find(|c| !c.is_ascii_graphic()) {
        Some(bad) => Err(InvalidId::new(
            what,
            text,
            format!("character {bad:?} is not visible ASCII"),
        )),
        None => Ok(()),
    }
}

label_id! {
    /// Who sends external commands: a terminal system, a customs system, an operator's tool.
    SourceId
}
label_id! {
    /// What makes a source's request unique, chosen by the source.
    RequestId
}
label_id! {
    /// Who acts: an officer, an operator, a system.
    Principal
}
label_id! {
    /// A terminal of the port.
    TerminalId
}
label_id! {
    /// A detector or lane controller.
    DeviceId
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_print_with_their_prefix_and_parse_with_or_without_it() {
        assert_eq!(LaneId(3).to_string(), "lane-3");
        assert_eq!("lane-3".parse(), Ok(LaneId(3)));
        assert_eq!("3".parse(), Ok(LaneId(3)));
        assert!("lane-x".parse::<LaneId>().is_err());
    }

    #[test]
    fn labels_refuse_emptiness_spaces_control_characters_and_length() {
        assert!(SourceId::new("tos-1").is_ok());
        for bad in ["", "a b", "a\n", &"x".repeat(65)] {
            assert!(SourceId::new(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn a_digest_parses_what_it_prints() {
        let digest = Digest::of(b"abc");
        assert_eq!(digest.to_string().parse(), Ok(digest));
        assert!(digest.to_string().starts_with("ba7816bf"));
    }
}
