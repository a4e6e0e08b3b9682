//! Where data goes: stdout, as text for people or JSON for programs. Everything else goes to stderr.

use std::io::{self, IsTerminal, Write};

use comfy_table::presets::NOTHING;
use comfy_table::{CellAlignment, ContentArrangement, Table};
use serde_json::Value;

use super::args::Format;
use super::failure::{Exit, Failure, plain};

/// Where data goes.
pub(super) struct Output {
    format: Format,
    to: Box<dyn Write>,
    terminal: bool,
    /// Columns of the terminal.
    width: Option<u16>,
}

impl Output {
    /// Standard output, in the form asked for, else in the one that fits it.
    pub(super) fn stdout(format: Option<Format>) -> Self {
        let terminal = io::stdout().is_terminal();
        Self {
            format: format.unwrap_or_else(|| usual(terminal)),
            to: Box::new(io::stdout()),
            terminal,
            width: terminal.then(|| Table::new().width()).flatten(),
        }
    }

    /// One document: `json` for programs, `text` for people.
    pub(super) fn document(
        &mut self,
        json: impl FnOnce() -> Value,
        text: impl FnOnce(Option<u16>) -> String,
    ) -> Result<(), Failure> {
        let text = match (self.format, self.terminal) {
            (Format::Table, _) => text(self.width),
            (Format::Json, true) => format!("{:#}", json()),
            (Format::Json, false) => json().to_string(),
        };
        self.line(&text)
    }

    /// One element of a stream: one JSON object a line for programs, one line of text for people.
    pub(super) fn element(
        &mut self,
        json: impl FnOnce() -> Value,
        text: impl FnOnce() -> String,
    ) -> Result<(), Failure> {
        let line = match self.format {
            Format::Table => text(),
            Format::Json => json().to_string(),
        };
        self.line(&line)
    }

    /// A text that is the same for people and programs, such as a file.
    pub(super) fn verbatim(&mut self, text: &str) -> Result<(), Failure> {
        self.line(text)
    }

    fn line(&mut self, text: &str) -> Result<(), Failure> {
        writeln!(self.to, "{}", text.trim_end())
            .and_then(|()| self.to.flush())
            .map_err(|error| match error.kind() {
                // Whoever read has seen enough, as `head` does.
                io::ErrorKind::BrokenPipe => Failure::silent(Exit::Ok),
                _ => Failure::new(Exit::Error, format!("cannot write the output: {error}")).field("stdout"),
            })
    }
}

/// The form that fits where the output goes.
pub(super) fn usual(terminal: bool) -> Format {
    if terminal { Format::Table } else { Format::Json }
}

/// A remark for people, beside the data.
pub(super) fn remark(text: impl AsRef<str>) {
    // Nobody to tell is no reason to stop.
    let _ = writeln!(io::stderr(), "{}", text.as_ref());
}

/// A table without lines, its columns as wide as needed or as the terminal allows. Columns in `right` hold numbers.
pub(crate) fn table(headers: &[&str], rows: Vec<Vec<String>>, right: &[usize], width: Option<u16>) -> String {
    let mut table = Table::new();
    table
        .load_style(NOTHING)
        .force_no_tty()
        .set_header(headers.iter().copied());
    match width {
        Some(width) => table
            .set_width(width)
            .set_content_arrangement(ContentArrangement::Dynamic),
        None => table.set_content_arrangement(ContentArrangement::Disabled),
    };
    for row in rows {
        table.add_row(row.iter().map(|cell| plain(cell)).collect::<Vec<_>>());
    }
    for column in table.column_iter_mut() {
        column.set_padding((0, 2));
    }
    for index in right {
        if let Some(column) = table.column_mut(*index) {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
    table.trim_fmt()
}

/// Lines of names and values, the values under each other. What has no value is left out.
pub(crate) fn facts(facts: &[(&str, String)]) -> String {
    let told = || facts.iter().filter(|(_, value)| !value.is_empty());
    let widest = told().map(|(name, _)| name.chars().count()).max().unwrap_or(0);
    told()
        .map(|(name, value)| format!("{name:widest$}  {}", plain(value)))
        .collect::<Vec<_>>()
        .join("\n")
}

/// A part of a longer text, under its title; nothing if there is nothing in it.
pub(super) fn section(title: &str, body: &str) -> String {
    if body.trim().is_empty() {
        return String::new();
    }
    let indent = |line: &str| {
        if line.is_empty() {
            String::new()
        } else {
            format!("  {line}")
        }
    };
    let indented: Vec<String> = body.lines().map(indent).collect();
    format!("\n{title}\n{}\n", indented.join("\n"))
}

/// A value, or a dash where there is none.
pub(super) fn or_dash<T: ToString>(value: Option<T>) -> String {
    value.map_or_else(|| "-".to_owned(), |value| value.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn people_at_a_terminal_get_tables_and_pipes_get_json() {
        assert_eq!(usual(true), Format::Table);
        assert_eq!(usual(false), Format::Json);
    }

    #[test]
    fn numbers_are_right_aligned_and_no_line_ends_in_spaces() {
        let rows = vec![
            vec!["lane-1".to_owned(), "7".to_owned(), "T1".to_owned()],
            vec!["lane-10".to_owned(), "1200".to_owned(), String::new()],
        ];
        assert_eq!(
            table(&["LANE", "QUEUED", "AT"], rows, &[1], None),
            "LANE     QUEUED  AT\nlane-1        7  T1\nlane-10    1200"
        );
    }

    #[test]
    fn facts_stand_under_each_other_without_the_empty_ones() {
        let text = facts(&[
            ("due", String::new()),
            ("terminal", "T1".to_owned()),
            ("by", "a\nb".to_owned()),
        ]);
        assert_eq!(text, "terminal  T1\nby        a b");
    }
}
