//! The case file of one made-up container, whole and spoiled.

use super::*;

fn contribution(source: &str, modality: v1::Modality, adds: i32) -> v1::Contribution {
    v1::Contribution {
        source: source.to_owned(),
        modality: modality as i32,
        ability: v1::Ability::Clear as i32,
        adds_milli_decibans: adds,
    }
}

fn view(source: &str, modality: v1::Modality, says: &str) -> v1::SourceView {
    v1::SourceView {
        source: source.to_owned(),
        modality: modality as i32,
        ability: v1::Ability::Clear as i32,
        says: says.to_owned(),
    }
}

fn family(family: v1::ThreatFamily, manifest: i32, radiation: i32) -> v1::FamilyExplanation {
    v1::FamilyExplanation {
        family: family as i32,
        prior_milli_decibans: -30_000,
        contributions: vec![
            contribution("manifest", v1::Modality::Manifest, manifest),
            contribution("lane-9-radiation", v1::Modality::Radiation, radiation),
        ],
        score_milli_decibans: -30_000 + manifest + radiation,
        probability_ppm: 1_234,
        review_milli_decibans: -10_000,
        exam_milli_decibans: 0,
    }
}

fn answer() -> v1::GetInspectionResponse {
    let finding = |code: &str, meaning: &str| v1::Finding {
        code: code.to_owned(),
        field: "Occupied".to_owned(),
        detail: "always 1".to_owned(),
        meaning: meaning.to_owned(),
    };
    v1::GetInspectionResponse {
        inspection: Some(v1::Inspection {
            number: 41,
            equipment_id: "DM1234".to_owned(),
            terminal: "T1".to_owned(),
            source: "cli".to_owned(),
            announced_at_ms: 1_772_366_400_000,
            ready_at_ms: 1_772_366_400_000,
            stage: v1::Stage::UnderReview as i32,
            passes: 1,
            pass_complete: true,
            manifest: Some(v1::Manifest {
                document: Some(v1::Document {
                    sha256: vec![0xaa; 2].into(),
                    format: "wco-dm/3.6".to_owned(),
                    reference: Some("LRN1".to_owned()),
                }),
                goods: vec![v1::GoodsItem {
                    sequence: 1,
                    commodity_code: "18040000".to_owned(),
                    description: "Cocoa\u{1b}[2Jbutter".to_owned(),
                    gross_mass_g: Some(15_500),
                    dangerous_goods: Some(4),
                    ..Default::default()
                }],
                ..Default::default()
            }),
            findings: vec![finding(
                "EQUIPMENT_ID_SHAPE",
                "The id does not have the shape of ISO 6346.",
            )],
            evidence: vec![v1::Evidence {
                entry: 12,
                pass: 1,
                modality: v1::Modality::Radiation as i32,
                readings: Some(v1::ReadingRange {
                    device: "lane-9-radiation".to_owned(),
                    boot: 1,
                    first: 1,
                    last: 134,
                }),
                digest: vec![0xbb; 32].into(),
                interpreter: "radiation-gross/1".to_owned(),
                captured_at_ms: 1_772_366_433_000,
                findings: vec![v1::NotedFinding {
                    sample: 0,
                    finding: Some(finding(
                        "OCCUPANCY_UNUSABLE",
                        "The occupancy flag never changes and says nothing.",
                    )),
                }],
                total: Some(v1::EvidenceStep {
                    sample: 133,
                    ability: v1::Ability::Degraded as i32,
                    weights: None,
                }),
                ..Default::default()
            }],
            conclusion: Some(v1::Conclusion {
                tier: v1::Tier::Review as i32,
                scores: Some(v1::MilliDecibans {
                    nuclear: -15_000,
                    undeclared: -30_450,
                    ..Default::default()
                }),
                at_sample: 133,
                reasons: vec![v1::Reason {
                    tier: v1::Tier::Review as i32,
                    reason: Some(v1::reason::Reason::Missing(v1::Modality::Weighbridge as i32)),
                }],
                policy_sha256: vec![0xcc; 2].into(),
                evidence: vec![0],
                concluded_at_ms: 1_772_366_434_000,
                entry: 13,
                ..Default::default()
            }),
            explanation: Some(v1::Explanation {
                sentence: "Held for an officer's review: the weighbridge says nothing.".to_owned(),
                families: vec![
                    family(v1::ThreatFamily::Nuclear, 0, 15_000),
                    family(v1::ThreatFamily::Undeclared, 1_500, -1_950),
                ],
                unseen: vec!["the radiation portal saw only in part".to_owned()],
                would_change: vec!["a fresh look of the weighbridge would take this reason away".to_owned()],
                sources: vec![
                    view("manifest", v1::Modality::Manifest, "noticed nothing unusual"),
                    view("lane-9-radiation", v1::Modality::Radiation, "saw only in part"),
                ],
            }),
            ..Default::default()
        }),
        timeline_truncated: false,
        timeline: vec![v1::Event {
            entry: 11,
            at_ms: 1_772_366_400_000,
            kind: "pass_started".to_owned(),
            lane: Some(9),
            actor: Some(v1::Actor {
                text: "lane/9 e7".to_owned(),
                actor: None,
            }),
            detail_json: r#"{"inspection":41,"lane":9,"pass":1}"#.to_owned(),
            ..Default::default()
        }],
        read_point: None,
    }
}

#[test]
fn the_case_file_tells_the_whole_story_and_its_sum_adds_up() {
    let expected = "\
DM1234 (insp-41)
stage      under_review
terminal   T1
announced  2026-03-01T12:00:00.000Z by cli
ready      2026-03-01T12:00:00.000Z
priority   0
passes     1, the last one complete
document   wco-dm/3.6, sha256 aaaa, reference LRN1

Why
  Held for an officer's review: the weighbridge says nothing.

  How nuclear material comes to about 1 in 810 (10 dB more is ten times as likely):
  WHAT                           DB  SEEN
  before anything was seen  -30.000  how common it is among containers
  manifest                    0.000  noticed nothing unusual
  lane-9-radiation          +15.000  saw only in part
  = together                -15.000  about 1 in 810
  a review begins at        -10.000
  an exam begins at           0.000

  What could not be seen:
  - the radiation portal saw only in part

  What would change it:
  - a fresh look of the weighbridge would take this reason away

Goods
  #  CODE      DESCRIPTION        GROSS  NET  PACKAGES  ORIGIN  DANGEROUS
  1  18040000  Cocoa\u{fffd}[2Jbutter  15.5 kg    -         -          UN 0004

Findings about id, document and course of events
  FINDING             WHERE     WHAT      MEANING
  EQUIPMENT_ID_SHAPE  Occupied  always 1  The id does not have the shape of ISO 6346.

Timeline
  ENTRY  TIME                      EVENT         BY         DETAIL
     11  2026-03-01T12:00:00.000Z  pass_started  lane/9 e7  lane-9 pass=1

Evidence
  #  ENTRY  PASS  MODALITY   SOURCE, READINGS         SAW       LAST NEWS  FINDINGS  INTERPRETER        CAPTURED                  DIGEST
  0     12     1  radiation  lane-9-radiation 1..134  degraded        133         1  radiation-gross/1  2026-03-01T12:00:33.000Z  bbbbbbbbbbbb

Findings about the evidence
  #  FROM SAMPLE  FINDING             WHERE     WHAT      MEANING
  0            0  OCCUPANCY_UNUSABLE  Occupied  always 1  The occupancy flag never changes and says nothing.

Sum of weights, dB (prior + what each source adds = score)
  FAMILY        PRIOR  manifest  lane-9-radiation  = SCORE  PROBABILITY  REVIEW AT  EXAM AT
  nuclear     -30.000     0.000           +15.000  -15.000     0.1234 %    -10.000    0.000  adds up
  undeclared  -30.000    +1.500            -1.950  -30.450     0.1234 %    -10.000    0.000  adds up

Conclusion
  tier       review
  why        Held for an officer's review: the weighbridge says nothing.
  reasons    review: weighbridge evidence is required and missing
  judged     after sample 133, the last that told anything new
  evidence   # 0
  policy     cccc
  concluded  2026-03-01T12:00:34.000Z, log entry 13
";
    assert_eq!(text(&answer(), None), expected);
    assert_eq!(check_sums(&answer().inspection.unwrap()), Vec::<String>::new());
}

#[test]
fn a_sum_that_does_not_add_up_or_is_not_the_concluded_one_is_found() {
    let mut inspection = answer().inspection.unwrap();
    inspection.explanation.as_mut().unwrap().families[0].prior_milli_decibans += 1;
    inspection
        .conclusion
        .as_mut()
        .unwrap()
        .scores
        .as_mut()
        .unwrap()
        .undeclared = 0;
    assert_eq!(
        check_sums(&inspection),
        [
            "the sum of nuclear does not add up",
            "the explained score of undeclared is not the one that was concluded from"
        ]
    );
    assert!(sums(&inspection, None).contains("DOES NOT ADD UP"));
}

#[test]
fn the_same_source_twice_has_two_columns() {
    let mut inspection = answer().inspection.unwrap();
    let family = &mut inspection.explanation.as_mut().unwrap().families[0];
    family
        .contributions
        .push(contribution("manifest", v1::Modality::Manifest, 7));
    let text = sums(&inspection, None);
    assert!(text.contains("manifest (2)") && text.contains("+0.007"), "{text}");
}

#[test]
fn a_case_without_conclusion_says_where_it_stands() {
    let inspection = v1::Inspection {
        stage: v1::Stage::Queued as i32,
        ..Default::default()
    };
    assert_eq!(conclusion(&inspection), "none yet: queued");
    let text = text(&v1::GetInspectionResponse::default(), Some(80));
    assert!(text.contains("none yet"), "{text}");
}
