//! Declarations with known outcomes, read from a file of comma-separated values.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use portcullis_detectors::risk::DeclaredItem;
use thiserror::Error;

/// The columns of the file, in this order.
pub const COLUMNS: [&str; 22] = [
    "Declaration ID",
    "Date",
    "Office ID",
    "Process Type",
    "Import Type",
    "Import Use",
    "Payment Type",
    "Mode of Transport",
    "Declarant ID",
    "Importer ID",
    "Seller ID",
    "Courier ID",
    "HS6 Code",
    "Country of Departure",
    "Country of Origin",
    "Tax Rate",
    "Tax Type",
    "Country of Origin Indicator",
    "Net Mass",
    "Item Price",
    "Fraud",
    "Critical Fraud",
];

/// No quantity may be greater: a thousand million tonnes, or as many millions of the currency.
const QUANTITY_MOST: f64 = 1e12;

/// One declared goods item and what an inspection found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    /// Number of the declaration.
    pub id: String,
    /// Day of the declaration as `YYYY-MM-DD`, so that texts sort by time.
    pub date: String,
    /// What was declared.
    pub item: DeclaredItem,
    /// Whether it was fraud of any kind.
    pub fraud: bool,
    /// Whether it was critical: drugs, weapons, counterfeit goods, false origin (class 2 of the column Critical Fraud).
    pub critical: bool,
}

/// Why a file is not a list of declarations with outcomes.
#[derive(Debug, Error)]
pub enum RecordsError {
    /// The file cannot be read.
    #[error("{file}: {source}")]
    File {
        /// Which file.
        file: String,
        /// Why.
        source: std::io::Error,
    },
    /// A line is not a row of values.
    #[error("{file}: {source}; check quotes, and that each line has the same number of values as the header")]
    Row {
        /// Which file.
        file: String,
        /// Where and why.
        source: csv::Error,
    },
    /// The header is not the expected one.
    #[error("{file}, line 1: column {column} is {found:?}; expected {expected:?}")]
    Header {
        /// Which file.
        file: String,
        /// Number of the column, from 1.
        column: usize,
        /// What stands there; empty if nothing does.
        found: String,
        /// What should.
        expected: String,
    },
    /// A value is not what its column needs.
    #[error("{file}, line {line}, column {column:?}: {found:?} is not {expected}")]
    Value {
        /// Which file.
        file: String,
        /// Number of the line, from 1.
        line: u64,
        /// Name of the column.
        column: &'static str,
        /// What stands there, shortened.
        found: String,
        /// What should.
        expected: &'static str,
    },
}

/// Reads a file of declarations, and orders them by day; those of one day keep their order.
pub fn read_records(path: &Path) -> Result<Vec<Record>, RecordsError> {
    let name = path.display().to_string();
    let file = File::open(path).map_err(|source| RecordsError::File {
        file: name.clone(),
        source,
    })?;
    records_from(file, &name)
}

/// Like [`read_records`], from anything that can be read; `name` stands in the errors. A byte-order mark and either kind of
/// line end are accepted.
pub fn records_from(input: impl Read, name: &str) -> Result<Vec<Record>, RecordsError> {
    let row_error = |source| RecordsError::Row {
        file: name.to_owned(),
        source,
    };
    // The csv crate drops a byte-order mark by itself.
    let mut reader = csv::ReaderBuilder::new().from_reader(input);
    let header = reader.headers().map_err(row_error)?;
    for (at, expected) in COLUMNS.iter().enumerate() {
        let found = header.get(at).unwrap_or_default();
        if found.trim() != *expected {
            return Err(header_error(name, at, found, expected));
        }
    }
    if let Some(found) = header.get(COLUMNS.len()) {
        return Err(header_error(name, COLUMNS.len(), found, "no further column"));
    }
    let mut records = Vec::new();
    for row in reader.records() {
        let row = row.map_err(row_error)?;
        let line = row.position().map_or(0, csv::Position::line);
        let cells = Cells {
            row: &row,
            file: name,
            line,
        };
        records.push(cells.record()?);
    }
    records.sort_by(|a, b| a.date.cmp(&b.date));
    Ok(records)
}

fn header_error(file: &str, at: usize, found: &str, expected: &str) -> RecordsError {
    RecordsError::Header {
        file: file.to_owned(),
        column: at + 1,
        found: short(found),
        expected: expected.to_owned(),
    }
}

fn short(text: &str) -> String {
    text.chars().take(40).collect()
}

/// The values of one row.
struct Cells<'a> {
    row: &'a csv::StringRecord,
    file: &'a str,
    line: u64,
}

impl Cells<'_> {
    fn text(&self, at: usize) -> &str {
        self.row.get(at).unwrap_or_default().trim()
    }

    fn owned(&self, at: usize) -> String {
        self.text(at).to_owned()
    }

    fn wrong(&self, at: usize, expected: &'static str) -> RecordsError {
        RecordsError::Value {
            file: self.file.to_owned(),
            line: self.line,
            column: COLUMNS.get(at).copied().unwrap_or_default(),
            found: short(self.text(at)),
            expected,
        }
    }

    /// A quantity in thousandths; an empty cell counts as 0.
    fn thousandths(&self, at: usize) -> Result<u64, RecordsError> {
        let text = self.text(at);
        if text.is_empty() {
            return Ok(0);
        }
        match text.parse::<f64>() {
            Ok(value) if (0.0..=QUANTITY_MOST).contains(&value) => Ok((value * 1000.0).round() as u64),
            _ => Err(self.wrong(at, "a number from 0 to 1,000,000,000,000")),
        }
    }

    fn class(&self, at: usize, most: u8, expected: &'static str) -> Result<u8, RecordsError> {
        match self.text(at).parse::<u8>() {
            Ok(class) if class <= most => Ok(class),
            _ => Err(self.wrong(at, expected)),
        }
    }

    fn record(&self) -> Result<Record, RecordsError> {
        if !is_day(self.text(1)) {
            return Err(self.wrong(1, "a day such as 2020-01-31"));
        }
        let tax_rate = u32::try_from(self.thousandths(15)?).map_err(|_| self.wrong(15, "a rate in percent"))?;
        Ok(Record {
            id: self.owned(0),
            date: self.owned(1),
            item: DeclaredItem {
                office: self.owned(2),
                process_type: self.owned(3),
                import_type: self.owned(4),
                import_use: self.owned(5),
                payment_type: self.owned(6),
                transport_mode: self.owned(7),
                declarant: self.owned(8),
                importer: self.owned(9),
                seller: self.owned(10),
                courier: self.owned(11),
                hs6: self.owned(12),
                departure: self.owned(13),
                origin: self.owned(14),
                tax_rate,
                tax_type: self.owned(16),
                origin_mark: self.owned(17),
                net_mass_g: self.thousandths(18)?,
                price: self.thousandths(19)?,
            },
            fraud: self.class(20, 1, "0 (no fraud) or 1 (fraud)")? == 1,
            critical: self.class(21, 2, "0, 1 or 2 (critical)")? == 2,
        })
    }
}

fn is_day(text: &str) -> bool {
    let digits = |from: usize, to: usize| {
        text.get(from..to)
            .filter(|part| part.bytes().all(|byte| byte.is_ascii_digit()))
            .and_then(|part| part.parse::<u32>().ok())
    };
    text.len() == 10
        && text.get(4..5) == Some("-")
        && text.get(7..8) == Some("-")
        && digits(0, 4).is_some()
        && digits(5, 7).is_some_and(|month| (1..=12).contains(&month))
        && digits(8, 10).is_some_and(|day| (1..=31).contains(&day))
}

#[cfg(test)]
mod tests {
    use super::*;

    const ROW: &str =
        "00012345,2020-01-01,30,B,11,21,11,10,ZZR1LT6,QLRUBN9,,,010129,BE,BE,0.5,FEU1,G,0.0,0.08000000000000003,1,2";

    fn file(rows: &[&str]) -> String {
        format!("{}\n{}\n", COLUMNS.join(","), rows.join("\n"))
    }

    fn message(text: &str) -> String {
        records_from(text.as_bytes(), "x.csv").unwrap_err().to_string()
    }

    #[test]
    fn identifiers_keep_their_zeros_and_empty_cells_stay_empty() {
        let records = records_from(file(&[ROW]).as_bytes(), "x.csv").unwrap();
        let record = records.first().unwrap();
        assert_eq!((record.id.as_str(), record.item.hs6.as_str()), ("00012345", "010129"));
        assert_eq!((record.item.seller.as_str(), record.item.net_mass_g), ("", 0));
        assert_eq!((record.item.price, record.item.tax_rate), (80, 500));
        assert!(record.fraud && record.critical);
    }

    #[test]
    fn a_byte_order_mark_and_the_line_ends_of_windows_change_nothing() {
        let plain = file(&[ROW]);
        let marked = format!("\u{feff}{}", plain.replace('\n', "\r\n"));
        assert_eq!(
            records_from(plain.as_bytes(), "x").unwrap(),
            records_from(marked.as_bytes(), "x").unwrap()
        );
    }

    #[test]
    fn rows_come_out_in_the_order_of_time() {
        let later = ROW.replace("2020-01-01", "2020-03-01");
        let records = records_from(file(&[&later, ROW]).as_bytes(), "x").unwrap();
        let days: Vec<&str> = records.iter().map(|record| record.date.as_str()).collect();
        assert_eq!(days, ["2020-01-01", "2020-03-01"]);
    }

    #[test]
    fn an_error_names_the_file_the_line_and_the_column() {
        let text = file(&[ROW, &ROW.replace("0.08000000000000003", "cheap")]);
        assert_eq!(
            message(&text),
            "x.csv, line 3, column \"Item Price\": \"cheap\" is not a number from 0 to 1,000,000,000,000"
        );
        assert!(message(&file(&[&ROW.replace(",1,2", ",1,3")])).contains("line 2, column \"Critical Fraud\""));
        assert!(message(&file(&[&ROW.replace("2020-01-01", "1.1.2020")])).contains("column \"Date\""));
        assert!(message(&file(&[&ROW.replace("0.5,", "-1,")])).contains("column \"Tax Rate\""));
        assert!(message(&file(&[&ROW.replace("0.0,", "NaN,")])).contains("column \"Net Mass\""));
    }

    #[test]
    fn another_header_is_refused_by_the_column_that_differs() {
        let text = file(&[ROW]).replace("Office ID", "Port");
        assert_eq!(
            message(&text),
            "x.csv, line 1: column 3 is \"Port\"; expected \"Office ID\""
        );
        assert!(message("").contains("column 1"));
        assert!(message(&file(&[]).replace("Critical Fraud", "Critical Fraud,More")).contains("column 23"));
    }

    #[test]
    fn a_row_with_too_few_values_is_refused_with_its_line() {
        assert!(message(&file(&[ROW, "1,2,3"])).contains("line: 3"));
    }
}
