//! Why a container is held or released, for an officer.

use portcullis_domain::evidence::ThreatFamily;
use portcullis_domain::explanation::{chance, decibans, threat};
use portcullis_proto::v1;

use super::super::words;
use super::{bullets, signed, some_table};

/// The explanation for somebody who knows nothing of the program: a sentence, the sum of the family that matters most
/// with what each source saw, what could not be seen, and what would change it. Empty without a conclusion.
pub(super) fn text(inspection: &v1::Inspection, width: Option<u16>) -> String {
    let Some(explanation) = &inspection.explanation else {
        return String::new();
    };
    let mut parts = vec![format!("{}\n", explanation.sentence)];
    if let Some(family) = explanation.families.first() {
        parts.push(format!(
            "\nHow {} comes to {} (10 dB more is ten times as likely):\n{}\n",
            threat_words(family.family),
            chance(family.probability_ppm),
            ladder(family, &explanation.sources, width)
        ));
    }
    for (title, lines) in [
        ("What could not be seen", &explanation.unseen),
        ("What would change it", &explanation.would_change),
    ] {
        if !lines.is_empty() {
            parts.push(format!("\n{title}:\n{}\n", bullets(Some(lines))));
        }
    }
    parts.concat().trim_end().to_owned()
}

/// One line for each summand, and what the sum is compared with.
fn ladder(family: &v1::FamilyExplanation, sources: &[v1::SourceView], width: Option<u16>) -> String {
    let line = |what: &str, amount: String, says: String| vec![what.to_owned(), amount, says];
    let mut rows = vec![line(
        "before anything was seen",
        decibans(i64::from(family.prior_milli_decibans)),
        "how common it is among containers".to_owned(),
    )];
    for (index, one) in family.contributions.iter().enumerate() {
        let view = sources.get(index).filter(|view| view.source == one.source);
        let says = view.map(|view| view.says.clone()).unwrap_or_default();
        rows.push(line(&one.source, signed(one.adds_milli_decibans), says));
    }
    let compared = [
        (
            "= together",
            family.score_milli_decibans,
            chance(family.probability_ppm),
        ),
        ("a review begins at", family.review_milli_decibans, String::new()),
        ("an exam begins at", family.exam_milli_decibans, String::new()),
    ];
    rows.extend(compared.map(|(what, amount, says)| line(what, decibans(i64::from(amount)), says)));
    some_table(&["WHAT", "DB", "SEEN"], rows, &[1], width)
}

fn threat_words(family: i32) -> String {
    let word = words::family(family);
    let known = ThreatFamily::ALL.into_iter().find(|known| known.as_str() == word);
    known.map_or(word, |family| threat(family).to_owned())
}
