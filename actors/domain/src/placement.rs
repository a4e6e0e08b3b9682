//! Where actors run: the keys of the four kinds, the nodes that can carry them, and the placement that the ledger grants.

use std::fmt;

use crate::codec::canonical;
use crate::id::{BootId, Epoch, LaneId, NodeId, TerminalId, Timestamp};

/// How many fusion shards there are. Fixed for the life of a cluster.
pub const FUSION_SHARDS: u8 = 64;

/// An actor whose home is ledger state.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ActorKey {
    /// Runs the passes of a lane.
    Lane(LaneId),
    /// Profiles and concludes the inspections whose number has this remainder.
    Fusion(u8),
    /// Assigns the containers of a terminal to its lanes.
    Scheduler(TerminalId),
    /// Places the others; runs on the leader.
    Placement,
}

canonical!(enum ActorKey { 1 => Lane(id), 2 => Fusion(shard), 3 => Scheduler(terminal), 4 => Placement });

impl fmt::Display for ActorKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Lane(id) => write!(f, "lane/{}", id.0),
            Self::Fusion(shard) => write!(f, "fusion/{shard}"),
            Self::Scheduler(terminal) => write!(f, "scheduler/{terminal}"),
            Self::Placement => f.write_str("placement"),
        }
    }
}

/// The fusion shard of an inspection.
pub fn shard_of(inspection: crate::id::InspectionNo) -> u8 {
    u8::try_from(inspection.0 % u64::from(FUSION_SHARDS)).unwrap_or(0)
}

/// A node as the ledger knows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NodeRecord {
    /// The process that last came up.
    pub boot: BootId,
    /// It is up, as far as the leader knows.
    pub up: bool,
    /// Relative capacity for actors; 0 carries none.
    pub capacity: u32,
    /// Highest cluster version it speaks.
    pub version: u32,
    /// Since when it has been up or down.
    pub since: Timestamp,
}

canonical!(struct NodeRecord { boot, up, capacity, version, since });

/// Where an actor runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Placement {
    /// The node.
    pub node: NodeId,
    /// The process on it.
    pub boot: BootId,
    /// The version of this placement.
    pub epoch: Epoch,
    /// False once the process was declared down: nobody runs the actor until it is placed again.
    pub live: bool,
}

canonical!(struct Placement { node, boot, epoch, live });

/// A node that may carry actors now: up in the ledger, and heard of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Home {
    /// The node.
    pub node: NodeId,
    /// Its process.
    pub boot: BootId,
    /// Relative capacity.
    pub capacity: u32,
    /// It has been silent for a while and may be lost: it keeps what it carries and gets nothing new.
    pub suspect: bool,
}

/// An actor that should be placed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tenant {
    /// Which actor.
    pub key: ActorKey,
    /// Where it is now.
    pub now: Option<Placement>,
    /// Nodes it prefers; any will do if empty or if none of them is a home.
    pub prefers: Vec<NodeId>,
    /// It has work that a move would break off.
    pub busy: bool,
}

/// A placement to propose.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Move {
    /// Which actor.
    pub key: ActorKey,
    /// The placement that the plan saw.
    pub expect: Epoch,
    /// To which node.
    pub node: NodeId,
    /// To which process.
    pub boot: BootId,
}

/// The wanted placement as moves from the present one. A pure function of its arguments: every leader plans the same.
///
/// Actors without a living home move at once. Actors at home stay there, unless their node carries more than a quarter
/// above its fair share; then at most two, or a tenth of them all, move in one round, and never busy ones. A suspect gets
/// none and gives none away. Where to: rendezvous hashing with bounded load, so that the loss of a node moves only what
/// it carried.
pub fn solve(tenants: &[Tenant], homes: &[Home]) -> Vec<Move> {
    let mut moves = Vec::new();
    for class in [is_lane as fn(&ActorKey) -> bool, is_fusion, is_scheduler] {
        let group: Vec<&Tenant> = tenants.iter().filter(|tenant| class(&tenant.key)).collect();
        solve_class(&group, homes, &mut moves);
    }
    moves
}

fn is_lane(key: &ActorKey) -> bool {
    matches!(key, ActorKey::Lane(_))
}

fn is_fusion(key: &ActorKey) -> bool {
    matches!(key, ActorKey::Fusion(_))
}

fn is_scheduler(key: &ActorKey) -> bool {
    matches!(key, ActorKey::Scheduler(_))
}

fn solve_class(tenants: &[&Tenant], homes: &[Home], moves: &mut Vec<Move>) {
    let capacity: u64 = homes.iter().map(|home| u64::from(home.capacity)).sum();
    if capacity == 0 {
        return;
    }
    let count = tenants.len() as u64;
    // A quarter above the fair share, rounded up.
    let bound = |home: &Home| (count * u64::from(home.capacity) * 5).div_ceil(capacity * 4);
    let at_home = |tenant: &Tenant| {
        let now = tenant.now.filter(|now| now.live)?;
        homes
            .iter()
            .position(|home| home.node == now.node && home.boot == now.boot)
    };

    let mut load = vec![0_u64; homes.len()];
    for home in tenants.iter().filter_map(|tenant| at_home(tenant)) {
        load[home] += 1;
    }
    let mut place = |tenant: &Tenant, load: &mut [u64], from: Option<usize>| {
        let preferred = homes.iter().any(|home| tenant.prefers.contains(&home.node));
        let takes = |index: &usize| homes[*index].capacity > 0 && !homes[*index].suspect && Some(*index) != from;
        let target = (0..homes.len())
            .filter(takes)
            .filter(|index| load[*index] < bound(&homes[*index]))
            .max_by_key(|index| {
                let node = homes[*index].node;
                (
                    preferred && tenant.prefers.contains(&node),
                    attraction(&tenant.key, node),
                )
            });
        // The share of suspects is in the bounds of the others; who has no home cannot wait for it.
        let crowded = || (0..homes.len()).filter(takes).min_by_key(|index| load[*index]);
        let Some(target) = target.or_else(|| from.is_none().then(crowded).flatten()) else {
            return false;
        };
        load[target] += 1;
        moves.push(Move {
            key: tenant.key.clone(),
            expect: tenant.now.map_or(Epoch::NONE, |now| now.epoch),
            node: homes[target].node,
            boot: homes[target].boot,
        });
        true
    };

    for tenant in tenants.iter().filter(|tenant| at_home(tenant).is_none()) {
        place(tenant, &mut load, None);
    }
    let mut voluntary = (tenants.len() / 10).max(2);
    for tenant in tenants.iter().filter(|tenant| !tenant.busy) {
        let Some(home) = at_home(tenant) else {
            continue;
        };
        if voluntary == 0 || homes[home].suspect || load[home] <= bound(&homes[home]) {
            continue;
        }
        if place(tenant, &mut load, Some(home)) {
            load[home] -= 1;
            voluntary -= 1;
        }
    }
}

/// How strongly a node attracts an actor: highest wins (rendezvous hashing).
fn attraction(key: &ActorKey, node: NodeId) -> u64 {
    let digest = crate::id::Digest::of(&crate::codec::to_bytes(&(key.clone(), node)));
    digest.0[..8]
        .iter()
        .fold(0, |value, byte| (value << 8) | u64::from(*byte))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn homes(nodes: &[u64]) -> Vec<Home> {
        nodes
            .iter()
            .map(|node| Home {
                node: NodeId(*node),
                boot: BootId(*node),
                capacity: 100,
                suspect: false,
            })
            .collect()
    }

    fn shards(now: impl Fn(u8) -> Option<Placement>) -> Vec<Tenant> {
        (0..FUSION_SHARDS)
            .map(|shard| Tenant {
                key: ActorKey::Fusion(shard),
                now: now(shard),
                prefers: vec![],
                busy: false,
            })
            .collect()
    }

    fn settle(mut tenants: Vec<Tenant>, homes: &[Home]) -> (Vec<Tenant>, usize) {
        let mut moved = 0;
        for _ in 0..100 {
            let moves = solve(&tenants, homes);
            if moves.is_empty() {
                return (tenants, moved);
            }
            for step in moves {
                moved += 1;
                let tenant = tenants.iter_mut().find(|tenant| tenant.key == step.key).unwrap();
                let epoch = Epoch(step.expect.0 + 1);
                tenant.now = Some(Placement {
                    node: step.node,
                    boot: step.boot,
                    epoch,
                    live: true,
                });
            }
        }
        panic!("the plan never settles");
    }

    fn carried(tenants: &[Tenant], node: u64) -> usize {
        tenants
            .iter()
            .filter(|tenant| tenant.now.is_some_and(|now| now.node == NodeId(node)))
            .count()
    }

    #[test]
    fn everybody_gets_a_home_within_the_bound_and_the_plan_settles() {
        let (tenants, _) = settle(shards(|_| None), &homes(&[1, 2, 3]));
        for node in 1..=3 {
            assert!(
                (1..=27).contains(&carried(&tenants, node)),
                "{}",
                carried(&tenants, node)
            );
        }
    }

    #[test]
    fn losing_a_node_moves_what_it_carried_and_little_else() {
        let (tenants, _) = settle(shards(|_| None), &homes(&[1, 2, 3]));
        let lost = carried(&tenants, 3);
        let (after, moved) = settle(tenants, &homes(&[1, 2]));
        assert_eq!(carried(&after, 3), 0);
        assert_eq!(moved, lost);
    }

    #[test]
    fn a_suspect_keeps_what_it_carries_and_gets_nothing_new() {
        let (tenants, _) = settle(shards(|_| None), &homes(&[1, 2, 3]));
        let kept = carried(&tenants, 2);
        let mut doubtful = homes(&[1, 2, 3]);
        doubtful[1].suspect = true;
        assert_eq!(solve(&tenants, &doubtful), [], "nobody moves for a suspicion");
        // Another node is lost meanwhile: all it carried goes to the one that is not suspected.
        let (after, _) = settle(tenants, &doubtful[..2]);
        assert_eq!(carried(&after, 2), kept);
        assert_eq!(carried(&after, 1), usize::from(FUSION_SHARDS) - kept);
    }

    #[test]
    fn a_new_process_of_the_same_node_is_another_home() {
        let (tenants, _) = settle(shards(|_| None), &homes(&[1]));
        let again = [Home {
            node: NodeId(1),
            boot: BootId(99),
            capacity: 100,
            suspect: false,
        }];
        assert_eq!(solve(&tenants, &again).len(), usize::from(FUSION_SHARDS));
    }

    #[test]
    fn a_joining_node_gets_its_share_slowly_and_never_from_the_busy() {
        let (mut tenants, _) = settle(shards(|_| None), &homes(&[1, 2]));
        for tenant in &mut tenants {
            tenant.busy = carried(std::slice::from_ref(tenant), 1) == 1;
        }
        let first = solve(&tenants, &homes(&[1, 2, 3]));
        assert!(first.len() <= 6, "{}", first.len());
        assert!(
            first
                .iter()
                .all(|step| { tenants.iter().any(|tenant| tenant.key == step.key && !tenant.busy) })
        );
    }

    #[test]
    fn lanes_go_to_the_nodes_they_are_wired_to() {
        let lanes: Vec<Tenant> = (1..=3)
            .map(|id| Tenant {
                key: ActorKey::Lane(crate::id::LaneId(id)),
                now: None,
                prefers: vec![NodeId(u64::from(id))],
                busy: false,
            })
            .collect();
        for step in solve(&lanes, &homes(&[1, 2, 3])) {
            let ActorKey::Lane(lane) = step.key else {
                panic!("a lane was asked for")
            };
            assert_eq!(u64::from(lane.0), step.node.0);
        }
    }
}
