//! Values that know where they were written.

use std::collections::BTreeMap;
use std::fmt;
use std::ops::Range;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use crate::origin::Origin;

/// A value and its place.
#[derive(Debug, Clone)]
pub(crate) struct Located {
    pub(crate) value: Value,
    pub(crate) origin: Origin,
}

/// What TOML can say. Its nesting is bounded by the parser.
#[derive(Debug, Clone)]
pub(crate) enum Value {
    Text(String),
    Integer(i64),
    Float(f64),
    Bool(bool),
    /// A date, or a number beyond 64 bits: nothing here takes one, so that its text is enough.
    Other(&'static str, String),
    List(Vec<Located>),
    Table(Fields),
}

/// The keys of a table.
pub(crate) type Fields = BTreeMap<String, Field>;

/// A key's place and its value.
#[derive(Debug, Clone)]
pub(crate) struct Field {
    pub(crate) key: Origin,
    pub(crate) value: Located,
}

impl Value {
    /// What it is, for messages.
    pub(crate) fn kind(&self) -> &'static str {
        match self {
            Self::Text(_) => "text",
            Self::Integer(_) => "an integer",
            Self::Float(_) => "a number with a fraction",
            Self::Bool(_) => "true or false",
            Self::Other(kind, _) => kind,
            Self::List(_) => "a list",
            Self::Table(_) => "a table",
        }
    }

    /// Shortened to what fits a line of a message.
    pub(crate) fn short(&self) -> String {
        const LONGEST: usize = 60;
        let text = self.to_string();
        match text.char_indices().nth(LONGEST) {
            Some((at, _)) => format!("{}...", &text[..at]),
            None => text,
        }
    }
}

impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Text(text) => write!(f, "{}", toml::Value::String(text.clone())),
            Self::Integer(number) => write!(f, "{number}"),
            Self::Float(number) => write!(f, "{number:?}"),
            Self::Bool(value) => write!(f, "{value}"),
            Self::Other(_, text) => f.write_str(text),
            Self::List(items) => {
                f.write_str("[")?;
                for (index, item) in items.iter().enumerate() {
                    write!(f, "{}{}", if index == 0 { "" } else { ", " }, item.value)?;
                }
                f.write_str("]")
            }
            Self::Table(fields) => {
                f.write_str("{")?;
                for (index, (key, field)) in fields.iter().enumerate() {
                    write!(
                        f,
                        "{}{key} = {}",
                        if index == 0 { " " } else { ", " },
                        field.value.value
                    )?;
                }
                f.write_str(" }")
            }
        }
    }
}

/// A parsed table with places.
pub(crate) fn locate_table(table: &DeTable<'_>, place: &dyn Fn(Range<usize>) -> Origin) -> Fields {
    table
        .iter()
        .map(|(key, value)| {
            let field = Field {
                key: place(key.span()),
                value: locate(value, place),
            };
            (key.get_ref().to_string(), field)
        })
        .collect()
}

/// A parsed value with places.
pub(crate) fn locate(value: &Spanned<DeValue<'_>>, place: &dyn Fn(Range<usize>) -> Origin) -> Located {
    let origin = place(value.span());
    let value = match value.get_ref() {
        DeValue::String(text) => Value::Text(text.to_string()),
        DeValue::Integer(number) => match i64::from_str_radix(number.as_str(), number.radix()) {
            Ok(number) => Value::Integer(number),
            Err(_) => Value::Other("a number beyond 64 bits", number.to_string()),
        },
        DeValue::Float(number) => match number.as_str().parse() {
            Ok(number) => Value::Float(number),
            Err(_) => Value::Other("an odd number", number.to_string()),
        },
        DeValue::Boolean(value) => Value::Bool(*value),
        DeValue::Datetime(date) => Value::Other("a date", date.to_string()),
        DeValue::Array(items) => Value::List(items.iter().map(|item| locate(item, place)).collect()),
        DeValue::Table(table) => Value::Table(locate_table(table, place)),
    };
    Located { value, origin }
}

/// The plain TOML of a table, for serde.
pub(crate) fn plain_table(fields: &Fields) -> toml::Table {
    fields
        .iter()
        .map(|(key, field)| (key.clone(), plain(&field.value.value)))
        .collect()
}

fn plain(value: &Value) -> toml::Value {
    match value {
        Value::Text(text) | Value::Other(_, text) => toml::Value::String(text.clone()),
        Value::Integer(number) => toml::Value::Integer(*number),
        Value::Float(number) => toml::Value::Float(*number),
        Value::Bool(value) => toml::Value::Boolean(*value),
        Value::List(items) => toml::Value::Array(items.iter().map(|item| plain(&item.value)).collect()),
        Value::Table(fields) => toml::Value::Table(plain_table(fields)),
    }
}
