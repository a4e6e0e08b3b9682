//! The words of the contract's enums, in lower case, as everywhere else in Portcullis.

use portcullis_proto::v1;

use super::failure::Failure;

fn word(name: Option<&'static str>, prefix: &str, number: i32) -> String {
    match name.and_then(|name| name.strip_prefix(prefix)) {
        Some("UNSPECIFIED") => "-".to_owned(),
        Some(name) => name.to_ascii_lowercase(),
        // A newer node may know more words than this program.
        None => format!("{prefix}{number}").to_ascii_lowercase(),
    }
}

macro_rules! words {
    ($($function:ident $enum:ident $prefix:literal),* $(,)?) => {$(
        pub(super) fn $function(number: i32) -> String {
            word(v1::$enum::try_from(number).ok().map(|value| value.as_str_name()), $prefix, number)
        }
    )*};
}

words! {
    family ThreatFamily "THREAT_FAMILY_",
    modality Modality "MODALITY_",
    ability Ability "ABILITY_",
    tier Tier "TIER_",
    stage Stage "STAGE_",
    ruling Ruling "RULING_",
    role NodeRole "NODE_ROLE_",
    trend DriftTrend "DRIFT_TREND_",
}

/// Reads a stage as people write it.
pub(super) fn parse_stage(text: &str) -> Result<i32, Failure> {
    let name = format!("STAGE_{}", text.trim().to_ascii_uppercase().replace(['-', ' '], "_"));
    match v1::Stage::from_str_name(&name) {
        Some(stage) if stage != v1::Stage::Unspecified => Ok(stage as i32),
        _ => {
            let known: Vec<String> = (1..=10).map(stage).collect();
            Err(Failure::usage("--stage", format!("{text:?} is no stage"))
                .next(format!("stages are {}", known.join(", "))))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stages_read_back_in_any_spelling() {
        for number in 1..=10 {
            assert_eq!(parse_stage(&stage(number)).unwrap(), number);
        }
        assert_eq!(parse_stage("Under-Review").unwrap(), v1::Stage::UnderReview as i32);
        let failure = parse_stage("lost").unwrap_err();
        assert!(failure.to_string().contains("under_review"), "{failure}");
        assert!(parse_stage("unspecified").is_err());
    }

    #[test]
    fn a_word_of_a_newer_node_is_shown_as_its_number() {
        assert_eq!(stage(99), "stage_99");
        assert_eq!(tier(0), "-");
    }
}
