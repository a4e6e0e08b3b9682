//! What a policy must be before the ledger takes it, each rule with the name of the field that breaks it.

use thiserror::Error;

use super::{ALGORITHM, FamilyRule, ODDS_LIMIT, Policy, Scope, Tier, Watch};
use crate::evidence::{Modality, ThreatFamily};

/// The longest name of a policy, bytes.
pub const NAME_MAX: usize = 128;
/// The most requirements, and the most rules about findings, that a policy may have.
pub const RULES_MAX: usize = 64;
/// The most points of a calibration table.
pub const POINTS_MAX: usize = 1024;
/// The longest prefix of a commodity code: the longest code of the Harmonised System with national digits.
const PREFIX_MAX: usize = 12;
/// The most thousandths of a modality's weight that may count.
const PERMILLE_MAX: i32 = 2000;
/// Certainty, in millionths.
const CERTAIN_PPM: u32 = 1_000_000;

/// Why a policy is none.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{field}: {why}")]
pub struct InvalidPolicy {
    /// The field, as a path from the policy: `families.nuclear.review`, `required[2].otherwise`.
    pub field: String,
    /// What is wrong with it, for a person.
    pub why: String,
}

pub(super) type Checked = Result<(), InvalidPolicy>;

pub(super) fn bad(field: impl Into<String>, why: impl Into<String>) -> Checked {
    Err(InvalidPolicy {
        field: field.into(),
        why: why.into(),
    })
}

impl Policy {
    /// Refuses a policy that contradicts itself, that this version cannot read, or that is too large.
    ///
    /// # Errors
    /// Names the first field that cannot be.
    pub fn check(&self) -> Result<(), InvalidPolicy> {
        self.check_name()?;
        if self.algorithm != ALGORITHM {
            let found = self.algorithm;
            return bad(
                "algorithm",
                format!("version {found} is not known; this version knows {ALGORITHM}"),
            );
        }
        for family in ThreatFamily::ALL {
            self.check_family(family)?;
        }
        self.check_modalities()?;
        self.check_required()?;
        self.check_findings()?;
        for (name, margin) in [
            ("release_margin", self.stopping.release_margin),
            ("exam_margin", self.stopping.exam_margin),
        ] {
            if margin < 0 {
                return bad(
                    format!("stopping.{name}"),
                    format!("{margin} would stop a pass on the wrong side of a threshold; at least 0 is needed"),
                );
            }
        }
        if self.passes_max == 0 {
            return bad("passes_max", "at least one pass is needed");
        }
        self.check_calibration()?;
        self.check_manifest_models()?;
        self.watch.as_ref().map_or(Ok(()), Watch::check)
    }

    fn check_name(&self) -> Checked {
        if self.name.trim().is_empty() || self.name.len() > NAME_MAX {
            return bad("name", format!("a name of 1 to {NAME_MAX} bytes is needed"));
        }
        if self.name.chars().any(char::is_control) {
            return bad("name", "it has a control character");
        }
        Ok(())
    }

    fn check_family(&self, family: ThreatFamily) -> Checked {
        let mut rules = self.families.iter().filter(|rule| rule.family == family);
        let (Some(rule), None) = (rules.next(), rules.next()) else {
            return bad(format!("families.{family}"), "exactly one rule is needed");
        };
        let FamilyRule {
            prior, review, exam, ..
        } = *rule;
        for (name, value) in [("prior", prior), ("review", review), ("exam", exam)] {
            if value.unsigned_abs() > ODDS_LIMIT {
                return bad(
                    format!("families.{family}.{name}"),
                    format!("{value} is beyond {ODDS_LIMIT} milli-decibans"),
                );
            }
        }
        if review > exam {
            return bad(
                format!("families.{family}.review"),
                format!("the review threshold {review} lies above the exam threshold {exam}"),
            );
        }
        Ok(())
    }

    fn check_modalities(&self) -> Checked {
        for modality in Modality::ALL {
            let mut counts = self.coefficients.iter().filter(|one| one.modality == modality);
            let first = counts.next();
            if counts.next().is_some() {
                return bad(format!("coefficients.{modality}"), "named twice");
            }
            if let Some(found) = first.filter(|one| !(0..=PERMILLE_MAX).contains(&one.permille)) {
                return bad(
                    format!("coefficients.{modality}"),
                    format!("{} is not between 0 and {PERMILLE_MAX} permille", found.permille),
                );
            }
            if self.maximum_ages.iter().filter(|one| one.modality == modality).count() > 1 {
                return bad(format!("maximum_ages.{modality}"), "named twice");
            }
        }
        Ok(())
    }

    fn check_required(&self) -> Checked {
        if self.required.len() > RULES_MAX {
            return bad("required", format!("at most {RULES_MAX} are allowed"));
        }
        for (at, requirement) in self.required.iter().enumerate() {
            if requirement.otherwise == Tier::Release {
                return bad(
                    format!("required[{at}].otherwise"),
                    "what is required and missing cannot lead to release",
                );
            }
            if let Scope::Commodity(prefix) = &requirement.scope {
                let digits = prefix.bytes().all(|byte| byte.is_ascii_digit());
                if prefix.is_empty() || prefix.len() > PREFIX_MAX || !digits {
                    return bad(
                        format!("required[{at}].scope"),
                        format!("{prefix:?} is not the beginning of a commodity code: 1 to {PREFIX_MAX} digits"),
                    );
                }
            }
        }
        Ok(())
    }

    fn check_findings(&self) -> Checked {
        if self.findings.len() > RULES_MAX {
            return bad("findings", format!("at most {RULES_MAX} are allowed"));
        }
        match self.findings.iter().position(|rule| rule.tier == Tier::Release) {
            Some(at) => bad(format!("findings[{at}].tier"), "a finding cannot lead to release"),
            None => Ok(()),
        }
    }

    fn check_manifest_models(&self) -> Checked {
        for family in ThreatFamily::ALL {
            if self.manifest_models.iter().filter(|one| one.family == family).count() > 1 {
                return bad(format!("manifest_models.{family}"), "named twice");
            }
        }
        Ok(())
    }

    fn check_calibration(&self) -> Checked {
        if self.calibration.len() > POINTS_MAX {
            return bad("calibration", format!("at most {POINTS_MAX} points are allowed"));
        }
        if let Some(at) = self.calibration.iter().position(|point| point.ppm > CERTAIN_PPM) {
            return bad(format!("calibration[{at}].ppm"), format!("more than {CERTAIN_PPM}"));
        }
        let unordered = self
            .calibration
            .windows(2)
            .position(|pair| pair[0].score >= pair[1].score || pair[0].ppm > pair[1].ppm);
        match unordered {
            Some(at) => bad(
                format!("calibration[{}]", at + 1),
                "points must ascend, in score and in probability",
            ),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::id::Digest;
    use crate::policy::{CalibrationPoint, ManifestModel};

    #[test]
    fn the_first_policy_is_consistent() {
        assert_eq!(Policy::first().check(), Ok(()));
    }

    #[test]
    fn each_rule_that_is_broken_names_its_field() {
        type Spoil = fn(&mut Policy);
        let field = |spoil: Spoil| {
            let mut policy = Policy::first();
            spoil(&mut policy);
            policy.check().map_err(|invalid| invalid.field)
        };
        let cases: [(Spoil, &str); 21] = [
            (|p| p.name = " ".to_owned(), "name"),
            (|p| p.name = "n".repeat(129), "name"),
            (|p| p.name = "a\u{1b}[2J".to_owned(), "name"),
            (|p| p.algorithm = 2, "algorithm"),
            (
                |p| p.families[1].exam = p.families[1].review - 1,
                "families.explosives.review",
            ),
            (|p| p.families[0].prior = -1_000_001, "families.narcotics.prior"),
            (|p| p.families[0].exam = i32::MAX, "families.narcotics.exam"),
            (|p| p.families.truncate(5), "families.undeclared"),
            (|p| p.families.push(p.families[2]), "families.nuclear"),
            (|p| p.coefficients.push(p.coefficients[7]), "coefficients.ocr"),
            (|p| p.coefficients[0].permille = 2001, "coefficients.manifest"),
            (|p| p.coefficients[1].permille = -1, "coefficients.radiography"),
            (|p| p.maximum_ages.push(p.maximum_ages[0]), "maximum_ages.radiation"),
            (|p| p.required[1].otherwise = Tier::Release, "required[1].otherwise"),
            (
                |p| p.required[2].scope = Scope::Commodity(String::new()),
                "required[2].scope",
            ),
            (
                |p| p.required[2].scope = Scope::Commodity("87a".to_owned()),
                "required[2].scope",
            ),
            (|p| p.findings[0].tier = Tier::Release, "findings[0].tier"),
            (|p| p.stopping.release_margin = -1, "stopping.release_margin"),
            (|p| p.passes_max = 0, "passes_max"),
            (|p| p.calibration[3].score = -50_000, "calibration[3]"),
            (
                |p| {
                    let (family, model) = (ThreatFamily::People, Digest([1; 32]));
                    p.manifest_models = vec![ManifestModel { family, model }; 2];
                },
                "manifest_models.people",
            ),
        ];
        for (spoil, expected) in cases {
            assert_eq!(field(spoil), Err(expected.to_owned()));
        }
    }

    #[test]
    fn a_policy_has_a_greatest_size() {
        let mut policy = Policy::first();
        policy.required = vec![policy.required[0].clone(); RULES_MAX + 1];
        assert_eq!(policy.check().unwrap_err().field, "required");
        let mut policy = Policy::first();
        policy.findings = vec![policy.findings[0]; RULES_MAX + 1];
        assert_eq!(policy.check().unwrap_err().field, "findings");
        let mut policy = Policy::first();
        policy.calibration = (0..=1024).map(|score| CalibrationPoint { score, ppm: 0 }).collect();
        assert_eq!(policy.check().unwrap_err().field, "calibration");
        policy.calibration = vec![CalibrationPoint {
            score: 0,
            ppm: 1_000_001,
        }];
        assert_eq!(policy.check().unwrap_err().field, "calibration[0].ppm");
    }
}
