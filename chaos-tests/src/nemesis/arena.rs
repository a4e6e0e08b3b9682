//! How faults are done, proven, undone, and proven undone.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use rand::RngExt as _;
use rand::seq::IndexedRandom as _;
use rand_chacha::ChaCha8Rng;

use super::fault::Fault;
use super::namespace::{Network, address, clients};
use super::network::{self, Fate, Flapping, Rule, Rules, Way};
use super::process::{self, Starved};
use super::{clock, disk};
use crate::cluster::Cluster;
use crate::disk::{Loss, Trouble};

/// What faults are done to.
pub struct Arena {
    /// The nodes.
    pub cluster: Cluster,
    /// Their network.
    pub network: Arc<Network>,
    /// No step takes longer.
    pub within: Duration,
}

/// Who is who, before anything is done.
#[derive(Debug, Clone)]
pub struct Scene {
    /// Who leads.
    pub leader: u64,
    /// The others.
    pub followers: Vec<u64>,
}

/// A fault in force.
#[derive(Debug)]
pub struct Active {
    /// Which.
    pub fault: Fault,
    /// The nodes that it is done to.
    pub victims: Vec<u64>,
    /// What proves that it is in force.
    pub proof: anyhow::Result<String>,
    undo: Undo,
}

/// What has to be done to end a fault.
#[derive(Debug)]
enum Undo {
    /// The fault has ended by itself.
    Nothing,
    Start,
    Resume,
    Feed(Starved),
    Lift(Rules),
    Still(Flapping),
    SpeedUp,
    Well,
    RightClock,
}

/// A fault that has been ended, before that is proven.
#[derive(Debug)]
pub struct Ended {
    /// Which.
    pub fault: Fault,
    /// The nodes that it was done to.
    pub victims: Vec<u64>,
    /// What proves that it was in force.
    pub proof: anyhow::Result<String>,
    /// What was found while ending it.
    said: Option<String>,
    check: Check,
}

#[derive(Debug)]
enum Check {
    Answer,
    Runs,
    NoRules(Rules),
    Fast,
    RightClock,
}

impl Arena {
    /// Who is who now.
    ///
    /// # Errors
    /// If there is no leader in time.
    pub async fn scene(&self) -> anyhow::Result<Scene> {
        let leader = self.cluster.leader(self.within).await?;
        let followers = self.cluster.ids().into_iter().filter(|id| *id != leader).collect();
        Ok(Scene { leader, followers })
    }

    /// Does a fault, and waits until it is proven in force.
    ///
    /// # Errors
    /// If it cannot be done. That it cannot be proven is no error but in the result.
    pub async fn inject(&mut self, fault: Fault, scene: &Scene, rng: &mut ChaCha8Rng) -> anyhow::Result<Active> {
        let leader = scene.leader;
        let follower = *scene
            .followers
            .choose(rng)
            .context("a cluster of one node has no followers")?;
        let either = if rng.random_bool(0.5) { leader } else { follower };
        let all = self.cluster.ids();
        let cluster = &mut self.cluster;
        let (victims, proof, undo) = match fault {
            Fault::KillLeader => (vec![leader], process::kill(cluster, &[leader]).await, Undo::Start),
            Fault::KillFollower => (vec![follower], process::kill(cluster, &[follower]).await, Undo::Start),
            Fault::KillMajority => {
                let mut victims = vec![leader];
                victims.extend(scene.followers.iter().take(all.len() / 2));
                let proof = process::kill(cluster, &victims).await;
                (victims, proof, Undo::Start)
            }
            Fault::KillAll => (all.clone(), process::kill(cluster, &all).await, Undo::Start),
            Fault::PauseShort | Fault::PauseLong => (vec![leader], process::pause(cluster, leader).await, Undo::Resume),
            Fault::Starve => {
                let starved = Starved::start(cluster, leader, rng.random())?;
                (vec![leader], Ok(String::new()), Undo::Feed(starved))
            }
            Fault::RestartStorm => (vec![either], process::storm(cluster, either, rng).await, Undo::Nothing),
            Fault::RollingRestart => (
                all.clone(),
                process::rolling(cluster, &all, self.within).await,
                Undo::Nothing,
            ),
            Fault::DiskFull => (
                vec![either],
                disk::trouble(cluster, either, Trouble::Full).await,
                Undo::Well,
            ),
            Fault::SyncFails => (
                vec![either],
                disk::trouble(cluster, either, Trouble::SyncFails).await,
                Undo::Well,
            ),
            Fault::SyncSlow => {
                let slow = Trouble::SyncSlow(Duration::from_millis(300));
                (vec![leader], disk::trouble(cluster, leader, slow).await, Undo::Well)
            }
            Fault::PowerLoss | Fault::TornPowerLoss => {
                let loss = match fault {
                    Fault::PowerLoss => Loss::Everything,
                    _ => Loss::Torn,
                };
                let victims = if rng.random_bool(0.5) { all } else { vec![either] };
                let proof = disk::lose_power(cluster, &victims, loss, rng).await;
                (victims, proof, Undo::Start)
            }
            Fault::ClockAhead | Fault::ClockBehind => {
                let ahead_ms = if fault == Fault::ClockAhead { 10_000 } else { -10_000 };
                clock::set(cluster, either, ahead_ms, self.within).await?;
                let proof = clock::shows(cluster, either, ahead_ms, self.within).await;
                (vec![either], proof, Undo::RightClock)
            }
            Fault::SlowLink => {
                // One that has something to send.
                let either = if cluster.node(either).pid().is_some() {
                    either
                } else {
                    follower
                };
                let either = if cluster.node(either).pid().is_some() {
                    either
                } else {
                    leader
                };
                network::slow_down(&self.network, either).await?;
                (
                    vec![either],
                    network::slowed(&self.network, either).await,
                    Undo::SpeedUp,
                )
            }
            Fault::Flapping => {
                let rules = BTreeMap::from([(leader, network::cut(&addresses(&scene.followers)?))]);
                let flapping = Flapping::start(self.network.clone(), rules, rng.random());
                (vec![leader], Ok(String::new()), Undo::Still(flapping))
            }
            _ => {
                let rules = rules(fault, scene, follower, either, rng)?;
                network::enforce(&self.network, &rules).await?;
                let proof = network::proven(&self.network, &rules).await;
                (rules.keys().copied().collect(), proof, Undo::Lift(rules))
            }
        };
        Ok(Active {
            fault,
            victims,
            proof,
            undo,
        })
    }

    /// Ends a fault. That it has ended is to be proven afterwards, so that recovery is timed from here.
    ///
    /// # Errors
    /// If it cannot be ended.
    pub async fn revert(&mut self, active: Active) -> anyhow::Result<Ended> {
        let Active {
            fault,
            victims,
            mut proof,
            undo,
        } = active;
        let mut said = None;
        let check = match undo {
            Undo::Nothing => Check::Answer,
            Undo::Start => {
                process::start(&mut self.cluster, &victims)?;
                Check::Answer
            }
            Undo::Resume => {
                victims.iter().try_for_each(|id| process::resume(&self.cluster, *id))?;
                Check::Runs
            }
            Undo::Feed(starved) => {
                let turns = starved.end().await?;
                proof = Ok(format!("node {victims:?} was stopped {turns} times"));
                Check::Runs
            }
            Undo::Lift(rules) => {
                let met = network::met(&self.network, &rules).await?;
                said = Some(format!("packets that met the rules until the end, by node: {met:?}"));
                network::lift(&self.network, &rules).await?;
                Check::NoRules(rules)
            }
            Undo::Still(flapping) => {
                let (rules, times, packets) = flapping.end().await?;
                let text = format!("cut off {times} times; packets that met the rules: {packets}");
                proof = match packets {
                    0 => Err(anyhow::anyhow!(text)),
                    _ => Ok(text),
                };
                Check::NoRules(rules)
            }
            Undo::SpeedUp => {
                for id in &victims {
                    network::speed_up(&self.network, *id).await?;
                }
                Check::Fast
            }
            Undo::Well => {
                for id in &victims {
                    disk::well(&mut self.cluster, *id)?;
                }
                Check::Answer
            }
            Undo::RightClock => {
                for id in &victims {
                    clock::set(&mut self.cluster, *id, 0, self.within).await?;
                }
                Check::RightClock
            }
        };
        Ok(Ended {
            fault,
            victims,
            proof,
            said,
            check,
        })
    }

    /// Proves that a fault has ended.
    ///
    /// # Errors
    /// If it has not.
    pub async fn reverted(&self, ended: &Ended) -> anyhow::Result<String> {
        let mut proofs: Vec<String> = ended.said.iter().cloned().collect();
        match &ended.check {
            Check::Answer => proofs.push(process::answer(&self.cluster, &ended.victims, self.within).await?),
            Check::NoRules(rules) => proofs.push(network::clear(&self.network, rules).await?),
            Check::Runs => {
                for id in &ended.victims {
                    proofs.push(process::resumed(&self.cluster, *id).await?);
                }
            }
            Check::Fast => {
                for id in &ended.victims {
                    proofs.push(network::fast(&self.network, *id).await?);
                }
            }
            Check::RightClock => {
                for id in &ended.victims {
                    proofs.push(clock::shows(&self.cluster, *id, 0, self.within).await?);
                }
            }
        }
        Ok(proofs.join("; "))
    }
}

fn addresses(ids: &[u64]) -> anyhow::Result<Vec<std::net::Ipv4Addr>> {
    ids.iter().map(|id| address(*id)).collect()
}

/// The rules of faults that are nothing but rules.
fn rules(fault: Fault, scene: &Scene, follower: u64, either: u64, rng: &mut ChaCha8Rng) -> anyhow::Result<Rules> {
    let all: Vec<u64> = std::iter::once(scene.leader)
        .chain(scene.followers.iter().copied())
        .collect();
    let others = |id: u64| addresses(&all.iter().copied().filter(|other| *other != id).collect::<Vec<_>>());
    let at_all = |rules: &dyn Fn(u64) -> anyhow::Result<Vec<Rule>>| -> anyhow::Result<Rules> {
        all.iter().map(|id| Ok((*id, rules(*id)?))).collect()
    };
    let from_others = |id: u64, fate: Fate| -> anyhow::Result<Vec<Rule>> {
        let rule = |other| Rule {
            way: Way::Arriving,
            other: Some(other),
            fate,
        };
        Ok(others(id)?.into_iter().map(rule).collect())
    };
    match fault {
        Fault::IsolateLeader => Ok(BTreeMap::from([(scene.leader, network::cut(&others(scene.leader)?))])),
        Fault::Unreachable => {
            let anybody = [Way::Arriving, Way::Leaving].map(|way| Rule {
                way,
                other: None,
                fate: Fate::Lost,
            });
            Ok(BTreeMap::from([(either, anybody.into())]))
        }
        Fault::Apart => at_all(&|id| Ok(network::cut(&others(id)?))),
        Fault::OneWay => {
            let way = if rng.random_bool(0.5) {
                Way::Arriving
            } else {
                Way::Leaving
            };
            let lost = others(either)?.into_iter().map(|other| network::lost(way, other));
            Ok(BTreeMap::from([(either, lost.collect())]))
        }
        Fault::Bridge => Ok(BTreeMap::from([(follower, network::cut(&[address(scene.leader)?]))])),
        Fault::Loss => at_all(&|id| from_others(id, Fate::SomeLost(20))),
        Fault::Reset => at_all(&|id| from_others(id, Fate::SomeReset(2))),
        Fault::AnswersLost => at_all(&|_| Ok(vec![network::lost(Way::Leaving, clients())])),
        other => anyhow::bail!("{} is more than rules", other.name()),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

    use rand::SeedableRng as _;

    use super::*;

    #[test]
    fn a_bridge_cuts_one_pair_and_a_split_every_pair() {
        let scene = Scene {
            leader: 2,
            followers: vec![1, 3],
        };
        let mut rng = ChaCha8Rng::seed_from_u64(1);
        let bridge = rules(Fault::Bridge, &scene, 3, 3, &mut rng).unwrap();
        assert_eq!(bridge, BTreeMap::from([(3, network::cut(&[address(2).unwrap()]))]));
        let apart = rules(Fault::Apart, &scene, 3, 3, &mut rng).unwrap();
        assert_eq!(apart.keys().copied().collect::<Vec<_>>(), [1, 2, 3]);
        assert_eq!(apart[&1], network::cut(&addresses(&[2, 3]).unwrap()));
        assert!(rules(Fault::KillAll, &scene, 3, 3, &mut rng).is_err());
    }
}
