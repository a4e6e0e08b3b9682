//! The nodes that clients reach: a list that may grow and shrink while they run.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rand::Rng;
use rand::seq::IteratorRandom as _;
use tonic::transport::Channel;

/// Node ids and the channels to them. Clones share one list.
#[derive(Debug, Clone, Default)]
pub struct Nodes(Arc<Mutex<BTreeMap<u64, Channel>>>);

impl Nodes {
    /// These nodes.
    pub fn new(nodes: impl IntoIterator<Item = (u64, Channel)>) -> Self {
        Self(Arc::new(Mutex::new(nodes.into_iter().collect())))
    }

    /// From now on this node is asked, too; a known one is reached through the new channel.
    pub fn add(&self, id: u64, channel: Channel) {
        self.nodes().insert(id, channel);
    }

    /// From now on nobody asks this node. Calls under way go on.
    pub fn remove(&self, id: u64) {
        self.nodes().remove(&id);
    }

    /// All ids, ascending.
    pub fn ids(&self) -> Vec<u64> {
        self.nodes().keys().copied().collect()
    }

    /// The channel to a node, if it is on the list.
    pub fn channel(&self, id: u64) -> Option<Channel> {
        self.nodes().get(&id).cloned()
    }

    /// Any node; none if the list is empty.
    pub fn any(&self, rng: &mut impl Rng) -> Option<(u64, Channel)> {
        let nodes = self.nodes();
        let (id, channel) = nodes.iter().choose(rng)?;
        Some((*id, channel.clone()))
    }

    fn nodes(&self) -> MutexGuard<'_, BTreeMap<u64, Channel>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
