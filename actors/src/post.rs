//! Takes a message to an actor wherever it runs. At most once: what must not be lost is ledger state.

use portcullis_domain::message::{Envelope, Message};
use portcullis_domain::placement::ActorKey;
use tracing::debug;

use crate::config::Identity;
use crate::directory::Directory;
use crate::ports::Ports;

/// The way to other actors.
#[derive(Clone)]
pub(crate) struct Post {
    pub(crate) identity: Identity,
    pub(crate) directory: Directory,
    pub(crate) ports: Ports,
}

impl Post {
    /// Looks up where the ledger says the actor runs, and sends.
    pub(crate) fn tell(&self, from: &ActorKey, to: &ActorKey, traceparent: &str, message: Message) {
        let ledger = self.ports.ledger.ledger();
        let Some(placement) = ledger.placement(to).filter(|placement| placement.live) else {
            debug!(%to, "message dropped: the actor has no home");
            return;
        };
        let envelope = Envelope {
            to: to.clone(),
            to_epoch: placement.epoch,
            from: from.clone(),
            traceparent: traceparent.to_owned(),
            message,
        };
        let here = Identity {
            node: placement.node,
            boot: placement.boot,
        };
        if here == self.identity {
            if let Err(error) = self.directory.deliver(envelope) {
                debug!(%to, %error, "message dropped");
            }
        } else if let Err(error) = self.ports.link.tell(placement.node, envelope) {
            debug!(%to, node = %placement.node, %error, "message dropped");
        }
    }
}
