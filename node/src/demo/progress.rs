//! What a person sees while a demo works: one line on the terminal, on standard error.

use std::io::IsTerminal;
use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};

use super::course::Course;

/// The line, if there is a terminal to show it on.
pub(super) struct Progress {
    bar: Option<ProgressBar>,
    last: (u64, std::time::Duration),
    per_minute: f64,
}

impl Progress {
    pub(super) fn new(containers: Option<u32>) -> Self {
        let bar = std::io::stderr().is_terminal().then(|| {
            let bar = containers.map_or_else(ProgressBar::new_spinner, |count| ProgressBar::new(u64::from(count)));
            let template = if containers.is_some() {
                "{bar:30} {pos}/{len} concluded  {msg}"
            } else {
                "{spinner} {pos} concluded  {msg}"
            };
            bar.set_style(ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar()));
            bar.enable_steady_tick(Duration::from_millis(250));
            bar
        });
        Self {
            bar,
            last: (0, Duration::ZERO),
            per_minute: 0.0,
        }
    }

    /// Shows how things stand `elapsed` after the start.
    pub(super) fn show(&mut self, course: &Course, speed: f64, elapsed: Duration) {
        let concluded = course.concluded() as u64;
        let since = elapsed.saturating_sub(self.last.1);
        if since >= Duration::from_secs(2) {
            self.per_minute = (concluded - self.last.0) as f64 * 60.0 / since.as_secs_f64();
            self.last = (concluded, elapsed);
        }
        let Some(bar) = &self.bar else { return };
        bar.set_position(concluded);
        let latency = course.latency_ms(0.5).map_or(0.0, |port_ms| port_ms as f64 / speed);
        bar.set_message(format!(
            "{:.0} a minute, {} open, {} on lanes, conclusion after {latency:.1} ms",
            self.per_minute,
            course.open(),
            course.on_lanes().count(),
        ));
    }

    /// Prints a line above the progress line, or plainly without a terminal.
    pub(super) fn say(&self, line: &str) {
        match &self.bar {
            Some(bar) => bar.println(line),
            None => eprintln!("{line}"),
        }
    }

    pub(super) fn finish(&self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}
