//! From a node that does not lead to the one that does: one stream that stays open, batches named by a number.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use portcullis_domain::codec;
use portcullis_proto::internal::v1 as pb;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::{Instant, timeout};
use tokio_stream::wrappers::ReceiverStream;
use tokio_util::sync::CancellationToken;

use crate::errors::{ProposeError, Reason};
use crate::leadership::{Leadership, Raft, address_of};
use crate::peers::{Class, Peers};
use crate::proposal::COMMAND_BYTES;
use crate::submission::{Answer, Item};

/// Bytes of commands in one message, beyond its first command.
const BATCH_BYTES: usize = 4 << 20;
/// How long opening a stream may take.
const OPEN: Duration = Duration::from_secs(1);

/// What became of a batch.
pub(crate) enum Forwarded {
    /// The leader answered, once for each command.
    Answers(Vec<Answer>),
    /// It was never sent.
    NotSent(String),
    /// It was sent and no answer will come.
    Lost(String),
    /// The one command in it has this many bytes, which is too many.
    TooLarge(usize),
}

/// Keeps the stream to the leader.
pub(crate) struct Forwarder {
    peers: Peers,
    leadership: watch::Receiver<Leadership>,
    link: tokio::sync::Mutex<Option<Arc<Link>>>,
}

/// One open stream.
struct Link {
    leader: u64,
    batches: mpsc::Sender<pb::ProposeBatch>,
    next: AtomicU64,
    pending: Mutex<Option<HashMap<u64, oneshot::Sender<Vec<pb::ProposeAnswer>>>>>,
    closed: CancellationToken,
}

impl Forwarder {
    pub(crate) fn new(peers: Peers, leadership: watch::Receiver<Leadership>) -> Self {
        Forwarder {
            peers,
            leadership,
            link: tokio::sync::Mutex::default(),
        }
    }

    /// Sends commands to the leader and waits for what becomes of them.
    pub(crate) async fn send(&self, raft: &Raft, leader: u64, items: Vec<Item>) -> Vec<(Vec<Item>, Forwarded)> {
        let link = match self.link(raft, leader).await {
            Ok(link) => link,
            Err(detail) => return vec![(items, Forwarded::NotSent(detail))],
        };
        let mut results = Vec::new();
        let mut waiting = Vec::new();
        for (items, batch) in split(items, &mut results) {
            match self.hand_over(&link, &items, batch).await {
                Ok(answers) => waiting.push((items, answers)),
                Err(why) => results.push((items, Forwarded::NotSent(why.to_owned()))),
            }
        }
        for (items, answers) in waiting {
            let result = self.wait(&link, &items, answers).await;
            results.push((items, result));
        }
        results
    }

    /// Sends a batch, or says why it was certainly not sent.
    async fn hand_over(
        &self,
        link: &Link,
        items: &[Item],
        batch: pb::ProposeBatch,
    ) -> Result<oneshot::Receiver<Vec<pb::ProposeAnswer>>, &'static str> {
        let mut leadership = self.leadership.clone();
        let closed = "the stream to the leader closed";
        // A leader that takes nothing must not hold those who wait beyond their deadline.
        let place = tokio::select! {
            biased;
            () = link.closed.cancelled() => return Err(closed),
            place = link.batches.reserve() => place.map_err(|_| closed)?,
            _ = leadership.wait_for(|now| now.leader.is_some_and(|leader| leader != link.leader)) => {
                return Err("the leader changed");
            }
            () = tokio::time::sleep_until(latest(items)) => {
                return Err("the leader took nothing before the deadline");
            }
        };
        link.send(place, batch).ok_or(closed)
    }

    async fn wait(&self, link: &Link, items: &[Item], answers: oneshot::Receiver<Vec<pb::ProposeAnswer>>) -> Forwarded {
        let mut leadership = self.leadership.clone();
        let until = latest(items);
        let lost = |why: &str| Forwarded::Lost(why.to_owned());
        tokio::select! {
            biased;
            answers = answers => match answers {
                Ok(answers) if answers.len() == items.len() => {
                    Forwarded::Answers(answers.into_iter().map(get_answer).collect())
                }
                Ok(_) => lost("the leader answered with another number of answers"),
                Err(_) => lost("the connection to the leader broke before it answered"),
            },
            // Whoever leads now has it in its log, or not: the old leader would only keep the caller waiting.
            _ = leadership.wait_for(|now| now.leader.is_some_and(|leader| leader != link.leader)) => {
                lost("the leader changed before it answered")
            }
            () = tokio::time::sleep_until(until) => lost("the leader did not answer before the deadline"),
        }
    }

    async fn link(&self, raft: &Raft, leader: u64) -> Result<Arc<Link>, String> {
        let mut current = self.link.lock().await;
        if let Some(link) = &*current
            && link.leader == leader
            && !link.closed.is_cancelled()
        {
            return Ok(Arc::clone(link));
        }
        if let Some(old) = current.take() {
            old.closed.cancel();
        }
        let address = address_of(raft, leader).ok_or_else(|| format!("the address of node {leader} is not known"))?;
        let (batches, outgoing) = mpsc::channel(16);
        let mut client = self.peers.client(&address, Class::Forward);
        let request = self.peers.request(leader, ReceiverStream::new(outgoing));
        let responses = match timeout(OPEN, client.propose(request)).await {
            Ok(Ok(response)) => response.into_inner(),
            Ok(Err(status)) => return Err(format!("the leader cannot be reached: {}", status.message())),
            Err(_) => return Err("the leader does not answer".to_owned()),
        };
        let link = Arc::new(Link {
            leader,
            batches,
            next: AtomicU64::new(0),
            pending: Mutex::new(Some(HashMap::new())),
            closed: CancellationToken::new(),
        });
        tokio::spawn(Arc::clone(&link).receive(responses));
        *current = Some(Arc::clone(&link));
        Ok(link)
    }
}

impl Link {
    /// `None` when the stream is closed and the batch was not sent.
    fn send(
        &self,
        place: mpsc::Permit<'_, pb::ProposeBatch>,
        mut batch: pb::ProposeBatch,
    ) -> Option<oneshot::Receiver<Vec<pb::ProposeAnswer>>> {
        batch.id = self.next.fetch_add(1, Ordering::Relaxed);
        let id = batch.id;
        let (answer, answered) = oneshot::channel();
        self.pending().as_mut()?.insert(id, answer);
        place.send(batch);
        Some(answered)
    }

    async fn receive(self: Arc<Self>, mut responses: tonic::Streaming<pb::ProposeResult>) {
        loop {
            let response = tokio::select! {
                response = responses.message() => response,
                () = self.closed.cancelled() => break,
            };
            let Ok(Some(result)) = response else { break };
            let waiting = self.pending().as_mut().and_then(|pending| pending.remove(&result.id));
            if let Some(waiting) = waiting {
                // Whoever asked may have stopped waiting.
                let _ = waiting.send(result.answers);
            }
        }
        self.closed.cancel();
        // Everyone who still waits learns that no answer comes.
        *self.pending() = None;
    }

    #[allow(clippy::type_complexity)]
    fn pending(&self) -> std::sync::MutexGuard<'_, Option<HashMap<u64, oneshot::Sender<Vec<pb::ProposeAnswer>>>>> {
        self.pending.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// When nobody waits for any of them any more.
fn latest(items: &[Item]) -> Instant {
    items.iter().map(Item::deadline).max().unwrap_or_else(Instant::now)
}

/// Messages of a bounded size. Commands that are too large are sorted out.
fn split(items: Vec<Item>, sorted_out: &mut Vec<(Vec<Item>, Forwarded)>) -> Vec<(Vec<Item>, pb::ProposeBatch)> {
    let mut batches: Vec<(Vec<Item>, pb::ProposeBatch)> = Vec::new();
    let mut size = usize::MAX;
    let now = Instant::now();
    for item in items {
        let bytes = codec::to_bytes(&item.command);
        if bytes.len() > COMMAND_BYTES {
            sorted_out.push((vec![item], Forwarded::TooLarge(bytes.len())));
            continue;
        }
        if size.saturating_add(bytes.len()) > BATCH_BYTES {
            batches.push((Vec::new(), pb::ProposeBatch::default()));
            size = 0;
        }
        size += bytes.len();
        if let Some((group, batch)) = batches.last_mut() {
            let patience = item.deadline().saturating_duration_since(now).as_millis();
            batch.patience_ms = batch.patience_ms.max(u32::try_from(patience).unwrap_or(u32::MAX));
            batch.commands.push(bytes.into());
            group.push(item);
        }
    }
    batches
}

/// An answer on its way to the node that asked.
pub(crate) fn put_answer(answer: Answer) -> pb::ProposeAnswer {
    use pb::propose_answer::{Answer as Pb, NotApplied, Stopped, Unknown};
    let answer = match answer {
        Ok(outcome) => Pb::Outcome(codec::to_bytes(&outcome).into()),
        Err(ProposeError::NotApplied {
            reason,
            detail,
            retry_after,
        }) => Pb::NotApplied(NotApplied {
            reason: reason.as_str().to_owned(),
            detail,
            retry_after_ms: u32::try_from(retry_after.as_millis()).unwrap_or(u32::MAX),
        }),
        Err(ProposeError::Unknown { detail }) => Pb::Unknown(Unknown { detail }),
        Err(ProposeError::Stopped { detail }) => Pb::Stopped(Stopped { detail }),
    };
    pb::ProposeAnswer { answer: Some(answer) }
}

fn get_answer(answer: pb::ProposeAnswer) -> Answer {
    use pb::propose_answer::Answer as Pb;
    match answer.answer {
        Some(Pb::Outcome(bytes)) => codec::from_bytes(&bytes).map_err(|error| {
            ProposeError::unknown(format!(
                "it was applied, but this version cannot read the outcome: {error}"
            ))
        }),
        Some(Pb::NotApplied(not)) => match Reason::parse(&not.reason) {
            Some(reason) => Err(ProposeError::NotApplied {
                reason,
                detail: not.detail,
                retry_after: Duration::from_millis(not.retry_after_ms.into()),
            }),
            None => Err(ProposeError::unknown(format!(
                "the leader answered {}: {}",
                not.reason, not.detail
            ))),
        },
        Some(Pb::Unknown(unknown)) => Err(ProposeError::Unknown { detail: unknown.detail }),
        Some(Pb::Stopped(stopped)) => Err(ProposeError::Stopped { detail: stopped.detail }),
        None => Err(ProposeError::unknown("the leader's answer is empty")),
    }
}
