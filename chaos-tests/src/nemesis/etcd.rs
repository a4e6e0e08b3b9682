//! etcd as real processes in the places of our nodes.

use std::collections::BTreeMap;
use std::fs::File;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use anyhow::Context;
use tokio::process::Child;
use tonic::client::Grpc;
use tonic::codegen::http::uri::PathAndQuery;
use tonic::transport::Channel;
use tonic::{Request, Status};
use tonic_prost::ProstCodec;

use super::namespace::address;
use super::sandbox;
use crate::cluster::{Seat, channel, command_in};
use crate::wait::eventually;

/// Longest time of a status call.
const STATUS: Duration = Duration::from_secs(1);
/// Timers of etcd, milliseconds: as near to those of ours as its rule lets, that an election takes at least five heartbeats.
const ETCD_TIMERS: [(&str, u32); 2] = [("--heartbeat-interval", 30), ("--election-timeout", 150)];

/// The program.
///
/// # Errors
/// Says how it is had.
pub(super) fn program() -> anyhow::Result<PathBuf> {
    std::env::var_os("PATH")
        .into_iter()
        .flat_map(|path| std::env::split_paths(&path).collect::<Vec<_>>())
        .map(|folder| folder.join("etcd"))
        .find(|file| file.is_file())
        .context("there is no etcd on this machine (Debian, Ubuntu: apt-get install etcd-server)")
}

/// Puts a value of about the length that is announced to ours.
pub(super) async fn put(channel: Channel, key: String) -> Result<(), Status> {
    let put = Put {
        key: key.into_bytes(),
        value: vec![b'x'; 128],
    };
    unary::<Put, PutAnswer>(channel, put, "/etcdserverpb.KV/Put")
        .await
        .map(drop)
}

/// A cluster of etcd in the places of our nodes.
pub(super) struct Etcd {
    members: BTreeMap<u64, Member>,
}

pub(super) struct Member {
    program: PathBuf,
    arguments: Vec<String>,
    namespace: PathBuf,
    log: PathBuf,
    channel: Channel,
    child: Option<Child>,
}

impl Etcd {
    /// Starts a new cluster.
    pub(super) async fn start(program: &Path, seats: &BTreeMap<u64, Seat>, dir: &Path) -> anyhow::Result<Self> {
        // In memory, as the disks of our nodes are.
        let memory = sandbox::memory(&dir.join("etcd"))?;
        let url = |ip: Ipv4Addr, port: u16| format!("http://{ip}:{port}");
        let mut all = Vec::new();
        for id in seats.keys() {
            all.push(format!("etcd-{id}={}", url(address(*id)?, 2380)));
        }
        let mut members = BTreeMap::new();
        for (id, seat) in seats {
            let ip = address(*id)?;
            let mut arguments = vec![
                format!("--name=etcd-{id}"),
                format!("--data-dir={}", memory.join(format!("etcd-{id}")).display()),
                format!("--initial-cluster={}", all.join(",")),
                "--initial-cluster-state=new".to_owned(),
                "--initial-cluster-token=portcullis-nemesis".to_owned(),
            ];
            for flag in ["--listen-client-urls", "--advertise-client-urls"] {
                arguments.push(format!("{flag}={}", url(ip, 2379)));
            }
            for flag in ["--listen-peer-urls", "--initial-advertise-peer-urls"] {
                arguments.push(format!("{flag}={}", url(ip, 2380)));
            }
            arguments.extend(ETCD_TIMERS.map(|(flag, ms)| format!("{flag}={ms}")));
            let mut member = Member {
                program: program.to_owned(),
                arguments,
                namespace: seat.namespace.clone(),
                log: memory.join(format!("log-{id}.txt")),
                channel: channel((ip, 2379).into()),
                child: None,
            };
            member.start()?;
            members.insert(*id, member);
        }
        Ok(Self { members })
    }

    /// Channels to all members.
    pub(super) fn channels(&self) -> Vec<Channel> {
        self.members.values().map(|member| member.channel.clone()).collect()
    }

    /// Ends all members.
    pub(super) async fn end(&mut self) -> anyhow::Result<()> {
        for member in self.members.values_mut() {
            member.kill().await?;
        }
        Ok(())
    }

    /// A member.
    pub(super) fn member(&mut self, id: u64) -> anyhow::Result<&mut Member> {
        self.members
            .get_mut(&id)
            .with_context(|| format!("there is no member {id}"))
    }

    /// Waits until all members know the same leader.
    pub(super) async fn leader(&self, within: Duration) -> anyhow::Result<u64> {
        eventually("all members of etcd know the leader", within, async || {
            let mut found = None;
            let mut leaders = Vec::new();
            for (id, member) in &self.members {
                let status = unary::<StatusAsked, StatusAnswer>(
                    member.channel.clone(),
                    StatusAsked {},
                    "/etcdserverpb.Maintenance/Status",
                );
                let status = tokio::time::timeout(STATUS, status).await;
                let status = status.map_err(|_| format!("member {id} does not answer"))?;
                let status = status.map_err(|status| format!("member {id}: {status}"))?;
                let me = status.header.unwrap_or_default().member_id;
                if status.leader == me && me != 0 {
                    found = Some(*id);
                }
                leaders.push(status.leader);
            }
            match (found, leaders.windows(2).all(|pair| pair[0] == pair[1])) {
                (Some(leader), true) => Ok(leader),
                _ => Err(format!("they say {leaders:?}")),
            }
        })
        .await
        .with_context(|| {
            let logs = self
                .members
                .values()
                .map(|member| std::fs::read_to_string(&member.log).unwrap_or_default());
            let ends = logs.map(|log| log.lines().rev().take(3).collect::<Vec<_>>().join("\n"));
            format!(
                "the ends of their logs, backwards:\n{}",
                ends.collect::<Vec<_>>().join("\n")
            )
        })
    }
}

impl Member {
    /// Starts the process.
    pub(super) fn start(&mut self) -> anyhow::Result<()> {
        let log = File::options().create(true).append(true).open(&self.log)?;
        let child = command_in(Some(&self.namespace), &self.program)
            .args(&self.arguments)
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .with_context(|| format!("starting {}", self.program.display()))?;
        self.child = Some(child);
        Ok(())
    }

    /// SIGKILL, and waits until the process is gone.
    pub(super) async fn kill(&mut self) -> anyhow::Result<()> {
        if let Some(mut child) = self.child.take() {
            child.kill().await.context("killing a member of etcd")?;
        }
        Ok(())
    }
}

/// What is used of etcd's public API (etcd 3.4, rpc.proto), with its numbers.
#[derive(Clone, PartialEq, prost::Message)]
struct Put {
    #[prost(bytes = "vec", tag = "1")]
    key: Vec<u8>,
    #[prost(bytes = "vec", tag = "2")]
    value: Vec<u8>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct PutAnswer {
    #[prost(message, optional, tag = "1")]
    header: Option<Header>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct StatusAsked {}

#[derive(Clone, PartialEq, prost::Message)]
struct StatusAnswer {
    #[prost(message, optional, tag = "1")]
    header: Option<Header>,
    #[prost(uint64, tag = "4")]
    leader: u64,
}

#[derive(Clone, PartialEq, prost::Message)]
struct Header {
    #[prost(uint64, tag = "2")]
    member_id: u64,
}

async fn unary<Q, A>(channel: Channel, request: Q, path: &'static str) -> Result<A, Status>
where
    Q: prost::Message + Default + 'static,
    A: prost::Message + Default + 'static,
{
    let mut grpc = Grpc::new(channel);
    let ready = grpc.ready().await;
    ready.map_err(|error| Status::unavailable(error.to_string()))?;
    let codec = ProstCodec::<Q, A>::default();
    let answer = grpc
        .unary(Request::new(request), PathAndQuery::from_static(path), codec)
        .await?;
    Ok(answer.into_inner())
}
