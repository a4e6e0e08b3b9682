//! The court: clients' account and judge together. After each harm it reads what is new, repeats requests, and says which
//! promises were broken.

use std::time::Duration;

use futures::StreamExt as _;
use portcullis_proto::v1 as pb;
use rand::RngExt as _;
use rand_chacha::ChaCha8Rng;

use crate::cluster::Cluster;
use crate::load::Load;
use crate::oracle::{Oracle, Violation};
use crate::write::Told;

/// Requests that are repeated at the same time.
const AT_ONCE: usize = 32;
/// Older writes that are repeated each time.
const OLD_ONES: usize = 16;

/// Clients that write, and who judges what they were told.
pub struct Court {
    load: Load,
    oracle: Oracle,
    within: Duration,
}

impl Court {
    /// A court over these clients; no request and no agreement takes longer than `within`.
    pub fn new(load: Load, within: Duration) -> Self {
        Self {
            load,
            oracle: Oracle::default(),
            within,
        }
    }

    /// The clients.
    pub fn load(&self) -> &Load {
        &self.load
    }

    /// Entries of the log that were read.
    pub fn size(&self) -> u64 {
        self.oracle.size()
    }

    /// Reads what is new in the log at one node up to this head, and all before it if it is to be read `again`, and compares
    /// it with the account.
    ///
    /// # Errors
    /// If the node that is read does not answer.
    pub async fn judge(
        &mut self,
        cluster: &Cluster,
        head: &pb::GetHeadResponse,
        again: bool,
        rng: &mut ChaCha8Rng,
    ) -> anyhow::Result<Vec<Violation>> {
        let node = cluster.any(rng).channel.clone();
        self.oracle.follow(&node, head).await?;
        if again {
            self.oracle.read_again(&node).await?;
        }
        Ok(self.oracle.judge(&self.load.account()))
    }

    /// Repeats the acknowledged writes since `before` and some older ones, and asks about half of the unknown ones. Returns
    /// the broken promises met so far while reading and repeating.
    ///
    /// # Errors
    /// If the account cannot be kept.
    pub async fn repeat(&mut self, before: u64, rng: &mut ChaCha8Rng) -> anyhow::Result<Vec<Violation>> {
        let chosen: Vec<(u64, Told)> = {
            let account = self.load.account();
            let old = (0..OLD_ONES).filter_map(|_| {
                let serial = (before > 0).then(|| rng.random_range(0..before))?;
                account.told().get_key_value(&serial)
            });
            let old: Vec<_> = old.filter(|(_, told)| matches!(told, Told::Applied(_))).collect();
            let new = account.told().range(before..).filter(|(serial, told)| match told {
                Told::Applied(_) => true,
                // The other half stays unknown for ever, as with a client that never asks again.
                Told::Unknown => *serial % 2 == 0,
                Told::Refused(_) => false,
            });
            let all = old.into_iter().chain(new);
            all.map(|(serial, told)| (*serial, told.clone())).collect()
        };
        self.ask_again(chosen).await?;
        Ok(self.oracle.met().to_vec())
    }

    /// Reads every node's whole log, and repeats every acknowledged write.
    ///
    /// # Errors
    /// If the nodes do not agree in time, one does not answer, or the account cannot be kept.
    pub async fn whole(&mut self, cluster: &mut Cluster) -> anyhow::Result<Vec<Violation>> {
        let applied: Vec<(u64, Told)> = self
            .load
            .account()
            .told()
            .iter()
            .filter(|(_, told)| matches!(told, Told::Applied(_)))
            .map(|(serial, told)| (*serial, told.clone()))
            .collect();
        self.ask_again(applied).await?;
        let head = cluster.agree(self.within).await?;
        for (at, node) in cluster.nodes.values().enumerate() {
            match at {
                0 => self.oracle.follow(&node.channel, &head).await?,
                _ => self.oracle.read_again(&node.channel).await?,
            }
        }
        Ok(self.oracle.judge(&self.load.account()))
    }

    async fn ask_again(&mut self, writes: Vec<(u64, Told)>) -> anyhow::Result<()> {
        let load = &self.load;
        let within = self.within;
        let mut answers = futures::stream::iter(writes)
            .map(|(serial, told)| async move { (serial, told, load.again(serial, within).await) })
            .buffer_unordered(AT_ONCE);
        while let Some((serial, before, now)) = answers.next().await {
            if before == Told::Unknown && matches!(now, Told::Applied(_)) {
                load.account().record(serial, now)?;
            } else {
                self.oracle.repeated(serial, &before, &now);
            }
        }
        Ok(())
    }
}
