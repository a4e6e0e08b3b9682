//! The clients' account: what each write was told, in a file of its own that outlives this process.
//!
//! One JSON object a line. `{"reserved":80}` says that numbers below 80 may have been sent; it is written before they are.
//! `{"serial":7,"applied":"<hex>"}`, `{"serial":8,"refused":"NO_LEADER"}` and `{"serial":9,"unknown":true}` are answers. A
//! reserved number without an answer is unknown: whoever waited for it was killed.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};

use anyhow::Context;
use serde::{Deserialize, Serialize};

use crate::write::Told;

/// What clients were told.
#[derive(Debug)]
pub struct Account {
    path: PathBuf,
    file: File,
    reserved: u64,
    next: u64,
    told: BTreeMap<u64, Told>,
}

#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Line {
    #[serde(skip_serializing_if = "Option::is_none")]
    reserved: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    serial: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    applied: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    refused: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    unknown: Option<bool>,
}

/// Numbers are reserved so many at a time.
const BLOCK: u64 = 64;

impl Account {
    /// Opens the account at this path, or begins one.
    ///
    /// # Errors
    /// If the file cannot be read; names the line that cannot be understood.
    pub fn open(path: &Path) -> anyhow::Result<Self> {
        let file = File::options()
            .create(true)
            .read(true)
            .append(true)
            .open(path)
            .with_context(|| format!("opening {}", path.display()))?;
        let mut account = Self {
            path: path.to_owned(),
            file,
            reserved: 0,
            next: 0,
            told: BTreeMap::new(),
        };
        let text = std::fs::read_to_string(path).with_context(|| format!("reading {}", path.display()))?;
        // A kill of this process may have cut the last line; the number is unknown then.
        let whole = text.rfind('\n').map_or(0, |at| at + 1);
        account.file.set_len(whole as u64)?;
        for (at, line) in text[..whole].lines().enumerate() {
            serde_json::from_str::<Line>(line)
                .map_err(anyhow::Error::new)
                .and_then(|line| account.take(&line))
                .with_context(|| format!("{}:{}", path.display(), at + 1))?;
        }
        account.next = account.reserved;
        for serial in 0..account.reserved {
            account.told.entry(serial).or_insert(Told::Unknown);
        }
        Ok(account)
    }

    /// A number that was never used; written down before it is given.
    ///
    /// # Errors
    /// If it cannot be written down.
    pub fn reserve(&mut self) -> anyhow::Result<u64> {
        if self.next == self.reserved {
            self.reserved += BLOCK;
            self.write(&Line {
                reserved: Some(self.reserved),
                ..Line::default()
            })?;
        }
        self.next += 1;
        Ok(self.next - 1)
    }

    /// Writes down what a write was told. An unknown one that was asked again may become an applied one.
    ///
    /// # Errors
    /// If it cannot be written down.
    pub fn record(&mut self, serial: u64, told: Told) -> anyhow::Result<()> {
        let mut line = Line {
            serial: Some(serial),
            ..Line::default()
        };
        match &told {
            Told::Applied(answer) => line.applied = Some(hex::encode(answer)),
            Told::Refused(reason) => line.refused = Some(reason.clone()),
            Told::Unknown => line.unknown = Some(true),
        }
        self.write(&line)?;
        self.told.insert(serial, told);
        Ok(())
    }

    /// All answers, by number.
    pub fn told(&self) -> &BTreeMap<u64, Told> {
        &self.told
    }

    /// Every number that was ever sent is below.
    pub fn end(&self) -> u64 {
        self.next
    }

    fn take(&mut self, line: &Line) -> anyhow::Result<()> {
        if let Some(reserved) = line.reserved {
            self.reserved = reserved;
        }
        if let Some(serial) = line.serial {
            let told = match (&line.applied, &line.refused, line.unknown) {
                (Some(answer), None, None) => Told::Applied(hex::decode(answer).context("applied")?),
                (None, Some(reason), None) => Told::Refused(reason.clone()),
                (None, None, Some(true)) => Told::Unknown,
                _ => anyhow::bail!("an answer is exactly one of applied, refused and unknown"),
            };
            self.told.insert(serial, told);
        }
        Ok(())
    }

    fn write(&mut self, line: &Line) -> anyhow::Result<()> {
        self.write_raw(&format!("{}\n", serde_json::to_string(line)?))
    }

    fn write_raw(&mut self, text: &str) -> anyhow::Result<()> {
        self.file
            .write_all(text.as_bytes())
            .with_context(|| format!("writing {}", self.path.display()))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

    use super::*;

    #[test]
    fn an_account_that_is_opened_again_knows_every_answer_and_calls_the_rest_unknown() {
        let place = tempfile::tempdir().unwrap();
        let path = place.path().join("account.jsonl");
        let mut account = Account::open(&path).unwrap();
        let serials: Vec<u64> = (0..4).map(|_| account.reserve().unwrap()).collect();
        assert_eq!(serials, [0, 1, 2, 3]);
        account.record(0, Told::Applied(vec![1, 2])).unwrap();
        account.record(1, Told::Refused("NO_LEADER".to_owned())).unwrap();
        account.record(2, Told::Unknown).unwrap();
        account.record(2, Told::Applied(vec![3])).unwrap();
        drop(account);
        // Killed in the middle of a line.
        let mut text = std::fs::read_to_string(&path).unwrap();
        text.push_str("{\"serial\":3,\"appl");
        std::fs::write(&path, text).unwrap();

        let mut again = Account::open(&path).unwrap();
        assert_eq!(again.told()[&0], Told::Applied(vec![1, 2]));
        assert_eq!(again.told()[&1], Told::Refused("NO_LEADER".to_owned()));
        assert_eq!(again.told()[&2], Told::Applied(vec![3]));
        assert_eq!(again.told()[&3], Told::Unknown);
        assert_eq!(again.reserve().unwrap(), BLOCK, "no number is used twice");
        drop(again);
        assert!(Account::open(&path).is_ok_and(|third| third.end() == 2 * BLOCK));
    }
}
