//! Layers over each other, defaults below them, and the flat list that says which layer won.

use toml::de::DeValue;

use crate::check::at;
use crate::error::Problem;
use crate::origin::{Origin, Setting, variable_of};
use crate::schema::{Kind, Preset, Table, join};
use crate::tree::{Field, Fields, Located, Value, locate};

/// Puts `top` over `base`. Tables are merged key by key; anything else, lists too, is replaced as a whole.
pub(crate) fn overlay(base: &mut Fields, top: Fields) {
    for (name, field) in top {
        match (base.get_mut(&name), field) {
            (
                Some(Field {
                    value:
                        Located {
                            value: Value::Table(below),
                            ..
                        },
                    ..
                }),
                Field {
                    value:
                        Located {
                            value: Value::Table(above),
                            ..
                        },
                    ..
                },
            ) => overlay(below, above),
            (_, field) => {
                base.insert(name, field);
            }
        }
    }
}

/// Adds what nobody set, and names what is missing. `whole` is where the table itself was written, if it is an item of
/// a list.
pub(crate) fn complete(
    table: &'static Table,
    path: &str,
    fields: &mut Fields,
    whole: Option<&Origin>,
    problems: &mut Vec<Problem>,
) {
    for key in table.keys {
        let path = join(path, key.name);
        match (key.kind, key.preset) {
            (Kind::Table(inner), _) => {
                let field = fields
                    .entry(key.name.to_owned())
                    .or_insert_with(|| by_default(Value::Table(Fields::new())));
                if let Value::Table(below) = &mut field.value.value {
                    complete(inner, &path, below, None, problems);
                }
            }
            (Kind::Tables(inner), _) => {
                let field = fields
                    .entry(key.name.to_owned())
                    .or_insert_with(|| by_default(Value::List(Vec::new())));
                if let Value::List(items) = &mut field.value.value {
                    for (index, item) in items.iter_mut().enumerate() {
                        if let Value::Table(below) = &mut item.value {
                            complete(inner, &at(&path, index), below, Some(&item.origin), problems);
                        }
                    }
                }
            }
            (_, Preset::Value(text)) if !fields.contains_key(key.name) => {
                fields.insert(key.name.to_owned(), by_default(preset(text)));
            }
            (kind, Preset::Required) if !fields.contains_key(key.name) => {
                let expected = kind.expected();
                let what = match whole {
                    Some(_) => format!("required in each {}: expected {expected}", table.heading()),
                    None => format!(
                        "required, and nobody set it: expected {expected}. Set it in {} of the file, as {}, or with \
                         --set {path}=...",
                        table.heading(),
                        variable_of(&path)
                    ),
                };
                problems.push(Problem {
                    origin: whole.cloned(),
                    key: path,
                    value: None,
                    what,
                });
            }
            _ => {}
        }
    }
}

fn by_default(value: Value) -> Field {
    Field {
        key: Origin::Default,
        value: Located {
            value,
            origin: Origin::Default,
        },
    }
}

/// The value of a preset's text.
fn preset(text: &str) -> Value {
    match DeValue::parse(text) {
        Ok(value) => locate(&value, &|_| Origin::Default).value,
        Err(_) => Value::Text(text.to_owned()),
    }
}

/// All keys of the merged tree with value and origin, in the order of the schema.
pub(crate) fn settings(table: &'static Table, path: &str, fields: &Fields, out: &mut Vec<Setting>) {
    for key in table.keys {
        let Some(field) = fields.get(key.name) else {
            continue;
        };
        let path = join(path, key.name);
        match (key.kind, &field.value.value) {
            (Kind::Table(inner), Value::Table(below)) => settings(inner, &path, below, out),
            (Kind::Tables(inner), Value::List(items)) if !items.is_empty() => {
                for (index, item) in items.iter().enumerate() {
                    if let Value::Table(below) = &item.value {
                        settings(inner, &at(&path, index), below, out);
                    }
                }
            }
            (_, value) => {
                let origin = field.value.origin.clone();
                out.push(Setting {
                    key: path,
                    value: value.to_string(),
                    origin,
                });
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::check_table;
    use crate::schema::FILE;

    #[test]
    fn every_default_is_of_its_type_and_in_its_range() {
        let (mut fields, mut problems) = (Fields::new(), Vec::new());
        complete(&FILE, "", &mut fields, None, &mut problems);
        let missing: Vec<_> = problems.iter().map(|problem| problem.key.as_str()).collect();
        assert_eq!(missing, ["node.data_dir"]);
        problems.clear();
        check_table(&FILE, "", fields, &mut problems);
        assert_eq!(problems, []);
    }
}
