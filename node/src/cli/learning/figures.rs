//! Figures for people: rates with their intervals, and how far a long computation is.

use std::io::IsTerminal;
use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};
use serde_json::Value;

/// A figure of a report: a number, or `{value, low, high}`; a dash where there is none.
pub(super) fn figure(value: &Value, show: impl Fn(f64) -> String) -> String {
    let of = |key: &str| value.get(key).and_then(Value::as_f64).map(&show);
    match (value.as_f64(), of("value"), of("low"), of("high")) {
        (Some(number), ..) => show(number),
        (None, Some(value), Some(low), Some(high)) => format!("{value}  ({low} to {high})"),
        (None, Some(value), ..) => value,
        _ => "-".to_owned(),
    }
}

/// A share of one as a percentage.
pub(super) fn percent(share: f64) -> String {
    let percent = share * 100.0;
    match percent.abs() < 1.0 {
        true => format!("{percent:.3} %"),
        false => format!("{percent:.2} %"),
    }
}

/// A number with three digits behind the point.
pub(super) fn plain(number: f64) -> String {
    format!("{number:.3}")
}

/// A bar on standard error, if that is a terminal.
pub(super) struct Bar(Option<ProgressBar>);

impl Bar {
    /// Begins, and says what is done.
    pub(super) fn new(what: &str) -> Self {
        Self(std::io::stderr().is_terminal().then(|| {
            let style = ProgressStyle::with_template("{msg}  {bar:30} {percent} %")
                .unwrap_or_else(|_| ProgressStyle::default_bar());
            let bar = ProgressBar::new(1).with_style(style).with_message(what.to_owned());
            bar.enable_steady_tick(Duration::from_millis(250));
            bar
        }))
    }

    /// So much of so much is done.
    pub(super) fn at(&self, done: u64, of: u64) {
        if let Some(bar) = &self.0 {
            bar.set_length(of.max(1));
            bar.set_position(done);
        }
    }
}

impl Drop for Bar {
    fn drop(&mut self) {
        if let Some(bar) = &self.0 {
            bar.finish_and_clear();
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_rate_is_shown_with_its_interval() {
        let rate = json!({ "value": 0.0283, "low": 0.0271, "high": 0.0295 });
        assert_eq!(figure(&rate, percent), "2.83 %  (2.71 % to 2.95 %)");
        assert_eq!(figure(&json!(0.0005), percent), "0.050 %");
        assert_eq!(figure(&json!({ "value": 1.5 }), plain), "1.500");
        assert_eq!(figure(&Value::Null, plain), "-");
    }
}
