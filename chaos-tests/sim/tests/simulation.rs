//! The simulation itself: the same seed does the same, seeds differ, and a bounded share of them breaks no promise.
//! `portcullis-chaos sim` runs as many as one likes.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::path::Path;
use std::process::{Command, Output};
use std::time::Duration;

use portcullis_chaos::simulation::{Outcome, Simulator, Sweep, sweep};

const PROGRAM: &str = env!("CARGO_BIN_EXE_portcullis-sim");
/// Seeds that once found something; each line of the file begins with one.
const REGRESSIONS: &str = include_str!("../../regressions/seeds.txt");

fn traced(seed: u64, trace: &Path) -> Output {
    Command::new(PROGRAM)
        .args(["--seed", &seed.to_string(), "--trace"])
        .arg(trace)
        .env("RUST_LOG", "info,turmoil=trace")
        .output()
        .unwrap()
}

#[test]
fn the_same_seed_gives_the_same_trace_to_the_byte_and_another_one_does_not() {
    let place = tempfile::tempdir().unwrap();
    let [first, second, other] = ["first", "second", "other"].map(|name| place.path().join(name));
    let (one, two) = (traced(3, &first), traced(3, &second));
    assert_eq!(one.stdout, two.stdout);
    let (first, second) = (std::fs::read(first).unwrap(), std::fs::read(second).unwrap());
    assert!(first.len() > 100_000, "the trace says much: {} bytes", first.len());
    assert!(
        first == second,
        "the traces differ from byte {:?} on",
        first.iter().zip(&second).position(|(a, b)| a != b)
    );

    let another = traced(4, &other);
    let digest = |output: &Output| serde_json::from_slice::<Outcome>(&output.stdout).unwrap().digest;
    assert_ne!(digest(&one), digest(&another));
}

#[tokio::test]
async fn no_seed_of_a_bounded_share_breaks_a_promise() {
    let simulator = Simulator::at(Path::new(PROGRAM), Duration::from_secs(120));
    let plan = Sweep {
        first: 1,
        seeds: Some(400),
        until_failure: true,
        at_most: Some(Duration::from_secs(45)),
    };
    let summary = sweep(&simulator, &plan, |outcome| {
        assert_eq!(outcome.violations, [""; 0], "seed {}", outcome.seed)
    });
    let summary = summary.await.unwrap();
    eprint!("{}", summary.table());
    assert!(summary.failed.is_empty());
    // Else this has shown nothing.
    assert!(
        summary.seeds > 2 && summary.faults > 10 && summary.answered > 1000,
        "{summary:?}"
    );
}

#[tokio::test]
async fn seeds_that_once_found_something_break_no_promise_any_more() {
    let simulator = Simulator::at(Path::new(PROGRAM), Duration::from_secs(120));
    let seeds = REGRESSIONS
        .lines()
        .filter_map(|line| line.split_whitespace().next()?.parse::<u64>().ok());
    let mut count = 0;
    for seed in seeds {
        let outcome = simulator.run(seed, None, None).await.unwrap();
        assert_eq!(outcome.violations, [""; 0], "seed {seed}");
        count += 1;
    }
    assert!(count > 0);
}
