//! Writers that keep on under faults: each writes one thing after the other and repeats a write, under the same request id and
//! at another node, until it is acknowledged. What was acknowledged is kept, so that it can be looked for at the end.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::Duration;

use bytes::Bytes;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, timeout};
use tonic::client::Grpc;
use tonic::transport::Channel;

use super::body::Series;
use super::commit::Write;
use super::grpc::{connect, unary};
use super::load::Operation as _;
use super::system::System;

/// Before a write is tried elsewhere.
const BETWEEN_TRIES: Duration = Duration::from_millis(2);

/// How writers behave.
#[derive(Debug, Clone, Copy)]
pub(super) struct Manner {
    pub(super) writers: u32,
    /// After each acknowledged write.
    pub(super) pause: Duration,
    /// No answer after this time is a failed try.
    pub(super) try_within: Duration,
}

/// An acknowledged write.
#[derive(Debug, Clone, Copy)]
pub(super) struct Acknowledged {
    /// Its number, and so its request id.
    pub(super) number: u64,
    /// When the try began that was answered.
    pub(super) tried: Instant,
    /// When it was answered.
    pub(super) at: Instant,
}

/// What writers have written.
pub(super) struct Written {
    /// Whose requests they were.
    pub(super) series: Series,
    /// In the order of the answers.
    pub(super) acknowledged: Vec<Acknowledged>,
    /// Writes that were never acknowledged.
    pub(super) given_up: u64,
}

/// Writers at work.
pub(super) struct Writers {
    shared: Rc<Shared>,
    tasks: JoinSet<()>,
}

struct Shared {
    write: Write,
    acknowledged: RefCell<Vec<Acknowledged>>,
    failed_tries: Cell<u64>,
    first_failure: RefCell<Option<String>>,
    stop: Cell<bool>,
    manner: Manner,
}

impl Writers {
    /// Starts them; they begin at different nodes.
    pub(super) fn start(system: &System, manner: Manner) -> anyhow::Result<Self> {
        let shared = Rc::new(Shared {
            write: Write::new(system.kind),
            acknowledged: RefCell::default(),
            failed_tries: Cell::new(0),
            first_failure: RefCell::default(),
            stop: Cell::new(false),
            manner,
        });
        let mut tasks = JoinSet::new();
        for index in 0..manner.writers as usize {
            let nodes: Vec<Grpc<Channel>> = system
                .addresses
                .values()
                .map(|address| connect(address).map(Grpc::new))
                .collect::<anyhow::Result<_>>()?;
            tasks.spawn_local(writer(shared.clone(), nodes, index));
        }
        Ok(Self { shared, tasks })
    }

    /// How many writes are acknowledged.
    pub(super) fn count(&self) -> usize {
        self.shared.acknowledged.borrow().len()
    }

    /// Waits until something is so about the acknowledged writes from position `from` on, looking at each new one.
    ///
    /// # Errors
    /// When nothing is so within `within`.
    pub(super) async fn wait<T>(
        &self,
        from: usize,
        within: Duration,
        mut wanted: impl FnMut(&[Acknowledged]) -> Option<T>,
    ) -> anyhow::Result<T> {
        let deadline = Instant::now() + within;
        loop {
            if let Some(found) = wanted(&self.shared.acknowledged.borrow()[from..]) {
                return Ok(found);
            }
            if Instant::now() > deadline {
                anyhow::bail!(
                    "no write was acknowledged within {} s; the first failure was: {}",
                    within.as_secs(),
                    self.shared.first_failure.borrow().as_deref().unwrap_or("none")
                );
            }
            sleep(Duration::from_millis(1)).await;
        }
    }

    /// Tries that failed so far, and why the first did.
    pub(super) fn failed_tries(&self) -> (u64, Option<String>) {
        (
            self.shared.failed_tries.get(),
            self.shared.first_failure.borrow().clone(),
        )
    }

    /// Lets each finish its write, in the time given.
    pub(super) async fn stop(mut self, within: Duration) -> Written {
        self.shared.stop.set(true);
        let _ = timeout(within, async { while self.tasks.join_next().await.is_some() {} }).await;
        let given_up = self.tasks.len() as u64;
        self.tasks.shutdown().await;
        Written {
            series: self.shared.write.series,
            acknowledged: self.shared.acknowledged.take(),
            given_up,
        }
    }
}

async fn writer(shared: Rc<Shared>, mut nodes: Vec<Grpc<Channel>>, mut turn: usize) {
    let manner = shared.manner;
    while !shared.stop.get() {
        let (number, body) = shared.write.numbered();
        let acknowledged = loop {
            let at = turn % nodes.len();
            let tried = Instant::now();
            match one_try(&shared, &mut nodes[at], body.clone()).await {
                Ok(()) => {
                    break Acknowledged {
                        number,
                        tried,
                        at: Instant::now(),
                    };
                }
                Err(why) => {
                    shared.failed_tries.set(shared.failed_tries.get() + 1);
                    shared.first_failure.borrow_mut().get_or_insert(why);
                    turn += 1;
                    sleep(BETWEEN_TRIES).await;
                }
            }
        };
        shared.acknowledged.borrow_mut().push(acknowledged);
        sleep(manner.pause).await;
    }
}

async fn one_try(shared: &Shared, node: &mut Grpc<Channel>, body: Bytes) -> Result<(), String> {
    match timeout(shared.manner.try_within, unary(node, shared.write.path(), body)).await {
        Ok(Ok(answer)) => shared.write.check(answer),
        Ok(Err(status)) => Err(status.to_string()),
        Err(_) => Err(format!("no answer within {} ms", shared.manner.try_within.as_millis())),
    }
}
