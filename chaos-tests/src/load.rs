//! Clients that write while a cluster is hurt, and put down what they are told.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use rand::seq::IndexedRandom as _;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tonic::transport::Channel;

use crate::account::Account;
use crate::write::{self, Told};

/// Clients that run beside each other.
const CLIENTS: usize = 2;
/// Writes that a client has under way at the same time while all is well.
const BURST: usize = 6;
/// Between two bursts: many cycles must not fill the ledger.
const PAUSE: Duration = Duration::from_millis(150);
/// Between two tries while nothing is applied: how finely the end of an outage is seen.
const PROBE: Duration = Duration::from_millis(10);

/// The clients. They end when this is dropped.
pub struct Load {
    shared: Arc<Shared>,
    _clients: JoinSet<()>,
}

struct Shared {
    nodes: Vec<Channel>,
    account: Mutex<Account>,
    runs: watch::Sender<bool>,
    busy: watch::Sender<usize>,
    /// How many writes were sent.
    sent: watch::Sender<u64>,
    /// When the write was sent that is the newest of those applied.
    applied: watch::Sender<Option<Instant>>,
    failed: Mutex<Option<String>>,
    turn: AtomicUsize,
}

impl Load {
    /// Clients of these nodes, which wait until they are told to run.
    pub fn new(nodes: Vec<Channel>, account: Account) -> Self {
        Self::of(CLIENTS, nodes, account)
    }

    /// So many clients, beside each other, which wait until they are told to run.
    pub fn of(clients: usize, nodes: Vec<Channel>, account: Account) -> Self {
        let shared = Arc::new(Shared {
            nodes,
            account: Mutex::new(account),
            runs: watch::Sender::new(false),
            busy: watch::Sender::new(0),
            sent: watch::Sender::new(0),
            applied: watch::Sender::new(None),
            failed: Mutex::new(None),
            turn: AtomicUsize::new(0),
        });
        let mut tasks = JoinSet::new();
        for _ in 0..clients {
            tasks.spawn(client(shared.clone()));
        }
        Self {
            shared,
            _clients: tasks,
        }
    }

    /// What the clients were told so far.
    pub fn account(&self) -> MutexGuard<'_, Account> {
        self.shared.account()
    }

    /// Lets the clients write.
    pub fn go(&self) {
        self.shared.runs.send_replace(true);
    }

    /// Stops the clients; returns when every write that was sent has its answer, also if that is "unknown".
    ///
    /// # Errors
    /// If a client could not put down what it was told.
    pub async fn pause(&self) -> anyhow::Result<()> {
        self.shared.runs.send_replace(false);
        // The sender lives in `shared`.
        let _ = self.shared.busy.subscribe().wait_for(|busy| *busy == 0).await;
        match self
            .shared
            .failed
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .as_ref()
        {
            None => Ok(()),
            Some(why) => anyhow::bail!("the account of the clients cannot be kept: {why}"),
        }
    }

    /// Returns when the next write has just been sent.
    pub async fn next_send(&self) {
        let mut sent = self.shared.sent.subscribe();
        sent.mark_unchanged();
        let _ = sent.changed().await;
    }

    /// Returns when a write that was sent after this moment is applied.
    ///
    /// # Errors
    /// If none is within the time.
    pub async fn applied_after(&self, moment: Instant, within: Duration) -> anyhow::Result<()> {
        let mut applied = self.shared.applied.subscribe();
        let wait = applied.wait_for(|sent| sent.is_some_and(|sent| sent > moment));
        tokio::time::timeout(within, wait)
            .await
            .map_err(|_| anyhow::anyhow!("no write is applied within {within:?}: the cluster does not serve again"))?
            .map_err(anyhow::Error::new)?;
        Ok(())
    }

    /// Sends a write again until it is applied. The last answer if it is not within the time.
    pub async fn again(&self, serial: u64, within: Duration) -> Told {
        let end = Instant::now() + within;
        loop {
            let told = write::send(self.shared.node(), serial).await;
            if matches!(told, Told::Applied(_)) || Instant::now() > end {
                return told;
            }
            tokio::time::sleep(PROBE).await;
        }
    }
}

impl Shared {
    fn account(&self) -> MutexGuard<'_, Account> {
        self.account.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// One node after the other.
    fn node(&self) -> Channel {
        let turn = self.turn.fetch_add(1, Ordering::Relaxed);
        self.nodes[turn % self.nodes.len()].clone()
    }

    async fn write(&self, node: Channel) -> anyhow::Result<bool> {
        let serial = self.account().reserve()?;
        let sent = Instant::now();
        self.sent.send_modify(|count| *count += 1);
        let told = write::send(node, serial).await;
        let applied = matches!(told, Told::Applied(_));
        self.account().record(serial, told)?;
        if applied {
            self.applied.send_modify(|newest| *newest = (*newest).max(Some(sent)));
        }
        Ok(applied)
    }
}

async fn client(shared: Arc<Shared>) {
    let mut runs = shared.runs.subscribe();
    let mut well = true;
    loop {
        if runs.wait_for(|runs| *runs).await.is_err() {
            return;
        }
        shared.busy.send_modify(|busy| *busy += 1);
        // A pause that came in between has not seen that this client is busy.
        if *runs.borrow() {
            let node = shared
                .nodes
                .choose(&mut rand::rng())
                .expect("a cluster has nodes")
                .clone();
            let burst = if well { BURST } else { 1 };
            let writes = (0..burst).map(|_| shared.write(node.clone()));
            match futures::future::try_join_all(writes).await {
                Ok(applied) => well = applied.contains(&true),
                Err(error) => {
                    *shared.failed.lock().unwrap_or_else(PoisonError::into_inner) = Some(format!("{error:#}"));
                    shared.busy.send_modify(|busy| *busy -= 1);
                    return;
                }
            }
        }
        shared.busy.send_modify(|busy| *busy -= 1);
        tokio::time::sleep(if well { PAUSE } else { PROBE }).await;
    }
}
