//! `portcullis errors`: what each reason of a refusal, and each finding, means.

use portcullis_domain::finding::FindingCode;
use portcullis_domain::outcome::RefusalReason;
use serde_json::{Value, json};

use super::failure::{Exit, Failure};
use super::output::{Output, table};

/// Reasons that do not come from the ledger but from a node on the way to it, or from a lane to its device.
const OTHERS: &[(&str, &str, &str)] = &[
    (
        "api",
        "OUTCOME_UNKNOWN",
        "The write may still take effect; ask again with the same request id.",
    ),
    (
        "api",
        "NO_LEADER",
        "The cluster has no leader right now; ask again in a moment.",
    ),
    (
        "api",
        "NO_QUORUM",
        "The node cannot reach a majority, so it neither takes writes nor vouches for reads; ask again or ask another one.",
    ),
    ("api", "NODE_STOPPED", "The node is stopping; ask another one."),
    (
        "api",
        "DEADLINE_BEFORE_SUBMIT",
        "The request waited until its deadline and certainly had no effect; ask again with more time.",
    ),
    ("api", "OVERLOADED", "Too much is waiting; ask again in a moment."),
    (
        "api",
        "COMMAND_TOO_LARGE",
        "The request is larger than one entry of the log may be.",
    ),
    (
        "api",
        "COMMAND_UNREADABLE",
        "The leader runs a version of the program that cannot read the request; ask again after the upgrade.",
    ),
    (
        "api",
        "ENTRY_NOT_HERE",
        "The node does not have this part of the log at hand; ask another one.",
    ),
    (
        "api",
        "INDEX_NOT_READY",
        "The node opens its index or makes it again from the log; ask again in a moment, or ask another one.",
    ),
    (
        "api",
        "ENTRY_BEYOND_HEAD",
        "The log does not have that many entries yet.",
    ),
    (
        "api",
        "TOKEN_MALFORMED",
        "The text is not a token that was given out, or not all of it.",
    ),
    (
        "api",
        "TOKEN_VERSION_UNKNOWN",
        "A newer version of the program gave the token out.",
    ),
    (
        "api",
        "TOKEN_OF_OTHER_CALL",
        "The token is for listing and was given to a watch, or the other way round.",
    ),
    ("api", "TOKEN_OF_OTHER_CLUSTER", "Another cluster gave the token out."),
    (
        "api",
        "TOKEN_OF_OTHER_CONDITIONS",
        "The token was given out for other conditions.",
    ),
    ("api", "TOKEN_TOO_OLD", "What follows the token is not kept any more."),
    (
        "api",
        "LANE_NOT_RUNNING",
        "The lane has no home right now; attach again in a moment.",
    ),
    (
        "api",
        "TOO_MANY_WATCHERS",
        "The node follows the log for as many clients as it may; ask another one.",
    ),
    (
        "api",
        "TOO_MANY_DEVICES",
        "The node has as many devices attached as it may; attach to another one.",
    ),
    ("api", "INTERNAL", "A fault of the node; its log tells more."),
    (
        "device",
        "SIGNATURE_INVALID",
        "The signature is not one of the device over this reading.",
    ),
    ("device", "READING_UNREADABLE", "The bytes are no reading."),
    (
        "device",
        "READING_OF_ANOTHER_DEVICE",
        "The reading names another device than the one attached.",
    ),
    (
        "device",
        "READING_FOR_ANOTHER_CONTAINER",
        "Another container is in the lane.",
    ),
    (
        "device",
        "NOT_A_SENSOR",
        "The device controls the lane and measures nothing.",
    ),
    (
        "device",
        "WRONG_MODALITY",
        "The device is configured to measure something else.",
    ),
    (
        "device",
        "NO_PASS",
        "No pass is under way in which the device takes part.",
    ),
    (
        "device",
        "PASS_TOO_LARGE",
        "The readings of the pass have more bytes than one pass may have.",
    ),
    ("device", "SAMPLE_OUT_OF_ORDER", "A later sample was taken before."),
    ("device", "NOT_CALLED_UP", "The lane has called up another container."),
    (
        "device",
        "NOT_PROFILED",
        "The manifest of the container was not weighed in time; report the container again.",
    ),
    (
        "device",
        "ASSIGNED_ELSEWHERE",
        "The container is at a stage or on a lane that does not let this lane take it.",
    ),
    (
        "device",
        "UNKNOWN_DEVICE",
        "The device is not in the lane's definition.",
    ),
    (
        "device",
        "NOT_HERE",
        "The node does not run the lane right now; attach again in a moment.",
    ),
];

/// A code with its kind and meaning.
struct Row {
    kind: &'static str,
    code: &'static str,
    meaning: &'static str,
}

pub(super) fn list(output: &mut Output, code: Option<&str>) -> Result<Exit, Failure> {
    let rows = rows(code)?;
    output.document(
        || {
            let rows: Vec<Value> = rows
                .iter()
                .map(|row| json!({ "kind": row.kind, "code": row.code, "meaning": row.meaning }))
                .collect();
            json!({ "reasons": rows })
        },
        |width| {
            let rows = rows
                .iter()
                .map(|row| vec![row.kind.to_owned(), row.code.to_owned(), row.meaning.to_owned()])
                .collect();
            table(&["KIND", "CODE", "MEANING"], rows, &[], width)
        },
    )?;
    Ok(Exit::Ok)
}

fn rows(code: Option<&str>) -> Result<Vec<Row>, Failure> {
    let refusals = RefusalReason::ALL.iter().map(|reason| Row {
        kind: "refusal",
        code: reason.as_str(),
        meaning: reason.meaning(),
    });
    let others = OTHERS.iter().map(|(kind, code, meaning)| Row { kind, code, meaning });
    let findings = FindingCode::ALL.iter().map(|code| Row {
        kind: "finding",
        code: code.as_str(),
        meaning: code.meaning().trim(),
    });
    let all = refusals.chain(others).chain(findings);
    let Some(code) = code else { return Ok(all.collect()) };
    let wanted = code.trim().to_ascii_uppercase();
    let found: Vec<Row> = all.filter(|row| row.code == wanted).collect();
    if found.is_empty() {
        return Err(Failure::new(Exit::NotFound, format!("there is no code {code:?}"))
            .next("portcullis errors lists all; a newer node may have newer ones"));
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_reason_is_listed_once_with_a_sentence() {
        let rows = rows(None).unwrap();
        assert!(rows.len() >= RefusalReason::ALL.len() + FindingCode::ALL.len());
        assert!(rows.iter().all(|row| row.meaning.ends_with('.')));
        let refusals: BTreeSet<_> = rows
            .iter()
            .filter(|row| row.kind != "finding")
            .map(|row| row.code)
            .collect();
        assert_eq!(refusals.len(), RefusalReason::ALL.len() + OTHERS.len());
    }

    #[test]
    fn one_code_is_found_in_any_case_and_an_unknown_one_is_not() {
        let found = rows(Some("wrong_stage")).unwrap();
        assert_eq!((found.len(), found[0].kind), (1, "refusal"));
        assert_eq!(rows(Some("NO_SUCH")).err().unwrap().exit, Exit::NotFound);
    }
}
