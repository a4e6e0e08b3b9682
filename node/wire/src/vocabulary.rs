//! The words that all messages share: families, modalities, abilities, tiers, weights, findings, actor keys.

use portcullis_domain::evidence::{Ability, Modality, ThreatFamily, Weights};
use portcullis_domain::finding::Finding;
use portcullis_domain::id::LaneId;
use portcullis_domain::inspection::{Ruling, Stage};
use portcullis_domain::placement::{ActorKey, FUSION_SHARDS};
use portcullis_domain::policy::Tier;
use portcullis_proto::v1 as pb;

use crate::invalid::{self, InvalidField};

/// A pair of functions from one table, so that the two directions cannot drift apart.
macro_rules! words {
    ($($decode:ident $encode:ident $name:ident { $($variant:ident),* $(,)? })*) => {$(
        #[doc = concat!("Reads a `", stringify!($name), "` out of the field named.")]
        ///
        /// # Errors
        /// When it is not given or not known.
        pub fn $decode(field: &str, value: i32) -> Result<$name, InvalidField> {
            invalid::known(field, value, |word| match word {
                pb::$name::Unspecified => None,
                $(pb::$name::$variant => Some($name::$variant),)*
            })
        }

        #[doc = concat!("Writes a `", stringify!($name), "`.")]
        pub fn $encode(word: $name) -> pb::$name {
            match word { $($name::$variant => pb::$name::$variant,)* }
        }
    )*};
}

words! {
    decode_family encode_family ThreatFamily { Narcotics, Explosives, Nuclear, Weapons, People, Undeclared }
    decode_modality encode_modality Modality {
        Manifest, Radiography, Radiation, Magnetometer, Nqr, Trace, Weighbridge, Ocr
    }
    decode_ability encode_ability Ability { Clear, Degraded, Shielded }
    decode_tier encode_tier Tier { Release, Review, Exam }
    decode_ruling encode_ruling Ruling { Release, Hold, Seize }
}

/// Writes a stage; its lane travels in a field of its own.
pub fn encode_stage(stage: Stage) -> pb::Stage {
    match stage {
        Stage::Announced => pb::Stage::Announced,
        Stage::Profiled => pb::Stage::Profiled,
        Stage::Queued => pb::Stage::Queued,
        Stage::Assigned { .. } => pb::Stage::Assigned,
        Stage::InPass { .. } => pb::Stage::InPass,
        Stage::Released => pb::Stage::Released,
        Stage::UnderReview => pb::Stage::UnderReview,
        Stage::Held => pb::Stage::Held,
        Stage::Seized => pb::Stage::Seized,
        Stage::Departed => pb::Stage::Departed,
    }
}

/// Reads a stage, without its lane, for filters: compare it with [`encode_stage`] of an inspection's stage.
///
/// # Errors
/// When it is not given or not known.
pub fn decode_stage(field: &str, value: i32) -> Result<pb::Stage, InvalidField> {
    invalid::known(field, value, |stage: pb::Stage| Some(stage))
}

/// Reads weights.
pub fn decode_weights(weights: pb::MilliDecibans) -> Weights {
    let pb::MilliDecibans {
        narcotics,
        explosives,
        nuclear,
        weapons,
        people,
        undeclared,
    } = weights;
    Weights([narcotics, explosives, nuclear, weapons, people, undeclared])
}

/// Writes weights.
pub fn encode_weights(weights: Weights) -> pb::MilliDecibans {
    let Weights([narcotics, explosives, nuclear, weapons, people, undeclared]) = weights;
    pb::MilliDecibans {
        narcotics,
        explosives,
        nuclear,
        weapons,
        people,
        undeclared,
    }
}

/// Reads a finding. Over-long texts are cut.
///
/// # Errors
/// When the code is not known; `code` names it.
pub fn decode_finding(finding: pb::Finding) -> Result<Finding, InvalidField> {
    Ok(Finding::new(
        invalid::parse("code", &finding.code)?,
        finding.field,
        finding.detail,
    ))
}

/// Writes a finding with the meaning of its code.
pub fn encode_finding(finding: &Finding) -> pb::Finding {
    pb::Finding {
        code: finding.code.as_str().to_owned(),
        field: finding.field.clone(),
        detail: finding.detail.clone(),
        meaning: finding.code.meaning().to_owned(),
    }
}

/// Reads an actor key.
///
/// # Errors
/// When no key is given, a shard does not exist or a terminal is not a label.
pub fn decode_actor_key(key: pb::ActorKey) -> Result<ActorKey, InvalidField> {
    use pb::actor_key::Key;
    match invalid::required("key", key.key)? {
        Key::Lane(lane) => Ok(ActorKey::Lane(LaneId(lane))),
        Key::FusionShard(shard) => match u8::try_from(shard) {
            Ok(shard) if shard < FUSION_SHARDS => Ok(ActorKey::Fusion(shard)),
            _ => Err(InvalidField::new(
                "fusion_shard",
                format!("{shard} is not a shard; there are {FUSION_SHARDS}, from 0"),
            )),
        },
        Key::SchedulerTerminal(terminal) => Ok(ActorKey::Scheduler(invalid::parse("scheduler_terminal", &terminal)?)),
        Key::Placement(true) => Ok(ActorKey::Placement),
        Key::Placement(false) => Err(InvalidField::new("placement", "it can only be true")),
    }
}

/// Writes an actor key.
pub fn encode_actor_key(key: &ActorKey) -> pb::ActorKey {
    use pb::actor_key::Key;
    let key = match key {
        ActorKey::Lane(lane) => Key::Lane(lane.0),
        ActorKey::Fusion(shard) => Key::FusionShard(u32::from(*shard)),
        ActorKey::Scheduler(terminal) => Key::SchedulerTerminal(terminal.to_string()),
        ActorKey::Placement => Key::Placement(true),
    };
    pb::ActorKey { key: Some(key) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::samples;

    #[test]
    fn each_word_reads_back_and_none_and_unknown_ones_are_refused() {
        for family in ThreatFamily::ALL {
            assert_eq!(decode_family("f", encode_family(family) as i32), Ok(family));
        }
        for modality in Modality::ALL {
            assert_eq!(decode_modality("m", encode_modality(modality) as i32), Ok(modality));
        }
        for ability in [Ability::Clear, Ability::Degraded, Ability::Shielded] {
            assert_eq!(decode_ability("a", encode_ability(ability) as i32), Ok(ability));
        }
        for tier in [Tier::Release, Tier::Review, Tier::Exam] {
            assert_eq!(decode_tier("t", encode_tier(tier) as i32), Ok(tier));
        }
        for ruling in [Ruling::Release, Ruling::Hold, Ruling::Seize] {
            assert_eq!(decode_ruling("r", encode_ruling(ruling) as i32), Ok(ruling));
        }
        for bad in [0, -1, 99] {
            assert_eq!(decode_tier("tier", bad).unwrap_err().field, "tier");
            assert_eq!(decode_stage("stages[0]", bad).unwrap_err().field, "stages[0]");
        }
    }

    #[test]
    fn weights_keep_their_family() {
        let weights = Weights([1, -2, 3, -4, 5, -6]);
        assert_eq!(decode_weights(encode_weights(weights)), weights);
        assert_eq!(encode_weights(weights).undeclared, weights.of(ThreatFamily::Undeclared));
    }

    #[test]
    fn actor_keys_read_back_and_impossible_ones_name_the_field() {
        for key in samples::actor_keys() {
            assert_eq!(decode_actor_key(encode_actor_key(&key)), Ok(key));
        }
        let bad = |key| decode_actor_key(pb::ActorKey { key }).unwrap_err().field;
        assert_eq!(bad(None), "key");
        assert_eq!(bad(Some(pb::actor_key::Key::FusionShard(64))), "fusion_shard");
        assert_eq!(
            bad(Some(pb::actor_key::Key::SchedulerTerminal("a b".into()))),
            "scheduler_terminal"
        );
        assert_eq!(bad(Some(pb::actor_key::Key::Placement(false))), "placement");
    }

    #[test]
    fn findings_read_back_and_unknown_codes_are_refused() {
        let finding = samples::finding();
        assert_eq!(decode_finding(encode_finding(&finding)), Ok(finding));
        let unknown = pb::Finding {
            code: "NO_SUCH_CODE".into(),
            ..pb::Finding::default()
        };
        assert_eq!(decode_finding(unknown).unwrap_err().field, "code");
    }
}
