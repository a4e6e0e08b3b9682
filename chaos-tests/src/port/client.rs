//! What every client of the port has: a name, draws of its own, and calls that are put down.

use std::sync::Arc;
use std::time::Duration;

use portcullis_domain::outcome::RefusalReason;
use portcullis_proto::v1 as pb;
use rand::{RngExt as _, SeedableRng as _};
use rand_chacha::ChaCha8Rng;

use super::options::Misbehaviour;
use super::shared::Shared;
use crate::history::Request;
use crate::write::Told;

/// A client asks again so often until it knows.
const TRIES: u32 = 40;

/// One client.
pub(super) struct Client {
    pub(super) shared: Arc<Shared>,
    pub(super) name: Arc<str>,
    pub(super) rng: ChaCha8Rng,
    ids: u64,
}

impl Client {
    /// The client of this name. Its draws depend on the port's seed and its name, and on nothing that others do.
    pub(super) fn new(shared: &Arc<Shared>, name: impl Into<String>) -> Self {
        let name: String = name.into();
        let mut rng = ChaCha8Rng::seed_from_u64(shared.options.seed);
        rng.set_stream(stream(&name));
        Self {
            shared: shared.clone(),
            name: name.into(),
            rng,
            ids: 0,
        }
    }

    /// Asks any node, once.
    pub(super) async fn ask(&mut self, request: Request) -> Told {
        self.ask_shared(&Arc::new(request)).await
    }

    /// Asks any node, once, for a request that others may hold, too.
    pub(super) async fn ask_shared(&mut self, request: &Arc<Request>) -> Told {
        let Some((node, _)) = self.shared.nodes.any(&mut self.rng) else {
            tokio::time::sleep(self.shared.options.pause).await;
            return Told::Unknown;
        };
        self.shared.ask(&self.name, node, request).await
    }

    /// Asks one node after the other until the answer is known and final, as a careful system does.
    pub(super) async fn insist(&mut self, request: &Arc<Request>) -> Told {
        let mut told = Told::Unknown;
        for _ in 0..TRIES {
            told = self.ask_shared(request).await;
            match &told {
                Told::Applied(_) => return told,
                Told::Refused(reason) if is_final(reason) => return told,
                Told::Refused(_) | Told::Unknown => self.pause(self.shared.options.pause).await,
            }
        }
        told
    }

    /// True so many times of a thousand, and never once the port is calm.
    pub(super) fn misbehaves(&mut self, share: impl Fn(&Misbehaviour) -> u32) -> bool {
        let draw = self.rng.random_range(0..1000);
        !self.shared.is_calm() && draw < share(&self.shared.options.misbehaviour)
    }

    /// Waits about so long.
    pub(super) async fn pause(&mut self, mean: Duration) {
        let factor = self.rng.random_range(0.2..1.8);
        tokio::time::sleep(mean.mul_f64(factor)).await;
    }

    /// A context under a request id that was never used.
    pub(super) fn context(&mut self, source: &str, principal: &str) -> Option<pb::RequestContext> {
        self.ids += 1;
        Some(pb::RequestContext {
            source: source.to_owned(),
            request_id: format!("{}.{}", self.name, self.ids),
            principal: principal.to_owned(),
        })
    }
}

/// Asking again under the same id gives the same refusal: it is the ledger's own.
pub fn is_final(reason: &str) -> bool {
    // A cluster that is still being founded keeps no answers.
    RefusalReason::ALL
        .iter()
        .any(|known| *known != RefusalReason::NotFounded && known.as_str() == reason)
}

/// FNV-1a, 64 bits: a stream of draws for each name.
fn stream(name: &str) -> u64 {
    name.bytes().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
    })
}
