//! etcd as real processes on loopback, measured beside ours.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, bail};
use tokio::time::Instant;

use crate::local::Server;
use crate::loopback::addresses;
use pb::maintenance_client::MaintenanceClient;

/// The part of etcd's API that is used.
#[allow(missing_docs, unreachable_pub, clippy::all, clippy::pedantic)]
pub(super) mod pb {
    tonic::include_proto!("etcdserverpb");
}

/// A cluster that is not ready after this time has failed.
const READY_WITHIN: Duration = Duration::from_secs(30);
/// Longest time of a status call.
const CALL_WITHIN: Duration = Duration::from_secs(1);

/// Finds the program.
///
/// # Errors
/// Says how to install it.
pub(super) fn find(program: &Path) -> anyhow::Result<PathBuf> {
    let found = if program.components().count() > 1 {
        program.is_file().then(|| program.to_owned())
    } else {
        std::env::var_os("PATH")
            .into_iter()
            .flat_map(|path| std::env::split_paths(&path).collect::<Vec<_>>())
            .map(|folder| folder.join(program))
            .find(|file| file.is_file())
    };
    found.with_context(|| {
        format!(
            "--beside etcd: there is no {} on this machine. Install it (Debian, Ubuntu: apt-get install etcd-server) or \
             name the program with --etcd FILE",
            program.display()
        )
    })
}

/// Lays out a cluster in `dir`, with etcd's own defaults but for what `flags` say.
pub(super) fn lay_out(
    dir: &Path,
    program: &Path,
    nodes: u32,
    flags: &[String],
) -> anyhow::Result<BTreeMap<u64, Server>> {
    let all = addresses(2 * nodes, 0)?;
    let address = |index: u32| all[&(u64::from(index) + 1)];
    let cluster: Vec<String> = (0..nodes)
        .map(|index| format!("etcd-{}=http://{}", index + 1, address(nodes + index)))
        .collect();
    let mut servers = BTreeMap::new();
    for index in 0..nodes {
        let id = u64::from(index) + 1;
        let folder = dir.join(format!("etcd-{id}"));
        std::fs::create_dir_all(&folder)?;
        let (client, peer) = (address(index), format!("http://{}", address(nodes + index)));
        let mut arguments: Vec<OsString> = ["bench", "tied", "--to"].map(Into::into).into();
        arguments.extend([std::process::id().to_string().into(), program.into()]);
        let options = [
            ("--name", format!("etcd-{id}")),
            ("--data-dir", folder.join("data").display().to_string()),
            ("--listen-client-urls", format!("http://{client}")),
            ("--advertise-client-urls", format!("http://{client}")),
            ("--listen-peer-urls", peer.clone()),
            ("--initial-advertise-peer-urls", peer),
            ("--initial-cluster", cluster.join(",")),
            ("--initial-cluster-state", "new".to_owned()),
            // The same for all members, and of no other cluster.
            ("--initial-cluster-token", format!("bench-{}", all[&1])),
        ];
        for (option, value) in options {
            arguments.extend([option.into(), value.into()]);
        }
        arguments.extend(flags.iter().map(Into::into));
        let tie = std::env::current_exe().context("finding this program")?;
        let server = Server::new(id, client.to_string(), folder.join("log.txt"), tie, arguments);
        servers.insert(id, server);
    }
    Ok(servers)
}

/// Waits until all members know the same leader, and returns its number.
pub(super) async fn ready(servers: &mut BTreeMap<u64, Server>) -> anyhow::Result<u64> {
    let deadline = Instant::now() + READY_WITHIN;
    loop {
        for server in servers.values_mut() {
            if let Some(status) = server.ended()? {
                bail!(
                    "etcd {} ended ({status}); the reason is in {}",
                    server.id,
                    server.log.display()
                );
            }
        }
        let mut states = Vec::new();
        for server in servers.values() {
            states.extend(status(&server.address).await.map(|status| (server.id, status)));
        }
        let leader = states.iter().find_map(|(id, status)| {
            let me = status.header.as_ref()?.member_id;
            (status.leader == me).then_some((*id, me))
        });
        if let Some((id, leader)) = leader
            && states.len() == servers.len()
            && states.iter().all(|(_, status)| status.leader == leader)
        {
            return Ok(id);
        }
        if Instant::now() > deadline {
            bail!(
                "etcd was not ready after {} s; the members' logs are beside their data",
                READY_WITHIN.as_secs()
            );
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// What a member says about itself, if it answers.
pub(super) async fn status(address: &str) -> Option<pb::StatusResponse> {
    let mut client = MaintenanceClient::new(super::grpc::connect(address).ok()?);
    let call = client.status(pb::StatusRequest {});
    Some(tokio::time::timeout(CALL_WITHIN, call).await.ok()?.ok()?.into_inner())
}

/// Whether all members have the same content, by etcd's own hash of it.
pub(super) async fn replicas_agree(addresses: impl Iterator<Item = &String>) -> anyhow::Result<bool> {
    let mut hashes = Vec::new();
    let mut revision = 0;
    for address in addresses {
        let mut client = MaintenanceClient::new(super::grpc::connect(address)?);
        let answer = client
            .hash_kv(pb::HashKvRequest { revision })
            .await
            .map_err(|status| anyhow::anyhow!("asking etcd for its hash: {status}"))?
            .into_inner();
        if revision == 0 {
            // All at the revision of the first.
            revision = answer.header.map_or(0, |header| header.revision);
        }
        hashes.push(answer.hash);
    }
    Ok(hashes.windows(2).all(|pair| pair[0] == pair[1]))
}
