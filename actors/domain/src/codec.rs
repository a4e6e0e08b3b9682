//! The canonical byte format: one encoding for decision-log leaves, Raft command records and ledger snapshots.
//!
//! Rules, so that the same value has the same bytes on every machine and in every later version:
//! integers are big-endian and of fixed width, lengths are `u32`, options are one byte and the value, structs are their
//! fields in order, enums are a tag byte and their fields. There are no maps, no floats and no padding. A reader refuses
//! trailing bytes, unknown tags and lengths that exceed the input, so arbitrary bytes never panic and never allocate
//! more than they bring. Tags and field orders are never reused or reordered; golden bytes in the tests pin them.

use thiserror::Error;

/// Why bytes are not a value of the expected type.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum CodecError {
    /// The input ended inside a value.
    #[error("the bytes end inside {what}")]
    Truncated {
        /// The type that was being read.
        what: &'static str,
    },
    /// An enum tag that this version does not know.
    #[error("unknown tag {tag} for {what}")]
    UnknownTag {
        /// The type that was being read.
        what: &'static str,
        /// The tag byte found.
        tag: u8,
    },
    /// A value that its type forbids.
    #[error("invalid {what}: {why}")]
    Invalid {
        /// The type that was being read.
        what: &'static str,
        /// The reason.
        why: String,
    },
    /// Bytes were left over after the value.
    #[error("{count} bytes are left over after the value")]
    Trailing {
        /// How many.
        count: usize,
    },
}

/// Reads canonical bytes from the front of a slice.
#[derive(Debug)]
pub struct Reader<'a> {
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    /// A reader over all of `bytes`.
    pub fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes }
    }

    /// Takes exactly `count` bytes.
    pub fn take(&mut self, count: usize, what: &'static str) -> Result<&'a [u8], CodecError> {
        if self.rest.len() < count {
            return Err(CodecError::Truncated { what });
        }
        let (head, tail) = self.rest.split_at(count);
        self.rest = tail;
        Ok(head)
    }

    /// Takes a fixed-size array.
    pub fn array<const N: usize>(&mut self, what: &'static str) -> Result<[u8; N], CodecError> {
        let mut out = [0; N];
        out.copy_from_slice(self.take(N, what)?);
        Ok(out)
    }

    /// Takes a text without copying it.
    pub(crate) fn text(&mut self) -> Result<&'a str, CodecError> {
        let len = u32::take(self)? as usize;
        std::str::from_utf8(self.take(len, "text")?).map_err(|error| CodecError::Invalid {
            what: "text",
            why: error.to_string(),
        })
    }

    /// How many bytes are left.
    pub fn remaining(&self) -> usize {
        self.rest.len()
    }
}

/// A type with canonical bytes.
pub trait Canonical: Sized {
    /// Appends the bytes of `self`.
    fn put(&self, out: &mut Vec<u8>);
    /// Reads one value from the front.
    fn take(from: &mut Reader<'_>) -> Result<Self, CodecError>;
}

/// The canonical bytes of a value.
pub fn to_bytes<T: Canonical>(value: &T) -> Vec<u8> {
    // What most leaves and commands need; growing step by step costs more than writing.
    let mut out = Vec::with_capacity(512);
    value.put(&mut out);
    out
}

/// Reads a value that must fill `bytes` exactly.
pub fn from_bytes<T: Canonical>(bytes: &[u8]) -> Result<T, CodecError> {
    let mut reader = Reader::new(bytes);
    let value = T::take(&mut reader)?;
    match reader.remaining() {
        0 => Ok(value),
        count => Err(CodecError::Trailing { count }),
    }
}

macro_rules! canonical_int {
    ($($int:ty),*) => {$(
        impl Canonical for $int {
            fn put(&self, out: &mut Vec<u8>) {
                out.extend_from_slice(&self.to_be_bytes());
            }
            fn take(from: &mut Reader<'_>) -> Result<Self, CodecError> {
                Ok(Self::from_be_bytes(from.array(stringify!($int))?))
            }
        }
    )*};
}
canonical_int!(u8, u16, u32, u64, i32, i64);

impl Canonical for bool {
    fn put(&self, out: &mut Vec<u8>) {
        out.push(u8::from(*self));
    }
    fn take(from: &mut Reader<'_>) -> Result<Self, CodecError> {
        match u8::take(from)? {
            0 => Ok(false),
            1 => Ok(true),
            tag => Err(CodecError::UnknownTag { what: "bool", tag }),
        }
    }
}

impl<const N: usize> Canonical for [u8; N] {
    fn put(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(self);
    }
    fn take(from: &mut Reader<'_>) -> Result<Self, CodecError> {
        from.array("byte array")
    }
}

impl<const N: usize> Canonical for [i32; N] {
    fn put(&self, out: &mut Vec<u8>) {
        for value in self {
            value.put(out);
        }
    }
    fn take(from: &mut Reader<'_>) -> Result<Self, CodecError> {
        let mut out = [0; N];
        for value in &mut out {
            *value = i32::take(from)?;
        }
        Ok(out)
    }
}

pub(crate) fn put_len(len: usize, out: &mut Vec<u8>) {
    let len = u32::try_from(len).expect("a canonical value is far below 4 GiB: every input has a size limit");
    len.put(out);
}

pub(crate) fn put_text(text: &str, out: &mut Vec<u8>) {
    put_len(text.len(), out);
    out.extend_from_slice(text.as_bytes());
}

impl Canonical for String {
    fn put(&self, out: &mut Vec<u8>) {
        put_text(self, out);
    }
    fn take(from: &mut Reader<'_>) -> Result<Self, CodecError> {
        from.text().map(str::to_owned)
    }
}

impl<T: Canonical> Canonical for Option<T> {
    fn put(&self, out: &mut Vec<u8>) {
        match self {
            None => out.push(0),
            Some(value) => {
                out.push(1);
                value.put(out);
            }
        }
    }
    fn take(from: &mut Reader<'_>) -> Result<Self, CodecError> {
        match u8::take(from)? {
            0 => Ok(None),
            1 => Ok(Some(T::take(from)?)),
            tag => Err(CodecError::UnknownTag { what: "option", tag }),
        }
    }
}

impl<T: Canonical> Canonical for Vec<T> {
    fn put(&self, out: &mut Vec<u8>) {
        put_len(self.len(), out);
        for value in self {
            value.put(out);
        }
    }
    fn take(from: &mut Reader<'_>) -> Result<Self, CodecError> {
        let len = u32::take(from)? as usize;
        // Every element has at least one byte, so a lying length cannot make us reserve more than the input holds.
        if len > from.remaining() {
            return Err(CodecError::Truncated { what: "list" });
        }
        let mut out = Vec::with_capacity(len.min(4096));
        for _ in 0..len {
            out.push(T::take(from)?);
        }
        Ok(out)
    }
}

impl<T: Canonical> Canonical for std::sync::Arc<T> {
    fn put(&self, out: &mut Vec<u8>) {
        (**self).put(out);
    }
    fn take(from: &mut Reader<'_>) -> Result<Self, CodecError> {
        Ok(Self::new(T::take(from)?))
    }
}

impl<A: Canonical, B: Canonical> Canonical for (A, B) {
    fn put(&self, out: &mut Vec<u8>) {
        self.0.put(out);
        self.1.put(out);
    }
    fn take(from: &mut Reader<'_>) -> Result<Self, CodecError> {
        Ok((A::take(from)?, B::take(from)?))
    }
}

impl Canonical for () {
    fn put(&self, _: &mut Vec<u8>) {}
    fn take(_: &mut Reader<'_>) -> Result<Self, CodecError> {
        Ok(())
    }
}

/// A map is the ordered list of its pairs; a reader refuses disorder, so each map has one encoding.
impl<K, V> Canonical for imbl::OrdMap<K, V>
where
    K: Canonical + Ord + Clone,
    V: Canonical + Clone,
{
    fn put(&self, out: &mut Vec<u8>) {
        put_len(self.len(), out);
        for (key, value) in self {
            key.put(out);
            value.put(out);
        }
    }
    fn take(from: &mut Reader<'_>) -> Result<Self, CodecError> {
        let len = u32::take(from)? as usize;
        let mut out = Self::new();
        let mut last: Option<K> = None;
        for _ in 0..len {
            let key = K::take(from)?;
            if last.as_ref().is_some_and(|last| *last >= key) {
                return Err(CodecError::Invalid {
                    what: "map",
                    why: "keys are not in order".to_owned(),
                });
            }
            let value = V::take(from)?;
            last = Some(key.clone());
            out.insert(key, value);
        }
        Ok(out)
    }
}

/// Like a list.
impl<T: Canonical + Clone> Canonical for imbl::Vector<T> {
    fn put(&self, out: &mut Vec<u8>) {
        put_len(self.len(), out);
        for value in self {
            value.put(out);
        }
    }
    fn take(from: &mut Reader<'_>) -> Result<Self, CodecError> {
        let len = u32::take(from)?;
        (0..len).map(|_| T::take(from)).collect()
    }
}

/// Implements [`Canonical`] for a struct (fields in the order given), a tuple struct of one field, or an enum (tag and
/// fields).
macro_rules! canonical {
    (struct $name:ident { $($field:ident),* $(,)? }) => {
        impl $crate::codec::Canonical for $name {
            fn put(&self, out: &mut Vec<u8>) {
                let Self { $($field),* } = self;
                $($crate::codec::Canonical::put($field, out);)*
            }
            fn take(from: &mut $crate::codec::Reader<'_>) -> Result<Self, $crate::codec::CodecError> {
                $(let $field = $crate::codec::Canonical::take(from)?;)*
                Ok(Self { $($field),* })
            }
        }
    };
    (newtype $name:ident) => {
        impl $crate::codec::Canonical for $name {
            fn put(&self, out: &mut Vec<u8>) {
                $crate::codec::Canonical::put(&self.0, out);
            }
            fn take(from: &mut $crate::codec::Reader<'_>) -> Result<Self, $crate::codec::CodecError> {
                Ok(Self($crate::codec::Canonical::take(from)?))
            }
        }
    };
    (enum $name:ident { $($tag:literal => $variant:ident $({ $($field:ident),* $(,)? })? $(( $inner:ident ))?),* $(,)? }) => {
        impl $crate::codec::Canonical for $name {
            fn put(&self, out: &mut Vec<u8>) {
                match self {
                    $(Self::$variant $({ $($field),* })? $(( $inner ))? => {
                        out.push($tag);
                        $($($crate::codec::Canonical::put($field, out);)*)?
                        $($crate::codec::Canonical::put($inner, out);)?
                    })*
                }
            }
            fn take(from: &mut $crate::codec::Reader<'_>) -> Result<Self, $crate::codec::CodecError> {
                match <u8 as $crate::codec::Canonical>::take(from)? {
                    $($tag => {
                        $($(let $field = $crate::codec::Canonical::take(from)?;)*)?
                        $(let $inner = $crate::codec::Canonical::take(from)?;)?
                        Ok(Self::$variant $({ $($field),* })? $(( $inner ))?)
                    })*
                    tag => Err($crate::codec::CodecError::UnknownTag { what: stringify!($name), tag }),
                }
            }
        }
    };
}
pub(crate) use canonical;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_that_claims_more_than_its_input_is_refused_before_anything_is_reserved() {
        let bytes = [0xff, 0xff, 0xff, 0xff, 1];
        assert_eq!(
            from_bytes::<Vec<u64>>(&bytes),
            Err(CodecError::Truncated { what: "list" })
        );
    }

    #[test]
    fn left_over_bytes_are_refused() {
        assert_eq!(from_bytes::<u8>(&[1, 2]), Err(CodecError::Trailing { count: 1 }));
    }

    #[test]
    fn a_map_out_of_order_is_refused() {
        let mut bytes = to_bytes(&2_u32);
        for key in [2_u8, 1] {
            bytes.extend([key, 0]);
        }
        assert!(from_bytes::<imbl::OrdMap<u8, u8>>(&bytes).is_err());
    }
}
