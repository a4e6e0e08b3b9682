//! Policies from what inspections found, instead of from a world.
//!
//! # The file
//! JSON Lines: one container a line, whose truth was found out.
//! ```json
//! {"container":"CBHU6192031","at_ms":1767254400000,"selection":"random","sampling_probability":0.01,"content":[],
//!  "evidence":[{"modality":"manifest","ability":"clear","weights":{"undeclared":-1000}},
//!              {"modality":"radiography","ability":"clear","sample":2,"weights":{"narcotics":-4200,"undeclared":-3100}}]}
//! ```
//! (here on three lines to be read). Weights are milli-decibans; families that are not named weigh 0. `docs/evaluate.md` describes
//! every field.
//!
//! # Why the chance of selection matters
//! Released containers are mostly never opened, so what a port knows comes from those that something spoke against. Counted as they
//! are, they make threats look common and sensors blind to what was never looked for. Each container therefore stands
//! for 1 / `sampling_probability` containers (Horvitz and Thompson, J. Am. Stat. Assoc. 47 (1952) 663), and there must be some
//! that were picked by lot, whatever was known about them: without those no weight makes up for what is missing.

mod line;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fs::File;
use std::io::{BufRead, BufReader, Read as _};
use std::path::Path;

use portcullis_domain::evidence::ThreatFamily;
use portcullis_domain::policy::Policy;
use serde::Serialize;

use self::line::Outcome;
use super::{Labelled, LearnError, LearnOptions, Learned, learn};
use crate::binormal::positives_needed;
use crate::estimate::Share;

/// Containers picked by lot without which nothing is learned: a hundred for each part that the samples are divided into.
pub const RANDOM_MIN: u64 = 300;
/// Examples without which the rule of a family is not learned: ten for each part.
pub const FAMILY_MIN: u64 = 30;
/// The longest line, bytes.
pub const LINE_MAX: usize = 1 << 20;
/// The most lines.
pub const LINES_MAX: usize = 5_000_000;

/// Checks one line of a file by itself.
///
/// # Errors
/// Gives the field and what is wrong with it; the field is empty where it is the line as a whole.
pub fn check_line(line: &[u8]) -> Result<(), (String, String)> {
    Outcome::parse(line).map(|_| ())
}

/// Why a file of outcomes was refused, or nothing could be learned from it.
#[derive(Debug, thiserror::Error)]
pub enum OutcomesError {
    /// The file could not be read.
    #[error("{file}: cannot read it")]
    Read {
        /// The file.
        file: String,
        /// Why.
        source: std::io::Error,
    },
    /// A line is not an outcome.
    #[error("{file}, line {line}, field {field}: {why}")]
    Line {
        /// The file.
        file: String,
        /// Number of the line, from 1.
        line: usize,
        /// Path of the field within the line.
        field: String,
        /// What is wrong and what would be right.
        why: String,
    },
    /// Too few containers were picked by lot.
    #[error(
        "{file}: {found} containers have selection \"random\", at least {RANDOM_MIN} are needed. What targeted exams find says \
         nothing about the containers that were released: pick some by lot, whatever is known about them, find out what is in \
         them, and give the chance with which each was picked"
    )]
    NotRandom {
        /// The file.
        file: String,
        /// How many there are.
        found: u64,
    },
    /// Innocent containers stand for so different numbers that they know too little.
    #[error(
        "{file}: the innocent containers know no more than {effective} equally likely ones would, at least {RANDOM_MIN} are \
         needed; pick more by lot, or with a greater chance"
    )]
    Uneven {
        /// The file.
        file: String,
        /// Kish's number of trials.
        effective: u64,
    },
    /// Families have too few examples, and there is no policy whose rules they could keep.
    #[error(
        "{file}: too few examples of {families}. A rule needs {FAMILY_MIN}, a guarantee {needed_to_guarantee}. Give a base policy \
         whose rules these families keep (--base), or add examples"
    )]
    TooFew {
        /// The file.
        file: String,
        /// The families with how many each has.
        families: String,
        /// Examples without which no miss rate can be guaranteed as asked.
        needed_to_guarantee: u64,
    },
    /// Nothing could be learned.
    #[error(transparent)]
    Learn(#[from] LearnError),
}

/// Containers whose truth was found out.
#[derive(Debug, Clone)]
pub struct Outcomes {
    file: String,
    samples: Vec<Labelled>,
    summary: OutcomesSummary,
}

/// What a file of outcomes holds.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct OutcomesSummary {
    /// Containers.
    pub containers: u64,
    /// Of those picked by lot.
    pub random: u64,
    /// Without a threat.
    pub innocent: u64,
    /// As many equally likely innocent containers would know as much (Kish).
    pub innocent_effective: f64,
    /// Examples of each family.
    pub threats: BTreeMap<&'static str, u64>,
    /// Containers with several families. Each counts for the one that is rarest in the file.
    pub with_several: u64,
    /// How many containers the one stands for that stands for most, relative to the mean.
    pub heaviest: f64,
}

/// A policy learned from outcomes.
#[derive(Debug, Clone)]
pub struct LearnedFromOutcomes {
    /// The policy and what is known about it.
    pub learned: Learned,
    /// Families that could not be learned: their rules are those of the base policy.
    pub kept: Vec<&'static str>,
}

impl Outcomes {
    /// Reads a file.
    ///
    /// # Errors
    /// Names line and field of the first that is wrong; refuses files that nothing true can be learned from.
    pub fn load(path: &Path) -> Result<Self, OutcomesError> {
        let name = path.display().to_string();
        let file = File::open(path).map_err(|source| OutcomesError::Read {
            file: name.clone(),
            source,
        })?;
        Self::read(BufReader::new(file), &name)
    }

    /// Like [`Outcomes::load`], from anything that can be read; `name` stands in errors.
    pub fn read(mut input: impl BufRead, name: &str) -> Result<Self, OutcomesError> {
        let mut found: Vec<Outcome> = Vec::new();
        let mut known: HashMap<(String, u64), usize> = HashMap::new();
        let mut bytes = Vec::new();
        for number in 1.. {
            let refused = |field: &str, why: String| OutcomesError::Line {
                file: name.to_owned(),
                line: number,
                field: field.to_owned(),
                why,
            };
            bytes.clear();
            let limit = LINE_MAX as u64 + 1;
            let read = input.by_ref().take(limit).read_until(b'\n', &mut bytes);
            let read = read.map_err(|source| OutcomesError::Read {
                file: name.to_owned(),
                source,
            })?;
            if read == 0 {
                break;
            }
            if bytes.len() > LINE_MAX {
                return Err(refused(
                    "",
                    format!("it is longer than {LINE_MAX} bytes; give one container a line"),
                ));
            }
            if bytes.iter().all(u8::is_ascii_whitespace) {
                continue;
            }
            if found.len() >= LINES_MAX {
                return Err(refused("", format!("there are more than {LINES_MAX} containers")));
            }
            let outcome = Outcome::parse(&bytes).map_err(|(field, why)| refused(&field, why))?;
            let key = (outcome.container.clone(), outcome.at.0);
            if let Some(before) = known.insert(key, number) {
                let why = format!("the same container at the same time is in line {before}; each visit counts once");
                return Err(refused("container", why));
            }
            found.push(outcome);
        }
        Self::new(found, name)
    }

    fn new(found: Vec<Outcome>, file: &str) -> Result<Self, OutcomesError> {
        let mut examples = [0_u64; 6];
        for family in found.iter().flat_map(|outcome| &outcome.content) {
            if let Some(count) = examples.get_mut(family.index()) {
                *count += 1;
            }
        }
        let examples = |family: &ThreatFamily| examples.get(family.index()).copied().unwrap_or(0);
        let random = found.iter().filter(|outcome| outcome.random).count() as u64;
        if random < RANDOM_MIN {
            return Err(OutcomesError::NotRandom {
                file: file.to_owned(),
                found: random,
            });
        }
        let total: f64 = found.iter().map(|outcome| 1.0 / outcome.sampling_probability).sum();
        let mean = total / found.len().max(1) as f64;
        let with_several = found.iter().filter(|outcome| outcome.content.len() > 1).count() as u64;
        let mut innocents = Share::default();
        let mut threats: BTreeMap<&'static str, u64> = BTreeMap::new();
        let samples: Vec<Labelled> = found
            .into_iter()
            .map(|outcome| {
                let weight = 1.0 / outcome.sampling_probability / mean;
                let content = outcome.content.iter().min_by_key(|family| examples(family)).copied();
                match content {
                    None => innocents.add(false, weight),
                    Some(family) => *threats.entry(family.as_str()).or_default() += 1,
                }
                Labelled {
                    manifest: outcome.manifest,
                    evidence: outcome.evidence,
                    content,
                    weight,
                    at: outcome.at,
                }
            })
            .collect();
        let effective = innocents.trials();
        if effective < RANDOM_MIN as f64 {
            return Err(OutcomesError::Uneven {
                file: file.to_owned(),
                effective: effective as u64,
            });
        }
        let summary = OutcomesSummary {
            containers: samples.len() as u64,
            random,
            innocent: samples.iter().filter(|sample| sample.content.is_none()).count() as u64,
            innocent_effective: effective,
            threats,
            with_several,
            heaviest: samples.iter().map(|sample| sample.weight).fold(0.0, f64::max),
        };
        Ok(Self {
            file: file.to_owned(),
            samples,
            summary,
        })
    }

    /// What the file holds.
    pub fn summary(&self) -> &OutcomesSummary {
        &self.summary
    }

    /// Learns a policy as [`learn`] does. Families with fewer examples than [`FAMILY_MIN`] keep the rules of `base`; other
    /// settings of `base` are kept as [`LearnOptions::base`] says.
    ///
    /// # Errors
    /// Refuses too few examples: of a family without a base policy, or of threats altogether.
    pub fn learn(
        &self,
        base: Option<Policy>,
        options: &LearnOptions,
        progress: &dyn Fn(u64, u64),
    ) -> Result<LearnedFromOutcomes, OutcomesError> {
        let examples = |family: &ThreatFamily| self.summary.threats.get(family.as_str()).copied().unwrap_or(0);
        let kept: BTreeSet<ThreatFamily> = ThreatFamily::ALL
            .into_iter()
            .filter(|family| examples(family) < FAMILY_MIN)
            .collect();
        if base.is_none() && !kept.is_empty() {
            let families: Vec<String> = kept.iter().map(|one| format!("{one} ({})", examples(one))).collect();
            return Err(OutcomesError::TooFew {
                file: self.file.clone(),
                families: families.join(", "),
                // A third of the examples serves for claims.
                needed_to_guarantee: 3 * positives_needed(options.alpha),
            });
        }
        let options = LearnOptions {
            base: base.unwrap_or_else(|| options.base.clone()),
            kept: kept.clone(),
            ..options.clone()
        };
        Ok(LearnedFromOutcomes {
            learned: learn(&self.samples, &options, progress)?,
            kept: kept.into_iter().map(ThreatFamily::as_str).collect(),
        })
    }
}
