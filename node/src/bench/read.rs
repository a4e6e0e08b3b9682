//! `bench read`: single inspections by number, from the leader and from a follower.

use std::cell::Cell;
use std::rc::Rc;
use std::time::Duration;

use anyhow::Context;
use bytes::Bytes;
use futures::{StreamExt, TryStreamExt};
use portcullis_proto::v1 as pb;
use prost::Message;
use tonic::client::Grpc;
use tonic::codegen::http::uri::PathAndQuery;
use tonic::transport::Channel;

use super::bed::Bed;
use super::body::Series;
use super::commit::Write;
use super::cpu;
use super::etcd::pb as etcd;
use super::grpc::{connect, unary};
use super::load::{Load, Operation};
use super::report::{Part, Ratio, Report, Row};
use super::system::{Kind, System};
use crate::cli::{Global, ReadArgs, Seen};

/// Writes in flight while there is nothing to read yet.
const AT_ONCE: usize = 64;

/// Reads of what was written before, in turns.
struct Read {
    kind: Kind,
    requests: Vec<Bytes>,
    next: Cell<usize>,
}

impl Operation for Read {
    fn path(&self) -> PathAndQuery {
        PathAndQuery::from_static(match self.kind {
            Kind::Portcullis => "/portcullis.v1.InspectionService/GetInspection",
            Kind::Etcd => "/etcdserverpb.KV/Range",
        })
    }

    fn next(&self) -> Bytes {
        let at = self.next.get();
        self.next.set(at + 1);
        self.requests[at % self.requests.len()].clone()
    }

    fn check(&self, answer: Bytes) -> Result<(), String> {
        let found = match self.kind {
            Kind::Portcullis => pb::GetInspectionResponse::decode(answer).map(|answer| answer.inspection.is_some()),
            Kind::Etcd => etcd::RangeResponse::decode(answer).map(|answer| answer.kvs.len() == 1),
        };
        match found {
            Ok(true) => Ok(()),
            Ok(false) => Err("what was written is not found".to_owned()),
            Err(error) => Err(error.to_string()),
        }
    }
}

/// Measures.
pub(super) async fn run(bed: &mut Bed, global: &Global, args: &ReadArgs) -> anyhow::Result<Report> {
    let systems = if args.bed.beside.is_some() { 2 } else { 1 };
    let lines = args.consistency.len() * args.clients.len() * 2;
    bed.expect(lines as u64 * u64::from(args.pace.rounds) * systems);
    bed.start(global, &args.bed, false, &[]).await?;
    let mut written = Vec::new();
    for system in &mut bed.systems {
        written.push(write(system, args.known).await?);
    }
    let mut report = Report::new(bed.machine.clone());
    for seen in &args.consistency {
        for from_leader in [true, false] {
            for clients in &args.clients {
                let mut parts: Vec<Vec<Part>> = bed.systems.iter().map(|_| Vec::new()).collect();
                let mode = format!(
                    "read {} {}",
                    seen.word(),
                    if from_leader { "leader" } else { "follower" }
                );
                for _ in 0..args.pace.rounds {
                    for (at, system) in bed.systems.iter_mut().enumerate() {
                        let read = Rc::new(Read {
                            kind: system.kind,
                            requests: requests(&written[at], *seen),
                            next: Cell::new(0),
                        });
                        parts[at].push(part(system, read, from_leader, *clients, args).await?);
                    }
                    bed.say(&mode);
                    bed.step();
                }
                let rows = bed.systems.iter().zip(&parts);
                let rows: Vec<Row> = rows
                    .map(|(system, parts)| Row::of(system.kind.name(), &mode, *clients, 1, parts))
                    .collect();
                if let [ours, other] = &rows[..] {
                    report.ratios.push(Ratio::of(ours, other));
                }
                report.rows.push(rows);
            }
        }
    }
    Ok(report)
}

async fn part(
    system: &mut System,
    read: Rc<Read>,
    from_leader: bool,
    clients: u32,
    args: &ReadArgs,
) -> anyhow::Result<Part> {
    let leader = system.ready().await?;
    let node = if from_leader { leader } else { system.follower(leader)? };
    let address = system.address(node)?;
    let connections: Vec<Channel> = (0..args.connections.min(clients))
        .map(|_| connect(address))
        .collect::<anyhow::Result<_>>()?;
    let load = Load {
        connections: &connections,
        clients,
        warm_up: args.pace.warm_up,
        measured: Duration::from_secs_f64(args.pace.seconds / f64::from(args.pace.rounds)),
        rate: args.rate,
    };
    let watch = cpu::Watch::start(system.cpu());
    let tally = load.run(read.clone()).await?;
    Ok(watch.part(tally, read.next.get() as u64, system.cpu()))
}

/// What was written: inspection numbers, or keys.
enum Written {
    Inspections(Vec<u64>),
    Keys(Vec<String>),
}

async fn write(system: &mut System, count: u32) -> anyhow::Result<Written> {
    let leader = system.ready().await?;
    let grpc = Grpc::new(connect(system.address(leader)?)?);
    let write = Write::new(system.kind);
    let writes = (0..count).map(|_| {
        let (mut grpc, path, body) = (grpc.clone(), write.path(), write.next());
        async move { unary(&mut grpc, path, body).await }
    });
    // Requests are made in this order; what is read is asked for by number.
    let answers: Vec<Bytes> = futures::stream::iter(writes)
        .buffered(AT_ONCE)
        .try_collect()
        .await
        .map_err(|status| anyhow::anyhow!("writing what is to be read: {status}"))?;
    let written = match system.kind {
        Kind::Portcullis => Written::Inspections(
            answers
                .into_iter()
                .map(|answer| pb::AnnounceResponse::decode(answer).map(|answer| answer.inspection))
                .collect::<Result<_, _>>()
                .context("an announcement's answer")?,
        ),
        Kind::Etcd => {
            let key = |number| write.series.key(&Series::request_id(u64::from(number)));
            Written::Keys((0..count).map(key).collect())
        }
    };
    // A follower may be a moment behind.
    system.caught_up(None).await?;
    Ok(written)
}

fn requests(written: &Written, seen: Seen) -> Vec<Bytes> {
    match written {
        Written::Inspections(numbers) => {
            let consistency = match seen {
                Seen::Local => pb::Consistency::Local,
                Seen::Lease => pb::Consistency::Lease,
                Seen::Quorum => pb::Consistency::Quorum,
            };
            let request = |number: &u64| pb::GetInspectionRequest {
                target: Some(pb::get_inspection_request::Target::Inspection(*number)),
                consistency: consistency.into(),
                view: pb::InspectionView::Basic.into(),
            };
            numbers
                .iter()
                .map(|number| request(number).encode_to_vec().into())
                .collect()
        }
        Written::Keys(keys) => {
            // etcd has no reads by lease; both stricter kinds are its linearizable one, which asks a quorum.
            let request = |key: &String| etcd::RangeRequest {
                key: key.clone().into(),
                serializable: seen == Seen::Local,
                ..etcd::RangeRequest::default()
            };
            keys.iter().map(|key| request(key).encode_to_vec().into()).collect()
        }
    }
}
