//! What a node asks of the kernel, in which order: nothing is acknowledged before it is on the disk, one fsync serves many
//! writes, and a disk that fails ends the node.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::path::Path;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use portcullis_chaos::account::Account;
use portcullis_chaos::cluster::{Blueprint, Cluster};
use portcullis_chaos::load::Load;
use portcullis_chaos::oracle::Oracle;
use portcullis_chaos::program::program;
use portcullis_chaos::trace::{Call, Tracer, bodies, unusable};
use portcullis_chaos::write::{self, Told, equipment};

const WITHIN: Duration = Duration::from_secs(30);
const WRITES: &str = "trace=fdatasync,fsync,write,pwrite64,writev,pwritev,pwritev2,sendto,sendmsg";
const CLIENTS: u64 = 64;

fn blueprint(dir: &Path, nodes: u64) -> Option<Blueprint> {
    if let Some(why) = unusable() {
        eprintln!("skipped: system calls cannot be traced here: {why}");
        return None;
    }
    Some(Blueprint {
        nodes,
        ..Blueprint::new(program().unwrap(), dir)
    })
}

fn is_log(call: &Call, data: &Path) -> bool {
    Path::new(&call.target).starts_with(data.join("raft"))
}

fn is_sync(call: &Call) -> bool {
    (call.name == "fdatasync" || call.name == "fsync") && call.result == 0
}

fn holds(haystack: &[u8], needle: &[u8]) -> bool {
    haystack.windows(needle.len()).any(|window| window == needle)
}

/// The first sync of the log that began after the announcement of this number was written there.
fn covered<'a>(calls: &'a [Call], data: &Path, serial: u64) -> &'a Call {
    let name = equipment(serial);
    let written = calls
        .iter()
        .find(|call| is_log(call, data) && holds(&call.data, name.as_bytes()))
        .unwrap_or_else(|| panic!("write {serial} was never written to the log"));
    calls
        .iter()
        .filter(|call| is_sync(call) && call.target == written.target && call.began > written.ended)
        .min_by_key(|call| call.ended)
        .unwrap_or_else(|| panic!("the log was never synced after write {serial}"))
}

async fn applied(cluster: &Cluster, node: u64, serial: u64) -> Vec<u8> {
    match write::send(cluster.nodes[&node].channel.clone(), serial).await {
        Told::Applied(answer) => answer,
        other => panic!("write {serial}: {other:?}"),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lone_node_answers_only_what_it_has_synced_and_syncs_once_for_many() {
    let place = tempfile::tempdir().unwrap();
    let Some(blueprint) = blueprint(place.path(), 1) else {
        return;
    };
    let cluster = Cluster::start(&blueprint, WITHIN).await.unwrap();
    let node = &cluster.nodes[&1];
    let data = node.data.clone();
    let pid = node.pid().unwrap();

    let out = place.path().join("one-by-one");
    let tracer = Tracer::attach(pid, &out, &["-e", WRITES]).await.unwrap();
    let mut answers = Vec::new();
    for serial in 0..20 {
        answers.push((serial, applied(&cluster, 1, serial).await));
    }
    // The client may have an answer before the tracer has seen the end of the call that sent it. An answer after it on the
    // same connection says that it has.
    applied(&cluster, 1, 20).await;
    let calls = tracer.finish().await.unwrap();
    check_order(&calls, &data, node.address, &answers);

    let out = place.path().join("at-once");
    let tracer = Tracer::attach(pid, &out, &["-e", WRITES]).await.unwrap();
    let mut answers = Vec::new();
    for round in 1..=4 {
        let serials = round * 1000..round * 1000 + CLIENTS;
        let all = serials.map(async |serial| (serial, applied(&cluster, 1, serial).await));
        answers.extend(futures::future::join_all(all).await);
    }
    applied(&cluster, 1, 21).await;
    let calls = tracer.finish().await.unwrap();
    check_order(&calls, &data, node.address, &answers);
    let log = || calls.iter().filter(|call| is_log(call, &data));
    let (writes, syncs) = (
        log().filter(|call| !call.data.is_empty()).count(),
        log().filter(|call| is_sync(call)).count(),
    );
    eprintln!(
        "{} answers, {writes} writes to the log, {syncs} syncs of it",
        answers.len()
    );
    assert!(
        syncs > 0 && syncs <= writes,
        "{syncs} syncs for {writes} writes: one for each batch is enough"
    );
    assert!(
        syncs * 4 <= answers.len(),
        "{syncs} syncs for {} writes by {CLIENTS} clients",
        answers.len()
    );
}

/// No answer may be sent before the sync that covers it has returned.
fn check_order(calls: &[Call], data: &Path, address: std::net::SocketAddr, answers: &[(u64, Vec<u8>)]) {
    let from = format!("TCP:[{address}->");
    let to_clients = || calls.iter().filter(|call| call.target.starts_with(&from));
    let mut connections: Vec<&str> = to_clients().map(|call| call.target.as_str()).collect();
    connections.sort_unstable();
    connections.dedup();
    let sent: Vec<_> = connections
        .iter()
        .flat_map(|connection| bodies(to_clients().filter(|call| call.target == *connection)))
        .collect();
    for (serial, answer) in answers {
        // gRPC puts five bytes before a message: a flag and its length.
        let sent = sent
            .iter()
            .find(|sent| sent.data.get(5..) == Some(answer))
            .unwrap_or_else(|| panic!("the answer to write {serial} was never sent"));
        let sync = covered(calls, data, *serial);
        assert!(
            sync.ended < sent.began,
            "write {serial} was answered in line {} of the trace, but its sync ended in line {}",
            sent.began + 1,
            sync.ended + 1
        );
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_follower_whose_word_makes_the_majority_has_synced_before_the_client_is_answered() {
    let place = tempfile::tempdir().unwrap();
    let Some(blueprint) = blueprint(place.path(), 3) else {
        return;
    };
    let mut cluster = Cluster::start(&blueprint, WITHIN).await.unwrap();
    let leader = cluster.leader(WITHIN).await.unwrap();
    let others: Vec<u64> = cluster.ids().into_iter().filter(|id| *id != leader).collect();
    let [follower, dead] = others[..] else {
        panic!("three nodes")
    };
    cluster.kill(&[dead]).await.unwrap();

    let node = &cluster.nodes[&follower];
    let out = place.path().join("follower");
    let tracer = Tracer::attach(node.pid().unwrap(), &out, &["-e", WRITES])
        .await
        .unwrap();
    let mut answered = Vec::new();
    for serial in 0..20 {
        applied(&cluster, leader, serial).await;
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
        answered.push((serial, now.as_secs_f64()));
    }
    let calls = tracer.finish().await.unwrap();
    for (serial, at) in answered {
        let sync = covered(&calls, &node.data, serial);
        assert!(
            sync.ended_at < at,
            "write {serial} was answered {:.6} s before the follower had synced it",
            sync.ended_at - at
        );
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_whose_log_cannot_be_synced_stops_and_the_others_go_on_without_loss() {
    let place = tempfile::tempdir().unwrap();
    let Some(blueprint) = blueprint(place.path(), 3) else {
        return;
    };
    let mut cluster = Cluster::start(&blueprint, WITHIN).await.unwrap();
    let account = Account::open(&place.path().join("account.jsonl")).unwrap();
    let load = Load::new(
        cluster.nodes.values().map(|node| node.channel.clone()).collect(),
        account,
    );
    let leader = cluster.leader(WITHIN).await.unwrap();
    load.go();
    load.next_send().await;

    // The kernel tells of a failed write once; a second sync would succeed, and keep nothing.
    let out = place.path().join("eio");
    let pid = cluster.nodes[&leader].pid().unwrap();
    let inject = ["-e", "trace=fdatasync", "-e", "inject=fdatasync:error=EIO:when=1"];
    let tracer = Tracer::attach(pid, &out, &inject).await.unwrap();
    let status = cluster.node(leader).ends(WITHIN).await.unwrap();
    let failed = std::time::Instant::now();
    let calls = tracer.finish().await.unwrap();
    assert!(calls.iter().any(|call| call.result < 0), "a sync has failed: {calls:?}");
    let said = cluster.nodes[&leader].said();
    assert!(status.code().is_some_and(|code| code != 0), "{status}:\n{said}");
    let last = said.lines().last().unwrap_or_default();
    assert!(
        last.contains("Input/output error") && last.contains("has to stop"),
        "{said}"
    );

    load.applied_after(failed, WITHIN).await.unwrap();
    load.pause().await.unwrap();
    cluster.node(leader).start().unwrap();
    let head = cluster.agree(WITHIN).await.unwrap();
    let mut oracle = Oracle::default();
    oracle.follow(&cluster.nodes[&leader].channel, &head).await.unwrap();
    assert_eq!(oracle.judge(&load.account()), []);
}
