//! Power losses lose and change nothing that was acknowledged, as long as disks keep what they say they keep.
//! `portcullis-chaos power` does the same two hundred times.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::path::Path;
use std::time::{Duration, Instant};

use portcullis_chaos::account::Account;
use portcullis_chaos::campaign::{Campaign, Harm, Plan};
use portcullis_chaos::cluster::{Blueprint, Cluster};
use portcullis_chaos::disk::{Loss, unusable};
use portcullis_chaos::load::Load;
use portcullis_chaos::oracle::{Oracle, Violation};
use portcullis_chaos::program::program;
use portcullis_chaos::write::Told;
use rand::SeedableRng as _;
use rand_chacha::ChaCha8Rng;

const WITHIN: Duration = Duration::from_secs(30);

fn blueprint(dir: &Path) -> Option<Blueprint> {
    if let Some(why) = unusable() {
        eprintln!("skipped: power cannot be made to fail here: {why}");
        return None;
    }
    Some(Blueprint {
        power: true,
        ..Blueprint::new(program().unwrap(), dir)
    })
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn power_losses_of_one_node_and_of_all_at_once_lose_and_change_nothing_that_was_acknowledged() {
    let place = tempfile::tempdir().unwrap();
    let Some(blueprint) = blueprint(place.path()) else {
        return;
    };
    let plan = Plan {
        harm: Harm::PowerLoss,
        cycles: 6,
        seed: 11,
        within: WITHIN,
        at_most: Duration::MAX,
    };
    let campaign = Campaign::start(plan, &blueprint, false).await.unwrap();
    let mut all_at_once = 0;
    let report = campaign
        .run(|cycle| {
            eprintln!("{cycle:?}");
            all_at_once += u32::from(cycle.harm.ends_with(" all"));
        })
        .await
        .unwrap();
    assert_eq!(report.violations, [""; 0]);
    assert!(report.passed, "{report:?}");
    // Else this has shown nothing.
    assert!(report.applied > 40, "{report:?}");
    assert!(
        all_at_once > 0,
        "the seed is chosen so that all nodes lose power at least once"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn disks_that_lie_about_fsync_are_caught_when_all_nodes_lose_power() {
    let place = tempfile::tempdir().unwrap();
    let Some(blueprint) = blueprint(place.path()) else {
        return;
    };
    let mut cluster = Cluster::start(&blueprint, WITHIN).await.unwrap();
    let account = Account::open(&place.path().join("account.jsonl")).unwrap();
    let load = Load::new(
        cluster.nodes.values().map(|node| node.channel.clone()).collect(),
        account,
    );
    let write = async || {
        load.go();
        load.applied_after(Instant::now(), WITHIN).await.unwrap();
        load.pause().await.unwrap();
    };
    write().await;
    cluster.agree(WITHIN).await.unwrap();
    let honest = load.account().end();
    for node in cluster.nodes.values() {
        node.disk().unwrap().lie(true);
    }
    write().await;
    cluster.agree(WITHIN).await.unwrap();

    let mut rng = ChaCha8Rng::seed_from_u64(1);
    let ids = cluster.ids();
    cluster.lose_power(&ids, Loss::Everything, &mut rng).await.unwrap();
    for id in ids {
        cluster.node(id).start().unwrap();
    }
    let head = cluster.agree(WITHIN).await.unwrap();
    let mut oracle = Oracle::default();
    oracle.follow(&cluster.nodes[&1].channel, &head).await.unwrap();

    let account = load.account();
    let found = oracle.judge(&account);
    let applied = |told: &Told| matches!(told, Told::Applied(_));
    let lied: Vec<Violation> = account
        .told()
        .range(honest..)
        .filter(|(_, told)| applied(told))
        .map(|(serial, _)| Violation::Lost { serial: *serial })
        .collect();
    assert!(!lied.is_empty());
    assert_eq!(
        found, lied,
        "what was acknowledged on lying disks, and nothing else, is lost"
    );
}
