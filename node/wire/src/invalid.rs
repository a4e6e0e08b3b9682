//! What is wrong with a field that a peer sent, and the small readers that all conversions share.

use std::fmt::Display;
use std::str::FromStr;

use portcullis_domain::id::{BootId, ClusterId, Digest};
use thiserror::Error;

/// A field that cannot be what it is.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{field}: {reason}")]
pub struct InvalidField {
    /// Dotted path within the request, such as `announcement.manifest.goods[3].commodity_code`.
    pub field: String,
    /// What is wrong, for a person.
    pub reason: String,
}

impl InvalidField {
    /// A field with what is wrong about it.
    pub fn new(field: impl Into<String>, reason: impl Into<String>) -> Self {
        Self {
            field: field.into(),
            reason: reason.into(),
        }
    }

    /// A field that has to be there and is not.
    pub fn missing(field: impl Into<String>) -> Self {
        Self::new(field, "it is required and missing")
    }

    /// The same, seen from the message that contains it.
    #[must_use]
    pub fn within(mut self, outer: impl Display) -> Self {
        self.field = format!("{outer}.{}", self.field);
        self
    }
}

/// Puts the path of the containing message in front of a path.
pub(crate) trait Within<T> {
    fn within(self, outer: impl Display) -> Result<T, InvalidField>;
}

impl<T> Within<T> for Result<T, InvalidField> {
    fn within(self, outer: impl Display) -> Self {
        self.map_err(|invalid| invalid.within(outer))
    }
}

/// A message that has to be there.
pub(crate) fn required<T>(field: &str, value: Option<T>) -> Result<T, InvalidField> {
    value.ok_or_else(|| InvalidField::missing(field))
}

/// A text that has a type of its own: a label, an id, a word.
pub(crate) fn parse<T>(field: &str, text: &str) -> Result<T, InvalidField>
where
    T: FromStr,
    T::Err: Display,
{
    if text.is_empty() {
        return Err(InvalidField::missing(field));
    }
    text.parse()
        .map_err(|error: T::Err| InvalidField::new(field, error.to_string()))
}

/// A text up to a limit in bytes.
pub(crate) fn text(field: &str, text: String, max: usize) -> Result<String, InvalidField> {
    if text.len() > max {
        return Err(InvalidField::new(
            field,
            format!("it has {} bytes; at most {max} are allowed", text.len()),
        ));
    }
    Ok(text)
}

/// A list up to a limit, element by element.
pub(crate) fn list<A, B>(
    field: &str,
    values: Vec<A>,
    max: usize,
    mut each: impl FnMut(A) -> Result<B, InvalidField>,
) -> Result<Vec<B>, InvalidField> {
    if values.len() > max {
        return Err(InvalidField::new(
            field,
            format!("it has {} elements; at most {max} are allowed", values.len()),
        ));
    }
    values
        .into_iter()
        .enumerate()
        .map(|(index, value)| {
            each(value).map_err(|mut invalid| {
                // An element that is itself the value has no field name of its own.
                invalid.field = match invalid.field.as_str() {
                    "" => format!("{field}[{index}]"),
                    inner => format!("{field}[{index}].{inner}"),
                };
                invalid
            })
        })
        .collect()
}

/// Bytes of a fixed length.
pub(crate) fn array<const N: usize>(field: &str, bytes: &[u8]) -> Result<[u8; N], InvalidField> {
    bytes
        .try_into()
        .map_err(|_| InvalidField::new(field, format!("it has {} bytes; exactly {N} are needed", bytes.len())))
}

/// A SHA-256 value.
pub(crate) fn digest(field: &str, bytes: &[u8]) -> Result<Digest, InvalidField> {
    array(field, bytes).map(Digest)
}

/// A cluster id of 16 bytes.
pub(crate) fn cluster_id(field: &str, bytes: &[u8]) -> Result<ClusterId, InvalidField> {
    array(field, bytes).map(ClusterId)
}

/// A boot id, which is never zero.
pub(crate) fn boot(field: &str, boot: u64) -> Result<BootId, InvalidField> {
    match boot {
        0 => Err(InvalidField::missing(field)),
        boot => Ok(BootId(boot)),
    }
}

/// A number that starts at 1, so that 0 is a field that was forgotten.
pub fn positive<T: PartialEq + From<u8>>(field: &str, value: T) -> Result<T, InvalidField> {
    if value == T::from(0) {
        return Err(InvalidField::missing(field));
    }
    Ok(value)
}

/// An enum value that is known and given.
pub(crate) fn known<P, D>(field: &str, value: i32, domain: impl FnOnce(P) -> Option<D>) -> Result<D, InvalidField>
where
    P: TryFrom<i32>,
{
    if value == 0 {
        return Err(InvalidField::missing(field));
    }
    P::try_from(value)
        .ok()
        .and_then(domain)
        .ok_or_else(|| InvalidField::new(field, format!("{value} is not a value that this version knows")))
}
