//! What a new cluster is told once, and what the configuration says about lanes: proposed by whoever leads.

use std::collections::BTreeSet;
use std::time::Duration;

use portcullis_config::NodeConfig;
use portcullis_consensus::Consensus;
use portcullis_domain::codec::to_bytes;
use portcullis_domain::command::{ClusterCommand, CommandBody, ExternalBody, ExternalCommand};
use portcullis_domain::id::{ClusterId, Digest, Principal, RequestId, SourceId};
use portcullis_domain::ledger::Ledger;
use portcullis_domain::policy::Policy;
use tokio_util::sync::CancellationToken;

use crate::ports::unstamped;

/// How soon something that failed is tried again.
const AGAIN: Duration = Duration::from_millis(200);

/// Founds the cluster and defines the configured lanes, as long as this node leads and something is missing.
pub async fn run(config: NodeConfig, cluster: ClusterId, consensus: Consensus, stop: CancellationToken) {
    let mut leadership = consensus.leadership();
    // What the ledger refused is not asked again before leadership changes: it would refuse again.
    let mut refused: BTreeSet<CommandKey> = BTreeSet::new();
    loop {
        leadership.borrow_and_update();
        if consensus.leads() {
            let wanted: Vec<_> = missing(&config, cluster, &consensus.view().ledger)
                .into_iter()
                .filter(|(key, _)| !refused.contains(key))
                .collect();
            if !wanted.is_empty() {
                let (keys, commands): (Vec<_>, Vec<_>) = wanted
                    .into_iter()
                    .map(|(key, body)| (key, unstamped(body, String::new())))
                    .unzip();
                for (key, answer) in keys.into_iter().zip(consensus.propose(commands).await) {
                    match answer {
                        Ok(outcome) => {
                            if let Some(refusal) = outcome.refusal() {
                                tracing::warn!(%refusal, "the configuration was not taken over");
                                refused.insert(key);
                            }
                        }
                        Err(error) => tracing::debug!(%error, "the configuration is proposed again"),
                    }
                }
                if tokio::time::timeout(AGAIN, stop.cancelled()).await.is_ok() {
                    return;
                }
                continue;
            }
        }
        tokio::select! {
            () = stop.cancelled() => return,
            changed = leadership.changed() => {
                if changed.is_err() {
                    return;
                }
                refused.clear();
            }
        }
    }
}

/// What a proposed command is about: the lane's definition, or nothing for the founding itself.
type CommandKey = Option<Digest>;

/// Commands that bring the ledger to what the configuration says. Lanes that are busy keep their definition until the next
/// leader looks, and lanes that the configuration does not name stay.
fn missing(config: &NodeConfig, cluster: ClusterId, ledger: &Ledger) -> Vec<(CommandKey, CommandBody)> {
    if let Some(former) = ledger.former() {
        let restore = ClusterCommand::Restore {
            cluster,
            former,
            size: ledger.log().size(),
            root: ledger.log().root(),
        };
        return vec![(None, CommandBody::Cluster(restore))];
    }
    if ledger.cluster().is_none() {
        let found = ClusterCommand::Found {
            cluster,
            policy: Policy::first(),
        };
        return vec![(None, CommandBody::Cluster(found))];
    }
    let (Ok(source), Ok(principal)) = (SourceId::new("configuration"), Principal::new("configuration")) else {
        return Vec::new();
    };
    config
        .lanes
        .iter()
        .filter(|spec| {
            ledger
                .lane(spec.id)
                .is_none_or(|lane| lane.spec != **spec && lane.next.is_none() && lane.current.is_none())
        })
        .filter_map(|spec| {
            // The ledger's number keeps a definition that comes back later from being taken for a repetition.
            let digest = Digest::of(&to_bytes(spec));
            let short = &digest.to_string()[..16];
            let request = RequestId::new(format!("{}-{short}-{}", spec.id, ledger.number().0)).ok()?;
            let command = ExternalCommand {
                source: source.clone(),
                request,
                principal: principal.clone(),
                body: ExternalBody::DefineLane(spec.clone()),
            };
            Some((Some(digest), CommandBody::External(command)))
        })
        .collect()
}
