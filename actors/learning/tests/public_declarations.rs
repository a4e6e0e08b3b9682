//! The floors that the risk model must hold on public declarations: a year to learn from, the next quarter to measure.
//! Skips, and says so, when the files are absent.

#![allow(clippy::unwrap_used)]

use std::path::PathBuf;

use portcullis_detectors::risk::DeclaredItem;
use portcullis_learning::risk::{Record, TrainOptions, measure, read_records, train};

fn load(name: &str) -> Option<Vec<Record>> {
    let root = std::env::var_os("PORTCULLIS_TEST_DATA").map(PathBuf::from);
    let path = root
        .map(|root| root.join("customs").join(name))
        .filter(|path| path.exists());
    let Some(path) = path else {
        eprintln!("skipped: test data file customs/{name} is not below PORTCULLIS_TEST_DATA");
        return None;
    };
    Some(read_records(&path).unwrap())
}

#[test]
fn a_model_of_one_year_ranks_and_is_calibrated_in_the_next_quarter() {
    let (Some(year), Some(quarter)) = (load("df_syn_train_eng.csv"), load("df_syn_valid_eng.csv")) else {
        return;
    };
    assert_eq!((year.len(), quarter.len()), (37_385, 8_134));
    // Fewer and larger steps than by default, to be done in time without full optimization.
    let options = TrainOptions {
        trees: 120,
        learning_rate: 0.12,
        ..Default::default()
    };
    let model = train(&year, &options, &|_, _| {}).unwrap();
    let report = measure(&model, &quarter, 0.0, 1);
    assert!(report.auc >= 0.80, "{report:?}");
    assert!(report.precision_at["5"].value >= 0.75, "{report:?}");
    assert!(report.ece.value <= 0.03, "{report:?}");
    assert!(report.critical.recall_at["10"].value >= 0.20, "{report:?}");

    for record in year.iter().chain(&quarter) {
        let score = model.score(&record.item);
        let sum = score.bias + score.contributions.iter().sum::<i32>();
        assert_eq!(sum, score.total, "declaration {}", record.id);
    }

    // Traders and goods that nobody knows are ranked by the rest, and all in all not far from the known ones.
    let strange = |item: &DeclaredItem| DeclaredItem {
        importer: "never seen".to_owned(),
        hs6: format!("{}zz", item.hs6.get(..4).unwrap_or_default()),
        ..item.clone()
    };
    let strangers: Vec<Record> = quarter
        .iter()
        .map(|record| Record {
            item: strange(&record.item),
            ..record.clone()
        })
        .collect();
    let report = measure(&model, &strangers, 0.0, 1);
    assert!(report.auc >= 0.65, "{report:?}");
}
