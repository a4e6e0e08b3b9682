//! Deciding what the cluster asks about itself: always compare-and-set on what the proposer saw.

use super::{Decision, Ledger};
use crate::command::ClusterCommand;
use crate::event::Event;
use crate::id::{BootId, Epoch, InspectionNo, NodeId};
use crate::outcome::{Answer, Refusal, RefusalReason};
use crate::placement::{ActorKey, FUSION_SHARDS};
use crate::roster::{has_left, taken};

impl Ledger {
    pub(super) fn decide_cluster(&self, command: &ClusterCommand) -> Result<Decision, Refusal> {
        if let ClusterCommand::Found { cluster, policy } = command {
            if let Some(known) = self.cluster {
                return Err(Refusal::new(
                    RefusalReason::AlreadyFounded,
                    "cluster",
                    format!("this is cluster {known}"),
                ));
            }
            if let Some(former) = self.former {
                return Err(Refusal::new(
                    RefusalReason::AlreadyFounded,
                    "cluster",
                    format!("this goes on from a backup of cluster {former}"),
                ));
            }
            policy.check().map_err(super::policies::invalid)?;
            self.check_models(policy)?;
            return Decision::event(Event::Founded {
                cluster: *cluster,
                policy: policy.clone(),
            });
        }
        if let ClusterCommand::Restore {
            cluster,
            former,
            size,
            root,
        } = command
        {
            if self.cluster.is_some() || self.former != Some(*former) || cluster == former {
                return Err(Refusal::new(
                    RefusalReason::AlreadyFounded,
                    "former",
                    format!("this is not a backup of cluster {former} that nobody has gone on from"),
                ));
            }
            if (*size, *root) != (self.log.size(), self.log.root()) {
                return Err(Refusal::new(
                    RefusalReason::InvalidArgument,
                    "root",
                    "size and root are not those of the decision log",
                ));
            }
            return Decision::event(Event::Restored {
                cluster: *cluster,
                former: *former,
                size: *size,
                root: *root,
            });
        }
        self.founded()?;
        match command {
            ClusterCommand::Found { .. } | ClusterCommand::Restore { .. } => unreachable!("handled above"),
            ClusterCommand::Enrol {
                node,
                incarnation,
                address,
            } => {
                if let Some(known) = self.roster.get(node) {
                    if known.removed {
                        return Err(has_left(*node));
                    }
                    if known.incarnation.is_some_and(|known| known != *incarnation) {
                        return Err(taken(*node));
                    }
                }
                self.check_address(address, Some(*incarnation))?;
                self.enrol(*node, *incarnation, address)
            }
            ClusterCommand::NodeUp {
                node,
                boot,
                expect,
                capacity,
                version,
            } => {
                if self.roster.get(node).is_some_and(|enrolment| enrolment.removed) {
                    return Err(has_left(*node));
                }
                let known = self.nodes.get(node);
                if known.is_some_and(|known| known.up && known.boot == *boot) {
                    return Decision::nothing_new(Answer::Done);
                }
                let seen = known.map(|known| known.boot);
                if seen != *expect || seen == Some(*boot) {
                    return Err(stale_boot(*node, seen, *boot));
                }
                Decision::event(Event::NodeUp {
                    node: *node,
                    boot: *boot,
                    capacity: *capacity,
                    version: *version,
                    aborted: self.runs_on(*node),
                })
            }
            ClusterCommand::NodeDown { node, boot } => {
                let known = self
                    .nodes
                    .get(node)
                    .ok_or_else(|| Refusal::new(RefusalReason::UnknownNode, "node", format!("there is no {node}")))?;
                if known.boot != *boot {
                    return Err(stale_boot(*node, Some(known.boot), *boot));
                }
                if !known.up {
                    return Decision::nothing_new(Answer::Done);
                }
                Decision::event(Event::NodeDown {
                    node: *node,
                    boot: *boot,
                    aborted: self.runs_on(*node),
                })
            }
            ClusterCommand::Place {
                key,
                expect,
                node,
                boot,
            } => self.place(key, *expect, *node, *boot, false),
            ClusterCommand::HandOver {
                key,
                expect,
                node,
                boot,
            } => self.place(key, *expect, *node, *boot, true),
            ClusterCommand::ActivateVersion { version } => {
                if *version == self.version {
                    return Decision::nothing_new(Answer::Done);
                }
                let behind = self.nodes().find(|(_, node)| node.version < *version);
                if *version != self.version + 1 || behind.is_some() {
                    return Err(Refusal::new(
                        RefusalReason::VersionNotActive,
                        "version",
                        match behind {
                            Some((node, _)) => {
                                format!("{node} does not know version {version} yet")
                            }
                            None => format!("version {} is active; the next one comes first", self.version),
                        },
                    ));
                }
                Decision::event(Event::VersionActivated { version: *version })
            }
        }
    }

    fn place(
        &self,
        key: &ActorKey,
        expect: Epoch,
        node: NodeId,
        boot: BootId,
        at_safe_point: bool,
    ) -> Result<Decision, Refusal> {
        let known = match key {
            ActorKey::Lane(lane) => self.lanes.contains_key(lane),
            ActorKey::Fusion(shard) => *shard < FUSION_SHARDS,
            ActorKey::Scheduler(terminal) => self.lanes.values().any(|lane| lane.spec.terminal == *terminal),
            ActorKey::Placement => false,
        };
        if !known {
            return Err(Refusal::new(
                RefusalReason::InvalidArgument,
                "key",
                format!("{key} is not an actor that can be placed"),
            ));
        }
        match self.nodes.get(&node) {
            Some(record) if record.up && record.boot == boot => {}
            other => return Err(stale_boot(node, other.map(|record| record.boot), boot)),
        }
        let seen = self
            .placements
            .get(key)
            .map_or(Epoch::NONE, |placement| placement.epoch);
        if seen != expect {
            return Err(Refusal::new(
                RefusalReason::StaleEpoch,
                "expect",
                format!("{key} is placed under {seen}, not {expect}"),
            ));
        }
        let aborted = self.running(key);
        if at_safe_point && !aborted.is_empty() {
            return Err(Refusal::new(
                RefusalReason::LaneBusy,
                "key",
                format!("{key} has a container; hand it over between containers"),
            ));
        }
        let epoch = Epoch(self.number.0);
        Decision::answered(
            Event::Placed {
                key: key.clone(),
                epoch,
                node,
                boot,
                aborted,
            },
            Answer::Placed { epoch },
        )
    }

    /// Inspections that break off when this actor loses its home. A pass that is complete does not: it only waits for
    /// its conclusion, which needs no lane.
    fn running(&self, key: &ActorKey) -> Vec<InspectionNo> {
        let ActorKey::Lane(id) = key else {
            return Vec::new();
        };
        let Some(lane) = self.lanes.get(id) else {
            return Vec::new();
        };
        [lane.current, lane.next]
            .into_iter()
            .flatten()
            .filter(|no| self.inspections.get(no).is_some_and(|case| !case.pass_complete))
            .collect()
    }

    /// Inspections that break off when this node's process is lost.
    fn runs_on(&self, node: NodeId) -> Vec<InspectionNo> {
        self.placements
            .iter()
            .filter(|(_, placement)| placement.node == node && placement.live)
            .flat_map(|(key, _)| self.running(key))
            .collect()
    }
}

fn stale_boot(node: NodeId, known: Option<BootId>, meant: BootId) -> Refusal {
    let known = known.map_or_else(|| "no process".to_owned(), |boot| boot.to_string());
    Refusal::new(
        RefusalReason::StaleBoot,
        "boot",
        format!("{node} is known by {known}, which does not go with {meant}"),
    )
}
