//! The evaluation on a small table that is made here, and on the public one.

use super::*;

/// A table of `live` seconds: a falling background, and caesium as a peak on it.
fn table() -> String {
    let header: Vec<String> = (0..1_024).map(|channel| format!("c{channel}")).collect();
    let falling = |channel: i32| (1_800.0 * 30.0 * (-f64::from(channel) / 95.0).exp()).round();
    let peak = |channel: i32| (1_800.0 * 40.0 * (-0.5 * (f64::from(channel - 220) / 6.6).powi(2)).exp()).round();
    let row = |name: &str, counts: &dyn Fn(i32) -> f64| {
        let counts: Vec<String> = (0..1_024).map(|channel| counts(channel).to_string()).collect();
        format!("{name},1800,{}", counts.join(","))
    };
    [
        format!("name,live_time_s,{}", header.join(",")),
        row("background", &falling),
        row("Cs137_Unshielded", &|channel| falling(channel) + peak(channel)),
    ]
    .join("\n")
}

fn settings() -> Settings {
    Settings {
        seconds: 2.0,
        trials: 20,
        false_alarm_rate: 0.05,
        ..Settings::default()
    }
}

#[test]
fn a_report_is_the_same_for_the_same_seed_and_another_for_another() {
    let table = table();
    let run = |seed| evaluate(&table, &Settings { seed, ..settings() }, &|_, _| {}).unwrap();
    assert_eq!(run(1), run(1));
    assert_ne!(run(1).threshold, run(2).threshold);
}

#[test]
fn a_strong_source_is_detected_named_and_called_by_its_class() {
    let report = evaluate(&table(), &settings(), &|_, _| {}).unwrap();
    assert_eq!(report.detection.value, 1.0);
    let industrial = &report.confusion["industrial"];
    assert_eq!(industrial.called["industrial"].value, 1.0);
    assert!(report.spectra[1].named.unwrap().value > 0.9);
    assert!(
        report.false_alarms.low <= 0.05 && report.false_alarms.high >= 0.02,
        "{report:?}"
    );
    let json = serde_json::to_value(&report).unwrap();
    assert!(
        json["confusion"]["industrial"]["called"]["industrial"]["low"]
            .as_f64()
            .unwrap()
            > 0.8
    );
}

#[test]
fn progress_ends_with_everything_done() {
    let last = std::cell::Cell::new((0, 0));
    evaluate(&table(), &settings(), &|done, of| {
        assert!(done > last.get().0);
        last.set((done, of));
    })
    .unwrap();
    assert_eq!(last.get(), (3, 3));
}

#[test]
fn settings_out_of_range_are_refused_by_name() {
    let table = table();
    let refused = |settings: Settings| evaluate(&table, &settings, &|_, _| {}).unwrap_err().to_string();
    let zero = |change: &dyn Fn(&mut Settings)| {
        let mut settings = settings();
        change(&mut settings);
        refused(settings)
    };
    assert!(zero(&|settings| settings.seconds = f64::NAN).contains("seconds"));
    assert!(zero(&|settings| settings.trials = 0).contains("trials"));
    assert!(zero(&|settings| settings.false_alarm_rate = 1.0).contains("false_alarm_rate"));
    assert!(zero(&|settings| settings.background_seconds = 0.0).contains("background_seconds"));
    assert!(zero(&|settings| settings.kev_per_channel = -3.0).contains("kev_per_channel"));
}

#[test]
fn wilsons_interval_is_the_published_one() {
    let rate = Estimate::of(10, 100);
    assert!(
        (rate.low - 0.0552).abs() < 2e-4 && (rate.high - 0.1744).abs() < 2e-4,
        "{rate:?}"
    );
    assert_eq!((Estimate::of(0, 0).low, Estimate::of(0, 0).high), (0.0, 1.0));
    assert_eq!((Estimate::of(0, 10).low, Estimate::of(10, 10).high), (0.0, 1.0));
}

#[test]
fn the_public_table_is_told_apart_by_class_better_than_by_chance() {
    let path = std::env::var_os("PORTCULLIS_TEST_DATA")
        .map(|root| std::path::PathBuf::from(root).join("spectra/spectra_2x4x16_nai.csv"));
    let Some(text) = path.and_then(|path| std::fs::read_to_string(path).ok()) else {
        eprintln!("skipped: test data file spectra/spectra_2x4x16_nai.csv is not below PORTCULLIS_TEST_DATA");
        return;
    };
    // A handful of rows is enough here; the whole table is for `evaluate` in release mode.
    let wanted = [
        "name",
        "background",
        "Cs137_Shielded",
        "K40_Unshielded",
        "Tc99m_Phantom",
        "U235_Unshielded",
    ];
    let rows: Vec<&str> = text
        .lines()
        .filter(|line| wanted.contains(&line.split(',').next().unwrap_or_default()))
        .collect();
    let report = evaluate(&rows.join("\n"), &settings(), &|_, _| {}).unwrap();
    for class in ["industrial", "norm", "medical", "special_nuclear"] {
        let right = report.confusion[class].called.get(class).map_or(0.0, |rate| rate.value);
        assert!(right > 0.8, "{class}: {:?}", report.confusion[class]);
    }
}
