//! Load by many clients at once, each of which sends one request and waits for its answer.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::Duration;

use anyhow::bail;
use bytes::Bytes;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, sleep_until, timeout_at};
use tonic::client::Grpc;
use tonic::codegen::http::uri::PathAndQuery;
use tonic::transport::Channel;

use super::grpc::unary;
use super::tally::Tally;

/// An answer that comes later than this after the end is given up.
const ANSWERS_WITHIN: Duration = Duration::from_secs(15);
/// How long a client waits after a failed request, so that a broken server is not asked in a tight loop.
const AFTER_FAILURE: Duration = Duration::from_millis(5);

/// What is asked.
pub(super) trait Operation {
    /// The method.
    fn path(&self) -> PathAndQuery;
    /// The next request, different from all before.
    fn next(&self) -> Bytes;
    /// Whether the answer is what was asked for.
    ///
    /// # Errors
    /// Says what is wrong with it.
    fn check(&self, answer: Bytes) -> Result<(), String>;
}

/// Clients that ask, and for how long.
pub(super) struct Load<'a> {
    pub(super) connections: &'a [Channel],
    pub(super) clients: u32,
    pub(super) warm_up: Duration,
    pub(super) measured: Duration,
    /// Requests a second of all clients together; without it each client asks again when it has its answer.
    pub(super) rate: Option<f64>,
}

/// When a client sends.
struct Pace {
    next: Instant,
    every: Duration,
}

impl Load<'_> {
    /// Runs the load to its end.
    ///
    /// # Errors
    /// When every request failed.
    pub(super) async fn run(&self, operation: Rc<dyn Operation>) -> anyhow::Result<Tally> {
        let begin = Instant::now();
        let from = begin + self.warm_up;
        let until = from + self.measured;
        let tally = Rc::new(RefCell::new(Tally::new(from, until)));
        let outstanding = Rc::new(Cell::new(0_u64));
        let mut clients = JoinSet::new();
        for index in 0..self.clients {
            let channel = &self.connections[index as usize % self.connections.len()];
            let pace = self.rate.map(|rate| {
                let every = Duration::from_secs_f64(f64::from(self.clients) / rate);
                Pace {
                    next: begin + every.mul_f64(f64::from(index) / f64::from(self.clients)),
                    every,
                }
            });
            clients.spawn_local(client(
                Grpc::new(channel.clone()),
                operation.clone(),
                tally.clone(),
                outstanding.clone(),
                pace,
            ));
        }
        let _ = timeout_at(until + ANSWERS_WITHIN, async {
            while clients.join_next().await.is_some() {}
        })
        .await;
        clients.shutdown().await;
        let mut tally = tally.take();
        if outstanding.get() > 0 {
            let why = format!("no answer within {} s after the end", ANSWERS_WITHIN.as_secs());
            tally.failed(outstanding.get(), why);
        }
        if tally.answered() == 0 {
            bail!("no request was answered as it should be: {}", tally.first_failure());
        }
        Ok(tally)
    }
}

async fn client(
    mut grpc: Grpc<Channel>,
    operation: Rc<dyn Operation>,
    tally: Rc<RefCell<Tally>>,
    outstanding: Rc<Cell<u64>>,
    mut pace: Option<Pace>,
) {
    let until = tally.borrow().until;
    let path = operation.path();
    loop {
        let due = match &mut pace {
            None => Instant::now(),
            Some(pace) => {
                let due = pace.next;
                pace.next += pace.every;
                if due < until {
                    // At once if the answer before came late: what was due then is late, and counts as that.
                    sleep_until(due).await;
                }
                due
            }
        };
        if due >= until {
            return;
        }
        outstanding.set(outstanding.get() + 1);
        let answer = unary(&mut grpc, path.clone(), operation.next()).await;
        outstanding.set(outstanding.get() - 1);
        let done = Instant::now();
        let answer = match answer {
            Ok(answer) => operation.check(answer),
            Err(status) => Err(status.to_string()),
        };
        match answer {
            Ok(()) => tally.borrow_mut().answer(due, done, 1),
            Err(why) => {
                tally.borrow_mut().failed(1, why);
                sleep(AFTER_FAILURE).await;
            }
        }
    }
}
