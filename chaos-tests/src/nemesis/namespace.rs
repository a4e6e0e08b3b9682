//! A network of the run's own: a bridge in the sandbox, and for each node a namespace that hangs on it by one cable.
//!
//! Nodes listen on loopback addresses only, until there is TLS, and that stays so: the addresses on this network are from
//! 127.0.0.0/8, which a kernel that is told to (`route_localnet`) carries over a cable as well. No packet with such an
//! address leaves a machine.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, bail};
use tokio::io::AsyncWriteExt as _;

use super::sandbox;
use crate::cluster::{Seat, command_in};

/// The network of the nodes; the last number is the node's.
const NET: [u8; 3] = [127, 77, 0];
/// The last number of the clients' address.
const CLIENTS: u8 = 200;
/// Every node listens there, at its own address.
const PORT: u16 = 7401;
/// No tool takes longer.
const TOOL_WITHIN: Duration = Duration::from_secs(10);

/// The network.
#[derive(Debug)]
pub struct Network {
    seats: BTreeMap<u64, Seat>,
}

/// A node's address.
///
/// # Errors
/// If the network has no such place.
pub fn address(node: u64) -> anyhow::Result<Ipv4Addr> {
    let last = u8::try_from(node).ok().filter(|last| (1..CLIENTS).contains(last));
    let last = last.with_context(|| format!("the network has places for nodes 1 to {}", CLIENTS - 1))?;
    Ok(Ipv4Addr::new(NET[0], NET[1], NET[2], last))
}

/// The address that clients come from.
pub fn clients() -> Ipv4Addr {
    Ipv4Addr::new(NET[0], NET[1], NET[2], CLIENTS)
}

impl Network {
    /// Makes the bridge in this process's namespace, which must be the sandbox's, and the nodes' namespaces under `dir`.
    ///
    /// # Errors
    /// If a tool fails; says which and with what.
    pub async fn make(dir: &Path, nodes: u64) -> anyhow::Result<Self> {
        let folder = sandbox::memory(&dir.join("namespaces"))?;
        attach(
            None,
            "bridge",
            &format!("link add bridge type bridge\n{}", own(clients(), "bridge")),
        )
        .await?;
        let mut seats = BTreeMap::new();
        for node in 1..=nodes {
            let address = address(node)?;
            let namespace = folder.join(format!("node-{node}"));
            std::fs::write(&namespace, "")?;
            let mut keep = std::ffi::OsString::from("--net=");
            keep.push(&namespace);
            let made = tokio::process::Command::new("unshare")
                .arg(keep)
                .arg("true")
                .status()
                .await;
            if !made.context("running unshare")?.success() {
                bail!("no network namespace can be made at {}", namespace.display());
            }
            let cable = format!(
                "link add node-{node} type veth peer name eth0 netns {}\nlink set node-{node} master bridge up\n",
                namespace.display()
            );
            tool(None, &["ip", "-batch", "-"], &cable).await?;
            attach(Some(&namespace), "eth0", &own(address, "eth0")).await?;
            let address = SocketAddr::from((address, PORT));
            seats.insert(node, Seat { address, namespace });
        }
        Ok(Self { seats })
    }

    /// The nodes' places.
    pub fn seats(&self) -> &BTreeMap<u64, Seat> {
        &self.seats
    }

    /// Runs a program in a node's namespace, gives it `input`, and returns what it prints.
    ///
    /// # Errors
    /// If there is no such node, or the program fails; says what it said.
    pub async fn run(&self, node: u64, program: &[&str], input: &str) -> anyhow::Result<String> {
        tool(Some(self.namespace(node)?), program, input)
            .await
            .with_context(|| format!("in the namespace of node {node}"))
    }

    fn namespace(&self, node: u64) -> anyhow::Result<&PathBuf> {
        let seat = self
            .seats
            .get(&node)
            .with_context(|| format!("there is no node {node}"))?;
        Ok(&seat.namespace)
    }
}

/// Lines for `ip -batch` that give a device its address. The namespace's own loopback keeps nothing but 127.0.0.1: else it
/// would hold all of 127.0.0.0/8 for itself.
fn own(address: Ipv4Addr, device: &str) -> String {
    format!(
        "link set lo up\naddress del 127.0.0.1/8 dev lo\naddress add 127.0.0.1/32 dev lo\nlink set {device} up\n\
         address add {address}/24 dev {device}\n"
    )
}

async fn attach(namespace: Option<&Path>, device: &str, lines: &str) -> anyhow::Result<()> {
    tool(namespace, &["ip", "-batch", "-"], lines).await?;
    let switch = format!("/proc/sys/net/ipv4/conf/{device}/route_localnet");
    tool(namespace, &["tee", &switch], "1").await?;
    Ok(())
}

/// Runs a tool and gives it its input.
async fn tool(namespace: Option<&Path>, program: &[&str], input: &str) -> anyhow::Result<String> {
    let (name, arguments) = program.split_first().context("a tool has a name")?;
    let mut child = command_in(namespace, Path::new(name))
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .with_context(|| format!("starting {name}"))?;
    let mut stdin = child.stdin.take().context("a tool has a standard input")?;
    let ended = async {
        // One that does not read to the end has failed, and says why.
        let _ = stdin.write_all(input.as_bytes()).await;
        drop(stdin);
        child.wait_with_output().await
    };
    let output = tokio::time::timeout(TOOL_WITHIN, ended)
        .await
        .map_err(|_| anyhow::anyhow!("{} has not ended after {TOOL_WITHIN:?}", program.join(" ")))??;
    if !output.status.success() {
        bail!(
            "{} failed ({}): {}{}",
            program.join(" "),
            output.status,
            String::from_utf8_lossy(&output.stderr),
            if input.is_empty() {
                String::new()
            } else {
                format!("it was given:\n{input}")
            }
        );
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

    use super::*;

    #[test]
    fn every_address_of_the_network_is_loopback_and_no_nodes_is_the_clients() {
        for node in 1..u64::from(CLIENTS) {
            let address = address(node).unwrap();
            assert!(address.is_loopback() && address != clients());
        }
        assert!(clients().is_loopback());
        assert!(address(0).is_err() && address(200).is_err() && address(1 << 40).is_err());
    }
}
