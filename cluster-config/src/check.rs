//! A layer against the schema: every key known, every value of its type and in its range.

use crate::error::Problem;
use crate::schema::{Kind, Table, join};
use crate::suggest::unknown;
use crate::tree::{Field, Fields, Located, Value};

/// Checks a table and all below it. What is wrong goes to `problems` and not into the result.
pub(crate) fn check_table(table: &'static Table, path: &str, fields: Fields, problems: &mut Vec<Problem>) -> Fields {
    let mut checked = Fields::new();
    for (name, field) in fields {
        match table.key(&name) {
            None => problems.push(unknown(table, path, &name, &field.key, &[])),
            Some(key) => {
                if let Some(value) = check_value(key.kind, &join(path, &name), field.value, problems) {
                    checked.insert(name, Field { key: field.key, value });
                }
            }
        }
    }
    checked
}

fn check_value(kind: Kind, path: &str, found: Located, problems: &mut Vec<Problem>) -> Option<Located> {
    let Located { value, origin } = found;
    let value = match (kind, value) {
        (Kind::Text, Value::Text(text)) if !text.trim().is_empty() => Value::Text(text),
        (Kind::Word(words), Value::Text(text)) if words.contains(&text.as_str()) => Value::Text(text),
        (Kind::Bool, Value::Bool(value)) => Value::Bool(value),
        (Kind::Integer(min, max), Value::Integer(number)) if (min..=max).contains(&number) => Value::Integer(number),
        (Kind::Factor(max), Value::Float(number)) if number > 0.0 && number <= max => Value::Float(number),
        (Kind::Factor(max), Value::Integer(number)) if number > 0 && number as f64 <= max => {
            Value::Float(number as f64)
        }
        (Kind::Numbers, Value::List(items)) => {
            let numbers = items.into_iter().enumerate();
            let one = Kind::Integer(1, i64::MAX);
            Value::List(
                numbers
                    .filter_map(|(i, item)| check_value(one, &at(path, i), item, problems))
                    .collect(),
            )
        }
        (Kind::Texts, Value::List(items)) => {
            let texts = items.into_iter().enumerate();
            Value::List(
                texts
                    .filter_map(|(i, item)| check_value(Kind::Text, &at(path, i), item, problems))
                    .collect(),
            )
        }
        (Kind::Table(table), Value::Table(fields)) => Value::Table(check_table(table, path, fields, problems)),
        (Kind::Tables(table), Value::List(items)) => {
            let tables = items.into_iter().enumerate();
            let one = Kind::Table(table);
            Value::List(
                tables
                    .filter_map(|(i, item)| check_value(one, &at(path, i), item, problems))
                    .collect(),
            )
        }
        (kind, value) => {
            let mut what = format!("expected {}", kind.expected());
            if !is_of(kind, &value) {
                what = format!("{what}, found {}", value.kind());
            }
            if let (Kind::Tables(table), Value::Table(_)) = (kind, &value) {
                what = format!("{what}: write {}", table.heading());
            }
            problems.push(Problem {
                origin: Some(origin),
                key: path.to_owned(),
                value: Some(value.short()),
                what,
            });
            return None;
        }
    };
    Some(Located { value, origin })
}

/// The type is right, so that only the range can be wrong.
fn is_of(kind: Kind, value: &Value) -> bool {
    matches!(
        (kind, value),
        (Kind::Text | Kind::Word(_), Value::Text(_))
            | (Kind::Integer(..), Value::Integer(_))
            | (Kind::Factor(_), Value::Integer(_) | Value::Float(_))
    )
}

/// An item of a list.
pub(crate) fn at(path: &str, index: usize) -> String {
    format!("{path}[{index}]")
}
