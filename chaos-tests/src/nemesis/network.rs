//! What is done to packets: rules of nftables in the namespaces of nodes, with counters that prove that packets met them.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::net::Ipv4Addr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use rand::RngExt as _;
use rand::SeedableRng as _;
use rand_chacha::ChaCha8Rng;
use serde::Deserialize;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use super::namespace::Network;
use crate::wait::eventually;

/// The only table that is made, looked at and removed.
const TABLE: &str = "nemesis";
/// Packets that have to meet a rule come by heartbeat.
const MET_WITHIN: Duration = Duration::from_secs(10);
/// So much goes through a slow link in a second, bits; heartbeats and clients want more.
const SLOW_LINK: &str = "200kbit";

/// Which way packets go, as the node sees it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Way {
    /// To the node.
    Arriving,
    /// From the node.
    Leaving,
}

/// What happens to them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    /// They vanish.
    Lost,
    /// So many of a hundred vanish, at random.
    SomeLost(u8),
    /// So many of a hundred are answered with a reset of their connection, at random.
    SomeReset(u8),
}

/// A rule of one node.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rule {
    /// Which way.
    pub way: Way,
    /// Whom the packets come from or go to; `None` for anybody.
    pub other: Option<Ipv4Addr>,
    /// What happens to them.
    pub fate: Fate,
}

/// Rules by node.
pub type Rules = BTreeMap<u64, Vec<Rule>>;

/// All packets between a node and these others vanish.
pub fn cut(others: &[Ipv4Addr]) -> Vec<Rule> {
    let both = |other: &Ipv4Addr| [Way::Arriving, Way::Leaving].map(|way| lost(way, *other));
    others.iter().flat_map(both).collect()
}

/// All packets one way vanish.
pub fn lost(way: Way, other: Ipv4Addr) -> Rule {
    Rule {
        way,
        other: Some(other),
        fate: Fate::Lost,
    }
}

/// A file for `nft -f`, which makes the table, or nothing if one of its rules is wrong.
fn file(rules: &[Rule]) -> String {
    let mut text = format!("table ip {TABLE} {{\n");
    for at in 0..rules.len() {
        let _ = writeln!(text, "  counter rule{at} {{ }}");
    }
    for (way, chain, hook) in [
        (Way::Arriving, "arriving", "input"),
        (Way::Leaving, "leaving", "output"),
    ] {
        let _ = writeln!(
            text,
            "  chain {chain} {{\n    type filter hook {hook} priority 0; policy accept;"
        );
        for (at, rule) in rules.iter().enumerate().filter(|(_, rule)| rule.way == way) {
            let _ = writeln!(text, "    {}", line(at, rule));
        }
        text.push_str("  }\n");
    }
    text.push_str("}\n");
    text
}

fn line(at: usize, rule: &Rule) -> String {
    let whom = match (rule.way, rule.other) {
        (_, None) => String::new(),
        (Way::Arriving, Some(other)) => format!("ip saddr {other} "),
        (Way::Leaving, Some(other)) => format!("ip daddr {other} "),
    };
    match rule.fate {
        Fate::Lost => format!("{whom}counter name rule{at} drop"),
        Fate::SomeLost(percent) => format!("{whom}numgen random mod 100 < {percent} counter name rule{at} drop"),
        Fate::SomeReset(percent) => format!(
            "{whom}meta l4proto tcp numgen random mod 100 < {percent} counter name rule{at} reject with tcp reset"
        ),
    }
}

/// Puts rules in force.
///
/// # Errors
/// If nft refuses.
pub async fn enforce(network: &Network, rules: &Rules) -> anyhow::Result<()> {
    for (node, rules) in rules {
        network.run(*node, &["nft", "-f", "-"], &file(rules)).await?;
    }
    Ok(())
}

/// Takes the rules of these nodes away.
///
/// # Errors
/// If nft refuses, such as when there are none.
pub async fn lift(network: &Network, rules: &Rules) -> anyhow::Result<()> {
    for node in rules.keys() {
        network.run(*node, &["nft", "delete", "table", "ip", TABLE], "").await?;
    }
    Ok(())
}

/// Packets that met the rules, by node.
///
/// # Errors
/// If nft refuses, such as when there are no rules.
pub async fn met(network: &Network, rules: &Rules) -> anyhow::Result<BTreeMap<u64, u64>> {
    let mut met = BTreeMap::new();
    for node in rules.keys() {
        let said = network
            .run(*node, &["nft", "-j", "list", "counters", "table", "ip", TABLE], "")
            .await?;
        met.insert(*node, packets(&said)?);
    }
    Ok(met)
}

/// Waits until packets met the rules of every node, or of any where the rules pick them at random, and returns how many. The
/// error says who met none.
///
/// # Errors
/// If the rules are met by nothing in time.
pub async fn proven(network: &Network, rules: &Rules) -> anyhow::Result<String> {
    let mut of = rules.values().flatten();
    let all = of.all(|rule| rule.fate == Fate::Lost);
    eventually("packets meet the rules", MET_WITHIN, async || {
        let met = met(network, rules).await.map_err(|error| format!("{error:#}"))?;
        let enough = match all {
            true => met.values().all(|packets| *packets > 0),
            false => met.values().any(|packets| *packets > 0),
        };
        match enough {
            true => Ok(format!("packets that met the rules, by node: {met:?}")),
            false => Err(format!("{met:?}")),
        }
    })
    .await
}

/// That no rules are left at these nodes.
///
/// # Errors
/// If there are some.
pub async fn clear(network: &Network, rules: &Rules) -> anyhow::Result<String> {
    for node in rules.keys() {
        let said = network.run(*node, &["nft", "list", "ruleset"], "").await?;
        anyhow::ensure!(said.trim().is_empty(), "node {node} still has rules:\n{said}");
    }
    Ok(format!("no rule left at {:?}", rules.keys().collect::<Vec<_>>()))
}

#[derive(Deserialize)]
struct Listing {
    nftables: Vec<Object>,
}

#[derive(Deserialize)]
struct Object {
    counter: Option<Counter>,
}

#[derive(Deserialize)]
struct Counter {
    packets: u64,
}

fn packets(listing: &str) -> anyhow::Result<u64> {
    let listing: Listing = serde_json::from_str(listing).context("reading what nft lists")?;
    let counters = listing.nftables.into_iter().filter_map(|object| object.counter);
    Ok(counters.map(|counter| counter.packets).sum())
}

/// Rules that come and go.
#[derive(Debug)]
pub struct Flapping {
    rules: Rules,
    stop: oneshot::Sender<()>,
    task: JoinHandle<anyhow::Result<(u64, u64)>>,
}

impl Flapping {
    /// Rules that are in force for 0.1 to 1 s and away for as long, by this seed.
    pub fn start(network: Arc<Network>, rules: Rules, seed: u64) -> Self {
        let (stop, stopped) = oneshot::channel();
        let task = tokio::spawn(flap(network, rules.clone(), seed, stopped));
        Self { rules, stop, task }
    }

    /// Ends it with the rules away. Returns them, and how often they were in force and how many packets met them.
    ///
    /// # Errors
    /// If nft failed on the way.
    pub async fn end(self) -> anyhow::Result<(Rules, u64, u64)> {
        let _ = self.stop.send(());
        let (times, packets) = self.task.await??;
        Ok((self.rules, times, packets))
    }
}

async fn flap(
    network: Arc<Network>,
    rules: Rules,
    seed: u64,
    mut stopped: oneshot::Receiver<()>,
) -> anyhow::Result<(u64, u64)> {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let (mut times, mut packets) = (0, 0);
    loop {
        enforce(&network, &rules).await?;
        times += 1;
        let over = tokio::time::timeout(Duration::from_millis(rng.random_range(100..1000)), &mut stopped).await;
        packets += met(&network, &rules).await?.values().sum::<u64>();
        lift(&network, &rules).await?;
        if over.is_ok() {
            return Ok((times, packets));
        }
        let pause = Duration::from_millis(rng.random_range(100..1000));
        if tokio::time::timeout(pause, &mut stopped).await.is_ok() {
            return Ok((times, packets));
        }
    }
}

/// Makes a node's cable slow.
///
/// # Errors
/// If tc refuses.
pub async fn slow_down(network: &Network, node: u64) -> anyhow::Result<()> {
    let shape = [
        "tc", "qdisc", "add", "dev", "eth0", "root", "tbf", "rate", SLOW_LINK, "burst", "2kb", "limit", "20kb",
    ];
    network.run(node, &shape, "").await?;
    Ok(())
}

/// Waits until packets had to wait, and returns how many times.
///
/// # Errors
/// If none had to in time.
pub async fn slowed(network: &Network, node: u64) -> anyhow::Result<String> {
    eventually("packets wait for the slow link", MET_WITHIN, async || {
        let said = network
            .run(node, &["tc", "-s", "qdisc", "show", "dev", "eth0"], "")
            .await;
        let said = said.map_err(|error| format!("{error:#}"))?;
        match overlimits(&said) {
            0 => Err(said),
            times => Ok(format!(
                "{SLOW_LINK}/s at node {node}; packets that had to wait: {times}"
            )),
        }
    })
    .await
}

/// Makes it as it was.
///
/// # Errors
/// If tc refuses.
pub async fn speed_up(network: &Network, node: u64) -> anyhow::Result<()> {
    network
        .run(node, &["tc", "qdisc", "del", "dev", "eth0", "root"], "")
        .await?;
    Ok(())
}

/// That a node's cable is as it was.
///
/// # Errors
/// If it is not.
pub async fn fast(network: &Network, node: u64) -> anyhow::Result<String> {
    let said = network.run(node, &["tc", "qdisc", "show", "dev", "eth0"], "").await?;
    anyhow::ensure!(!said.contains("tbf"), "node {node} still has a slow link: {said}");
    Ok(format!("no shaper left at node {node}"))
}

fn overlimits(said: &str) -> u64 {
    let mut words = said.split_whitespace();
    words.find(|word| *word == "overlimits");
    words.next().and_then(|count| count.parse().ok()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

    use super::*;

    #[test]
    fn a_table_counts_each_rule_by_itself_and_hooks_it_where_its_packets_pass() {
        let other = Ipv4Addr::new(127, 77, 0, 2);
        let mut rules = cut(&[other]);
        rules.push(Rule {
            way: Way::Arriving,
            other: None,
            fate: Fate::SomeReset(10),
        });
        assert_eq!(
            file(&rules),
            "table ip nemesis {\n  counter rule0 { }\n  counter rule1 { }\n  counter rule2 { }\n\
             \x20 chain arriving {\n    type filter hook input priority 0; policy accept;\n\
             \x20   ip saddr 127.77.0.2 counter name rule0 drop\n\
             \x20   meta l4proto tcp numgen random mod 100 < 10 counter name rule2 reject with tcp reset\n  }\n\
             \x20 chain leaving {\n    type filter hook output priority 0; policy accept;\n\
             \x20   ip daddr 127.77.0.2 counter name rule1 drop\n  }\n}\n"
        );
    }

    #[test]
    fn counters_are_summed_and_what_is_no_listing_is_an_error() {
        let listing = r#"{"nftables": [{"metainfo": {"version": "1.0.6"}},
            {"counter": {"family": "ip", "name": "rule0", "table": "nemesis", "handle": 2, "packets": 3, "bytes": 180}},
            {"counter": {"family": "ip", "name": "rule1", "table": "nemesis", "handle": 3, "packets": 4, "bytes": 240}}]}"#;
        assert_eq!(packets(listing).unwrap(), 7);
        assert!(packets("Error: No such file or directory").is_err());
        let shaped =
            "qdisc tbf 8001: root refcnt 2 rate 200Kbit\n Sent 866 bytes 7 pkt (dropped 0, overlimits 12 requeues 0)";
        assert_eq!(overlimits(shaped), 12);
        assert_eq!(overlimits("qdisc noqueue 0: root refcnt 2"), 0);
    }
}
