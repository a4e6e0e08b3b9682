//! `portcullis evaluate`: how good fusion, manifest risk and radiation evidence are, with intervals.

use portcullis_learning::evaluate::FusionInput;
use portcullis_learning::policy::LearnOptions;
use portcullis_learning::radiation::Settings;
use portcullis_learning::risk::TrainOptions;
use serde_json::Value;

use super::figures::{Bar, figure, percent, plain};
use super::policy::{lane_containers, learned, named, read, shipped, unreadable, world};
use super::risk::{models_of, records};
use super::{EvaluateFusionArgs, EvaluateLanesArgs, EvaluateRadiationArgs, EvaluateRiskArgs};
use crate::cli::failure::{Exit, Failure};
use crate::cli::output::{Output, facts, section, table};

/// A report as JSON, from which the text for people is made as well: both say the same.
fn json(report: &impl serde::Serialize) -> Result<Value, Failure> {
    serde_json::to_value(report).map_err(|error| Failure::new(Exit::Error, error.to_string()))
}

pub(super) fn fusion(output: &mut Output, args: &EvaluateFusionArgs) -> Result<Exit, Failure> {
    let world = world(&args.world)?;
    let (policy, claims) = match &args.policy {
        Some(file) => (read(file)?, None),
        None => {
            let options = LearnOptions {
                name: format!("learned in {}", world.name),
                // Other containers than those that are judged.
                seed: args.seed.wrapping_add(1),
                ..LearnOptions::default()
            };
            let learned = learned(&world, args.containers, &options)?;
            (learned.policy, Some(learned.claims))
        }
    };
    let bar = Bar::new("judging");
    let input = FusionInput {
        claims: claims.as_ref(),
        ..FusionInput::new(&world, &policy, args.containers, args.seed)
    };
    let report = portcullis_learning::evaluate::fusion(&input, &|done, of| bar.at(done, of));
    drop(bar);
    let report = json(&report)?;
    output.document(|| report.clone(), |width| fusion_text(&report, width))?;
    Ok(Exit::Ok)
}

pub(super) fn lanes(output: &mut Output, args: &EvaluateLanesArgs) -> Result<Exit, Failure> {
    let policy = match &args.policy {
        Some(file) => read(file)?,
        None => shipped(args.sensors)?,
    };
    let models = models_of(&policy, &args.models)?;
    let containers = lane_containers(args.sensors.outfit(), args.containers, args.seed, &models)?;
    let report = json(&portcullis_learning::evaluate::lanes(&policy, &containers, None))?;
    output.document(|| report.clone(), |width| lanes_text(&report, width))?;
    Ok(Exit::Ok)
}

fn lanes_text(report: &Value, width: Option<u16>) -> String {
    let text = |value: &Value| value.as_str().unwrap_or("-").to_owned();
    let minutes = &report["lane_minutes"];
    let share = |key: &str| figure(&report[key], percent);
    let head = facts(&[
        ("policy", text(&report["policy"])),
        (
            "containers",
            figure(&report["containers"], |count| format!("{count:.0}")),
        ),
        ("threats released", share("missed")),
        ("needless reviews", share("needless_review")),
        ("needless exams", share("needless_exam")),
        ("of these, could not be seen", share("unseen")),
        ("threats among those held", share("ppv")),
        ("stopped early", share("stopped_early")),
        ("AUC", figure(&report["auc"], plain)),
        ("calibration error", figure(&report["ece"], plain)),
        (
            "lane minutes",
            format!(
                "{}; p95 {}",
                figure(&minutes["mean"], plain),
                figure(&minutes["p95"], plain)
            ),
        ),
    ]);
    [
        head,
        "\n".to_owned(),
        section("By family", &families_table(report, width)),
        section(
            "Beside the figures that the system was founded on",
            &founding_table(report, width),
        ),
    ]
    .concat()
}

fn fusion_text(report: &Value, width: Option<u16>) -> String {
    let text = |value: &Value| value.as_str().unwrap_or("-").to_owned();
    let head = facts(&[
        ("world", text(&report["world"])),
        ("policy", text(&report["policy"])),
        (
            "containers",
            figure(&report["containers"], |count| format!("{count:.0}")),
        ),
        ("fewest misses possible", figure(&report["bayes_limit_missed"], percent)),
        ("drift", drift_text(&report["drift"])),
    ]);
    let naive = &report["naive"];
    let rows = [
        ("threats released", "missed"),
        ("as claimed", "claimed_missed"),
        ("needless reviews", "needless_review"),
        ("needless exams", "needless_exam"),
        ("both, as claimed", "claimed_needless"),
        ("of these, could not be seen", "unseen"),
        ("threats among those held", "ppv"),
        ("stopped early", "stopped_early"),
    ]
    .map(|(name, key)| {
        vec![
            name.to_owned(),
            figure(&report[key], percent),
            figure(&naive[key], percent),
        ]
    });
    let minutes = |of: &Value| {
        let minutes = &of["lane_minutes"];
        format!(
            "{}; p95 {}",
            figure(&minutes["mean"], plain),
            figure(&minutes["p95"], plain)
        )
    };
    let mut rows = rows.to_vec();
    rows.push(vec![
        "AUC".to_owned(),
        figure(&report["auc"], plain),
        figure(&naive["auc"], plain),
    ]);
    rows.push(vec![
        "calibration error".to_owned(),
        figure(&report["ece"], plain),
        figure(&naive["ece"], plain),
    ]);
    rows.push(vec!["lane minutes".to_owned(), minutes(report), minutes(naive)]);
    let rates = table(&["", "THIS POLICY", "NAIVE SUM"], rows, &[], width);
    [
        head,
        "
"
        .to_owned(),
        section("Rates, with 95 % intervals", &rates),
        section("By family", &families_table(report, width)),
        section(
            "Beside the figures that the system was founded on",
            &founding_table(report, width),
        ),
    ]
    .concat()
}

fn families_table(report: &Value, width: Option<u16>) -> String {
    let families = report["by_family"].as_object().into_iter().flatten();
    let rows = families.map(|(family, of)| {
        vec![
            family.clone(),
            figure(&of["missed"], percent),
            figure(&of["examined"], percent),
        ]
    });
    table(&["FAMILY", "RELEASED", "EXAMINED"], rows.collect(), &[], width)
}

fn founding_table(report: &Value, width: Option<u16>) -> String {
    let rows = report["founding"].as_array().into_iter().flatten().map(|one| {
        let share = |key: &str| figure(&one[key], percent);
        vec![
            one["what"].as_str().unwrap_or("-").to_owned(),
            share("needless"),
            share("missed"),
            share("missed_here"),
        ]
    });
    table(
        &["", "HELD", "MISSED", "MISSED HERE"],
        rows.collect(),
        &[1, 2, 3],
        width,
    )
}

fn drift_text(drift: &Value) -> String {
    let watched = figure(&drift["watched"], |count| format!("{count:.0}"));
    match drift["alarm_after"].as_u64() {
        Some(after) => format!(
            "alarm after {after} containers: {}",
            drift["alarm_by"].as_str().unwrap_or("-")
        ),
        None => format!("no alarm in {watched} containers"),
    }
}

pub(super) fn risk(output: &mut Output, args: &EvaluateRiskArgs) -> Result<Exit, Failure> {
    let (train, test) = (records(&args.train)?, records(&args.test)?);
    let valid = args.valid.as_deref().map(records).transpose()?;
    let options = TrainOptions {
        seed: args.seed,
        ..TrainOptions::default()
    };
    let bar = Bar::new("fitting");
    let report = portcullis_learning::risk::evaluate(&train, &test, valid.as_deref(), &options, &|done, of| {
        bar.at(done, of);
    });
    drop(bar);
    let report = json(&report.map_err(|error| named(&args.train, error.to_string()))?)?;
    output.document(
        || report.clone(),
        |width| risk_text(&report, train.len(), test.len(), width),
    )?;
    Ok(Exit::Ok)
}

fn risk_text(report: &Value, fitted: usize, measured: usize, width: Option<u16>) -> String {
    let auc = &report["auc_interval"];
    let auc = serde_json::json!({ "value": report["auc"], "low": auc["low"], "high": auc["high"] });
    let head = facts(&[
        (
            "declarations",
            format!("{fitted} to learn from, {measured} later ones to measure on"),
        ),
        ("AUC", figure(&auc, plain)),
        ("Brier score", figure(&report["brier"], plain)),
        ("calibration error", figure(&report["ece"], plain)),
        ("fitted in", figure(&report["fit_s"], |s| format!("{s:.1} s"))),
        (
            "scored in",
            figure(&report["score_us_per_row"], |us| format!("{us:.1} us a row")),
        ),
    ]);
    let rows = ["1", "2", "5", "10"].map(|share| {
        let at = |figures: &Value| figure(&figures[share], percent);
        vec![
            format!("{share} %"),
            at(&report["precision_at"]),
            at(&report["recall_at"]),
            at(&report["critical"]["recall_at"]),
        ]
    });
    let headers = ["REVIEWED", "FRAUD AMONG THEM", "OF ALL FRAUD", "OF ALL CRITICAL FRAUD"];
    let shares = table(&headers, rows.to_vec(), &[0], width);
    [
        head,
        "
"
        .to_owned(),
        section("The riskiest declarations", &shares),
    ]
    .concat()
}

pub(super) fn radiation(output: &mut Output, args: &EvaluateRadiationArgs) -> Result<Exit, Failure> {
    let csv = std::fs::read_to_string(&args.spectra).map_err(|error| unreadable(&args.spectra, &error))?;
    let settings = Settings {
        seconds: args.seconds,
        trials: args.trials,
        seed: args.seed,
        ..Settings::default()
    };
    let bar = Bar::new("looking");
    let report = portcullis_learning::radiation::evaluate(&csv, &settings, &|done, of| bar.at(done, of));
    drop(bar);
    let report = json(&report.map_err(|error| named(&args.spectra, error.to_string()))?)?;
    output.document(|| report.clone(), |width| radiation_text(&report, width))?;
    Ok(Exit::Ok)
}

fn radiation_text(report: &Value, width: Option<u16>) -> String {
    let head = facts(&[
        ("look", figure(&report["seconds"], |s| format!("{s} s"))),
        ("detected", figure(&report["detection"], percent)),
        ("false alarms", figure(&report["false_alarms"], percent)),
    ]);
    let classes: Vec<&String> = report["confusion"]
        .as_object()
        .into_iter()
        .flat_map(|rows| rows.keys())
        .collect();
    let called: std::collections::BTreeSet<&String> = report["confusion"]
        .as_object()
        .into_iter()
        .flat_map(|rows| rows.values())
        .filter_map(|row| row["called"].as_object())
        .flat_map(|called| called.keys())
        .collect();
    let rows = classes.iter().map(|class| {
        let row = &report["confusion"][class.as_str()];
        let shares = called
            .iter()
            .map(|name| figure(&row["called"][name.as_str()]["value"], percent));
        [(*class).clone(), figure(&row["detected"]["value"], percent)]
            .into_iter()
            .chain(shares)
            .collect()
    });
    let names: Vec<String> = called.iter().map(|name| name.to_uppercase()).collect();
    let headers: Vec<&str> = ["IS", "DETECTED"]
        .into_iter()
        .chain(names.iter().map(String::as_str))
        .collect();
    let numbers: Vec<usize> = (1..headers.len()).collect();
    let confusion = table(&headers, rows.collect(), &numbers, width);
    [
        head,
        "
"
        .to_owned(),
        section("What is inside, and what it is called", &confusion),
    ]
    .concat()
}
