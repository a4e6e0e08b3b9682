//! Kills of nodes lose and change nothing that was acknowledged. `portcullis-chaos kills` does the same a thousand times.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::time::Duration;

use portcullis_chaos::campaign::{Campaign, Harm, Plan};
use portcullis_chaos::cluster::Blueprint;
use portcullis_chaos::program::program;

const WITHIN: Duration = Duration::from_secs(30);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn twenty_kills_under_load_lose_and_change_nothing_that_was_acknowledged() {
    let place = tempfile::tempdir().unwrap();
    let blueprint = Blueprint::new(program().unwrap(), place.path());
    let plan = |cycles| Plan {
        harm: Harm::Kill,
        cycles,
        seed: 7,
        within: WITHIN,
        at_most: Duration::MAX,
    };
    // In two runs: the second one knows what the clients of the first were told.
    let campaign = Campaign::start(plan(4), &blueprint, false).await.unwrap();
    let first = campaign.run(|_| {}).await.unwrap();
    let campaign = Campaign::start(plan(20), &blueprint, true).await.unwrap();
    let report = campaign.run(|cycle| eprintln!("{cycle:?}")).await.unwrap();

    assert_eq!(report.violations, [""; 0]);
    assert!(report.passed, "{report:?}");
    assert_eq!(report.cycles, 20);
    assert!(report.victims > 20, "several at once are among them: {report:?}");
    // Else this has shown nothing.
    assert!(report.applied > first.applied && report.applied > 200, "{report:?}");
    eprintln!("{report:?}");
}
