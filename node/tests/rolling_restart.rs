//! Planned changes under load: every node restarted one after another, and leadership moved from node to node. No request
//! fails. Real processes, asked over gRPC like any client would.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod support;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use portcullis_proto::v1 as pb;
use portcullis_proto::v1::inspection_service_client::InspectionServiceClient;
use portcullis_wire::status::WriteAnswer;
use prost::Message as _;
use support::{Cluster, announce, channel, context, deadline, eventually};
use tokio::task::JoinHandle;
use tonic::transport::Channel;

/// No request may take longer, whatever is restarted meanwhile.
const CALL: Duration = Duration::from_secs(5);
const CLIENTS: u64 = 4;

/// What a client was told: the answer to each request that it sent.
#[derive(Default)]
struct Told {
    answers: BTreeMap<String, Vec<u8>>,
    slowest: Duration,
    /// Tries that had to be repeated elsewhere.
    repeated: u64,
}

/// Clients that announce without a pause, each over all endpoints in turn.
struct Load {
    stop: Arc<AtomicBool>,
    answered: Arc<AtomicU64>,
    clients: Vec<JoinHandle<Told>>,
}

impl Load {
    /// `tries`: how often one request may be sent, each time to the next node, under the same request id.
    fn start(cluster: &Cluster, tries: usize) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let answered = Arc::new(AtomicU64::new(0));
        let addresses: Vec<_> = cluster.nodes.values().map(|node| node.address).collect();
        let clients = (0..CLIENTS).map(|client| {
            let (stop, answered) = (Arc::clone(&stop), Arc::clone(&answered));
            let channels: Vec<Channel> = addresses.iter().map(|address| channel(*address)).collect();
            tokio::spawn(async move {
                let mut told = Told::default();
                for number in 0.. {
                    if stop.load(Ordering::Relaxed) {
                        break;
                    }
                    let turn = usize::try_from(client + number).unwrap();
                    let id = format!("c{client}-{number}");
                    let began = Instant::now();
                    let answer = ask(&id, &format!("C{client}N{number}"), &channels, turn, tries, &mut told).await;
                    told.slowest = told.slowest.max(began.elapsed());
                    told.answers.insert(id, answer.encode_to_vec());
                    answered.fetch_add(1, Ordering::Relaxed);
                    tokio::time::sleep(Duration::from_millis(2)).await;
                }
                told
            })
        });
        Self {
            clients: clients.collect(),
            stop,
            answered,
        }
    }

    /// Waits until so many further requests have been answered.
    async fn flows(&self, more: u64) {
        let until = self.answered.load(Ordering::Relaxed) + more;
        eventually("requests are answered", async || {
            match self.answered.load(Ordering::Relaxed) {
                answered if answered >= until => Ok(()),
                answered => Err(format!("{answered} of {until}")),
            }
        })
        .await;
    }

    async fn end(self) -> Told {
        self.stop.store(true, Ordering::Relaxed);
        let mut all = Told::default();
        for client in self.clients {
            let told = client.await.unwrap();
            all.answers.extend(told.answers);
            all.slowest = all.slowest.max(told.slowest);
            all.repeated += told.repeated;
        }
        all
    }
}

/// One request, until its answer is certain; it must come in time, and must not be a refusal.
async fn ask(
    id: &str,
    container: &str,
    channels: &[Channel],
    turn: usize,
    tries: usize,
    told: &mut Told,
) -> pb::AnnounceResponse {
    let end = Instant::now() + CALL;
    let mut said = Vec::new();
    for number in 0..tries {
        let left = end.saturating_duration_since(Instant::now());
        assert!(!left.is_zero(), "{id} has no answer within {CALL:?}: {said:?}");
        let mut client = InspectionServiceClient::new(channels[(turn + number) % channels.len()].clone());
        match client.announce(deadline(announce(id, container, "T9"), left)).await {
            Ok(answer) => return answer.into_inner(),
            Err(status) => {
                let pause = WriteAnswer::from_status(&status).again_after();
                let pause = pause.unwrap_or_else(|| panic!("{id} is refused: {status}"));
                said.push(status.message().to_owned());
                told.repeated += 1;
                // Another node is asked next, so nothing has to be waited for in the first round.
                if number + 1 >= channels.len() {
                    tokio::time::sleep(pause.min(Duration::from_millis(50))).await;
                }
            }
        }
    }
    panic!("{id} has no answer after {tries} tries: {said:?}");
}

/// Everything that was acknowledged is there: each request gets its first answer again.
async fn nothing_is_lost(cluster: &Cluster, told: &Told) {
    for (number, (id, answer)) in told.answers.iter().enumerate() {
        let (client, container) = id[1..].split_once('-').unwrap();
        let container = format!("C{client}N{container}");
        let node = cluster.ids()[number % cluster.ids().len()];
        let again = eventually("the first answer comes again", async || {
            let request = deadline(announce(id, &container, "T9"), CALL);
            let answer = cluster.inspections(node).announce(request).await;
            answer
                .map(tonic::Response::into_inner)
                .map_err(|status| status.to_string())
        })
        .await;
        assert_eq!(again.encode_to_vec(), *answer, "{id}");
    }
    cluster.head().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_node_is_restarted_under_load_and_no_request_fails() {
    let mut cluster = Cluster::start(3, Vec::new()).await;
    let load = Load::start(&cluster, usize::MAX);
    for id in cluster.ids() {
        cluster.node(id).stop().await;
        cluster.node(id).start();
        cluster.ready().await;
    }
    let told = load.end().await;
    eprintln!(
        "{} requests, slowest {:?}, {} tries repeated elsewhere",
        told.answers.len(),
        told.slowest,
        told.repeated
    );
    assert!(told.answers.len() > 100, "there was load: {}", told.answers.len());
    nothing_is_lost(&cluster, &told).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn leadership_moves_under_load_and_no_request_has_to_be_sent_twice() {
    let cluster = Cluster::start(3, Vec::new()).await;
    let load = Load::start(&cluster, 1);
    let mut held = Vec::new();
    for _ in 0..2 {
        for to in cluster.ids() {
            load.flows(40).await;
            let request = pb::TransferLeaderRequest {
                context: context(&format!("move-{}", held.len())),
                node: Some(to),
            };
            let moved = cluster.status_of(to).transfer_leader(deadline(request, CALL)).await;
            let moved = moved.unwrap().into_inner();
            assert_eq!(moved.leader, to);
            held.push(Duration::from_micros(moved.held_us));
            assert_eq!(cluster.leader().await, to);
        }
    }
    load.flows(40).await;
    let told = load.end().await;
    eprintln!(
        "commands held for {held:?}; {} requests, slowest {:?}",
        told.answers.len(),
        told.slowest
    );
    assert_eq!(told.repeated, 0);
    nothing_is_lost(&cluster, &told).await;
}
